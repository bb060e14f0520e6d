"""A leaver as the identity provider tells it, while the person's agent is at work: from the request to the last call that goes out."""

from __future__ import annotations

import time

from tests.model.world import MAIL, World, allowing, world
from tests.scim import Provider, provider

from jittrust.core.grant.states import GrantState
from jittrust.core.identity.identity import IdentityState
from jittrust.core.mission.states import MissionState
from jittrust.core.model import SubjectKind
from jittrust.ports.decision_point import Passage
from jittrust.ports.identities import NewIdentity

WITHIN_SECONDS = 1.0


async def at_work(corp: Provider) -> dict[str, str]:
    """Ada's agent, under her mission; she is known by her account and by her address."""
    identities = corp.world.broker.driving.identities
    await identities.enrol(
        NewIdentity(SubjectKind.PERSON, "/person/ada", names=("os:ada", "email:ada@example.org"), by="cli")
    )
    await identities.enrol(
        NewIdentity(SubjectKind.AGENT, "/agent/agent", owner="os:ada", names=("client:agent",), by="cli")
    )
    ada = await corp.user("Ada@example.org", displayName="Ada")
    await corp.world.join()
    await corp.world.start(allowing("send_mail", uses_left=50))
    first = await corp.world.call("send_mail", MAIL)
    assert first.passage is Passage.FORWARD, first.verdict.reasons
    await corp.world.settle(first, "sent")
    return {"user": str(ada["id"])}


def running(w: World) -> list[str]:
    return [one.id for one in w.broker.state.grants.values() if one.state in (GrantState.ACTIVE, GrantState.SUSPENDED)]


async def test_a_deactivated_person_s_agent_stops_within_a_second_and_the_registry_says_why() -> None:
    async with provider(await world()) as corp:
        ada = await at_work(corp)

        start = time.perf_counter()
        answer = await corp.patch(f"/Users/{ada['user']}", {"op": "Replace", "path": "active", "value": "False"})
        refused = await corp.world.call("send_mail", MAIL)
        took = time.perf_counter() - start

        assert answer.status_code == 200
        assert refused.passage is not Passage.FORWARD
        assert took < WITHIN_SECONDS
        assert running(corp.world) == []
        states = {one.state for one in corp.world.broker.state.missions.values()}
        assert MissionState.SUSPENDED in states
        assert MissionState.ACTIVE not in states
        shown = (await corp.world.broker.driving.identities.show("client:agent")).identity
        assert (shown.state, shown.why, shown.by) == (IdentityState.SUSPENDED, "owner_left", "scim:corp")


async def test_the_leaver_who_comes_back_finds_the_agent_still_stopped() -> None:
    async with provider(await world()) as corp:
        ada = await at_work(corp)
        for active in (False, True):
            await corp.patch(f"/Users/{ada['user']}", {"op": "replace", "path": "active", "value": active})

        refused = await corp.world.call("send_mail", MAIL)

        assert corp.person("ada@example.org").state is IdentityState.ACTIVE
        assert refused.passage is not Passage.FORWARD
        assert running(corp.world) == []


async def test_a_deleted_person_s_agent_stops_too() -> None:
    async with provider(await world()) as corp:
        ada = await at_work(corp)
        assert (await corp.send("DELETE", f"/Users/{ada['user']}")).status_code == 204
        assert (await corp.world.call("send_mail", MAIL)).passage is not Passage.FORWARD
        assert running(corp.world) == []
