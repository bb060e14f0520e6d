"""How fast the kill switch is: from the moment a person pulls it to the last call that still went through.

    python -m bench kill --json [--rounds 100] [--clients 4]

Clients call an echo server through a whole gateway as fast as they can; at a random moment one scope is stopped over the broker's socket. Two
figures each round: how long the stop itself took until it was durable, and how long after it was pulled the last call was let out. A call that was
begun after the stop had returned and went through all the same would be a failure, not a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from bench.served import Client, Served, finish, ready

from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.apps.cli.reach import person
from jittrust.core.response.stop import StopScope
from jittrust.ports.driving import Driving

PIN = "482915"
LONGEST_SECONDS = 1.0
"""DESIGN: a revocation reaches every enforcement point of one process within this time."""


@dataclass
class Round:
    """What the clients saw: when each call that went through was begun and when its answer was there."""

    went: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0
    over: bool = False


async def caller(client: Client, http: aiohttp.ClientSession, seen: Round) -> None:
    """Call until the round is over; a refusal is waited out a moment."""
    while not seen.over:
        began = time.perf_counter()
        answer = await client.call(http, secrets.token_urlsafe(16), secrets.token_hex(8))
        client.live = answer.next_pass or client.live
        if answer.echoed:
            seen.went.append((began, time.perf_counter()))
        else:
            seen.refused += 1
            await asyncio.sleep(0.01)


async def one(
    served: Served, driving: Driving, scope: StopScope, clients: int, chance: random.Random
) -> dict[str, float]:
    """One round; times in milliseconds."""
    held = await served.grants([secrets.token_bytes(32) for _ in range(clients)])
    grant = next(g for g in await driving.grants.list() if g.id == held[0].grant)
    target = {StopScope.AGENT: "bench", StopScope.MISSION: grant.mission}.get(scope, grant.id)
    reached = held if scope in {StopScope.AGENT, StopScope.MISSION, StopScope.EVERYTHING} else held[:1]
    seen = Round()
    async with aiohttp.ClientSession() as http:
        callers = [asyncio.create_task(caller(client, http, seen)) for client in reached]
        await asyncio.sleep(0.1 + chance.random() * 0.2)
        for _ in range(300):  # a round without traffic before it proves nothing
            if seen.went:
                break
            await asyncio.sleep(0.01)
        before = len(seen.went)
        pulled = time.perf_counter()
        stopped = await driving.responses.stop(scope, target, "bench", person())
        durable = time.perf_counter()
        await asyncio.sleep(0.15)
        seen.over = True
        await asyncio.gather(*callers)
    await driving.responses.lift(stopped.stop.id, "bench", person(), PIN)
    last = max((end for _, end in seen.went), default=pulled)
    return {
        "stop_ms": (durable - pulled) * 1e3,
        "last_call_ms": max(0.0, (last - pulled) * 1e3),
        "begun_after": sum(begun > durable for begun, _ in seen.went),
        "before": before,
        "refused": seen.refused,
    }


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


async def campaign(state: Path, rounds: int, clients: int, seed: int) -> dict[str, Any]:
    """Rounds of every scope against one gateway."""
    from jittrust.adapters.files.pin import PinFile
    from jittrust.adapters.system.clock import SteadyClock

    chance = random.Random(seed)
    PinFile(state, SteadyClock()).set(PIN)
    served = Served.prepare(state)
    upstream, gateway = served.start_upstream(), served.start()
    try:
        await ready(state)
        connection = await join(state)
        driving = driving_of(connection)
        found: dict[str, Any] = {}
        for scope in StopScope:
            each = [await one(served, driving, scope, clients, chance) for _ in range(rounds)]
            found[str(scope)] = {
                "rounds": rounds,
                "stop_p99_ms": p99([r["stop_ms"] for r in each]),
                "last_call_p50_ms": sorted(r["last_call_ms"] for r in each)[rounds // 2],
                "last_call_p99_ms": p99([r["last_call_ms"] for r in each]),
                "begun_after": sum(r["begun_after"] for r in each),
                "calls_before": sum(r["before"] for r in each),
                "quiet_rounds": sum(r["before"] == 0 or r["refused"] == 0 for r in each),
            }
        await connection.close()
        return found
    finally:
        finish(gateway)
        upstream.kill()
        upstream.wait()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench kill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as state:
        found = asyncio.run(campaign(Path(state), options.rounds, options.clients, options.seed))
    passed = all(
        not scope["begun_after"] and not scope["quiet_rounds"] and scope["last_call_p99_ms"] <= LONGEST_SECONDS * 1e3
        for scope in found.values()
    )
    told = {"id": "kill", "passed": passed, "seed": options.seed, "n": options.rounds * len(found), "value": found}
    print(json.dumps(told, indent=None if options.json else 2))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
