"""MCP over HTTP behind the broker, end to end: passes over the wire, both eras, both kinds of servers."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import aiohttp
import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from tests.agent import ACCEPT, DpopAgent, new_key
from tests.recorder import META, Recorder, Wire, in_thread
from tests.serving import Running, gateway, http_server

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.ports.missions import MissionChange

Mode = Literal["legacy", "auto"]
ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("echo", "slow", "stream", "break")
SLACK = 2.0  # seconds, docs/scoring.md "Rotation"


def allowed(server: str, *tools: str) -> tuple[AuthorityEntry, ...]:
    return tuple(
        AuthorityEntry(f"e-{number}", f"{server}/{tool}", state=EntryState.APPROVED, approved_by="a person")
        for number, tool in enumerate(tools)
    )


@pytest.fixture(scope="module")
def recording() -> Iterator[Recorder]:
    with in_thread(Recorder()) as found:
        yield found


@pytest.fixture
def recorder(recording: Recorder) -> Recorder:
    recording.forget()
    return recording


@pytest.fixture(scope="module")
def running(recording: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = {"url": recording.url, "headers": {"X-Upstream-Key": "its-own"}}
    with gateway(tmp_path_factory.mktemp("gateway"), {"notes": server, "other": {"url": recording.url}}) as found:
        yield found


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def enrolled(
    running: Running, http: aiohttp.ClientSession, *, strict: bool = False, lanes: int = 1, mission: bool = True
) -> DpopAgent:
    if mission:
        await running.mission("Read the notes and echo their words.", allowed("notes", *TOOLS), lanes)
    key = new_key()
    issued = await running.grant("notes", jkt=key.jkt, strict=strict, lanes=lanes)
    return DpopAgent(key, issued.token, running.mcp["notes"], issued.first_pass, http)


# --- passes ------------------------------------------------------------------------------------------------------------------------------


async def test_every_answer_carries_the_pass_that_the_next_call_must_show(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http)
    shown, gas = set(), []
    for number in range(5):
        shown.add(agent.nonce)
        answer = await agent.call(word=f"w{number}")
        assert answer.status == 200, answer.body
        assert answer.text == f"noted: w{number}"
        assert answer.headers["cache-control"] == "no-store"
        gas.append(int(answer.headers["jittrust-gas"]))
    assert len(shown) == 5
    assert gas == sorted(gas, reverse=True)
    assert gas[0] > gas[-1]
    assert len(recorder.calls) == 5


async def test_who_shows_no_pass_is_challenged_and_may_go_on_with_the_one_it_gets(
    running: Running, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http)
    agent.nonce = None
    challenged = await agent.call()
    assert (challenged.status, challenged.code) == (401, "use_dpop_nonce")
    assert 'error="use_dpop_nonce"' in challenged.headers["www-authenticate"]
    assert (await agent.call()).status == 200


async def test_the_same_call_with_the_same_pass_gets_the_same_answer_and_is_not_carried_out_twice(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http)
    first_pass = agent.nonce
    first = await agent.call(word="once")
    again = await agent.call(word="once", nonce=first_pass)
    assert again.status == 200, again.body
    assert again.headers["jittrust-resend"] == "1"
    assert again.json["result"] == first.json["result"]
    assert again.json["id"] != first.json["id"]
    assert again.headers["jittrust-gas"] == first.headers["jittrust-gas"]
    assert len(recorder.calls) == 1
    assert (await agent.call(word="twice")).status == 200


async def test_an_old_pass_with_another_call_loses_the_race_and_nothing_is_spent(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http)
    first_pass = agent.nonce
    first = await agent.call(word="mine")
    lost = await agent.call(word="another", nonce=first_pass)
    assert (lost.status, lost.code) == (401, "use_dpop_nonce")
    assert len(recorder.calls) == 1
    then = await agent.call(word="another")
    assert then.status == 200
    assert int(then.headers["jittrust-gas"]) < int(first.headers["jittrust-gas"])


@pytest.mark.parametrize("strict", [True, False])
async def test_a_thief_with_a_copied_key_who_shows_an_old_pass_late_is_caught_at_once(
    running: Running,
    recorder: Recorder,
    http: aiohttp.ClientSession,
    strict: bool,  # noqa: FBT001 - the parameter of the test
) -> None:
    agent = await enrolled(running, http, strict=strict)
    assert (await agent.call(word="before")).status == 200
    thief = agent.copy()
    assert (await agent.call(word="mine")).status == 200
    await asyncio.sleep(SLACK + 1.2)
    stolen = await thief.call(word="theirs")
    assert stolen.status in {200, 401}
    assert b"noted" not in stolen.body
    assert [call["arguments"]["word"] for call in recorder.calls] == ["before", "mine"]
    after = await agent.call(word="mine again")
    if strict:
        assert (after.status, after.code) == (401, "invalid_token")
    else:
        assert b"session_suspended" in after.body
    assert len(recorder.calls) == 2
    assert "reuse" in await passes(running, agent.token)


async def test_a_thief_who_asks_for_a_challenge_is_exposed_at_the_owners_next_use(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http, strict=True)
    thief = agent.copy()
    assert (await agent.call(word="mine")).status == 200
    thief.nonce = None
    assert (await thief.call()).status == 401
    stolen = await thief.call(word="theirs")
    assert stolen.status == 200
    await asyncio.sleep(SLACK + 1.2)
    exposed = await agent.call(word="mine again")
    assert b"noted" not in exposed.body
    ended = await thief.call(word="more of theirs")
    assert (ended.status, ended.code) == (401, "invalid_token")
    assert [call["arguments"]["word"] for call in recorder.calls] == ["mine", "theirs"]


async def test_a_thief_who_opens_a_lane_of_its_own_is_exposed_at_the_owners_next_use(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http, strict=True, lanes=2)
    thief = agent.copy()
    # Opening a lane spends the pass that is shown for it; the owner does not know.
    thief.nonce = (await opened_lane(running, thief))["pass"]
    assert (await thief.call(word="theirs")).status == 200
    await asyncio.sleep(SLACK + 1.2)
    assert b"noted" not in (await agent.call(word="mine")).body
    ended = await thief.call(word="more of theirs")
    assert (ended.status, ended.code) == (401, "invalid_token")
    assert [call["arguments"]["word"] for call in recorder.calls] == ["theirs"]
    assert [what for what in await passes(running, agent.token) if what in {"lane_opened", "reuse"}] == [
        "lane_opened",
        "reuse",
    ]


async def passes(running: Running, token: str) -> list[str]:
    """What was recorded of the passes of a grant: challenges, lost races, reuses, lanes."""
    grant = json.loads(_payload(token))["grant_id"]
    records = await running.records()
    return [str(record["what"]) for record in records if record["kind"] == "pass" and record["grant"] == grant]


async def opened_lane(running: Running, agent: DpopAgent) -> Wire:
    grant = json.loads(_payload(agent.token))["grant_id"]
    url = f"{running.url}/grants/{grant}/lanes"
    headers = {"authorization": f"DPoP {agent.token}", "dpop": agent.proof(url)}
    async with agent.http.post(url, headers=headers) as response:
        body = await response.json()
        assert response.status == 201, body
        # The next pass of the lane that asked; that of the new lane is in the body.
        agent.nonce = response.headers["dpop-nonce"]
        return body


def _payload(token: str) -> bytes:
    import base64

    part = token.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_two_lanes_carry_two_calls_at_once(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http, lanes=2)
    second = agent.copy()
    second.nonce = (await opened_lane(running, agent))["pass"]
    answers = await asyncio.gather(agent.call(word="a"), second.call(word="b"))
    assert [answer.status for answer in answers] == [200, 200]
    assert len(recorder.calls) == 2


async def test_the_nonce_of_another_grant_is_answered_with_a_challenge_and_harms_nobody(
    running: Running, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http, strict=True)
    other = await enrolled(running, http, strict=True, mission=False)
    foreign = await agent.call(nonce=other.nonce)
    assert (foreign.status, foreign.code) == (401, "use_dpop_nonce")
    assert (await agent.call()).status == 200
    assert (await other.call()).status == 200


async def test_a_stream_begins_with_the_pass_for_the_next_call(running: Running, http: aiohttp.ClientSession) -> None:
    agent = await enrolled(running, http)
    streamed = await agent.call("stream", "s")
    assert streamed.headers["content-type"] == "text/event-stream"
    assert b"half way" in streamed.body
    assert b'"unknownMember": {"kept": 1.5}' in streamed.body
    assert b": hello" in streamed.body
    assert (await agent.call()).status == 200


async def test_a_grant_for_one_server_opens_no_other(running: Running, http: aiohttp.ClientSession) -> None:
    agent = await enrolled(running, http)
    elsewhere = agent.copy()
    elsewhere.url = running.mcp["other"]
    refused = await elsewhere.call()
    assert (refused.status, refused.code) == (401, "invalid_token")
    assert (await agent.call()).status == 200


async def test_a_bound_token_is_no_bearer_token_and_a_bearer_token_takes_no_proof(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http)
    bearer = await running.grant("notes")
    for headers in (
        {"authorization": f"Bearer {agent.token}"},
        {"authorization": f"DPoP {bearer.token}"},
        {"authorization": f"Bearer {bearer.token}"},  # with a proof beside it
    ):
        refused = await agent.call(headers=headers)
        assert (refused.status, refused.code) == (401, "invalid_token")
    assert recorder.calls == []


async def test_a_stock_client_with_eight_calls_at_once_is_neither_killed_nor_suspended(
    running: Running, recorder: Recorder
) -> None:
    from requests import Session
    from requests_oauth2client import DPoPKey, DPoPToken

    await running.mission("Read the notes and echo their words.", allowed("notes", *TOOLS))
    key = DPoPKey.generate()
    issued = await running.grant("notes", jkt=str(key.dpop_jkt))
    token = DPoPToken(access_token=issued.token, _dpop_key=key)

    def one(word: str) -> int:
        body: Any = {
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"_meta": META, "name": "echo", "arguments": {"word": word}},
        }  # fmt: skip
        headers = {
            "accept": ACCEPT, "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "echo",
        }  # fmt: skip
        code = 0
        with Session() as session:
            for _ in range(
                10
            ):  # the library repeats a challenged call once; the pass it then shows may be another call's by then
                answer = session.post(running.mcp["notes"], json=body, headers=headers, auth=token)
                code = int(answer.status_code)
                if code == 200:
                    break
        return code

    with ThreadPoolExecutor(8) as pool:
        loop = asyncio.get_running_loop()
        codes = await asyncio.gather(*(loop.run_in_executor(pool, one, f"w{number}") for number in range(24)))
    assert set(codes) == {200}
    assert "reuse" not in await passes(running, issued.token)
    assert sorted(call["arguments"]["word"] for call in recorder.calls) == sorted(f"w{number}" for number in range(24))


# --- what goes to the server behind ------------------------------------------------------------------------------------------------------


async def test_the_server_behind_gets_its_own_credential_and_nothing_of_the_callers(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http)
    secret = {
        "cookie": "session=caller",
        "x-api-key": "callers-key",
        "proxy-authorization": "Basic eHg6eHg=",
        "forwarded": "for=1",
    }
    assert (await agent.call(headers=secret)).status == 200
    assert recorder.seen
    for headers, body in recorder.seen:
        assert headers["x-upstream-key"] == "its-own"
        assert not {"authorization", "dpop", "cookie", "x-api-key", "proxy-authorization", "forwarded"} & headers.keys()
        assert agent.token not in json.dumps([headers, body])


async def test_a_call_outside_the_map_is_stepped_up_and_does_not_reach_the_server(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    await running.mission("Read the notes and echo their words.", allowed("notes", "echo"))
    agent = await enrolled(running, http, mission=False)
    refused = await agent.call("slow")
    assert refused.status == 200
    assert refused.json["result"]["isError"] is True
    assert refused.json["result"]["_meta"]["dev.jittrust/decision"]["code"] in {"approval_needed", "not_authorised"}
    assert recorder.calls == []
    assert (await agent.call()).status == 200


async def test_a_server_that_dies_in_mid_call_is_an_error_with_a_code_and_the_lane_lives(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http)
    broken = await agent.call("break")
    assert broken.status == 200
    assert broken.json["error"]["data"]["code"] == "upstream_unreachable"
    assert (await agent.call()).status == 200


async def test_a_caller_that_leaves_in_mid_call_cancels_it_and_the_record_says_in_doubt(
    running: Running, recorder: Recorder, http: aiohttp.ClientSession
) -> None:
    agent = await enrolled(running, http)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(agent.call("slow"), 1.0)
    await asyncio.sleep(0.5)
    assert recorder.cancelled == 1
    outcomes = [record for record in await running.records() if record["kind"] == "outcome"]
    assert "in_doubt" in json.dumps(outcomes[-1])
    # Its pass went with the answer that it did not wait for: it is challenged and goes on.
    agent.nonce = None
    assert (await agent.call()).status == 401
    assert (await agent.call()).status == 200


# --- the official client, both eras, both kinds of servers ---------------------------------------------------------------------------------


def bearer_client(token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_client_works_through_the_gateway_with_a_program_behind_it(
    mode: Mode, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    files = {
        "command": sys.executable,
        "args": [str(ROOT / "examples/servers/files.py"), "--data", str(tmp_path / "data")],
    }
    with gateway(tmp_path / "gateway", {"files": files}) as running:
        await running.mission("List the files and read them.", allowed("files", "list_files"))
        token = (await running.grant("files")).token
        async with (
            bearer_client(token) as http,
            Client(streamable_http_client(running.mcp["files"], http_client=http), mode=mode) as client,
        ):
            listed = await client.list_tools()
            names = {tool.name for tool in listed.tools}
            assert "list_files" in names
            assert "request_access" in names
            result = await client.call_tool("list_files", {})
            assert not result.is_error, result
            refused = await client.call_tool("delete_file", {"path": "x"})
            assert refused.is_error


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_client_works_through_the_gateway_with_an_http_server_behind_it(
    mode: Mode, tmp_path: Path
) -> None:
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    script = ROOT / "tests/conformance/everything_server.py"
    with (
        http_server([sys.executable, str(script)]) as upstream,
        gateway(tmp_path, {"everything": {"url": upstream}}) as running,
    ):
        await running.mission(
            "Show the tools at work.", allowed("everything", "test_simple_text", "test_tool_with_progress")
        )
        token = (await running.grant("everything")).token
        async with (
            bearer_client(token) as http,
            Client(streamable_http_client(running.mcp["everything"], http_client=http), mode=mode) as client,
        ):
            result = await client.call_tool("test_simple_text", {})
            assert isinstance(result.content[0], types.TextContent)
            assert result.content[0].text == "This is a simple text response for testing."
            await client.call_tool("test_tool_with_progress", {}, progress_callback=note)
            assert seen == [0, 50, 100]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_call_outside_the_map_goes_through_once_the_person_says_yes_in_the_clients_own_form(
    mode: Mode, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def say_yes(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"approve": True})

    script = ROOT / "tests/conformance/everything_server.py"
    with (
        http_server([sys.executable, str(script)]) as upstream,
        gateway(tmp_path, {"everything": {"url": upstream}}) as running,
    ):
        await running.mission("Show a simple text.", allowed("everything", "test_simple_text"))
        token = (await running.grant("everything")).token
        async with (
            bearer_client(token) as http,
            Client(
                streamable_http_client(running.mcp["everything"], http_client=http),
                mode=mode,
                elicitation_callback=say_yes,
            ) as client,
        ):
            result = await client.call_tool("test_image_content", {})
        assert not result.is_error, result
        assert len(asked) == 1
        assert "everything/test_image_content" in asked[0]
        approvals = [record for record in await running.records() if record["kind"] == "approval"]
        assert "client" in json.dumps(approvals)


async def test_who_listens_is_told_of_less_authority_and_a_gateway_with_open_streams_ends_in_time(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    script = ROOT / "tests/conformance/everything_server.py"
    with http_server([sys.executable, str(script)]) as upstream:
        with gateway(tmp_path, {"everything": {"url": upstream}}) as running:
            mission = await running.mission(
                "Show a simple text.", allowed("everything", "test_simple_text", "test_trigger_tool_change")
            )
            token = (await running.grant("everything")).token

            async def ask(method: str, **params: Wire) -> aiohttp.ClientResponse:
                headers = {
                    "authorization": f"Bearer {token}", "accept": ACCEPT, "mcp-protocol-version": "2026-07-28",
                    "mcp-method": method,
                }  # fmt: skip
                body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META, **params}}
                response = await http.post(running.mcp["everything"], json=body, headers=headers)
                assert response.status == 200
                return response

            async def listed() -> set[str]:
                answer = await ask("tools/list")
                assert answer.content_type == "application/json"
                result = (await answer.json())["result"]
                assert result["cacheScope"] == "private"
                return {tool["name"] for tool in result["tools"]}

            before = await listed()
            assert "test_trigger_tool_change" in before
            stream = await ask("subscriptions/listen", notifications={"toolsListChanged": True})
            assert await stream.content.readline()
            async with running.person() as driving:
                await driving.missions.change(mission.id, MissionChange(refuse=("e-1",), by="a person"))
            seen = b""
            while b"list_changed" not in seen:
                seen += await asyncio.wait_for(stream.content.readline(), 10)
            assert b'"io.modelcontextprotocol/subscriptionId":1' in seen
            assert await listed() == before - {"test_trigger_tool_change"}
            ending = time.monotonic()
        assert time.monotonic() - ending < 5
        stream.close()


async def test_dev_needs_nothing_and_says_how_to_reach_it(http: aiohttp.ClientSession) -> None:
    command = [sys.executable, "-m", "jittrust.apps.cli.main", "dev", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: ASYNC220 - once, at start
        assert process.stdout is not None
        assert process.stderr is not None
        told = json.loads(process.stdout.readline())
        assert set(told) == {"url", "console", "mcp", "token", "workload"}
        assert re.fullmatch(r"http://localhost:[0-9]+/console/enrol#[A-Za-z0-9_-]{20,}", told["console"])
        assert told["workload"].endswith(".sock")
        assert set(told["mcp"]) == {"mail", "files", "hr", "payments"}
        async with http.get(told["url"] + "/healthz") as response:
            health = await response.json()
        assert (health["status"], health["notes"]["development"]) == ("ok", True)
        assert health["matrix"]
        assert not any(row["opens"] for row in health["matrix"])
        async with (
            bearer_client(told["token"]) as client_http,
            Client(streamable_http_client(told["mcp"]["files"], http_client=client_http)) as client,
        ):
            assert "request_access" in {tool.name for tool in (await client.list_tools()).tools}
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
        assert b"DEVELOPMENT" in process.stderr.read()


async def test_a_session_belongs_to_the_grant_that_opened_it_and_ends_with_delete(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    script = ROOT / "tests/conformance/everything_server.py"
    with (
        http_server([sys.executable, str(script)]) as upstream,
        gateway(tmp_path, {"everything": {"url": upstream}}) as running,
    ):
        await running.mission("Show the tools at work.", allowed("everything", "test_simple_text"))
        mine, theirs = [(await running.grant("everything")).token for _ in range(2)]
        url = running.mcp["everything"]

        async def post(token: str, body: dict[str, Any], session: str = "") -> tuple[int, dict[str, str], str]:
            headers = {"authorization": f"Bearer {token}", "accept": ACCEPT} | (
                {"mcp-session-id": session} if session else {}
            )
            async with http.post(url, json=body, headers=headers) as response:
                return response.status, {k.lower(): v for k, v in response.headers.items()}, await response.text()

        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tester", "version": "1"}}
        status, headers, _ = await post(mine, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
        assert status == 200
        session = headers["mcp-session-id"]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        assert (await post(mine, {"jsonrpc": "2.0", "method": "notifications/initialized"}, session))[0] == 202
        assert (await post(mine, ping, session))[0] == 200
        status, _, body = await post(theirs, ping, session)
        assert (status, json.loads(body)["code"]) == (404, "session_unknown")
        assert (await post(mine, ping))[0] == 400
        ending = {"authorization": f"Bearer {mine}", "mcp-session-id": session}
        async with http.delete(url, headers=ending) as response:
            assert response.status == 200
        assert (await post(mine, ping, session))[0] == 404


# --- the prompt hook ---------------------------------------------------------------------------------------------------------------------


async def test_what_a_person_types_into_the_client_becomes_the_goal(
    running: Running, http: aiohttp.ClientSession
) -> None:
    token = (running.state / "hook.token").read_text("ascii").strip()
    body = {
        "session_id": "s-1", "transcript_path": "/t", "cwd": "/w", "permission_mode": "default",
        "hook_event_name": "UserPromptSubmit", "prompt": "Read the notes of Monday",
    }  # fmt: skip
    url, headers = f"{running.url}/hooks/claude-code", {"authorization": f"Bearer {token}"}
    async with http.post(url, json=body, headers=headers) as response:
        assert (response.status, await response.json()) == (200, {})
    async with http.post(url, json=body | {"prompt": "and of Tuesday"}, headers=headers) as response:
        assert response.status == 200
    async with running.person() as driving:
        [view] = [view for view in await driving.missions.list() if view.mission.state == "active"]
    assert view.mission.goal.texts[-2:] == ("Read the notes of Monday", "and of Tuesday")
    async with http.post(url, json=body | {"hook_event_name": "PreToolUse"}, headers=headers) as response:
        assert (response.status, await response.json()) == (200, {})
    async with http.post(url, json=body, headers={"authorization": "Bearer wrong"}) as response:
        assert (response.status, (await response.json())["code"]) == (401, "hook_token_wrong")
