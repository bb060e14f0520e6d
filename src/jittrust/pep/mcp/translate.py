"""MCP messages as access questions (pure), and what may be cut from answers. Nothing here decides.

| method | how it goes |
|---|---|
| `tools/call`, `resources/read`, `prompts/get` | judged |
| `completion/complete`, `resources/subscribe`, `tasks/get`, `tasks/result`, `tasks/update` | judged: they carry data out or bring a result in |
| `sampling/createMessage`, `elicitation/create`, `roots/list` (server to client, or inside `input_required`) | judged |
| `initialize`, `ping`, `server/discover`, lists, `logging/setLevel`, `subscriptions/listen`, `resources/unsubscribe`, `tasks/list`, `tasks/cancel` | through |
| anything else | refused, -32601 |
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from jittrust.core import strict_json
from jittrust.core.errors import BadInputError
from jittrust.core.intent.note import UNREADABLE_NOTE, IntentNote, note_json, read_note
from jittrust.core.model import Action, Evaluation, Json, Resource, Subject, SubjectKind
from jittrust.core.secret import hidden, without_secrets
from jittrust.pep.mcp.jsonrpc import (
    INVALID_PARAMS,
    META,
    MalformedMessageError,
    Message,
    array,
    dump,
    elements,
    with_members,
    with_path,
)

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAME_WORD = re.compile(r"[a-z]+")
_SECRET_WORDS = frozenset(
    {
        "apikey",
        "credential",
        "credentials",
        "otp",
        "passcode",
        "passphrase",
        "password",
        "passwd",
        "pin",
        "secret",
        "token",
    }
)

REQUEST_ACCESS = "request_access"
"""The tool that is always listed."""
PROTOCOL = "protocol"
"""Resource type of messages that have no effect of their own."""
IDEMPOTENCY = META + "idempotency-key"
"""`_meta` member under which a client may send its idempotency key."""
INTENT_NOTE = META + "intent"
"""`_meta` member of a `tools/call` that tells adjacent agents about its intent (docs/schemas/intent-note-1.json)."""
TEXT_LIMIT = 600
"""Most characters of arguments shown to people."""
_LONGEST_TARGET = 4096

REQUEST_ACCESS_TOOL: Mapping[str, Json] = {
    "name": REQUEST_ACCESS,
    "title": "Ask for access",
    "description": "Ask the person in charge for something the current mission does not allow. "
    "Nothing changes until a person decides. Say what you need and why.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "what": {"type": "string", "maxLength": 500, "description": "Which tool or resource, and to do what."},
            "why": {"type": "string", "maxLength": 500, "description": "Why the mission needs it."},
        },
        "required": ["what", "why"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False},
}


class Passing(StrEnum):
    """How a message goes that is not judged."""

    THROUGH = "through"
    TOOL_LISTING = "tool_listing"  # through, and its answer is narrowed
    OPENING = "opening"  # through, and its answer says what the server can do
    UNKNOWN = "unknown"  # refused: no method of either revision


_THROUGH: Mapping[str, Passing] = {
    "initialize": Passing.OPENING,
    "server/discover": Passing.OPENING,
    "tools/list": Passing.TOOL_LISTING,
} | dict.fromkeys(
    (
        "ping",
        "resources/list",
        "resources/templates/list",
        "prompts/list",
        "logging/setLevel",
        "subscriptions/listen",
        "resources/unsubscribe",
        "tasks/list",
        "tasks/cancel",
    ),
    Passing.THROUGH,
)
FROM_CLIENT = frozenset(
    f"notifications/{name}" for name in ("initialized", "cancelled", "progress", "roots/list_changed", "tasks/status")
)
"""Notifications that a client may send; others end here, for a notification can carry an order as well as a request can."""
FROM_SERVER = frozenset({"sampling/createMessage", "elicitation/create", "roots/list"})
"""Requests that a server may make of the client, besides `ping`."""
INPUT_METHODS = frozenset({"tools/call", "resources/read", "prompts/get"})
"""Where revision 2026-07-28 allows `input_required`."""

# How a judged method names its target and its arguments: (resource type, member with the name, member with the arguments).
_JUDGED: Mapping[str, tuple[str, str, str]] = {
    "tools/call": ("tool", "name", "arguments"),
    "resources/read": ("resource", "uri", ""),
    "prompts/get": ("prompt", "name", "arguments"),
    "resources/subscribe": ("resource", "uri", ""),
    "tasks/get": ("task", "taskId", ""),
    "tasks/result": ("task", "taskId", ""),
    "tasks/update": ("task", "taskId", "inputResponses"),
}


def agent_subject(client: str, person: str) -> Subject:
    """The agent as a Subject: one client program of one person. `client` is the name it introduced itself with, empty = unknown."""
    return Subject(SubjectKind.AGENT, f"{safe_text(client, 80) or 'unknown'}@{person}")


def to_evaluation(
    message: Message, *, server: str, subject: Subject, evaluation_id: str, idempotency_key: str = ""
) -> Evaluation | Passing:
    """The access question that a client's request asks, or how it passes without one.

    Args:
        message: a request.
        server: name of the server behind the broker.
        subject: who asks.
        evaluation_id: fresh id.
        idempotency_key: what the transport carried (HTTP `Idempotency-Key`); else `_meta` is looked at.

    Raises:
        MalformedMessageError: code `params_invalid` (-32602): target or arguments are missing or of the wrong type.
    """
    method = message.method
    if method == "completion/complete":
        return _completion(message, server, subject, evaluation_id)
    shape = _JUDGED.get(method)
    if shape is None:
        return _THROUGH.get(method, Passing.UNKNOWN)
    kind, naming, arguing = shape
    name = message.params.get(naming)
    if not isinstance(name, str) or not name or len(name) > _LONGEST_TARGET:
        raise _invalid(message, f"params.{naming} must be a string that is not empty")
    arguments = message.params.get(arguing, {}) if arguing else {naming: name}
    if not isinstance(arguments, Mapping):
        raise _invalid(message, f"params.{arguing} must be an object")
    raw = strict_json.raw_member(message.raw, ("params", arguing)) if arguing else dump(name)
    key = idempotency_key or message.meta.get(IDEMPOTENCY, "")
    # Answers to a server's questions change what a call does, so they are part of what is judged and approved.
    answered = method in INPUT_METHODS and "inputResponses" in message.params
    answers = strict_json.raw_member(message.raw, ("params", "inputResponses")) if answered else None
    digest = call_digest(method, f"{server}/{name}", raw or b"", key if isinstance(key, str) else "", answers or b"")
    if is_access_request(message):
        kind = PROTOCOL  # our own tool: it has no effect but the record
    return Evaluation(
        evaluation_id,
        subject,
        Action(method),
        Resource(kind, f"{server}/{name}"),
        arguments,
        digest,
        shown_arguments(arguments) if arguing else "",
        _note(message) if method == "tools/call" else None,
    )


def _note(message: Message) -> IntentNote | None:
    """What the caller's gateway says of the call. A note that cannot be read is one that says nothing good."""
    if INTENT_NOTE not in message.meta:
        return None
    try:
        return read_note(message.meta[INTENT_NOTE])
    except BadInputError:
        return UNREADABLE_NOTE


