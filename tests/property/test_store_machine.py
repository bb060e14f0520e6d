"""The stores against a slow and obvious model: whatever is asked in whatever order, all three say and hold the same."""

from __future__ import annotations

import asyncio
import copy
import shutil
import tempfile
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.contract.stores import (
    NOW,
    ORIGIN,
    SIGNER,
    approval,
    grant,
    lane,
    memory_store,
    mission,
    pin,
    record,
    sqlite_store,
    standing,
)

from jittrust.adapters.files.fence import FileFence
from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.core.approval import APPROVAL_MOVES, ApprovalState
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import Grant, Lane
from jittrust.core.grant.states import GRANT_MOVES, GrantState
from jittrust.core.ledger.record import check_record
from jittrust.core.ledger.verify import LedgerVerified, verify
from jittrust.core.mission.states import MissionState
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import (
    AddHistory,
    Change,
    Committed,
    MoveGrant,
    OpenGrant,
    PutApproval,
    PutLane,
    PutMission,
    PutPin,
    PutStanding,
    SpendPass,
    StoredState,
    Write,
)


class ModelRefusal(Exception):  # noqa: N818  it is an answer
    """The model says no, with this code."""


class Model:
    """What the port's words say, with nothing clever: everything is copied before each change and put back if it fails."""

    def __init__(self) -> None:
        self.missions: dict[str, Any] = {}
        self.grants: dict[str, Grant] = {}
        self.lanes: dict[tuple[str, int], Lane] = {}
        self.standings: dict[str, Any] = {}
        self.approvals: dict[str, Any] = {}
        self.pins: dict[tuple[str, str], Any] = {}
        self.calls: list[AddHistory] = []
        self.spent: list[tuple[str, int, int]] = []
        self.paid: dict[str, int] = {}
        self.records = 0

    def commit(self, change: Change) -> Committed:
        before = copy.deepcopy(self.__dict__)
        left: Gas | None = None
        try:
            for write in change.writes:
                paid = self.apply(write)
                left = left if paid is None else paid
        except ModelRefusal:
            self.__dict__ = before
            raise
        first = self.records
        self.records += len(change.records)
        return Committed(tuple(range(first, self.records)), left)

    def apply(self, write: Write) -> Gas | None:
        match write:
            case SpendPass():
                return self.spend(write)
            case PutMission():
                stored = self.missions.get(write.mission.id)
                if (stored.generation if stored else None) != write.after:
                    raise ModelRefusal("stale_generation")
                self.missions[write.mission.id] = write.mission
            case OpenGrant():
                new = write.grant
                if new.path:
                    self.all_active(new.path)
                    payer = self.grants[new.path[-1]]
                    if payer.path != new.path[:-1]:
                        raise ModelRefusal("not_active")
                    if payer.gas_left < new.gas_limit:
                        raise ModelRefusal("gas_exhausted")
                    uses = payer.uses_left
                    if uses is not None:
                        if new.uses_limit is None or new.uses_limit > uses:
                            raise ModelRefusal("uses_exhausted")
                        uses -= new.uses_limit
                    self.paid[payer.id] = self.paid.get(payer.id, 0) + new.gas_limit
                    self.grants[payer.id] = replace(payer, gas_left=Gas(payer.gas_left - new.gas_limit), uses_left=uses)
                    for entry, times in write.taken:
                        self.take(payer.id, entry, times)
                for old in self.grants.values():
                    if old.id == new.id or (new.request and (old.mission, old.request) == (new.mission, new.request)):
                        raise ModelRefusal("grant_exists")
                self.grants[new.id] = new
                self.lanes[new.id, 0] = write.lane
            case MoveGrant():
                if write.grant not in self.grants:
                    raise ModelRefusal("no_such_grant")
                if write.to not in GRANT_MOVES[self.grants[write.grant].state]:
                    raise ModelRefusal("illegal_move")
                self.grants[write.grant] = replace(self.grants[write.grant], state=write.to)
            case PutLane():
                self.put_lane(write)
            case PutStanding():
                self.standings[write.mission] = write.standing
            case PutApproval():
                old_state = self.approvals[write.approval.id].state if write.approval.id in self.approvals else None
                stays = old_state is write.approval.state and old_state in {
                    ApprovalState.WAITING,
                    ApprovalState.APPROVED,
                }
                if old_state is not None and not stays and write.approval.state not in APPROVAL_MOVES[old_state]:
                    raise ModelRefusal("illegal_move")
                self.approvals[write.approval.id] = write.approval
            case PutPin():
                self.pins[write.pin.server, write.pin.tool] = write.pin
            case AddHistory():
                self.calls.append(write)
        return None

    def all_active(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.grants or self.grants[name].state != "active":
                raise ModelRefusal("not_active")

    def count(self, name: str, entry: str) -> None:
        user = self.grants[name]
        if user.uses_left is not None:
            if user.uses_left == 0:
                raise ModelRefusal("uses_exhausted")
            user = replace(user, uses_left=user.uses_left - 1)
        self.grants[name] = user
        if entry:
            self.take(name, entry, 1)

    def take(self, name: str, entry: str, times: int) -> None:
        user = self.grants[name]
        own = list(user.authority.entries) if user.authority else []
        for place, one in enumerate(own):
            if one.id == entry and (one.uses_left is None or one.uses_left >= times):
                own[place] = replace(one, uses_left=None if one.uses_left is None else one.uses_left - times)
                self.grants[name] = replace(user, authority=AuthorityMap(tuple(own)))
                return
        raise ModelRefusal("uses_exhausted")

    def spend(self, write: SpendPass) -> Gas:
        live = self.lanes.get((write.grant, write.lane))
        if live is None or not live.open or live.seq != write.seq:
            raise ModelRefusal("pass_superseded")
        payer = self.grants[write.grant]
        under = self.missions.get(payer.mission)
        if write.goes_out:
            if under is None or under.state != "active":
                raise ModelRefusal("not_active")
            self.all_active((payer.id, *payer.path))
            if payer.gas_left < write.price:
                raise ModelRefusal("gas_exhausted")
            if write.counts:
                self.count(payer.id, write.entry)
            payer = self.grants[payer.id]
        price = min(write.price, payer.gas_left)
        self.spent.append((write.grant, write.lane, write.seq))
        self.paid[write.grant] = self.paid.get(write.grant, 0) + price
        self.grants[write.grant] = replace(payer, gas_left=Gas(payer.gas_left - price))
        self.lanes[write.grant, write.lane] = Lane(
            write.grant,
            write.lane,
            write.seq + 1,
            write.at,
            None,
            write.digest,
            write.use,
            write.at,
            0,
            open=True,
            spent=write.seq,
            follows=live.follows or live.digest != "",
        )
        return self.grants[write.grant].gas_left

    def put_lane(self, write: PutLane) -> None:
        place = (write.lane.grant, write.lane.number)
        stored = self.lanes.get(place)
        if (stored.seq if stored else None) != write.after:
            raise ModelRefusal("pass_superseded")
        if write.lane.grant not in self.grants:
            raise ModelRefusal("no_such_grant")
        if stored and write.lane.seq not in {stored.seq, stored.seq + 1}:
            raise ModelRefusal("illegal_move")
        self.lanes[place] = write.lane


names = st.sampled_from(["1", "2", "3"])
uses = st.sampled_from([None, None, 0, 1, 2])
own_maps = st.none() | st.lists(uses, max_size=2).map(
    lambda left: AuthorityMap(
        tuple(AuthorityEntry(f"e-{at}", "files/read_file", uses_left=most) for at, most in enumerate(left))
    )
)
entries = st.sampled_from(["", "", "e-0", "e-1"])
takings = st.just(()) | st.lists(st.tuples(st.sampled_from(["e-0", "e-1"]), st.integers(0, 2)), max_size=2).map(tuple)
paths = st.sampled_from([(), (), ("1",), ("2",), ("1", "2"), ("2", "1")])
seqs = st.integers(0, 4)
numbers = st.integers(0, 2)
instants = st.integers(0, 50).map(lambda n: Instant(NOW + n / 4))
writes = st.one_of(
    st.builds(
        SpendPass,
        grant=names,
        lane=numbers,
        seq=seqs,
        digest=names,
        use=names,
        price=st.sampled_from([0, 1, 3, 60]).map(Gas),
        at=instants,
        goes_out=st.booleans(),
        entry=entries,
        counts=st.sampled_from([True, True, False]),
    ),
    st.builds(
        PutMission,
        mission=st.builds(mission, names, st.integers(0, 2), st.sampled_from([MissionState.ACTIVE, *MissionState])),
        after=st.none() | st.integers(0, 2),
    ),
    st.builds(
        lambda name, gas, request, of, path, most, own, taken: OpenGrant(
            replace(grant(name, gas, request, of), path=path, uses_left=most, uses_limit=most, authority=own),
            lane(name),
            taken,
        ),
        names,
        st.integers(0, 100),
        st.sampled_from(["", "r"]),
        names,
        paths,
        uses,
        own_maps,
        takings,
    ),
    st.builds(MoveGrant, names, st.sampled_from(GrantState)),
    st.builds(
        PutLane,
        lane=st.builds(
            Lane,
            names,
            numbers,
            seqs,
            issued=instants,
            delivered=st.none() | instants,
            resends=st.integers(0, 3),
            open=st.sampled_from([True, True, False]),
        ),
        after=st.none() | seqs,
    ),
    st.builds(PutStanding, names, st.builds(standing, st.floats(0, 100))),
    st.builds(
        lambda name, state: PutApproval(replace(approval(name), state=state)), names, st.sampled_from(ApprovalState)
    ),
    st.builds(lambda name: PutPin(pin(name)), names),
    st.builds(AddHistory, names, names, names, names, names, st.lists(names, max_size=2).map(tuple)),
)


class StoreMachine(RuleBasedStateMachine):
    """Every change goes to the model, the memory store and the SQLite store."""

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.Runner()
        memory = Path("/dev/shm")  # this is about what is said, not about what a disk keeps
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.model = Model()
        self.memory: MemoryCommit = self.loop.run(memory_store(self.folder).__aenter__())
        self.opened = self.enter()
        self.turns = 0

    def enter(self) -> AbstractAsyncContextManager[SqliteCommit]:
        opened = sqlite_store(self.folder / "state")
        self.sqlite: SqliteCommit = self.loop.run(opened.__aenter__())
        return opened

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            self.loop.run(self.opened.__aexit__(None, None, None))
            self.loop.close()
            shutil.rmtree(self.folder)

    def ask(self, change: Change) -> None:
        try:
            expected: Committed | str = self.model.commit(change)
        except ModelRefusal as refusal:
            expected = str(refusal)
        for store in (self.memory, self.sqlite):
            try:
                said: Committed | str = self.loop.run(store.commit(change))
            except JitError as error:
                said = error.code
            assert said == expected, f"{type(store).__name__} said {said}, the model {expected}"

    @rule(asked=st.lists(writes, min_size=1, max_size=3), records=st.integers(0, 2))
    def commit(self, asked: list[Write], records: int) -> None:
        self.ask(Change(tuple(asked), (record(),) * records))

    @rule(name=names, gas=st.integers(0, 100))
    def begin_mission(self, name: str, gas: int) -> None:
        self.ask(Change((PutMission(mission(name), None), OpenGrant(grant(name, gas, of=name), lane(name)))))

    @precondition(lambda self: self.model.grants)
    @rule(
        data=st.data(),
        name=st.sampled_from(["3", "4", "5", "6"]),
        gas=st.integers(0, 20),
        most=uses,
        own=own_maps,
        taken=takings,
    )
    def carve(
        self,
        data: st.DataObject,
        name: str,
        gas: int,
        most: int | None,
        own: AuthorityMap | None,
        taken: tuple[tuple[str, int], ...],
    ) -> None:
        parent = data.draw(st.sampled_from(sorted(self.model.grants)).map(self.model.grants.__getitem__))
        child = replace(
            grant(name, gas, of=parent.mission),
            path=(*parent.path, parent.id),
            uses_left=most,
            uses_limit=most,
            authority=own,
        )
        self.ask(Change((OpenGrant(child, lane(name), taken),), (record(),)))

    @precondition(lambda self: self.model.lanes)
    @rule(data=st.data(), price=st.integers(0, 9), goes_out=st.booleans(), at=instants, entry=entries)
    def spend_live_pass(self, data: st.DataObject, price: int, at: Instant, entry: str, *, goes_out: bool) -> None:
        live = data.draw(st.sampled_from(sorted(self.model.lanes)).map(self.model.lanes.__getitem__))
        spending = SpendPass(live.grant, live.number, live.seq, "d", "u", Gas(price), at, goes_out, entry)
        self.ask(Change((spending,), (record(),)))

    @precondition(lambda self: self.model.lanes)
    @rule(data=st.data(), step=st.integers(0, 1), opened=st.booleans(), at=instants)
    def touch_lane(self, data: st.DataObject, step: int, at: Instant, *, opened: bool) -> None:
        live = data.draw(st.sampled_from(sorted(self.model.lanes)).map(self.model.lanes.__getitem__))
        self.ask(Change((PutLane(replace(live, seq=live.seq + step, open=opened, delivered=at), live.seq),)))

    @rule(asked=st.lists(writes, min_size=1, max_size=2), bad=st.sampled_from([{}, {"kind": "x", "y": float("inf")}]))
    def bad_record(self, asked: list[Write], bad: dict[str, Any]) -> None:
        for store in (self.memory, self.sqlite):
            with pytest.raises(JitError):
                self.loop.run(store.commit(Change(tuple(asked), (record(), bad))))

    @rule()
    def restart(self) -> None:
        self.loop.run(self.opened.__aexit__(None, None, None))
        self.opened = self.enter()

    @rule()
    def taken_over(self) -> None:
        """Another broker opens the state without the first one ending, as after `kill -9`."""
        heir = SqliteCommit.open(
            self.folder / "state" / "store.db",
            signer=SIGNER,
            origin=ORIGIN,
            fence=FileFence(self.folder / "state"),
            clock=lambda: NOW,
        )
        with pytest.raises(JitError):
            self.loop.run(self.sqlite.commit(Change((PutStanding("1", standing()),), (record(),))))
        self.loop.run(heir.close())
        self.restart()

    @invariant()
    def all_hold_the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        held: StoredState = self.loop.run(self.sqlite.load())
        assert held == self.loop.run(self.memory.load())
        model = self.model
        assert (held.missions, held.grants, held.lanes) == (model.missions, model.grants, model.lanes)
        assert (held.standings, held.approvals, held.pins) == (model.standings, model.approvals, model.pins)
        assert {agent: history.calls for agent, history in held.histories.items()} == {
            agent: sum(1 for call in model.calls if call.agent == agent)
            for agent in {call.agent for call in model.calls}
        }

    @invariant()
    def no_pass_lives_twice_and_gas_is_exact(self) -> None:
        if not hasattr(self, "model"):
            return
        assert len(set(self.model.spent)) == len(self.model.spent)
        for name, found in self.model.grants.items():
            assert found.gas_left == found.gas_limit - self.model.paid.get(name, 0)
        for place in self.model.lanes.values():
            assert (place.grant, place.number, place.seq) not in self.model.spent

    @invariant()
    def the_ledger_verifies(self) -> None:
        if not hasattr(self, "model"):
            return
        entries = self.loop.run(self.sqlite.entries(0, 1000))
        assert len(entries) == self.model.records
        assert entries == self.loop.run(self.memory.entries(0, 1000))
        assert [check_record(entry).index for entry in entries] == list(range(len(entries)))
        checked = verify(entries, self.loop.run(self.sqlite.checkpoint()), SIGNER.key)
        assert isinstance(checked, LedgerVerified)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
