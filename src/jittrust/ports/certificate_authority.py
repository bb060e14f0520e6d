"""The signer of the trust domain: makes authorities, signs documents. Knows keys, keeps no state of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jittrust.core.identity.authority import AuthorityKind, SigningAuthority
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.units import Instant


@dataclass(frozen=True, slots=True)
class SignedX509:
    """An X.509-SVID: leaf and intermediates, DER, leaf first; `serial` in lower case hex; `expires` as the leaf says."""

    chain: tuple[bytes, ...]
    serial: str
    expires: Instant


class CertificateAuthority(Protocol):
    """Makes signing authorities and signs with them. Calls take well under a millisecond and do not wait."""

    def make(
        self, kind: AuthorityKind, trust_domain: TrustDomain, begins: Instant, ends: Instant, *, upstream: bool = False
    ) -> SigningAuthority:
        """A new authority, `prepared`; with `upstream` (X.509 only) `waiting`, its certificate request in `request`.

        Raises:
            UnavailableError: code `key_store_unavailable`.
        """
        ...

    def complete(self, authority: SigningAuthority, chain_pem: str) -> SigningAuthority:
        """A `waiting` authority with the upstream's answer (intermediate first, root last): `prepared`.

        Raises:
            BadInputError: code `upstream_chain_bad`: another key, no CA, name constraints that exclude the trust domain, broken or over.
        """
        ...

    def sign_x509(
        self,
        authority: SigningAuthority,
        subject: SpiffeId,
        public_key: bytes,
        begins: Instant,
        ends: Instant,
        dns_names: tuple[str, ...] = (),
    ) -> SignedX509:
        """An X.509-SVID for a public key (SubjectPublicKeyInfo, DER); its end is cut to the authority's.

        Raises:
            UnavailableError: code `key_missing` or `key_store_unavailable`.
        """
        ...

    def sign_jwt(
        self,
        authority: SigningAuthority,
        subject: SpiffeId,
        audience: tuple[str, ...],
        begins: Instant,
        ends: Instant,
        jti: str,
    ) -> str:
        """A JWT-SVID, ES256, `kid` = the authority's id. Raises UnavailableError: as `sign_x509`."""
        ...

    def destroy(self, authority: SigningAuthority) -> None:
        """Destroy its private keys."""
        ...
