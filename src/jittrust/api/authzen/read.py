"""AuthZEN requests as values: strict where a difference of readers could matter, lenient where the specification wants it (unknown members).

Refused with 400: a body that is no `application/json`, that `core.strict_json` does not take, members of the wrong type, names that are empty, too
long, not printable or not in Unicode's normal form C (two spellings of one name would be two names).
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.requests import ClientDisconnect, Request

from jittrust.core.errors import BadInputError
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object
from jittrust.ports.attribute_policy import Attributed, AttributeQuestion

MOST_BODY: Final = 1024 * 1024
"""Largest body, in bytes."""
MOST_DEPTH: Final = 32
MOST_KEYS: Final = 20_000
MOST_EVALUATIONS: Final = 64
"""Most questions in one batch."""
MOST_LIMIT: Final = 200
"""Most results on one page."""
USUAL_LIMIT: Final = 50
LONGEST_ID: Final = 2048
LONGEST_NAME: Final = 256
LONGEST_TOKEN: Final = 8192
_BODY_SECONDS: Final = 15.0
_EMPTY: Mapping[str, Json] = {}


class BodyTooBigError(BadInputError):
    """More bytes than are taken."""

    http_status = 413


class BodyLateError(BadInputError):
    """The body did not come in time."""

    http_status = 408


class BatchSemantics(StrEnum):
    """How far a batch is answered (AuthZEN 1.0 §7.1.2.1)."""

    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"


@dataclass(frozen=True, slots=True)
class QuestionBatch:
    """Questions in their order; one that could not be read is its error, which is answered in its place."""

    items: Sequence[AttributeQuestion | BadInputError]
    semantics: BatchSemantics


@dataclass(frozen=True, slots=True)
class PageAsked:
    """Where a search goes on, and how much is wanted of it."""

    token: str = ""
    limit: int = USUAL_LIMIT


async def body_of(request: Request) -> dict[str, Json]:
    """The request's JSON object, read no further than it may be long.

    Raises:
        BadInputError: see the module; `BodyTooBigError` 413, `BodyLateError` 408.
    """
    kinds = request.headers.getlist("content-type")
    codings = [one for one in request.headers.getlist("content-encoding") if one.strip().lower() != "identity"]
    kind = kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""
    if kind != "application/json" or codings:
        # 400 and not 415: that is what the certification scenario asks for.
        raise BadInputError("unsupported_media_type", "The body is application/json, without a content coding.")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY:
                    raise BodyTooBigError("json_too_large", f"A request has at most {MOST_BODY} bytes.")
    except TimeoutError:
        raise BodyLateError("body_too_slow", "The body did not come in time.") from None
    except ClientDisconnect:
        raise BadInputError("request_bad", "The request was broken off.") from None
    return parse_object(bytes(body), max_bytes=MOST_BODY, max_depth=MOST_DEPTH, max_keys=MOST_KEYS)


def read_question(told: Mapping[str, Json]) -> AttributeQuestion:
    """One evaluation request. Raises BadInputError: code `request_bad`."""
    action = _object(told, "action")
    return AttributeQuestion(
        subject=_entity(told, "subject"),
        action=name_in(action, "action", "name", LONGEST_NAME),
        resource=_entity(told, "resource"),
        action_properties=_properties(action, "action"),
        context=_optional(told, "context", ""),
    )


def read_batch(told: Mapping[str, Json]) -> QuestionBatch | None:
    """A batch; None where the body is one question (`evaluations` absent or empty: AuthZEN 1.0 §7.1).

    Raises:
        BadInputError: code `request_bad`, `batch_too_large`, `semantics_unknown`: the batch as a whole.
    """
    options = _optional(told, "options", "")
    named = options.get("evaluations_semantic", BatchSemantics.EXECUTE_ALL)
    if not isinstance(named, str) or named not in frozenset(BatchSemantics):
        raise BadInputError("semantics_unknown", f"evaluations_semantic is one of {', '.join(BatchSemantics)}.")
    items = told.get("evaluations", [])
    if not isinstance(items, list):
        raise _bad("evaluations is a list")
    if not items:
        return None
    if len(items) > MOST_EVALUATIONS:
        raise BadInputError("batch_too_large", f"A batch has at most {MOST_EVALUATIONS} evaluations.", "Send several.")
    defaults = {
        name: _optional(told, name, "") for name in ("subject", "action", "resource", "context") if name in told
    }
    return QuestionBatch([_item(item, defaults) for item in items], BatchSemantics(named))


def read_search(told: Mapping[str, Json], wanted: str) -> tuple[AttributeQuestion, PageAsked]:
    """A search for `wanted`: `subject`, `resource` or `action`; what is searched for has an empty id, or name.

    Raises:
        BadInputError: code `request_bad`.
    """
    action = _EMPTY if wanted == "action" else _object(told, "action")
    question = AttributeQuestion(
        subject=_entity(told, "subject", searched=wanted == "subject"),
        action="" if wanted == "action" else name_in(action, "action", "name", LONGEST_NAME),
        resource=_entity(told, "resource", searched=wanted == "resource"),
        action_properties=_properties(action, "action"),
        context=_optional(told, "context", ""),
    )
    return question, read_page(told)


def read_page(told: Mapping[str, Json]) -> PageAsked:
    """The page asked for; without one, the first. Raises BadInputError: code `page_bad`."""
    page = _optional(told, "page", "")
    token, limit = page.get("token", ""), page.get("limit", USUAL_LIMIT)
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
        raise BadInputError("page_bad", "page.token is a text that this server gave.")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadInputError("page_bad", "page.limit is a whole number from 1.")
    return PageAsked(token, min(limit, MOST_LIMIT))


def name_in(told: Mapping[str, Json], where: str, name: str, longest: int = LONGEST_ID) -> str:
    """A text that names something. Raises BadInputError: code `request_bad`."""
    value = told.get(name)
    if not isinstance(value, str) or not value or len(value) > longest:
        raise _bad(f"{where}.{name} is a text of 1 to {longest} characters")
    if not value.isprintable() or not unicodedata.is_normalized("NFC", value):
        raise _bad(f"{where}.{name} holds characters that are not printed, or is not in Unicode's normal form C")
    return value


def text_in(told: Mapping[str, Json], where: str, name: str, longest: int) -> str:
    """A text that may be left out, then empty. Raises BadInputError: code `request_bad`."""
    value = told.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise _bad(f"{where}.{name} is a text of at most {longest} characters")
    return value


def object_in(told: Mapping[str, Json], where: str, name: str) -> Mapping[str, Json]:
    """An object that may be left out, then empty. Raises BadInputError: code `request_bad`."""
    return _optional(told, name, where)


def _item(item: Json, defaults: Mapping[str, Mapping[str, Json]]) -> AttributeQuestion | BadInputError:
    """One evaluation of a batch: an entity it names replaces the default whole, but for what every entity must have."""
    if not isinstance(item, Mapping):
        return _bad("an evaluation is an object")
    merged: dict[str, Json] = dict(defaults)
    for name, needed in (("subject", ("type", "id")), ("action", ("name",)), ("resource", ("type", "id"))):
        if name not in item:
            continue
        own, base = item[name], defaults.get(name, _EMPTY)
        merged[name] = {**{key: base[key] for key in needed if key in base}, **own} if isinstance(own, Mapping) else own
    if "context" in item:
        merged["context"] = item["context"]
    try:
        return read_question(merged)
    except BadInputError as error:
        return error


def _entity(told: Mapping[str, Json], name: str, *, searched: bool = False) -> Attributed:
    entity = _object(told, name)
    kind = name_in(entity, name, "type", LONGEST_NAME)
    return Attributed(kind, "" if searched else name_in(entity, name, "id"), _properties(entity, name))


def _properties(entity: Mapping[str, Json], where: str) -> Mapping[str, Json]:
    return _optional(entity, "properties", where)


def _object(told: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = told.get(name)
    if not isinstance(value, Mapping):
        raise _bad(f"{name} is an object, and it is needed")
    return value


def _optional(told: Mapping[str, Json], name: str, where: str) -> Mapping[str, Json]:
    value = told.get(name, _EMPTY)
    if not isinstance(value, Mapping):
        raise _bad(f"{where}.{name} is an object".removeprefix("."))
    return value


def _bad(words: str) -> BadInputError:
    return BadInputError("request_bad", f"{words}.", "See docs/authzen.md.")
