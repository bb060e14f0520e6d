"""Trust: what costs it, what earns it, what does neither."""

import pytest

from jittrust.core.response.ladder import LadderRules, respond
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.scoring.trust import TrustRules, after, opening
from jittrust.core.units import Instant, Score, Unit

RULES = TrustRules()
START = Standing(opening(RULES), SessionState.NORMAL)


def moved(
    *codes: str, risk: float | None = 0.5, consequential: bool = True, went_out: bool = False, asked: bool = False
) -> Standing:
    level = None if risk is None else Unit(risk)
    return after(START, codes, level, consequential=consequential, went_out=went_out, asked=asked, rules=RULES)


def test_a_session_that_nothing_is_known_of_begins_at_the_prior() -> None:
    assert opening(RULES) == RULES.prior


@pytest.mark.parametrize("code", sorted(RULES.loss))
def test_every_fault_costs_trust_and_more_where_more_harm_is(code: str) -> None:
    little, much, unknown = moved(code, risk=0.1), moved(code, risk=0.9), moved(code, risk=None)

    assert unknown.trust < much.trust < little.trust < START.trust
    assert little.clean == 0
    assert little.refused == 1


def test_what_a_person_is_asked_about_costs_a_share() -> None:
    asked, refused = moved("outside_map", asked=True), moved("outside_map")

    assert START.trust - asked.trust == pytest.approx(RULES.asked_share * (START.trust - refused.trust))


def test_five_names_for_one_fault_cost_less_than_five_faults_and_more_than_one() -> None:
    names = ("low_wis", "drift", "outside_map", "tainted_argument", "factor_unknown")
    together = START.trust - moved(*names).trust
    alone = [START.trust - moved(name).trust for name in names]

    assert max(alone) < together < sum(alone)


def test_reads_earn_next_to_nothing_and_refused_calls_nothing() -> None:
    acted = moved("inside_map", went_out=True).trust - START.trust
    read = moved("inside_map", went_out=True, consequential=False).trust - START.trust

    assert 0 < read < acted / 10
    assert moved("grant_not_active").trust == START.trust


def test_a_loss_that_weighs_is_a_strike_and_lowers_what_can_be_regained() -> None:
    standing = moved("policy_forbids")
    assert standing.strikes == 1
    for _ in range(1_000):
        standing = after(standing, (), Unit(0.1), consequential=True, went_out=True, asked=False, rules=RULES)

    assert standing.trust == RULES.ceiling - RULES.ceiling_per_strike


def test_a_ceiling_never_takes_away_what_is_there() -> None:
    rich = Standing(Score(95), SessionState.NORMAL, strikes=10)

    assert after(rich, (), Unit(0), consequential=True, went_out=True, asked=False, rules=RULES).trust == Score(95)


def test_unanswered_questions_about_the_goal_alone_neither_narrow_nor_suspend_a_session() -> None:
    standing = START
    for _ in range(200):
        standing = after(
            standing, ("outside_map", "drift"), Unit(0.5), consequential=True, went_out=False, asked=True, rules=RULES
        )
    assert standing.trust == RULES.asked_floor
    assert respond(standing, Instant(0), LadderRules())[0].state is SessionState.FLAGGED


@pytest.mark.parametrize(("code", "risk"), [("tainted_argument", 0.5), ("outside_map", 0.8)])
def test_questions_about_a_strangers_value_or_a_harmful_act_go_on_costing_trust(code: str, risk: float) -> None:
    standing = START
    for _ in range(200):
        standing = after(standing, (code,), Unit(risk), consequential=True, went_out=False, asked=True, rules=RULES)
    assert standing.trust == 0.0


def test_the_floor_of_questions_lifts_nobody_and_does_not_hold_who_fell_below_it_by_another_fault() -> None:
    low = Standing(Score(20.0), SessionState.SUSPENDED)
    found = after(low, ("outside_map",), Unit(0.5), consequential=True, went_out=False, asked=True, rules=RULES)
    assert found.trust < low.trust
