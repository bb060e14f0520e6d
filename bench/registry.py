"""Does the registry stay quick as it grows, what does an entry weigh, and how fast is a leaver with many agents cut?

    python -m bench registry [--most 1000000] [--agents 1000] [--json]

Look-ups are those of the hot path: an agent by its name with its owner and blueprint (each call asks this), a plain name that nobody registered, and
the registration entries for a process's selectors. The cut is one durable change over the real store in a folder of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import stored

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.adapters.memory.policy import MemoryPolicy
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.broker.identity.index import IdentityIndex
from jittrust.broker.state import State
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import Blueprint, Identity, IdentityState
from jittrust.core.identity.lineage import owner_root
from jittrust.core.identity.match import EntryIndex
from jittrust.core.model import SubjectKind
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.commit import StoredState
from jittrust.ports.identities import IdentityChange, NewIdentity

DOMAIN = "spiffe://bench.test"
NOW = Instant(1_790_000_000)
OWNED = 20  # agents of one person
WEIGHED = 10_000
LOOK_UPS = 20_000


def identity(number: int) -> Identity:
    """An agent as a fleet has it: an owner, a blueprint, a client name, a key; every twentieth is the person who owns the next."""
    person = f"{DOMAIN}/person/p{number // OWNED}"
    if number % OWNED == 0:
        return Identity(person, SubjectKind.PERSON, names=(f"os:p{number // OWNED}",), created=NOW)
    return Identity(
        f"{DOMAIN}/agent/a{number}",
        SubjectKind.AGENT,
        person,
        names=(f"client:c{number}",),
        blueprint="coder",
        roots=(owner_root(person, "coder"), f"key:{number:043d}"),
        created=NOW,
    )


def entry(number: int) -> RegistrationEntry:
    """An entry of a workload: a namespace that many share, a service account that few share, and the user that is its own."""
    selectors = (f"k8s:c:ns:n{number % 50}", f"k8s:c:sa:s{number // 4}", f"unix:uid:{number}")
    return RegistrationEntry(
        f"n-{number}", f"{DOMAIN}/workload/w{number}", SubjectKind.WORKLOAD, selectors, f"{DOMAIN}/person/p0"
    )


def registry(size: int) -> IdentityIndex:
    """A registry of so many identities, as a broker has it after a start."""
    blueprint = Blueprint("coder", f"{DOMAIN}/person/p0", unlimited=True)
    kept = {"identity": {one.id: one for one in map(identity, range(size))}, "blueprint": {blueprint.id: blueprint}}
    state = State(MemoryCommit(signer=stored.SIGNER, origin="bench"), StoredState(kept=kept))
    index = IdentityIndex.of(state)
    index.serve(DOMAIN)
    return index


def entries(size: int) -> EntryIndex:
    """So many registration entries."""
    index = EntryIndex()
    for number in range(size):
        index.put(entry(number))
    return index


def cost(look_up: Callable[[int], object], size: int) -> float:
    """Microseconds of one look-up: the median of five rounds over names spread through all."""
    spread = [(number * 7919) % size for number in range(LOOK_UPS)]
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for number in spread:
            look_up(number)
        rounds.append((time.perf_counter() - began) / LOOK_UPS * 1e6)
    return round(statistics.median(rounds), 3)


def weight(build: Callable[[int], object]) -> int:
    """Bytes of memory of 10,000 of them with their index, the values included."""
    tracemalloc.start()
    built = build(WEIGHED)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del built
    return taken


def _standing(index: IdentityIndex, names: Sequence[str]) -> Callable[[int], object]:
    return lambda number: index.agent_standing(names[number])


def _matching(index: EntryIndex, selectors: Sequence[tuple[str, ...]]) -> Callable[[int], object]:
    return lambda number: index.matching(selectors[number], NOW)


def sizes(most: int) -> list[dict[str, object]]:
    """The look-ups at 10^2 up to `most`."""
    found: list[dict[str, object]] = []
    size = 100
    while size <= most:
        index = registry(size)
        clients = [f"c{number}" for number in range(size)]
        ids = [f"{DOMAIN}/agent/a{number}" for number in range(size)]
        strangers = [f"somebody{number}@p" for number in range(size)]
        row: dict[str, object] = {"size": size}
        for name, called in (("client_name", clients), ("spiffe_id", ids), ("unregistered_name", strangers)):
            row[f"standing_by_{name}_us"] = cost(_standing(index, called), size)
        del index, clients, ids, strangers
        matched = entries(size)
        shown = [entry(number).selectors for number in range(size)]
        row["entries_for_selectors_us"] = cost(_matching(matched, shown), size)
        del matched, shown
        found.append(row)
        size *= 10
    return found


async def cut(folder: Path, agents: int) -> dict[str, object]:
    """How long one change takes that stops a person and so many agents of theirs."""
    numbers = iter(range(10**9))

    def name(prefix: str) -> str:
        return f"{prefix}-{next(numbers)}"

    rules = Rules()
    with stored.locked_store(folder) as store:
        broker = await Broker.open(
            store=store,
            ledger=store,
            policy=MemoryPolicy(),
            pin=MemoryPin(""),
            secrets=BrokerSecrets(bytes(32), "kid", lambda data: data),
            ledger_vkey=str(stored.SIGNER.key),
            rules=rules,
            clock=lambda: NOW,
            new_id=name,
            issuer="urn:bench",
            identity=offline_identity(rules, lambda: NOW, name),
        )
        ids = broker.driving.identities
        person = await ids.enrol(NewIdentity(SubjectKind.PERSON, "/person/leaver"))
        for number in range(agents):
            await ids.enrol(NewIdentity(SubjectKind.AGENT, f"/agent/a{number}", person.id, roots=(f"key:{number}",)))
        began = time.perf_counter()
        await ids.change(person.id, IdentityChange(to=IdentityState.SUSPENDED, why="left", by="bench"))
        took = time.perf_counter() - began
        await broker.close()
    return {"agents": agents, "durable_ms": round(took * 1000, 1)}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=1_000_000, help="largest registry")
    parser.add_argument("--agents", type=int, default=1000, help="agents of the person who leaves")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        leaving = asyncio.run(cut(Path(folder) / "state", asked.agents))
    result = {
        "id": "registry",
        "bytes_per_10000": {"identities": weight(registry), "entries": weight(entries)},
        "look_ups": sizes(asked.most),
        "leaver": leaving,
    }
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
