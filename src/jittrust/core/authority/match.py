"""Does an entry of the authority map cover this call? Linear in the size of map and arguments; no pattern of any kind can backtrack."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.errors import BadInputError
from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.roles import ROLE_RULES, argument_roles, leaves
from jittrust.core.intent.words import one_line
from jittrust.core.model import Json, Tool


class MatchStanding(StrEnum):
    """How a call stands to the map, nearest first."""

    INSIDE = "inside"
    USES_EXHAUSTED = "uses_exhausted"
    CONSTRAINT_FAILED = "constraint_failed"
    RESOURCE_FAILED = "resource_failed"
    PIN_DIFFERS = "pin_differs"
    WAITING = "waiting"  # proposed, not approved
    REFUSED = "refused"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest entry and how the call stands to it. `entry` is None only when OUTSIDE; `why` is for people."""

    standing: MatchStanding
    entry: AuthorityEntry | None
    why: str

    @property
    def inside(self) -> bool:
        """Whether an approved entry covers the call."""
        return self.standing is MatchStanding.INSIDE


_NEAREST: Mapping[MatchStanding, int] = {standing: place for place, standing in enumerate(MatchStanding)}
_LONGEST_PATTERN = 2_000
_LONGEST_SHOWN = 80
_LONGEST_FAULT = 240
_MOST_STEPS = 100_000
"""Values of the constraints times values of the arguments: about a second of work at the worst. What would take more is not inside."""
_RESOURCE_ROLES = frozenset({ArgumentRole.TARGET, ArgumentRole.SELECTOR})


def match(
    authority: AuthorityMap,
    tool: Tool,
    action: str,
    arguments: Mapping[str, Json],
    roles: Mapping[str, ArgumentRole] | None = None,
) -> Match:
    """Find the entry that covers the call, or the nearest that does not and why.

    The tool's own `pin` is compared with the entry's; an entry without a pin covers any definition. The call's resource words are its string
    values with the role of a destination or selector; all of them must match the entry's pattern, and there must be one. `roles`:
    `argument_roles` of these arguments, where they are known already.
    """
    best = Match(MatchStanding.OUTSIDE, None, f"No entry of the mission's map names {_called(tool)}.")
    words: tuple[str, ...] | None = None
    for entry in authority.entries:
        if entry.tool != tool.id or entry.action != action:
            continue
        if words is None and entry.resource:
            words = resource_words(tool, arguments, roles)
        found = _judge(entry, tool, arguments, words or ())
        if found.inside:
            return found
        if _NEAREST[found.standing] < _NEAREST[best.standing]:
            best = found
    return best


def resource_words(
    tool: Tool, arguments: Mapping[str, Json], roles: Mapping[str, ArgumentRole] | None = None
) -> tuple[str, ...]:
    """What a call is about: its string values with the role of a destination or selector, in order."""
    roles = argument_roles(tool, arguments) if roles is None else roles
    return tuple(
        value
        for path, value in islice(leaves(arguments), ROLE_RULES.most_leaves)
        if isinstance(value, str) and value and roles.get(path, ArgumentRole.TARGET) in _RESOURCE_ROLES
    )


def check_entry(entry: AuthorityEntry) -> None:
    """Refuse an entry that could not be judged later.

    Raises:
        BadInputError: code `bad_resource_pattern` or `bad_constraint`.
    """
    if entry.resource and _compiled(entry.resource) is None:
        raise BadInputError(
            "bad_resource_pattern",
            f"{entry.resource!r} is no RE2 pattern",
            "See https://github.com/google/re2/wiki/Syntax.",
        )
    if _remote_reference(entry.constraints):
        raise BadInputError("bad_constraint", "a constraint may only refer to itself ($ref beginning with #)")
    fault = _schema_fault(entry.constraints)
    if fault:
        raise BadInputError("bad_constraint", f"the constraint is no JSON Schema: {fault}")


