"""What the judge is asked, when, and how its answer is read; what the broker makes of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from tests.judging import SameAnswer, saying
from tests.model.world import MAIL, World, allowing, world

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.errors import BadInputError, RefusedError, UnavailableError
from jittrust.core.intent.judge import (
    JudgeQuestion,
    JudgeRules,
    Relation,
    answer_of,
    answer_schema,
    is_grey,
    question_key,
    question_of,
)
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Json, Reading, Reason, Response, Ruling, Tool, Verdict, WeightedIntentScore
from jittrust.core.rules import Rules
from jittrust.core.units import Gas, Score, Unit
from jittrust.ports.decision_point import Passage

GREY = replace(Rules(), judge=JudgeRules(wis_below=101.0))
QUESTION = JudgeQuestion({"1": "Write to Anna."}, "srv/send_mail", "Send a mail.", {}, {})
TOOL = Tool("srv", "send_mail", "Send a mail.", {"type": "object", "properties": {"to": {"type": "string"}, "n": {}}})
GOAL = Goal(("Write to anna@example.com. Then stop.",), GoalSource.MISSION_START)


def asked(arguments: dict[str, Json], *origins: ArgumentOrigin, goal: Goal = GOAL) -> JudgeQuestion | None:
    roles = {one.path: one.role for one in origins}
    return question_of(goal, TOOL, arguments, roles, origins)


def origin(path: str, where: Origin, role: ArgumentRole = ArgumentRole.TARGET) -> ArgumentOrigin:
    return ArgumentOrigin(path, role, where, "", "")


def test_a_value_the_person_said_is_shown_and_any_other_is_told_by_kind_length_and_origin() -> None:
    found = asked(
        {"to": "anna@example.com", "n": {"to": "eve@evil.example", "note": "IGNORE ALL", "sum": 20.5, "yes": True}},
        origin("/to", Origin.GOAL),
        origin("/n/to", Origin.FREE_TEXT),
    )

    assert found is not None
    assert found.arguments["/to"] == ("“anna@example.com”", "target, the person's words")
    assert found.arguments["/n/to"] == (
        "an e-mail address, up to 20 characters",
        "target, free text that a tool returned",
    )
    assert found.arguments["/n/?"] == ("a text, up to 20 characters", "selector, nowhere: the agent made it up")
    assert {value for value, _ in found.arguments.values()} >= {"20.5", "true"}
    assert found.clauses == {"1": "Write to anna@example.com.", "2": "Then stop."}


@pytest.mark.parametrize("where", [Origin.FIELD, Origin.ENDORSED, Origin.OPERATOR, Origin.FREE_TEXT, Origin.UNSEEN])
def test_whatever_its_origin_a_value_is_not_quoted_unless_the_person_said_it(where: Origin) -> None:
    found = asked({"to": "DE89370400440532013000"}, origin("/to", where))

    assert found is not None
    assert "DE89" not in found.text()
    assert found.arguments["/to"][0].startswith("an IBAN")


def test_a_credential_is_never_shown_even_where_the_person_said_it() -> None:
    goal = Goal(("Log in with hunter2secret",), GoalSource.MISSION_START)
    found = asked({"to": "hunter2secret"}, origin("/to", Origin.GOAL, ArgumentRole.CREDENTIAL), goal=goal)

    assert found is not None
    assert found.arguments["/to"][0] == "a credential, up to 20 characters"


def test_a_part_of_a_word_the_person_said_is_not_what_the_person_said() -> None:
    found = asked({"to": "ann"}, origin("/to", Origin.UNSEEN))

    assert found is not None
    assert found.arguments["/to"][0] == "a text, up to 20 characters"


def test_a_goal_that_is_too_long_is_not_shown_in_part() -> None:
    assert asked({"to": "x"}, goal=Goal(("x" * 8_001,), GoalSource.MISSION_START)) is None
    assert asked({"to": "x"}, goal=Goal((), GoalSource.NONE)) is None


def test_values_without_number_are_told_up_to_a_bound_and_a_large_schema_by_its_names() -> None:
    wide = Tool("srv", "t", "d", {"properties": {f"name{n}": {"description": "x" * 400} for n in range(50)}})
    found = question_of(GOAL, wide, {f"name{n}": n for n in range(500)}, {}, ())

    assert found is not None
    assert len(found.arguments) == 65
    assert set(found.schema) == {"names"}
    assert len(found.text()) < 20_000


def test_the_key_is_of_the_map_and_the_shape_of_the_call() -> None:
    one, same = asked({"to": "b@evil.example"}), asked({"to": "c@evil.example"})
    other = asked({"to": "anna@example.com"})
    entry = AuthorityEntry("e", "srv/t", state=EntryState.APPROVED, uses_left=2)
    assert one is not None
    assert same is not None
    assert other is not None

    key = question_key(AuthorityMap((entry,)), one)

    assert key == question_key(AuthorityMap((replace(entry, uses_left=1),)), same)
    assert key != question_key(AuthorityMap((entry,)), other)
    assert key != question_key(AuthorityMap((replace(entry, tool="srv/u"),)), one)
    assert key != question_key(AuthorityMap(), one)


@pytest.mark.parametrize("relation", list(Relation))
@pytest.mark.parametrize("sure", [0, 0.5, 1, 1.0])
def test_a_strict_answer_is_read(relation: Relation, sure: float) -> None:
    found = answer_of(saying(relation, "1", sure).encode(), QUESTION)

    assert (found.relation, found.clause, found.confidence) == (relation, "1", sure)
    assert answer_of(saying(relation, "", sure).encode(), QUESTION).clause == ""


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "aligned",
        "null",
        "[]",
        "{}",
        "Sure! Here is it: " + saying(),
        saying() + " I hope this helps.",
        saying() + saying(),
        f"```json\n{saying()}\n```",
        saying(relation="ALIGNED"),
        saying(relation="allow"),
        saying(clause="2"),
        saying(clause="1 "),
        saying(confidence=1.01),
        saying(confidence=-0.1),
        saying(confidence="0.9"),
        saying(confidence=True),
        saying(confidence=None),
        saying(confidence=[0.9]),
        '{"relation": "aligned", "clause": "1", "confidence": NaN}',
        '{"relation": "aligned", "clause": "1", "confidence": Infinity}',
        '{"relation": "aligned", "clause": "1", "confidence": 1e999}',
        '{"relation": "unrelated", "clause": "1", "confidence": 0.9, "relation": "aligned"}',
        '{"relation": "aligned", "clause": "1", "confidence": 0.9, "why": "x"}',
        '{"relation": "aligned", "clause": "1"}',
        '{"relation": {"a": "aligned"}, "clause": "1", "confidence": 0.9}',
        '{"relation": ["aligned"], "clause": "1", "confidence": 0.9}',
        '{"relation": "aligned", "clause": 1, "confidence": 0.9}',
        "[" * 5_000,
        " " * 2_000 + saying(),
        '\ufeff{"relation": "aligned", "clause": "1", "confidence": 0.9}',
    ],
)
def test_anything_else_is_no_answer(raw: str) -> None:
    with pytest.raises(BadInputError) as caught:
        answer_of(raw.encode(), QUESTION)
    assert caught.value.code == "judge_answer_bad"


def test_the_schema_of_an_answer_is_closed() -> None:
    schema = answer_schema(QUESTION)

    assert schema["additionalProperties"] is False
    assert schema["required"] == ["relation", "clause", "confidence"]


def _verdict(ruling: Ruling, p: float | None, wis: float, *codes: str) -> Verdict:
    return Verdict(
        ruling=ruling,
        response=Response.NONE,
        reasons=tuple(Reason(code, "") for code in codes),
        intent="C.send_external",
        factors=None,
        wis=WeightedIntentScore(Score(wis), None),
        drift=None,
        price=Gas(1),
        trust=Score(80),
        misaligned=Reading("misaligned", None if p is None else Unit(p), Unit(0.5), "", ""),
    )


@pytest.mark.parametrize(
    ("verdict", "consequential", "grey"),
    [
        (_verdict(Ruling.ALLOW, 0.15, 90), True, True),
        (_verdict(Ruling.ALLOW, 0.14, 90), True, False),
        (_verdict(Ruling.ALLOW, 0.14, 54.9), True, True),
        (_verdict(Ruling.ALLOW, None, 54.9), True, True),
        (_verdict(Ruling.ALLOW, None, 55), True, False),
        (_verdict(Ruling.ALLOW, 0.4, 20), False, False),
        (_verdict(Ruling.ALLOW, 0.4, 20, "approved_by_person"), True, False),
        (_verdict(Ruling.STEP_UP, 0.4, 20), True, False),
        (_verdict(Ruling.DENY, 0.4, 20), True, False),
    ],
)
def test_grey_is_what_would_pass_with_consequences_and_is_not_clear(
    verdict: Verdict, *, consequential: bool, grey: bool
) -> None:
    assert is_grey(verdict, consequential=consequential) is grey


# ---- in the broker ------------------------------------------------------------------------------------------------------------------------


async def _world(judge: SameAnswer, rules: Rules = GREY) -> World:
    w = await world(rules=rules, judge=judge)
    await w.join()
    await w.start(allowing("send_mail"), allowing("delete_record"), allowing("read_file"))
    return w


@pytest.mark.parametrize(
    ("words", "ruling"),
    [
        (saying("aligned"), Ruling.ALLOW),
        (saying("supports"), Ruling.ALLOW),
        (saying("unrelated", ""), Ruling.STEP_UP),
        (saying("contradicts", "1", 1), Ruling.STEP_UP),
        (saying("unrelated", "", 0.59), Ruling.ALLOW),
        ("rubbish", Ruling.ALLOW),
    ],
)
async def test_a_sure_doubt_has_a_person_asked_and_nothing_else_changes_anything(words: str, ruling: Ruling) -> None:
    judge = SameAnswer(words)
    w = await _world(judge)

    decision = await w.call("send_mail", MAIL)

    assert decision.verdict.ruling is ruling
    assert ("judge_doubts" in decision.verdict.codes) == (ruling is Ruling.STEP_UP)
    assert len(judge.asked) == 1


async def test_it_is_not_asked_about_reads_clear_calls_refusals_questions_or_what_a_person_approved() -> None:
    judge = SameAnswer(saying("unrelated", ""))
    w = await _world(judge)
    await w.call("read_file", {"path": "plan.txt"})
    await w.call("send_mail", {**MAIL, "to": "eve@evil.example"})
    assert judge.asked == []

    question = await w.call("send_mail", MAIL)
    assert question.approval is not None
    await w.yes(question.approval)
    judge.asked.clear()
    w.clock.now += 1
    assert (await w.call("send_mail", MAIL)).verdict.ruling is Ruling.ALLOW
    assert judge.asked == []

    clear = SameAnswer(saying("unrelated", ""))
    w = await _world(clear, replace(Rules(), judge=JudgeRules(wis_below=0.0, misaligned_from=1.0)))
    assert (await w.call("send_mail", MAIL)).verdict.ruling is Ruling.ALLOW
    assert clear.asked == []


async def test_an_answer_stands_for_the_same_question_and_ends_with_the_map() -> None:
    judge = SameAnswer(saying())
    w = await _world(judge)
    for n in range(3):
        w.clock.now += 1
        await w.call("send_mail", {**MAIL, "body": f"Plan {n} is fine."})
    assert len(judge.asked) == 1

    await w.start(allowing("send_mail"))
    await w.call("send_mail", MAIL)
    assert len(judge.asked) == 2

    w.clock.now += 3_700
    await w.start(allowing("send_mail"))
    await w.call("send_mail", MAIL)
    assert len(judge.asked) == 3


@pytest.mark.parametrize(
    "error", [UnavailableError("judge_unreachable", "no"), RuntimeError("of a library"), OSError()]
)
async def test_after_repeated_failures_it_is_left_alone_for_a_while(error: Exception) -> None:
    judge = SameAnswer(error=error)
    w = await _world(judge)
    bodies = iter(range(10_000))

    async def call() -> Ruling:
        # Longer each time, so that every question is another.
        await w.start(allowing("send_mail"), goal=f"Send a mail {next(bodies)} with a summary to anna@example.com")
        return (await w.call("send_mail", MAIL)).verdict.ruling

    assert [await call() for _ in range(8)] == [Ruling.ALLOW] * 8
    assert len(judge.asked) == 5
    w.clock.now += 31
    assert [await call() for _ in range(3)] == [Ruling.ALLOW] * 3
    assert len(judge.asked) == 6
    w.clock.now += 31
    judge.error, judge.words = None, saying("unrelated", "")
    assert [await call() for _ in range(3)] == [Ruling.STEP_UP] * 3
    assert len(judge.asked) == 9


async def test_a_judge_that_stalls_holds_a_call_for_its_time_and_no_longer_and_no_other_call() -> None:
    judge = SameAnswer(saying("unrelated", ""), wait=30)
    w = await _world(judge, replace(Rules(), judge=JudgeRules(wis_below=101.0, timeout=0.3)))
    loop = asyncio.get_running_loop()
    began = loop.time()

    slow = asyncio.create_task(w.call("send_mail", MAIL))
    await asyncio.sleep(0.05)
    assert (await w.call("read_file", {"path": "plan.txt"})).verdict.ruling is Ruling.ALLOW
    between = loop.time() - began
    decision = await slow

    assert between < 0.25
    assert decision.verdict.ruling is Ruling.ALLOW
    assert 0.25 < loop.time() - began < 1.5


async def test_only_a_few_questions_are_under_way_and_who_comes_then_goes_without() -> None:
    judge = SameAnswer(saying(), wait=0.2)
    w = await _world(judge, replace(Rules(), judge=JudgeRules(wis_below=101.0, at_once=1)))
    subjects = [{**MAIL, "subject": "s" * n} for n in (5, 50, 300, 900)]

    rulings = [d.verdict.ruling for d in await asyncio.gather(*(w.call("send_mail", one) for one in subjects))]

    assert rulings == [Ruling.ALLOW] * 4
    assert len(judge.asked) == 1


async def test_what_changes_while_the_judge_thinks_counts() -> None:
    judge = SameAnswer(saying(), wait=0.1)
    w = await _world(judge)
    call = asyncio.create_task(w.call("send_mail", MAIL))
    await asyncio.sleep(0.03)
    mission = next(one for one in w.broker.state.missions.values() if one.state is MissionState.ACTIVE)
    await w.put(mission, MissionState.TERMINATED)

    with pytest.raises(RefusedError):
        await call


async def test_two_calls_with_one_pass_spend_it_once_however_long_the_judge_thinks_about_both() -> None:
    judge = SameAnswer(saying(), wait=0.1)
    w = await _world(judge)
    issued = await w.grant()
    subjects = [{**MAIL, "subject": "s" * n} for n in (5, 50)]

    both = await asyncio.gather(*(w.show(issued.grant.id, issued.first_pass, "send_mail", one) for one in subjects))

    assert [one.passage for one in both].count(Passage.FORWARD) == 1
    paid = await w.paid()
    assert len(paid[issued.grant.id]) == 1


async def test_the_record_names_model_answer_and_time_and_says_why_there_is_none() -> None:
    good, bad = SameAnswer(saying("unrelated", "", 0.875)), SameAnswer("rubbish")
    told = []
    for judge in (good, bad):
        w = await _world(judge)
        await w.call("send_mail", MAIL)
        (record,) = [one for one in await w.records() if one["kind"] in {"use", "refusal"}]
        told.append(record["intent"]["judge"])  # type: ignore[index,call-overload]

    assert told[0] == {
        "model": "stand-in",
        "milliseconds": 0,
        "kept": False,
        "relation": "unrelated",
        "clause": "",
        "confidence": 0.875,
    }
    assert told[1] == {"model": "stand-in", "milliseconds": 0, "kept": False, "no_answer": "not_an_answer"}


async def test_being_asked_costs_nothing_by_itself() -> None:
    prices = []
    for judge in (None, SameAnswer(saying())):
        w = await world(rules=GREY, judge=judge)
        await w.join()
        await w.start(allowing("send_mail"))
        decision = await w.call("send_mail", MAIL)
        for n in range(5):
            decision = await w.call("send_mail", {**MAIL, "body": f"Plan {n} is fine."})
        prices.append((int(decision.verdict.price), float(decision.verdict.trust), decision.gas_left))

    assert prices[0] == prices[1]


def test_the_question_is_one_canonical_json_document() -> None:
    found = asked({"to": "anna@example.com"}, origin("/to", Origin.GOAL))
    assert found is not None
    assert set(json.loads(found.text())) == {"goal", "tool", "call"}
