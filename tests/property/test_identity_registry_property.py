"""Whatever is done to the registry, in whatever order: its promises hold, and what it finds is what stands in the store."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.world import World, world

from jittrust.broker.identity.index import IdentityIndex
from jittrust.core.errors import JitError
from jittrust.core.identity.identity import Blueprint, Identity, IdentityState, Role
from jittrust.core.model import SubjectKind
from jittrust.ports.identities import IdentityChange, NewIdentity

PATHS = [f"/{letter}" for letter in "abcdefgh"]
NAMES = ["os:x", "os:y", "client:x", "client:y"]
ROOTS = ["key:1", "key:2"]
CODES = {
    "identity_exists", "name_taken", "owner_needed", "identity_unknown", "owner_inactive", "illegal_move", "last_admin", "role_bad",
    "blueprint_unknown",
}  # fmt: skip

owners = st.sampled_from(PATHS[:3])
FIRST: list[object] = [
    NewIdentity(SubjectKind.PERSON, "/a", role=Role.ADMIN),
    NewIdentity(SubjectKind.PERSON, "/b"),
    Blueprint("coder", "/a", model="1" * 64),
    NewIdentity(SubjectKind.AGENT, "/d", "/a", roots=("key:1",)),
    NewIdentity(SubjectKind.AGENT, "/e", "/b", blueprint="coder", roots=("key:1",)),
]
paths, names = st.sampled_from(PATHS), st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple)
enrolments = st.builds(
    NewIdentity,
    kind=st.sampled_from([SubjectKind.PERSON, SubjectKind.AGENT]),
    path=paths,
    owner=st.one_of(st.just(""), owners),
    names=names,
    blueprint=st.sampled_from(["", "", "coder"]),
    roots=st.lists(st.sampled_from(ROOTS), max_size=1).map(tuple),
    role=st.sampled_from([Role.NONE, Role.ADMIN]),
)
changes = st.tuples(
    paths,
    st.builds(
        IdentityChange,
        to=st.one_of(st.none(), st.sampled_from(list(IdentityState))),
        owner=st.one_of(st.none(), owners),
        role=st.one_of(st.none(), st.sampled_from([Role.NONE, Role.ADMIN])),
        names=names,
        forget_names=names,
    ),
)
drawings = st.builds(Blueprint, id=st.just("coder"), owner=owners, model=st.sampled_from(["", "1" * 64, "2" * 64]))


async def carry_out(there: World, steps: list[object]) -> None:
    """Each step is done whole or refused with a code that the port names."""
    ids = there.broker.driving.identities
    for step in steps:
        there.clock.now += 1
        before = dict(there.broker.state.of_kind(Identity))
        try:
            if isinstance(step, NewIdentity):
                await ids.enrol(step)
            elif isinstance(step, Blueprint):
                await ids.draw(step)
            else:
                await ids.change(*step)  # type: ignore[misc]
        except JitError as error:
            assert error.code in CODES, error  # noqa: PT017 - refusals are expected, with these codes only
            assert before == there.broker.state.of_kind(Identity)
        holds(there, before)


def holds(there: World, before: dict[str, Identity]) -> None:
    """The promises of the registry."""
    now = there.broker.state.of_kind(Identity)
    live = [name for one in now.values() if one.state is not IdentityState.RETIRED for name in one.names]
    assert len(live) == len(set(live))
    for one in now.values():
        owner = now.get(one.owner)
        assert (one.kind is SubjectKind.PERSON) == (not one.owner)
        if one.state is IdentityState.ACTIVE and owner is not None:
            assert owner.state is IdentityState.ACTIVE
        assert one.id not in one.lineage
        known = before.get(one.id)
        if known is not None:
            assert known.state is not IdentityState.RETIRED or one.state is IdentityState.RETIRED
            assert set(known.roots) <= set(one.roots)
            assert set(known.lineage) <= set(one.lineage)
            assert one.revision in (known.revision, known.revision + 1)
    assert set(before) <= set(now)
    if any(one.role is Role.ADMIN and one.state is IdentityState.ACTIVE for one in before.values()):
        assert any(one.role is Role.ADMIN and one.state is IdentityState.ACTIVE for one in now.values())
    index = IdentityIndex.of(there.broker.state)
    fresh = IdentityIndex(there.broker.state, "spiffe://jittrust.test")
    fresh.took()
    for name in (*NAMES, *PATHS, *now):
        found, again = index.find(name), fresh.find(name)
        assert (found is None) == (again is None)
        if name in live:
            assert found == again
    for one in now.values():
        assert index.owned(one.id) == fresh.owned(one.id)
        assert index.family(one) == fresh.family(one)
        assert set(one.lineage) <= index.family(one)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(st.one_of(enrolments, changes, changes, drawings), min_size=5, max_size=25))
def test_the_promises_of_the_registry_hold_after_every_step_and_after_a_restart(steps: list[object]) -> None:
    async def run() -> None:
        there = await world()
        await carry_out(there, [*FIRST, *steps])
        before = dict(there.broker.state.of_kind(Identity))
        await there.open()
        assert there.broker.state.of_kind(Identity) == before
        holds(there, before)

    asyncio.run(run())
