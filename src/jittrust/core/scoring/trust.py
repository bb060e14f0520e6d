"""Trust of a session, 0..100: falls fast, recovers slowly and only by clean calls with consequences. Hidden from agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jittrust.core.response.session import Standing
from jittrust.core.units import Score, Unit


@dataclass(frozen=True, slots=True)
class TrustRules:
    """How trust moves. Every number has a row in docs/scoring.md.

    `prior` is the trust of a session that nothing is known of, `prior_again` what it counts for the grants of a subject that was there before.
    `loss` is by reason code, in points, before scaling by risk; `gain` is one clean call with consequences; `gain_read` one clean read;
    `ceiling_per_strike` lowers what can ever be regained in this mission for each strike (a thousand cheap good calls never buy a dangerous one);
    a loss of `strike_from` points or more is a strike; a call that a person is asked about loses only `asked_share` of it, the person decides.
    Questions that only say what the goal does not cover take trust no lower than `asked_floor`, however many go unanswered; those about
    an act of a risk from `asked_harm` on, or a stranger's value or wish, do, and what is below by another fault goes on falling.
    """

    prior: float = 80.0
    prior_again: float = 40.0
    gain: float = 0.5
    gain_read: float = 0.02
    ceiling: float = 95.0
    ceiling_per_strike: float = 4.0
    strike_from: float = 2.0
    asked_share: float = 0.4
    asked_floor: float = 55.0
    asked_harm: float = 0.75
    loss: Mapping[str, float] = field(
        default_factory=lambda: {
            "pass_reused": 60.0,
            "never_trusted": 30.0,
            "policy_forbids": 16.0,
            "outside_map_dangerous": 18.0,
            "outside_blueprint": 6.0,
            "tainted_argument": 7.0,
            "outside_map": 3.0,
            "waits_for_person": 1.0,
            "constraint_failed": 3.0,
            "refused_by_person": 6.0,
            "uses_exhausted": 2.0,
            "misaligned": 4.0,
            "low_wis": 2.0,
            "secret_read": 3.0,
            "drift": 2.0,
            "no_goal": 0.5,
            "factor_unknown": 0.5,
            "tool_changed": 2.0,
            "tool_unknown": 4.0,
        }
    )


_OF_STRANGERS = frozenset(
    {"tainted_argument", "unnamed_target", "misaligned", "outside_map_dangerous", "secret_read", "refused_by_person"}
)


def opening(rules: TrustRules) -> Score:
    """Trust of a session that nothing is known of."""
    return Score(rules.prior)


def counted(trust: Score, rules: TrustRules, *, again: bool) -> Score:
    """The trust that life and gas of a grant follow. A subject that was there before (`again`) starts low and rises with the same session."""
    return Score(max(0.0, trust - (rules.prior - rules.prior_again))) if again else trust


def after(
    standing: Standing,
    codes: tuple[str, ...],
    risk: Unit | None,
    *,
    consequential: bool,
    went_out: bool,
    asked: bool,
    rules: TrustRules,
) -> Standing:
    """The standing after one judged call; its `state` is left to the response ladder.

    A loss is scaled by 0.5 + R/2 (an unknown risk counts as 1): the same refusal weighs more for a payment than for a read. The worst reason
    counts whole, every further one for a quarter, so that one call with five names for the same fault is not punished five times. Never rises here.
    """
    losses = sorted((rules.loss[code] for code in codes if code in rules.loss), reverse=True)
    if not losses:
        ceiling = max(0.0, rules.ceiling - rules.ceiling_per_strike * standing.strikes)
        gain = (rules.gain if consequential else rules.gain_read) if went_out else 0.0
        trust = max(standing.trust, min(standing.trust + gain, ceiling))
        return replace(
            standing,
            trust=Score(trust),
            clean=standing.clean + (1 if consequential and went_out else 0),
            calls=standing.calls + 1,
            refused=standing.refused + (0 if went_out else 1),
        )
    weight = 0.5 + (1.0 if risk is None else float(risk)) / 2
    lost = weight * (rules.asked_share if asked else 1.0) * (losses[0] + sum(losses[1:]) / 4)
    mild = risk is not None and risk < rules.asked_harm and not _OF_STRANGERS & set(codes)
    only_asked = asked and mild and standing.trust >= rules.asked_floor
    return replace(
        standing,
        trust=Score(max(rules.asked_floor if only_asked else 0.0, standing.trust - lost)),
        strikes=standing.strikes + (1 if lost >= rules.strike_from else 0),
        clean=0,
        calls=standing.calls + 1,
        refused=standing.refused + (0 if went_out else 1),
    )
