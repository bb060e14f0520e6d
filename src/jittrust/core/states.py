"""What a life cycle is: a table of allowed moves and one function that applies it.

Everything that affects the life of a mission, a grant or a session lives in such a table; the diagrams in
docs/architecture.md are generated from them. An illegal move raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from jittrust.core.errors import ConflictError

S = TypeVar("S", bound=StrEnum)


def move(table: Mapping[S, frozenset[S]], now: S, to: S) -> S:
    """Return `to` when the table allows the move from `now`.

    Raises:
        ConflictError: code `illegal_move`: the table has no such arrow. Nothing changed.
    """
    if to not in table[now]:
        allowed = ", ".join(sorted(table[now])) or "nothing: it has ended"
        raise ConflictError("illegal_move", f"{now} cannot become {to}", f"From {now} it can become: {allowed}.")
    return to


def diagram(table: Mapping[S, frozenset[S]]) -> str:
    """The table as a Mermaid state diagram."""
    arrows = (f"    {now} --> {to}" for now, targets in table.items() for to in sorted(targets))
    return "\n".join(("stateDiagram-v2", *arrows))
