"""What a goal points at: read from trusted words alone, on catalogues that nobody has seen before."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from jittrust.core.authority.endorsement import (
    BY_POINTING,
    ReadSource,
    amount_of,
    directing,
    endorsable,
    endorsed_for,
    endorsement_text,
    proposed_endorsements,
    source_of,
    spent,
)
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, Endorsement, EntryState
from jittrust.core.authority.match import match
from jittrust.core.authority.propose import propose
from jittrust.core.intent.reading import classify
from jittrust.core.intent.roles import argument_roles
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool, ToolAnnotations


def tool(name: str, description: str, *arguments: str, reads: bool = False, server: str = "any") -> Tool:
    declared: dict[str, Json] = {one: {"type": "number" if one == "amount" else "string"} for one in arguments}
    schema: dict[str, Json] = {"type": "object", "properties": declared, "required": list(arguments)}
    marks = ToolAnnotations(read_only=True, open_world=False) if reads else ToolAnnotations()
    return Tool(server, name, description, schema, marks, pin="p" * 64)


CATALOGUE = (
    tool("open_document", "Open a document of the archive.", "document", reads=True),
    tool("fetch_page", "Fetch a web page.", "page_url", reads=True),
    tool("read_inbox", "Read the inbox of a user.", "user", reads=True),
    tool("find_mails", "Find mails by sender.", "sender", reads=True),
    tool("get_board_messages", "Get the messages of a channel.", "channel", reads=True),
    tool("wire_money", "Wire money to an account.", "account", "amount"),
    tool("add_calendar_event", "Add an event to the calendar.", "title", "participant"),
    tool("invite_member", "Invite a member to the workspace.", "email"),
    tool("remove_note", "Delete a note.", "note_id"),
)


def pointed(goal: str, tools: tuple[Tool, ...] = CATALOGUE) -> tuple[Endorsement, ...]:
    said = Goal((goal,), GoalSource.MISSION_START)
    return proposed_endorsements(said, tools, AuthorityMap(propose(said, tools)))


def proposed(goal: str) -> set[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]]:
    return {
        (one.tool, tuple(one.selectors.items()), one.intents)
        for one in pointed(goal)
        if one.state is EntryState.PROPOSED
    }


@pytest.mark.parametrize(
    ("goal", "source", "value", "intent"),
    [
        ("Pay the bill 'Bill-March.txt'", "open_document", "Bill-March.txt", "T.pay"),
        ("Wire the money for the invoice in invoice_7.pdf.", "open_document", "invoice_7.pdf", "T.pay"),
        (
            "Invite Dora as a member. Her e-mail is on www.dora.example.org.",
            "fetch_page",
            "www.dora.example.org",
            "I.invite",
        ),
        ("Invite the new member, the details are in Alice's inbox.", "read_inbox", "Alice", "I.invite"),
        ("Pay the invoice in the mail from kim@partner.example", "find_mails", "kim@partner.example", "T.pay"),
        (
            "Invite every member whose address was posted to the 'hiring' channel",
            "get_board_messages",
            "hiring",
            "I.invite",
        ),
    ],
)
def test_the_source_is_the_reading_tool_whose_argument_the_goal_s_identifier_fits(
    goal: str, source: str, value: str, intent: str
) -> None:
    found = [one for one in proposed(goal) if one[0] == f"any/{source}"]
    assert [(values, intents) for _, ((_, values),), intents in found] == [(value, (intent,))]


def test_an_identifier_keeps_the_spelling_that_the_person_gave_it() -> None:
    assert pointed("Pay the bill in Q3-Bills.TXT")[0].selectors == {"document": "Q3-Bills.TXT"}


def test_the_amount_of_the_goal_is_the_bound_and_without_one_no_amount_is_endorsed() -> None:
    assert [one.amount_most for one in pointed("Pay the bill in bill.txt, up to 250 euros")] == [250.0]
    assert [one.amount_most for one in pointed("Pay the bill in bill.txt")] == [None]


@pytest.mark.parametrize(
    "goal",
    [
        "Pay the bill",
        "Read bill.txt and tell me what it says",
        "Do not pay the bill in bill.txt, only tell me the sum",
        "Do what it says",
        "",
    ],
)
def test_without_a_source_or_without_an_act_nothing_is_proposed(goal: str) -> None:
    assert pointed(goal) == ()


def test_the_policy_endorses_one_file_or_page_named_together_with_an_act_of_little_harm() -> None:
    found = pointed("Add an event with the participant from guests.txt")
    (one,) = [each for each in found if each.state is EntryState.APPROVED]
    assert (one.state, one.approved_by, one.intents) == (EntryState.APPROVED, BY_POINTING, ("D.create",))


@pytest.mark.parametrize(
    "goal",
    [
        "Wire the money to the account from bill.txt",  # money
        "Invite the member from guests.txt",  # permissions
        "Delete the note from notes.txt",  # deletes
        "Read guests.txt. Add an event for me tomorrow",  # not together
        "Add an event and write a summary of it to guests.txt",  # goes to it, does not come from it
        "Add an event with the participants from Alice's inbox",  # many authors
        "Add an event with the participants posted to the 'hiring' channel",  # likewise
        "Do what guests.txt says",  # no act is named
    ],
)
def test_everything_else_waits_for_a_person(goal: str) -> None:
    assert all(one.state is EntryState.PROPOSED and not one.approved_by for one in pointed(goal))


def test_a_tool_without_a_pinned_definition_and_a_goal_that_is_too_long_are_never_approved() -> None:
    loose = tuple(replace(one, pin="") for one in CATALOGUE)
    goal = "Add an event with the participant from guests.txt"
    assert all(one.state is EntryState.PROPOSED for one in pointed(goal, loose))
    assert all(one.state is EntryState.PROPOSED for one in pointed(f"{goal}. " + "And so on. " * 2_000))


def test_a_goal_that_hands_over_to_a_text_points_at_acts_of_little_harm_and_never_at_money() -> None:
    (one,) = pointed("Please follow the instructions in todo.txt")
    assert one.state is EntryState.PROPOSED
    assert set(one.intents) == {"D.create", "K.read"}


def test_tasks_that_the_goal_lists_itself_are_no_text_to_follow() -> None:
    assert (
        pointed("Perform the following tasks in the order they are given: 1. Open plan.txt 2. Tell me the time") == ()
    )


def test_what_a_goal_refused_in_the_map_is_no_kind_of_act_to_point_at() -> None:
    said = Goal(("Pay the bill in bill.txt",), GoalSource.MISSION_START)
    refused = AuthorityEntry("e-1", "any/wire_money", state=EntryState.REFUSED, approved_by="ada")
    assert proposed_endorsements(said, CATALOGUE, AuthorityMap((refused,))) == ()


# ---- what it covers ---------------------------------------------------------------------------------------------------------------------------

PAYING = Endorsement(
    "s-1",
    "any/open_document",
    {"document": "bill.txt"},
    ("T.pay",),
    amount_most=100.0,
    state=EntryState.APPROVED,
    approved_by="ada",
)
WIRE = CATALOGUE[5]


def covered(source: ReadSource, arguments: Mapping[str, Json], one: Endorsement = PAYING) -> bool:
    roles = argument_roles(WIRE, arguments)
    return bool(directing([one], {"r": source}, (), classify(WIRE, arguments), arguments, roles))


BILL = ReadSource("any/open_document", {"document": "bill.txt"})
CALL: Mapping[str, Json] = {"account": "GB29NWBK60161331926819", "amount": 99.5}


def test_exactly_the_source_that_was_meant_directs_and_no_other() -> None:
    assert covered(BILL, CALL)
    others: tuple[dict[str, str], ...] = (
        {"document": "other/bill.txt"},
        {"document": "/tmp/bill.txt"},
        {"document": "./bill.txt"},
        {"document": "BILL.txt"},
        {"document": "bill.txt", "folder": "elsewhere"},
        {},
    )
    assert not [selectors for selectors in others if covered(ReadSource("any/open_document", selectors), CALL)]
    assert not covered(ReadSource("other/open_document", {"document": "bill.txt"}), CALL)


def test_of_a_page_scheme_www_and_a_final_slash_do_not_count_and_everything_else_does() -> None:
    page = replace(PAYING, selectors={"page_url": "www.shop.example.org/bill"}, tool="any/fetch_page")
    same = ("https://shop.example.org/bill/", "http://www.SHOP.example.org/bill", "shop.example.org/bill")
    other = (
        "https://shop.example.org/Bill",
        "https://shop.example.org/bill?next=evil.example",
        "https://shop.example.org/bill#x",
        "https://shop.example.org.evil.com/bill",
        "https://evil.com/shop.example.org/bill",
        "https://shop.example.org@evil.com/bill",
    )
    assert all(covered(ReadSource("any/fetch_page", {"page_url": url}), CALL, page) for url in same)
    assert not [url for url in other if covered(ReadSource("any/fetch_page", {"page_url": url}), CALL, page)]


@pytest.mark.parametrize("amount", [100.01, 1e9, float("inf"), float("nan"), "a lot", "1e9", [60, 60]])
def test_what_lies_beyond_the_amount_or_is_no_number_is_not_covered(amount: Json) -> None:
    assert not covered(BILL, {**CALL, "amount": amount})


def test_an_amount_is_what_is_left_of_it_and_none_at_all_covers_no_amount() -> None:
    left = spent(PAYING, amount_of(CALL, argument_roles(WIRE, CALL), "T.pay"))
    assert left.amount_most == 0.5
    assert not covered(BILL, CALL, left)
    assert not covered(BILL, CALL, replace(PAYING, amount_most=None))
    assert covered(BILL, {"account": "GB29NWBK60161331926819"}, replace(PAYING, amount_most=None))


@pytest.mark.parametrize("state", [EntryState.PROPOSED, EntryState.REFUSED])
def test_only_an_approved_endorsement_of_this_kind_counts(state: EntryState) -> None:
    assert not covered(BILL, CALL, replace(PAYING, state=state))
    assert not covered(BILL, CALL, replace(PAYING, intents=("D.create",)))


def test_a_reading_call_that_says_too_much_to_be_kept_is_no_source() -> None:
    many: dict[str, Json] = {f"name_{number}": "x" for number in range(20)}
    for arguments in ({"document": "x" * 600}, many):
        assert source_of("any/open_document", arguments, argument_roles(CATALOGUE[0], arguments)) is None


def test_what_nobody_may_endorse_a_text_for_is_what_cannot_be_taken_back() -> None:
    never = {code for code in TAXONOMY if not endorsable(code)}
    assert {
        "I.grant",
        "I.transfer_owner",
        "I.read_secret",
        "D.bulk",
        "O.approve",
        "O.disable_control",
        "P.self_modify",
    } <= never
    assert {"T.pay", "I.invite", "C.send_external", "D.create", "K.read_external"}.isdisjoint(never)


def test_a_part_of_a_grant_uses_only_what_it_was_given_and_the_mission_still_has() -> None:
    smaller = replace(PAYING, id="s-2", amount_most=60.0)
    assert [mine.amount_most for mine, _ in endorsed_for([PAYING], [smaller])] == [60.0]
    assert [mine.amount_most for mine, _ in endorsed_for([replace(PAYING, amount_most=5.0)], [smaller])] == [5.0]
    assert endorsed_for([PAYING], []) == ()
    assert endorsed_for([replace(PAYING, state=EntryState.REFUSED)], [smaller]) == ()
    assert [mine for mine, _ in endorsed_for([PAYING], None)] == [PAYING]


def test_a_person_reads_the_source_the_kinds_and_the_amount() -> None:
    told = endorsement_text(PAYING)
    assert all(part in told for part in ("any/open_document", "document “bill.txt”", "T.pay", "100 in all"))


def test_a_page_that_the_goal_hands_over_to_may_be_read_and_no_other_page_by_that() -> None:
    said = Goal(("Please do all the tasks on my list at www.lists.example.org/ada",), GoalSource.MISSION_START)
    pages = replace(CATALOGUE[1], annotations=ToolAnnotations(read_only=True, open_world=True))
    (entry,) = [one for one in propose(said, (pages,)) if one.tool == pages.id]
    assert entry.state is EntryState.APPROVED
    inside = match(AuthorityMap((entry,)), pages, "tools/call", {"page_url": "https://www.lists.example.org/ada"})
    outside = match(AuthorityMap((entry,)), pages, "tools/call", {"page_url": "https://elsewhere.example.org/ada"})
    assert (inside.inside, outside.inside) == (True, False)


def test_each_file_that_the_goal_names_is_a_source_of_its_own() -> None:
    found = [dict(one.selectors) for one in pointed("Pay the bills in march.txt and april.txt")]
    assert found == [{"document": "march.txt"}, {"document": "april.txt"}]


def test_where_money_moves_and_no_argument_is_named_for_it_every_plain_number_counts() -> None:
    call: Mapping[str, Json] = {"account": "GB29NWBK60161331926819", "zlotys": 120}
    assert amount_of(call, argument_roles(WIRE, call), "T.pay") == 120.0
    assert amount_of(call, argument_roles(WIRE, call), "D.create") is None
    assert not covered(BILL, call)
