"""From judged missions to a baseline: which of them teach, how much each still counts, and the threshold that keeps a friction budget.

Whoever can run missions could teach the baseline what they like, so what counts is distinct goals, a few a day from one source, fading with time; a
mission in which a call looks plainly like somebody else's wish teaches nothing, and neither does a harmful call with a stranger's value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jittrust.core.intent.attribution import Attribution
from jittrust.core.intent.baseline import (
    NO_BASELINE,
    Baseline,
    SeenCall,
    controlled,
    goal_key,
    learn,
    seen_call,
    surprise_of,
    usual_pair,
    usual_tool,
)
from jittrust.core.intent.goal import GoalReading
from jittrust.core.intent.misaligned import LEARNED_SIGNS, NO_SETTING, CallSetting, MisalignedModel, misaligned, signs
from jittrust.core.intent.origin import ArgumentOrigin, Origin
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.model import Json, Tool

LEARNABLE_VERSION = 1
"""Version of what a record keeps for learning (`as_learnable`)."""
_DAY = 86_400.0
_NOT_ASKING = frozenset(
    {"aligned", "inside_map", "server_read", "no_goal_read", "policy_permits", "approved_by_person"}
)
_OUTSIDE = frozenset({"outside_map", "waits_for_person", "constraint_failed"})
_STRANGE_VALUE = frozenset({"tainted_argument", "unnamed_target"})
_STRANGE_ORIGINS = frozenset({Origin.FREE_TEXT.value, Origin.UNSEEN.value})


@dataclass(frozen=True, slots=True)
class LearningRules:
    """What teaches, and how far a threshold may go."""

    leave_out_above: float = 0.97  # probability of a call above which its mission teaches nothing
    most_threshold: float = (
        0.6  # highest threshold, whatever the budget: what is plainly somebody else's wish is asked about
    )
    folds: int = 20  # parts into which goals are laid; each is judged by what the others taught
    day_goals: int = 10  # distinct goals of one source on one day that teach
    person_goals: int = 20  # likewise of one person, under however many names their agents go
    half_life: float = 60.0  # days after which a goal counts half


LEARNING_RULES = LearningRules()


@dataclass(frozen=True, slots=True)
class JudgedCall:
    """One call as it was judged without a baseline.

    `before`: name of the tool called before, "" = none. `signs`: the signs of `misaligned`, without the learned ones. `consequential`: only such
    calls can be asked about for their probability.
    """

    seen: SeenCall
    before: str
    signs: Mapping[str, float]
    consequential: bool


def judged_call(
    goal: GoalReading,
    tool: Tool,
    reading: ActionReading,
    origins: Sequence[ArgumentOrigin],
    found: Attribution,
    keys: Sequence[str],
    before: str,
    setting: CallSetting = NO_SETTING,
) -> JudgedCall:
    """What is kept of a call that was judged; `keys`: its `value_keys`, `before`: the name of the tool called before, "" = none."""
    said = signs(goal, reading, origins, found, None, setting)
    return JudgedCall(
        seen_call(tool, origins, keys, TAXONOMY[reading.intent].base_risk),
        before,
        {name: value for name, value in said.items() if name not in LEARNED_SIGNS and value},
        reading.consequential,
    )


@dataclass(frozen=True, slots=True)
class JudgedMission:
    """One mission: its name, the goal as first said, its calls, which agent's it was (`source`) and which person's, and when it began.

    `at` is in seconds; 0 = not known.
    """

    name: str
    goal: str
    calls: tuple[JudgedCall, ...]
    source: str = ""
    at: float = 0.0
    person: str = ""


@dataclass(frozen=True, slots=True)
class Selected:
    """What teaches, and what does not: `left_out` is the name of a mission → why, in words."""

    missions: tuple[JudgedMission, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


def select(
    missions: Sequence[JudgedMission], model: MisalignedModel, rules: LearningRules = LEARNING_RULES
) -> Selected:
    """The missions that may teach. The oldest of a source and day come first; without a time, all are of one day and none is too many."""
    kept: list[JudgedMission] = []
    left: dict[str, str] = {}
    days: dict[tuple[str, str, int], set[str]] = {}
    for one in sorted(missions, key=lambda mission: mission.at):
        worst = max(scores(one, NO_BASELINE, model), default=0.0)
        goal, date = goal_key(one.goal), int(one.at // _DAY)
        # An agent may say that it is another one, a person may not.
        mine = days.setdefault(("agent", f"{one.source}\x1f{one.person}", date), set())
        theirs = days.setdefault(("person", one.person, date), set())
        if worst > rules.leave_out_above:
            left[one.name] = f"a call looks like somebody else's wish ({worst:.2f} of 1)"
        elif one.at and goal not in mine and len(mine) >= rules.day_goals:
            left[one.name] = f"{one.source or 'its agent'} had taught {rules.day_goals} goals that day"
        elif one.at and goal not in theirs and len(theirs) >= rules.person_goals:
            left[one.name] = f"{one.person or 'its person'} had taught {rules.person_goals} goals that day"
        else:
            mine.add(goal)
            theirs.add(goal)
            kept.append(one)
    return Selected(tuple(kept), left)


def learned(missions: Sequence[JudgedMission], now: float = 0.0, rules: LearningRules = LEARNING_RULES) -> Baseline:
    """What they teach together; each goal counts once, and the less the longer ago it was last run."""
    weights: dict[str, float] = {}
    for one in missions:
        age = max(0.0, now - one.at) / _DAY if one.at and now else 0.0
        goal = goal_key(one.goal)
        weights[goal] = max(weights.get(goal, 0.0), 0.5 ** (age / rules.half_life))
    return learn(((goal_key(one.goal), [call.seen for call in one.calls]) for one in missions), weights=weights)


def scores(mission: JudgedMission, baseline: Baseline, model: MisalignedModel) -> list[float]:
    """The probability of every call with consequences, by this baseline."""
    found = []
    for call in mission.calls:
        if call.consequential:
            usual = surprise_of(baseline, call.seen, call.before) if baseline.adopted else {}
            told = misaligned({**call.signs, **usual}, model, learned=baseline.adopted)
            found.append(float(told.value or 0.0))
    return found


def threshold(
    missions: Sequence[JudgedMission],
    calls: float,
    whole: float,
    model: MisalignedModel,
    now: float = 0.0,
    rules: LearningRules = LEARNING_RULES,
) -> float:
    """The least threshold that keeps both budgets (`calls`, `whole`: shares of calls and of missions) for a goal that was never seen.

    Every goal is judged by what the others taught. Where there are too few goals to promise anything it is `rules.most_threshold`.
    """
    by_call: dict[str, list[float]] = {}
    by_mission: dict[str, list[float]] = {}
    for held, others, _ in folds(missions, rules):
        baseline = learned(others, now, rules)
        for one in held:
            found = scores(one, baseline, model)
            by_call.setdefault(goal_key(one.goal), []).extend(found)
            by_mission.setdefault(goal_key(one.goal), []).append(max(found, default=0.0))
    needed = max(controlled(list(by_call.values()), calls), controlled(list(by_mission.values()), whole))
    return min(needed, rules.most_threshold)


def folds(
    missions: Sequence[JudgedMission], rules: LearningRules = LEARNING_RULES
) -> Iterator[tuple[list[JudgedMission], list[JudgedMission], list[JudgedMission]]]:
    """(held out, the others, the others without one more part), by goal.

    How much more friction the last of the three leaves than the second tells what the part held out would have taught: see `extrapolated`.
    """
    places = {goal: n % rules.folds for n, goal in enumerate(dict.fromkeys(goal_key(one.goal) for one in missions))}
    parts = min(rules.folds, len(places))
    for fold in range(parts):
        others = [one for one in missions if places[goal_key(one.goal)] != fold]
        yield (
            [one for one in missions if places[goal_key(one.goal)] == fold],
            others,
            [one for one in others if places[goal_key(one.goal)] != (fold + 1) % parts],
        )


def extrapolated(without_one: float, without_two: float, parts: int) -> float:
    """The share (0..1) to expect of a baseline of all parts, from those that one part less and two parts less leave.

    A baseline that is judged by goals held out has learned from fewer than the one that is adopted, and asks more; the last step of the learning
    curve is taken to be as the one before it, flatter by (parts − 2) / parts, and never a step up.
    """
    step = max(0.0, without_two - without_one) * max(0, parts - 2) / max(1, parts)
    return max(0.0, without_one - step)


def as_learnable(call: JudgedCall) -> Json:
    """What a ledger record keeps of a call so that a baseline may be learned from it later: digests and names, never a value."""
    seen = call.seen
    return {
        "version": LEARNABLE_VERSION,
        "tool": seen.tool,
        "origins": [[argument, origin] for argument, origin in seen.origins],
        "values": list(seen.values),
        "teaches": seen.teaches,
        "before": call.before,
        "signs": {name: round(value, 4) for name, value in call.signs.items()},
        "consequential": call.consequential,
    }


def learnable_of(raw: object) -> JudgedCall | None:
    """The call that `as_learnable` wrote; None for anything else, an older record's nothing among it."""
    if not isinstance(raw, Mapping) or raw.get("version") != LEARNABLE_VERSION:
        return None
    origins, values, found = raw.get("origins"), raw.get("values"), raw.get("signs")
    tool, before = raw.get("tool"), raw.get("before")
    if not isinstance(origins, list) or not isinstance(values, list) or not isinstance(found, Mapping):
        return None
    if not isinstance(tool, str) or not isinstance(before, str):
        return None
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in origins):  # noqa: PLR2004 - argument and origin
        return None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values()):
        return None
    return JudgedCall(
        SeenCall(
            tool,
            tuple((str(argument), str(origin)) for argument, origin in origins),
            tuple(map(str, values)),
            teaches=raw.get("teaches") is True,
        ),
        before,
        {str(name): float(value) for name, value in found.items()},
        raw.get("consequential") is True,
    )


def would_ask(
    call: JudgedCall, codes: frozenset[str], baseline: Baseline, model: MisalignedModel, *, asked: bool
) -> bool:
    """Whether a person would be asked about the call under a baseline, as far as its record tells.

    `codes`: the reasons of its verdict without one; `asked`: whether a person was, or would have been, asked then. Only what a baseline may lift is
    lifted, so what this counts is rather too much than too little.
    """
    if call.consequential:
        told = misaligned({**call.signs, **surprise_of(baseline, call.seen, call.before)}, model, learned=True)
        if float(told.value or 0.0) > baseline.threshold:
            return True
    if not asked:
        return False
    rest = codes - _NOT_ASKING - {"misaligned"}
    if rest & _OUTSIDE:
        if not usual_tool(baseline, call.seen.tool):
            return True
        rest -= _OUTSIDE
    if rest & _STRANGE_VALUE:
        strange = [pair for pair in call.seen.origins if pair[1] in _STRANGE_ORIGINS and not pair[0].startswith("@")]
        if not strange or not all(usual_pair(baseline, call.seen.tool, *pair) for pair in strange):
            return True
        rest -= _STRANGE_VALUE
    return bool(rest)
