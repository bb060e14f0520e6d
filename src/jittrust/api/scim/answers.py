"""What each address under `/scim/v2` answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from scim2_models import ResponseParameters
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from jittrust.api.scim import protocol
from jittrust.api.scim.app import MEDIA_TYPE, PREFIX
from jittrust.api.scim.fault import ScimError
from jittrust.core import strict_json
from jittrust.core.errors import ConflictError
from jittrust.core.identity.directory import DirectoryGroup, DirectoryUser
from jittrust.core.model import Json
from jittrust.ports.directory import Directory

MAX_BODY: Final = 1024 * 1024
BODY_SECONDS: Final = 20.0
"""By when all of a body must be there: whoever holds one back holds a connection."""
MAX_DEPTH: Final = 16
ATTEMPTS: Final = 3
KINDS: Final = ("Users", "Groups")
_MEDIA_TYPES: Final = (MEDIA_TYPE, "application/json")

Value = DirectoryUser | DirectoryGroup


async def answer(directory: Directory, request: Request, by: str) -> Response:
    """Answer one request of a provider whose token was good. Raises ScimError, JitError."""
    method = "GET" if request.method == "HEAD" else request.method
    parts = request.url.path.removeprefix(PREFIX).strip("/").split("/")
    match parts:
        case ["Bulk"] | ["Me", *_] | [""] | [*_, ".search"]:
            raise ScimError(501, "This is not supported here: see /ServiceProviderConfig.")
        case ["ServiceProviderConfig"] | ["ResourceTypes"] | ["Schemas"] | ["ResourceTypes" | "Schemas", _]:
            if method != "GET":
                raise ScimError(405, f"{method} is not possible here.", allow="GET")
            return await _described(request, parts)
        case [("Users" | "Groups") as kind]:
            turns: Mapping[str, Callable[[], Awaitable[Response]]] = {
                "GET": lambda: _search(directory, request, kind),
                "POST": lambda: _create(directory, request, kind, by),
            }
        case [("Users" | "Groups") as kind, name]:
            turns = {
                "GET": lambda: _show(directory, request, kind, name),
                "PUT": lambda: _change(directory, request, kind, name, by),
                "PATCH": lambda: _change(directory, request, kind, name, by),
                "DELETE": lambda: _remove(directory, request, kind, name, by),
            }
        case _:
            raise ScimError(404, "There is nothing at this address.")
    turn = turns.get(method)
    if turn is None:
        raise ScimError(405, f"{method} is not possible here.", allow=", ".join(turns))
    return await turn()


async def _described(request: Request, parts: Sequence[str]) -> Response:
    """The three discovery addresses (RFC 7644 §4)."""
    if "filter" in request.query_params:
        raise ScimError(403, "Descriptions are not filtered.")
    base = _base(request)
    if parts[0] == "ServiceProviderConfig":
        return _json(protocol.service_config(base))
    found = await asyncio.to_thread(protocol.resource_types if parts[0] == "ResourceTypes" else protocol.schemas, base)
    if len(parts) == 1:
        return _json(protocol.listed(found))
    wanted = parts[1].lower()
    for one in found:
        if wanted in {
            str(one.get("id", "")).lower(),
            str(one.get("name", "")).lower() if parts[0] != "Schemas" else "",
        }:
            return _json(one)
    raise ScimError(404, "There is nothing of this name.")


async def _search(directory: Directory, request: Request, kind: str) -> Response:
    shelf = await _shelf(directory, request)
    query = _query(request)
    return _json(await asyncio.to_thread(protocol.search, kind, query, shelf))


async def _show(directory: Directory, request: Request, kind: str, name: str) -> Response:
    shelf = await _shelf(directory, request)
    value = _found(shelf, kind, name)
    if _names_tag(request.headers.get("if-none-match"), protocol.etag(value)):
        return Response(status_code=304, headers={"etag": protocol.etag(value)})
    return await _shown(request, kind, value, 200, shelf.groups.values())


async def _create(directory: Directory, request: Request, kind: str, by: str) -> Response:
    sent = await _body(request)
    protocol.parameters(kind, _query(request))  # refused before anything is made
    read: Callable[[Mapping[str, Json]], Value] = protocol.read_user if kind == "Users" else protocol.read_group
    made = await directory.put(await asyncio.to_thread(read, sent), by)
    return await _shown(request, kind, made, 201)


async def _change(directory: Directory, request: Request, kind: str, name: str, by: str) -> Response:
    """PUT and PATCH. Without `If-Match` a change that came between is no matter: what was asked is asked of what is there now."""
    sent = await _body(request)
    protocol.parameters(kind, _query(request))
    for attempt in range(1, ATTEMPTS + 1):
        known = _found(await _shelf(directory, request), kind, name)
        _check_match(request, known)
        after = await asyncio.to_thread(_after, request.method, sent, known)
        try:
            made = await directory.put(after, by)
        except ConflictError as error:
            if error.code == "stale_revision" and attempt < ATTEMPTS and "if-match" not in request.headers:
                continue
            raise
        return await _shown(request, kind, made, 200, await directory.groups())
    raise ScimError(412, "It was changed meanwhile, again and again.")


def _after(method: str, sent: Mapping[str, Json], known: Value) -> Value:
    if isinstance(known, DirectoryUser):
        return protocol.read_user(sent, known) if method == "PUT" else protocol.patch_user(sent, known)
    return protocol.read_group(sent, known) if method == "PUT" else protocol.patch_group(sent, known)


async def _remove(directory: Directory, request: Request, kind: str, name: str, by: str) -> Response:
    for attempt in range(1, ATTEMPTS + 1):
        known = _found(await _shelf(directory, request), kind, name)
        _check_match(request, known)
        try:
            await directory.put(known, by, remove=True)
        except ConflictError as error:
            if error.code == "stale_revision" and attempt < ATTEMPTS and "if-match" not in request.headers:
                continue
            raise
        break
    return Response(status_code=204)


async def _shelf(directory: Directory, request: Request) -> protocol.Shelf:
    users = {user.id: user for user in await directory.users()}
    groups = {group.id: group for group in await directory.groups()}
    return protocol.Shelf(users, groups, _base(request))


def _found(shelf: protocol.Shelf, kind: str, name: str) -> Value:
    value = shelf.users.get(name) if kind == "Users" else shelf.groups.get(name)
    if value is None:
        raise ScimError(404, "There is nothing of this id.")
    return value


def _check_match(request: Request, known: Value) -> None:
    wanted = request.headers.get("if-match")
    if wanted is not None and not _names_tag(wanted, protocol.etag(known)):
        raise ScimError(412, "It was changed meanwhile: look at it again.")


def _names_tag(header: str | None, tag: str) -> bool:
    """Whether a header names an entity tag; compared weakly, since ours are weak (RFC 7644 §3.14)."""
    if header is None:
        return False
    named = {one.strip().removeprefix("W/") for one in header.split(",")}
    return "*" in named or tag.removeprefix("W/") in named


def _query(request: Request) -> dict[str, str]:
    """The query, each name at most once. Names of its members are read as written in RFC 7644 §3.4.2."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise ScimError(400, f"{name[:40]} is given twice.", "invalidValue")
        found[name] = value
    return found


