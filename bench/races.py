"""Races on one pass: many contenders in several threads, each with its own event loop, exactly one winner each time.

python -m bench.races --races 10000 [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench import stored

from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.core.errors import PassSupersededError

THREADS, TASKS, LANES = 4, 2, 50


def _contend(
    store: SqliteCommit, thread: int, rounds: int, gate: threading.Barrier, won: list[tuple[str, int, int, str, int]]
) -> None:
    async def one(lane: int, seq: int, task: int) -> None:
        name = f"{thread}-{task}-{lane}-{seq}"
        # Each contender pays another price, so the gas tells who won.
        await asyncio.sleep(0.002 * dice.random())
        change = stored.use("g-0", lane, seq, 1 + thread * TASKS + task, name)
        try:
            done = await store.commit(change)
        except PassSupersededError:
            return
        won.append(("g-0", lane, seq, name, done.records[0]))

    dice = random.Random(thread)

    async def all_rounds() -> None:
        starters = [(lane, task) for lane in range(LANES) for task in range(TASKS)]
        for seq in range(rounds):
            dice.shuffle(starters)
            gate.wait()  # blocks the loop on purpose: all threads start each round together
            await asyncio.gather(*(one(lane, seq, task) for lane, task in starters))

    asyncio.run(all_rounds())


def campaign(state: Path, races: int) -> dict[str, object]:
    """Run at least `races` races; LANES of them at a time."""
    rounds = -(-races // LANES)
    won: list[list[tuple[str, int, int, str, int]]] = [[] for _ in range(THREADS)]
    began = time.monotonic()
    with stored.locked_store(state) as store:
        asyncio.run(store.commit(stored.opening(1, LANES)))
        gate = threading.Barrier(THREADS)
        threads = [threading.Thread(target=_contend, args=(store, n, rounds, gate, won[n])) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(store.close())
    winners = [entry for mine in won for entry in mine]
    faults = stored.faults(state / "store.db", winners)
    if len(winners) != rounds * LANES:
        faults.append(f"{len(winners)} winners in {rounds * LANES} races")
    return {
        "id": "races",
        "races": rounds * LANES,
        "contenders": THREADS * TASKS,
        "threads": THREADS,
        "winners": len(winners),
        "winners_by_thread": [len(mine) for mine in won],
        "faults": faults,
        "seconds": round(time.monotonic() - began, 2),
    }


def main() -> int:
    """Run the campaign, print what was found; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = campaign(Path(folder) / "state", asked.races)
    print(json.dumps(result) if asked.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return int(bool(result["faults"]))


if __name__ == "__main__":
    sys.exit(main())
