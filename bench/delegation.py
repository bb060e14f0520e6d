"""Trees of grants that spend at once, killed now and then: is the sum exact, and how soon is a subtree dead?

    python -m bench delegation [--memory 900] [--sqlite 60] [--killed 40] [--seed 1]

A tree is a root and 16 delegates; everybody spends and hands on at the same time until nothing is left. Then, for every family, what the ledger says was
spent and what the store says is left must be what the root was given, and for every grant likewise. Killed trees run in a process that gets `kill -9`
at random moments and goes on with the same store; what it acknowledged before must be in the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.contract.stores import sqlite_store
from tests.model.world import SEED, SIGNER, World, allowing

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.core.errors import ConflictError, GasExhaustedError, PassSupersededError, RefusedError
from jittrust.core.grant import passes
from jittrust.core.grant.grant import Grant, Lane, PassBinding, Shown
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import OpenGrant
from jittrust.ports.decision_point import Decision, Passage
from jittrust.ports.grants import ChildGrant, NewGrant

DELEGATES = 16
GAS = 200
KEY = "k" * 43
_OVER = frozenset({"gas_exhausted", "ancestor_ended", "grant_not_active"})


def _name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:16]}"


@contextlib.asynccontextmanager
async def opened(folder: Path | None) -> AsyncIterator[World]:
    """A broker over a new store in memory, or over the one in a folder."""
    if folder is None:
        store = MemoryCommit(signer=SIGNER, origin="bench/delegation")
        yield await World(store, store, names=_name).open()  # type: ignore[arg-type]
        return
    async with sqlite_store(folder) as kept:
        yield await World(kept, kept, names=_name).open()  # type: ignore[arg-type]


async def _begin(w: World, trees: int) -> None:
    await w.join()
    await w.start(allowing("read_file"))
    for number in range(trees):
        new = NewGrant("ada", "agent", "srv", PassBinding.DPOP, KEY, gas=Gas(GAS), request=f"root-{number}")
        await w.broker.driving.grants.open(new)


def _shown(w: World, grant: str) -> Shown:
    lane = w.broker.state.lanes[grant, 0]
    live = passes.mint(SEED, w.broker.state.pass_generation, grant, 0, lane.seq)
    return Shown(PassBinding.DPOP, grant, live, w.clock(), _name("j"), KEY)


async def _call(w: World, grant: str) -> Decision:
    return await w.broker.driving.decisions.evaluate(w.ask("read_file", {"path": "plan.txt"}), _shown(w, grant))


class Tree:
    """One family at work."""

    def __init__(self, w: World, root: str, dice: random.Random, told: Any = None) -> None:  # noqa: ANN401
        self.w, self.root, self.dice, self.told = w, root, dice, told
        self.lost_races = 0
        family = [g.id for g in w.broker.state.grants.values() if g.family == root]
        self.left = DELEGATES - (len(family) - 1)
        self.members = family

    async def run(self) -> None:
        """Everybody spends and hands on until nothing is left."""
        self.tasks = [asyncio.ensure_future(self.live(name)) for name in self.members]
        for task in iter(lambda: next((t for t in self.tasks if not t.done()), None), None):
            await task
        for task in self.tasks:
            task.result()

    async def live(self, name: str) -> None:
        """One holder: mostly it calls, now and then it hands a part on, sometimes both at once."""
        while True:
            acts = [self.call(name)]
            if self.left > 0 and self.dice.random() < 0.5:
                self.left -= 1
                acts.append(self.hand(name))
            if (await asyncio.gather(*acts))[0] and self.w.broker.state.grants[name].gas_left == 0:
                return

    async def call(self, name: str) -> bool:
        """Whether nothing goes any more."""
        try:
            decision = await _call(self.w, name)
        except (PassSupersededError, ConflictError, GasExhaustedError):
            self.lost_races += 1
            return False
        if decision.passage is Passage.FORWARD and self.told is not None:
            self.told(decision.evaluation)
        return decision.passage is Passage.REFUSE and not _OVER.isdisjoint(decision.verdict.codes)

    async def hand(self, name: str) -> bool:
        """Hand a random part to one more delegate."""
        most = max(1, int(self.w.broker.state.grants[name].gas_left))
        child = ChildGrant(name, "agent", KEY, gas=Gas(self.dice.randint(1, most + 1)))
        try:
            issued = await self.w.broker.driving.grants.delegate(child, _shown(self.w, name))
        except (GasExhaustedError, PassSupersededError, ConflictError, RefusedError):
            self.left += 1
            await asyncio.sleep(0)
            return False
        self.members.append(issued.grant.id)
        self.tasks.append(asyncio.ensure_future(self.live(issued.grant.id)))
        return False


async def audit(w: World) -> dict[str, Any]:
    """Compare ledger and store, family by family and grant by grant."""
    grants = dict((await w.store.load()).grants)
    spent: dict[str, int] = defaultdict(int)
    acts: set[str] = set()
    for record in await _records(w):
        if record["kind"] in ("use", "refusal"):
            spent[record["grant"]["id"]] += record["grant"]["price"]
            acts.add(record["evaluation"])
    given: dict[str, int] = defaultdict(int)
    for grant in grants.values():
        given[grant.parent] += int(grant.gas_limit)
    wrong = [
        f"{g.id}: {g.gas_limit} given, {spent[g.id]} spent, {given[g.id]} handed on, {g.gas_left} left"
        for g in grants.values()
        if int(g.gas_limit) - spent[g.id] - given[g.id] != int(g.gas_left) or g.gas_left < 0
    ]
    for root in (g for g in grants.values() if not g.path):
        family = [g for g in grants.values() if g.family == root.id]
        if sum(spent[g.id] for g in family) != int(root.gas_limit) - sum(int(g.gas_left) for g in family):
            wrong.append(f"family {root.id}")
    return {
        "grants": len(grants),
        "calls": len(acts),
        "spent": sum(spent.values()),
        "left": sum(int(g.gas_left) for g in grants.values()),
        "deepest": max((len(g.path) for g in grants.values()), default=0),
        "wrong": wrong,
        "acts": acts,
    }


async def _records(w: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while batch := await w.ledger.entries(len(found), 1000):
        found += [json.loads(entry) for entry in batch]
    return found


async def spend(folder: Path | None, trees: int, seed: int, told: Any = None) -> dict[str, Any]:  # noqa: ANN401
    """So many trees on one store, all at once, to the end; goes on with what is there."""
    async with opened(folder) as w:
        roots = [g.id for g in w.broker.state.grants.values() if not g.path]
        if len(roots) < trees:
            if not w.broker.state.missions:
                await _begin(w, trees)
            else:
                for number in range(trees):
                    new = NewGrant("ada", "agent", "srv", PassBinding.DPOP, KEY, gas=Gas(GAS), request=f"root-{number}")
                    await w.broker.driving.grants.open(new)
            roots = [g.id for g in w.broker.state.grants.values() if not g.path]
        dice = random.Random(seed)
        work = [Tree(w, root, dice, told) for root in roots]
        await asyncio.gather(*(tree.run() for tree in work))
        found = await audit(w)
        return {**found, "lost_races": sum(tree.lost_races for tree in work)}


def killed(folder: Path, trees: int, kills: int, seed: int) -> dict[str, Any]:
    """The same in a process that is killed so often, then to the end."""
    dice, acknowledged, done = random.Random(seed), set[str](), 0
    for turn in itertools.count():
        command = [
            sys.executable,
            "-m",
            "bench.delegation",
            "--worker",
            str(folder),
            "--trees",
            str(trees),
            "--seed",
            str(turn),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            limit = dice.randint(1, trees * 3) if done < kills else 0
            for seen, line in enumerate(process.stdout or (), 1):
                if line.endswith("\n") and not line.startswith("{"):
                    acknowledged.add(line.strip())
                if seen == limit:
                    process.send_signal(signal.SIGKILL)
                    done += 1
        if process.returncode == 0:
            break
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the worker ended with {process.returncode}")
    found = asyncio.run(_looked_at(folder))
    missing = acknowledged - found["acts"]
    return {**found, "kills": done, "acknowledged": len(acknowledged), "missing": len(missing)}


async def _looked_at(folder: Path) -> dict[str, Any]:
    async with opened(folder) as w:
        return await audit(w)


async def revoked(rounds: int, seed: int, folder: Path | None) -> dict[str, Any]:
    """End a root while 16 below it spend: how long after it was asked for did the last call get out, and did any that began later?"""
    dice, late, after = random.Random(seed), 0, [0.0]
    async with opened(folder) as w:
        await w.join()
        await w.start(allowing("read_file"))
        for _ in range(rounds):
            new = NewGrant("ada", "agent", "srv", PassBinding.DPOP, KEY, may_act=("agent",))
            root = (await w.broker.driving.grants.open(new)).grant.id
            below = [root]
            for _ in range(DELEGATES):
                above = dice.choice([name for name in below[:8] if len(w.broker.state.grants[name].path) < 3])
                share = Gas(max(1, w.broker.state.grants[above].gas_left // 8))
                part = ChildGrant(above, "agent", KEY, gas=share, may_act=("agent",))
                below.append((await w.broker.driving.grants.delegate(part, None)).grant.id)
            allowed: list[tuple[float, float]] = []
            stop = asyncio.Event()

            async def spends(
                name: str, allowed: list[tuple[float, float]] = allowed, stop: asyncio.Event = stop
            ) -> None:
                while not stop.is_set():
                    begin = time.perf_counter()
                    decision = await _call(w, name)
                    if decision.passage is Passage.FORWARD:
                        allowed.append((begin, time.perf_counter()))
                    await asyncio.sleep(0)

            tasks = [asyncio.ensure_future(spends(name)) for name in below[1:]]
            await asyncio.sleep(dice.uniform(0.001, 0.02))
            asked = time.perf_counter()
            await w.broker.driving.grants.revoke(root, "enough", "ada")
            answered = time.perf_counter()
            await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*tasks)
            late += sum(begin > answered for begin, _ in allowed)
            after += [end - asked for _, end in allowed if end > asked]
    return {
        "rounds": rounds,
        "last_allow_after_revoke_ms_max": round(max(after) * 1e3, 3),
        "begun_later_and_allowed": late,
    }


async def costs() -> dict[str, Any]:
    """What ending a grant costs with how many below it, and a check at which depth; microseconds in memory."""
    ending: dict[str, float] = {}
    for below in (0, 100, 10_000):
        times = []
        for _ in range(5):
            async with opened(None) as w:
                await _begin(w, 1)
                root = next(iter(w.broker.state.grants.values()))
                for number in range(below):
                    await w.broker.state.change([_child(root, f"c-{number}")], [])
                begin = time.perf_counter()
                await w.broker.driving.grants.revoke(root.id, "enough", "ada")
                times.append(time.perf_counter() - begin)
        ending[str(below)] = round(min(times) * 1e6, 1)
    check: dict[str, float] = {}
    async with opened(None) as w:
        await _begin(w, 1)
        grant = next(iter(w.broker.state.grants.values()))
        for depth in range(9):
            if depth:
                made = _child(grant, f"d-{depth}")
                await w.broker.state.change([made], [])
                grant = made.grant
            begin = time.perf_counter()
            for _ in range(20_000):
                w.broker.state.in_force(grant, Instant(w.clock.now))
            check[str(depth)] = round((time.perf_counter() - begin) / 20_000 * 1e6, 3)
    return {"ending_us_by_number_below": ending, "path_check_us_by_depth": check}


def _child(parent: Grant, name: str) -> OpenGrant:
    part = replace(parent, id=name, path=(*parent.path, parent.id), gas_left=Gas(0), gas_limit=Gas(0), request="")
    return OpenGrant(part, Lane(name, 0, 0, parent.issued))


async def deep(times: int) -> dict[str, Any]:
    """A chain that wants to be ten thousand long."""
    codes: dict[str, int] = defaultdict(int)
    async with opened(None) as w:
        await _begin(w, 0)
        new = NewGrant("ada", "agent", "srv", PassBinding.DPOP, KEY, may_act=("agent",))
        name = (await w.broker.driving.grants.open(new)).grant.id
        for _ in range(times):
            try:
                part = ChildGrant(name, "agent", KEY, may_act=("agent",))
                name = (await w.broker.driving.grants.delegate(part, None)).grant.id
            except RefusedError as error:
                codes[error.code] += 1
        return {"asked": times, "reached": len(w.broker.state.grants[name].path), "refused": dict(codes)}


def _all_kinds(parts: dict[str, dict[str, Any]], scratch: Path, trees: dict[str, int], seed: int) -> None:
    for kind, count, together in (("memory", trees["memory"], 1), ("sqlite", trees["sqlite"], 20)):
        sums: dict[str, Any] = defaultdict(int)
        wrong: list[str] = []
        for number in range(0, count, together):
            folder = None if kind == "memory" else scratch / f"s{number}"
            found = asyncio.run(spend(folder, min(together, count - number), seed + number))
            wrong += found["wrong"]
            for name in ("grants", "calls", "spent", "left", "lost_races"):
                sums[name] += found[name]
            sums["deepest"] = max(sums["deepest"], found["deepest"])
        parts[kind] = {"trees": count, **sums, "wrong": wrong[:5], "wrong_count": len(wrong)}
    if on_killed := trees["killed"]:
        found = killed(scratch / "k", on_killed, max(3, on_killed // 2), seed)
        wrong = found.pop("wrong")
        found.pop("acts")
        parts["killed"] = {"trees": on_killed, **found, "wrong": wrong[:5], "wrong_count": len(wrong)}


def campaign(memory: int, sqlite: int, on_killed: int, seed: int) -> dict[str, Any]:
    """All of it."""
    begin = time.perf_counter()
    parts: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        _all_kinds(parts, Path(scratch), {"memory": memory, "sqlite": sqlite, "killed": on_killed}, seed)
    return {
        "bench": "delegation",
        "seed": seed,
        "trees": memory + sqlite + on_killed,
        "delegates": DELEGATES,
        **parts,
        "sums_wrong": sum(part["wrong_count"] for part in parts.values()),
        "acknowledged_missing": parts.get("killed", {}).get("missing", 0),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def main() -> int:
    """Print one JSON line; 1 when any sum is wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--memory", type=int, default=900, help="trees in memory")
    options.add_argument("--sqlite", type=int, default=60, help="trees on disk")
    options.add_argument("--killed", type=int, default=40, help="trees in a process that is killed")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--trees", type=int, default=1, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.worker is not None:
        found = asyncio.run(spend(chosen.worker, chosen.trees, chosen.seed, lambda act: print(act, flush=True)))
        print(json.dumps({name: value for name, value in found.items() if name != "acts"}), flush=True)
        return 0
    found = campaign(chosen.memory, chosen.sqlite, chosen.killed, chosen.seed)
    found["revoke_memory"] = asyncio.run(revoked(50, chosen.seed, None))
    with tempfile.TemporaryDirectory() as folder:
        found["revoke_sqlite"] = asyncio.run(revoked(10, chosen.seed, Path(folder) / "s"))
    found["depth"] = asyncio.run(deep(10_000))
    found |= asyncio.run(costs())
    print(json.dumps(found))
    late = found["revoke_memory"]["begun_later_and_allowed"] + found["revoke_sqlite"]["begun_later_and_allowed"]
    return int(bool(found["sums_wrong"] or found["acknowledged_missing"] or late))


if __name__ == "__main__":
    sys.exit(main())
