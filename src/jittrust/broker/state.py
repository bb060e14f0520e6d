"""The truth of one process: what is live, in memory, and the one way to change it.

Memory is changed first and in one go (no await in between), then the same change is made durable; nothing is answered before that. A commit that
fails drops memory and loads the store again, so the two never part for longer than one failed batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from jittrust.core.approval import Approval, ApprovalState
from jittrust.core.authority.pin import ToolPin
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import Grant, Lane
from jittrust.core.grant.lanes import successor
from jittrust.core.grant.spend import pay, pay_refusal
from jittrust.core.grant.states import GRANT_MOVES
from jittrust.core.history import History
from jittrust.core.intent.drift import TrailStep
from jittrust.core.intent.provenance import ProvenanceIndex
from jittrust.core.intent.reading import ActionReading
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import ENDED
from jittrust.core.model import Evaluation, Tool
from jittrust.core.response.session import Standing
from jittrust.core.states import move
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import (
    AddHistory,
    Change,
    Commit,
    Committed,
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

# How many steps of a mission are kept for drift, and answers for re-sends; both only in memory.
TRAIL_KEPT = 64
ANSWERS_KEPT = 256
CALLS_KEPT = 10_000


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


@dataclass(slots=True)
class KeptAnswer:
    """What was given for a pass, for a re-send of the same request."""

    evaluation: str
    answer: bytes | None = None
    done: bool = False


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


class State:
    """Live missions, grants, lanes, standings, approvals, pins and histories."""

    def __init__(self, store: Commit, stored: StoredState) -> None:
        """Take over what was stored."""
        self._store = store
        self.memories: dict[str, MissionMemory] = {}
        self.attachments: dict[str, LiveAttachment] = {}
        self.calls: dict[str, OpenCall] = {}
        self.answers: dict[tuple[str, int, int], KeptAnswer] = {}
        self.tools: dict[str, Tool] = {}
        self.shown_definitions: dict[tuple[str, str], str] = {}
        self.listeners: list[Callable[[], None]] = []
        self._take(stored, first=True)

    def _take(self, stored: StoredState, *, first: bool = False) -> None:
        self.missions: dict[str, Mission] = dict(stored.missions)
        self.grants: dict[str, Grant] = dict(stored.grants)
        self.lanes: dict[tuple[str, int], Lane] = dict(stored.lanes)
        self.standings: dict[str, Standing] = dict(stored.standings)
        self.approvals: dict[str, Approval] = dict(stored.approvals)
        self.pins: dict[tuple[str, str], ToolPin] = dict(stored.pins)
        self.histories: dict[str, History] = dict(stored.histories)
        self.pass_generation = stored.pass_generation
        if first:
            # Results read before this process started are not in memory: their values would look unseen, so origins are unknown, never good.
            for mission, standing in self.standings.items():
                if standing.calls:
                    self.memory(mission).results_lost = True

    def memory(self, mission: str) -> MissionMemory:
        """The mission's memory, made on first use."""
        kept = self.memories.get(mission)
        if kept is None:
            kept = self.memories[mission] = MissionMemory(ProvenanceIndex())
        return kept

    def current(self, person: str) -> Mission | None:
        """The person's newest mission that has not ended."""
        mine = (m for m in self.missions.values() if m.person == person and m.state not in ENDED)
        return max(mine, key=lambda m: (m.created, m.id), default=None)

    def open_approvals(self) -> Iterable[Approval]:
        """Questions that wait, and answers that were not used yet."""
        return (a for a in self.approvals.values() if a.state in (ApprovalState.WAITING, ApprovalState.APPROVED))

    def agent_pids(self) -> frozenset[int]:
        """The processes that belong to agents, as their enforcement points said."""
        return frozenset(pid for attachment in self.attachments.values() for pid in attachment.said.pids)

    def keep_answer(self, key: tuple[str, int, int], kept: KeptAnswer) -> None:
        """Remember an answer for a re-send; the oldest goes first."""
        self.answers[key] = kept
        while len(self.answers) > ANSWERS_KEPT:
            del self.answers[next(iter(self.answers))]

    def open_call(self, call: OpenCall) -> None:
        """Remember a call that goes out until it is settled. One whose enforcement point died is forgotten in the end, and stays paid."""
        self.calls[call.ask.id] = call
        while len(self.calls) > CALLS_KEPT:
            del self.calls[next(iter(self.calls))]

    async def change(self, writes: Iterable[Write], records: Iterable[RecordBody]) -> Committed:
        """Change memory, then make it durable.

        Raises:
            JitError: as `Commit.commit`; memory is then what the store says.
        """
        step = Change(tuple(writes), tuple(records))
        for write in step.writes:
            self._apply(write)
        try:
            committed = await self._store.commit(step)
        except JitError:
            self._take(await self._store.load())
            raise
        for listener in tuple(self.listeners):
            listener()
        return committed

    async def delivered_at(self, grant: str, lane: int, seq: int) -> Instant | None:
        """When a pass was handed out, as the store knows it."""
        return await self._store.delivered_at(grant, lane, seq)

    def _apply(self, write: Write) -> None:
        match write:
            case SpendPass():
                self._spend(write)
            case PutMission(mission):
                self.missions[mission.id] = mission
            case OpenGrant(grant, lane):
                self.grants[grant.id] = grant
                self.lanes[grant.id, lane.number] = lane
            case MoveGrant(grant_id, to):
                grant = self.grants[grant_id]
                self.grants[grant_id] = replace(grant, state=move(GRANT_MOVES, grant.state, to))
            case PutLane(lane):
                self.lanes[lane.grant, lane.number] = lane
            case PutStanding(mission_id, standing):
                self.standings[mission_id] = standing
            case PutApproval(approval):
                self.approvals[approval.id] = approval
            case PutPin(pin):
                self.pins[pin.server, pin.tool] = pin
            case AddHistory():
                self._count(write)

    def _spend(self, spend: SpendPass) -> None:
        key = (spend.grant, spend.lane)
        grant = self.grants[spend.grant]
        self.lanes[key] = successor(self.lanes[key], spend.digest, spend.use, spend.at)
        self.grants[spend.grant] = pay(grant, spend.price) if spend.goes_out else pay_refusal(grant, spend.price)[0]

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
