"""How far a cascade has moved from the words of the person at its root: hop by hop, agent to agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jittrust.core.model import Reading, Reason
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class CascadeRules:
    """Constants of the cascade."""

    ask_from: float = 0.8  # distance from which a call with consequences goes to a person
    kept: float = 0.85  # share of the distance before a hop that no later hop can win back


CASCADE_RULES = CascadeRules()


@dataclass(frozen=True, slots=True)
class Hop:
    """One message from agent to agent.

    Attributes:
        agent: who was given the task.
        said: what it was asked to do, as far as it is known; empty = nothing was said.
        distance: 0..1, how far that lies from the person's own words; None = could not be measured.
        intent: code of the message (`A.delegate`, `A.ask` …).
    """

    agent: str
    said: str
    distance: float | None
    intent: str


def cascade(hops: Sequence[Hop], rules: CascadeRules = CASCADE_RULES) -> Reading | None:
    """Distance 0..1 from the person's goal along the whole path, the root first; None where nobody handed anything on.

    A hop that cannot be measured keeps the distance before it. Monotone: a hop that lies farther off never lowers the distance.
    """
    if not hops:
        return None
    far, where = 0.0, hops[0]
    for hop in hops:
        own = hop.distance if hop.distance is not None else far
        if own > far:
            where = hop
        far = max(own, far * rules.kept)
    why = f"Along {len(hops)} hops the task moved {far:.2f} off the person's words (0 = on them, 1 = wholly off), most at {where.agent}."
    known = sum(hop.distance is not None for hop in hops) / len(hops)
    return Reading("cascade", Unit(far), Unit(known), "core.intent.cascade", why)


def doubt_of_cascade(found: Reading | None, rules: CascadeRules = CASCADE_RULES) -> Reason | None:
    """Why a person is asked because of the way the task took; None = no reason."""
    if found is None or found.value is None or found.value < rules.ask_from:
        return None
    return Reason("cascade_drift", found.why, "Say it in the goal, or approve this one call: jittrust approve.")
