"""Numbers carry their meaning; what is bad is refused, never clamped."""

from typing import Any

import pytest

from jittrust.core.errors import BadInputError
from jittrust.core.units import Gas, Instant, Score, Seconds, Unit

BAD: list[Any] = [float("nan"), float("inf"), -float("inf"), True, False, "1", None, [], 1j]


@pytest.mark.parametrize("kind", [Unit, Score, Seconds, Instant, Gas])
@pytest.mark.parametrize("value", BAD)
def test_what_is_no_number_is_refused(kind: Any, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(BadInputError, match="bad_number"):
        kind(value)


@pytest.mark.parametrize(
    ("kind", "lowest", "highest", "outside"),
    [
        (Unit, 0, 1, [-1e-9, 1 + 1e-9]),
        (Score, 0, 100, [-1e-9, 100.0001]),
        (Seconds, 0, 1e300, [-1e-9]),
        (Gas, 0, 2**53, [-1, 2**53 + 1, 1.0, 0.5]),
    ],
)
def test_the_bounds_belong_to_the_range_and_nothing_beyond_them_does(
    kind: Any,  # noqa: ANN401
    lowest: float,
    highest: float,
    outside: list[float],
) -> None:
    assert (kind(lowest), kind(highest)) == (lowest, highest)
    for value in outside:
        with pytest.raises(BadInputError, match="bad_number"):
            kind(value)


def test_an_instant_may_lie_before_1970() -> None:
    assert float(Instant(-1)) == -1.0
