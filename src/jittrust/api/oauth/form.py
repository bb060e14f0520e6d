"""Requests of OAuth clients read strictly, and refusals as they read them."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from jittrust.core.errors import JitError
from jittrust.core.model import Json
from jittrust.core.oauth.error import OAUTH_ERRORS, OAuthError
from jittrust.core.problem import outward
from jittrust.ports.authorization_server import ClientProof

MAX_FORM: Final = 64 * 1024
"""Largest form, in bytes: a large `authorization_details` fits."""
BODY_SECONDS: Final = 20.0
"""By when all of a body must be there: whoever holds one back holds a connection."""
MAX_NAMES: Final = 64
MAX_NAME: Final = 64
MAX_CHAIN: Final = 8
FORM: Final = "application/x-www-form-urlencoded"
NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}
_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNSHOWN: Final = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


async def read_form(request: Request) -> dict[str, str]:
    """The parameters of a form, each name once, without those that are empty (RFC 6749 §3.2).

    Raises:
        OAuthError: `invalid_request`: another media type or coding, parameters in the URL, more than 64 KiB, a name twice, or text that is not
            exactly percent-encoded UTF-8. `invalid_target`: more than one `resource`: a token is for one. `invalid_client`: a client secret.
    """
    if request.headers.getlist("content-encoding") not in ([], ["identity"]):
        raise _bad("content_coding", "The form is sent in no coding")
    kinds = request.headers.getlist("content-type")
    kind, _, charset = (kinds[0] if len(kinds) == 1 else "").partition(";")
    if kind.strip().lower() != FORM or charset.strip().lower().replace('"', "") not in {"", "charset=utf-8"}:
        raise _bad("content_type", f"The request is one {FORM}")
    if request.scope.get("query_string"):
        raise _bad("parameters_in_url", "Parameters are sent in the form, never in the URL")
    form = parse_form(await _body(request))
    _refuse_secrets(request, form)
    return form


def parse_form(data: bytes) -> dict[str, str]:
    """A form's parameters, strictly (see `read_form`). Raises OAuthError."""
    found: dict[str, str] = {}
    if not data:
        return found
    pairs = data.split(b"&")
    if len(pairs) > MAX_NAMES:
        raise _bad("form_too_large", f"More than {MAX_NAMES} parameters")
    for pair in pairs:
        raw_name, _, raw_value = pair.partition(b"=")
        name, value = _text(raw_name), _text(raw_value)
        if not _NAME.match(name):
            raise _bad("parameter_name", "A parameter has no name, or one that cannot be read")
        if name in found:
            if name == "resource":
                raise OAuthError("invalid_target", "one_resource", "A token is for one resource", "Ask for each alone.")
            raise _bad("parameter_twice", f"{name} is given twice")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def client_proof(request: Request, form: Mapping[str, str]) -> ClientProof:
    """How the client says who it is: parameters of the form, and the certificates of its connection, which nobody has checked yet.

    Raises:
        OAuthError: `invalid_request`.
    """
    return ClientProof(
        form.get("client_id", ""),
        form.get("client_assertion", ""),
        form.get("client_assertion_type", ""),
        connection_chain(request),
    )


def connection_chain(request: Request) -> tuple[bytes, ...]:
    """The client's certificates as the TLS layer saw them, DER, leaf first; empty without one."""
    extensions = request.scope.get("extensions") or {}
    listed = (extensions.get("tls") or {}).get("client_cert_chain") or ()
    try:
        return tuple(ssl.PEM_cert_to_DER_cert(one) for one in tuple(listed)[: MAX_CHAIN + 1])
    except (ValueError, TypeError):
        raise _bad("certificate_unreadable", "The connection's certificate cannot be read") from None


def key_proof(request: Request) -> str:
    """Value of the one DPoP header, empty without one. Raises OAuthError: `invalid_dpop_proof` for more."""
    sent = request.headers.getlist("dpop")
    if len(sent) > 1 or any("," in one for one in sent):
        raise OAuthError("invalid_dpop_proof", "invalid_dpop_proof", "Exactly one DPoP header is wanted")
    return sent[0].strip() if sent else ""


def oauth_answer(body: Mapping[str, Json], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that nobody may keep."""
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"))
    return Response(text, status, {**NO_STORE, **(headers or {})}, "application/json")


def oauth_error(error: JitError) -> Response:
    """An error as OAuth clients read it (RFC 6749 §5.2), with our own code and the next step beside it."""
    word = error.error if isinstance(error, OAuthError) else word_of(error)
    told, next_step = (error.message, error.next_step) if isinstance(error, OAuthError) else outward(error)
    body: dict[str, Json] = {"error": word, "error_description": _UNSHOWN.sub("?", told)[:500], "code": error.code}
    if next_step:
        body["next_step"] = next_step
    headers = {}
    if OAUTH_ERRORS[word] == OAUTH_ERRORS["invalid_client"]:
        # RFC 6749 §5.2 asks for the scheme that was tried; none of ours goes in that header, so any scheme named says how to begin.
        headers["www-authenticate"] = 'Bearer error="invalid_client"'
    if OAUTH_ERRORS[word] == OAUTH_ERRORS["temporarily_unavailable"]:
        headers["retry-after"] = "1"
    return oauth_answer(body, OAUTH_ERRORS[word], headers)


def word_of(error: JitError) -> str:
    """The registered word for an error that is none of OAuth's."""
    if error.http_status >= OAUTH_ERRORS["server_error"] or error.code == "memory_stale":
        return "temporarily_unavailable"
    return "access_denied" if error.http_status == 403 else "invalid_request"  # noqa: PLR2004


async def read_bytes(request: Request, most: int, too_large: OAuthError) -> bytes:
    """The body, read no further than it may be long, and for no longer than it may take.

    Raises:
        OAuthError: `too_large`; `invalid_request`: it did not come in time, or the caller has left.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise too_large
    except TimeoutError:
        raise _bad("body_too_slow", "The body did not come in time") from None
    except ClientDisconnect:
        raise _bad("request_malformed", "The request was broken off") from None
    return bytes(data)


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    too_large = _bad("form_too_large", f"A form has at most {MAX_FORM} bytes")
    if length.isascii() and length.isdigit() and int(length[:20]) > MAX_FORM:
        raise too_large
    return await read_bytes(request, MAX_FORM, too_large)


def _text(raw: bytes) -> str:
    if not raw.isascii() or _BROKEN_ESCAPE.search(raw):
        raise _bad("form_encoding", "The form is not percent-encoded")
    plain = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), raw.replace(b"+", b" "))
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("form_encoding", "A parameter is not UTF-8") from None
    if _CONTROLS.search(text):
        raise _bad("form_encoding", "A parameter holds a control character")
    return text


def _refuse_secrets(request: Request, form: Mapping[str, str]) -> None:
    if "client_secret" in form or "authorization" in request.headers:
        raise OAuthError(
            "invalid_client",
            "client_secrets_not_taken",
            "Clients have no secrets here",
            "Use private_key_jwt, a SPIFFE document, or client_id alone with PKCE.",
        )


def _bad(code: str, message: str) -> OAuthError:
    return OAuthError("invalid_request", code, message)
