"""An authenticator in software: what a phone or a key does with `navigator.credentials`, and everything it could do wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor

ORIGIN = "http://localhost:8750"
USER_PRESENT, USER_VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def unb64(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


@dataclass(slots=True)
class Authenticator:
    """One credential of one person, ES256."""

    origin: str = ORIGIN
    rp_id: str = "localhost"
    flags: int = USER_PRESENT | USER_VERIFIED
    count: int = 0
    step: int = 1
    cross_origin: bool = False
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes = b""

    def _client(self, kind: str, challenge: str) -> bytes:
        told: dict[str, Any] = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        if self.cross_origin:
            told["crossOrigin"] = True
        return json.dumps(told).encode()

    def _data(self, flags: int) -> bytes:
        self.count += self.step
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def create(self, options: str) -> str:
        """`navigator.credentials.create`, as JSON."""
        asked = json.loads(options)
        self.handle = unb64(asked["user"]["id"])
        point = self.key.public_key().public_numbers()
        public = cbor.encode({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})
        attested = bytes(16) + len(self.credential).to_bytes(2, "big") + self.credential + public
        data = self._data(self.flags | ATTESTED) + attested
        return json.dumps(
            {
                "id": b64(self.credential),
                "rawId": b64(self.credential),
                "type": "public-key",
                "response": {
                    "clientDataJSON": b64(self._client("webauthn.create", asked["challenge"])),
                    "attestationObject": b64(cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})),
                },
                "clientExtensionResults": {},
            }
        )

    def get(self, options: str, *, kind: str = "webauthn.get") -> str:
        """`navigator.credentials.get`, as JSON."""
        asked = json.loads(options)
        client, data = self._client(kind, asked["challenge"]), self._data(self.flags)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return json.dumps(
            {
                "id": b64(self.credential),
                "rawId": b64(self.credential),
                "type": "public-key",
                "response": {
                    "clientDataJSON": b64(client),
                    "authenticatorData": b64(data),
                    "signature": b64(signature),
                    "userHandle": b64(self.handle),
                },
                "clientExtensionResults": {},
            }
        )
