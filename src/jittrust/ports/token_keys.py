"""Public keys of foreign token issuers (OIDC, Kubernetes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jittrust.core.identity.attest import TrustedIssuer
from jittrust.core.model import Json


class TokenKeys(Protocol):
    """Keys of issuers that an admin trusts, fetched by OIDC discovery or given as a file, and cached."""

    async def keys(self, issuer: TrustedIssuer, kid: str) -> Mapping[str, Json]:
        """The issuer's JWK set, from its document or fetched. An unknown `kid` has it fetched again, at most once in a minute.

        Raises:
            UnavailableError: code `issuer_unreachable`.
        """
        ...
