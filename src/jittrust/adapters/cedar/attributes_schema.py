"""What a Cedar schema says of attributes: as much of its grammar as is needed to make what was sent fit it, or say that it does not.

Cedar itself checks the schema, the rules and every question; here only the shapes are read, because cedarpy does not tell them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from jittrust.core.errors import BadInputError
from jittrust.core.model import Json

_TOKEN: Final = re.compile(
    r'\s+|//[^\n]*|(?P<text>"(?:\\.|[^"\\])*")|(?P<name>[A-Za-z_]\w*)|(?P<sign>::|[{}\[\]()<>:;,?=@])'
)
_EXTENSIONS: Final = {"ipaddr": "ip", "decimal": "decimal", "datetime": "datetime", "duration": "duration"}
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
MOST_MEMBERS: Final = 256
"""Most members of a set, a record or a list of parents that is sent."""
_DEEPEST: Final = 16


@dataclass(frozen=True, slots=True)
class RecordShape:
    """A record: the shape of each member by name. What is not declared is left out: no rule can ask for it."""

    members: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetShape:
    """A set of things of one shape."""

    of: Shape


Shape: TypeAlias = "RecordShape | SetShape | str"
"""A record, a set, or the name of a type: `String`, `Long`, `Bool`, an extension type, or an entity type."""


@dataclass(frozen=True, slots=True)
class ActionShape:
    """An action: which types of subject and resource it goes with, and its context."""

    subjects: frozenset[str]
    resources: frozenset[str]
    context: RecordShape


@dataclass(frozen=True, slots=True)
class SchemaShapes:
    """Entity types with their attributes, and actions by name."""

    entities: Mapping[str, RecordShape]
    actions: Mapping[str, ActionShape]


def read_schema(text: str) -> SchemaShapes:
    """Read the shapes out of a schema in Cedar's own syntax that Cedar has accepted.

    Raises:
        BadInputError: code `attributes_schema`: it uses something that is not read here (a namespace, an enumerated type, tags).
    """
    return _Reader(text).read()


def fitted(value: Json, shape: Shape, path: str, depth: int = 0) -> Json:
    """`value` as Cedar's JSON for something of this shape.

    Raises:
        BadInputError: code `attributes_bad`: it is of another kind.
    """
    if depth > _DEEPEST:
        raise _bad(path, "is nested too deep")
    if isinstance(shape, RecordShape):
        if not isinstance(value, Mapping):
            raise _bad(path, "is a record")
        return {
            name: fitted(value[name], inner, f"{path}.{name}", depth + 1)
            for name, inner in shape.members.items()
            if name in value
        }
    if isinstance(shape, SetShape):
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence) or len(value) > MOST_MEMBERS:
            raise _bad(path, f"is a list of at most {MOST_MEMBERS} things")
        return [fitted(one, shape.of, f"{path}[]", depth + 1) for one in value]
    return _plain(value, shape, path)


def _plain(value: Json, kind: str, path: str) -> Json:
    if kind == "String":
        if isinstance(value, str):
            return value
        raise _bad(path, "is a text")
    if kind in {"Bool", "Boolean"}:
        if isinstance(value, bool):
            return value
        raise _bad(path, "is true or false")
    if kind == "Long":
        if isinstance(value, int) and not isinstance(value, bool) and _LOWEST <= value <= _HIGHEST:
            return value
        raise _bad(path, "is a whole number of 64 bits")
    if kind in _EXTENSIONS:
        if isinstance(value, str):
            return {"__extn": {"fn": _EXTENSIONS[kind], "arg": value}}
        raise _bad(path, f"is a text that {kind} reads")
    if isinstance(value, Mapping) and value.get("type") == kind and isinstance(value.get("id"), str):
        return {"__entity": {"type": kind, "id": value["id"]}}
    raise _bad(path, f"names a {kind} by type and id")


def _bad(path: str, is_what: str) -> BadInputError:
    return BadInputError(
        "attributes_bad", f"{path[:200]} {is_what}, says the schema.", "See the schema of this server."
    )


class _Reader:
    """Recursive descent over the tokens of a schema."""

    def __init__(self, text: str) -> None:
        self._tokens = self._split(text)
        self._at = 0
        self._types: dict[str, Shape] = {}
        self._entities: dict[str, RecordShape] = {}
        self._actions: dict[str, tuple[frozenset[str], frozenset[str], Shape]] = {}

    def read(self) -> SchemaShapes:
        while self._at < len(self._tokens):
            word = self._next()
            if word == "@":
                self._next()
                if self._take("("):
                    self._next()
                    self._want(")")
            elif word == "entity":
                self._entity()
            elif word == "action":
                self._action()
            elif word == "type":
                name = self._next()
                self._want("=")
                self._types[name] = self._type()
                self._want(";")
            else:
                raise self._fault(word)
        actions = {
            name: ActionShape(subjects, resources, self._record(context))
            for name, (subjects, resources, context) in self._actions.items()
        }
        return SchemaShapes({name: self._record(shape) for name, shape in self._entities.items()}, actions)

    def _entity(self) -> None:
        names = self._names()
        if self._take("in"):
            self._listed()
        self._take("=")
        shape = self._type() if self._peek() == "{" else RecordShape()
        self._want(";")
        for name in names:
            self._entities[name] = shape if isinstance(shape, RecordShape) else RecordShape()

    def _action(self) -> None:
        names = self._names()
        if self._take("in"):
            self._listed()
        subjects: tuple[str, ...] = ()
        resources: tuple[str, ...] = ()
        context: Shape = RecordShape()
        if self._take("appliesTo"):
            self._want("{")
            while not self._take("}"):
                part = self._next()
                self._want(":")
                if part == "principal":
                    subjects = self._listed()
                elif part == "resource":
                    resources = self._listed()
                elif part == "context":
                    context = self._type()
                else:
                    raise self._fault(part)
                self._take(",")
        self._want(";")
        for name in names:
            self._actions[name] = (frozenset(subjects), frozenset(resources), context)

    def _type(self) -> Shape:
        if self._take("{"):
            members: dict[str, Shape] = {}
            while not self._take("}"):
                while self._take("@"):
                    self._next()
                    if self._take("("):
                        self._next()
                        self._want(")")
                name = self._next()
                self._take("?")
                self._want(":")
                members[name] = self._type()
                self._take(",")
            return RecordShape(members)
        name = self._path()
        if name == "Set" and self._take("<"):
            of = self._type()
            self._want(">")
            return SetShape(of)
        return name

    def _record(self, shape: Shape) -> RecordShape:
        """`shape` with every name of a common type replaced by what it stands for."""
        resolved = self._resolved(shape, 0)
        return resolved if isinstance(resolved, RecordShape) else RecordShape()

    def _resolved(self, shape: Shape, depth: int) -> Shape:
        if depth > _DEEPEST:
            raise BadInputError("attributes_schema", "The schema's types are nested too deep", "Make them flatter.")
        if isinstance(shape, RecordShape):
            return RecordShape({name: self._resolved(inner, depth + 1) for name, inner in shape.members.items()})
        if isinstance(shape, SetShape):
            return SetShape(self._resolved(shape.of, depth + 1))
        return (
            self._resolved(self._types[shape], depth + 1) if shape in self._types else shape.removeprefix("__cedar::")
        )

    def _names(self) -> list[str]:
        names = [self._next()]
        while self._take(","):
            names.append(self._next())
        return names

    def _listed(self) -> tuple[str, ...]:
        if not self._take("["):
            return (self._path(),)
        found: list[str] = []
        while not self._take("]"):
            found.append(self._path())
            self._take(",")
        return tuple(found)

    def _path(self) -> str:
        name = self._next()
        while self._take("::"):
            name += f"::{self._next()}"
        return name

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        found = self._peek()
        self._at += 1
        if not found:
            raise self._fault("its end")
        return found

    def _take(self, wanted: str) -> bool:
        if self._peek() != wanted:
            return False
        self._at += 1
        return True

    def _want(self, wanted: str) -> None:
        if not self._take(wanted):
            raise self._fault(self._peek() or "its end")

    def _split(self, text: str) -> list[str]:
        tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._fault(text[at])
            if found["text"]:
                tokens.append(found["text"][1:-1])
            elif found["name"] or found["sign"]:
                tokens.append(found["name"] or found["sign"])
            at = found.end()
        return tokens

    @staticmethod
    def _fault(word: str) -> BadInputError:
        return BadInputError(
            "attributes_schema",
            f"The schema uses {word[:80]!r} in a way that is not read here",
            "Write entities, actions and common types without namespaces, enumerations and tags.",
        )
