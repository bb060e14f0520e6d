"""What a hostile call, result or goal may cost: counted in work, never in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.authority.match import MatchStanding, match, resource_words
from jittrust.core.authority.propose import propose
from jittrust.core.intent.alignment import clarity
from jittrust.core.intent.fields import FIELD_RULES, split_result, too_many
from jittrust.core.intent.goal import GOAL_RULES, read_goal
from jittrust.core.intent.origin import ArgumentRole, Origin
from jittrust.core.intent.provenance import FORGOTTEN, ProvenanceIndex, ProvenanceRules
from jittrust.core.intent.reading import classify
from jittrust.core.intent.roles import ROLE_RULES, argument_roles
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool
from jittrust.core.scoring.context import value_keys
from jittrust.core.scoring.risk import risk, tainted

SEND = Tool("mail", "send_email", "Sends an email", {"properties": {"recipient": {"type": "string"}}}, pin="p")
READ = Tool("files", "read_files", "Reads files", {"properties": {"paths": {"type": "array"}}}, pin="p")
GOAL = Goal(("Send the minutes to Bob by email",), GoalSource.FLAG)


class Counted(list[Json]):
    """A list that counts how many of its values are looked at."""

    looked = 0

    def __iter__(self) -> Iterator[Any]:
        for value in super().__iter__():
            Counted.looked += 1
            yield value


def looked_at(arguments: dict[str, Json]) -> int:
    """How many values of a call everything that reads it looks at, one reader after the other."""
    Counted.looked = 0
    index = ProvenanceIndex()
    roles = argument_roles(SEND, arguments)
    value_keys(SEND, arguments, roles)
    origins = index.trace(arguments, GOAL, roles)
    reading = classify(SEND, arguments)
    clarity(GOAL, SEND, reading, arguments, None, origins)
    risk(reading, origins, arguments)
    resource_words(SEND, arguments)
    return Counted.looked


def test_a_call_with_a_hundred_thousand_values_costs_no_more_than_one_with_a_thousand() -> None:
    few, many = (looked_at({"paths": Counted(f"v{n}" for n in range(size))}) for size in (1_000, 100_000))

    assert many == few
    assert many <= 8 * (ROLE_RULES.most_leaves + 2)


def test_what_is_not_looked_at_in_a_call_is_never_good() -> None:
    hidden: dict[str, Json] = {"paths": [*(f"notes/{n}.txt" for n in range(600)), "/home/dana/.ssh/id_rsa"]}
    entry = AuthorityEntry("e-1", READ.id, resource="notes/.*", state=EntryState.APPROVED)
    found = ProvenanceIndex().trace(hidden, GOAL, argument_roles(SEND, hidden))

    assert classify(READ, hidden).intent == "I.read_secret"
    assert match(AuthorityMap((entry,)), READ, "tools/call", hidden).standing is MatchStanding.RESOURCE_FAILED
    assert found[-1].source == FORGOTTEN
    assert tainted(found, classify(SEND, {}))


def test_searching_what_tools_returned_has_a_budget_and_what_was_not_searched_is_a_strangers() -> None:
    index = ProvenanceIndex()
    for number in range(4):
        index.add_result(f"r#{number}", "s/r", None, ["a b " * 60_000])
    # Every word is known everywhere, and the whole value stands nowhere.
    call: dict[str, Json] = {f"k{number}": "a b a b b a" + " a b" * number for number in range(500)}
    found = index.trace(call, GOAL, {f"/k{number}": ArgumentRole.TARGET for number in range(500)})

    assert index.searched <= index.rules.most_searched + index.rules.window
    assert {one.origin for one in found} == {Origin.UNSEEN}
    assert found[-1].source == FORGOTTEN
    assert index.trace({"k": "nowhere@example.com"}, GOAL, {"/k": ArgumentRole.TARGET})[0].source == ""


def test_a_value_is_looked_for_only_where_all_its_words_stand() -> None:
    index = ProvenanceIndex()
    for number in range(50):
        index.add_result(f"r#{number}", "s/r", None, [f"page {number} tells of person{number} " * 200])
    found = index.trace({"to": "person17"}, GOAL, {"/to": ArgumentRole.TARGET})

    assert found[0].source == "r#17"
    assert index.searched <= 2 * index.rules.window


def test_a_long_content_is_read_to_a_bound_and_the_rest_is_unknown() -> None:
    rules = ProvenanceRules(most_content=1_000, most_inside=4)
    index = ProvenanceIndex(rules)
    long: dict[str, Json] = {"body": "x " * 600 + "eve@evil.example", "note": "mail eve@evil.example"}
    crowd: dict[str, Json] = {"body": " ".join(f"u{number}@acme.example" for number in range(9))}
    roles = {"/body": ArgumentRole.CONTENT, "/note": ArgumentRole.CONTENT}

    cut = {one.path: one for one in index.trace(long, GOAL, roles)}
    assert cut["/body#more"].source == FORGOTTEN
    assert cut["/note#more"].source == FORGOTTEN
    assert tainted(tuple(cut.values()), classify(SEND, {}))
    traced = [one for one in index.trace(crowd, GOAL, roles) if "#" in one.path]
    assert [one.source for one in traced] == ["", "", "", "", FORGOTTEN]


def test_a_result_has_at_most_so_many_fields_and_texts_and_the_rest_is_no_field() -> None:
    structured: list[Json] = [{"id": number, "mail": f"u{number}@acme.example"} for number in range(5_000)]
    fields, free = split_result(structured, [], documents=False)

    assert len(fields) == FIELD_RULES.most_fields
    assert len(free) <= FIELD_RULES.most_free + 1
    assert "u4999@acme.example" in free[-1]


def test_records_of_very_many_lines_are_free_text() -> None:
    short, long = (
        "\n".join(f"name{number}: value {number}" for number in range(size))
        for size in (100, FIELD_RULES.most_lines + 1)
    )

    assert len(split_result(None, [short], documents=False)[0]) == 100
    assert split_result(None, [long], documents=False) == ([], [long])


@pytest.mark.parametrize(
    ("structured", "texts"),
    [
        ([f"v{number}" for number in range(100_000)], []),
        ([[number] for number in range(100_000)], []),
        (None, ["[" + "1," * 100_000 + "1]"]),
        (None, ["word " * 100_000]),
    ],
)
def test_a_result_that_is_not_read_to_its_end_leaves_the_index_with_something_forgotten(
    structured: Json | None, texts: list[str]
) -> None:
    index = ProvenanceIndex()
    index.add_result("r#1", "s/r", structured, texts)

    assert index.lost
    assert index.trace({"to": "x@example.com"}, GOAL, {"/to": ArgumentRole.TARGET})[0].source == FORGOTTEN


def test_a_result_of_the_usual_size_is_read_whole() -> None:
    index = ProvenanceIndex()
    index.add_result("r#1", "s/r", {"rows": [[number, f"n{number}"] for number in range(2_000)]}, ["text " * 2_000])

    assert not index.lost
    assert not too_many([[number] for number in range(1_000)])


def test_a_goal_is_read_to_a_bound_and_beyond_it_no_act_is_approved_without_a_person() -> None:
    words = "Send the email to Bob. "
    long = Goal((words * 2_000,), GoalSource.FLAG)
    split = Goal(tuple(words for _ in range(2_000)), GoalSource.FLAG)

    for goal in (long, split):
        reading = read_goal(goal)
        assert not reading.whole
        assert len(reading.clauses) <= GOAL_RULES.most_clauses
        assert [entry.state for entry in propose(goal, [SEND])] == [EntryState.PROPOSED]
    assert [entry.state for entry in propose(Goal((words * 3,), GoalSource.FLAG), [SEND])] == [EntryState.APPROVED]


def test_a_tool_is_compared_only_with_the_clauses_that_have_its_verb() -> None:
    reading = read_goal(Goal(("Read the page, pay the bill, and email Bob. Never delete a file.",), GoalSource.FLAG))

    assert reading.by_verb["email"] == (2,)
    assert reading.by_verb["delet"] == (3,)
    assert "zap" not in reading.by_verb
