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
from jittrust.core.intent.words import fold
from jittrust.core.model import Json, Tool

BASELINE_VERSION = 2

_Key = TypeVar("_Key")
_STRANGE = frozenset({Origin.FREE_TEXT, Origin.UNSEEN})
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
    harmful: float = 0.75  # base risk from which a call with a stranger's deciding value teaches nothing


BASELINE_RULES = BaselineRules()


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One call of a recording, as far as the baseline is concerned: `tool_key`, (argument, origin) pairs, digests of values.

    `teaches`: False for an act that does harm with a deciding value that stood only in free text or nowhere: however often such a call was
    recorded, it makes nothing usual.
    """

    tool: str
    origins: tuple[tuple[str, str], ...]
    values: tuple[str, ...]
    teaches: bool = True


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
        calls_judged, missions_judged: how many of them that was measured on; a promise from few is a rough one.
        calls_budget, missions_budget: the shares that whoever calibrated was ready to bear.
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
    calls_judged: int = 0
    missions_judged: int = 0
    calls_budget: float = 0.0
    missions_budget: float = 0.0

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


def goal_key(text: str) -> str:
    """Under what a goal counts: its words, without case, digits and punctuation, so that "Pay invoice 17" and "pay invoice 18!" are one goal."""
    return " ".join("".join(c if c.isalpha() else " " for c in fold(text)).split()) or text


def seen_call(
    tool: Tool,
    origins: Sequence[ArgumentOrigin],
    values: Sequence[str],
    harm: float = 0.0,
    rules: BaselineRules = BASELINE_RULES,
) -> SeenCall:
    """What a baseline keeps of a call; `values` are the call's `value_keys`, `harm` the base risk of its act (0..1)."""
    strange = harm >= rules.harmful and any(
        one.origin in _STRANGE and one.role in AUTHORITY_ROLES for one in origins if "#" not in one.path
    )
    digests = tuple(key.rpartition("\x1f")[2] for key in values)
    return SeenCall(tool_key(tool), _pairs(origins), digests, teaches=not strange)


def learn(
    missions: Iterable[tuple[str, Sequence[SeenCall]]],
    rules: BaselineRules = BASELINE_RULES,
    weights: Mapping[str, float] | None = None,
) -> Baseline:
    """A baseline out of clean missions: (goal, calls) each. A goal counts once, however often it was run.

    `weights`: how much a goal still counts, 0..1; 1 where nothing is said. Sums are rounded to whole goals.
    """
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
            name = call.tool.partition("\x1f")[0]
            if not call.teaches:
                last = name
                continue
            tools.setdefault(call.tool, set()).add(goal)
            shapes.setdefault(_shape(call), set()).add(goal)
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
    whole = max(1, _weighed(goals, weights)) if goals else 0
    return Baseline(
        whole,
        _counts(tools, weights),
        _counts(origins, weights),
        _counts(steps, weights),
        _counts(values, weights),
        _counts(shapes, weights),
    )


def surprise(
    baseline: Baseline,
    tool: Tool,
    before: str,
    origins: Sequence[ArgumentOrigin],
    values: Sequence[str],
    rules: BaselineRules = BASELINE_RULES,
) -> dict[str, float] | None:
    """The learned signs of `misaligned`, 0..1 each; None without a baseline. `before`: the name of the tool called last, "" = none."""
    return surprise_of(baseline, seen_call(tool, origins, values), before, rules) if baseline.adopted else None


def surprise_of(
    baseline: Baseline, call: SeenCall, before: str, rules: BaselineRules = BASELINE_RULES
) -> dict[str, float]:
    """As `surprise`, of a call of which only this much is known."""
    used = baseline.tools.get(call.tool, 0)
    odd = [
        _odd(baseline.origins.get((call.tool, *pair), 0), _sightings(baseline, call.tool, pair[0]), rules)
        for pair in call.origins
        if not pair[0].startswith(_ROLE)
    ]
    follows = baseline.steps.get((before, call.tool.partition("\x1f")[0]), 0)
    after = baseline.steps.get((before, ""), 0)
    new = sum(value not in baseline.values for value in call.values)
    return {
        "tool_rare": 1.0 / (1.0 + used),
        "origin_odd": max(odd, default=0.0) if used else 1.0,
        "step_odd": _odd(follows, after, rules),
        "values_new": new / len(call.values) if call.values else 0.0,
    }


