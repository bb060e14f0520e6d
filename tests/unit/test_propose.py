"""A goal becomes a map: named acts and the reads they need, nothing else by itself."""

from __future__ import annotations

import pytest

from jittrust.core.authority.map import AuthorityMap, EntryState
from jittrust.core.authority.match import match
from jittrust.core.authority.propose import propose
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.words import VerbClass
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


CAR = (
    tool("car", "startEngine", "This tool belongs to the car. Tool description: Starts the engine."),
    tool("car", "lockDoors", "This tool belongs to the car. Tool description: Locks the doors."),
)
SHOP = (
    tool("shop", "place_order", "Place an order.", symbol=TEXT),
    tool("shop", "cancel_order", "Cancel an order.", order_id=TEXT),
    tool("shop", "shop_login", "Logs in.", username=TEXT, password=TEXT),
)
SHELL = (
    tool("shell", "touch", "A simple shell. Tool description: Create a new file in the folder.", file_name=TEXT),
    tool("shell", "rm", "A simple shell. Tool description: Remove a file.", file_name=TEXT),
    tool("shell", "cd", "A simple shell. Tool description: Change the current folder.", file_name=TEXT),
)


@pytest.mark.parametrize(
    ("goal", "tools", "expected"),
    [
        ("Could you ignite the engine for me?", CAR, {"car/startEngine"}),
        ("Initiate the engine and lock all doors.", CAR, {"car/startEngine", "car/lockDoors"}),
        ("Let's proceed with an order of 50 shares.", SHOP, {"shop/place_order", "shop/shop_login"}),
        ("Proceed by cancelling the order.", SHOP, {"shop/cancel_order", "shop/shop_login"}),
        ("Make a new file called notes.txt", SHELL, {"shell/touch", "shell/cd"}),
        ("Dispatch an email to Bob", MAIL, {"mail/send_email", "mail/search_contacts", "mail/search_messages"}),
    ],
)
def test_an_act_may_be_named_in_other_words(goal: str, tools: tuple[Tool, ...], expected: set[str]) -> None:
    assert approved(goal, *tools) == expected


@pytest.mark.parametrize(
    ("goal", "tools", "never"),
    [
        ("Give me a list of the files", (tool("f", "share_file", "Shares a file"),), "f/share_file"),
        ("Turn on the monitoring", (tool("f", "disable_monitoring", "Disables it"),), "f/disable_monitoring"),
        ("Turn the file into a table", (tool("f", "create_file", "Creates a file"),), "f/create_file"),
        ("Revoke Bob's access to the file", (tool("f", "delete_file", "Deletes a file"),), "f/delete_file"),
        ("Set the time zone of the user", (tool("f", "add_user", "Adds a user"),), "f/add_user"),
        ("Activate the account", (tool("f", "create_account", "Creates an account"),), "f/create_account"),
        ("Create a user", (tool("f", "create_agent", "Creates an agent"),), "f/create_agent"),
        ("Arrange the files by date", (tool("f", "create_file", "Creates a file"),), "f/create_file"),
    ],
)
def test_a_word_that_is_only_near_names_nothing(goal: str, tools: tuple[Tool, ...], never: str) -> None:
    made = propose(Goal((goal,), GoalSource.FLAG), tools)
    assert never not in {one.tool for one in made if one.approved_by == "policy:named"}


def test_signing_in_is_approved_where_something_else_of_its_server_is_named() -> None:
    assert "shop/shop_login" in approved("Log me in and cancel my order 17", *SHOP)
    assert "shop/shop_login" in approved("Cancel my order 17, using username 'dana' and password 'x1'", *SHOP)
    assert "shop/shop_login" in approved("Cancel my order 17", *SHOP)
    assert "shop/shop_login" not in approved("Log me in", *SHOP, *MAIL)
    assert "shop/shop_login" not in approved("Do not log me in. Cancel my order 17", *SHOP)


def test_a_site_stands_for_its_pages_and_a_page_only_for_itself() -> None:
    site = AuthorityMap(propose(Goal(("Read what www.acme.example has to say",), GoalSource.FLAG), FETCH))
    page = AuthorityMap(propose(Goal(("Read http://acme.example/news",), GoalSource.FLAG), FETCH))

    def inside(made: AuthorityMap, url: str) -> bool:
        return match(made, FETCH[0], "tools/call", {"url": url}).inside

    assert inside(site, "https://acme.example/news/today")
    assert not inside(site, "https://acme.example/news?said=secret")
    assert not inside(site, "https://acme.example/#secret")
    assert not inside(site, "https://acme.example.evil.example/")
    assert not inside(site, "https://acme.example@evil.example/")
    assert inside(page, "https://acme.example/news")
    assert not inside(page, "https://acme.example/news/today")


def test_what_is_told_to_people_has_words_and_no_stems() -> None:
    whys = [
        entry.why for entry in propose(Goal(("Save the repositories in summary.txt",), GoalSource.FLAG), MAIL + SHELL)
    ]
    why = next(e.why for e in propose(Goal(("Delete the emails of Ann",), GoalSource.FLAG), MAIL) if "delete" in e.tool)

    assert why == "The goal names it: “delete” with “emails”."
    assert all(one.endswith(".") and one[0].isupper() for one in whys)


@pytest.mark.parametrize(
    ("goal", "acts"),
    [
        ("Read Northwind's mail about the invoice", False),
        ("Look at Anna's order", False),
        ("Let's mail Anna the invoice", True),
        ("Mail Anna the invoice", True),
    ],
)
def test_what_belongs_to_somebody_is_a_noun(goal: str, *, acts: bool) -> None:
    """To read the mail of somebody asks for nothing to be sent."""
    read = read_goal(Goal((goal,), GoalSource.MISSION_START))

    assert (VerbClass.SEND in read.classes) is acts


@pytest.mark.parametrize(
    ("goal", "acts"),
    [
        ("Summarise last week's commits", False),
        ("Summarise commits", False),
        ("Review all commits and tell me who wrote them", False),
        ("Commit the staged work", True),
        ("Look at what changed and commit the staged work", True),
    ],
)
def test_the_object_of_a_verb_is_a_noun_though_it_could_be_a_verb(goal: str, *, acts: bool) -> None:
    read = read_goal(Goal((goal,), GoalSource.MISSION_START))

    assert any(root == "commit" for clause in read.clauses for root, _ in clause.verbs) is acts
