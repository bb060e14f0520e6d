"""`ports.contracts` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.mission.contract import Contract, SignedContract
from jittrust.core.model import Tool


class SocketContracts:
    """`Contracts` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def plan(self, goal: str, tools: Sequence[Tool], minutes: int) -> SignedContract:
        told: SignedContract = await self._connection.call("contracts.plan", goal=goal, tools=tools, minutes=minutes)
        return told

    async def of(self, mission: str) -> SignedContract:
        told: SignedContract = await self._connection.call("contracts.of", mission=mission)
        return told

    async def read(self, token: str) -> Contract:
        told: Contract = await self._connection.call("contracts.read", token=token)
        return told
