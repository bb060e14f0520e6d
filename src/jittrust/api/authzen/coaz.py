"""MCP messages as AuthZEN requests (COAZ-MCP, draft 1 of 2026-02-13). Everything of the draft is in this module.

Each method of revisions 2025-11-25 and 2026-07-28 has a default mapping; a tool may declare its own (`inputSchema."x-authzen-mapping"`, with CEL
expressions). Methods that are not known here are refused.

The draft's table is older than 2026-07-28. Added to it: `server/discover` and `subscriptions/listen` (the server as a whole), `tasks/update` (like
`tasks/get`), `resources/templates/list`, and the arguments of a call as `action.properties.arguments`, for here they are judged.

A declared mapping comes from the party that is being authorised, so it is read as an attack: the subject's id is always the token's own, whatever the
mapping says; expressions are few, short, on one line, without loops; and what they see and give is bounded. CEL itself is loaded on first use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from jittrust.api.authzen.evaluation import BEHIND_BROKER, canonical
from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.model import Json

MAPPING: Final = "x-authzen-mapping"
MOST_EXPRESSIONS: Final = 64
MOST_EVALUATIONS: Final = 16
LONGEST_EXPRESSION: Final = 512
MOST_SEEN: Final = 64 * 1024
"""Most bytes of `params` and of the claims, each, that an expression may look at, and of what it may give."""
_DEEPEST: Final = 8
_LOOPS: Final = re.compile(
    r"\b(?:all|exists|exists_one|existsOne|map|filter|transformList|transformMap\w*|bind|matches)\s*\("
)

_SERVER: Final = "$server"
# Method → (resource type, member of params with its id; `$server` = the server as a whole, further members for the context).
DEFAULTS: Final[Mapping[str, tuple[str, str, tuple[tuple[str, str], ...]]]] = {
    "initialize": ("mcp_server", _SERVER, (("protocol_version", "protocolVersion"),)),
    "server/discover": ("mcp_server", _SERVER, ()),
    "subscriptions/listen": ("mcp_server", _SERVER, ()),
    "tools/list": ("mcp_server", _SERVER, ()),
    "tools/call": ("tool", "name", ()),
    "resources/list": ("mcp_server", _SERVER, ()),
    "resources/templates/list": ("mcp_server", _SERVER, ()),
    "resources/read": ("resource", "uri", ()),
    "resources/subscribe": ("resource", "uri", ()),
    "resources/unsubscribe": ("resource", "uri", ()),
    "prompts/list": ("mcp_server", _SERVER, ()),
    "prompts/get": ("prompt", "name", ()),
    "completion/complete": ("", "", ()),
    "logging/setLevel": ("mcp_server", _SERVER, (("level", "level"),)),
    "tasks/get": ("task", "taskId", ()),
    "tasks/result": ("task", "taskId", ()),
    "tasks/update": ("task", "taskId", ()),
    "tasks/cancel": ("task", "taskId", ()),
    "tasks/list": ("mcp_server", _SERVER, ()),
}
"""Default mapping of each method (COAZ-MCP, "Default Mappings")."""


class MappingFaultError(BadInputError):
    """A mapping that gives no request: the message is refused (COAZ-MCP, "Mapping Errors")."""

    def __init__(self, message: str) -> None:
        super().__init__("mapping_bad", message, "The server's own mapping has to be mended; the message is refused.")


def passes(method: str) -> bool:
    """Whether a message goes without a decision: `ping` and notifications, nothing else."""
    return method == "ping" or method.startswith("notifications/")


def request_of(
    method: str,
    params: Mapping[str, Json],
    claims: Mapping[str, Json],
    server: str,
    declared: Json = None,
) -> dict[str, Json]:
    """The body of the AuthZEN request (evaluation, or with `evaluations` a batch) that stands for an MCP message.

    Args:
        method: of the JSON-RPC request.
        params: likewise.
        claims: of the access token that the enforcement point has checked.
        server: the server's own identifier; empty = the token's `aud`, which must then be one.
        declared: the tool's `x-authzen-mapping`, for `tools/call`; None = it has none.

    Raises:
        MappingFaultError: code `mapping_bad`.
        RefusedError: refused, whatever it is: code `method_unknown`; `cel_missing`: a mapping is declared, and the extra `authzen-mcp` is not
            installed.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise MappingFaultError(message="The token names no subject.")
    if method == "tools/call" and declared is not None:
        return _declared(declared, params, claims, subject)
    if method not in DEFAULTS:
        raise RefusedError("method_unknown", f"{method[:100]!r} is no method of MCP.", "It is refused.")
    kind, named, extra = DEFAULTS[method]
    if method == "completion/complete":
        kind, target = _completed(params)
    elif named == _SERVER:
        target = server or _audience(claims)
    else:
        target = _text(params, named)
    context: dict[str, Json] = {name: params[member] for name, member in extra if member in params}
    if isinstance(claims.get("client_id"), str):
        context["agent"] = claims["client_id"]
    action: dict[str, Json] = {"name": method}
    if isinstance(params.get("arguments"), Mapping):
        action["properties"] = {"arguments": params["arguments"]}
    return {
        "subject": {"type": "identity", "id": subject},
        "action": action,
        "resource": {"type": kind, "id": target},
        "context": context,
    }


