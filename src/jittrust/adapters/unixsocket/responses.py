"""`ports.responses` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.response.stop import Stop, StopScope
from jittrust.ports.responses import Stopped


class SocketResponses:
    """`Responses` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def stop(self, scope: StopScope, target: str, why: str, by: str) -> Stopped:
        told: Stopped = await self._connection.call("responses.stop", scope=scope, target=target, why=why, by=by)
        return told

    async def lift(self, stop: str, why: str, by: str, pin: str) -> Stop:
        told: Stop = await self._connection.call("responses.lift", stop=stop, why=why, by=by, pin=pin)
        return told

    async def list(self) -> Sequence[Stop]:
        told: Sequence[Stop] = await self._connection.call("responses.list")
        return told
