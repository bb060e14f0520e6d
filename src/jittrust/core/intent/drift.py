"""How far a mission has moved away from the words of the person: this call, and what has piled up before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.model import Reading
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class DriftRules:
    """Constants of drift."""

    off_goal_read: float = 0.6  # weight of a step without effect: a logical but off-goal sub-goal is medium
    off_goal_act: float = 1.0  # weight of a step with an effect: off the goal it is critical
    tolerated: float = 0.35  # distance of one step that does not pile up
    decay: float = 0.8  # share of what has piled up that is left after one more step
    rate: float = 0.9  # how fast piled-up distance turns into drift
    longest_trail: int = 64  # earlier steps that count


DRIFT_RULES = DriftRules()


@dataclass(frozen=True, slots=True)
class TrailStep:
    """One earlier call of the mission: its intent code and its O (None = unknown, leaves no trace)."""

    intent: str
    clarity: float | None


def drift(
    reading: ActionReading, clarity: Reading, trail: Sequence[TrailStep], rules: DriftRules = DRIFT_RULES
) -> Reading:
    """Distance 0..1 from the original goal: the greater of this call's own and the accumulated one. Unknown when O is unknown.

    `trail` is oldest first. Monotone: a lower O anywhere never lowers drift.
    """
    if clarity.value is None:
        return Reading("drift", None, Unit(0.0), "core.intent.drift", "Without a goal there is nothing to drift from.")
    own = (1.0 - clarity.value) * (rules.off_goal_act if reading.consequential else rules.off_goal_read)
    piled, decay, tolerated = 0.0, rules.decay, rules.tolerated
    off = effects = 0
    for step in trail[-rules.longest_trail :]:
        piled *= decay
        if step.clarity is not None:
            acts = _ACTS.get(step.intent, True)
            far = (1.0 - step.clarity) * (rules.off_goal_act if acts else rules.off_goal_read) - tolerated
            if far > 0.0:
                piled += far
                off, effects = off + 1, effects + acts
    piled = piled * decay + max(0.0, own - tolerated)
    gathered = 1.0 - math.exp(-rules.rate * piled)
    value = Unit(min(1.0, max(own, gathered)))
    why = (
        f"This call alone lies {own:.2f} off the goal (0 = on it, 1 = wholly off)."
        if own >= gathered
        else f"The last calls together lie {gathered:.2f} off the goal (0 = on it, 1 = wholly off), this one alone {own:.2f}."
    )
    if own > tolerated:
        why += " It is an effect off the goal: critical." if reading.consequential else " It has no effect: medium."
    if off:
        why += f" Before it {off} of {len(trail[-rules.longest_trail :])} steps lay off the goal, {effects} of them with effects."
    return Reading("drift", value, clarity.confidence, "core.intent.drift", why)


_ACTS = {code: known.consequential for code, known in TAXONOMY.items()}
