"""Attacks on identities: SPIFFE IDs, certificate requests, X.509 and JWT documents, bundles and outside tokens, none of which is taken.

The forger may send any bytes. In most rows even the signature is right, by the very key that the verifier trusts: what is wrong is said in
the row's name. Every table begins from an honest twin that goes through.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from tests.forge import (
    ANY,
    CERTIFIES,
    CLIENT,
    NOW,
    SERVER,
    SIGNS,
    Cert,
    Csr,
    ForgedKey,
    attribute,
    basic,
    bits,
    body_of,
    constraints,
    dns,
    ec_key,
    ed25519_key,
    extension,
    integer,
    mersenne_key,
    name,
    names,
    oid,
    purposes,
    sequence,
    tlv,
    uri,
    usage,
)

from jittrust.core.errors import JitError
from jittrust.core.grant import jws
from jittrust.core.identity.attest import (
    check_certificate,
    check_token,
    holds,
    kubernetes_selectors,
    oidc_selectors,
    statement,
    x509_selectors,
)
from jittrust.core.identity.bundle import read_bundle
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.svid import check_jwt_svid, check_x509, key_hash, read_request
from jittrust.core.units import Instant

AT = Instant(NOW)
ME = "spiffe://example.org/agent/coder"
TRUST = "spiffe://example.org"


def refused(act: Callable[[], object], *codes: str) -> None:
    """Nothing but an error of ours comes out, with one of these codes."""
    with pytest.raises(JitError) as caught:
        act()
    assert caught.value.code in codes
    assert len(str(caught.value)) < 1000


# ------------------------------------------------------------------------------------------------------------- SPIFFE IDs

HOSTILE_IDS: Mapping[str, str] = {
    "empty": "",
    "scheme alone": "spiffe://",
    "no scheme": "example.org/agent/coder",
    "one slash": "spiffe:/example.org/agent",
    "no slashes": "spiffe:example.org/agent",
    "three slashes": "spiffe:///agent/coder",
    "four slashes": "spiffe:////example.org/agent",
    "another scheme": "https://example.org/agent",
    "scheme in upper case": "SPIFFE://example.org/agent",
    "scheme in mixed case": "Spiffe://example.org/agent",
    "scheme with a plus": "spiffe+https://example.org/agent",
    "two schemes": "spiffe://spiffe://example.org/agent",
    "leading space": " spiffe://example.org/agent",
    "trailing space": "spiffe://example.org/agent ",
    "leading newline": "\nspiffe://example.org/agent",
    "trailing newline": "spiffe://example.org/agent\n",
    "newline after the trust domain": "spiffe://example.org\n/agent",
    "trailing newline without a path": "spiffe://example.org\n",
    "carriage return": "spiffe://example.org/agent\r",
    "tab": "spiffe://example.org/a\tgent",
    "NUL": "spiffe://example.org/agent\x00",
    "NUL and another name": "spiffe://example.org/agent\x00/admin",
    "NUL in the trust domain": "spiffe://example.org\x00.evil.example/agent",
    "trailing slash": "spiffe://example.org/agent/",
    "slash as path": "spiffe://example.org/",
    "two slashes as path": "spiffe://example.org//",
    "empty segment first": "spiffe://example.org//agent",
    "empty segment": "spiffe://example.org/agent//coder",
    "dot segment": "spiffe://example.org/agent/./coder",
    "dot segment last": "spiffe://example.org/agent/.",
    "dot segment alone": "spiffe://example.org/.",
    "parent segment": "spiffe://example.org/agent/../admin",
    "parent segment last": "spiffe://example.org/agent/..",
    "parent segment first": "spiffe://example.org/../evil.example/agent",
    "percent dot dot": "spiffe://example.org/agent/%2e%2e/admin",
    "percent slash": "spiffe://example.org/agent%2Fcoder",
    "percent letter": "spiffe://example.org/%61gent",
    "percent NUL": "spiffe://example.org/agent%00",
    "percent in the trust domain": "spiffe://example%2Eorg/agent",
    "bare percent": "spiffe://example.org/a%",
    "upper case trust domain": "spiffe://EXAMPLE.org/agent",
    "one upper case letter": "spiffe://example.orG/agent",
    "port": "spiffe://example.org:443/agent",
    "empty port": "spiffe://example.org:/agent",
    "user": "spiffe://admin@example.org/agent",
    "user and password": "spiffe://a:b@example.org/agent",
    "empty user": "spiffe://@example.org/agent",
    "query": "spiffe://example.org/agent?role=admin",
    "query without a path": "spiffe://example.org?role=admin",
    "empty query": "spiffe://example.org/agent?",
    "fragment": "spiffe://example.org/agent#admin",
    "fragment without a path": "spiffe://example.org#admin",
    "empty fragment": "spiffe://example.org/agent#",
    "backslash": "spiffe://example.org\\agent",
    "backslash in the path": "spiffe://example.org/agent\\..\\admin",
    "semicolon": "spiffe://example.org/agent;v=1",
    "colon in the path": "spiffe://example.org/agent:coder",
    "comma": "spiffe://example.org/agent,coder",
    "plus": "spiffe://example.org/agent+coder",
    "star": "spiffe://example.org/*",
    "star in the trust domain": "spiffe://*.example.org/agent",
    "dollar": "spiffe://example.org/$agent",
    "tilde": "spiffe://example.org/~admin",
    "exclamation": "spiffe://example.org/agent!",
    "quote": "spiffe://example.org/agent'",
    "double quote": 'spiffe://example.org/agent"',
    "brackets": "spiffe://[::1]/agent",
    "braces": "spiffe://example.org/{agent}",
    "equals": "spiffe://example.org/kind=agent",
    "pipe": "spiffe://example.org/a|b",
    "IDN": "spiffe://exämple.org/agent",
    "Cyrillic a in the trust domain": "spiffe://ex\u0430mple.org/agent",
    "Cyrillic a in the path": "spiffe://example.org/\u0430gent",
    "full width letters": "spiffe://example.org/\uff41gent",
    "full width slash": "spiffe://example.org/agent\uff0fcoder",
    "division slash": "spiffe://example.org/agent\u2215coder",
    "ideographic full stop": "spiffe://example\u3002org/agent",
    "soft hyphen": "spiffe://exam\u00adple.org/agent",
    "zero width joiner": "spiffe://example.org/agent\u200d",
    "right to left override": "spiffe://example.org/agent\u202enimda",
    "byte order mark": "\ufeffspiffe://example.org/agent",
    "combining accent": "spiffe://example.org/age\u0301nt",
    "Arabic digit": "spiffe://example.org/agent\u0661",
    "Kelvin sign": "spiffe://example.org/\u212aey",
    "long s": "\u017fpiffe://example.org/agent",
    "line separator": "spiffe://example.org/agent\u2028",
    "next line": "spiffe://example.org/agent\x85",
    "vertical tab": "spiffe://example.org/agent\x0b",
    "lone surrogate": "spiffe://example.org/agent\ud800",
    "emoji": "spiffe://example.org/\U0001f600",
    "2049 bytes": "spiffe://example.org/" + "a" * (2049 - 21),
    "a megabyte": "spiffe://example.org/" + "a" * 1_000_000,
    "a hundred thousand segments": "spiffe://example.org" + "/a" * 100_000,
    "trust domain of 256 bytes": "spiffe://" + "a" * 256 + "/agent",
}


def test_t18_the_longest_spiffe_id_and_its_honest_kin_are_taken() -> None:
    for text in (
        ME,
        TRUST,
        "spiffe://example.org/" + "a" * (2048 - 21),
        "spiffe://" + "a" * 255 + "/x",
        "spiffe://a/...",
    ):
        assert str(SpiffeId.parse(text)) == text


@pytest.mark.parametrize("what", HOSTILE_IDS)
def test_t18_a_spiffe_id_that_is_not_canonical_is_refused(what: str) -> None:
    refused(lambda: SpiffeId.parse(HOSTILE_IDS[what]), "spiffe_id_bad")


@pytest.mark.parametrize("what", HOSTILE_IDS)
def test_t18_a_spiffe_id_that_is_not_canonical_is_refused_inside_signed_documents_too(what: str) -> None:
    text = HOSTILE_IDS[what]
    refused(lambda: check_jwt_svid(token(claims={"sub": text}), KEYS, "db", AT), "svid_refused")
    sent = text.encode("utf-8", "surrogatepass")
    refused(lambda: svid(leaf(extensions=(names(uri(sent)), SIGNS))), "svid_refused")


# ---------------------------------------------------------------------------------------------------- certificate requests

HONEST = ec_key(1)
P521 = ec_key(2, ec.SECP521R1())
K1 = ec_key(3, ec.SECP256K1())
BRAINPOOL = ec_key(4, ec.BrainpoolP256R1())
P224 = ec_key(5, ec.SECP224R1())
RSA = rsa.generate_private_key(65537, 2048)
RSA_SPKI = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def rsa_signer(digest: hashes.HashAlgorithm, number: str) -> ForgedKey:
    return ForgedKey(RSA_SPKI, sequence(oid(number), tlv(5)), lambda tbs: RSA.sign(tbs, padding.PKCS1v15(), digest))


RSA_256 = rsa_signer(hashes.SHA256(), "1.2.840.113549.1.1.11")
SHORT_SPKI = sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), bits(b"\x04" + b"\x01" * 64))
INFINITE_SPKI = sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), bits(b"\x00"))
EXTENSIONS = "1.2.840.113549.1.9.14"


def flipped(der: bytes, place: int = -1) -> bytes:
    changed = bytearray(der)
    changed[place] ^= 1
    return bytes(changed)


HOSTILE_REQUESTS: Mapping[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no DER": lambda: b"certificate, please",
    "PEM": lambda: (
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.b64encode(Csr(HONEST).der())
        + b"\n-----END CERTIFICATE REQUEST-----\n"
    ),
    "cut short": lambda: Csr(HONEST).der()[:-1],
    "a byte too many": lambda: Csr(HONEST).der() + b"\x00",
    "two requests": lambda: Csr(HONEST).der() * 2,
    "a certificate": lambda: leaf().der(),
    "too large": lambda: Csr(HONEST, subject=name("x" * 17_000)).der(),
    "a length of four gigabytes": lambda: b"\x30\x84\xff\xff\xff\xff" + Csr(HONEST).der(),
    "indefinite length": lambda: b"\x30\x80" + Csr(HONEST).der()[3:] + b"\x00\x00",
    "nested 5000 deep": lambda: b"\x30\x80" * 5000,
    "signature of another key": lambda: Csr(HONEST, signer=ec_key(9)).der(),
    "signature flipped": lambda: flipped(Csr(HONEST).der()),
    "public key flipped": lambda: flipped(Csr(HONEST).der(), 60),
    "no signature": lambda: Csr(replace(HONEST, sign=lambda _: b"")).der(),
    "a signature of zeros": lambda: Csr(replace(HONEST, sign=lambda _: sequence(integer(0), integer(0)))).der(),
    "ECDSA with SHA-1": lambda: Csr(ec_key(1, digest="sha1")).der(),
    "ECDSA with SHA-224": lambda: Csr(ec_key(1, digest="sha224")).der(),
    "RSA with MD5": lambda: Csr(mersenne_key(2203, "md5")).der(),
    "RSA with SHA-1": lambda: Csr(mersenne_key(2203, "sha1")).der(),
    "signed with SHA-1, said SHA-256": lambda: Csr(ec_key(1, digest="sha1"), outer=HONEST.algorithm).der(),
    "RSA of 1279 bits": lambda: Csr(mersenne_key(1279)).der(),
    "RSA of 4253 bits": lambda: Csr(mersenne_key(4253)).der(),
    "RSA of 9689 bits": lambda: Csr(mersenne_key(9689)).der(),
    "RSA with exponent 5": lambda: Csr(mersenne_key(2203, public=5)).der(),
    "RSA with an exponent of 2000 bits": lambda: Csr(mersenne_key(2203, public=2**2000 + 81)).der(),
    "P-521": lambda: Csr(P521).der(),
    "secp256k1": lambda: Csr(K1).der(),
    "brainpool": lambda: Csr(BRAINPOOL).der(),
    "P-224": lambda: Csr(P224).der(),
    "Ed25519": lambda: Csr(ed25519_key(7)).der(),
    "a point off the curve": lambda: Csr(HONEST, spki=SHORT_SPKI).der(),
    "the point at infinity": lambda: Csr(HONEST, spki=INFINITE_SPKI).der(),
    "version 2": lambda: Csr(HONEST, version=1).der(),
    "URI of an admin": lambda: Csr(HONEST, extensions=(names(uri("spiffe://example.org/person/root")),)).der(),
    "URI of itself": lambda: Csr(HONEST, extensions=(names(uri(ME)),)).der(),
    "URI of another trust domain": lambda: Csr(HONEST, extensions=(names(uri("spiffe://evil.example/x")),)).der(),
    "URI behind a DNS name": lambda: Csr(HONEST, extensions=(names(dns("a.example.org"), uri(ME)),)).der(),
    "URI with a NUL": lambda: Csr(HONEST, extensions=(names(uri("spiffe://example.org/a\x00b")),)).der(),
    "e-mail name": lambda: Csr(HONEST, extensions=(names(tlv(0x81, b"root@example.org")),)).der(),
    "IP name": lambda: Csr(HONEST, extensions=(names(tlv(0x87, b"\x7f\x00\x00\x01")),)).der(),
    "directory name": lambda: Csr(HONEST, extensions=(names(tlv(0xA4, name("root"))),)).der(),
    "other name": lambda: Csr(HONEST, extensions=(names(tlv(0xA0, oid("1.2.3"), tlv(0xA0, tlv(12, b"x")))),)).der(),
    "certificate authority": lambda: Csr(HONEST, extensions=(basic(ca=True),)).der(),
    "may sign certificates": lambda: Csr(HONEST, extensions=(CERTIFIES,)).der(),
    "may sign revocation lists": lambda: Csr(HONEST, extensions=(usage(b"\x02", 1),)).der(),
    "code signing": lambda: Csr(HONEST, extensions=(purposes("1.3.6.1.5.5.7.3.3"),)).der(),
    "any purpose": lambda: Csr(HONEST, extensions=(purposes(ANY),)).der(),
    "name constraints": lambda: Csr(HONEST, extensions=(constraints([uri("example.org")]),)).der(),
    "an unknown extension": lambda: Csr(HONEST, extensions=(extension("1.2.3.4", tlv(5)),)).der(),
    "an authority's key id": lambda: Csr(HONEST, extensions=(extension("2.5.29.35", sequence(tlv(0x80, b"x"))),)).der(),
    "the same extension twice": lambda: Csr(HONEST, extensions=(names(dns("a.b")), names(uri(ME)))).der(),
    "two lists of extensions": lambda: Csr(
        HONEST,
        extensions=(names(dns("a.b")),),
        attributes=(attribute(EXTENSIONS, sequence(names(uri(ME)))),),
    ).der(),
    "two lists in one attribute": lambda: Csr(
        HONEST, attributes=(attribute(EXTENSIONS, sequence(names(dns("a.b"))), sequence(names(uri(ME)))),)
    ).der(),
    "extensions under Microsoft's number": lambda: Csr(
        HONEST, attributes=(attribute("1.3.6.1.4.1.311.2.1.14", sequence(names(uri(ME)))),)
    ).der(),
    "a challenge password": lambda: Csr(HONEST, attributes=(attribute("1.2.840.113549.1.9.7", tlv(12, b"x")),)).der(),
    "an attribute without values": lambda: Csr(HONEST, attributes=(attribute(EXTENSIONS),)).der(),
    "extensions that are none": lambda: Csr(HONEST, attributes=(attribute(EXTENSIONS, tlv(12, b"x")),)).der(),
    "an alternative name that is none": lambda: Csr(HONEST, extensions=(extension("2.5.29.17", b"\x05\x00"),)).der(),
}


def test_t18_an_honest_request_is_taken_and_gives_its_key_and_nothing_else() -> None:
    asked = (names(dns("a.example.org"), critical=False), SIGNS, basic(ca=False), purposes(CLIENT, SERVER))
    for key in (HONEST, ec_key(2, ec.SECP384R1(), "sha384"), RSA_256, mersenne_key(2203)):
        for request in (Csr(key), Csr(key, subject=name("root")), Csr(key, extensions=asked)):
            assert read_request(request.der()) == key.spki


@pytest.mark.parametrize("what", HOSTILE_REQUESTS)
def test_t18_a_smuggling_weak_or_unproven_request_is_refused(what: str) -> None:
    refused(lambda: read_request(HOSTILE_REQUESTS[what]()), "request_bad")


# ------------------------------------------------------------------------------------------------------------ X.509 chains

ROOT_KEY, MIDDLE_KEY, EVIL_KEY = ec_key(11), ec_key(12), ec_key(13)
FOR_BOTH = purposes(CLIENT, SERVER)
CA = (basic(ca=True), CERTIFIES, names(uri(TRUST), critical=False))


def root(**over: object) -> Cert:
    made: dict[str, Any] = {
        "key": ROOT_KEY,
        "signer": ROOT_KEY,
        "subject": name("root"),
        "issuer": name("root"),
        "extensions": CA,
    }
    made.update(over)
    return Cert(**made)


def middle(**over: object) -> Cert:
    made: dict[str, Any] = {
        "key": MIDDLE_KEY,
        "signer": ROOT_KEY,
        "subject": name("middle"),
        "issuer": name("root"),
        "extensions": (basic(ca=True, length=0), CERTIFIES, names(uri(TRUST), critical=False)),
    }
    made.update(over)
    return Cert(**made)


def leaf(**over: object) -> Cert:
    made: dict[str, Any] = {
        "key": HONEST,
        "signer": MIDDLE_KEY,
        "issuer": name("middle"),
        "extensions": (basic(ca=False), SIGNS, FOR_BOTH, names(uri(ME))),
    }
    made.update(over)
    return Cert(**made)


def with_names(*general: bytes) -> Cert:
    return leaf(extensions=(basic(ca=False), SIGNS, names(*general)))


def with_usage(*extensions: bytes) -> Cert:
    return leaf(extensions=(basic(ca=False), names(uri(ME)), *extensions))


def middle_with(*extensions: bytes, **over: object) -> Cert:
    return middle(extensions=(CERTIFIES, *extensions), **over)


ROOTS: Mapping[str, Sequence[bytes]] = {
    "example.org": (root().der(),),
    "foreign.example": (root(key=ec_key(20), signer=ec_key(20)).der(),),
}


def svid(*chain: Cert, roots: Mapping[str, Sequence[bytes]] = ROOTS, at: Instant = AT) -> object:
    sent = chain if len(chain) > 1 else (*chain, middle())
    return check_x509([one.der() for one in sent], roots, at)


Chain = Sequence[bytes]
RSA_1 = rsa_signer(hashes.SHA1(), "1.2.840.113549.1.1.5")  # noqa: S303 - the forger uses it


def pss_sha1(tbs: bytes) -> bytes:
    digest = hashes.SHA1()  # noqa: S303 - the forger uses it
    return RSA.sign(tbs, padding.PSS(padding.MGF1(digest), 20), digest)


PSS_1 = ForgedKey(RSA_SPKI, sequence(oid("1.2.840.113549.1.1.10"), sequence()), pss_sha1)


def through(*links: Cert) -> Chain:
    return [one.der() for one in links]


def ladder(steps: int) -> Chain:
    """A leaf under this many intermediates in a row, all honest and without a limit of length."""
    keys = [ROOT_KEY, *(ec_key(100 + step) for step in range(steps))]
    made = [
        middle(
            key=key,
            signer=above,
            subject=name(f"m{step}"),
            issuer=name(f"m{step - 1}" if step else "root"),
            extensions=CA,
        )
        for step, (above, key) in enumerate(pairwise(keys))
    ]
    return through(leaf(signer=keys[-1], issuer=name(f"m{steps - 1}")), *reversed(made))


OWN_CA = (basic(ca=True), CERTIFIES)
WEAK_CA = mersenne_key(1279)
HOSTILE_CHAINS: Mapping[str, Callable[[], Chain]] = {
    "no certificate": list,
    "empty bytes": lambda: [b""],
    "no DER": lambda: [b"\x30\x03\x02\x01\x01", middle().der()],
    "a byte too many": lambda: [leaf().der() + b"\x00", middle().der()],
    "too large": lambda: through(
        leaf(extensions=(SIGNS, names(uri(ME)), extension("1.2.3.4", tlv(4, bytes(17_000))))), middle()
    ),
    "PEM": lambda: [x509.load_der_x509_certificate(leaf().der()).public_bytes(Encoding.PEM), middle().der()],
    "the leaf alone": lambda: through(leaf()),
    "the root as leaf": lambda: through(root()),
    "the intermediate as leaf": lambda: through(middle()),
    "self-signed": lambda: through(leaf(signer=HONEST, issuer=name())),
    "signed by its own key under the root's name": lambda: through(leaf(signer=HONEST, issuer=name("root"))),
    "unsigned": lambda: through(leaf(signer=replace(MIDDLE_KEY, sign=lambda _: b"")), middle()),
    "signature of zeros": lambda: through(
        leaf(signer=replace(MIDDLE_KEY, sign=lambda _: sequence(integer(0), integer(0)))), middle()
    ),
    "signature flipped": lambda: [flipped(leaf().der()), middle().der()],
    "intermediate's signature flipped": lambda: [leaf().der(), flipped(middle().der())],
    "an unsigned ten-year admin": lambda: [
        flipped(
            leaf(ends=NOW + 315_360_000, extensions=(names(uri("spiffe://example.org/person/admin")), SIGNS)).der()
        ),
        middle().der(),
    ],
    "a CA of the forger's": lambda: through(
        leaf(signer=EVIL_KEY), middle(key=EVIL_KEY, signer=EVIL_KEY, issuer=name("middle"))
    ),
    "a CA of the forger's under the root's name": lambda: through(
        leaf(signer=EVIL_KEY), middle(key=EVIL_KEY, signer=EVIL_KEY)
    ),
    "a copy of the root with the forger's key": lambda: through(
        leaf(signer=EVIL_KEY, issuer=name("root")), root(key=EVIL_KEY, signer=EVIL_KEY)
    ),
    "the foreign domain's root": lambda: through(
        leaf(signer=ec_key(20), issuer=name("root")), root(key=ec_key(20), signer=ec_key(20))
    ),
    "a foreign trust domain under our root": lambda: through(with_names(uri("spiffe://foreign.example/x")), middle()),
    "an unknown trust domain": lambda: through(with_names(uri("spiffe://unknown.example/x")), middle()),
    "in the wrong order": lambda: through(middle(), leaf()),
    "root between": lambda: through(leaf(), root(), middle()),
    "the leaf twice": lambda: through(leaf(), leaf(), middle()),
    "the intermediate twice": lambda: through(leaf(), middle(), middle()),
    "the root twice": lambda: through(leaf(), middle(), root(), root()),
    "the root twice, once renewed": lambda: through(leaf(), middle(), root(), root(serial=integer(78)), root()),
    "a stranger at the end": lambda: through(leaf(), middle(), root(key=EVIL_KEY, signer=EVIL_KEY)),
    "nine certificates": lambda: ladder(8),
    "a thousand certificates": lambda: [leaf().der(), *[middle().der()] * 1000],
    "a leaf that signs": lambda: through(
        leaf(key=EVIL_KEY, signer=HONEST, issuer=name("leaf")), leaf(subject=name("leaf")), middle()
    ),
    "an intermediate that is no CA": lambda: through(leaf(), middle_with(basic(ca=False))),
    "an intermediate without basicConstraints": lambda: through(leaf(), middle_with()),
    "an intermediate that may not sign certificates": lambda: through(
        leaf(), middle(extensions=(basic(ca=True), SIGNS))
    ),
    "an intermediate without key usage": lambda: through(leaf(), middle(extensions=(basic(ca=True),))),
    "longer than the root allows": lambda: through(
        leaf(),
        middle(signer=ec_key(21), issuer=name("short")),
        root(key=ec_key(21), subject=name("short"), extensions=(basic(ca=True, length=0), CERTIFIES)),
    ),
    "longer than the intermediate allows": lambda: through(
        leaf(signer=EVIL_KEY, issuer=name("below")),
        middle(key=EVIL_KEY, signer=MIDDLE_KEY, subject=name("below"), issuer=name("middle")),
        middle(),
    ),
    "an intermediate with a path": lambda: through(leaf(), middle_with(basic(ca=True), names(uri(TRUST + "/ca")))),
    "an intermediate of a foreign trust domain": lambda: through(
        leaf(), middle_with(basic(ca=True), names(uri("spiffe://foreign.example")))
    ),
    "an intermediate for code signing": lambda: through(
        leaf(), middle_with(basic(ca=True), purposes("1.3.6.1.5.5.7.3.3"))
    ),
    "an intermediate for servers only": lambda: through(leaf(), middle_with(basic(ca=True), purposes(SERVER))),
    "name constraint for another domain": lambda: through(
        leaf(), middle_with(basic(ca=True), constraints([uri("other.example")]))
    ),
    "name constraint that excludes ours": lambda: through(
        leaf(), middle_with(basic(ca=True), constraints((), [uri("example.org")]))
    ),
    "name constraint for subdomains only": lambda: through(
        leaf(), middle_with(basic(ca=True), constraints([uri(".example.org")]))
    ),
    "name constraint in upper case that excludes ours": lambda: through(
        leaf(), middle_with(basic(ca=True), constraints((), [uri("EXAMPLE.ORG")]))
    ),
    "name constraint with a scheme": lambda: through(
        leaf(), middle_with(basic(ca=True), constraints((), [uri("spiffe://example.org")]))
    ),
    "name constraint that is not critical": lambda: through(
        leaf(), middle_with(basic(ca=True), constraints([uri("other.example")], critical=False))
    ),
    "a DNS name that a constraint excludes": lambda: through(
        with_names(uri(ME), dns("bank.example")), middle_with(basic(ca=True), constraints([dns("example.org")]))
    ),
    "a subject that a constraint excludes in another case": lambda: through(
        leaf(subject=name("Bank  Example")),
        middle_with(basic(ca=True), constraints((), [tlv(0xA4, name("bank example"))])),
    ),
    "an e-mail name under a constraint that is not understood": lambda: through(
        with_names(uri(ME), tlv(0x81, b"a@example.org")),
        middle_with(basic(ca=True), constraints([tlv(0x81, b"example.org")])),
    ),
    "an unknown critical extension": lambda: through(
        leaf(extensions=(SIGNS, names(uri(ME)), extension("1.2.3.4", tlv(5), critical=True))), middle()
    ),
    "an unknown critical extension above": lambda: through(
        leaf(), middle_with(basic(ca=True), extension("1.2.3.4", tlv(5), critical=True))
    ),
    "critical policies": lambda: through(
        leaf(), middle_with(basic(ca=True), extension("2.5.29.36", sequence(tlv(0x80, b"\x00")), critical=True))
    ),
    "over": lambda: through(leaf(ends=NOW - 1), middle()),
    "not begun": lambda: through(leaf(begins=NOW + 1), middle()),
    "ends before it begins": lambda: through(leaf(begins=NOW + 10, ends=NOW - 10), middle()),
    "intermediate over": lambda: through(leaf(), middle(ends=NOW - 1)),
    "intermediate not begun": lambda: through(leaf(), middle(begins=NOW + 1)),
    "two URI names": lambda: through(with_names(uri(ME), uri("spiffe://example.org/person/admin")), middle()),
    "the same URI name twice": lambda: through(with_names(uri(ME), uri(ME)), middle()),
    "a web URI beside it": lambda: through(with_names(uri(ME), uri("https://example.org/")), middle()),
    "a web URI alone": lambda: through(with_names(uri("https://example.org/agent")), middle()),
    "no URI name": lambda: through(with_names(dns("example.org")), middle()),
    "the SPIFFE ID as DNS name": lambda: through(with_names(dns(ME)), middle()),
    "the SPIFFE ID as common name": lambda: through(leaf(subject=name(ME), extensions=(SIGNS,)), middle()),
    "no path": lambda: through(with_names(uri(TRUST)), middle()),
    "a slash as path": lambda: through(with_names(uri(TRUST + "/")), middle()),
    "names twice": lambda: through(leaf(extensions=(SIGNS, names(uri(ME)), names(uri(TRUST + "/b")))), middle()),
    "names not critical without a subject": lambda: through(
        leaf(extensions=(SIGNS, names(uri(ME), critical=False))), middle()
    ),
    "empty names": lambda: through(leaf(extensions=(SIGNS, names())), middle()),
    "no extension": lambda: through(leaf(extensions=()), middle()),
    "a leaf that is a CA": lambda: through(leaf(extensions=(basic(ca=True), SIGNS, names(uri(ME)))), middle()),
    "no key usage": lambda: through(with_usage(), middle()),
    "key usage not critical": lambda: through(with_usage(usage(b"\x80", 7, critical=False)), middle()),
    "key usage empty": lambda: through(with_usage(usage(b"", 0)), middle()),
    "only key encipherment": lambda: through(with_usage(usage(b"\x20", 5)), middle()),
    "may sign certificates": lambda: through(with_usage(usage(b"\x84", 2)), middle()),
    "may sign revocation lists": lambda: through(with_usage(usage(b"\x82", 1)), middle()),
    "for servers only": lambda: through(with_usage(SIGNS, purposes(SERVER)), middle()),
    "for clients only": lambda: through(with_usage(SIGNS, purposes(CLIENT)), middle()),
    "for any purpose only": lambda: through(with_usage(SIGNS, purposes(ANY)), middle()),
    "for no purpose": lambda: through(with_usage(SIGNS, purposes()), middle()),
    "version 1": lambda: through(leaf(version=b"", extensions=()), middle()),
    "version 2": lambda: through(leaf(version=tlv(0xA0, integer(1))), middle()),
    "version 4": lambda: through(leaf(version=tlv(0xA0, integer(3))), middle()),
    "serial number 0": lambda: through(leaf(serial=integer(0)), middle()),
    "negative serial number": lambda: through(leaf(serial=integer(-5)), middle()),
    "two algorithms": lambda: through(leaf(outer=ec_key(1, digest="sha384").algorithm), middle()),
    "ECDSA with SHA-1": lambda: through(leaf(signer=ec_key(12, digest="sha1")), middle()),
    "ECDSA with SHA-224": lambda: through(leaf(signer=ec_key(12, digest="sha224")), middle()),
    "RSA with SHA-1": lambda: through(leaf(signer=RSA_1), middle(key=RSA_1)),
    "RSA-PSS with SHA-1": lambda: through(leaf(signer=PSS_1), middle(key=PSS_1)),
    "RSA with MD5": lambda: through(leaf(signer=mersenne_key(2203, "md5")), middle(key=mersenne_key(2203))),
    "the intermediate signed with SHA-1": lambda: through(leaf(), middle(signer=ec_key(11, digest="sha1"))),
    "an intermediate with RSA of 1279 bits": lambda: through(leaf(signer=WEAK_CA), middle(key=WEAK_CA)),
    "an intermediate with RSA of 9689 bits": lambda: through(
        leaf(signer=mersenne_key(9689)), middle(key=mersenne_key(9689))
    ),
    "an intermediate on secp256k1": lambda: through(leaf(signer=K1), middle(key=K1)),
    "a leaf with RSA of 1279 bits": lambda: through(leaf(key=WEAK_CA), middle()),
    "a leaf with exponent 5": lambda: through(leaf(key=mersenne_key(2203, public=5)), middle()),
    "a leaf on secp256k1": lambda: through(leaf(key=K1), middle()),
    "a leaf with a point off its curve": lambda: through(leaf(spki=SHORT_SPKI), middle()),
    "a leaf with an unknown key": lambda: through(leaf(spki=sequence(sequence(oid("1.2.3.4")), bits(b"x"))), middle()),
    "an issuer's name that is none": lambda: through(leaf(issuer=sequence(tlv(0x31, tlv(5)))), middle()),
    "a last issuer's name that is none": lambda: through(leaf(), middle(issuer=sequence(tlv(0x31, tlv(5))))),
    "a subject that is none": lambda: through(leaf(subject=sequence(tlv(0x31, tlv(5)))), middle()),
    "another issuer's name": lambda: through(leaf(issuer=name("other")), middle()),
    "names that are none": lambda: through(
        leaf(extensions=(SIGNS, extension("2.5.29.17", b"\x05\x00", critical=True))), middle()
    ),
    "a URI that is not ASCII": lambda: through(with_names(uri("spiffe://example.org/é")), middle()),
    "a URI name with a NUL": lambda: through(with_names(uri(ME + "\x00")), middle()),
}


def test_t18_honest_chains_are_taken() -> None:
    checked = check_x509(through(leaf(), middle()), ROOTS, AT)
    assert str(checked.spiffe_id) == ME
    assert checked.public_key == HONEST.spki
    assert checked.serial == "4d"
    assert checked.expires == Instant(NOW + 3600)
    assert checked.signers == (key_hash(MIDDLE_KEY.spki), key_hash(ROOT_KEY.spki))
    honest = (
        through(leaf(), middle(), root()),
        through(leaf(signer=ROOT_KEY, issuer=name("root"))),
        through(
            leaf(subject=name("coder"), extensions=(SIGNS, names(uri(ME), dns("a.example.org"), critical=False))),
            middle(),
        ),
        through(leaf(key=RSA_256), middle()),
        through(leaf(key=ed25519_key(5)), middle()),
        through(leaf(signer=RSA_256), middle(key=RSA_256)),
        through(leaf(signer=ed25519_key(5)), middle(key=ed25519_key(5))),
        through(leaf(signer=ec_key(30, ec.SECP521R1(), "sha512")), middle(key=ec_key(30, ec.SECP521R1(), "sha512"))),
        through(leaf(), middle_with(basic(ca=True), constraints([uri("example.org")]))),
        through(leaf(), middle_with(basic(ca=True), constraints((), [uri("evil.example"), dns("evil.example")]))),
        through(leaf(), middle_with(basic(ca=True), purposes(CLIENT, SERVER))),
        ladder(7),
    )
    for chain in honest:
        assert str(check_x509(chain, ROOTS, AT).spiffe_id) == ME


@pytest.mark.parametrize("what", HOSTILE_CHAINS)
def test_t18_a_forged_or_overreaching_certificate_is_refused(what: str) -> None:
    refused(lambda: check_x509(HOSTILE_CHAINS[what](), ROOTS, AT), "svid_refused")


def test_t18_no_root_and_no_trust_domain_trust_nobody() -> None:
    chain = through(leaf(), middle())
    for roots in ({}, {"example.org": ()}, {"example.org": (b"x",)}, {"foreign.example": ROOTS["example.org"]}):
        refused(lambda roots=roots: check_x509(chain, roots, AT), "svid_refused")  # type: ignore[misc]


ROOT_FAULTS: Mapping[str, Callable[[], Cert]] = {
    "over": lambda: root(ends=NOW - 1),
    "not begun": lambda: root(begins=NOW + 1),
    "no CA": lambda: root(extensions=(CERTIFIES,)),
    "may not sign certificates": lambda: root(extensions=(basic(ca=True), SIGNS)),
    "for leaves only": lambda: root(extensions=(basic(ca=True, length=0), CERTIFIES)),
    "constrained to another domain": lambda: root(extensions=(*OWN_CA, constraints([uri("other.example")]))),
    "of a foreign trust domain": lambda: root(extensions=(*OWN_CA, names(uri("spiffe://foreign.example")))),
    "with a path": lambda: root(extensions=(*OWN_CA, names(uri(TRUST + "/ca")))),
    "another key": lambda: root(key=EVIL_KEY),
}


def test_t18_a_root_that_an_admin_trusts_may_be_of_an_older_make() -> None:
    roots = {"example.org": (root(extensions=(basic(ca=True),)).der(),)}
    assert str(check_x509(through(leaf(), middle()), roots, AT).spiffe_id) == ME


def test_t18_a_leaf_that_is_its_own_root_proves_nothing() -> None:
    alone = leaf(signer=HONEST, issuer=name("coder"), subject=name("coder"))
    refused(lambda: check_x509(through(alone), {"example.org": (alone.der(),)}, AT), "svid_refused")
    pem = x509.load_der_x509_certificate(alone.der()).public_bytes(Encoding.PEM).decode()
    refused(lambda: check_certificate(through(alone), pem, AT), "certificate_refused")


@pytest.mark.parametrize("what", ROOT_FAULTS)
def test_t18_a_root_that_may_not_sign_does_not_vouch(what: str) -> None:
    roots = {"example.org": (ROOT_FAULTS[what]().der(),)}
    refused(lambda: check_x509(through(leaf(), middle()), roots, AT), "svid_refused")


def test_t17_whatever_a_distrusted_key_signed_is_refused_wherever_it_stands_in_the_path() -> None:
    chain = through(leaf(), middle())
    for key in (MIDDLE_KEY, ROOT_KEY):
        refused(lambda key=key: check_x509(chain, ROOTS, AT, frozenset({key_hash(key.spki)})), "svid_refused")  # type: ignore[misc]
    assert str(check_x509(chain, ROOTS, AT, frozenset({key_hash(EVIL_KEY.spki)})).spiffe_id) == ME


def test_t17_a_distrusted_key_cannot_hide_behind_another_spelling_of_its_point() -> None:
    private = ec.derive_private_key(12 + 1000, ec.SECP256R1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    squeezed = sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), bits(point))
    chain = through(leaf(), middle(spki=squeezed))
    refused(lambda: check_x509(chain, ROOTS, AT, frozenset({key_hash(MIDDLE_KEY.spki)})), "svid_refused")


def test_t18_the_last_second_of_a_certificate_counts_and_the_next_does_not() -> None:
    chain = through(leaf(ends=NOW, begins=NOW), middle())
    assert str(check_x509(chain, ROOTS, AT).spiffe_id) == ME
    for at in (NOW - 0.001, NOW + 0.001):
        refused(lambda at=at: check_x509(chain, ROOTS, Instant(at)), "svid_refused")  # type: ignore[misc]


def test_t18_any_single_byte_changed_in_a_leaf_refuses_it() -> None:
    good, above = leaf().der(), middle().der()
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 0x41
        refused(lambda changed=changed: check_x509([bytes(changed), above], ROOTS, AT), "svid_refused")  # type: ignore[misc]


@pytest.mark.parametrize("bit", [0x01, 0x04, 0x20, 0x80])
def test_t18_any_byte_changed_before_signing_is_refused_or_read_and_never_breaks_the_reader(bit: int) -> None:
    """An authority that signs whatever it is sent: the parser meets every broken body under a signature that holds."""
    above, below = middle().der(), leaf().der()
    request = Csr(HONEST, extensions=(names(dns("a.example.org"), critical=False), SIGNS))
    outcomes = set()
    for body, signer, act in (
        (body_of(below), MIDDLE_KEY, lambda made: check_x509([made, above], ROOTS, AT)),
        (body_of(above), ROOT_KEY, lambda made: check_x509([below, made], ROOTS, AT)),
        (body_of(below), MIDDLE_KEY, lambda made: x509_selectors("corp", [made])),
        (body_of(request.der()), HONEST, read_request),
    ):
        for place in range(len(body)):
            changed = bytearray(body)
            changed[place] ^= bit
            made = sequence(bytes(changed), signer.algorithm, bits(signer.sign(bytes(changed))))
            try:
                act(made)
            except JitError as error:
                outcomes.add(error.code)
            else:
                outcomes.add("taken")
    assert outcomes <= {"svid_refused", "certificate_refused", "request_bad", "taken"}


# -------------------------------------------------------------------------------------------------------------- JWT-SVIDs

JWT_KEY = ec.derive_private_key(5000, ec.SECP256R1())
JWT_384 = ec.derive_private_key(5001, ec.SECP384R1())
FOREIGN_KEY = ec.derive_private_key(5002, ec.SECP256R1())
THIEF = ec.derive_private_key(5003, ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.from_private_bytes(b"e" * 32)
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def public(key: Private) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


KEYS: Mapping[str, Mapping[str, bytes]] = {
    "example.org": {
        "k1": public(JWT_KEY),
        "k384": public(JWT_384),
        "rsa": RSA_SPKI,
        "ed": public(EDWARDS),
        "weak": WEAK_CA.spki,
        "bad": b"x",
    },
    "foreign.example": {"f1": public(FOREIGN_KEY), "k1": public(FOREIGN_KEY)},
}
HEADER: Mapping[str, Any] = {"alg": "ES256", "kid": "k1", "typ": "JWT"}
CLAIMS: Mapping[str, Any] = {"sub": ME, "aud": ["db"], "exp": NOW + 300, "iat": NOW}
GONE = object()
_HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def b64(data: bytes) -> bytes:
    return jws.encode(data)


def raw_sign(key: Private, algorithm: str, signed: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signed)
    digest = _HASHES.get(algorithm[2:], hashes.SHA256())
    if isinstance(key, rsa.RSAPrivateKey):
        if algorithm.startswith("PS"):
            return key.sign(signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return key.sign(signed, padding.PKCS1v15(), digest)
    size = (key.curve.key_size + 7) // 8
    r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**base, **over}.items() if value is not GONE}


def token(
    header: Mapping[str, Any] | bytes = {},
    claims: Mapping[str, Any] | bytes = {},
    key: Private = JWT_KEY,
    base: Mapping[str, Any] = CLAIMS,
) -> str:
    """A token signed by `key` in honest form, with what is given in place of an honest one's; bytes are taken as they are."""
    head = header if isinstance(header, bytes) else json.dumps(merged(HEADER, header)).encode()
    body = claims if isinstance(claims, bytes) else json.dumps(merged(base, claims)).encode()
    signed = b64(head) + b"." + b64(body)
    algorithm = header.get("alg", "ES256") if isinstance(header, Mapping) else "ES256"
    return (signed + b"." + b64(raw_sign(key, str(algorithm), signed))).decode()


