"""The drill: prepare → activate → taint → revoke while workloads take and check documents, over the real store. No honest call fails."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from spiffe import JwtBundle, JwtSvid
from spiffe import TrustDomain as TheirTrustDomain
from spiffe.errors import PySpiffeError
from tests.contract.stores import sqlite_store
from tests.model.world import World

from jittrust.core.errors import RefusedError
from jittrust.core.identity.attest import EvidenceKind
from jittrust.core.identity.authority import AuthorityKind, AuthorityState, SigningAuthority
from jittrust.core.identity.bundle import TrustBundle, read_bundle, write_bundle
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.issued import issued_by
from jittrust.core.identity.svid import key_hash
from jittrust.core.model import SubjectKind
from jittrust.core.units import Seconds
from jittrust.ports.identities import NewIdentity
from jittrust.ports.issuance import Credentials, Evidence, SvidRequest

DOMAIN = "spiffe://jittrust.test"
WORKERS = 4
AUDIENCE = "them"


@dataclass(slots=True)
class Drill:
    """A broker on the SQLite store, with one workload's evidence, and workers that use it all the time."""

    world: World
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    running: bool = True
    entry: str = ""
    request: bytes = b""

    async def prepared(self) -> Drill:
        """Ada, and the workload she is accountable for."""
        driving = self.world.broker.driving
        await driving.identities.enrol(NewIdentity(SubjectKind.PERSON, "/person/ada"))
        nobody = ("unix:uid:4294967294",)
        entry = RegistrationEntry("", f"{DOMAIN}/workload/w", SubjectKind.WORKLOAD, nobody, f"{DOMAIN}/person/ada")
        self.entry = (await driving.enrolment.put(entry)).id
        built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        self.request = built.sign(generate_private_key(SECP256R1()), SHA256()).public_bytes(Encoding.DER)
        return self

    async def documents(self) -> Credentials:
        """Attest and take both documents."""
        ticket = await self.world.broker.driving.enrolment.invite(self.entry, Seconds(600.0), "ada")
        evidence = Evidence(EvidenceKind.JOIN_TOKEN, ticket.token)
        return await self.world.broker.inner.issuance.attest(SvidRequest(evidence, self.request, (AUDIENCE,)))

    async def check(self, told: Credentials) -> None:
        bundles = self.world.broker.driving.bundles
        assert await bundles.check_x509(told.chain) == told.spiffe_id
        assert (await bundles.check_jwt(told.jwt, AUDIENCE)).spiffe_id == told.spiffe_id

    async def worker(self) -> None:
        """An honest workload: it renews whenever told that something changed, and its peers check what it shows."""
        issuance = self.world.broker.inner.issuance
        known, told = 0, await self.documents()
        while self.running:
            number = await issuance.changed(known, 0)
            if number != known:
                known, told = number, await self.documents()
            try:
                await self.check(told)
            except RefusedError as refused:
                self.failures.append(refused.message)
            self.requests += 1
            await asyncio.sleep(0)

    async def some(self, calls: int = 60) -> None:
        """Until so many more calls have been made."""
        until = self.requests + calls
        for _ in range(10_000):
            if self.requests >= until:
                return
            await asyncio.sleep(0.002)
        raise AssertionError("the workers make no calls any more")


async def refused_here(drill: Drill, told: Credentials) -> None:
    bundles = drill.world.broker.driving.bundles
    with pytest.raises(RefusedError) as refused:
        await bundles.check_x509(told.chain)
    assert refused.value.code == "svid_refused"
    with pytest.raises(RefusedError) as refused:
        await bundles.check_jwt(told.jwt, AUDIENCE)
    assert refused.value.code == "svid_refused"


def openssl_takes(folder: Path, bundle: TrustBundle, told: Credentials, at: float) -> bool:
    """Whether OpenSSL finds a path from the leaf to a root of the bundle."""
    for name, ders in (("roots", bundle.x509), ("between", told.chain[1:]), ("leaf", told.chain[:1])):
        pems = (x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)
        (folder / f"{name}.pem").write_bytes(b"".join(pems))
    words = f"verify -x509_strict -attime {int(at)} -CAfile roots.pem -untrusted between.pem leaf.pem".split()
    return subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=False).returncode == 0


