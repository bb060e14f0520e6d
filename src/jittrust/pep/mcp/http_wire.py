"""What the headers of a streamable HTTP request must say about its body (MCP 2026-07-28, transports). Pure.

The decision is made on the body. The headers are compared with it, because whoever stands in front (a router, a filter) reads only them: a
request that says two things is refused before anybody acts on either.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.model import Json
from jittrust.pep.asgi import Headers
from jittrust.pep.mcp.jsonrpc import INVALID_PARAMS, MCP_META, MODERN, Message, MessageKind, error_reply

HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022
HANDSHAKE_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions that begin with `initialize`."""

_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_SENTINEL = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_PLAIN = re.compile(r"(?![ \t])[\x20-\x7e\t]*(?<![ \t])")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110 §5.6.2


class Era(StrEnum):
    """How a request carries its context."""

    MODERN = "modern"  # 2026-07-28: every request by itself
    LEGACY = "legacy"  # up to 2025-11-25: initialize, then a session


@dataclass(frozen=True, slots=True)
class WireRefusal:
    """Why a request's headers and body are not acted on: a JSON-RPC error and the HTTP status that carries it."""

    status: int
    rpc_code: int
    message: str
    data: Mapping[str, Json]

    def reply(self, id_: bytes | None) -> bytes:
        """The error reply."""
        return error_reply(id_, self.rpc_code, self.message, self.data)


def mcp_headers(headers: Headers) -> Mapping[str, str] | WireRefusal:
    """The `Mcp-…` headers by lower-case name, without the white space around them; a refusal when one came twice."""
    found: dict[str, str] = {}
    for name, value in headers:
        if not name.startswith(b"mcp-"):
            continue
        known = name.decode("latin-1")
        if known in found:
            return _mismatch(f"{known} header appears more than once", "header_repeated")
        found[known] = value.strip(b" \t").decode("latin-1")
    return found


def era_of(headers: Mapping[str, str], message: Message | None) -> Era:
    """A request is modern when its body says so, or its header names a revision that is no handshake revision."""
    version = headers.get("mcp-protocol-version")
    if message is not None and message.modern:
        return Era.MODERN
    return Era.LEGACY if version is None or version in HANDSHAKE_REVISIONS else Era.MODERN


def check_modern(headers: Mapping[str, str], message: Message) -> WireRefusal | None:
    """Compare the headers of a modern request with its body.

    In this order: the envelope is there, `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name` say what the body says, the revision is served.
    A notification needs a served revision only; what it would do is nothing at this revision.
    """
    version = headers.get("mcp-protocol-version")
    if message.kind is not MessageKind.REQUEST:
        return None if version == MODERN else _unsupported(version or "")
    missing = [key for key in ("protocolVersion", "clientCapabilities") if MCP_META + key not in message.meta]
    if missing:
        names = ", ".join(MCP_META + key for key in missing)
        return WireRefusal(400, INVALID_PARAMS, f"params._meta is missing {names}", {"code": "envelope_missing"})
    said = message.meta[MCP_META + "protocolVersion"]
    if version is None or version != said:
        return _mismatch("the MCP-Protocol-Version header does not match the body's protocol version")
    if headers.get("mcp-method") != message.method:
        return _mismatch("the Mcp-Method header does not match the body's method")
    member = _NAMED_BY.get(message.method)
    if member is not None:
        name = message.params.get(member)
        if name is not None and (not isinstance(name, str) or decode_value(headers.get("mcp-name")) != name):
            return _mismatch(f"the Mcp-Name header does not match the body's {member}")
    if version != MODERN:
        return _unsupported(version)
    return None


def check_params(
    headers: Mapping[str, str], schema: Mapping[str, Json], arguments: Mapping[str, Json]
) -> WireRefusal | None:
    """Compare `Mcp-Param-…` headers with the arguments that the tool's schema mirrors there (`x-mcp-header`, on a chain of `properties`)."""
    for path, token in _mirrored((), schema):
        header = f"Mcp-Param-{token}"
        raw = headers.get(header.lower())
        value = _at(arguments, path)
        shown = _rendered(value)
        if shown is None and raw is None:
            continue
        if shown is None or raw is None or not _same(value, shown, decode_value(raw)):
            return _mismatch(f"the {header} header does not match the argument {'.'.join(path)}")
    return None


