"""`ports.key_store`: p-256 keys that never leave a PKCS#11 token."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


class Pkcs11KeyStore:
    """P-256 keys that never leave a PKCS#11 token."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def make(self, name: str) -> EllipticCurvePrivateKey:
        raise NotImplementedError

    def key(self, name: str) -> EllipticCurvePrivateKey:
        raise NotImplementedError

    def destroy(self, name: str) -> None:
        raise NotImplementedError

    def names(self) -> Sequence[str]:
        raise NotImplementedError
