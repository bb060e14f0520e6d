"""What is under way ends, on the wire, within a second of what it stood on: calls, listening streams, streams of a session."""

# ruff: noqa: ASYNC110 - other processes are watched from outside
from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.agent import ACCEPT, DpopAgent, new_key
from tests.recorder import META, Recorder, in_thread
from tests.scenario.gated.world import world
from tests.serving import Running, gateway, http_server

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.mission.states import MissionState
from jittrust.core.response.stop import StopScope
from jittrust.ports.missions import MissionChange

EVERYTHING = Path(__file__).resolve().parents[1] / "conformance/everything_server.py"


def allowed(tool: str) -> tuple[AuthorityEntry, ...]:
    return (AuthorityEntry("e-0", tool, state=EntryState.APPROVED, approved_by="a person"),)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ended(running: Running, how: str, grant: str, mission: str) -> float:
    """End it in one of the ways; when it was asked for."""
    async with running.person() as driving:
        began = time.monotonic()
        if how == "revoked":
            await driving.grants.revoke(grant, "enough", "a person")
        elif how == "suspended":
            await driving.missions.change(
                mission, MissionChange(to=MissionState.SUSPENDED, why="enough", by="a person")
            )
        else:
            await driving.responses.stop(StopScope.GRANT, grant, "enough", "a person")
    return began


@pytest.mark.parametrize("how", ["revoked", "suspended", "stopped"])
async def test_a_call_under_way_is_cut_its_server_sees_it_and_it_is_in_doubt(
    how: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    with in_thread(Recorder()) as recorder, gateway(tmp_path, {"notes": {"url": recorder.url}}) as running:
        mission = await running.mission("Read the notes slowly.", allowed("notes/slow"))
        key = new_key()
        issued = await running.grant("notes", jkt=key.jkt)
        agent = DpopAgent(key, issued.token, running.mcp["notes"], issued.first_pass, http)
        call = asyncio.create_task(agent.call("slow", "w"))
        while not recorder.calls:
            await asyncio.sleep(0.02)

        began = await ended(running, how, issued.grant.id, mission.id)
        answer = await call

        assert time.monotonic() - began < 1
        assert answer.json["error"]["data"]["code"] == "lease_ended"
        await asyncio.sleep(0.1)
        assert recorder.cancelled == 1
        assert [one["settled"] for one in await running.records() if one["kind"] == "outcome"][-1:] == ["in_doubt"]


async def test_streams_that_listen_end_with_their_grant(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    with (
        http_server([sys.executable, str(EVERYTHING)]) as upstream,
        gateway(tmp_path, {"everything": {"url": upstream}}) as running,
    ):
        await running.mission("Show a simple text.", allowed("everything/test_simple_text"))
        url = running.mcp["everything"]
        issued = await running.grant("everything")
        bearer = {"authorization": f"Bearer {issued.token}", "accept": ACCEPT}

        async def post(body: dict[str, Any], **headers: str) -> aiohttp.ClientResponse:
            return await http.post(url, json={"jsonrpc": "2.0", **body}, headers=bearer | headers)

        listening = await post(
            {
                "id": 1,
                "method": "subscriptions/listen",
                "params": {"_meta": META, "notifications": {"toolsListChanged": True}},
            },
            **{"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"},
        )
        assert (listening.status, listening.content_type) == (200, "text/event-stream")
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tester", "version": "1"}}
        opened = await post({"id": 2, "method": "initialize", "params": hello})
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        await post({"method": "notifications/initialized"}, **session)
        stream = await http.get(url, headers=bearer | session | {"accept": "text/event-stream"})
        assert (stream.status, stream.content_type) == (200, "text/event-stream")

        began = await ended(running, "revoked", issued.grant.id, "")
        await asyncio.wait_for(asyncio.gather(listening.content.read(), stream.content.read()), 5)

        assert time.monotonic() - began < 1
        assert (await post({"id": 3, "method": "ping"}, **session)).status in {401, 403}


async def test_a_call_through_a_pipe_is_cut_too_and_the_server_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        line = await here.gate(gate={"goal": "Read my notes"})
        await line.begin()
        number = await line.start("tools/call", name="slow", arguments={"seconds": 4.0})
        while not any(one.startswith("slow") for one in here.effects()):
            await asyncio.sleep(0.02)
        [view, *_] = await here.broker.driving.missions.list()

        began = time.monotonic()
        await here.broker.driving.responses.stop(StopScope.MISSION, view.mission.id, "enough", "a person")
        answer = await line.answer(number)

        assert time.monotonic() - began < 1
        assert answer["error"]["data"]["code"] == "lease_ended"
        await asyncio.sleep(1.2)  # its tool looks once a second whether it was cancelled
        assert "cancelled" in here.effects()
        await line.leave()
