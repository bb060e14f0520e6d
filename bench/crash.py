"""`kill -9` of a whole gateway under load, again and again: does a pass live twice, is gas lost or found, is anything acknowledged missing?

    python -m bench crash --kills 200 [--json]

Clients hold DPoP-bound grants and use them over HTTP as fast as they can. The gateway (with the broker in it) is killed after a random moment and
started again; a client that lost its answer shows the same pass with the same request, as the rotation rules say. At the end the ledger, the gas
and every acknowledged call are compared with what the clients know.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from bench.served import Client, Served, checked, finish, ready

LEAST_ACKS_A_KILL = 5  # without traffic before it, a kill proves nothing


@dataclass
class Holder:
    """A client and what it knows."""

    client: Client
    number: int
    acknowledged: set[str] = field(default_factory=set)
    recovered: int = 0
    challenged: int = 0
    refused: list[str] = field(default_factory=list)
    calls: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Use the grant until told to stop; survive every restart."""
        pending = ""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while not stop.is_set():
                if not pending:
                    self.calls += 1
                    pending = f"{self.number} {self.calls}"
                jti = secrets.token_urlsafe(16)
                try:
                    answer = await self.client.call(http, jti, pending)
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(0.02)  # it is dead: the same request with the same pass, until somebody answers
                    continue
                self.client.live = answer.next_pass or self.client.live
                if answer.echoed:
                    self.acknowledged.add(jti)
                    pending = ""
                elif answer.resend:
                    self.recovered += 1
                    pending = ""
                elif answer.status == 401 and answer.next_pass:
                    self.challenged += 1
                elif answer.status == 503:
                    await asyncio.sleep(0.02)
                else:
                    self.refused.append(f"{answer.status} {answer.body[:200]!r}")
                    pending = ""


async def campaign(state: Path, kills: int, clients: int, seed: int) -> dict[str, Any]:
    """Kill `kills` gateways one after another on one state."""
    dice = random.Random(seed)
    served = Served.prepare(state)
    upstream = await asyncio.to_thread(served.start_upstream)
    gateway = await asyncio.to_thread(served.start)
    try:
        await ready(state)
        holders = [
            Holder(client, number)
            for number, client in enumerate(await served.grants([secrets.token_bytes(32) for _ in range(clients)]))
        ]
        stop, restarts, fewest = asyncio.Event(), [], 10**9
        tasks = [asyncio.create_task(holder.run(stop)) for holder in holders]
        for _ in range(kills):
            before = sum(len(holder.acknowledged) for holder in holders)
            until = time.monotonic() + 30
            while True:
                # A random moment, but never without traffic: a kill of an idle gateway proves nothing.
                await asyncio.sleep(dice.uniform(0.05, 0.35))
                acks = sum(len(holder.acknowledged) for holder in holders) - before
                if acks >= LEAST_ACKS_A_KILL or time.monotonic() > until:
                    break
            fewest = min(fewest, acks)
            gateway.send_signal(signal.SIGKILL)
            await asyncio.to_thread(gateway.wait)
            at = time.monotonic()
            gateway = await asyncio.to_thread(served.start)
            restarts.append(time.monotonic() - at)
        stop.set()
        await asyncio.gather(*tasks)
    finally:
        await asyncio.to_thread(finish, gateway)
        await asyncio.to_thread(finish, upstream)
    found = checked(state, [holder.client.grant for holder in holders])
    acknowledged = set[str]().union(*(holder.acknowledged for holder in holders))
    missing = len(acknowledged - found["uses"])
    refused = sorted({code for holder in holders for code in holder.refused})
    restarts.sort()
    return {
        "id": "crash",
        "value": {
            "acknowledged_missing": missing,
            "passes_spent_twice": found["passes_spent_twice"],
            "grants_with_wrong_gas": found["grants_with_wrong_gas"],
        },
        "n": kills,
        "seed": seed,
        "acknowledged": len(acknowledged),
        "fewest_acks_before_a_kill": fewest,
        "recovered_by_resend": sum(holder.recovered for holder in holders),
        "challenged": sum(holder.challenged for holder in holders),
        "refused": refused,
        "ledger_verified": found["ledger_verified"],
        "records": found["records"],
        "restart_p50_s": round(restarts[len(restarts) // 2], 3),
        "restart_p99_s": round(restarts[min(len(restarts) - 1, int(0.99 * len(restarts)))], 3),
        "passed": missing == found["passes_spent_twice"] == found["grants_with_wrong_gas"] == 0
        and found["ledger_verified"]
        and not refused
        and fewest >= LEAST_ACKS_A_KILL,
    }


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
