"""`ports.people` over the broker's socket."""

from __future__ import annotations

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.identity.identity import Role
from jittrust.core.units import Seconds
from jittrust.ports.people import Invitation, SignedIn


class SocketPeople:
    """`People` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def invite(self, person: str, role: Role, life: Seconds, by: str) -> Invitation:
        told: Invitation = await self._connection.call("people.invite", person=person, role=role, life=life, by=by)
        return told

    async def bootstrap(self) -> Invitation | None:
        told: Invitation | None = await self._connection.call("people.bootstrap")
        return told

    async def login(self, redirect_uri: str) -> tuple[str, str]:
        told: tuple[str, str] = await self._connection.call("people.login", redirect_uri=redirect_uri)
        return told

    async def logged_in(self, handle: str, state: str, code: str, issuer: str) -> SignedIn:
        told: SignedIn = await self._connection.call(
            "people.logged_in", handle=handle, state=state, code=code, issuer=issuer
        )
        return told

    async def session(self, secret: str, *, end: bool = False) -> SignedIn:
        told: SignedIn = await self._connection.call("people.session", secret=secret, end=end)
        return told
