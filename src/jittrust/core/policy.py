"""What a written policy said: which rules permit, which forbid. Forbid wins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """Ids of the rules that permit and that forbid. Both empty: the policy says nothing of it."""

    permits: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
