"""How long to wait before trying again. Pure: the random number is an argument."""

from __future__ import annotations

FIRST_SECONDS = 0.1
MOST_SECONDS = 5.0
_DOUBLINGS = 16


def delay(failures: int, draw: float, *, first: float = FIRST_SECONDS, most: float = MOST_SECONDS) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, bounded, and cut at random by up to a half.

    The cut keeps clients that lost one broker together from coming back together.

    Args:
        failures: how many there were, 1 and up.
        draw: random number, 0 ≤ draw < 1.
        first: shortest full wait, in seconds.
        most: longest, in seconds.
    """
    full = min(most, first * 2.0 ** min(max(failures - 1, 0), _DOUBLINGS))
    return float(full * (1.0 - draw / 2.0))
