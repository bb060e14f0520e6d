"""Judges recorded agent sessions with the very broker that judges live calls. Nothing is called.

One session a line, OpenAI chat form (docs/cli.md). User messages are the person's words; system messages are the operator's; tool messages are
untrusted. Any other key, `labels` and `meta` included, is never read.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from nacl.signing import SigningKey

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.adapters.files.models import shipped_access, shipped_model
from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.evaluate import Evaluations
from jittrust.broker.grants import BrokerSecrets
from jittrust.core.approval import Approval
from jittrust.core.authority.endorsement import source_of
from jittrust.core.authority.match import match
from jittrust.core.errors import BadInputError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.intent.attribution import Attribution
from jittrust.core.intent.baseline import NO_BASELINE, Baseline
from jittrust.core.intent.drift import TrailStep
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.misaligned import NO_SETTING, CallSetting
from jittrust.core.intent.origin import ArgumentOrigin
from jittrust.core.intent.provenance import steered
from jittrust.core.intent.reading import ActionReading, classify
from jittrust.core.intent.roles import argument_roles
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Evaluation, Json, Subject, SubjectKind, Tool
from jittrust.core.response.session import SessionState
from jittrust.core.rules import Rules
from jittrust.core.scoring.context import value_keys
from jittrust.core.strict_json import parse
from jittrust.core.units import Instant
from jittrust.pep.mcp.jsonrpc import MalformedMessageError, read_message
from jittrust.pep.mcp.translate import to_evaluation
from jittrust.ports.approvals import Answer
from jittrust.ports.commit import PutMission, PutStanding
from jittrust.ports.decision_point import Decision, Outcome, Passage, Settled
from jittrust.ports.policy import Policy
from jittrust.ports.registry import Attachment

SECONDS_A_CALL = 2.0
"""Virtual time between two calls; timing signals are unknown in a replay."""
LINE_BYTES = 64 * 1024 * 1024
_PERSON = "person"
_SERVER = "session"
# Any fixed moment: the verdicts do not depend on it.
_START = 1_700_000_000.0


# The row of a call that cannot even be read.
_MALFORMED: Mapping[str, Json] = {
    "verdict": "deny",
    "response": "none",
    "wis": None,
    "factors": {"O": None, "C": None, "R": None, "T": None},
    "drift": None,
    "misaligned": None,
    "price": 1,
    "intent": "",
    "reasons": ["malformed_call"],
}


@dataclass(slots=True)
class VirtualClock:
    """Time that moves only when told."""

    now: float = _START

    def __call__(self) -> Instant:
        """The virtual time."""
        return Instant(self.now)


@dataclass(slots=True)
class CountedNames:
    """Names by counting, so that a replay is repeatable."""

    made: dict[str, int] = field(default_factory=dict)

    def __call__(self, prefix: str) -> str:
        """The next name with this prefix."""
        self.made[prefix] = self.made.get(prefix, 0) + 1
        return f"{prefix}-{self.made[prefix]}"


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """One line: what a replay looks at."""

    id: str
    agent: str
    tools: tuple[Mapping[str, Json], ...]
    messages: tuple[Mapping[str, Json], ...]


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """What was known of one judged call, for those who learn from recordings; `before` is the name of the tool called before, "" = none."""

    call: str
    goal: Goal
    tool: Tool
    reading: ActionReading
    origins: tuple[ArgumentOrigin, ...]
    attribution: Attribution
    keys: tuple[str, ...]
    before: str
    row: Mapping[str, Json]
    setting: CallSetting = NO_SETTING


def replay_file(path: Path, *, independent: bool = False, rules: Rules | None = None) -> Iterator[dict[str, Json]]:
    """Judge every session of a file; one dict a tool call, in order. `rules`: those to judge by; None = as they are shipped.

    Raises:
        BadInputError: code `replay_missing`, `replay_line` (which line, what is wrong).
    """
    try:
        source = path.open("rb")
    except OSError as error:
        raise BadInputError(
            "replay_missing", f"{path} cannot be read: {error.strerror}", "Name a JSON Lines file."
        ) from None
    policy = CedarPolicy.load()
    with source, asyncio.Runner() as runner:
        for session in recorded_sessions(source, str(path)):
            yield from runner.run(replay_session(session, policy, rules or shipped_rules(), independent=independent))


def shipped_rules(baseline: Baseline = NO_BASELINE) -> Rules:
    """The rules as they are shipped, with the learned weights, and the baseline of a deployment that adopted one."""
    return Rules(model=shipped_model(), access=shipped_access(), baseline=baseline)


def recorded_sessions(source: BinaryIO, name: str) -> Iterator[RecordedSession]:
    """Read sessions, strictly, one line at a time."""
    number = 0
    while line := source.readline(LINE_BYTES + 1):
        number += 1
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        if len(line) > LINE_BYTES:
            raise BadInputError("replay_line", f"{where}: longer than {LINE_BYTES} bytes")
        try:
            row = parse(line, max_bytes=LINE_BYTES)
        except BadInputError as error:
            raise BadInputError("replay_line", f"{where}: {error.message}", error.next_step) from None
        yield _session(row, where)


def _session(row: Json, where: str) -> RecordedSession:
    if not isinstance(row, Mapping):
        raise BadInputError("replay_line", f"{where}: not an object")
    identity, agent = row.get("id"), row.get("agent", "agent")
    tools, messages = row.get("tools", []), row.get("messages")
    if not isinstance(identity, str) or not isinstance(agent, str):
        raise BadInputError("replay_line", f"{where}: `id` and `agent` must be texts")
    if not isinstance(tools, list) or not isinstance(messages, list):
        raise BadInputError("replay_line", f"{where}: `tools` and `messages` must be lists")
    definitions = tuple(_definition(tool, where) for tool in tools)
    if not all(isinstance(message, Mapping) for message in messages):
        raise BadInputError("replay_line", f"{where}: a message is no object")
    return RecordedSession(identity, agent, definitions, tuple(m for m in messages if isinstance(m, Mapping)))


def _definition(tool: Json, where: str) -> Mapping[str, Json]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise BadInputError("replay_line", f"{where}: a tool has no function with a name")
    made: dict[str, Json] = {
        "name": function["name"],
        "description": function.get("description") or "",
        "inputSchema": function.get("parameters") or {"type": "object"},
    }
    annotations = tool.get("annotations") or function.get("annotations")
    if isinstance(annotations, Mapping):
        made["annotations"] = annotations
    return made


async def replay_session(
    session: RecordedSession,
    policy: Policy,
    rules: Rules,
    *,
    independent: bool = False,
    watch: Callable[[WatchedCall], None] | None = None,
    person: Callable[[Approval], Answer | None] | None = None,
    pin: str = "",
) -> list[dict[str, Json]]:
    """Judge one session with a broker of its own: empty history, virtual clock. `watch` is told of every call that could be read.

    `person` answers what the broker asks (None: nobody is there) with `pin`; a call that was answered is made once more, and its row is the first verdict.
    """
    clock, signing = VirtualClock(), SigningKey(hashlib.sha256(b"replay").digest())
    signer = LedgerSigner.from_seed("jittrust.local/replay", bytes(signing))
    store = MemoryCommit(signer=signer, origin="jittrust.local/replay")
    broker = await Broker.open(
        store=store,
        ledger=store,
        policy=policy,
        pin=MemoryPin(pin or None),
        secrets=BrokerSecrets(bytes(signing), "replay", lambda data: signing.sign(data).signature),
        ledger_vkey=str(signer.key),
        rules=rules,
        clock=clock,
        new_id=CountedNames(),
        issuer="urn:jittrust.local:replay",
        identity=offline_identity(rules, clock, CountedNames()),
    )
    run = _Run(session, broker, rules, clock, independent=independent, watch=watch, person=person)
    return await run.rows()


class _Run:
    def __init__(
        self,
        session: RecordedSession,
        broker: Broker,
        rules: Rules,
        clock: VirtualClock,
        *,
        independent: bool,
        watch: Callable[[WatchedCall], None] | None,
        person: Callable[[Approval], Answer | None] | None,
    ) -> None:
        self._person = person
        self._session = session
        self._broker = broker
        self._rules = rules
        self._clock = clock
        self._independent = independent
        self._watch = watch
        self._before = ""
        self._trails: dict[str, tuple[TrailStep, ...]] = {}
        self._pending: dict[str, tuple[Evaluation, Decision]] = {}
        self._rows: list[dict[str, Json]] = []
        self._attached = ""

    async def rows(self) -> list[dict[str, Json]]:
        driving = self._broker.driving
        operator = "\n".join(_text(m) for m in self._session.messages if m.get("role") in ("system", "developer"))
        attachment = Attachment(_PERSON, self._session.agent, _SERVER, operator=operator)
        self._attached = (await driving.registry.attach(attachment)).id
        await driving.registry.show_tools(self._attached, self._session.tools)
        for message in self._session.messages:
            match message.get("role"):
                case "user" if words := _text(message).strip():
                    await self._hear(words)
                case "assistant":
                    for call in _calls(message):
                        await self._judge(call)
                case "tool":
                    await self._read(message)
        return self._rows

    async def _hear(self, words: str) -> None:
        # Longer than a goal may be: said in pieces, never cut.
        for at in range(0, len(words), 20_000):
            await self._broker.driving.missions.say(_PERSON, words[at : at + 20_000], GoalSource.PROMPT_HOOK, "")

    async def _judge(self, call: Mapping[str, Json]) -> None:
        self._clock.now += SECONDS_A_CALL
        identity, name, arguments = str(call.get("id", "")), *_function(call)
        head = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call"})[:-1]
        raw = f'{head}, "params": {{"name": {json.dumps(name)}, "arguments": {arguments or "{}"}}}}}'.encode(
            "utf-8", "surrogatepass"
        )
        row: dict[str, Json] = {"session": self._session.id, "call": identity, "tool": name}
        try:
            asked = to_evaluation(
                read_message(raw),
                server=_SERVER,
                subject=Subject(SubjectKind.AGENT, self._session.agent),
                evaluation_id=f"c-{len(self._rows)}",
            )
        except (MalformedMessageError, BadInputError):
            asked = None
        if not isinstance(asked, Evaluation):
            self._rows.append({**row, **_MALFORMED})
            return
        state = self._broker.state
        self._trails = {name: tuple(state.memory(name).trail) for name in state.missions} if self._watch else {}
        decision = await self._broker.driving.decisions.evaluate(
            asked, Shown(PassBinding.GATEWAY, attachment=self._attached)
        )
        self._rows.append(row | self._told(decision))
        if self._person is not None and decision.passage is Passage.ASK and decision.approval is not None:
            decision = await self._answered(decision, decision.approval, asked, self._person)
        self._pending[identity] = (asked, decision)
        if self._watch is not None:
            self._watched(self._watch, asked, decision, self._rows[-1])
        if self._independent:
            await self._forget_responses(decision.mission)

    async def _answered(
        self, decision: Decision, asked: Approval, call: Evaluation, person: Callable[[Approval], Answer | None]
    ) -> Decision:
        answer = person(asked)
        if answer is None:
            return decision
        await self._broker.driving.approvals.answer(asked.id, answer)
        again = replace(call, id=f"{call.id}-again")
        told = await self._broker.driving.decisions.evaluate(
            again, Shown(PassBinding.GATEWAY, attachment=self._attached)
        )
        if told.passage is Passage.FORWARD:
            await self._broker.driving.decisions.settle(again.id, Outcome(Settled.COMPLETE))
        return decision

    def _watched(
        self, watch: Callable[[WatchedCall], None], asked: Evaluation, decision: Decision, row: Mapping[str, Json]
    ) -> None:
        state = self._broker.state
        tool, mission = state.tools.get(asked.resource.id), state.missions.get(decision.mission)
        if tool is None or mission is None:
            return
        memory, roles = state.memory(mission.id), argument_roles(tool, asked.arguments)
        reading = classify(tool, asked.arguments, roles=roles)
        found = memory.provenance.sentences.explain(tool, reading, asked.arguments, roles, read_goal(mission.goal))
        inside = match(mission.authority, tool, asked.action.name, asked.arguments, roles)
        watch(
            WatchedCall(
                str(row["call"]),
                mission.goal,
                tool,
                reading,
                memory.provenance.trace(asked.arguments, mission.goal, roles, memory.operator),
                found,
                value_keys(tool, asked.arguments, roles, self._rules.context),
                self._before,
                row,
                CallSetting(
                    tuple(memory.findings),
                    self._trails.get(mission.id, ()),
                    memory.results,
                    inside.entry.approved_by if inside.inside and inside.entry else None,
                ),
            )
        )
        self._before = tool.name

    def _told(self, decision: Decision) -> dict[str, Json]:
        verdict = decision.verdict
        factors = verdict.factors
        return {
            "verdict": str(verdict.ruling),
            "response": str(verdict.response),
            "wis": None if verdict.wis is None else round(float(verdict.wis.value), 3),
            "factors": {
                "O": _rounded(factors.clarity.value if factors else None),
                "C": _rounded(factors.fit.value if factors else None),
                "R": _rounded(factors.risk.value if factors else None),
                "T": None if factors is None else round(float(factors.validity)),
            },
            "drift": _rounded(verdict.drift),
            "misaligned": _rounded(verdict.misaligned.value if verdict.misaligned else None),
            "price": int(verdict.price),
            "intent": verdict.intent,
            "reasons": list(verdict.codes),
        }

    async def _read(self, message: Mapping[str, Json]) -> None:
        found = self._pending.pop(str(message.get("tool_call_id", "")), None)
        if found is None:
            return
        asked, decision = found
        outcome = Outcome(Settled.COMPLETE, texts=(_text(message),))
        decisions = self._broker.driving.decisions
        if decision.passage is Passage.FORWARD:
            await decisions.settle(asked.id, outcome)
        elif decision.passage is Passage.ASK and isinstance(decisions, Evaluations):
            # Nobody answered in the recording and the call went out all the same: what it brought back was read by the agent.
            tool = self._broker.state.tools.get(asked.resource.id)
            if tool is not None:
                memory = self._broker.state.memory(decision.mission)
                reading, roles = classify(tool, asked.arguments), argument_roles(tool, asked.arguments)
                goal = self._broker.state.missions[decision.mission].goal
                origins = memory.provenance.trace(asked.arguments, goal, roles, memory.operator)
                memory.provenance.add_call(asked.arguments, origins, consequential=reading.consequential)
                decisions.read_result(
                    decision.mission,
                    asked.resource.id,
                    reading,
                    outcome,
                    source_of(tool.id, asked.arguments, roles),
                    steered=steered(origins),
                )

    async def _forget_responses(self, mission: str) -> None:
        """Judge the next call as if no response had been given: the session stands as normal, the mission is active."""
        state = self._broker.state
        standing, found = state.standings.get(mission), state.missions.get(mission)
        writes: list[PutStanding | PutMission] = []
        if standing is not None and standing.state is not SessionState.NORMAL:
            writes.append(PutStanding(mission, replace(standing, state=SessionState.NORMAL)))
        if found is not None and found.state is not MissionState.ACTIVE:
            writes.append(PutMission(replace(found, state=MissionState.ACTIVE), found.generation))
        if writes:
            await state.change(writes, [])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _text(message: Mapping[str, Json]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return ""


def _calls(message: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _function(call: Mapping[str, Json]) -> tuple[str, str]:
    function = call.get("function")
    if not isinstance(function, Mapping):
        return "", ""
    arguments = function.get("arguments")
    return str(function.get("name", "")), arguments if isinstance(arguments, str) else json.dumps(arguments or {})
