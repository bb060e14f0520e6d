"""Users and groups that an identity provider keeps here (SCIM 2.0)."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.state import State
from jittrust.core.identity.directory import DirectoryGroup, DirectoryUser


class DirectoryBook:
    """The provider's side of people. Deactivating a user makes the person a leaver: see `Identities.change`."""

    def __init__(self, state: State, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._parts = parts

    async def authorised(self, token: str) -> str:
        """See `Directory.authorised`."""
        raise NotImplementedError

    async def users(self) -> Sequence[DirectoryUser]:
        """See `Directory.users`."""
        raise NotImplementedError

    async def groups(self) -> Sequence[DirectoryGroup]:
        """See `Directory.groups`."""
        raise NotImplementedError

    async def put(
        self, value: DirectoryUser | DirectoryGroup, by: str, *, remove: bool = False
    ) -> DirectoryUser | DirectoryGroup:
        """See `Directory.put`."""
        raise NotImplementedError
