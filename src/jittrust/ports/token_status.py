"""What tokens are worth now: for resource servers and clients. In process only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jittrust.core.model import Json
from jittrust.ports.authorization_server import ClientProof


class TokenStatus(Protocol):
    """Introspection, revocation, status lists and keys."""

    async def introspect(self, token: str, caller: ClientProof, proof: str = "") -> Mapping[str, Json]:
        """RFC 7662 §2.2, with `grant_id`, `mission`, gas and uses, left and at most.

        `{"active": false}` for everything that takes no calls now, and for whom the answer is not meant: it is for workloads of the registry that
        proved who they are, for agents whose grant it is or was carved from, and for the client that the token was given to. `proof`: value of the
        DPoP header; a public client shows with it that it holds the key of a bound token.

        Raises:
            OAuthError: `invalid_client`: the caller did not say who it is.
        """
        ...

    async def introspect_signed(self, token: str, caller: ClientProof, proof: str = "") -> str:
        """The same as a signed token for this caller (RFC 9701). Raises as `introspect`."""
        ...

    async def revoke(self, token: str, caller: ClientProof, proof: str = "") -> None:
        """End what a token stands for (RFC 7009): an access token's grant with everything carved from it, a refresh token's chain.

        An unknown token is no error. `proof`: value of the DPoP header; a public client shows with it that it holds the key of a bound token.

        Raises:
            OAuthError: `invalid_client`: not who it says, not the client that the token was given to, or not the holder of its key;
                `invalid_dpop_proof`.
        """
        ...

    async def status_list(self, number: int) -> str:
        """The signed Token Status List with this number (draft). Raises NotFoundError: code `status_list_unknown`."""
        ...

    async def keys(self) -> Mapping[str, Json]:
        """Public keys of tokens as a JWK set (RFC 7517 §5)."""
        ...
