"""The ladder of `decide()`: which refusal comes first, what a person may lift, what may never be lifted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.model.world import GOAL, MAIL, SEND, allowing

from jittrust.broker.definitions import tool_of
from jittrust.core.approval import Approval, ApprovalKind, ApprovalState
from jittrust.core.authority.map import AuthorityMap, EntryState
from jittrust.core.authority.pin import PinState, judge_definition
from jittrust.core.decide import Facts, Judgement, decide
from jittrust.core.grant.grant import Grant, PassBinding, PassStanding, Presentation, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.history import History
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Action, Evaluation, Resource, Ruling, Subject, SubjectKind
from jittrust.core.policy import PolicyAnswer
from jittrust.core.reasons import AGENT_NEXT, REASONS, AgentCode
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.rules import Rules
from jittrust.core.units import Gas, Instant, Score

NOW = Instant(1_000_000)
RULES = Rules()
PIN = judge_definition(None, "srv", "send_mail", SEND, NOW)
TOOL = tool_of(PIN)
ASK = Evaluation(
    "c-1", Subject(SubjectKind.AGENT, "agent"), Action("tools/call"), Resource("tool", TOOL.id), MAIL, "ab" * 32
)
MISSION = Mission(
    "m-1",
    "ada",
    "",
    Goal((GOAL,), GoalSource.MISSION_START),
    MissionState.ACTIVE,
    AuthorityMap((allowing("send_mail"),)),
    NOW,
    NOW,
    Instant(NOW + 3600),
)
GRANT = Grant(
    "g-1", "m-1", "g-1", "agent", "", PassBinding.GATEWAY, "", Strictness.STRICT, GrantState.ACTIVE, Gas(500), Gas(500),
    1, NOW, Instant(NOW + 300),
)  # fmt: skip
FRESH = Presentation(PassStanding.FRESH, 0, 0, "")
GOAL_VALUE = ArgumentOrigin("/to", ArgumentRole.TARGET, Origin.GOAL, "", "anna@example.com")
STRANGER = ArgumentOrigin("/to", ArgumentRole.TARGET, Origin.FREE_TEXT, "srv/read_file#1", "anna@example.com")
GOOD = Facts(
    MISSION, GRANT, FRESH, Standing(Score(80), SessionState.NORMAL), "srv", TOOL, PinState.PINNED, PolicyAnswer(),
    (GOAL_VALUE,), History(),
)  # fmt: skip
YES = Approval(
    "a-1", ApprovalKind.CALL, "m-1", "agent", TOOL.id, ASK.digest, "", "", 50, NOW, Instant(NOW + 60),
    ApprovalState.APPROVED, "ada", answered=NOW, price=Gas(9),
)  # fmt: skip

# Each breaks one thing, in the order in which the ladder must name them.
BROKEN: list[tuple[str, Callable[[Facts], Facts]]] = [
    ("no_mission", lambda f: replace(f, mission=None)),
    ("no_grant", lambda f: replace(f, grant=None)),
    ("pass_reused", lambda f: replace(f, presentation=Presentation(PassStanding.REUSE, 0, 0, "old"))),
    ("session_suspended", lambda f: replace(f, standing=Standing(Score(20), SessionState.SUSPENDED))),
    (
        "mission_not_active",
        lambda f: replace(f, mission=f.mission and replace(f.mission, state=MissionState.SUSPENDED)),
    ),
    ("grant_not_active", lambda f: replace(f, grant=f.grant and replace(f.grant, state=GrantState.REVOKED))),
    ("wrong_server", lambda f: replace(f, grant=f.grant and replace(f.grant, server="other"))),
    ("policy_forbids", lambda f: replace(f, policy=PolicyAnswer((), ("rule",)))),
    ("tool_changed", lambda f: replace(f, pin=PinState.CHANGED)),
]
ONE = pytest.mark.parametrize(("code", "breaks"), BROKEN, ids=[code for code, _ in BROKEN])


def judged(facts: Facts, ask: Evaluation = ASK, now: float = NOW, rules: Rules = RULES) -> Judgement:
    return decide(ask, facts, rules, Instant(now))


def test_a_call_against_which_nothing_speaks_goes_out_and_is_paid() -> None:
    made = judged(GOOD)

    assert made.verdict.ruling is Ruling.ALLOW
    assert made.verdict.codes == ("inside_map", "aligned")
    assert made.verdict.price > 0
    assert made.verdict.agent_code is AgentCode.OK


@ONE
def test_each_hard_refusal_refuses_what_is_good_in_every_other_way(code: str, breaks: Callable[[Facts], Facts]) -> None:
    made = judged(breaks(GOOD))

    assert (made.verdict.ruling, made.hard) == (Ruling.DENY, True)
    assert made.verdict.codes == (code,)
    assert made.verdict.price == RULES.price.refusal


@pytest.mark.parametrize("first", range(len(BROKEN)))
def test_of_many_hard_refusals_the_first_of_the_ladder_is_named_and_no_other(first: int) -> None:
    facts = GOOD
    for _, breaks in BROKEN[first:]:
        facts = breaks(facts)

    assert judged(facts).verdict.codes == (BROKEN[first][0],)


@ONE
def test_no_approval_and_no_permit_lifts_a_hard_refusal(code: str, breaks: Callable[[Facts], Facts]) -> None:
    facts = breaks(replace(GOOD, approval=YES, policy=PolicyAnswer(("permit-everything",), ())))

    assert judged(facts).verdict.ruling is Ruling.DENY
    assert judged(facts).verdict.codes == (code,)


@ONE
def test_a_mission_that_is_only_observed_is_stopped_by_hard_refusals_and_by_them_only(
    code: str, breaks: Callable[[Facts], Facts]
) -> None:
    made = judged(breaks(replace(GOOD, mission=replace(MISSION, observe=True))))

    assert made.hard == (code != "session_suspended")


@pytest.mark.parametrize(
    "facts",
    [
        replace(GOOD, policy=None),
        replace(GOOD, tool=None, pin=None),
        replace(GOOD, pin=None),
        replace(GOOD, standing=None),
        replace(GOOD, presentation=None),
        replace(GOOD, origins=None),
        replace(GOOD, history=None),
    ],
)
def test_what_could_not_be_found_out_never_lets_a_call_with_consequences_through(facts: Facts) -> None:
    assert judged(facts).verdict.ruling is not Ruling.ALLOW


@pytest.mark.parametrize(
    ("mission", "grant", "ruling"),
    [(-1e-6, 10, Ruling.DENY), (0, 10, Ruling.DENY), (10, 0, Ruling.DENY), (10, 10, Ruling.ALLOW)],
)
def test_from_the_end_of_mission_or_grant_on_nothing_goes_out(mission: float, grant: float, ruling: Ruling) -> None:
    facts = replace(
        GOOD,
        mission=replace(MISSION, expires=Instant(NOW + mission)),
        grant=replace(GRANT, expires=Instant(NOW + grant)),
    )
    assert judged(facts).verdict.ruling is ruling


OUTSIDE = replace(GOOD, mission=replace(MISSION, authority=AuthorityMap()))
REFUSED = replace(
    GOOD, mission=replace(MISSION, authority=AuthorityMap((allowing("send_mail", state=EntryState.REFUSED),)))
)
TAINTED = replace(GOOD, origins=(STRANGER,))


@pytest.mark.parametrize("facts", [OUTSIDE, TAINTED, REFUSED, replace(GOOD, origins=None)])
def test_a_person_s_approval_lifts_what_authority_and_measures_say(facts: Facts) -> None:
    assert judged(facts).verdict.ruling is not Ruling.ALLOW

    made = judged(replace(facts, approval=YES))

    assert made.verdict.ruling is Ruling.ALLOW
    assert "approved_by_person" in made.verdict.codes
    assert made.standing.trust >= 80  # what a person took on costs no trust


@pytest.mark.parametrize(
    "approval",
    [
        replace(YES, state=ApprovalState.WAITING),
        replace(YES, state=ApprovalState.USED),
        replace(YES, state=ApprovalState.DENIED),
        replace(YES, digest="cd" * 32),
        replace(YES, expires=NOW),
    ],
)
def test_an_approval_that_is_not_given_is_used_is_over_or_is_for_another_call_lifts_nothing(approval: Approval) -> None:
    assert judged(replace(OUTSIDE, approval=approval)).verdict.ruling is not Ruling.ALLOW


def test_a_step_up_is_priced_once() -> None:
    asked = judged(OUTSIDE)
    paid = judged(replace(OUTSIDE, approval=YES))

    assert (asked.verdict.ruling, asked.verdict.price) == (Ruling.STEP_UP, 0)
    assert asked.cost > 0
    assert paid.verdict.price == YES.price


def test_what_the_budget_cannot_pay_is_refused_also_when_a_person_approved_it() -> None:
    poor = replace(GRANT, gas_left=Gas(3))
    for facts in (replace(GOOD, grant=poor), replace(OUTSIDE, grant=poor, approval=YES)):
        made = judged(facts)
        assert (made.verdict.ruling, made.hard) == (Ruling.DENY, True)
        assert "gas_exhausted" in made.verdict.codes


def test_no_score_lets_through_what_the_map_does_not_cover() -> None:
    generous = replace(RULES, ask_below=0.0, drift_from=1.0)
    best = replace(OUTSIDE, standing=Standing(Score(100), SessionState.NORMAL), history=History(calls=10**6))

    assert judged(best, rules=generous).verdict.ruling is Ruling.STEP_UP


def test_readings_are_made_on_refusals_too() -> None:
    for _, breaks in BROKEN[2:]:
        verdict = judged(breaks(GOOD)).verdict
        assert verdict.factors is not None
        assert verdict.wis is not None


@ONE
def test_an_agent_is_told_a_code_and_a_next_step_and_no_fact(code: str, breaks: Callable[[Facts], Facts]) -> None:
    verdict = judged(breaks(GOOD)).verdict

    assert verdict.agent_code is REASONS[code].agent
    assert verdict.agent_next == AGENT_NEXT[verdict.agent_code]
    assert verdict.agent_code is not AgentCode.OK


def test_the_agent_cannot_tell_taint_from_drift_from_score_from_the_map() -> None:
    told = {
        (v.agent_code, v.agent_next)
        for v in (
            judged(OUTSIDE).verdict,
            judged(TAINTED).verdict,
            judged(replace(GOOD, origins=None)).verdict,
            judged(GOOD, rules=replace(RULES, ask_below=100.0)).verdict,
            judged(GOOD, rules=replace(RULES, drift_from=0.0)).verdict,
        )
    }
    assert told == {(AgentCode.APPROVAL_NEEDED, AGENT_NEXT[AgentCode.APPROVAL_NEEDED])}


def test_a_protocol_message_costs_nothing_and_moves_no_trust_but_needs_a_live_grant() -> None:
    ping = replace(ASK, action=Action("ping"), resource=Resource("protocol", "srv"))
    facts = replace(GOOD, tool=None, pin=None)

    made = judged(facts, ping)
    assert (made.verdict.ruling, made.verdict.price, made.standing) == (Ruling.ALLOW, 0, GOOD.standing)
    dead = replace(facts, grant=replace(GRANT, state=GrantState.REVOKED))
    assert judged(dead, ping).verdict.ruling is Ruling.DENY
