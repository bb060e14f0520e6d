"""Strict compact JWS (RFC 7515 §7.1) and the two kinds of keys: what is not exactly right is refused before a library sees it.

A text is taken in one spelling only: canonical base64url without padding, no white space, no duplicate names, no header that could change how
it is read or where its key comes from.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from jittrust.core.errors import BadInputError
from jittrust.core.grant import wire
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object

SIGNATURE_BYTES = 64
"""Both Ed25519 (RFC 8032 §5.1.6) and ES256 (RFC 7518 §3.4) signatures have 64 bytes."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_ES256 = ec.ECDSA(SHA256())
_COORDINATE = 32

# They fetch or carry keys, change how the text is read, or belong to encryption (RFC 8725 §2, §3.10; RFC 7797).
FORBIDDEN_HEADERS = frozenset(
    ("b64", "crit", "cty", "enc", "epk", "iv", "jku", "tag", "x5c", "x5t", "x5t#S256", "x5u", "zip")
)
_PUBLIC_MEMBERS = {
    "EC": frozenset(("kty", "crv", "x", "y", "alg", "use", "key_ops", "kid", "ext")),
    "OKP": frozenset(("kty", "crv", "x", "alg", "use", "key_ops", "kid", "ext")),
}
_CURVES = {"EC": "P-256", "OKP": "Ed25519"}