def _completed(params: Mapping[str, Json]) -> tuple[str, str]:
    ref = params.get("ref")
    if not isinstance(ref, Mapping):
        raise MappingFaultError(message="params.ref is an object.")
    return ("prompt", _text(ref, "name")) if ref.get("type") == "ref/prompt" else ("resource", _text(ref, "uri"))


def _audience(claims: Mapping[str, Json]) -> str:
    named = claims.get("aud")
    listed = [named] if isinstance(named, str) else named
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], str) or not listed[0]:
        raise MappingFaultError(message="The token's aud is not one server.")
    return listed[0]


def _text(params: Mapping[str, Json], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise MappingFaultError(message=f"params.{name} is a text.")
    return value


# ---- declared mappings ------------------------------------------------------------------------------------------------------------------


def _declared(declared: Json, params: Mapping[str, Json], claims: Mapping[str, Json], subject: str) -> dict[str, Json]:
    if not isinstance(declared, Mapping) or len(declared) != 1 or not declared.keys() <= {"evaluation", "evaluations"}:
        raise MappingFaultError(message="A mapping has exactly one member, evaluation or evaluations.")
    ((envelope, template),) = declared.items()
    if not isinstance(template, Mapping):
        raise MappingFaultError(message="A mapping's envelope is an object.")
    made = _Template(params, claims).fill(template)
    told = made.get("subject", {})
    if not isinstance(told, Mapping):
        raise MappingFaultError(message="subject is an object.")
    if told.get("id", subject) != subject:
        # The party that is being authorised does not say who it is.
        raise MappingFaultError(message="subject.id is not the token's subject.")
    made["subject"] = {"type": "identity", **told, "id": subject}
    context = made.get("context", {})
    if not isinstance(context, Mapping):
        raise MappingFaultError(message="context is an object.")
    if envelope == "evaluations":
        items = made.get("evaluations")
        if not isinstance(items, list) or not 1 <= len(items) <= MOST_EVALUATIONS:
            raise MappingFaultError(message=f"evaluations is a list of 1 to {MOST_EVALUATIONS} evaluations.")
        checked: list[Json] = []
        for item in items:
            if not isinstance(item, Mapping) or not item.keys() <= {"action", "resource", "context"}:
                raise MappingFaultError(
                    message="An evaluation of a mapping has an action, a resource and a context, and no subject."
                )
            _check_context(item.get("context", {}))
            _check_resource(item.get("resource", made.get("resource")))
            checked.append({**item, "context": _with_agent(object_at(item, "context", context), claims)})
        made["evaluations"] = checked
    elif "evaluations" in made or not made.keys() >= {"action", "resource"}:
        raise MappingFaultError(message="A mapping has an action and a resource.")
    _check_context(context)
    if envelope == "evaluation" or "resource" in made:
        _check_resource(made.get("resource"))
    made["context"] = _with_agent(context, claims)
    made.pop("options", None)
    return made


def _check_context(context: Json) -> None:
    """Refuse what would make a use of a question, or another question of it: that is the enforcement point's to say, not the server's."""
    if not isinstance(context, Mapping) or not context.keys().isdisjoint(_OURS):
        raise MappingFaultError(message=f"A mapping's context is an object without {', '.join(_OURS)}.")


def object_at(told: Mapping[str, Json], name: str, otherwise: Mapping[str, Json]) -> Mapping[str, Json]:
    """A member that is an object, else what stands for it."""
    value = told.get(name)
    return value if isinstance(value, Mapping) else otherwise


def _check_resource(resource: Json) -> None:
    """Refuse a mapping that would have another tool judged in place of the one that is called."""
    if not isinstance(resource, Mapping) or not isinstance(resource.get("type"), str):
        raise MappingFaultError(message="A mapping's resource is an object with a type.")
    if resource["type"] in BEHIND_BROKER:
        raise MappingFaultError(
            message="A mapping names resources of the server's own, never a tool, resource or prompt of MCP."
        )


_OURS: Final = ("presentation", "grant", "mission", "supported_obligations", "obligations_supported", "approval")


def _with_agent(context: Mapping[str, Json], claims: Mapping[str, Json]) -> dict[str, Json]:
    """The context with the agent that the token names, never another."""
    told = {name: value for name, value in context.items() if name != "agent"}
    agent = claims.get("client_id")
    return {**told, "agent": agent} if isinstance(agent, str) else told


class _Template:
    """Fills a template's expressions in; counts them."""

    def __init__(self, params: Mapping[str, Json], claims: Mapping[str, Json]) -> None:
        for name, seen in (("params", params), ("token", claims)):
            if len(canonical(seen).encode("utf-8")) > MOST_SEEN:
                raise MappingFaultError(
                    message=f"{name} is larger than {MOST_SEEN} bytes: no expression may look at it."
                )
        self._seen = {"params": _native(params), "token": _native(claims)}
        self._left = MOST_EXPRESSIONS
        self._given = 0

    def fill(self, template: Mapping[str, Json]) -> dict[str, Json]:
        """The template with every expression replaced by its value."""
        found, given = self._value(template, 0, "")
        if not isinstance(found, dict) or not given:  # pragma: no cover - a mapping stays one
            raise MappingFaultError(message="A mapping is an object.")
        return found

    def _value(self, value: Json, depth: int, path: str) -> tuple[Json, bool]:
        """A value, and whether there is one: an optional that is absent leaves its member out."""
        if depth > _DEEPEST:
            raise MappingFaultError(message="A mapping is nested too deep.")
        if isinstance(value, Mapping):
            members = {name: self._value(inner, depth + 1, f"{path}.{name}") for name, inner in value.items()}
            return {name: inner for name, (inner, given) in members.items() if given}, True
        if isinstance(value, str):
            if value.startswith("$$"):
                return value[1:], True
            return self._evaluated(value[1:], path) if value.startswith("$") else (value, True)
        if isinstance(value, Sequence):
            items = [self._value(inner, depth + 1, f"{path}[]") for inner in value]
            return [inner for inner, given in items if given], True
        return value, True

    def _evaluated(self, expression: str, path: str) -> tuple[Json, bool]:
        self._left -= 1
        if self._left < 0:
            raise MappingFaultError(message=f"A mapping has more than {MOST_EXPRESSIONS} expressions.")
        try:
            values = _compiled(expression).eval(data=self._seen).plain_value()
        except (MappingFaultError, RefusedError):
            raise
        except Exception as error:  # noqa: BLE001 - the library's own errors have no common base
            raise MappingFaultError(message=f"{path}: {str(error)[:200]}") from None
        if not isinstance(values, list) or len(values) > 1:
            raise MappingFaultError(message=f"{path}: {str(values)[:200]}")
        if not values:
            return None, False
        found = _plain(values[0], 0)
        self._given += len(canonical(found).encode("utf-8"))
        if self._given > MOST_SEEN:
            raise MappingFaultError(message=f"A mapping gives more than {MOST_SEEN} bytes.")
        return found, found is not None


@lru_cache(maxsize=1)
def _environment() -> Callable[[str], Any]:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]  # noqa: PLC0415 - loaded on first use
        from cel_expr_python.ext import ext_optional  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        # Refused, not failed: a server that declares a mapping must not take the decision point away.
        raise RefusedError(
            "cel_missing",
            "A server declares a mapping, and there is no CEL to read it with.",
            "uv pip install 'jittrust[authzen-mcp]'",
        ) from None
    variables = {"params": cel.Type.DYN, "token": cel.Type.DYN}
    compiled: Callable[[str], Any] = cel.NewEnv(variables=variables, extensions=[ext_optional.ExtOptional()]).compile
    return compiled


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:  # noqa: ANN401 - the library's own type
    """An expression that gives a list: of its value, or empty where an optional is absent."""
    if not 0 < len(expression) <= LONGEST_EXPRESSION or not expression.isprintable() or "//" in expression:
        raise MappingFaultError(
            message=f"An expression is one line of 1 to {LONGEST_EXPRESSION} characters without comments."
        )
    if _LOOPS.search(expression):
        raise MappingFaultError(message="An expression has no loops and no patterns.")
    compile_ = _environment()
    optional = compile_(expression).return_type().name().startswith("optional_type")
    return compile_(f"[?({expression})]" if optional else f"[({expression})]")


def _native(value: Json) -> Any:  # noqa: ANN401 - what the library takes
    """Plain dicts and lists. Whole numbers beyond 64 bits cannot come: the parser refuses them."""
    if isinstance(value, Mapping):
        return {name: _native(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_native(inner) for inner in value]
    return value


def _plain(value: object, depth: int) -> Json:
    """What an expression gave, as JSON."""
    if depth > _DEEPEST:
        raise MappingFaultError(message="An expression gives something nested too deep.")
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {str(name): _plain(inner, depth + 1) for name, inner in value.items()}
    raise MappingFaultError(message="An expression gives something that is no JSON.")
