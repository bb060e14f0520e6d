"""`ports.enrolment` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.units import Seconds
from jittrust.ports.enrolment import JoinTicket


class SocketEnrolment:
    """`Enrolment` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def entries(self) -> Sequence[RegistrationEntry]:
        told: Sequence[RegistrationEntry] = await self._connection.call("enrolment.entries")
        return told

    async def put(self, entry: RegistrationEntry) -> RegistrationEntry:
        told: RegistrationEntry = await self._connection.call("enrolment.put", entry=entry)
        return told

    async def remove(self, entry: str) -> None:
        await self._connection.call("enrolment.remove", entry=entry)

    async def invite(self, entry: str, life: Seconds, by: str) -> JoinTicket:
        told: JoinTicket = await self._connection.call("enrolment.invite", entry=entry, life=life, by=by)
        return told
