"""`ports.bundles` over the broker's socket."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.ports.bundles import CheckedJwt


class SocketBundles:
    """`Bundles` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def own(self) -> str:
        told: str = await self._connection.call("bundles.own")
        return told

    async def foreign(self) -> Mapping[str, str]:
        told: Mapping[str, str] = await self._connection.call("bundles.foreign")
        return told

    async def check_jwt(self, token: str, audience: str) -> CheckedJwt:
        told: CheckedJwt = await self._connection.call("bundles.check_jwt", token=token, audience=audience)
        return told

    async def check_x509(self, chain: tuple[bytes, ...]) -> str:
        told: str = await self._connection.call("bundles.check_x509", chain=chain)
        return told
