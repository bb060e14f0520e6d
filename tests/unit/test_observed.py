"""A deployment learns from its own ledger, from missions that closed clean, and ends observing by a person's act after a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.model.world import MAIL, PIN, World, rules_that, world

from jittrust.adapters.files.models import shipped_model
from jittrust.apps.calibrate import FrictionBudget
from jittrust.apps.friction_report import friction_report
from jittrust.apps.observed import LedgerMission, learn_observed, ledger_missions, teachable
from jittrust.core.errors import BadInputError, ConflictError, NotFoundError, RefusedError
from jittrust.core.intent.adoption import LARGEST_BASELINE
from jittrust.core.intent.baseline import NO_BASELINE, Baseline, learn, seen_call, to_json, tool_key, usual
from jittrust.core.intent.learning import (
    LEARNING_RULES,
    JudgedCall,
    JudgedMission,
    as_learnable,
    extrapolated,
    folds,
    learnable_of,
    learned,
    scores,
    select,
    threshold,
    would_ask,
)
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Json, Tool
from jittrust.core.response.session import SessionState
from jittrust.ports.decision_point import Passage

NOTE: Mapping[str, Json] = {
    "name": "add_note",
    "description": "Add a note.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
    "annotations": {"readOnlyHint": False, "openWorldHint": False},
}
ADD_NOTE = Tool("srv", "add_note", "Add a note.", {"properties": {"text": {}}})
PAY = Tool("bank", "send_money", "Sends money.", {"properties": {"to": {"type": "string"}}}, pin="p")
BUDGET = FrictionBudget()
GOALS = ("Look after the garden", "Keep the shed in order", "Mind the greenhouse")
WHY = "observed for two weeks"
DAY = 86_400.0


@pytest.fixture
async def garden() -> World:
    made = await world()
    await made.join((NOTE,))
    return made


async def observe(made: World, *goals: str, calls: int = 1) -> list[str]:
    """One observed mission each, that closes as the next begins."""
    names = []
    for goal in goals:
        names.append((await made.start(goal=goal, observe=True)).id)
        for _ in range(calls):
            decision = await made.call("add_note", {"text": "water the roses"})
            assert decision.passage is Passage.FORWARD
            await made.settle(decision, "done")
    await made.start(goal="Something else")
    return names


async def missions(made: World) -> dict[str, LedgerMission]:
    entries = await made.ledger.entries(0, 100_000)
    return dict(ledger_missions(entries))


async def test_what_was_observed_and_closed_clean_teaches_and_once_adopted_is_not_asked_about(garden: World) -> None:
    await observe(garden, *GOALS)
    found = learn_observed((await missions(garden)).values(), BUDGET, shipped_model(), garden.clock.now, 90)
    assert found.missions == 3
    assert found.baseline.tools == {tool_key(ADD_NOTE): 3}
    assert found.baseline.missions_promised == 0.0
    await garden.start(goal="Tidy the pond")
    assert (await garden.call("add_note", {"text": "x"})).passage is not Passage.FORWARD
    await garden.broker.driving.baselines.adopt(to_json(found.baseline), WHY, "ada", PIN)
    await garden.start(goal="Tidy the pond again")
    assert (await garden.call("add_note", {"text": "x"})).passage is Passage.FORWARD


async def test_no_value_is_in_what_a_record_keeps_for_learning(garden: World) -> None:
    await garden.join()
    await garden.start(goal=GOALS[0], observe=True)
    await garden.call("send_mail", MAIL)
    record = (await garden.records("use"))[-1]
    kept = json.dumps(record["intent"]["learnable"])  # type: ignore[index, call-overload]
    assert "tool" in kept
    assert not any(str(value) in kept for value in MAIL.values())


async def test_what_is_running_flagged_denied_or_stopped_teaches_nothing_and_is_told_why(garden: World) -> None:
    names = await observe(garden, *GOALS, "Sweep the path")
    found = await missions(garden)
    found[names[0]].denied = True
    found[names[1]].state = MissionState.TERMINATED
    found[names[2]].suspended = True
    kept, left = teachable(found.values())
    assert [one.id for one in kept] == names[3:]
    assert "said no" in left[names[0]]
    assert "terminated" in left[names[1]]
    assert "suspended" in left[names[2]]
    running = await garden.start(goal="Mow", observe=True)
    await garden.call("add_note", {"text": "x"})
    assert teachable((await missions(garden)).values())[1][running.id] == "it still runs"


async def test_a_flagged_session_teaches_nothing(garden: World) -> None:
    mission = await garden.start(goal=GOALS[0], observe=True)
    await garden.stand(mission.id, 60.0, SessionState.FLAGGED)
    await garden.call("add_note", {"text": "x"})
    await garden.start(goal="Something else")
    assert "flagged" in teachable((await missions(garden)).values())[1][mission.id]


async def test_a_record_of_an_older_version_says_too_little(garden: World) -> None:
    names = await observe(garden, *GOALS)
    entries = []
    for entry in await garden.ledger.entries(0, 100_000):
        record = json.loads(entry)
        if record["kind"] == "use":
            del record["intent"]["learnable"]
        entries.append(json.dumps(record).encode())
    kept, left = teachable(ledger_missions(entries).values())
    assert not kept
    assert all("older version" in left[name] for name in names)
    with pytest.raises(BadInputError) as refused:
        learn_observed(ledger_missions(entries).values(), BUDGET, shipped_model(), garden.clock.now, 90)
    assert refused.value.code == "baseline_empty"


async def test_the_oldest_missions_are_left_alone(garden: World) -> None:
    await observe(garden, *GOALS)
    with pytest.raises(BadInputError):
        learn_observed((await missions(garden)).values(), BUDGET, shipped_model(), garden.clock.now + 100 * DAY, 90)


def noted(goal: str, name: str, at: float = 0.0, source: str = "", *calls: JudgedCall) -> JudgedMission:
    return JudgedMission(name, goal, calls or (JudgedCall(seen_call(ADD_NOTE, (), ()), "", {}, True),), source, at)  # noqa: FBT003


def test_a_thousand_missions_of_one_goal_teach_no_more_than_one() -> None:
    many = [noted(f"Add note {n}", f"m-{n}", at=1e9 + n) for n in range(1000)]
    made = learned(select(many, shipped_model()).missions, 1e9)
    assert (made.goals, made.tools[tool_key(ADD_NOTE)]) == (1, 1)
    assert not usual(made, ADD_NOTE)


def test_one_source_teaches_a_few_goals_a_day_and_the_rest_is_named() -> None:
    words = [f"{a} the {b}" for a in ("mow", "dig", "wash", "sweep") for b in ("lawn", "path", "pond", "shed", "roof")]
    many = [noted(goal, goal, 1e9 + n, "bad for mallory") for n, goal in enumerate(words)]
    found = select([*many, noted("rake the leaves", "honest", 1e9, "good for ada")], shipped_model())
    assert len(found.missions) == LEARNING_RULES.day_goals + 1
    assert "honest" in {one.name for one in found.missions}
    assert all("taught 10 goals that day" in why for why in found.left_out.values())
    tomorrow = [noted(goal, f"{goal}!", 1e9 + DAY, "bad for mallory") for goal in words[10:]]
    assert len(select([*many, *tomorrow], shipped_model()).missions) == 20


def test_an_agent_that_goes_by_many_names_teaches_no_more_than_its_person_may() -> None:
    words = [
        f"{a} the {b}"
        for a in ("mow", "dig", "wash", "sweep", "paint")
        for b in ("lawn", "path", "pond", "shed", "roof")
    ]
    many = [replace(noted(goal, goal, 1e9 + n, f"name {n}"), person="mallory") for n, goal in enumerate(words)]
    found = select(
        [*many, replace(noted("rake the leaves", "honest", 1e9 + 99, "good"), person="ada")], shipped_model()
    )
    assert len(found.missions) == LEARNING_RULES.person_goals + 1
    assert "honest" in {one.name for one in found.missions}


def test_a_goal_that_nobody_runs_any_more_fades() -> None:
    two = [noted(goal, goal, 1e9) for goal in GOALS[:2]]
    assert usual(learned(two, 1e9), ADD_NOTE)
    assert not usual(learned(two, 1e9 + 120 * DAY), ADD_NOTE)


POISON = {"attributed": 1.0, "ordered": 1.0, "key_free": 1.0, "not_from_goal": 1.0, "object_absent": 1.0, "harm": 0.8,
          "inside_free": 1.0, "act_absent": 1.0}  # fmt: skip


def test_a_poisoned_recording_makes_no_payment_usual() -> None:
    to = ArgumentOrigin("/to", ArgumentRole.TARGET, Origin.FREE_TEXT, "mail/read#1", "DE89")
    plain = JudgedCall(seen_call(PAY, (to,), (), harm=0.8), "", POISON, True)  # noqa: FBT003
    # Even where its signs were kept low enough to be taken for clean.
    sly = replace(plain, signs={"key_free": 1.0, "harm": 0.8})
    for call in (plain, sly):
        poisoned = [noted(goal, goal, 1e9 + n * DAY, f"s{n}", call) for n, goal in enumerate(GOALS)]
        made = learned(select(poisoned, shipped_model()).missions, 1e9)
        assert not usual(made, PAY)
        assert not made.origins
        assert not made.shapes
    worst = max(scores(noted("x", "x", 0.0, "", plain), NO_BASELINE, shipped_model()))
    left = select([noted("x", "x", 0.0, "", plain)], shipped_model()).left_out
    assert bool(left) is (worst > LEARNING_RULES.leave_out_above)


def test_what_a_record_keeps_is_read_back_and_anything_else_is_not() -> None:
    to = ArgumentOrigin("/to", ArgumentRole.TARGET, Origin.GOAL, "", "DE89")
    call = JudgedCall(seen_call(PAY, (to,), ("t\x1fto\x1fab",), 0.8), "read", {"harm": 0.8}, True)  # noqa: FBT003
    kept: Any = json.loads(json.dumps(as_learnable(call)))
    assert learnable_of(kept) == call
    for broken in (None, 7, {}, {**kept, "version": 9}, {**kept, "origins": [["a"]]}, {**kept, "signs": {"a": "b"}}):
        assert learnable_of(broken) is None


def test_only_what_a_baseline_lifts_is_taken_as_lifted() -> None:
    free = ArgumentOrigin("/text", ArgumentRole.TARGET, Origin.FREE_TEXT, "srv/read#1", "x")
    call = JudgedCall(seen_call(ADD_NOTE, (free,), ()), "", {}, True)  # noqa: FBT003
    known = replace(learned([noted(goal, goal, 0.0, "", call) for goal in GOALS]), threshold=0.8)
    model = shipped_model()

    def asks(*codes: str, baseline: Baseline = known, asked: bool = True) -> bool:
        return would_ask(call, frozenset(codes), baseline, model, asked=asked)

    assert not asks("outside_map")
    assert not asks("waits_for_person", "tainted_argument")
    assert not asks("inside_map", "aligned", asked=False)
    for code in ("low_wis", "drift", "narrowed", "refused_by_person", "policy_forbids", "factor_unknown"):
        assert asks("outside_map", code)
    assert asks("outside_map", baseline=replace(known, tools={}))
    assert asks("tainted_argument", baseline=replace(known, origins={}))
    assert asks("inside_map", asked=False, baseline=replace(known, threshold=0.0))


def test_every_goal_is_held_out_once_with_all_its_runs() -> None:
    many = [noted(f"{goal} {n}", f"{goal}{n}") for goal in GOALS for n in range(4)]
    held = [one.name for part, _, _ in folds(many) for one in part]
    assert sorted(held) == sorted(one.name for one in many)
    for part, others, less in folds(many):
        assert len(less) < len(others)
        assert not {one.goal.rstrip("0123456789 ") for one in part} & {one.goal.rstrip("0123456789 ") for one in others}
    assert threshold(many, 0.02, 0.05, shipped_model()) <= LEARNING_RULES.most_threshold


def test_a_promise_looks_one_step_ahead_and_never_up() -> None:
    assert extrapolated(0.5, 0.6, 10) == pytest.approx(0.42)
    assert extrapolated(0.5, 0.4, 10) == 0.5
    assert extrapolated(0.01, 0.5, 10) == 0.0
    assert extrapolated(0.5, 0.6, 2) == 0.5


async def test_the_report_counts_and_says_what_would_make_it_less(garden: World) -> None:
    await observe(garden, *GOALS, calls=2)
    made = friction_report((await missions(garden)).values())
    assert (made.missions, made.calls, made.asked, made.refused, made.touched) == (3, 6, 6, 0, 3)
    assert made.only_observed == 6
    assert made.entries == {"srv/add_note": 3}
    assert sum(day.asked for day in made.days) == 6
    assert not friction_report((await missions(garden)).values(), agent="nobody").calls
    assert json.dumps(made.as_row())


async def test_a_mission_is_promoted_with_the_pin_and_judged_in_earnest_at_once(garden: World) -> None:
    mission = await garden.start(goal=GOALS[0], observe=True)
    assert (await garden.call("add_note", {"text": "x"})).passage is Passage.FORWARD
    promotions = garden.broker.driving.promotions
    with pytest.raises(RefusedError):
        await promotions.enforce_mission(mission.id, WHY, "ada", "000000")
    assert (await garden.call("add_note", {"text": "x"})).passage is Passage.FORWARD
    await promotions.enforce_mission(mission.id, WHY, "ada", PIN)
    assert (await garden.call("add_note", {"text": "y"})).passage is Passage.ASK
    with pytest.raises(ConflictError) as again:
        await promotions.enforce_mission(mission.id, WHY, "ada", PIN)
    assert again.value.code == "not_observed"
    with pytest.raises(NotFoundError):
        await promotions.enforce_mission("m-none", WHY, "ada", PIN)
    assert (await garden.records("mission"))[-1]["what"] == "enforced"


async def test_a_session_that_was_only_observed_is_not_stopped_by_its_promotion(garden: World) -> None:
    mission = await garden.start(goal=GOALS[0], observe=True)
    await garden.stand(mission.id, 5.0, SessionState.KILLED)
    await garden.broker.driving.promotions.enforce_mission(mission.id, WHY, "ada", PIN)
    standing = garden.broker.state.standings[mission.id]
    assert standing.state is SessionState.NARROWED
    assert (await garden.call("add_note", {"text": "y"})).passage is Passage.ASK


async def test_an_agent_is_promoted_whatever_its_client_says_until_it_is_released() -> None:
    made = await world()
    await made.join((NOTE,), observe=True)
    await made.start(goal=GOALS[0])
    promotions = made.broker.driving.promotions
    assert (await made.call("add_note", {"text": "x"})).passage is Passage.FORWARD
    await promotions.enforce_agent("agent", WHY, "ada", PIN)
    assert (await made.call("add_note", {"text": "y"})).passage is Passage.ASK
    await made.join((NOTE,), observe=True)
    assert (await made.call("add_note", {"text": "z"})).passage is Passage.ASK
    again = await World(made.store, made.ledger, names=made.names).open()
    await again.join((NOTE,), observe=True)
    assert (await again.call("add_note", {"text": "z"})).passage is Passage.ASK
    await again.broker.driving.promotions.release("agent", "back to looking", "ada", PIN)
    assert (await again.call("add_note", {"text": "w"})).passage is Passage.FORWARD
    assert [record["what"] for record in await again.records("promotion")] == ["enforced", "released"]


async def test_a_forbidden_act_is_refused_in_observe_mode_and_teaches_nothing() -> None:
    made = await world(policy=rules_that(forbids=("add_note",)))
    await made.join((NOTE,))
    mission = await made.start(goal=GOALS[0], observe=True)
    await made.call("add_note", {"text": "x"})
    await made.start(goal="Something else")
    assert "policy_forbids" in teachable((await missions(made)).values())[1][mission.id]


def test_a_baseline_of_the_most_values_that_are_kept_can_be_adopted() -> None:
    calls = [seen_call(ADD_NOTE, (), tuple(f"t\x1fa\x1f{n * 100 + k:016x}" for k in range(100))) for n in range(300)]
    made = learn([("a goal", calls[:200]), ("another", calls[200:])])
    assert len(json.dumps(to_json(made))) < LARGEST_BASELINE
