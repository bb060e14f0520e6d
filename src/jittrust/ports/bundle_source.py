"""Where foreign trust bundles come from."""

from __future__ import annotations

from typing import Protocol

from jittrust.core.identity.federate import FederatedDomain


class BundleSource(Protocol):
    """Fetches the bundle of a federated trust domain from the endpoint the admin wrote."""

    async def fetch(self, domain: FederatedDomain) -> bytes:
        """The bundle document as sent, at most 1 MiB; redirects are not followed.

        Raises:
            UnavailableError: code `bundle_unreachable`: no connection, slow, too large, not 200.
            RefusedError: code `bundle_endpoint_untrusted`: its TLS identity is not the one expected, or its address is not allowed.
        """
        ...
