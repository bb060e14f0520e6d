"""One suite for every key store: files, memory, and a PKCS#11 token (SoftHSM)."""

from __future__ import annotations

import base64
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from jittrust.adapters.files.key_store import FileKeyStore
from jittrust.adapters.localca.certificate_authority import LocalCertificateAuthority
from jittrust.adapters.memory.key_store import MemoryKeyStore
from jittrust.adapters.pkcs11.key_store import Pkcs11KeyStore, TokenUri
from jittrust.core.errors import BadInputError, ConflictError, JitError, UnavailableError
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.identity.svid import check_jwt_svid, check_x509
from jittrust.core.units import Instant
from jittrust.ports.key_store import KeyStore

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
KINDS = ("files", "memory", "pkcs11")
Open = Callable[[], KeyStore]


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a fresh SoftHSM token: the library reads its configuration once for the whole process."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "objects").mkdir()
    configuration, pin = folder / "softhsm2.conf", folder / "pin"
    configuration.write_text(
        f"directories.tokendir = {folder / 'objects'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    pin.write_text("4711\n")
    pin.chmod(0o600)
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTHSM2_CONF", str(configuration))
    for label in ("a token", "another"):
        made = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "4711", "--so-pin", "0815"]
        subprocess.run(made, check=True, capture_output=True)
    return f"pkcs11:token=a%20token?module-path={MODULE}&pin-source=file:{pin}"


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the store, again after a restart (memory: the same one)."""
    if request.param == "files":
        return lambda: FileKeyStore(tmp_path / "keys")
    if request.param == "pkcs11":
        uri = request.getfixturevalue("token")
        for name in Pkcs11KeyStore(uri).names():
            Pkcs11KeyStore(uri).destroy(name)
        return lambda: Pkcs11KeyStore(uri)
    memory = MemoryKeyStore()
    return lambda: memory


def public(store: KeyStore, name: str) -> bytes:
    return store.key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_key_is_made_once_and_found_again_after_a_restart(opened: Open) -> None:
    store = opened()
    made = store.make("x-1")
    with pytest.raises(ConflictError) as refused:
        store.make("x-1")
    assert refused.value.code == "key_exists"
    again = opened()
    assert list(again.names()) == ["x-1"]
    assert isinstance(again.key("x-1").curve, SECP256R1)
    assert public(again, "x-1") == made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_what_a_key_signs_is_verified_by_its_public_half(opened: Open) -> None:
    opened().make("x-1")
    signature = opened().key("x-1").sign(b"what is signed", ECDSA(SHA256()))
    opened().key("x-1").public_key().verify(signature, b"what is signed", ECDSA(SHA256()))


def test_a_destroyed_key_is_gone_for_good_and_destroying_it_again_is_nothing(opened: Open) -> None:
    store = opened()
    store.make("x-1")
    store.make("x-2")
    store.destroy("x-1")
    store.destroy("x-1")
    for again in (store, opened()):
        assert list(again.names()) == ["x-2"]
        with pytest.raises(UnavailableError) as refused:
            again.key("x-1")
        assert refused.value.code == "key_missing"


def test_the_trust_domains_authorities_work_from_every_store(opened: Open) -> None:
    authority = LocalCertificateAuthority(opened(), lambda size: bytes(range(1, size + 1)))
    domain, now = TrustDomain("jittrust.test"), Instant(1_790_000_000)
    ends = Instant(now + 86_400)
    who = SpiffeId.of(domain, "workload", "w")
    signer = authority.make(AuthorityKind.X509, domain, now, ends)
    assert len(list(opened().names())) == 1, "the root's key is destroyed as soon as it has signed its intermediate"
    leaf = MemoryKeyStore().make("leaf").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed = authority.sign_x509(signer, who, leaf, now, ends)
    roots = {domain.name: [base64.b64decode(one) for one in signer.roots]}
    assert check_x509(signed.chain, roots, now).spiffe_id == who
    authority.destroy(signer)
    tokens = authority.make(AuthorityKind.JWT, domain, now, ends)
    jwt = authority.sign_jwt(tokens, who, ("them",), now, ends, "t-1")
    keys = {domain.name: {tokens.id: base64.b64decode(tokens.public)}}
    assert check_jwt_svid(jwt, keys, "them", now).spiffe_id == who


def test_t17_key_files_are_of_their_owner_only(tmp_path: Path) -> None:
    FileKeyStore(tmp_path / "keys").make("x-1")
    file = tmp_path / "keys" / "x-1.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    load_pem_private_key(file.read_bytes(), None)
    assert [one.name for one in file.parent.iterdir()] == ["x-1.pem"], "no draft is left beside it"


def test_t17_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    FileKeyStore(tmp_path / "keys").make("x-1")
    (tmp_path / "keys" / "x-1.pem").chmod(0o640)
    with pytest.raises(UnavailableError) as refused:
        FileKeyStore(tmp_path / "keys").key("x-1")
    assert refused.value.code == "state_exposed"


def test_t17_a_key_file_is_never_read_or_overwritten_through_a_link(tmp_path: Path) -> None:
    store = FileKeyStore(tmp_path / "keys")
    store.make("x-1")
    elsewhere = tmp_path / "elsewhere.pem"
    (tmp_path / "keys" / "x-1.pem").rename(elsewhere)
    (tmp_path / "keys" / "x-1.pem").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(UnavailableError):
        FileKeyStore(tmp_path / "keys").key("x-1")
    store.destroy("x-1")
    assert elsewhere.read_bytes() == before
    assert list(store.names()) == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "x" * 101, ".x", "x\n", "-x"])
def test_t17_a_key_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError):
        FileKeyStore(tmp_path / "keys").make(name)


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"])
def test_a_broken_key_file_is_an_error_with_a_code(tmp_path: Path, content: bytes) -> None:
    FileKeyStore(tmp_path / "keys").make("x-1")
    (tmp_path / "keys" / "x-1.pem").write_bytes(content)
    with pytest.raises(UnavailableError) as refused:
        FileKeyStore(tmp_path / "keys").key("x-1")
    assert refused.value.code == "key_broken"


def test_t17_a_key_in_a_token_cannot_be_taken_out(token: str) -> None:
    import pkcs11
    from pkcs11 import Attribute, ObjectClass

    store = Pkcs11KeyStore(token)
    store.destroy("x-9")
    key = store.make("x-9")
    with pytest.raises(TypeError):
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(TypeError):
        key.private_numbers()
    session = pkcs11.lib(str(MODULE)).get_token(token_label="a token").open()
    asked = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: "jittrust-x-9"}
    (private,) = session.get_objects(asked)
    assert private[Attribute.SENSITIVE] is True
    assert private[Attribute.EXTRACTABLE] is False
    with pytest.raises(pkcs11.PKCS11Error):
        private[Attribute.VALUE]


def test_t17_a_pin_that_others_may_read_is_refused(token: str, tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.write_text("4711")
    pin.chmod(0o644)
    with pytest.raises(UnavailableError) as refused:
        Pkcs11KeyStore(f"pkcs11:token=a%20token?module-path={MODULE}&pin-source=file:{pin}").names()
    assert refused.value.code == "key_store_unavailable"


def test_a_token_or_pin_that_is_not_there_is_an_error_with_a_code(token: str, tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.write_text("0000")
    pin.chmod(0o600)
    for uri in (
        f"pkcs11:token=another?module-path={MODULE}&pin-source=file:{pin}",
        f"pkcs11:token=none?module-path={MODULE}&pin-source=file:{pin}",
        f"pkcs11:token=a%20token?module-path={MODULE}&pin-source=file:{tmp_path / 'none'}",
    ):
        with pytest.raises(JitError) as refused:
            Pkcs11KeyStore(uri).names()
        assert refused.value.code == "key_store_unavailable"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "pkcs11:",
        "pkcs11:token=t",
        "pkcs11:token=t?module-path=/m",
        "pkcs11:token=t?module-path=m&pin-source=file:/p",
        "pkcs11:token=t;token=u?module-path=/m&pin-source=file:/p",
        "pkcs11:token=t?module-path=/m&pin-value=4711",
        "pkcs11:slot-id=3?module-path=/m&pin-source=file:/p",
        "file:/etc/keys",
    ],
)
def test_a_uri_that_is_not_understood_is_refused(uri: str) -> None:
    with pytest.raises(BadInputError) as refused:
        TokenUri.parse(uri)
    assert refused.value.code == "key_store_bad"
