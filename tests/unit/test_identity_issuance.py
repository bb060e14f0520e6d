"""Documents are given to whoever was attested, for as long as they may have them, and each is in the ledger first."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key
from tests.model.world import SIGNER, World, world

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.api.workload.face import WorkloadFace
from jittrust.apps.cli.identity_fetch import jwt_name, put_together, socket_path
from jittrust.broker.identity.issuance import AUDIENCES_MOST, JWT_SECONDS, X509_SECONDS
from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.core.identity.attest import EvidenceKind
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import Blueprint, IdentityState, Role
from jittrust.core.identity.svid import key_hash
from jittrust.core.model import SubjectKind
from jittrust.core.units import Seconds
from jittrust.ports.commit import Change, Committed
from jittrust.ports.identities import IdentityChange, NewIdentity
from jittrust.ports.issuance import Evidence, SvidRequest
from jittrust.ports.process_attestor import Process

DOMAIN = "spiffe://jittrust.test"
ADA = f"{DOMAIN}/person/ada"
ME = f"unix:uid:{os.getuid()}"


def myself() -> Process:
    text = Path("/proc/self/stat").read_text(encoding="utf-8")
    return Process(os.getpid(), os.getuid(), os.getgid(), int(text[text.rindex(")") + 2 :].split()[19]))


def request_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


async def staffed(made: World | None = None) -> World:
    made = made or await world()
    new = NewIdentity(SubjectKind.PERSON, "/person/ada", names=("os:ada",), role=Role.ADMIN, by="test")
    await made.broker.driving.identities.enrol(new)
    return made


async def entitle(made: World, path: str, *selectors: str, **more: object) -> RegistrationEntry:
    entry = RegistrationEntry("", DOMAIN + path, SubjectKind.WORKLOAD, tuple(sorted(selectors or (ME,))), ADA)
    return await made.broker.driving.enrolment.put(replace(entry, **more))  # type: ignore[arg-type]


async def ticket(made: World, path: str, **more: object) -> tuple[RegistrationEntry, str]:
    entry = await entitle(made, path, "unix:uid:4294967294", **more)
    return entry, (await made.broker.driving.enrolment.invite(entry.id, Seconds(600.0), "ada")).token


async def stop(made: World, path: str) -> None:
    change = IdentityChange(to=IdentityState.SUSPENDED, why="test", by="ada")
    await made.broker.driving.identities.change(DOMAIN + path, change)


async def test_a_join_token_gives_the_documents_of_its_entry_for_the_key_that_was_proved() -> None:
    made = await staffed()
    _, token = await ticket(made, "/workload/web")
    key = ec.generate_private_key(ec.SECP256R1())
    evidence = Evidence(EvidenceKind.JOIN_TOKEN, token)

    given = await made.broker.inner.issuance.attest(SvidRequest(evidence, request_for(key), ("db",)))

    leaf = x509.load_der_x509_certificate(given.chain[0])
    assert given.spiffe_id == f"{DOMAIN}/workload/web"
    assert leaf.public_key() == key.public_key()
    assert given.key == b""
    assert given.expires == made.clock.now + X509_SECONDS
    assert (await made.broker.driving.bundles.check_jwt(given.jwt, "db")).spiffe_id == given.spiffe_id
    assert await made.broker.driving.bundles.check_x509(given.chain) == given.spiffe_id


async def test_the_ledger_says_what_was_issued_by_which_key() -> None:
    made = await staffed()
    entry, token = await ticket(made, "/workload/web")
    key = ec.generate_private_key(ec.SECP256R1())
    given = await made.broker.inner.issuance.attest(
        SvidRequest(Evidence(EvidenceKind.JOIN_TOKEN, token), request_for(key), ("db",))
    )
    leaf, intermediate = (x509.load_der_x509_certificate(one) for one in given.chain[:2])
    signer = intermediate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    x, j = await made.records("issuance")

    assert x["what"] == "x509"
    assert x["key"] == key_hash(signer)
    assert x["serial"] == f"{leaf.serial_number:x}"
    assert x["public_key"] == hashlib.sha256(public).hexdigest()
    assert x["spiffe_id"] == j["spiffe_id"] == given.spiffe_id
    assert x["by"] == j["by"] == f"join_token/{entry.id}"
    assert j["what"] == "jwt"
    assert j["key"] == j["authority"]
    assert token not in str(await made.records())
    assert given.jwt not in str(await made.records())


async def test_a_bad_request_does_not_spend_the_join_token() -> None:
    made = await staffed()
    _, token = await ticket(made, "/workload/web")
    evidence = Evidence(EvidenceKind.JOIN_TOKEN, token)
    issuance = made.broker.inner.issuance

    with pytest.raises(BadInputError):
        await issuance.attest(SvidRequest(evidence, b"rubbish"))
    with pytest.raises(BadInputError):
        await issuance.attest(SvidRequest(evidence, audience=("",)))

    assert (await issuance.attest(SvidRequest(evidence, audience=("db",)))).jwt


async def test_a_join_token_gives_documents_to_one_of_many_who_show_it() -> None:
    made = await staffed()
    _, token = await ticket(made, "/workload/web")

    async def try_it() -> bool:
        request = request_for(ec.generate_private_key(ec.SECP256R1()))
        try:
            await made.broker.inner.issuance.attest(SvidRequest(Evidence(EvidenceKind.JOIN_TOKEN, token), request))
        except RefusedError:
            return False
        return True

    assert sum(await asyncio.gather(*(try_it() for _ in range(20)))) == 1
    assert len(await made.records("issuance")) == 1


async def test_a_process_gets_every_identity_it_is_entitled_to_with_a_key_of_its_own() -> None:
    made = await staffed()
    await entitle(made, "/workload/a", hint="one")
    await entitle(made, "/workload/b", x509_seconds=600)
    await entitle(made, "/workload/c", "unix:uid:4294967294")

    a, b = await made.broker.inner.issuance.for_process(myself())

    assert (a.spiffe_id, b.spiffe_id) == (f"{DOMAIN}/workload/a", f"{DOMAIN}/workload/b")
    assert a.hint == "one"
    assert b.expires == made.clock.now + 600
    for one in (a, b):
        leaf = x509.load_der_x509_certificate(one.chain[0])
        key = load_der_private_key(one.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert leaf.public_key() == key.public_key()
    assert a.key != b.key


async def test_the_same_process_keeps_its_document_until_half_of_its_life_is_over() -> None:
    made = await staffed()
    await entitle(made, "/workload/web")
    issuance = made.broker.inner.issuance
    first = await issuance.for_process(myself())

    made.clock.now += X509_SECONDS / 2 - 1
    assert await issuance.for_process(myself()) == first
    known = await issuance.changed(-1, 0.0)
    made.clock.now += 2
    assert await issuance.changed(known, 0.0) != known
    assert await issuance.for_process(myself()) != first


async def test_another_process_under_the_same_pid_gets_another_key() -> None:
    made = await staffed()
    await entitle(made, "/workload/web")
    issuance = made.broker.inner.issuance
    unknown = replace(myself(), started=0)

    assert await issuance.for_process(unknown) != await issuance.for_process(unknown)
    assert await issuance.for_process(replace(myself(), started=1)) == ()


async def test_a_changed_entry_gives_a_new_document() -> None:
    made = await staffed()
    entry = await entitle(made, "/workload/web")
    issuance = made.broker.inner.issuance
    first = await issuance.for_process(myself())
    await made.broker.driving.enrolment.put(replace(entry, dns_names=("web.example",)))

    second = await issuance.for_process(myself())

    assert second != first
    names = x509.load_der_x509_certificate(second[0].chain[0]).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["web.example"]


async def test_a_new_signing_authority_gives_new_documents_and_wakes_whoever_waits() -> None:
    made = await staffed()
    await entitle(made, "/workload/web")
    issuance, authorities = made.broker.inner.issuance, made.broker.driving.authorities
    first = await issuance.for_process(myself())
    known = await issuance.changed(-1, 0.0)
    waiting = asyncio.create_task(issuance.changed(known, 20.0))
    await asyncio.sleep(0)
    prepared = await authorities.prepare(AuthorityKind.X509, "ada")
    await authorities.activate(prepared.id, "ada")

    assert await asyncio.wait_for(waiting, 1) != known
    second = await issuance.for_process(myself())
    assert second[0].chain[1] != first[0].chain[1]


async def test_nothing_new_is_told_before_the_time_is_over() -> None:
    made = await staffed()
    known = await made.broker.inner.issuance.changed(-1, 0.0)

    assert await made.broker.inner.issuance.changed(known, 0.05) == known


async def test_a_stopped_identity_gets_nothing_and_the_others_go_on() -> None:
    made = await staffed()
    await entitle(made, "/workload/a")
    await entitle(made, "/workload/b")
    issuance = made.broker.inner.issuance
    await issuance.for_process(myself())
    await stop(made, "/workload/a")

    assert [one.spiffe_id for one in await issuance.for_process(myself())] == [f"{DOMAIN}/workload/b"]
    assert [one.spiffe_id for one in await issuance.jwt(myself(), ("db",), "")] == [f"{DOMAIN}/workload/b"]


async def test_an_entry_that_is_over_entitles_nobody() -> None:
    made = await staffed()
    await entitle(made, "/workload/a", expires=made.clock.now + 60)
    issuance = made.broker.inner.issuance
    assert await issuance.for_process(myself())
    made.clock.now += 61

    assert await issuance.for_process(myself()) == ()


async def test_a_process_runs_no_agent_whose_model_was_pinned_and_not_measured() -> None:
    made = await staffed()
    await made.broker.driving.identities.draw(Blueprint("coder", ADA, model="a" * 64))
    await entitle(made, "/agent/coder", kind=SubjectKind.AGENT, blueprint="coder")

    assert await made.broker.inner.issuance.for_process(myself()) == ()


@pytest.mark.parametrize(
    "audience", [(), ("",), ("a\x00",), ("x" * 513,), tuple(str(n) for n in range(AUDIENCES_MOST + 1))]
)
async def test_an_audience_that_cannot_be_is_refused(audience: tuple[str, ...]) -> None:
    made = await staffed()
    await entitle(made, "/workload/a")

    with pytest.raises(BadInputError) as told:
        await made.broker.inner.issuance.jwt(myself(), audience, "")
    assert told.value.code == "audience_bad"


async def test_a_jwt_svid_lives_for_five_minutes_and_as_long_as_its_entry_says() -> None:
    made = await staffed()
    await entitle(made, "/workload/a")
    await entitle(made, "/workload/b", jwt_seconds=60)

    a, b = await made.broker.inner.issuance.jwt(myself(), ("db",), "")

    assert a.expires == made.clock.now + JWT_SECONDS
    assert b.expires == made.clock.now + 60


class Failing(MemoryCommit):
    """A store that has no room for one more document."""

    full = False

    async def commit(self, change: Change) -> Committed:
        if self.full and any(record["kind"] == "issuance" for record in change.records):
            raise UnavailableError("store_unavailable", "full")
        return await super().commit(change)


async def test_a_document_that_cannot_be_recorded_does_not_leave() -> None:
    store = Failing(signer=SIGNER, origin="jittrust.test/world")
    made = await staffed(await World(store, store).open())
    await entitle(made, "/workload/a")
    _, token = await ticket(made, "/workload/b")
    store.full = True
    issuance = made.broker.inner.issuance

    with pytest.raises(JitError, match="full"):
        await issuance.for_process(myself())
    with pytest.raises(JitError, match="full"):
        await issuance.jwt(myself(), ("db",), "")
    with pytest.raises(JitError, match="full"):
        await issuance.attest(SvidRequest(Evidence(EvidenceKind.JOIN_TOKEN, token), audience=("db",)))
    store.full = False
    assert await issuance.for_process(myself())


async def test_ten_requests_of_one_process_at_once_make_one_document() -> None:
    made = await staffed()
    await entitle(made, "/workload/a")

    found = await asyncio.gather(*(made.broker.inner.issuance.for_process(myself()) for _ in range(10)))

    assert len(set(found)) == 1
    assert len(await made.records("issuance")) == 1


# ---- files and sockets --------------------------------------------------------------------------------------------------------------------


def test_files_of_one_rotation_are_put_in_place_together(tmp_path: Path) -> None:
    folder = tmp_path / "svids"
    for number in range(5):
        put_together(folder, {"svid.pem": b"%d" % number, "svid_key.pem": b"%d" % number})
        assert (folder / "svid.pem").read_bytes() == (folder / "svid_key.pem").read_bytes() == b"%d" % number

    assert len(list(folder.glob(".rotation-*"))) == 2


def test_a_plain_file_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "svid_key.pem").write_bytes(b"old")
    put_together(tmp_path, {"svid_key.pem": b"new"})

    assert (tmp_path / "svid_key.pem").read_bytes() == b"new"
    assert (tmp_path / "svid_key.pem").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_a_file_is_named_in_words(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(BadInputError) as told:
        put_together(tmp_path / "x", {})
    assert told.value.code == "folder_bad"


@pytest.mark.parametrize(
    ("text", "path"), [("unix:///run/a.sock", "/run/a.sock"), ("unix:/run/a.sock", "/run/a.sock"), ("/a b", "/a b")]
)
def test_a_socket_is_named_as_path_or_address(text: str, path: str) -> None:
    assert socket_path(text) == Path(path)


@pytest.mark.parametrize(
    "text", ["", "tcp://127.0.0.1:80", "a.sock", "unix:a.sock", "unix://host/a", "unix:///a?b=1", "http://x/"]
)
def test_what_names_no_socket_is_refused(text: str) -> None:
    with pytest.raises(BadInputError) as told:
        socket_path(text)
    assert told.value.code == "workload_socket_bad"


def test_the_file_of_an_audience_stays_in_its_folder_and_apart_from_every_other() -> None:
    assert jwt_name("db") == "jwt_svid.db.token"
    names = [jwt_name(one) for one in ("../../etc/passwd", "https://a/b", "https:/a/b", "https___a_b", "..", "/")]
    assert len(set(names)) == len(names)
    assert not any("/" in name for name in names)


async def test_a_file_that_is_no_socket_is_not_taken_away(tmp_path: Path) -> None:
    made = await world()
    (tmp_path / "w").write_text("mine", encoding="utf-8")
    face = WorkloadFace(made.broker.inner.issuance, made.broker.driving.bundles)

    with pytest.raises(BadInputError) as told:
        await face.open(tmp_path / "w")
    assert told.value.code == "workload_socket_bad"
    assert (tmp_path / "w").read_text(encoding="utf-8") == "mine"


async def test_a_second_broker_does_not_take_the_socket_of_a_living_one(tmp_path: Path) -> None:
    made = await world()
    first, second = (WorkloadFace(made.broker.inner.issuance, made.broker.driving.bundles) for _ in range(2))
    await first.open(tmp_path / "w")
    try:
        with pytest.raises(BadInputError):
            await second.open(tmp_path / "w")
    finally:
        await first.close()
    await second.open(tmp_path / "w")
    await second.close()
