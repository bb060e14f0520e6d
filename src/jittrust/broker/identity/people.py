"""People: invitations, login, sessions."""

from __future__ import annotations

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.state import State
from jittrust.core.identity.identity import Role
from jittrust.core.units import Seconds
from jittrust.ports.people import Invitation, SignedIn


class PeopleBook:
    """Who is in front of the browser."""

    def __init__(self, state: State, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._parts = parts

    async def invite(self, person: str, role: Role, life: Seconds, by: str) -> Invitation:
        """See `People.invite`."""
        raise NotImplementedError

    async def bootstrap(self) -> Invitation | None:
        """See `People.bootstrap`."""
        raise NotImplementedError

    async def login(self, redirect_uri: str) -> tuple[str, str]:
        """See `People.login`."""
        raise NotImplementedError

    async def logged_in(self, handle: str, state: str, code: str, issuer: str) -> SignedIn:
        """See `People.logged_in`."""
        raise NotImplementedError

    async def session(self, secret: str, *, end: bool = False) -> SignedIn:
        """See `People.session`."""
        raise NotImplementedError