def usual_origin(
    baseline: Baseline, tool: Tool, one: ArgumentOrigin, harm: float = 0.0, rules: BaselineRules = BASELINE_RULES
) -> bool:
    """Whether values of this argument usually come from where this one comes from; of a seldom seen argument, values of its role.

    `harm`: base risk of the act (0..1). In one that does harm a stranger's or an invented value is never usual.
    """
    if harm >= rules.harmful and one.origin in _STRANGE:
        return False
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
    return usual_tool(baseline, tool_key(tool), rules)


def usual_tool(baseline: Baseline, key: str, rules: BaselineRules = BASELINE_RULES) -> bool:
    """As `usual`, of a tool of which only its `tool_key` is known."""
    return baseline.tools.get(key, 0) >= rules.least_goals


def usual_pair(baseline: Baseline, key: str, argument: str, origin: str, rules: BaselineRules = BASELINE_RULES) -> bool:
    """As `usual_origin`, of an argument of which only this much is known: its role does not speak for it."""
    count, whole = baseline.origins.get((key, argument, origin), 0), baseline.origins.get((key, argument, ""), 0)
    return count >= rules.least_goals and count >= rules.least_share * whole


def controlled(goals: Sequence[Sequence[float]], budget: float) -> float:
    """The least threshold at which the expected share of a new goal's scores above it is at most `budget` (0..1); 1 where goals are too few.

    Conformal risk control (Angelopoulos et al. 2022, theorem 1) over goals, which are exchangeable; calls of one goal are not. The loss of a goal is
    the share of its scores above the threshold, at most 1: the threshold is the least t with (sum of losses at t + 1) / (n + 1) <= budget.
    """
    told = [scores for scores in goals if scores]
    room = budget * (len(told) + 1) - 1.0
    if room < 0.0:
        return 1.0
    above = 0.0
    shares = sorted(((score, 1.0 / len(scores)) for scores in told for score in scores), reverse=True)
    for place, (score, share) in enumerate(shares):
        above += share
        # Equal scores lie above a threshold together, or not at all.
        last = place + 1 == len(shares) or shares[place + 1][0] < score
        if last and above > room + 1e-9:
            return score
    return 0.0


def departs(asked: int, whole: int, promised: float, measured: int = 0) -> bool:
    """Whether real friction is above what was promised, beyond chance (95 %, one-sided).

    `measured`: on how many the promise itself was measured (0: it is taken as exact), for it may be off by chance as well.
    """
    if whole == 0:
        return False
    z, p = 1.645, asked / whole
    low = (p + z * z / (2 * whole) - z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))) / (
        1 + z * z / whole
    )
    if not measured:
        return low > promised
    # The distance of two shares, each by its own Wilson bound (Newcombe 1998, method 10).
    q, n = promised, measured
    high = (q + z * z / (2 * n) + z * math.sqrt(q * (1 - q) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    return p - q > math.hypot(p - low, high - q)


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
        "calls_judged": baseline.calls_judged,
        "missions_judged": baseline.missions_judged,
        "calls_budget": baseline.calls_budget,
        "missions_budget": baseline.missions_budget,
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
            calls_judged=_count(raw.get("calls_judged")),
            missions_judged=_count(raw.get("missions_judged")),
            calls_budget=_share(raw.get("calls_budget")),
            missions_budget=_share(raw.get("missions_budget")),
        )
    except (TypeError, ValueError, AttributeError):
        raise BadInputError("bad_baseline", "the baseline is damaged", "Make it anew: jittrust calibrate.") from None
    return made


def _counts(found: Mapping[_Key, set[str]], weights: Mapping[str, float] | None) -> dict[_Key, int]:
    counted = {key: _weighed(goals, weights) for key, goals in found.items()}
    return {key: count for key, count in counted.items() if count}


def _weighed(goals: Iterable[str], weights: Mapping[str, float] | None) -> int:
    known = weights or {}
    return math.floor(math.fsum(known.get(goal, 1.0) for goal in goals) + 0.5)


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
