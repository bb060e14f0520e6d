"""What jittrust adds to a tool call, in latency, throughput and CPU.

One run measures the same `tools/call echo` direct, through `jittrust run`, through `jittrust serve`, through a security-free pass-through and
through the FastMCP proxy. Compare ratios inside one run: absolute times belong to the machine and its neighbours.

    python -m bench gateway --json [--seconds 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from bench.served import free_port

HERE = Path(__file__).resolve().parent
JITTRUST = str(Path(sys.executable).with_name("jittrust"))
TEXT = "x" * 400
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
GOAL = "Echo the text that I give you."
TICKS = os.sysconf("SC_CLK_TCK")

Call = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Way:
    """One way to the echo server: how to call it, and the processes that lie between."""

    name: str
    call: Call
    pids: tuple[int, ...]


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """User and system time of the processes and their children so far."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def children(pid: int) -> tuple[int, ...]:
    """Direct children of a process."""
    with contextlib.suppress(OSError):
        return tuple(int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return ()


@contextlib.contextmanager
def process(*command: str, env: dict[str, str] | None = None, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that listens on `port`, ended at the end of the block."""
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            until = time.monotonic() + 30
            while True:
                if started.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise SystemExit(f"{command[:3]} did not start: {log.read()[-800:].decode(errors='replace')}")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield started
        finally:
            started.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(10)
            started.kill()


def body(number: int) -> bytes:
    """One call, revision 2026-07-28."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    }
    params = {"name": "echo", "arguments": {"text": f"{number} {TEXT}"}, "_meta": meta}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()


def http_call(client: aiohttp.ClientSession, url: str, token: str = "") -> Call:
    """A call over HTTP; an answer that is not the echo is an error."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "echo",
    }
    if token:
        headers["Authorization"] = f"Bearer {token}"

    async def call(number: int) -> None:
        async with client.post(url, data=body(number), headers=headers) as reply:
            out = await reply.read()
        if reply.status != 200 or TEXT.encode() not in out or b'"isError":true' in out:
            raise RuntimeError(f"{url}: {reply.status} {out[:300]!r}")

    return call


class StdioClient:
    """A raw stdio client, revision 2025-11-25."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, limit=1 << 22
        )
        self._task = asyncio.create_task(self._read())
        await self.request(
            0,
            "initialize",
            {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
        )
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        await self.request(1, "tools/list", {})
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), 10)
        if self._task is not None:
            self._task.cancel()

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            if (found := self._waiting.pop(message.get("id", -1), None)) is not None:
                found.set_result(line)

    async def request(self, number: int, method: str, params: dict[str, Any]) -> bytes:
        """Ask and wait for the answer."""
        self._waiting[number] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[number]
        self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return await asyncio.wait_for(waiting, 30)

    async def call(self, number: int) -> None:
        """One echo."""
        out = await self.request(
            number + 1000, "tools/call", {"name": "echo", "arguments": {"text": f"{number} {TEXT}"}}
        )
        if TEXT.encode() not in out or b'"isError": true' in out or b'"isError":true' in out:
            raise RuntimeError(out[:300].decode())


async def load(call: Call, callers: int, seconds: float, start: int) -> tuple[list[float], float, int]:
    """Closed loop: latencies in milliseconds, wall time, number of the next call."""
    number, latencies = start, []
    begun = time.perf_counter()
    stop = begun + seconds

    async def worker() -> None:
        nonlocal number
        while time.perf_counter() < stop:
            number += 1
            at = time.perf_counter()
            await call(number)
            latencies.append((time.perf_counter() - at) * 1000)

    await asyncio.gather(*(worker() for _ in range(callers)))
    return latencies, time.perf_counter() - begun, number


def summary(latencies: list[float], wall: float, cpu: float) -> dict[str, float]:
    """The figures of one cell."""
    ordered = sorted(latencies)
    return {
        "calls": len(ordered),
        "calls_per_s": round(len(ordered) / wall, 1),
        "p50_ms": round(statistics.median(ordered), 3),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 3),
        "cpu_ms_per_call": round(cpu / len(ordered) * 1000, 3),
    }


def configured(folder: Path, port: int, upstream: str) -> Path:
    """A configuration for the bench: one HTTP server, a spending limit that the load does not reach."""
    file = folder / "jittrust.yaml"
    settings = {
        "state_dir": str(folder / "state"),
        "listen": {"port": port},
        "grant": {"gas": 1_000_000, "ttl_seconds": 3600},
        "log_level": "error",
        "servers": {"echo": {"url": upstream}},
    }
    file.write_text(json.dumps(settings))
    return file


def jittrust(state: Path, *arguments: str) -> dict[str, Any]:
    """One command of jittrust and its JSON answer."""
    # setsid: not a descendant of what the broker takes for the agent's process.
    done = subprocess.run([JITTRUST, *arguments, "--state", str(state), "--json"], capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"jittrust {' '.join(arguments)}: {done.stdout.decode()[-500:]} {done.stderr.decode()[-500:]}")
    return dict(json.loads(done.stdout))


