"""The documents that prove a SPIFFE ID, checked exactly as X509-SVID and JWT-SVID write them, and the requests they are made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.grant import jws
from jittrust.core.identity.certificates import (
    ALLOWED_HASHES,
    ALLOWED_SIGNATURES,
    ANY_USAGE,
    CLIENT_AUTH,
    MAX_CHAIN,
    SERVER_AUTH,
    UNREADABLE,
    ParsedCertificate,
    find_path,
    read_certificate,
)
from jittrust.core.identity.public_keys import SVID_ALGORITHMS, check_key, jws_holds, read_key, write_key
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.model import Json
from jittrust.core.units import Instant

MAX_REQUEST = 16 * 1024
MAX_TOKEN = 16 * 1024
MAX_AUDIENCES = 32
LEEWAY_SECONDS = 60.0
"""How far a clock may run ahead: for `iat` and `nbf`, never for `exp`."""
LATEST = 2.0**53
_MAX_KID = 256
_REQUEST_MAX_RSA = 4096
_SVID_HEADERS = frozenset(("alg", "kid", "typ"))
_SVID_TYPES = ("JWT", "JOSE")
_EXTENSIONS = x509.ObjectIdentifier("1.2.840.113549.1.9.14")  # PKCS#9 extensionRequest, RFC 2985 §5.4.2
_REQUEST_CURVES = frozenset(("secp256r1", "secp384r1"))


@dataclass(frozen=True, slots=True)
class CheckedX509:
    """An X.509-SVID that holds.

    Attributes:
        spiffe_id: who.
        public_key: the leaf's SubjectPublicKeyInfo, DER: the bearer has still to prove that it holds the private key.
        serial: the leaf's, lower case hex.
        expires: the leaf's end.
        signers: SHA-256 (hex) of the SubjectPublicKeyInfo of every CA key in the path, nearest first, root last.
    """

    spiffe_id: SpiffeId
    public_key: bytes
    serial: str
    expires: Instant
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedToken:
    """A JWT-SVID that holds: who, everything it claims, and the id of the key that signed it."""

    spiffe_id: SpiffeId
    claims: Mapping[str, Json]
    kid: str


def check_x509(
    chain: Sequence[bytes],
    roots: Mapping[str, Sequence[bytes]],
    now: Instant,
    distrusted: frozenset[str] = frozenset(),
) -> CheckedX509:
    """Check an X.509-SVID (X509-SVID §2-§5, RFC 5280 §6).

    Args:
        chain: DER, leaf first, each certificate signed by the next; at most 8.
        roots: by the name of the trust domain, DER: only those of the leaf's own trust domain count.
        now: when it has to be valid.
        distrusted: SHA-256 (hex) of the SubjectPublicKeyInfo of signing keys that must not be in the path.

    Raises:
        RefusedError: code `svid_refused`.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise _refused(f"a chain has 1 to {MAX_CHAIN} certificates")
    try:
        read = [read_certificate(der) for der in chain]
        leaf = read[0]
        spiffe_id = _leaf_id(leaf)
        anchors = [read_certificate(der) for der in roots.get(spiffe_id.trust_domain.name, ())]
        path = find_path(read, anchors, now, distrusted)
        for signer in path[1:]:
            _check_signer(signer, spiffe_id)
    except BadInputError as error:
        raise _refused(error.message) from None
    return CheckedX509(
        spiffe_id, leaf.spki, f"{leaf.serial:x}", Instant(leaf.ends), tuple(one.key_hash for one in path[1:])
    )


def _leaf_id(leaf: ParsedCertificate) -> SpiffeId:
    if len(leaf.uris) != 1:
        raise _refused("a leaf has exactly one URI name")
    spiffe_id = SpiffeId.parse(leaf.uris[0])
    if not spiffe_id.path:
        raise _refused("a leaf's SPIFFE ID has a path")
    if leaf.ca:
        raise _refused("a leaf is no certificate authority")
    usage = leaf.usage
    if usage is None or not leaf.usage_critical or not usage.digital_signature:
        raise _refused("a leaf has a critical key usage with digitalSignature")
    if usage.key_cert_sign or usage.crl_sign:
        raise _refused("a leaf may not sign certificates or revocation lists")
    if leaf.purposes is not None and not leaf.purposes.issuperset((CLIENT_AUTH, SERVER_AUTH)):
        raise _refused("a leaf's extended key usage has both clientAuth and serverAuth")
    if not leaf.subject.rdns and not leaf.names_critical:
        raise _refused("without a subject the names are critical")
    return spiffe_id


