"""Steps of a task that nobody names: what the shipped policy approves before the run though the goal has no verb for it, and what never."""

from __future__ import annotations

import pytest

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.authority.propose import propose
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool, ToolAnnotations

TEXT: Json = {"type": "string"}


def tool(server: str, name: str, description: str, *, pin: str = "p", **properties: Json) -> Tool:
    schema: dict[str, Json] = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(server, name, description, schema, ToolAnnotations(), pin=pin)


GREENHOUSE = (
    tool("plants", "list_beds", "Lists the beds"),
    tool("plants", "create_watering_plan", "Creates a watering plan for a bed", bed_id=TEXT),
    tool("plants", "label_bed", "Labels a bed", bed_id=TEXT, label=TEXT),
    tool("plants", "delete_bed", "Deletes a bed and its history", bed_id=TEXT),
    tool("plants", "publish_bed_photo", "Publishes a photo of a bed", bed_id=TEXT),
)
CLINIC = (
    tool("clinic", "get_appointment", "Gets an appointment", appointment_id=TEXT),
    tool("clinic", "create_appointment_note", "Creates a note on an appointment", appointment_id=TEXT),
    tool("clinic", "update_patient_diagnosis", "Updates the diagnosis of a patient", patient_id=TEXT),
    tool("clinic", "send_referral", "Sends a referral letter by email", to=TEXT),
)
WAREHOUSE = (
    tool("stock", "create_pallet", "Creates a pallet", row=TEXT),
    tool("stock", "ship_pallet", "Moves a pallet to the dock", pallet_id=TEXT),
    tool("stock", "move_pallet", "Moves a pallet", pallet_id=TEXT),
    tool("stock", "grant_dock_access", "Grants access to the dock", user=TEXT),
)
SCHOOL = (
    tool("school", "school_login", "Logs in to the school", username=TEXT, password=TEXT),
    tool("school", "update_timetable", "Updates the timetable of a class", lesson=TEXT),
    tool("school", "pay_fees", "Pays the fees", amount={"type": "number"}),
)
LIBRARY = (
    tool("library", "add_book_to_shelf", "Adds a book to a shelf", shelf_id=TEXT),
    tool("library", "create_shelf", "Creates a shelf"),
    tool("library", "create_room", "Creates a room"),
    tool("library", "reset_shelf", "Resets a shelf to what it was"),
)
WORKSHOP = (
    tool("workshop", "transfer_to_human_technician", "Hands the customer over to a human technician", summary=TEXT),
    tool("workshop", "cancel_repair", "Cancels a repair", repair_id=TEXT),
    tool("workshop", "refund_repair", "Refunds a repair", repair_id=TEXT),
    tool("workshop", "delete_audit_log", "Deletes the audit log of repairs"),
    tool("workshop", "get_customer", "Gets a customer", customer_id=TEXT),
    tool("workshop", "rotate_api_key", "Changes the API key of the repair shop"),
)
OPERATOR = (
    "You help customers to book or cancel repairs. Always look up the customer. Cancel a repair only when the customer agrees. "
    "Transfer the customer to a human technician if you cannot help. Never refund a repair. Delete the audit log of repairs every day. "
    "Change the API key of the shop when asked."
)


def entries(goal: str, *tools: Tool, operator: str = "") -> dict[str, AuthorityEntry]:
    made = propose(Goal((goal,), GoalSource.FLAG), tools, operator=operator)
    return {entry.tool.partition("/")[2]: entry for entry in made}


def by(goal: str, *tools: Tool, operator: str = "") -> dict[str, str]:
    """Name of every approved tool → the rule."""
    made = entries(goal, *tools, operator=operator)
    return {name: entry.approved_by for name, entry in made.items() if entry.state is EntryState.APPROVED}


def test_a_change_of_moderate_risk_on_what_the_goal_acts_on_is_a_step() -> None:
    inside = by("Set up watering for the tomato bed", *GREENHOUSE)

    assert inside["label_bed"] == "policy:supporting"
    assert inside["create_watering_plan"] in {"policy:supporting", "policy:named"}


@pytest.mark.parametrize(
    ("goal", "tools", "never"),
    [
        ("Rearrange and update the tomato bed", GREENHOUSE, "delete_bed"),
        ("Rearrange and update the tomato bed", GREENHOUSE, "publish_bed_photo"),
        ("Prepare the appointment of the patient and file it", CLINIC, "update_patient_diagnosis"),
        ("Prepare and update the appointment of the patient", CLINIC, "send_referral"),
        ("Put the pallet at the dock and update its row", WAREHOUSE, "grant_dock_access"),
        ("Update the timetable and check the fees", SCHOOL, "pay_fees"),
        ("Label the shelf of the maps", LIBRARY, "reset_shelf"),
    ],
)
def test_paying_rights_deleting_sending_and_undoing_are_never_a_step(
    goal: str, tools: tuple[Tool, ...], never: str
) -> None:
    assert never not in by(goal, *tools)


