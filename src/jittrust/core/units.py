"""Numbers that carry their meaning. Made at the edge, refused (never clamped) when bad, NaN included."""

from __future__ import annotations

import math
from typing import Self

from jittrust.core.errors import BadInputError


class _Measure(float):
    """A float with a range. Subclasses name the quantity and the bounds."""

    __slots__ = ()
    lowest = -math.inf
    highest = math.inf

    def __new__(cls, value: float) -> Self:
        """Take a number inside the bounds. Raises BadInputError, code `bad_number`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadInputError("bad_number", f"{cls.__name__} needs a number, not {type(value).__name__}")
        made = super().__new__(cls, value)
        # NaN fails both comparisons, so it is refused by the same line.
        if not (cls.lowest <= made <= cls.highest) or math.isinf(made):
            raise BadInputError(
                "bad_number", f"{cls.__name__} must lie in {cls.lowest:g}..{cls.highest:g}, got {value!r}"
            )
        return made


class Unit(_Measure):
    """A share or likelihood, 0..1, no unit."""

    __slots__ = ()
    lowest = 0.0
    highest = 1.0


class Score(_Measure):
    """A Weighted Intent Score or a trust score, 0 (refuse) .. 100 (trust fully)."""

    __slots__ = ()
    lowest = 0.0
    highest = 100.0


class Seconds(_Measure):
    """A length of time in seconds, >= 0."""

    __slots__ = ()
    lowest = 0.0


class Instant(_Measure):
    """A moment: seconds since 1970-01-01T00:00:00Z."""

    __slots__ = ()


class Gas(int):
    """Trust budget in whole units, >= 0. A price or what is left of a grant."""

    __slots__ = ()

    def __new__(cls, value: int) -> Self:
        """Take a whole number. Raises BadInputError, code `bad_number`."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadInputError("bad_number", f"Gas needs a whole number, not {value!r}")
        if not 0 <= value <= 2**53:
            raise BadInputError("bad_number", f"Gas must lie in 0..2^53, got {value!r}")
        return super().__new__(cls, value)
