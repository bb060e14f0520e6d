"""JSON-RPC 2.0 over bytes, as MCP uses it. Messages travel as the bytes that came; the parsed copy is only looked at.

A line is read once, strictly (`core.strict_json`): what two readers could understand differently is refused before anybody acts on it.
Changes to a message (an id, one member of `params`, the list of tools) are cuts in the bytes: everything else survives unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from json.decoder import scanstring  # type: ignore[attr-defined]

from jittrust.core import strict_json
from jittrust.core.errors import BadInputError, JitError
from jittrust.core.model import Json
from jittrust.core.problem import outward

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Default limit of one message, in bytes."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
# JSON-RPC 2.0 §5.1 reserves -32768..-32000 and MCP hands out codes inside it; ours are HTTP's numbers, which nobody can mistake for them.
REFUSED = 403
CONFLICT = 409
TOO_MANY = 429
UPSTREAM_FAILED = 502
UNAVAILABLE = 503

META = "dev.jittrust/"
"""Prefix of our own `_meta` members (reverse DNS; its second label is not reserved)."""
MODERN = "2026-07-28"
MCP_META = "io.modelcontextprotocol/"

_SPACE = re.compile(r"[ \t\n\r]*")
# For spans only: the values are thrown away.
_SCAN = json.JSONDecoder(parse_int=len, parse_float=len).scan_once  # type: ignore[attr-defined]
_ID = rb'"id"[ \t]*:[ \t]*(-?[0-9]{1,18}|"(?:[^"\\\x00-\x1f]|\\["\\/bfnrtu]){0,512}")'
_ID_FIRST = re.compile(rb'[ \t\r\n]*\{[ \t]*(?:"(?:jsonrpc|method)"[ \t]*:[ \t]*"[^"\\]{0,256}"[ \t]*,[ \t]*)*' + _ID)
_ID_LAST = re.compile(
    rb"\}[ \t]*,[ \t]*(?:\"jsonrpc\"[ \t]*:[ \t]*\"2\.0\"[ \t]*,[ \t]*)?"
    + _ID
    + rb'[ \t]*(?:,[ \t]*"jsonrpc"[ \t]*:[ \t]*"2\.0"[ \t]*)?\}[ \t\r\n]*$'
)


_OWN_MEMBERS = {
    name.casefold(): name
    for name in (
        *("jsonrpc", "id", "method", "params", "result", "error", "name", "arguments", "uri", "cursor", "ref", "argument", "context"),
        *("taskId", "task", "inputResponses", "requestState", "requestId", "progressToken", "protocolVersion", "capabilities", "clientInfo"),
        *("level", "notifications", "messages", "requestedSchema", "message", "_meta"),
    )
}  # fmt: skip

_OWN_RESULTS = {
    name.casefold(): name
    for name in (
        *("content", "structuredContent", "isError", "tools", "nextCursor", "contents", "messages", "completion", "prompts", "resources"),
        *("resourceTemplates", "resultType", "inputRequests", "requestState", "result", "task", "capabilities", "instructions", "_meta"),
    )
}  # fmt: skip


class MessageKind(StrEnum):
    """What one message is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESULT = "result"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Message:
    r"""One well-formed message.

    Attributes:
        raw: its bytes, exactly as they came, without the line end.
        kind: what it is.
        method: of a request or notification, else empty.
        id: raw JSON of the id; None for notifications (and for errors that name no request).
        key: the id as its reader understands it, so that `"a"` and `"\u0061"` are one key; empty without an id.
        body: the parsed copy.
        params: `params` of the parsed copy; empty when there are none.
    """

    raw: bytes
    kind: MessageKind
    method: str = ""
    id: bytes | None = None
    key: str = ""
    body: Mapping[str, Json] = field(default_factory=dict)
    params: Mapping[str, Json] = field(default_factory=dict)

    @property
    def meta(self) -> Mapping[str, Json]:
        """`params._meta`, empty when there is none."""
        found = self.params.get("_meta")
        return found if isinstance(found, Mapping) else {}

    @property
    def modern(self) -> bool:
        """Whether the request carries the envelope of revision 2026-07-28 (stateless)."""
        return MCP_META + "protocolVersion" in self.meta

    @property
    def result(self) -> Mapping[str, Json]:
        """`result` of a response, empty when there is none."""
        found = self.body.get("result")
        return found if isinstance(found, Mapping) else {}

    @property
    def progress_token(self) -> str | int | None:
        """`params._meta.progressToken`."""
        found = self.meta.get("progressToken")
        return found if isinstance(found, str | int) and not isinstance(found, bool) else None


