"""The endpoints of programs: tokens, pushed requests, requests answered away from the keyboard, registration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jittrust.api.oauth.form import client_proof, key_proof, oauth_answer, oauth_error, read_bytes, read_form
from jittrust.core.errors import BadInputError, JitError
from jittrust.core.model import Json
from jittrust.core.oauth.client import OAuthClient
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.server_metadata import (
    BACKCHANNEL_PATH,
    PUSH_PATH,
    REGISTER_PATH,
    TOKEN_PATH,
    servers_known,
)
from jittrust.core.oauth.transaction import TRANSACTION_TYPE
from jittrust.core.strict_json import parse_object
from jittrust.ports.authorization_server import AuthorizationServer, TokenRequest

MAX_METADATA: Final = 64 * 1024
Endpoint = Callable[[Request], Awaitable[Response]]


def token_routes(server: AuthorizationServer, issuer: str, servers: tuple[str, ...]) -> list[BaseRoute]:
    """POST /oauth/token, /oauth/par, /oauth/bc-authorize and /oauth/register."""
    known = servers_known(issuer, servers)

    async def asked(request: Request, path: str) -> TokenRequest:
        form = await read_form(request)
        check_resource(form, known, issuer)
        return TokenRequest(form, client_proof(request, form), key_proof(request), issuer + path)

    async def token(request: Request) -> Response:
        answer = await server.token(await asked(request, TOKEN_PATH))
        return oauth_answer(answer.body, 200, {"dpop-nonce": answer.next_pass} if answer.next_pass else {})

    async def push(request: Request) -> Response:
        pushed = await server.push(await asked(request, PUSH_PATH))
        return oauth_answer({"request_uri": pushed.secret, "expires_in": pushed.expires_in}, 201)

    async def backchannel(request: Request) -> Response:
        taken = await server.backchannel(await asked(request, BACKCHANNEL_PATH))
        body: dict[str, Json] = {
            "auth_req_id": taken.secret,
            "expires_in": taken.expires_in,
            "interval": taken.interval,
        }
        return oauth_answer(body)

    async def register(request: Request) -> Response:
        return oauth_answer(registered(await server.register(await _metadata(request))), 201)

    endpoints = {TOKEN_PATH: token, PUSH_PATH: push, BACKCHANNEL_PATH: backchannel, REGISTER_PATH: register}
    return [Route(path, told(endpoint), methods=["POST"]) for path, endpoint in endpoints.items()]


def told(endpoint: Endpoint) -> Endpoint:
    """The endpoint with every refusal as an OAuth client reads it."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except JitError as error:
            return oauth_error(error)

    return answer


def check_resource(form: Mapping[str, str], known: frozenset[str], issuer: str) -> None:
    """Refuse a resource that is not behind this broker (RFC 8707 §2). `audience` means the same, but for transaction tokens.

    Raises:
        OAuthError: `invalid_target`.
    """
    named = [form["resource"]] if "resource" in form else []
    if "audience" in form and form.get("requested_token_type") != TRANSACTION_TYPE:
        named.append(form["audience"])
    if any(one not in known and one != f"{issuer}/" for one in named) or len(set(named)) > 1:
        raise OAuthError(
            "invalid_target",
            "resource_unknown",
            "This is no resource of this server",
            "Take `resource` from its /.well-known/oauth-protected-resource.",
        )


def registered(client: OAuthClient) -> dict[str, Json]:
    """A registered client as it is told (RFC 7591 §3.2.1). It has no secret, and nothing to manage it by."""
    body: dict[str, Json] = {
        "client_id": client.id,
        "client_id_issued_at": int(client.since),
        "client_name": client.name or client.id,
        "redirect_uris": list(client.redirect_uris),
        "grant_types": list(client.grant_types),
        "response_types": ["code"] if client.redirect_uris else [],
        "token_endpoint_auth_method": str(client.method),
    }
    if client.keys:
        body["jwks"] = {"keys": [dict(key) for key in client.keys]}
    if client.home:
        body["client_uri"] = client.home
    return body


async def _metadata(request: Request) -> dict[str, Json]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity") != "identity":
        raise OAuthError("invalid_client_metadata", "content_type", "Metadata is application/json")
    too_large = OAuthError("invalid_client_metadata", "metadata_too_large", f"At most {MAX_METADATA} bytes are taken")
    data = await read_bytes(request, MAX_METADATA, too_large)
    try:
        return parse_object(data, max_bytes=MAX_METADATA, max_depth=8, max_keys=2000)
    except BadInputError as error:
        raise OAuthError(
            "invalid_client_metadata", error.code, f"The metadata is no JSON object: {error.message}"
        ) from None