def _check_signer(signer: ParsedCertificate, spiffe_id: SpiffeId) -> None:
    if signer.uris not in {(), (spiffe_id.trust_domain.uri,)}:
        raise _refused("a signer's only URI name is that of the trust domain, without a path")
    purposes = signer.purposes
    if purposes is not None and ANY_USAGE not in purposes and not purposes.issuperset((CLIENT_AUTH, SERVER_AUTH)):
        raise _refused("a signer is limited to other purposes")


def check_jwt_svid(
    token: str,
    keys: Mapping[str, Mapping[str, bytes]],
    audience: str,
    now: Instant,
    distrusted: frozenset[str] = frozenset(),
) -> CheckedToken:
    """Check a JWT-SVID (JWT-SVID §2-§4).

    Args:
        token: compact JWS.
        keys: trust domain name → key id → SubjectPublicKeyInfo, DER; only those of the subject's own trust domain count.
        audience: exact text that `aud` must name.
        now: when it has to be valid; `iat` and `nbf` may lie 60 s ahead, `exp` has no leeway.
        distrusted: key ids whose signatures count no more.

    Raises:
        RefusedError: code `svid_refused`.
    """
    try:
        header, payload, signature, signed = read_jws(token, MAX_TOKEN)
        if not _SVID_HEADERS.issuperset(header) or header.get("typ", "JWT") not in _SVID_TYPES:
            raise _refused("its header is not that of a JWT-SVID")
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in SVID_ALGORITHMS:
            raise _refused("its algorithm is not one of JWT-SVID")
        if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
            raise _refused("it does not say which key signed it")
        claims = jws.json_object(payload, "jws_claims")
        subject = claims.get("sub")
        if not isinstance(subject, str):
            raise _refused("it has no subject")
        spiffe_id = SpiffeId.parse(subject)
        if not spiffe_id.path:
            raise _refused("its subject has no path")
        spki = keys.get(spiffe_id.trust_domain.name, {}).get(kid)
        if spki is None or kid in distrusted:
            raise _refused("its trust domain has no such key")
        if not jws_holds(read_key(spki), algorithm, signed, signature):
            raise _refused("its signature does not hold")
        audiences_of(claims, audience, MAX_AUDIENCES)
        check_times(claims, now)
    except BadInputError as error:
        raise _refused(error.message) from None
    return CheckedToken(spiffe_id, claims, kid)


def read_jws(token: str, max_bytes: int) -> tuple[dict[str, Json], bytes, bytes, bytes]:
    """Header, payload, signature and what is signed, of a compact JWS whose header is not judged yet.

    Raises:
        BadInputError: a code of `core.grant.jws`.
    """
    if not token.isascii():
        raise BadInputError("jws_parts", "a compact JWS is ASCII")
    head, body, signature = jws.parts_of(token.encode("ascii"), max_bytes)
    header = jws.json_object(jws.decode(head), "jws_header")
    return header, jws.decode(body), jws.decode(signature), head + b"." + body


def audiences_of(claims: Mapping[str, Json], audience: str, most: int) -> tuple[str, ...]:
    """Everybody a token is for, if `audience` is among them.

    Raises:
        BadInputError: code `audience_bad`: `aud` is missing, is neither a text nor a list of texts, is too long, or does not name `audience`.
    """
    named = claims.get("aud")
    listed = [named] if isinstance(named, str) else named
    if not isinstance(listed, list) or not 0 < len(listed) <= most:
        raise BadInputError("audience_bad", "It names no audience, or too many.")
    texts = tuple(one for one in listed if isinstance(one, str) and one)
    if len(texts) != len(listed) or not audience or audience not in texts:
        raise BadInputError("audience_bad", "It is for somebody else.")
    return texts


