"""Gas: whole units, paid before anything happens, never given back.

There is deliberately no function here that adds gas to a grant: what a failed or refused call cost is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
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


def use(grant: Grant, entry: str = "") -> Grant:
    """The grant after one more call went out: one use less of it and, where it has an authority of its own, of the entry that covers the call.

    Args:
        grant: what the call goes out under.
        entry: id of that entry; empty where the grant has no authority of its own.

    Raises:
        GasExhaustedError: code `uses_exhausted`: no use is left, or the grant has no such entry. Nothing was counted.
    """
    if grant.uses_left is not None and grant.uses_left < 1:
        raise _no_use_left(f"the grant {grant.id}")
    left = None if grant.uses_left is None else grant.uses_left - 1
    if not entry:
        return grant if left is None else replace(grant, uses_left=left)
    return replace(_take(grant, entry, 1), uses_left=left)


def _take(grant: Grant, entry: str, times: int) -> Grant:
    own = grant.authority
    found = next((one for one in own.entries if one.id == entry), None) if own is not None else None
    if own is None or found is None or (found.uses_left is not None and found.uses_left < times):
        raise _no_use_left(f"entry {entry} of the grant {grant.id}")
    if found.uses_left is None:
        return grant
    less = replace(found, uses_left=found.uses_left - times)
    return replace(grant, authority=replace(own, entries=tuple(less if one is found else one for one in own.entries)))


def carve(parent: Grant, gas: Gas, uses: int | None = None, taken: Iterable[tuple[str, int]] = ()) -> Grant:
    """The parent after a child took `gas` of it, `uses` where the parent's are counted, and `taken` uses of entries of its own authority.

    Nothing of it ever comes back.

    Raises:
        GasExhaustedError: code `gas_exhausted`, `uses_exhausted`: the parent has not so much left (`uses` None is more than any). Nothing was taken.
        BadInputError: as `pay`.
    """
    after = pay(parent, gas)
    if parent.uses_left is not None:
        if uses is None or uses > parent.uses_left:
            raise _no_use_left(f"the grant {parent.id}, of which {parent.uses_left} uses are left,")
        after = replace(after, uses_left=parent.uses_left - uses)
    for entry, times in taken:
        after = _take(after, entry, times)
    return after


def _no_use_left(what: str) -> GasExhaustedError:
    return GasExhaustedError("uses_exhausted", f"{what} has no use left for this", "Ask for a new grant.")
