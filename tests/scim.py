"""A directory over a broker in memory: what the tests of SCIM send their requests to."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from starlette.applications import Starlette
from tests.model.world import World

from jittrust.api.scim.app import scim_routes
from jittrust.core.identity.directory import DirectoryToken
from jittrust.core.identity.identity import Identity, Role
from jittrust.core.model import Json, SubjectKind
from jittrust.ports.commit import Keep
from jittrust.ports.identities import NewIdentity

TOKEN = "jts-4f9a1c7be2d05836-of-the-tests"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BASE = "http://localhost/scim/v2"


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider with a good token."""

    world: World
    app: Starlette
    http: httpx2.AsyncClient

    async def send(self, method: str, path: str, body: Json = None, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            return await self.http.request(method, f"{BASE}{path}", headers=named)
        return await self.http.request(
            method, f"{BASE}{path}", json=body, headers={"content-type": "application/scim+json", **named}
        )

    async def user(self, name: str, **more: Json) -> dict[str, Any]:
        answer = await self.send("POST", "/Users", {"schemas": [USER], "userName": name, **more})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def group(self, name: str, *members: Mapping[str, Json]) -> dict[str, Any]:
        body: Json = {"schemas": [GROUP], "displayName": name, "members": [{"value": one["id"]} for one in members]}
        answer = await self.send("POST", "/Groups", body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def patch(self, path: str, *operations: Mapping[str, Json], **headers: str) -> httpx2.Response:
        body: dict[str, Json] = {"schemas": [PATCH], "Operations": [dict(one) for one in operations]}
        return await self.send("PATCH", path, body, **headers)

    def person(self, name: str) -> Identity:
        """The person of this address, as the registry has it."""
        found = [one for one in self.persons() if f"email:{name}" in one.names or one.id.endswith(f"/person/{name}")]
        assert len(found) == 1, found
        return found[0]

    def persons(self) -> Sequence[Identity]:
        kept = self.world.broker.state.of_kind(Identity).values()
        return [one for one in kept if one.kind is SubjectKind.PERSON]

    async def admin(self, name: str) -> Identity:
        """Somebody who was there before any directory."""
        new = NewIdentity(
            SubjectKind.PERSON, f"/person/{name}", names=(f"email:{name}@example.org",), role=Role.ADMIN, by="cli"
        )
        return await self.world.broker.driving.identities.enrol(new)


@contextlib.asynccontextmanager
async def provider(world: World) -> AsyncIterator[Provider]:
    """The routes of `/scim/v2` over a broker, and a provider that may use them."""
    mac = hmac.new(bytes(32), b"scim:" + TOKEN.encode(), hashlib.sha256).hexdigest()
    if mac not in world.broker.state.of_kind(DirectoryToken):
        await world.broker.state.change([Keep(DirectoryToken(mac, "corp", TOKEN[-4:]))], [])
    driving = world.broker.driving
    app = Starlette(routes=scim_routes(world.broker.inner.directory, driving.identities))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, headers={"authorization": f"Bearer {TOKEN}"}) as http:
        yield Provider(world, app, http)