def text_of(base: Mapping[str, Any], *, drop: str = "", then: str = "") -> bytes:
    """JSON of the claims with raw text added before the closing brace."""
    made = json.dumps({key: value for key, value in base.items() if key != drop})
    return (made[:-1] + ", " + then + "}").encode()


def parts(change: Callable[[list[str]], list[str]], made: str = "") -> str:
    return ".".join(change((made or token()).split(".")))


HOSTILE_TOKENS: Mapping[str, Callable[[], str]] = {
    "empty": str,
    "dots": lambda: "..",
    "one part": lambda: "abc",
    "two parts": lambda: token().rpartition(".")[0],
    "four parts": lambda: token() + ".AA",
    "five parts": lambda: token() + ".AA.AA",
    "no signature": lambda: token().rpartition(".")[0] + ".",
    "not ASCII": lambda: token() + "é",
    "lone surrogate": lambda: token() + "\ud800",
    "white space before": lambda: " " + token(),
    "newline after": lambda: token() + "\n",
    "padding": lambda: parts(lambda p: [p[0], p[1] + "=", p[2]]),
    "standard alphabet": lambda: parts(lambda p: [p[0], p[1], "+/" + p[2][2:]]),
    "white space inside": lambda: parts(lambda p: [p[0], p[1][:8] + " " + p[1][8:], p[2]]),
    "bits beyond the last byte": lambda: parts(lambda p: [p[0], p[1], p[2][:-1] + chr(ord(p[2][-1]) + 1)]),
    "an impossible length": lambda: parts(lambda p: [p[0], p[1] + "AAA"[: (5 - len(p[1]) % 4) % 4], p[2]]),
    "the flattened JSON form": lambda: json.dumps(
        dict(zip(("protected", "payload", "signature"), token().split("."), strict=True))
    ),
    "signature flipped": lambda: parts(lambda p: [p[0], p[1], ("B" if p[2][0] == "A" else "A") + p[2][1:]]),
    "signature as DER": lambda: parts(
        lambda p: [*p[:2], b64(JWT_KEY.sign(".".join(p[:2]).encode(), ec.ECDSA(hashes.SHA256()))).decode()]
    ),
    "signature of zeros": lambda: parts(lambda p: [p[0], p[1], b64(bytes(64)).decode()]),
    "signature cut": lambda: parts(lambda p: [p[0], p[1], p[2][:40]]),
    "signature of another token": lambda: parts(lambda p: [p[0], p[1], token(claims={"jti": "x"}).split(".")[2]]),
    "payload swapped": lambda: parts(lambda p: [p[0], token(claims={"sub": TRUST + "/admin"}).split(".")[1], p[2]]),
    "the thief's key": lambda: token(key=THIEF),
    "none": lambda: token({"alg": "none"}),
    "none, unsigned": lambda: parts(lambda p: [p[0], p[1], "AA"], token({"alg": "none"})),
    "None": lambda: token({"alg": "None"}),
    "HS256": lambda: token({"alg": "HS256"}),
    "HS512": lambda: token({"alg": "HS512"}),
    "lower case": lambda: token({"alg": "es256"}),
    "EdDSA": lambda: token({"alg": "EdDSA", "kid": "ed"}, key=EDWARDS),
    "Ed25519": lambda: token({"alg": "Ed25519", "kid": "ed"}, key=EDWARDS),
    "ES256K": lambda: token({"alg": "ES256K"}),
    "ES384 under a P-256 key": lambda: token({"alg": "ES384"}),
    "ES256 under a P-384 key": lambda: token({"kid": "k384"}, key=JWT_384),
    "RS256 under a P-256 key": lambda: token({"alg": "RS256"}),
    "ES256 under an RSA key": lambda: token({"kid": "rsa"}),
    "RS1": lambda: token({"alg": "RS1", "kid": "rsa"}, key=RSA),
    "PSS said PKCS 1": lambda: parts(
        lambda p: [b64(json.dumps({"alg": "RS256", "kid": "rsa"}).encode()).decode(), *p[1:]],
        token({"alg": "PS256", "kid": "rsa"}, key=RSA),
    ),
    "a weak RSA key": lambda: token({"alg": "RS256", "kid": "weak"}, key=RSA),
    "a key that is none": lambda: token({"kid": "bad"}),
    "no algorithm": lambda: token({"alg": GONE}),
    "algorithm null": lambda: token({"alg": None}),
    "algorithm a list": lambda: token({"alg": ["ES256"]}),
    "algorithm an object": lambda: token({"alg": {"a": 1}}),
    "no kid": lambda: token({"kid": GONE}),
    "kid empty": lambda: token({"kid": ""}),
    "kid unknown": lambda: token({"kid": "k2"}),
    "kid a number": lambda: token({"kid": 1}),
    "kid a list": lambda: token({"kid": ["k1"]}),
    "kid with a path": lambda: token({"kid": "../../dev/null"}),
    "kid with SQL": lambda: token({"kid": "k1' OR '1'='1"}),
    "kid of 300 characters": lambda: token({"kid": "k" * 300}),
    "kid of a foreign trust domain": lambda: token({"kid": "f1"}, key=FOREIGN_KEY),
    "a foreign key under our kid": lambda: token(key=FOREIGN_KEY),
    "a foreign subject under our key": lambda: token(claims={"sub": "spiffe://foreign.example/x"}),
    "at+jwt": lambda: token({"typ": "at+jwt"}),
    "dpop+jwt": lambda: token({"typ": "dpop+jwt"}),
    "jwt in lower case": lambda: token({"typ": "jwt"}),
    "typ a number": lambda: token({"typ": 0}),
    "typ null": lambda: token({"typ": None}),
    "typ a list": lambda: token({"typ": ["JWT"]}),
    "jwk in the header": lambda: token({"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}),
    "jku in the header": lambda: token({"jku": "https://evil.example/keys"}),
    "x5u in the header": lambda: token({"x5u": "https://evil.example/cert"}),
    "x5c in the header": lambda: token({"x5c": ["AA=="]}),
    "crit in the header": lambda: token({"crit": ["exp"]}),
    "b64 in the header": lambda: token({"b64": False, "crit": ["b64"]}),
    "zip in the header": lambda: token({"zip": "DEF"}),
    "cty in the header": lambda: token({"cty": "JWT"}),
    "another header": lambda: token({"iss": "x"}),
    "header twice": lambda: token(b'{"alg":"none","alg":"ES256","kid":"k1"}'),
    "header twice in another spelling": lambda: token(b'{"alg":"none","\\u0061lg":"ES256","kid":"k1"}'),
    "header a list": lambda: token(b'["ES256"]'),
    "header null": lambda: token(b"null"),
    "header with a byte order mark": lambda: token(b'\xef\xbb\xbf{"alg":"ES256","kid":"k1"}'),
    "header in UTF-16": lambda: token('{"alg":"ES256","kid":"k1"}'.encode("utf-16")),
    "header nested deep": lambda: token(b'{"alg":"ES256","kid":"k1","typ":' + b"[" * 3000 + b"]" * 3000 + b"}"),
    "claims a list": lambda: token(claims=b"[]"),
    "claims a text": lambda: token(claims=b'"sub"'),
    "claims no JSON": lambda: token(claims=b"{sub: 1}"),
    "claims with two values": lambda: token(claims=json.dumps(CLAIMS).encode() * 2),
    "claims not UTF-8": lambda: token(claims=text_of(CLAIMS, then='"x":"').replace(b'"x":"', b'"x":"\xff"')),
    "claims with a NUL": lambda: token(claims=text_of(CLAIMS, then='"x":"\\u0000"')),
    "claims nested deep": lambda: token(claims=text_of(CLAIMS, then='"x":' + "[" * 4000 + "]" * 4000)),
    "sub twice": lambda: token(claims=text_of(CLAIMS, then=f'"sub":"{TRUST}/admin"')),
    "exp twice": lambda: token(claims=text_of(CLAIMS, then='"exp":9999999999')),
    "aud twice": lambda: token(claims=text_of(CLAIMS, then='"aud":"other"')),
    "too large": lambda: token(claims={"x": "x" * 20_000}),
    "no sub": lambda: token(claims={"sub": GONE}),
    "sub empty": lambda: token(claims={"sub": ""}),
    "sub a list": lambda: token(claims={"sub": [ME]}),
    "sub a number": lambda: token(claims={"sub": 1}),
    "sub without a path": lambda: token(claims={"sub": TRUST}),
    "sub no SPIFFE ID": lambda: token(claims={"sub": "coder"}),
    "no aud": lambda: token(claims={"aud": GONE}),
    "aud null": lambda: token(claims={"aud": None}),
    "aud empty": lambda: token(claims={"aud": []}),
    "aud an empty text": lambda: token(claims={"aud": ""}),
    "aud of somebody else": lambda: token(claims={"aud": ["web"]}),
    "aud with the name inside": lambda: token(claims={"aud": "my db server"}),
    "aud a prefix": lambda: token(claims={"aud": "db2"}),
    "aud in upper case": lambda: token(claims={"aud": "DB"}),
    "aud an object": lambda: token(claims={"aud": {"db": 1}}),
    "aud with a number": lambda: token(claims={"aud": ["db", 1]}),
    "aud nested": lambda: token(claims={"aud": [["db"]]}),
    "aud with null": lambda: token(claims={"aud": ["db", None]}),
    "33 audiences": lambda: token(claims={"aud": ["db"] * 33}),
    "no exp": lambda: token(claims={"exp": GONE}),
    "exp null": lambda: token(claims={"exp": None}),
    "exp now": lambda: token(claims={"exp": NOW, "iat": NOW - 9}),
    "exp a second ago": lambda: token(claims={"exp": NOW - 1, "iat": NOW - 9}),
    "exp a text": lambda: token(claims={"exp": str(NOW + 300)}),
    "exp true": lambda: token(claims={"exp": True}),
    "exp a list": lambda: token(claims={"exp": [NOW + 300]}),
    "exp 1e300": lambda: token(claims=text_of(CLAIMS, drop="exp", then='"exp":1e300')),
    "exp 1e400": lambda: token(claims=text_of(CLAIMS, drop="exp", then='"exp":1e400')),
    "exp NaN": lambda: token(claims=text_of(CLAIMS, drop="exp", then='"exp":NaN')),
    "exp Infinity": lambda: token(claims=text_of(CLAIMS, drop="exp", then='"exp":Infinity')),
    "exp of 5000 digits": lambda: token(claims=text_of(CLAIMS, drop="exp", then='"exp":' + "9" * 5000)),
    "exp in milliseconds of a century": lambda: token(claims={"exp": 2**53 + 2}),
    "exp negative": lambda: token(claims={"exp": -1}),
    "iat ahead": lambda: token(claims={"iat": NOW + 61}),
    "iat after exp": lambda: token(claims={"iat": NOW + 50, "exp": NOW + 40}),
    "iat a text": lambda: token(claims={"iat": "now"}),
    "iat NaN": lambda: token(claims=text_of(CLAIMS, drop="iat", then='"iat":NaN')),
    "iat false": lambda: token(claims={"iat": False}),
    "nbf ahead": lambda: token(claims={"nbf": NOW + 61}),
    "nbf a text": lambda: token(claims={"nbf": "0"}),
    "nbf true": lambda: token(claims={"nbf": True}),
    "nbf null": lambda: token(claims={"nbf": None}),
}


def test_t18_honest_jwt_svids_are_taken() -> None:
    checked = check_jwt_svid(token(), KEYS, "db", AT)
    assert (str(checked.spiffe_id), checked.kid, checked.claims["exp"]) == (ME, "k1", NOW + 300)
    honest = (
        token({"typ": GONE}),
        token({"typ": "JOSE"}),
        token(claims={"iat": GONE, "aud": "db"}),
        token(claims={"iat": NOW + 60, "nbf": NOW + 60, "aud": ["web", "db"]}),
        token(claims={"exp": NOW + 0.5}),
        token({"alg": "ES384", "kid": "k384"}, key=JWT_384),
        *(token({"alg": f"{kind}{size}", "kid": "rsa"}, key=RSA) for kind in ("RS", "PS") for size in _HASHES),
        token(claims={"sub": "spiffe://foreign.example/x"}, key=FOREIGN_KEY),
    )
    for one in honest:
        assert check_jwt_svid(one, KEYS, "db", AT).claims


@pytest.mark.parametrize("what", HOSTILE_TOKENS)
def test_t18_a_forged_or_stretched_jwt_svid_is_refused(what: str) -> None:
    refused(lambda: check_jwt_svid(HOSTILE_TOKENS[what](), KEYS, "db", AT), "svid_refused")


def test_t18_no_audience_and_no_keys_accept_nothing() -> None:
    refused(lambda: check_jwt_svid(token(claims={"aud": ["db", ""]}), KEYS, "", AT), "svid_refused")
    refused(lambda: check_jwt_svid(token(), {}, "db", AT), "svid_refused")
    refused(lambda: check_jwt_svid(token(), {"foreign.example": KEYS["example.org"]}, "db", AT), "svid_refused")


def test_t17_what_a_distrusted_jwt_key_signed_is_refused() -> None:
    refused(lambda: check_jwt_svid(token(), KEYS, "db", AT, frozenset({"k1"})), "svid_refused")
    assert check_jwt_svid(token(), KEYS, "db", AT, frozenset({"k2"})).kid == "k1"


# ---------------------------------------------------------------------------------------------------------------- bundles


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


def ec_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    point, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
    curve = {"secp256r1": "P-256", "secp384r1": "P-384"}.get(key.curve.name, key.curve.name)
    return {
        "kty": "EC",
        "crv": curve,
        "x": b64(point.x.to_bytes(size, "big")).decode(),
        "y": b64(point.y.to_bytes(size, "big")).decode(),
    }


def x509_entry(made: Cert | None = None, **over: object) -> dict[str, Any]:
    der = (made or root()).der()
    key = load_der_public_key(made.key.spki if made else ROOT_KEY.spki)
    jwk: dict[str, Any] = {"kty": "RSA"}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": b64(point.x.to_bytes(32, "big")).decode(),
            "y": b64(point.y.to_bytes(32, "big")).decode(),
        }
    elif isinstance(key, rsa.RSAPublicKey):
        jwk = {"kty": "RSA", "n": number(key.public_numbers().n), "e": number(key.public_numbers().e)}
    return merged({**jwk, "use": "x509-svid", "x5c": [base64.b64encode(der).decode()]}, over)


def jwt_entry(**over: object) -> dict[str, Any]:
    return merged({**ec_jwk(JWT_KEY), "use": "jwt-svid", "kid": "k1"}, over)


def document(*keys: object, **over: object) -> str:
    base = {"keys": list(keys), "spiffe_sequence": 7, "spiffe_refresh_hint": 300}
    return json.dumps(merged(base, over))


def rsa_entry(modulus: str, exponent: str = "AQAB") -> dict[str, Any]:
    return {"kty": "RSA", "n": modulus, "e": exponent, "use": "jwt-svid", "kid": "r"}


def x5c_of(der: bytes) -> list[str]:
    return [base64.b64encode(der).decode()]


def loose_base64() -> str:
    """Base64 of a root in a second spelling: readers that are not strict take both as the same bytes."""
    made = next(
        text for size in range(12) if (text := x5c_of(root(subject=name("root" + "x" * size)).der())[0]).endswith("=")
    )
    bare = made.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    loose = bare[:-1] + alphabet[alphabet.index(bare[-1]) + 1] + made[len(bare) :]
    assert base64.b64decode(loose) == base64.b64decode(made)
    return loose


GOOD = document(x509_entry(), jwt_entry())
HOSTILE_BUNDLES: Mapping[str, Callable[[], str | bytes]] = {
    "nothing": str,
    "no JSON": lambda: "keys",
    "a list": lambda: json.dumps([x509_entry()]),
    "null": lambda: "null",
    "an HTML page": lambda: "<html><body>Sign in</body></html>",
    "PEM": lambda: x509.load_der_x509_certificate(root().der()).public_bytes(Encoding.PEM),
    "DER": lambda: root().der(),
    "cut short": lambda: GOOD[:-2],
    "two documents": lambda: GOOD * 2,
    "a byte order mark": lambda: b"\xef\xbb\xbf" + GOOD.encode(),
    "UTF-16": lambda: GOOD.encode("utf-16"),
    "a lone surrogate": lambda: GOOD + "\ud800",
    "over a mebibyte": lambda: document(x509_entry(), pad="x" * 2**20),
    "nested deep": lambda: '{"keys":' + "[" * 100_000 + "]" * 100_000 + "}",
    "no keys member": lambda: document(x509_entry(), keys=GONE),
    "keys null": lambda: document(keys=None),
    "keys an object": lambda: document(keys={"k1": jwt_entry()}),
    "no keys": document,
    "only keys of unknown use": lambda: document(jwt_entry(use="sig"), jwt_entry(use=GONE)),
    "101 keys": lambda: document(*(jwt_entry(kid=f"k{one}", use="other") for one in range(100)), jwt_entry()),
    "a key that is a text": lambda: document(x509_entry(), "k1"),
    "a key that is null": lambda: document(x509_entry(), None),
    "keys twice": lambda: GOOD[:-1] + ',"keys":[]}',
    "a member of a key twice": lambda: GOOD.replace('"kid": "k1"', '"kid": "k1", "kid": "k2"'),
    "a private key": lambda: document(jwt_entry(d="AA")),
    "a private key of unknown use": lambda: document(x509_entry(), jwt_entry(use="other", d="AA")),
    "a private RSA member": lambda: document(x509_entry(), jwt_entry(p="AA")),
    "a symmetric key": lambda: document({"kty": "oct", "k": "AAAA", "use": "jwt-svid", "kid": "k1"}),
    "a JWT key without kid": lambda: document(jwt_entry(kid=GONE)),
    "a JWT key with an empty kid": lambda: document(jwt_entry(kid="")),
    "a kid that is a number": lambda: document(jwt_entry(kid=1)),
    "a kid with a newline": lambda: document(jwt_entry(kid="k1\nk2")),
    "a kid of 300 characters": lambda: document(jwt_entry(kid="k" * 300)),
    "one kid for two keys": lambda: document(jwt_entry(), {**jwt_entry(), **ec_jwk(THIEF)}),
    "one key under two kids": lambda: document(jwt_entry(), jwt_entry(kid="k2")),
    "Ed25519 for JWT-SVIDs": lambda: document(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": b64(EDWARDS.public_key().public_bytes_raw()).decode(),
            "use": "jwt-svid",
            "kid": "e",
        }
    ),
    "an algorithm that JWT-SVID has not": lambda: document(jwt_entry(alg="HS256")),
    "an algorithm that is a list": lambda: document(jwt_entry(alg=["ES256"])),
    "a key without a kind": lambda: document(jwt_entry(kty=GONE)),
    "a kind that is a list": lambda: document(jwt_entry(kty=["EC"])),
    "a curve that is not taken": lambda: document(jwt_entry(crv="secp256k1")),
    "a curve that is a list": lambda: document(jwt_entry(crv=["P-256"])),
    "the curve of another key": lambda: document(jwt_entry(crv="P-384")),
    "a point off the curve": lambda: document(jwt_entry(y=jwt_entry()["x"])),
    "a coordinate of zeros": lambda: document(jwt_entry(x=b64(bytes(32)).decode(), y=b64(bytes(32)).decode())),
    "a short coordinate": lambda: document(jwt_entry(x="AA")),
    "a long coordinate": lambda: document(jwt_entry(x=b64(b"\0" + jws.decode(jwt_entry()["x"].encode())).decode())),
    "a coordinate with padding": lambda: document(jwt_entry(x=jwt_entry()["x"] + "=")),
    "a coordinate that is a number": lambda: document(jwt_entry(x=5)),
    "a weak RSA key": lambda: document(rsa_entry(number(2**1279 - 1))),
    "a huge RSA key": lambda: document(rsa_entry(number(2**9689 - 1))),
    "RSA with exponent 1": lambda: document(rsa_entry(number(RSA.public_key().public_numbers().n), "AQ")),
    "RSA with exponent 3": lambda: document(rsa_entry(number(RSA.public_key().public_numbers().n), "Aw")),
    "an even RSA exponent": lambda: document(rsa_entry(number(2**2203 - 1), "AQAC")),
    "RSA with a leading zero": lambda: document(rsa_entry(b64(b"\0" + (2**2203 - 1).to_bytes(276, "big")).decode())),
    "no certificate": lambda: document(x509_entry(x5c=GONE)),
    "an empty list of certificates": lambda: document(x509_entry(x5c=[])),
    "two certificates": lambda: document(x509_entry(x5c=x5c_of(root().der()) * 2)),
    "a certificate that is a text": lambda: document(x509_entry(x5c=x5c_of(root().der())[0])),
    "a certificate in base64url": lambda: document(x509_entry(x5c=[b64(b"\xff" * 300).decode()])),
    "a certificate with line breaks": lambda: document(x509_entry(x5c=[base64.encodebytes(root().der()).decode()])),
    "a certificate in PEM": lambda: document(x509_entry(x5c=["-----BEGIN CERTIFICATE-----"])),
    "a certificate with bits beyond its last byte": lambda: document(x509_entry(x5c=[loose_base64()])),
    "a certificate of 30 kB": lambda: document(x509_entry(x5c=["A" * 30_000])),
    "a certificate that is none": lambda: document(x509_entry(x5c=x5c_of(b"none"))),
    "a certificate with a byte too many": lambda: document(x509_entry(x5c=x5c_of(root().der() + b"\0"))),
    "a leaf as root": lambda: document(x509_entry(leaf(key=ROOT_KEY, signer=ROOT_KEY))),
    "a root that is no certificate authority": lambda: document(x509_entry(root(extensions=(CERTIFIES,)))),
    "a root that may not sign certificates": lambda: document(x509_entry(root(extensions=(basic(ca=True), SIGNS)))),
    "a root with a path": lambda: document(x509_entry(root(extensions=(*OWN_CA, names(uri(TRUST + "/ca")))))),
    "a root of another trust domain": lambda: document(
        x509_entry(root(extensions=(*OWN_CA, names(uri("spiffe://foreign.example")))))
    ),
    "a root with two URI names": lambda: document(
        x509_entry(root(extensions=(*OWN_CA, names(uri(TRUST), uri(TRUST + "/a")))))
    ),
    "a root with another key than its entry": lambda: document(x509_entry(**ec_jwk(THIEF))),
    "a root without a key in its entry": lambda: document(x509_entry(kty=GONE, x=GONE, y=GONE, crv=GONE)),
    "a weak root": lambda: document(x509_entry(root(key=WEAK_CA, signer=WEAK_CA))),
    "a root with a critical extension that is not understood": lambda: document(
        x509_entry(root(extensions=(*CA, extension("1.2.3.4", tlv(5), critical=True))))
    ),
    "the same root twice": lambda: document(x509_entry(), x509_entry()),
    "a root with its private key": lambda: document(x509_entry(d="AA")),
    "sequence negative": lambda: document(x509_entry(), spiffe_sequence=-1),
    "sequence a text": lambda: document(x509_entry(), spiffe_sequence="8"),
    "sequence true": lambda: document(x509_entry(), spiffe_sequence=True),
    "sequence with a fraction": lambda: document(x509_entry(), spiffe_sequence=8.5),
    "sequence 1e300": lambda: GOOD.replace('"spiffe_sequence": 7', '"spiffe_sequence": 1e300'),
    "sequence beyond 2^53": lambda: document(x509_entry(), spiffe_sequence=2**53 + 1),
    "sequence of 5000 digits": lambda: GOOD.replace('"spiffe_sequence": 7', '"spiffe_sequence": ' + "9" * 5000),
    "sequence null": lambda: document(x509_entry(), spiffe_sequence=None),
    "sequence twice": lambda: GOOD[:-1] + ',"spiffe_sequence":99}',
    "hint negative": lambda: document(x509_entry(), spiffe_refresh_hint=-1),
    "hint a text": lambda: document(x509_entry(), spiffe_refresh_hint="300"),
    "hint NaN": lambda: GOOD.replace('"spiffe_refresh_hint": 300', '"spiffe_refresh_hint": NaN'),
}


