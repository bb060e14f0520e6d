"""Hostile input over HTTP: each attack ends in a refusal with a code, never in a 5xx, nothing reaches the server behind, the broker lives."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict
from tests.agent import ACCEPT, Answer, DpopAgent, new_key
from tests.recorder import META, Recorder, Wire, in_thread
from tests.serving import Running, gateway

from jittrust.core.authority.map import AuthorityEntry, EntryState

MEBIBYTE = 1024 * 1024


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
    with gateway(tmp_path_factory.mktemp("gateway"), {"notes": {"url": recording.url}}) as found:
        yield found


@pytest.fixture
async def bearer(running: Running) -> str:
    entry = AuthorityEntry("e-1", "notes/echo", state=EntryState.APPROVED, approved_by="a person")
    await running.mission("Read the notes and echo their words.", (entry,))
    return (await running.grant("notes")).token


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


def call(word: str = "w", **changes: Wire) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"_meta": META, "name": "echo", "arguments": {"word": word}},
    } | changes


def usual(token: str) -> dict[str, str]:
    return {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": ACCEPT,
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "echo",
    }


async def post(http: aiohttp.ClientSession, running: Running, body: bytes, headers: Mapping[str, str]) -> Answer:
    async with http.post(running.mcp["notes"], data=body, headers=headers) as response:
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, found, await response.read())


def code_of(answer: Answer) -> str:
    """The code of problem details or of a JSON-RPC error."""
    found = answer.json
    return str(found["code"] if "code" in found else found["error"]["data"]["code"])


async def lives(http: aiohttp.ClientSession, running: Running, token: str) -> bool:
    return (await post(http, running, json.dumps(call()).encode(), usual(token))).status == 200


# --- bodies ------------------------------------------------------------------------------------------------------------------------------

DEEP = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":'
    + b'{"a":' * 10_000
    + b"1"
    + b"}" * 10_000
    + b"}}"
)
WHOLE = json.dumps(call()).encode()
BODIES = {
    "empty": (b"", "json_syntax"),
    "not JSON": (b"<xml/>", "json_syntax"),
    "10,000 deep": (DEEP, "json_too_deep"),
    "arrays 100,000 deep": (b"[" * 100_000, "json_too_deep"),
    "duplicate key": (WHOLE.replace(b'"name": "echo"', b'"name": "pay", "name": "echo"'), "json_duplicate_key"),
    "duplicate method": (WHOLE.replace(b'"id": 1', b'"id": 1, "method": "tools/list"'), "json_duplicate_key"),
    "NaN": (WHOLE.replace(b'"w"', b"NaN"), "json_not_finite"),
    "infinity": (WHOLE.replace(b'"w"', b"1e400"), "json_not_finite"),
    "huge number": (WHOLE.replace(b'"w"', b"9" * 5000), "json_number_range"),
    "lone surrogate": (WHOLE.replace(b'"w"', b'"\\ud800"'), "json_lone_surrogate"),
    "bad UTF-8": (WHOLE.replace(b'"w"', b'"\xff\xfe"'), "json_bad_utf8"),
    "UTF-16": (json.dumps(call()).encode("utf-16"), "json_bom"),
    "NUL": (WHOLE.replace(b'"w"', b'"\\u0000"'), "json_nul"),
    "batch": (b"[" + WHOLE + b"]", "batch_unsupported"),
    "no method": (b'{"jsonrpc":"2.0","id":1}', "not_a_message"),
    "id is an object": (WHOLE.replace(b'"id": 1', b'"id": {}'), "bad_id"),
    "params is a list": (json.dumps(call(params=[])).encode(), "params_not_object"),
    "name is a number": (json.dumps(call(params={"_meta": META, "name": 7})).encode(), "header_mismatch"),
    "arguments is a list": (
        json.dumps(call(params={"_meta": META, "name": "echo", "arguments": []})).encode(),
        "params_invalid",
    ),
    "unknown method": (json.dumps(call(method="admin/approve")).encode(), "header_mismatch"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_is_refused_with_a_code(
    name: str, running: Running, recorder: Recorder, bearer: str, http: aiohttp.ClientSession
) -> None:
    body, code = BODIES[name]
    answer = await post(http, running, body, usual(bearer))
    assert 400 <= answer.status < 500, answer.body[:300]
    assert code_of(answer) == code
    assert recorder.calls == []
    assert await lives(http, running, bearer)


async def test_ten_megabytes_are_refused_and_not_kept(
    running: Running, bearer: str, http: aiohttp.ClientSession
) -> None:
    before = resident(running.pid)
    body = json.dumps(call("x" * 10 * MEBIBYTE)).encode()
    for _ in range(5):
        async with http.post(running.mcp["notes"], data=io.BytesIO(body), headers=usual(bearer)) as response:
            assert response.status == 413
            assert (await response.json(content_type=None))["code"] == "body_too_large"

    async def endless() -> AsyncIterator[bytes]:  # no Content-Length to judge it by
        for _ in range(64):
            yield b"x" * MEBIBYTE

    try:
        async with http.post(running.mcp["notes"], data=endless(), headers=usual(bearer)) as response:
            assert response.status == 413
    except aiohttp.ClientConnectionError:
        pass  # the server answered and hung up before all of it was sent
    assert resident(running.pid) - before < 64 * MEBIBYTE
    assert await lives(http, running, bearer)


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_a_compressed_body_is_not_unpacked(running: Running, bearer: str, http: aiohttp.ClientSession) -> None:
    bomb = gzip.compress(b" " * 50 * MEBIBYTE)
    answer = await post(http, running, bomb, usual(bearer) | {"content-encoding": "gzip"})
    assert (answer.status, code_of(answer)) == (415, "unsupported_coding")


async def test_another_media_type_is_refused(running: Running, bearer: str, http: aiohttp.ClientSession) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await post(http, running, WHOLE, usual(bearer) | {"content-type": kind})
        assert (answer.status, code_of(answer)) == (415, "unsupported_media_type")


async def test_a_body_that_dribbles_is_given_up(running: Running, recorder: Recorder, bearer: str) -> None:
    lines = ["POST /mcp/notes HTTP/1.1", f"Host: {running.url[7:]}", "Content-Length: 1000"]
    lines += [f"{name}: {value}" for name, value in usual(bearer).items()]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rsplit(":", 1)[1]))
    writer.write(("\r\n".join(lines) + "\r\n\r\n{").encode())
    started = time.monotonic()
    answer = await asyncio.wait_for(
        reader.read(), 30
    )  # to the end: the connection is closed, what still comes belongs to nothing
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b"body_too_slow" in answer
    assert time.monotonic() - started < 25
    writer.close()
    assert recorder.calls == []


# --- headers -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mcp-method": "tools/list"}, "header_mismatch"),
        ({"mcp-name": "harmless"}, "header_mismatch"),
        ({"mcp-name": "=?base64?" + base64.b64encode(b"harmless").decode() + "?="}, "header_mismatch"),
        ({"mcp-name": "=?base64?!!!?="}, "header_mismatch"),
        ({"mcp-protocol-version": "2025-11-25"}, "header_mismatch"),
        ({"mcp-protocol-version": "2031-01-01"}, "header_mismatch"),
        ({"accept": "text/html"}, "not_acceptable"),
    ],
)
async def test_headers_that_say_something_else_than_the_body_are_refused(
    changes: dict[str, str], code: str, running: Running, recorder: Recorder, bearer: str, http: aiohttp.ClientSession
) -> None:
    answer = await post(http, running, WHOLE, usual(bearer) | changes)
    assert 400 <= answer.status < 500
    assert code_of(answer) == code
    assert recorder.calls == []


@pytest.mark.parametrize(
    "name", ["mcp-name", "mcp-method", "mcp-protocol-version", "mcp-param-region", "mcp-session-id"]
)
async def test_a_routing_header_that_comes_twice_is_refused(
    name: str, running: Running, recorder: Recorder, bearer: str, http: aiohttp.ClientSession
) -> None:
    value = usual(bearer).get(name, "x")
    doubled = [*((k, v) for k, v in usual(bearer).items() if k != name), (name, value), (name, value)]
    if name == "mcp-session-id":
        doubled = [(k, v) for k, v in doubled if k not in {"mcp-protocol-version", "mcp-method", "mcp-name"}]
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}}).encode()
    else:
        body = WHOLE
    answer = await post(http, running, body, CIMultiDict(doubled))
    assert (answer.status, code_of(answer)) == (400, "header_repeated")
    assert recorder.calls == []


async def test_a_second_authorization_is_refused_wherever_it_stands(
    running: Running, recorder: Recorder, bearer: str, http: aiohttp.ClientSession
) -> None:
    good = ("authorization", f"Bearer {bearer}")
    rest = [(k, v) for k, v in usual(bearer).items() if k != "authorization"]
    for pair in ([good, good], [("authorization", "Bearer x"), good], [good, ("authorization", "Basic eA==")]):
        answer = await post(http, running, WHOLE, CIMultiDict([*rest, *pair]))
        assert (answer.status, code_of(answer)) == (401, "invalid_token")
    folded = usual(bearer) | {"authorization": f"Bearer {bearer}, Bearer {bearer}"}
    assert (await post(http, running, WHOLE, folded)).status == 401
    assert recorder.calls == []


async def test_no_token_a_made_up_one_and_one_of_another_broker_are_refused_alike(
    running: Running, recorder: Recorder, bearer: str, http: aiohttp.ClientSession
) -> None:
    header, payload, signature = bearer.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    changed = payload[:-2] + ("A" if payload[-2] != "A" else "B") + payload[-1]
    for token in (
        "x",
        "a.b.c",
        f"{none}.{payload}.",
        f"{header}.{changed}.{signature}",
        f"{header}.{payload}.{'A' * 86}",
        "é",
    ):
        answer = await post(http, running, WHOLE, usual(token))
        assert (answer.status, code_of(answer)) == (401, "invalid_token")
        assert "next_step" in answer.json
    bare = {k: v for k, v in usual(bearer).items() if k != "authorization"}
    async with http.post(running.mcp["notes"], data=WHOLE, headers=bare) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (401, "authorization_missing")
        schemes = [value.split(" ")[0] for value in response.headers.getall("www-authenticate")]
    assert schemes == ["DPoP", "Bearer"]
    assert recorder.calls == []


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"host": "evil.example.com"}, 403, "host_not_allowed"),
        ({"host": "127.0.0.1.evil.example.com"}, 403, "host_not_allowed"),
        ({"host": "evil.example.com:80@127.0.0.1"}, 403, "host_not_allowed"),
        ({"origin": "http://evil.example.com"}, 403, "origin_not_allowed"),
        ({"origin": "null"}, 403, "origin_not_allowed"),
        ({"origin": "http://127.0.0.1:1"}, 403, "origin_not_allowed"),
    ],
)
async def test_a_web_page_cannot_reach_the_gateway_under_another_name(
    changes: dict[str, str],
    status: int,
    code: str,
    running: Running,
    recorder: Recorder,
    bearer: str,
    http: aiohttp.ClientSession,
) -> None:
    for path in ("/mcp/notes", "/healthz", "/hooks/claude-code", "/grants/g-1/lanes"):
        async with http.post(running.url + path, data=WHOLE, headers=usual(bearer) | changes) as response:
            assert (response.status, (await response.json(content_type=None))["code"]) == (status, code)
    assert recorder.calls == []


@pytest.mark.parametrize(
    "path", ["/mcp/", "/mcp/other", "/mcp/notes/", "/mcp/notes/x", "/mcp/../mcp/notes", "/mcp/%6eotes%00", "/mcp/nötes"]
)
async def test_a_path_that_is_no_server_opens_nothing(
    path: str, running: Running, recorder: Recorder, bearer: str, http: aiohttp.ClientSession
) -> None:
    from yarl import URL

    async with http.post(
        URL(running.url + path, encoded=path.isascii()), data=WHOLE, headers=usual(bearer)
    ) as response:
        assert 400 <= response.status < 500
        assert (await response.json(content_type=None))["code"]
    assert recorder.calls == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"])
async def test_other_http_methods_are_refused(
    method: str, running: Running, bearer: str, http: aiohttp.ClientSession
) -> None:
    async with http.request(method, running.mcp["notes"], headers=usual(bearer)) as response:
        assert response.status == 405


async def test_two_lengths_or_a_length_and_chunks_are_not_read_as_two_requests(
    running: Running, recorder: Recorder, bearer: str
) -> None:
    smuggled = b"POST /mcp/notes HTTP/1.1\r\nHost: x\r\n\r\n"
    start = f"POST /mcp/notes HTTP/1.1\r\nHost: {running.url[7:]}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in usual(bearer).items()
    )
    for lengths in (
        "Content-Length: 5\r\nContent-Length: 50\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rsplit(":", 1)[1]))
        writer.write((start + lengths + "\r\n").encode() + b"0\r\n\r\n" + smuggled)
        answer = await asyncio.wait_for(reader.read(65536), 30)
        writer.close()
        assert answer.split(b"\r\n")[0].split(b" ")[1].startswith(b"4")
    assert recorder.calls == []


# --- proofs ------------------------------------------------------------------------------------------------------------------------------


async def test_a_proof_for_another_method_url_token_time_or_key_is_refused(
    running: Running, recorder: Recorder, bearer: str, http: aiohttp.ClientSession
) -> None:
    key = new_key()
    issued = await running.grant("notes", jkt=key.jkt)
    agent = DpopAgent(key, issued.token, running.mcp["notes"], issued.first_pass, http)
    other = agent.copy()
    other.key = new_key()
    elsewhere = agent.copy()
    elsewhere.token = bearer
    proofs = {
        "method": agent.proof(agent.url, "GET"),
        "url": agent.proof(agent.url + "x"),
        "host": agent.proof(agent.url.replace("127.0.0.1", "localhost")),
        "old": agent.proof(agent.url, later=-1000),
        "future": agent.proof(agent.url, later=1000),
        "key": other.proof(agent.url),
        "token": elsewhere.proof(agent.url),
        "cut": agent.proof(agent.url)[:-1],
        "two": agent.proof(agent.url) + ", " + agent.proof(agent.url),
        "long": "A" * 6000,
    }
    for name, proof in proofs.items():
        refused = await agent.call(headers={"dpop": proof})
        assert (refused.status, refused.code) == (401, "invalid_dpop_proof"), name
        assert "invalid_dpop_proof" in refused.headers["www-authenticate"]
    assert recorder.calls == []
    # None of it counts against the owner: without the key nothing happens to a grant.
    assert (await agent.call()).status == 200


async def test_a_session_that_was_made_up_or_is_anothers_is_unknown(
    running: Running, recorder: Recorder, bearer: str, http: aiohttp.ClientSession
) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}}).encode()
    bare = {k: v for k, v in usual(bearer).items() if not k.startswith("mcp-")}
    for session in ("made-up", "' OR 1=1", "../../etc/passwd", "x" * 8000):
        answer = await post(http, running, body, bare | {"mcp-session-id": session})
        assert (answer.status, code_of(answer)) == (404, "session_unknown")
    assert recorder.calls == []


async def test_headers_without_end_do_not_fill_the_memory(
    running: Running, bearer: str, http: aiohttp.ClientSession
) -> None:
    before = resident(running.pid)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rsplit(":", 1)[1]))
    writer.write(f"POST /mcp/notes HTTP/1.1\r\nHost: {running.url[7:]}\r\n".encode())
    try:
        for number in range(200):
            writer.write(f"x-{number}: ".encode() + b"a" * MEBIBYTE + b"\r\n")
            await writer.drain()
        assert b" 431 " in await asyncio.wait_for(reader.read(4096), 5)
    except (ConnectionError, TimeoutError):
        pass
    assert resident(running.pid) - before < 64 * MEBIBYTE
    writer.close()
    assert await lives(http, running, bearer)


async def test_more_calls_at_once_than_are_taken_are_told_to_wait(
    recorder: Recorder, running: Running, http: aiohttp.ClientSession
) -> None:
    entry = AuthorityEntry("e-1", "notes/slow", state=EntryState.APPROVED, approved_by="a person")
    await running.mission("Read the notes slowly.", (entry,))
    token = (await running.grant("notes")).token
    body = json.dumps(call(params={"_meta": META, "name": "slow", "arguments": {}})).encode()
    answers = await asyncio.gather(*(post(http, running, body, usual(token) | {"mcp-name": "slow"}) for _ in range(40)))
    assert sorted({answer.status for answer in answers}) == [200, 429]
    turned = next(answer for answer in answers if answer.status == 429)
    assert code_of(turned) == "too_many_calls"
    assert int(turned.headers["retry-after"]) >= 1
    assert len(recorder.calls) == 32


# --- the hook ----------------------------------------------------------------------------------------------------------------------------

PROMPT = {"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": "Read the notes"}
HOOK_BODIES = {
    "not JSON": (b"{", 400, "json_syntax"),
    "a list": (b"[]", 400, "json_not_object"),
    "deep": (b'{"a":' * 10_000, 400, "json_too_deep"),
    "duplicate prompt": (b'{"prompt":"a","prompt":"b"}', 400, "json_duplicate_key"),
    "no event": (json.dumps(PROMPT | {"hook_event_name": None}).encode(), 400, "hook_event_missing"),
    "no session": (json.dumps(PROMPT | {"session_id": ""}).encode(), 400, "hook_session_missing"),
    "long session": (json.dumps(PROMPT | {"session_id": "s" * 10_000}).encode(), 400, "hook_session_missing"),
    "prompt is an object": (json.dumps(PROMPT | {"prompt": {}}).encode(), 400, "hook_prompt_missing"),
    "lone surrogate": (
        b'{"session_id":"s","hook_event_name":"UserPromptSubmit","prompt":"\\ud800"}',
        400,
        "json_lone_surrogate",
    ),
    "2 MB": (json.dumps(PROMPT | {"prompt": "x" * 2 * MEBIBYTE}).encode(), 413, "body_too_large"),
}


@pytest.mark.parametrize("name", HOOK_BODIES)
async def test_a_hostile_hook_call_is_refused_and_states_no_goal(
    name: str, running: Running, bearer: str, http: aiohttp.ClientSession
) -> None:
    body, status, code = HOOK_BODIES[name]
    token = (running.state / "hook.token").read_text("ascii").strip()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    async with running.person() as driving:
        before = [view.mission.goal for view in await driving.missions.list()]
    async with http.post(f"{running.url}/hooks/claude-code", data=io.BytesIO(body), headers=headers) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (status, code)
    async with running.person() as driving:
        assert [view.mission.goal for view in await driving.missions.list()] == before


async def test_an_agents_token_opens_no_hook_and_the_hooks_token_opens_no_server(
    running: Running, bearer: str, http: aiohttp.ClientSession
) -> None:
    async with http.post(
        f"{running.url}/hooks/claude-code", json=PROMPT, headers={"authorization": f"Bearer {bearer}"}
    ) as response:
        assert response.status == 401
    token = (running.state / "hook.token").read_text("ascii").strip()
    assert (await post(http, running, WHOLE, usual(token))).status == 401
    assert (running.state / "hook.token").stat().st_mode & 0o777 == 0o600
