"""Registration entries and join tokens: who will be given which identity. For admins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.units import Instant, Seconds


@dataclass(frozen=True, slots=True)
class JoinTicket:
    """A fresh join token (secret, told once) and what it is for."""

    token: str
    entry: str
    spiffe_id: str
    expires: Instant


class Enrolment(Protocol):
    """Says which attested facts entitle to which identity."""

    async def entries(self) -> Sequence[RegistrationEntry]:
        """Every entry, in the order of SPIFFE IDs."""
        ...

    async def put(self, entry: RegistrationEntry) -> RegistrationEntry:
        """Store an entry (one without selectors is reached by join token only).

        With an empty `id` a new one, else the change of the one with this id. `revision`, `created` and `by` are ours to fill.

        Raises:
            BadInputError: code `entry_bad` (a foreign trust domain, the id of a person), `selector_bad`, `spiffe_id_bad`.
            NotFoundError: code `entry_unknown`, `identity_unknown` (the owner), `blueprint_unknown`.
            RefusedError: code `owner_inactive`.
        """
        ...

    async def remove(self, entry: str) -> None:
        """Forget an entry; whoever lived by it loses its identity at the next look. Raises NotFoundError: code `entry_unknown`."""
        ...

    async def invite(self, entry: str, life: Seconds, by: str) -> JoinTicket:
        """A one-use join token for an entry. Raises NotFoundError: code `entry_unknown`; BadInputError: code `life_bad`."""
        ...