def with_note(message: Message, note: IntentNote | None) -> bytes:
    """The bytes of a `tools/call` with our own note; what the caller said under that name does not go on. Every other value is as it came."""
    if message.method != "tools/call" or (note is None and INTENT_NOTE not in message.meta):
        return message.raw
    told = None if note is None else dump(note_json(note))
    if "_meta" in message.params:
        return with_path(message.raw, ("params", "_meta"), {INTENT_NOTE: told})
    return with_path(message.raw, ("params",), {"_meta": b"{" + dump(INTENT_NOTE) + b":" + (told or b"null") + b"}"})


def is_access_request(message: Message) -> bool:
    """Whether a request calls the tool that we offer ourselves; a tool of the server with that name cannot be reached."""
    return message.method == "tools/call" and message.params.get("name") == REQUEST_ACCESS


def asks_for_secrets(params: Mapping[str, Json]) -> bool:
    """Whether a server's form asks the person for a secret, or speaks in our name.

    A form is answered inside the agent's client: no secret belongs there (MCP, elicitation, "servers MUST NOT request sensitive information"), and
    the approver's PIN least of all.
    """
    message = params.get("message")
    if isinstance(message, str) and "jittrust" in message.casefold():
        return True
    schema = params.get("requestedSchema")
    asked = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(asked, Mapping):
        return False
    for name, described in asked.items():
        title = described.get("title") if isinstance(described, Mapping) else ""
        words = set(_NAME_WORD.findall(f"{_HUMP.sub(' ', name)} {title if isinstance(title, str) else ''}".casefold()))
        if words & _SECRET_WORDS or {"api", "key"} <= words:
            return True
    return False


