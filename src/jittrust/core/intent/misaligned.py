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


def signs(
    goal: GoalReading,
    reading: ActionReading,
    origins: Sequence[ArgumentOrigin],
    found: Attribution,
    surprise: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The signs of a call, each 0..1. `surprise`: the learned ones (`baseline.surprise`); None = no baseline."""
    named = mention(goal, reading.verb, reading.stem, reading.objects)
    whole = [one for one in origins if "#" not in one.path and one.origin is not Origin.TRIVIAL]
    keys = [one for one in whole if one.role in AUTHORITY_ROLES and one.role is not ArgumentRole.SELECTOR]
    deciding = [one for one in whole if one.role in AUTHORITY_ROLES]
    own = [one for one in deciding if one.origin in (Origin.GOAL, Origin.OPERATOR, Origin.ENDORSED)]
    effects = set(reading.effects)
    return {
        "attributed": found.excess,
        "ordered": 1.0 if found.ordered else 0.0,
        "key_free": _any(keys, Origin.FREE_TEXT),
        "key_unseen": _any(keys, Origin.UNSEEN),
        "inside_free": _any([one for one in origins if "#" in one.path], Origin.FREE_TEXT),
        "selector_free": _any([one for one in whole if one.role is ArgumentRole.SELECTOR], Origin.FREE_TEXT),
        "act_absent": 0.0 if named.verb else 1.0,
        "object_absent": 0.0 if named.both else 1.0,
        "not_from_goal": 1.0 - len(own) / len(deciding) if deciding else 0.0,
        "harm": max(TAXONOMY[reading.intent].base_risk, 0.8 if Effect.DESTRUCTIVE in effects else 0.0),
        **{name: float((surprise or {}).get(name, 0.0)) for name in sorted(LEARNED_SIGNS)},
    }


def misaligned(found: Mapping[str, float], model: MisalignedModel, *, learned: bool) -> Reading:
    """The probability that the call is not the person's, with the signs that weigh most. Unknown without a model.

    `learned`: a baseline of the deployment is adopted; what is unusual there may raise the probability, what is usual does not lower it.
    """
    if not model.version:
        return Reading("misaligned", None, Unit(0.0), "core.intent.misaligned", "There is no model.")
    plain = _told(found, model.plain)
    p, why = max(plain, _told(found, model.learned)) if learned else plain
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


def _any(origins: Sequence[ArgumentOrigin], wanted: Origin) -> float:
    return 1.0 if any(one.origin is wanted for one in origins) else 0.0
