"""`ports.identities` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.identity.identity import Blueprint, Identity
from jittrust.ports.identities import IdentityChange, IdentityQuery, IdentityView, NewIdentity


class SocketIdentities:
    """`Identities` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def list(self, query: IdentityQuery) -> Sequence[Identity]:
        told: Sequence[Identity] = await self._connection.call("identities.list", query=query)
        return told

    async def show(self, name: str) -> IdentityView:
        told: IdentityView = await self._connection.call("identities.show", name=name)
        return told

    async def enrol(self, new: NewIdentity) -> Identity:
        told: Identity = await self._connection.call("identities.enrol", new=new)
        return told

    async def change(self, name: str, change: IdentityChange) -> IdentityView:
        told: IdentityView = await self._connection.call("identities.change", name=name, change=change)
        return told

    async def draw(self, blueprint: Blueprint) -> Blueprint:
        told: Blueprint = await self._connection.call("identities.draw", blueprint=blueprint)
        return told
