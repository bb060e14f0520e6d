"""What is usual in a deployment: which tools its goals take, where the values of their arguments come from, what follows what.

Learned by `jittrust calibrate` from recordings of clean missions; in force only once an operator adopts it. Then it approves, before a run, the
tools that are usual here (`policy:baseline`), and what is unusual raises the probability that a call is not the person's. Counted by distinct
goals, not by calls: many runs of one goal, or one endless mission, cannot make a thing usual.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jittrust.core.errors import BadInputError
from jittrust.core.intent.alignment import AUTHORITY_ROLES
from jittrust.core.intent.origin import ArgumentOrigin, Origin
from jittrust.core.model import Json, Tool

BASELINE_VERSION = 1

_Key = TypeVar("_Key")
_ROLE = "@"  # begins what stands for all arguments of a role, of any tool


@dataclass(frozen=True, slots=True)
class BaselineRules:
    """When a thing is usual."""

    least_goals: int = 2  # distinct goals that must have used a tool before it is approved for others
    enough_goals: int = 5  # distinct goals from which an argument speaks for itself and not for its role
    least_share: float = 0.1  # share of the sightings of an argument from which its origin is usual
    shape_goals: int = 3  # distinct goals from which a call with values from the same places is everyday
    shape_harm: float = 0.5  # most base risk of an act that may be everyday
    smoothing: float = 0.5  # added to every count
    worst: float = 4.0  # surprise (-ln p) that counts as 1
    most_steps: int = 200  # calls of one mission that are counted
    most_values: int = 20_000  # values kept


BASELINE_RULES = BaselineRules()


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One call of a recording, as far as the baseline is concerned: `tool_key`, (argument, origin) pairs, value keys."""

    tool: str
    origins: tuple[tuple[str, str], ...]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Counts over distinct goals, and what was promised.

    Attributes:
        goals: distinct goals learned from.
        tools: tool key → goals that used it.
        origins: (tool key, argument, origin) → goals; origin "" = whatever the origin.
        steps: (name of the tool before, name of the tool) → goals; the first step of a mission comes after "";
            name "" = whatever came next.
        values: digest of a value → goals.
        shapes: tool key with the origin of each deciding argument → goals.
        threshold: probability above which a call goes to a person; the conformal quantile of the friction budget.
        calls_promised, missions_promised: share of calls and of missions that go to a person, measured on goals left out one by one.
    """

    goals: int = 0
    tools: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    steps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, int] = field(default_factory=dict)
    threshold: float = 1.0
    calls_promised: float = 0.0
    missions_promised: float = 0.0

    @property
    def adopted(self) -> bool:
        """Whether there is one at all."""
        return self.goals > 0


NO_BASELINE = Baseline()


def tool_key(tool: Tool) -> str:
    """Name and shape of a tool: the server may be called anything, but a tool that takes other arguments is another tool."""
    declared = tool.input_schema.get("properties")
    names = sorted(str(name) for name in declared) if isinstance(declared, Mapping) else []
    return f"{tool.name}\x1f{hashlib.sha256(chr(31).join(names).encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def seen_call(tool: Tool, origins: Sequence[ArgumentOrigin], values: Sequence[str]) -> SeenCall:
    """What a baseline keeps of a call; `values` are the call's `value_keys`."""
    return SeenCall(tool_key(tool), _pairs(origins), tuple(key.rpartition("\x1f")[2] for key in values))


def learn(missions: Iterable[tuple[str, Sequence[SeenCall]]], rules: BaselineRules = BASELINE_RULES) -> Baseline:
    """A baseline out of clean missions: (goal, calls) each. A goal counts once, however often it was run."""
    tools: dict[str, set[str]] = {}
    origins: dict[tuple[str, str, str], set[str]] = {}
    steps: dict[tuple[str, str], set[str]] = {}
    values: dict[str, set[str]] = {}
    shapes: dict[str, set[str]] = {}
    goals: set[str] = set()
    for goal, calls in missions:
        goals.add(goal)
        last = ""
        for call in calls[: rules.most_steps]:
            tools.setdefault(call.tool, set()).add(goal)
            shapes.setdefault(_shape(call), set()).add(goal)
            name = call.tool.partition("\x1f")[0]
            for step in ((last, name), (last, "")):
                steps.setdefault(step, set()).add(goal)
            last = name
            for argument, origin in call.origins:
                of = "" if argument.startswith(_ROLE) else call.tool
                for place in ((of, argument, origin), (of, argument, "")):
                    origins.setdefault(place, set()).add(goal)
            for value in call.values:
                if value in values or len(values) < rules.most_values:
                    values.setdefault(value, set()).add(goal)
    return Baseline(len(goals), _counts(tools), _counts(origins), _counts(steps), _counts(values), _counts(shapes))


def surprise(
    baseline: Baseline,
    tool: Tool,
    before: str,
    origins: Sequence[ArgumentOrigin],
    values: Sequence[str],
    rules: BaselineRules = BASELINE_RULES,
) -> dict[str, float] | None:
    """The learned signs of `misaligned`, 0..1 each; None without a baseline. `before`: the name of the tool called last, "" = none."""
    if not baseline.adopted:
        return None
    call = seen_call(tool, origins, values)
    used = baseline.tools.get(call.tool, 0)
    odd = [
        _odd(baseline.origins.get((call.tool, *pair), 0), _sightings(baseline, call.tool, pair[0]), rules)
        for pair in call.origins
        if not pair[0].startswith(_ROLE)
    ]
    follows = baseline.steps.get((before, tool.name), 0)
    after = baseline.steps.get((before, ""), 0)
    new = sum(value not in baseline.values for value in call.values)
    return {
        "tool_rare": 1.0 / (1.0 + used),
        "origin_odd": max(odd, default=0.0) if used else 1.0,
        "step_odd": _odd(follows, after, rules),
        "values_new": new / len(call.values) if call.values else 0.0,
    }


