"""`ports.key_store`: keys that end with the process."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


class MemoryKeyStore:
    """Keys that end with the process."""

    def make(self, name: str) -> EllipticCurvePrivateKey:
        raise NotImplementedError

    def key(self, name: str) -> EllipticCurvePrivateKey:
        raise NotImplementedError

    def destroy(self, name: str) -> None:
        raise NotImplementedError

    def names(self) -> Sequence[str]:
        raise NotImplementedError
