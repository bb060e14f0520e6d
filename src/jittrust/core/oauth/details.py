"""What an OAuth client may ask for in `authorization_details` (RFC 9396): two types of ours, each with a published JSON Schema.

`urn:jittrust:mcp-call` asks for calls of one tool, `urn:jittrust:mission` for a mission in front of a person. What is not exactly right is refused
with `invalid_authorization_details` (RFC 9396 §5); nothing is repaired, and a member that is not known is not ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jsonschema import Draft202012Validator

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.authority.match import check_entry
from jittrust.core.errors import BadInputError
from jittrust.core.grant import wire
from jittrust.core.mission.narrow import map_widenings
from jittrust.core.model import Json
from jittrust.core.oauth.error import OAuthError
from jittrust.core.strict_json import parse

MISSION_TYPE = "urn:jittrust:mission"
MOST_BYTES = 64 * 1024
"""Longest text of `authorization_details`."""
MOST_ITEMS = 64
_DEPTH = 16
_KEYS = 2_000
_LONGEST_GOAL = 4_000
_LONGEST_TOOL = 400
_LONGEST_PATTERN = 2_000
_LARGEST = 2**53
# No control characters: neither in what is compared nor in what a person reads. By `not`, for `$` does not mean the very end everywhere.
_NO_CONTROLS: Json = {"pattern": r"[\x00-\x1f\x7f-\x9f]"}
_NO_CONTROLS_BUT_LINES: Json = {"pattern": r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"}

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_USES: Json = {"type": "integer", "minimum": 1, "maximum": 1_000_000}

SCHEMAS: Mapping[str, Mapping[str, Json]] = {
    "mcp-call": {
        "$schema": _DRAFT,
        "title": "Calls of one tool of one MCP server",
        "description": "Asks for a part of what the mission's map allows. A member that is left out means as much as the map allows.",
        "type": "object",
        "properties": {
            "type": {"const": wire.AUTHORIZATION_TYPE},
            "identifier": {
                "description": "server/tool, exactly; never a pattern",
                "type": "string",
                "maxLength": _LONGEST_TOOL,
                "pattern": "^[^/ ]+/.",
                "not": _NO_CONTROLS,
            },
            "actions": {
                "type": "array",
                "items": {"enum": ["tools/call", "resources/read", "prompts/get"]},
                "minItems": 1,
                "maxItems": 3,
                "uniqueItems": True,
            },
            "resource": {
                "description": "RE2 pattern, anchored, that every resource word of the call must match; a literal, or the map's own",
                "type": "string",
                "minLength": 1,
                "maxLength": _LONGEST_PATTERN,
                "not": _NO_CONTROLS,
            },
            "constraints": {
                "description": "JSON Schema that the arguments must satisfy besides the map's own; without $ keywords",
                "type": "object",
                "minProperties": 1,
            },
            "uses": _USES,
        },
        "required": ["type", "identifier", "actions"],
        "additionalProperties": False,
    },
    "mission": {
        "$schema": _DRAFT,
        "title": "A mission, put in front of a person",
        "description": "What the agent says it wants to do. Only what a person answers makes it a mission; 0 or left out means as the rules give.",
        "type": "object",
        "properties": {
            "type": {"const": MISSION_TYPE},
            "goal": {"type": "string", "maxLength": _LONGEST_GOAL, "pattern": r"\S", "not": _NO_CONTROLS_BUT_LINES},
            "minutes": {"type": "integer", "minimum": 0, "maximum": 1440},
            "gas": {"type": "integer", "minimum": 0, "maximum": _LARGEST},
            "uses": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
            "lanes": {"type": "integer", "minimum": 1, "maximum": 16},
        },
        "required": ["type", "goal"],
        "additionalProperties": False,
    },
}
"""Published at `/schemas/{name}.json`; by these very schemas details are judged."""

_JUDGES = {
    wire.AUTHORIZATION_TYPE: Draft202012Validator(SCHEMAS["mcp-call"]),
    MISSION_TYPE: Draft202012Validator(SCHEMAS["mission"]),
}
TYPES: tuple[str, ...] = tuple(_JUDGES)
"""For `authorization_details_types_supported`."""


@dataclass(frozen=True, slots=True)
class MissionAsked:
    """A mission as a client asks for it; 0 = as the rules give."""

    goal: str
    minutes: int = 0
    gas: int = 0
    uses: int = 0
    lanes: int = 1


def read_details(said: str | Json, max_items: int = MOST_ITEMS) -> tuple[Mapping[str, Json], ...]:
    """Read `authorization_details`: the text of a form parameter, or the array out of a JSON body.

    Raises:
        OAuthError: `invalid_authorization_details`; code `details_malformed` (no strict JSON array of objects, too long, too many, too deep),
            `details_type` (a type that is not ours), `details_member` (a member that is unknown, missing or out of range), `details_twice`
            (two missions).
    """
    try:
        data = said if isinstance(said, str) else json.dumps(said, allow_nan=False)
        # A value that was parsed elsewhere is read again, so that one set of limits holds for both.
        parsed = parse(data.encode("utf-8", "surrogatepass"), max_bytes=MOST_BYTES, max_depth=_DEPTH, max_keys=_KEYS)
    except BadInputError as error:
        raise _refused("details_malformed", f"authorization_details: {error.message}") from None
    except (ValueError, TypeError, RecursionError):
        raise _refused("details_malformed", "authorization_details is no JSON") from None
    if not isinstance(parsed, list) or not all(isinstance(item, dict) for item in parsed):
        raise _refused("details_malformed", "authorization_details is no array of objects (RFC 9396 §2)")
    if len(parsed) > max_items:
        raise _refused("details_malformed", f"{len(parsed)} authorization_details, at most {max_items} are taken")
    for item in parsed:
        _check(item)
    if sum(item["type"] == MISSION_TYPE for item in parsed) > 1:
        raise _refused("details_twice", "one request asks for one mission")
    return tuple(parsed)


def _check(item: Mapping[str, Json]) -> None:
    kind = item.get("type")
    judge = _JUDGES.get(kind) if isinstance(kind, str) else None
    if judge is None:
        raise _refused("details_type", f"type must be one of {', '.join(TYPES)}")
    fault = next(iter(judge.iter_errors(item)), None)
    if fault is not None:
        where = "/".join(map(str, fault.absolute_path)) or "object"
        raise _refused("details_member", f"{kind}, {where}: {fault.message[:200]}")
    # 5.0 is a whole number for JSON Schema, and none for those who count with it.
    for name in ("uses", "minutes", "gas", "lanes"):
        if isinstance(item.get(name), float):
            raise _refused("details_member", f"{kind}, {name}: no whole number")
    constraints = item.get("constraints")
    if isinstance(constraints, Mapping) and _has_keyword(constraints):
        raise _refused("details_member", f"{kind}, constraints: $ keywords are not taken")


def _has_keyword(value: Json) -> bool:
    # Read as text: `$ref` under `properties` would be a name and not a keyword, and is refused all the same.
    return '"$' in json.dumps(value)


def mission_of(details: tuple[Mapping[str, Json], ...]) -> MissionAsked | None:
    """The mission that is asked for, out of details that `read_details` took; None when there is none."""
    for item in details:
        if item["type"] == MISSION_TYPE:
            return MissionAsked(
                goal=str(item["goal"]),
                minutes=_number(item, "minutes", 0),
                gas=_number(item, "gas", 0),
                uses=_number(item, "uses", 0),
                lanes=_number(item, "lanes", 1),
            )
    return None


def authority_of(details: tuple[Mapping[str, Json], ...], within: AuthorityMap) -> AuthorityMap | None:
    """The map that the call entries ask for: approved, and provably inside `within`.

    An entry that leaves `resource`, `constraints` or `uses` out takes those of the entries of `within` that it stands for. `constraints` that are
    asked for hold besides those of the map. `within` may hold other states than approved; they give nothing.

    Returns:
        None when no calls are asked for: then the grant may do whatever its mission may.

    Raises:
        OAuthError: `invalid_authorization_details`; code `not_narrower` (something asked for is not provably inside), `bad_resource_pattern`,
            `bad_constraint`.
    """
    calls = [item for item in details if item["type"] == wire.AUTHORIZATION_TYPE]
    if not calls:
        return None
    made: list[AuthorityEntry] = []
    for item in calls:
        actions = item["actions"]
        for action in actions if isinstance(actions, list) else ():
            found = _narrowed(item, str(action), within)
            made.extend(replace(entry, id=f"e-{len(made) + at}") for at, entry in enumerate(found))
    asked = AuthorityMap(tuple(made), within.lanes)
    widenings = map_widenings(within, asked)
    if widenings:
        raise _refused("not_narrower", f"{widenings[0].code}: {widenings[0].fact}")
    return asked


def _narrowed(item: Mapping[str, Json], action: str, within: AuthorityMap) -> list[AuthorityEntry]:
    found: list[AuthorityEntry] = []
    for outer in within.approved:
        if outer.tool != item["identifier"] or outer.action != action:
            continue
        entry = _part_of(outer, item)
        try:
            check_entry(entry)
        except BadInputError as error:
            raise _refused(error.code, error.message) from None
        if not map_widenings(AuthorityMap((outer,)), AuthorityMap((entry,))):
            found.append(entry)
    if not found:
        raise _refused("not_narrower", f"nothing in the map provably covers {action} {item['identifier']} as asked for")
    return found


def _part_of(outer: AuthorityEntry, item: Mapping[str, Json]) -> AuthorityEntry:
    """The entry as it is asked for; whether it lies inside is judged afterwards."""
    asked = item.get("constraints")
    constraints = outer.constraints
    if isinstance(asked, Mapping):
        constraints = {"allOf": [outer.constraints, asked]} if outer.constraints else asked
    uses = _number(item, "uses", 0) or outer.uses_left
    return replace(
        outer,
        resource=str(item.get("resource", outer.resource)),
        constraints=constraints,
        uses_left=uses,
        state=EntryState.APPROVED,
    )


def _number(item: Mapping[str, Json], name: str, otherwise: int) -> int:
    value = item.get(name)
    return value if isinstance(value, int) else otherwise


def _refused(code: str, message: str) -> OAuthError:
    return OAuthError("invalid_authorization_details", code, message, "See the schemas at /schemas/.")
