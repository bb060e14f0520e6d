"""What would be decided, without a pass, a debit or an effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jittrust.broker.gather import Gather
from jittrust.broker.state import State
from jittrust.core.model import Evaluation, Verdict
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.searches import Found


class SearchBook:
    """See `ports.searches`."""

    def __init__(self, state: State, gather: Gather, rules: Rules, clock: Callable[[], Instant]) -> None:
        """Wire it up."""
        self._state = state
        self._gather = gather
        self._rules = rules
        self._clock = clock

    async def judge(self, ask: Evaluation, mission: str) -> Verdict:
        """See `Searches.judge`."""
        raise NotImplementedError

    async def subjects(self, ask: Evaluation, after: str, limit: int) -> Found:
        """See `Searches.subjects`."""
        raise NotImplementedError

    async def resources(self, ask: Evaluation, after: str, limit: int) -> Found:
        """See `Searches.resources`."""
        raise NotImplementedError

    async def actions(self, ask: Evaluation) -> Sequence[str]:
        """See `Searches.actions`."""
        raise NotImplementedError
