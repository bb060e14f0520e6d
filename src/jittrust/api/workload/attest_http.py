"""Attestation over HTTP, under `/identity/v1`: for whoever is on another machine and proves what it is. No role is needed; the evidence is the key."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from jittrust.core.errors import BadInputError, JitError
from jittrust.core.identity.attest import EvidenceKind
from jittrust.core.model import Json
from jittrust.core.problem import PROBLEM_TYPE, problem_of
from jittrust.core.strict_json import parse_object
from jittrust.ports.issuance import Credentials, Evidence, Issuance, SvidRequest

CHALLENGE_PATH: Final = "/identity/v1/challenge"
SVID_PATH: Final = "/identity/v1/svid"
MAX_BODY: Final = 64 * 1024
"""Largest body, in bytes."""
BODY_SECONDS: Final = 20.0
"""By when all of a body must be there: whoever holds one back holds a connection."""
MAX_AUDIENCES: Final = 8
_MAX_DEPTH: Final = 4
_MAX_KEYS: Final = 64
_LONGEST_TEXT: Final = 2048
_REQUEST: Final = frozenset(("evidence", "request", "audience", "path", "model", "manifest"))
_EVIDENCE: Final = frozenset(("kind", "document", "challenge", "signature"))


def attest_routes(issuance: Issuance) -> list[Route]:
    """`GET /identity/v1/challenge` and `POST /identity/v1/svid`."""

    async def challenge(_: Request) -> Response:
        try:
            return _json({"challenge": await issuance.challenge()})
        except JitError as error:
            return _problem(error)

    async def svid(request: Request) -> Response:
        try:
            return _json(_told(await issuance.attest(read_svid_request(await _body(request)))))
        except JitError as error:
            return _problem(error)

    return [Route(CHALLENGE_PATH, challenge, methods=["GET"]), Route(SVID_PATH, svid, methods=["POST"])]


def read_svid_request(body: bytes) -> SvidRequest:
    """The request in a JSON body.

    `{"evidence": {"kind", "document", "challenge", "signature"}, "request": base64 DER, "audience": [...], "path", "model", "manifest"}`;
    everything but the kind and the document may be left out, and nothing else may be there.

    Raises:
        BadInputError: code `request_bad`, or one of `core.strict_json`.
    """
    asked = parse_object(body, max_bytes=MAX_BODY, max_depth=_MAX_DEPTH, max_keys=_MAX_KEYS)
    evidence = asked.get("evidence")
    if not isinstance(evidence, dict) or not asked.keys() <= _REQUEST or not evidence.keys() <= _EVIDENCE:
        raise _bad("it has evidence, and no members that are not known here")
    kind, audience = evidence.get("kind"), asked.get("audience", [])
    if not isinstance(kind, str) or kind not in frozenset(EvidenceKind):
        raise _bad(f"its kind of evidence is none of {', '.join(EvidenceKind)}")
    if not isinstance(audience, list) or len(audience) > MAX_AUDIENCES:
        raise _bad(f"audience is a list of {MAX_AUDIENCES} texts at most")
    audiences = tuple(one for one in audience if isinstance(one, str) and 0 < len(one) <= _LONGEST_TEXT)
    if len(audiences) != len(audience):
        raise _bad("an audience is a text")
    document = _text(evidence, "document", MAX_BODY)
    if not document:
        raise _bad("its evidence is empty")
    return SvidRequest(
        evidence=Evidence(EvidenceKind(kind), document, _text(evidence, "challenge"), _text(evidence, "signature")),
        request=_bytes(_text(asked, "request", MAX_BODY)),
        audience=audiences,
        path=_text(asked, "path"),
        model=_text(asked, "model"),
        manifest=_text(asked, "manifest"),
    )


async def _body(request: Request) -> bytes:
    """The body, read no further than it may be long. Raises BadInputError: code `request_bad`, `json_too_large`, `body_too_slow`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A page in a browser cannot send this type elsewhere without being asked first.
        raise _bad("its content type is application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise BadInputError("json_too_large", f"A request has at most {MAX_BODY} bytes.")
    except TimeoutError:
        raise BadInputError("body_too_slow", "The body did not come in time.") from None
    except ClientDisconnect:
        raise _bad("it was broken off") from None
    return bytes(body)


def _text(told: Mapping[str, Json], name: str, longest: int = _LONGEST_TEXT) -> str:
    value = told.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise _bad(f"{name} is a text of at most {longest} characters")
    return value


def _bytes(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError):
        raise _bad("request is a certificate request, DER in base64") from None


def _told(given: Credentials) -> dict[str, Json]:
    return {
        "spiffe_id": given.spiffe_id,
        "hint": given.hint,
        "chain": [base64.b64encode(one).decode("ascii") for one in given.chain],
        "jwt": given.jwt,
        "expires": int(given.expires),
        "federates_with": list(given.federates_with),
    }


def _json(value: Mapping[str, Json]) -> Response:
    body = json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return Response(body, 200, {"cache-control": "no-store"}, "application/json")


def _problem(error: JitError) -> Response:
    headers = {"cache-control": "no-store"}
    if error.http_status == 503:  # noqa: PLR2004
        headers["retry-after"] = "1"
    return Response(problem_of(error), error.http_status, headers, PROBLEM_TYPE)


def _bad(why: str) -> BadInputError:
    return BadInputError("request_bad", f"The request is not taken: {why}.")
