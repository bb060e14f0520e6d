"""Stock DPoP clients with parallel callers through a network that delays: how often is an honest one suspended, and is a thief always caught?

    python -m bench stock --client python|node|simulated|thief --calls 1000 [--callers 8] [--idle 0] [--json]

`python` is requests-oauth2client (threads), `node` npm oauth4webapi (promises), both as they come, against a whole `jittrust serve` through a proxy that
holds back each piece of a connection for its own time, so answers on different connections overtake each other. `--idle` makes them call in bursts with up
to so many seconds between. `simulated` puts clients of both kinds in front of a broker in memory, on a clock that does not wait: the same code decides, the
delays are those of a bad mobile network; who takes passes from challenges only also reads one answer in 500 up to ten seconds late. `thief` copies the key
of an owner of each kind in several ways.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from bench.served import Answer, Client, Served, finish, free_port, ready
from tests.model.world import Clock, World, world

from jittrust.adapters.sqlite.ledger_file import LedgerFile
from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.apps.cli.reach import person
from jittrust.core.grant.grant import PassBinding, Shown, Strictness
from jittrust.core.grant.proof import Ed25519Signer
from jittrust.core.mission.mission import GoalSource
from jittrust.core.rules import GrantRules, Rules
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.ports.decision_point import Passage
from jittrust.ports.grants import NewGrant
from jittrust.ports.missions import NewMission

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
GAS = Gas(1_000_000)
LIFE = Seconds(3600)


# ---- the network --------------------------------------------------------------------------------------------------------------------------------


@dataclass
class Jitter:
    """A proxy between clients and the gateway. Each piece that arrives is handed on after a time of its own, in order within its connection."""

    port: int
    target: int
    dice: random.Random
    mean_s: float = 0.004
    late_share: float = 0.01
    late_s: float = 0.25
    pieces: int = 0

    def delay(self) -> float:
        """Exponential, and now and then a lost packet's worth."""
        late = self.dice.uniform(self.late_s / 2, self.late_s) if self.dice.random() < self.late_share else 0.0
        return self.dice.expovariate(1 / self.mean_s) + late

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                self.pieces += 1
                await asyncio.sleep(self.delay())
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._hand_on(reader, back), self._hand_on(there, writer))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()


# ---- the clients that nobody here wrote ---------------------------------------------------------------------------------------------------------


def command(client: str, url: str, calls: int, callers: int, idle: float) -> list[str]:
    """How the client is started."""
    how = [url, str(calls), str(callers), str(idle)]
    if client == "python":
        return [sys.executable, str(HERE / "peers/stock_python.py"), *how]
    module = ROOT / ".tests/npm/node_modules/oauth4webapi/build/index.js"
    return [str(ROOT / ".tests/node"), str(HERE / "peers/stock_node.mjs"), str(module), *how]


async def opened(state: Path, jkt: str) -> tuple[str, str]:
    """A mission under which `echo` goes through and a stock grant for the key; the grant's id and token."""
    connection = await join(state)
    try:
        driving = driving_of(connection)
        await driving.missions.start(NewMission(person(), "Echo the text.", GoalSource.MISSION_START))
        issued = await driving.grants.open(
            NewGrant(person(), "bench", "echo", PassBinding.DPOP, jkt, Strictness.STOCK, gas=GAS, ttl=LIFE)
        )
        return issued.grant.id, issued.token
    finally:
        await connection.close()


async def through_the_network(
    client: str, state: Path, calls: int, callers: int, idle: float, seed: int
) -> dict[str, Any]:
    """Let a stock client make its calls."""
    served = Served.prepare(state)
    proxy = Jitter(free_port(), served.port, random.Random(seed))
    settings = json.loads((state / "jittrust.yaml").read_text())
    settings["listen"]["public_url"] = f"http://127.0.0.1:{proxy.port}"
    (state / "jittrust.yaml").write_text(json.dumps(settings))
    upstream = await asyncio.to_thread(served.start_upstream)
    gateway = await asyncio.to_thread(served.start)
    try:
        await ready(state)
        async with proxy.listening():
            url = f"http://127.0.0.1:{proxy.port}/mcp/echo"
            pipe = subprocess.PIPE
            peer = await asyncio.create_subprocess_exec(
                *command(client, url, calls, callers, idle), stdin=pipe, stdout=pipe
            )
            assert peer.stdin is not None
            assert peer.stdout is not None
            grant, token = await opened(state, json.loads(await peer.stdout.readline())["jkt"])
            peer.stdin.write(json.dumps({"token": token}).encode() + b"\n")
            told = json.loads(await peer.stdout.readline())
            await peer.wait()
    finally:
        await asyncio.to_thread(finish, gateway)
        await asyncio.to_thread(finish, upstream)
    with LedgerFile(state / "jittrust.db") as file:
        rows = [json.loads(leaf) for leaf in file.leaves()]
    passes = Counter(row["what"] for row in rows if row["kind"] == "pass")
    uses = [(row["grant"]["lane"], row["grant"]["seq"]) for row in rows if row["kind"] == "use"]
    suspended = sum(row["kind"] == "mission" and row["what"] == "suspended" for row in rows)
    killed = sum(row["kind"] == "grant" and row["what"] == "reused" for row in rows)
    return {
        "n": calls,
        "callers": callers,
        "idle_s": idle,
        "grant": grant,
        "answered": told.get("200", 0),
        "with_the_library's_own_retry": told.get("first", 0),
        "told": told,
        "passes": passes,
        "uses": len(uses),
        "uses_of_one_pass_twice": len(uses) - len(set(uses)),
        "suspended": suspended,
        "killed": killed,
        "pieces_delayed": proxy.pieces,
        "passed": suspended == killed == 0 and told.get("200", 0) == calls // callers * callers == len(uses),
    }


