"""What each argument of a call is for: destination, selector, command, credential, amount, content or control."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.words import LiteralKind, content_stems, literals, name_words, stem
from jittrust.core.model import Json, Tool
from jittrust.core.once import once_a_tool


@dataclass(frozen=True, slots=True)
class RoleRules:
    """Bounds of reading a call's arguments."""

    most_leaves: int = 512  # argument values read of one call
    deepest: int = 32  # levels of nesting read
    long_value: int = 80  # characters from which a value of no known name is content


ROLE_RULES = RoleRules()

_NAMES: Mapping[ArgumentRole, str] = {
    ArgumentRole.CREDENTIAL: (
        "password passwd passphrase secret token credential apikey otp pin passcode jwt cookie privatekey publickey signature"
    ),
    ArgumentRole.COMMAND: "command cmd code script sql shell exec expression program statement argv cypher selector_script",
    ArgumentRole.AMOUNT: "amount price total cost fee budget value quantity sum payment deposit rate",
    ArgumentRole.TARGET: (
        "to recipient recipients cc bcc email mail address url uri link href host hostname endpoint webhook destination dest user username assignee "
        "participant attendee channel feed audience iban account phone collaborator member owner reviewer chat room group payee beneficiary domain server ip "
        "receiver target principal role contact person invitee remote website site callback"
    ),
    ArgumentRole.CONTENT: (
        "body content contents text message description subject title comment note summary caption data payload html markdown prompt instruction "
        "thought review feedback observation old_text new_text answer question reason"
    ),
    ArgumentRole.SELECTOR: (
        "id ids path paths file filename filepath name names repo repository key ref branch revision query uri folder directory project table "
        "database record entity node location city keyword search pattern topic category hotel restaurant company bucket object resource item type "
        "sha commit source"
    ),
    ArgumentRole.CONTROL: (
        "limit offset page size format sort order timeout max min encoding language lang unit units count depth recursive dry force verbose mode "
        "permission start end date time day month year hour minute timezone interval frequency recurring enabled flag width height top skip cursor "
        "after before since until version locale"
    ),
}
_ROLE_OF: Mapping[str, ArgumentRole] = {
    stem(word): role for role, listed in reversed(list(_NAMES.items())) for word in listed.split()
}
# The last word of a compound says what it is ("user_id" is an id, "email_body" is a body); these decide wherever they stand.
_ANYWHERE: Mapping[str, ArgumentRole] = {
    stem(word): role
    for role in (ArgumentRole.CREDENTIAL, ArgumentRole.COMMAND)
    for word in _NAMES[role].split()
    if word not in {"code", "pin", "statement", "program", "expression", "signature"}
}
_PAIRS: Mapping[tuple[str, str], ArgumentRole] = {
    (stem(first), stem(second)): role
    for first, second, role in (
        ("api", "key", ArgumentRole.CREDENTIAL),
        ("ssh", "key", ArgumentRole.CREDENTIAL),
        ("private", "key", ArgumentRole.CREDENTIAL),
        ("public", "key", ArgumentRole.CREDENTIAL),
        ("access", "key", ArgumentRole.CREDENTIAL),
        ("security", "code", ArgumentRole.CREDENTIAL),
        ("verification", "code", ArgumentRole.CREDENTIAL),
        ("zip", "code", ArgumentRole.SELECTOR),
        ("country", "code", ArgumentRole.SELECTOR),
        ("currency", "code", ArgumentRole.SELECTOR),
        ("language", "code", ArgumentRole.CONTROL),
        ("account", "number", ArgumentRole.TARGET),
        ("phone", "number", ArgumentRole.TARGET),
        ("street", "address", ArgumentRole.TARGET),
    )
}
_FORMATS: Mapping[str, ArgumentRole] = {
    "email": ArgumentRole.TARGET,
    "uri": ArgumentRole.TARGET,
    "url": ArgumentRole.TARGET,
    "hostname": ArgumentRole.TARGET,
    "ipv4": ArgumentRole.TARGET,
    "ipv6": ArgumentRole.TARGET,
    "password": ArgumentRole.CREDENTIAL,
    "date": ArgumentRole.CONTROL,
    "date-time": ArgumentRole.CONTROL,
    "time": ArgumentRole.CONTROL,
}
_SHAPES: Mapping[LiteralKind, ArgumentRole] = {
    LiteralKind.EMAIL: ArgumentRole.TARGET,
    LiteralKind.URL: ArgumentRole.TARGET,
    LiteralKind.IBAN: ArgumentRole.TARGET,
    LiteralKind.PHONE: ArgumentRole.TARGET,
    LiteralKind.PATH: ArgumentRole.SELECTOR,
    LiteralKind.FILENAME: ArgumentRole.SELECTOR,
    LiteralKind.DATE: ArgumentRole.CONTROL,
}
_SHAPED = frozenset(_SHAPES)
_DATE_LIKE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ tT]\d{2}:\d{2}(?::\d{2})?)?|\d{1,2}:\d{2}(?::\d{2})?")


_SCALARS = frozenset({str, int, float, bool, type(None)})  # the quick way; whatever else is no container is one too


