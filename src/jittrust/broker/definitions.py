"""Tools out of their pinned definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from jittrust.core.authority.pin import PinState, ToolPin
from jittrust.core.intent.access import NO_ACCESS_MODEL, AccessClass, AccessModel, access_of
from jittrust.core.model import Json, Tool, ToolAnnotations

# Characters of a definition from which it is read anew each time: what is kept is bounded, whoever wrote it.
_LONGEST_KEPT = 8_192


def tool_of(pin: ToolPin, model: AccessModel = NO_ACCESS_MODEL) -> Tool:
    """The tool as its approved definition says, with the class of access that `model` gives it."""
    few = len(pin.definition) <= _LONGEST_KEPT
    read = (
        _kept(pin.server, pin.tool, pin.pin, pin.definition)
        if few
        else _read(pin.server, pin.tool, pin.pin, pin.definition)
    )
    known = read.memo.get(tool_of)
    if known is None or known[0] is not model:
        kind = access_of(read, model).kind
        known = read.memo[tool_of] = (
            model,
            read if kind is AccessClass.UNKNOWN else replace(read, access=str(kind)),
        )
    tool: Tool = known[1]
    return tool


def _read(server: str, name: str, pin: str, spelled: str) -> Tool:
    definition = json.loads(spelled)
    hints = definition.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    schema = definition.get("inputSchema")
    return Tool(
        server=server,
        name=name,
        description=_text(definition.get("description")),
        input_schema=schema if isinstance(schema, dict) else {},
        annotations=ToolAnnotations(
            read_only=_hint(hints, "readOnlyHint"),
            destructive=_hint(hints, "destructiveHint"),
            idempotent=_hint(hints, "idempotentHint"),
            open_world=_hint(hints, "openWorldHint"),
        ),
        title=_text(definition.get("title")),
        pin=pin,
    )


@lru_cache(maxsize=1_024)
def _kept(server: str, name: str, pin: str, spelled: str) -> Tool:
    """Agents that join one server, and missions that follow each other, show one definition again and again."""
    return _read(server, name, pin, spelled)


def pin_approved(pin: ToolPin, definition: str, by: str) -> ToolPin:
    """The pin after a person approved the definition that the server shows now."""
    return replace(pin, pin=pin.seen, definition=definition, state=PinState.PINNED, approved_by=by)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _hint(hints: Mapping[str, Json], name: str) -> bool | None:
    value = hints.get(name)
    return value if isinstance(value, bool) else None