async def _body(request: Request) -> dict[str, Json]:
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in _MEDIA_TYPES:
        raise ScimError(415, f"A body is {MEDIA_TYPE}.")
    length = request.headers.get("content-length", "0")
    data = bytearray()
    too_large = ScimError(413, f"A body has at most {MAX_BODY} bytes.")
    if length.isascii() and length.isdigit() and int(length[:20]) > MAX_BODY:
        raise too_large
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > MAX_BODY:
                    raise too_large
    except TimeoutError:
        raise ScimError(408, "The body did not come in time.") from None
    except ClientDisconnect:
        raise ScimError(400, "The request was broken off.") from None
    return await asyncio.to_thread(_read, bytes(data))


def _read(data: bytes) -> dict[str, Json]:
    made = strict_json.parse_object(data, max_bytes=MAX_BODY, max_depth=MAX_DEPTH)
    protocol.check_names(made)
    return made


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{PREFIX}"


async def _shown(
    request: Request, kind: str, value: Value, status: int, groups: Collection[DirectoryGroup] = ()
) -> Response:
    base = _base(request)
    chosen = protocol.parameters(kind, _query(request))
    made = await asyncio.to_thread(_seen, value, base, chosen, groups)
    headers = {"etag": protocol.etag(value), "content-location": protocol.location(value, base)}
    if status == 201:  # noqa: PLR2004
        headers["location"] = protocol.location(value, base)
    return _json(made, status, headers)


def _seen(
    value: Value, base: str, chosen: ResponseParameters[Any], groups: Collection[DirectoryGroup]
) -> dict[str, Json]:
    mine = protocol.memberships({value.id}, groups).get(value.id, ()) if isinstance(value, DirectoryUser) else ()
    return protocol.show(value, base, chosen, mine)


def _json(value: Mapping[str, Json], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, {"cache-control": "no-store", **(headers or {})}, MEDIA_TYPE)
