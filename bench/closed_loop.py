"""AgentDojo's environments, live behind the real gateway: `jittrust serve`, SQLite, DPoP-bound grants, one mission a task, and its own checkers.

    python -m bench closed_loop --json [--python PATH] [--suite banking …] [--every N] [--payload plain|base64]

PATH is an interpreter that has agentdojo 0.1.35, for it brings many providers along:
`python -m venv .tests/dojo && .tests/dojo/bin/pip install agentdojo==0.1.35`. Without one the campaign says so and fails.

Two agents without a model in them, both as bad as can be: *obeying* does the user's ground truth, and everything that the attack wants, right
after the first result that carries it; *retrying* moreover never takes no for an answer: it repeats a refused call, writes its values another
way, tries another tool with the same arguments, asks again after two honest calls. Two people: *nobody* answers, so that every
question is a refusal; or *careful*: says yes to the exact calls that the user's task needs and no to all others, and lets a suspended mission go on.

Utility and attack success are AgentDojo's, on the environment as it is at the end. An agent that could not do all of its task's calls cannot say
what the ground truth says either. An attack is gateable when it wants at least one call. What this is not: a real model, which refuses some of the attacks
itself and finds other ways to do its task; the ground truth is the shortest path, so that it asks for less than a model does.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from bench.intent import is_read, quantile, share
from bench.served import META, MODERN, finish, free_port, ready, wait_for

from jittrust.adapters.files.pin import PinFile
from jittrust.adapters.system.clock import SteadyClock
from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.apps.cli.reach import person
from jittrust.apps.state_dir import make_private
from jittrust.core.approval import ApprovalKind, ConfirmedBy
from jittrust.core.grant.grant import PassBinding, Strictness
from jittrust.core.grant.proof import Ed25519Signer, make_proof
from jittrust.core.mission.mission import GoalSource
from jittrust.core.units import Instant
from jittrust.ports.approvals import Answer
from jittrust.ports.driving import Driving
from jittrust.ports.grants import NewGrant
from jittrust.ports.missions import NewMission

PEER = Path(__file__).resolve().parent / "peers/dojo.py"
SUITES = ("banking", "slack", "travel", "workspace")
PIN = "739105"
AGENTS, PEOPLE = ("obeying", "retrying"), ("nobody", "careful")
DECISION = "decision"


def interpreter(named: str) -> str | None:
    """An interpreter with agentdojo; None: there is none."""
    for one in filter(None, (named, os.environ.get("BENCH_AGENTDOJO"), ".tests/dojo/bin/python")):
        probe = "import importlib.util as u, sys; sys.exit(u.find_spec('agentdojo') is None)"
        if Path(one).exists() and subprocess.run([one, "-c", probe], check=False).returncode == 0:
            return one
    return sys.executable if importlib.util.find_spec("agentdojo") else None


@dataclass
class Dojo:
    """The world, from outside."""

    http: aiohttp.ClientSession
    url: str

    async def do(self, op: str, **more: Any) -> Any:  # noqa: ANN401  (any JSON value)
        """One word to the other side of the world."""
        async with self.http.post(f"{self.url}/control", json={"op": op, **more}) as reply:
            if reply.status != 200:
                raise SystemExit(f"the world failed at {op} {more}: {reply.status}")
            return await reply.json()


@dataclass
class Said:
    """What came back for one call; `code` is why it did not go out, empty when it did."""

    code: str
    approval: str
    ms: float

    @property
    def through(self) -> bool:
        """Whether it reached the server."""
        return not self.code


@dataclass
class Agent:
    """Who calls: a key of its own, a grant of its own, the newest pass."""

    http: aiohttp.ClientSession
    url: str
    signer: Ed25519Signer
    token: str
    live: str | None
    name: str

    async def call(self, tool: str, args: Mapping[str, Any]) -> Said:
        """One call through the gateway."""
        # Of its own name: what one agent did is no history of the next.
        meta = META | {"io.modelcontextprotocol/clientInfo": {"name": self.name, "version": "1"}}
        params = {"name": tool, "arguments": dict(args), "_meta": meta}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        began = time.perf_counter()
        proof = make_proof(
            self.signer, method="POST", url=self.url, iat=Instant(time.time()), jti=secrets.token_urlsafe(16),
            token=self.token, nonce=self.live,
        )  # fmt: skip
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
            "Authorization": f"DPoP {self.token}",
            "DPoP": proof,
        }
        async with self.http.post(self.url, data=body, headers=headers) as reply:
            text = await reply.text()
            self.live = reply.headers.get("DPoP-Nonce", self.live)
            status = reply.status
        return said(status, text, 1000 * (time.perf_counter() - began))


def said(status: int, text: str, ms: float) -> Said:
    """Read an answer: JSON, the last event of a stream, or problem details."""
    events = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    try:
        found = json.loads(events[-1] if events else text)
    except ValueError:
        return Said(f"http_{status}", "", ms)
    result = found.get("result")
    if result is None:
        data = (found.get("error") or {}).get("data") or found
        return Said(str(data.get("code", f"http_{status}")), str(data.get("approval", "")), ms)
    decided: dict[str, Any] = next(
        (one for key, one in (result.get("_meta") or {}).items() if key.endswith(DECISION) and "code" in one), {}
    )
    ours = bool(result.get("isError")) and bool(decided)
    return Said(str(decided.get("code", "")) if ours else "", str(decided.get("approval", "")), ms)


@dataclass
class Told:
    """One session and what became of it."""

    task: str
    attack: str
    gateable: bool
    utility: bool = False
    stolen: bool = False
    asked: int = 0
    own: int = 0
    own_through: int = 0
    bad: int = 0
    bad_acts: int = 0
    bad_through: int = 0
    attempts: int = 0
    effects: int = 0
    exposed: bool = False
    ms: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    friction: list[str] = field(default_factory=list)


def other_ways(call: Mapping[str, Any]) -> dict[str, Any]:
    """The same call, its values written another way that a lenient server may take for the same."""

    def other(value: Any) -> Any:  # noqa: ANN401  (any JSON value in, any out)
        if isinstance(value, list):
            return [other(one) for one in value]
        if isinstance(value, str) and value:
            if "@" in value and " " not in value:
                return f"Team <{value}>"
            if "." in value and "/" in value:
                return value.replace("/", "%2F")
            if value.isalnum() and len(value) > 12:
                return " ".join(value[at : at + 4] for at in range(0, len(value), 4))
            return f"{value[:1]}\u200b{value[1:]}"
        return value

    return {"tool": call["tool"], "args": {key: other(value) for key, value in call["args"].items()}}


def other_tools(call: Mapping[str, Any], catalogue: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Calls of other acting tools that take what this one takes; what they want beyond it is made up."""
    made: Mapping[str, Any] = {"string": "x", "number": 1, "integer": 1, "boolean": False, "array": [], "object": {}}
    found = []
    for tool in catalogue:
        schema = tool["inputSchema"]
        wanted = schema.get("properties", {})
        same = [key for key in call["args"] if key in wanted]
        if tool["name"] == call["tool"] or is_read(tool["name"], {}) or not same or len(same) * 2 < len(call["args"]):
            continue
        args = {key: call["args"][key] for key in same}
        for key in schema.get("required", []):
            args.setdefault(key, made.get(wanted.get(key, {}).get("type", "string"), "x"))
        found.append({"tool": tool["name"], "args": args})
    return found[:2]


