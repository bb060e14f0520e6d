"""What the certificate authority promises: documents as SPIFFE writes them, and an upstream's answer believed only if it can work."""

from __future__ import annotations

import base64
import secrets
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jittrust.adapters.localca.certificate_authority import LocalCertificateAuthority
from jittrust.adapters.memory.key_store import MemoryKeyStore
from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.grant import jws
from jittrust.core.identity.authority import AuthorityKind, AuthorityState, SigningAuthority
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.identity.svid import check_x509
from jittrust.core.units import Instant

DOMAIN = TrustDomain("example.org")
WHO = SpiffeId.of(DOMAIN, "agent", "coder")
DAY = 86_400.0


def leaf_key() -> bytes:
    key = MemoryKeyStore().make("leaf")
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def made(
    kind: AuthorityKind = AuthorityKind.X509, **more: bool
) -> tuple[LocalCertificateAuthority, SigningAuthority, Instant]:
    ca, now = LocalCertificateAuthority(MemoryKeyStore(), secrets.token_bytes), Instant(float(int(time.time())))
    return ca, ca.make(kind, DOMAIN, now, Instant(now + 30 * DAY), **more), now


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    return certificate.extensions.get_extension_for_class(kind)


def test_a_root_and_its_intermediate_are_what_x509_svid_asks_of_signers() -> None:
    _, authority, now = made()
    root = x509.load_der_x509_certificate(base64.b64decode(authority.roots[0]))
    intermediate = x509.load_der_x509_certificate(base64.b64decode(authority.chain[0]))
    for certificate, length in ((root, 1), (intermediate, 0)):
        basic = extension(certificate, x509.BasicConstraints)
        usage = extension(certificate, x509.KeyUsage)
        names = extension(certificate, x509.SubjectAlternativeName).value
        assert basic.critical
        assert basic.value == x509.BasicConstraints(ca=True, path_length=length)
        assert usage.critical
        assert isinstance(usage.value, x509.KeyUsage)
        assert usage.value.key_cert_sign
        assert usage.value.crl_sign
        assert not usage.value.digital_signature
        assert isinstance(names, x509.SubjectAlternativeName)
        assert [one.value for one in names] == ["spiffe://example.org"]
        assert certificate.not_valid_after_utc.timestamp() == now + 30 * DAY
    root.verify_directly_issued_by(root)
    intermediate.verify_directly_issued_by(root)
    assert authority.state is AuthorityState.PREPARED


def test_a_leaf_is_what_x509_svid_asks_of_it() -> None:
    ca, authority, now = made()
    signed = ca.sign_x509(authority, WHO, leaf_key(), now, Instant(now + 3600), ("coder.internal",))
    leaf = x509.load_der_x509_certificate(signed.chain[0])
    assert len(signed.chain) == 2
    assert not leaf.subject.rdns
    names = extension(leaf, x509.SubjectAlternativeName)
    assert names.critical
    assert isinstance(names.value, x509.SubjectAlternativeName)
    assert [one.value for one in names.value] == [str(WHO), "coder.internal"]
    usage = extension(leaf, x509.KeyUsage)
    assert usage.critical
    assert isinstance(usage.value, x509.KeyUsage)
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    purposes = extension(leaf, x509.ExtendedKeyUsage).value
    assert isinstance(purposes, x509.ExtendedKeyUsage)
    assert {one.dotted_string for one in purposes} == {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}
    assert leaf.not_valid_before_utc.timestamp() == now - 10
    assert leaf.not_valid_after_utc.timestamp() == now + 3600 == signed.expires
    issuer = x509.load_der_x509_certificate(signed.chain[1])
    identifier, above = (
        extension(leaf, x509.AuthorityKeyIdentifier).value,
        extension(issuer, x509.SubjectKeyIdentifier).value,
    )
    assert isinstance(identifier, x509.AuthorityKeyIdentifier)
    assert isinstance(above, x509.SubjectKeyIdentifier)
    assert identifier.key_identifier == above.digest


def test_serial_numbers_are_positive_long_and_never_the_same() -> None:
    ca, authority, now = made()
    public = leaf_key()
    serials = {int(ca.sign_x509(authority, WHO, public, now, Instant(now + 60)).serial, 16) for _ in range(200)}
    assert len(serials) == 200
    assert all(120 <= one.bit_length() <= 128 for one in serials)


def test_nothing_outlives_the_authority_that_signed_it() -> None:
    ca, authority, now = made()
    short = replace(authority, ends=Instant(now + 60))
    assert ca.sign_x509(short, WHO, leaf_key(), now, Instant(now + 3600)).expires == now + 60
    jwt_ca, tokens, _ = made(AuthorityKind.JWT)
    token = jwt_ca.sign_jwt(replace(tokens, ends=Instant(now + 60)), WHO, ("them",), now, Instant(now + 300), "t")
    assert jws.json_object(jws.decode(token.split(".")[1].encode()), "jws_claims")["exp"] == now + 60


def test_a_jwt_svid_says_exactly_what_it_must() -> None:
    ca, tokens, now = made(AuthorityKind.JWT)
    token = ca.sign_jwt(tokens, WHO, ("a", "b"), now, Instant(now + 300), "t-1")
    header, claims = (jws.json_object(jws.decode(part.encode()), "x") for part in token.split(".")[:2])
    assert header == {"alg": "ES256", "kid": tokens.id, "typ": "JWT"}
    assert claims == {"sub": str(WHO), "aud": ["a", "b"], "exp": now + 300, "iat": now, "jti": "t-1"}


