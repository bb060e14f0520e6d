"""Commit and LedgerReader in memory: the same promises without a disk, for tests, demo and replay.

Nothing survives the process; everything else, all-or-nothing, conditions, order of records, signed checkpoints, is as in SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias, TypeVar, assert_never

from jittrust.core.approval import APPROVAL_MOVES, Approval
from jittrust.core.authority.pin import ToolPin
from jittrust.core.errors import (
    ConflictError,
    NotFoundError,
    PassSupersededError,
    UnavailableError,
)
from jittrust.core.grant.grant import Grant, Lane, RetiredPass
from jittrust.core.grant.lanes import successor
from jittrust.core.grant.spend import carve, pay, pay_refusal, use
from jittrust.core.grant.states import GRANT_MOVES, GrantState
from jittrust.core.history import History
from jittrust.core.ledger.checkpoint import Checkpoint, LedgerSigner
from jittrust.core.ledger.record import FIRST_PREV, leaf
from jittrust.core.ledger.tree import Frontier, leaf_hash
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.response.session import Standing
from jittrust.core.states import move
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import (
    KEPT,
    KIND_OF,
    AddHistory,
    Change,
    Committed,
    Drop,
    Keep,
    Kept,
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

K = TypeVar("K")
V = TypeVar("V")
Undo: TypeAlias = list[Callable[[], object]]


@dataclass(slots=True)
class _Counts:
    """A `History` that can still grow."""

    calls: int = 0
    by_tool: dict[str, int] = field(default_factory=dict)
    by_intent: dict[str, int] = field(default_factory=dict)
    after: dict[tuple[str, str], int] = field(default_factory=dict)
    by_value: dict[str, int] = field(default_factory=dict)
    last_tool: str = ""

    def frozen(self) -> History:
        return History(
            calls=self.calls,
            by_tool=MappingProxyType(dict(self.by_tool)),
            by_intent=MappingProxyType(dict(self.by_intent)),
            after=MappingProxyType(dict(self.after)),
            by_value=MappingProxyType(dict(self.by_value)),
            last_tool=self.last_tool,
        )


class MemoryCommit:
    """Keeps everything in dicts. `commit` never waits, so tasks of one loop cannot get between its steps.

    `broken`: set it to an error to see what a caller does when the store is gone; None heals it.
    """

    def __init__(self, *, signer: LedgerSigner, origin: str) -> None:
        self.broken: UnavailableError | None = None
        self._signer = signer
        self._origin = origin
        self._missions: dict[str, Mission] = {}
        self._grants: dict[str, Grant] = {}
        self._requests: set[tuple[str, str]] = set()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._retired: dict[tuple[str, int, int], RetiredPass] = {}
        self._standings: dict[str, Standing] = {}
        self._approvals: dict[str, Approval] = {}
        self._pins: dict[tuple[str, str], ToolPin] = {}
        self._counts: dict[str, _Counts] = {}
        self._kept: dict[str, dict[str, Kept]] = {kind: {} for kind in KEPT}
        self._leaves: list[bytes] = []
        self._frontier = Frontier()
        self._prev = FIRST_PREV
        self._closed = False

    async def commit(self, change: Change) -> Committed:
        self._check_open()
        undo: Undo = []
        gas_left: Gas | None = None
        try:
            for write in change.writes:
                left = self._apply(write, undo)
                gas_left = gas_left if left is None else left
            leaves, prev = [], self._prev
            for index, body in enumerate(change.records, len(self._leaves)):
                leaves.append(leaf(body, index, prev))
                prev = leaf_hash(leaves[-1]).hex()
        except BaseException:
            for step in reversed(undo):
                step()
            raise
        first = len(self._leaves)
        self._leaves += leaves
        self._frontier = self._frontier.extend([leaf_hash(entry) for entry in leaves])
        self._prev = prev
        return Committed(tuple(range(first, len(self._leaves))), gas_left)

    async def load(self) -> StoredState:
        self._check_open()
        return StoredState(
            missions=dict(self._missions),
            grants=dict(self._grants),
            lanes=dict(self._lanes),
            standings=dict(self._standings),
            approvals=dict(self._approvals),
            pins=dict(self._pins),
            histories={agent: counts.frozen() for agent, counts in self._counts.items()},
            kept={kind: dict(values) for kind, values in self._kept.items()},
        )

    async def retired(self, grant: str, lane: int, first: int, last: int) -> Sequence[RetiredPass]:
        self._check_open()
        found = (self._retired.get((grant, lane, seq)) for seq in range(first, last + 1))
        return tuple(old for old in found if old is not None)

    async def close(self) -> None:
        self._closed = True

    async def entries(self, after: int, limit: int) -> Sequence[bytes]:
        self._check_open()
        begin = max(after, 0)
        return tuple(self._leaves[begin : begin + max(limit, 0)])

    async def checkpoint(self) -> str:
        self._check_open()
        return self._signer.sign(Checkpoint(self._origin, self._frontier.size, self._frontier.root()))

    def _check_open(self) -> None:
        if self.broken is not None:
            raise self.broken
        if self._closed:
            raise UnavailableError("store_unavailable", "the store is closed")

    def _apply(self, write: Write, undo: Undo) -> Gas | None:
        match write:
            case SpendPass():
                return self._spend(write, undo)
            case PutMission():
                self._put_mission(write, undo)
            case OpenGrant():
                self._open_grant(write, undo)
            case MoveGrant():
                grant = self._grant(write.grant)
                _put(self._grants, grant.id, replace(grant, state=move(GRANT_MOVES, grant.state, write.to)), undo)
            case PutLane():
                self._put_lane(write, undo)
            case PutStanding():
                _put(self._standings, write.mission, write.standing, undo)
            case PutApproval():
                self._put_approval(write.approval, undo)
            case PutPin():
                _put(self._pins, (write.pin.server, write.pin.tool), write.pin, undo)
            case AddHistory():
                self._count(write, undo)
            case Keep():
                self._keep(write.value, undo)
            case Drop():
                self._drop(write.value, undo)
            case _:
                assert_never(write)
        return None

    def _spend(self, spend: SpendPass, undo: Undo) -> Gas:
        lane = self._lanes.get((spend.grant, spend.lane))
        if lane is None or not lane.open or lane.seq != spend.seq:
            raise PassSupersededError("pass_superseded", "this pass is not the live one of its lane")
        grant = self._grant(spend.grant)
        if spend.goes_out:
            mission = self._missions.get(grant.mission)
            if mission is None or mission.state is not MissionState.ACTIVE:
                raise _not_active()
            self._check_active(grant.id, *grant.path)
            paid = pay(grant, spend.price)
            paid = use(paid, spend.entry) if spend.counts else paid
        else:
            paid = pay_refusal(grant, spend.price)[0]
        self._retire(lane, undo, spend.at, bought=True)
        _put(self._lanes, (lane.grant, lane.number), successor(lane, spend.digest, spend.use, spend.at), undo)
        _put(self._grants, grant.id, paid, undo)
        return paid.gas_left

    def _put_mission(self, write: PutMission, undo: Undo) -> None:
        stored = self._missions.get(write.mission.id)
        if (None if stored is None else stored.generation) != write.after:
            raise ConflictError("stale_generation", f"mission {write.mission.id} was changed meanwhile")
        _put(self._missions, write.mission.id, write.mission, undo)

    def _open_grant(self, write: OpenGrant, undo: Undo) -> None:
        grant = write.grant
        if grant.path:
            self._check_active(*grant.path)
            parent = self._grants[grant.parent]
            if parent.path != grant.path[:-1]:
                raise _not_active()
            rest = carve(parent, grant.gas_limit, grant.uses_limit, write.taken)
            _put(self._grants, grant.parent, rest, undo)
        request = (grant.mission, grant.request)
        if grant.id in self._grants or (grant.request and request in self._requests):
            raise ConflictError("grant_exists", "there is a grant with this id or for this request already")
        _put(self._grants, grant.id, grant, undo)
        _put(self._lanes, (write.lane.grant, write.lane.number), write.lane, undo)
        if grant.request:
            self._requests.add(request)
            undo.append(lambda: self._requests.discard(request))

    def _put_lane(self, write: PutLane, undo: Undo) -> None:
        lane = write.lane
        stored = self._lanes.get((lane.grant, lane.number))
        if (None if stored is None else stored.seq) != write.after:
            raise PassSupersededError("pass_superseded", "the lane has moved on")
        self._grant(lane.grant)
        if stored is not None and lane.seq != stored.seq:
            if lane.seq != stored.seq + 1:
                raise ConflictError("illegal_move", f"a lane goes from pass {stored.seq} to the next one only")
            self._retire(stored, undo, lane.issued, bought=False)
        _put(self._lanes, (lane.grant, lane.number), lane, undo)

    def _put_approval(self, approval: Approval, undo: Undo) -> None:
        stored = self._approvals.get(approval.id)
        if stored is not None and (stored.state is not approval.state or not APPROVAL_MOVES[stored.state]):
            move(APPROVAL_MOVES, stored.state, approval.state)
        _put(self._approvals, approval.id, approval, undo)

    def _count(self, add: AddHistory, undo: Undo) -> None:
        counts = self._counts.get(add.agent)
        if counts is None:
            counts = _Counts()
            _put(self._counts, add.agent, counts, undo)
        was_calls, was_tool = counts.calls, counts.last_tool
        counts.calls += 1
        counts.last_tool = add.tool

        def back() -> None:
            counts.calls, counts.last_tool = was_calls, was_tool

        undo.append(back)
        _count_one(counts.by_tool, add.tool, undo)
        _count_one(counts.by_intent, add.intent, undo)
        _count_one(counts.after, (add.previous, add.tool), undo)
        for value in add.values:
            _count_one(counts.by_value, value, undo)

    def _keep(self, value: Kept, undo: Undo) -> None:
        kind = KIND_OF[type(value)]
        stored = self._kept[kind].get(value.id)
        if (0 if stored is None else stored.revision) != value.revision - 1:
            raise _stale(kind, value.id)
        _put(self._kept[kind], value.id, value, undo)

    def _drop(self, value: Kept, undo: Undo) -> None:
        kind = KIND_OF[type(value)]
        stored = self._kept[kind].get(value.id)
        if stored is None or stored.revision != value.revision:
            raise _stale(kind, value.id)
        del self._kept[kind][value.id]
        undo.append(lambda: self._kept[kind].__setitem__(value.id, stored))

    def _retire(self, lane: Lane, undo: Undo, at: Instant, *, bought: bool) -> None:
        handed = at if lane.delivered is None else lane.delivered
        _put(self._retired, (lane.grant, lane.number, lane.seq), RetiredPass(lane.seq, bought, handed, at), undo)

    def _check_active(self, *names: str) -> None:
        for name in names:
            found = self._grants.get(name)
            if found is None or found.state is not GrantState.ACTIVE:
                raise _not_active()

    def _grant(self, name: str) -> Grant:
        grant = self._grants.get(name)
        if grant is None:
            raise NotFoundError("no_such_grant", f"there is no grant {name}")
        return grant


def _not_active() -> ConflictError:
    return ConflictError("not_active", "the grant, one of those it was carved from, or its mission is not active")


def _stale(kind: str, name: str) -> ConflictError:
    return ConflictError("stale_revision", f"{kind} {name} was changed meanwhile", "Look at it again, then repeat.")


def _put(table: dict[K, V], key: K, value: V, undo: Undo) -> None:
    if key in table:
        before = table[key]
        undo.append(lambda: table.__setitem__(key, before))
    else:
        undo.append(lambda: table.pop(key))
    table[key] = value


def _count_one(table: dict[K, int], key: K, undo: Undo) -> None:
    _put(table, key, table.get(key, 0) + 1, undo)
