"""`ports.approvals` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.approval import Approval
from jittrust.core.units import Seconds
from jittrust.ports.approvals import Answer


class SocketApprovals:
    """`Approvals` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def waiting(self) -> Sequence[Approval]:
        told: Sequence[Approval] = await self._connection.call("approvals.waiting")
        return told

    async def answer(self, approval: str, answer: Answer) -> Approval:
        told: Approval = await self._connection.call("approvals.answer", approval=approval, answer=answer)
        return told

    async def wait(self, approval: str, timeout: Seconds) -> Approval:
        told: Approval = await self._connection.call("approvals.wait", approval=approval, timeout=timeout)
        return told
