"""The truth of one process: what is live, in memory, and the one way to change it.

Memory is changed first and in one go (no await in between), then the same change is made durable; nothing is answered before that. After a commit
that fails, memory is what the store says plus what is still on its way there. While the store cannot be read, memory is stale, and nothing that was
judged by it gets out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, cast

from jittrust.broker.definitions import tool_of
from jittrust.core.approval import Approval, ApprovalKind, ApprovalState
from jittrust.core.authority.endorsement import ReadSource
from jittrust.core.authority.pin import ToolPin
from jittrust.core.errors import ConflictError, JitError
from jittrust.core.grant.grant import Grant, Lane, RetiredPass
from jittrust.core.grant.lanes import successor
from jittrust.core.grant.spend import carve, pay, pay_refusal, use
from jittrust.core.grant.states import GRANT_MOVES, GrantState
from jittrust.core.history import History
from jittrust.core.intent.access import NO_ACCESS_MODEL, AccessModel
from jittrust.core.intent.drift import TrailStep
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.flow import NO_FLOW, Flow
from jittrust.core.intent.provenance import ProvenanceIndex
from jittrust.core.intent.reading import ActionReading
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import ENDED
from jittrust.core.model import Evaluation, Tool
from jittrust.core.response.session import Standing
from jittrust.core.states import move
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import (
    KEPT,
    KIND_OF,
    AddHistory,
    Change,
    Commit,
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
    RecordBody,
    SpendPass,
    StoredState,
    Write,
)
from jittrust.ports.registry import Attachment

K = TypeVar("K")
V = TypeVar("V")

# How many steps of a mission are kept for drift, and answers for re-sends; both only in memory.
TRAIL_KEPT = 64
ANSWERS_KEPT = 256
ANSWERS_BYTES = 32 * 1024 * 1024  # of all kept answers together
CALLS_KEPT = 10_000
SOURCES_KEPT = 512  # results of one mission of which it is known which call brought them


@dataclass(slots=True)
class OpenCall:
    """A call that went out and was not settled yet."""

    ask: Evaluation
    mission: str
    grant: str
    lane: int
    seq: int
    server: str
    reading: ActionReading | None
    keyed: bool
    observed: bool = False
    steered: bool = False  # a stranger's text said where it goes, so that a stranger answers
    result: str = ""  # what its result is called, once it came back
    source: ReadSource | None = None  # what it reads; None = it cannot be endorsed


@dataclass(slots=True)
class KeptAnswer:
    """What was given for a pass, for a re-send of the same request."""

    evaluation: str
    answer: bytes | None = None
    done: bool = False
    refused: bool = False


@dataclass(slots=True)
class LiveAttachment:
    """An enforcement point that joined."""

    said: Attachment
    shown: bool = False


@dataclass(slots=True)
class MissionMemory:
    """What is remembered of a mission only while this process lives."""

    provenance: ProvenanceIndex
    trail: deque[TrailStep] = field(default_factory=lambda: deque(maxlen=TRAIL_KEPT))
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=TRAIL_KEPT))
    targets: set[str] = field(default_factory=set)
    last_tool: str = ""
    results: int = 0
    results_lost: bool = False
    operator: str = ""
    sources: dict[str, ReadSource] = field(default_factory=dict)
    findings: list[TextFinding] = field(default_factory=list)
    unread: dict[str, asyncio.Future[TextFinding | None]] = field(default_factory=dict)  # results that are being read
    flow: Flow = NO_FLOW

    def brought(self, result: str, source: ReadSource | None) -> None:
        """Remember which call brought a result; the oldest are forgotten first."""
        if source is not None:
            self.sources[result] = source
            while len(self.sources) > SOURCES_KEPT:
                del self.sources[next(iter(self.sources))]


class KeptIndex(Protocol):
    """Finds values of the identity layer by something else than their id. Told of every change; it raises nothing and awaits nothing."""

    def took(self) -> None:
        """Everything was read again from the store: build the index anew from `State.kept`."""
        ...

    def kept(self, value: Kept, before: Kept | None) -> None:
        """`value` took the place of `before`."""
        ...

    def dropped(self, value: Kept) -> None:
        """`value` is gone."""
        ...


class State:
    """Live missions, grants, lanes, standings, approvals, pins and histories."""

    def __init__(self, store: Commit, stored: StoredState, access: AccessModel = NO_ACCESS_MODEL) -> None:
        """Take over what was stored. `access`: the model that gives tools their class of access."""
        self._store = store
        self._access = access
        self.memories: dict[str, MissionMemory] = {}
        self.attachments: dict[str, LiveAttachment] = {}
        self.calls: dict[str, OpenCall] = {}
        self.answers: dict[tuple[str, int, int], KeptAnswer] = {}
        self.shown_definitions: dict[tuple[str, str], str] = {}
        self.listeners: list[Callable[[], None]] = []
        self._last = 0
        self._under_way: dict[int, Change] = {}
        # Steps that memory may hold and the store not, and how many of them the last reading has mended.
        self._reading = asyncio.Lock()
        self._failed = 0
        self._mended = 0
        self.tools: dict[str, Tool] = {}
        self.indexes: list[KeptIndex] = []
        self._take(stored, first=True)

    def _take(self, stored: StoredState, *, first: bool = False) -> None:
        self.missions: dict[str, Mission] = dict(stored.missions)
        self.grants: dict[str, Grant] = dict(stored.grants)
        self.lanes: dict[tuple[str, int], Lane] = dict(stored.lanes)
        self.standings: dict[str, Standing] = dict(stored.standings)
        self.approvals: dict[str, Approval] = dict(stored.approvals)
        self.pins: dict[tuple[str, str], ToolPin] = dict(stored.pins)
        self.histories: dict[str, History] = dict(stored.histories)
        known, self.tools = self.tools, {}
        for pin in self.pins.values():
            name = f"{pin.server}/{pin.tool}"
            self.tools[name] = known[name] if name in known and known[name].pin == pin.pin else self._tool(pin)
        self.kept: dict[str, dict[str, Kept]] = {kind: dict(stored.kept.get(kind, {})) for kind in KEPT}
        for index in self.indexes:
            index.took()
        self.pass_generation = stored.pass_generation
        # What a call asks for is found by key: looking through everything ever stored would make each call dearer than the one before.
        self._missions_of: dict[str, set[str]] = {}
        self._grants_of: dict[str, dict[str, None]] = {}
        self._requested: dict[tuple[str, str], str] = {}
        self._shared: dict[str, str] = {}
        self._held: dict[str, list[str]] = {}
        self._asked: dict[tuple[str, str], str] = {}
        self._open_approvals: dict[str, None] = {}
        for mission in self.missions.values():
            self._index_mission(mission)
        for grant in sorted(self.grants.values(), key=lambda g: (g.issued, g.id)):
            self._index_grant(grant)
        for approval in self.approvals.values():
            self._index_approval(approval)
        if first:
            # Results read before this process started are not in memory: their values would look unseen, so origins are unknown, never good.
            for name, standing in self.standings.items():
                if standing.calls:
                    self.memory(name).results_lost = True

    def memory(self, mission: str) -> MissionMemory:
        """The mission's memory, made on first use."""
        kept = self.memories.get(mission)
        if kept is None:
            kept = self.memories[mission] = MissionMemory(ProvenanceIndex())
        return kept

    def _tool(self, pin: ToolPin) -> Tool:
        return tool_of(pin, self._access)

    def carry(self, memory: MissionMemory, mission: str, *, lost: bool) -> None:
        """Let a new mission know what the tools returned under the one before it. `lost`: some of that is not known any more."""
        self.memories[mission] = MissionMemory(
            memory.provenance,
            results=memory.results,
            results_lost=lost,
            operator=memory.operator,
            sources=memory.sources,
            findings=memory.findings,
            unread=memory.unread,
            flow=memory.flow,
        )

    def current(self, person: str) -> Mission | None:
        """The person's newest mission that has not ended."""
        mine = (self.missions[name] for name in self._missions_of.get(person, ()))
        return max(mine, key=lambda m: (m.created, m.id), default=None)

    def newest(self, person: str) -> Mission | None:
        """The person's newest mission, ended or not."""
        mine = (m for m in self.missions.values() if m.person == person)
        return max(mine, key=lambda m: (m.created, m.id), default=None)

    def grants_of(self, mission: str) -> Sequence[Grant]:
        """All grants of a mission, in the order in which they were opened."""
        return [self.grants[name] for name in self._grants_of.get(mission, ())]

    def live_grants_of(self, mission: str) -> Sequence[Grant]:
        """Its grants that have not ended."""
        return [g for g in self.grants_of(mission) if g.state in (GrantState.ACTIVE, GrantState.SUSPENDED)]

    def requested(self, mission: str, request: str) -> Grant | None:
        """The grant of a mission that was asked for under this idempotency key."""
        name = self._requested.get((mission, request)) if request else None
        return None if name is None else self.grants[name]

    def path_of(self, grant: Grant) -> tuple[Grant | None, ...]:
        """The grants it was carved from as they stand now, the root first; None for one that is not known."""
        return tuple(self.grants.get(name) for name in grant.path) if grant.path else ()

    def in_force(self, grant: Grant, now: Instant) -> bool:
        """Whether a grant and every grant it was carved from are active and not past their end; its mission is another question."""
        return all(
            one is not None and one.state is GrantState.ACTIVE and now < one.expires
            for one in (self.grants.get(grant.id), *self.path_of(grant))
        )

    def held_since(self, names: Iterable[str], jkt: str, since: Instant) -> Mapping[str, Grant]:
        """The grants opened after `since` for agents of these names (with or without `@PERSON` behind it) or bound to this key."""
        found: dict[str, Grant] = {}
        for key in (*names, *((f"jkt {jkt}",) if jkt else ())):
            for name in reversed(self._held.get(key, ())):
                grant = self.grants[name]
                if grant.issued <= since:
                    break
                found[name] = grant
        return found

    def shared_grant(self, mission: str) -> Grant | None:
        """The newest grant that stands behind the calls of the mission's own enforcement points."""
        name = self._shared.get(mission)
        return None if name is None else self.grants[name]

    def open_approvals(self) -> Sequence[Approval]:
        """Questions that wait, and answers that were not used yet, in the order in which they were asked."""
        return [self.approvals[name] for name in self._open_approvals]

    def waiting_of(self, mission: str, now: Instant) -> int:
        """How many questions about calls of the mission wait for a person."""
        return sum(
            a.kind is ApprovalKind.CALL
            and a.mission == mission
            and a.state is ApprovalState.WAITING
            and now < a.expires
            for a in self.open_approvals()
        )

    def question(self, mission: str, digest: str) -> Approval | None:
        """The newest question about the call with this digest."""
        name = self._asked.get((mission, digest))
        return None if name is None else self.approvals[name]

    def agent_pids(self) -> frozenset[int]:
        """The processes that belong to agents, as their enforcement points said."""
        return frozenset(pid for attachment in self.attachments.values() for pid in attachment.said.pids)

    def keep_answer(self, key: tuple[str, int, int], kept: KeptAnswer) -> None:
        """Remember an answer for a re-send; the oldest goes first."""
        self.answers[key] = kept
        while len(self.answers) > ANSWERS_KEPT:
            del self.answers[next(iter(self.answers))]

    def bound_answers(self) -> None:
        """Let go of the bytes of the oldest answers while all together are too large: their re-send is told that the call is in doubt."""
        size = sum(len(kept.answer or b"") for kept in self.answers.values())
        for kept in self.answers.values():
            if size <= ANSWERS_BYTES:
                return
            size -= len(kept.answer or b"")
            kept.answer = None

    def open_call(self, call: OpenCall) -> None:
        """Remember a call that goes out until it is settled. One whose enforcement point died is forgotten in the end, and stays paid."""
        self.calls[call.ask.id] = call
        while len(self.calls) > CALLS_KEPT:
            del self.calls[next(iter(self.calls))]

    async def change(self, writes: Iterable[Write], records: Iterable[RecordBody]) -> Committed:
        """Change memory, then make it durable.

        Raises:
            JitError: as `Commit.commit`; memory is then what the store says.
            ConflictError: code `memory_stale`: an earlier step could not be undone in memory while the store was away. Memory has been read
                again and nothing was changed: judge once more.
        """
        if await self.refresh():
            raise ConflictError("memory_stale", "The store was away; what it holds has been read again.", "Try again.")
        step = Change(tuple(writes), tuple(records))
        self._last = mine = self._last + 1
        self._under_way[mine] = step
        try:
            for write in step.writes:
                self._apply(write)
            committed = await self._store.commit(step)
        except JitError:
            del self._under_way[mine]
            self._failed += 1
            await self._reload()
            raise
        except BaseException:
            # Cancelled: the store may or may not carry it out. Whoever comes next reads what it did.
            del self._under_way[mine]
            self._failed += 1
            raise
        del self._under_way[mine]
        for listener in tuple(self.listeners):
            listener()
        return committed

    async def refresh(self) -> bool:
        """Read the store again if memory is stale; whether it was. For what is answered from memory alone.

        Raises:
            JitError: as `Commit.load`: the store is still away.
        """
        stale = self._mended < self._failed
        if stale:
            await self._reload()
        return stale

    async def _reload(self) -> None:
        """Take what the store says, plus the steps that were handed to it after this reading: it carries steps out in order."""
        async with self._reading:
            if self._mended == self._failed:
                return
            last, failed = self._last, self._failed
            self._take(await self._store.load())
            self._mended = failed
            for number, step in self._under_way.items():
                if number > last:
                    try:
                        for write in step.writes:
                            self._apply(write)
                    except (JitError, KeyError):
                        # It was judged by memory that never was; whoever comes next reads again what became of it.
                        self._failed += 1

    async def retired(self, grant: str, lane: int, first: int, last: int) -> Sequence[RetiredPass]:
        """What became of old passes, as the store knows it."""
        return await self._store.retired(grant, lane, first, last)

    def _apply(self, write: Write) -> None:
        match write:
            case SpendPass():
                self._spend(write)
            case PutMission(mission):
                self.missions[mission.id] = mission
                self._index_mission(mission)
            case OpenGrant(grant, lane, taken):
                if grant.parent:
                    parent = self.grants[grant.parent]
                    self.grants[grant.parent] = carve(parent, grant.gas_limit, grant.uses_limit, taken)
                self.grants[grant.id] = grant
                self.lanes[grant.id, lane.number] = lane
                self._index_grant(grant)
            case MoveGrant(grant_id, to):
                grant = self.grants[grant_id]
                self.grants[grant_id] = replace(grant, state=move(GRANT_MOVES, grant.state, to))
            case PutLane(lane):
                self.lanes[lane.grant, lane.number] = lane
            case PutStanding(mission_id, standing):
                self.standings[mission_id] = standing
            case PutApproval(approval):
                self.approvals[approval.id] = approval
                self._index_approval(approval)
            case PutPin(pin):
                known = self.pins.get((pin.server, pin.tool))
                self.pins[pin.server, pin.tool] = pin
                if known is None or known.pin != pin.pin:
                    self.tools[f"{pin.server}/{pin.tool}"] = self._tool(pin)
            case AddHistory():
                self._count(write)
            case Keep(value):
                self._keep(value)
            case Drop(value):
                self.kept[KIND_OF[type(value)]].pop(value.id, None)
                for index in self.indexes:
                    index.dropped(value)

    def _keep(self, value: Kept) -> None:
        table = self.kept[KIND_OF[type(value)]]
        before = table.get(value.id)
        if (0 if before is None else before.revision) != value.revision - 1:
            # Whoever changes something reads memory without awaiting, so a revision that does not follow was judged by memory that has moved on.
            raise ConflictError(
                "stale_revision", f"{value.id} was changed meanwhile.", "Look at it again, then repeat."
            )
        table[value.id] = value
        for index in self.indexes:
            index.kept(value, before)

    def add_index(self, index: KeptIndex) -> None:
        """Keep an index of the identity layer up to date from now on."""
        self.indexes.append(index)
        index.took()

    def of_kind(self, kind: type[V]) -> Mapping[str, V]:
        """All values of one kind of the identity layer, by id; live, not a copy."""
        return cast("Mapping[str, V]", self.kept[KIND_OF[cast("type[Kept]", kind)]])

    def _index_mission(self, mission: Mission) -> None:
        if mission.state in ENDED:
            self._missions_of.get(mission.person, set()).discard(mission.id)
            return
        self._missions_of.setdefault(mission.person, set()).add(mission.id)
        # Nothing goes out any more under a mission that has ended: what its tools returned is forgotten when the person goes on to the next.
        for name in [name for name in self.memories if (m := self.missions.get(name)) is None or m.state in ENDED]:
            del self.memories[name]

    def _index_grant(self, grant: Grant) -> None:
        self._grants_of.setdefault(grant.mission, {})[grant.id] = None
        if grant.shared:
            self._shared[grant.mission] = grant.id
        if grant.request:
            self._requested[grant.mission, grant.request] = grant.id
        # `NAME@PERSON` is found under NAME too; a key's thumbprint is no agent's name.
        for key in {grant.agent, grant.agent.rpartition("@")[0], f"jkt {grant.jkt}" if grant.jkt else ""} - {""}:
            self._held.setdefault(key, []).append(grant.id)

    def _index_approval(self, approval: Approval) -> None:
        if approval.kind is ApprovalKind.CALL:
            known = self.question(approval.mission, approval.digest)
            if known is None or known.asked <= approval.asked:
                self._asked[approval.mission, approval.digest] = approval.id
        if approval.state in (ApprovalState.WAITING, ApprovalState.APPROVED):
            self._open_approvals[approval.id] = None
        else:
            self._open_approvals.pop(approval.id, None)

    def _spend(self, spend: SpendPass) -> None:
        key = (spend.grant, spend.lane)
        grant = self.grants[spend.grant]
        self.lanes[key] = successor(self.lanes[key], spend.digest, spend.use, spend.at)
        if spend.goes_out:
            paid = pay(grant, spend.price)
            self.grants[spend.grant] = use(paid, spend.entry) if spend.counts else paid
        else:
            self.grants[spend.grant] = pay_refusal(grant, spend.price)[0]

    def _count(self, add: AddHistory) -> None:
        self.histories[add.agent] = counted(self.histories.get(add.agent, History()), add)


def counted(history: History, add: AddHistory) -> History:
    """The history after one more call. Its counts are the broker's own and grow in place: copying them a call would cost O(history)."""
    by_tool, by_intent, after, by_value = (
        dict_of(history.by_tool),
        dict_of(history.by_intent),
        dict_of(history.after),
        dict_of(history.by_value),
    )
    by_tool[add.tool] = by_tool.get(add.tool, 0) + 1
    by_intent[add.intent] = by_intent.get(add.intent, 0) + 1
    after[add.previous, add.tool] = after.get((add.previous, add.tool), 0) + 1
    for value in add.values:
        by_value[value] = by_value.get(value, 0) + 1
    return History(history.calls + 1, by_tool, by_intent, after, by_value, add.tool)


def dict_of(counts: Mapping[K, int]) -> dict[K, int]:
    """The counts as a dict that may be changed; the very same object when it is one already."""
    return counts if isinstance(counts, dict) else dict(counts)


def gas_of(grant: Grant | None) -> Gas:
    """What is left, 0 without a grant."""
    return grant.gas_left if grant is not None else Gas(0)