def test_t19_an_honest_bundle_is_taken_and_what_is_of_unknown_use_is_left_out() -> None:
    made = read_bundle(document(x509_entry(), jwt_entry(), jwt_entry(use="wit-svid", kid="w"), more=1), "example.org")
    assert made.x509 == (root().der(),)
    assert made.jwt == {"k1": public(JWT_KEY)}
    assert (made.trust_domain, made.sequence, made.refresh_hint) == ("example.org", 7, 300)
    bare = read_bundle(document(x509_entry(), spiffe_sequence=GONE, spiffe_refresh_hint=GONE).encode(), "example.org")
    assert (bare.sequence, bare.refresh_hint, bare.jwt) == (0, 0, {})


@pytest.mark.parametrize("what", HOSTILE_BUNDLES)
def test_t19_a_swapped_or_poisoned_bundle_is_refused(what: str) -> None:
    refused(lambda: read_bundle(HOSTILE_BUNDLES[what](), "example.org"), "bundle_bad")


@pytest.mark.parametrize(
    "name_of_domain", ["", "EXAMPLE.org", "example.org/", "spiffe://example.org", "evil.example", "a\n"]
)
def test_t19_a_bundle_is_only_for_the_trust_domain_that_it_was_asked_for(name_of_domain: str) -> None:
    refused(lambda: read_bundle(GOOD, name_of_domain), "bundle_bad")


