"""What follows from a tool's definition alone is worked out once for each definition, and kept with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from jittrust.core.model import Tool

_Told = TypeVar("_Told")


def once_a_tool(work_out: Callable[[Tool], _Told]) -> Callable[[Tool], _Told]:
    """Keep what a pure function says of a tool. Its result must not be changed by anybody.

    A definition is frozen and another definition is another `Tool`, so that nothing kept can be out of date, and nothing outlives its tool.
    """

    @wraps(work_out)
    def kept(tool: Tool) -> _Told:
        memo = getattr(tool, "memo", None)
        if memo is None:  # a copy that was made around the class's own way
            return work_out(tool)
        try:
            return cast("_Told", memo[work_out])
        except KeyError:
            told = memo[work_out] = work_out(tool)
            return told

    return kept