class MalformedMessageError(BadInputError):
    """The bytes are no JSON-RPC message that may be acted on.

    Attributes:
        rpc_code: what JSON-RPC calls it (-32700 or -32600).
        id: raw JSON of the id where one could be made out (a guess when the text is broken), else None.
    """

    def __init__(self, code: str, message: str, rpc_code: int, id_: bytes | None = None) -> None:
        super().__init__(code, message)
        self.rpc_code = rpc_code
        self.id = id_

    def reply(self) -> bytes:
        """The error reply to send."""
        return error_reply(self.id, self.rpc_code, f"jittrust: {self.message}", {"code": self.code})


def read_message(data: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES, allow_nul: bool = False) -> Message:
    r"""Classify one message.

    Args:
        data: one message, without its line end.
        max_bytes: largest size.
        allow_nul: let `\u0000` in strings through; for what a server answered, never for what a client asks.

    Raises:
        MalformedMessageError: codes of `core.strict_json`, or `batch_unsupported` (no batches since revision 2025-06-18), `not_a_message`,
            `bad_id` (MCP: a string or a whole number), `params_not_object`.
    """
    data = data.strip(b" \t\r\n")
    try:
        body = strict_json.parse(data, max_bytes=max_bytes, allow_nul=allow_nul)
    except BadInputError as error:
        raise MalformedMessageError(error.code, error.message, PARSE_ERROR, guess_id(data)) from None
    if isinstance(body, list):
        raise MalformedMessageError(
            "batch_unsupported", "batches are not part of MCP; send one message at a time", INVALID_REQUEST
        )
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
        raise MalformedMessageError("not_a_message", "not a JSON-RPC 2.0 message", INVALID_REQUEST)
    return _classify(data, body)


def _classify(data: bytes, body: Mapping[str, Json]) -> Message:
    id_, key = _id(data, body)
    result = body.get("result")
    _check_spelling(body, id_, _OWN_MEMBERS)
    _check_spelling(result if isinstance(result, dict) else {}, id_, _OWN_RESULTS)
    method = body.get("method")
    if method is not None:
        if not isinstance(method, str) or not method or "result" in body or "error" in body:
            raise MalformedMessageError(
                "not_a_message", "method must be a word, and a request has no result", INVALID_REQUEST, id_
            )
        params = body.get("params", {})
        if not isinstance(params, dict):
            raise MalformedMessageError("params_not_object", "params must be an object", INVALID_REQUEST, id_)
        if not isinstance(params.get("_meta", {}), dict):
            raise MalformedMessageError("params_not_object", "params._meta must be an object", INVALID_REQUEST, id_)
        arguments = params.get("arguments")
        _check_spelling(params, id_, _OWN_MEMBERS)
        _check_spelling(arguments if isinstance(arguments, dict) else {}, id_)
        kind = MessageKind.NOTIFICATION if id_ is None else MessageKind.REQUEST
        return Message(data, kind, method, id_, key, body, params)
    if ("result" in body) == ("error" in body):
        raise MalformedMessageError(
            "not_a_message", "a message has a method, a result or an error", INVALID_REQUEST, id_
        )
    if "error" in body:
        return Message(data, MessageKind.ERROR, id=id_, key=key, body=body)
    if id_ is None or not isinstance(body["result"], dict):
        raise MalformedMessageError(
            "not_a_message", "a result is an object and names its request", INVALID_REQUEST, id_
        )
    return Message(data, MessageKind.RESULT, id=id_, key=key, body=body)


