"""Questions that an enforcement point puts to a person on an agent's behalf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from jittrust.broker.evaluate import QUESTIONS_MOST
from jittrust.broker.record import approval_record
from jittrust.broker.search import SearchBook
from jittrust.broker.state import State
from jittrust.core.approval import APPROVAL_MOVES, Approval, ApprovalKind, ApprovalState
from jittrust.core.errors import ConflictError, NotFoundError, RefusedError
from jittrust.core.model import Evaluation, Ruling
from jittrust.core.rules import Rules
from jittrust.core.states import move
from jittrust.core.units import Instant
from jittrust.ports.commit import PutApproval

_LONGEST_WHY = 2000


class AccessRequestBook:
    """See `ports.access_requests`."""

    def __init__(
        self,
        state: State,
        searches: SearchBook,
        rules: Rules,
        clock: Callable[[], Instant],
        new_id: Callable[[str], str],
    ) -> None:
        """Wire it up."""
        self._state = state
        self._searches = searches
        self._rules = rules
        self._clock = clock
        self._new_id = new_id

    async def open(self, ask: Evaluation, mission: str) -> Approval:
        """See `AccessRequests.open`."""
        if not mission:
            mission = next((one.id for one in self._searches.missions_of(ask.subject.id)), "")
        verdict = await self._searches.judge(ask, mission)
        now = self._clock()
        known = self._state.question(mission, ask.digest)
        if known is not None and known.state in (ApprovalState.WAITING, ApprovalState.APPROVED) and now < known.expires:
            return known
        if verdict.ruling is not Ruling.STEP_UP:
            raise RefusedError(
                "not_requestable", "A person's yes would change nothing about this call.", "Ask for a decision again."
            )
        if self._state.waiting_of(mission, now) >= QUESTIONS_MOST:
            raise RefusedError(
                "questions_too_many", f"{QUESTIONS_MOST} questions of this mission wait already.", "Try again later."
            )
        risk = verdict.factors.risk.value if verdict.factors else None
        asked = Approval(
            id=self._new_id("a"),
            kind=ApprovalKind.CALL,
            mission=mission,
            subject=ask.subject.id,
            target=ask.resource.id,
            digest=ask.digest,
            text=f"{ask.action.name} {ask.resource.id} {ask.text}".strip(),
            why=" ".join(reason.fact for reason in verdict.reasons if reason.fact)[:_LONGEST_WHY],
            risk=100 if risk is None else round(risk * 100),
            asked=now,
            expires=Instant(now + self._rules.grants.approval_seconds),
        )
        await self._state.change([PutApproval(asked)], [approval_record(asked, now)])
        return asked

    async def find(self, approval: str) -> Approval:
        """See `AccessRequests.find`."""
        await self._state.refresh()
        found = self._state.approvals.get(approval)
        if found is None:
            raise NotFoundError("approval_unknown", f"There is no question {approval}.", "jittrust log")
        if found.state is ApprovalState.WAITING and self._clock() >= found.expires:
            return replace(found, state=ApprovalState.EXPIRED)
        return found

    async def cancel(self, approval: str, by: str) -> Approval:
        """See `AccessRequests.cancel`."""
        found = await self.find(approval)
        if found.state is not ApprovalState.WAITING:
            raise ConflictError("approval_closed", f"The question {approval} is {found.state}.", "Ask anew.")
        now = self._clock()
        to = move(APPROVAL_MOVES, found.state, ApprovalState.DENIED)
        taken = replace(found, state=to, answered_by=by, answered=now)
        await self._state.change([PutApproval(taken)], [approval_record(taken, now)])
        return taken
