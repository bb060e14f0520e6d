"""`ports.ledger_view` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection


class SocketLedgerView:
    """`LedgerView` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def entries(self, after: int, limit: int) -> Sequence[bytes]:
        told: Sequence[bytes] = await self._connection.call("ledger.entries", after=after, limit=limit)
        return told

    async def checkpoint(self) -> str:
        told: str = await self._connection.call("ledger.checkpoint")
        return told

    async def public_key(self) -> str:
        told: str = await self._connection.call("ledger.public_key")
        return told
