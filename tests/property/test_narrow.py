"""A child may do no more than its parent: the check against a model that tries out every call."""

import math
import re
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing.exceptions import Unresolvable

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.errors import RefusedError
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.narrow import (
    constraints_inside,
    grant_widenings,
    literal_of,
    map_widenings,
    pattern_inside,
    require_narrower,
)
from jittrust.core.model import Json
from jittrust.core.units import Gas, Instant

# ---- the model: an entry is the set of calls it lets through -------------------------------------------------------------

TOOLS = ("files/read", "files/write")
ACTIONS = ("tools/call", "resources/read")
PLACES = ("a", "b", "ab", "a/b", "a.b", "axb", "a/../b", "A", "", "a\n", "*", "a|b")
VALUES: tuple[Json, ...] = (0, 1, 2, 5, 1.5, True, False, "x", "xyz", None)
PINS = ("p1", "p2")
CALLS = tuple(product(TOOLS, ACTIONS, PLACES, VALUES, PINS))

PATTERNS = (
    "",
    "a",
    "b",
    "ab",
    r"a\.b",
    "a.b",
    ".*",
    "a.*",
    "[ab]+",
    "a|b",
    "(?i)a",
    r"a/b",
    r"a\/b",
    "^a$",
    r"\*",
    "(",
    r"\d",
    "a{1,2}",
    r"\Qa.b\E",
)
SCHEMAS: tuple[dict[str, Json], ...] = (
    {},
    {"properties": {"v": {"type": "number"}}},
    {"properties": {"v": {"type": "integer", "maximum": 2}}},
    {"properties": {"v": {"const": 1}}},
    {"properties": {"v": {"const": True}}},
    {"properties": {"v": {"enum": [1, "x"]}}},
    {"required": ["v"]},
    {"not": {"properties": {"v": {"type": "string"}}}},
    {"$defs": {"n": {"type": "string"}}, "properties": {"v": {"$ref": "#/$defs/n"}}},
)
schemas = st.sampled_from(SCHEMAS) | st.builds(
    lambda parts, more: {**more, "allOf": parts},
    st.lists(st.sampled_from(SCHEMAS), min_size=1, max_size=3),
    st.sampled_from([*SCHEMAS[:4], {"$defs": {"n": {}}}, {"$schema": "http://json-schema.org/draft-03/schema#"}]),
)
entries = st.builds(
    AuthorityEntry,
    id=st.just("e"),
    tool=st.sampled_from(TOOLS),
    action=st.sampled_from(ACTIONS),
    resource=st.sampled_from(PATTERNS),
    constraints=schemas,
    uses_left=st.none() | st.integers(0, 4),
    state=st.sampled_from([EntryState.APPROVED, EntryState.APPROVED, EntryState.PROPOSED, EntryState.REFUSED]),
    pin=st.sampled_from(("", *PINS)),
)
approved = entries.map(lambda entry: replace(entry, state=EntryState.APPROVED))
maps = st.builds(AuthorityMap, st.lists(entries, max_size=4).map(tuple), st.integers(1, 3))


@st.composite
def family(draw: st.DrawFn) -> tuple[AuthorityMap, AuthorityMap]:
    """A parent and a child made from pieces of it, so that true children are common and the check is not fed refusals only."""
    parent = AuthorityMap(tuple(draw(st.lists(approved, min_size=1, max_size=3))), draw(st.integers(1, 3)))
    pieces = []
    for entry in draw(st.lists(st.sampled_from(parent.entries), min_size=1, max_size=3)):
        changed = entry
        if draw(st.booleans()):
            changed = replace(changed, resource=draw(st.sampled_from(PATTERNS)))
        if draw(st.booleans()):
            changed = replace(changed, constraints={"allOf": [dict(entry.constraints), draw(st.sampled_from(SCHEMAS))]})
        if draw(st.booleans()):
            changed = replace(changed, uses_left=draw(st.none() | st.integers(0, 4)))
        pieces.append(changed)
    pieces += draw(st.just([]) | st.just([]) | st.lists(entries, max_size=1))
    return parent, AuthorityMap(tuple(pieces), draw(st.integers(1, parent.lanes) | st.integers(0, 4)))


def matches(pattern: str, place: str) -> bool:
    if pattern == "":
        return True
    try:
        return re.fullmatch(pattern.replace(r"\Qa.b\E", r"a\.b"), place) is not None
    except re.error:
        return False


VALID: dict[tuple[str, str], bool] = {}


def satisfies(schema: dict[str, Json], value: Json) -> bool:
    key = (repr(schema), repr(value))
    if key not in VALID:
        try:
            VALID[key] = Draft202012Validator(schema).is_valid({"v": value})
        except Unresolvable:
            VALID[key] = False  # a schema that cannot be read lets nothing through
    return VALID[key]


