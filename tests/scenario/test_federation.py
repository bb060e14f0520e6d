"""Two trust domains with brokers of their own trade bundles over real TLS, and each takes from the other exactly what its admin wrote."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from tests.attesting import Key, base64url, fresh, pem, request_of
from tests.federating import RootAuthority, served, tls_endpoint

from jittrust.apps.bundle_endpoint import spiffe_bundle_endpoint
from jittrust.apps.settings import IdentitySettings, Settings
from jittrust.apps.wiring import Wired, open_broker
from jittrust.core.errors import JitError, NotFoundError
from jittrust.core.identity.attest import EvidenceKind, statement
from jittrust.core.identity.authority import AuthorityKind, AuthorityState
from jittrust.core.identity.bundle import read_bundle
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain
from jittrust.core.identity.identity import IdentityState
from jittrust.core.model import SubjectKind
from jittrust.core.units import Seconds
from jittrust.ports.identities import NewIdentity
from jittrust.ports.issuance import Credentials, Evidence, SvidRequest

ONE, TWO = "one.test", "two.test"
WEB, SPIFFE = EndpointProfile.HTTPS_WEB, EndpointProfile.HTTPS_SPIFFE
X509 = AuthorityKind.X509


@dataclass
class Party:
    """One trust domain: its broker and the address of its bundle endpoint."""

    wired: Wired
    url: str

    @property
    def name(self) -> str:
        return self.wired.trust_domain.name

    async def entry(self, path: str, *selectors: str) -> RegistrationEntry:
        new = RegistrationEntry(
            "",
            f"spiffe://{self.name}{path}",
            SubjectKind.WORKLOAD,
            selectors,
            f"spiffe://{self.name}/person/ada",
            by="ada",
        )
        return await self.wired.driving.enrolment.put(new)

    async def document(self, path: str, key: Key) -> Credentials:
        """One of its own workloads comes in."""
        made = await self.entry(path, "unix:uid:4294967294")
        ticket = await self.wired.driving.enrolment.invite(made.id, Seconds(600.0), "ada")
        evidence = Evidence(EvidenceKind.JOIN_TOKEN, ticket.token)
        return await self.wired.inner.issuance.attest(SvidRequest(evidence, request_of(key)))

    async def shown(self, foreign: Credentials, key: Key) -> Credentials:
        """Somebody shows a foreign document here and asks for one of ours."""
        issuance = self.wired.inner.issuance
        request, challenge = request_of(fresh()), await issuance.challenge()
        signature = base64url(key.sign(statement(challenge, request), ec.ECDSA(SHA256())))
        evidence = Evidence(EvidenceKind.SVID, pem(foreign.chain), challenge, signature)
        return await issuance.attest(SvidRequest(evidence, request))

    async def trust(self, other: Party, *patterns: str) -> FederatedDomain:
        """Trust the other by https_spiffe, its first bundle carried by hand."""
        wanted = FederatedDomain(
            other.name,
            f"{other.url}/.well-known/spiffe-bundle",
            SPIFFE,
            endpoint_id=f"spiffe://{other.name}/jittrust/bundle-endpoint",
            accepts=patterns,
            bundle=await other.wired.driving.bundles.own(),
        )
        return await self.wired.driving.federation.federate(wanted, "ada")

    async def state_of(self, path: str) -> IdentityState:
        return (await self.wired.driving.identities.show(f"spiffe://{self.name}{path}")).identity.state


@contextlib.asynccontextmanager
async def party(folder: Path, name: str) -> AsyncIterator[Party]:
    settings = Settings(state_dir=folder, identity=IdentitySettings(trust_domain=name))
    async with open_broker(folder, settings) as wired, spiffe_bundle_endpoint(wired, "127.0.0.1:0") as url:
        await wired.driving.identities.enrol(NewIdentity(SubjectKind.PERSON, "/person/ada"))
        yield Party(wired, url)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A state folder for each."""
    found = tmp_path / "1", tmp_path / "2"
    for folder in found:
        folder.mkdir(mode=0o700)
    return found


@pytest.fixture
async def both(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Party, Party]]:
    """Two brokers with their endpoints, which look for a newer document all the time."""
    monkeypatch.setattr("jittrust.apps.bundle_endpoint._LOOK_SECONDS", 0.05)
    async with party(folders[0], ONE) as one, party(folders[1], TWO) as two:
        yield one, two


async def test_two_domains_trade_bundles_and_each_takes_exactly_whom_it_named(both: tuple[Party, Party]) -> None:
    one, two = both
    await one.trust(two)
    await two.trust(one, f"spiffe://{ONE}/ci/*")
    for here, there in ((one, two), (two, one)):
        asked = await here.wired.driving.federation.refresh(there.name)
        assert asked.failure == ""
        assert asked.bundle == await there.wired.driving.bundles.own()
    await two.entry("/guest/ci", f"svid:trust-domain:{ONE}")
    key = fresh()
    build, other = await one.document("/ci/build", key), await one.document("/ci2/build", key)
    assert (await two.shown(build, key)).spiffe_id == f"spiffe://{TWO}/guest/ci"
    with pytest.raises(JitError) as refused:
        await two.shown(other, key)
    assert refused.value.code == "attestation_failed"
    with pytest.raises(JitError):
        await two.shown(build, fresh())
    # The other way nobody is named: the bundle is known, and no identity is taken.
    theirs = await two.document("/ci/build", key)
    await one.entry("/guest/ci", f"svid:trust-domain:{TWO}")
    with pytest.raises(JitError):
        await one.shown(theirs, key)


