"""Federation: first contact is pinned, a bundle only moves on, one that fails stops nobody, and an end is at once."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace

import pytest
from tests.attesting import DOMAIN, enrol, entry, peopled
from tests.forge import ec_key
from tests.model.world import World

from jittrust.apps.wiring import offline_identity
from jittrust.broker.identity.federation import ASKED_AT_ONCE, REFRESH_LEAST, REFRESH_MOST, FederationBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError, RefusedError, UnavailableError
from jittrust.core.identity.bundle import TrustBundle, write_bundle
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain
from jittrust.core.identity.identity import IdentityState
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.model import SubjectKind

TWO = "two.test"
WEB, SPIFFE = EndpointProfile.HTTPS_WEB, EndpointProfile.HTTPS_SPIFFE


def bundle(key: int = 1, sequence: int = 5, hint: int = 300, domain: str = TWO) -> str:
    """A bundle with one key."""
    return write_bundle(TrustBundle(domain, (), {f"k{key}": ec_key(key).spki}, sequence, hint))


def pin(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class BundleShelf:
    """Bundles in memory: what each domain's endpoint would serve."""

    served: dict[str, str | JitError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    now: int = 0
    most: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def fetch(self, domain: FederatedDomain) -> bytes:
        self.asked.append(domain.id)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.now -= 1
        found = self.served[domain.id]
        if isinstance(found, JitError):
            raise found
        return found.encode()


@dataclass
class Federating:
    """A broker whose foreign bundles lie on a shelf."""

    world: World
    shelf: BundleShelf

    @property
    def book(self) -> FederationBook:
        found = self.world.broker.driving.federation
        assert isinstance(found, FederationBook)
        return found

    async def pinned(self, text: str, domain: str = TWO, **more: object) -> FederatedDomain:
        self.shelf.served[domain] = text
        wanted = FederatedDomain(domain, f"https://{domain}/b", WEB, pinned=pin(text), **more)  # type: ignore[arg-type]
        return await self.book.federate(wanted, "ada")

    async def told(self) -> list[str]:
        return [str(one["what"]) for one in await self.world.records("federation")]


@pytest.fixture
async def there(monkeypatch: pytest.MonkeyPatch) -> Federating:
    shelf = BundleShelf()

    def parts(*given: object) -> IdentityParts:
        return replace(offline_identity(*given), bundle_source=shelf)  # type: ignore[arg-type]

    monkeypatch.setattr("tests.model.world.offline_identity", parts)
    return Federating(await peopled(), shelf)


async def test_a_first_contact_that_fits_its_pin_is_taken_and_recorded(there: Federating) -> None:
    made = await there.pinned(bundle(), accepts=("spiffe://two.test/ci/*",))
    assert (made.sequence, made.revision, made.failure) == (5, 1, "")
    assert set(there.book.bundles()) == {TWO}
    assert there.book.accepts(SpiffeId.parse("spiffe://two.test/ci/build"))
    assert await there.told() == ["federated"]
    assert [one.id for one in await there.book.list()] == [TWO]


async def test_a_first_contact_with_another_pin_leaves_nothing_behind(there: Federating) -> None:
    there.shelf.served[TWO] = bundle()
    with pytest.raises(RefusedError) as refused:
        await there.book.federate(FederatedDomain(TWO, "https://two.test/b", WEB, pinned="0" * 64), "ada")
    assert refused.value.code == "bundle_pin_mismatch"
    assert not await there.book.list()
    assert not there.book.bundles()


async def test_a_bundle_carried_by_hand_is_taken_without_asking_anybody(there: Federating) -> None:
    made = await there.book.federate(FederatedDomain(TWO, "", WEB, bundle=bundle()), "ada")
    assert made.sequence == 5
    assert not there.shelf.asked
    assert await there.book.refresh(TWO) == made


@pytest.mark.parametrize(
    "wrong",
    [
        FederatedDomain(TWO, "https://two.test/b", WEB),
        FederatedDomain(TWO, "", WEB, pinned="0" * 64),
        FederatedDomain(TWO, "https://two.test/b", WEB, pinned="A" * 64),
        FederatedDomain("jittrust.test", "https://two.test/b", WEB, pinned="0" * 64),
        FederatedDomain(TWO, "https://two.test/b", SPIFFE, endpoint_id="spiffe://two.test/e", pinned="0" * 64),
        FederatedDomain(TWO, "https://two.test/b", SPIFFE, bundle=bundle()),
        FederatedDomain(TWO, "https://two.test/b", SPIFFE, endpoint_id="spiffe://three.test/e", bundle=bundle()),
        FederatedDomain(TWO, "", WEB, bundle=bundle(), accepts=("spiffe://three.test/*",)),
        FederatedDomain(TWO, "", WEB, bundle=bundle(), accepts=("spiffe://two.test",)),
        FederatedDomain(TWO, "", WEB, bundle=bundle(), accepts=("spiffe://two.test/a",) * 101),
    ],
)
async def test_what_an_admin_wrote_wrong_is_said_before_anybody_is_asked(
    there: Federating, wrong: FederatedDomain
) -> None:
    with pytest.raises(BadInputError):
        await there.book.federate(wrong, "ada")
    assert not there.shelf.asked
    assert not await there.book.list()


@pytest.mark.parametrize(
    ("key", "sequence", "taken"),
    [(2, 6, True), (1, 5, True), (2, 5, False), (1, 4, False), (2, 4, False), (2, 0, False)],
)
async def test_a_bundle_only_moves_on(there: Federating, key: int, sequence: int, *, taken: bool) -> None:
    await there.pinned(bundle())
    there.shelf.served[TWO] = bundle(key, sequence)
    if taken:
        assert (await there.book.refresh(TWO)).sequence == sequence
    else:
        with pytest.raises(RefusedError) as refused:
            await there.book.refresh(TWO)
        assert refused.value.code == "bundle_rollback"
    assert set(there.book.bundles()[TWO].jwt) == {f"k{key if taken else 1}"}


async def test_a_bundle_carried_by_hand_does_not_roll_back_either(there: Federating) -> None:
    made = await there.pinned(bundle())
    with pytest.raises(RefusedError):
        await there.book.federate(replace(made, bundle=bundle(2, 4)), "ada")


@pytest.mark.parametrize(("hint", "kept"), [(0, 300), (1, REFRESH_LEAST), (90, 90), (10**9, REFRESH_MOST)])
async def test_a_peer_neither_hurries_nor_slows_us_beyond_bounds(there: Federating, hint: int, kept: int) -> None:
    assert (await there.pinned(bundle(hint=hint))).refresh_seconds == kept


async def test_a_failure_is_recorded_once_and_leaves_the_last_bundle_in_force(there: Federating) -> None:
    await there.pinned(bundle())
    there.shelf.served[TWO] = UnavailableError("bundle_unreachable", "away", "")
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await there.book.refresh(TWO)
    assert await there.told() == ["federated", "refresh_failed"]
    assert set(there.book.bundles()) == {TWO}
    there.shelf.served[TWO] = bundle()
    assert (await there.book.refresh(TWO)).failure == ""
    assert await there.told() == ["federated", "refresh_failed", "refreshed"]


async def test_a_refresh_that_finds_nothing_new_is_not_recorded(there: Federating) -> None:
    await there.pinned(bundle())
    await there.book.refresh(TWO)
    assert await there.told() == ["federated"]


async def test_a_domain_is_asked_when_it_is_due_and_soon_again_after_a_failure(there: Federating) -> None:
    await there.pinned(bundle())
    asked = there.shelf.asked
    asked.clear()
    for seconds, failing, times in ((299, False, 0), (1, True, 1), (29, True, 1), (1, False, 2), (299, False, 2)):
        there.world.clock.now += seconds
        there.shelf.served[TWO] = UnavailableError("bundle_unreachable", "away", "") if failing else bundle()
        await there.book.tick()
        assert len(asked) == times


async def test_one_that_fails_never_stops_the_others_and_few_are_asked_at_once(there: Federating) -> None:
    names = [f"d{number}.test" for number in range(20)]
    for name in names:
        await there.pinned(bundle(domain=name), name)
    for number, name in enumerate(names):
        there.shelf.served[name] = (
            bundle(2, 6, domain=name) if number % 2 else UnavailableError("bundle_unreachable", "away", "")
        )
    there.world.clock.now += 301
    there.shelf.most = 0
    await there.book.tick()
    assert [there.book.bundles()[name].sequence for name in names] == [5, 6] * 10
    assert 1 < there.shelf.most <= ASKED_AT_ONCE


async def test_an_unknown_domain_is_neither_refreshed_nor_ended(there: Federating) -> None:
    for asked in (there.book.refresh(TWO), there.book.end(TWO, "ada")):
        with pytest.raises(NotFoundError) as unknown:
            await asked
        assert unknown.value.code == "federation_unknown"


async def test_an_end_is_at_once_and_suspends_whoever_came_from_there(there: Federating) -> None:
    await there.pinned(bundle(), accepts=("spiffe://two.test/*",))
    for path, selector in (
        ("/workload/a", "svid:trust-domain:two.test"),
        ("/workload/b", "svid:id:spiffe://two.test/ci/build"),
        ("/workload/c", "svid:id:spiffe://two.test.evil/ci/build"),
        ("/workload/d", "unix:uid:1000"),
    ):
        await entry(there.world, path, selector)
        await enrol(there.world, path, SubjectKind.WORKLOAD, owner=f"{DOMAIN}/person/ada")
    await there.book.end(TWO, "ada")
    assert not there.book.bundles()
    assert not there.book.accepts(SpiffeId.parse("spiffe://two.test/ci/build"))
    assert not await there.book.list()
    shown = [(await there.world.broker.driving.identities.show(f"/workload/{one}")).identity for one in "abcd"]
    suspended, active = IdentityState.SUSPENDED, IdentityState.ACTIVE
    assert [one.state for one in shown] == [suspended, suspended, active, active]
    assert [one.why for one in shown[:2]] == ["federation_ended"] * 2
    assert await there.told() == ["federated", "ended"]


async def test_an_end_during_a_fetch_wins(there: Federating) -> None:
    await there.pinned(bundle())
    there.shelf.served[TWO] = bundle(2, 6)
    there.shelf.gate.clear()
    fetching = asyncio.create_task(there.book.refresh(TWO))
    await asyncio.sleep(0)
    await there.book.end(TWO, "ada")
    there.shelf.gate.set()
    with pytest.raises(JitError):
        await fetching
    assert not there.book.bundles()


async def test_what_the_old_address_answers_does_not_count_for_the_new_one(there: Federating) -> None:
    made = await there.pinned(bundle())
    there.shelf.served[TWO] = bundle(2, 6)
    there.shelf.gate.clear()
    fetching = asyncio.create_task(there.book.refresh(TWO))
    await asyncio.sleep(0)
    await there.book.federate(replace(made, bundle="", url="https://new.two.test/b"), "ada")
    there.shelf.gate.set()
    with pytest.raises(ConflictError):
        await fetching
    assert there.book.bundles()[TWO].sequence == 5


async def test_a_new_pin_of_a_known_domain_is_compared_before_it_is_written_down(there: Federating) -> None:
    first = await there.pinned(bundle())
    with pytest.raises(RefusedError) as refused:
        await there.book.federate(FederatedDomain(TWO, "https://two.test/b", WEB, pinned="0" * 64), "ada")
    assert refused.value.code == "bundle_pin_mismatch"
    assert await there.book.list() == [first]