def decode_value(value: str | None) -> str | None:
    """The text behind a header value: itself, or what a `=?base64?…?=` sentinel holds; None for a broken sentinel, which matches nothing."""
    if value is None:
        return None
    found = _SENTINEL.fullmatch(value)
    if found is None:
        return value
    try:
        data = base64.b64decode(found[1], validate=True)
        text = data.decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    # One text has one spelling; bits beyond the last byte would make a second.
    return text if base64.b64encode(data).decode("ascii") == found[1] else None


def encode_value(text: str) -> str:
    """`text` as a header value: itself where that is safe, else in a `=?base64?…?=` sentinel. `decode_value` reads it back."""
    if _PLAIN.fullmatch(text) is not None and _SENTINEL.fullmatch(text) is None:
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8')).decode('ascii')}?="


def name_of(message: Message) -> str | None:
    """What `Mcp-Name` says of a request; None where the method has none."""
    found = message.params.get(_NAMED_BY.get(message.method, ""))
    return found if isinstance(found, str) else None


def param_headers(schema: Mapping[str, Json], arguments: Mapping[str, Json]) -> dict[str, str]:
    """The `Mcp-Param-…` headers that a tool's schema wants of a call; `check_params` compares them."""
    found: dict[str, str] = {}
    for path, token in _mirrored((), schema):
        shown = _rendered(_at(arguments, path))
        if shown is not None and _TOKEN.fullmatch(token) is not None:
            found[f"mcp-param-{token.lower()}"] = encode_value(shown)
    return found


def accepts(headers: Headers) -> tuple[bool, bool]:
    """Whether the caller takes JSON, and event streams (RFC 9110 §12.5.1; an absent header takes neither, as the official SDK has it)."""
    kinds = {
        part.split(b";")[0].strip().lower()
        for name, value in headers
        if name == b"accept"
        for part in value.split(b",")
    }
    everything = b"*/*" in kinds
    json_ = everything or b"application/json" in kinds or b"application/*" in kinds
    return json_, everything or b"text/event-stream" in kinds or b"text/*" in kinds


def _mismatch(message: str, code: str = "header_mismatch") -> WireRefusal:
    return WireRefusal(400, HEADER_MISMATCH, message, {"code": code})


def _unsupported(version: str) -> WireRefusal:
    data: dict[str, Json] = {"supported": [MODERN], "requested": version[:64], "code": "unsupported_version"}
    return WireRefusal(400, UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def _mirrored(path: tuple[str, ...], schema: Mapping[str, Json]) -> Sequence[tuple[tuple[str, ...], str]]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or len(path) > 16:  # noqa: PLR2004 - no tool mirrors an argument from deeper
        return ()
    found: list[tuple[tuple[str, ...], str]] = []
    for name, inner in properties.items():
        if isinstance(inner, Mapping):
            token = inner.get("x-mcp-header")
            if isinstance(token, str) and token:
                found.append(((*path, name), token))
            found += _mirrored((*path, name), inner)
    return found


def _at(arguments: Mapping[str, Json], path: tuple[str, ...]) -> Json:
    here: Json = arguments
    for name in path:
        if not isinstance(here, Mapping):
            return None
        here = here.get(name)
    return here


def _rendered(value: Json) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _same(value: Json, shown: str, decoded: str | None) -> bool:
    if decoded == shown:
        return True
    # 42 and 42.0 are one whole number (JSON Schema), whichever way it was written.
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    return whole and decoded is not None and re.fullmatch(r"-?[0-9]{1,20}(\.0+)?", decoded) is not None and int(
        decoded.partition(".")[0]
    ) == value  # fmt: skip
