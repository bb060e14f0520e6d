"""Trust in foreign trust domains. For admins."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.state import State
from jittrust.core.identity.federate import FederatedDomain


class FederationBook:
    """Says whom we trust, for exactly what."""

    def __init__(self, state: State, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._parts = parts

    async def list(self) -> Sequence[FederatedDomain]:
        """See `Federation.list`."""
        raise NotImplementedError

    async def federate(self, domain: FederatedDomain, by: str) -> FederatedDomain:
        """See `Federation.federate`."""
        raise NotImplementedError

    async def refresh(self, name: str) -> FederatedDomain:
        """See `Federation.refresh`."""
        raise NotImplementedError

    async def end(self, name: str, by: str) -> None:
        """See `Federation.end`."""
        raise NotImplementedError
