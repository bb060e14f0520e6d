"""A broker with a Workload API, alive in a thread of its own, on real time and an in-memory store."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.adapters.memory.policy import MemoryPolicy
from jittrust.adapters.system.clock import SteadyClock
from jittrust.adapters.system.names import new_name
from jittrust.api.workload.face import WorkloadFace
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import IdentityState, Role
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.model import Json, SubjectKind
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.identities import IdentityChange, NewIdentity

T = TypeVar("T")
SEED = bytes(range(32))
SIGNER = LedgerSigner.from_seed("jittrust.test/workload", SEED)
OWNER = "/person/ada"
ME = f"unix:uid:{os.getuid()}"


@dataclass(slots=True)
class ShiftedClock:
    """Real time, and as far ahead of it as a test says."""

    real: SteadyClock = field(default_factory=SteadyClock)
    ahead: float = 0.0

    def __call__(self) -> Instant:
        return Instant(self.real() + self.ahead)


@dataclass(slots=True)
class LiveWorkloads:
    """What a test does with the broker; each call runs in the broker's thread."""

    socket: Path
    domain: str
    broker: Broker
    store: MemoryCommit
    clock: ShiftedClock
    loop: asyncio.AbstractEventLoop = field(repr=False)

    @property
    def address(self) -> str:
        """As SPIFFE_ENDPOINT_SOCKET has it."""
        return f"unix://{self.socket}"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def id(self, path: str) -> str:
        return f"spiffe://{self.domain}{path}"

    def entitle(self, path: str, *selectors: str, **more: Any) -> RegistrationEntry:  # noqa: ANN401 - members of an entry
        kind = more.pop("kind", SubjectKind.WORKLOAD)
        entry = RegistrationEntry("", self.id(path), kind, tuple(sorted(selectors or (ME,))), self.id(OWNER), **more)
        return self.do(self.broker.driving.enrolment.put(entry))

    def stand(self, path: str, to: IdentityState) -> None:
        change = IdentityChange(to=to, why="test", by="ada")
        self.do(self.broker.driving.identities.change(self.id(path), change))

    def rotate(self, kind: AuthorityKind) -> str:
        authorities = self.broker.driving.authorities
        made = self.do(authorities.prepare(kind, "ada"))
        return self.do(authorities.activate(made.id, "ada")).id

    def records(self, kind: str = "issuance") -> list[Mapping[str, Json]]:
        found = [json.loads(entry) for entry in self.do(self.store.entries(0, 100_000))]
        return [one for one in found if one["kind"] == kind]


@contextmanager
def live_workloads(folder: Path, domain: str = "jittrust.test") -> Iterator[LiveWorkloads]:
    """A broker with a Workload API at `folder`/workload.sock; `ada` is there to own what is enrolled."""
    # The loop that `jittrust serve` runs on.
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    store = MemoryCommit(signer=SIGNER, origin="jittrust.test/workload")
    now = ShiftedClock()

    async def start() -> tuple[Broker, WorkloadFace]:
        rules = Rules()
        broker = await Broker.open(
            store=store,
            ledger=store,
            policy=MemoryPolicy(),
            pin=MemoryPin("4711"),
            secrets=BrokerSecrets(SEED, "kid", lambda data: data),
            ledger_vkey=str(SIGNER.key),
            rules=rules,
            clock=now,
            new_id=new_name,
            issuer="urn:test",
            identity=offline_identity(rules, now, new_name, domain),
        )
        owner = NewIdentity(SubjectKind.PERSON, OWNER, names=("os:ada",), role=Role.ADMIN, by="test")
        await broker.driving.identities.enrol(owner)
        face = WorkloadFace(broker.inner.issuance, broker.driving.bundles)
        await face.open(folder / "workload.sock")
        return broker, face

    broker, face = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield LiveWorkloads(folder / "workload.sock", domain, broker, store, now, loop)
    finally:
        asyncio.run_coroutine_threadsafe(face.close(), loop).result(20)
        asyncio.run_coroutine_threadsafe(broker.close(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def binary() -> str:
    """The file that runs this."""
    return str(Path(sys.executable).resolve())
