"""Races on one pass through a whole gateway: client processes that all hold key and pass and show them at the same moment.

    python -m bench race --races 2000 [--clients 4] [--json]

Exactly one wins a race: it is let out and pays. Every other one is challenged and pays nothing. At the end the gas is what the ledger says, and
the ledger verifies. The store's own races, tens of thousands of them, are in bench/races.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import secrets
import sys
import tempfile
import time
from collections.abc import MutableMapping
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from typing import Any

import aiohttp
from bench.served import Client, Served, checked, finish, ready

from jittrust.core.grant import passes
from jittrust.core.grant.grant import Strictness
from jittrust.core.grant.proof import Ed25519Signer


def contender(
    held: tuple[str, str, str, str],
    secret: bytes,
    races: int,
    gate: Barrier,
    live: MutableMapping[str, str],
    results: Queue[tuple[str, str | None]],
) -> None:
    """One client process: shows the pass it was given in each race and says how it went."""
    url, grant, token, first = held
    client = Client(url, Ed25519Signer.from_secret(secret), grant, token, first)

    async def run() -> None:
        async with aiohttp.ClientSession() as http:
            for race in range(races):
                # Blocks the loop on purpose: all processes start each race together.
                gate.wait()
                answer = await client.call(
                    http, secrets.token_urlsafe(16), f"{race} {secrets.token_hex(4)}", live["pass"]
                )
                results.put(("won" if answer.echoed else str(answer.status), answer.next_pass))
                gate.wait()

    asyncio.run(run())


def newest(state: Path, given: list[str]) -> str:
    """The pass with the highest number: whoever was answered last holds it."""
    key = bytes.fromhex((state / "keys" / "passes").read_text().strip())
    return max((found.seq, one) for one in given if (found := passes.read(key, 1, one)) is not None)[1]


def campaign(state: Path, races: int, clients: int) -> dict[str, Any]:
    """Race `clients` processes for one pass, `races` times."""
    served = Served.prepare(state)
    upstream, gateway = served.start_upstream(), served.start()
    spawn = multiprocessing.get_context("spawn")
    try:
        secret = secrets.token_bytes(32)

        async def opened() -> Client:
            await ready(state)
            return (await served.grants([secret], Strictness.STRICT))[0]

        client = asyncio.run(opened())
        held = (client.url, client.grant, client.token, client.live)
        with spawn.Manager() as shared:
            gate, live, results = spawn.Barrier(clients + 1), shared.dict(), shared.Queue()
            live["pass"] = client.live
            workers = [
                spawn.Process(target=contender, args=(held, secret, races, gate, live, results)) for _ in range(clients)
            ]
            for worker in workers:
                worker.start()
            winners: list[int] = []
            told: dict[str, int] = {}
            for _ in range(races):
                gate.wait(120)
                gate.wait(120)
                answers = [results.get(timeout=60) for _ in range(clients)]
                winners.append(sum(outcome == "won" for outcome, _ in answers))
                for outcome, _ in answers:
                    told[outcome] = told.get(outcome, 0) + 1
                live["pass"] = newest(state, [given for _, given in answers if given])
            for worker in workers:
                worker.join(30)
    finally:
        finish(gateway)
        finish(upstream)
    found = checked(state, [client.grant])
    return {
        "id": "race",
        "value": {"one_winner": winners.count(1), "none": winners.count(0), "more": sum(one > 1 for one in winners)},
        "n": races,
        "clients": clients,
        "answers": told,
        **{name: found[name] for name in ("passes_spent_twice", "grants_with_wrong_gas", "ledger_verified")},
        "passed": winners.count(1) == races
        and found["passes_spent_twice"] == found["grants_with_wrong_gas"] == 0
        and found["ledger_verified"],
    }


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
