"""A slow and obvious model of the broker, run against the real one step by step.

The model is plain dicts. It knows nothing of intent: whether a call may go out is told by what it is (a read that the map covers, a deletion that
a person must approve). What it knows exactly is what is promised exactly: passes, gas, who is stopped, what is recorded.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.contract.stores import sqlite_store
from tests.model.world import SEED, SIGNER, World, allowing

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.core.approval import ApprovalKind, ApprovalState
from jittrust.core.errors import JitError
from jittrust.core.grant import passes
from jittrust.core.grant.grant import PassBinding, Shown, Strictness
from jittrust.core.grant.lanes import RotationRules
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.states import MissionState
from jittrust.core.response.ladder import LadderRules
from jittrust.core.rules import Rules
from jittrust.core.units import Instant, Seconds
from jittrust.ports.decision_point import Decision, Passage

T = TypeVar("T")
# Trust is another test's business: here nobody sinks so far that the ladder stops the session.
RULES = replace(Rules(), ladder=LadderRules(suspend_below=0.0, kill_below=0.0), rotation=RotationRules(hold=Seconds(0)))
WINDOW, SLACK, RESENDS = 10.0, 2.0, 3


@dataclass
class ModelLane:
    """One chain: the number of the newest pass, and for each old one when its successor was handed out."""

    live: int = 0
    handed: dict[int, float | None] = field(default_factory=dict)  # pass -> when it was given to the caller
    spent_by: dict[int, tuple[str, float]] = field(default_factory=dict)  # pass -> the body that spent it, and when
    resends: dict[int, int] = field(default_factory=dict)
    came_with: dict[int, str] = field(
        default_factory=dict
    )  # pass -> what gave it: an answer; else a challenge or the opening
    refused: set[int] = field(default_factory=set)  # passes whose call did not go out, as far as the broker remembers
    spent: int = -1
    follows: bool = False

    def use(self, seq: int) -> None:
        """Pass `seq` has bought something."""
        self.spent = seq
        self.follows = self.follows or self.came_with.get(seq) == "answer"

    def newer_known(self, seq: int, *, stock: bool) -> float | None:
        """When the holder of an old pass could know a newer one."""
        after = list(range(seq + 1, self.live + 1))
        if stock and not self.follows:
            after = [one for one in after if self.came_with.get(one) != "answer"] or after
        return self.handed[after[0]]


@dataclass
class ModelGrant:
    """One grant bound to a key."""

    strict: bool
    gas: int
    ends: float
    dead: bool = False
    most_lanes: int = 1
    lanes: dict[int, ModelLane] = field(default_factory=dict)


class BrokerMachine(RuleBasedStateMachine):
    """Everything a client, a thief, a person and a crash may do, in any order."""

    sqlite = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.ends = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        self.grants: dict[str, ModelGrant] = {}
        self.suspended = False
        self.ended = False
        self.out: list[tuple[Decision, str, int, int]] = []
        self.forwarded = 0

    def run(self, step: Awaitable[T]) -> T:
        async def stepping() -> T:
            return await step

        return self.loop.run_until_complete(stepping())

    def teardown(self) -> None:
        self.run(self.ends.aclose())
        self.loop.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        async def opened() -> World:
            if self.sqlite:
                store = await self.ends.enter_async_context(sqlite_store(Path(self.folder.name)))
                return await World(store, store, rules=RULES).open()
            memory = MemoryCommit(signer=SIGNER, origin="jittrust.test/world")
            return await World(memory, memory, rules=RULES).open()

        self.w = self.run(opened())
        self.run(self.w.join())
        self.mission = self.run(self.w.start(allowing("read_file"), minutes=480, lanes=3)).id
        self.open_grant(strict=True, gas=400, lanes=3)

    # ---- what people and clients do -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.living()) < 2 and len(self.grants) < 8)
    @rule(strict=st.booleans(), gas=st.integers(1, 60) | st.integers(200, 400), lanes=st.integers(1, 3))
    def open_grant(self, strict: bool, gas: int, lanes: int) -> None:  # noqa: FBT001
        kind = Strictness.STRICT if strict else Strictness.STOCK
        try:
            issued = self.run(self.w.grant(kind, gas=gas, lanes=lanes, mission=self.mission))
        except JitError:
            assert self.suspended or self.ended
            return
        assert not self.suspended
        assert not self.ended
        grant = issued.grant
        model = ModelGrant(strict, grant.gas_left, float(grant.expires), most_lanes=lanes)
        model.lanes[0] = ModelLane(handed={0: self.w.clock.now})
        self.grants[grant.id] = model

    @rule(seconds=st.sampled_from([0.5, 1.5, 2.5, 4.0, 9.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.w.clock.now += seconds

    @rule(data=st.data(), body=st.sampled_from("ab"), acts=st.booleans())
    def use_the_newest_pass(self, data: st.DataObject, body: str, acts: bool) -> None:  # noqa: FBT001
        grant, number, lane = self.pick(data)
        self.call(grant, number, lane.live, body, acts, late=0.0)

    @rule(data=st.data())
    def use_it_often(self, data: st.DataObject) -> None:
        grant, number, lane = self.pick(data)
        for body in "abca":
            self.call(grant, number, lane.live, body, acts=False, late=0.0)
            settled: bool = data.draw(st.booleans())
            if settled and self.out:
                self.settle_one(len(self.out) - 1)

    @rule(data=st.data(), body=st.sampled_from("ab"), approve=st.booleans())
    def ask_a_person(self, data: st.DataObject, body: str, approve: bool) -> None:  # noqa: FBT001
        grant, number, lane = self.pick(data)
        self.call(grant, number, lane.live, body, acts=True, late=0.0)
        waiting = [
            a
            for a in self.run(self.w.broker.driving.approvals.waiting())
            if a.kind is ApprovalKind.CALL and _row(a.text) == body
        ]
        for asked in waiting:
            self.run(self.w.yes(asked, approve=approve))
            before = self.forwarded
            self.call(grant, number, lane.live, body, acts=True, late=0.0)
            model = self.grants[grant]
            able = not (model.dead or self.suspended or self.ended) and self.w.clock.now < model.ends
            if not approve:
                assert self.forwarded == before
            elif able and self.w.broker.state.lanes[grant, number].open and model.gas > asked.price:
                assert self.forwarded == before + 1

    @rule(data=st.data(), times=st.integers(1, 5))
    def ask_for_the_last_answer_again(self, data: st.DataObject, times: int) -> None:
        grant, number, lane = self.pick(data)
        for _ in range(times):
            tool, _, body = lane.spent_by.get(lane.live - 1, ("", 0.0))[0].partition(" ")
            if tool:
                self.call(grant, number, lane.live - 1, body, acts=tool == "delete_record", late=0.0)

    @rule(data=st.data(), body=st.sampled_from("abc"), late=st.sampled_from([0.0, 0.0, 3.0, 30.0, -30.0]))
    def replay_an_old_pass(self, data: st.DataObject, body: str, late: float) -> None:
        grant, number, lane = self.pick(data)
        if lane.live:
            seq = lane.live - 1 if data.draw(st.booleans()) else data.draw(st.integers(0, lane.live - 1))
            self.call(grant, number, seq, body, acts=False, late=late)

    @rule(data=st.data(), shown=st.sampled_from([None, "garbage", "another grant", "not minted yet"]))
    def show_no_pass_of_this_grant(self, data: st.DataObject, shown: str | None) -> None:
        grant, _, lane = self.pick(data)
        first = self.grants[grant].lanes[0]
        number, target = 0, first
        presented = shown
        if shown == "another grant":
            presented = self.mint("g-other", 0, 0)
        elif shown == "not minted yet":
            number = next(n for n, one in self.grants[grant].lanes.items() if one is lane)
            target, presented = lane, self.mint(grant, number, lane.live + 1)
        decision = self.run(self.w.show(grant, presented, "read_file", {"path": "x"}))
        assert decision.passage is Passage.CHALLENGE
        self.challenged(decision, grant, number, target)

    @rule(data=st.data())
    def open_a_lane(self, data: st.DataObject) -> None:
        grant, number, lane = self.pick(data)
        model = self.grants[grant]
        shown = Shown(
            PassBinding.DPOP,
            grant,
            self.mint(grant, number, lane.live),
            Instant(self.w.clock.now),
            "j",
            "thumb".ljust(43, "_"),
        )
        try:
            opened, first, following = self.run(self.w.broker.driving.grants.open_lane(shown))
        except JitError:
            # Lanes that were unused may have been closed behind the model's back, so only the limits are known.
            assert model.dead or self.w.clock.now >= model.ends or len(model.lanes) >= model.most_lanes or number
            return
        assert not model.dead
        live = next(one.seq for one in self.w.broker.state.lanes.values() if (one.grant, one.number) == (grant, opened))
        assert first == self.mint(grant, opened, live)
        if opened in model.lanes:
            self.retire(model.lanes[opened], "")  # a lane that opens again goes on where it was
        known = model.lanes.setdefault(opened, ModelLane())
        assert live == known.live
        known.handed[live] = self.w.clock.now
        lane.use(lane.live)
        self.retire(lane, "")
        lane.handed[lane.live] = self.w.clock.now
        assert following == self.mint(grant, number, lane.live)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        self.settle_one(data.draw(st.integers(0, len(self.out) - 1)))

    def settle_one(self, at: int) -> None:
        decision, grant, number, seq = self.out.pop(at)
        learned = self.run(self.w.settle(decision, "a result"))
        lane = self.grants[grant].lanes[number]
        if lane.live == seq + 1:
            assert learned.next_pass == self.mint(grant, number, lane.live)
            lane.handed[lane.live] = self.w.clock.now if lane.handed.get(lane.live) is None else lane.handed[lane.live]
        else:
            assert learned.next_pass is None

    @rule(approve=st.booleans())
    def answer(self, approve: bool) -> None:  # noqa: FBT001
        for asked in self.run(self.w.broker.driving.approvals.waiting()):
            if asked.kind is ApprovalKind.SUSPENSION:
                self.run(self.w.yes(asked, approve=approve))
                self.suspended, self.ended = False, self.ended or not approve
                if not approve:
                    self.kill_all()
                return
            self.run(self.w.yes(asked, approve=approve))
            return

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 19)):
            return
        grant, _, _ = self.pick(data)
        self.run(self.w.broker.driving.grants.revoke(grant, "test", "ada"))
        self.grants[grant].dead = True

    @precondition(lambda self: not self.ended and not self.suspended)
    @rule(sure=st.integers(0, 9))
    def suspend(self, sure: int) -> None:
        if not sure:
            self.run(self.w.change(self.mission, to=MissionState.SUSPENDED))
            self.run(self.w.change(self.mission, to=MissionState.ACTIVE))

    @rule()
    def restart(self) -> None:
        self.run(self.w.open())
        self.run(self.w.join())
        # Calls that were out are in doubt now: nobody settles them, and nothing is given back.
        self.out.clear()
        for model in self.grants.values():
            for lane in model.lanes.values():
                lane.refused.clear()  # what became of a call is known only while the broker lives

    # ---- what must come of it ---------------------------------------------------------------------------------------------------------------

    def pick(self, data: st.DataObject) -> tuple[str, int, ModelLane]:
        among = self.living() if data.draw(st.integers(0, 7)) else []
        grant = data.draw(st.sampled_from(among or sorted(self.grants)))
        number = data.draw(st.sampled_from(sorted(self.grants[grant].lanes)))
        return grant, number, self.grants[grant].lanes[number]

    def living(self) -> list[str]:
        return [name for name, one in self.grants.items() if not one.dead and self.w.clock.now < one.ends]

    def mint(self, grant: str, lane: int, seq: int) -> str:
        return passes.mint(SEED, self.w.broker.state.pass_generation, grant, lane, seq)

    def retire(self, lane: ModelLane, body: str) -> None:
        lane.spent_by[lane.live] = (body, self.w.clock.now)
        if lane.handed.get(lane.live) is None:
            lane.handed[lane.live] = self.w.clock.now  # nobody could know anything newer before
        lane.live += 1
        lane.handed[lane.live] = None
        lane.came_with[lane.live] = "answer" if body else ""

    def challenged(self, decision: Decision, grant: str, number: int, lane: ModelLane) -> None:
        self.retire(lane, "")
        lane.handed[lane.live] = self.w.clock.now
        assert decision.next_pass == self.mint(grant, number, lane.live)

    def kill_all(self) -> None:
        for model in self.grants.values():
            model.dead = True

    def call(self, grant: str, number: int, seq: int, body: str, acts: bool, late: float) -> None:  # noqa: FBT001
        model, now = self.grants[grant], self.w.clock.now
        lane = model.lanes[number]
        stored = self.w.broker.state.lanes[grant, number]
        tool, arguments = ("delete_record", {"id": body}) if acts else ("read_file", {"path": body})
        key = f"{tool} {body}"
        gas = self.w.broker.state.grants[grant].gas_left
        decision = self.run(self.w.show(grant, self.mint(grant, number, seq), tool, arguments, iat=now + late))
        if seq == lane.live:
            if not stored.open:
                assert decision.passage in (Passage.CHALLENGE, Passage.BUSY)
                if decision.passage is Passage.CHALLENGE:
                    self.challenged(decision, grant, number, lane)
                return
            self.fresh(decision, grant, number, lane, key, acts=acts)
        else:
            assert decision.passage is not Passage.FORWARD  # I1
            assert decision.gas_left == gas
            self.old(decision, grant, number, seq, key, iat=now + late)

    def fresh(self, decision: Decision, grant: str, number: int, lane: ModelLane, key: str, *, acts: bool) -> None:
        model, seq = self.grants[grant], lane.live
        stopped = model.dead or self.suspended or self.ended or self.w.clock.now >= model.ends
        goes_out = decision.passage is Passage.FORWARD
        if stopped:
            assert decision.passage is Passage.REFUSE  # I6
        elif goes_out and acts:
            approval = [a for a in self.w.broker.state.approvals.values() if key.endswith(f" {_row(a.text)}")]
            assert any(a.state is ApprovalState.USED for a in approval)
        elif not acts and not goes_out:
            assert "gas_exhausted" in decision.verdict.codes
        lane.use(seq)
        self.retire(lane, key)
        if not goes_out:
            lane.refused.add(seq)
        paid = int(decision.verdict.price) if goes_out else min(int(decision.verdict.price), model.gas)
        model.gas -= paid
        assert decision.gas_left == model.gas >= 0  # I2
        assert decision.next_pass == self.mint(grant, number, lane.live)
        if goes_out:
            self.forwarded += 1
            self.out.append((decision, grant, number, seq))
        else:
            lane.handed[lane.live] = self.w.clock.now

    def old(self, decision: Decision, grant: str, number: int, seq: int, key: str, iat: float) -> None:
        model, now = self.grants[grant], self.w.clock.now
        lane = model.lanes[number]
        body, at = lane.spent_by[seq]
        stock = not model.strict
        handed = lane.handed[seq + 1] if seq == lane.live - 1 else lane.newer_known(seq, stock=stock)
        iat = min(iat, now)
        if seq == lane.live - 1 and body == key and now - at <= WINDOW and lane.resends.get(seq, 0) < RESENDS:
            if seq in lane.refused:
                assert decision.passage in (Passage.CHALLENGE, Passage.BUSY)
                self.after_race(decision, grant, number, lane)
                return
            assert decision.passage is Passage.RESEND
            assert decision.next_pass == self.mint(grant, number, lane.live)
            lane.resends[seq] = lane.resends.get(seq, 0) + 1
            lane.handed[lane.live] = now
        elif (
            (stock and (seq > lane.spent or (seq == lane.spent and not lane.follows)))
            or (seq == lane.live - 1 and handed is None)
            or (handed is not None and iat <= handed + SLACK)
        ):
            assert decision.passage in (Passage.CHALLENGE, Passage.BUSY)
            self.after_race(decision, grant, number, lane)
        else:
            assert decision.passage is Passage.REFUSE
            self.reused(model)

    def after_race(self, decision: Decision, grant: str, number: int, lane: ModelLane) -> None:
        if decision.passage is Passage.CHALLENGE:
            self.challenged(decision, grant, number, lane)

    def reused(self, model: ModelGrant) -> None:
        if model.strict:
            model.dead = True
        elif not self.ended:
            self.suspended = True

    @invariant()
    def the_broker_is_what_the_model_says(self) -> None:
        if not hasattr(self, "w"):
            return
        state = self.w.broker.state
        for name, model in self.grants.items():
            grant = state.grants[name]
            assert grant.gas_left == model.gas
            assert (grant.state is GrantState.ACTIVE) != model.dead
            for number, lane in model.lanes.items():
                assert state.lanes[name, number].seq == lane.live  # I10: no restart puts a chain back
        expected = (
            MissionState.TERMINATED if self.ended else MissionState.SUSPENDED if self.suspended else MissionState.ACTIVE
        )
        assert state.missions[self.mission].state is expected

    @invariant()
    def every_call_that_went_out_is_recorded_once_with_its_own_pass(self) -> None:
        if not hasattr(self, "w"):
            return
        uses = self.run(_uses(self.w))
        assert len(uses) == self.forwarded  # I4
        spent = [(u["grant"]["id"], u["grant"]["lane"], u["grant"]["seq"]) for u in uses]  # type: ignore[index]
        assert len(set(spent)) == len(spent)  # I1


def _row(text: str) -> str:
    return text.rpartition('"id": "')[2][:1]


async def _uses(w: World) -> list[dict[str, object]]:
    import json

    found: list[dict[str, object]] = []
    at = 0
    while page := await w.ledger.entries(at, 1000):
        found += [json.loads(entry) for entry in page]
        at += len(page)
    return [one for one in found if one["kind"] == "use"]


class SqliteBrokerMachine(BrokerMachine):
    """The same on the real store."""

    sqlite = True


TestBrokerInMemory = BrokerMachine.TestCase
TestBrokerInMemory.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBrokerOnSqlite = SqliteBrokerMachine.TestCase
TestBrokerOnSqlite.settings = settings(
    max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