def protocol_evaluation(message: Message, *, server: str, subject: Subject, evaluation_id: str) -> Evaluation:
    """The access question of a message that passes without being judged, where each request has to show a pass all the same."""
    raw = strict_json.raw_member(message.raw, ("params",))
    params = b"" if raw is None else with_members(raw, {"_meta": None})
    target = f"{server}/{message.method}"
    digest = call_digest(message.method, target, params, "")
    return Evaluation(evaluation_id, subject, Action(message.method), Resource(PROTOCOL, target), {}, digest)


def _completion(message: Message, server: str, subject: Subject, evaluation_id: str) -> Evaluation:
    ref, argument = message.params.get("ref"), message.params.get("argument")
    if not isinstance(ref, Mapping) or not isinstance(argument, Mapping):
        raise _invalid(message, "params.ref and params.argument must be objects")
    name = ref.get("name") or ref.get("uri")
    if not isinstance(name, str):
        raise _invalid(message, "params.ref must name a prompt or a resource")
    kind = "prompt" if "name" in ref else "resource"
    raw = strict_json.raw_member(message.raw, ("params", "argument")) or b""
    digest = call_digest(message.method, f"{server}/{name}", raw, "")
    resource = Resource(kind, f"{server}/{name}")
    return Evaluation(
        evaluation_id, subject, Action(message.method), resource, argument, digest, shown_arguments(argument)
    )


def from_server(
    method: str, raw: bytes, params: Mapping[str, Json], *, server: str, subject: Subject, evaluation_id: str
) -> Evaluation:
    """The access question that a server's request of the client asks. `raw` are the exact bytes of `params`."""
    target = f"{server}/{method}"
    shown = {name: value for name, value in params.items() if name != "_meta"}
    digest = call_digest(method, target, raw, "")
    return Evaluation(
        evaluation_id, subject, Action(method), Resource("client", target), shown, digest, shown_arguments(shown)
    )


def embedded_requests(answer: Message) -> Sequence[tuple[str, bytes, Mapping[str, Json]]]:
    """What an `input_required` result asks of the client: (method, exact bytes of params, params) each; empty for any other result.

    A question of unknown shape is given with an empty method, so that it is refused.
    """
    if answer.result.get("resultType") != "input_required":
        return ()
    asked = answer.result.get("inputRequests")
    found: list[tuple[str, bytes, Mapping[str, Json]]] = []
    for key, value in asked.items() if isinstance(asked, Mapping) else ():
        method = value.get("method") if isinstance(value, Mapping) else None
        params = value.get("params", {}) if isinstance(value, Mapping) else None
        if isinstance(method, str) and isinstance(params, Mapping):
            raw = strict_json.raw_member(answer.raw, ("result", "inputRequests", key, "params")) or b""
            found.append((method, raw, params))
        else:
            found.append(("", b"", {}))
    return found


def call_digest(method: str, target: str, arguments: bytes, idempotency_key: str, answers: bytes = b"") -> str:
    """SHA-256 (64 hex digits) of what a call is: method, target, the exact bytes of its arguments, the client's idempotency key.

    Each part is preceded by its length, so no two calls share a spelling. `answers` are the exact bytes of `inputResponses`. The JSON-RPC id
    and `_meta` are left out: they change with every attempt at the same call.
    """
    made = hashlib.sha256()
    for part in (
        method.encode(),
        target.encode("utf-8", "surrogatepass"),
        arguments,
        idempotency_key.encode(),
        answers,
    ):
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.hexdigest()


# --- what people see -------------------------------------------------------------------------------------------------------------------

_SECRET_NAME = re.compile(
    r"passw|pass_?-?phrase|passcode|pwd|secret|token|api_?-?key|credential|authori[sz]ation|private_?-?key|cookie|jwt"
    r"|(?:^|[^a-z])(?:otp|pin)(?:$|[^a-z])",
    re.IGNORECASE,
)


def shown_arguments(arguments: Mapping[str, Json], limit: int = TEXT_LIMIT) -> str:
    """Arguments as people may see them: secrets replaced by their last four characters, unprintable characters escaped, cut."""
    return safe_text(json.dumps(_redacted(arguments), ensure_ascii=False, separators=(", ", ": ")), limit)


def safe_text(text: str, limit: int) -> str:
    r"""`text` without anything that could drive a terminal or turn the reading direction: such characters appear as `\u{1b}`.

    At most `limit` characters, plus a note of how many were cut.
    """
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in cut)
    return cut if len(text) <= limit else f"{cut}… ({len(text) - limit} more characters)"


def _redacted(value: Json, name: str = "") -> Json:
    if isinstance(value, Mapping):
        return {key: _redacted(item, key) for key, item in value.items()}
    if isinstance(value, str):
        if _SECRET_NAME.search(name) and value:
            return hidden(value)
        return without_secrets(value)
    if isinstance(value, Sequence):
        return [_redacted(item, name) for item in value]
    return value


