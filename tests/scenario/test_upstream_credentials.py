"""The broker's credentials for servers behind it, through `jittrust serve`: got from another's authorization server, shown to nobody else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.agent import ACCEPT
from tests.connecting import allowed
from tests.recorder import META, tool
from tests.serving import Running, gateway, now

SECRET = "client-secret-of-the-broker-4711"
CALLS = 6


@dataclass
class Foreign:
    """Somebody else's authorization server and MCP server. It echoes whatever credential it is shown."""

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append({name: str(value) for name, value in (await request.post()).items()})
        token = f"foreign-token-{len(self.asked)}-0123456789"
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 300})

    async def mcp(self, request: web.Request) -> web.Response:
        shown = request.headers.get("authorization", "")
        self.shown.append(shown)
        body = json.loads(await request.read())
        if body["method"] == "tools/list":
            result = {"tools": [tool("echo")], "ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
        else:
            text = f"you are {shown}"
            result = {"content": [{"type": "text", "text": text}], "isError": False, "resultType": "complete"}
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": result})


@contextmanager
def foreign() -> Iterator[Foreign]:
    made, loop = Foreign(), asyncio.new_event_loop()
    app = web.Application()
    app.router.add_post("/token", made.token)
    app.router.add_post("/mcp", made.mcp)
    runner = web.AppRunner(app, shutdown_timeout=0.2)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def calls(running: Running, token: str) -> list[str]:
    found = []
    headers = {
        "authorization": f"Bearer {token}", "accept": ACCEPT, "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call", "mcp-name": "echo",
    }  # fmt: skip
    async with aiohttp.ClientSession() as http:
        for number in range(CALLS):
            params = {"_meta": META, "name": "echo", "arguments": {"word": f"w{number}"}}
            body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            async with http.post(running.mcp["notes"], json=body, headers=headers) as answer:
                found.append(await answer.text())
    return found


@pytest.mark.parametrize("way", ["client_credentials", "token_exchange"])
def test_a_server_gets_the_brokers_token_and_the_agent_the_ledger_and_the_log_never_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("FOREIGN_SECRET", SECRET)
    with foreign() as there:
        auth = {
            "token_endpoint": f"{there.url}/token", "client_id": "jittrust", "client_secret": "${FOREIGN_SECRET}",
            "grant": way, "audience": "https://notes.example",
        }  # fmt: skip
        with gateway(tmp_path, {"notes": {"url": f"{there.url}/mcp", "auth": auth}}) as running:
            mission = now(running.mission("Read the notes and echo their words.", allowed("echo")))
            issued = [now(running.grant("notes", agent=f"agent-{number}")) for number in range(2)]
            answers = [text for one in issued for text in now(calls(running, one.token))]
            records = json.dumps(now(running.records()))
            log = running.log.read_text("utf-8")

    assert len(answers) == 2 * CALLS
    assert all("you are Bearer [redacted]" in text for text in answers), answers[0]
    # One for the server, or one for each grant, in whose mission's name it is exchanged.
    assert len(there.asked) == (1 if way == "client_credentials" else 2)
    assert all(shown.startswith("Bearer foreign-token-") for shown in there.shown)
    if way == "token_exchange":
        assert "transaction_issued" in records
        assert mission.id in records
    for place in (*answers, records, log):
        assert "foreign-token" not in place
        assert SECRET not in place
        assert not any(asked.get("subject_token", "-no-") in place for asked in there.asked)
