"""Races on one pass: 2 to 32 holders show it at once, and exactly one buys a call and pays, each time.

    python -m bench races --races 10000 [--store sqlite|memory|both] [--json]

On SQLite the holders are in several threads, each with its own event loop, and meet in the store itself. In memory they meet in a whole broker: the
losers are challenged, and nothing but the winner's price is gone.
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
from typing import Any

from bench import stored
from tests.model.world import SEED, allowing, world

from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.core.errors import PassSupersededError
from jittrust.core.grant import passes
from jittrust.core.grant.grant import Strictness
from jittrust.core.rules import GrantRules, Rules
from jittrust.ports.decision_point import Decision, Passage

THREADS, LANES = 4, 48
# Holders of one pass; lanes take them in turn.
HOLDERS = (2, 3, 4, 8, 16, 32)


def _number(text: str, generation: int) -> int:
    found = passes.read(SEED, generation, text)
    return -1 if found is None else found.seq


def _holders(lane: int) -> int:
    return HOLDERS[lane % len(HOLDERS)]


def _contend(
    store: SqliteCommit, thread: int, rounds: int, gate: threading.Barrier, won: list[tuple[str, int, int, str, int]]
) -> None:
    async def one(lane: int, seq: int, holder: int) -> None:
        name = f"{holder}-{lane}-{seq}"
        # Each contender pays another price, so the gas tells who won.
        await asyncio.sleep(0.002 * dice.random())
        change = stored.use("g-0", lane, seq, 1 + holder, name)
        try:
            done = await store.commit(change)
        except PassSupersededError:
            return
        won.append(("g-0", lane, seq, name, done.records[0]))

    dice = random.Random(thread)

    async def all_rounds() -> None:
        mine = ((lane, holder) for lane in range(LANES) for holder in range(_holders(lane)))
        starters = [(lane, holder) for lane, holder in mine if (lane + holder) % THREADS == thread]
        for seq in range(rounds):
            dice.shuffle(starters)
            gate.wait()  # blocks the loop on purpose: all threads start each round together
            await asyncio.gather(*(one(lane, seq, holder) for lane, holder in starters))

    asyncio.run(all_rounds())


async def in_memory(races: int) -> dict[str, object]:
    """Run `races` races through a broker in memory, whose enforcement points all ask at once."""
    w = await world(rules=Rules(grants=GrantRules(gas=2**40)))
    await w.join()
    await w.start(allowing("read_file"))
    issued = await w.grant(Strictness.STRICT)
    live, began = issued.first_pass, time.monotonic()
    faults: list[str] = []
    paid, shown = 0, 0
    for race in range(races):
        w.clock.now += 0.001
        holders = _holders(race)
        gas = int(w.broker.state.grants[issued.grant.id].gas_left)
        answers: list[Decision] = await asyncio.gather(
            *(w.show(issued.grant.id, live, "read_file", {"path": f"{race}-{holder}"}) for holder in range(holders))
        )
        shown += holders
        won = [one for one in answers if one.passage is Passage.FORWARD]
        lost = [one for one in answers if one.passage is Passage.CHALLENGE]
        left = int(w.broker.state.grants[issued.grant.id].gas_left)
        if (len(won), len(lost)) != (1, holders - 1) or gas - left != won[0].verdict.price:
            faults.append(f"race {race}: {len(won)} won, {len(lost)} were challenged, {gas - left} gas is gone")
            break
        paid += int(won[0].verdict.price)
        await w.settle(won[0])
        live = max(
            (one.next_pass or "" for one in answers), key=lambda one: _number(one, w.broker.state.pass_generation)
        )
    left = int(w.broker.state.grants[issued.grant.id].gas_left)
    if int(issued.grant.gas_limit) - left != paid:
        faults.append(f"{int(issued.grant.gas_limit) - left} gas is gone, {paid} was paid")
    spent = [seq for seq, _ in (await w.paid())[issued.grant.id]]
    if len(spent) != len(set(spent)) or len(spent) != races:
        faults.append(f"{len(spent)} uses of {len(set(spent))} passes are in the ledger, {races} races were run")
    return {"races": races, "shown": shown, "faults": faults, "seconds": round(time.monotonic() - began, 2)}


def campaign(state: Path, races: int) -> dict[str, object]:
    """Run at least `races` races; LANES of them at a time."""
    rounds = -(-races // LANES)
    won: list[list[tuple[str, int, int, str, int]]] = [[] for _ in range(THREADS)]
    began = time.monotonic()
    with stored.locked_store(state, deadline_s=300.0) as store:
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
        "races": rounds * LANES,
        "shown": rounds * sum(_holders(lane) for lane in range(LANES)),
        "threads": THREADS,
        "winners": len(winners),
        "winners_by_thread": [len(mine) for mine in won],
        "faults": faults,
        "seconds": round(time.monotonic() - began, 2),
    }


def main() -> int:
    """Run the campaign, print what was found; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=10_000, help="of each kind")
    parser.add_argument("--store", choices=("sqlite", "memory", "both"), default="both")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    value: dict[str, Any] = {}
    if asked.store != "memory":
        with tempfile.TemporaryDirectory() as folder:
            value["sqlite"] = campaign(Path(folder) / "state", asked.races)
    if asked.store != "sqlite":
        value["memory"] = asyncio.run(in_memory(asked.races))
    passed = not any(one["faults"] for one in value.values())
    result = {"id": "races", "n": sum(one["races"] for one in value.values()), "value": value, "passed": passed}
    print(json.dumps(result, indent=None if asked.json else 2))
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
