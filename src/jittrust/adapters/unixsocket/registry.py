"""`ports.registry` over the broker's socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.authority.pin import ToolPin
from jittrust.core.model import Json
from jittrust.ports.registry import Attached, Attachment, ToolStanding


class SocketRegistry:
    """`Registry` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def attach(self, attachment: Attachment) -> Attached:
        told: Attached = await self._connection.call("registry.attach", attachment=attachment)
        return told

    async def detach(self, attached: str) -> None:
        await self._connection.call("registry.detach", attached=attached)

    async def show_tools(self, attached: str, definitions: Sequence[Mapping[str, Json]]) -> Sequence[ToolStanding]:
        told: Sequence[ToolStanding] = await self._connection.call(
            "registry.show_tools", attached=attached, definitions=definitions
        )
        return told

    async def pins(self) -> Sequence[ToolPin]:
        told: Sequence[ToolPin] = await self._connection.call("registry.pins")
        return told

    async def changed(self, attached: str, mission: str, generation: int, timeout: float) -> Attached:
        told: Attached = await self._connection.call(
            "registry.changed", attached=attached, mission=mission, generation=generation, timeout=timeout
        )
        return told
