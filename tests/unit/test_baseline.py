"""What is usual in a deployment is counted by goals, approves tools before a run, and never lowers what speaks against a call."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.authority.propose import entry_id, propose
from jittrust.core.authority.usual import BY_BASELINE, with_usual
from jittrust.core.errors import BadInputError
from jittrust.core.intent.baseline import (
    BASELINE_RULES,
    NO_BASELINE,
    SeenCall,
    controlled,
    departs,
    from_json,
    goal_key,
    learn,
    seen_call,
    surprise,
    to_json,
    tool_key,
    usual,
    usual_origin,
    usual_shape,
)
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool

PUSH = Tool("s", "push_branch", "Pushes a branch.", {"properties": {"branch": {"type": "string"}}}, pin="p1")
SHARE = Tool(
    "s", "transfer_ownership", "Transfers the ownership.", {"properties": {"to": {"type": "string"}}}, pin="p2"
)
FREE = ArgumentOrigin("/branch", ArgumentRole.TARGET, Origin.FREE_TEXT, "s/read#1", "main")
SAID = replace(FREE, origin=Origin.GOAL, source="")


def goal(text: str) -> Goal:
    return Goal((text,), GoalSource.MISSION_START)


def missions(count: int, one: ArgumentOrigin = FREE, tool: Tool = PUSH) -> list[tuple[str, list[SeenCall]]]:
    return [(f"goal {n}", [seen_call(tool, (one,), ())]) for n in range(count)]


def test_a_goal_that_was_run_a_thousand_times_counts_once() -> None:
    made = learn([("one goal", [seen_call(PUSH, (FREE,), ())])] * 1000)
    assert made.tools[tool_key(PUSH)] == 1
    assert not usual(made, PUSH)


def test_an_endless_mission_teaches_no_more_than_its_first_calls() -> None:
    late = seen_call(SHARE, (), ())
    made = learn([("g", [seen_call(PUSH, (FREE,), ())] * BASELINE_RULES.most_steps + [late])])
    assert tool_key(SHARE) not in made.tools


def test_what_enough_goals_used_is_approved_before_the_run_and_says_by_whom() -> None:
    found = with_usual(goal("Do what the issue says"), (PUSH,), (), learn(missions(2)))
    assert [(one.id, one.state, one.approved_by, one.pin) for one in found] == [
        (entry_id(PUSH.id), EntryState.APPROVED, BY_BASELINE, "p1")
    ]


def test_nothing_is_approved_without_a_baseline_or_a_goal() -> None:
    assert with_usual(goal("Do what the issue says"), (PUSH,), (), NO_BASELINE) == ()
    assert with_usual(Goal((), GoalSource.NONE), (PUSH,), (), learn(missions(2))) == ()


def test_what_the_goal_forbids_stays_forbidden_however_usual_it_is() -> None:
    assert with_usual(goal("Read the issue, but do not push any branch"), (PUSH,), (), learn(missions(9))) == ()


def test_some_acts_need_a_person_however_usual_they_are() -> None:
    stated = goal("Read the issue")
    assert with_usual(stated, (SHARE,), (), learn(missions(9, tool=SHARE))) == ()


def test_what_a_person_refused_or_approved_is_not_touched() -> None:
    refused = AuthorityEntry(entry_id(PUSH.id), PUSH.id, state=EntryState.REFUSED, approved_by="anna")
    assert with_usual(goal("Do what the issue says"), (PUSH,), (refused,), learn(missions(9))) == (refused,)


def test_a_tool_that_takes_other_arguments_is_another_tool() -> None:
    other = replace(PUSH, input_schema={"properties": {"branch": {}, "force": {}}})
    assert not usual(learn(missions(9)), other)


def test_a_tool_whose_definition_is_not_pinned_is_not_approved() -> None:
    found = with_usual(goal("Do what the issue says"), (replace(PUSH, pin=""),), (), learn(missions(9)))
    assert found == ()


def test_where_a_value_usually_comes_from_is_counted_by_argument_then_by_role() -> None:
    made = learn(missions(6))
    assert usual_origin(made, PUSH, FREE)
    assert not usual_origin(made, PUSH, replace(FREE, origin=Origin.UNSEEN))
    assert usual_origin(made, SHARE, replace(FREE, path="/to"))  # never seen: its role speaks for it
    assert not usual_origin(learn(missions(6, SAID)), PUSH, FREE)


def test_an_act_that_does_harm_is_never_everyday() -> None:
    made = learn(missions(6))
    assert usual_shape(made, PUSH, (FREE,), harm=0.3)
    assert not usual_shape(made, PUSH, (FREE,), harm=0.7)
    assert not usual_shape(made, PUSH, (SAID,), harm=0.3)


def test_surprise_lies_between_nought_and_one_and_the_unknown_surprises_most() -> None:
    made = learn(missions(6))
    known, strange = (
        surprise(made, PUSH, "", (FREE,), ()),
        surprise(made, SHARE, "push_branch", (FREE,), ("a\x1fb\x1fc",)),
    )
    assert known is not None
    assert strange is not None
    assert all(0.0 <= value <= 1.0 for value in (*known.values(), *strange.values()))
    assert all(strange[name] >= known[name] for name in known)
    assert surprise(NO_BASELINE, PUSH, "", (), ()) is None


@pytest.mark.parametrize("n", [19, 40, 200])
def test_no_more_goals_than_the_budget_allows_lie_above_the_threshold(n: int) -> None:
    scores = [[((7 * k) % n) / n] for k in range(n)]
    limit = controlled(scores, 0.05)
    assert sum(score > limit for (score,) in scores) <= 0.05 * (n + 1) - 1


def test_a_talkative_goal_has_no_more_say_than_a_short_one() -> None:
    quiet, talkative = [[0.1]] * 38, [[0.9] * 500, [0.1] * 500]
    assert controlled([*quiet, *talkative], 0.05) == 0.1


def test_too_few_goals_promise_nothing() -> None:
    assert controlled([[0.1] * 500] * 5, 0.05) == 1.0


def test_the_promised_share_holds_for_goals_never_seen_when_they_are_alike() -> None:
    drawn, budget, shares = random.Random(7), 0.05, []

    def goal_scores() -> list[float]:
        hard = drawn.random()
        return [min(1.0, max(0.0, drawn.gauss(0.6 * hard, 0.1))) for _ in range(drawn.randint(1, 30))]

    for _ in range(60):
        limit = controlled([goal_scores() for _ in range(100)], budget)
        new = [goal_scores() for _ in range(100)]
        shares.append(sum(sum(s > limit for s in scores) / len(scores) for scores in new) / len(new))
    real = sum(shares) / len(shares)
    assert budget - 0.02 <= real <= budget + 0.003


def test_a_promise_that_was_measured_on_little_is_not_broken_by_chance() -> None:
    assert departs(20, 200, 0.05)
    assert not departs(20, 200, 0.05, measured=40)
    assert departs(60, 200, 0.05, measured=40)


def test_goals_that_differ_in_numbers_and_case_only_are_one_goal() -> None:
    assert goal_key("Pay invoice 17") == goal_key("pay  invoice 18!")
    assert goal_key("Pay invoice 17") != goal_key("Send invoice 17")
    assert goal_key("17") == "17"


def test_what_was_not_seen_for_long_fades() -> None:
    fresh, old = learn(missions(3)), learn(missions(3), weights={f"goal {n}": 0.3 for n in range(3)})
    assert usual(fresh, PUSH)
    assert not usual(old, PUSH)


def test_a_payment_to_somebody_whom_a_text_named_teaches_nothing_however_often_it_was_recorded() -> None:
    pay = Tool("bank", "send_money", "Sends money.", {"properties": {"to": {"type": "string"}}}, pin="p")
    to = ArgumentOrigin("/to", ArgumentRole.TARGET, Origin.FREE_TEXT, "mail/read#1", "DE89")
    made = learn((f"goal {n}", [seen_call(pay, (to,), ("t\x1fto\x1fab",), harm=0.8)]) for n in range(50))
    assert not usual(made, pay)
    assert not usual_origin(made, pay, to)
    assert not made.values
    said = replace(to, origin=Origin.GOAL)
    assert usual(learn((f"g {n}", [seen_call(pay, (said,), (), harm=0.8)]) for n in range(2)), pay)


def test_in_an_act_that_does_harm_no_strangers_value_is_usual_not_even_by_its_role() -> None:
    made = learn(missions(9))
    other = replace(FREE, path="/to")
    assert usual_origin(made, SHARE, other, harm=0.3)
    assert not usual_origin(made, SHARE, other, harm=0.8)
    assert usual_origin(learn(missions(9, SAID)), SHARE, replace(SAID, path="/to"), harm=0.8)


def test_what_moves_money_is_let_in_by_what_the_person_says_now_and_not_by_what_is_usual() -> None:
    pay = Tool("bank", "send_money", "Sends money.", {"properties": {"to": {"type": "string"}}}, pin="p")
    made = learn(missions(9, replace(SAID, path="/to"), pay))
    assert usual(made, pay)
    assert with_usual(goal("Summarise my inbox"), (pay,), (), made) == ()
    assert with_usual(goal("Send the rent to my landlord"), (pay,), (), made)


def test_friction_above_the_promise_is_told_from_chance() -> None:
    assert departs(40, 200, 0.05)
    assert not departs(12, 200, 0.05)
    assert not departs(0, 0, 0.0)


def test_a_kept_baseline_is_read_back_as_it_was() -> None:
    made = replace(learn(missions(3)), threshold=0.7, calls_promised=0.02, missions_promised=0.04)
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


@pytest.mark.parametrize(
    "broken", [{"goals": -1}, {"tools": []}, {"threshold": 2}, {"steps": [["a"]]}, {"baseline": 9}]
)
def test_a_damaged_baseline_is_refused(broken: dict[str, Json]) -> None:
    with pytest.raises(BadInputError):
        from_json({**to_json(learn(missions(2))), **broken})


def test_a_proposal_without_anything_usual_stays_as_it_was() -> None:
    stated = goal("Push the branch main")
    entries = propose(stated, (PUSH,))
    assert with_usual(stated, (PUSH,), entries, learn(missions(1))) == entries
