"""Outside sources that an admin trusts: token issuers, certificate authorities, directories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jittrust.core.identity.attest import TrustedIssuer


class TrustedSources(Protocol):
    """Says whose word counts. For admins."""

    async def list(self) -> Sequence[TrustedIssuer]:
        """All trusted issuers by name."""
        ...

    async def trust(self, issuer: TrustedIssuer, by: str) -> TrustedIssuer:
        """Trust an issuer, or change what it is trusted for (by its id). Raises BadInputError: code `issuer_bad`."""
        ...

    async def distrust(self, name: str, by: str) -> None:
        """Take its word no more. Raises NotFoundError: code `issuer_unknown`."""
        ...

    async def directory_token(self, name: str, by: str) -> str:
        """A new bearer token for a directory that provisions users (SCIM), told once; the one it had before is dead."""
        ...
