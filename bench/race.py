"""Races on one pass through a whole broker: client processes that all hold the pass and show it at the same moment.

    python -m bench.race --races 2000 [--clients 4] [--json]

Exactly one wins a race: it is let out and pays. Every other one is told so (challenge) and pays nothing. At the end the gas is what the ledger
says, and the ledger verifies. The store's own races, tens of thousands of them, are in bench/races.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from jittrust.adapters.sqlite.ledger_file import LedgerFile
from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.core.errors import JitError
from jittrust.core.grant import passes
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.ledger.checkpoint import LedgerKey
from jittrust.core.ledger.verify import LedgerVerified, verify
from jittrust.core.mission.mission import GoalSource
from jittrust.core.model import Action, Evaluation, Json, Resource, Subject, SubjectKind
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.ports.decision_point import Outcome, Passage, Settled
from jittrust.ports.driving import Driving
from jittrust.ports.grants import NewGrant
from jittrust.ports.missions import NewMission
from jittrust.ports.registry import Attachment

JKT = "A" * 43
TOOLS: list[Mapping[str, Json]] = [
    {
        "name": "echo",
        "description": "Echo a text.",
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }
]
CONFIG = {"grant": {"gas": 1_000_000, "ttl_seconds": 3600}, "log_level": "error"}


def start_broker(state: Path) -> subprocess.Popen[bytes]:
    """The user's broker of `state` as a child of this process."""
    command = [sys.executable, "-m", "jittrust.apps.broker_process", "--state", str(state)]
    with (state / "broker.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


async def connected(state: Path, within: float = 20.0) -> LocalConnection:
    """A connection, as soon as the broker answers. The caller closes it."""
    until = time.monotonic() + within
    while True:
        try:
            return await join(state)
        except JitError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)


async def prepare(driving: Driving, grants: int) -> list[tuple[str, str]]:
    """A mission under which `echo` goes through, and grants with their first passes."""
    await driving.missions.start(NewMission("bench", "Echo the text.", GoalSource.MISSION_START))
    issued = [
        await driving.grants.open(
            NewGrant(
                "bench",
                "bench",
                "echo",
                PassBinding.DPOP,
                jkt=JKT,
                gas=Gas(1_000_000),
                ttl=Seconds(3600),
                request=f"r-{n}",
            )
        )
        for n in range(grants)
    ]
    # Last: whoever joins counts as an agent's process from then on, and an agent states no mission and opens no grant.
    attached = await driving.registry.attach(Attachment("bench", "bench", "echo"))
    await driving.registry.show_tools(attached.id, TOOLS)
    return [(one.grant.id, one.first_pass or "") for one in issued]


def ask(name: str, text: str) -> Evaluation:
    """One call of `echo`."""
    digest = f"{abs(hash(text)):064x}"[-64:]
    return Evaluation(
        name,
        Subject(SubjectKind.AGENT, "bench"),
        Action("tools/call"),
        Resource("tool", "echo/echo"),
        {"text": text},
        digest,
    )


def shown(grant: str, live: str, jti: str) -> Shown:
    """What a client with the grant's key shows, signatures checked."""
    return Shown(PassBinding.DPOP, grant, live, Instant(float(int(time.time()))), jti, JKT)


def checked(state: Path, grants: list[str]) -> dict[str, Any]:
    """What must hold of the state afterwards: ledger whole, gas exact, no pass spent twice."""
    with LedgerFile(state / "jittrust.db") as file:
        leaves = list(file.leaves())
        verdict = verify(iter(leaves), file.checkpoint() or "", LedgerKey.parse(file.ledger_key()), whole=True)
        rows = [json.loads(leaf) for leaf in leaves]
    spent: dict[str, int] = dict.fromkeys(grants, 0)
    limit: dict[str, int] = {}
    seen: set[tuple[str, int, int]] = set()
    twice = 0
    for row in rows:
        if row["kind"] == "grant" and row.get("what") == "opened":
            limit[row["grant"]] = row["gas_limit"]
        if row["kind"] in ("use", "refusal") and row["grant"]["id"] in spent:
            key = (row["grant"]["id"], row["grant"]["lane"], row["grant"]["seq"])
            twice += key in seen
            seen.add(key)
            spent[row["grant"]["id"]] += row["grant"]["price"]
    return {
        "ledger": isinstance(verdict, LedgerVerified),
        "records": len(rows),
        "passes_spent_twice": twice,
        "spent": spent,
        "limit": limit,
        "uses": {row["evaluation"] for row in rows if row["kind"] == "use"},
    }