def _check_spelling(place: Mapping[str, Json], id_: bytes | None, own: Mapping[str, str] | None = None) -> None:
    """Refuse members that are one to a reader who does not tell `Name` from `name`, as Go's standard library does not: it would act on another.

    `own`: folded name → spelling of members that the protocol has in this place, which nobody may spell otherwise.
    """
    seen: set[str] = set()
    for name in place:
        folded = name.casefold()
        if folded in seen or (own is not None and own.get(folded, name) != name):
            words = f"the member {name[:80]!r} is spelled like another one but for upper and lower case"
            raise MalformedMessageError("member_spelling", words, INVALID_REQUEST, id_)
        seen.add(folded)


def _id(data: bytes, body: Mapping[str, Json]) -> tuple[bytes | None, str]:
    if "id" not in body:
        return None, ""
    value = body["id"]
    if value is None and "error" in body:
        return None, ""  # an error about a message whose id could not be read
    raw = strict_json.raw_member(data, ("id",))
    if isinstance(value, str):
        return raw, f"s{value}"
    if isinstance(value, int) and not isinstance(value, bool):
        return raw, f"i{value}"
    raise MalformedMessageError(
        "bad_id", "an id is a string or a whole number", INVALID_REQUEST, raw if isinstance(value, float) else None
    )


def key_of(value: Json) -> str:
    """The key (see `Message.key`) of an id found inside a message, as `requestId` of `notifications/cancelled`; empty for anything else."""
    if isinstance(value, str):
        return f"s{value}"
    return f"i{value}" if isinstance(value, int) and not isinstance(value, bool) else ""


def key_of_raw(raw: bytes | None) -> str:
    """The key of an id that is raw JSON; empty when it is none that MCP allows."""
    try:
        return "" if raw is None else key_of(strict_json.parse(raw))
    except BadInputError:
        return ""


def guess_id(head: bytes, tail: bytes = b"") -> bytes | None:
    """Raw JSON of the id of a message that may not be parsed (too large, broken), for an error reply; None where none is plain to see.

    `head` is how it began, `tail` how it ended when it was not kept whole. It names at most a request of the same sender, so a wrong guess
    harms nobody else.
    """
    found = _ID_FIRST.match(head[:8192]) or _ID_LAST.search((tail or head)[-2048:])
    if found is None:
        return None
    try:
        strict_json.parse(found.group(1))
    except BadInputError:
        return None
    return found.group(1)


# --- making messages -------------------------------------------------------------------------------------------------------------------


def dump(value: Json) -> bytes:
    """Compact JSON, ASCII only, so that no control or bidirectional character reaches a terminal or a line reader raw."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def error_reply(id_: bytes | None, code: int, message: str, data: Json = None) -> bytes:
    """An error reply. `id_` None: the request could not be made out, the id is null."""
    error: dict[str, Json] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return b'{"jsonrpc":"2.0","id":' + (id_ or b"null") + b',"error":' + dump(error) + b"}"


def failure_reply(id_: bytes | None, error: JitError) -> bytes:
    """The error reply for one of our own errors: its HTTP number, its words, `data.code`."""
    message, step = outward(error)
    words = f"jittrust: {message}{'' if message.endswith('.') else '.'} {step}".rstrip()
    return error_reply(id_, error.http_status, words, {"code": error.code})


def result_reply(id_: bytes, result: Mapping[str, Json]) -> bytes:
    """A result."""
    return b'{"jsonrpc":"2.0","id":' + id_ + b',"result":' + dump(result) + b"}"


def tool_reply(id_: bytes, text: str, *, error: bool, meta: Mapping[str, Json], modern: bool) -> bytes:
    """A tool result of one text block; `modern` adds what revision 2026-07-28 wants in every result."""
    result: dict[str, Json] = {"resultType": "complete"} if modern else {}
    result |= {"content": [{"type": "text", "text": text}], "isError": error}
    if meta:
        result["_meta"] = dict(meta)
    return result_reply(id_, result)


def request(id_: str, method: str, params: Mapping[str, Json]) -> bytes:
    """A request of our own."""
    return dump({"jsonrpc": "2.0", "id": id_, "method": method, "params": dict(params)})


def notification(method: str, params: Mapping[str, Json] | None = None) -> bytes:
    """A notification of our own."""
    return dump({"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": dict(params)}))


# --- cutting bytes ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slice:
    """Where a value lies in the bytes: `data[start:end]`. `name` is the member's name, empty for an element of an array."""

    name: str
    start: int
    end: int


