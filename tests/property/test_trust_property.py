"""Laws of trust over any course of events."""

from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.response.session import SessionState, Standing
from jittrust.core.scoring.trust import TrustRules, after
from jittrust.core.units import Score, Unit

RULES = TrustRules()
units = st.floats(0, 1).map(Unit)
events = st.tuples(
    st.lists(st.sampled_from([*sorted(RULES.loss), "inside_map", "aligned", "grant_not_active"]), max_size=4).map(
        tuple
    ),
    st.none() | units,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
standings = st.builds(
    Standing, trust=st.floats(0, 100).map(Score), state=st.just(SessionState.NORMAL), strikes=st.integers(0, 40)
)


def step(standing: Standing, event: tuple[tuple[str, ...], Unit | None, bool, bool, bool]) -> Standing:
    codes, risk, consequential, went_out, asked = event
    return after(standing, codes, risk, consequential=consequential, went_out=went_out, asked=asked, rules=RULES)


@given(standings, st.lists(events, max_size=60))
def test_trust_stays_in_its_range_strikes_never_fall_and_every_call_is_counted(
    standing: Standing, course: list[tuple[tuple[str, ...], Unit | None, bool, bool, bool]]
) -> None:
    for event in course:
        made = step(standing, event)
        assert 0 <= made.trust <= 100
        assert made.strikes >= standing.strikes
        assert made.calls == standing.calls + 1
        standing = made


@given(standings, events)
def test_one_call_never_earns_more_than_the_gain_and_only_when_it_went_out_clean(
    standing: Standing, event: tuple[tuple[str, ...], Unit | None, bool, bool, bool]
) -> None:
    codes, _, _, went_out, _ = event
    made = step(standing, event)

    assert made.trust - standing.trust <= RULES.gain + 1e-9
    if not went_out or any(code in RULES.loss for code in codes):
        assert made.trust <= standing.trust


@given(standings, st.sampled_from(sorted(RULES.loss)), units)
def test_a_refusal_with_a_strike_takes_longer_to_earn_back_than_it_took_to_lose(
    standing: Standing, code: str, risk: Unit
) -> None:
    lost = step(standing, ((code,), risk, True, False, False))
    if lost.strikes == standing.strikes or lost.trust <= 0.0:
        return
    calls, again = 0, lost
    while again.trust < standing.trust and calls < 1_000:
        again = step(again, ((), risk, True, True, False))
        calls += 1
    assert calls >= 2


@given(standings, st.integers(1, 12))
def test_the_ceiling_falls_with_every_strike_and_no_patience_gets_over_it(standing: Standing, strikes: int) -> None:
    for _ in range(strikes):
        standing = step(standing, (("never_trusted",), None, True, False, False))
    left = standing.trust
    for _ in range(300):
        standing = step(standing, ((), Unit(0), True, True, False))

    assert standing.trust <= max(left, RULES.ceiling - RULES.ceiling_per_strike * standing.strikes) + 1e-9


@given(standings, units, units, st.sampled_from(sorted(RULES.loss)))
def test_more_harm_never_costs_less(standing: Standing, one: Unit, other: Unit, code: str) -> None:
    low, high = sorted((one, other))

    assert (
        step(standing, ((code,), high, True, False, False)).trust
        <= step(standing, ((code,), low, True, False, False)).trust
    )
