"""Evidence of what somebody is, and whose word is taken for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.units import Instant


class EvidenceKind(StrEnum):
    """How somebody proves what they are."""

    JOIN_TOKEN = "join_token"
    OIDC = "oidc"  # a token of a trusted OpenID issuer, such as a CI job's
    KUBERNETES = "kubernetes"  # a projected service-account token
    X509 = "x509"  # proof of possession of a certificate of a trusted CA
    SVID = (
        "svid"  # an X.509-SVID of this domain (renewal) or of a federated one, with proof of possession, or a JWT-SVID
    )


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An outside source whose word an admin takes as evidence.

    Attributes:
        id: name, `[a-z0-9][a-z0-9._-]{0,63}`.
        kind: OIDC, KUBERNETES or X509.
        issuer: exact `iss` of its tokens (https URL; Kubernetes clusters may use any URL); empty for X509.
        audience: exact audience that its tokens must name; empty for X509.
        document: its JWK set as JSON, or its root certificates as PEM; empty = its keys are fetched by OIDC discovery.
        revision: 1 when first stored, one more with each change.
    """

    id: str
    kind: EvidenceKind
    issuer: str = ""
    audience: str = ""
    document: str = ""
    revision: int = 1
    created: Instant = Instant(0)
    by: str = ""