# --- what comes back -------------------------------------------------------------------------------------------------------------------


def texts_of(result: Mapping[str, Json]) -> tuple[str, ...]:
    """Every text of a result, in order: blocks of tools, messages of prompts, contents of resources, values of completions."""
    found: list[str] = []
    for member in ("content", "contents", "messages"):
        items = result.get(member)
        for item in items if isinstance(items, list) else ():
            _collect(item, found)
    completion = result.get("completion")
    values = completion.get("values") if isinstance(completion, Mapping) else None
    found += (value for value in values if isinstance(value, str)) if isinstance(values, list) else ()
    # A finished task carries the tool's result inside (tasks extension).
    inner = result.get("result")
    return tuple(found) + (texts_of(inner) if isinstance(inner, Mapping) else ())


def _collect(item: Json, found: list[str]) -> None:
    if not isinstance(item, Mapping):
        return
    for name in ("text", "uri", "title", "description"):
        value = item.get(name)
        if isinstance(value, str) and value:
            found.append(value)
    for name in ("resource", "content"):
        inner = item.get(name)
        for part in inner if isinstance(inner, list) else (inner,):
            _collect(part, found)


def definitions(answer: Message) -> Sequence[Mapping[str, Json]]:
    """The tool definitions of a `tools/list` result that have a name."""
    listed = answer.result.get("tools")
    if not isinstance(listed, list):
        return ()
    return [tool for tool in listed if isinstance(tool, Mapping) and isinstance(tool.get("name"), str)]


def narrowed_listing(answer: Message, listed: Callable[[str], bool], *, modern: bool) -> bytes:
    """A `tools/list` result without the tools that may not be listed, byte for byte otherwise.

    `request_access` is added on the last page. In revision 2026-07-28 the list becomes private to this caller, or a shared cache would show
    one agent's perimeter to another.
    """
    raw = strict_json.raw_member(answer.raw, ("result", "tools"))
    if raw is None or not raw.startswith(b"["):
        return answer.raw
    tools = answer.result["tools"]
    kept: dict[bytes, None] = {}  # a definition listed twice is kept once
    for slot, tool in zip(elements(raw), tools if isinstance(tools, list) else (), strict=True):
        name = tool.get("name") if isinstance(tool, Mapping) else None
        if isinstance(name, str) and name != REQUEST_ACCESS and listed(name):
            kept[raw[slot.start : slot.end]] = None
    if "nextCursor" not in answer.result:
        kept[dump(REQUEST_ACCESS_TOOL)] = None
    changes: dict[str, bytes | None] = {"tools": array(kept)}
    if modern:
        changes["cacheScope"] = b'"private"'
    return with_path(answer.raw, ("result",), changes)


def opened(answer: Message) -> bytes:
    """The answer to `initialize` or `server/discover`, saying that the tool list may change: it does, with the mission."""
    capabilities = answer.result.get("capabilities")
    if not isinstance(capabilities, Mapping) or not isinstance(capabilities.get("tools"), Mapping):
        return answer.raw
    return with_path(answer.raw, ("result", "capabilities", "tools"), {"listChanged": b"true"})


def has_tools(answer: Message) -> bool:
    """Whether the answer to `initialize` or `server/discover` offers tools."""
    capabilities = answer.result.get("capabilities")
    return isinstance(capabilities, Mapping) and isinstance(capabilities.get("tools"), Mapping)


def client_name(message: Message) -> str:
    """The name and version with which a client introduces itself, safe to print; empty when it does not."""
    info = message.params.get("clientInfo", message.meta.get("io.modelcontextprotocol/clientInfo"))
    if not isinstance(info, Mapping) or not isinstance(info.get("name"), str):
        return ""
    return safe_text(str(info["name"]), 80)


def can_elicit(message: Message) -> bool | None:
    """Whether the client takes form elicitation, from `initialize` or a modern envelope; None when the message does not say.

    An empty `elicitation` object means forms (revision 2025-11-25).
    """
    said = message.params.get("capabilities") if message.method == "initialize" else None
    said = said if said is not None else message.meta.get("io.modelcontextprotocol/clientCapabilities")
    if not isinstance(said, Mapping):
        return None
    mode = said.get("elicitation")
    return isinstance(mode, Mapping) and (not mode or "form" in mode)


def _invalid(message: Message, words: str) -> BadInputError:
    return MalformedMessageError("params_invalid", words, INVALID_PARAMS, message.id)
