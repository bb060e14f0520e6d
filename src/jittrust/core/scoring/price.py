"""What a call costs, in gas: steady work is cheap, reaching for new things fast is not, so that lateral movement drains a grant."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jittrust.core.intent.reading import ActionReading
from jittrust.core.model import Reading
from jittrust.core.units import Gas, Unit


@dataclass(frozen=True, slots=True)
class PriceRules:
    """Constants of the price, in whole gas where they are prices."""

    read: float = 1.0  # a read of what is not sensitive
    act: float = 2.0  # anything consequential, before its risk
    harm: float = 18.0  # added at R = 1, in proportion to R squared
    harmful_read: float = 0.5  # R from which a read is priced by its harm too
    sensitivity: float = 1.0  # share added at sensitivity 1
    novelty: float = 3.0  # share added when everything the call reaches for is new
    speed: float = 1.5  # share added at full speed
    spread: float = 8.0  # targets reached in a mission from which novelty counts in full
    highest: int = 200  # most that one call costs
    refusal: int = 1  # a refused call, when the bound key proved it was there


PRICE_RULES = PriceRules()


def price(
    reading: ActionReading, risk: Reading, novelty: Unit, speed: Unit | None, rules: PriceRules = PRICE_RULES
) -> Gas:
    """Price of a call that goes out. Monotone in risk, sensitivity, novelty and speed.

    `novelty`: see `novelty_of`. `speed`: 0 = steady, 1 = as fast as the pulse allows; None = could not be measured, adds nothing.
    An unknown risk is priced as 1.
    """
    harm = 1.0 if risk.value is None else float(risk.value)
    base = (rules.act if reading.consequential else rules.read) + (
        rules.harm * harm * harm if reading.consequential or harm > rules.harmful_read else 0.0
    )
    sensitivity = max(reading.sensitivity_in, reading.sensitivity_out)
    cost = (
        base
        * (1.0 + rules.sensitivity * sensitivity)
        * (1.0 + rules.novelty * novelty)
        * (1.0 + rules.speed * (speed or 0.0))
    )
    return Gas(min(rules.highest, max(1, math.ceil(cost - 1e-9))))


def refusal_price(rules: PriceRules = PRICE_RULES) -> Gas:
    """Price of a refused call, so that probing costs trust."""
    return Gas(rules.refusal)


def novelty_of(new: int, values: int, reached: int, rules: PriceRules = PRICE_RULES) -> Unit:
    """How new what a call reaches for is, 0..1.

    `new` of its `values` resource values were never touched by this agent in this mission; `reached` is how many different ones the mission has
    touched so far. The first few are what any work needs; with every further one novelty weighs more.
    """
    if values <= 0 or new <= 0:
        return Unit(0.0)
    return Unit(min(1.0, new / values) * min(1.0, reached / rules.spread))
