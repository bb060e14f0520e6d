"""Trust bundles: the public keys of a trust domain, as a JWK set (SPIFFE Trust Domain and Bundle §4)."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from jittrust.core.errors import BadInputError
from jittrust.core.identity.certificates import read_certificate
from jittrust.core.identity.public_keys import (
    PRIVATE_MEMBERS,
    SVID_ALGORITHMS,
    from_jwk,
    read_key,
    to_jwk,
    write_key,
)
from jittrust.core.identity.spiffe_id import TrustDomain
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object

MAX_BUNDLE = 1024 * 1024
MAX_KEYS = 100
_LATEST = 2**53
_MAX_KID = 256
_MAX_X5C = 24 * 1024
# Other uses and other kinds of keys are left out, as §4.1.3 wants: a bundle may hold what only newer readers know.
_KINDS = {"x509-svid": ("EC", "RSA", "OKP"), "jwt-svid": ("EC", "RSA")}


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """What a trust domain's documents are checked against.

    Attributes:
        trust_domain: its name.
        x509: root certificates, DER.
        jwt: key id → SubjectPublicKeyInfo, DER.
        sequence: `spiffe_sequence`, one more with each change; 0 where it is not told.
        refresh_hint: `spiffe_refresh_hint`, seconds; 0 where it is not told.
    """

    trust_domain: str
    x509: tuple[bytes, ...] = ()
    jwt: Mapping[str, bytes] = field(default_factory=dict)
    sequence: int = 0
    refresh_hint: int = 0


def read_bundle(text: str | bytes, trust_domain: str) -> TrustBundle:
    """Read a bundle document.

    Keys of a use or kind that is not known are left out as the specification wants; everything else that is not exactly right refuses the
    whole bundle, and so does a bundle without any key: nobody loses all trust by accident.

    Raises:
        BadInputError: code `bundle_bad`.
    """
    try:
        name = TrustDomain(trust_domain).name
        document = parse_object(text if isinstance(text, bytes) else text.encode(), max_bytes=MAX_BUNDLE)
        listed = document.get("keys")
        if not isinstance(listed, list) or not 0 < len(listed) <= MAX_KEYS:
            raise _bad(f"it has a list of 1 to {MAX_KEYS} keys")
        roots: list[bytes] = []
        keys: dict[str, bytes] = {}
        for jwk in listed:
            if not isinstance(jwk, dict):
                raise _bad("a key is an object")
            _read_entry(jwk, name, roots, keys)
        sequence, hint = (_number(document, one) for one in ("spiffe_sequence", "spiffe_refresh_hint"))
    except UnicodeEncodeError:
        raise _bad("it is no text") from None
    except BadInputError as error:
        raise (error if error.code == "bundle_bad" else _bad(error.message)) from None
    if not roots and not keys:
        raise _bad("none of its keys is for SVIDs")
    return TrustBundle(name, tuple(roots), keys, sequence, hint)


def _read_entry(jwk: Mapping[str, Json], name: str, roots: list[bytes], keys: dict[str, bytes]) -> None:
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise _bad("it holds a private key")
    kind, use = jwk.get("kty"), jwk.get("use")
    if not isinstance(kind, str):
        raise _bad("a key says of what kind it is")
    if kind not in _KINDS.get(use if isinstance(use, str) else "", ()):
        return
    if use == "x509-svid":
        root = _root(jwk, name)
        if root in roots:
            raise _bad("a certificate is in it twice")
        roots.append(root)
    else:
        kid = jwk.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID or not kid.isprintable():
            raise _bad("a key for JWT-SVIDs has an id")
        key = from_jwk(jwk)
        algorithm = jwk.get("alg", "ES256")
        if not isinstance(algorithm, str) or algorithm not in SVID_ALGORITHMS:
            raise _bad("a key is for an algorithm that JWT-SVIDs have not")
        spki = write_key(key)
        if kid in keys or spki in keys.values():
            raise _bad("a key or a key id is in it twice")
        keys[kid] = spki


def _root(jwk: Mapping[str, Json], name: str) -> bytes:
    x5c = jwk.get("x5c")
    if not isinstance(x5c, list) or len(x5c) != 1 or not isinstance(x5c[0], str) or len(x5c[0]) > _MAX_X5C:
        raise _bad("a key for X.509-SVIDs has exactly one certificate")
    try:
        der = binascii.a2b_base64(x5c[0].encode("ascii"), strict_mode=True)
    except ValueError:
        raise _bad("a certificate is not in base64") from None
    if binascii.b2a_base64(der, newline=False).decode("ascii") != x5c[0]:
        raise _bad("a certificate is not in canonical base64")
    root = read_certificate(der)
    if not root.ca or (root.usage is not None and not root.usage.key_cert_sign):
        raise _bad("a certificate is no certificate authority's")
    if root.uris not in {(), (TrustDomain(name).uri,)}:
        raise _bad("a certificate belongs to somebody else")
    if write_key(from_jwk(jwk)) != root.spki:
        raise _bad("a certificate has another key than its entry")
    return der


def _number(document: Mapping[str, Json], name: str) -> int:
    value = document.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LATEST:
        raise _bad(f"{name} is a whole number from 0 to 2^53")
    return value


def write_bundle(bundle: TrustBundle) -> str:
    """The bundle document; the same bundle gives the same text.

    Raises:
        BadInputError: code `certificate_bad` or `key_bad`: what is in it could not be read again.
    """
    entries: list[Json] = []
    for der in bundle.x509:
        x5c = binascii.b2a_base64(der, newline=False).decode("ascii")
        entries.append({**to_jwk(read_certificate(der).key), "use": "x509-svid", "x5c": [x5c]})
    for kid, spki in sorted(bundle.jwt.items()):
        entries.append({**to_jwk(read_key(spki)), "use": "jwt-svid", "kid": kid})
    document = {"keys": entries, "spiffe_sequence": bundle.sequence, "spiffe_refresh_hint": bundle.refresh_hint}
    return json.dumps(document, separators=(",", ":"))


def _bad(why: str) -> BadInputError:
    return BadInputError("bundle_bad", f"The trust bundle is not taken: {why}")
