"""Cost of a decision in process: memory store, shipped policy, no socket, no disk; in microseconds of one core and in U.

U, as in `bench.grant`, is one check of an EdDSA JWT by hand with libsodium, measured in the same run. `read` is a short call with one path;
`intent_heavy` sends a mail whose long body names addresses, after forty results of which one has them. Run: `python -m bench decide --json`.
"""

import argparse
import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.grant import Ed25519Signer, token_for, unit
from nacl.signing import SigningKey

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.gather import Gather
from jittrust.broker.grants import BrokerSecrets
from jittrust.core.decide import decide
from jittrust.core.grant.grant import PassBinding, PassStanding, Presentation, Shown
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.ledger.record import canonical
from jittrust.core.mission.mission import GoalSource
from jittrust.core.model import Evaluation, Json, Subject, SubjectKind
from jittrust.core.rules import GrantRules, Rules
from jittrust.core.units import Instant
from jittrust.pep.mcp.jsonrpc import read_message
from jittrust.pep.mcp.translate import to_evaluation
from jittrust.ports.decision_point import Outcome, Passage, Settled
from jittrust.ports.registry import Attachment

NOW = Instant(1_700_000_000)
RULES = Rules(grants=GrantRules(gas=2**40))
GOAL = (
    "Read the quarterly report in /srv/reports/q3.txt and email a summary of it to ana@example.org and bob@example.org"
)
TEXT = "The quarterly numbers are fine; revenue grew by 4 % and costs fell. Please look at section two before Friday. "
BODY = TEXT * 10 + "Ask ana@example.org, carl@partner.example or https://reports.example.org/q3?x=1. " + TEXT * 8
TOOLS: tuple[dict[str, Json], ...] = (
    {
        "name": "read_file",
        "description": "Read the complete contents of a file from the file system as text.",
        "inputSchema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "head": {"type": "integer"}},
            "required": ["path"],
        },
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    },
    {
        "name": "send_email",
        "description": "Send an email to one or more recipients. Attachments are optional.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "recipients": {"type": "array", "items": {"type": "string", "format": "email"}},
                "subject": {"type": "string"},
                "body": {"type": "string"},
                "attachments": {"type": "array", "items": {"type": "string"}},
            },
        },
        "annotations": {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": True},
    },
)
READ: dict[str, Json] = {"name": "read_file", "arguments": {"path": "/srv/reports/q3.txt", "head": 40}}
MAIL: dict[str, Json] = {
    "name": "send_email",
    "arguments": {
        "recipients": ["ana@example.org", "bob@example.org"],
        "subject": "Summary of the quarterly report",
        "body": BODY,
        "attachments": ["/srv/reports/q3.txt"],
    },
}
CASES = {"read": READ, "intent_heavy": MAIL}


@dataclass
class Bench:
    """A broker in process with a mission, two tools and forty results behind it."""

    broker: Broker
    shown: Shown
    count: int = 0

    @classmethod
    async def open(cls) -> "Bench":
        """A broker with a history."""
        key = SigningKey(hashlib.sha256(b"bench").digest())
        signer = LedgerSigner.from_seed("bench.example/ledger", bytes(key))
        store = MemoryCommit(signer=signer, origin="bench.example/ledger")
        names = iter(range(1_000_000))
        broker = await Broker.open(
            store=store,
            ledger=store,
            policy=CedarPolicy.load(),
            pin=MemoryPin(),
            secrets=BrokerSecrets(bytes(key), "k1", lambda data: key.sign(data).signature),
            ledger_vkey=str(signer.key),
            rules=RULES,
            clock=lambda: NOW,
            new_id=lambda prefix: f"{prefix}-{next(names)}",
            issuer="https://broker.example",
            identity=offline_identity(RULES, lambda: NOW, lambda prefix: f"{prefix}-{next(names)}"),
        )
        attached = await broker.driving.registry.attach(Attachment("ana", "bench", "files"))
        await broker.driving.missions.say("ana", GOAL, GoalSource.MISSION_START, "")
        await broker.driving.registry.show_tools(attached.id, TOOLS)
        made = cls(broker, Shown(PassBinding.GATEWAY, attachment=attached.id))
        for at in range(40):
            await made.call(READ, f"Line {at}: {TEXT * 3}" + ("ana@example.org" if at == 20 else ""))
        return made

    def ask(self, params: dict[str, Json]) -> Evaluation:
        """The question that a message asks."""
        self.count += 1
        raw = json.dumps({"jsonrpc": "2.0", "id": self.count, "method": "tools/call", "params": params}).encode()
        asked = to_evaluation(
            read_message(raw),
            server="files",
            subject=Subject(SubjectKind.AGENT, "bench@ana"),
            evaluation_id=f"c-{self.count:016x}",
        )
        assert isinstance(asked, Evaluation)
        return asked

    async def call(self, params: dict[str, Json], text: str) -> Passage:
        """One call whose result is `text`."""
        ask = self.ask(params)
        decision = await self.broker.driving.decisions.evaluate(ask, self.shown)
        if decision.passage is Passage.FORWARD:
            await self.broker.driving.decisions.settle(ask.id, Outcome(Settled.COMPLETE, (text,)))
        return decision.passage


