"""The client's side: keys and DPoP proofs for `jittrust connect`, for SDKs and for tests (RFC 9449 §4.2).

Nothing here is random. Keys are made from secrets that the caller drew, Ed25519 is deterministic by design and ECDSA takes its nonce from
key and message (RFC 6979), so a weak random source on the agent's machine cannot leak the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.signing import SigningKey

from jittrust.core.errors import BadInputError
from jittrust.core.grant import jws, wire
from jittrust.core.grant.present import content_digest, token_hash
from jittrust.core.model import Json
from jittrust.core.units import Instant

SECRET_BYTES = 32
"""Length of a secret, in bytes, for both kinds of key."""
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, SP 800-186 §3.2.1.3


class ProofSigner(Protocol):
    """A private key that makes proofs."""

    @property
    def algorithm(self) -> str:
        """Name for the `alg` header."""
        ...

    @property
    def jwk(self) -> Mapping[str, Json]:
        """The public key, as it stands in the `jwk` header."""
        ...

    @property
    def jkt(self) -> str:
        """Its thumbprint (RFC 7638), under which it is enrolled."""
        ...

    def sign(self, data: bytes) -> bytes:
        """64 bytes of signature over `data`."""
        ...


@dataclass(frozen=True, slots=True)
class Ed25519Signer:
    """An Ed25519 key. `key` stays out of every printed form."""

    key: SigningKey
    jwk: Mapping[str, Json]
    jkt: str
    algorithm: str = wire.ED25519

    @classmethod
    def from_secret(cls, secret: bytes) -> Ed25519Signer:
        """Make the key from 32 random bytes.

        Raises:
            BadInputError: code `bad_key_secret`.
        """
        if len(secret) != SECRET_BYTES:
            raise BadInputError("bad_key_secret", f"a key is made from {SECRET_BYTES} bytes")
        key = SigningKey(secret)
        jwk: dict[str, Json] = {"kty": "OKP", "crv": "Ed25519", "x": jws.encode(bytes(key.verify_key)).decode("ascii")}
        return cls(key, jwk, jws.thumbprint(jwk))

    def sign(self, data: bytes) -> bytes:
        """RFC 8032 §5.1.6."""
        return self.key.sign(data).signature

    def __repr__(self) -> str:
        return f"Ed25519Signer({self.jkt})"


@dataclass(frozen=True, slots=True)
class Es256Signer:
    """A P-256 key. `key` stays out of every printed form."""

    key: ec.EllipticCurvePrivateKey
    jwk: Mapping[str, Json]
    jkt: str
    algorithm: str = wire.ES256

    @classmethod
    def from_secret(cls, secret: bytes) -> Es256Signer:
        """Make the key from 32 random bytes (a whole number 1..n-1; draw again in the rare other case).

        Raises:
            BadInputError: code `bad_key_secret`.
        """
        number = int.from_bytes(secret, "big")
        if len(secret) != SECRET_BYTES or not 0 < number < _ORDER:
            raise BadInputError(
                "bad_key_secret", f"a P-256 key is made from {SECRET_BYTES} bytes below the order of the curve"
            )
        key = ec.derive_private_key(number, ec.SECP256R1())
        public = key.public_key().public_numbers()
        jwk: dict[str, Json] = {
            "kty": "EC",
            "crv": "P-256",
            "x": jws.encode(public.x.to_bytes(32, "big")).decode("ascii"),
            "y": jws.encode(public.y.to_bytes(32, "big")).decode("ascii"),
        }
        return cls(key, jwk, jws.thumbprint(jwk))

    def sign(self, data: bytes) -> bytes:
        """RFC 7518 §3.4, deterministic as in RFC 6979."""
        r, s = utils.decode_dss_signature(self.key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True)))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def __repr__(self) -> str:
        return f"Es256Signer({self.jkt})"


def make_proof(
    signer: ProofSigner,
    *,
    method: str,
    url: str,
    iat: Instant,
    jti: str,
    token: str = "",
    nonce: str | None = None,
    body: bytes | None = None,
) -> str:
    """A DPoP proof for one request.

    Args:
        signer: the agent's key.
        method: HTTP method.
        url: target; query and fragment are left out of `htu`.
        iat: now; whole seconds go into the proof.
        jti: unique text of at least 96 random bits (RFC 9449 §4.2).
        token: the access token shown with it; empty at the token endpoint.
        nonce: the newest pass; None before the first.
        body: raw body, for the `content_digest` of the MCP profile; None leaves it out.
    """
    header: dict[str, Json] = {"typ": wire.PROOF_TYP, "alg": signer.algorithm, "jwk": dict(signer.jwk)}
    claims: dict[str, Json] = {
        "jti": jti,
        "htm": method,
        "htu": url.partition("#")[0].partition("?")[0],
        "iat": int(iat),
    }
    if token:
        claims["ath"] = token_hash(token.encode("ascii"))
    if nonce is not None:
        claims["nonce"] = nonce
    if body is not None:
        claims[wire.CONTENT_DIGEST] = content_digest(body)
    signed = jws.join(header, claims)
    return (signed + b"." + jws.encode(signer.sign(signed))).decode("ascii")
