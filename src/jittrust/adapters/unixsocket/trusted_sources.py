"""`ports.trusted_sources` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.identity.attest import TrustedIssuer


class SocketTrustedSources:
    """`TrustedSources` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def list(self) -> Sequence[TrustedIssuer]:
        told: Sequence[TrustedIssuer] = await self._connection.call("sources.list")
        return told

    async def trust(self, issuer: TrustedIssuer, by: str) -> TrustedIssuer:
        told: TrustedIssuer = await self._connection.call("sources.trust", issuer=issuer, by=by)
        return told

    async def distrust(self, name: str, by: str) -> None:
        await self._connection.call("sources.distrust", name=name, by=by)

    async def directory_token(self, name: str, by: str) -> str:
        told: str = await self._connection.call("sources.directory_token", name=name, by=by)
        return told