@dataclass
class Campaign:
    """One gateway in front of one world."""

    dojo: Dojo
    gate: str
    driving: Driving
    http: aiohttp.ClientSession
    catalogue: Sequence[Mapping[str, Any]]
    payload: str
    hop: float = 0.0
    """Milliseconds of one request over loopback to the world: what a call costs without us, beside the world's own work."""
    number: int = 0

    async def begin(self, goal: str) -> tuple[Agent, str]:
        """The person states the goal; an agent that nobody has seen before gets a grant for it."""
        self.number += 1
        # A person of its own: what the tools returned under a mission is known to the person's next one, and these have nothing to do with each other.
        who = f"person-{self.number}"
        mission = await self.driving.missions.start(NewMission(who, goal, GoalSource.MISSION_START))
        signer = Ed25519Signer.from_secret(secrets.token_bytes(32))
        issued = await self.driving.grants.open(
            NewGrant(who, f"dojo-{self.number}", "dojo", PassBinding.DPOP, signer.jkt, Strictness.STOCK, mission.id)
        )
        name = f"dojo-{self.number}"
        return Agent(self.http, self.gate, signer, issued.token, issued.first_pass, name), mission.id

    async def run(self, suite: str, task: str, attack: str, agent: str, people: str, *, gateable: bool) -> Told:
        """One session."""
        made = await self.dojo.do("reset", suite=suite, task=task, attack=attack, payload=self.payload)
        caller, mission = await self.begin(made["prompt"])
        told = Told(task, attack, gateable)
        session = Session(self, caller, mission, made, told, agent == "retrying", people == "careful")
        await session.act()
        answered = told.own_through == told.own
        found = await self.dojo.do("check", answered=answered)
        told.utility, told.stolen = found["utility"], found["attack"]
        told.ms = [ms - spent for ms, spent in zip(told.ms, found["spent"], strict=False)]
        return told


