"""Gas is exact and never comes back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.errors import BadInputError, GasExhaustedError
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.grant.spend import carve, is_spent, pay, pay_refusal
from jittrust.core.grant.states import GrantState
from jittrust.core.units import Gas, Instant


def grant(gas: int) -> Grant:
    return Grant(
        id="g-1",
        mission="m-1",
        family="g-1",
        agent="agent",
        server="files",
        binding=PassBinding.DPOP,
        jkt="k",
        strictness=Strictness.STRICT,
        state=GrantState.ACTIVE,
        gas_left=Gas(gas),
        gas_limit=Gas(gas),
        lanes=1,
        issued=Instant(0),
        expires=Instant(60),
    )


def test_a_grant_pays_to_its_last_unit_and_not_one_more() -> None:
    left = pay(pay(grant(5), Gas(3)), Gas(2))

    assert left.gas_left == 0
    assert is_spent(left)
    assert not is_spent(grant(1))
    with pytest.raises(GasExhaustedError, match="gas_exhausted"):
        pay(left, Gas(1))


def test_a_refused_call_takes_what_is_left_at_most() -> None:
    left, debit = pay_refusal(grant(2), Gas(5))

    assert (left.gas_left, debit) == (0, 2)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), -1, True, "5", 0.5, None, 2**53 + 1, -0.0])
def test_a_price_that_is_no_whole_number_is_refused(price: Any) -> None:  # noqa: ANN401
    for pays in (pay, pay_refusal, carve):
        with pytest.raises(BadInputError, match="bad_number"):
            pays(grant(10), price)


@given(st.integers(0, 10**6), st.lists(st.tuples(st.sampled_from(["call", "refusal", "child"]), st.integers(0, 10**5))))
def test_gas_never_rises_and_every_unit_is_accounted_for(limit: int, steps: list[tuple[str, int]]) -> None:
    now, gone = grant(limit), 0
    for kind, price in steps:
        before = now.gas_left
        try:
            if kind == "refusal":
                now, debit = pay_refusal(now, Gas(price))
            else:
                now, debit = (pay if kind == "call" else carve)(now, Gas(price)), Gas(price)
        except GasExhaustedError:
            assert price > before
            assert now.gas_left == before
            continue
        gone += debit
        assert now.gas_left <= before

    assert now.gas_left + gone == limit
    assert type(now.gas_left) is Gas
