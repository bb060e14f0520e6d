"""What the tests of `jittrust connect` need: a server that counts what it does, a broker that can be killed, a network that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from aiohttp import web
from mcp.client.stdio import StdioServerParameters
from tests.recorder import Recorder, Wire, tool
from tests.serving import PIN, Running

from jittrust.adapters.files.pin import PinFile
from jittrust.adapters.system.clock import SteadyClock
from jittrust.apps.state_dir import make_private
from jittrust.core.authority.map import AuthorityEntry, EntryState

ROOT = Path(__file__).resolve().parents[1]
MAIN = [sys.executable, "-m", "jittrust.apps.cli.main"]
TOOLS = ("echo", "slow", "stream", "nap")


@dataclass
class CountingServer(Recorder):
    """Both revisions; `done` counts how often each word took effect. `sessions`: opened, and ended by DELETE."""

    done: Counter[str] = field(default_factory=Counter)
    sessions: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    nap: float = 2.0
    streams: int = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_post("/mcp", self.answer)
        app.router.add_get("/mcp", self.listen)
        app.router.add_delete("/mcp", self.end)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/mcp"
        return self

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.seen.append(({name.lower(): value for name, value in request.headers.items()}, body))
        method = body.get("method", "response")
        if "id" not in body or method == "response":
            return web.Response(status=202)
        headers = {}
        result: dict[str, Any] = {"resultType": "complete"}
        if method == "server/discover":
            result |= {
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "counting", "version": "1"},
                "ttlMs": 0,
                "cacheScope": "private",
            }
        elif method == "initialize":
            self.sessions.append(f"s{len(self.sessions)}")
            headers["mcp-session-id"] = self.sessions[-1]
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "counting", "version": "1"},
            }
        elif method == "tools/list":
            result |= {"tools": [tool(name) for name in TOOLS], "ttlMs": 0, "cacheScope": "private"}
        elif method == "tools/call":
            name, word = body["params"]["name"], body["params"].get("arguments", {}).get("word", "")
            self.done[word] += 1
            if name == "nap":
                await asyncio.sleep(self.nap)
            if name == "slow":
                await asyncio.sleep(0.3)
            result |= {"content": [{"type": "text", "text": f"noted: {word}"}], "isError": False}
            if name == "stream":
                return await self._stream(request, body["id"], result)
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": result}, headers=headers)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        self.streams += 1
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "unasked"}}
        await response.write(b"data: " + json.dumps(note).encode() + b"\n\n")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return response

    async def end(self, request: web.Request) -> web.Response:
        self.ended.append(request.headers.get("mcp-session-id", ""))
        return web.Response(status=200)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class BrokerProcess:
    """`jittrust serve` on a port of its own, so that it can be killed and come back under the same address."""

    folder: Path
    settings: Mapping[str, Any]
    process: subprocess.Popen[bytes] | None = None
    told: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config, state = self.folder / "jittrust.yaml", make_private(self.folder / "state")
        config.write_text(yaml.safe_dump(dict(self.settings)), "utf-8")
        pin = PinFile(state, SteadyClock())
        if not pin.is_set():
            pin.set(PIN)
        command = [*MAIN, "serve", "--json", "--config", str(config), "--state", str(state)]
        with (self.folder / "log").open("ab") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text("utf-8")
        self.told = json.loads(line)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(15)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def running(self) -> Running:
        assert self.process is not None
        return Running(self.told["url"], self.told["mcp"], self.folder / "state", self.process.pid, self.folder / "log")


@contextmanager
def broker(folder: Path, upstream: str, *, public: str = "", **more: Wire) -> Iterator[BrokerProcess]:
    listening: dict[str, Any] = {"port": free_port()} | ({"public_url": public} if public else {})
    whole = {
        "listen": listening,
        "grant": {"gas": 50000, "ttl_seconds": 600, "lanes": 16},
        "approval": {"wait_seconds": 0},
        "servers": {"notes": {"url": upstream}},
    }
    made = BrokerProcess(folder, whole | more)
    made.start()
    try:
        yield made
    finally:
        made.kill(signal.SIGTERM)


@dataclass
class CutNetwork:
    """A TCP proxy. `cut` breaks every connection and takes no new one; `deaf` takes them and swallows what the other side answers."""

    port: int = 0
    target: int = 0
    deaf: bool = False
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    swallowed: int = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            transport: Any = writer.transport
            transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, far_writer}

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, back: bool) -> None:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                while data := await source.read(65536):
                    if back and self.deaf:
                        self.swallowed += 1
                        for one in (writer, far_writer):
                            transport: Any = one.transport
                            transport.abort()
                        return
                    sink.write(data)
                    await sink.drain()
            with contextlib.suppress(ConnectionError):
                sink.close()

        await asyncio.gather(pump(reader, far_writer, back=False), pump(far_reader, writer, back=True))
        self._open -= {writer, far_writer}


@contextlib.asynccontextmanager
async def network(target: int, port: int) -> AsyncIterator[CutNetwork]:
    made = CutNetwork(port=port, target=target)
    await made.open()
    try:
        yield made
    finally:
        await made.cut()


def allowed(*tools: str) -> tuple[AuthorityEntry, ...]:
    return tuple(
        AuthorityEntry(f"e-{number}", f"notes/{name}", state=EntryState.APPROVED, approved_by="a person")
        for number, name in enumerate(tools)
    )


@dataclass(frozen=True)
class TokenFiles:
    """A key and a token, as `jittrust grant new` made them."""

    key: Path
    token: Path

    def command(self, url: str, *more: str) -> list[str]:
        return [
            *MAIN, "connect", url, "--login", "token-file", str(self.token), "--key", str(self.key), *more,
        ]  # fmt: skip


def new_token(running: Running, folder: Path, *, lanes: int = 4, ttl: int = 600, key: Path | None = None) -> TokenFiles:
    """Opens a strict grant, by the command that a person types."""
    folder.mkdir(parents=True, exist_ok=True)
    made, token = key or folder / "agent.jwk", folder / "token.json"
    which = ["--key", str(made)] if key else ["--new-key", str(made)]
    command = [
        *MAIN, "grant", "new", "--agent", "reporter", "--server", "notes", *which, "--strict", "--lanes", str(lanes),
        "--ttl-seconds", str(ttl), "--state", str(running.state), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=True)
    token.write_bytes(done.stdout)
    token.chmod(0o600)
    return TokenFiles(made, token)


def stdio(command: Sequence[str]) -> StdioServerParameters:
    return StdioServerParameters(command=command[0], args=list(command[1:]), env=dict(os.environ))


async def passes(running: Running) -> Counter[str]:
    """What happened to passes, by the ledger's word."""
    return Counter(record["what"] for record in await running.records() if record["kind"] == "pass")


def words(result: Wire) -> str:
    return str(result.content[0].text)
