"""What tokens are worth, over HTTP: introspection, revocation, keys, status lists, and the schemas of our authorization details."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jittrust.api.oauth.form import NO_STORE, client_proof, key_proof, oauth_answer, oauth_error, read_form
from jittrust.core.errors import JitError
from jittrust.core.model import Json
from jittrust.core.oauth.details import SCHEMAS
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.introspection import MEDIA_TYPE as SIGNED_ANSWER
from jittrust.core.oauth.status_list import STATUS_LIST_TYP, TTL
from jittrust.core.problem import PROBLEM_TYPE, problem, problem_of
from jittrust.ports.token_status import TokenStatus

STATUS_LIST = f"application/{STATUS_LIST_TYP}"
_KEYS_FRESH = 60
_SCHEMAS_FRESH = 3600
_OPEN = {"access-control-allow-origin": "*", "x-content-type-options": "nosniff"}


def status_routes(tokens: TokenStatus) -> list[Route]:
    """POST /oauth/introspect, POST /oauth/revoke, GET /oauth/jwks, GET /oauth/status/{number}, GET /schemas/{name}.json.

    The first two ask who is calling. The others need no credential: keys, schemas and status lists are for everybody who can reach them, and a
    list does not tell whose tokens are in it.
    """

    async def introspect(request: Request) -> Response:
        try:
            form = await read_form(request)
            token, caller, proof = _token(form), client_proof(request, form), key_proof(request)
            if _wants_signed(request):
                signed = await tokens.introspect_signed(token, caller, proof)
                return Response(signed, 200, dict(NO_STORE), SIGNED_ANSWER)
            return oauth_answer(await tokens.introspect(token, caller, proof))
        except JitError as error:
            return oauth_error(error)

    async def revoke(request: Request) -> Response:
        try:
            form = await read_form(request)
            await tokens.revoke(_token(form), client_proof(request, form), key_proof(request))
        except JitError as error:
            return oauth_error(error)
        return Response(status_code=200, headers=dict(NO_STORE))

    async def keys(_request: Request) -> Response:
        try:
            return _published(await tokens.keys(), _KEYS_FRESH, "application/jwk-set+json")
        except JitError as error:
            return _problem(error)

    async def status_list(request: Request) -> Response:
        number = request.path_params["number"]
        if not (number.isascii() and number.isdigit() and len(number) <= 9):  # noqa: PLR2004 - more lists than grants
            return _missing(f"There is no status list {number[:20]!r}.", "status_list_unknown")
        try:
            token = await tokens.status_list(int(number))
        except JitError as error:
            return _problem(error)
        return Response(token, 200, {**_OPEN, "cache-control": f"max-age={int(TTL)}"}, STATUS_LIST)

    async def schema(request: Request) -> Response:
        found = SCHEMAS.get(request.path_params["name"])
        if found is None:
            return _missing("There is no such schema.", "schema_unknown")
        return _published(found, _SCHEMAS_FRESH, "application/schema+json")

    return [
        Route("/oauth/introspect", introspect, methods=["POST"]),
        Route("/oauth/revoke", revoke, methods=["POST"]),
        Route("/oauth/jwks", keys, methods=["GET"]),
        Route("/oauth/status/{number}", status_list, methods=["GET"]),
        Route("/schemas/{name}.json", schema, methods=["GET"]),
    ]


def _token(form: dict[str, str]) -> str:
    token = form.get("token", "")
    if not token:
        raise OAuthError("invalid_request", "token_missing", "The parameter token is missing")
    return token


def _wants_signed(request: Request) -> bool:
    accepted = ",".join(request.headers.getlist("accept")).lower().split(",")
    return any(part.partition(";")[0].strip() == SIGNED_ANSWER for part in accepted)


def _published(body: Json, fresh: int, kind: str) -> Response:
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"))
    return Response(text, 200, {**_OPEN, "cache-control": f"max-age={fresh}"}, kind)


def _problem(error: JitError) -> Response:
    return Response(problem_of(error), error.http_status, {"cache-control": "no-store"}, PROBLEM_TYPE)


def _missing(detail: str, code: str) -> Response:
    return Response(problem(404, code, detail), 404, {"cache-control": "no-store"}, PROBLEM_TYPE)
