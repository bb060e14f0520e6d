"""What the commit port promises of the identity layer's values, kept by every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tests.contract.stores import STORES, Store, record, sqlite_store

from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.errors import ConflictError
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer
from jittrust.core.identity.authority import AuthorityKind, AuthorityState, BundleVersion, SigningAuthority
from jittrust.core.identity.directory import DirectoryGroup, DirectoryToken, DirectoryUser
from jittrust.core.identity.entry import JoinToken, RegistrationEntry
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain
from jittrust.core.identity.identity import Blueprint, Identity, IdentityState, Role
from jittrust.core.identity.person import OneTimeLink, Passkey, SignIn
from jittrust.core.intent.adoption import AdoptedBaseline
from jittrust.core.mission.promotion import Promotion
from jittrust.core.model import SubjectKind
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.oauth.request import AuthorizationRequest, RequestKind, RequestState
from jittrust.core.response.stop import Stop, StopScope
from jittrust.core.units import Instant
from jittrust.ports.commit import KEPT, KIND_OF, Change, Drop, Keep, Kept

AT = Instant(1000.5)
PERSON = "spiffe://one.test/person/ada"
ONE_OF_EACH: tuple[Kept, ...] = (
    Identity(PERSON, SubjectKind.PERSON, names=("os:ada", "email:ada@example.org"), role=Role.ADMIN, created=AT),
    Blueprint("coder", PERSON, (AuthorityEntry("e-1", "git/log", constraints={"type": "object"}),), model="a" * 64),
    RegistrationEntry(
        "n-1", "spiffe://one.test/workload/db", SubjectKind.WORKLOAD, ("unix:uid:0",), PERSON, created=AT
    ),
    JoinToken("f" * 64, "n-1", AT),
    SigningAuthority("x-1", AuthorityKind.X509, AuthorityState.ACTIVE, "key", "AAAA", roots=("AA",), ends=AT),
    BundleVersion("own", 7, 1),
    FederatedDomain("two.test", "https://two.test/b", EndpointProfile.HTTPS_SPIFFE, accepts=("spiffe://two.test/*",)),
    Passkey("cred", PERSON, "cose", signs=3, created=AT),
    SignIn("0" * 64, PERSON, ("hwk", "user"), AT, Instant(2000)),
    OneTimeLink("1" * 64, PERSON, Role.ADMIN, AT),
    DirectoryUser("u-1", PERSON, "ada", "ext", active=True, document="{}"),
    DirectoryGroup("d-1", "jittrust-admin", "", ("u-1",), "{}"),
    DirectoryToken("2" * 64, "corp", "wxyz"),
    TrustedIssuer("github", EvidenceKind.OIDC, "https://issuer.example", "jittrust"),
    OAuthClient(
        "https://client.example/c",
        ClientSource.DOCUMENT,
        ClientMethod.PRIVATE_KEY_JWT,
        redirect_uris=("https://client.example/cb",),
        keys=({"kty": "OKP", "crv": "Ed25519", "x": "A" * 43},),
        since=AT,
    ),
    AuthorizationRequest(
        "r-1",
        RequestKind.CODE,
        RequestState.APPROVED,
        "c",
        "a",
        AT,
        Instant(2000),
        "3" * 64,
        details=({"type": "urn:jittrust:mission", "goal": "read"},),
    ),
    Renewal("n-1", "c", "a", PERSON, "m-1", "files", AT, jkt="j" * 43, seq=3, ended="over"),
    Stop("agent:a", StopScope.AGENT, "a", "why", "ada", AT, lifted=Instant(2000)),
    AdoptedBaseline("usual", {"baseline": 2, "origins": [["a", "b", 1]]}, "d" * 64, "ada", "why", AT),
    Promotion("coder", "ada", "why", AT),
)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = cast("AbstractAsyncContextManager[Store]", STORES[request.param](tmp_path / "state"))
    async with opened as made:
        yield made


def test_there_is_a_sample_of_every_kind() -> None:
    assert {KIND_OF[type(value)] for value in ONE_OF_EACH} == set(KEPT)


async def test_every_kind_comes_back_as_it_was(store: Store) -> None:
    await store.commit(Change(tuple(Keep(value) for value in ONE_OF_EACH), (record(),)))
    kept = (await store.load()).kept
    for value in ONE_OF_EACH:
        assert kept[KIND_OF[type(value)]] == {value.id: value}


async def test_a_value_is_changed_only_by_who_knows_its_revision(store: Store) -> None:
    first = ONE_OF_EACH[0]
    assert isinstance(first, Identity)
    await store.commit(Change((Keep(first),)))
    second = replace(first, state=IdentityState.SUSPENDED, revision=2)
    await store.commit(Change((Keep(second),)))
    for stale in (first, second, replace(first, revision=4), replace(first, id="spiffe://one.test/x", revision=2)):
        with pytest.raises(ConflictError) as refused:
            await store.commit(Change((Keep(stale),), (record(),)))
        assert refused.value.code == "stale_revision"
    assert (await store.load()).kept["identity"] == {first.id: second}


async def test_a_value_is_forgotten_only_by_who_knows_its_revision(store: Store) -> None:
    token = ONE_OF_EACH[3]
    assert isinstance(token, JoinToken)
    await store.commit(Change((Keep(token),)))
    with pytest.raises(ConflictError):
        await store.commit(Change((Drop(replace(token, revision=2)),)))
    await store.commit(Change((Drop(token),)))
    assert not (await store.load()).kept["join_token"]
    with pytest.raises(ConflictError):
        await store.commit(Change((Drop(token),)))


async def test_of_many_changes_of_one_revision_one_holds(store: Store) -> None:
    token = ONE_OF_EACH[3]
    assert isinstance(token, JoinToken)
    await store.commit(Change((Keep(token),)))
    tries = [
        store.commit(Change((Keep(replace(token, used=AT, used_by=f"w-{n}", revision=2)),), (record(),)))
        for n in range(50)
    ]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(end, BaseException) for end in ended) == 1
    assert all(end.code == "stale_revision" for end in ended if isinstance(end, ConflictError))


async def test_a_step_with_one_stale_value_changes_nothing(store: Store) -> None:
    identity, token = ONE_OF_EACH[0], ONE_OF_EACH[3]
    await store.commit(Change((Keep(token),)))
    with pytest.raises(ConflictError):
        await store.commit(Change((Keep(identity), Keep(token)), (record(),)))
    assert not (await store.load()).kept["identity"]


async def test_kept_values_outlive_a_restart(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state") as first:
        await first.commit(Change(tuple(Keep(value) for value in ONE_OF_EACH)))
    async with sqlite_store(tmp_path / "state") as again:
        assert (await again.load()).kept["passkey"]["cred"] == ONE_OF_EACH[7]