async def least(operation: Callable[[], Awaitable[object]], seconds: float, calls: int = 50) -> float:
    """Microseconds of CPU a call, of the best round: other load on the machine only adds."""
    rounds: list[float] = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or len(rounds) < 5:
        began = time.process_time()
        for _ in range(calls):
            await operation()
        rounds.append((time.process_time() - began) / calls * 1e6)
    return min(rounds)


def awaited(operation: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def run() -> object:
        return operation()

    return run


async def case(bench: Bench, params: dict[str, Json], seconds: float) -> dict[str, float | str]:
    """One kind of call: the whole, and its parts one by one."""
    decisions, state = bench.broker.driving.decisions, bench.broker.state
    passage = await bench.call(params, TEXT)
    asks = [bench.ask(params) for _ in range(64)]
    turn = 0

    def next_ask() -> Evaluation:
        nonlocal turn
        turn += 1
        return asks[turn % 64]

    async def evaluate() -> None:
        await decisions.evaluate(next_ask(), bench.shown)

    async def whole() -> None:
        ask = next_ask()
        if (await decisions.evaluate(ask, bench.shown)).passage is Passage.FORWARD:
            await decisions.settle(ask.id, Outcome(Settled.COMPLETE, (TEXT,)))

    gather = Gather(state, CedarPolicy.load(), RULES)
    mission = state.current("ana")
    assert mission is not None
    grant = state.shared_grant(mission.id)
    assert grant is not None
    fresh = Presentation(PassStanding.FRESH, 0, 0, "")
    facts = gather.facts(asks[0], grant, mission, fresh, NOW)
    ledger = bench.broker.driving.ledger
    judged = (json.loads(entry) for entry in reversed(await ledger.entries(0, 1000)))
    last = next(record for record in judged if record["kind"] in ("use", "refusal"))
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    return {
        "passage": str(passage),
        "gather": await least(awaited(lambda: gather.facts(next_ask(), grant, mission, fresh, NOW)), seconds),
        "decide": await least(awaited(lambda: decide(next_ask(), facts, RULES, NOW)), seconds),
        "canonical_of_a_record": await least(awaited(lambda: canonical(last)), seconds),
        "read_the_message": await least(awaited(lambda: read_message(raw)), seconds),
        "make_the_question": await least(awaited(lambda: bench.ask(params)), seconds),
        "evaluate": await least(evaluate, seconds),
        # Last: what it settles is indexed, so that there is more to look through with every call.
        "evaluate_and_settle": await least(whole, seconds),
    }


async def measure(seconds: float) -> dict[str, dict[str, dict[str, float | str]]]:
    """Every case, with U of the same run before and after."""
    signer = Ed25519Signer.from_secret(b"a" * 32)
    verify = awaited(unit(token_for(signer)))
    before = await least(verify, seconds)
    found = {name: await case(await Bench.open(), params, seconds) for name, params in CASES.items()}
    one = min(before, await least(verify, seconds))
    rows: dict[str, dict[str, dict[str, float | str]]] = {"U": {"verify": {"us": round(one, 2), "U": 1.0}}}
    for name, parts in found.items():
        rows[name] = {
            part: {"us": round(value, 1), "U": round(value / one, 2)}
            for part, value in parts.items()
            if isinstance(value, float)
        }
        rows[name]["passage"] = {"is": parts["passage"]}
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options.add_argument("--seconds", type=float, default=0.5, help="time spent on each figure")
    chosen = options.parse_args()
    rows = asyncio.run(measure(chosen.seconds))
    if chosen.json:
        print(json.dumps({"bench": "decide", "unit": "microseconds of CPU, best round", "results": rows}))
        return
    for name, parts in rows.items():
        for part, row in parts.items():
            if "us" in row:
                print(f"{name:14} {part:24} {row['us']:9.1f} us {row['U']:7.2f} U")


if __name__ == "__main__":
    main()
