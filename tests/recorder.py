"""An MCP server over HTTP that writes down every request it gets, headers and all. Revision 2026-07-28, a few tools."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

from aiohttp import web

HINTS = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}
Wire: TypeAlias = Any
"""Whatever a message may carry."""
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"},
}


def tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"word": {"type": "string"}}}
    return {"name": name, "description": f"Reads a note: {name}", "inputSchema": schema, "annotations": HINTS}


@dataclass
class Recorder:
    """`seen` holds (headers, body) of every request; `calls` the arguments of every tool call."""

    seen: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    cancelled: int = 0
    url: str = ""
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_post("/mcp", self.answer)
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/mcp"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def forget(self) -> None:
        """Begin a new page."""
        self.seen.clear()
        self.calls.clear()
        self.cancelled = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.seen.append(({name.lower(): value for name, value in request.headers.items()}, body))
        if body["method"] == "tools/list":
            names = ("echo", "slow", "stream", "break")
            result: dict[str, Any] = {"tools": [tool(name) for name in names], "ttlMs": 0, "cacheScope": "public"}
        else:
            self.calls.append(body["params"])
            name, word = body["params"]["name"], body["params"].get("arguments", {}).get("word", "")
            if name == "break":
                assert request.transport is not None
                request.transport.close()
            if name == "slow":
                try:
                    await asyncio.sleep(5)
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            result = {
                "content": [{"type": "text", "text": f"noted: {word}"}],
                "isError": False,
                "unknownMember": {"kept": 1.50},
            }
            if name == "stream":
                return await self._stream(request, body["id"], result)
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": {"resultType": "complete", **result}})

    async def _stream(self, request: web.Request, number: Wire, result: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "half way"}}
        final = {"jsonrpc": "2.0", "id": number, "result": {"resultType": "complete", **result}}
        await response.write(b": hello\n\n")
        for message in (note, final):
            await response.write(b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n")
        return response


@contextmanager
def in_thread(recorder: Recorder) -> Iterator[Recorder]:
    """Runs a recorder on a loop of its own, for tests that share it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(recorder.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(recorder.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