def _judge(entry: AuthorityEntry, tool: Tool, arguments: Mapping[str, Json], words: tuple[str, ...]) -> Match:
    if entry.state is EntryState.REFUSED:
        return Match(
            MatchStanding.REFUSED, entry, f"A person refused {_called(tool)} for this mission (entry {entry.id})."
        )
    if entry.state is EntryState.PROPOSED:
        return Match(
            MatchStanding.WAITING,
            entry,
            f"The map only proposes {_called(tool)}, and nobody has approved it (entry {entry.id}). {entry.why}".rstrip(),
        )
    if entry.pin and entry.pin != tool.pin:
        return Match(
            MatchStanding.PIN_DIFFERS,
            entry,
            f"The definition of {_called(tool)} is not the one that was approved (entry {entry.id}).",
        )
    if entry.resource:
        missed = _missed_word(entry.resource, words)
        if missed is None and next(islice(leaves(arguments), ROLE_RULES.most_leaves, None), None) is not None:
            missed = "a call with more values than are read"
        if missed is not None:
            return Match(
                MatchStanding.RESOURCE_FAILED,
                entry,
                f"Entry {entry.id} allows only what matches {entry.resource!r}, and {missed} does not.",
            )
    if entry.constraints:
        broken = _broken(entry.constraints, arguments)
        if broken:
            return Match(
                MatchStanding.CONSTRAINT_FAILED,
                entry,
                f"An argument is outside the limits of entry {entry.id}: {broken}.",
            )
    if entry.uses_left is not None and entry.uses_left <= 0:
        return Match(MatchStanding.USES_EXHAUSTED, entry, f"Entry {entry.id} has no uses left.")
    return Match(MatchStanding.INSIDE, entry, entry.why or f"Entry {entry.id} covers {_called(tool)}.")


def _called(tool: Tool) -> str:
    return one_line(tool.id, _LONGEST_SHOWN)


def _missed_word(pattern: str, words: tuple[str, ...]) -> str | None:
    compiled = _compiled(pattern)
    if compiled is None:
        return "nothing (the pattern is broken)"
    if not words:
        return "a call without a resource"
    return next((f"“{one_line(word, _LONGEST_SHOWN)}”" for word in words if compiled.fullmatch(word) is None), None)


def _compiled(pattern: str) -> Any | None:  # noqa: ANN401 - re2 ships no types
    if len(pattern) > _LONGEST_PATTERN:
        return None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def _broken(constraints: Mapping[str, Json], arguments: Mapping[str, Json]) -> str:
    """The first thing that the arguments break, for people; empty = nothing. A constraint that cannot be judged is broken."""
    if _remote_reference(constraints):
        return "the constraint refers to something outside itself"
    if _values_in(constraints) * _values_in(arguments) > _MOST_STEPS:
        return "constraint and arguments are too large to be compared"
    try:
        # The registry is empty: nothing is ever fetched.
        fault = next(iter(_Bounded(constraints, registry=Registry()).iter_errors(arguments)), None)
    except (Unresolvable, RecursionError, TypeError, ValueError, AttributeError, KeyError) as error:
        return f"the constraint cannot be judged ({type(error).__name__})"
    if fault is None:
        return ""
    where = "/".join(str(part) for part in fault.absolute_path) or "arguments"
    return one_line(f"{where}: {fault.message}", _LONGEST_FAULT)


def _remote_reference(value: Json) -> bool:
    stack: list[Json] = [value]
    while stack:
        inner = stack.pop()
        if isinstance(inner, Mapping):
            if any(
                isinstance(inner.get(word), str) and not str(inner[word]).startswith("#")
                for word in ("$ref", "$dynamicRef", "$schema", "$id")
            ):
                return True
            stack.extend(inner.values())
        elif isinstance(inner, Sequence) and not isinstance(inner, str):
            stack.extend(inner)
    return False


def _pattern(_validator: object, pattern: str, instance: object, _schema: object) -> Iterator[ValidationError]:
    """`pattern` by RE2: the standard validator would use an engine that can backtrack."""
    if isinstance(instance, str):
        compiled = _compiled(pattern)
        if compiled is None or compiled.search(instance) is None:
            yield ValidationError(f"{instance[:80]!r} does not match {pattern!r}")


