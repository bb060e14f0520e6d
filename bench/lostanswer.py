"""Answers lost at every point of a call: does an honest client always get on, and does it pay once?

    python -m bench lostanswer --losses 1000 [--json]

A broker on a real SQLite store lives in a process that is forked for it. At the point named it is killed with `kill -9`, or, where that makes sense, only the
connection is lost. The client then does what the rules say: it shows the same pass with the same request again. It must be given the answer, be told
that the call is in doubt, or be challenged and have the call carried out then; it is never accused. Every call is debited once, and carried out once
(a kill after the debit and before the server was asked: at most once).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TextIO

from tests.contract.stores import sqlite_store
from tests.model.world import Clock, World, allowing

import jittrust.adapters.sqlite.commit as sqlite_commit
from jittrust.adapters.sqlite.schema import MIGRATIONS
from jittrust.core.grant.grant import Strictness
from jittrust.core.rules import GrantRules, Rules
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.ports.commit import Change, Committed, SpendPass, Write
from jittrust.ports.decision_point import Passage

POINTS = {
    "before_read": ("kill", "drop"),
    "before_cas": ("kill",),
    "after_cas": ("kill",),
    "before_fsync": ("kill",),
    "after_fsync": ("kill",),
    "before_upstream": ("kill", "drop"),
    "before_write": ("kill", "drop"),
    "mid_write": ("kill", "drop"),
    "after_write": ("kill", "drop"),
}
RULES = Rules(grants=GrantRules(gas=2**40, ttl=Seconds(86_400)))
# The client's own patience, in tries: a broker that does not answer after so many is a fault.
TRIES = 6


@dataclass
class WallClock(Clock):
    """The real time, across processes."""

    def __call__(self) -> Instant:  # noqa: D102 - as its base
        return Instant(time.time())


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


@dataclass
class Dying:
    """The store with a place at which its process ends. `armed` names it."""

    inner: sqlite_commit.SqliteCommit
    armed: str = ""

    async def commit(self, change: Change) -> Committed:
        """See `Commit.commit`."""
        spends = any(isinstance(write, SpendPass) for write in change.writes)
        if spends and self.armed == "before_cas":
            _die()
        done = await self.inner.commit(change)
        if spends and self.armed == "after_fsync":
            _die()
        return done

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - everything else is the store's
        return getattr(self.inner, name)


def _watch_inside(dying: list[Dying]) -> None:
    """Let the process end inside the store's transaction: after the conditional write, or as it begins to be made durable."""
    inside = vars(sqlite_commit)
    apply_write, open_database = inside["apply_write"], inside["open_database"]

    def applied(db: sqlite3.Connection, write: Write) -> Gas | None:
        left: Gas | None = apply_write(db, write)
        if isinstance(write, SpendPass) and dying and dying[0].armed == "after_cas":
            _die()
        return left

    def opened(path: Path, migrations: tuple[str, ...] = MIGRATIONS) -> sqlite3.Connection:
        db: sqlite3.Connection = open_database(path, migrations)

        def begins(statement: str) -> None:
            if statement == "COMMIT" and dying and dying[0].armed == "before_fsync":
                _die()

        db.set_trace_callback(begins)
        return db

    inside |= {"apply_write": applied, "open_database": opened}


def serve(state: Path, line: socket.socket, others: socket.socket, *, first: bool) -> None:
    """The broker's process: one request a line, one answer a line, until it is killed or the other side leaves."""
    others.close()  # inherited: held open here, it would hide that the client has left
    dying: list[Dying] = []
    _watch_inside(dying)

    async def run() -> None:
        reader, writer = await asyncio.open_connection(sock=line)
        async with sqlite_store(state) as store:
            dying.append(Dying(store))
            w = await World(dying[0], store, clock=WallClock(), rules=RULES, names=_Names()).open()  # type: ignore[arg-type]
            if first:
                await w.join()
                await w.start(allowing("read_file"))
                for kind in Strictness:
                    issued = await w.grant(kind)
                    writer.write(_line({"grant": issued.grant.id, "pass": issued.first_pass}))
                await writer.drain()
            with (state / "effects").open("a") as effects:
                while raw := await reader.readline():
                    await _answer(w, json.loads(raw), effects, writer, dying[0])

    with contextlib.suppress(ConnectionError):
        asyncio.run(run())


@dataclass
class _Names:
    """Names that no process before has given."""

    made: int = 0

    def __call__(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}-{os.getpid()}-{self.made}"


