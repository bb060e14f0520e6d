"""Verify grants in a service of your own: `from jittrust.verify import RequireGrant, Verifier`.

Small on purpose: it loads no server, no framework and no policy engine; aiohttp is loaded only where keys or status lists are fetched.
"""

from __future__ import annotations

from jittrust.core.grant.claims import AccessClaims, InvalidTokenError
from jittrust.core.grant.present import InvalidProofError
from jittrust.pep.sdk.middleware import RequireGrant, grant_of
from jittrust.pep.sdk.published import keys_of
from jittrust.pep.sdk.replays import SeenProofs
from jittrust.pep.sdk.verifier import Verified, Verifier, certificate_thumbprint

__all__ = [
    "AccessClaims",
    "InvalidProofError",
    "InvalidTokenError",
    "RequireGrant",
    "SeenProofs",
    "Verified",
    "Verifier",
    "certificate_thumbprint",
    "grant_of",
    "keys_of",
]
