"""Does an entry of the authority map cover this call? Linear in the size of map and arguments; no pattern of any kind can backtrack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
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
    try:
        Draft202012Validator.check_schema(entry.constraints)
    except SchemaError as error:
        raise BadInputError("bad_constraint", f"the constraint is no JSON Schema: {error.message[:200]}") from None


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


_Bounded = extend(Draft202012Validator, {"pattern": _pattern, "patternProperties": _unsupported})  # type: ignore[no-untyped-call]
