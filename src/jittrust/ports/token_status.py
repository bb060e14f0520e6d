"""What tokens are worth now: for resource servers and clients. In process only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jittrust.core.model import Json
from jittrust.ports.authorization_server import ClientProof


class TokenStatus(Protocol):
    """Introspection, revocation, status lists and keys."""

    async def introspect(self, token: str, caller: ClientProof) -> Mapping[str, Json]:
        """RFC 7662 §2.2, with `grant_id`, `mission` and remaining gas; `{"active": false}` for everything that is no live grant of this broker.

        Raises:
            OAuthError: `invalid_client`: the caller is no workload of this trust domain, nor the token's own client.
        """
        ...

    async def revoke(self, token: str, caller: ClientProof) -> None:
        """End what a token stands for (RFC 7009): an access token's grant with everything carved from it, a refresh token's chain.

        An unknown token is no error. Raises OAuthError: `invalid_client`.
        """
        ...

    async def status_list(self, number: int) -> str:
        """The signed Token Status List with this number (draft). Raises NotFoundError: code `status_list_unknown`."""
        ...

    async def keys(self) -> Mapping[str, Json]:
        """Public keys of tokens as a JWK set (RFC 7517 §5)."""
        ...
