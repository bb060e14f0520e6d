"""`ports.key_store`: p-256 keys as PKCS#8 PEM files of mode 0600."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


class FileKeyStore:
    """P-256 keys as PKCS#8 PEM files of mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, name: str) -> EllipticCurvePrivateKey:
        raise NotImplementedError

    def key(self, name: str) -> EllipticCurvePrivateKey:
        raise NotImplementedError

    def destroy(self, name: str) -> None:
        raise NotImplementedError

    def names(self) -> Sequence[str]:
        raise NotImplementedError
