"""The Weighted Intent Score: how far a call may be trusted, from four factors.

Bounded form, 0..100: 0 if O = 0, C = 0 or R = 1, else

    WIS = 100 · exp((wO·ln O + wC·ln C + wR·ln(1−H) + wT·ln t) / (wO + wC + wR + wT))
    H = R·(1 − κ·O·C)          harm weighs with doubt: an off-goal read and an on-goal payment must not tie
    t  = 1 / (1 + log2(1 + T / 3600 s))

A factor that could not be measured is left out and named. The published form (O × C) / (R × T) is exported for reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jittrust.core.errors import BadInputError
from jittrust.core.model import IntentFactors, WeightedIntentScore
from jittrust.core.units import Score

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the factors; only their ratio counts. Finite, >= 0, not all 0; `kappa` in 0..1."""

    clarity: float = 1.0  # wO
    fit: float = 1.0  # wC
    risk: float = 1.0  # wR
    validity: float = 0.5  # wT
    kappa: float = 0.6  # how far a call that serves the goal and is usual takes harm away

    def __post_init__(self) -> None:
        shares = (self.clarity, self.fit, self.risk, self.validity)
        if not all(math.isfinite(share) and share >= 0.0 for share in shares) or sum(shares) <= 0.0:
            raise BadInputError("bad_weights", "weights must be finite, at least 0, and not all 0")
        if not 0.0 <= self.kappa <= 1.0:
            raise BadInputError("bad_weights", "kappa must lie in 0..1")


WEIGHTS = Weights()


def weighted_intent_score(factors: IntentFactors, weights: Weights = WEIGHTS) -> WeightedIntentScore:
    """Both forms of the score. Unknown factors are left out of `value` and named in `unknown`; with O, C and R unknown it is 0."""
    clarity, fit, risk = factors.clarity.value, factors.fit.value, factors.risk.value
    unknown = tuple(name for name, value in (("O", clarity), ("C", fit), ("R", risk)) if value is None)
    ratio = _ratio(clarity, fit, risk, factors.validity)
    if clarity == 0.0 or fit == 0.0 or risk == 1.0 or len(unknown) == 3:  # noqa: PLR2004 - all three
        return WeightedIntentScore(Score(0.0), ratio, unknown)
    # Without O or C nothing is known that could take harm away.
    doubt_free = clarity * fit if clarity is not None and fit is not None else 0.0
    terms: list[tuple[float, float]] = [(weights.validity, 1.0 / (1.0 + math.log2(1.0 + factors.validity / _HOUR)))]
    if clarity is not None:
        terms.append((weights.clarity, clarity))
    if fit is not None:
        terms.append((weights.fit, fit))
    if risk is not None:
        terms.append((weights.risk, 1.0 - risk * (1.0 - weights.kappa * doubt_free)))
    total = math.fsum(weight for weight, _ in terms)
    if total <= 0.0:
        return WeightedIntentScore(Score(0.0), ratio, unknown)
    exponent = math.fsum(weight / total * math.log(value) for weight, value in terms)
    return WeightedIntentScore(Score(min(100.0, 100.0 * math.exp(exponent))), ratio, unknown)


def _ratio(clarity: float | None, fit: float | None, risk: float | None, validity: float) -> float | None:
    """The published form with T in hours; None where a factor is unknown or the denominator is 0."""
    if clarity is None or fit is None or risk is None:
        return None
    denominator = risk * validity / _HOUR
    if denominator <= 0.0:
        return None
    ratio = clarity * fit / denominator
    return ratio if math.isfinite(ratio) else None