# ---- both kinds of clients on a clock that does not wait ------------------------------------------------------------------------------------------


class _Leaping(selectors.DefaultSelector):
    """Waits for nothing: where the loop would sleep, its time moves on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found: list[Any] = super().select(0)
        if not found and timeout is not None and timeout > 0:
            self.now += timeout
        return found


class _LeapingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


@dataclass
class LoopClock(Clock):
    """The broker's clock: the loop's."""

    begun: float = field(default=1_790_000_000.0)

    def __call__(self) -> Instant:  # noqa: D102 - as its base
        return Instant(self.begun + asyncio.get_running_loop().time())


@dataclass
class Simulated:
    """One client with several callers and one newest pass for all of them."""

    w: World
    takes_answers: bool
    dice: random.Random
    grant: str = ""
    held: str | None = None
    told: Counter[str] = field(default_factory=Counter)

    def _latency(self) -> float:
        late = self.dice.uniform(0.2, 1.2) if self.dice.random() < 0.01 else 0.0
        return 0.005 + self.dice.expovariate(1 / 0.03) + late

    async def call(self, number: int) -> None:
        """One call with the library's own retry."""
        for again in (False, True):
            iat = Instant(float(int(self.w.clock())))  # whole seconds, as libraries write it
            jkt = self.w.broker.state.grants[self.grant].jkt
            shown = Shown(PassBinding.DPOP, self.grant, self.held, iat, self.w.names("j"), jkt)
            await asyncio.sleep(self._latency())
            ask = self.w.ask("read_file", {"path": f"f{number}"})
            decision = await self.w.broker.driving.decisions.evaluate(ask, shown)
            told = decision.next_pass
            if decision.passage is Passage.FORWARD:
                slow = 5.0 if self.dice.random() < 0.01 else 0.0
                await asyncio.sleep(self.dice.expovariate(1 / 0.05) + slow)
                told = (await self.w.settle(decision)).next_pass
            starved = self.dice.uniform(2, 10) if not self.takes_answers and self.dice.random() < 0.002 else 0.0
            await asyncio.sleep(self._latency() + starved)
            challenged = decision.passage is Passage.CHALLENGE
            # requests-oauth2client does not look at the answer to its own retry.
            if told is not None and (self.takes_answers or (challenged and not again)):
                self.held = told
            if not challenged:
                self.told[str(decision.passage)] += 1
                return
            self.told["challenged"] += 1
        self.told["challenged_twice"] += 1


async def simulated(kind: str, calls: int, callers: int, seed: int, *, bursts: bool) -> dict[str, Any]:
    """So many calls of one kind of client; a suspended mission is counted and a new one begun."""
    rules = Rules(grants=GrantRules(gas=2**40, ttl=LIFE))
    w = await world(clock=LoopClock(), rules=rules)
    await w.join()
    client = Simulated(w, kind == "answers", random.Random(seed))
    numbers = iter(range(calls))
    suspended, mission = 0, ""

    async def renewed() -> None:
        nonlocal suspended, mission
        found = w.broker.state.missions.get(mission)
        if found is not None and found.state == "suspended":
            suspended += 1
        grant = w.broker.state.grants.get(client.grant)
        if grant is None or found is None or found.state != "active" or grant.expires - w.clock() < 120:
            mission = (await w.start()).id
            client.grant, client.held = (await w.grant(Strictness.STOCK)).grant.id, None

    async def steadily() -> None:
        for number in numbers:
            await client.call(number)
            if client.dice.random() < 0.3:
                await asyncio.sleep(client.dice.expovariate(1 / 0.2))

    began = time.monotonic()
    if bursts:
        while some := [number for _, number in zip(range(callers), numbers, strict=False)]:
            await renewed()
            await asyncio.gather(*(client.call(number) for number in some))
            await asyncio.sleep(client.dice.choice((0.0, 0.05, 0.5, 3.0, 10.0, 30.0)))
    else:
        ends = iter(numbers)
        while (first := next(ends, None)) is not None:
            # In pieces of a few minutes, each with a grant of its own.
            await renewed()
            numbers = iter([first, *(number for _, number in zip(range(2_999), ends, strict=False))])
            await asyncio.gather(*(steadily() for _ in range(callers)))
    await renewed()
    passes = Counter(record["what"] for record in await w.records("pass"))
    return {
        "client_takes": kind,
        "pattern": "bursts" if bursts else "steady",
        "n": calls,
        "callers": callers,
        "went_through": client.told["forward"],
        "told": client.told,
        "passes": passes,
        "suspended": suspended,
        "simulated_s": round(asyncio.get_running_loop().time()),
        "wall_s": round(time.monotonic() - began, 1),
        "passed": suspended <= calls // 100_000,
    }