def members(data: bytes) -> Sequence[Slice]:
    """Where the values of the members of an object lie. `data` is one JSON object that `strict_json.parse` has let through."""
    text = data.decode("latin-1")  # one character is one byte, so offsets of the C scanner are byte offsets
    at = _skip(text, _skip(text, 0) + 1)
    found: list[Slice] = []
    while text[at] != "}":
        start = at
        _, at = scanstring(text, at + 1, True)  # noqa: FBT003 - the C function takes no keywords
        name = json.loads(data[start:at])
        at = _skip(text, _skip(text, at) + 1)
        _, end = _SCAN(text, at)
        found.append(Slice(name, at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def elements(data: bytes) -> Sequence[Slice]:
    """Where the elements of an array lie. `data` is one JSON array that `strict_json.parse` has let through."""
    text = data.decode("latin-1")
    at = _skip(text, _skip(text, 0) + 1)
    found: list[Slice] = []
    while text[at] != "]":
        _, end = _SCAN(text, at)
        found.append(Slice("", at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def with_members(data: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """The object `data` with some members replaced (raw JSON), added, or left out (None); every other byte of its values as it was."""
    kept: list[bytes] = []
    left = dict(changes)
    for slot in members(data):
        value = left.pop(slot.name, data[slot.start : slot.end]) if slot.name in left else data[slot.start : slot.end]
        if value is not None:
            kept.append(dump(slot.name) + b":" + value)
    kept += (dump(name) + b":" + value for name, value in left.items() if value is not None)
    return b"{" + b",".join(kept) + b"}"


def with_path(data: bytes, path: Sequence[str], changes: Mapping[str, bytes | None]) -> bytes:
    """`with_members` for the object at `path`; `data` unchanged when there is no object there."""
    if not path:
        return with_members(data, changes)
    inner = strict_json.raw_member(data, (path[0],))
    if inner is None or not inner.startswith(b"{"):
        return data
    slot = next(slot for slot in members(data) if slot.name == path[0])
    return data[: slot.start] + with_path(inner, path[1:], changes) + data[slot.end :]


def with_gas(reply: bytes, left: int) -> bytes:
    """A reply whose result says in its `_meta` what is left of the grant; every other byte as it was. Errors have no place for it."""
    text = reply.decode("latin-1")
    at = _span(text, _skip(text, 0), "result")
    if at is None or text[at[0]] != "{":
        return reply
    name, gas = META + "gas", dump(left)
    inner = _span(text, at[0], "_meta")
    if inner is None:
        end = at[1]
        member = b'"_meta":{' + dump(name) + b":" + gas + b"}"
        return _joined(reply[:end], member) + reply[end:]
    if text[inner[0]] != "{":
        return reply
    start, end = inner
    said = _span(text, start, name)
    # What a server says under our own name is replaced.
    return (
        _joined(reply[:end], dump(name) + b":" + gas) + reply[end:]
        if said is None
        else reply[: said[0]] + gas + reply[said[1] :]
    )


def _span(text: str, at: int, name: str) -> tuple[int, int] | None:
    """Where the value of a member of the object that begins at `at` lies; None when it has none of that ASCII name."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        found, at = scanstring(text, at + 1, True)  # noqa: FBT003 - the C function takes no keywords
        at = _skip(text, _skip(text, at) + 1)
        if found == name:
            return at, _SCAN(text, at)[1]
        at = _skip(text, _SCAN(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
    return None


def _joined(data: bytes, member: bytes) -> bytes:
    """`data`, which ends with an object, with one more member at the end of that object."""
    body = data[:-1]
    return body + (b"" if body.rstrip().endswith(b"{") else b",") + member + b"}"


def array(parts: Iterable[bytes]) -> bytes:
    """A JSON array of raw values."""
    return b"[" + b",".join(parts) + b"]"


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