def uses(authority: AuthorityMap, call: tuple[str, str, str, Json, str]) -> float:
    """How often exactly this call may be made."""
    tool, action, place, value, pin = call
    return sum(
        math.inf if entry.uses_left is None else entry.uses_left
        for entry in authority.entries
        if entry.state is EntryState.APPROVED
        and (entry.tool, entry.action) == (tool, action)
        and entry.pin in {"", pin}
        and matches(entry.resource, place)
        and satisfies(dict(entry.constraints), value)
    )


@settings(max_examples=600)
@given(family())
def test_no_child_that_passes_allows_one_call_more_than_its_parent(pair: tuple[AuthorityMap, AuthorityMap]) -> None:
    parent, child = pair
    if map_widenings(parent, child):
        event("refused")
        return
    event("passed with entries" if child.approved else "passed empty")

    assert child.lanes <= parent.lanes
    assert [call for call in CALLS if uses(child, call) > uses(parent, call)] == []


@given(maps)
def test_a_map_is_inside_itself_and_an_empty_one_inside_every_map(authority: AuthorityMap) -> None:
    assert map_widenings(authority, authority) == ()
    assert map_widenings(authority, AuthorityMap()) == ()


@given(maps, st.data())
def test_what_adds_a_constraint_a_literal_or_a_use_limit_passes(authority: AuthorityMap, data: st.DataObject) -> None:
    child = AuthorityMap(
        tuple(
            replace(
                entry,
                resource=entry.resource or data.draw(st.sampled_from(["a", r"a\.b", ""])),
                constraints={"allOf": [dict(entry.constraints)]}
                if "$" not in str(entry.constraints)
                else entry.constraints,
                uses_left=entry.uses_left if entry.uses_left is not None else data.draw(st.none() | st.integers(0, 9)),
            )
            for entry in authority.entries
        ),
        lanes=1,
    )

    assert map_widenings(authority, child) == ()


# ---- named tricks --------------------------------------------------------------------------------------------------------

PARENT = AuthorityEntry(
    "e1", "files/read", "tools/call", "srv/data/[a-z]+", {"required": ["path"]}, 3, EntryState.APPROVED, pin="p1"
)


@pytest.mark.parametrize(
    "change",
    [
        {"tool": "files/write"},
        {"tool": "Files/read"},
        {"tool": "files//read"},
        {"tool": "files/./read"},
        {"tool": "files/read "},
        {"tool": "files/\u0433ead"},
        {"tool": "*"},
        {"tool": ""},
        {"action": "resources/read"},
        {"action": ""},
        {"action": "*"},
        {"resource": ""},
        {"resource": ".*"},
        {"resource": "srv/data/[a-z]*"},
        {"resource": "srv/data/.+"},
        {"resource": "srv/data/a/../../etc"},
        {"resource": "srv/data//a"},
        {"resource": "srv/data/%2e%2e"},
        {"resource": "srv/data/A"},
        {"resource": "(?i)srv/data/a"},
        {"resource": "srv/data/a|etc"},
        {"resource": "^srv/data/a"},
        {"resource": "srv/data/*"},
        {"resource": "srv/data/\u00e9"},
        {"resource": "srv/data/a\\"},
        {"resource": "srv/data/a\n"},
        {"constraints": {}},
        {"constraints": {"required": []}},
        {"constraints": {"anyOf": [{"required": ["path"]}, {}]}},
        {"constraints": {"allOf": {"required": ["path"]}}},
        {"constraints": {"allOf": []}},
        {"constraints": {"not": {"allOf": [{"required": ["path"]}]}}},
        {"constraints": {"$schema": "http://json-schema.org/draft-03/schema#", "allOf": [{"required": ["path"]}]}},
        {"constraints": {"$ref": "#/x", "allOf": [{"required": ["path"]}]}},
        {"uses_left": None},
        {"uses_left": 4},
        {"pin": ""},
        {"pin": "p2"},
    ],
    ids=str,
)
def test_every_known_way_to_widen_an_entry_is_refused(change: dict[str, object]) -> None:
    child = replace(PARENT, **change)  # type: ignore[arg-type]

    widenings = map_widenings(AuthorityMap((PARENT,)), AuthorityMap((child,)))

    assert [widening.code for widening in widenings] in (["widens_entry"], ["widens_uses"])
    with pytest.raises(RefusedError, match="not_narrower"):
        require_narrower(widenings)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"resource": "srv/data/a"},
        {"resource": r"srv\/data\/abc"},
        {"constraints": {"allOf": [{"maxProperties": 1}, {"required": ["path"]}], "minProperties": 1}},
        {"uses_left": 0},
        {"id": "other", "why": "other words", "approved_by": "someone"},
    ],
    ids=str,
)
def test_every_honest_way_to_narrow_an_entry_passes(change: dict[str, object]) -> None:
    child = replace(PARENT, **change)  # type: ignore[arg-type]

    require_narrower(map_widenings(AuthorityMap((PARENT,)), AuthorityMap((child,))))


