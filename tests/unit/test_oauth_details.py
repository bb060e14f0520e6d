"""What a client may ask for in `authorization_details`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.mission.narrow import map_widenings
from jittrust.core.model import Json
from jittrust.core.oauth.details import SCHEMAS, TYPES, MissionAsked, authority_of, mission_of, read_details
from jittrust.core.oauth.error import OAuthError

CALL: Mapping[str, Json] = {"type": "urn:jittrust:mcp-call", "identifier": "files/read", "actions": ["tools/call"]}
MISSION: Mapping[str, Json] = {"type": "urn:jittrust:mission", "goal": "Read the plan"}
ENTRY = AuthorityEntry("e1", "files/read", resource="docs/.*", state=EntryState.APPROVED, pin="p" * 64)
MAP = AuthorityMap(
    (
        ENTRY,
        AuthorityEntry(
            "e2",
            "mail/send",
            constraints={"properties": {"to": {"const": "a@x"}}},
            uses_left=3,
            state=EntryState.APPROVED,
        ),
        AuthorityEntry("e3", "files/write"),
    ),
    lanes=2,
)


def refusal(said: str | Json) -> str:
    with pytest.raises(OAuthError) as refused:
        read_details(said)
    assert (refused.value.error, refused.value.http_status) == ("invalid_authorization_details", 400)
    return refused.value.code


def test_the_published_schemas_are_schemas_and_name_every_type() -> None:
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
    assert {schema["properties"]["type"]["const"] for schema in SCHEMAS.values()} == set(TYPES)  # type: ignore[call-overload, index]


def test_text_and_parsed_json_are_read_alike() -> None:
    said = [dict(CALL, resource="docs/a", constraints={"maxProperties": 2}, uses=2), dict(MISSION, minutes=5, gas=7)]

    assert read_details(json.dumps(said)) == read_details(said) == tuple(said)
    assert mission_of(read_details(said)) == MissionAsked("Read the plan", 5, 7)
    assert mission_of(read_details([dict(CALL)])) is None
    assert read_details("[]") == ()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("", "details_malformed"),
        ("{}", "details_malformed"),
        ("[1]", "details_malformed"),
        ('[{"type":"urn:jittrust:mission","type":"x","goal":"g"}]', "details_malformed"),
        ('[{"type":"urn:jittrust:mission","goal":"g","gas":NaN}]', "details_malformed"),
        ('[{"type":"urn:jittrust:mission","goal":"g","gas":1e999}]', "details_malformed"),
        ("[" * 20 + "]" * 20, "details_malformed"),
        ([dict(CALL)] * 65, "details_malformed"),
        ([dict(CALL, constraints={"description": "x" * 70_000})], "details_malformed"),
        ([dict(MISSION, goal="\ud800")], "details_malformed"),
        ([dict(MISSION, gas=float("nan"))], "details_malformed"),
        ([{}], "details_type"),
        ([{"type": 5}], "details_type"),
        ([{"type": ["urn:jittrust:mission"]}], "details_type"),
        ([{"type": "urn:jittrust:other"}], "details_type"),
        ([dict(MISSION), dict(MISSION)], "details_twice"),
        ([dict(MISSION, gas=-1)], "details_member"),
        ([dict(MISSION, gas=2**53 + 1)], "details_member"),
        ([dict(MISSION, gas=5.0)], "details_member"),
        ([dict(MISSION, gas=True)], "details_member"),
        ([dict(MISSION, gas="5")], "details_member"),
        ([dict(MISSION, minutes=1441)], "details_member"),
        ([dict(MISSION, lanes=0)], "details_member"),
        ([dict(MISSION, goal="")], "details_member"),
        ([dict(MISSION, goal=" \n ")], "details_member"),
        ([dict(MISSION, goal="a\x1b[2Jb")], "details_member"),
        ([dict(MISSION, goal="x" * 4_001)], "details_member"),
        ([dict(MISSION, goals=["x"])], "details_member"),
        ([{"type": "urn:jittrust:mission"}], "details_member"),
        ([dict(CALL, identifier="read")], "details_member"),
        ([dict(CALL, identifier="files/read\n")], "details_member"),
        ([dict(CALL, identifier=["files/read"])], "details_member"),
        ([dict(CALL, actions=[])], "details_member"),
        ([dict(CALL, actions=["*"])], "details_member"),
        ([dict(CALL, actions=["tools/call", "tools/call"])], "details_member"),
        ([dict(CALL, uses=0)], "details_member"),
        ([dict(CALL, locations=["https://x.example"])], "details_member"),
        ([dict(CALL, constraints={"$ref": "#"})], "details_member"),
        ([dict(CALL, constraints={"properties": {"a": {"$ref": "http://x.example"}}})], "details_member"),
    ],
)
def test_what_is_not_exactly_right_is_refused_with_its_code(said: str | Json, code: str) -> None:
    assert refusal(said) == code


def asked(**more: Json) -> AuthorityMap | None:
    return authority_of(read_details([dict(CALL, **more)]), MAP)


def test_what_is_left_out_is_as_the_map_has_it() -> None:
    made = asked()

    assert made is not None
    assert made.approved == (replace(ENTRY, id="e-0"),)
    assert map_widenings(MAP, made) == ()


def test_no_call_entries_mean_whatever_the_mission_may() -> None:
    assert authority_of((MISSION,), MAP) is None


def test_a_literal_inside_the_pattern_more_constraints_and_fewer_uses_narrow() -> None:
    made = asked(resource="docs/plan", constraints={"maxProperties": 1}, uses=2)
    mail = authority_of(
        read_details([dict(CALL, identifier="mail/send", constraints={"required": ["body"]}, uses=1)]), MAP
    )

    assert made is not None
    assert (made.entries[0].resource, made.entries[0].uses_left) == ("docs/plan", 2)
    assert mail is not None
    assert mail.entries[0].constraints["allOf"] == [MAP.entries[1].constraints, {"required": ["body"]}]


@pytest.mark.parametrize(
    "item",
    [
        dict(CALL, resource="secrets/plan"),
        dict(CALL, resource=".*"),
        dict(CALL, resource="docs/../secrets"),
        dict(CALL, identifier="files/write"),
        dict(CALL, identifier="FILES/read"),
        dict(CALL, identifier="files/\uff52ead"),
        dict(CALL, identifier="files/*"),
        dict(CALL, actions=["resources/read"]),
        dict(CALL, actions=["tools/call", "prompts/get"]),
        dict(CALL, identifier="mail/send", uses=4),
    ],
)
def test_nothing_that_is_not_provably_inside_the_map_is_given(item: dict[str, Json]) -> None:
    with pytest.raises(OAuthError) as refused:
        authority_of(read_details([item]), MAP)

    assert (refused.value.error, refused.value.code) == ("invalid_authorization_details", "not_narrower")


def test_uses_of_several_entries_for_one_of_the_map_are_added_up() -> None:
    mail = dict(CALL, identifier="mail/send", uses=2)

    with pytest.raises(OAuthError, match="widens_uses"):
        authority_of(read_details([mail, mail]), MAP)


def test_a_broken_pattern_or_constraint_is_named() -> None:
    with pytest.raises(OAuthError) as pattern:
        asked(resource="docs/(")
    with pytest.raises(OAuthError) as constraint:
        asked(constraints={"type": 5})

    assert (pattern.value.code, constraint.value.code) == ("bad_resource_pattern", "bad_constraint")
