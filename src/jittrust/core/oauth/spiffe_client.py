"""SPIFFE client authentication (draft-ietf-oauth-spiffe-client-auth-02): a client whose id is a SPIFFE ID, proved by an SVID."""

from __future__ import annotations

from typing import Final

from jittrust.core.errors import BadInputError
from jittrust.core.identity.spiffe_id import SCHEME, SpiffeId
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.server_metadata import CIBA, CLIENT_CREDENTIALS, JWT_BEARER, REFRESH_TOKEN, TOKEN_EXCHANGE

JWT_SPIFFE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
JWT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 §2.2, for clients that are no SPIFFE workloads."""
_GRANTS: Final = (CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE, CIBA, REFRESH_TOKEN)


def is_spiffe(client: str) -> bool:
    """Whether a client id claims to be a SPIFFE ID, in any spelling."""
    return client[: len(SCHEME)].casefold() == SCHEME


def spiffe_client(spiffe_id: SpiffeId, method: ClientMethod = ClientMethod.SPIFFE_JWT) -> OAuthClient:
    """The client that a workload is: it acts as itself, has no browser, and proves who it is each time."""
    text = str(spiffe_id)
    return OAuthClient(text, ClientSource.SPIFFE, method, grant_types=_GRANTS, agent=text)


def parsed(client: str) -> SpiffeId | None:
    """The SPIFFE ID that a client id is, canonical and with a path; None for everything else."""
    try:
        found = SpiffeId.parse(client)
    except BadInputError:
        return None
    return found if found.path else None
