"""Other people's verifiers take what we issue: OpenSSL, `cryptography`'s path validation, the `spiffe` package."""

from __future__ import annotations

import base64
import secrets
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from spiffe import JwtBundle, JwtSvid, X509Bundle, X509Svid
from spiffe import TrustDomain as TheirTrustDomain
from spiffe.errors import PySpiffeError

from jittrust.adapters.localca.certificate_authority import LocalCertificateAuthority
from jittrust.adapters.memory.key_store import MemoryKeyStore
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.bundle import TrustBundle, read_bundle, write_bundle
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.units import Instant
from jittrust.ports.certificate_authority import SignedX509

DOMAIN = TrustDomain("example.org")
WHO = SpiffeId.of(DOMAIN, "agent", "coder")


class Domain:
    """A trust domain's authorities, and what they signed."""

    def __init__(self) -> None:
        self.ca = LocalCertificateAuthority(MemoryKeyStore(), secrets.token_bytes)
        self.now = Instant(time.time())
        ends = Instant(self.now + 30 * 86_400)
        self.x509 = self.ca.make(AuthorityKind.X509, DOMAIN, self.now, ends)
        self.jwt = self.ca.make(AuthorityKind.JWT, DOMAIN, self.now, ends)
        self.root = base64.b64decode(self.x509.roots[0])
        self.key: EllipticCurvePrivateKey = generate_private_key(SECP256R1())

    def svid(self) -> SignedX509:
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self.ca.sign_x509(self.x509, WHO, public, self.now, Instant(self.now + 3600), ("coder.internal",))

    def token(self, *audience: str) -> str:
        return self.ca.sign_jwt(self.jwt, WHO, audience, self.now, Instant(self.now + 300), "t-1")

    def bundle(self, *, roots: bool = True) -> str:
        keys = {self.jwt.id: base64.b64decode(self.jwt.public)}
        return write_bundle(TrustBundle(DOMAIN.name, (self.root,) if roots else (), keys, 7, 60))


def pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def openssl(folder: Path, root: bytes, chain: tuple[bytes, ...]) -> subprocess.CompletedProcess[str]:
    for name, ders in (("root", (root,)), ("between", chain[1:]), ("leaf", chain[:1])):
        (folder / f"{name}.pem").write_bytes(b"".join(map(pem, ders)))
    words = (
        "verify -x509_strict -check_ss_sig -purpose sslclient -CAfile root.pem -untrusted between.pem leaf.pem".split()
    )
    return subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False)


def test_openssl_validates_our_chain_strictly_and_refuses_it_under_another_root(tmp_path: Path) -> None:
    ours, others = Domain(), Domain()
    told = openssl(tmp_path, ours.root, ours.svid().chain)
    assert told.returncode == 0, told.stderr
    assert openssl(tmp_path, others.root, ours.svid().chain).returncode != 0


def test_cryptographys_verifier_takes_our_chain_and_refuses_it_under_another_root() -> None:
    ours, others = Domain(), Domain()
    leaf, between = (x509.load_der_x509_certificate(der) for der in ours.svid().chain)

    def verified(root: bytes) -> list[str]:
        store = Store([x509.load_der_x509_certificate(root)])
        verifier = PolicyBuilder().store(store).time(datetime.fromtimestamp(ours.now, UTC)).build_client_verifier()
        return [str(one.value) for one in verifier.verify(leaf, [between]).subjects or []]

    assert verified(ours.root) == [str(WHO), "coder.internal"]
    with pytest.raises(VerificationError):
        verified(others.root)


def test_the_spiffe_package_reads_our_x509_svid() -> None:
    ours = Domain()
    private = ours.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    read = X509Svid.parse_raw(b"".join(ours.svid().chain), private)
    assert str(read.spiffe_id) == str(WHO)
    assert len(read.cert_chain) == 2


def test_the_spiffe_package_reads_our_bundle_and_checks_our_jwt_svid_against_it() -> None:
    ours, others = Domain(), Domain()
    # The package reads JWT bundles as the Workload API sends them: without the keys of X.509 authorities, which have no `kid`.
    bundle = JwtBundle.parse(TheirTrustDomain(DOMAIN.name), ours.bundle(roots=False).encode())
    svid = JwtSvid.parse_and_validate(ours.token("them", "us"), bundle, {"them"})
    assert str(svid.spiffe_id) == str(WHO)
    assert svid.audience == {"them", "us"}
    for token, audience in ((others.token("them"), "them"), (ours.token("them"), "somebody else")):
        with pytest.raises(PySpiffeError):
            JwtSvid.parse_and_validate(token, bundle, {audience})
    roots = X509Bundle.parse_raw(TheirTrustDomain(DOMAIN.name), ours.root)
    assert len(roots.x509_authorities) == 1
    assert read_bundle(ours.bundle(), DOMAIN.name).sequence == 7
