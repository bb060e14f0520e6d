"""`kill -9` of a whole broker under load, again and again: does a pass live twice, is gas lost or found, is anything acknowledged missing?

    python -m bench.crash --kills 200 [--json]

Clients hold DPoP-bound grants and use them through the broker's socket as fast as they can. The broker is killed after a random moment and started
again; a client that lost its answer shows the same pass with the same request, as the rotation rules say. At the end the ledger, the gas and
every acknowledged call are compared with what the clients know.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.race import CONFIG, ask, checked, connected, prepare, shown, start_broker

from jittrust.adapters.unixsocket.join import driving_of
from jittrust.core.errors import JitError
from jittrust.ports.decision_point import Decision, Outcome, Passage, Settled

LEAST_ACKS_A_KILL = 5  # without traffic before it, a kill proves nothing


@dataclass
class Client:
    """One holder of a grant and what it knows."""

    grant: str
    live: str
    number: int
    acknowledged: set[str] = field(default_factory=set)
    recovered: int = 0
    challenged: int = 0
    refused: list[str] = field(default_factory=list)
    calls: int = 0

    async def run(self, state: Path, stop: asyncio.Event) -> None:
        """Use the grant until told to stop; survive every restart."""
        connection = await connected(state)
        driving = driving_of(connection)
        pending: tuple[str, str] | None = None
        while not stop.is_set():
            if pending is None:
                self.calls += 1
                pending = (f"c-{self.number}-{self.calls}", f"{self.number} {self.calls}")
            name, text = pending
            try:
                decision = await driving.decisions.evaluate(ask(name, text), shown(self.grant, self.live, name))
                if not self.take(decision, name):
                    # Challenged: the same request with the newest pass. It is another use, so it gets another name.
                    self.calls += 1
                    pending = (f"c-{self.number}-{self.calls}", text)
                    continue
                pending = None
                if decision.passage is Passage.FORWARD:
                    await driving.decisions.settle(name, Outcome(Settled.COMPLETE, answer=b"{}"))
            except JitError as error:
                if error.code == "evaluation_unknown":
                    continue  # let out by a broker that is dead: paid, and in doubt for ever
                await connection.close()
                connection = await connected(state)
                driving = driving_of(connection)
        await connection.close()

    def take(self, decision: Decision, name: str) -> bool:
        """Keep the newest pass; say whether the call is done."""
        self.live = decision.next_pass or self.live
        if decision.passage is Passage.FORWARD:
            self.acknowledged.add(name)
            return True
        if decision.passage is Passage.RESEND:
            self.recovered += 1
            return True
        if decision.passage is Passage.CHALLENGE:
            self.challenged += 1
            return False
        self.refused.append(",".join(decision.verdict.codes))
        return True


async def campaign(state: Path, kills: int, clients: int, seed: int) -> dict[str, Any]:
    """Kill `kills` brokers one after another on one state."""
    dice = random.Random(seed)
    (state / "jittrust.yaml").write_text(json.dumps(CONFIG))
    broker = start_broker(state)
    connection = await connected(state)
    opened = await prepare(driving_of(connection), clients)
    await connection.close()
    holders = [Client(grant, live, number) for number, (grant, live) in enumerate(opened)]
    stop, restarts, fewest = asyncio.Event(), [], 10**9
    tasks = [asyncio.create_task(holder.run(state, stop)) for holder in holders]
    for _ in range(kills):
        before = sum(len(holder.acknowledged) for holder in holders)
        while True:
            # A random moment, but never without traffic: a kill of an idle broker proves nothing.
            await asyncio.sleep(dice.uniform(0.05, 0.35))
            acks = sum(len(holder.acknowledged) for holder in holders) - before
            if acks >= LEAST_ACKS_A_KILL or any(task.done() for task in tasks):
                break
        fewest = min(fewest, acks)
        broker.send_signal(signal.SIGKILL)
        await asyncio.to_thread(broker.wait)
        at = time.monotonic()
        broker = start_broker(state)
        await (await connected(state)).close()
        restarts.append(time.monotonic() - at)
    stop.set()
    await asyncio.gather(*tasks)
    await asyncio.to_thread(finish, broker)
    found = checked(state, [holder.grant for holder in holders])
    acknowledged = set[str]().union(*(holder.acknowledged for holder in holders))
    missing = len(acknowledged - found["uses"])
    refused = sorted({code for holder in holders for code in holder.refused})
    gas = gas_left(state)
    wrong = sum(found["limit"][g] - spent != gas[g] for g, spent in found["spent"].items())
    restarts.sort()
    return {
        "id": "crash",
        "value": {
            "acknowledged_missing": missing,
            "passes_spent_twice": found["passes_spent_twice"],
            "grants_with_wrong_gas": wrong,
        },
        "n": kills,
        "seed": seed,
        "acknowledged": len(acknowledged),
        "fewest_acks_before_a_kill": fewest,
        "recovered_by_resend": sum(holder.recovered for holder in holders),
        "challenged": sum(holder.challenged for holder in holders),
        "refused": refused,
        "ledger_verified": found["ledger"],
        "records": found["records"],
        "restart_p50_s": round(restarts[len(restarts) // 2], 3),
        "restart_p99_s": round(restarts[min(len(restarts) - 1, int(0.99 * len(restarts)))], 3),
        "passed": missing == 0
        and found["passes_spent_twice"] == 0
        and wrong == 0
        and found["ledger"]
        and not refused
        and fewest >= LEAST_ACKS_A_KILL,
    }


def finish(broker: subprocess.Popen[bytes]) -> None:
    """End the last broker in peace."""
    broker.send_signal(signal.SIGTERM)
    broker.wait(20)


def gas_left(state: Path) -> dict[str, int]:
    """What the store says is left, read without a broker."""
    with sqlite3.connect(f"file:{state / 'jittrust.db'}?mode=ro", uri=True) as db:
        return dict(db.execute("SELECT id, gas_left FROM access_grant").fetchall())


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jittrust-crash-") as folder:
        began = time.monotonic()
        result = asyncio.run(campaign(Path(folder), chosen.kills, chosen.clients, chosen.seed))
    result["wall_s"] = round(time.monotonic() - began, 1)
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
