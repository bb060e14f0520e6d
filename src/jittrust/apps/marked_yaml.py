"""YAML that remembers where everything stood: plain data plus the line and column of every key and value.

A deliberately small YAML: one document, UTF-8, no aliases, no tags, no merge keys, no duplicate keys, bounded size and depth. JSON is YAML, so a
client's `mcpServers` file is read by the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Protocol, TypeAlias, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from jittrust.core.errors import BadInputError
from jittrust.core.model import Json

MOST_BYTES: Final = 1 << 20
MOST_DEPTH: Final = 32
MOST_EVENTS: Final = 50_000

DocumentPath: TypeAlias = "tuple[str | int, ...]"
Place: TypeAlias = tuple[int, int]
M = TypeVar("M", bound=BaseModel)


class _Mark(Protocol):
    """Where PyYAML was; it has two classes for it."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class MarkedDocument:
    """Plain data and where it stood.

    `keys` and `values` give line and column, from 1, of the key and of the value at a path (`("servers", "git", "command")`).
    """

    name: str
    data: Json
    keys: Mapping[DocumentPath, Place] = field(default_factory=dict)
    values: Mapping[DocumentPath, Place] = field(default_factory=dict)

    def place(self, path: DocumentPath, *, key: bool = False) -> str:
        """`file:line:column` of the value (or key) at `path`, or of the nearest thing around it that is in the file."""
        for end in range(len(path), -1, -1):
            table = self.keys if key and end == len(path) else self.values
            if found := table.get(path[:end]):
                return f"{self.name}:{found[0]}:{found[1]}"
        return self.name


def read_marked(file: Path, prefix: str) -> MarkedDocument:
    """Read and parse a file; see `parse_marked`.

    Raises:
        BadInputError: also code `<prefix>_missing`: there is no such file or it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInputError(
            f"{prefix}_missing",
            f"{file} cannot be read: {error.strerror}",
            "Check the path and the rights of the file.",
        ) from error
    return parse_marked(raw, str(file), prefix)


def parse_marked(raw: bytes, name: str, prefix: str) -> MarkedDocument:
    """Parse one YAML (or JSON) document of at most 1 MiB, 32 levels and 50,000 nodes.

    Raises:
        BadInputError: code `<prefix>_syntax`, with file, line and column in the message.
    """

    def broken(what: str, mark: _Mark | None = None) -> BadInputError:
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        return BadInputError(f"{prefix}_syntax", f"{where}: {what}", "Mend the file and try again.")

    if len(raw) > MOST_BYTES:
        raise broken(f"the file is larger than {MOST_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise broken(f"byte {error.start} is not UTF-8") from error
    try:
        # The event stream is read without recursion, so depth and aliases are refused before anything is built from them.
        depth = 0
        for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise broken("anchors and aliases are not allowed", event.start_mark)
            if getattr(event, "tag", None):
                raise broken("tags (!) are not allowed", event.start_mark)
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                depth += 1
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                depth -= 1
            if depth > MOST_DEPTH:
                raise broken(f"nested deeper than {MOST_DEPTH} levels", event.start_mark)
            if number > MOST_EVENTS:
                raise broken("too many entries", event.start_mark)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise broken(error.problem or "not YAML", error.problem_mark or error.context_mark) from error
    except yaml.YAMLError as error:
        raise broken(str(error).splitlines()[0]) from error
    keys: dict[DocumentPath, Place] = {}
    values: dict[DocumentPath, Place] = {}

    def build(node: Node, path: DocumentPath) -> Json:
        values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, ScalarNode):
            try:
                return _scalar(node)
            except (ValueError, OverflowError) as error:
                raise broken(f"cannot read this value: {error}", node.start_mark) from error
        if isinstance(node, SequenceNode):
            return [build(item, (*path, index)) for index, item in enumerate(node.value)]
        made: dict[str, Json] = {}
        for key, item in node.value if isinstance(node, MappingNode) else ():
            if not isinstance(key, ScalarNode):
                raise broken("a key must be a word", key.start_mark)
            if key.value in made:
                line = keys[(*path, key.value)][0]
                raise broken(f"{key.value!r} is written twice (first in line {line})", key.start_mark)
            keys[(*path, key.value)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            made[key.value] = build(item, (*path, key.value))
        return made

    data = {} if node is None else build(node, ())
    return MarkedDocument(name, data, keys, values)


_SCALARS: Final = {"tag:yaml.org,2002:" + tag for tag in ("null", "bool", "int", "float")}


def _scalar(node: ScalarNode) -> Json:
    """Null, boolean, whole number, float; everything else, dates included, is the text as written."""
    if node.tag not in _SCALARS:
        return str(node.value)
    loader = yaml.SafeLoader("")
    try:
        built: Json = loader.construct_object(node)
    finally:
        loader.dispose()
    return built


def validated(model: type[M], document: MarkedDocument, prefix: str, context: Mapping[str, object] | None = None) -> M:
    """The document as a model.

    Raises:
        BadInputError: code `<prefix>_unknown_key` or `<prefix>_bad_value`; the message has file, line, column and the path of every fault.
    """
    try:
        return model.model_validate(document.data, context=dict(context or {}))
    except ValidationError as error:
        raise _explained(model, document, prefix, error) from error


def _explained(model: type[BaseModel], document: MarkedDocument, prefix: str, error: ValidationError) -> BadInputError:
    lines: list[str] = []
    unknown = False
    for fault in error.errors(include_url=False, include_context=False):
        path = tuple(part for part in fault["loc"] if part != "[key]")
        dotted = ".".join(map(str, path)) or "the file"
        if fault["type"] == "extra_forbidden":
            unknown = True
            near = get_close_matches(str(path[-1]), sorted(_fields_at(model, path[:-1])), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            lines.append(f"{document.place(path, key=True)}: unknown key {dotted!r}{hint}")
            continue
        said = str(fault["msg"]).removeprefix("Value error, ")
        given = fault["input"]
        if fault["type"] == "string_type" and isinstance(given, bool | int | float):
            said += ": write it in quotes"
        if fault["type"] == "model_type":
            said = "a mapping of settings is wanted here"
        lines.append(f"{document.place(path)}: {dotted}: {said}")
    code = f"{prefix}_unknown_key" if unknown else f"{prefix}_bad_value"
    return BadInputError(code, "\n".join(lines), "Mend the file and try again.")


def _fields_at(model: type[BaseModel], path: DocumentPath) -> set[str]:
    """Names that are allowed below `path`, for suggestions."""
    here: type[BaseModel] = model
    for part in path:
        # A part that names no field is a key of a mapping, such as a server's name: the model stays the one of its values.
        for name, described in here.model_fields.items():
            if part in {name, described.alias}:
                here = _model_in(described.annotation) or here
    return {name for field, info in here.model_fields.items() for name in (field, info.alias) if name}


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation holds: itself, or as an item of a mapping or list."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
