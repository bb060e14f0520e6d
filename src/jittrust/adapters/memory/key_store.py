"""`ports.key_store`: keys that end with the process."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from jittrust.core.errors import ConflictError, UnavailableError


class MemoryKeyStore:
    """Keys that end with the process."""

    def __init__(self) -> None:
        self._keys: dict[str, EllipticCurvePrivateKey] = {}

    def make(self, name: str) -> EllipticCurvePrivateKey:
        if name in self._keys:
            raise ConflictError("key_exists", f"there is a key {name} already")
        self._keys[name] = generate_private_key(SECP256R1())
        return self._keys[name]

    def key(self, name: str) -> EllipticCurvePrivateKey:
        if name not in self._keys:
            raise UnavailableError("key_missing", f"the signing key {name} is gone")
        return self._keys[name]

    def destroy(self, name: str) -> None:
        self._keys.pop(name, None)

    def names(self) -> Sequence[str]:
        return sorted(self._keys)
