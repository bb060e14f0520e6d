"""Kill -9 under load, again and again: does anything live twice, or is anything that was acknowledged missing?

    python -m bench.crash_store --kills 200 [--json]

A child process opens the store and spends passes from 64 tasks as fast as it can; what was acknowledged it writes to a pipe. It is killed after a
random moment, the next one goes on with the same state. After each kill, and thoroughly at the end, everything is compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import stored

ROOT = Path(__file__).parents[1]
GRANTS, LANES = 8, 8
LEAST_ACKS_A_KILL = 20  # without traffic before it, a kill proves nothing


async def _spend_for_ever(state: Path, run: int) -> None:
    with stored.locked_store(state) as store:
        found = await store.load()
        if not found.grants:
            await store.commit(stored.opening(GRANTS, LANES))
            found = await store.load()
        if store.restored or found.pass_generation != 1:
            os.write(1, b"restored\n")

        async def one(grant: str, lane: int, seq: int) -> None:
            while True:
                name = f"{run}-{grant}-{lane}-{seq}"
                done = await store.commit(stored.use(grant, lane, seq, 1 + seq % 7, name))
                # One short write to a pipe is whole or not there.
                os.write(1, f"{grant} {lane} {seq} {name} {done.records[0]}\n".encode())
                seq += 1

        await asyncio.gather(*(one(lane.grant, lane.number, lane.seq) for lane in found.lanes.values()))


def campaign(state: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill `kills` brokers one after another on one state."""
    dice = random.Random(seed)
    acknowledged: list[tuple[str, int, int, str, int]] = []
    false_restores = 0
    restarts: list[float] = []
    fewest = 10**9
    for run in range(kills):
        began = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.crash_store", "--child", str(state.absolute()), str(run)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        restarts.append(time.monotonic() - began)
        time.sleep(dice.uniform(0.02, 0.25))
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        child.stdout.close()
        lines = (first + rest).splitlines()
        false_restores += lines.count(b"restored")
        acks = [line.split() for line in lines if line != b"restored"]
        fewest = min(fewest, len(acks))
        acknowledged.extend((g.decode(), int(n), int(s), u.decode(), int(i)) for g, n, s, u, i in acks)
    faults = stored.faults(state / "store.db", acknowledged)
    restarts.sort()
    return {
        "id": "crash_store",
        "kills": kills,
        "seed": seed,
        "acknowledged": len(acknowledged),
        "faults": faults,
        "false_restores": false_restores,
        "floor_met": len(acknowledged) >= LEAST_ACKS_A_KILL * kills,
        "fewest_acks_of_a_kill": fewest,
        "restart_p50_s": round(restarts[len(restarts) // 2], 3),
        "restart_max_s": round(restarts[-1], 3),
    }


def main() -> int:
    """Run the campaign, print what was found; 1 if anything was."""
    if sys.argv[1:2] == ["--child"]:
        asyncio.run(_spend_for_ever(Path(sys.argv[2]), int(sys.argv[3])))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = campaign(Path(folder) / "state", asked.kills, asked.seed)
    print(json.dumps(result) if asked.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return int(bool(result["faults"] or result["false_restores"] or not result["floor_met"]))


if __name__ == "__main__":
    sys.exit(main())
