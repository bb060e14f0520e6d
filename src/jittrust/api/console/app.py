"""Pages for people under `/console/`: sign in, enrol a passkey, see what waits, approve it by signing it, invite others.

Every page works without anything from elsewhere: the browser is told to load nothing but this origin's own script and style, and nothing inline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from jittrust.core.approval import Approval, ApprovalState, ConfirmedBy
from jittrust.core.errors import BadInputError, JitError, NotFoundError, RefusedError
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Seconds
from jittrust.ports.approvals import Answer, Approvals
from jittrust.ports.identities import Identities, IdentityQuery
from jittrust.ports.passkeys import Passkeys
from jittrust.ports.people import People, SignedIn

PREFIX: Final = "/console"
COOKIE: Final = "__Host-jittrust"
LOGIN_COOKIE: Final = "__Host-jittrust-login"
"""Remembers a login at a provider; `Lax`, because the way back begins at the provider. The session's own cookie is `Strict`."""
MAX_BODY: Final = 64 * 1024
LOGIN_SECONDS: Final = 600
INVITE_SECONDS: Final = 24 * 3600
LISTED_MOST: Final = 1000
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
_RANKS: Final = tuple(Role)
_HERE: Final = Path(__file__).parent
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_STATIC: Final = {
    "console.js": "text/javascript; charset=utf-8",
    "console.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

Handler = Callable[[Request], Awaitable[Response]]


def console_routes(
    people: People,
    passkeys: Passkeys,
    approvals: Approvals,
    identities: Identities,
    origin: str,
    *,
    provider: bool = False,
) -> list[BaseRoute]:
    """The routes under `/console/`.

    Args:
        people: sessions and invitations.
        passkeys: what people sign with.
        approvals: what waits.
        identities: for the list of people.
        origin: what browsers call this place, as `https://broker.example` or `http://localhost:8750`; every change must come from a page of it.
        provider: an OpenID provider is set, so that its button is shown.
    """
    return _Console(people, passkeys, approvals, identities, origin, provider=provider).routes()


class _Console:
    """The handlers, and what they share."""

    def __init__(
        self,
        people: People,
        passkeys: Passkeys,
        approvals: Approvals,
        identities: Identities,
        origin: str,
        *,
        provider: bool,
    ) -> None:
        self._people = people
        self._passkeys = passkeys
        self._approvals = approvals
        self._identities = identities
        self._origin = origin
        self._provider = provider
        where = urlsplit(origin)
        self._safe = where.scheme == "https" or where.hostname in _LOOPBACK
        self._pages = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._static = {name: (_HERE / "static" / name).read_bytes() for name in _STATIC}

    def routes(self) -> list[BaseRoute]:
        pages: dict[str, Handler] = {
            "/": self._home,
            "/login": self._login,
            "/enrol": self._enrol,
            "/callback": self._callback,
            "/approvals/{id}": self._approval,
            "/people": self._list,
            "/static/{name}": self._file,
        }
        calls: dict[str, Handler] = {
            "/login/begin": self._login_begin,
            "/login/finish": self._login_finish,
            "/login/provider": self._login_provider,
            "/enrol/begin": self._enrol_begin,
            "/enrol/finish": self._enrol_finish,
            "/logout": self._logout,
            "/approvals/{id}/begin": self._approval_begin,
            "/approvals/{id}/answer": self._approval_answer,
            "/people/invite": self._invite,
        }
        return [
            Route(PREFIX, self._guarded(self._to_home), methods=["GET"]),
            *(Route(PREFIX + path, self._guarded(page), methods=["GET"]) for path, page in pages.items()),
            *(Route(PREFIX + path, self._posted(call), methods=["POST"]) for path, call in calls.items()),
        ]

    # ---- around every handler -----------------------------------------------------------------------------------------------------------

    def _guarded(self, handler: Handler) -> Handler:
        """A page: errors are pages too, and whoever is not signed in is sent to do it."""

        async def page(request: Request) -> Response:
            try:
                answer = await handler(request)
            except JitError as error:
                if error.code == "not_signed_in":
                    answer = RedirectResponse(f"{PREFIX}/login", 303)
                else:
                    answer = self._page("message.html", None, status=error.http_status, error=error)
            answer.headers.update(HEADERS)
            return answer

        return page

    def _posted(self, handler: Handler) -> Handler:
        """A change: only from a page of ours. Anything a form or another site can send is refused before it is read."""

        async def call(request: Request) -> Response:
            try:
                self._check_origin(request)
                answer = await handler(request)
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

    async def _body(self, request: Request, *names: str) -> dict[str, str]:
        """The named members, each a text; missing ones are empty, others are refused."""
        read = bytearray()
        async for piece in request.stream():
            read += piece
            if len(read) > MAX_BODY:
                raise BadInputError("body_too_large", f"A body has {MAX_BODY} bytes at most.")
        told = parse_object(bytes(read), max_bytes=MAX_BODY, max_depth=4)
        found: dict[str, str] = {}
        for name, value in told.items():
            if name not in names or not isinstance(value, str):
                raise BadInputError("body_bad", f"The member {name[:40]!r} is not wanted here, or is no text.")
            found[name] = value
        return {name: found.get(name, "") for name in names}

    async def _session(self, request: Request, least: Role = Role.NONE) -> SignedIn:
        """Who is signed in, with at least this role. Raises RefusedError: code `not_signed_in`, `role_too_low`."""
        signed = await self._people.session(_cookie(request))
        if _RANKS.index(signed.person.role) < _RANKS.index(least):
            raise RefusedError("role_too_low", f"This needs the role {least}.", "Ask an administrator.")
        return signed

    def _page(self, name: str, signed: SignedIn | None, *, status: int = 200, **values: object) -> Response:
        told = {"me": signed.person if signed else None, "prefix": PREFIX, **values}
        return Response(self._pages.get_template(name).render(told), status, media_type="text/html")

    def _let_in(self, signed: SignedIn, answer: Response) -> Response:
        """The session's cookie: a fresh secret at every sign-in, whatever cookie came along."""
        answer.set_cookie(COOKIE, signed.secret, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    def _check_safe(self) -> None:
        if not self._safe:
            raise RefusedError(
                "origin_insecure",
                "Nobody signs in over plain http, except on this machine itself.",
                "Put TLS in front, or open the console at http://localhost.",
            )

    # ---- pages --------------------------------------------------------------------------------------------------------------------------

    async def _to_home(self, request: Request) -> Response:
        del request
        return RedirectResponse(f"{PREFIX}/", 303)

    async def _home(self, request: Request) -> Response:
        signed = await self._session(request)
        waiting = await self._approvals.waiting() if signed.person.role is not Role.NONE else ()
        own = await self._passkeys.list(signed.person.id)
        return self._page("home.html", signed, waiting=waiting, passkeys=own)

    async def _login(self, request: Request) -> Response:
        del request
        return self._page("login.html", None, provider=self._provider, safe=self._safe)

    async def _enrol(self, request: Request) -> Response:
        del request
        return self._page("enrol.html", None, safe=self._safe)

    async def _approval(self, request: Request) -> Response:
        signed = await self._session(request, Role.VIEWER)
        asked = await self._asked(request)
        may = _RANKS.index(signed.person.role) >= _RANKS.index(Role.RESPONDER)
        waits = asked.state is ApprovalState.WAITING
        return self._page("approval.html", signed, asked=asked, may=may and waits)

    async def _list(self, request: Request) -> Response:
        signed = await self._session(request, Role.ADMIN)
        found = await self._identities.list(IdentityQuery(kind=SubjectKind.PERSON, limit=LISTED_MOST))
        roles = [role for role in Role if role is not Role.NONE]
        return self._page("people.html", signed, people=found, roles=roles)

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._static:
            raise NotFoundError("page_unknown", "There is no such file.")
        return Response(self._static[name], headers={"Content-Type": _STATIC[name]})

    async def _callback(self, request: Request) -> Response:
        """Back from the provider. A page and no redirect: a `Strict` cookie is not sent on a chain of redirects that began elsewhere."""
        self._check_safe()
        told = request.query_params
        one = {name: told.getlist(name) for name in ("state", "code", "iss")}
        if any(len(values) > 1 for values in one.values()) or told.get("error"):
            raise RefusedError("login_failed", "The provider did not let you in.", "Sign in again.")
        state, code, issuer = (values[0] if values else "" for values in one.values())
        signed = await self._people.logged_in(request.cookies.get(LOGIN_COOKIE, ""), state, code, issuer)
        answer = self._let_in(signed, self._page("continue.html", None))
        answer.delete_cookie(LOGIN_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    # ---- calls --------------------------------------------------------------------------------------------------------------------------

    async def _login_begin(self, request: Request) -> Response:
        self._check_safe()
        await self._body(request)
        return _json(await self._passkeys.request())

    async def _login_finish(self, request: Request) -> Response:
        self._check_safe()
        told = await self._body(request, "response")
        signed = await self._passkeys.sign_in(told["response"])
        return self._let_in(signed, JSONResponse({"to": f"{PREFIX}/"}))

    async def _login_provider(self, request: Request) -> Response:
        self._check_safe()
        await self._body(request)
        url, handle = await self._people.login(f"{self._origin}{PREFIX}/callback")
        answer = JSONResponse({"to": url})
        answer.set_cookie(
            LOGIN_COOKIE, handle, max_age=LOGIN_SECONDS, path="/", secure=True, httponly=True, samesite="lax"
        )
        return answer

    async def _enrol_begin(self, request: Request) -> Response:
        self._check_safe()
        told = await self._body(request, "invitation")
        session = "" if told["invitation"] else _cookie(request)
        return _json(await self._passkeys.begin(session, told["invitation"]))

    async def _enrol_finish(self, request: Request) -> Response:
        self._check_safe()
        told = await self._body(request, "invitation", "response", "label")
        session = "" if told["invitation"] else _cookie(request)
        signed = await self._passkeys.finish(session, told["invitation"], told["response"], told["label"])
        return self._let_in(signed, JSONResponse({"to": f"{PREFIX}/"}))

    async def _logout(self, request: Request) -> Response:
        await self._body(request)
        await self._people.session(_cookie(request), end=True)
        answer = JSONResponse({"to": f"{PREFIX}/login"})
        answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    async def _approval_begin(self, request: Request) -> Response:
        await self._session(request, Role.RESPONDER)
        await self._body(request)
        return _json(await self._passkeys.request(request.path_params["id"]))

    async def _approval_answer(self, request: Request) -> Response:
        signed = await self._session(request, Role.RESPONDER)
        told = await self._body(request, "answer", "response")
        if told["answer"] not in ("approve", "deny"):
            raise BadInputError("body_bad", "The answer is approve or deny.")
        yes = told["answer"] == "approve"
        answered = await self._approvals.answer(
            request.path_params["id"],
            Answer(
                yes,
                signed.person.id,
                ConfirmedBy.PASSKEY if yes else ConfirmedBy.SESSION,
                assertion=told["response"],
                session=_cookie(request),
            ),
        )
        return JSONResponse({"to": f"{PREFIX}/", "state": answered.state})

    async def _invite(self, request: Request) -> Response:
        signed = await self._session(request, Role.ADMIN)
        told = await self._body(request, "person", "role")
        if told["role"] not in {role.value for role in Role if role is not Role.NONE}:
            raise BadInputError("role_bad", "A role is viewer, responder or admin.")
        made = await self._people.invite(told["person"], Role(told["role"]), Seconds(INVITE_SECONDS), signed.person.id)
        # The secret is behind the `#`: no server, log or Referer ever sees it.
        return JSONResponse({"link": f"{self._origin}{PREFIX}/enrol#{made.secret}", "person": made.person})

    async def _asked(self, request: Request) -> Approval:
        return await self._approvals.wait(request.path_params["id"], Seconds(0))


def _cookie(request: Request) -> str:
    return request.cookies.get(COOKIE, "")


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")
