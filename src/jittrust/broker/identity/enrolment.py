"""Registration entries and join tokens: who will be given which identity. For admins."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.state import State
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.units import Seconds
from jittrust.ports.enrolment import JoinTicket


class EnrolmentBook:
    """Says which attested facts entitle to which identity."""

    def __init__(self, state: State, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._parts = parts

    async def entries(self) -> Sequence[RegistrationEntry]:
        """See `Enrolment.entries`."""
        raise NotImplementedError

    async def put(self, entry: RegistrationEntry) -> RegistrationEntry:
        """See `Enrolment.put`."""
        raise NotImplementedError

    async def remove(self, entry: str) -> None:
        """See `Enrolment.remove`."""
        raise NotImplementedError

    async def invite(self, entry: str, life: Seconds, by: str) -> JoinTicket:
        """See `Enrolment.invite`."""
        raise NotImplementedError
