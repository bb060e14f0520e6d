"""`ports.grants` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.grant.grant import Grant, Shown
from jittrust.ports.grants import ChildGrant, IssuedGrant, NewGrant


class SocketGrants:
    """`Grants` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def open(self, new: NewGrant) -> IssuedGrant:
        told: IssuedGrant = await self._connection.call("grants.open", new=new)
        return told

    async def open_lane(self, shown: Shown) -> tuple[int, str, str]:
        told: tuple[int, str, str] = await self._connection.call("grants.open_lane", shown=shown)
        return told

    async def delegate(self, child: ChildGrant, shown: Shown | None) -> IssuedGrant:
        told: IssuedGrant = await self._connection.call("grants.delegate", child=child, shown=shown)
        return told

    async def list(self, mission: str = "") -> Sequence[Grant]:
        told: Sequence[Grant] = await self._connection.call("grants.list", mission=mission)
        return told

    async def revoke(self, grant: str, why: str, by: str) -> Grant:
        told: Grant = await self._connection.call("grants.revoke", grant=grant, why=why, by=by)
        return told
