"""A broker in memory on a real socket, and gates that join it: what the scenarios of the gate play on."""

# ruff: noqa: ANN401, ASYNC240 - JSON is whatever it is, and a test may touch a file
from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.adapters.memory.policy import MemoryPolicy, MemoryRule
from jittrust.api.local.face import LocalFace
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.core.approval import Approval, ConfirmedBy
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports import wire
from jittrust.ports.approvals import Answer

HERE = Path(__file__).parent
# What an operator wrote, so that these scenarios do not hang on how the words of a goal are weighed.
POLICY = (
    MemoryRule(
        "saving",
        permits=True,
        holds=lambda asked: asked.resource.endswith("/save_note") and asked.facts["goal_stated"] is True,
    ),
)
MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "probe", "version": "1"},
}


@dataclass
class Line:
    """One end of a gate: the process, raw lines in, parsed lines out."""

    process: asyncio.subprocess.Process
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    notices: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        await self.process.stdin.drain()

    async def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 20)
        assert line, "the gate closed its output"
        read: dict[str, Any] = json.loads(line)
        return read

    async def answer(self, id_: int | str | None) -> dict[str, Any]:
        """The response with this id; notifications and requests on the way are kept in `notices`."""
        while True:
            message = await self.read()
            if "method" not in message and message.get("id") == id_:
                return message
            self.notices.append(message)

    async def start(self, method: str, **params: Any) -> int:
        number = next(self.numbers)
        await self.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode())
        return number

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.answer(await self.start(method, **params))

    async def notice(self, method: str, **params: Any) -> None:
        await self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    async def begin(self, **capabilities: Any) -> dict[str, Any]:
        """The legacy handshake."""
        who = {"name": "probe", "version": "1"}
        opened = await self.ask("initialize", protocolVersion="2025-11-25", capabilities=capabilities, clientInfo=who)
        await self.notice("notifications/initialized")
        return opened

    async def modern(self, method: str, capabilities: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        """A request of the stateless revision."""
        meta = MODERN_META | {"io.modelcontextprotocol/clientCapabilities": dict(capabilities or {})}
        return await self.ask(method, _meta=meta, **params)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return await self.ask("tools/call", name=tool, arguments=arguments)

    async def leave(self, within: float = 15) -> tuple[int, str]:
        """Close our end; how it ended and what it said on standard error."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        return await self.ended(within)

    async def ended(self, within: float = 15) -> tuple[int, str]:
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        _, said, code = await asyncio.wait_for(
            asyncio.gather(self.process.stdout.read(), self.process.stderr.read(), self.process.wait()), within
        )
        return code, said.decode()


@dataclass
class World:
    """The broker and the folder it lives in."""

    broker: Broker
    state: Path
    store: MemoryCommit
    face: LocalFace

    async def records(self, kind: str = "") -> list[dict[str, Any]]:
        raw = [json.loads(leaf) for leaf in await self.broker.driving.ledger.entries(0, 1000)]
        return [record for record in raw if not kind or record["kind"] == kind]

    def effects(self) -> list[str]:
        file = self.state / "effects"
        return file.read_text("utf-8").splitlines() if file.exists() else []

    async def waiting(self, within: float = 10) -> Approval:
        """The first question to a person, as soon as there is one."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            if found := await self.broker.driving.approvals.waiting():
                return found[0]
            await asyncio.sleep(0.02)
        raise AssertionError("nobody was asked")

    async def answer(self, approval: Approval, *, approve: bool) -> None:
        await self.broker.driving.approvals.answer(approval.id, Answer(approve, "dana", ConfirmedBy.PIN, "2468"))

    def command(self, *how: str, server: tuple[str, ...] = (), **options: Any) -> list[str]:
        program = server or (sys.executable, str(HERE / "server.py"), str(self.state), *how)
        return [sys.executable, str(HERE / "run.py"), str(self.state), json.dumps(options), *program]

    async def gate(self, *how: str, **options: Any) -> Line:
        process = await asyncio.create_subprocess_exec(
            *self.command(*how, **options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=64 * 1024 * 1024,
        )
        return Line(process)


@asynccontextmanager
async def world(state: Path) -> AsyncIterator[World]:
    state.chmod(0o700)
    signer = LedgerSigner.from_seed("jittrust.test/ledger", bytes(32))
    store = MemoryCommit(signer=signer, origin="jittrust.test/ledger")
    numbers = itertools.count(1)
    broker = await Broker.open(
        store=store,
        ledger=store,
        policy=MemoryPolicy(POLICY),
        pin=MemoryPin("2468"),
        secrets=BrokerSecrets(b"p" * 32, "k1", lambda _: b"s" * 64),
        ledger_vkey=str(signer.key),
        rules=Rules(),
        clock=lambda: Instant(time.time()),
        new_id=lambda prefix: f"{prefix}-{next(numbers)}",
        issuer="urn:test",
        identity=offline_identity(Rules(), lambda: Instant(time.time()), lambda prefix: f"{prefix}-{next(numbers)}"),
    )
    face = LocalFace(broker.driving)
    await face.open(wire.socket_path(state))
    try:
        yield World(broker, state, store, face)
    finally:
        await face.close()
        await broker.close()
