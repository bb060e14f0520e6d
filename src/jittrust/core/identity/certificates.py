"""X.509 certificates and the one path that is believed: as it was sent, each signed by the next, up to a root that is trusted (RFC 5280 §6).

Nothing is fetched, searched or repaired. What is not understood and marked critical refuses the certificate.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, SignatureAlgorithmOID

from jittrust.core.errors import BadInputError
from jittrust.core.identity.public_keys import PublicKey, check_key, write_key
from jittrust.core.units import Instant

MAX_CERTIFICATE = 16 * 1024
MAX_CHAIN = 8
MAX_ROOTS = 100

UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    InvalidSignature,
    UnsupportedAlgorithm,
    Warning,
    x509.AttributeNotFound,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises at bytes that are no certificate as the RFCs write them."""

ALLOWED_SIGNATURES = frozenset(
    (
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
        SignatureAlgorithmOID.ED25519,
    )
)
ALLOWED_HASHES = frozenset(("sha256", "sha384", "sha512"))
_UNDERSTOOD = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
    )
)
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH.dotted_string
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string

_HOST = re.compile(r"[a-z0-9._-]+\Z")


@dataclass(frozen=True, slots=True)
class ParsedCertificate:
    """A certificate and what its extensions say; nothing is believed yet.

    Attributes:
        der, raw: the bytes, and the library's view of them.
        subject, issuer, serial: as written; the subject may be empty, the serial number is positive.
        key, spki, key_hash: its public key, that as SubjectPublicKeyInfo (DER), and its SHA-256 (hex).
        begins, ends: seconds since 1970, both included.
        ca, path_length: basicConstraints; None = no limit.
        usage, usage_critical: keyUsage, None where there is none.
        purposes: extendedKeyUsage as dotted numbers, None where there is none.
        names, names_critical: subjectAltName.
        constraints: nameConstraints, None where there are none.
    """

    der: bytes
    raw: x509.Certificate
    subject: x509.Name
    issuer: x509.Name
    serial: int
    key: PublicKey
    spki: bytes
    key_hash: str
    begins: float
    ends: float
    ca: bool
    path_length: int | None
    usage: x509.KeyUsage | None
    usage_critical: bool
    purposes: frozenset[str] | None
    names: tuple[x509.GeneralName, ...]
    names_critical: bool
    constraints: x509.NameConstraints | None

    @property
    def uris(self) -> tuple[str, ...]:
        """Its URI names."""
        return tuple(name.value for name in self.names if isinstance(name, x509.UniformResourceIdentifier))


def read_certificate(der: bytes) -> ParsedCertificate:
    """Read one DER certificate.

    Raises:
        BadInputError: code `certificate_bad`: too large, not DER, not version 3, a key that is not taken, an extension twice or malformed, or
            a critical one that is not understood (RFC 5280 §4.2).
    """
    if len(der) > MAX_CERTIFICATE:
        raise bad(f"it has {len(der)} bytes, at most {MAX_CERTIFICATE} are taken")
    try:
        return _parse(der)
    except UNREADABLE as error:
        raise bad(f"it cannot be read ({type(error).__name__})") from None