@contextlib.asynccontextmanager
async def paths(folder: Path, client: aiohttp.ClientSession) -> AsyncIterator[list[Way]]:
    """All the ways, started."""
    echo_port, pass_port, proxy_port, serve_port = (free_port() for _ in range(4))
    upstream = f"http://127.0.0.1:{echo_port}/mcp"
    python, stdio = sys.executable, (sys.executable, str(HERE / "peers/echo_stdio.py"))
    state, stdio_state = folder / "state", folder / "stdio"
    stdio_state.mkdir(mode=0o700)
    (stdio_state / "jittrust.yaml").write_text(json.dumps({"grant": {"gas": 1_000_000, "ttl_seconds": 3600}}))
    with contextlib.ExitStack() as stack:
        stack.enter_context(process(python, str(HERE / "peers/echo_http.py"), str(echo_port), port=echo_port))
        passing = stack.enter_context(
            process(
                python, str(HERE / "peers/passthrough.py"), str(pass_port), env={"UPSTREAM": upstream}, port=pass_port
            )
        )
        fastmcp = stack.enter_context(
            process(python, str(HERE / "peers/fastmcp_proxy.py"), upstream, str(proxy_port), port=proxy_port)
        )
        serving = stack.enter_context(
            process(JITTRUST, "serve", "--config", str(configured(folder, serve_port, upstream)), port=serve_port)
        )
        jittrust(state, "mission", "start", "--goal", GOAL)
        token = jittrust(state, "grant", "new", "--agent", "bench", "--server", "echo", "--bearer")["token"]
        async with (
            StdioClient(stdio) as direct,
            StdioClient((JITTRUST, "run", "--state", str(stdio_state), "--goal", GOAL, "--", *stdio)) as gated,
        ):
            broker = int((stdio_state / "broker.lock").read_text())
            yield [
                Way("direct_stdio", direct.call, ()),
                Way("jittrust_run", gated.call, (gated.process.pid, broker)),
                Way("direct_http", http_call(client, upstream), ()),
                Way("passthrough", http_call(client, f"http://127.0.0.1:{pass_port}/mcp"), (passing.pid,)),
                Way(
                    "jittrust_serve",
                    http_call(client, f"http://127.0.0.1:{serve_port}/mcp/echo", token),
                    (serving.pid,),
                ),
                Way("fastmcp_proxy", http_call(client, f"http://127.0.0.1:{proxy_port}/mcp"), (fastmcp.pid,)),
            ]


async def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """Interleaved rounds of every way; the round with the least CPU (or latency, where there is no proxy) counts."""
    folder = Path(tempfile.mkdtemp(prefix="jittrust-bench-"))
    best: dict[str, dict[str, Any]] = {}
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
            paths(folder, client) as ways,
        ):
            number = 0
            for way in ways:
                for _ in range(20):
                    number += 1
                    await way.call(number)
            for _ in range(rounds):
                for way in ways:
                    for callers in (1, 8):
                        before = cpu_seconds(way.pids)
                        latencies, wall, number = await load(way.call, callers, seconds, number)
                        cell = summary(latencies, wall, cpu_seconds(way.pids) - before)
                        key = "one_caller" if callers == 1 else "eight_callers"
                        known = best.setdefault(way.name, {}).get(key)
                        if known is None or (cell["cpu_ms_per_call"], cell["p50_ms"]) < (
                            known["cpu_ms_per_call"],
                            known["p50_ms"],
                        ):
                            best[way.name][key] = cell
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return best


def ratios(best: dict[str, dict[str, Any]]) -> dict[str, float]:
    """What one run says without saying anything of the machine."""

    def cpu(name: str) -> float:
        return max(1e-6, float(best[name]["eight_callers"]["cpu_ms_per_call"]))

    def p50(name: str) -> float:
        return float(best[name]["one_caller"]["p50_ms"])

    return {
        "fastmcp_proxy_cpu_over_jittrust_serve": round(cpu("fastmcp_proxy") / cpu("jittrust_serve"), 2),
        "jittrust_serve_cpu_over_passthrough": round(cpu("jittrust_serve") / cpu("passthrough"), 2),
        "jittrust_serve_adds_p50_ms": round(p50("jittrust_serve") - p50("direct_http"), 3),
        "jittrust_run_adds_p50_ms": round(p50("jittrust_run") - p50("direct_stdio"), 3),
        "fastmcp_proxy_adds_p50_ms": round(p50("fastmcp_proxy") - p50("direct_http"), 3),
    }


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each cell")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    best = asyncio.run(measure(chosen.seconds, chosen.rounds))
    least = min(cell["calls"] for cells in best.values() for cell in cells.values())
    result = {
        "id": "gateway",
        "value": ratios(best),
        "n": sum(cell["calls"] for cells in best.values() for cell in cells.values()),
        "least_calls_in_a_cell": least,
        "passed": least >= 5,
        "seconds": chosen.seconds,
        "rounds": chosen.rounds,
        "revisions": {"http": MODERN, "stdio": LEGACY},
        "paths": best,
    }
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
