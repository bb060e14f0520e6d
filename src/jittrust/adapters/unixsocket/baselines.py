"""`ports.baselines` over the broker's socket."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.intent.adoption import AdoptedBaseline
from jittrust.core.model import Json
from jittrust.ports.baselines import BaselineInForce


class SocketBaselines:
    """`Baselines` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def adopt(self, body: Mapping[str, Json], why: str, by: str, pin: str) -> AdoptedBaseline:
        told: AdoptedBaseline = await self._connection.call("baselines.adopt", body=body, why=why, by=by, pin=pin)
        return told

    async def drop(self, why: str, by: str, pin: str) -> AdoptedBaseline:
        told: AdoptedBaseline = await self._connection.call("baselines.drop", why=why, by=by, pin=pin)
        return told

    async def show(self) -> BaselineInForce:
        told: BaselineInForce = await self._connection.call("baselines.show")
        return told
