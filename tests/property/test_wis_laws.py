"""Laws of the Weighted Intent Score and of the price."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.errors import BadInputError
from jittrust.core.intent.reading import classify
from jittrust.core.model import IntentFactors, Reading, Tool
from jittrust.core.scoring.price import novelty_of, price, refusal_price
from jittrust.core.scoring.wis import WEIGHTS, Weights, weighted_intent_score
from jittrust.core.units import Seconds, Unit

units = st.floats(0.0, 1.0, allow_nan=False)
maybe = st.none() | units
seconds = st.floats(0.0, 1e9, allow_nan=False)
shares = st.floats(0.01, 10.0, allow_nan=False)
weights = st.builds(Weights, shares, shares, shares, shares, units)


def reading(name: str, value: float | None) -> Reading:
    return Reading(name, None if value is None else Unit(value), Unit(1.0), "test", "")


def factors(o: float | None, c: float | None, r: float | None, t: float) -> IntentFactors:
    return IntentFactors(reading("O", o), reading("C", c), reading("R", r), Seconds(t))


def wis(o: float | None, c: float | None, r: float | None, t: float, used: Weights = WEIGHTS) -> float:
    return weighted_intent_score(factors(o, c, r, t), used).value


def at_most(low: float, high: float) -> bool:
    return low <= high * (1.0 + 1e-9) + 1e-9


@given(maybe, maybe, maybe, seconds, weights)
def test_the_score_is_bounded(o: float | None, c: float | None, r: float | None, t: float, used: Weights) -> None:
    assert 0.0 <= wis(o, c, r, t, used) <= 100.0


@given(units, units, maybe, maybe, seconds, weights)
def test_more_clarity_never_lowers_it(
    a: float, b: float, c: float | None, r: float | None, t: float, used: Weights
) -> None:
    assert at_most(wis(min(a, b), c, r, t, used), wis(max(a, b), c, r, t, used))


@given(units, units, maybe, maybe, seconds, weights)
def test_more_fit_never_lowers_it(
    a: float, b: float, o: float | None, r: float | None, t: float, used: Weights
) -> None:
    assert at_most(wis(o, min(a, b), r, t, used), wis(o, max(a, b), r, t, used))


@given(units, units, maybe, maybe, seconds, weights)
def test_more_risk_never_raises_it(
    a: float, b: float, o: float | None, c: float | None, t: float, used: Weights
) -> None:
    assert at_most(wis(o, c, max(a, b), t, used), wis(o, c, min(a, b), t, used))


@given(seconds, seconds, maybe, maybe, maybe, weights)
def test_more_time_never_raises_it(
    a: float, b: float, o: float | None, c: float | None, r: float | None, used: Weights
) -> None:
    assert at_most(wis(o, c, r, max(a, b), used), wis(o, c, r, min(a, b), used))


@given(units, units, units, seconds, weights, st.floats(0.01, 100.0))
def test_only_the_ratio_of_the_weights_counts(o: float, c: float, r: float, t: float, used: Weights, by: float) -> None:
    scaled = replace(
        used, clarity=used.clarity * by, fit=used.fit * by, risk=used.risk * by, validity=used.validity * by
    )
    assert math.isclose(wis(o, c, r, t, used), wis(o, c, r, t, scaled), rel_tol=1e-6, abs_tol=1e-9)


@given(maybe, maybe, maybe, seconds, weights)
def test_nothing_buys_back_a_zero(o: float | None, c: float | None, r: float | None, t: float, used: Weights) -> None:
    assert wis(0.0, c, r, t, used) == 0.0
    assert wis(o, 0.0, r, t, used) == 0.0
    assert wis(o, c, 1.0, t, used) == 0.0


@given(maybe, maybe, maybe, seconds)
def test_unknown_factors_are_named(o: float | None, c: float | None, r: float | None, t: float) -> None:
    made = weighted_intent_score(factors(o, c, r, t))

    assert made.unknown == tuple(name for name, value in (("O", o), ("C", c), ("R", r)) if value is None)
    assert (made.ratio is None) or not made.unknown


def test_with_nothing_known_the_score_is_zero() -> None:
    assert wis(None, None, None, 0.0) == 0.0


def test_an_off_goal_read_and_an_on_goal_payment_do_not_tie() -> None:
    assert wis(0.2, 0.6, 0.1, 900) < wis(0.95, 0.8, 0.8, 900)


def test_the_ratio_is_the_published_form_in_hours() -> None:
    made = weighted_intent_score(factors(0.8, 0.5, 0.5, 7200.0))
    assert made.ratio is not None
    assert math.isclose(made.ratio, 0.8 * 0.5 / (0.5 * 2.0))


@pytest.mark.parametrize("bad", [{"clarity": -1.0}, {"risk": math.nan}, {"validity": math.inf}, {"kappa": 2.0}])
def test_bad_weights_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(BadInputError):
        Weights(**bad)


READ = classify(Tool("s", "read_file", "", pin="p"), {})
ACT = classify(Tool("s", "send_email", "", pin="p"), {})


@given(units, units, units, units, units, units)
def test_the_price_is_monotone(r1: float, r2: float, n1: float, n2: float, s1: float, s2: float) -> None:
    for act in (READ, ACT):
        low = price(act, reading("R", min(r1, r2)), Unit(min(n1, n2)), Unit(min(s1, s2)))
        high = price(act, reading("R", max(r1, r2)), Unit(max(n1, n2)), Unit(max(s1, s2)))
        assert 1 <= low <= high


@given(units, units)
def test_an_unknown_risk_costs_the_most_and_an_unknown_speed_nothing(r: float, n: float) -> None:
    assert price(ACT, reading("R", r), Unit(n), None) <= price(ACT, reading("R", None), Unit(n), None)
    assert price(ACT, reading("R", r), Unit(n), None) == price(ACT, reading("R", r), Unit(n), Unit(0.0))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 100), st.integers(0, 100))
def test_novelty_grows_with_new_targets_and_with_those_reached(new: int, values: int, before: int, more: int) -> None:
    new = min(new, values)
    assert novelty_of(new, values, before) <= novelty_of(new, values, before + more)
    assert novelty_of(0, values, before) == 0.0


def test_lateral_movement_drains_a_grant_several_times_faster_than_steady_work() -> None:
    steady = sum(price(READ, reading("R", 0.2), novelty_of(0, 1, 2), Unit(0.0)) for _ in range(20))
    lateral = sum(price(READ, reading("R", 0.2), novelty_of(1, 1, reached), Unit(0.5)) for reached in range(20))
    assert lateral >= 4 * steady


def test_a_refusal_costs_one() -> None:
    assert refusal_price() == 1