def spiffe_knows_key(bundle: TrustBundle, told: Credentials) -> bool:
    """Whether the `spiffe` package finds the token's key in the bundle; its own clock is another than the drill's, so only that is asked."""
    document = write_bundle(TrustBundle(bundle.trust_domain, (), bundle.jwt, bundle.sequence, 0)).encode()
    theirs = JwtBundle.parse(TheirTrustDomain(bundle.trust_domain), document)
    try:
        JwtSvid.parse_and_validate(told.jwt, theirs, {AUDIENCE})
    except PySpiffeError as error:
        return "not found" not in str(error).lower()
    return True


async def published(drill: Drill) -> TrustBundle:
    return read_bundle(await drill.world.broker.driving.bundles.own(), "jittrust.test")


async def rotate(drill: Drill) -> dict[AuthorityKind, SigningAuthority]:
    """Prepare and activate the next authority of each kind, with calls between all steps; gives the old ones."""
    authorities = drill.world.broker.driving.authorities
    old = {a.kind: a for a in await authorities.list() if a.state is AuthorityState.ACTIVE}
    for kind in AuthorityKind:
        prepared = await authorities.prepare(kind, "ada")
        await drill.some()
        await authorities.activate(prepared.id, "ada")
        await drill.some()
    return old


async def test_t17_a_rotation_under_load_fails_no_honest_call_and_leaves_nothing_old_trusted(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state") as store:
        drill = await Drill(await World(store, store).open()).prepared()
        world, authorities = drill.world, drill.world.broker.driving.authorities
        stolen = await drill.documents()
        workers = [asyncio.create_task(drill.worker()) for _ in range(WORKERS)]
        await drill.some()
        sequences = [(await published(drill)).sequence]

        old = await rotate(drill)
        sequences.append((await published(drill)).sequence)
        await drill.check(stolen)
        assert set(old) == set(AuthorityKind)

        for one in old.values():
            await authorities.taint(one.id, "ada")
            await drill.some()
        sequences.append((await published(drill)).sequence)
        world.clock.now += 29
        await drill.check(stolen)
        await drill.some()
        world.clock.now += 2
        await refused_here(drill, stolen)
        await drill.some()

        before = await published(drill)
        assert openssl_takes(tmp_path, before, stolen, world.clock.now)
        assert spiffe_knows_key(before, stolen)
        for one in old.values():
            await authorities.revoke(one.id, "ada")
            await drill.some()
        after = await published(drill)
        sequences.append(after.sequence)
        await refused_here(drill, stolen)
        assert not openssl_takes(tmp_path, after, stolen, world.clock.now)
        assert not spiffe_knows_key(after, stolen)
        fresh = await drill.documents()
        await drill.check(fresh)
        assert openssl_takes(tmp_path, after, fresh, world.clock.now)

        drill.running = False
        await asyncio.gather(*workers)
        assert drill.failures == []
        assert drill.requests >= 500
        assert sequences == sorted(set(sequences)), "each step raised the bundle's sequence"


async def test_the_ledger_answers_what_a_key_has_issued(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state") as store:
        drill = await Drill(await World(store, store).open()).prepared()
        told = [await drill.documents() for _ in range(3)]
        old = {a.kind: a for a in await drill.world.broker.driving.authorities.list()}
        for kind in AuthorityKind:
            made = await drill.world.broker.driving.authorities.prepare(kind, "ada")
            await drill.world.broker.driving.authorities.activate(made.id, "ada")
        later = await drill.documents()
        records = await drill.world.records()

        signer = key_hash(base64.b64decode(old[AuthorityKind.X509].public))
        serials = [f"{x509.load_der_x509_certificate(one.chain[0]).serial_number:x}" for one in told]
        found = list(issued_by(records, signer))
        assert [one["serial"] for one in found] == serials
        assert {(one["what"], one["spiffe_id"]) for one in found} == {("x509", f"{DOMAIN}/workload/w")}
        assert list(issued_by(records, old[AuthorityKind.X509].id)) == found
        assert [one["what"] for one in issued_by(records, old[AuthorityKind.JWT].id)] == ["jwt"] * 3
        assert f"{x509.load_der_x509_certificate(later.chain[0]).serial_number:x}" not in serials
        assert list(issued_by(records, "")) == list(issued_by(records, "0" * 64)) == []
        assert not any(one.jwt in str(records) for one in told), "a record never holds a token"
