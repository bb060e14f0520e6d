"""Users and groups that an identity provider keeps here (SCIM 2.0)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jittrust.core.identity.directory import DirectoryGroup, DirectoryUser


class Directory(Protocol):
    """The provider's side of people. Deactivating a user makes the person a leaver: see `Identities.change`."""

    async def authorised(self, token: str) -> str:
        """Name of the provider that a bearer token belongs to. Raises RefusedError: code `scim_unauthorised`."""
        ...

    async def users(self) -> Sequence[DirectoryUser]:
        """All users, oldest first."""
        ...

    async def groups(self) -> Sequence[DirectoryGroup]:
        """All groups, oldest first."""
        ...

    async def put(
        self, value: DirectoryUser | DirectoryGroup, by: str, *, remove: bool = False
    ) -> DirectoryUser | DirectoryGroup:
        """Store, change or remove one.

        With an empty `id` a new one. `revision` and times are ours to fill. A user gets a person; an inactive or
        removed user's person is suspended with all they own.

        Raises:
            BadInputError: code `directory_value_bad`.
            ConflictError: code `directory_uniqueness` (user name or external id taken), `stale_revision` (`revision` is the one the caller saw),
                `last_admin`, `name_taken`.
            NotFoundError: code `directory_unknown`.
        """
        ...
