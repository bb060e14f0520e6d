"""Every store behind the commit port, and values to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from jittrust.adapters.files.fence import FileFence
from jittrust.adapters.files.lock import BrokerLock
from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.core.approval import Approval, ApprovalKind
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.authority.pin import PinState, ToolPin
from jittrust.core.grant.grant import Grant, Lane, PassBinding, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.units import Gas, Instant, Score
from jittrust.ports.commit import Change, Commit, OpenGrant, PutMission, RecordBody, SpendPass
from jittrust.ports.ledger_reader import LedgerReader

ORIGIN = "jittrust.test/ledger"
SIGNER = LedgerSigner.from_seed("jittrust.test/ledger", bytes(range(32)))
NOW = Instant(1_790_000_000.25)


class Store(Commit, LedgerReader, Protocol):
    """Both faces of one store."""


@asynccontextmanager
async def sqlite_store(state: Path, *, deadline_s: float = 10.0) -> AsyncIterator[SqliteCommit]:
    """The real store of a state folder, with lock and fence, as a broker opens it."""
    with BrokerLock.take(state):
        fence = FileFence(state)
        store = SqliteCommit.open(
            state / "store.db", signer=SIGNER, origin=ORIGIN, fence=fence, clock=lambda: NOW, deadline_s=deadline_s
        )
        try:
            yield store
        finally:
            await store.close()
            fence.close()


@asynccontextmanager
async def memory_store(_: Path) -> AsyncIterator[MemoryCommit]:
    """The fake."""
    yield MemoryCommit(signer=SIGNER, origin=ORIGIN)


STORES: dict[str, Callable[[Path], object]] = {"memory": memory_store, "sqlite": sqlite_store}


def mission(name: str = "m-1", generation: int = 0, state: MissionState = MissionState.ACTIVE) -> Mission:
    entry = AuthorityEntry(
        "e-1",
        "files/read_file",
        resource="/tmp/.*",
        constraints={
            "type": "object",
            "properties": {"path": {"type": "string"}},
            "x": [1, 2.5, None, True, "ü\U0001f600"],
        },
        uses_left=3,
        state=EntryState.APPROVED,
        approved_by="policy:reads",
        why="read",
        pin="ab" * 32,
    )
    goal = Goal(("summarise the plan", "and be quick"), GoalSource.MISSION_START)
    return Mission(
        name,
        "ada",
        "agent-1",
        goal,
        state,
        AuthorityMap((entry,), 2),
        NOW,
        NOW,
        Instant(NOW + 300),
        generation=generation,
    )


def grant(name: str = "g-1", gas: int = 100, request: str = "", of: str = "m-1") -> Grant:
    return Grant(
        id=name,
        mission=of,
        family=name,
        agent="agent-1",
        server="files",
        binding=PassBinding.DPOP,
        jkt="thumb",
        strictness=Strictness.STRICT,
        state=GrantState.ACTIVE,
        gas_left=Gas(gas),
        gas_limit=Gas(gas),
        lanes=2,
        issued=NOW,
        expires=Instant(NOW + 300),
        request=request,
    )


def lane(of: str = "g-1", number: int = 0, seq: int = 0) -> Lane:
    return Lane(of, number, seq, NOW)


def spend(
    seq: int = 0,
    price: int = 1,
    *,
    use: str = "c-1",
    of: str = "g-1",
    number: int = 0,
    goes_out: bool = True,
    later: float = 1,
    entry: str = "",
) -> SpendPass:
    return SpendPass(of, number, seq, f"digest-{use}", use, Gas(price), Instant(NOW + later), goes_out, entry)


def child(name: str, *path: str, gas: int = 10, uses: int | None = None, own: AuthorityMap | None = None) -> OpenGrant:
    """A grant carved from the last of `path`."""
    made = replace(
        grant(name, gas),
        family=path[0],
        path=path,
        uses_left=uses,
        uses_limit=uses,
        authority=own,
        binding=PassBinding.DPOP,
    )
    return OpenGrant(made, lane(name))


def approval(name: str = "a-1") -> Approval:
    return Approval(
        name, ApprovalKind.CALL, "m-1", "agent-1", "files/read_file", "cd" * 32, "read /etc/passwd", "off the goal", 40, NOW,
        Instant(NOW + 60), price=Gas(7),
    )  # fmt: skip


def pin(tool: str = "read_file") -> ToolPin:
    return ToolPin("files", tool, "ab" * 32, "cd" * 32, PinState.CHANGED, '{"name":"read_file"}', NOW, "ada")


def standing(trust: float = 61.8) -> Standing:
    return Standing(Score(trust), SessionState.FLAGGED, 2, 1, 9, 3, NOW)


def record(kind: str = "use", **more: object) -> RecordBody:
    links = {
        "prompt": {"mission": "m-1"},
        "intent": {"code": "K.read"},
        "policy": {"entry": "e-1"},
        "grant": {"id": "g-1", "lane": 0, "seq": 0},
        "action": {"method": "tools/call", "resource": "files/read_file"},
    }
    return {"kind": kind, **links, **more}  # type: ignore[dict-item]


async def begin(store: Commit, gas: int = 100) -> None:
    """An active mission with a grant and lane 0."""
    await store.commit(Change((PutMission(mission(), None), OpenGrant(grant(gas=gas), lane()))))


def in_state(found: Grant, state: GrantState) -> Grant:
    return replace(found, state=state)
