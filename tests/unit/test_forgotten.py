"""What had to be forgotten counts as a stranger's, through the whole broker: the same call, with and without it, ends differently."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from tests.model.world import World, world

from jittrust.core.intent.origin import ArgumentRole, Origin
from jittrust.core.intent.provenance import FORGOTTEN, ProvenanceIndex
from jittrust.core.intent.reading import classify
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Ruling, Tool
from jittrust.core.scoring.risk import risk, tainted

SEND = Tool("srv", "send_mail", "Send a mail to a recipient.", {"properties": {"to": {"type": "string"}}}, pin="p")
GOAL = Goal(("Send a mail with a summary to Anna",), GoalSource.FLAG)
TO = {"/to": ArgumentRole.TARGET}
LINKED: Mapping[str, Json] = {"to": "anna@example.com", "body": "The plan is at www.acme.example/plan."}
NAMED: Mapping[str, Json] = {"to": "anna@example.com", "body": "The plan is fine."}
# More than is kept of one result.
ENDLESS = "The plan goes on and on. " * 20_000


@given(st.emails(), st.booleans())
def test_a_value_seen_nowhere_is_a_strangers_exactly_when_something_was_forgotten(address: str, lost: bool) -> None:  # noqa: FBT001
    index = ProvenanceIndex(lost=lost)
    found = index.trace({"to": address}, GOAL, TO)
    reading = classify(SEND, {"to": address})

    assert found[0].origin is Origin.UNSEEN
    assert (found[0].source == FORGOTTEN) is lost
    assert bool(tainted(found, reading)) is lost


@given(st.emails())
def test_what_was_forgotten_raises_the_risk_as_a_strangers_value_does(address: str) -> None:
    reading = classify(SEND, {"to": address})
    known, forgotten = (
        risk(reading, ProvenanceIndex(lost=lost).trace({"to": address}, GOAL, TO), {"to": address}).value
        for lost in (False, True)
    )

    assert known is not None
    assert forgotten is not None
    assert forgotten > known


async def read_and_send(result: str, mail: Mapping[str, Json]) -> tuple[World, Ruling, list[str]]:
    here = await world()
    await here.start(goal="Read the file plan.txt and send a mail with a summary to Anna or to anna@example.com")
    await here.join()
    read = await here.call("read_file", {"path": "plan.txt"})
    await here.settle(read, result)
    decision = await here.call("send_mail", mail)
    return here, decision.verdict.ruling, [reason.code for reason in decision.verdict.reasons]


async def test_a_result_too_long_to_keep_makes_the_next_unknown_address_a_strangers() -> None:
    _, short, _ = await read_and_send("The plan is short.", LINKED)
    _, long, reasons = await read_and_send(ENDLESS, LINKED)

    assert short is Ruling.ALLOW
    assert long is Ruling.STEP_UP
    assert "tainted_argument" in reasons


async def test_what_the_goal_itself_says_stays_good_whatever_was_forgotten() -> None:
    _, ruling, reasons = await read_and_send(ENDLESS, NAMED)

    assert ruling is Ruling.ALLOW, reasons
