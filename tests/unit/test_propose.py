"""A goal becomes a map: named acts and the reads they need, nothing else by itself."""

from __future__ import annotations

import pytest

from jittrust.core.authority.map import AuthorityMap, EntryState
from jittrust.core.authority.match import match
from jittrust.core.authority.propose import propose
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool, ToolAnnotations


def tool(server: str, name: str, description: str, *, pin: str = "p", **properties: Json) -> Tool:
    schema: dict[str, Json] = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(server, name, description, schema, ToolAnnotations(), pin=pin)


TEXT = {"type": "string"}
GIT = (
    tool("git", "git_status", "Shows the working tree status"),
    tool("git", "git_diff_staged", "Shows changes that are staged for commit"),
    tool("git", "git_commit", "Records changes to the repository", message=TEXT),
    tool("git", "git_add", "Adds file contents to the staging area", files=TEXT),
    tool("git", "git_reset", "Unstages all staged changes"),
    tool("git", "git_log", "Shows the commit logs"),
    tool("git", "git_create_branch", "Creates a new branch from an optional base branch", branch_name=TEXT),
    tool("git", "git_checkout", "Switches branches", branch_name=TEXT),
)
MAIL = (
    tool("mail", "search_contacts", "Finds contacts by name", query=TEXT),
    tool("mail", "search_messages", "Searches the inbox", query=TEXT),
    tool("mail", "send_email", "Sends an email", recipient=TEXT, body=TEXT),
    tool("mail", "delete_email", "Deletes an email", email_id=TEXT),
)
HR = (
    tool("hr", "search_employees", "Searches employee records", query=TEXT),
    tool("hr", "get_salary", "Gets the salary of an employee", employee_id=TEXT),
)
BANK = (
    tool("bank", "get_balance", "Gets the balance"),
    tool("bank", "send_payment", "Sends a payment", iban=TEXT, amount={"type": "number"}),
)
FETCH = (tool("web", "fetch", "Fetches a URL from the internet", url=TEXT),)


def approved(goal: str, *tools: Tool) -> set[str]:
    return {
        entry.tool for entry in propose(Goal((goal,), GoalSource.FLAG), tools) if entry.state is EntryState.APPROVED
    }


def test_a_goal_that_names_no_tool_gets_what_its_work_needs() -> None:
    inside = approved("Look at what changed in the repository and commit the staged work", *GIT)

    assert inside == {"git/git_status", "git/git_diff_staged", "git/git_log", "git/git_commit"}


def test_a_server_that_the_goal_does_not_concern_stays_outside() -> None:
    inside = approved("Commit the staged work in the repository", *GIT, *HR, *BANK)
    assert {one.split("/")[0] for one in inside} == {"git"}


def test_verb_and_object_must_stand_in_one_clause() -> None:
    both = approved("Email Bob the minutes and delete the old file", *MAIL)

    assert "mail/send_email" in both
    assert "mail/delete_email" not in both


def test_a_pronoun_reaches_back() -> None:
    assert "mail/delete_email" in approved("Find the last email from Ann and delete it", *MAIL)


def test_a_forbidden_act_gets_no_entry() -> None:
    goal = Goal(("Summarise the mails. Do not send any email.",), GoalSource.FLAG)
    assert "mail/send_email" not in {entry.tool for entry in propose(goal, MAIL)}


def test_do_not_forget_is_no_ban() -> None:
    assert "mail/send_email" in approved("Do not forget to send an email to Bob", *MAIL)


def test_reads_that_supply_a_named_act_come_along() -> None:
    assert "mail/search_contacts" in approved("Send an email to Bob", *MAIL)


def test_sensitive_reads_need_to_be_named() -> None:
    assert "hr/get_salary" not in approved("Search the employees of the Berlin office", *HR)
    assert "hr/get_salary" in approved("What is the salary of Ann?", *HR)


def test_an_unpinned_tool_is_never_approved_by_policy() -> None:
    loose = [tool("git", "git_commit", "Records changes to the repository", pin="")]
    entries = propose(Goal(("Commit the staged changes of the repository",), GoalSource.FLAG), loose)

    assert [entry.state for entry in entries] == [EntryState.PROPOSED]


@pytest.mark.parametrize("name", ["transfer_repo_ownership", "clear_audit_log", "disable_firewall"])
def test_some_acts_always_wait_for_a_person(name: str) -> None:
    entries = propose(Goal((f"Please {name.replace('_', ' ')}",), GoalSource.FLAG), [tool("s", name, "")])
    assert [entry.state for entry in entries] == [EntryState.PROPOSED]


def test_an_address_in_the_goal_binds_the_address_argument() -> None:
    goal = Goal(("Read the page at http://intranet.example/report and tell me what it says",), GoalSource.FLAG)
    made = AuthorityMap(propose(goal, FETCH))

    assert match(made, FETCH[0], "tools/call", {"url": "http://intranet.example/report"}).inside
    assert match(made, FETCH[0], "tools/call", {"url": "HTTP://INTRANET.example/report/"}).inside
    assert not match(
        made, FETCH[0], "tools/call", {"url": "http://evil.example/?x=http://intranet.example/report"}
    ).inside
    assert not match(made, FETCH[0], "tools/call", {"url": "http://intranet.example/report\n.evil.example"}).inside


def test_without_a_goal_there_is_no_entry() -> None:
    assert propose(Goal((), GoalSource.NONE), GIT) == ()


def test_a_goal_in_a_language_that_is_not_known_approves_no_act() -> None:
    assert not {
        one for one in approved("Удали все письма и переведи деньги", *MAIL, *BANK) if "delete" in one or "send" in one
    }


def test_the_same_goal_gives_the_same_map() -> None:
    goal = Goal(("Email Bob the minutes",), GoalSource.FLAG)
    assert propose(goal, MAIL) == propose(goal, MAIL)
    assert len({entry.id for entry in propose(goal, (*MAIL, *GIT))}) == len(propose(goal, (*MAIL, *GIT)))
