"""The time, never going back."""

from __future__ import annotations

import time
from collections.abc import Callable

from jittrust.core.units import Instant

# How far the wall clock may be ahead of ours before it is believed (it was set, or the machine slept where the monotonic clock stood still).
_AHEAD = 2.0


class SteadyClock:
    """Wall time at the start, then carried on by the monotonic clock: a wall clock that is set back changes nothing.

    A wall clock that runs more than 2 s ahead of ours is followed, so that permissions end on time after a suspend. Following forward can end
    a permission early, never late.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        """Start from the wall clock."""
        self._wall = wall
        self._steady = steady
        self._base = wall() - steady()

    def __call__(self) -> Instant:
        """Seconds since 1970, never less than any answer before."""
        now = self._base + self._steady()
        wall = self._wall()
        if wall - now > _AHEAD:
            self._base = wall - self._steady()
            return Instant(wall)
        return Instant(now)