# ------------------------------------------------------------------------------------- outside tokens and certificates

ISSUER, AUDIENCE = "https://token.ci.example", "jittrust"
CI_CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "repo:org/repo:ref:refs/heads/main",
    "exp": NOW + 300,
    "iat": NOW,
    "repository": "org/repo",
}


def rsa_jwk() -> dict[str, Any]:
    numbers = RSA.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), "kid": "rsa", "use": "sig", "alg": "RS256"}


JWKS: dict[str, Any] = {
    "keys": [
        {**ec_jwk(JWT_KEY), "kid": "k1", "use": "sig"},
        rsa_jwk(),
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": b64(EDWARDS.public_key().public_bytes_raw()).decode(),
            "kid": "ed",
            "alg": "EdDSA",
        },
        {**ec_jwk(THIEF), "kid": "enc", "use": "enc"},
        {**ec_jwk(THIEF), "kid": "twice"},
        {**ec_jwk(JWT_KEY), "kid": "twice"},
        {**ec_jwk(JWT_KEY), "kid": ""},
        {**ec_jwk(THIEF), "kid": "private", "d": "AA"},
        {**ec_jwk(THIEF), "kid": "signs", "key_ops": ["sign"]},
        {**ec_jwk(THIEF), "kid": "listed", "alg": ["ES256"]},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
    ]
}