def _parse(der: bytes) -> ParsedCertificate:
    raw = x509.load_der_x509_certificate(der)
    if raw.version is not x509.Version.v3 or raw.serial_number <= 0:
        raise bad("it is not version 3 with a positive serial number")
    try:
        key = check_key(raw.public_key())
    except BadInputError as error:
        raise bad(error.message) from None
    found = {extension.oid: extension for extension in raw.extensions}
    unknown = [oid.dotted_string for oid, one in found.items() if one.critical and oid not in _UNDERSTOOD]
    if unknown:
        raise bad(f"its critical extension {unknown[0]} is not understood")
    basic, usage, purposes, names, constraints = (
        _value(found.get(oid), kind)
        for oid, kind in (
            (ExtensionOID.BASIC_CONSTRAINTS, x509.BasicConstraints),
            (ExtensionOID.KEY_USAGE, x509.KeyUsage),
            (ExtensionOID.EXTENDED_KEY_USAGE, x509.ExtendedKeyUsage),
            (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, x509.SubjectAlternativeName),
            (ExtensionOID.NAME_CONSTRAINTS, x509.NameConstraints),
        )
    )
    spki = write_key(key)
    return ParsedCertificate(
        der=der,
        raw=raw,
        # The library reads names only when asked, so that a broken one is found out here or nowhere.
        subject=raw.subject,
        issuer=raw.issuer,
        serial=raw.serial_number,
        key=key,
        spki=spki,
        key_hash=hashlib.sha256(spki).hexdigest(),
        begins=raw.not_valid_before_utc.timestamp(),
        ends=raw.not_valid_after_utc.timestamp(),
        ca=isinstance(basic, x509.BasicConstraints) and basic.ca,
        path_length=basic.path_length if isinstance(basic, x509.BasicConstraints) else None,
        usage=usage if isinstance(usage, x509.KeyUsage) else None,
        usage_critical=usage is not None and found[ExtensionOID.KEY_USAGE].critical,
        purposes=frozenset(one.dotted_string for one in purposes)
        if isinstance(purposes, x509.ExtendedKeyUsage)
        else None,
        names=tuple(names) if isinstance(names, x509.SubjectAlternativeName) else (),
        names_critical=names is not None and found[ExtensionOID.SUBJECT_ALTERNATIVE_NAME].critical,
        constraints=constraints if isinstance(constraints, x509.NameConstraints) else None,
    )


def _value(extension: x509.Extension[x509.ExtensionType] | None, kind: type[x509.ExtensionType]) -> object:
    if extension is None:
        return None
    if not isinstance(extension.value, kind):
        raise bad("an extension is not what its number says")
    return extension.value


def read_roots(pem: str) -> tuple[ParsedCertificate, ...]:
    """Root certificates out of PEM, at most 100. Raises BadInputError: code `certificate_bad`."""
    if len(pem) > MAX_ROOTS * MAX_CERTIFICATE:
        raise bad("too many root certificates")
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except UNREADABLE:
        raise bad("the root certificates are no PEM") from None
    if len(found) > MAX_ROOTS:
        raise bad("too many root certificates")
    return tuple(read_certificate(one.public_bytes(Encoding.DER)) for one in found)


