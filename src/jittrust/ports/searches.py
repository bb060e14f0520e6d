"""Questions that change nothing: what would be decided, and who may do what to which (AuthZEN search). For enforcement points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.model import Evaluation, Verdict


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search: ids, and the token of the next page (empty: that was all)."""

    ids: Sequence[str]
    following: str = ""


class Searches(Protocol):
    """Judges without a pass, a debit or an effect; each question is recorded nowhere and teaches nothing."""

    async def judge(self, ask: Evaluation, mission: str) -> Verdict:
        """What would be decided if the agent asked now. Raises NotFoundError: code `mission_unknown`."""
        ...

    async def subjects(self, ask: Evaluation, after: str, limit: int) -> Found:
        """Agents with a live mission that would be let through (`ask.subject.id` is not looked at)."""
        ...

    async def resources(self, ask: Evaluation, after: str, limit: int) -> Found:
        """Tools that the agent's missions would let it use."""
        ...

    async def actions(self, ask: Evaluation) -> Sequence[str]:
        """Actions that the agent's missions would let it do on the resource."""
        ...