def ci(header: Mapping[str, Any] = {}, claims: Mapping[str, Any] | bytes = {}, key: Private = JWT_KEY) -> str:
    return token(header, claims, key, CI_CLAIMS)


HOSTILE_CI_TOKENS: Mapping[str, Callable[[], str]] = {
    "empty": str,
    "the thief's key": lambda: ci(key=THIEF),
    "none": lambda: ci({"alg": "none"}),
    "HS256 with the public key as secret": lambda: ci({"alg": "HS256"}),
    "HS256 with the shared key": lambda: ci({"alg": "HS256", "kid": "oct"}),
    "no kid": lambda: ci({"kid": GONE}),
    "kid unknown": lambda: ci({"kid": "k9"}),
    "kid a list": lambda: ci({"kid": ["k1"]}),
    "kid empty": lambda: ci({"kid": ""}),
    "kid of two keys": lambda: ci({"kid": "twice"}),
    "a key for encryption": lambda: ci({"kid": "enc"}, key=THIEF),
    "a key that was published with its private part": lambda: ci({"kid": "private"}, key=THIEF),
    "a key for signing only": lambda: ci({"kid": "signs"}, key=THIEF),
    "a key with a list of algorithms": lambda: ci({"kid": "listed"}, key=THIEF),
    "RS512 under a key for RS256": lambda: ci({"alg": "RS512", "kid": "rsa"}, key=RSA),
    "PS256 under a key for RS256": lambda: ci({"alg": "PS256", "kid": "rsa"}, key=RSA),
    "ES256 under an RSA kid": lambda: ci({"kid": "rsa"}),
    "jwk in the header": lambda: ci({"jwk": ec_jwk(THIEF)}, key=THIEF),
    "jwk beside an honest signature": lambda: ci({"jwk": ec_jwk(THIEF)}),
    "jku in the header": lambda: ci({"jku": "https://evil.example/"}),
    "x5c in the header": lambda: ci({"x5c": ["AA=="]}),
    "x5u in the header": lambda: ci({"x5u": "https://evil.example/"}),
    "crit in the header": lambda: ci({"crit": ["x"], "x": 1}),
    "dpop+jwt": lambda: ci({"typ": "dpop+jwt"}),
    "logout+jwt": lambda: ci({"typ": "logout+jwt"}),
    "a nested token": lambda: ci({"cty": "JWT"}),
    "iss of another": lambda: ci(claims={"iss": "https://evil.example"}),
    "iss with a slash more": lambda: ci(claims={"iss": ISSUER + "/"}),
    "iss in upper case": lambda: ci(claims={"iss": ISSUER.upper()}),
    "iss a list": lambda: ci(claims={"iss": [ISSUER]}),
    "no iss": lambda: ci(claims={"iss": GONE}),
    "aud of another": lambda: ci(claims={"aud": "https://github.com/org"}),
    "no aud": lambda: ci(claims={"aud": GONE}),
    "nine audiences": lambda: ci(claims={"aud": [AUDIENCE] + ["x"] * 8}),
    "several audiences and another azp": lambda: ci(claims={"aud": [AUDIENCE, "x"], "azp": "x"}),
    "several audiences and an azp that is a list": lambda: ci(claims={"aud": [AUDIENCE, "x"], "azp": [AUDIENCE]}),
    "no sub": lambda: ci(claims={"sub": GONE}),
    "sub a number": lambda: ci(claims={"sub": 7}),
    "sub empty": lambda: ci(claims={"sub": ""}),
    "no exp": lambda: ci(claims={"exp": GONE}),
    "over": lambda: ci(claims={"exp": NOW, "iat": NOW - 5}),
    "no iat": lambda: ci(claims={"iat": GONE}),
    "iat ahead": lambda: ci(claims={"iat": NOW + 61}),
    "nbf ahead": lambda: ci(claims={"nbf": NOW + 61}),
    "more than a day of life": lambda: ci(claims={"exp": NOW + 86_401}),
    "more than a day of life, mostly gone": lambda: ci(claims={"iat": NOW - 86_300, "exp": NOW + 101}),
    "more than a day ahead": lambda: ci(claims={"iat": NOW + 60, "exp": NOW + 86_460}),
    "a year of life": lambda: ci(claims={"exp": NOW + 31_536_000}),
    "exp 1e300": lambda: ci(claims=text_of(CI_CLAIMS, drop="exp", then='"exp":1e300')),
    "exp true": lambda: ci(claims={"exp": True}),
    "sub twice": lambda: ci(claims=text_of(CI_CLAIMS, then='"sub":"repo:evil/evil"')),
    "too large": lambda: ci(claims={"x": "x" * 40_000}),
    "an encrypted token": lambda: "a.b.c.d.e",
}


