"""A person leaves: everything that they answer for stops within a second, and the registry and the ledger say so."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from tests.agent import DpopAgent, new_key
from tests.contract.stores import sqlite_store
from tests.model.world import MAIL, World, allowing
from tests.recorder import Recorder, in_thread
from tests.serving import Running, gateway

from jittrust.apps.cli.reach import person
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.errors import RefusedError
from jittrust.core.grant.grant import PassBinding
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.identity import Blueprint, IdentityState
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Json, SubjectKind
from jittrust.ports.decision_point import Passage
from jittrust.ports.grants import NewGrant
from jittrust.ports.identities import IdentityChange, IdentityQuery, NewIdentity

AGENTS = 1000
WITHIN = 1.0  # seconds, from the change to its answer, made durable


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[World]:
    """A broker over the real store."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    async with sqlite_store(state) as store:
        yield await World(store, store).open()


async def records(there: World) -> list[dict[str, Json]]:
    """The whole ledger, page by page."""
    found: list[dict[str, Json]] = []
    while page := await there.ledger.entries(len(found), 1000):
        found += (json.loads(leaf) for leaf in page)
    return found


@pytest.mark.timeout(120)
async def test_a_leaver_with_a_thousand_agents_is_cut_within_a_second_and_it_survives_a_restart(there: World) -> None:
    ids, grants = there.broker.driving.identities, there.broker.driving.grants
    ada = await ids.enrol(NewIdentity(SubjectKind.PERSON, "/person/ada", names=("os:ada",), by="hr"))
    bob = await ids.enrol(NewIdentity(SubjectKind.PERSON, "/person/bob", names=("os:bob",), by="hr"))
    await there.join()
    mission = await there.start(allowing("send_mail"))
    for number in range(AGENTS):
        # Each with a root of its own as well, and a lineage, as a fleet under one owner has.
        name, key = f"/agent/a{number}", f"key:{number}"
        await ids.enrol(NewIdentity(SubjectKind.AGENT, name, ada.id, names=(f"client:c{number}",), roots=(key,)))
    other = await ids.enrol(NewIdentity(SubjectKind.AGENT, "/agent/bobs", bob.id))
    agents = [one.id for one in await ids.list(IdentityQuery(owner=ada.id))]
    assert len(agents) == AGENTS
    live = [await there.grant(request=f"r{n}") for n in range(20)]
    bobs = await grants.open(NewGrant("ada", other.id, "srv", PassBinding.DPOP, "of-bobs-agent".ljust(43, "_")))

    began = time.perf_counter()
    view = await ids.change("os:ada", IdentityChange(to=IdentityState.SUSPENDED, why="left the company", by="hr"))
    took = time.perf_counter() - began

    assert took <= WITHIN, f"{took:.3f} s"
    assert view.ended == (mission.id,)
    await there.open()
    ids = there.broker.driving.identities
    shown = await ids.list(IdentityQuery(owner=ada.id))
    assert {(one.state, one.why) for one in shown} == {(IdentityState.SUSPENDED, "owner_left")}
    assert {there.broker.state.grants[one.grant.id].state for one in (*live, bobs)} == {GrantState.REVOKED}
    assert there.broker.state.missions[mission.id].state is MissionState.SUSPENDED
    assert (await ids.show(other.id)).identity.state is IdentityState.ACTIVE
    told = [one for one in await records(there) if one["kind"] == "identity" and one["state"] == "suspended"]
    assert len(told) == AGENTS + 1
    assert {one["by"] for one in told} == {"hr"}
    assert {one["why"] for one in told} == {"left the company", "owner_left"}
    with pytest.raises(RefusedError, match="identity_not_active"):
        await grants.open(
            NewGrant("bob", agents[0], "srv", PassBinding.DPOP, "thumb".ljust(43, "_"), mission=mission.id)
        )


