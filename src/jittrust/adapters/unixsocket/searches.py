"""`ports.searches` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.model import Evaluation, Verdict
from jittrust.ports.searches import Found


class SocketSearches:
    """`Searches` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def judge(self, ask: Evaluation, mission: str) -> Verdict:
        told: Verdict = await self._connection.call("searches.judge", ask=ask, mission=mission)
        return told

    async def subjects(self, ask: Evaluation, after: str, limit: int) -> Found:
        told: Found = await self._connection.call("searches.subjects", ask=ask, after=after, limit=limit)
        return told

    async def resources(self, ask: Evaluation, after: str, limit: int) -> Found:
        told: Found = await self._connection.call("searches.resources", ask=ask, after=after, limit=limit)
        return told

    async def actions(self, ask: Evaluation) -> Sequence[str]:
        told: Sequence[str] = await self._connection.call("searches.actions", ask=ask)
        return told
