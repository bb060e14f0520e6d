"""How fast is a durable commit, and how close to what this disk can do at all? How fast is a ledger verified?

    python -m bench.store [--seconds 3] [--json]

The floor is a 4 KiB append with fdatasync in the same folder in the same run: no store that keeps its word can be faster one at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import stored

from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.adapters.sqlite.ledger_file import LedgerFile
from jittrust.core.ledger.verify import LedgerVerified, verify


def _spread(took: Sequence[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
    }


def floor(folder: Path, seconds: float) -> dict[str, object]:
    """Appends of 4 KiB with fdatasync."""
    took: list[float] = []
    handle = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT, 0o600)
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        os.write(handle, bytes(4096))
        os.fdatasync(handle)
        took.append(time.perf_counter() - began)
    os.close(handle)
    return {"per_s": round(len(took) / sum(took)), **_spread(took)}


async def commits(store: SqliteCommit, lanes: Sequence[int], seqs: dict[int, int], seconds: float) -> dict[str, object]:
    """Commits from one task a lane, each as fast as it can."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def one(lane: int) -> None:
        while (began := time.perf_counter()) < end:
            await store.commit(stored.use("g-0", lane, seqs[lane], 1, f"{lane}-{seqs[lane]}"))
            took.append(time.perf_counter() - began)
            seqs[lane] += 1

    began = time.perf_counter()
    await asyncio.gather(*map(one, lanes))
    return {"in_flight": len(lanes), "per_s": round(len(took) / (time.perf_counter() - began)), **_spread(took)}


def measure(state: Path, seconds: float) -> dict[str, object]:
    """All figures, one after another on one folder."""
    result: dict[str, object] = {"id": "store"}
    with stored.locked_store(state) as store:
        result["fdatasync_floor"] = floor(state, seconds)

        async def load() -> None:
            await store.commit(stored.opening(1, 64))
            seqs = dict.fromkeys(range(64), 0)
            for flight in (1, 8, 64):
                result[f"commit_{flight}"] = await commits(store, range(flight), seqs, seconds)
            began = time.perf_counter()
            await store.load()
            result["load_ms"] = round((time.perf_counter() - began) * 1000, 1)
            await store.close()

        asyncio.run(load())
    with LedgerFile(state / "store.db") as ledger:
        leaves, note, some = list(ledger.leaves()), ledger.checkpoint() or "", ledger.checkpoints(50)
    began = time.perf_counter()
    checked = verify(leaves, note, stored.SIGNER.key, some)
    took = time.perf_counter() - began
    if not isinstance(checked, LedgerVerified):
        raise SystemExit(str(checked))
    result["verify"] = {
        "records": len(leaves),
        "bytes_each": round(sum(map(len, leaves)) / len(leaves)),
        "per_s": round(len(leaves) / took),
    }
    return result


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder) / "state", asked.seconds)
    print(json.dumps(result) if asked.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