def test_t18_honest_tokens_of_a_trusted_issuer_are_taken() -> None:
    honest = (
        ci(),
        ci({"x5t": "bm90IGEga2V5", "typ": "JWT"}),
        ci({"alg": "RS256", "kid": "rsa"}, key=RSA),
        ci({"alg": "EdDSA", "kid": "ed"}, key=EDWARDS),
        ci({"alg": "Ed25519", "kid": "ed"}, key=EDWARDS),
        ci(claims={"aud": [AUDIENCE, "x"]}),
        ci(claims={"aud": [AUDIENCE, "x"], "azp": AUDIENCE}),
        ci(claims={"exp": NOW + 86_400}),
    )
    for one in honest:
        assert check_token(one, JWKS, ISSUER, AUDIENCE, AT)["repository"] == "org/repo"


@pytest.mark.parametrize("what", HOSTILE_CI_TOKENS)
def test_t18_a_forged_or_foreign_token_is_no_evidence(what: str) -> None:
    refused(lambda: check_token(HOSTILE_CI_TOKENS[what](), JWKS, ISSUER, AUDIENCE, AT), "token_refused")


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": None},
        {"keys": {}},
        {"keys": []},
        {"keys": ["k1"]},
        {"keys": JWKS["keys"] + [{"kid": f"x{one}"} for one in range(90)]},
    ],
)
def test_t18_a_key_set_that_is_none_vouches_for_nobody(jwks: Mapping[str, Any]) -> None:
    refused(lambda: check_token(ci(), jwks, ISSUER, AUDIENCE, AT), "token_refused")


