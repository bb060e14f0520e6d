"""The console without a browser: a client that can send what a browser never would."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2
from starlette.applications import Starlette
from tests.authenticator import ORIGIN, Authenticator
from tests.people import People, people

from jittrust.api.console.app import console_routes
from jittrust.api.console.consent import consent_routes
from jittrust.api.console.pages import COOKIE
from jittrust.api.oauth.authorize import authorize_routes
from jittrust.core.identity.identity import Role


def console_app(here: People, *, origin: str = ORIGIN, provider: bool = False) -> Starlette:
    driving = here.world.broker.driving
    routes = console_routes(
        driving.people, here.passkeys, driving.approvals, driving.identities, origin, provider=provider
    )
    consents = here.world.broker.inner.consents
    routes += consent_routes(consents, driving.people, here.passkeys, origin)
    routes += authorize_routes(consents, origin)
    return Starlette(routes=routes)


@dataclass(slots=True)
class ConsoleClient:
    """Somebody at the console, with whatever cookie they have."""

    here: People
    app: Starlette
    cookie: str = ""

    async def send(self, method: str, path: str, body: object = None, **headers: str | None) -> httpx2.Response:
        """Send what a page of the console would; `headers` change or (None) leave out some of it."""
        told: dict[str, str | None] = {"Cookie": f"{COOKIE}={self.cookie}" if self.cookie else None}
        if method == "POST":
            told |= {"Origin": ORIGIN, "Content-Type": "application/json"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        clean = {name: value for name, value in told.items() if value is not None}
        content = body if isinstance(body, bytes | str) else httpx2.Request("POST", ORIGIN, json=body or {}).content
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), base_url=ORIGIN) as client:
            url = path if path.startswith("/oauth/") else f"/console{path}"
            return await client.request(method, url, content=content, headers=clean)

    async def get(self, path: str) -> httpx2.Response:
        return await self.send("GET", path)

    async def post(self, path: str, body: object = None, **headers: str | None) -> httpx2.Response:
        return await self.send("POST", path, body, **headers)


def code(answer: httpx2.Response) -> str:
    """The code of a refusal; empty when it is none."""
    read = answer.json()
    return str(read["error"]["code"]) if "error" in read else ""


async def console(*, origin: str = ORIGIN) -> ConsoleClient:
    """A console nobody is signed in at."""
    here = await people()
    return ConsoleClient(here, console_app(here, origin=origin))


async def signed_in(device: Authenticator, role: Role = Role.ADMIN, person: str = "/person/ada") -> ConsoleClient:
    """A console with one person signed in."""
    made = await console()
    made.cookie = (await made.here.enrol(device, person, role)).secret
    return made
