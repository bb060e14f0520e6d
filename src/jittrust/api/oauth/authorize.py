"""The authorization endpoint: what a client sends a person's browser to (RFC 6749 §3.1)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from jittrust.api.console.pages import PREFIX, Pages
from jittrust.core.oauth.authorize import SentBackError
from jittrust.core.oauth.error import OAuthError
from jittrust.ports.consents import Consents

MAX_QUERY: Final = 32 * 1024
MAX_PARAMETERS: Final = 64


def authorize_routes(consents: Consents, origin: str) -> list[Route]:
    """`GET /oauth/authorize`: on to the consent page, back to the client, or a page that says what is wrong."""
    pages = Pages(None, origin)

    async def authorize(request: Request) -> Response:
        try:
            made = await consents.begin(_parameters(request))
        except SentBackError:
            raise
        except OAuthError as error:
            # Nothing is sent to an address that nobody has registered.
            return pages.page("message.html", None, status=400, error=error)
        return RedirectResponse(f"{origin}{PREFIX}/consent/{made.id}", 303)

    return [Route("/oauth/authorize", pages.guarded(authorize), methods=["GET"])]


def _parameters(request: Request) -> dict[str, str]:
    """The query, each name once (RFC 6749 §3.1). Raises OAuthError: `invalid_request`."""
    query: bytes = request.scope.get("query_string", b"")
    bad = OAuthError(
        "invalid_request", "request_malformed", "The request cannot be read.", "Begin again at the client."
    )
    if len(query) > MAX_QUERY:
        raise bad
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except ValueError:
        raise bad from None
    told = dict(pairs)
    if len(told) != len(pairs) or any("\x00" in name + value for name, value in pairs):
        raise bad
    # A parameter without a value is treated as if it were not there (RFC 6749 §3.1).
    return {name: value for name, value in told.items() if value}
