"""Trust in foreign trust domains. For admins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jittrust.core.identity.federate import FederatedDomain


class Federation(Protocol):
    """Says whom we trust, for exactly what."""

    async def list(self) -> Sequence[FederatedDomain]:
        """All federated domains by name."""
        ...

    async def federate(self, domain: FederatedDomain, by: str) -> FederatedDomain:
        """Trust a domain, or change what it is trusted for. First contact is pinned: `bundle` given here, or `pinned` to compare the fetched one with.

        Raises:
            BadInputError: code `federation_bad` (no pin and no bundle, no https URL, a bad pattern, our own domain), `bundle_bad`.
            RefusedError, UnavailableError: as `BundleSource.fetch`; code `bundle_pin_mismatch`, `bundle_rollback`.
        """
        ...

    async def refresh(self, name: str) -> FederatedDomain:
        """Ask its endpoint now. A smaller sequence is refused; a failure leaves the last bundle in force and is recorded.

        Raises:
            NotFoundError: code `federation_unknown`.
            RefusedError, UnavailableError: as `federate`.
        """
        ...

    async def end(self, name: str, by: str) -> None:
        """Trust it no more, at once: bundle gone, identities attested by it suspended. Raises NotFoundError: code `federation_unknown`."""
        ...
