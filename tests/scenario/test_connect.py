"""`jittrust connect` end to end: the official client over stdio, the gateway over HTTP, a server that counts what it did."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import mcp_types as types
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError
from tests.agent import DpopAgent
from tests.connecting import (
    ROOT,
    TOOLS,
    BrokerProcess,
    CountingServer,
    TokenFiles,
    allowed,
    broker,
    free_port,
    network,
    new_token,
    passes,
    stdio,
    words,
)
from tests.recorder import Wire, in_thread
from tests.serving import http_server

from jittrust.apps.cli.connect import read_key
from jittrust.core.grant.proof import Es256Signer
from jittrust.core.secret import Secret

Mode = Literal["legacy", "auto"]
BOTH = pytest.mark.parametrize("mode", ["legacy", "auto"])
SLACK = 2.0


@pytest.fixture(scope="module")
def counting() -> Iterator[CountingServer]:
    with in_thread(CountingServer()) as found:
        yield cast("CountingServer", found)


@pytest.fixture(scope="module")
def serving(counting: CountingServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with broker(tmp_path_factory.mktemp("broker"), counting.url) as found:
        yield found


@pytest.fixture
def server(counting: CountingServer) -> CountingServer:
    counting.forget()
    counting.done.clear()
    counting.sessions.clear()
    counting.ended.clear()
    return counting


async def enrolled(serving: BrokerProcess, folder: Path, *, lanes: int = 4, ttl: int = 600) -> TokenFiles:
    await serving.running.mission("Read the notes and echo their words.", allowed(*TOOLS), lanes)
    return await asyncio.to_thread(new_token, serving.running, folder, lanes=lanes, ttl=ttl)


@asynccontextmanager
async def connected(files: TokenFiles, url: str, mode: Mode, *more: str) -> AsyncIterator[Client]:
    async with Client(stdio_client(stdio(files.command(url, *more))), mode=mode) as client:
        yield client


@BOTH
async def test_the_official_client_lists_and_calls_over_stdio_with_a_new_pass_each_time(
    serving: BrokerProcess, server: CountingServer, tmp_path: Path, mode: Mode
) -> None:
    files = await enrolled(serving, tmp_path)
    async with connected(files, serving.running.mcp["notes"], mode) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert set(TOOLS) | {"request_access"} == listed
        for number in range(5):
            assert words(await client.call_tool("echo", {"word": f"w{number}"})) == f"noted: w{number}"
        assert words(await client.call_tool("stream", {"word": "s"})) == "noted: s"
    assert dict(server.done) == {f"w{number}": 1 for number in range(5)} | {"s": 1}
    found = await passes(serving.running)
    assert not found.keys() & {"reuse", "lost_race"}
    if mode == "legacy":
        assert server.streams >= 1
        assert server.ended == server.sessions


@BOTH
async def test_twenty_calls_at_once_go_out_once_each_on_a_few_lanes(
    serving: BrokerProcess, server: CountingServer, tmp_path: Path, mode: Mode
) -> None:
    files = await enrolled(serving, tmp_path, lanes=4)
    async with connected(files, serving.running.mcp["notes"], mode) as client:
        await client.list_tools()
        began = time.monotonic()
        results = await asyncio.gather(*(client.call_tool("slow", {"word": f"p{number}"}) for number in range(20)))
        took = time.monotonic() - began
    assert sorted(map(words, results)) == sorted(f"noted: p{number}" for number in range(20))
    assert dict(server.done) == {f"p{number}": 1 for number in range(20)}
    assert took < 20 * 0.3  # one after the other they would take six seconds
    found = await passes(serving.running)
    assert not found.keys() & {"reuse", "lost_race"}


@BOTH
async def test_a_broker_that_is_killed_and_comes_back_is_not_noticed_between_calls(
    server: CountingServer, tmp_path: Path, mode: Mode
) -> None:
    with broker(tmp_path / "b", server.url) as serving:
        files = await enrolled(serving, tmp_path)
        async with connected(files, serving.running.mcp["notes"], mode) as client:
            assert words(await client.call_tool("echo", {"word": "before"})) == "noted: before"
            serving.kill()
            call = asyncio.create_task(client.call_tool("echo", {"word": "during"}))
            await asyncio.sleep(1.0)
            await asyncio.to_thread(serving.start)
            assert words(await asyncio.wait_for(call, 30)) == "noted: during"
            assert words(await client.call_tool("echo", {"word": "after"})) == "noted: after"
        assert dict(server.done) == {"before": 1, "during": 1, "after": 1}
        assert not (await passes(serving.running)).keys() & {"reuse"}


async def test_a_broker_that_is_killed_in_the_middle_of_a_call_leaves_it_in_doubt_and_never_repeats_it(
    server: CountingServer, tmp_path: Path
) -> None:
    with broker(tmp_path / "b", server.url) as serving:
        files = await enrolled(serving, tmp_path)
        async with connected(files, serving.running.mcp["notes"], "auto") as client:
            await client.list_tools()
            call = asyncio.create_task(client.call_tool("nap", {"word": "asleep"}))
            while not server.done["asleep"]:  # noqa: ASYNC110 - it counts in another thread
                await asyncio.sleep(0.05)
            serving.kill()
            await asyncio.to_thread(serving.start)
            with pytest.raises(MCPError) as caught:
                await asyncio.wait_for(call, 30)
            assert cast("Wire", caught.value.error.data)["code"] == "in_doubt"
            assert words(await client.call_tool("echo", {"word": "after"})) == "noted: after"
        assert dict(server.done) == {"asleep": 1, "after": 1}


@BOTH
async def test_a_broker_that_is_killed_at_any_moment_doubles_no_call_and_leaves_none_without_an_answer(
    server: CountingServer, tmp_path: Path, mode: Mode
) -> None:
    with broker(tmp_path / "b", server.url) as serving:
        files = await enrolled(serving, tmp_path, lanes=8)
        url = serving.running.mcp["notes"]
        async with connected(files, url, mode, "--lanes", "8") as client:
            await client.list_tools()
            for turn, wait in enumerate((0.05, 0.2, 0.4)):
                calls = [
                    asyncio.create_task(client.call_tool(tool, {"word": f"k{turn}-{number}-{tool}"}))
                    for number in range(3)
                    for tool in ("slow", "echo", "stream")
                ]
                await asyncio.sleep(wait)
                serving.kill()
                await asyncio.to_thread(serving.start)
                for answer in await asyncio.gather(*calls, return_exceptions=True):
                    if isinstance(answer, MCPError):
                        assert cast("Wire", answer.error.data)["code"] == "in_doubt"
                    else:
                        assert server.done[words(answer).removeprefix("noted: ")] == 1
        assert max(server.done.values()) == 1
        assert not (await passes(serving.running)).keys() & {"reuse"}


@BOTH
async def test_a_network_that_is_cut_for_seconds_costs_no_call_and_doubles_none(
    server: CountingServer, tmp_path: Path, mode: Mode
) -> None:
    port = free_port()
    with broker(tmp_path / "b", server.url, public=f"http://127.0.0.1:{port}") as serving:
        files = await enrolled(serving, tmp_path)
        target = int(serving.running.url.rpartition(":")[2])
        async with (
            network(target, port) as wire,
            connected(files, f"http://127.0.0.1:{port}/mcp/notes", mode) as client,
        ):
            await client.list_tools()
            for turn in range(3):
                # Answers are lost on the way: the server has done its work, and the client must hear of it without a second time.
                assert words(await client.call_tool("echo", {"word": f"warm{turn}"})) == f"noted: warm{turn}"
                before, wire.deaf = wire.swallowed, True
                call = asyncio.create_task(client.call_tool("echo", {"word": f"lost{turn}"}))
                while wire.swallowed == before:  # noqa: ASYNC110 - a counter of the test's own
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.3)
                wire.deaf = False
                assert words(await asyncio.wait_for(call, 30)) == f"noted: lost{turn}"
            await wire.cut()
            calls = [asyncio.create_task(client.call_tool("echo", {"word": f"cut{number}"})) for number in range(4)]
            await asyncio.sleep(3.0)
            await wire.open()
            for number, one in enumerate(calls):
                assert words(await asyncio.wait_for(one, 30)) == f"noted: cut{number}"
            assert words(await client.call_tool("echo", {"word": "after"})) == "noted: after"
        assert set(server.done.values()) == {1}
        assert len(server.done) == 11
        found = await passes(serving.running)
        assert found["resend"] >= 1
        assert "reuse" not in found


async def test_a_long_call_outlives_a_renewal_and_the_next_call_uses_the_new_grant(
    serving: BrokerProcess, server: CountingServer, tmp_path: Path
) -> None:
    server.nap = 6.0
    await serving.running.mission("Read the notes and echo their words.", allowed(*TOOLS), 4)
    files = await asyncio.to_thread(new_token, serving.running, tmp_path, ttl=8)
    first = json.loads(files.token.read_bytes())["grant"]["id"]
    try:
        async with connected(files, serving.running.mcp["notes"], "auto") as client:
            await client.list_tools()
            long = asyncio.create_task(client.call_tool("nap", {"word": "long"}))
            await asyncio.sleep(1.0)
            await asyncio.to_thread(new_token, serving.running, tmp_path, key=files.key)
            await asyncio.sleep(4.0)
            assert words(await client.call_tool("echo", {"word": "next"})) == "noted: next"
            assert words(await asyncio.wait_for(long, 20)) == "noted: long"
            await asyncio.sleep(4.0)
            assert words(await client.call_tool("echo", {"word": "last"})) == "noted: last"
    finally:
        server.nap = 2.0
    assert dict(server.done) == {"long": 1, "next": 1, "last": 1}
    second = json.loads(files.token.read_bytes())["grant"]["id"]
    used = [record for record in await serving.running.records() if record.get("grant") == second]
    assert second != first
    assert any(record["kind"] == "evaluation" for record in used) or used


async def test_a_grant_that_has_ended_with_no_other_is_an_error_with_a_code_and_a_next_step(
    serving: BrokerProcess, server: CountingServer, tmp_path: Path
) -> None:
    files = await enrolled(serving, tmp_path)
    grant = json.loads(files.token.read_bytes())["grant"]["id"]
    async with connected(files, serving.running.mcp["notes"], "auto") as client:
        await client.list_tools()
        async with serving.running.person() as driving:
            await driving.grants.revoke(grant, "enough", "a person")
        with pytest.raises(MCPError) as caught:
            await client.call_tool("echo", {"word": "late"})
        assert cast("Wire", caught.value.error.data)["code"] == "grant_ended"
    assert server.done == {}


async def test_a_thief_with_the_copied_key_and_token_is_caught_and_the_grant_ends(
    serving: BrokerProcess, server: CountingServer, tmp_path: Path
) -> None:
    import aiohttp

    files = await enrolled(serving, tmp_path, lanes=1)
    key = read_key(Secret(files.key.read_bytes()))
    assert isinstance(key, Es256Signer)
    token = json.loads(files.token.read_bytes())["token"]
    async with (
        connected(files, serving.running.mcp["notes"], "auto") as client,
        aiohttp.ClientSession() as http,
    ):
        assert words(await client.call_tool("echo", {"word": "mine"})) == "noted: mine"
        thief = DpopAgent(key, token, serving.running.mcp["notes"], None, http)
        assert (await thief.call(word="asked")).status == 401  # a challenge: it takes the owner's place in the chain
        assert (await thief.call(word="stolen")).status == 200
        await asyncio.sleep(SLACK + 1.2)
        stopped = await client.call_tool("echo", {"word": "mine again"})
        assert stopped.is_error
        with pytest.raises(MCPError) as caught:
            await client.call_tool("echo", {"word": "and again"})
        assert cast("Wire", caught.value.error.data)["code"] == "grant_ended"
        assert (await thief.call(word="more")).status == 401
    assert server.done["more"] == server.done["mine again"] == server.done["and again"] == 0
    assert (await passes(serving.running))["reuse"] >= 1


def started(files: TokenFiles, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        files.command(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )


HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip


@pytest.mark.parametrize(("how", "code"), [("eof", 0), ("ctrl-c", 130), ("term", 143)])
async def test_the_end_of_the_client_and_signals_end_it_cleanly_and_close_the_session(
    serving: BrokerProcess, server: CountingServer, tmp_path: Path, how: str, code: int
) -> None:
    files = await enrolled(serving, tmp_path)
    process = started(files, serving.running.mcp["notes"])
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(HELLO).encode() + b"\n")
    process.stdin.flush()
    answer = json.loads(await asyncio.to_thread(process.stdout.readline))
    assert answer["result"]["serverInfo"]["name"] == "counting"
    if how == "eof":
        process.stdin.close()
    else:
        process.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10) == code
    assert process.stderr is not None
    said = process.stderr.read().decode()
    token = json.loads(files.token.read_bytes())["token"]
    assert token not in said
    assert "Traceback" not in said
    assert server.ended == server.sessions
    assert len(server.sessions) == 1
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


NODE, SDK = ROOT / ".tests/node", ROOT / ".tests/npm/node_modules/@modelcontextprotocol/sdk/dist/esm"


async def test_the_official_typescript_client_works_as_it_is(
    serving: BrokerProcess, server: CountingServer, tmp_path: Path
) -> None:
    files = await enrolled(serving, tmp_path)
    script = Path(__file__).with_name("connect_client.mjs")
    command = [str(NODE), str(script), str(SDK), "slow", *files.command(serving.running.mcp["notes"])]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert set(TOOLS) <= set(told["tools"])
    assert sorted(told["texts"]) == sorted(f"noted: n{number}" for number in range(9))
    assert dict(server.done) == {f"n{number}": 1 for number in range(9)}


async def test_what_a_server_asks_of_the_client_reaches_it_and_its_answer_comes_back(tmp_path: Path) -> None:
    script = ROOT / "tests/conformance/everything_server.py"
    asked: list[str] = []

    async def sample(
        context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        asked.append(str(params.messages))
        text = types.TextContent(text="the client's model says hello")
        return types.CreateMessageResult(role="assistant", content=text, model="m")

    with http_server([sys.executable, str(script)]) as upstream, broker(tmp_path / "b", upstream) as serving:
        entries = tuple(
            replace(entry, tool=f"notes/{entry.tool.partition('/')[2]}") for entry in allowed("test_sampling")
        )
        await serving.running.mission("Show sampling at work.", entries, 4)
        files = await asyncio.to_thread(new_token, serving.running, tmp_path / "files")
        url = serving.running.mcp["notes"]
        async with Client(stdio_client(stdio(files.command(url))), mode="legacy", sampling_callback=sample) as client:
            result = await client.call_tool("test_sampling", {"prompt": "say hello"})
    assert len(asked) == 1
    assert "the client's model says hello" in words(result)
