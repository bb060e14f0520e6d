"""SCIM 2.0 under `/scim/v2`: where an identity provider keeps users and groups (RFC 7644)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jittrust.api.scim.fault import ScimError
from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError, RefusedError
from jittrust.ports.directory import Directory
from jittrust.ports.identities import Identities

PREFIX: Final = "/scim/v2"
MEDIA_TYPE: Final = "application/scim+json"
ERROR_SCHEMA: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def scim_routes(directory: Directory, identities: Identities) -> list[BaseRoute]:
    """The routes under `/scim/v2`. Every one of them wants a provider's bearer token, before anything of the request is read."""
    del identities  # the directory keeps people in step by itself

    async def endpoint(request: Request) -> Response:
        try:
            by = await directory.authorised(_bearer(request))
            # scim2-models takes half a second to import: it is not paid at start, nor by the calls that run meanwhile.
            answer = await asyncio.to_thread(_answer)
            return await answer(directory, request, by)
        except ScimError as error:
            return error_response(error)
        except JitError as error:
            return error_response(fault_of(error))

    return [Route(PREFIX, endpoint, methods=METHODS), Route(f"{PREFIX}/{{rest:path}}", endpoint, methods=METHODS)]


def _answer() -> Callable[[Directory, Request, str], Awaitable[Response]]:
    from jittrust.api.scim.answers import answer  # noqa: PLC0415

    return answer


def _bearer(request: Request) -> str:
    """The token of the one `Authorization` header (RFC 6750 §2.1). Raises ScimError: 401."""
    sent = request.headers.getlist("authorization")
    scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token or not token.isascii() or " " in token:
        raise ScimError(401, "A bearer token of an identity provider is wanted.")
    return token


def fault_of(error: JitError) -> ScimError:
    """An error of ours in SCIM's words (RFC 7644 §3.12, tables 8 and 9)."""
    if error.code == "scim_unauthorised":
        return ScimError(401, error.message)
    if error.code == "memory_stale":
        return ScimError(503, error.message)
    if error.code == "stale_revision":
        return ScimError(412, error.message)
    if isinstance(error, BadInputError):
        kind = "invalidSyntax" if error.code.startswith("json_") else "invalidValue"
        return ScimError(413 if error.code == "json_too_large" else 400, error.message, kind)
    if isinstance(error, NotFoundError):
        return ScimError(404, error.message)
    if isinstance(error, ConflictError):
        # `last_admin` is a conflict of another kind: nothing is taken, somebody has to stay.
        unique = error.code in {"directory_uniqueness", "name_taken", "identity_exists"}
        return ScimError(409, f"{error.message} {error.next_step}".strip(), "uniqueness" if unique else "")
    if isinstance(error, RefusedError):
        return ScimError(403, error.message)
    return ScimError(error.http_status, error.message)


def error_response(error: ScimError) -> Response:
    """The answer of an error (RFC 7644 §3.12)."""
    body = {"schemas": [ERROR_SCHEMA], "status": str(error.status), "detail": error.detail}
    if error.scim_type:
        body["scimType"] = error.scim_type
    headers = {"cache-control": "no-store"}
    if error.status == 401:  # noqa: PLR2004
        headers["www-authenticate"] = 'Bearer realm="scim"'
    if error.status == 503:  # noqa: PLR2004
        headers["retry-after"] = "1"
    if error.allow:
        headers["allow"] = error.allow
    return Response(json.dumps(body), error.status, headers, MEDIA_TYPE)
