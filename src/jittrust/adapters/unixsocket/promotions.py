"""`ports.promotions` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.promotion import Promotion


class SocketPromotions:
    """`Promotions` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def enforce_mission(self, mission: str, why: str, by: str, pin: str) -> Mission:
        told: Mission = await self._connection.call(
            "promotions.enforce_mission", mission=mission, why=why, by=by, pin=pin
        )
        return told

    async def enforce_agent(self, agent: str, why: str, by: str, pin: str) -> Promotion:
        told: Promotion = await self._connection.call("promotions.enforce_agent", agent=agent, why=why, by=by, pin=pin)
        return told

    async def release(self, agent: str, why: str, by: str, pin: str) -> Promotion:
        told: Promotion = await self._connection.call("promotions.release", agent=agent, why=why, by=by, pin=pin)
        return told

    async def list(self) -> Sequence[Promotion]:
        told: Sequence[Promotion] = await self._connection.call("promotions.list")
        return told