def test_t18_an_empty_issuer_or_audience_matches_nothing() -> None:
    refused(lambda: check_token(ci(claims={"iss": ""}), JWKS, "", AUDIENCE, AT), "token_refused")
    refused(lambda: check_token(ci(claims={"aud": ""}), JWKS, ISSUER, "", AT), "token_refused")


HOSTILE_ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "no claim": {"sub": "system:serviceaccount:a:b"},
    "a text": {"sub": "system:serviceaccount:a:b", "kubernetes.io": "a/b"},
    "no account": {"sub": "system:serviceaccount:a:b", "kubernetes.io": {"namespace": "a"}},
    "another account": {
        "sub": "system:serviceaccount:a:b",
        "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "admin"}},
    },
    "another namespace": {
        "sub": "system:serviceaccount:a:b",
        "kubernetes.io": {"namespace": "kube-system", "serviceaccount": {"name": "b"}},
    },
    "no subject": {"kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b"}}},
    "a colon in a name": {
        "sub": "system:serviceaccount:a:b:c",
        "kubernetes.io": {"namespace": "a:b", "serviceaccount": {"name": "c"}},
    },
    "an empty name": {
        "sub": "system:serviceaccount:a:",
        "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": ""}},
    },
    "a name that is a list": {
        "sub": "system:serviceaccount:a:b",
        "kubernetes.io": {"namespace": ["a"], "serviceaccount": {"name": "b"}},
    },
}