def find_path(
    chain: Sequence[ParsedCertificate],
    roots: Iterable[ParsedCertificate],
    now: Instant,
    distrusted: frozenset[str] = frozenset(),
    *,
    usage_needed: bool = True,
) -> tuple[ParsedCertificate, ...]:
    """The whole path, leaf first and root last, if the chain as sent ends in one of the roots (which may be its last certificate or come after it).

    Args:
        chain: leaf first, in order.
        roots: trusted roots. Their own signatures do not matter, their validity, path length and name constraints do.
        now: every certificate must be valid then.
        distrusted: `key_hash` of keys that may not be among the signers.
        usage_needed: intermediates must have a keyUsage; without it they may have none, as RFC 5280 §6.1.4 (n) allows. Roots always may.

    Raises:
        BadInputError: code `certificate_bad`.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise bad(f"a chain has 1 to {MAX_CHAIN} certificates")
    if len({one.der for one in chain}) != len(chain):
        raise bad("a certificate is in the chain twice")
    for below, above in pairwise(chain):
        _check_signature(below, above)
    last, refusal = chain[-1], bad("no root that is trusted signed it")
    for root in list(roots)[:MAX_ROOTS]:
        if root.der != last.der and root.subject != last.issuer:
            continue
        try:
            if root.der == last.der:
                path = tuple(chain)
            else:
                _check_signature(last, root)
                path = (*chain, root)
            _check_signers(path, distrusted, usage_needed=usage_needed)
            _check_validity(path, now)
            _check_constraints(path)
        except BadInputError as error:
            refusal = error
        else:
            return path
    raise refusal


def _check_signature(below: ParsedCertificate, above: ParsedCertificate) -> None:
    try:
        digest = below.raw.signature_hash_algorithm
        if below.raw.signature_algorithm_oid not in ALLOWED_SIGNATURES or (
            digest is not None and digest.name not in ALLOWED_HASHES
        ):
            raise bad("its signature algorithm is not taken")
        below.raw.verify_directly_issued_by(above.raw)
    except UNREADABLE:
        raise bad("its signature is not that of the next certificate") from None


def _check_signers(path: Sequence[ParsedCertificate], distrusted: frozenset[str], *, usage_needed: bool) -> None:
    if len(path) == 1:
        raise bad("a root is no leaf")
    for below, signer in enumerate(path[1:]):
        if not signer.ca:
            raise bad("one of the signers is no certificate authority")
        # A root is trusted because an admin wrote it down, and roots of older authorities have no key usage at all.
        if usage_needed and signer.usage is None and signer is not path[-1]:
            raise bad("one of the signers has no key usage")
        if signer.usage is not None and not signer.usage.key_cert_sign:
            raise bad("one of the signers may not sign certificates")
        if signer.path_length is not None and below > signer.path_length:
            raise bad("the path is longer than one of the signers allows")
        if signer.key_hash in distrusted:
            raise bad("one of the signers is trusted no more")


def _check_validity(path: Sequence[ParsedCertificate], now: Instant) -> None:
    for one in path:
        if not one.begins <= now <= one.ends:
            raise bad("a certificate of the path is not valid now")


def _check_constraints(path: Sequence[ParsedCertificate]) -> None:
    for place, signer in enumerate(path):
        if signer.constraints is None:
            continue
        for below in path[:place]:
            _check_names(below, signer.constraints)


def _check_names(certificate: ParsedCertificate, constraints: x509.NameConstraints) -> None:
    permitted, excluded = constraints.permitted_subtrees or (), constraints.excluded_subtrees or ()
    names = list(certificate.names)
    if certificate.subject.rdns:
        names.append(x509.DirectoryName(certificate.subject))
    for name in names:
        allowed = [one for one in permitted if type(one) is type(name)]
        refused = [one for one in excluded if type(one) is type(name)]
        if any(_within(name, one) for one in refused) or (allowed and not any(_within(name, one) for one in allowed)):
            raise bad("a name constraint of one of the signers excludes it")


def _within(name: x509.GeneralName, constraint: x509.GeneralName) -> bool:
    """RFC 5280 §4.2.1.10 for URIs, DNS and directory names.

    Raises:
        BadInputError: code `certificate_bad`: a name or constraint that is not understood, and so neither permitted nor excluded.
    """
    if isinstance(name, x509.UniformResourceIdentifier) and isinstance(constraint, x509.UniformResourceIdentifier):
        authority = name.value.partition("://")[2].partition("/")[0]
        host, wanted = authority.lower(), constraint.value.lower()
        # A user, a port or a query in the authority could hide the host from a comparison of texts.
        if _HOST.match(host) and _HOST.match(wanted.removeprefix(".")):
            return host.endswith(wanted) if wanted.startswith(".") else host == wanted
    elif isinstance(name, x509.DNSName) and isinstance(constraint, x509.DNSName):
        host, wanted = name.value.lower(), constraint.value.lower()
        if wanted.startswith("."):
            return host.endswith(wanted)
        return not wanted or host == wanted or host.endswith("." + wanted)
    elif isinstance(name, x509.DirectoryName) and isinstance(constraint, x509.DirectoryName):
        base = _comparable(constraint.value)
        return _comparable(name.value)[: len(base)] == base
    raise bad("one of the signers has a name constraint that is not understood")


def _comparable(name: x509.Name) -> list[frozenset[tuple[str, str | bytes]]]:
    """A name as RFC 5280 §7.1 compares it: letter case and runs of white space do not matter."""
    return [
        frozenset(
            (one.oid.dotted_string, " ".join(one.value.casefold().split()) if isinstance(one.value, str) else one.value)
            for one in part
        )
        for part in name.rdns
    ]


def bad(why: str) -> BadInputError:
    """The refusal of a certificate."""
    return BadInputError("certificate_bad", why)
