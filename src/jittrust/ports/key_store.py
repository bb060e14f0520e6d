"""Where private signing keys live; they never leave it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


class KeyStore(Protocol):
    """P-256 signing keys by name, in files of mode 0600 or behind PKCS#11."""

    def make(self, name: str) -> EllipticCurvePrivateKey:
        """Make a key, durable before this returns. Raises ConflictError: code `key_exists`; UnavailableError: code `key_store_unavailable`."""
        ...

    def key(self, name: str) -> EllipticCurvePrivateKey:
        """The key, able to sign and to tell its public half.

        Raises:
            UnavailableError: code `key_missing` or `key_store_unavailable`.
        """
        ...

    def destroy(self, name: str) -> None:
        """Destroy a key for good. Unknown names are ignored."""
        ...

    def names(self) -> Sequence[str]:
        """Every key there is."""
        ...
