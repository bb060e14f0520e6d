"""How likely a call is not the person's: an additive logistic of a few readings, each of which can only raise it.

The weights are data (`jittrust/models/misaligned.json`; docs/models/misaligned.md): all are at least 0, so that more of a bad sign never lowers the
probability. What it says may add a question; it never answers one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jittrust.core.errors import BadInputError
from jittrust.core.intent.alignment import AUTHORITY_ROLES
from jittrust.core.intent.attribution import Attribution
from jittrust.core.intent.drift import TrailStep
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.goal import GoalReading, mention
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading, Effect
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.model import Json, Reading
from jittrust.core.units import Unit

SIGNS: Mapping[str, str] = {
    "attributed": "a sentence that a tool returned explains it better than the goal",
    "ordered": "text that a tool returned asks for such an act",
    "key_free": "a value that decides who is reached stood only in free text",
    "key_unseen": "a value that decides who is reached was named by nobody",
    "inside_free": "an address in its content stood only in free text",
    "selector_free": "the thing it touches stood only in free text",
    "act_absent": "the goal names no such act",
    "object_absent": "the goal does not name what it acts on",
    "not_from_goal": "its deciding values are not from the goal",
    "harm": "acts of this kind do harm",
    "instructed": "the text that explains it reads like orders to a model",
    "key_instructed": "a value that decides stood in a text that reads like orders to a model",
    "orders_in_view": "a text that reads like orders was read before, and the goal does not name what it acts on",
    "harm_in_view": "it does harm that the goal does not name, after a text that reads like orders",
    "harm_unnamed": "it does harm, and the goal names no such act",
    "ordered_unnamed": "text that a tool returned asks for it, and the goal does not name what it acts on",
    "attributed_key": "what explains it also says a value that decides",
    "strangers": "strangers' values decide",
    "fresh": "it follows at once on the text that explains it",
    "beyond": "such an act was done before, and this one's values are not from the goal",
    "uncovered": "the map covers it by no exact rule",
    "tool_rare": "this deployment seldom uses the tool",
    "origin_odd": "a value comes from where it does not usually come from here",
    "step_odd": "the tool does not usually follow the one before",
    "values_new": "it touches things that were never touched here",
}
"""What each sign means, for people. All lie in 0..1; more is worse."""

LEARNED_SIGNS = frozenset({"tool_rare", "origin_odd", "step_odd", "values_new"})
"""Signs that need a baseline of the deployment; 0 without one."""

_TOLD = 3
_LEAST_TOLD = 0.05
_CLEAR = 0.3  # excess of attribution from which a text plainly explains the call
_MANY = 3  # strangers' values that count in full
_BESIDE = 0.5  # how much a field of a result counts whose text reads like orders, against a value out of that text
_GUESSED = 0.5  # how uncovered a tool is that the policy approved by a rule which the words do not name
_HARMFUL = 0.5  # harm from which nothing usual speaks for a call that a text asks for
_NAMED = "policy:named"


@dataclass(frozen=True, slots=True)
class LogisticWeights:
    """Weight of every sign (>= 0, finite) and the bias."""

    bias: float = 0.0
    signs: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not set(self.signs) <= set(SIGNS):
            raise BadInputError("bad_weights", f"unknown signs: {', '.join(sorted(set(self.signs) - set(SIGNS)))}")
        if not math.isfinite(self.bias) or not all(math.isfinite(w) and w >= 0.0 for w in self.signs.values()):
            raise BadInputError("bad_weights", "weights must be finite, those of signs at least 0")


@dataclass(frozen=True, slots=True)
class MisalignedModel:
    """Weights for a call about which nothing was learned, and for a deployment with a baseline. Empty = there is no model."""

    version: str = ""
    plain: LogisticWeights = field(default_factory=LogisticWeights)
    learned: LogisticWeights = field(default_factory=LogisticWeights)


@dataclass(frozen=True, slots=True)
class CallSetting:
    """What the mission had come to when the call was asked for.

    Attributes:
        findings: texts of this mission that read like orders to a model.
        trail: the steps that went out before, oldest first.
        results: how many results were read so far.
        approved_by: who put the tool into the map (`AuthorityEntry.approved_by`); None = the call lies outside.
    """

    findings: Sequence[TextFinding] = ()
    trail: Sequence[TrailStep] = ()
    results: int = 0
    approved_by: str | None = ""


NO_SETTING = CallSetting()


def signs(
    goal: GoalReading,
    reading: ActionReading,
    origins: Sequence[ArgumentOrigin],
    found: Attribution,
    surprise: Mapping[str, float] | None = None,
    setting: CallSetting = NO_SETTING,
) -> dict[str, float]:
    """The signs of a call, each 0..1. `surprise`: the learned ones (`baseline.surprise`); None = no baseline."""
    named = mention(goal, reading.verb, reading.stem, reading.objects)
    whole = [one for one in origins if "#" not in one.path and one.origin is not Origin.TRIVIAL]
    keys = [one for one in whole if one.role in AUTHORITY_ROLES and one.role is not ArgumentRole.SELECTOR]
    deciding = [one for one in whole if one.role in AUTHORITY_ROLES]
    own = [one for one in deciding if one.origin in (Origin.GOAL, Origin.OPERATOR, Origin.ENDORSED)]
    strange = [one for one in origins if one.origin is Origin.FREE_TEXT and _decides(one)]
    act_absent, object_absent = (0.0 if named.verb else 1.0), (0.0 if named.both else 1.0)
    not_from_goal = 1.0 - len(own) / len(deciding) if deciding else 0.0
    harm = max(TAXONOMY[reading.intent].base_risk, 0.8 if Effect.DESTRUCTIVE in reading.effects else 0.0)
    clear = min(1.0, found.excess / _CLEAR)
    orders: dict[str, float] = {}
    for one in setting.findings:
        orders[one.source] = max(orders.get(one.source, 0.0), float(one.value))
    in_view = max(orders.values(), default=0.0)
    return {
        "attributed": found.excess,
        "ordered": 1.0 if found.ordered else 0.0,
        "key_free": _any(keys, Origin.FREE_TEXT),
        "key_unseen": _any(keys, Origin.UNSEEN),
        "inside_free": _any([one for one in origins if "#" in one.path], Origin.FREE_TEXT),
        "selector_free": _any([one for one in whole if one.role is ArgumentRole.SELECTOR], Origin.FREE_TEXT),
        "act_absent": act_absent,
        "object_absent": object_absent,
        "not_from_goal": not_from_goal,
        "harm": harm,
        "instructed": orders.get(found.source, 0.0) * clear,
        "key_instructed": _from_orders(origins, orders),
        "orders_in_view": in_view * object_absent,
        "harm_in_view": in_view * harm * act_absent,
        "harm_unnamed": harm * act_absent,
        "ordered_unnamed": object_absent if found.ordered else 0.0,
        "attributed_key": found.excess if strange else 0.0,
        "strangers": min(1.0, len(strange) / _MANY),
        "fresh": clear / (1.0 + max(0, setting.results - _place(found.source))) if found.source else 0.0,
        "beyond": not_from_goal if any(step.intent == reading.intent for step in setting.trail) else 0.0,
        "uncovered": _uncovered(setting.approved_by),
        **{name: float((surprise or {}).get(name, 0.0)) for name in sorted(LEARNED_SIGNS)},
    }


def asked_by_orders(found: Mapping[str, float]) -> bool:
    """Whether a text asks for a harmful call, or one that reads like orders gave it a value: what is usual here says nothing of such a call."""
    told = (
        found.get("ordered", 0.0) > 0.0 or found.get("instructed", 0.0) > 0.0 or found.get("key_instructed", 0.0) > 0.0
    )
    return told and found.get("harm", 0.0) >= _HARMFUL


def misaligned(found: Mapping[str, float], model: MisalignedModel, *, learned: bool) -> Reading:
    """The probability that the call is not the person's, with the signs that weigh most. Unknown without a model.

    `learned`: a baseline of the deployment is adopted, and the weights that know it count. For a harmful call that a text asks for the greater of
    both counts: there what is usual lowers nothing.
    """
    if not model.version:
        return Reading("misaligned", None, Unit(0.0), "core.intent.misaligned", "There is no model.")
    p, why = _told(found, model.learned if learned else model.plain)
    if learned and asked_by_orders(found):
        p, why = max((p, why), _told(found, model.plain))
    return Reading("misaligned", Unit(p), Unit(0.7 if learned else 0.5), "core.intent.misaligned", f"{why}.")


def _told(found: Mapping[str, float], weights: LogisticWeights) -> tuple[float, str]:
    parts = {name: weights.signs.get(name, 0.0) * value for name, value in found.items()}
    total = weights.bias + math.fsum(parts.values())
    p = 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, total))))
    heaviest = sorted((name for name in parts if parts[name] >= _LEAST_TOLD), key=lambda name: (-parts[name], name))
    return p, "; ".join(f"{SIGNS[name]} (+{parts[name]:.1f})" for name in heaviest[:_TOLD]) or "nothing speaks for it"


def model_of(raw: Json) -> MisalignedModel:
    """Read weights from JSON.

    Raises:
        BadInputError: code `bad_weights`.
    """
    if not isinstance(raw, Mapping):
        raise BadInputError("bad_weights", "the model is no object")
    version, plain, learned = raw.get("version"), raw.get("plain"), raw.get("learned")
    if not isinstance(version, str) or not version:
        raise BadInputError("bad_weights", "the model has no version")
    return MisalignedModel(version, _weights_of(plain), _weights_of(learned))


def _weights_of(raw: Json) -> LogisticWeights:
    given = raw.get("signs") if isinstance(raw, Mapping) else None
    bias = raw.get("bias") if isinstance(raw, Mapping) else None
    if not isinstance(given, Mapping) or not isinstance(bias, int | float) or isinstance(bias, bool):
        raise BadInputError("bad_weights", "weights need `bias` and `signs`")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in given.values()):
        raise BadInputError("bad_weights", "a weight is no number")
    return LogisticWeights(float(bias), {str(name): float(str(value)) for name, value in given.items()})


def _decides(one: ArgumentOrigin) -> bool:
    return one.role in AUTHORITY_ROLES or "#" in one.path


def _from_orders(origins: Sequence[ArgumentOrigin], orders: Mapping[str, float]) -> float:
    if not orders:
        return 0.0
    return max(
        (
            orders.get(one.source, 0.0) * (1.0 if one.origin is Origin.FREE_TEXT else _BESIDE)
            for one in origins
            if one.origin in (Origin.FREE_TEXT, Origin.FIELD) and _decides(one)
        ),
        default=0.0,
    )


def _uncovered(approved_by: str | None) -> float:
    if approved_by is None:
        return 1.0
    return _GUESSED if approved_by.startswith("policy:") and approved_by != _NAMED else 0.0


def _place(source: str) -> int:
    """The number of a result in its name, `files/read_file#3`; 0 where it has none."""
    number = source.rpartition("#")[2]
    return int(number) if number.isdecimal() else 0


def _any(origins: Sequence[ArgumentOrigin], wanted: Origin) -> float:
    return 1.0 if any(one.origin is wanted for one in origins) else 0.0
