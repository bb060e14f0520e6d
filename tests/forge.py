"""A forger's bench: X.509 certificates and PKCS#10 requests written byte by byte, so that what no honest library would write can be sent too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA1, SHA224, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = 1_800_000_000


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    body = b"".join(parts)
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes((tag, 128 | size)) + len(body).to_bytes(size, "big") + body


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray()
    for number in (first * 40 + second, *rest):
        digits = [number & 127]
        while number := number >> 7:
            digits.append(128 | number & 127)
        out += bytes(reversed(digits))
    return tlv(6, bytes(out))


def bits(data: bytes, unused: int = 0) -> bytes:
    return tlv(3, bytes((unused,)), data)


def boolean(*, value: bool) -> bytes:
    return tlv(1, b"\xff" if value else b"\x00")


def name(*common: str) -> bytes:
    """A distinguished name with these common names, UTF-8."""
    return sequence(*(tlv(0x31, sequence(oid("2.5.4.3"), tlv(12, one.encode()))) for one in common))


def uri(text: str | bytes) -> bytes:
    return tlv(0x86, text if isinstance(text, bytes) else text.encode())


def dns(text: str) -> bytes:
    return tlv(0x82, text.encode())


def extension(number: str, value: bytes, *, critical: bool = False) -> bytes:
    return sequence(oid(number), boolean(value=True) if critical else b"", tlv(4, value))


def names(*general: bytes, critical: bool = True) -> bytes:
    """SubjectAltName."""
    return extension("2.5.29.17", sequence(*general), critical=critical)


def usage(octets: bytes, unused: int, *, critical: bool = True) -> bytes:
    return extension("2.5.29.15", bits(octets, unused), critical=critical)


def basic(*, ca: bool, length: int | None = None, critical: bool = True) -> bytes:
    inner = (boolean(value=True) if ca else b"") + (b"" if length is None else integer(length))
    return extension("2.5.29.19", sequence(inner), critical=critical)


def purposes(*numbers: str, critical: bool = False) -> bytes:
    return extension("2.5.29.37", sequence(*(oid(one) for one in numbers)), critical=critical)


def constraints(permitted: Sequence[bytes] = (), excluded: Sequence[bytes] = (), *, critical: bool = True) -> bytes:
    inner = b"".join(
        tlv(tag, *(sequence(one) for one in subtrees))
        for tag, subtrees in ((0xA0, permitted), (0xA1, excluded))
        if subtrees
    )
    return extension("2.5.29.30", sequence(inner), critical=critical)


CLIENT, SERVER, ANY = "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1", "2.5.29.37.0"
SIGNS = usage(b"\x80", 7)
CERTIFIES = usage(b"\x06", 1)


def body_of(signed: bytes) -> bytes:
    """The part of a certificate or request that is signed."""
    start = _header(signed, 0)[0]
    inner, end = _header(signed, start)
    return signed[start : inner + end]


def _header(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` starts, and its length."""
    length = data[at + 1]
    if length < 128:
        return at + 2, length
    size = length & 127
    return at + 2 + size, int.from_bytes(data[at + 2 : at + 2 + size], "big")


@dataclass(frozen=True)
class ForgedKey:
    """A key pair: its SubjectPublicKeyInfo, the algorithm identifier of its signatures, and how it signs."""

    spki: bytes
    algorithm: bytes
    sign: Callable[[bytes], bytes]


_HASHES: dict[str, tuple[HashAlgorithm, str, str]] = {
    "sha1": (SHA1(), "1.2.840.10045.4.1", "1.2.840.113549.1.1.5"),  # noqa: S303 - a forger uses what is broken
    "sha224": (SHA224(), "1.2.840.10045.4.3.1", "1.2.840.113549.1.1.14"),
    "sha256": (SHA256(), "1.2.840.10045.4.3.2", "1.2.840.113549.1.1.11"),
    "sha384": (SHA384(), "1.2.840.10045.4.3.3", "1.2.840.113549.1.1.12"),
    "sha512": (SHA512(), "1.2.840.10045.4.3.4", "1.2.840.113549.1.1.13"),
}


