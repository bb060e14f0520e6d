"""What every page for people shares: how it is rendered, who is in front of it, and what a change must come from.

Every page works without anything from elsewhere: the browser is told to load nothing but this origin's own script and style, and nothing inline.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from jittrust.core.errors import BadInputError, JitError, RefusedError
from jittrust.core.identity.identity import Role
from jittrust.core.oauth.authorize import SentBackError
from jittrust.core.strict_json import parse_object
from jittrust.ports.people import People, SignedIn

PREFIX: Final = "/console"
COOKIE: Final = "__Host-jittrust"
MAX_BODY: Final = 64 * 1024
BODY_SECONDS: Final = 20.0
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
RANKS: Final = tuple(Role)
_HERE: Final = Path(__file__).parent
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_STATIC: Final = {
    "console.js": "text/javascript; charset=utf-8",
    "console.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_BACK: Final = re.compile(rf"{PREFIX}/(?:consent|approvals)/[A-Za-z0-9_-][A-Za-z0-9._-]{{0,99}}\Z")

Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    """Renders pages, and guards what is behind them."""

    def __init__(self, people: People | None, origin: str) -> None:
        """`people`: None for pages that look at nobody's session. `origin`: what browsers call this place; every change must come from a page of it."""
        self._people = people
        self._origin = origin
        where = urlsplit(origin)
        self.safe = where.scheme == "https" or where.hostname in _LOOPBACK
        self._pages = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._pages.filters["lasting"] = lasting
        self.static = {name: ((_HERE / "static" / name).read_bytes(), kind) for name, kind in _STATIC.items()}

    def page(self, name: str, signed: SignedIn | None, *, status: int = 200, **values: object) -> Response:
        """A page; every value is escaped."""
        told = {"me": signed.person if signed else None, "prefix": PREFIX, **values}
        return Response(self._pages.get_template(name).render(told), status, media_type="text/html")

    def guarded(self, handler: Handler) -> Handler:
        """A page: errors are pages too, and whoever is not signed in is sent to do it, and back."""

        async def page(request: Request) -> Response:
            try:
                answer = await handler(request)
            except SentBackError as error:
                answer = RedirectResponse(error.address, 303)
            except JitError as error:
                if error.code == "not_signed_in":
                    back = safe_next(request.url.path)
                    answer = RedirectResponse(f"{PREFIX}/login" + (f"?next={quote(back)}" if back else ""), 303)
                else:
                    answer = self.page("message.html", None, status=error.http_status, error=error)
            answer.headers.update(HEADERS)
            return answer

        return page

    def posted(self, handler: Handler) -> Handler:
        """A change: only from a page of ours. Anything a form or another site can send is refused before it is read."""

        async def call(request: Request) -> Response:
            try:
                self._check_origin(request)
                answer = await handler(request)
            except SentBackError as error:
                answer = JSONResponse({"to": error.address})
            except JitError as error:
                told = {"code": error.code, "message": error.message, "next_step": error.next_step}
                answer = JSONResponse({"error": told}, error.http_status)
            answer.headers.update(HEADERS)
            return answer

        return call

    def _check_origin(self, request: Request) -> None:
        if request.headers.getlist("origin") != [self._origin]:
            raise RefusedError("origin_wrong", "This was not sent by a page of this console.", f"Open {self._origin}")
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise RefusedError("origin_wrong", "This was sent by another site.", f"Open {self._origin}")
        if request.headers.getlist("content-type") != ["application/json"]:
            raise BadInputError("content_type_bad", "A body of type application/json is wanted.")

    async def session(self, request: Request, least: Role = Role.NONE) -> SignedIn:
        """Who is signed in, with at least this role. Raises RefusedError: code `not_signed_in`, `role_too_low`."""
        if self._people is None:
            raise RefusedError("not_signed_in", "Nobody is signed in.", "Sign in: /console/login")
        signed = await self._people.session(cookie_of(request))
        if RANKS.index(signed.person.role) < RANKS.index(least):
            raise RefusedError("role_too_low", f"This needs the role {least}.", "Ask an administrator.")
        return signed


async def body_of(request: Request, *names: str) -> dict[str, str]:
    """The named members of a body, each a text; missing ones are empty, others are refused."""
    read = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                read += piece
                if len(read) > MAX_BODY:
                    raise BadInputError("body_too_large", f"A body has {MAX_BODY} bytes at most.")
    except TimeoutError:
        raise BadInputError("body_too_slow", "The body did not come in time.") from None
    except ClientDisconnect:
        raise BadInputError("body_bad", "The request was broken off.") from None
    told = parse_object(bytes(read), max_bytes=MAX_BODY, max_depth=4)
    found: dict[str, str] = {}
    for name, value in told.items():
        if name not in names or not isinstance(value, str):
            raise BadInputError("body_bad", f"The member {name[:40]!r} is not wanted here, or is no text.")
        found[name] = value
    return {name: found.get(name, "") for name in names}


def cookie_of(request: Request) -> str:
    """The console's cookie; empty without one."""
    return request.cookies.get(COOKIE, "")


def json_of(text: str) -> Response:
    """JSON that is a text already."""
    return Response(text, media_type="application/json")


def safe_next(path: str) -> str:
    """Where to go after a login: a question's own page and nothing else; empty for anything else."""
    return path if _BACK.match(path) else ""


def lasting(minutes: int) -> str:
    """So many minutes in words."""
    hours, rest = divmod(minutes, 60)
    told = [f"{hours} hour{'' if hours == 1 else 's'}"] if hours else []
    if rest or not hours:
        told.append(f"{rest} minute{'' if rest == 1 else 's'}")
    return " ".join(told)
