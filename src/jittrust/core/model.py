"""The question asked and its answer: AuthZEN's words, plus the reasons.

`Evaluation` goes into `decide()`, `Verdict` comes out. Everything here is a frozen value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from jittrust.core.intent.note import IntentNote
from jittrust.core.units import Gas, Score, Seconds, Unit

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""Any JSON value, as `core.strict_json.parse` returns it."""


class SubjectKind(StrEnum):
    """Who acts."""

    PERSON = "person"
    AGENT = "agent"
    WORKLOAD = "workload"
    WORKFLOW = "workflow"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks. `id` is stable for one agent of one user (client name and user), never a secret."""

    kind: SubjectKind
    id: str


@dataclass(frozen=True, slots=True)
class Action:
    """What is asked: an MCP method such as `tools/call`."""

    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """On what: type `tool`, `resource` or `prompt`, id `server/name`."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class ToolAnnotations:
    """MCP ToolAnnotations as declared; None where the server said nothing. Hints, believed only as far as the rules say."""

    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


class Noted:
    """Has room for what `core.once` works out of a value: no field of it, so that it is never compared, printed, stored or sent."""

    __slots__ = ("memo",)
    memo: dict[Any, Any]


@dataclass(frozen=True, slots=True)
class Tool(Noted):
    """One tool of one server as it was approved.

    `server` is the name under which the server sits behind the broker. `input_schema` is the JSON Schema as declared.
    `pin` is the canonical hash of the whole definition (64 hex digits), see `core.authority.pin`.
    `access`: the class that the access model gave it (`core.intent.access`), asked once when the definition was read; empty = unknown.
    """

    server: str
    name: str
    description: str
    input_schema: Mapping[str, Json] = field(default_factory=dict)
    annotations: ToolAnnotations = field(default_factory=ToolAnnotations)
    title: str = ""
    pin: str = ""
    access: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "memo", {})

    @property
    def id(self) -> str:
        """`server/name`, unique behind one broker."""
        return f"{self.server}/{self.name}"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One access question.

    Attributes:
        id: unique name of the question (a call id), for the ledger and for people.
        subject: who asks.
        action: the MCP method.
        resource: on what.
        arguments: parsed copy of the arguments; the bytes that are forwarded are the ones `digest` covers.
        digest: 64 hex digits, SHA-256 over method, target and the exact bytes of the arguments (see `pep.mcp.translate`).
        text: the arguments as they are shown to people (cut, redacted by the enforcement point).
        note: what the caller's own gateway says about the intent behind the call; a claim that can only add distance. None = nothing.
    """

    id: str
    subject: Subject
    action: Action
    resource: Resource
    arguments: Mapping[str, Json]
    digest: str
    text: str = ""
    note: IntentNote | None = None


class Ruling(StrEnum):
    """Verdict of one call (AARM's words)."""

    ALLOW = "allow"
    MODIFY = "modify"
    STEP_UP = "step_up"
    DEFER = "defer"
    DENY = "deny"


class Response(StrEnum):
    """Graduated response to the session (CAT's words), mildest first."""

    NONE = "none"
    FLAG = "flag"
    NARROW = "narrow"
    SUSPEND = "suspend"
    RELAUNCH = "relaunch"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why. `code` is stable (listed in `core.reasons`); `fact` is for people and never shown to the agent."""

    code: str
    fact: str
    would_pass: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a classifier or signal measured.

    Attributes:
        name: what was measured (`O`, `C`, `R`, `T`, `taint`, `drift` ...).
        value: 0..1 in the direction that the name's definition in docs/scoring.md gives; None = could not be measured (unknown).
        confidence: 0..1, how far the value may be relied on.
        origin: which function measured it.
        why: one sentence for people.
    """

    name: str
    value: Unit | None
    confidence: Unit
    origin: str
    why: str


@dataclass(frozen=True, slots=True)
class IntentFactors:
    """The four factors of the Weighted Intent Score; a value of None is unknown."""

    clarity: Reading  # O: does the action serve the stated goal? 1 = surely
    fit: Reading  # C: is it usual for this agent? 1 = usual
    risk: Reading  # R: how much harm if it is malicious? 1 = never trusted
    validity: Seconds  # T: from the last confirmation by a person to the end of the permission in force
    validity_why: str = ""


@dataclass(frozen=True, slots=True)
class WeightedIntentScore:
    """Both forms of the score.

    `value` is the bounded form, 0..100 (DESIGN: product score); `ratio` the published (O × C) / (R × T in hours), for reference only,
    None where it is undefined. `unknown` names factors that could not be measured: they are left out of `value` and cap the verdict.
    """

    value: Score
    ratio: float | None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer with all its reasons. Facts, scores and thresholds are for people; the agent gets `agent_code` and `agent_next`.

    `misaligned`: how likely the call is somebody else's wish, with the signs that weigh most; None = not measured.
    """

    ruling: Ruling
    response: Response
    reasons: Sequence[Reason]
    intent: str
    factors: IntentFactors | None
    wis: WeightedIntentScore | None
    drift: Unit | None
    price: Gas
    trust: Score
    entry: str | None = None
    agent_code: str = "ok"
    agent_next: str = ""
    misaligned: Reading | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        """The reason codes, in the order in which they were found."""
        return tuple(reason.code for reason in self.reasons)
