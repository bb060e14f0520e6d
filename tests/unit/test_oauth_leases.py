"""What cuts a call under way, and what does not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from tests.model.world import World, allowing, world

from jittrust.core.errors import NotFoundError
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.grant.lease import lease_lost
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.response.stop import StopScope
from jittrust.core.rules import GrantRules, Rules
from jittrust.core.units import Gas, Instant, Score, Seconds
from jittrust.ports.decision_point import Decision, Outcome, Passage, Settled

NOW = Instant(1_000_000.0)
GRANT = Grant(
    id="g-1",
    mission="m-1",
    family="g-1",
    agent="agent",
    server="srv",
    binding=PassBinding.DPOP,
    jkt="k",
    strictness=Strictness.STRICT,
    state=GrantState.ACTIVE,
    gas_left=Gas(10),
    gas_limit=Gas(10),
    lanes=1,
    issued=Instant(NOW - 60),
    expires=Instant(NOW + 60),
)


async def mission_now() -> Mission:
    w = await world()
    found = await w.start()
    return replace(found, id="m-1", expires=Instant(NOW + 3600))


def standing(state: SessionState) -> Standing:
    return Standing(Score(90), state)


@pytest.mark.parametrize("state", list(GrantState))
async def test_a_grant_that_was_taken_away_cuts_and_one_that_ran_out_does_not(state: GrantState) -> None:
    lost = lease_lost(await mission_now(), None, replace(GRANT, state=state), (), NOW)

    taken = {GrantState.SUSPENDED, GrantState.REVOKED, GrantState.REUSED}
    assert bool(lost) == (state in taken)


@pytest.mark.parametrize("state", list(MissionState))
async def test_only_an_active_mission_carries_a_call(state: MissionState) -> None:
    lost = lease_lost(replace(await mission_now(), state=state), None, GRANT, (), NOW)

    assert bool(lost) == (state is not MissionState.ACTIVE)


@pytest.mark.parametrize("state", list(SessionState))
async def test_beyond_the_life_of_its_grant_a_call_goes_on_only_while_the_session_stands_well(
    state: SessionState,
) -> None:
    mission, late = await mission_now(), Instant(GRANT.expires + 1)

    stopped = {SessionState.SUSPENDED, SessionState.KILLED}
    assert bool(lease_lost(mission, standing(state), GRANT, (), NOW)) == (state in stopped)
    assert bool(lease_lost(mission, standing(state), GRANT, (), late)) == (state in {*stopped, SessionState.NARROWED})


async def test_a_mission_that_ran_out_and_whatever_is_unknown_cuts() -> None:
    mission = await mission_now()

    assert lease_lost(replace(mission, expires=NOW), None, GRANT, (), NOW)
    assert lease_lost(None, None, GRANT, (), NOW)
    assert lease_lost(mission, None, None, (), NOW)
    assert lease_lost(mission, None, GRANT, (None,), NOW)
    assert lease_lost(mission, None, GRANT, (replace(GRANT, state=GrantState.REVOKED), GRANT), NOW)
    assert not lease_lost(mission, None, GRANT, (replace(GRANT, state=GrantState.SPENT), GRANT), NOW)


# ---- the broker's own -----------------------------------------------------------------------------------------------------------------------------


async def under_way(**more: object) -> tuple[World, Decision]:
    w = await world(**more)
    await w.join()
    await w.start(allowing("read_file"))
    issued = await w.grant()
    decision = await w.show(issued.grant.id, issued.first_pass, "read_file", {"path": "a"})
    assert decision.passage is Passage.FORWARD
    return w, decision


async def cut_by(w: World, decision: Decision, work: object) -> str:
    """Why the lease ended, and it must have within the second that is promised."""
    waiting = asyncio.create_task(w.broker.driving.decisions.lease(decision.evaluation, Seconds(10)))
    await asyncio.sleep(0)
    began = time.monotonic()
    await work  # type: ignore[misc]
    lease = await waiting
    assert time.monotonic() - began < 1
    assert (lease.goes_on, lease.code) == (False, "lease_ended")
    return lease.why


async def test_revoking_the_grant_cuts() -> None:
    w, decision = await under_way()

    assert "revoked" in await cut_by(w, decision, w.broker.driving.grants.revoke(decision.grant, "enough", "ada"))


@pytest.mark.parametrize("to", [MissionState.SUSPENDED, MissionState.TERMINATED])
async def test_stopping_the_mission_cuts(to: MissionState) -> None:
    w, decision = await under_way()

    assert str(to) in await cut_by(w, decision, w.change(decision.mission, to=to))


@pytest.mark.parametrize("scope", [StopScope.EVERYTHING, StopScope.AGENT, StopScope.MISSION, StopScope.GRANT])
async def test_the_kill_switch_cuts(scope: StopScope) -> None:
    w, decision = await under_way()
    target = {
        StopScope.EVERYTHING: "",
        StopScope.AGENT: "agent",
        StopScope.MISSION: decision.mission,
        StopScope.GRANT: decision.grant,
    }[scope]

    assert await cut_by(w, decision, w.broker.driving.responses.stop(scope, target, "enough", "ada"))


async def test_reuse_of_a_pass_cuts_what_its_grant_has_under_way() -> None:
    w, decision = await under_way()
    second = await w.show(decision.grant, decision.next_pass, "read_file", {"path": "b"})
    await w.settle(second)
    w.clock.now += 60

    async def old_pass() -> None:
        shown = await w.show(decision.grant, decision.next_pass, "read_file", {"path": "c"})
        assert shown.passage is Passage.REFUSE

    assert "reused" in await cut_by(w, decision, old_pass())


async def test_time_alone_cuts_when_the_session_would_not_be_renewed() -> None:
    w, decision = await under_way(rules=replace(Rules(), grants=GrantRules(ttl=Seconds(60), ttl_shortest=Seconds(60))))
    lease = w.broker.driving.decisions.lease
    w.clock.now += 70
    assert (await lease(decision.evaluation, Seconds(0))).goes_on, "the grant has run out and the session stands well"

    await w.stand(decision.mission, 60.0, SessionState.NARROWED)

    assert not (await lease(decision.evaluation, Seconds(0))).goes_on


async def test_a_lease_goes_on_when_nothing_ends_and_the_question_has_waited_long_enough() -> None:
    w, decision = await under_way()

    lease = await w.broker.driving.decisions.lease(decision.evaluation, Seconds(0.05))

    assert lease.goes_on
    await asyncio.sleep(0.3)
    assert not w.broker.state.listeners, "nothing runs while nobody waits"


async def test_a_stream_is_asked_about_after_its_opening_is_settled_and_anything_else_is_unknown() -> None:
    w, decision = await under_way()
    lease = w.broker.driving.decisions.lease
    await lease(decision.evaluation, Seconds(0))
    await w.broker.driving.decisions.settle(decision.evaluation, Outcome(Settled.COMPLETE))

    assert (await lease(decision.evaluation, Seconds(0))).goes_on
    await w.broker.driving.grants.revoke(decision.grant, "enough", "ada")
    assert not (await lease(decision.evaluation, Seconds(0))).goes_on
    with pytest.raises(NotFoundError):
        await lease("c-unknown", Seconds(0))


async def test_what_is_only_observed_is_cut_by_a_person_alone() -> None:
    w = await world()
    await w.join(observe=True)
    mission = await w.start()
    decision = await w.call("delete_record", {"id": "1"})
    lease = w.broker.driving.decisions.lease
    assert decision.observed
    await w.stand(mission.id, 1.0, SessionState.KILLED)
    assert (await lease(decision.evaluation, Seconds(0))).goes_on

    await w.broker.driving.responses.stop(StopScope.EVERYTHING, "", "enough", "ada")

    assert not (await lease(decision.evaluation, Seconds(0))).goes_on