def check_times(claims: Mapping[str, Json], now: Instant) -> tuple[float, float | None]:
    """`exp` and `iat` (None = not told) of claims that hold now.

    Raises:
        BadInputError: code `times_bad`: no `exp`, a time that is no number from 0 to 2^53, over, or not begun.
    """
    expires, issued, begins = (_moment(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or expires <= now:
        raise BadInputError("times_bad", "It is over, or does not say when it ends.")
    if any(one is not None and (one > now + LEEWAY_SECONDS or one >= expires) for one in (issued, begins)):
        raise BadInputError("times_bad", "It has not begun.")
    return expires, issued


def _moment(claims: Mapping[str, Json], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise BadInputError("times_bad", f"{name!r} is no time.")
    return float(value)


def read_request(der: bytes) -> bytes:
    """The public key (SubjectPublicKeyInfo, DER) of a PKCS#10 certificate request that proves its possession (RFC 2986).

    Nothing else in it is believed. What asks for more than a leaf may have is refused, so that nobody mistakes it for granted: a URI name, a
    certificate authority, another purpose, an attribute or extension that is not known here. DNS names and a subject are only ignored.

    Raises:
        BadInputError: code `request_bad`.
    """
    if len(der) > MAX_REQUEST:
        raise _bad_request(f"it has {len(der)} bytes, at most {MAX_REQUEST} are taken")
    try:
        request = x509.load_der_x509_csr(der)
        digest = request.signature_hash_algorithm
        if request.signature_algorithm_oid not in ALLOWED_SIGNATURES or (
            digest is not None and digest.name not in ALLOWED_HASHES
        ):
            raise _bad_request("its signature algorithm is not taken")
        key = check_key(request.public_key())
        if isinstance(key, rsa.RSAPublicKey):
            taken = key.key_size <= _REQUEST_MAX_RSA
        else:
            taken = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _REQUEST_CURVES
        if not taken:
            raise _bad_request("its key is none of ECDSA P-256 and P-384 and RSA of 2048 to 4096 bits")
        if not request.is_signature_valid:
            raise _bad_request("its signature does not hold")
        _check_wishes(request)
    except UNREADABLE as error:
        raise _bad_request(f"it cannot be read ({type(error).__name__})") from None
    except BadInputError as error:
        if error.code == "request_bad":
            raise
        raise _bad_request(error.message) from None
    return write_key(key)


def _check_wishes(request: x509.CertificateSigningRequest) -> None:
    attributes = [one.oid for one in request.attributes]
    if attributes not in ([], [_EXTENSIONS]):
        raise _bad_request("its only attribute is one list of extensions, if any")
    for extension in request.extensions:
        if not _harmless(extension.value):
            raise _bad_request(f"it asks for an extension that is not given ({extension.oid.dotted_string})")


def _harmless(wish: x509.ExtensionType) -> bool:
    if isinstance(wish, x509.SubjectAlternativeName):
        return all(isinstance(name, x509.DNSName) for name in wish)
    if isinstance(wish, x509.BasicConstraints):
        return not wish.ca
    if isinstance(wish, x509.KeyUsage):
        return not wish.key_cert_sign and not wish.crl_sign
    if isinstance(wish, x509.ExtendedKeyUsage):
        return {CLIENT_AUTH, SERVER_AUTH}.issuperset(one.dotted_string for one in wish)
    return isinstance(wish, x509.SubjectKeyIdentifier)


def key_hash(spki: bytes) -> str:
    """How a signing key is named in `distrusted` and `signers`: SHA-256 of its SubjectPublicKeyInfo, hex."""
    return hashlib.sha256(spki).hexdigest()


def _refused(why: str) -> RefusedError:
    return RefusedError("svid_refused", f"The SVID is not taken: {why}")


def _bad_request(why: str) -> BadInputError:
    return BadInputError(
        "request_bad",
        f"The certificate request is not taken: {why}",
        "Send PKCS#10 (DER) with a fresh P-256 key and an empty subject.",
    )
