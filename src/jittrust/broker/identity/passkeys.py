"""Passkeys of people."""

from __future__ import annotations

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.identity.people import PeopleBook
from jittrust.broker.state import State
from jittrust.core.identity.person import Passkey
from jittrust.ports.people import SignedIn


class PasskeyBook:
    """Enrols passkeys, and lets them sign in and approve. Options and responses are WebAuthn's JSON."""

    def __init__(self, state: State, people: PeopleBook, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._people = people
        self._identities = identities
        self._parts = parts

    async def begin(self, session: str, invitation: str) -> str:
        """See `Passkeys.begin`."""
        raise NotImplementedError

    async def finish(self, session: str, invitation: str, response: str, label: str) -> SignedIn:
        """See `Passkeys.finish`."""
        raise NotImplementedError

    async def request(self, approval: str = "") -> str:
        """See `Passkeys.request`."""
        raise NotImplementedError

    async def sign_in(self, response: str) -> SignedIn:
        """See `Passkeys.sign_in`."""
        raise NotImplementedError

    async def list(self, person: str) -> tuple[Passkey, ...]:
        """See `Passkeys.list`."""
        raise NotImplementedError