def _unsupported(_validator: object, _value: object, _instance: object, _schema: object) -> Iterator[ValidationError]:
    yield ValidationError("patternProperties is not supported in constraints")


def _unique(_validator: object, wanted: object, instance: object, _schema: object) -> Iterator[ValidationError]:
    """`uniqueItems` in linear time: the standard validator compares every pair of what cannot be sorted."""
    if wanted and isinstance(instance, list | tuple):
        told = [json.dumps(_whole(one), sort_keys=True) for one in instance]
        if len(set(told)) != len(told):
            yield ValidationError("it has members that are equal")


def _whole(value: Json) -> Json:
    """The value with 1.0 as 1, which are equal for JSON Schema."""
    if isinstance(value, Mapping):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Bounded = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _pattern, "patternProperties": _unsupported, "uniqueItems": _unique}
)


# ---- is it a schema? ----------------------------------------------------------------------------------------------------------------------
# What the metaschema of JSON Schema 2020-12 says, in one pass: to judge a schema by it takes milliseconds for every part, and strangers send schemas.


def _list(value: Json) -> bool:
    return isinstance(value, list | tuple)


def _text(value: Json) -> bool:
    return isinstance(value, str)


def _flag(value: Json) -> bool:
    return isinstance(value, bool)


def _number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value == int(value)


def _names(value: Json) -> bool:
    return isinstance(value, list | tuple) and all(map(_text, value)) and len(set(map(str, value))) == len(value)


def _types(value: Json) -> bool:
    listed = [value] if isinstance(value, str) else value
    return (
        _names(listed) and isinstance(listed, list | tuple) and len(listed) > 0 and _TYPES.issuperset(map(str, listed))
    )


_TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
_ONE = frozenset(
    "not if then else contains items additionalProperties propertyNames unevaluatedItems unevaluatedProperties contentSchema".split()
)
_SOME = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED = frozenset(("properties", "patternProperties", "dependentSchemas", "$defs", "definitions"))
_SHAPES: Mapping[str, Callable[[Json], bool]] = {
    **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems", "maxContains", "minContains"), _count),
    **dict.fromkeys(("maxProperties", "minProperties"), _count),
    **dict.fromkeys(("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"), _number),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _flag),
    **dict.fromkeys(("$ref", "$dynamicRef", "$anchor", "$dynamicAnchor", "$id", "$schema", "$comment"), _text),
    **dict.fromkeys(("title", "description", "format", "contentEncoding", "contentMediaType"), _text),
    **dict.fromkeys(("enum", "examples"), _list),
    "multipleOf": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
    "pattern": lambda value: isinstance(value, str) and _compiled(value) is not None,
    "required": _names,
    "dependentRequired": lambda value: isinstance(value, Mapping) and all(map(_names, value.values())),
    "type": _types,
}


def _schema_fault(schema: Json) -> str:
    """What is no schema about it; empty = nothing."""
    parts: list[Json] = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, bool):
            continue
        if not isinstance(part, Mapping):
            return "a schema is an object, true or false"
        for word, value in part.items():
            if word in _ONE:
                parts.append(value)
            elif word in _SOME and isinstance(value, list | tuple) and value:
                parts.extend(value)
            elif word in _NAMED and isinstance(value, Mapping):
                parts.extend(value.values())
            elif word in _SOME or word in _NAMED or not _SHAPES.get(word, _any)(value):
                return f"{one_line(word, _LONGEST_SHOWN)} is not what it has to be"
    return ""


def _any(value: Json) -> bool:  # noqa: ARG001 - a word that says nothing about its value
    return True


def _values_in(value: Json) -> int:
    """How many values it is made of, itself included."""
    found, parts = 0, [value]
    while parts:
        part = parts.pop()
        found += 1
        if isinstance(part, Mapping):
            parts.extend(part.values())
        elif isinstance(part, list | tuple):
            parts.extend(part)
    return found
