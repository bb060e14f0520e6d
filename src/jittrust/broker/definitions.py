"""Tools out of their pinned definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from jittrust.core.authority.pin import PinState, ToolPin
from jittrust.core.intent.access import NO_ACCESS_MODEL, AccessClass, AccessModel, access_of
from jittrust.core.model import Json, Tool, ToolAnnotations


def tool_of(pin: ToolPin, model: AccessModel = NO_ACCESS_MODEL) -> Tool:
    """The tool as its approved definition says, with the class of access that `model` gives it."""
    definition = json.loads(pin.definition)
    hints = definition.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    schema = definition.get("inputSchema")
    tool = Tool(
        server=pin.server,
        name=pin.tool,
        description=_text(definition.get("description")),
        input_schema=schema if isinstance(schema, dict) else {},
        annotations=ToolAnnotations(
            read_only=_hint(hints, "readOnlyHint"),
            destructive=_hint(hints, "destructiveHint"),
            idempotent=_hint(hints, "idempotentHint"),
            open_world=_hint(hints, "openWorldHint"),
        ),
        title=_text(definition.get("title")),
        pin=pin.pin,
    )
    kind = access_of(tool, model).kind
    return tool if kind is AccessClass.UNKNOWN else replace(tool, access=str(kind))


def pin_approved(pin: ToolPin, definition: str, by: str) -> ToolPin:
    """The pin after a person approved the definition that the server shows now."""
    return replace(pin, pin=pin.seen, definition=definition, state=PinState.PINNED, approved_by=by)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _hint(hints: Mapping[str, Json], name: str) -> bool | None:
    value = hints.get(name)
    return value if isinstance(value, bool) else None
