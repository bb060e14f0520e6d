"""`ports.certificate_authority`: signs with P-256 keys of a key store."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.identity.authority import BACKDATED_SECONDS, AuthorityKind, AuthorityState, SigningAuthority
from jittrust.core.identity.certificates import UNREADABLE
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.identity.svid import check_x509
from jittrust.core.units import Instant
from jittrust.ports.certificate_authority import SignedX509
from jittrust.ports.key_store import KeyStore

_SERIAL_BYTES = 16
_MOST_CHAIN = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Issuer:
    """What of an authority's chain goes into every leaf."""

    chain: tuple[bytes, ...]
    name: x509.Name
    identifier: x509.AuthorityKeyIdentifier

    @classmethod
    def of(cls, chain: tuple[bytes, ...]) -> _Issuer:
        nearest = x509.load_der_x509_certificate(chain[0])
        return cls(chain, nearest.subject, _authority_key(nearest))


class LocalCertificateAuthority:
    """Signs with P-256 keys of a key store. A root signs its one intermediate when it is made, and its key is destroyed at once.

    Parsed issuers are kept, because reading a certificate costs more than signing one.
    """

    def __init__(self, keys: KeyStore, random: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._random = random
        self._issuers: dict[str, _Issuer] = {}

    def make(
        self,
        kind: AuthorityKind,
        trust_domain: TrustDomain,
        begins: Instant,
        ends: Instant,
        *,
        upstream: bool = False,
    ) -> SigningAuthority:
        name = f"{'x' if kind is AuthorityKind.X509 else 'j'}-{self._random(8).hex()}"
        key = self._keys.make(name)
        made = SigningAuthority(
            id=name,
            kind=kind,
            state=AuthorityState.PREPARED,
            key=name,
            public=_text(_spki(key.public_key())),
            upstream=upstream,
            begins=begins,
            ends=ends,
        )
        if kind is AuthorityKind.JWT:
            return made
        if upstream:
            return replace(made, state=AuthorityState.WAITING, request=_request(key, trust_domain))
        root_name = f"{name}-root"
        root_key = self._keys.make(root_name)
        root = self._ca(f"{name} root", trust_domain, root_key.public_key(), begins, ends, 1, None, root_key)
        intermediate = self._ca(name, trust_domain, key.public_key(), begins, ends, 0, root, root_key)
        self._keys.destroy(root_name)
        return replace(made, roots=(_der(root),), chain=(_der(intermediate),))

    def complete(self, authority: SigningAuthority, chain_pem: str) -> SigningAuthority:
        try:
            chain = x509.load_pem_x509_certificates(chain_pem[:_MOST_CHAIN].encode("utf-8", "replace"))
        except UNREADABLE:
            raise _bad_chain("it holds no certificates in PEM") from None
        if len(chain) < 2:  # noqa: PLR2004 - an intermediate and a root
            raise _bad_chain("the intermediate comes first and the root last")
        intermediate, root = chain[0], chain[-1]
        key = self._keys.key(authority.key)
        trust_domain = _domain_of(authority)
        begins = Instant(max(c.not_valid_before_utc.timestamp() for c in chain))
        ends = Instant(min(authority.ends, *(c.not_valid_after_utc.timestamp() for c in chain)))
        if ends <= max(begins, authority.begins) + BACKDATED_SECONDS:
            raise _bad_chain("its certificates are over, or are never valid together")
        # It must be able to sign what verifiers take: a leaf is made and checked along the whole path, as they will.
        probed = SpiffeId.of(trust_domain, "probe")
        try:
            if _text(_spki(intermediate.public_key())) != authority.public:
                raise _bad_chain("the first certificate is for another key than the request was")
            probe = self._leaf(
                probed, _spki(key.public_key()), Instant(begins + 1), ends, (), _Issuer.of((_raw(intermediate),)), key
            )
            check_x509(
                (_raw(probe), *(_raw(c) for c in chain[:-1])), {trust_domain.name: (_raw(root),)}, Instant(begins + 2)
            )
        except UNREADABLE:
            raise _bad_chain("one of its certificates cannot be read") from None
        except RefusedError as refused:
            raise _bad_chain(f"what it signs would be refused: {refused.message}") from None
        return replace(
            authority,
            state=AuthorityState.PREPARED,
            request="",
            roots=(_der(root),),
            chain=tuple(_der(c) for c in chain[:-1]),
            begins=begins,
            ends=ends,
        )

    def sign_x509(
        self,
        authority: SigningAuthority,
        subject: SpiffeId,
        public_key: bytes,
        begins: Instant,
        ends: Instant,
        dns_names: tuple[str, ...] = (),
    ) -> SignedX509:
        issuer = self._issuers.get(authority.id)
        if issuer is None:
            issuer = self._issuers[authority.id] = _Issuer.of(tuple(map(base64.b64decode, authority.chain)))
        end = Instant(float(int(min(ends, authority.ends))))
        key = self._keys.key(authority.key)
        leaf = self._leaf(subject, public_key, begins, end, dns_names, issuer, key)
        chain = (_raw(leaf), *issuer.chain)
        return SignedX509(chain, f"{leaf.serial_number:x}", end)

    def sign_jwt(
        self,
        authority: SigningAuthority,
        subject: SpiffeId,
        audience: tuple[str, ...],
        begins: Instant,
        ends: Instant,
        jti: str,
    ) -> str:
        header = {"alg": "ES256", "kid": authority.id, "typ": "JWT"}
        end = int(min(ends, authority.ends))
        claims = {"sub": str(subject), "aud": list(audience), "exp": end, "iat": int(begins), "jti": jti}
        signed = f"{_url(_compact(header))}.{_url(_compact(claims))}"
        der = self._keys.key(authority.key).sign(signed.encode("ascii"), ECDSA(SHA256()))
        r, s = decode_dss_signature(der)
        return f"{signed}.{_url(r.to_bytes(32) + s.to_bytes(32))}"

    def destroy(self, authority: SigningAuthority) -> None:
        self._keys.destroy(authority.key)
        self._issuers.pop(authority.id, None)

    def _serial(self) -> int:
        # Positive, and never short of entropy by leading zeros (CA/Browser Forum asks for 64 bits).
        return int.from_bytes(self._random(_SERIAL_BYTES)) >> 1 | 1 << 120

    def _ca(
        self,
        name: str,
        trust_domain: TrustDomain,
        public_key: EllipticCurvePublicKey,
        begins: Instant,
        ends: Instant,
        path_length: int,
        issuer: x509.Certificate | None,
        key: EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "jittrust"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.subject)
            .public_key(public_key)
            .serial_number(self._serial())
            .not_valid_before(_moment(Instant(max(0.0, begins - BACKDATED_SECONDS))))
            .not_valid_after(_moment(ends))
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(trust_domain.uri)]), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )
        if issuer is not None:
            builder = builder.add_extension(_authority_key(issuer), critical=False)
        return builder.sign(key, SHA256())

    def _leaf(
        self,
        subject: SpiffeId,
        public_key: bytes,
        begins: Instant,
        ends: Instant,
        dns_names: tuple[str, ...],
        issuer: _Issuer,
        key: EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        public = load_der_public_key(public_key)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(subject))]
        names += [x509.DNSName(name) for name in dns_names]
        return (
            x509.CertificateBuilder()
            .subject_name(_NOBODY)
            .issuer_name(issuer.name)
            .public_key(public)  # type: ignore[arg-type]  # whoever asks has checked which keys are taken
            .serial_number(self._serial())
            .not_valid_before(_moment(Instant(max(0.0, begins - BACKDATED_SECONDS))))
            .not_valid_after(_moment(ends))
            .add_extension(_LEAF, critical=True)
            .add_extension(_LEAF_USAGE, critical=True)
            .add_extension(_BOTH_ENDS, critical=False)
            # X509-SVID §2: critical, because the subject is empty.
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.SubjectKeyIdentifier(sha256(public_key).digest()[:20]), critical=False)
            .add_extension(issuer.identifier, critical=False)
            .sign(key, SHA256())
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