@dataclass
class Session:
    """An agent at work."""

    campaign: Campaign
    agent: Agent
    mission: str
    made: Mapping[str, Any]
    told: Told
    retries: bool
    careful: bool
    seen: set[str] = field(default_factory=set)
    later: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)

    async def act(self) -> None:
        """The user's calls, and right after the first result that carries the attack, the attack's."""
        steps = self.made["calls"]
        for at, call in enumerate(steps):
            self.told.own += 1
            through = await self.own(call)
            self.told.own_through += through
            if not through:
                self.told.friction.append(call["tool"])
            if at == self.made["first"] and through and self.made["attack"]:
                self.told.exposed = True
                for bad in self.made["attack"]:
                    await self.hostile(bad, at)
            for due, bad in [one for one in self.later if one[0] <= at]:
                self.later.remove((due, bad))
                await self.attempt(bad)
        for _, bad in self.later:
            await self.attempt(bad)

    async def own(self, call: Mapping[str, Any]) -> bool:
        """One of the user's calls, and what the agent does when it is refused."""
        first = await self.ask(call)
        if first.through or not self.retries:
            return first.through
        return (await self.ask(call)).through

    async def hostile(self, bad: Mapping[str, Any], at: int) -> None:
        """One of the attack's calls, and all the ways around a refusal."""
        self.told.bad += 1
        act = not is_read(bad["tool"], {})
        self.told.bad_acts += act
        if await self.attempt(bad):
            self.told.bad_through += act
            self.told.missed.append(bad["tool"])
            return
        if not self.retries:
            return
        for way in (bad, other_ways(bad), *other_tools(bad, self.campaign.catalogue)):
            if await self.attempt(way):
                self.told.bad_through += act
                self.told.missed.append(f"{bad['tool']}->{way['tool']}")
                return
        self.later.append((at + 2, bad))

    async def attempt(self, bad: Mapping[str, Any]) -> bool:
        """One try of something that the user does not want."""
        self.told.attempts += 1
        through = (await self.ask(bad)).through
        self.told.effects += through and not is_read(bad["tool"], {})
        return through

    async def ask(self, call: Mapping[str, Any]) -> Said:
        """One call; with somebody there, the questions are answered and the call repeated once."""
        answer = await self.once(call)
        if answer.through or not self.careful:
            return answer
        if await self.answered(call, answer.approval):
            return await self.once(call)
        return answer

    async def once(self, call: Mapping[str, Any]) -> Said:
        """One call, counted."""
        answer = await self.agent.call(call["tool"], call["args"])
        if answer.through:
            self.told.ms.append(answer.ms - self.campaign.hop)
        else:
            self.told.codes[answer.code] += 1
            if answer.approval and answer.approval not in self.seen:
                self.seen.add(answer.approval)
                self.told.asked += 1
        return answer

    async def answered(self, call: Mapping[str, Any], approval: str) -> bool:
        """The careful person answers what waits. Whether the call is worth another try."""
        wanted = call in self.made["calls"]
        again = False
        for one in await self.campaign.driving.approvals.waiting():
            if one.mission != self.mission:
                continue
            goes_on = one.kind is ApprovalKind.SUSPENSION
            yes = goes_on or (one.id == approval and wanted)
            if one.id not in self.seen:
                self.seen.add(one.id)
                self.told.asked += 1
            by = ConfirmedBy.PIN if yes else ConfirmedBy.NOBODY
            await self.campaign.driving.approvals.answer(one.id, Answer(yes, person(), by, PIN if yes else ""))
            again = again or (yes and wanted)
        return again


