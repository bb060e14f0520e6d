"""A small MCP server over stdio, on the standard library alone.

Speaks both revisions a client may bring: 2025-11-25, where `initialize` opens a
session, and 2026-07-28, where every request carries its own `_meta` envelope and
there is no session. Each request is judged by what it carries, so one process can
serve either. Messages are JSON, one a line.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEGACY, MODERN = "2025-11-25", "2026-07-28"
HANDSHAKE_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", LEGACY)
PREFIX = "io.modelcontextprotocol/"
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, UNSUPPORTED = (
    -32700,
    -32600,
    -32601,
    -32602,
    -32022,
)

Json = dict[str, Any]


class ToolError(Exception):
    """The tool ran and could not do it: told to the agent as a result with `isError`."""


class ProtocolError(Exception):
    """The request itself is wrong: answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what is listed, and the function that does it.

    `annotations` are the MCP hints; a server that is honest gives all four.
    """

    name: str
    description: str
    properties: Mapping[str, Json]
    required: Sequence[str]
    annotations: Mapping[str, bool]
    run: Callable[[Json], Json]

    def schema(self) -> Json:
        """The tool's input schema."""
        return {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.required),
            "additionalProperties": False,
        }


def hints(
    *, read_only: bool, destructive: bool = False, idempotent: bool = False, open_world: bool = False
) -> dict[str, bool]:
    """The four MCP tool annotations by their wire names."""
    return {
        "readOnlyHint": read_only,
        "destructiveHint": destructive,
        "idempotentHint": idempotent or read_only,
        "openWorldHint": open_world,
    }


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def problems(schema: Mapping[str, Any], value: object, at: str = "arguments") -> Iterator[str]:
    """What keeps `value` from matching `schema`; the keywords these servers use, no others."""
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{at} must be of type {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} must be one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", sys.maxsize):
            yield f"{at} has the wrong length"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{at} must match {schema['pattern']}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{at} is out of range"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(schema.get("items", {}), item, f"{at}[{index}]")
    elif isinstance(value, dict):
        known: Mapping[str, Any] = schema.get("properties", {})
        yield from (f"{at}.{name} is required" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            if name in known:
                yield from problems(known[name], item, f"{at}.{name}")
            elif schema.get("additionalProperties", True) is False:
                yield f"{at}.{name} is not known"


def failure(request_id: object, code: int, message: str, data: object = None) -> Json:
    """A JSON-RPC error reply."""
    error: Json = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


class Server:
    """Lists and calls `tools`; notes every call that was carried out in `DIR/effects.jsonl`."""

    def __init__(self, name: str, version: str, instructions: str, tools: Sequence[Tool], data: Path) -> None:
        self.info = {"name": name, "version": version}
        self.instructions = instructions
        self.tools = {tool.name: tool for tool in tools}
        self.effects = data / "effects.jsonl"
        self.initialized = False

    def note(self, tool: str, arguments: Json, error: str | None) -> None:
        """Appends what really happened; one write, so that servers sharing `DIR` do not mix lines."""
        record: Json = {"server": self.info["name"], "tool": tool, "arguments": arguments}
        record |= {"ok": error is None} | ({} if error is None else {"error": error})
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n"
        handle = os.open(self.effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def call(self, params: Json) -> Json:
        """Checks the arguments, carries the call out, notes it."""
        tool = self.tools.get(params["name"]) if isinstance(params.get("name"), str) else None
        if tool is None:
            raise ProtocolError(INVALID_PARAMS, f"Unknown tool: {params.get('name')}")
        arguments = params.get("arguments", {})
        if not isinstance(arguments, dict):
            raise ProtocolError(INVALID_PARAMS, "arguments must be an object")
        # An argument of the wrong shape is the model's to correct, so it is a result (SEP-1303).
        wrong = list(problems(tool.schema(), arguments))
        if wrong:
            return {"content": [{"type": "text", "text": "Invalid input: " + "; ".join(wrong)}], "isError": True}
        try:
            answer = tool.run(arguments)
        except (ToolError, OSError, ValueError) as refused:  # a full disk or an odd string must not end the server
            self.note(tool.name, arguments, str(refused))
            return {"content": [{"type": "text", "text": str(refused)}], "isError": True}
        self.note(tool.name, arguments, None)
        text = json.dumps(answer, ensure_ascii=False, indent=1)
        return {"content": [{"type": "text", "text": text}], "structuredContent": answer, "isError": False}

    def listed(self) -> Json:
        """What `tools/list` tells."""
        return {
            "tools": [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "inputSchema": tool.schema(),
                    "annotations": dict(tool.annotations),
                }
                for tool in self.tools.values()
            ]
        }

    def modern(self, method: str, params: Json) -> Json:
        """Answers one stateless request; the envelope was found, now it is checked."""
        meta = params["_meta"]
        asked = meta[PREFIX + "protocolVersion"]
        if asked != MODERN:
            raise ProtocolError(
                UNSUPPORTED, "Unsupported protocol version", {"supported": [MODERN], "requested": asked}
            )
        if not isinstance(meta.get(PREFIX + "clientCapabilities"), dict):
            raise ProtocolError(INVALID_PARAMS, f"params._meta lacks {PREFIX}clientCapabilities")
        shared: Json = {"resultType": "complete", "_meta": {PREFIX + "serverInfo": self.info}}
        fresh: Json = {"ttlMs": 0, "cacheScope": "private"}
        if method == "server/discover":
            found = {
                "supportedVersions": [MODERN],
                "capabilities": {"tools": {"listChanged": False}},
                "instructions": self.instructions,
            }
            return found | fresh | shared
        if method == "tools/list":
            return self.listed() | fresh | shared
        if method == "tools/call":
            return self.call(params) | shared
        raise ProtocolError(NO_METHOD, "Method not found", method)

    def legacy(self, method: str, params: Json) -> Json:
        """Answers one request of a session that `initialize` opened."""
        if method == "initialize":
            self.initialized = True
            asked = params.get("protocolVersion")
            return {
                "protocolVersion": asked if asked in HANDSHAKE_REVISIONS else LEGACY,
                "capabilities": {"tools": {"listChanged": False}},
                "serverInfo": self.info,
                "instructions": self.instructions,
            }
        if method == "ping":
            return {}
        if method not in ("tools/list", "tools/call"):
            raise ProtocolError(NO_METHOD, "Method not found", method)
        if not self.initialized:
            raise ProtocolError(INVALID_PARAMS, f"send initialize first, or params._meta with {PREFIX}protocolVersion")
        return self.listed() if method == "tools/list" else self.call(params)

    def result(self, message: Json) -> Json:
        """The result of one request, whichever revision it speaks."""
        method, params = message["method"], message.get("params", {})
        if not isinstance(method, str) or not isinstance(params, dict):
            raise ProtocolError(INVALID_REQUEST, "method must be a string, params an object")
        meta = params.get("_meta")
        stateless = isinstance(meta, dict) and PREFIX + "protocolVersion" in meta
        return self.modern(method, params) if stateless else self.legacy(method, params)

    def answer(self, line: str) -> Json | None:
        """The reply to one line, or None where none is due."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return failure(None, PARSE_ERROR, "Parse error")
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return failure(None, INVALID_REQUEST, "not a JSON-RPC 2.0 message")
        if "method" not in message or "id" not in message:
            return None  # a notification, or an answer to a question never asked
        request_id = message["id"] if isinstance(message["id"], str | int) else None
        try:
            return {"jsonrpc": "2.0", "id": request_id, "result": self.result(message)}
        except ProtocolError as wrong:
            return failure(request_id, wrong.code, wrong.message, wrong.data)

    def serve(self) -> None:
        """Until the client closes our input."""
        with (
            open(0, encoding="utf-8", errors="replace", newline="\n", closefd=False) as requests,
            open(1, "w", encoding="utf-8", newline="\n", closefd=False) as replies,
        ):
            for line in requests:
                reply = self.answer(line) if line.strip() else None
                if reply is not None:
                    replies.write(json.dumps(reply, ensure_ascii=True, separators=(",", ":")) + "\n")
                    replies.flush()


def data_folder(description: str | None) -> Path:
    """Reads `--data DIR` from the command line; the folder is made when it is missing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="where this server's state lives")
    folder: Path = parser.parse_args().data
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def save(path: Path, value: object) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)
