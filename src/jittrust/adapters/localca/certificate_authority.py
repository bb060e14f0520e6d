"""`ports.certificate_authority`: signs with keys of a key store."""

from __future__ import annotations

from collections.abc import Callable

from jittrust.core.identity.authority import AuthorityKind, SigningAuthority
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.units import Instant
from jittrust.ports.certificate_authority import SignedX509
from jittrust.ports.key_store import KeyStore


class LocalCertificateAuthority:
    """Signs with keys of a key store."""

    def __init__(self, keys: KeyStore, random: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._random = random

    def make(
        self, kind: AuthorityKind, trust_domain: TrustDomain, begins: Instant, ends: Instant, *, upstream: bool = False
    ) -> SigningAuthority:
        raise NotImplementedError

    def complete(self, authority: SigningAuthority, chain_pem: str) -> SigningAuthority:
        raise NotImplementedError

    def sign_x509(
        self,
        authority: SigningAuthority,
        subject: SpiffeId,
        public_key: bytes,
        begins: Instant,
        ends: Instant,
        dns_names: tuple[str, ...] = (),
    ) -> SignedX509:
        raise NotImplementedError

    def sign_jwt(
        self,
        authority: SigningAuthority,
        subject: SpiffeId,
        audience: tuple[str, ...],
        begins: Instant,
        ends: Instant,
        jti: str,
    ) -> str:
        raise NotImplementedError

    def destroy(self, authority: SigningAuthority) -> None:
        raise NotImplementedError
