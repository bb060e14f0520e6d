"""Rotation of the trust domain's signing authorities. For admins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jittrust.core.identity.authority import AuthorityKind, SigningAuthority


class Authorities(Protocol):
    """prepare → activate → taint → revoke. Every step is recorded and changes the published bundle's sequence."""

    async def list(self) -> Sequence[SigningAuthority]:
        """All authorities, newest first."""
        ...

    async def prepare(self, kind: AuthorityKind, by: str, upstream: str = "") -> SigningAuthority:
        """Make the next authority and publish it.

        `upstream`: `request` makes one whose certificate request waits to be signed by an existing CA;
        a PEM chain answers the one that waits.

        Raises:
            ConflictError: code `authority_prepared`: one is prepared or waiting already.
            BadInputError: code `upstream_chain_bad`.
            NotFoundError: code `authority_unknown`: none waits.
        """
        ...

    async def activate(self, authority: str, by: str) -> SigningAuthority:
        """Sign with it from now on; the active one becomes old. Raises NotFoundError: code `authority_unknown`; ConflictError: code `illegal_move`."""
        ...

    async def taint(self, authority: str, by: str) -> SigningAuthority:
        """Whatever it signed is replaced at once and refused here after 30 s. Raises: as `activate`."""
        ...

    async def revoke(self, authority: str, by: str) -> SigningAuthority:
        """Take a tainted authority out of the bundle and destroy its key. Raises: as `activate`."""
        ...
