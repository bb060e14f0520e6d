"""Federation: what is known of a foreign trust domain, and what its identities may be here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.errors import BadInputError
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.units import Instant


class EndpointProfile(StrEnum):
    """How a bundle endpoint is authenticated (SPIFFE Federation §5.2)."""

    HTTPS_WEB = "https_web"
    HTTPS_SPIFFE = "https_spiffe"


@dataclass(frozen=True, slots=True)
class FederatedDomain:
    """A foreign trust domain that an admin trusts for exactly what is written here.

    Attributes:
        id: name of the trust domain.
        url: its bundle endpoint, as the admin wrote it; never learnt from the peer.
        profile: how that endpoint is authenticated.
        endpoint_id: SPIFFE ID the endpoint must prove (https_spiffe only).
        accepts: which of its SPIFFE IDs may be attested here: exact ids, or a prefix ending in `/*` (one or more segments). Empty = none.
        bundle: its last accepted bundle, SPIFFE JWKS as text; empty until first contact.
        pinned: SHA-256 of the first bundle, as the admin compared it out of band; empty = the first bundle was given as a file.
        sequence: of the last accepted bundle; a smaller one is refused.
        refresh_seconds: how often to ask, from the bundle's hint, within bounds.
        fetched: when it was last fetched with success; 0 = never.
        failure: why the last fetch failed; empty = it did not.
        revision: 1 when first stored, one more with each change.
    """

    id: str
    url: str
    profile: EndpointProfile
    endpoint_id: str = ""
    accepts: tuple[str, ...] = ()
    bundle: str = ""
    pinned: str = ""
    sequence: int = 0
    refresh_seconds: int = 300
    fetched: Instant = Instant(0)
    failure: str = ""
    revision: int = 1
    created: Instant = Instant(0)
    by: str = ""


_BELOW = "/*"


def check_pattern(pattern: str, trust_domain: TrustDomain) -> None:
    """Whether a pattern of `FederatedDomain.accepts` is one, and of that trust domain.

    Raises:
        BadInputError: code `federation_bad` or `spiffe_id_bad`.
    """
    found = SpiffeId.parse(pattern.removesuffix(_BELOW))
    if found.trust_domain != trust_domain or (not found.path and not pattern.endswith(_BELOW)):
        raise BadInputError(
            "federation_bad",
            f"{pattern[:80]!r} names no identity of {trust_domain}.",
            "Example: spiffe://partner.example/ci/*",
        )


def accepts(domain: FederatedDomain, spiffe_id: SpiffeId) -> bool:
    """Whether an admin accepts this identity: named exactly, or below a prefix that ends in `/*`."""
    if spiffe_id.trust_domain.name != domain.id or not spiffe_id.path:
        return False
    text = str(spiffe_id)
    return any(
        text.startswith(pattern[:-1]) if pattern.endswith(_BELOW) else text == pattern for pattern in domain.accepts
    )
