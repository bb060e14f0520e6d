"""Rotation of the trust domain's signing authorities. For admins."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.state import State
from jittrust.core.identity.authority import AuthorityKind, SigningAuthority


class AuthorityBook:
    """prepare → activate → taint → revoke. Every step is recorded and changes the published bundle's sequence."""

    def __init__(self, state: State, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._parts = parts

    async def list(self) -> Sequence[SigningAuthority]:
        """See `Authorities.list`."""
        raise NotImplementedError

    async def prepare(self, kind: AuthorityKind, by: str, upstream: str = "") -> SigningAuthority:
        """See `Authorities.prepare`."""
        raise NotImplementedError

    async def activate(self, authority: str, by: str) -> SigningAuthority:
        """See `Authorities.activate`."""
        raise NotImplementedError

    async def taint(self, authority: str, by: str) -> SigningAuthority:
        """See `Authorities.taint`."""
        raise NotImplementedError

    async def revoke(self, authority: str, by: str) -> SigningAuthority:
        """See `Authorities.revoke`."""
        raise NotImplementedError
