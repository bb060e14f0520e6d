"""The kill switch: agent, mission, grant, chain, everything; in force before the disk has answered, and until a person lifts it."""

from __future__ import annotations

import pytest
from tests.model.world import PIN, World, allowing, world

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError, UnavailableError
from jittrust.core.mission.states import MissionState
from jittrust.core.response.stop import StopScope
from jittrust.ports.decision_point import Passage

WHY = "it reads what it must not read"


@pytest.fixture
async def calling() -> World:
    made = await world()
    await made.join()
    await made.start(allowing("read_file"))
    return made


async def goes_out(made: World) -> bool:
    decision = await made.call("read_file", {"path": "plan.md"})
    return decision.passage is Passage.FORWARD


@pytest.mark.parametrize("scope", [scope for scope in StopScope if scope is not StopScope.MISSION], ids=str)
async def test_nothing_goes_out_while_it_stands(calling: World, scope: StopScope) -> None:
    assert await goes_out(calling)
    grant = (await calling.broker.driving.grants.list())[0]
    target = "agent" if scope is StopScope.AGENT else grant.id
    stopped = await calling.broker.driving.responses.stop(scope, target, WHY, "ada")
    decision = await calling.call("read_file", {"path": "plan.md"})
    assert decision.passage is Passage.REFUSE
    assert "stopped" in decision.verdict.codes
    assert decision.verdict.agent_code == "session_suspended"
    assert WHY not in decision.verdict.agent_next
    assert [record["what"] for record in await calling.records("stop")] == ["pulled"]
    assert stopped.stop.scope is scope


async def test_everything_is_frozen_and_thaws(calling: World) -> None:
    assert await goes_out(calling)
    responses = calling.broker.driving.responses
    stopped = await responses.stop(StopScope.EVERYTHING, "", WHY, "ada")
    assert not stopped.grants
    assert not await goes_out(calling)
    with pytest.raises(RefusedError) as wrong:
        await responses.lift(stopped.stop.id, "false alarm", "ada", "000000")
    assert wrong.value.code == "pin_wrong"
    assert not await goes_out(calling)
    await responses.lift(stopped.stop.id, "false alarm", "ada", PIN)
    assert await goes_out(calling)
    assert [one.stands for one in await responses.list()] == [False]


async def test_a_stopped_mission_is_over_for_good(calling: World) -> None:
    assert await goes_out(calling)
    mission = (await calling.broker.driving.missions.list())[0].mission
    stopped = await calling.broker.driving.responses.stop(StopScope.MISSION, mission.id, WHY, "ada")
    assert stopped.missions == (mission.id,)
    assert calling.broker.state.missions[mission.id].state is MissionState.TERMINATED
    assert len(stopped.grants) == 1
    with pytest.raises(RefusedError) as refused:
        await calling.call("read_file", {"path": "plan.md"})
    assert refused.value.code == "no_mission"


async def test_no_new_grant_is_opened_for_a_stopped_agent(calling: World) -> None:
    await calling.broker.driving.responses.stop(StopScope.AGENT, "agent", WHY, "ada")
    with pytest.raises(RefusedError) as refused:
        await calling.grant()
    assert refused.value.code == "stopped"


async def test_other_agents_go_on(calling: World) -> None:
    await calling.broker.driving.responses.stop(StopScope.AGENT, "somebody-else", WHY, "ada")
    assert await goes_out(calling)


async def test_it_is_in_force_although_the_disk_is_gone(calling: World) -> None:
    assert await goes_out(calling)
    store = calling.store
    assert isinstance(store, MemoryCommit)
    store.broken = UnavailableError("store_unavailable", "the disk is full")
    with pytest.raises(UnavailableError):
        await calling.broker.driving.responses.stop(StopScope.EVERYTHING, "", WHY, "ada")
    store.broken = None
    assert not await goes_out(calling)
    # Pulled again it is durable.
    await calling.broker.driving.responses.stop(StopScope.EVERYTHING, "", WHY, "ada")
    await calling.open()
    await calling.join()
    assert not await goes_out(calling)


async def test_it_survives_a_restart(calling: World) -> None:
    await calling.broker.driving.responses.stop(StopScope.AGENT, "agent", WHY, "ada")
    await calling.open()
    await calling.join()
    assert not await goes_out(calling)


async def test_pulled_twice_it_is_recorded_once(calling: World) -> None:
    for _ in range(2):
        await calling.broker.driving.responses.stop(StopScope.AGENT, "agent", WHY, "ada")
    assert len(await calling.records("stop")) == 1


@pytest.mark.parametrize(
    ("scope", "target", "why", "code"),
    [
        (StopScope.MISSION, "m-none", WHY, "target_unknown"),
        (StopScope.GRANT, "g-none", WHY, "target_unknown"),
        (StopScope.CHAIN, "g-none", WHY, "target_unknown"),
        (StopScope.AGENT, "", WHY, "target_bad"),
        (StopScope.AGENT, "a\u202eb", WHY, "target_bad"),
        (StopScope.AGENT, "agent", "  ", "reason_needed"),
        (StopScope.EVERYTHING, "", "x" * 513, "reason_needed"),
    ],
)
async def test_bad_input_stops_nothing(calling: World, scope: StopScope, target: str, why: str, code: str) -> None:
    with pytest.raises((BadInputError, NotFoundError)) as bad:
        await calling.broker.driving.responses.stop(scope, target, why, "ada")
    assert bad.value.code == code
    assert await goes_out(calling)