def usual_origin(baseline: Baseline, tool: Tool, one: ArgumentOrigin, rules: BaselineRules = BASELINE_RULES) -> bool:
    """Whether values of this argument usually come from where this one comes from; of a seldom seen argument, values of its role."""
    (argument, origin), (role, _) = _pairs((one,), every=True)[:2]
    for key, name in ((tool_key(tool), argument), ("", role)):
        count, whole = baseline.origins.get((key, name, origin), 0), baseline.origins.get((key, name, ""), 0)
        if count >= rules.least_goals and count >= rules.least_share * whole:
            return True
        if whole >= rules.enough_goals:
            return False
    return False


def usual_shape(
    baseline: Baseline,
    tool: Tool,
    origins: Sequence[ArgumentOrigin],
    harm: float,
    rules: BaselineRules = BASELINE_RULES,
) -> bool:
    """Whether calls of this tool with values from just these places are everyday here, and of an act that does little harm (`harm`, 0..1)."""
    count = baseline.shapes.get(_shape(seen_call(tool, origins, ())), 0)
    return harm <= rules.shape_harm and count >= rules.shape_goals


def usual(baseline: Baseline, tool: Tool, rules: BaselineRules = BASELINE_RULES) -> bool:
    """Whether enough distinct goals of this deployment used the tool."""
    return baseline.tools.get(tool_key(tool), 0) >= rules.least_goals


def conformal(scores: Sequence[float], budget: float) -> float:
    """The threshold that at most `budget` (0..1) of exchangeable scores exceed: the ⌈(n+1)(1−budget)⌉-th smallest; 1 where n is too small."""
    place = math.ceil((len(scores) + 1) * (1.0 - budget))
    return 1.0 if place > len(scores) else sorted(scores)[max(0, place - 1)]


def departs(asked: int, whole: int, promised: float) -> bool:
    """Whether real friction is above what was promised, beyond chance (95 %, one-sided Wilson bound)."""
    if whole == 0:
        return False
    z, p = 1.645, asked / whole
    low = (p + z * z / (2 * whole) - z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))) / (
        1 + z * z / whole
    )
    return low > promised


def to_json(baseline: Baseline) -> dict[str, Json]:
    """As it is kept in a file."""
    return {
        "baseline": BASELINE_VERSION,
        "goals": baseline.goals,
        "tools": dict(baseline.tools),
        "origins": [[*key, count] for key, count in sorted(baseline.origins.items())],
        "steps": [[*key, count] for key, count in sorted(baseline.steps.items())],
        "values": dict(baseline.values),
        "shapes": dict(baseline.shapes),
        "threshold": baseline.threshold,
        "calls_promised": baseline.calls_promised,
        "missions_promised": baseline.missions_promised,
    }


def from_json(raw: Json) -> Baseline:
    """Read a kept baseline.

    Raises:
        BadInputError: code `bad_baseline`.
    """
    if not isinstance(raw, Mapping) or raw.get("baseline") != BASELINE_VERSION:
        raise BadInputError("bad_baseline", "this is no baseline of this version", "Make it anew: jittrust calibrate.")
    try:
        made = Baseline(
            goals=_count(raw.get("goals")),
            tools=_table(raw.get("tools")),
            origins={(a, b, c): _count(n) for a, b, c, n in _rows(raw.get("origins"), 4)},
            steps={(a, b): _count(n) for a, b, n in _rows(raw.get("steps"), 3)},
            values=_table(raw.get("values")),
            shapes=_table(raw.get("shapes")),
            threshold=_share(raw.get("threshold")),
            calls_promised=_share(raw.get("calls_promised")),
            missions_promised=_share(raw.get("missions_promised")),
        )
    except (TypeError, ValueError, AttributeError):
        raise BadInputError("bad_baseline", "the baseline is damaged", "Make it anew: jittrust calibrate.") from None
    return made


def _counts(found: Mapping[_Key, set[str]]) -> dict[_Key, int]:
    return {key: len(goals) for key, goals in found.items()}


def _pairs(origins: Sequence[ArgumentOrigin], *, every: bool = False) -> tuple[tuple[str, str], ...]:
    """(argument, origin) of the values that decide something; an address inside content counts for its argument."""
    found: dict[tuple[str, str], None] = {}
    for one in origins:
        path, _, place = one.path.partition("#")
        if not every and ((one.role not in AUTHORITY_ROLES and not place) or one.origin is Origin.TRIVIAL):
            continue
        name = ".".join(part for part in path.split("/") if part and not part.isdigit())
        for said in (name, f"{_ROLE}{one.role}"):
            found[(f"{said}#" if place else said, str(one.origin))] = None
    return tuple(found)


def _shape(call: SeenCall) -> str:
    said = sorted(f"{name}={origin}" for name, origin in call.origins if not name.startswith(_ROLE))
    return "\x1f".join((call.tool, *said))


def _sightings(baseline: Baseline, tool: str, name: str) -> int:
    return baseline.origins.get((tool, name, ""), 0)


def _odd(count: int, whole: int, rules: BaselineRules) -> float:
    likely = (count + rules.smoothing) / (whole + 2.0 * rules.smoothing)
    return max(0.0, min(1.0, -math.log(likely) / rules.worst))


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ValueError
    return float(value)


def _table(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise TypeError
    return {str(key): _count(count) for key, count in value.items()}


def _rows(value: object, width: int) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == width for row in value):
        raise TypeError
    if not all(isinstance(part, str) for row in value for part in row[:-1]):
        raise TypeError
    return value
