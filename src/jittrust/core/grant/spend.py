"""Gas: whole units, paid before anything happens, never given back.

There is deliberately no function here that adds gas to a grant: what a failed or refused call cost is gone.
"""

from __future__ import annotations

from dataclasses import replace

from jittrust.core.errors import GasExhaustedError
from jittrust.core.grant.grant import Grant
from jittrust.core.units import Gas


def pay(grant: Grant, price: Gas) -> Grant:
    """The grant after a call that goes out was paid in full.

    Raises:
        GasExhaustedError: code `gas_exhausted`: the price is more than what is left. Nothing was debited.
        BadInputError: code `bad_number`: the price is no whole number >= 0 (NaN, fractions and truth values included).
    """
    exact = Gas(price)
    if exact > grant.gas_left:
        raise GasExhaustedError(
            "gas_exhausted",
            f"the call costs {exact} gas and {grant.gas_left} is left",
            "Ask for a new grant; its limit follows from the trust earned so far.",
        )
    return replace(grant, gas_left=Gas(grant.gas_left - exact))


def pay_refusal(grant: Grant, price: Gas) -> tuple[Grant, Gas]:
    """The grant after a refused call was charged, and what was really debited: the price or what was left, whichever is less.

    Raises:
        BadInputError: code `bad_number`, as `pay`.
    """
    debit = Gas(min(Gas(price), grant.gas_left))
    return replace(grant, gas_left=Gas(grant.gas_left - debit)), debit


def is_spent(grant: Grant) -> bool:
    """Whether nothing is left: the grant then becomes `spent`, for good."""
    return grant.gas_left == 0


def carve(parent: Grant, gas: Gas) -> Grant:
    """The parent after a child grant took `gas` of it. The child's own gas is the whole of what a family can ever spend again.

    Raises:
        GasExhaustedError, BadInputError: as `pay`.
    """
    return pay(parent, gas)
