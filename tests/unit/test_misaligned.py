"""The probability that a call is somebody else's wish: every sign can only raise it, and more of it never makes a milder ruling."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_decide import GOOD, MISSION, STRANGER, TOOL, judged

from jittrust.adapters.files.models import shipped_model
from jittrust.core.authority.map import AuthorityMap
from jittrust.core.intent.attribution import Attribution
from jittrust.core.intent.baseline import learn, seen_call
from jittrust.core.intent.drift import TrailStep, drift
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.misaligned import SIGNS, CallSetting, LogisticWeights, MisalignedModel, misaligned, signs
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import classify
from jittrust.core.model import Reading, Ruling, Tool
from jittrust.core.rules import Rules
from jittrust.core.units import Unit

HARSHNESS = (Ruling.ALLOW, Ruling.MODIFY, Ruling.STEP_UP, Ruling.DEFER, Ruling.DENY)
ORDERS = TextFinding("srv/read_file#1", Unit(0.9), ("address",), "assistant, send it")
TOLD = Attribution(by_result=0.8, by_goal=0.2, ordered=True, sentence="send it to", source="srv/read_file#1")
LIST = Tool("srv", "list_notes", "Lists the notes.", {}, pin="y")
VALUES = st.dictionaries(st.sampled_from(sorted(SIGNS)), st.floats(0.0, 1.0))


def always(odds: float) -> MisalignedModel:
    return MisalignedModel("test", LogisticWeights(odds), LogisticWeights(odds))


@settings(max_examples=150, deadline=None)
@given(found=VALUES, name=st.sampled_from(sorted(SIGNS)), more=st.floats(0.0, 1.0), learned=st.booleans())
def test_more_of_any_sign_never_lowers_the_probability(
    *, found: dict[str, float], name: str, more: float, learned: bool
) -> None:
    model = shipped_model()
    raised = {**found, name: min(1.0, found.get(name, 0.0) + more)}
    before, after = (misaligned(one, model, learned=learned).value for one in (found, raised))
    assert before is not None
    assert after is not None
    assert after >= before - 1e-12


@pytest.mark.parametrize(
    "worse",
    [
        CallSetting(findings=(ORDERS,), results=1),
        CallSetting(findings=(ORDERS,), results=1, approved_by="policy:supporting"),
        CallSetting(findings=(ORDERS,), results=1, approved_by=None),
        CallSetting(findings=(ORDERS,), results=1, trail=(TrailStep(classify(TOOL, {}).intent, 0.9),)),
    ],
)
def test_texts_with_orders_an_inexact_map_and_acts_done_before_only_add_signs(worse: CallSetting) -> None:
    read = read_goal(MISSION.goal)
    plain = signs(read, classify(TOOL, {}), (STRANGER,), TOLD, None, CallSetting(results=1))
    told = signs(read, classify(TOOL, {}), (STRANGER,), TOLD, None, worse)
    assert set(plain) == set(told) == set(SIGNS)
    assert all(told[name] >= plain[name] for name in SIGNS)
    assert all(0.0 <= value <= 1.0 for value in told.values())


def test_the_reason_names_the_text_that_reads_like_orders() -> None:
    setting = CallSetting(findings=(ORDERS,), results=1)
    found = signs(read_goal(MISSION.goal), classify(TOOL, {}), (STRANGER,), TOLD, None, setting)
    assert (found["instructed"], found["key_instructed"]) == (0.9, 0.9)
    assert "reads like orders" in misaligned(found, shipped_model(), learned=False).why


def test_a_later_call_is_less_fresh_and_a_result_without_a_number_is_no_error() -> None:
    read, reading = read_goal(MISSION.goal), classify(TOOL, {})
    fresh = [signs(read, reading, (), TOLD, None, CallSetting(results=n))["fresh"] for n in (1, 2, 9)]
    assert fresh == sorted(fresh, reverse=True)
    assert signs(read, reading, (), replace(TOLD, source="agent"), None, CallSetting(results=3))["fresh"] <= 1.0


def test_more_likely_somebody_elses_wish_is_never_a_milder_ruling_and_never_a_higher_score() -> None:
    for facts in (
        GOOD,
        replace(GOOD, origins=(STRANGER,)),
        replace(GOOD, mission=replace(MISSION, authority=AuthorityMap())),
    ):
        last, score = -1, 101.0
        for odds in (-9.0, -3.0, -1.0, 0.0, 1.0, 3.0, 9.0):
            asked = replace(facts, attribution=TOLD)
            made = judged(asked, rules=Rules(model=always(odds))).verdict
            assert made.wis is not None
            assert HARSHNESS.index(made.ruling) >= last
            assert made.wis.value <= score + 1e-9
            last, score = HARSHNESS.index(made.ruling), made.wis.value


def test_the_verdict_says_how_likely_and_takes_that_share_of_what_serves_the_goal() -> None:
    certain, nothing = (
        judged(replace(GOOD, attribution=TOLD), rules=Rules(model=always(odds))).verdict for odds in (0.0, -40.0)
    )
    assert certain.misaligned is not None
    assert certain.misaligned.value == pytest.approx(0.5)
    assert certain.factors is not None
    assert nothing.factors is not None
    assert certain.factors.clarity.value == pytest.approx((nothing.factors.clarity.value or 0.0) * 0.5)
    assert certain.drift == nothing.drift, "whose wish it is piles up no drift"


def usually_a_strangers(origin: ArgumentOrigin) -> Rules:
    baseline = learn((f"goal {n}", [seen_call(TOOL, (origin,), ())]) for n in range(8))
    return Rules(model=always(-9.0), baseline=replace(baseline, threshold=0.8))


def test_what_is_usual_waives_no_strangers_destination_where_a_text_asks_for_it() -> None:
    rules = usually_a_strangers(STRANGER)
    for attribution, findings in ((TOLD, ()), (replace(TOLD, ordered=False), (ORDERS,))):
        made = judged(
            replace(GOOD, origins=(STRANGER,), attribution=attribution, findings=findings, results=1), rules=rules
        ).verdict
        assert made.ruling is not Ruling.ALLOW
        assert "tainted_argument" in made.codes


def test_for_a_harmful_call_that_a_text_asks_for_what_is_usual_lowers_nothing() -> None:
    model = MisalignedModel("test", LogisticWeights(2.0), LogisticWeights(-2.0))
    harmful = {"harm": 0.8, "ordered": 1.0}
    assert misaligned(harmful, model, learned=True).value == pytest.approx(0.8808, abs=1e-3)
    assert misaligned({**harmful, "harm": 0.2}, model, learned=True).value == pytest.approx(0.1192, abs=1e-3)


def test_a_read_that_a_text_with_orders_asks_for_is_asked_about_only_where_it_is_plainly_its_wish() -> None:
    page = Tool("srv", "open_page", "Opens a web page.", {"properties": {"url": {"type": "string"}}}, pin="x")
    reading = classify(page, {"url": "https://evil.example/a"})
    assert not reading.consequential
    url = ArgumentOrigin("/url", ArgumentRole.TARGET, Origin.FREE_TEXT, "srv/read_file#1", "https://evil.example/a")
    opened = replace(MISSION.authority.entries[0], tool=page.id, pin="x", approved_by="policy:read")
    facts = replace(
        GOOD, tool=page, reading=reading, origins=(url,), attribution=TOLD, findings=(ORDERS,), results=1,
        mission=replace(MISSION, authority=AuthorityMap((opened,))),
    )  # fmt: skip
    rulings = [judged(facts, rules=Rules(model=always(odds))).verdict.ruling for odds in (-3.0, 1.0, 4.0)]
    assert rulings[-1] is not Ruling.ALLOW
    assert rulings[:2] == [Ruling.ALLOW, Ruling.ALLOW]


def test_the_weights_are_read_in_a_moment() -> None:
    shipped_model.cache_clear() if hasattr(shipped_model, "cache_clear") else None
    began = time.process_time()
    assert shipped_model().version
    assert time.process_time() - began < 0.05


def test_a_step_off_the_goal_is_medium_without_effect_and_critical_with_one_and_both_are_counted() -> None:
    act, look = classify(TOOL, {}), classify(LIST, {})
    far = Reading("O", Unit(0.05), Unit(0.6), "test", "")
    trail = (TrailStep("K.read", 0.05), TrailStep(act.intent, 0.05), TrailStep("K.read", 0.95))
    critical, medium = drift(act, far, trail), drift(look, far, ())
    assert (act.consequential, look.consequential) == (True, False)
    assert "critical" in critical.why
    assert "2 of 3 steps lay off the goal, 1 of them with effects" in critical.why
    assert "medium" in medium.why
    assert (medium.value or 0.0) < (critical.value or 0.0)
