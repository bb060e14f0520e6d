"""Pages for people under `/console/`: sign in, enrol a passkey, see what waits, approve it by signing it, invite others.

Every page works without anything from elsewhere: the browser is told to load nothing but this origin's own script and style, and nothing inline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from jittrust.api.console.pages import (
    COOKIE,
    PREFIX,
    RANKS,
    Handler,
    Pages,
    body_of,
    cookie_of,
    json_of,
    safe_next,
)
from jittrust.core.approval import Approval, ApprovalState, ConfirmedBy
from jittrust.core.authority.endorsement import endorsement_text
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.core.units import Seconds
from jittrust.ports.approvals import Answer, Approvals
from jittrust.ports.identities import Identities, IdentityQuery
from jittrust.ports.passkeys import Passkeys
from jittrust.ports.people import People, SignedIn

LOGIN_COOKIE: Final = "__Host-jittrust-login"
"""Remembers a login at a provider; `Lax`, because the way back begins at the provider. The session's own cookie is `Strict`."""
NEXT_COOKIE: Final = "__Host-jittrust-next"
"""Where somebody who signs in at a provider wanted to go."""
LOGIN_SECONDS: Final = 600
INVITE_SECONDS: Final = 24 * 3600
LISTED_MOST: Final = 1000


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
        self._pages = Pages(people, origin)

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
            Route(PREFIX, self._pages.guarded(self._to_home), methods=["GET"]),
            *(Route(PREFIX + path, self._pages.guarded(page), methods=["GET"]) for path, page in pages.items()),
            *(Route(PREFIX + path, self._pages.posted(call), methods=["POST"]) for path, call in calls.items()),
        ]

    # ---- what sessions need -------------------------------------------------------------------------------------------------------------

    def _let_in(self, signed: SignedIn, answer: Response) -> Response:
        """The session's cookie: a fresh secret at every sign-in, whatever cookie came along."""
        answer.set_cookie(COOKIE, signed.secret, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    def _check_safe(self) -> None:
        if not self._pages.safe:
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
        signed = await self._pages.session(request)
        waiting = await self._approvals.waiting() if signed.person.role is not Role.NONE else ()
        own = await self._passkeys.list(signed.person.id)
        return self._pages.page("home.html", signed, waiting=waiting, passkeys=own)

    async def _login(self, request: Request) -> Response:
        back = safe_next(request.query_params.get("next", ""))
        return self._pages.page("login.html", None, provider=self._provider, safe=self._pages.safe, back=back)

    async def _enrol(self, request: Request) -> Response:
        del request
        return self._pages.page("enrol.html", None, safe=self._pages.safe)

    async def _approval(self, request: Request) -> Response:
        signed = await self._pages.session(request, Role.VIEWER)
        asked = await self._asked(request)
        may = RANKS.index(signed.person.role) >= RANKS.index(Role.RESPONDER)
        waits = asked.state is ApprovalState.WAITING
        offer = "" if asked.offer is None else endorsement_text(asked.offer)
        return self._pages.page("approval.html", signed, asked=asked, may=may and waits, offer=offer)

    async def _list(self, request: Request) -> Response:
        signed = await self._pages.session(request, Role.ADMIN)
        found = await self._identities.list(IdentityQuery(kind=SubjectKind.PERSON, limit=LISTED_MOST))
        roles = [role for role in Role if role is not Role.NONE]
        return self._pages.page("people.html", signed, people=found, roles=roles)

    async def _file(self, request: Request) -> Response:
        found = self._pages.static.get(request.path_params["name"])
        if found is None:
            raise NotFoundError("page_unknown", "There is no such file.")
        return Response(found[0], headers={"Content-Type": found[1]})

    async def _callback(self, request: Request) -> Response:
        """Back from the provider. A page and no redirect: a `Strict` cookie is not sent on a chain of redirects that began elsewhere."""
        self._check_safe()
        told = request.query_params
        one = {name: told.getlist(name) for name in ("state", "code", "iss")}
        if any(len(values) > 1 for values in one.values()) or told.get("error"):
            raise RefusedError("login_failed", "The provider did not let you in.", "Sign in again.")
        state, code, issuer = (values[0] if values else "" for values in one.values())
        signed = await self._people.logged_in(request.cookies.get(LOGIN_COOKIE, ""), state, code, issuer)
        back = safe_next(request.cookies.get(NEXT_COOKIE, "")) or f"{PREFIX}/"
        answer = self._let_in(signed, self._pages.page("continue.html", None, to=back))
        for name in (LOGIN_COOKIE, NEXT_COOKIE):
            answer.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    # ---- calls --------------------------------------------------------------------------------------------------------------------------

    async def _login_begin(self, request: Request) -> Response:
        self._check_safe()
        await body_of(request)
        return json_of(await self._passkeys.request())

    async def _login_finish(self, request: Request) -> Response:
        self._check_safe()
        told = await body_of(request, "response", "next")
        signed = await self._passkeys.sign_in(told["response"])
        return self._let_in(signed, JSONResponse({"to": safe_next(told["next"]) or f"{PREFIX}/"}))

    async def _login_provider(self, request: Request) -> Response:
        self._check_safe()
        told = await body_of(request, "next")
        url, handle = await self._people.login(f"{self._origin}{PREFIX}/callback")
        answer = JSONResponse({"to": url})
        for name, value in ((LOGIN_COOKIE, handle), (NEXT_COOKIE, safe_next(told["next"]))):
            answer.set_cookie(name, value, max_age=LOGIN_SECONDS, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    async def _enrol_begin(self, request: Request) -> Response:
        self._check_safe()
        told = await body_of(request, "invitation")
        session = "" if told["invitation"] else cookie_of(request)
        return json_of(await self._passkeys.begin(session, told["invitation"]))

    async def _enrol_finish(self, request: Request) -> Response:
        self._check_safe()
        told = await body_of(request, "invitation", "response", "label")
        session = "" if told["invitation"] else cookie_of(request)
        signed = await self._passkeys.finish(session, told["invitation"], told["response"], told["label"])
        return self._let_in(signed, JSONResponse({"to": f"{PREFIX}/"}))

    async def _logout(self, request: Request) -> Response:
        await body_of(request)
        await self._people.session(cookie_of(request), end=True)
        answer = JSONResponse({"to": f"{PREFIX}/login"})
        answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    async def _approval_begin(self, request: Request) -> Response:
        await self._pages.session(request, Role.RESPONDER)
        endorse, up_to = _choice(await body_of(request, "endorse", "up_to"))
        return json_of(await self._passkeys.request(request.path_params["id"], endorse=endorse, up_to=up_to))

    async def _approval_answer(self, request: Request) -> Response:
        signed = await self._pages.session(request, Role.RESPONDER)
        told = await body_of(request, "answer", "response", "endorse", "up_to")
        if told["answer"] not in ("approve", "deny"):
            raise BadInputError("body_bad", "The answer is approve or deny.")
        yes = told["answer"] == "approve"
        endorse, up_to = _choice(told) if yes else (False, None)
        answered = await self._approvals.answer(
            request.path_params["id"],
            Answer(
                yes,
                signed.person.id,
                ConfirmedBy.PASSKEY if yes else ConfirmedBy.SESSION,
                assertion=told["response"],
                session=cookie_of(request),
                endorse=endorse,
                up_to=up_to,
            ),
        )
        return JSONResponse({"to": f"{PREFIX}/", "state": answered.state})

    async def _invite(self, request: Request) -> Response:
        signed = await self._pages.session(request, Role.ADMIN)
        told = await body_of(request, "person", "role")
        if told["role"] not in {role.value for role in Role if role is not Role.NONE}:
            raise BadInputError("role_bad", "A role is viewer, responder or admin.")
        made = await self._people.invite(told["person"], Role(told["role"]), Seconds(INVITE_SECONDS), signed.person.id)
        # The secret is behind the `#`: no server, log or Referer ever sees it.
        return JSONResponse({"link": f"{self._origin}{PREFIX}/enrol#{made.secret}", "person": made.person})

    async def _asked(self, request: Request) -> Approval:
        return await self._approvals.wait(request.path_params["id"], Seconds(0))


def _choice(told: Mapping[str, str]) -> tuple[bool, float | None]:
    """Whether the source is endorsed instead of the one call, and up to which amount."""
    if told["endorse"] not in ("", "yes"):
        raise BadInputError("body_bad", "The member 'endorse' is yes or left out.")
    if not told["up_to"]:
        return told["endorse"] == "yes", None
    try:
        return told["endorse"] == "yes", float(told["up_to"][:40])
    except ValueError:
        raise BadInputError("bad_amount", "The amount is no number.", "Write it like 98.70.") from None
