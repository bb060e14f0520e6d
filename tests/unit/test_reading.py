"""What a call would do is read from its words; a doubt is a danger."""

from __future__ import annotations

import pytest

from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.reading import Effect, classify
from jittrust.core.intent.roles import argument_roles
from jittrust.core.model import Json, Tool, ToolAnnotations


def tool(
    name: str, description: str = "", *, pin: str = "p", hints: ToolAnnotations | None = None, **properties: Json
) -> Tool:
    schema: dict[str, Json] = {"type": "object", "properties": properties}
    return Tool("s", name, description, schema, hints or ToolAnnotations(), pin=pin)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("list_directory", "K.list"),
        ("read_file", "K.read"),
        ("getUserProfile", "K.read"),
        ("get_sent_emails", "K.read"),
        ("get_salary", "K.read_sensitive"),
        ("fetch_webpage", "K.read_external"),
        ("get_secret", "I.read_secret"),
        ("print_env", "I.read_secret"),
        ("create_entities", "K.memory_write"),
        ("create_file", "D.create"),
        ("edit_file", "D.update"),
        ("delete_file", "D.delete"),
        ("delete_all_files", "D.bulk"),
        ("star_repository", "D.tag"),
        ("send_email", "C.send_external"),
        ("send_direct_message", "C.send_internal"),
        ("post_webpage", "C.publish"),
        ("send_money", "T.pay"),
        ("transfer_funds", "T.pay"),
        ("schedule_payment", "T.schedule_recurring"),
        ("reserve_table", "T.order"),
        ("login", "I.login"),
        ("share_document", "I.grant"),
        ("add_user_to_group", "I.invite"),
        ("remove_user", "I.revoke"),
        ("update_password", "I.change_credential"),
        ("add_ssh_key", "I.change_credential"),
        ("transfer_repo_ownership", "I.transfer_owner"),
        ("execute_command", "X.run_code"),
        ("install_package", "X.install"),
        ("update_settings", "X.config_change"),
        ("create_cron_job", "X.persist"),
        ("transfer_to_human_agents", "A.delegate"),
        ("disable_audit_logging", "O.disable_control"),
        ("clear_audit_log", "O.delete_evidence"),
        ("get_and_delete_message", "D.delete"),
    ],
)
def test_the_verb_and_its_object_give_the_code(name: str, code: str) -> None:
    assert classify(tool(name), {}).intent == code


def test_what_nobody_can_read_is_consequential_and_open() -> None:
    reading = classify(tool("frobnicate", "Frobs."), {})

    assert reading.consequential
    assert reading.open_world
    assert reading.confidence < 0.5


def test_read_only_is_believed_only_of_a_pinned_tool_that_nothing_contradicts() -> None:
    hint = ToolAnnotations(read_only=True)

    assert not classify(tool("frobnicate", hints=hint), {}).consequential
    assert classify(tool("frobnicate", hints=hint, pin=""), {}).consequential
    assert classify(tool("delete_file", hints=hint), {}).consequential
    assert classify(tool("frobnicate", "Sends the file to a server.", hints=hint), {}).consequential


def test_a_hint_can_raise_the_danger_of_a_tool_that_says_it_reads() -> None:
    assert classify(tool("get_thing", hints=ToolAnnotations(read_only=False)), {}).consequential
    assert classify(tool("get_thing", hints=ToolAnnotations(destructive=True)), {}).consequential
    assert classify(tool("get_thing", hints=ToolAnnotations(open_world=True)), {}).open_world


def test_a_hint_never_lowers_an_act() -> None:
    calm = ToolAnnotations(read_only=True, destructive=False, open_world=False)

    assert classify(tool("send_email", hints=calm), {}).open_world
    assert classify(tool("pay_invoice", hints=calm), {}).consequential


def test_a_description_that_acts_outweighs_a_name_that_reads() -> None:
    assert classify(tool("get_report", "Deletes the report after reading."), {}).intent == "D.delete"
    assert classify(tool("get_report", "Gets the report. It will also send a copy to the auditor."), {}).consequential


def test_a_value_that_names_a_secret_place_makes_a_read_a_secret_read() -> None:
    assert (
        classify(tool("read_file", path={"type": "string"}), {"path": "/home/u/.ssh/id_rsa"}).intent == "I.read_secret"
    )


def test_text_that_others_wrote_is_marked_as_documents() -> None:
    assert classify(tool("read_file"), {}).documents
    assert classify(tool("get_webpage"), {}).documents
    assert not classify(tool("search_files"), {}).documents


def test_a_side_effect_on_people_is_seen() -> None:
    reading = classify(tool("create_event", "Creates an event. It will also email the participants."), {})
    assert Effect.NOTIFIES in reading.effects


def test_roles_follow_the_name_then_the_format_then_the_shape() -> None:
    declared = tool(
        "send", to={"type": "string"}, body={"type": "string"}, user_id={"type": "string"}, amount={"type": "number"}, limit={"type": "integer"},
        api_key={"type": "string"}, where={"type": "string", "format": "uri"}, thing={"type": "string"}, mode={"enum": ["a", "b"]},
    )  # fmt: skip
    arguments: dict[str, Json] = {
        "to": ["a@example.com"], "body": "hi", "user_id": "u1", "amount": 5, "limit": 3, "api_key": "k", "where": "x", "thing": "b@example.com",
        "mode": "a", "flag": True,
    }  # fmt: skip

    assert argument_roles(declared, arguments) == {
        "/to/0": ArgumentRole.TARGET,
        "/body": ArgumentRole.CONTENT,
        "/user_id": ArgumentRole.SELECTOR,
        "/amount": ArgumentRole.AMOUNT,
        "/limit": ArgumentRole.CONTROL,
        "/api_key": ArgumentRole.CREDENTIAL,
        "/where": ArgumentRole.TARGET,
        "/thing": ArgumentRole.TARGET,
        "/mode": ArgumentRole.CONTROL,
        "/flag": ArgumentRole.CONTROL,
    }


@pytest.mark.parametrize(
    ("name", "description", "intent"),
    [
        ("gallon_to_liter", "", "K.read"),
        ("wc", "", "K.read"),
        ("message_login", "", "I.login"),
        ("xyz", "A tool for disks. Returns the status.", "D.update"),
        ("xyz", "A tool for numbers. Tool description: Calculates the mean.", "K.read"),
        ("xyz", "A tool for numbers. Shows the sum. Deletes the table.", "D.delete"),
        ("list_allowed_folders", "", "K.list"),
        ("simulate_long_query", "", "D.update"),
        ("place_order", "", "T.order"),
    ],
)
def test_the_act_is_found_in_the_name_or_else_in_a_sentence_of_the_description(
    name: str, description: str, intent: str
) -> None:
    assert classify(tool(name, description), {}).intent == intent
