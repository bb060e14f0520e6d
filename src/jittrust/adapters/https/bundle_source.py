"""`ports.bundle_source`: fetches bundles with aiohttp."""

from __future__ import annotations

from jittrust.core.identity.federate import FederatedDomain


class HttpsBundleSource:
    """Fetches bundles with aiohttp."""

    async def fetch(self, domain: FederatedDomain) -> bytes:
        raise NotImplementedError