async def test_a_call_that_races_with_the_leaving_goes_out_before_it_or_not_at_all(there: World) -> None:
    ids = there.broker.driving.identities
    await ids.enrol(NewIdentity(SubjectKind.PERSON, "/person/bob", by="hr"))
    await ids.enrol(NewIdentity(SubjectKind.AGENT, "/agent/bobs", "/person/bob", names=("client:agent",)))
    await there.join()
    await there.start(allowing("send_mail"))
    left = asyncio.Event()
    late: list[Passage] = []

    async def calls() -> None:
        for _ in range(40):
            gone = left.is_set()
            told = await there.call("send_mail", MAIL)
            if gone:
                late.append(told.passage)
            await asyncio.sleep(0)

    async def leave() -> None:
        await asyncio.sleep(0.02)
        await ids.change("/person/bob", IdentityChange(to=IdentityState.SUSPENDED, by="hr"))
        left.set()

    await asyncio.gather(calls(), calls(), leave())

    assert late
    assert set(late) == {Passage.REFUSE}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server behind the gateway."""
    with in_thread(Recorder()) as found:
        yield found


@pytest.fixture
def running(recorder: Recorder, tmp_path: Path) -> Iterator[Running]:
    """`jittrust serve` before it."""
    with gateway(tmp_path / "gateway", {"notes": {"url": recorder.url}}) as found:
        yield found


@pytest.mark.timeout(120)
async def test_behind_the_running_gateway_the_agent_of_a_leaver_is_refused_within_a_second(running: Running) -> None:
    entry = AuthorityEntry("e-1", "notes/echo", state=EntryState.APPROVED, approved_by="a person")
    async with running.person() as driving, aiohttp.ClientSession() as http:
        ids = driving.identities
        await ids.enrol(NewIdentity(SubjectKind.PERSON, "/person/bob", by=person()))
        agent = await ids.enrol(NewIdentity(SubjectKind.AGENT, "/agent/bobs", "/person/bob", by=person()))
        await running.mission("Echo the words.", (entry,))
        key = new_key()
        issued = await running.grant("notes", jkt=key.jkt, agent=agent.id)
        caller = DpopAgent(key, issued.token, running.mcp["notes"], issued.first_pass, http)
        assert (await caller.call(word="before")).status == 200

        began = time.perf_counter()
        await ids.change("/person/bob", IdentityChange(to=IdentityState.SUSPENDED, why="left", by=person()))
        after = await caller.call(word="after")
        took = time.perf_counter() - began

        assert after.status in (401, 403), after.body
        assert took <= WITHIN
        assert (await ids.show(agent.id)).identity.why == "owner_left"


@pytest.mark.timeout(120)
async def test_behind_the_running_gateway_a_call_is_within_the_blueprint_and_runs_what_was_approved(
    running: Running,
) -> None:
    entry = AuthorityEntry("e-1", "notes/echo", state=EntryState.APPROVED, approved_by="a person")
    async with running.person() as driving, aiohttp.ClientSession() as http:
        ids = driving.identities
        bob = await ids.enrol(NewIdentity(SubjectKind.PERSON, "/person/bob", by=person()))
        drawn = await ids.draw(Blueprint("coder", bob.id, (entry,), model="1" * 64, by=person()))
        agent = await ids.enrol(NewIdentity(SubjectKind.AGENT, "/agent/bobs", bob.id, blueprint="coder"))
        await running.mission("Echo the words.", (entry,))
        key = new_key()
        issued = await running.grant("notes", jkt=key.jkt, agent=agent.id)
        caller = DpopAgent(key, issued.token, running.mcp["notes"], issued.first_pass, http)

        assert (await caller.call(word="inside")).status == 200
        await ids.draw(replace(drawn, maximum=()))
        await caller.call(word="outside")
        await ids.draw(replace(drawn, model="2" * 64))
        await caller.call(word="stale")

    used = [one for one in await running.records() if one["kind"] == "use" and one["action"]["method"] == "tools/call"]
    assert len(used) == 1
    refusals = [one["policy"]["reasons"][0]["code"] for one in await running.records() if one["kind"] == "refusal"]
    assert refusals == ["outside_blueprint", "identity_not_active"]