def leaping(kind: str, calls: int, callers: int, seed: int, *, bursts: bool) -> dict[str, Any]:
    """Run it on the clock that does not wait."""
    loop = _LeapingLoop()
    try:
        return loop.run_until_complete(simulated(kind, calls, callers, seed, bursts=bursts))
    finally:
        loop.close()


# ---- thieves --------------------------------------------------------------------------------------------------------------------------------------


@dataclass
class Owner:
    """A client of one of the two kinds, with the library's own retry."""

    client: Client
    takes_answers: bool
    held: str = ""

    async def call(self, http: aiohttp.ClientSession, text: str) -> int:
        """One call."""
        answer = await self._once(http, text)
        if answer.status == 401:
            answer = await self._once(http, text)
        return answer.status if answer.status != 200 or answer.echoed else 403

    async def _once(self, http: aiohttp.ClientSession, text: str) -> Answer:
        answer = await self.client.call(http, secrets.token_urlsafe(12), text, self.held)
        if answer.next_pass and (answer.status == 401 or self.takes_answers):
            self.held = answer.next_pass
        return answer


THEFTS = ("newest_pass", "challenge", "challenge_twice")


async def one_theft(served: Served, http: aiohttp.ClientSession, how: str, *, takes_answers: bool) -> dict[str, Any]:
    """The owner calls twice, the thief buys a call, the owner calls again outside the slack."""
    signer = Ed25519Signer.from_secret(secrets.token_bytes(32))
    connection = await join(served.state)
    driving = driving_of(connection)
    mission = await driving.missions.start(NewMission(person(), "Echo the text.", GoalSource.MISSION_START))
    new = NewGrant(person(), "bench", "echo", PassBinding.DPOP, signer.jkt, Strictness.STOCK, gas=GAS, ttl=LIFE)
    issued = await driving.grants.open(new)
    client = Client(served.url, signer, issued.grant.id, issued.token, "")
    owner = Owner(client, takes_answers)
    mine = [await owner.call(http, "mine one"), await owner.call(http, "mine two")]
    await asyncio.sleep(2.5)
    thief = Owner(client, takes_answers=True, held=owner.held if how == "newest_pass" else "")
    if how == "challenge_twice":
        await client.call(http, "a challenge only", "his", "")
    stolen = await thief.call(http, "his")
    await asyncio.sleep(3.2)
    after = await owner.call(http, "mine three")
    state = next(v.mission.state for v in await driving.missions.list() if v.mission.id == mission.id)
    await connection.close()
    return {
        "theft": how,
        "owner_takes": "answers" if takes_answers else "challenges",
        "owner_before": mine,
        "stolen": stolen,
        "owner_after": after,
        "mission": str(state),
        "caught": state == "suspended" and after != 200,
    }


async def thefts(state: Path, rounds: int) -> dict[str, Any]:
    """Each kind of theft from each kind of owner, so many times."""
    served = Served.prepare(state)
    upstream = await asyncio.to_thread(served.start_upstream)
    gateway = await asyncio.to_thread(served.start)
    try:
        await ready(state)
        async with aiohttp.ClientSession() as http:
            made = [
                await one_theft(served, http, how, takes_answers=takes)
                for _ in range(rounds)
                for how in THEFTS
                for takes in (False, True)
            ]
    finally:
        await asyncio.to_thread(finish, gateway)
        await asyncio.to_thread(finish, upstream)
    bought = [one for one in made if one["stolen"] == 200]
    missed = [one for one in bought if not one["caught"]]
    return {
        "n": len(made),
        "bought": len(bought),
        "caught": len(bought) - len(missed),
        "missed": missed or ([] if bought else made),
        "passed": bool(bought) and not missed,
    }


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", choices=("python", "node", "simulated", "thief"), default="simulated")
    parser.add_argument("--calls", type=int, default=1000, help="for a thief: rounds of every theft")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--idle", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    began = time.monotonic()
    if chosen.client == "simulated":
        value = [
            leaping(kind, chosen.calls, chosen.callers, chosen.seed, bursts=bursts)
            for kind in ("challenges", "answers")
            for bursts in (False, True)
        ]
    else:
        with tempfile.TemporaryDirectory(prefix="jittrust-stock-") as folder:
            work = (
                thefts(Path(folder), chosen.calls)
                if chosen.client == "thief"
                else through_the_network(
                    chosen.client, Path(folder), chosen.calls, chosen.callers, chosen.idle, chosen.seed
                )
            )
            value = [asyncio.run(work)]
    result = {
        "id": "stock",
        "client": chosen.client,
        "n": sum(one["n"] for one in value),
        "value": value,
        "passed": all(one["passed"] for one in value),
        "wall_s": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