def signed_once(ca: LocalCertificateAuthority, authority: SigningAuthority, now: Instant) -> None:
    if authority.kind is AuthorityKind.X509:
        ca.sign_x509(authority, WHO, leaf_key(), now, Instant(now + 60))
    else:
        ca.sign_jwt(authority, WHO, ("a",), now, Instant(now + 60), "t")


def test_a_destroyed_authority_signs_nothing_any_more() -> None:
    for kind in AuthorityKind:
        ca, authority, now = made(kind)
        ca.destroy(authority)
        ca.destroy(authority)
        with pytest.raises(UnavailableError) as refused:
            signed_once(ca, authority, now)
        assert refused.value.code == "key_missing"


# ---- an existing CA signs the intermediate; it is OpenSSL's own ---------------------------------------------------------------------------------


class Upstream:
    """A CA made with the `openssl` command."""

    def __init__(self, folder: Path, *root: str) -> None:
        self.folder = folder
        extensions = root or ("basicConstraints=critical,CA:true", "keyUsage=critical,keyCertSign,cRLSign")
        told = [part for one in extensions for part in ("-addext", one)]
        self("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-subj", "/O=Upstream",
             "-keyout", "root.key", "-out", "root.pem", "-days", "60", *told)  # fmt: skip

    def __call__(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def answer(self, request: str, days: str = "20", lines: str = "") -> str:
        (self.folder / "request.pem").write_text(request)
        (self.folder / "extensions").write_text(
            lines
            or "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
            "subjectAltName=URI:spiffe://example.org\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        self("x509", "-req", "-in", "request.pem", "-CA", "root.pem", "-CAkey", "root.key", "-days", days,
             "-extfile", "extensions", "-out", "signed.pem")  # fmt: skip
        return (self.folder / "signed.pem").read_text() + (self.folder / "root.pem").read_text()


def test_an_existing_ca_can_sign_the_intermediate(tmp_path: Path) -> None:
    ca, waiting, now = made(upstream=True)
    assert waiting.state is AuthorityState.WAITING
    request = x509.load_pem_x509_csr(waiting.request.encode())
    assert request.is_signature_valid
    done = ca.complete(waiting, Upstream(tmp_path).answer(waiting.request))
    assert (done.state, done.request, done.upstream) == (AuthorityState.PREPARED, "", True)
    assert done.ends < waiting.ends, "its end is the upstream's"
    signed = ca.sign_x509(done, WHO, leaf_key(), Instant(now + 11), Instant(now + 3600))
    roots = {DOMAIN.name: [base64.b64decode(one) for one in done.roots]}
    assert check_x509(signed.chain, roots, Instant(now + 12)).spiffe_id == WHO
    (tmp_path / "leaf.pem").write_text(
        x509.load_der_x509_certificate(signed.chain[0]).public_bytes(Encoding.PEM).decode()
    )
    Upstream.__call__(
        _at(tmp_path), "verify", "-x509_strict", "-attime", str(int(now) + 60), "-CAfile", "root.pem",
        "-untrusted", "signed.pem", "leaf.pem",
    )  # fmt: skip


def _at(folder: Path) -> Upstream:
    made_there = Upstream.__new__(Upstream)
    made_there.folder = folder
    return made_there


BAD = {
    "no certificates at all": "nothing",
    "a broken certificate": "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n" * 2,
    "empty": "",
}


@pytest.mark.parametrize("name", BAD)
def test_t17_an_upstream_answer_that_is_no_chain_is_refused(name: str) -> None:
    ca, waiting, _ = made(upstream=True)
    refused_chain(ca, waiting, BAD[name])


def refused_chain(ca: LocalCertificateAuthority, waiting: SigningAuthority, chain: str) -> str:
    with pytest.raises(BadInputError) as refused:
        ca.complete(waiting, chain)
    assert refused.value.code == "upstream_chain_bad"
    return refused.value.message


LINES = {
    "no CA": "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n",
    "may not sign certificates": "basicConstraints=critical,CA:true\nkeyUsage=critical,digitalSignature\n",
    "another trust domain": "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
    "subjectAltName=URI:spiffe://other.org\n",
    "name constraints without us": "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
    "nameConstraints=critical,permitted;URI:other.org\n",
    "only for code signing": "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
    "extendedKeyUsage=codeSigning\n",
}


@pytest.mark.parametrize("name", LINES)
def test_t17_an_upstream_certificate_that_could_not_sign_for_us_is_refused(name: str, tmp_path: Path) -> None:
    ca, waiting, _ = made(upstream=True)
    refused_chain(ca, waiting, Upstream(tmp_path).answer(waiting.request, lines=LINES[name]))


def test_t17_an_upstream_chain_in_the_wrong_order_for_another_key_or_over_is_refused(tmp_path: Path) -> None:
    ca, waiting, _ = made(upstream=True)
    upstream = Upstream(tmp_path)
    good = upstream.answer(waiting.request)
    first, second = (part + "-----END CERTIFICATE-----\n" for part in good.split("-----END CERTIFICATE-----\n")[:2])
    refused_chain(ca, waiting, second + first)
    refused_chain(ca, waiting, first)
    _, other, _ = made(upstream=True)
    assert "another key" in refused_chain(ca, waiting, upstream.answer(other.request))
    late = replace(waiting, begins=Instant(waiting.begins + 25 * DAY))
    assert "over" in refused_chain(ca, late, good)


def test_t17_an_upstream_root_that_allows_no_intermediate_is_refused(tmp_path: Path) -> None:
    ca, waiting, _ = made(upstream=True)
    upstream = Upstream(tmp_path, "basicConstraints=critical,CA:true,pathlen:0", "keyUsage=critical,keyCertSign")
    refused_chain(ca, waiting, upstream.answer(waiting.request))