async def _answer(w: World, asked: dict[str, Any], effects: TextIO, writer: asyncio.StreamWriter, dying: Dying) -> None:
    point, kill = asked["point"], asked["how"] == "kill"

    def lost(here: str) -> bool:
        if here != point:
            return False
        if kill:
            _die()
        return True

    if lost("before_read"):
        writer.write(_line({"lost": True}))
        return
    dying.armed = point if kill else ""
    decision = await w.show(asked["grant"], asked["pass"], "read_file", {"path": asked["text"]})
    dying.armed = ""
    answer: dict[str, Any] = {"passage": str(decision.passage), "pass": decision.next_pass, "text": ""}
    if decision.passage is Passage.RESEND and decision.answer is not None:
        answer["text"] = decision.answer.decode()
    if decision.passage is Passage.FORWARD:
        gone = lost("before_upstream")  # the caller has left, and the call goes on without it
        effects.write(asked["text"] + "\n")
        effects.flush()
        learned = await w.settle(decision, asked["text"], answer=asked["text"].encode())
        answer |= {"pass": learned.next_pass, "text": asked["text"]}
        if gone:
            answer = {"lost": True}
    if lost("before_write"):
        answer = {"lost": True}
    whole = _line(answer)
    if point == "mid_write":
        writer.write(whole[: len(whole) // 2])
        await writer.drain()
        if kill:
            _die()
        writer.write(b"\n")
        return
    writer.write(whole)
    await writer.drain()
    if point == "after_write":
        if kill:
            _die()
        return


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"


@dataclass
class Honest:
    """The client: it shows the same pass with the same request until somebody answers."""

    state: Path
    process: BaseProcess | None = None
    line: socket.socket | None = None
    pending: bytes = b""
    told: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def start(self, *, first: bool = False) -> None:
        """A new broker process."""
        mine, theirs = socket.socketpair()
        fork = multiprocessing.get_context("fork")
        self.process = fork.Process(target=serve, args=(self.state, theirs, mine), kwargs={"first": first})
        self.process.start()
        theirs.close()
        mine.settimeout(30)
        self.line, self.pending = mine, b""

    def read(self) -> dict[str, Any] | None:
        """The next answer; None when the line broke, or carried half of one."""
        assert self.line is not None
        while b"\n" not in self.pending:
            try:
                more = self.line.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                return None
            self.pending += more
        raw, _, self.pending = self.pending.partition(b"\n")
        try:
            found: dict[str, Any] = json.loads(raw)
        except ValueError:
            return None
        return None if found.get("lost") else found

    def ask(self, grant: str, shown: str, text: str, point: str, how: str) -> dict[str, Any] | None:
        """One request; what came back, if anything did."""
        assert self.line is not None
        assert self.process is not None
        with contextlib.suppress(ConnectionError):
            self.line.sendall(_line({"grant": grant, "pass": shown, "text": text, "point": point, "how": how}))
        found = self.read()
        if point == "after_write":
            found = None  # it was written, and never arrived
        if how == "kill":
            self.process.join(30)
            self.line.close()
            self.start()
        return found

    def call(self, grant: str, shown: str, text: str, point: str, how: str) -> str:
        """One call whose first answer is lost; the pass to go on with."""
        found = self.ask(grant, shown, text, point, how)
        if found is not None:
            self.faults.append(f"{point}/{how}: an answer came")
        for _ in range(TRIES):
            found = self.ask(grant, shown, text, "", "")
            if found is None:
                continue
            self.told[found["passage"]] += 1
            if found["passage"] == "challenge":
                shown = found["pass"]
                continue
            if found["passage"] not in ("forward", "resend") or not found["pass"]:
                break
            if found["passage"] == "resend" and not found["text"]:
                self.told["in_doubt"] += 1
            return str(found["pass"])
        self.faults.append(f"{point}/{how}: {found}")
        return shown

    def stop(self) -> None:
        """End the process in peace."""
        if self.line is not None:
            self.line.close()
        if self.process is not None:
            self.process.join(30)


def campaign(state: Path, losses: int, points: Sequence[str] = tuple(POINTS)) -> dict[str, Any]:
    """Lose `losses` answers at every point."""
    client = Honest(state)
    client.start(first=True)
    held = [client.read() for _ in Strictness]
    by_point: dict[str, Any] = {}
    calls = 0
    began = time.monotonic()
    for point in points:
        hows = POINTS[point]
        client.told = Counter()
        faults = len(client.faults)
        for number in range(losses):
            one = held[number % len(held)]
            assert one is not None
            how = hows[number // len(held) % len(hows)]
            one["pass"] = client.call(one["grant"], one["pass"], f"{point} {number}", point, how)
            calls += 1
        by_point[point] = {"n": losses, "recovered": losses - (len(client.faults) - faults), "told": dict(client.told)}
        print(point, by_point[point], file=sys.stderr, flush=True)
    client.stop()
    found = _checked(state, calls)
    return {
        "id": "lostanswer",
        "n": calls,
        "value": by_point,
        **found,
        "faults": client.faults[:10],
        "passed": not client.faults and not any(found.values()),
        "wall_s": round(time.monotonic() - began, 1),
    }


def _checked(state: Path, calls: int) -> dict[str, int]:
    """What must all be 0."""
    with sqlite3.connect(f"file:{state / 'store.db'}?mode=ro", uri=True) as db:
        leaves = [json.loads(leaf) for (leaf,) in db.execute("SELECT leaf FROM record")]
        left = dict(db.execute("SELECT id, gas_left FROM access_grant"))
        reused = db.execute("SELECT count(*) FROM access_grant WHERE state <> 'active'").fetchone()[0]
    uses = [row for row in leaves if row["kind"] in ("use", "refusal")]
    paid: Counter[str] = Counter()
    for row in uses:
        paid[row["grant"]["id"]] += row["grant"]["price"]
    limits = {row["grant"]: row["gas_limit"] for row in leaves if row["kind"] == "grant" and row["what"] == "opened"}
    effects = Counter((state / "effects").read_text().splitlines())
    return {
        "debited_twice": len(uses) - calls if len(uses) > calls else 0,
        "not_debited": calls - len(uses) if len(uses) < calls else 0,
        "carried_out_twice": sum(count > 1 for count in effects.values()),
        "grants_with_wrong_gas": sum(limits[grant] - paid[grant] != left[grant] for grant in limits),
        "grants_ended": reused,
        "reuse_recorded": sum(row["kind"] == "pass" and row["what"] == "reuse" for row in leaves),
    }


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", type=int, default=100)
    parser.add_argument("--points", default=",".join(POINTS), help="some of them, separated by commas")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jittrust-lost-") as folder:
        state = Path(folder) / "state"
        state.mkdir(mode=0o700)
        result = campaign(state, chosen.losses, chosen.points.split(","))
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