@pytest.mark.parametrize("what", HOSTILE_ACCOUNTS)
def test_t18_a_service_account_that_contradicts_itself_has_no_selectors(what: str) -> None:
    refused(lambda: kubernetes_selectors("main", HOSTILE_ACCOUNTS[what]), "token_refused")


def test_t18_a_claim_name_never_reads_as_the_value_of_another_claim() -> None:
    forged = oidc_selectors("ci", {"sub:admin": "x", "a.b": "c", "sub": "user"})
    assert "oidc:ci:sub:admin:x" not in forged
    assert set(forged) == {"oidc:ci:sub%3Aadmin:x", "oidc:ci:a%2Eb:c", "oidc:ci:sub:user"}
    assert oidc_selectors("ci", {"a": {"b": "c"}}) == ("oidc:ci:a.b:c",)


def test_t18_claims_that_no_selector_can_hold_give_none() -> None:
    hidden: dict[str, Any] = {
        "a": "x\n",
        "b": "x" * 2000,
        "c": 1.5,
        "d": None,
        "e": "",
        "f": [["x"]],
        "g": [{"x": 1}],
        "h": "\u202ex",
    }
    assert oidc_selectors("ci", hidden) == ()
    refused(lambda: oidc_selectors("ci", {"groups": [f"g{one}" for one in range(1001)]}), "token_refused")


CORPORATE = root(extensions=(basic(ca=True),))
PEM_ROOTS = x509.load_der_x509_certificate(CORPORATE.der()).public_bytes(Encoding.PEM).decode()


def device(**over: object) -> Cert:
    made: dict[str, Any] = {
        "key": HONEST,
        "signer": ROOT_KEY,
        "subject": name("host-1"),
        "issuer": name("root"),
        "extensions": (SIGNS, purposes(CLIENT)),
    }
    made.update(over)
    return Cert(**made)


HOSTILE_DEVICES: Mapping[str, Callable[[], Chain]] = {
    "nothing": list,
    "no DER": lambda: [b"x"],
    "self-signed": lambda: through(device(signer=HONEST, issuer=name("host-1"))),
    "self-signed under the root's name": lambda: through(device(signer=HONEST)),
    "the root itself": lambda: through(CORPORATE),
    "a CA": lambda: through(device(extensions=(basic(ca=True), usage(b"\x84", 2)))),
    "may sign certificates": lambda: through(device(extensions=(usage(b"\x84", 2),))),
    "a CA that may sign": lambda: through(device(extensions=(basic(ca=True), SIGNS))),
    "may not sign": lambda: through(device(extensions=(usage(b"\x20", 5),))),
    "for servers only": lambda: through(device(extensions=(SIGNS, purposes(SERVER)))),
    "over": lambda: through(device(ends=NOW - 1)),
    "not begun": lambda: through(device(begins=NOW + 1)),
    "signed with SHA-1": lambda: through(device(signer=ec_key(11, digest="sha1"))),
    "a weak key": lambda: through(device(key=WEAK_CA)),
    "an unknown critical extension": lambda: through(device(extensions=(extension("1.2.3", tlv(5), critical=True),))),
    "nine certificates": lambda: [device().der()] * 9,
    "signed by another device": lambda: through(
        device(signer=EVIL_KEY, issuer=name("host-2")), device(key=EVIL_KEY, subject=name("host-2"))
    ),
}


def test_t18_an_honest_device_certificate_is_taken() -> None:
    chain = through(device())
    assert check_certificate(chain, PEM_ROOTS, AT) == HONEST.spki
    assert "x509pop:corp:subject:cn:host-1" in x509_selectors("corp", chain)


@pytest.mark.parametrize("what", HOSTILE_DEVICES)
def test_t18_a_forged_device_certificate_is_no_evidence(what: str) -> None:
    refused(lambda: check_certificate(HOSTILE_DEVICES[what](), PEM_ROOTS, AT), "certificate_refused")


@pytest.mark.parametrize(
    "roots", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\ud800", "é"]
)
def test_t18_roots_that_are_none_vouch_for_nobody(roots: str) -> None:
    refused(lambda: check_certificate(through(device()), roots, AT), "certificate_refused")


def test_t18_more_than_a_hundred_roots_are_not_searched() -> None:
    assert check_certificate(through(device()), PEM_ROOTS * 100, AT) == HONEST.spki
    refused(lambda: check_certificate(through(device()), PEM_ROOTS * 101, AT), "certificate_refused")


def test_t18_a_proof_of_possession_holds_for_one_challenge_one_request_and_one_key() -> None:
    key = ec.derive_private_key(1 + 1000, ec.SECP256R1())
    message = statement("c-1", b"request")
    proof = key.sign(message, ec.ECDSA(hashes.SHA256()))
    assert holds(HONEST.spki, message, proof)
    for other in (statement("c-2", b"request"), statement("c-1", b"another"), statement("c-1", b""), b""):
        assert not holds(HONEST.spki, other, proof)
    for spki in (MIDDLE_KEY.spki, b"", b"x", RSA_SPKI, ed25519_key(1).spki, WEAK_CA.spki, SHORT_SPKI):
        assert not holds(spki, message, proof)
    for forged in (b"", b"\x00", proof[:-1], flipped(proof), sequence(integer(0), integer(0)), b"\xff" * 5000):
        assert not holds(HONEST.spki, message, forged)


def test_t18_a_challenge_cannot_be_stretched_into_the_request() -> None:
    made = {
        statement(challenge, request) for challenge in ("", "a", "a\x00", "\x00a") for request in (b"", b"a", b"\x00a")
    }
    assert len(made) == 12


TABLES: tuple[Mapping[str, object], ...] = (
    HOSTILE_IDS,
    HOSTILE_REQUESTS,
    HOSTILE_CHAINS,
    ROOT_FAULTS,
    HOSTILE_TOKENS,
    HOSTILE_BUNDLES,
    HOSTILE_CI_TOKENS,
    HOSTILE_ACCOUNTS,
    HOSTILE_DEVICES,
)


def test_the_tables_hold_at_least_two_hundred_different_attacks() -> None:
    assert sum(len(table) for table in TABLES) >= 200
    assert len(set(HOSTILE_IDS.values())) == len(HOSTILE_IDS)