class MalformedJwsError(BadInputError):
    """A text that is no JWS as this house takes it, a key that is no public key of ours, or a signature that does not hold."""


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A JWS taken apart; nothing is verified yet. `signed` are the bytes that the signature covers."""

    header: Mapping[str, Json]
    payload: bytes
    signature: bytes
    signed: bytes


class PublicProofKey(Protocol):
    """A public key that can check signatures. `jkt` is its RFC 7638 thumbprint, `algorithms` the names it may be used under."""

    @property
    def jkt(self) -> str:
        """Thumbprint, 43 characters."""
        ...

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Names of the algorithm, newest first."""
        ...

    def holds(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `signed`."""
        ...


@dataclass(frozen=True, slots=True)
class Ed25519PublicKey:
    """An Ed25519 key. libsodium refuses small-order keys, non-canonical points and a second spelling of `s`."""

    jkt: str
    point: bytes

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Its RFC 9864 name, and the old one that stock clients send."""
        return (wire.ED25519, wire.EDDSA)

    def holds(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `signed` (RFC 8032 §5.1.7)."""
        return ed25519_holds(self.point, signed, signature)


@dataclass(frozen=True, slots=True)
class Es256PublicKey:
    """A P-256 key, its point checked to lie on the curve. Both (r, s) and (r, n-s) hold: so nothing is ever keyed by a signature's text."""

    jkt: str
    key: ec.EllipticCurvePublicKey

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Its RFC 7518 name."""
        return (wire.ES256,)

    def holds(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` (r || s, 64 bytes) is this key's over `signed` (RFC 7518 §3.4)."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            self.key.verify(utils.encode_dss_signature(r, s), signed, _ES256)
        except InvalidSignature:
            return False
        return True


def ed25519_holds(point: bytes, signed: bytes, signature: bytes) -> bool:
    """Whether `signature` over `signed` is that of the Ed25519 public key `point` (32 bytes)."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(point).verify(signed, signature)
    except BadSignatureError:
        return False
    return True


def encode(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 §2)."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """Undo `encode`; one byte string has one text.

    Raises:
        MalformedJwsError: code `jws_base64`: padding, white space, another alphabet, an impossible length, or bits set beyond the last byte.
    """
    if text.translate(None, _ALPHABET) or len(text) % 4 == 1:
        raise MalformedJwsError("jws_base64", "not base64url without padding")
    data = binascii.a2b_base64(text.translate(_TO_STANDARD) + b"=" * (-len(text) % 4))
    # Only the last character can carry bits beyond the last byte, so only the last group is compared.
    tail = len(data) % 3
    if tail and encode(data[-tail:]) != text[-tail - 1 :]:
        raise MalformedJwsError("jws_base64", "base64url with bits beyond the last byte")
    return data


def split(text: bytes, max_bytes: int) -> CompactJws:
    """Take a compact JWS apart.

    Raises:
        MalformedJwsError: `jws_too_large`, `jws_parts`, `jws_base64`, `jws_header` (no strict JSON object), `jws_forbidden_header`.
    """
    head, body, signature = parts_of(text, max_bytes)
    return CompactJws(header_of(head), decode(body), decode(signature), text[: len(head) + 1 + len(body)])


def parts_of(text: bytes, max_bytes: int) -> tuple[bytes, bytes, bytes]:
    """Header, payload and signature, still encoded.

    Raises:
        MalformedJwsError: `jws_too_large`, `jws_parts`.
    """
    if len(text) > max_bytes:
        raise MalformedJwsError("jws_too_large", f"{len(text)} bytes, at most {max_bytes} are taken")
    parts = text.split(b".")
    # A JWS may have no payload (RFC 7515); what is wanted here are claims, so an empty one is refused by whoever reads them.
    if len(parts) != 3 or not parts[0] or not parts[2]:  # noqa: PLR2004 - header, payload, signature
        raise MalformedJwsError("jws_parts", "a compact JWS has three parts")
    return parts[0], parts[1], parts[2]


def header_of(head: bytes) -> dict[str, Json]:
    """The header out of its encoded part.

    Raises:
        MalformedJwsError: `jws_base64`, `jws_header`, `jws_forbidden_header`.
    """
    header = json_object(decode(head), "jws_header")
    if not FORBIDDEN_HEADERS.isdisjoint(header):
        raise MalformedJwsError("jws_forbidden_header", f"header {min(FORBIDDEN_HEADERS & set(header))!r}")
    return header


def json_object(data: bytes, code: str) -> dict[str, Json]:
    """A JSON object under the strict parser, small and flat enough for a header or a claims set.

    Raises:
        MalformedJwsError: with `code`.
    """
    try:
        return parse_object(data, max_depth=16, max_keys=1000)
    except BadInputError as error:
        raise MalformedJwsError(code, f"{error.code}: {error.message}") from None


def join(header: Mapping[str, Json], claims: Mapping[str, Json]) -> bytes:
    """The signing input of a compact JWS: both parts as JSON without white space, members in the order given."""
    return b".".join(encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))


def import_key(jwk: Json) -> PublicProofKey:
    """A public key out of a JWK (RFC 7517, RFC 8037 §2): Ed25519 or P-256, nothing else.

    Raises:
        MalformedJwsError: code `jwk_private` (a private or symmetric member), `jwk_kind`, `jwk_member` (unknown, of a wrong type, or says that
            the key is for something else), `jwk_point` (wrong length or not on the curve).
    """
    if not isinstance(jwk, Mapping):
        raise MalformedJwsError("jwk_kind", "a JWK is an object")
    if not _PRIVATE.isdisjoint(jwk):
        raise MalformedJwsError("jwk_private", "a private or symmetric key was sent: it is known to others now")
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in _CURVES or jwk.get("crv") != _CURVES[kind]:
        raise MalformedJwsError("jwk_kind", "the key is neither P-256 nor Ed25519")
    if not _PUBLIC_MEMBERS[kind].issuperset(jwk):
        raise MalformedJwsError("jwk_member", "the key has a member that is not taken")
    if jwk.get("use", "sig") != "sig" or jwk.get("key_ops", ["verify"]) != ["verify"]:
        raise MalformedJwsError("jwk_member", "the key is for something else than checking signatures")
    x = _coordinate(jwk.get("x"))
    made: PublicProofKey
    if kind == "OKP":
        made = Ed25519PublicKey(thumbprint(jwk), x)
    else:
        y = _coordinate(jwk.get("y"))
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
        try:
            made = Es256PublicKey(thumbprint(jwk), numbers.public_key())
        except ValueError:
            raise MalformedJwsError("jwk_point", "the point does not lie on P-256") from None
    if jwk.get("alg", made.algorithms[0]) not in made.algorithms:
        raise MalformedJwsError("jwk_member", "the key names another algorithm")
    return made


_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv", "r", "t"))


def thumbprint(jwk: Mapping[str, Json]) -> str:
    """RFC 7638 thumbprint (SHA-256, base64url) of an EC, OKP or RSA public JWK.

    Raises:
        MalformedJwsError: code `jwk_kind` or `jwk_member`.
    """
    names = _REQUIRED.get(str(jwk.get("kty")))
    if names is None:
        raise MalformedJwsError("jwk_kind", "a key kind without a thumbprint")
    kept = {name: jwk.get(name) for name in names}
    if not all(isinstance(value, str) for value in kept.values()):
        raise MalformedJwsError("jwk_member", "a required member is missing or no text")
    # RFC 7638 §3.3: required members only, in this order, without white space.
    text = json.dumps(kept, separators=(",", ":"), ensure_ascii=False)
    return encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


_REQUIRED = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}


def _coordinate(text: Json) -> bytes:
    if not isinstance(text, str) or not text.isascii():
        raise MalformedJwsError("jwk_member", "a coordinate is missing or no text")
    data = decode(text.encode("ascii"))
    if len(data) != _COORDINATE:
        raise MalformedJwsError("jwk_point", f"a coordinate has {_COORDINATE} bytes")
    return data
