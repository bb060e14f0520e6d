"""The response ladder: down at once, up one step at a time, from suspended only by a person, from killed never."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.model import Response
from jittrust.core.response.ladder import LadderRules, respond, resumed
from jittrust.core.response.session import SESSION_MOVES, SessionState, Standing
from jittrust.core.units import Instant, Score

RULES, NOW = LadderRules(), Instant(5)
ORDER = list(SessionState)
scores = st.floats(0, 100).map(Score)
standings = st.builds(
    Standing, trust=scores, state=st.sampled_from(ORDER), strikes=st.integers(0, 50), clean=st.integers(0, 50)
)


@pytest.mark.parametrize(
    ("trust", "state", "response"),
    [
        (100, SessionState.NORMAL, Response.NONE),
        (RULES.flag_below, SessionState.NORMAL, Response.NONE),
        (RULES.flag_below - 0.1, SessionState.FLAGGED, Response.FLAG),
        (RULES.narrow_below - 0.1, SessionState.NARROWED, Response.NARROW),
        (RULES.suspend_below - 0.1, SessionState.SUSPENDED, Response.SUSPEND),
        (RULES.kill_below - 0.1, SessionState.KILLED, Response.KILL),
        (0, SessionState.KILLED, Response.KILL),
    ],
)
def test_trust_that_falls_enters_its_level_at_once(trust: float, state: SessionState, response: Response) -> None:
    made, answer = respond(Standing(Score(trust), SessionState.NORMAL), NOW, RULES)

    assert (made.state, answer) == (state, response)


@given(standings)
def test_every_move_is_in_the_table_and_at_most_one_step_up(standing: Standing) -> None:
    made, _ = respond(standing, NOW, RULES)

    assert made.state is standing.state or made.state in SESSION_MOVES[standing.state]
    assert ORDER.index(made.state) >= ORDER.index(standing.state) - 1


@given(standings)
def test_no_amount_of_trust_alone_resumes_a_suspended_or_killed_session(standing: Standing) -> None:
    made, _ = respond(standing, NOW, RULES)

    if standing.state in (SessionState.SUSPENDED, SessionState.KILLED):
        assert ORDER.index(made.state) >= ORDER.index(standing.state)


@given(standings, scores)
def test_less_trust_never_gives_a_milder_answer(standing: Standing, other: Score) -> None:
    from dataclasses import replace

    low, high = sorted((standing.trust, other))
    answers = [ORDER.index(respond(replace(standing, trust=t), NOW, RULES)[0].state) for t in (low, high)]
    assert answers[0] >= answers[1]


@pytest.mark.parametrize(
    ("state", "below"), [(SessionState.FLAGGED, "flag_below"), (SessionState.NARROWED, "narrow_below")]
)
def test_a_level_is_left_only_with_a_margin_of_trust_and_enough_clean_calls(state: SessionState, below: str) -> None:
    enough = getattr(RULES, below) + RULES.leave_margin
    for trust, clean, leaves in (
        (enough, RULES.leave_clean, True),
        (enough - 0.1, 100, False),
        (100, RULES.leave_clean - 1, False),
    ):
        made, _ = respond(Standing(Score(trust), state, clean=clean), NOW, RULES)
        assert (made.state is not state) == leaves
        assert made.clean == (0 if leaves else clean)


def test_trust_that_wavers_at_a_threshold_does_not_flap() -> None:
    standing, seen = Standing(Score(71), SessionState.NORMAL), []
    for trust in (69.9, 70.1, 69.9, 70.1, 75, 70.1):
        standing, _ = respond(Standing(Score(trust), standing.state, clean=100), NOW, RULES)
        seen.append(standing.state)
    assert set(seen) == {SessionState.FLAGGED}


@given(standings)
def test_a_person_resumes_into_narrowed_with_just_enough_trust_and_never_a_killed_session(standing: Standing) -> None:
    made = resumed(standing, NOW, RULES)

    if standing.state is SessionState.KILLED:
        assert made == standing
    elif SessionState.NARROWED in SESSION_MOVES[standing.state]:
        assert made.state is SessionState.NARROWED
        assert respond(made, NOW, RULES)[0].state in (SessionState.NARROWED, SessionState.FLAGGED)
        assert made.strikes == standing.strikes