def leaves(value: Json, path: str = "", depth: int = 0) -> Iterator[tuple[str, Json]]:
    """Every scalar of a JSON value with its JSON pointer (RFC 6901), in order; a subtree that is too deep comes back whole."""
    if depth < ROLE_RULES.deepest:
        if type(value) is dict or isinstance(value, Mapping):
            for name, inner in value.items():
                if "/" in name or "~" in name:
                    name = name.replace("~", "~0").replace("/", "~1")  # noqa: PLW2901 - its spelling in a pointer
                if type(inner) in _SCALARS:
                    yield f"{path}/{name}", inner
                else:
                    yield from leaves(inner, f"{path}/{name}", depth + 1)
            return
        if isinstance(value, Sequence) and not isinstance(value, str):
            for place, inner in enumerate(value):
                if type(inner) in _SCALARS:
                    yield f"{path}/{place}", inner
                else:
                    yield from leaves(inner, f"{path}/{place}", depth + 1)
            return
    yield path, value


def argument_roles(tool: Tool, arguments: Mapping[str, Json]) -> Mapping[str, ArgumentRole]:
    """JSON pointer of every argument value → its role; at most `most_leaves` of them.

    Decided by the name of the nearest named member, then by the declared format or enum, then by the shape of the value.
    """
    declared = tool.input_schema.get("properties")
    schemas = declared if isinstance(declared, Mapping) else {}
    roles: dict[str, ArgumentRole] = {}
    for path, value in leaves(arguments):
        if len(roles) >= ROLE_RULES.most_leaves:
            break
        names = path.split("/")[1:]
        if "~" in path:
            names = [part.replace("~1", "/").replace("~0", "~") for part in names]
        schema = schemas.get(names[0]) if names else None
        roles[path] = _role(names, value, schema if isinstance(schema, Mapping) else {})
    return roles


@once_a_tool
def declared_roles(tool: Tool) -> Mapping[str, ArgumentRole]:
    """Name of every declared top-level argument → its role, without any value."""
    declared = tool.input_schema.get("properties")
    if not isinstance(declared, Mapping):
        return {}
    return {
        name: _role([name], None, schema if isinstance(schema, Mapping) else {}) for name, schema in declared.items()
    }


def _role(names: Sequence[str], value: Json, schema: Mapping[str, Json]) -> ArgumentRole:
    if isinstance(value, bool) or schema.get("type") == "boolean":
        return ArgumentRole.CONTROL
    form = schema.get("format")
    if isinstance(form, str) and form in _FORMATS:
        return _FORMATS[form]
    named = next((name for name in reversed(names) if not name.isdigit()), "")
    role = role_of_name(named)
    if isinstance(schema.get("enum"), Sequence) and role is not ArgumentRole.CREDENTIAL:
        return ArgumentRole.CONTROL
    if isinstance(value, str):
        return _by_value(value, role)
    if isinstance(value, int | float) and role in {None, ArgumentRole.CONTENT}:
        return ArgumentRole.CONTROL
    if value is None and schema.get("type") in {"integer", "number"} and role is None:
        return ArgumentRole.CONTROL
    return role or ArgumentRole.SELECTOR


def _by_value(value: str, role: ArgumentRole | None) -> ArgumentRole:
    if role is ArgumentRole.TARGET and _DATE_LIKE.fullmatch(value):
        return ArgumentRole.CONTROL
    if role in {None, ArgumentRole.SELECTOR, ArgumentRole.CONTROL}:
        shaped = shape(value)
        if shaped is ArgumentRole.TARGET or (role is None and shaped is not None):
            return shaped
    if role is None:
        return ArgumentRole.CONTENT if len(value) > ROLE_RULES.long_value or "\n" in value else ArgumentRole.SELECTOR
    return role


def role_of_name(name: str) -> ArgumentRole | None:
    """The role that an argument's name says; None when it says nothing."""
    return _role_of_name(name[:256])  # `name_words` reads no more of it; cut before it is kept


@lru_cache(maxsize=8_192)
def _role_of_name(name: str) -> ArgumentRole | None:
    parts = [stem(word) for word in name_words(name)]
    for pair in pairwise(parts):
        if pair in _PAIRS:
            return _PAIRS[pair]
    for part in parts:
        if part in _ANYWHERE:
            return _ANYWHERE[part]
    return next((_ROLE_OF[part] for part in reversed(parts) if part in _ROLE_OF), None)


def shape(value: str) -> ArgumentRole | None:
    """The role that the shape of a whole value shows: an address, a path, a date; None when it is no identifier."""
    if len(value) > ROLE_RULES.long_value * 4 or "\n" in value:
        return None
    found = literals(value, _SHAPED)
    folded = value.strip().casefold()
    return next(
        (_SHAPES[one.kind] for one in found if one.kind in _SHAPES and len(one.text) >= len(folded) - 1),
        None,
    )


def argument_nouns(name: str) -> tuple[str, ...]:
    """What an argument is about: the stems of its name without `id`, `name` and other words that say only how it is spelled."""
    return tuple(root for root in content_stems(name_words(name)) if root not in _SPELLING)


_SPELLING = frozenset(stem(word) for word in "id ids name names list key value number string path text type".split())
