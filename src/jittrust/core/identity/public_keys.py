"""Public keys of other people: which kinds are taken, how a JWK names one, and what a signature under one is worth.

Taken are RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 and P-521, and Ed25519; never SHA-1. A key travels as its SubjectPublicKeyInfo (DER).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from jittrust.core.errors import BadInputError
from jittrust.core.grant import jws
from jittrust.core.model import Json

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

PRIVATE_MEMBERS = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"))
"""Members of a JWK that only a private or symmetric key has (RFC 7518 §6)."""
MIN_RSA, MAX_RSA = 2048, 8192
_MAX_SPKI = 2048
_MIN_EXPONENT, _MAX_EXPONENT = 65537, 2**32

_HASHES: Mapping[str, HashAlgorithm] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
_CURVES: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_JOSE_NAMES = {curve.name: name for name, curve in _CURVES.items()}
_ES_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_CURVE_HASHES = {"P-256": _HASHES["256"], "P-384": _HASHES["384"], "P-521": _HASHES["512"]}

SVID_ALGORITHMS = frozenset(f"{kind}{size}" for kind in ("RS", "ES", "PS") for size in ("256", "384", "512"))
"""What a JWT-SVID may be signed with (JWT-SVID §2.1)."""
ED25519_ALGORITHMS = frozenset(("EdDSA", "Ed25519"))
TOKEN_ALGORITHMS = SVID_ALGORITHMS | ED25519_ALGORITHMS
"""What a token of an outside issuer may be signed with: never `none`, never a shared secret (RFC 8725 §3.1)."""


def read_key(spki: bytes) -> PublicKey:
    """A key out of its SubjectPublicKeyInfo.

    Raises:
        BadInputError: code `key_bad`: not one of the kinds and sizes that are taken, or in more than one spelling.
    """
    if len(spki) > _MAX_SPKI:
        raise _bad("it is larger than any key that is taken")
    try:
        key = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _bad("it is no SubjectPublicKeyInfo") from None
    checked = check_key(key)
    if write_key(checked) != spki:
        raise _bad("it is not written the one way that DER allows")
    return checked


def check_key(key: object) -> PublicKey:
    """The same key, if it is of a kind and size that is taken. Raises BadInputError: code `key_bad`."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _JOSE_NAMES:
            raise _bad("its curve is none of P-256, P-384, P-521")
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA <= key.key_size <= MAX_RSA:
            raise _bad(f"RSA keys have {MIN_RSA} to {MAX_RSA} bits")
        if _is_roca(key.public_numbers().n):
            raise _bad("it was made by a chip whose RSA keys can be factored (ROCA, CVE-2017-15361)")
        exponent = key.public_numbers().e
        # A large exponent makes every check slow, a small one makes careless padding checks forgeable; 65537 is what everybody uses.
        if not _MIN_EXPONENT <= exponent < _MAX_EXPONENT or not exponent & 1:
            raise _bad("its public exponent is not usual")
        return key
    raise _bad("it is none of RSA, ECDSA and Ed25519")


def _is_roca(modulus: int) -> bool:
    """Whether a modulus has the fingerprint of keys whose primes are k·M + 65537^a mod M: it is a power of 65537 modulo each of these primes.

    A good key looks so once in about 2^27.

    Source:
        Nemec et al., The Return of Coppersmith's Attack, CCS 2017, §2.
    """
    return all(modulus % prime in powers for prime, powers in _ROCA.items())


def _powers(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime))


# Primes modulo which the powers of 65537 are few.
_ROCA: Mapping[int, frozenset[int]] = {
    prime: _powers(prime) for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}


