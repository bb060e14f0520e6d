"""A person at the consent page of a running gateway, without a browser: a passkey in software, and the few requests that the pages make."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from tests.authenticator import Authenticator
from tests.serving import Running

from jittrust.api.console.pages import COOKIE
from jittrust.apps.cli.reach import person
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.core.units import Seconds
from jittrust.ports.identities import NewIdentity

_DATA = re.compile(r'data-(do|id|question)="([^"]*)"')


@dataclass(slots=True)
class Browsing:
    """Somebody who is signed in. `goal`: what they write where the page asks for one; `seen`: every page they were shown."""

    origin: str
    device: Authenticator
    cookie: str = ""
    goal: str = ""
    approve: bool = True
    seen: list[str] = field(default_factory=list)

    async def follow(self, url: str) -> dict[str, str]:
        """Go where a client sends the browser, answer, and give what the client is sent back."""
        return told(await self.sent_back(url))

    async def sent_back(self, url: str) -> str:
        """The address to which the browser is sent in the end."""
        page, at = await self._page(url)
        if not page:
            return at
        request = at.partition("/consent/")[2].partition("?")[0]
        if self.goal and 'data-do="consent"' not in page:
            await self.post(f"/consent/{request}/goal", {"goal": self.goal, "also": ""})
            page, _ = await self._page(f"{self.origin}/console/consent/{request}?here=1")
        if not self.approve:
            return str((await self.post(f"/consent/{request}/answer", {"answer": "deny"}))["to"])
        found = re.search(r'data-do="consent"[^>]*data-question="([^"]+)"', page)
        assert found, page
        question = unescape(found[1])
        options = await self._send("POST", f"/consent/{request}/begin", {"question": question})
        response = self.device.get(options.text)
        body = {"answer": "approve", "question": question, "response": response}
        return str((await self.post(f"/consent/{request}/answer", body))["to"])

    async def post(self, path: str, body: dict[str, str]) -> Any:  # noqa: ANN401
        """A change that a page makes."""
        answer = await self._send("POST", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def _send(self, method: str, path: str, body: dict[str, str] | None = None) -> httpx2.Response:
        headers = {"Origin": self.origin, "Cookie": f"{COOKIE}={self.cookie}"}
        async with httpx2.AsyncClient(base_url=self.origin) as http:
            return await http.request(method, f"/console{path}", json=body or {}, headers=headers)

    async def _page(self, url: str) -> tuple[str, str]:
        """The page at the end of the redirects of this site, and its address."""
        async with httpx2.AsyncClient(base_url=self.origin) as http:
            headers = {"Cookie": f"{COOKIE}={self.cookie}"}
            while (answer := await http.get(url, headers=headers)).status_code == 303:
                url = answer.headers["location"]
                if not url.startswith((self.origin, "/")):
                    return "", url
            self.seen.append(answer.text)
            assert answer.status_code == 200, answer.text
            return answer.text, url


def told(address: str) -> dict[str, str]:
    """What the client is sent back, as it reads it."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


async def signed_in(
    running: Running, path: str = "/person/ada", role: Role = Role.RESPONDER, *, goal: str = ""
) -> Browsing:
    """A person of the gateway who enrols a passkey with an invitation. They are also the user whose broker it is."""
    origin = f"http://localhost:{urlsplit(running.url).port}"
    made = Browsing(origin, Authenticator(origin), goal=goal)
    async with running.person() as driving:
        names = (f"os:{person()}",)
        identity = await driving.identities.enrol(
            NewIdentity(SubjectKind.PERSON, path, role=role, names=names, by="test")
        )
        invitation = await driving.people.invite(identity.id, role, Seconds(3600), "test")
    begun = await made._send("POST", "/enrol/begin", {"invitation": invitation.secret})
    assert begun.status_code == 200, begun.text
    response = made.device.create(begun.text)
    body = {"invitation": invitation.secret, "response": response, "label": "software"}
    finished = await made._send("POST", "/enrol/finish", body)
    assert finished.status_code == 200, finished.text
    made.cookie = finished.cookies[COOKIE]
    return made
