"""`ports.federation` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.identity.federate import FederatedDomain


class SocketFederation:
    """`Federation` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def list(self) -> Sequence[FederatedDomain]:
        told: Sequence[FederatedDomain] = await self._connection.call("federation.list")
        return told

    async def federate(self, domain: FederatedDomain, by: str) -> FederatedDomain:
        told: FederatedDomain = await self._connection.call("federation.federate", domain=domain, by=by)
        return told

    async def refresh(self, name: str) -> FederatedDomain:
        told: FederatedDomain = await self._connection.call("federation.refresh", name=name)
        return told

    async def end(self, name: str, by: str) -> None:
        await self._connection.call("federation.end", name=name, by=by)
