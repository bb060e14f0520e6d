"""`jittrust serve` as a process, and a person beside it who starts missions and opens grants over the broker's socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from jittrust.adapters.files.pin import PinFile
from jittrust.adapters.system.clock import SteadyClock
from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.apps.cli.reach import person
from jittrust.apps.state_dir import make_private
from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.grant.grant import PassBinding, Strictness
from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.core.units import Gas, Seconds
from jittrust.ports.driving import Driving
from jittrust.ports.grants import IssuedGrant, NewGrant
from jittrust.ports.missions import NewMission

T = TypeVar("T")
PIN = "739105"
"""The approver's, set before the gateway starts."""


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that is ready: its announcement and its state folder."""

    url: str
    mcp: Mapping[str, str]
    state: Path
    pid: int
    log: Path

    @contextlib.asynccontextmanager
    async def person(self) -> AsyncIterator[Driving]:
        """The driving ports, as a command of the person reaches them."""
        connection = await join(self.state)
        try:
            yield driving_of(connection)
        finally:
            await connection.close()

    async def mission(self, goal: str, entries: Sequence[AuthorityEntry] = (), lanes: int = 1) -> Mission:
        pin = PinFile(self.state, SteadyClock())
        if entries and not pin.is_set():
            pin.set(PIN)
        async with self.person() as driving:
            return await driving.missions.start(
                NewMission(
                    person(),
                    goal,
                    GoalSource.FILE if entries else GoalSource.MISSION_START,
                    tuple(entries),
                    lanes=lanes,
                    pin=PIN if entries else "",
                )
            )

    async def grant(
        self,
        server: str,
        *,
        jkt: str = "",
        strict: bool = False,
        lanes: int = 1,
        agent: str = "tester",
        gas: int | None = None,
        ttl: float | None = None,
        mission: str = "",
    ) -> IssuedGrant:
        async with self.person() as driving:
            return await driving.grants.open(
                NewGrant(
                    person(),
                    agent,
                    server,
                    PassBinding.DPOP if jkt else PassBinding.GATEWAY,
                    jkt,
                    Strictness.STRICT if strict else Strictness.STOCK,
                    mission,
                    gas=None if gas is None else Gas(gas),
                    ttl=None if ttl is None else Seconds(ttl),
                    lanes=lanes,
                )
            )

    async def records(self) -> list[dict[str, Any]]:
        """Everything in the ledger."""
        found: list[dict[str, Any]] = []
        async with self.person() as driving:
            while page := await driving.ledger.entries(len(found), 1000):
                found += (json.loads(leaf) for leaf in page)
        return found


@contextmanager
def gateway(
    folder: Path, servers: Mapping[str, Mapping[str, Any]], **settings: Mapping[str, object]
) -> Iterator[Running]:
    """Starts `jittrust serve` with these servers and ends it with SIGTERM; it must then end well and in time."""
    folder.mkdir(parents=True, exist_ok=True)
    state, config, log = folder / "state", folder / "jittrust.yaml", folder / "log"
    whole = {
        "listen": {"port": 0},
        "grant": {"gas": 5000, "ttl_seconds": 600, "lanes": 16},
        "approval": {"wait_seconds": 0},
        **settings,
        "servers": {name: dict(server) for name, server in servers.items()},
    }
    config.write_text(yaml.safe_dump(whole), "utf-8")
    pin = PinFile(make_private(state), SteadyClock())
    if not pin.is_set():
        pin.set(PIN)
    command = [
        sys.executable,
        "-m",
        "jittrust.apps.cli.main",
        "serve",
        "--json",
        "--config",
        str(config),
        "--state",
        str(state),
    ]
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, f"it did not start: {log.read_text('utf-8')}"
            told = json.loads(line)
            assert "url" in told, line.decode()
            yield Running(told["url"], told["mcp"], state, process.pid, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert code == 0, log.read_text("utf-8")
        assert "request_failed" not in log.read_text("utf-8"), log.read_text("utf-8")


@contextmanager
def http_server(command: Sequence[str]) -> Iterator[str]:
    """Starts a server that prints `{"url": …}` as its first line."""
    with subprocess.Popen(list(command), stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


def now(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine from a test that is none."""
    return asyncio.run(work)
