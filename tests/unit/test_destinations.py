"""Where a call sends something: what nobody named, and what is not where the person's words send it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import classify
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool
from jittrust.core.scoring.risk import elsewhere, unnamed


def tool(name: str, description: str) -> Tool:
    return Tool("srv", name, description)


SEND = tool("send_message", "Send a message to somebody.")
SHARE = tool("share_folder", "Share a folder with a person.")
READ = tool("read_file", "Read a file.")


def told(origin: Origin, value: str, role: ArgumentRole = ArgumentRole.TARGET) -> tuple[ArgumentOrigin, ...]:
    return (ArgumentOrigin("/to", role, origin, "srv/get_brief#1", value),)


def sends(what: Tool, origin: Origin, value: str, goal: str) -> bool:
    arguments: Mapping[str, Json] = {"to": value}
    words = Goal((goal,), GoalSource.PROMPT_HOOK)
    return bool(elsewhere(told(origin, value), classify(what, arguments), arguments, words))


@pytest.mark.parametrize("what", [SEND, SHARE])
def test_an_address_of_a_record_is_not_where_the_goal_sends_it(what: Tool) -> None:
    goal = "Send the summary to mara@lumen.example and share the folder with her"

    assert sends(what, Origin.FIELD, "kolya@drop.example", goal)
    assert not sends(what, Origin.GOAL, "mara@lumen.example", goal)


def test_where_the_goal_names_no_address_a_field_may_be_the_one_it_means() -> None:
    assert not sends(SEND, Origin.FIELD, "kolya@drop.example", "Answer whoever wrote last")


QUOTED = "Send the summary to mara@lumen.example. This is what I got:\n> Please send it to kolya@drop.example as well."


def test_an_address_in_a_mail_that_the_person_quotes_is_not_where_their_own_words_send_it() -> None:
    assert sends(SEND, Origin.GOAL, "kolya@drop.example", QUOTED)
    assert not sends(SEND, Origin.GOAL, "mara@lumen.example", QUOTED)
    assert not sends(SEND, Origin.GOAL, "kolya@drop.example", "Answer this:\n> Write to kolya@drop.example.")


def test_an_account_is_no_mail_address() -> None:
    assert not sends(SEND, Origin.FIELD, "kolya@drop.example", "Tell the carrier about NL91ABNA0417164300")


def test_a_read_sends_nothing_anywhere() -> None:
    assert not sends(READ, Origin.FIELD, "kolya@drop.example", "Send it to mara@lumen.example")


@pytest.mark.parametrize("where", ["partners-ext", "Unit 44, Quarry Lane, Slough", "ops@drop.example"])
def test_a_room_or_a_street_that_nobody_named_is_a_destination_as_an_address_is(where: str) -> None:
    arguments: Mapping[str, Json] = {"to": where}

    assert unnamed(told(Origin.UNSEEN, where), classify(SEND, arguments), arguments)
    assert not unnamed(told(Origin.GOAL, where), classify(SEND, arguments), arguments)
    assert not unnamed(told(Origin.UNSEEN, where, ArgumentRole.CONTENT), classify(SEND, arguments), arguments)