def ec_pair(private: ec.EllipticCurvePrivateKey, digest: str = "sha256") -> ForgedKey:
    algorithm, number, _ = _HASHES[digest]
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ForgedKey(
        spki, sequence(oid(number)), lambda tbs: private.sign(tbs, ec.ECDSA(algorithm, deterministic_signing=True))
    )


def ec_key(seed: int, curve: ec.EllipticCurve | None = None, digest: str = "sha256") -> ForgedKey:
    """The same key for the same seed."""
    return ec_pair(ec.derive_private_key(seed + 1000, curve or ec.SECP256R1()), digest)


def ed25519_key(seed: int) -> ForgedKey:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ForgedKey(spki, sequence(oid("1.3.101.112")), private.sign)


_DIGEST_INFO = {
    "md5": "3020300c06082a864886f70d020505000410",
    "sha1": "3021300906052b0e03021a05000414",
    "sha256": "3031300d060960864801650304020105000420",
}


def mersenne_key(exponent: int, digest: str = "sha256", public: int = 65537) -> ForgedKey:
    """An RSA key whose modulus is the Mersenne prime 2^exponent - 1: of any size at once, and as weak as can be.

    Exponents that give a prime: 1279, 2203, 2281, 3217, 4253, 4423, 9689.
    """
    modulus = 2**exponent - 1
    private = pow(public, -1, modulus - 1)
    size = (exponent + 7) // 8
    number = {"md5": "1.2.840.113549.1.1.4", "sha1": _HASHES["sha1"][2], "sha256": _HASHES["sha256"][2]}[digest]

    def sign(tbs: bytes) -> bytes:
        tail = bytes.fromhex(_DIGEST_INFO[digest]) + hashlib.new(digest, tbs, usedforsecurity=False).digest()
        block = b"\x00\x01" + b"\xff" * (size - len(tail) - 3) + b"\x00" + tail
        made: int = pow(int.from_bytes(block, "big"), private, modulus)
        return made.to_bytes(size, "big")

    numbers = sequence(integer(modulus), integer(public))
    spki = sequence(sequence(oid("1.2.840.113549.1.1.1"), tlv(5)), bits(numbers))
    return ForgedKey(spki, sequence(oid(number), tlv(5)), sign)


def utc(moment: float) -> bytes:
    return tlv(23, datetime.fromtimestamp(moment, UTC).strftime("%y%m%d%H%M%SZ").encode())


@dataclass(frozen=True)
class Cert:
    """What goes into a certificate; every part can be replaced."""

    key: ForgedKey
    signer: ForgedKey
    subject: bytes = field(default_factory=name)
    issuer: bytes = field(default_factory=name)
    extensions: tuple[bytes, ...] = ()
    begins: float = NOW - 60
    ends: float = NOW + 3600
    serial: bytes = field(default_factory=lambda: integer(77))
    version: bytes = field(default_factory=lambda: tlv(0xA0, integer(2)))
    inner: bytes = b""
    outer: bytes = b""
    spki: bytes = b""

    def der(self) -> bytes:
        body = sequence(
            self.version,
            self.serial,
            self.inner or self.signer.algorithm,
            self.issuer,
            sequence(utc(self.begins), utc(self.ends)),
            self.subject,
            self.spki or self.key.spki,
            tlv(0xA3, sequence(*self.extensions)) if self.extensions else b"",
        )
        return sequence(body, self.outer or self.signer.algorithm, bits(self.signer.sign(body)))


@dataclass(frozen=True)
class Csr:
    """What goes into a certificate request."""

    key: ForgedKey
    signer: ForgedKey | None = None
    subject: bytes = field(default_factory=name)
    extensions: tuple[bytes, ...] = ()
    attributes: tuple[bytes, ...] = ()
    version: int = 0
    spki: bytes = b""
    outer: bytes = b""

    def der(self) -> bytes:
        signer = self.signer or self.key
        wished = (attribute("1.2.840.113549.1.9.14", sequence(*self.extensions)),) if self.extensions else ()
        body = sequence(
            integer(self.version), self.subject, self.spki or self.key.spki, tlv(0xA0, *wished, *self.attributes)
        )
        return sequence(body, self.outer or signer.algorithm, bits(signer.sign(body)))


def attribute(number: str, *values: bytes) -> bytes:
    return sequence(oid(number), tlv(0x31, *values))