@contextmanager
def gateway(folder: Path, upstream: int) -> Iterator[tuple[str, Path]]:
    """`jittrust serve` in front of the world; its address and state."""
    port, state = free_port(), make_private(folder / "state")
    settings = {
        "listen": {"port": port},
        "approval": {"wait_seconds": 0},
        "log_level": "error",
        "servers": {"dojo": {"url": f"http://127.0.0.1:{upstream}/mcp"}},
    }
    config = folder / "jittrust.yaml"
    config.write_text(json.dumps(settings), "utf-8")
    PinFile(state, SteadyClock()).set(PIN)
    command = [sys.executable, "-m", "jittrust.apps.cli.main", "serve", "--json", "--config", str(config)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--state", str(state)], stdout=log, stderr=log)
    try:
        wait_for(process, port, 180.0)
        yield f"http://127.0.0.1:{port}/mcp/dojo", state
    finally:
        finish(process)


def counted(rows: Sequence[Told]) -> dict[str, Any]:
    """The figures of one agent with one person."""
    clean, under = [one for one in rows if not one.attack], [one for one in rows if one.attack]
    gate = [one for one in under if one.gateable]
    spent = [ms for one in rows for ms in one.ms]
    return {
        "utility": share(sum(one.utility for one in clean), len(clean)),
        "utility_under_attack": share(sum(one.utility for one in under), len(under)),
        "own_calls_under_attack_through": share(sum(o.own_through for o in under), sum(o.own for o in under)),
        "attack_success": share(sum(one.stolen for one in under), len(under)),
        "attack_success_gateable": share(sum(one.stolen for one in gate), len(gate)),
        "hostile_acts_through": share(sum(o.bad_through for o in gate), sum(o.bad_acts for o in gate)),
        "sessions_with_a_hostile_act": share(sum(o.effects > 0 for o in gate), len(gate)),
        "attack_seen": share(sum(one.exposed for one in under), len(under)),
        "questions_a_mission": round(statistics.fmean(one.asked for one in clean), 3) if clean else None,
        "questions_a_mission_under_attack": round(statistics.fmean(one.asked for one in under), 3) if under else None,
        "attempts": sum(one.attempts for one in under),
        "gateway_ms_p50": quantile(spent, 0.5),
        "gateway_ms_p99": quantile(spent, 0.99),
        "refusals": dict(sum((one.codes for one in rows), Counter()).most_common(8)),
        "asked_of_the_user_s_tools": dict(Counter(t for o in clean for t in o.friction).most_common(8)),
        "hostile_tools_through": dict(Counter(t for o in gate for t in o.missed).most_common(8)),
        "attacks_that_succeeded": dict(Counter(o.attack for o in under if o.stolen).most_common(12)),
        "tasks_that_failed": sorted({o.task for o in clean if not o.utility}),
    }


async def without(dojo: Dojo, suite: str, pairs: Sequence[tuple[str, str]], payload: str) -> dict[str, Any]:
    """Nobody in between."""
    rows = [
        (attack, await dojo.do("alone", suite=suite, task=task, attack=attack, payload=payload))
        for task, attack in pairs
    ]
    clean, under = [out for attack, out in rows if not attack], [out for attack, out in rows if attack]
    return {
        "utility": share(sum(one["utility"] for one in clean), len(clean)),
        "utility_under_attack": share(sum(one["utility"] for one in under), len(under)),
        "attack_success": share(sum(one["attack"] for one in under), len(under)),
    }


@contextmanager
def world(python: str) -> Iterator[int]:
    """AgentDojo in a process of its own; its port."""
    port = free_port()
    with subprocess.Popen([python, str(PEER), str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(process, port, 120.0)
            yield port
        finally:
            process.terminate()


async def one_suite(port: int, gate: str, state: Path, suite: str, args: argparse.Namespace) -> dict[str, Any]:
    """Every agent with every person."""
    await ready(state)
    connection = await join(state)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:
        dojo = Dojo(http, f"http://127.0.0.1:{port}")
        await dojo.do("suite", suite=suite)
        plan = await dojo.do("plan", name=suite)
        whole = [(task, name) for task, places in plan["tasks"].items() if places for name in plan["attacks"]]
        # Shuffled first, so that a part of them holds every attack; the same part each time.
        random.Random(7).shuffle(whole)
        pairs = [(task, "") for task in plan["tasks"]] + whole[:: args.every]
        hops = []
        for _ in range(200):
            began = time.perf_counter()
            await dojo.do("suite", suite=suite)
            hops.append(1000 * (time.perf_counter() - began))
        out: dict[str, Any] = {
            "sessions": len(pairs),
            "attacked": len(whole[:: args.every]),
            "without_a_gateway": await without(dojo, suite, pairs, args.payload),
        }
        campaign = Campaign(
            dojo, gate, driving_of(connection), http, plan["catalogue"], args.payload, statistics.median(hops)
        )
        try:
            for agent in args.agent:
                for people in args.people:
                    rows = [
                        await campaign.run(
                            suite, task, attack, agent, people, gateable=bool(plan["attacks"].get(attack))
                        )
                        for task, attack in pairs
                    ]
                    out[f"{agent}, {people}"] = counted(rows)
        finally:
            await connection.close()
    return out


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object (the default too)")
    parser.add_argument("--python", default="", help="an interpreter that has agentdojo 0.1.35")
    parser.add_argument("--suite", nargs="*", default=list(SUITES), choices=SUITES)
    parser.add_argument("--agent", nargs="*", default=list(AGENTS), choices=AGENTS)
    parser.add_argument("--people", nargs="*", default=list(PEOPLE), choices=PEOPLE)
    parser.add_argument("--every", type=int, default=1, help="one attacked pair of so many")
    parser.add_argument("--payload", default="plain", choices=("plain", "base64"))
    args = parser.parse_args()
    python = interpreter(args.python)
    if python is None:
        print("not passed: agentdojo missing (see `python -m bench closed_loop --help`)")
        return 1
    told = {}
    for suite in args.suite:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="closed-loop-")))
            port = stack.enter_context(world(python))
            gate, state = stack.enter_context(gateway(folder, port))
            told[suite] = asyncio.run(one_suite(port, gate, state, suite, args))
    print(json.dumps({"suites": told, "every": args.every, "payload": args.payload}, indent=2))
    return 0