def write_key(key: PublicKey) -> bytes:
    """Its SubjectPublicKeyInfo, DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def from_jwk(jwk: Mapping[str, Json]) -> PublicKey:
    """A key out of a public JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2); what it is for is the caller's to check.

    Raises:
        BadInputError: code `key_bad`: a private member, another kind, a number that is not in canonical base64url, a point off its curve.
    """
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise _bad("it holds private members: it is known to others now")
    kind, curve = jwk.get("kty"), jwk.get("crv")
    try:
        if kind == "RSA":
            return check_key(rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n")).public_key())
        if kind == "EC" and isinstance(curve, str) and curve in _CURVES:
            size = (_CURVES[curve].key_size + 7) // 8
            x, y = (int.from_bytes(_bytes(jwk, name, size), "big") for name in ("x", "y"))
            return ec.EllipticCurvePublicNumbers(x, y, _CURVES[curve]).public_key()
        if kind == "OKP" and curve == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(_bytes(jwk, "x", 32))
    except (ValueError, UnsupportedAlgorithm):
        raise _bad("its numbers make no key") from None
    raise _bad("it is none of RSA, EC (P-256, P-384, P-521) and OKP (Ed25519)")


def to_jwk(key: PublicKey) -> dict[str, Json]:
    """The members of the JWK that say which key it is: `kty` and its numbers."""
    if isinstance(key, rsa.RSAPublicKey):
        modulus = key.public_numbers()
        return {"kty": "RSA", "n": _text(modulus.n, key.key_size), "e": _text(modulus.e, modulus.e.bit_length())}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, size = key.public_numbers(), key.curve.key_size
        return {
            "kty": "EC",
            "crv": _JOSE_NAMES[key.curve.name],
            "x": _text(point.x, size),
            "y": _text(point.y, size),
        }
    return {"kty": "OKP", "crv": "Ed25519", "x": jws.encode(key.public_bytes_raw()).decode("ascii")}


def jws_holds(key: PublicKey, algorithm: str, signed: bytes, signature: bytes) -> bool:
    """Whether `signature` over `signed` is this key's under a JOSE algorithm (RFC 7518 §3, RFC 8037); False where key and algorithm do not fit."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return algorithm in ED25519_ALGORITHMS and jws.ed25519_holds(key.public_bytes_raw(), signed, signature)
    if algorithm not in SVID_ALGORITHMS:
        return False
    digest = _HASHES[algorithm[2:]]
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            size = (key.curve.key_size + 7) // 8
            if _ES_CURVES.get(algorithm) != _JOSE_NAMES.get(key.curve.name) or len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
            key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        elif algorithm.startswith("PS"):
            key.verify(signature, signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        elif algorithm.startswith("RS"):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        else:
            return False
    except (InvalidSignature, ValueError):
        return False
    return True


def signature_holds(key: PublicKey, signed: bytes, signature: bytes) -> bool:
    """Whether `signature` is this key's over `signed`, as a proof of possession writes it.

    ECDSA: DER, with SHA-256 on P-256, SHA-384 on P-384, SHA-512 on P-521. RSA: PSS with SHA-256, MGF1-SHA-256 and 32 bytes of salt. Ed25519: raw.
    """
    if isinstance(key, ed25519.Ed25519PublicKey):
        return jws.ed25519_holds(key.public_bytes_raw(), signed, signature)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(_CURVE_HASHES[_JOSE_NAMES[key.curve.name]]))
        else:
            key.verify(signature, signed, padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _number(jwk: Mapping[str, Json], name: str) -> int:
    data = _bytes(jwk, name, 0)
    if data[0] == 0:
        raise _bad(f"{name!r} has a leading zero")
    return int.from_bytes(data, "big")


def _bytes(jwk: Mapping[str, Json], name: str, size: int) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str) or not text.isascii() or not 0 < len(text) <= _MAX_SPKI:
        raise _bad(f"{name!r} is missing or no text")
    try:
        data = jws.decode(text.encode("ascii"))
    except BadInputError:
        raise _bad(f"{name!r} is not canonical base64url") from None
    if size and len(data) != size:
        raise _bad(f"{name!r} has another length than the curve")
    return data


def _text(number: int, bits: int) -> str:
    return jws.encode(number.to_bytes((bits + 7) // 8, "big")).decode("ascii")


def _bad(why: str) -> BadInputError:
    return BadInputError("key_bad", f"The key is not taken: {why}.", "Use ECDSA P-256.")
