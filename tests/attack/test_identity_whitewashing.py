"""T39: a new name does not wash away what was there before, and buys nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.model.world import World, allowing, world

from jittrust.core.errors import RefusedError
from jittrust.core.grant.grant import PassBinding
from jittrust.core.identity.identity import Blueprint, IdentityState, Role
from jittrust.core.model import SubjectKind
from jittrust.core.units import Gas
from jittrust.ports.grants import NewGrant
from jittrust.ports.identities import IdentityChange, NewIdentity

TIMES = 100
STEP = 15.0  # seconds between two tries


async def fresh() -> World:
    """A world with a person, her blueprint and her running mission."""
    made = await world()
    ids = made.broker.driving.identities
    await ids.enrol(NewIdentity(SubjectKind.PERSON, "/person/ada", names=("os:ada",), role=Role.ADMIN))
    await ids.draw(Blueprint("coder", "os:ada", unlimited=True, by="ada"))
    await made.join()
    await made.start(allowing("send_mail"))
    return made


@pytest.fixture
async def there() -> World:
    """Such a world."""
    return await fresh()


async def enrol(there: World, number: int, *, blueprint: str = "coder", roots: tuple[str, ...] = ()) -> str:
    """The agent appears under a new name."""
    new = NewIdentity(SubjectKind.AGENT, f"/agent/a{number}", "os:ada", blueprint=blueprint, roots=roots, by="ada")
    return (await there.broker.driving.identities.enrol(new)).id


async def take(there: World, agent: str, jkt: str = "") -> int:
    """As much gas as it is given at this moment, by as many grants as it takes."""
    taken = 0
    while True:
        # Another key each time, unless told otherwise: by its key alone it is not recognised.
        new = NewGrant("ada", agent, "srv", PassBinding.DPOP, (jkt or there.names("k")).ljust(43, "_"))
        try:
            taken += int((await there.broker.driving.grants.open(new)).grant.gas_limit)
        except RefusedError as error:
            assert error.code == "lineage_spent"  # noqa: PT017 - any other refusal would fake the result
            return taken


async def retire(there: World, agent: str) -> None:
    """The old name is given up."""
    await there.broker.driving.identities.change(agent, IdentityChange(to=IdentityState.RETIRED, by="ada"))


async def spend(there: World) -> None:
    """Everything that was given is spent, so that nothing of it can count as given back."""
    for name, grant in there.broker.state.grants.items():
        there.broker.state.grants[name] = replace(grant, gas_left=Gas(0))


async def by_one(there: World) -> int:
    """What one identity gets, however greedy."""
    agent, taken = await enrol(there, 0), 0
    for _ in range(TIMES):
        taken += await take(there, agent)
        await spend(there)
        there.clock.now += STEP
    return taken


@pytest.mark.parametrize("retiring", [True, False], ids=["one after the other", "all at once"])
async def test_t39_a_hundred_re_enrolments_get_together_no_more_gas_than_one_identity(
    there: World, *, retiring: bool
) -> None:
    taken = 0
    for number in range(TIMES):
        agent = await enrol(there, number)
        taken += await take(there, agent)
        await spend(there)
        if retiring:
            await retire(there, agent)
        there.clock.now += STEP

    assert 0 < taken <= await by_one(await fresh())


async def test_t39_a_chain_of_identities_that_share_a_root_only_with_their_neighbour_has_one_budget(
    there: World,
) -> None:
    ids, taken = there.broker.driving.identities, 0
    for number in range(TIMES):
        # Another owner and another blueprint each time; only the key of the one before is still used once.
        owner = await ids.enrol(NewIdentity(SubjectKind.PERSON, f"/person/p{number}"))
        new = NewIdentity(
            SubjectKind.AGENT, f"/agent/a{number}", owner.id, roots=(f"key:{number}", f"key:{number + 1}"), by="ada"
        )
        taken += await take(there, (await ids.enrol(new)).id)

    assert taken == there.rules.grants.lineage_spans * there.rules.grants.gas


async def test_t39_lineage_names_all_that_were_there_before_and_survives_a_restart(there: World) -> None:
    names = [await enrol(there, number) for number in range(TIMES)]
    for name in names:
        await retire(there, name)
    await there.open()
    last = await enrol(there, TIMES)

    shown = await there.broker.driving.identities.show(last)

    assert shown.identity.lineage == tuple(sorted(names))
    assert (await there.records("identity"))[-1]["lineage"] == list(shown.identity.lineage)


async def test_t39_giving_up_the_blueprint_or_the_kind_does_not_leave_the_family(there: World) -> None:
    first = await enrol(there, 0, blueprint="")
    assert await take(there, first) > 0
    new = NewIdentity(SubjectKind.WORKLOAD, "/workload/w", "os:ada", by="ada")
    second = (await there.broker.driving.identities.enrol(new)).id

    assert await take(there, second) == 0


async def test_t39_another_owner_and_another_blueprint_with_the_same_key_get_nothing_more(there: World) -> None:
    ids = there.broker.driving.identities
    assert await take(there, await enrol(there, 0), "thumb") > 0
    await ids.enrol(NewIdentity(SubjectKind.PERSON, "/person/bob"))
    second = await ids.enrol(NewIdentity(SubjectKind.AGENT, "/agent/bobs", "/person/bob"))
    assert second.lineage == ()

    assert await take(there, second.id, "thumb") == 0
    assert await take(there, second.id, "other") > 0


async def test_t39_gas_that_ended_unspent_is_not_held_against_an_honest_agent(there: World) -> None:
    agent = await enrol(there, 0)
    for _ in range(20):
        new = NewGrant("ada", agent, "srv", PassBinding.DPOP, "thumb".ljust(43, "_"))
        opened = await there.broker.driving.grants.open(new)
        assert opened.grant.gas_limit == opened.grant.gas_left == 1600
        await there.broker.driving.grants.revoke(opened.grant.id, "done", "ada")