@pytest.mark.parametrize(
    ("goal", "tools"),
    [
        ("What is in the tomato bed?", GREENHOUSE),
        ("List the beds and show me each bed", GREENHOUSE),
        ("Look up the appointment", CLINIC),
        ("Which pallet stands in row 4? Show it.", WAREHOUSE),
    ],
)
def test_a_goal_that_only_asks_to_see_something_takes_no_step(goal: str, tools: tuple[Tool, ...]) -> None:
    assert "policy:supporting" not in by(goal, *tools).values()


@pytest.mark.parametrize("ban", ["Do not change anything else.", "Never modify a bed.", "Do not create anything."])
def test_who_forbids_changes_gets_no_step(ban: str) -> None:
    assert "policy:supporting" not in by(f"Label the tomato bed. {ban}", *GREENHOUSE).values()


def test_what_makes_the_thing_that_a_named_act_needs_is_a_step_and_what_makes_something_else_is_not() -> None:
    inside = by("Add the atlas to where the maps stand, as a new book", *LIBRARY)

    assert inside.get("create_shelf") == "policy:supporting"
    assert "create_room" not in inside


def test_the_closure_is_transitive_over_schemas() -> None:
    chain = (
        tool("press", "print_poster", "Prints a poster", layout_id=TEXT),
        tool("press", "create_layout", "Creates a layout", palette_id=TEXT),
        tool("press", "create_palette", "Creates a palette"),
        tool("press", "create_invoice_template", "Creates a template"),
        tool("press", "enlarge_poster", "Updates a poster", layout_id=TEXT),
    )
    inside = by("Enlarge and update the poster", *chain)

    assert inside.get("create_layout") == inside.get("create_palette") == "policy:supporting"
    assert "create_invoice_template" not in inside


def test_signing_in_is_a_step_only_where_the_goal_names_an_act_of_that_server() -> None:
    assert by("Update the timetable", *SCHOOL)["school_login"] == "policy:supporting"
    assert "school_login" not in by("Add the book to the shelf", *SCHOOL, *LIBRARY)
    assert "school_login" not in by("Update the timetable. Do not log in.", *SCHOOL)


def test_an_unpinned_tool_is_no_step() -> None:
    loose = [tool("plants", "label_bed", "Labels a bed", pin="", bed_id=TEXT)]
    assert by("Update the tomato bed", *loose) == {}


def test_what_the_operator_names_as_the_agents_work_is_approved_where_the_person_speaks_of_it() -> None:
    inside = by("My repair 17 takes too long", *WORKSHOP, operator=OPERATOR)

    assert inside["cancel_repair"] == "policy:operator"
    assert inside["transfer_to_human_technician"] == "policy:operator"
    assert inside["get_customer"] == "policy:read"
    assert "cancel_repair" not in by("My repair 17 takes too long", *WORKSHOP)
    assert "cancel_repair" not in by("Good morning", *WORKSHOP, operator=OPERATOR)


def test_the_operators_text_opens_nothing_that_always_needs_a_person_no_credential_and_nothing_it_forbids() -> None:
    inside = by("My repair 17 takes too long, what is in the audit log?", *WORKSHOP, operator=OPERATOR)

    assert not {"delete_audit_log", "rotate_api_key", "refund_repair"} & set(inside)


def test_the_persons_ban_outweighs_the_operators_text() -> None:
    assert "cancel_repair" not in by("Do not cancel the repair 17", *WORKSHOP, operator=OPERATOR)


def test_an_operators_text_that_cannot_be_read_whole_opens_nothing() -> None:
    endless = OPERATOR + " And so on." * 4_000
    assert "policy:operator" not in by("My repair 17 takes too long", *WORKSHOP, operator=endless).values()


def test_every_step_says_why() -> None:
    made = entries("Update the tomato bed", *GREENHOUSE)["label_bed"]
    assert made.why == "A step that the goal may take: it acts on “bed”."


def test_a_verb_that_one_tool_alone_has_is_enough_for_a_step_and_not_for_more() -> None:
    music = (
        tool("home", "play_media", "Plays a track on a device", track=TEXT),
        tool("home", "dim_lamp", "Updates the light of a lamp", level=TEXT),
        tool("home", "publish_playlist", "Publishes a playlist", playlist=TEXT),
    )
    assert by("Play some rock by Ann in the kitchen", *music) == {"play_media": "policy:supporting"}
    assert "play_media" not in by(
        "Play some rock by Ann in the kitchen", *music, tool("home", "play_alarm", "Plays an alarm")
    )
    assert "publish_playlist" not in by("Publish what I like", *music)
