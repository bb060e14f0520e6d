"""Identity documents, bundles, selectors and the index of entries; whatever is taken or written here is held against other people's readers."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from spiffe import JwtBundle, JwtSvid, X509Bundle, X509Svid
from spiffe import TrustDomain as TheirDomain

from jittrust.core.errors import BadInputError
from jittrust.core.identity.attest import (
    check_certificate,
    check_token,
    holds,
    kubernetes_selectors,
    oidc_selectors,
    statement,
    svid_selectors,
    x509_selectors,
)
from jittrust.core.identity.bundle import TrustBundle, read_bundle, write_bundle
from jittrust.core.identity.entry import RegistrationEntry, Selector
from jittrust.core.identity.manifest import manifest_digest
from jittrust.core.identity.match import EntryIndex
from jittrust.core.identity.public_keys import from_jwk, read_key, to_jwk, write_key
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.svid import check_jwt_svid, check_x509, read_request
from jittrust.core.model import SubjectKind
from jittrust.core.units import Instant

NOW = Instant(int(time.time()))  # other people's readers look at the clock themselves
ME = "spiffe://example.org/agent/coder"
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
RSA = rsa.generate_private_key(65537, 2048)
P256, P384, P521 = (ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()))
EDWARDS = ed25519.Ed25519PrivateKey.generate()
KEYS: Mapping[str, Private] = {"RSA": RSA, "P-256": P256, "P-384": P384, "P-521": P521, "Ed25519": EDWARDS}


def spki(key: Private) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


def named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def certificate(
    key: Private, signer: Private, subject: str, issuer: str, *, ca: bool, uri: str = "", dns: Sequence[str] = ()
) -> x509.Certificate:
    """A certificate as an honest library makes it."""
    usage = x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(0xABC123)
        .not_valid_before(moment(-60))
        .not_valid_after(moment(3600))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not ca:
        both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in dns]
    if uri:
        names.append(x509.UniformResourceIdentifier(uri))
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
    return made.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def der(*made: x509.Certificate) -> list[bytes]:
    return [one.public_bytes(Encoding.DER) for one in made]


def pem(*made: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in made)


ROOT = certificate(P384, P384, "root", "root", ca=True, uri="spiffe://example.org")
BETWEEN = certificate(P256, P384, "between", "root", ca=True, uri="spiffe://example.org")


def chain_for(key: Private) -> tuple[x509.Certificate, x509.Certificate]:
    return certificate(key, P256, "", "between", ca=False, uri=ME), BETWEEN


# ------------------------------------------------------------------------------------------------------------------ X.509


# This verifier follows the list of keys of the web, on which Ed25519 is not.
@pytest.mark.parametrize("kind", sorted(set(KEYS) - {"Ed25519"}))
def test_the_cryptography_verifier_takes_the_chains_that_we_take(kind: str) -> None:
    chain = chain_for(KEYS[kind])
    assert str(check_x509(der(*chain), {"example.org": der(ROOT)}, NOW).spiffe_id) == ME
    leaf_rules = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    verifier = (
        PolicyBuilder()
        .store(Store([ROOT]))
        .time(moment(0))
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=leaf_rules)
        .build_client_verifier()
    )
    assert [one.serial_number for one in verifier.verify(chain[0], [BETWEEN]).chain][-1] == ROOT.serial_number


def openssl_takes(folder: Path, chain: Sequence[x509.Certificate], root: x509.Certificate) -> bool:
    for name, made in (("leaf", chain[:1]), ("between", chain[1:]), ("root", [root])):
        (folder / f"{name}.pem").write_bytes(pem(*made))
    command = ["openssl", "verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "between.pem", "leaf.pem"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("kind", KEYS)
def test_openssl_takes_the_chains_that_we_take(kind: str, tmp_path: Path) -> None:
    chain = chain_for(KEYS[kind])
    assert check_x509(der(*chain), {"example.org": der(ROOT)}, NOW).public_key == spki(KEYS[kind])
    assert openssl_takes(tmp_path, chain, ROOT)


def test_the_spiffe_library_reads_the_same_identity_in_the_same_chain() -> None:
    chain = chain_for(P256)
    key = P256.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    theirs = X509Svid.parse_raw(b"".join(der(*chain)), key)
    assert str(theirs.spiffe_id) == str(check_x509(der(*chain), {"example.org": der(ROOT)}, NOW).spiffe_id)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA"])
def test_a_request_made_by_a_library_gives_its_key(kind: str) -> None:
    key = KEYS[kind]
    assert not isinstance(key, ed25519.Ed25519PrivateKey)
    made = x509.CertificateSigningRequestBuilder().subject_name(named("host")).sign(key, hashes.SHA256())
    assert read_request(made.public_bytes(Encoding.DER)) == spki(key)


# ------------------------------------------------------------------------------------------------------------------- JWTs

ALGORITHMS: Mapping[str, str] = {
    **{f"{kind}{size}": "RSA" for kind in ("RS", "PS") for size in ("256", "384", "512")},
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
}
CLAIMS: Mapping[str, Any] = {"sub": ME, "aud": ["db"], "exp": int(NOW) + 300, "iat": int(NOW)}


def their_key(key: Private) -> joserfc_jwk.RSAKey | joserfc_jwk.ECKey | joserfc_jwk.OKPKey:
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if isinstance(key, rsa.RSAPrivateKey):
        return joserfc_jwk.import_key(text, "RSA")
    return joserfc_jwk.import_key(text, "EC" if isinstance(key, ec.EllipticCurvePrivateKey) else "OKP")


def their_token(algorithm: str, claims: Mapping[str, Any], kid: str) -> str:
    key = KEYS[ALGORITHMS.get(algorithm, "Ed25519")]
    header = {"alg": algorithm, "kid": kid, "typ": "JWT"}
    return joserfc_jwt.encode(header, dict(claims), their_key(key), algorithms=[algorithm])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_jwt_svid_made_by_another_library_is_taken_here_and_by_the_spiffe_library(algorithm: str) -> None:
    key = KEYS[ALGORITHMS[algorithm]]
    token = their_token(algorithm, CLAIMS, "k1")
    assert str(check_jwt_svid(token, {"example.org": {"k1": spki(key)}}, "db", NOW).spiffe_id) == ME
    theirs = JwtBundle(TheirDomain("example.org"), {"k1": key.public_key()})
    assert str(JwtSvid.parse_and_validate(token, theirs, {"db"}).spiffe_id) == ME


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "Ed25519"])
def test_a_token_made_by_another_library_is_evidence_under_the_keys_that_library_publishes(algorithm: str) -> None:
    key = their_key(KEYS[ALGORITHMS.get(algorithm, "Ed25519")])
    jwks = {"keys": [{**key.as_dict(private=False), "kid": "k1", "use": "sig", "alg": algorithm}]}
    claims = {**CLAIMS, "iss": "https://ci.example", "sub": "repo:org/repo"}
    token = their_token(algorithm, claims, "k1")
    assert check_token(token, jwks, "https://ci.example", "db", NOW)["sub"] == "repo:org/repo"


# ---------------------------------------------------------------------------------------------------------------- bundles


@pytest.mark.parametrize("kind", KEYS)
def test_a_public_key_written_as_jwk_reads_back_and_reads_the_same_elsewhere(kind: str) -> None:
    key = read_key(spki(KEYS[kind]))
    assert write_key(from_jwk(to_jwk(key))) == spki(KEYS[kind])
    there = joserfc_jwk.import_key({name: str(value) for name, value in to_jwk(key).items()})
    assert there.thumbprint() == their_key(KEYS[kind]).thumbprint()


def test_a_key_is_taken_in_one_spelling_only() -> None:
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    squeezed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    assert load_der_public_key(squeezed) == P256.public_key()
    for other in (squeezed, spki(P256) + b"\x00", spki(P256)[:-1], b"", b"\x30" * 3000):
        with pytest.raises(BadInputError):
            read_key(other)


def full_bundle() -> TrustBundle:
    other = certificate(RSA, RSA, "old root", "old root", ca=True)
    third = certificate(EDWARDS, EDWARDS, "new root", "new root", ca=True)
    keys = {"j-2": spki(P256), "j-1": spki(RSA), "j-3": spki(P384), "j-4": spki(P521)}
    return TrustBundle("example.org", tuple(der(ROOT, other, third)), keys, 2**53, 300)


def test_a_bundle_reads_back_as_it_was_and_is_written_one_way() -> None:
    bundle = full_bundle()
    text = write_bundle(bundle)
    assert read_bundle(text, "example.org") == bundle
    turned = TrustBundle("example.org", bundle.x509, dict(reversed(list(bundle.jwt.items()))), 2**53, 300)
    assert write_bundle(turned) == text
    document = json.loads(text)
    assert [one["use"] for one in document["keys"]] == ["x509-svid"] * 3 + ["jwt-svid"] * 4
    assert all(("kid" in one) == (one["use"] == "jwt-svid") for one in document["keys"])  # X509-SVID §6.1, JWT-SVID §6
    assert set(document) == {"keys", "spiffe_sequence", "spiffe_refresh_hint"}


def test_the_spiffe_library_reads_our_bundles() -> None:
    bundle, domain = full_bundle(), TheirDomain("example.org")
    keys = JwtBundle.parse(domain, write_bundle(TrustBundle("example.org", (), bundle.jwt)).encode())
    for kid, there in keys.jwt_authorities.items():
        assert there.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == bundle.jwt[kid]
    assert len(keys.jwt_authorities) == 4
    roots = X509Bundle.parse_raw(domain, b"".join(read_bundle(write_bundle(bundle), "example.org").x509))
    assert {one.public_bytes(Encoding.DER) for one in roots.x509_authorities} == set(bundle.x509)
    token = their_token("ES384", CLAIMS, "j-3")
    assert JwtSvid.parse_and_validate(token, keys, {"db"}).token == token


def test_a_bundle_that_could_not_be_read_is_not_written() -> None:
    with pytest.raises(BadInputError):
        write_bundle(TrustBundle("example.org", (b"none",)))
    with pytest.raises(BadInputError):
        write_bundle(TrustBundle("example.org", (), {"k": b"none"}))


def test_keys_of_a_kind_that_only_newer_readers_know_are_left_out() -> None:
    document = json.loads(write_bundle(full_bundle()))
    document["keys"].append({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "use": "jwt-svid", "kid": "pq"})
    document["keys"].append({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "use": "x509-svid", "x5c": ["AA=="]})
    document["keys"].append({"kty": "EC", "use": "wit-svid", "kid": "w"})
    assert read_bundle(json.dumps(document), "example.org") == full_bundle()


# -------------------------------------------------------------------------------------------------------------- selectors


def test_a_ci_job_is_recognised_by_what_lasts_and_not_by_what_passes() -> None:
    claims: dict[str, Any] = {
        "iss": "https://token.actions.githubusercontent.com",
        "aud": "jittrust",
        "exp": 2,
        "iat": 1,
        "nbf": 1,
        "jti": "example-id",
        "sub": "repo:octo-org/octo-repo:environment:prod",
        "repository": "octo-org/octo-repo",
        "run_attempt": "1",
        "repository_id": 74,
        "private": True,
        "ref_protected": "false",
        "groups": ["dev", "ops", 3, None],
        "realm_access": {"roles": ["admin"], "deep": {"er": "x"}},
        "https://example.org/team": "blue",
    }
    found = oidc_selectors("github", claims)
    assert found == tuple(sorted(found))
    assert set(found) == {
        "oidc:github:sub:repo:octo-org/octo-repo:environment:prod",
        "oidc:github:repository:octo-org/octo-repo",
        "oidc:github:run_attempt:1",
        "oidc:github:repository_id:74",
        "oidc:github:private:true",
        "oidc:github:ref_protected:false",
        "oidc:github:groups:dev",
        "oidc:github:groups:ops",
        "oidc:github:groups:3",
        "oidc:github:realm_access.roles:admin",
        "oidc:github:realm_access.deep.er:x",
        "oidc:github:https%3A//example%2Eorg/team:blue",
    }


def test_a_pod_is_recognised_by_its_account_and_by_itself() -> None:
    told = {
        "namespace": "payments",
        "node": {"name": "node-1", "uid": "2f3b"},
        "pod": {"name": "agent-0", "uid": "1e1b-77"},
        "serviceaccount": {"name": "agent", "uid": "9a8b"},
    }
    claims: dict[str, Any] = {"sub": "system:serviceaccount:payments:agent", "kubernetes.io": told}
    assert set(kubernetes_selectors("main", claims)) == {
        "k8s:main:ns:payments",
        "k8s:main:sa:agent",
        "k8s:main:sa-uid:9a8b",
        "k8s:main:pod-name:agent-0",
        "k8s:main:pod-uid:1e1b-77",
        "k8s:main:node-name:node-1",
    }
    bare = {**claims, "kubernetes.io": {"namespace": "payments", "serviceaccount": {"name": "agent"}}}
    assert set(kubernetes_selectors("main", bare)) == {"k8s:main:ns:payments", "k8s:main:sa:agent"}


def test_a_device_is_recognised_by_its_certificate_and_by_who_signed_it() -> None:
    device = certificate(P256, P384, "host-1", "root", ca=False, dns=("host-1.example.org", "h1.example.org"))
    chain = der(device, ROOT)
    assert check_certificate(chain, pem(ROOT).decode(), NOW) == spki(P256)
    assert set(x509_selectors("corp", chain)) == {
        "x509pop:corp:subject:cn:host-1",
        "x509pop:corp:serial:abc123",
        "x509pop:corp:san:dns:host-1.example.org",
        "x509pop:corp:san:dns:h1.example.org",
        f"x509pop:corp:fingerprint:{device.fingerprint(hashes.SHA256()).hex()}",
        f"x509pop:corp:ca:fingerprint:{ROOT.fingerprint(hashes.SHA256()).hex()}",
    }


def test_every_selector_that_is_made_reads_as_a_selector() -> None:
    chain = der(certificate(P256, P384, "host-1", "root", ca=False, dns=("a.example.org",)))
    made = (
        *oidc_selectors("ci", {"sub": "a:b", "x y": "z", "": "empty"}),
        *x509_selectors("corp", chain),
        *svid_selectors(SpiffeId.parse(ME)),
    )
    assert [str(Selector.parse(one)) for one in made] == list(made)
    assert svid_selectors(SpiffeId.parse(ME)) == (f"svid:id:{ME}", "svid:trust-domain:example.org")


def test_what_a_proof_of_possession_signs_stays_the_same_for_clients_in_other_languages() -> None:
    assert statement("c-1", b"").hex() == (
        b"jittrust proof of possession 1\x00c-1\x00".hex()
        + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_each_kind_of_key_can_prove_its_possession() -> None:
    message = statement("c-1", b"request")
    proofs = {
        "P-256": P256.sign(message, ec.ECDSA(hashes.SHA256())),
        "P-384": P384.sign(message, ec.ECDSA(hashes.SHA384())),
        "P-521": P521.sign(message, ec.ECDSA(hashes.SHA512())),
        "RSA": RSA.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
        "Ed25519": EDWARDS.sign(message),
    }
    for kind, proof in proofs.items():
        assert holds(spki(KEYS[kind]), message, proof)
        assert not holds(spki(KEYS[kind]), message + b"x", proof)
    assert not holds(spki(RSA), message, RSA.sign(message, padding.PKCS1v15(), hashes.SHA256()))


# -------------------------------------------------------------------------------------------- entries and the tool manifest


def entry(number: int, *selectors: str, expires: float = 0) -> RegistrationEntry:
    return RegistrationEntry(
        id=f"n-{number}",
        spiffe_id=f"spiffe://example.org/workload/w{number:07}",
        kind=SubjectKind.WORKLOAD,
        selectors=tuple(sorted(selectors)),
        owner="spiffe://example.org/person/ann",
        expires=Instant(expires),
    )


def ids(found: Sequence[RegistrationEntry]) -> list[str]:
    return [one.id for one in found]


def test_an_entry_matches_only_with_all_of_its_selectors() -> None:
    index = EntryIndex()
    for one in (entry(1, "unix:uid:1"), entry(2, "unix:uid:1", "unix:path:/a"), entry(3, "unix:path:/a", "unix:gid:9")):
        index.put(one)
    assert ids(index.matching(["unix:uid:1"], NOW)) == ["n-1"]
    assert ids(index.matching(["unix:path:/a", "unix:uid:1", "unix:user:x"], NOW)) == ["n-1", "n-2"]
    assert ids(index.matching([], NOW)) == []


def test_an_entry_without_selectors_matches_nobody() -> None:
    index = EntryIndex()
    index.put(entry(1))
    assert len(index) == 0
    assert index.matching(["unix:uid:1"], NOW) == ()


def test_an_entry_that_has_ended_matches_no_more() -> None:
    index = EntryIndex()
    index.put(entry(1, "unix:uid:1", expires=100))
    assert ids(index.matching(["unix:uid:1"], Instant(99.9))) == ["n-1"]
    assert ids(index.matching(["unix:uid:1"], Instant(100))) == []


def test_a_changed_entry_is_found_only_where_it_is_now_and_a_dropped_one_nowhere() -> None:
    index = EntryIndex()
    index.put(entry(1, "unix:uid:1"))
    index.put(entry(1, "unix:uid:2"))
    assert ids(index.matching(["unix:uid:1"], NOW)) == []
    assert ids(index.matching(["unix:uid:2"], NOW)) == ["n-1"]
    index.drop(entry(1, "unix:uid:1"))
    index.drop(entry(1))
    assert index.matching(["unix:uid:1", "unix:uid:2"], NOW) == ()
    assert len(index) == 0


def test_the_index_finds_what_looking_at_every_entry_finds() -> None:
    random = Random(20)
    words = [f"unix:uid:{one}" for one in range(6)] + [f"unix:path:/{one}" for one in range(12)]
    index, kept = EntryIndex(), dict[str, RegistrationEntry]()
    for _ in range(4000):
        one = entry(random.randrange(120), *random.sample(words, random.randrange(5)))
        if random.random() < 0.7:
            index.put(one)
            kept[one.id] = one
        else:
            index.drop(one)
            kept.pop(one.id, None)
        given = set(random.sample(words, random.randrange(10)))
        wanted = sorted(
            (other for other in kept.values() if other.selectors and given.issuperset(other.selectors)),
            key=lambda other: other.spiffe_id,
        )
        assert list(index.matching(given, NOW)) == wanted


@pytest.mark.parametrize("number", [100, 10_000, 100_000])
def test_a_look_up_reads_a_handful_of_entries_however_many_there_are(number: int) -> None:
    index = EntryIndex()
    for one in range(number):
        index.put(entry(one, "k8s:main:ns:payments", f"k8s:main:sa:a{one}", f"unix:uid:{one % 10}"))
    given = {"k8s:main:ns:payments", "k8s:main:sa:a7", "unix:uid:7", "unix:user:x"}
    assert ids(index.matching(given, NOW)) == ["n-7"]
    assert sum(len(index._kept.get(selector, ())) for selector in given) <= 4


def test_the_digest_of_a_tool_manifest_changes_with_any_tool_and_not_with_their_order() -> None:
    pins = {"files/read": "a" * 64, "files/write": "b" * 64}
    digest = manifest_digest(pins)
    assert digest == manifest_digest(dict(reversed(pins.items())))
    assert len(digest) == 64
    assert int(digest, 16) >= 0
    others = [
        {},
        {"files/read": "a" * 64},
        {**pins, "files/write": "c" * 64},
        {**pins, "x": "d" * 64},
        {"files/read": "b" * 64, "files/write": "a" * 64},
        {'files/read","' + "a" * 64 + '"],["files/write': "b" * 64},
        {"\ud800": "a"},
    ]
    assert len({digest, *(manifest_digest(other) for other in others)}) == len(others) + 1
