"""Outside sources that an admin trusts: token issuers, certificate authorities, directories."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.state import State
from jittrust.core.identity.attest import TrustedIssuer


class SourceBook:
    """Says whose word counts. For admins."""

    def __init__(self, state: State, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._parts = parts

    async def list(self) -> Sequence[TrustedIssuer]:
        """See `TrustedSources.list`."""
        raise NotImplementedError

    async def trust(self, issuer: TrustedIssuer, by: str) -> TrustedIssuer:
        """See `TrustedSources.trust`."""
        raise NotImplementedError

    async def distrust(self, name: str, by: str) -> None:
        """See `TrustedSources.distrust`."""
        raise NotImplementedError

    async def directory_token(self, name: str, by: str) -> str:
        """See `TrustedSources.directory_token`."""
        raise NotImplementedError
