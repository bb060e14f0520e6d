"""The one screen on which a person lets an agent work for them: who, what for, what it may do, for how long, for how much."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from jittrust.api.console.pages import PREFIX, RANKS, Handler, Pages, body_of, cookie_of, json_of
from jittrust.core.errors import BadInputError, ConflictError, NotFoundError
from jittrust.core.identity.identity import Role
from jittrust.core.oauth.request import RequestState
from jittrust.ports.consents import ConsentAnswer, Consents
from jittrust.ports.passkeys import Passkeys
from jittrust.ports.people import People

TICKS_MOST: Final = 512
_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z")


def consent_routes(consents: Consents, people: People, passkeys: Passkeys, origin: str) -> list[BaseRoute]:
    """The routes under `/console/consent/`. Arguments as for `console_routes`."""
    return _Consent(consents, people, passkeys, origin).routes()


class _Consent:
    def __init__(self, consents: Consents, people: People, passkeys: Passkeys, origin: str) -> None:
        self._consents = consents
        self._passkeys = passkeys
        self._pages = Pages(people, origin)

    def routes(self) -> list[BaseRoute]:
        path = f"{PREFIX}/consent/{{id}}"
        calls: dict[str, Handler] = {"/goal": self._goal, "/begin": self._begin, "/answer": self._answer}
        return [
            Route(path, self._pages.guarded(self._page), methods=["GET"]),
            *(Route(path + end, self._pages.posted(call), methods=["POST"]) for end, call in calls.items()),
        ]

    async def _page(self, request: Request) -> Response:
        name = _id(request)
        if not cookie_of(request) and "here" not in request.query_params:
            # Whoever comes from the client's site brings no `Strict` cookie, signed in or not: a step within this site brings it.
            return self._pages.page("continue.html", None, to=f"{PREFIX}/consent/{name}?here=1")
        signed = await self._pages.session(request)
        ask = await self._consents.show(name, cookie_of(request))
        may = RANKS.index(signed.person.role) >= RANKS.index(Role.RESPONDER)
        waits = ask.request.state is RequestState.ASKED
        return self._pages.page("consent.html", signed, ask=ask, asked=ask.request, may=may, waits=waits)

    async def _goal(self, request: Request) -> Response:
        told = await body_of(request, "goal", "also")
        name, also = _id(request), told["also"].split()
        if len(also) > TICKS_MOST:
            raise BadInputError("body_bad", f"Nobody ticks more than {TICKS_MOST} boxes.")
        now = await self._consents.show(name, cookie_of(request))
        words = told["goal"].replace("\r\n", "\n")
        same = words.strip() == now.request.goal
        await self._consents.show(name, cookie_of(request), None if same else words, also if same else None)
        return JSONResponse({"to": f"{PREFIX}/consent/{name}"})

    async def _begin(self, request: Request) -> Response:
        """What the authenticator signs: the question that is on the screen, or nothing."""
        told = await body_of(request, "question")
        ask = await self._consents.show(_id(request), cookie_of(request))
        if ask.approval is None or ask.approval.id != told["question"]:
            raise ConflictError(
                "question_moved", "What is on the screen is not what would happen any more.", "Load the page again."
            )
        return json_of(await self._passkeys.request(ask.approval.id))

    async def _answer(self, request: Request) -> Response:
        told = await body_of(request, "answer", "question", "response", "pin")
        if told["answer"] not in ("approve", "deny"):
            raise BadInputError("body_bad", "The answer is approve or deny.")
        given = ConsentAnswer(
            told["answer"] == "approve", cookie_of(request), told["response"], told["pin"], told["question"]
        )
        return JSONResponse({"to": await self._consents.answer(_id(request), given)})


def _id(request: Request) -> str:
    name = str(request.path_params["id"])
    if _ID.match(name) is None:
        raise NotFoundError("request_unknown", "There is no such request, or it is over.", "Begin again at the client.")
    return name
