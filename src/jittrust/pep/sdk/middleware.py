"""ASGI middleware: no request gets in without a grant."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from jittrust.core.errors import BadInputError, JitError
from jittrust.core.grant import wire
from jittrust.core.grant.claims import InvalidTokenError
from jittrust.core.grant.present import InvalidProofError, www_authenticate
from jittrust.core.problem import PROBLEM_TYPE, problem
from jittrust.pep.sdk.verifier import Verified, Verifier

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App: TypeAlias = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_STATE = "grant"
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class RequireGrant:
    """Lets requests through that show a grant token for this service and prove its key; the app finds what was shown with `grant_of`.

    Everything else gets 401 with a challenge (RFC 9449 §7.1), and 503 while keys or status lists cannot be read. Web sockets are refused: one proof
    at the beginning says nothing of what is sent later.
    """

    def __init__(
        self, app: _App, verifier: Verifier, base_url: str, *, metadata_url: str = "", max_body: int = 1024 * 1024
    ) -> None:
        """Wrap an app.

        Args:
            app: what is behind it.
            verifier: checks.
            base_url: scheme, host and port under which callers know this service; never taken from Host.
            metadata_url: its protected-resource metadata (RFC 9728), for the challenge; may be empty.
            max_body: most bytes that are read early, for a proof that speaks of the body.
        """
        self._app = app
        self._verifier = verifier
        self._base = base_url.rstrip("/")
        self._metadata = metadata_url
        self._max_body = max_body

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            verified, receive = await self._verified(scope, receive)
        except JitError as error:
            await self._refuse(error, send)
            return
        state = {**(scope.get("state") or {}), _STATE: verified}
        await self._app({**scope, "state": state}, receive, send)

    async def _verified(self, scope: _Scope, receive: _Receive) -> tuple[Verified, _Receive]:
        path = (scope.get("raw_path") or scope["path"].encode("utf-8")).partition(b"?")[0].decode("latin-1")
        url, headers, certificate = self._base + path, scope["headers"], client_certificate(scope)
        try:
            return await self._verifier.checked(scope["method"], url, headers, None, certificate), receive
        except InvalidProofError as error:
            if error.detail != "wrong_body":
                raise
        # Only a valid token with a proof of its key gets so far that its body is read here.
        body = await _read(receive, self._max_body)
        return await self._verifier.checked(scope["method"], url, headers, body, certificate), _again(body, receive)

    async def _refuse(self, error: JitError, send: _Send) -> None:
        # Which check failed is for the log, not for whoever tries.
        detail = error.message if not isinstance(error, InvalidTokenError | InvalidProofError) else _TOLD[error.code]
        body = problem(error.http_status, error.code, detail, error.next_step)
        headers = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        if error.http_status == 401:  # noqa: PLR2004
            missing = isinstance(error, InvalidTokenError) and error.detail == "no_token"
            challenge = www_authenticate("" if missing else error.code, self._metadata)
            headers.append((b"www-authenticate", challenge.encode("latin-1")))
        if error.http_status == 503:  # noqa: PLR2004
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


_TOLD = {
    wire.INVALID_TOKEN: "A grant token for this service is wanted.",
    wire.INVALID_PROOF: "The proof of the grant's key does not hold for this request, or was shown before.",
}


def grant_of(scope: MutableMapping[str, Any]) -> Verified:
    """What the caller of this request showed.

    Raises:
        BadInputError: code `no_grant`: the app is not behind `RequireGrant`.
    """
    found = (scope.get("state") or {}).get(_STATE)
    if not isinstance(found, Verified):
        raise BadInputError("no_grant", "This request did not come through RequireGrant.")
    return found


def client_certificate(scope: MutableMapping[str, Any]) -> bytes:
    """The client's certificate as the TLS extension of ASGI gives it, in DER; empty without one."""
    listed = ((scope.get("extensions") or {}).get("tls") or {}).get("client_cert_chain") or ()
    text = str(next(iter(listed), "")).strip()
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        return b""
    try:
        return base64.b64decode("".join(text[len(_BEGIN) : -len(_END)].split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


async def _read(receive: _Receive, most: int) -> bytes:
    data = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BadInputError("client_gone", "The caller went away.")
        data += message.get("body", b"")
        if len(data) > most:
            raise BadInputError("body_too_large", f"More than {most} bytes.")
        if not message.get("more_body", False):
            return bytes(data)


def _again(body: bytes, receive: _Receive) -> _Receive:
    given = False

    async def give() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give
