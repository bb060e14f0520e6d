"""The class of a tool never seen: learned words, own rules that only raise, and unknown that stays unknown."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from jittrust.adapters.files.models import shipped_access
from jittrust.broker.definitions import tool_of
from jittrust.core.authority.pin import PinState, ToolPin
from jittrust.core.errors import BadInputError
from jittrust.core.intent.access import (
    HARMLESS,
    LEARNED,
    NO_ACCESS_MODEL,
    AccessClass,
    access_model_of,
    access_of,
    chances,
    features,
)
from jittrust.core.intent.reading import classify
from jittrust.core.model import Json, Tool, ToolAnnotations
from jittrust.core.units import Instant

TEXT: Json = {"type": "string"}
MODEL = shipped_access()


def tool(name: str, description: str = "", **properties: Json) -> Tool:
    return Tool("s", name, description, {"type": "object", "properties": properties}, pin="p")


def kind(name: str, description: str = "", **properties: Json) -> AccessClass:
    return access_of(tool(name, description, **properties), MODEL).kind


@pytest.mark.parametrize(
    ("name", "description", "expected"),
    [
        ("ListTurbines", "Returns all turbines", AccessClass.LIST),
        ("describe_greenhouse", "Describes a greenhouse", AccessClass.READ),
        ("searchManuscripts", "Searches the manuscripts", AccessClass.READ),
        ("deregister_sensor", "Deregisters a sensor", AccessClass.DELETE),
        ("terminate_charter", "Terminates a charter", AccessClass.DELETE),
        ("tag_specimen", "Adds tags to a specimen", AccessClass.TAG),
        ("associate_reagent", "Associates a reagent with a batch", AccessClass.WRITE),
        ("provision_kiln", "Provisions a kiln", AccessClass.WRITE),
    ],
)
def test_words_seen_elsewhere_give_the_class_in_unlike_domains(
    name: str, description: str, expected: AccessClass
) -> None:
    found = kind(name, description)
    assert found is expected or {found, expected} <= HARMLESS


@pytest.mark.parametrize(
    "name",
    ["fillFuelTank", "lockDoors", "irrigate_field", "administer_dose", "defrostWindshield", "detonate", "zorp_items", "eject_drive", "dim_lights",
     "describe_and_wipe", "get_and_frobnicate", "evacuate_building", "unplug_pump", "sterilise_tray"],
)  # fmt: skip
def test_what_acts_on_the_world_or_is_no_word_is_never_a_read(name: str) -> None:
    assert kind(name) not in HARMLESS


def test_a_noun_makes_no_read_of_a_verb_never_seen() -> None:
    assert kind("frobnicate_details_summary_list_status", "Frobnicates the details of a list") is AccessClass.UNKNOWN


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (tool("describe_password"), AccessClass.CREDENTIAL),
        (tool("associate_role", "Associates a role"), AccessClass.PERMISSION),
        (
            tool("settle_tab", "Settles a tab", amount={"type": "number"}, account=TEXT),
            AccessClass.PAY,
        ),
        (tool("blast_news", "Blasts news", email=TEXT, body=TEXT), AccessClass.COMMUNICATE),
        (tool("describe_shelf", "Describes a shelf", command=TEXT), AccessClass.EXECUTE),
    ],
)
def test_rights_secrets_money_messages_and_commands_have_rules_of_their_own(made: Tool, expected: AccessClass) -> None:
    assert access_of(made, MODEL).kind is expected


def test_a_read_of_money_or_rights_stays_a_read() -> None:
    assert kind("describe_payment", "Describes a payment") in HARMLESS
    assert kind("list_roles", "Lists the roles") in HARMLESS


def test_without_a_model_everything_is_unknown() -> None:
    assert access_of(tool("list_things"), NO_ACCESS_MODEL).kind is AccessClass.UNKNOWN


def test_the_model_is_asked_only_where_the_word_tables_know_nothing() -> None:
    known = Tool("s", "delete_row", "Deletes a row", access="read", pin="p")
    assert classify(known, {}).intent == "D.delete"

    unknown = Tool("s", "xyzzy", "", access="read", pin="p")
    assert classify(unknown, {}).intent == "K.read"
    assert not classify(unknown, {}).consequential
    assert classify(Tool("s", "xyzzy", "", pin="p"), {}).consequential


def test_annotations_raise_what_the_model_says_and_lower_it_only_for_a_pinned_plain_tool() -> None:
    def read(access: str, pin: str = "p", **hints: bool) -> bool:
        return classify(Tool("s", "xyzzy", "", {}, ToolAnnotations(**hints), "", pin, access), {}).consequential

    assert read("read", destructive=True)
    assert read("read", read_only=False)
    assert not read("write", read_only=True)
    assert read("write", pin="", read_only=True)
    assert read("write", read_only=True, destructive=True)
    for access in ("delete", "pay", "permission", "credential", "execute", "communicate"):
        assert read(access, read_only=True)


def test_the_class_is_given_once_when_a_definition_is_read() -> None:
    shown = json.dumps(
        {"name": "deregister_xyzzy", "description": "Deregisters one", "inputSchema": {"type": "object"}}
    )
    pin = ToolPin("s", "deregister_xyzzy", "h", "h", PinState.PINNED, shown, Instant(0))

    assert tool_of(pin, MODEL).access == "delete"
    assert tool_of(pin).access == ""


def test_chances_are_probabilities() -> None:
    odds = chances(features("describe_thing", "Describes"), MODEL)
    assert len(odds) == len(LEARNED)
    assert sum(odds) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"version": "1", "classes": ["read"], "bias": [], "limits": {}, "weights": {}},
        {"version": "1", "classes": [str(k) for k in LEARNED], "bias": [0] * 5, "limits": {}, "weights": {}},
        {"version": "1", "classes": [str(k) for k in LEARNED], "bias": [0] * 6, "limits": {"pay": 1}, "weights": {}},
        {"version": "1", "classes": [str(k) for k in LEARNED], "bias": [0] * 6, "limits": {}, "weights": {"n:a": [0] * 5 + [float("nan")]}},
    ],
)  # fmt: skip
def test_bad_weights_are_refused(raw: Json) -> None:
    with pytest.raises(BadInputError):
        access_model_of(raw)


def test_the_weights_are_small_and_no_read_is_said_below_nine_tenths() -> None:
    assert len((files("jittrust") / "models" / "access.json").read_bytes()) <= 300_000
    assert all(MODEL.limits[one] >= 0.9 for one in HARMLESS)
    assert MODEL.version
