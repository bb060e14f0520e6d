"""Calls and streams under way, cut by a person: how long it takes until the caller is told and the server sees its request end.

    python -m bench cut --calls 200 [--json]

A whole `jittrust serve`; each call holds a grant of its own and would take a minute. Per call the grant is revoked, and every tenth round everything
is stopped in another way: the mission is ended. Times are from before the person's command to the caller's answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from bench.served import Client, Served, finish, ready

from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.core.mission.states import MissionState
from jittrust.ports.driving import Driving
from jittrust.ports.missions import MissionChange

BOUND_S = 1.0
AT_ONCE = 20
_SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
_HINTS = {"readOnlyHint": True, "openWorldHint": False}


class SlowServer:
    """An MCP server whose one tool takes a minute; `ended` are the times at which a request was given up."""

    def __init__(self) -> None:
        self.ended: dict[str, float] = {}
        self.begun: dict[str, asyncio.Event] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One POST."""
        body = json.loads(await request.read())
        if body["method"] == "tools/list":
            tool = {"name": "echo", "description": "Echo the text.", "inputSchema": _SCHEMA, "annotations": _HINTS}
            result: dict[str, Any] = {"tools": [tool], "resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
            return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": result})
        text = body["params"]["arguments"]["text"]
        self.begun.setdefault(text, asyncio.Event()).set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.ended[text] = time.monotonic()
            raise
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": {"content": []}})

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        """Serve on the port."""
        app = web.Application()
        app.router.add_post("/mcp", self.answer)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield
        finally:
            await runner.cleanup()


async def one_round(
    served: Served, server: SlowServer, driving: Driving, http: aiohttp.ClientSession, number: int, count: int
) -> tuple[list[float], list[float], list[str]]:
    """Start calls, end what they stand on; seconds until each caller was told, until the server saw it, and what was wrong."""
    clients = await served.grants([secrets.token_bytes(32) for _ in range(count)])
    names = [f"{number}-{at}" for at in range(count)]
    told: dict[str, float] = {}
    wrong: list[str] = []

    async def call(client: Client, name: str) -> None:
        answer = await client.call(http, secrets.token_urlsafe(12), name)
        told[name] = time.monotonic()
        if b"lease_ended" not in answer.body:
            wrong.append(f"{answer.status} {answer.body[:120]!r}")

    calls = [asyncio.create_task(call(client, name)) for client, name in zip(clients, names, strict=True)]
    for name in names:
        await asyncio.wait_for(server.begun.setdefault(name, asyncio.Event()).wait(), 30)
    began: dict[str, float] = {}
    if number % 10 == 9:
        mission = next(g.mission for g in await driving.grants.list() if g.id == clients[0].grant)
        began = dict.fromkeys(names, time.monotonic())
        await driving.missions.change(mission, MissionChange(to=MissionState.TERMINATED, why="bench", by="bench"))
    else:
        for client, name in zip(clients, names, strict=True):
            began[name] = time.monotonic()
            await driving.grants.revoke(client.grant, "bench", "bench")
    _, late = await asyncio.wait(calls, timeout=10)
    for task in late:
        task.cancel()
        wrong.append("a call was not cut within 10 s")
    await asyncio.sleep(0.05)
    seen = [server.ended[name] - began[name] for name in names if name in server.ended]
    if len(seen) < count:
        wrong.append(f"the server did not see {count - len(seen)} requests end")
    return [told[name] - began[name] for name in names if name in told], seen, wrong


async def campaign(state: Path, calls: int) -> dict[str, Any]:
    """Cut so many calls."""
    served, server = Served.prepare(state), SlowServer()
    callers: list[float] = []
    seen: list[float] = []
    wrong: list[str] = []
    async with server.listening(served.upstream):
        gateway = await asyncio.to_thread(served.start)
        try:
            await ready(state)
            connection = await join(state)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                for number in range(-(-calls // AT_ONCE)):
                    count = min(AT_ONCE, calls - number * AT_ONCE)
                    some, more, bad = await one_round(served, server, driving_of(connection), http, number, count)
                    callers, seen, wrong = callers + some, seen + more, wrong + bad
            await connection.close()
        finally:
            await asyncio.to_thread(finish, gateway)
    callers.sort()
    seen.sort()
    return {
        "id": "cut",
        "n": calls,
        "value": {"caller_told_s": percentiles(callers), "server_saw_s": percentiles(seen)},
        "wrong": sorted(set(wrong)),
        "passed": not wrong and callers[-1] <= BOUND_S,
    }


def percentiles(sorted_s: list[float]) -> dict[str, float]:
    """p50, p99 and the most."""
    if not sorted_s:
        return {}
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(sorted_s[min(len(sorted_s) - 1, int(len(sorted_s) * part))], 4) for name, part in at.items()}


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jittrust-cut-") as folder:
        began = time.monotonic()
        result = asyncio.run(campaign(Path(folder), chosen.calls))
    result["wall_s"] = round(time.monotonic() - began, 1)
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