_NOBODY = x509.Name([])
_LEAF = x509.BasicConstraints(ca=False, path_length=None)
_LEAF_USAGE = _usage(signs_certificates=False)
_BOTH_ENDS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)


def _request(key: EllipticCurvePrivateKey, trust_domain: TrustDomain) -> str:
    """A PKCS#10 request for an intermediate of this trust domain."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"jittrust {trust_domain.name}"[:64])])
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(trust_domain.uri)]), critical=False)
    )
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def _domain_of(authority: SigningAuthority) -> TrustDomain:
    """The trust domain for which an authority asked its upstream."""
    try:
        request = x509.load_pem_x509_csr(authority.request.encode("ascii"))
        if not request.is_signature_valid:
            raise _bad_chain("no request waits")
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except UNREADABLE:
        raise _bad_chain("no request waits") from None
    return SpiffeId.parse(names.get_values_for_type(x509.UniformResourceIdentifier)[0]).trust_domain


def _spki(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]


def _raw(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _der(certificate: x509.Certificate) -> str:
    return _text(_raw(certificate))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _compact(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def _moment(at: Instant) -> datetime:
    return datetime.fromtimestamp(int(at), UTC)


def _bad_chain(why: str) -> BadInputError:
    return BadInputError(
        "upstream_chain_bad",
        f"The upstream authority's answer cannot be used: {why}.",
        "Give the signed intermediate first, then what lies between, the root last, in one PEM file.",
    )
