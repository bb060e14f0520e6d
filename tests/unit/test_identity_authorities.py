"""Signing authorities: one active of each kind, only legal moves, and the bundle's sequence with every change of what is published."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from tests.model.world import SIGNER, World, world

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.broker.identity.authorities import AUTHORITY_SECONDS, AuthorityBook
from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError, UnavailableError
from jittrust.core.identity.authority import (
    AUTHORITY_MOVES,
    PUBLISHED,
    TAINT_GRACE_SECONDS,
    AuthorityKind,
    AuthorityState,
    SigningAuthority,
)
from jittrust.core.identity.bundle import read_bundle
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.units import Instant
from jittrust.ports.commit import Keep

X509, JWT = AuthorityKind.X509, AuthorityKind.JWT
DAY = 86_400.0


def book(made: World) -> AuthorityBook:
    found = made.broker.driving.authorities
    assert isinstance(found, AuthorityBook)
    return found


async def sequence(made: World) -> int:
    return read_bundle(await made.broker.driving.bundles.own(), "jittrust.test").sequence


async def test_the_first_authority_is_made_when_it_is_first_needed_and_only_once() -> None:
    made = await world()
    found = await asyncio.gather(*(book(made).active(X509) for _ in range(8)))
    assert len({one.id for one in found}) == 1
    assert len(await book(made).list()) == 1
    assert found[0].ends - found[0].begins == AUTHORITY_SECONDS


@pytest.mark.parametrize("kind", list(AuthorityKind))
async def test_each_step_of_a_rotation_is_recorded_and_raises_the_sequence(kind: AuthorityKind) -> None:
    made = await world()
    first = await book(made).active(kind)
    told = [await sequence(made)]
    second = await book(made).prepare(kind, "ada")
    assert second.state is AuthorityState.PREPARED
    assert (await book(made).active(kind)).id == first.id, "what is prepared does not sign yet"
    told.append(await sequence(made))
    await book(made).activate(second.id, "ada")
    assert (await book(made).active(kind)).id == second.id
    told.append(await sequence(made))
    await book(made).taint(first.id, "ada")
    told.append(await sequence(made))
    await book(made).revoke(first.id, "ada")
    told.append(await sequence(made))
    assert told == sorted(set(told))
    mine = [
        (one["authority"], one["what"], one["by"]) for one in await made.records("authority") if one["signs"] == kind
    ]
    assert mine == [
        (first.id, "active", "first use"),
        (second.id, "prepared", "ada"),
        (first.id, "old", "ada"),
        (second.id, "active", "ada"),
        (first.id, "tainted", "ada"),
        (first.id, "revoked", "ada"),
    ]


async def test_what_is_published_is_all_but_waiting_and_revoked() -> None:
    made = await world()
    first = await book(made).active(JWT)
    second = await book(made).prepare(JWT, "ada")
    assert set(book(made).published().jwt) == {first.id, second.id}
    await book(made).activate(second.id, "ada")
    await book(made).taint(first.id, "ada")
    assert set(book(made).published().jwt) == {first.id, second.id}
    await book(made).revoke(first.id, "ada")
    assert set(book(made).published().jwt) == {second.id}
    before = book(made).published().x509
    await book(made).prepare(X509, "ada", "request")
    assert book(made).published().x509 == before, "what waits for its upstream is not published"


STEPS = {
    AuthorityState.ACTIVE: "activate",
    AuthorityState.TAINTED: "taint",
    AuthorityState.REVOKED: "revoke",
}


@pytest.mark.parametrize("step", list(STEPS))
@pytest.mark.parametrize("state", list(AuthorityState))
async def test_t17_only_the_moves_of_the_table_are_made(state: AuthorityState, step: AuthorityState) -> None:
    made = await world()
    await book(made).active(JWT)
    other = await book(made).prepare(JWT, "ada")
    put = replace(other, state=state, revision=2)
    await made.broker.state.change([Keep(put)], [])
    called = getattr(book(made), STEPS[step])
    legal = step in AUTHORITY_MOVES[state]
    if legal:
        assert (await called(put.id, "ada")).state is step
    else:
        with pytest.raises(ConflictError) as refused:
            await called(put.id, "ada")
        assert refused.value.code == "illegal_move"


async def test_t17_an_authority_that_signs_is_tainted_only_after_another_was_activated() -> None:
    made = await world()
    active = await book(made).active(X509)
    with pytest.raises(ConflictError) as refused:
        await book(made).taint(active.id, "ada")
    assert refused.value.code == "illegal_move"
    assert "prepare" in refused.value.next_step
    assert "activate" in refused.value.next_step


async def test_t17_what_was_tainted_is_refused_after_its_grace_and_what_was_revoked_at_once() -> None:
    made = await world()
    first = await book(made).active(JWT)
    second = await book(made).prepare(JWT, "ada")
    await book(made).activate(second.id, "ada")
    await book(made).taint(first.id, "ada")
    now = made.clock.now
    assert book(made).distrusted_kids(Instant(now + TAINT_GRACE_SECONDS)) == frozenset()
    assert book(made).distrusted_kids(Instant(now + TAINT_GRACE_SECONDS + 0.001)) == {first.id}
    await book(made).revoke(first.id, "ada")
    assert book(made).distrusted_kids(Instant(now)) == {first.id}
    assert TAINT_GRACE_SECONDS < 60


async def test_t17_a_revoked_authoritys_key_is_destroyed_also_after_a_crash_before_that() -> None:
    made = await world()
    first = await book(made).active(JWT)
    second = await book(made).prepare(JWT, "ada")
    await book(made).activate(second.id, "ada")
    await book(made).taint(first.id, "ada")
    # The process died after the commit of the revocation: the state says revoked, and the key is still there.
    tainted = made.broker.state.of_kind(SigningAuthority)[first.id]
    gone = replace(tainted, state=AuthorityState.REVOKED, revision=tainted.revision + 1)
    await made.broker.state.change([Keep(gone)], [])
    assert signs(made, gone)
    await book(made).tick()
    assert not signs(made, gone)


def signs(made: World, authority: SigningAuthority) -> bool:
    now = made.clock()
    who = SpiffeId.of(TrustDomain("jittrust.test"), "workload", "w")
    try:
        book(made)._parts.authority.sign_jwt(authority, who, ("a",), now, Instant(now + 60), "t")
    except UnavailableError:
        return False
    return True


async def test_only_one_authority_of_a_kind_is_prepared_or_waits() -> None:
    made = await world()
    await book(made).active(X509)
    await book(made).prepare(X509, "ada", "request")
    with pytest.raises(ConflictError) as refused:
        await book(made).prepare(X509, "ada")
    assert refused.value.code == "authority_prepared"
    await book(made).prepare(JWT, "ada")
    two = await asyncio.gather(book(made).prepare(JWT, "ada"), book(made).prepare(JWT, "bob"), return_exceptions=True)
    assert all(isinstance(one, ConflictError) for one in two)


@pytest.mark.parametrize("chain", ["nothing", "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"])
async def test_a_bad_upstream_answer_changes_nothing(chain: str) -> None:
    made = await world()
    await book(made).active(X509)
    with pytest.raises(NotFoundError):
        await book(made).prepare(X509, "ada", chain)
    waiting = await book(made).prepare(X509, "ada", "request")
    before = await sequence(made)
    with pytest.raises(BadInputError) as refused:
        await book(made).prepare(X509, "ada", chain)
    assert refused.value.code == "upstream_chain_bad"
    assert await sequence(made) == before
    assert made.broker.state.of_kind(SigningAuthority)[waiting.id] == waiting


async def test_an_unknown_authority_is_an_error_with_a_code() -> None:
    made = await world()
    for called in (book(made).activate, book(made).taint, book(made).revoke):
        with pytest.raises(NotFoundError) as refused:
            await called("x-none", "ada")
        assert refused.value.code == "authority_unknown"


async def test_time_alone_rotates_every_authority_before_its_end_and_the_bundle_does_not_grow() -> None:
    made = await world()
    for kind in AuthorityKind:
        await book(made).active(kind)
    seen: set[str] = set()
    for _ in range(365):
        made.clock.now += DAY
        await book(made).tick()
        for kind in AuthorityKind:
            active = await book(made).active(kind)
            seen.add(active.id)
            assert active.ends - made.clock.now > 9 * DAY, "what is issued today is never cut short"
        published = [one for one in await book(made).list() if one.state in PUBLISHED]
        assert len(published) <= 6
        assert sum(one.state is AuthorityState.ACTIVE for one in published) == 2
    assert len(seen) >= 30


async def test_a_broker_that_was_off_for_longer_than_an_authority_lives_signs_with_a_new_one() -> None:
    made = await world()
    first = await book(made).active(X509)
    made.clock.now += 3 * AUTHORITY_SECONDS
    second = await book(made).active(X509)
    assert second.id != first.id
    assert second.ends > made.clock.now
    assert made.broker.state.of_kind(SigningAuthority)[first.id].state is AuthorityState.OLD
    await book(made).tick()
    assert made.broker.state.of_kind(SigningAuthority)[first.id].state is AuthorityState.REVOKED


async def test_authorities_and_sequence_outlive_a_restart() -> None:
    store = MemoryCommit(signer=SIGNER, origin="jittrust.test/world")
    made = await World(store, store).open()
    await book(made).active(JWT)
    await book(made).prepare(JWT, "ada")
    before, listed = json.loads(await made.broker.driving.bundles.own()), list(await book(made).list())
    again = await World(store, store, clock=made.clock).open()
    assert list(await book(again).list()) == listed
    assert json.loads(await again.broker.driving.bundles.own()) == before


async def test_a_change_that_the_store_did_not_take_is_not_published() -> None:
    made = await world()
    await made.broker.driving.bundles.own()
    store = made.store
    assert isinstance(store, MemoryCommit)
    await store.close()
    with pytest.raises(JitError):
        await book(made).prepare(JWT, "ada")
    with pytest.raises(JitError):
        await made.broker.driving.bundles.own()