def contender(state: str, number: int, races: int, gate: Barrier, live: Any, results: Any) -> None:  # noqa: ANN401
    """One client process: shows the pass it was given in each race and says how it went."""

    async def run() -> None:
        connection = await connected(Path(state))
        driving = driving_of(connection)
        for race in range(races):
            # Blocks the loop on purpose: all processes start each race together.
            gate.wait()
            grant, shown_pass = live["grant"], live["pass"]
            name = f"c-{race}-{number}"
            decision = await driving.decisions.evaluate(ask(name, f"{race} {number}"), shown(grant, shown_pass, name))
            if decision.passage is Passage.FORWARD:
                await driving.decisions.settle(name, Outcome(Settled.COMPLETE))
            results.put((race, number, str(decision.passage), decision.next_pass, int(decision.gas_left)))
            gate.wait()
        await connection.close()

    asyncio.run(run())


def campaign(state: Path, races: int, clients: int) -> dict[str, Any]:
    """Race `clients` processes for one pass, `races` times."""
    (state / "jittrust.yaml").write_text(json.dumps(CONFIG))
    broker = start_broker(state)
    spawn = multiprocessing.get_context("spawn")
    try:

        async def opened() -> tuple[str, str]:
            connection = await connected(state)
            try:
                return (await prepare(driving_of(connection), 1))[0]
            finally:
                await connection.close()

        grant, live_pass = asyncio.run(opened())
        with spawn.Manager() as shared:
            gate, live, results = spawn.Barrier(clients + 1), shared.dict(), shared.Queue()
            live.update({"grant": grant, "pass": live_pass})
            workers = [
                spawn.Process(target=contender, args=(str(state), number, races, gate, live, results))
                for number in range(clients)
            ]
            for worker in workers:
                worker.start()
            winners: list[int] = []
            told: dict[str, int] = {}
            for _ in range(races):
                gate.wait(120)
                gate.wait(120)
                answers = [results.get(timeout=60) for _ in range(clients)]
                winners.append(sum(answer[2] == "forward" for answer in answers))
                for answer in answers:
                    told[answer[2]] = told.get(answer[2], 0) + 1
                # The newest pass is the one with the highest number: whoever was challenged last holds it.
                live["pass"] = newest(state, [answer[3] for answer in answers if answer[3]])
            for worker in workers:
                worker.join(30)
        found = checked(state, [grant])
    finally:
        broker.send_signal(signal.SIGTERM)
        broker.wait(20)
    return {
        "id": "race",
        "value": {"one_winner": winners.count(1), "none": winners.count(0), "more": sum(one > 1 for one in winners)},
        "n": races,
        "clients": clients,
        "answers": told,
        "passes_spent_twice": found["passes_spent_twice"],
        "ledger_verified": found["ledger"],
        "passed": winners.count(1) == races and found["passes_spent_twice"] == 0 and found["ledger"],
    }


def newest(state: Path, given: list[str]) -> str:
    """The pass with the highest number."""
    key = bytes.fromhex((state / "keys" / "passes").read_text().strip())
    read = [(found.seq, one) for one in given if (found := passes.read(key, 1, one)) is not None]
    return max(read)[1]


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jittrust-race-") as folder:
        began = time.monotonic()
        result = campaign(Path(folder), chosen.races, chosen.clients)
    result["wall_s"] = round(time.monotonic() - began, 1)
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