def test_two_children_entries_share_the_uses_of_one_parent_entry() -> None:
    parent = AuthorityMap((PARENT,))
    two, one = replace(PARENT, uses_left=2), replace(PARENT, uses_left=1)

    assert map_widenings(parent, AuthorityMap((two, one))) == ()
    assert [widening.code for widening in map_widenings(parent, AuthorityMap((two, two)))] == ["widens_uses"]


def test_entries_that_are_not_approved_give_a_child_nothing() -> None:
    proposed = replace(PARENT, state=EntryState.PROPOSED)

    assert map_widenings(AuthorityMap((proposed,)), AuthorityMap((PARENT,))) != ()
    assert map_widenings(AuthorityMap((proposed,)), AuthorityMap((proposed,))) == ()


@pytest.mark.parametrize("lanes", [0, -1, 3])
def test_a_child_has_at_least_one_lane_and_no_more_than_its_parent(lanes: int) -> None:
    assert [widening.code for widening in map_widenings(AuthorityMap(lanes=2), AuthorityMap(lanes=lanes))] == [
        "widens_lanes"
    ]


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("a", "a"),
        (r"a\.b", "a.b"),
        ("", ""),
        (r"a\\b", "a\\b"),
        ("a.b", None),
        (r"\d", None),
        ("\\", None),
        ("a\\", None),
        ("é", None),
        ("\\é", None),
        ("a\n", None),
    ],
)
def test_a_literal_is_known_when_it_is_seen(pattern: str, literal: str | None) -> None:
    assert literal_of(pattern) == literal


def test_a_broken_parent_pattern_covers_nothing() -> None:
    assert not pattern_inside("(", "a")


def test_numbers_and_truth_values_are_not_confused() -> None:
    assert not constraints_inside({"const": True}, {"const": 1})
    assert not constraints_inside({"const": 1}, {"allOf": [{"const": True}]})


# ---- grants --------------------------------------------------------------------------------------------------------------

PARENT_GRANT = Grant(
    id="g-1",
    mission="m-1",
    family="g-1",
    agent="a",
    server="files",
    binding=PassBinding.DPOP,
    jkt="k1",
    strictness=Strictness.STRICT,
    state=GrantState.ACTIVE,
    gas_left=Gas(60),
    gas_limit=Gas(100),
    lanes=2,
    issued=Instant(0),
    expires=Instant(300),
)
CHILD_GRANT = replace(
    PARENT_GRANT, id="g-2", agent="b", jkt="k2", gas_left=Gas(60), gas_limit=Gas(60), issued=Instant(10)
)
NOW = Instant(10)


def test_a_child_grant_as_large_as_what_is_left_passes() -> None:
    assert grant_widenings(PARENT_GRANT, CHILD_GRANT, NOW) == ()
    anywhere = replace(PARENT_GRANT, server="", binding=PassBinding.GATEWAY, strictness=Strictness.STOCK)
    assert grant_widenings(anywhere, CHILD_GRANT, NOW) == ()
    kept = replace(CHILD_GRANT, binding=PassBinding.GATEWAY, jkt="", strictness=Strictness.STOCK)
    assert grant_widenings(anywhere, kept, NOW) == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"gas_limit": Gas(61)}, "widens_gas"),
        ({"gas_left": Gas(61)}, "widens_gas"),
        ({"expires": Instant(300.001)}, "widens_time"),
        ({"issued": Instant(-1)}, "widens_time"),
        ({"issued": Instant(300)}, "widens_time"),
        ({"lanes": 3}, "widens_lanes"),
        ({"lanes": 0}, "widens_lanes"),
        ({"server": ""}, "widens_audience"),
        ({"server": "mail"}, "widens_audience"),
        ({"family": "g-2"}, "widens_family"),
        ({"binding": PassBinding.GATEWAY}, "widens_key"),
        ({"jkt": ""}, "widens_key"),
        ({"strictness": Strictness.STOCK}, "widens_strictness"),
    ],
)
def test_every_way_to_widen_a_grant_is_refused(change: dict[str, object], code: str) -> None:
    child = replace(CHILD_GRANT, **change)  # type: ignore[arg-type]

    assert [widening.code for widening in grant_widenings(PARENT_GRANT, child, NOW)] == [code]


@pytest.mark.parametrize("state", [state for state in GrantState if state is not GrantState.ACTIVE])
def test_a_parent_that_takes_no_calls_has_no_children(state: GrantState) -> None:
    assert [w.code for w in grant_widenings(replace(PARENT_GRANT, state=state), CHILD_GRANT, NOW)] == [
        "parent_not_active"
    ]
    assert [w.code for w in grant_widenings(PARENT_GRANT, CHILD_GRANT, Instant(300))] == ["parent_not_active"]
