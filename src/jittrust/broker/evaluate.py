"""Answers one access question: gather → decide → commit. The only place where a call is let out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jittrust.broker.baselines import BaselineIndex
from jittrust.broker.gather import Gather, agent_of
from jittrust.broker.grants import GrantBook
from jittrust.broker.judging import JudgeDesk
from jittrust.broker.learnable import learnable
from jittrust.broker.leases import LeaseBook
from jittrust.broker.promotions import enforced
from jittrust.broker.record import (
    approval_record,
    grant_record,
    intent_link,
    mission_record,
    outcome_record,
    pass_record,
    use_record,
)
from jittrust.broker.state import KeptAnswer, OpenCall, State, gas_of
from jittrust.broker.texts import TextWatch
from jittrust.broker.told import in_a_word, policy_link
from jittrust.broker.turns import LaneTurns
from jittrust.core.approval import Approval, ApprovalKind, ApprovalState
from jittrust.core.authority.endorsement import ReadSource, amount_of, offered, responsible, source_of, spent, warning
from jittrust.core.authority.map import Endorsement, EntryState
from jittrust.core.decide import Facts, Judgement, decide
from jittrust.core.errors import ConflictError, GasExhaustedError, NotFoundError, PassSupersededError, RefusedError
from jittrust.core.grant import lanes, passes
from jittrust.core.grant.grant import Grant, Lane, PassBinding, PassStanding, Presentation, Shown, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.intent.drift import TrailStep
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.flow import after_result
from jittrust.core.intent.judge import JudgeSaid
from jittrust.core.intent.note import IntentNote, note_of
from jittrust.core.intent.provenance import steered
from jittrust.core.intent.reading import ActionReading
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MISSION_MOVES, MissionState
from jittrust.core.model import Evaluation, Ruling, Verdict
from jittrust.core.response.ladder import RESPONSE_IN_FORCE
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.rules import Rules
from jittrust.core.states import move
from jittrust.core.units import Instant, Seconds
from jittrust.ports.commit import (
    AddHistory,
    MoveGrant,
    PutApproval,
    PutLane,
    PutMission,
    PutStanding,
    RecordBody,
    SpendPass,
    Write,
)
from jittrust.ports.decision_point import Decision, Learned, Lease, Outcome, Passage
from jittrust.ports.judge import Judge

_WORD = re.compile(r"[\w.-]+")
# Answers larger than this are not kept for a re-send; the caller is told that the call is in doubt.
ANSWER_KEPT = 1024 * 1024
# Most calls of one mission that wait for a person at once.
QUESTIONS_MOST = 32
# A gateway-kept chain that lost a race inside this process is tried again this often.
_TRIES = 3
# What opens a stream: a re-send of it opens the stream once more.
STREAM = "stream/open"
# Messages that are no acts of the agent.
_NO_ACTS = frozenset({"protocol", "client"})
_TELLS_A_PASS = frozenset({PassStanding.CHALLENGE, PassStanding.LOST_RACE})


@dataclass(slots=True)
class Effects:
    """What one evaluation changes."""

    writes: list[Write]
    records: list[RecordBody]


class Evaluations:
    """The decision point."""

    def __init__(
        self,
        state: State,
        gather: Gather,
        grants: GrantBook,
        rules: Rules,
        pass_key: bytes,
        clock: Callable[[], Instant],
        new_id: Callable[[str], str],
        *,
        observe: bool = False,
        judge: Judge | None = None,
        note_key: bytes = b"",
        texts: TextWatch | None = None,
    ) -> None:
        """Wire it up; nothing is read or written yet.

        `observe`: nothing is stopped anywhere (an operator's explicit choice). `judge`: who is asked about calls that stay grey; None = nobody.
        `note_key`: secret for the digests in notes to adjacent agents; empty = no notes are written. `texts`: reads what comes back; None = at once.
        """
        self._observe = observe
        self._state = state
        self._gather = gather
        self._grants = grants
        self._rules = rules
        self._pass_key = pass_key
        self._note_key = note_key
        self._clock = clock
        self._new_id = new_id
        self._turns = LaneTurns(state, rules.rotation, clock)
        self._leases = LeaseBook(state, clock)
        self._texts = texts or TextWatch(state)
        self._judge = JudgeDesk(judge, rules.judge, clock) if judge is not None else None
        self._baselines = BaselineIndex.of(state)

    async def evaluate(self, ask: Evaluation, shown: Shown) -> Decision:
        """See `DecisionPoint.evaluate`."""
        for attempt in range(_TRIES):
            try:
                return await self._evaluate(ask, shown)
            except (PassSupersededError, ConflictError, GasExhaustedError):
                # Memory was behind the store and has been read again. Another try judges by what is true now; a key-bound caller whose pass
                # was taken meanwhile gets a challenge from that.
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError  # unreachable: the loop returns or raises

    async def lease(self, evaluation: str, timeout: Seconds) -> Lease:
        """See `DecisionPoint.lease`."""
        return await self._leases.lease(evaluation, timeout)

    async def settle(self, evaluation: str, outcome: Outcome) -> Learned:
        """See `DecisionPoint.settle`."""
        call = self._state.calls.pop(evaluation, None)
        if call is None:
            raise NotFoundError("evaluation_unknown", f"{evaluation} was never let out, or is settled already")
        if call.reading is not None:
            # First, whatever the store does: what came back is untrusted from now on.
            call.result = self.read_result(
                call.mission, call.ask.resource.id, call.reading, outcome, call.source, steered=call.steered
            )
            call.reading = None
            await self._texts.answered(call.mission, call.result)
        try:
            for attempt in range(_TRIES):
                try:
                    return await self._settle(evaluation, call, outcome)
                except (PassSupersededError, ConflictError):
                    if attempt == _TRIES - 1:
                        raise
        except BaseException:
            # Not recorded, so not settled: it may be reported again.
            self._state.calls[evaluation] = call
            raise
        raise AssertionError  # unreachable: the loop returns or raises

    async def _settle(self, evaluation: str, call: OpenCall, outcome: Outcome) -> Learned:
        now = self._clock()
        found = self._texts.found_in(call.mission, call.result)
        records = [outcome_record(evaluation, call.mission, call.ask.resource.id, outcome, now, found)]
        writes: list[Write] = []
        next_pass = None
        if call.keyed:
            kept = self._state.answers.get((call.grant, call.lane, call.seq))
            if kept is not None and kept.evaluation == evaluation:
                kept.done = True
                kept.answer = (
                    outcome.answer if outcome.answer is not None and len(outcome.answer) <= ANSWER_KEPT else None
                )
                self._state.bound_answers()
            lane = self._state.lanes.get((call.grant, call.lane))
            if lane is not None and lanes.deliverable(lane, call.seq + 1):
                next_pass = self._pass(call.grant, call.lane, lane.seq)
                writes.append(PutLane(lanes.delivered(lane, now), lane.seq))
        await self._state.change(writes, records)
        standing = self._state.standings.get(call.mission)
        level = standing.state if standing else SessionState.NORMAL
        return Learned(RESPONSE_IN_FORCE[level], next_pass=next_pass)

    def read_result(
        self,
        mission: str,
        resource: str,
        reading: ActionReading,
        outcome: Outcome,
        source: ReadSource | None = None,
        *,
        steered: bool = False,
    ) -> str:
        """Index what came back: everything in it is untrusted until a person endorses its source (`source`: which call brought it).

        `steered`: a stranger's text said where the call goes, so that nothing in its result is a fact. Returns what the result is called.
        """
        memory = self._state.memory(mission)
        memory.results += 1
        result = f"{resource}#{memory.results}"
        memory.brought(result, None if reading.consequential else source)
        memory.provenance.add_result(
            result, resource, outcome.structured, outcome.texts, documents=reading.documents or steered
        )
        memory.flow = after_result(memory.flow, result, reading, strangers=steered)
        self._texts.read(mission, result, outcome.texts, outcome.structured)
        return result

    # ---- one evaluation ---------------------------------------------------------------------------------------------------------------

    async def _evaluate(self, ask: Evaluation, shown: Shown, said: JudgeSaid | None = None) -> Decision:
        now = self._clock()
        backing = self._grants.behind(ask, shown, now)
        late: tuple[TextFinding, ...] = ()
        self._texts.hear(backing.grant)
        if ask.resource.type not in _NO_ACTS and self._texts.busy(backing.grant.mission):
            # No call overtakes the reading of what its agent was given. The world moves on meanwhile: what stands behind the call is looked up anew.
            late = await self._texts.caught_up(backing.grant.mission)
            backing = self._grants.behind(ask, shown, now)
        grant, lane = backing.grant, backing.lane
        step = Effects(list(backing.writes), list(backing.records))
        if shown.binding is PassBinding.GATEWAY:
            presentation = lanes.judge(lane, None, shown, ask.digest, now, None, self._rules.rotation)
        else:
            lane, presentation = await self._present(ask, shown, grant, now)
            if grant.strictness is Strictness.STOCK and lane is not None and presentation.standing in _TELLS_A_PASS:
                return await self._in_turn(ask, shown, grant, lane, presentation, now)
            # Reading the delivery time may have taken a turn of the loop: what is live is read again, in one go with the decision.
            grant = self._state.grants[grant.id]
            if presentation.standing is PassStanding.RESEND and lane is not None:
                return await self._resend(ask, shown, grant, lane, presentation, now)
            if presentation.standing is PassStanding.REUSE:
                return await self._reuse(ask, shown, grant, presentation, now)
            if presentation.standing is not PassStanding.FRESH:
                return await self._challenge(ask, shown, grant, lane, presentation, now)
        if lane is None:
            raise RefusedError("invalid_token", "The grant has no lane.")
        mission = self._state.missions.get(grant.mission)
        joined = self._state.attachments.get(shown.attachment)
        only_observes = self._observe or (joined is not None and joined.said.observe)
        if only_observes and enforced(self._state, ask.subject.id, grant.agent):
            only_observes = False
        facts = self._gather.facts(
            ask,
            grant,
            mission,
            presentation,
            now,
            observed=only_observes,
            narrowing=shown.narrowing,
            said=said,
            late=late,
        )
        judgement = decide(ask, facts, self._baselines.rules(self._rules), now)
        if self._judge is not None and said is None:
            # Nothing is held or written yet. The world moves on while the judge thinks, so whatever it says the call is judged from the start again.
            said = await self._judge.said_of(ask, facts, judgement.verdict)
            if said is not None:
                return await self._evaluate(ask, shown, said)
        return await self._commit(ask, shown, grant, lane, facts, judgement, step, now, said)

    async def _in_turn(
        self, ask: Evaluation, shown: Shown, grant: Grant, lane: Lane, presentation: Presentation, now: Instant
    ) -> Decision:
        """Tell a stock client a new pass, once the one told before it cannot be overtaken any more."""
        async with self._turns.turn(grant.id, lane.number) as came:
            # Judged by when the request came: waiting makes nobody late.
            at, presentation = await self._present(ask, shown, grant, now)
            grant = self._state.grants[grant.id]
            if presentation.standing is PassStanding.REUSE:
                return await self._reuse(ask, shown, grant, presentation, now)
            if came:
                return await self._challenge(ask, shown, grant, at, presentation, self._clock())
            verdict = self._judged(ask, grant, self._state.missions.get(grant.mission), presentation, now).verdict
            return self._not_live(ask, grant, verdict, Passage.BUSY, None)

    async def _present(
        self, ask: Evaluation, shown: Shown, grant: Grant, now: Instant
    ) -> tuple[Lane | None, Presentation]:
        read = self._read(shown.presented)
        number = lanes.lane_asked(read, shown)
        lane = self._state.lanes.get((grant.id, number))
        newer_at = None
        stock = grant.strictness is Strictness.STOCK
        if (
            lane is not None
            and read is not None
            and read.seq < lane.seq - 1
            and not (stock and lanes.proves_nothing(lane, read.seq))
        ):
            retired = await self._state.retired(grant.id, number, read.seq - 1, read.seq + lanes.LOOK)
            lane = self._state.lanes.get((grant.id, number), lane)
            answered = self._turns.answered(grant.id, number, read.seq)
            newer_at = lanes.known_newer(lane, read.seq, retired, grant.strictness, answered)
        return lane, lanes.judge(lane, read, shown, ask.digest, now, newer_at, self._rules.rotation, grant.strictness)

    async def _commit(
        self,
        ask: Evaluation,
        shown: Shown,
        grant: Grant,
        lane: Lane,
        facts: Facts,
        judgement: Judgement,
        step: Effects,
        now: Instant,
        said: JudgeSaid | None,
    ) -> Decision:
        verdict, mission = judgement.verdict, facts.mission
        allowed = verdict.ruling in (Ruling.ALLOW, Ruling.MODIFY)
        observed = not allowed and facts.observed and not judgement.hard
        goes_out = allowed or observed
        keyed = shown.binding is PassBinding.DPOP
        # Recorded is what is debited: a refusal, and a call that is only observed, takes what is left at most.
        price = min(verdict.price, grant.gas_left) if observed or not goes_out else verdict.price
        step.writes.append(
            SpendPass(
                grant.id,
                lane.number,
                lane.seq,
                ask.digest,
                ask.id,
                price,
                now,
                goes_out,
                judgement.own_entry,
                counts=ask.resource.type not in _NO_ACTS,
            )
        )
        after = lanes.successor(lane, ask.digest, ask.id, now)
        began = self._read(shown.began)
        carries_on = began is not None and (began.grant, began.lane) == (grant.id, lane.number)
        if began is not None and carries_on:
            after = lanes.carried_on(lane, after, began.seq)
        if keyed and not goes_out:
            # The refusal itself carries the next pass, so it counts as delivered with this very step.
            after = lanes.delivered(after, now)
            self._state.keep_answer((grant.id, lane.number, lane.seq), KeptAnswer(ask.id, done=True, refused=True))
        if keyed and (carries_on or not goes_out):
            step.writes.append(PutLane(after, after.seq))
        approval: Approval | None = None
        if mission is not None:
            offer = self._offer(ask, grant, facts, now) if verdict.ruling is Ruling.STEP_UP and not goes_out else None
            approval = self._approvals(ask, facts, judgement, step, now, goes_out=goes_out, offer=offer)
            self._count_use(ask, mission, facts, judgement, step, goes_out=goes_out)
            if not facts.observed or mission.observe:
                # What one enforcement point only observes does not stop the others of the same mission.
                step.writes.append(PutStanding(mission.id, judgement.standing))
                self._follow_ladder(mission, grant, judgement.standing, judgement.verdict, step, now)
        step.records.append(
            use_record(
                ask,
                verdict if price == verdict.price else replace(verdict, price=price),
                mission,
                grant,
                lane,
                shown,
                facts.origins,
                intent={**intent_link(ask, facts, judgement, said), **learnable(facts)},
                policy=policy_link(ask, facts, judgement, self._rules),
                forwarded=goes_out,
                observed=facts.observed,
                at=now,
            )
        )
        # A person's answer is no second question, and what was refused for its grant or pass says nothing of what is usual.
        if facts.tool is not None and not judgement.hard and "approved_by_person" not in verdict.codes:
            alarm = self._baselines.watch(grant.mission, now, asked=not allowed)
            step.records.extend(() if alarm is None else (alarm,))
        if goes_out and mission is not None:
            self._remember(ask, grant, lane, mission, facts, judgement, step, keyed=keyed)
        try:
            committed = await self._state.change(step.writes, step.records)
        except BaseException:
            self._state.calls.pop(ask.id, None)
            raise
        next_pass = self._pass(grant.id, lane.number, lane.seq + 1) if keyed else None
        passage = (
            Passage.FORWARD
            if goes_out
            else Passage.ASK
            if verdict.ruling is Ruling.STEP_UP and approval
            else Passage.REFUSE
        )
        return Decision(
            passage=passage,
            verdict=verdict,
            evaluation=ask.id,
            grant=grant.id,
            next_pass=next_pass,
            gas_left=committed.gas_left if committed.gas_left is not None else gas_of(self._state.grants.get(grant.id)),
            approval=approval if not goes_out else None,
            observed=observed,
            mission=mission.id if mission else "",
            generation=mission.generation if mission else 0,
            note=self._note(ask, grant, facts, verdict) if goes_out and ask.resource.type == "tool" else None,
        )

    def _note(self, ask: Evaluation, grant: Grant, facts: Facts, verdict: Verdict) -> IntentNote | None:
        """What agents next to this one may be told of the call: no words, no names, and only where somebody stated a goal."""
        mission, before = facts.mission, ask.note
        if mission is None or not mission.goal.stated or not self._note_key:
            return None
        far = [float(one) for one in (verdict.drift, facts.cascade.value if facts.cascade else None) if one is not None]
        hop = len(grant.path) + (0 if before is None else before.hop + 1)
        text, name = mission.goal.text, mission.id
        return note_of(self._note_key, name, text, grant.id, verdict.intent, hop, max(far, default=None))

    def _remember(
        self,
        ask: Evaluation,
        grant: Grant,
        lane: Lane,
        mission: Mission,
        facts: Facts,
        judgement: Judgement,
        step: Effects,
        *,
        keyed: bool,
    ) -> None:
        reading, memory = judgement.reading, self._state.memory(mission.id)
        if ask.resource.type == "client":
            # What a server asks of the client goes to the agent's model or to the person in front of it.
            memory.results += 1
            self._texts.read(mission.id, f"{ask.resource.id}#{memory.results}", (), ask.arguments)
        if reading is not None and facts.tool is not None:
            memory.provenance.add_call(ask.arguments, facts.origins or (), consequential=reading.consequential)
            step.writes.append(
                AddHistory(
                    agent_of(ask, grant), mission.id, facts.tool.id, reading.intent, memory.last_tool, facts.keys
                )
            )
            memory.trail.append(judgement.step or TrailStep(reading.intent, None))
            memory.last_tool = facts.tool.id
            memory.targets.update(facts.keys)
        if keyed:
            self._state.keep_answer((grant.id, lane.number, lane.seq), KeptAnswer(ask.id))
        bare = replace(ask, arguments={}, text="")  # judged already, and as large as the caller likes
        self._state.open_call(
            OpenCall(
                bare,
                mission.id,
                grant.id,
                lane.number,
                lane.seq,
                facts.server,
                reading,
                keyed,
                observed=facts.observed,
                steered=steered(facts.origins or ()),
                source=source_of(facts.tool.id, ask.arguments, facts.roles or {}) if facts.tool is not None else None,
            )
        )

    def _count_use(
        self, ask: Evaluation, mission: Mission, facts: Facts, judgement: Judgement, step: Effects, *, goes_out: bool
    ) -> None:
        entry, endorsed, authority = judgement.entry, facts.endorsement, mission.authority
        if not goes_out:
            return
        if entry is not None and entry.uses_left is not None:
            used = tuple(
                replace(e, uses_left=max(0, (e.uses_left or 0) - 1)) if e.id == entry.id else e
                for e in authority.entries
            )
            authority = replace(authority, entries=used)
        if endorsed is not None and endorsed.amount_most is not None:
            amount = amount_of(ask.arguments, facts.roles or {}, judgement.verdict.intent)
            left = tuple(spent(one, amount) if one.id == endorsed.id else one for one in authority.endorsements)
            authority = replace(authority, endorsements=left)
        if authority != mission.authority:
            # The generation stays: nobody has to look at the map again because a use was counted.
            step.writes.append(PutMission(replace(mission, authority=authority), mission.generation))

    def _offer(self, ask: Evaluation, grant: Grant, facts: Facts, now: Instant) -> Endorsement | None:
        """The endorsement that a person may give instead of answering call by call; None unless it alone would let this very call pass."""
        mission, reading, roles = facts.mission, facts.reading, facts.roles
        if mission is None or reading is None or roles is None or facts.origins is None or facts.attribution is None:
            return None
        if grant.authority is not None or facts.presentation is None:
            # A grant that was carved out of another's never widens; whoever carves it hands on what its parent has.
            return None
        memory = self._state.memory(mission.id)
        result = responsible(facts.origins, facts.attribution)
        source = memory.sources.get(result)
        if source is None:
            return None
        offer = offered(
            mission.goal,
            self._state.tools.values(),
            mission.authority.endorsements,
            result,
            source,
            facts.findings,
            reading,
            ask.arguments,
            roles,
        )
        if offer is None:
            return None
        given = replace(offer, state=EntryState.APPROVED, approved_by=mission.person)
        under = self._gather.facts(
            ask,
            grant,
            mission,
            facts.presentation,
            now,
            observed=facts.observed,
            endorsing=(given,),
            late=facts.findings,
        )
        return (
            offer
            if decide(ask, under, self._baselines.rules(self._rules), now).verdict.ruling is Ruling.ALLOW
            else None
        )

    def _approvals(
        self,
        ask: Evaluation,
        facts: Facts,
        judgement: Judgement,
        step: Effects,
        now: Instant,
        *,
        goes_out: bool,
        offer: Endorsement | None = None,
    ) -> Approval | None:
        verdict = judgement.verdict
        if (
            goes_out
            and facts.approval is not None
            and ("approved_by_person" in verdict.codes or facts.approval.endorses)
        ):
            used = replace(facts.approval, state=ApprovalState.USED)
            step.writes.append(PutApproval(used))
            step.records.append(approval_record(used, now))
            return used
        if facts.mission is not None and goes_out and is_access_request(ask):
            return self._ask_for_access(ask, facts.mission, facts.server, step, now)
        if goes_out or verdict.ruling is not Ruling.STEP_UP or facts.mission is None:
            return None
        waiting = self._gather.waiting(facts.mission.id, ask.digest, now)
        if waiting is not None:
            return waiting
        if self._state.waiting_of(facts.mission.id, now) >= QUESTIONS_MOST:
            # Refused with the same word: more questions would only teach the person to wave them through.
            return None
        level = verdict.factors.risk.value if verdict.factors else None
        why = " ".join(
            fact for fact in (in_a_word(ask, facts, judgement.entry), *(r.fact for r in verdict.reasons)) if fact
        )
        if offer is not None and offer.warned:
            why = f"{warning(facts.origins or (), facts.attribution, facts.findings)} {why}"
        asked = Approval(
            id=self._new_id("a"),
            kind=ApprovalKind.CALL,
            mission=facts.mission.id,
            subject=ask.subject.id,
            target=ask.resource.id,
            digest=ask.digest,
            text=f"{ask.action.name} {ask.resource.id} {ask.text}".strip(),
            why=why[:2000],
            risk=100 if level is None else round(level * 100),
            asked=now,
            expires=Instant(now + self._rules.grants.approval_seconds),
            price=judgement.cost,
            offer=offer,
        )
        step.writes.append(PutApproval(asked))
        step.records.append(approval_record(asked, now))
        return asked

    def _ask_for_access(
        self, ask: Evaluation, mission: Mission, server: str, step: Effects, now: Instant
    ) -> Approval | None:
        """Put what the agent asks for before a person; by itself it changes nothing."""
        for open_question in self._state.open_approvals():
            same = (open_question.kind, open_question.mission, open_question.digest) == (
                ApprovalKind.AUTHORITY,
                mission.id,
                ask.digest,
            )
            if same and open_question.state is ApprovalState.WAITING and now < open_question.expires:
                return open_question
        if self._state.waiting_of(mission.id, now) >= QUESTIONS_MOST:
            return None
        words = set(_WORD.findall(str(ask.arguments.get("what", ""))))
        named = sorted(name for known, name in self._state.pins if known == server and name in words)
        target = f"{server}/{named[0]}" if len(named) == 1 else ""
        yes = (
            f"Yes lets this mission use {target}." if target else "Yes changes nothing by itself: it names no one tool."
        )
        asked = Approval(
            id=self._new_id("a"),
            kind=ApprovalKind.AUTHORITY,
            mission=mission.id,
            subject=ask.subject.id,
            target=target,
            digest=ask.digest,
            text=f"The agent asks for access: {ask.text} {yes}",
            why=f"It is not part of the mission: {mission.goal.text[:300]}",
            risk=100,
            asked=now,
            expires=mission.expires,
        )
        step.writes.append(PutApproval(asked))
        step.records.append(approval_record(asked, now))
        return asked

    def _follow_ladder(
        self,
        mission: Mission,
        grant: Grant,
        standing: Standing,
        verdict: Verdict,
        step: Effects,
        now: Instant,
        *,
        gone: Sequence[Grant] = (),
    ) -> None:
        known = self._state.standings.get(mission.id)
        before = known.state if known else SessionState.NORMAL
        reached = standing.state
        if reached is before or mission.state is not MissionState.ACTIVE or mission.observe:
            return
        why = "; ".join(reason.fact for reason in verdict.reasons)[:500]
        if reached is SessionState.SUSPENDED:
            self.suspend(mission, grant, why, step.writes, step.records, now)
        elif reached is SessionState.KILLED:
            ended = replace(
                mission,
                state=move(MISSION_MOVES, mission.state, MissionState.TERMINATED),
                why_ended=why,
                generation=mission.generation + 1,
            )
            step.writes.append(PutMission(ended, mission.generation))
            step.records.append(mission_record(ended, "killed", "policy:response_ladder", now, why))
            living = {live.id: live for live in (*self._grants.live_of(mission.id), grant)}
            for live in living.values():
                if live.state in (GrantState.ACTIVE, GrantState.SUSPENDED) and live not in gone:
                    step.writes.append(MoveGrant(live.id, GrantState.REVOKED))
                    step.records.append(grant_record(live, "revoked", now, why, "policy:response_ladder"))

    def suspend(
        self, mission: Mission, grant: Grant, why: str, writes: list[Write], records: list[RecordBody], now: Instant
    ) -> Approval:
        """Suspend a mission and ask a person whether it may go on."""
        stopped = replace(
            mission, state=move(MISSION_MOVES, mission.state, MissionState.SUSPENDED), generation=mission.generation + 1
        )
        question = Approval(
            id=self._new_id("a"),
            kind=ApprovalKind.SUSPENSION,
            mission=mission.id,
            subject=grant.agent,
            target=mission.id,
            digest=mission.id,
            text=f"Resume the mission {mission.id}: {mission.goal.text[:300]}",
            why=why,
            risk=100,
            asked=now,
            expires=mission.expires,
        )
        writes.extend((PutMission(stopped, mission.generation), PutApproval(question)))
        records.extend(
            (mission_record(stopped, "suspended", "policy:response_ladder", now, why), approval_record(question, now))
        )
        return question

    # ---- passes that are not live -----------------------------------------------------------------------------------------------------

    async def _resend(
        self, ask: Evaluation, shown: Shown, grant: Grant, lane: Lane, presentation: Presentation, now: Instant
    ) -> Decision:
        kept = self._state.answers.get((grant.id, lane.number, presentation.seq))
        if kept is not None and kept.refused:
            # Nothing went out, so nothing is in doubt: the call is judged anew, with the newest pass.
            return await self._challenge(ask, shown, grant, lane, presentation, now)
        again = lanes.resent(lane, now)
        record = pass_record("resend", ask, shown, lane.number, presentation.seq, presentation.why, now)
        await self._state.change([PutLane(again, lane.seq)], [record])
        if ask.action.name == STREAM:
            self._leases.hold(ask.id, ask.subject.id, grant.mission, grant.id)
        mission = self._state.missions.get(grant.mission)
        return self._not_live(
            ask,
            grant,
            self._judged(ask, grant, mission, presentation, now).verdict,
            Passage.RESEND,
            self._pass(grant.id, lane.number, lane.seq),
            kept.answer if kept and kept.done else None,
        )

    async def _challenge(
        self, ask: Evaluation, shown: Shown, grant: Grant, lane: Lane | None, presentation: Presentation, now: Instant
    ) -> Decision:
        """Put a fresh pass in the place of the outstanding one: whoever asked for it is exposed at the other holder's next use."""
        target = lane if lane is not None else self._state.lanes.get((grant.id, 0))
        if target is None:
            raise RefusedError("invalid_token", "the grant has no lane")
        verdict = self._judged(ask, grant, self._state.missions.get(grant.mission), presentation, now).verdict
        what = "lost_race" if presentation.standing is PassStanding.LOST_RACE else "challenge"
        if target.open:
            fresh = lanes.challenge(target, now)
        elif lanes.may_open(grant, self._state.lanes.values(), now):
            # The lane itself goes on: another lane's pass would be retired under a caller that did nothing wrong.
            fresh = lanes.reopened(target, now)
        else:
            return self._not_live(ask, grant, verdict, Passage.BUSY, None)
        record = pass_record(what, ask, shown, target.number, presentation.seq, presentation.why, now)
        await self._state.change([PutLane(fresh, target.seq)], [record])
        if grant.strictness is Strictness.STOCK and not fresh.follows and 0 <= presentation.seq < target.seq:
            old = await self._state.retired(grant.id, target.number, presentation.seq, presentation.seq)
            if not any(one.bought for one in old):
                self._turns.saw(grant.id, target.number, presentation.seq, fresh.seq)
        return self._not_live(ask, grant, verdict, Passage.CHALLENGE, self._pass(grant.id, fresh.number, fresh.seq))

    async def _reuse(
        self, ask: Evaluation, shown: Shown, grant: Grant, presentation: Presentation, now: Instant
    ) -> Decision:
        """Two holders of one key: the family dies for strict clients; for stock ones the mission is suspended and a person is asked."""
        record = pass_record("reuse", ask, shown, presentation.lane, presentation.seq, presentation.why, now)
        step = Effects([], [record])
        mission = self._state.missions.get(grant.mission)
        judgement = self._judged(ask, grant, mission, presentation, now)
        strict = grant.strictness is Strictness.STRICT
        # Once: what is dead or stopped already does not sink further because the other holder goes on trying.
        struck = mission is not None and (
            grant.state in (GrantState.ACTIVE, GrantState.SUSPENDED) if strict else mission.state is MissionState.ACTIVE
        )
        if struck and mission is not None:
            standing = judgement.standing
            if strict:
                family = self._grants.live_of_family(grant)
                for member in family:
                    step.writes.append(MoveGrant(member.id, GrantState.REUSED))
                    step.records.append(grant_record(member, "reused", now, presentation.why, "policy:reuse"))
                self._follow_ladder(mission, grant, standing, judgement.verdict, step, now, gone=family)
            else:
                # However low trust has fallen: a stock client may be innocent, so a person decides.
                standing = replace(standing, state=SessionState.SUSPENDED, moved=now)
                self.suspend(mission, grant, f"{presentation.why} (grant {grant.id})", step.writes, step.records, now)
            step.writes.append(PutStanding(mission.id, standing))
        await self._state.change(step.writes, step.records)
        return self._not_live(ask, grant, judgement.verdict, Passage.REFUSE, None)

    def _judged(
        self, ask: Evaluation, grant: Grant, mission: Mission | None, presentation: Presentation, now: Instant
    ) -> Judgement:
        facts = self._gather.facts(ask, grant, mission, presentation, now)
        return decide(ask, facts, self._baselines.rules(self._rules), now)

    def _not_live(
        self,
        ask: Evaluation,
        grant: Grant,
        verdict: Verdict,
        passage: Passage,
        next_pass: str | None,
        answer: bytes | None = None,
    ) -> Decision:
        mission = self._state.missions.get(grant.mission)
        return Decision(
            passage=passage,
            verdict=verdict,
            evaluation=ask.id,
            grant=grant.id,
            next_pass=next_pass,
            gas_left=gas_of(self._state.grants.get(grant.id)),
            answer=answer,
            retry_after=1 if passage is Passage.BUSY else 0,
            mission=grant.mission,
            generation=mission.generation if mission else 0,
        )

    # ---- small things -----------------------------------------------------------------------------------------------------------------

    def _read(self, text: str | None) -> passes.PassId | None:
        return None if text is None else passes.read(self._pass_key, self._state.pass_generation, text)

    def _pass(self, grant: str, lane: int, seq: int) -> str:
        return passes.mint(self._pass_key, self._state.pass_generation, grant, lane, seq)


def is_access_request(ask: Evaluation) -> bool:
    """Whether the agent uses the tool that every enforcement point offers to ask a person for more."""
    return (
        ask.resource.type == "protocol"
        and ask.action.name == "tools/call"
        and ask.resource.id.endswith("/request_access")
    )
