"""Questions to a person and their answers. An agent never answers its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jittrust.broker.definitions import pin_approved
from jittrust.broker.identity.index import IdentityIndex
from jittrust.broker.missions import MissionBook
from jittrust.broker.record import approval_record, mission_record, tool_record
from jittrust.broker.state import State
from jittrust.core.approval import APPROVAL_MOVES, Approval, ApprovalKind, ApprovalState, ConfirmedBy, chosen
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.authority.pin import definition_hash
from jittrust.core.errors import BadInputError, ConflictError, NotFoundError, RefusedError
from jittrust.core.mission.states import ENDED, MissionState
from jittrust.core.rules import Rules
from jittrust.core.states import move
from jittrust.core.units import Instant, Seconds
from jittrust.ports.approvals import Answer
from jittrust.ports.commit import PutApproval, PutMission, PutPin, RecordBody, Write
from jittrust.ports.missions import MissionChange
from jittrust.ports.pin import PinCheck


@dataclass(frozen=True, slots=True)
class ApprovalProof:
    """Who answers, as a passkey or a session proves it.

    Attributes:
        person: SPIFFE ID.
        credential: SHA-256 of the credential's id; empty for a session.
        writes: what has to become durable with the answer (the authenticator's counter).
    """

    person: str
    credential: str = ""
    writes: tuple[Write, ...] = ()


class ApproverCheck(Protocol):
    """What people sign in and approve with."""

    def required(self) -> bool:
        """Whether anybody who may answer has a passkey."""
        ...

    async def proof(self, approval: Approval, answer: Answer) -> ApprovalProof:
        """Check the answer's session, and its assertion when it says yes.

        When it returns, nothing was awaited since the check: the answer may be stored at once.

        Raises:
            RefusedError: code `not_signed_in`, `role_too_low`, `passkey_refused`.
            BadInputError: code `passkey_bad`.
        """
        ...


@dataclass(frozen=True, slots=True)
class MissionAnswered:
    """What an answer about a mission makes true: durable together with the answer, and what is done in memory after that."""

    writes: tuple[Write, ...] = ()
    records: tuple[RecordBody, ...] = ()
    then: Callable[[], None] | None = None


class MissionQuestions(Protocol):
    """Whoever asks people for missions."""

    def answered(self, approval: Approval, now: Instant) -> MissionAnswered:
        """What follows from this answer; nothing is awaited.

        Raises:
            ConflictError: code `question_moved`: what would happen is not what was shown.
            RefusedError: code `identity_not_active`.
        """
        ...


def _with_choice(found: Approval, answer: Answer) -> Approval:
    """The question with what the person chose of what it offers.

    Raises:
        BadInputError: code `nothing_to_endorse`, `bad_amount`.
    """
    if not answer.endorse or not answer.approve:
        if answer.endorse or answer.up_to is not None:
            raise BadInputError("nothing_to_endorse", "Only a yes that endorses a source has an amount.")
        return found
    return chosen(found, answer.up_to)


class ApprovalBook:
    """What waits for a person."""

    def __init__(
        self, state: State, missions: MissionBook, pin: PinCheck, rules: Rules, clock: Callable[[], Instant]
    ) -> None:
        """Wire it up."""
        self._state = state
        self._missions = missions
        self._pin = pin
        self._rules = rules
        self._clock = clock
        self._passkeys: ApproverCheck | None = None
        self._identities = IdentityIndex.of(state)
        self._missions_asked: MissionQuestions | None = None

    def require_passkeys(self, check: ApproverCheck) -> None:
        """Take passkeys, and no PIN any more once somebody who may answer has one."""
        self._passkeys = check

    def ask_for_missions(self, asking: MissionQuestions) -> None:
        """Let this part say what follows when a person answers whether a mission may start."""
        self._missions_asked = asking

    @property
    def passkey_required(self) -> bool:
        """Whether a PIN says yes to nothing any more."""
        return self._passkeys is not None and self._passkeys.required()

    async def waiting(self) -> Sequence[Approval]:
        """See `Approvals.waiting`."""
        now = self._clock()
        return sorted(
            (a for a in self._state.open_approvals() if a.state is ApprovalState.WAITING and now < a.expires),
            key=lambda a: (a.asked, a.id),
        )

    async def answer(self, approval: str, answer: Answer) -> Approval:
        """See `Approvals.answer`."""
        found = self._open(approval)
        found = _with_choice(found, answer)
        if answer.confirmed_by is ConfirmedBy.CLIENT and answer.endorse:
            # A source serves for many calls: that is not the agent's client's business.
            raise self._too_weak(found)
        if answer.confirmed_by is ConfirmedBy.CLIENT and found.kind is not ApprovalKind.CALL:
            # Not even a no: a tool, a map or a mission is not the agent's client's business.
            raise self._too_weak(found)
        if answer.confirmed_by is not ConfirmedBy.CLIENT:
            # Who asks is checked before the PIN: an agent's process learns nothing about the PIN, and cannot lock it.
            self._check_caller(answer)
        proof = ApprovalProof(answer.by)
        if answer.confirmed_by in (ConfirmedBy.PASSKEY, ConfirmedBy.SESSION):
            proof = await self._proof(found, answer)
        elif answer.approve:
            await self._confirm(found, answer)
            # Checking a PIN takes a while and leaves the loop: the question may have been answered meanwhile.
            found = _with_choice(self._open(approval), answer)
        answer = replace(answer, by=proof.person)
        now = self._clock()
        to = ApprovalState.APPROVED if answer.approve else ApprovalState.DENIED
        answered = replace(
            found,
            state=move(APPROVAL_MOVES, found.state, to),
            answered_by=answer.by,
            confirmed_by=answer.confirmed_by,
            answered=now,
            # From the answer on the call has the same time again to be repeated.
            expires=Instant(now + self._rules.grants.approval_seconds)
            if found.kind is ApprovalKind.CALL
            else found.expires,
        )
        writes: list[Write] = [PutApproval(answered), *proof.writes]
        record = approval_record(answered, now)
        records: list[RecordBody] = [{**record, "credential": proof.credential} if proof.credential else record]
        if answer.approve and found.kind is ApprovalKind.TOOL_DEFINITION:
            self._approve_definition(found, answer, writes, records, now)
        follows = MissionAnswered()
        if answer.approve and answered.endorses:
            self._endorse(answered, writes, records, now)
        if found.kind is ApprovalKind.MISSION:
            follows = self._follows(answered, now)
        await self._state.change([*writes, *follows.writes], [*records, *follows.records])
        if follows.then is not None:
            follows.then()
        if found.kind is ApprovalKind.SUSPENSION:
            to_state = MissionState.ACTIVE if answer.approve else MissionState.TERMINATED
            await self._missions.apply(
                found.target,
                MissionChange(to=to_state, by=answer.by, why="answered by a person"),
            )
        if found.kind is ApprovalKind.AUTHORITY and answer.approve and found.target:
            await self._missions.apply(found.mission, self._widening(found, answer))
        return answered

    def _follows(self, answered: Approval, now: Instant) -> MissionAnswered:
        yes = answered.state is ApprovalState.APPROVED
        if yes and answered.confirmed_by is ConfirmedBy.PASSKEY and not self._own(answered):
            raise RefusedError(
                "not_yours", "Only the person it is for says yes to a mission.", f"Ask {answered.target}."
            )
        if self._missions_asked is None:
            raise ConflictError(
                "question_moved", "Nobody asks for this mission any more.", "The agent has to ask again."
            )
        return self._missions_asked.answered(answered, now)

    def _endorse(self, answered: Approval, writes: list[Write], records: list[RecordBody], now: Instant) -> None:
        """What the person endorsed, into the map of the mission, together with the answer."""
        mission, offer = self._state.missions.get(answered.mission), answered.offer
        if mission is None or mission.state in ENDED or offer is None:
            raise ConflictError("question_moved", "The mission has ended.", "The agent has to ask again.")
        given = replace(offer, state=EntryState.APPROVED, approved_by=answered.answered_by)
        others = tuple(one for one in mission.authority.endorsements if one.id != given.id)
        wider = replace(mission.authority, endorsements=(*others, given))
        changed = replace(mission, authority=wider, generation=mission.generation + 1, confirmed=now)
        writes.append(PutMission(changed, mission.generation))
        records.append(mission_record(changed, "source_endorsed", answered.answered_by, now, answered.id))

    def _own(self, answered: Approval) -> bool:
        """Whether the person it is for has answered, whichever of their names it was asked under."""
        asked = self._identities.person(answered.target)
        return answered.answered_by == (asked.id if asked is not None else answered.target)

    def _widening(self, found: Approval, answer: Answer) -> MissionChange:
        """The one tool the agent asked for, into the map of its mission."""
        mission, tool = self._state.missions[found.mission], self._state.tools.get(found.target)
        waiting = next((entry for entry in mission.authority.entries if entry.tool == found.target), None)
        if waiting is not None:
            return MissionChange(approve=(waiting.id,), by=answer.by, why=f"asked for by the agent: {found.id}")
        entry = AuthorityEntry(
            id=f"e-{found.id}",
            tool=found.target,
            why=f"asked for by the agent, granted by {answer.by}",
            pin=tool.pin if tool else "",
        )
        return MissionChange(add=(entry,), by=answer.by, why=f"asked for by the agent: {found.id}")

    async def wait(self, approval: str, timeout: Seconds) -> Approval:
        """See `Approvals.wait`."""
        changed = asyncio.Event()
        self._state.listeners.append(changed.set)
        try:
            async with asyncio.timeout(float(timeout)):
                while (found := self._known(approval)).state is ApprovalState.WAITING:
                    changed.clear()
                    await changed.wait()
                return found
        except TimeoutError:
            return self._known(approval)
        finally:
            self._state.listeners.remove(changed.set)

    def _known(self, approval: str) -> Approval:
        found = self._state.approvals.get(approval)
        if found is None:
            raise NotFoundError(
                "approval_unknown",
                f"There is no question {approval}.",
                "jittrust approve (without an id lists what waits)",
            )
        return found

    def _open(self, approval: str) -> Approval:
        found = self._known(approval)
        if found.state is not ApprovalState.WAITING or self._clock() >= found.expires:
            state = "expired" if found.state is ApprovalState.WAITING else str(found.state)
            raise ConflictError(
                "approval_closed", f"The question {approval} is {state}.", "The agent has to ask again."
            )
        return found

    async def _confirm(self, found: Approval, answer: Answer) -> None:
        match answer.confirmed_by:
            case ConfirmedBy.PIN:
                self._check_pin_serves(found)
                await asyncio.to_thread(self._pin.check, answer.pin)
            case ConfirmedBy.CLIENT if found.kind is ApprovalKind.CALL and found.risk <= self._rules.elicit_up_to * 100:
                return
            case _:
                raise self._too_weak(found)

    async def _proof(self, found: Approval, answer: Answer) -> ApprovalProof:
        if self._passkeys is None or (answer.approve and answer.confirmed_by is ConfirmedBy.SESSION):
            raise self._too_weak(found)
        return await self._passkeys.proof(found, answer)

    def _check_pin_serves(self, found: Approval) -> None:
        if self.passkey_required:
            raise RefusedError(
                "passkey_required",
                "People approve with their passkeys here: a PIN says yes to nothing any more.",
                f"Open the console: /console/approvals/{found.id}",
            )

    def _too_weak(self, found: Approval) -> RefusedError:
        return RefusedError(
            "confirmation_too_weak",
            "A confirmation in the agent's own client serves low risk only.",
            f"jittrust approve {found.id}",
        )

    def _check_caller(self, answer: Answer) -> None:
        if answer.caller is None:
            return
        lineage = {answer.caller.pid, *answer.caller.ancestors}
        if lineage & self._state.agent_pids():
            raise RefusedError(
                "agent_may_not_approve",
                "This process descends from an agent's process; an agent never answers its own questions.",
                "Run it in a terminal of your own.",
            )

    def _approve_definition(
        self, found: Approval, answer: Answer, writes: list[Write], records: list[RecordBody], now: Instant
    ) -> None:
        server, _, name = found.target.partition("/")
        pin, shown = self._state.pins.get((server, name)), self._state.shown_definitions.get((server, name))
        # What was shown is in memory only: after a restart the server has to show it again, or the wrong definition would be taken for it.
        if pin is None or shown is None or not pin.seen == found.digest == definition_hash(json.loads(shown)):
            raise ConflictError(
                "definition_moved",
                f"The definition of {found.target} has changed again since the question was asked, or was not shown since the broker started.",
                "Let the agent list the server's tools, then look at it again.",
            )
        approved = pin_approved(pin, shown, answer.by)
        writes.append(PutPin(approved))
        records.append(tool_record(approved, "approved", now))