async def test_a_rotation_of_one_is_followed_by_the_other(both: tuple[Party, Party]) -> None:
    one, two = both
    await two.trust(one, f"spiffe://{ONE}/*")
    await two.entry("/guest/ci", f"svid:trust-domain:{ONE}")
    key = fresh()
    old = await one.document("/ci/build", key)
    authorities, federation = one.wired.driving.authorities, two.wired.driving.federation
    [first] = [each for each in await authorities.list() if each.kind is X509 and each.state is AuthorityState.ACTIVE]
    second = await authorities.prepare(X509, "ada")
    numbers = [(await federation.refresh(ONE)).sequence]
    await authorities.activate(second.id, "ada")
    await asyncio.sleep(0.3)
    new = await one.document("/ci/new", key)
    for shown in (old, new):
        assert (await two.shown(shown, key)).spiffe_id == f"spiffe://{TWO}/guest/ci"
    await authorities.taint(first.id, "ada")
    numbers.append((await federation.refresh(ONE)).sequence)
    await authorities.revoke(first.id, "ada")
    numbers.append((await federation.refresh(ONE)).sequence)
    assert numbers == sorted(set(numbers))
    with pytest.raises(JitError) as refused:
        await two.shown(old, key)
    assert refused.value.code == "attestation_failed"
    assert (await two.shown(new, key)).spiffe_id == f"spiffe://{TWO}/guest/ci"


async def test_an_end_refuses_at_once_and_stops_whoever_came_from_there(both: tuple[Party, Party]) -> None:
    one, two = both
    await two.trust(one, f"spiffe://{ONE}/*")
    await two.entry("/guest/ci", f"svid:trust-domain:{ONE}")
    key = fresh()
    build = await one.document("/ci/build", key)
    mine = await two.shown(build, key)
    assert await two.wired.driving.bundles.check_x509(build.chain) == build.spiffe_id
    await two.wired.driving.federation.end(ONE, "ada")
    for refused in (
        two.shown(build, key),
        two.wired.driving.bundles.check_x509(build.chain),
        two.wired.driving.bundles.check_x509(mine.chain),
        two.wired.driving.federation.refresh(ONE),
    ):
        with pytest.raises(JitError):
            await refused
    assert await two.state_of("/guest/ci") is IdentityState.SUSPENDED
    assert await two.wired.driving.bundles.foreign() == {}


async def test_a_web_endpoint_is_pinned_at_first_contact_and_never_rolls_back(
    both: tuple[Party, Party], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = both
    web = RootAuthority()
    (tmp_path / "roots.pem").write_bytes(web.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    federation = two.wired.driving.federation
    before = await one.wired.driving.bundles.own()
    pinned = hashlib.sha256(before.encode()).hexdigest()
    wanted = FederatedDomain(ONE, "", WEB, accepts=(f"spiffe://{ONE}/*",), pinned=pinned)
    async with tls_endpoint(web.leaf("127.0.0.1"), served(before)) as port:
        made = await federation.federate(replace(wanted, url=f"https://127.0.0.1:{port}/b"), "ada")
    await one.wired.driving.authorities.prepare(X509, "ada")
    after = await one.wired.driving.bundles.own()
    async with tls_endpoint(web.leaf("127.0.0.1"), served(after)) as port:
        await federation.federate(replace(made, bundle="", url=f"https://127.0.0.1:{port}/b"), "ada")
        now = await federation.refresh(ONE)
    assert now.sequence == read_bundle(after, ONE).sequence > made.sequence
    async with tls_endpoint(web.leaf("127.0.0.1"), served(before)) as port:
        await federation.federate(replace(now, bundle="", url=f"https://127.0.0.1:{port}/b"), "ada")
        with pytest.raises(JitError) as refused:
            await federation.refresh(ONE)
    assert refused.value.code == "bundle_rollback"
    assert read_bundle((await two.wired.driving.bundles.foreign())[ONE], ONE).sequence == now.sequence


async def test_a_federation_outlives_the_broker_and_so_does_its_end(tmp_path: Path) -> None:
    text = RootAuthority(ONE).bundle()
    settings = Settings(state_dir=tmp_path, identity=IdentitySettings(trust_domain=TWO))
    async with open_broker(tmp_path, settings) as wired:
        await wired.driving.federation.federate(FederatedDomain(ONE, "", WEB, bundle=text), "ada")
    async with open_broker(tmp_path, settings) as wired:
        assert set(await wired.driving.bundles.foreign()) == {ONE}
        await wired.driving.federation.end(ONE, "ada")
    async with open_broker(tmp_path, settings) as wired:
        assert await wired.driving.bundles.foreign() == {}
        with pytest.raises(NotFoundError):
            await wired.driving.federation.refresh(ONE)
