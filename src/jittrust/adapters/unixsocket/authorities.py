"""`ports.authorities` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.identity.authority import AuthorityKind, SigningAuthority


class SocketAuthorities:
    """`Authorities` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def list(self) -> Sequence[SigningAuthority]:
        told: Sequence[SigningAuthority] = await self._connection.call("authorities.list")
        return told

    async def prepare(self, kind: AuthorityKind, by: str, upstream: str = "") -> SigningAuthority:
        told: SigningAuthority = await self._connection.call("authorities.prepare", kind=kind, by=by, upstream=upstream)
        return told

    async def activate(self, authority: str, by: str) -> SigningAuthority:
        told: SigningAuthority = await self._connection.call("authorities.activate", authority=authority, by=by)
        return told

    async def taint(self, authority: str, by: str) -> SigningAuthority:
        told: SigningAuthority = await self._connection.call("authorities.taint", authority=authority, by=by)
        return told

    async def revoke(self, authority: str, by: str) -> SigningAuthority:
        told: SigningAuthority = await self._connection.call("authorities.revoke", authority=authority, by=by)
        return told
