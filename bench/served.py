"""A whole `jittrust serve` to load, clients that hold DPoP-bound grants, and what must hold of its state afterwards."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from jittrust.adapters.sqlite.ledger_file import LedgerFile
from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.apps.cli.reach import person
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import PassBinding, Strictness
from jittrust.core.grant.proof import Ed25519Signer, make_proof
from jittrust.core.ledger.checkpoint import LedgerKey
from jittrust.core.ledger.verify import LedgerVerified, verify
from jittrust.core.mission.mission import GoalSource
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.ports.grants import NewGrant
from jittrust.ports.missions import NewMission

HERE = Path(__file__).resolve().parent
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(process: subprocess.Popen[bytes], port: int, within: float = 30.0) -> None:
    """Return when somebody listens on the port."""
    until = time.monotonic() + within
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{process.args!r} did not start")
        time.sleep(0.02)


@dataclass
class Served:
    """`jittrust serve` in front of an echo server, on a fixed port so that it can be started again."""

    state: Path
    port: int
    upstream: int

    @classmethod
    def prepare(cls, state: Path) -> Served:
        """Write the configuration: a spending limit that no campaign reaches."""
        made = cls(state, free_port(), free_port())
        settings = {
            "listen": {"port": made.port},
            "grant": {"gas": 1_000_000, "ttl_seconds": 3600},
            "approval": {"wait_seconds": 0},
            "log_level": "error",
            "servers": {"echo": {"url": f"http://127.0.0.1:{made.upstream}/mcp"}},
        }
        (state / "jittrust.yaml").write_text(json.dumps(settings))
        return made

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return f"http://127.0.0.1:{self.port}/mcp/echo"

    def start_upstream(self) -> subprocess.Popen[bytes]:
        """The echo server behind."""
        process = subprocess.Popen([sys.executable, str(HERE / "peers/echo_http.py"), str(self.upstream)])
        wait_for(process, self.upstream)
        return process

    def start(self) -> subprocess.Popen[bytes]:
        """The gateway, ready."""
        command = [sys.executable, "-m", "jittrust.apps.cli.main", "serve", "--state", str(self.state), "--json"]
        with (self.state / "serve.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(process, self.port)
        return process

    async def grants(self, secrets_of: list[bytes], strictness: Strictness = Strictness.STOCK) -> list[Client]:
        """A mission under which `echo` goes through, and a client with a grant for each secret key."""
        connection = await join(self.state)
        try:
            driving = driving_of(connection)
            await driving.missions.start(NewMission(person(), "Echo the text.", GoalSource.MISSION_START))
            made = []
            for secret in secrets_of:
                signer = Ed25519Signer.from_secret(secret)
                new = NewGrant(
                    person(), "bench", "echo", PassBinding.DPOP, signer.jkt, strictness,
                    gas=Gas(1_000_000), ttl=Seconds(3600),
                )  # fmt: skip
                issued = await driving.grants.open(new)
                made.append(Client(self.url, signer, issued.grant.id, issued.token, issued.first_pass or ""))
            return made
        finally:
            await connection.close()


def finish(process: subprocess.Popen[bytes]) -> None:
    """End a process in peace."""
    process.send_signal(signal.SIGTERM)
    process.wait(20)


@dataclass
class Answer:
    """What came back for one call: HTTP status, the next pass if one was given, whether it was an answer given again, the body."""

    status: int
    next_pass: str | None
    resend: bool
    body: bytes

    @property
    def echoed(self) -> bool:
        """The call went through and its result came back."""
        return self.status == 200 and b'"isError":false' in self.body.replace(b" ", b"") and not self.resend


@dataclass
class Client:
    """One holder of a grant and its key."""

    url: str
    signer: Ed25519Signer
    grant: str
    token: str
    live: str

    async def call(self, http: aiohttp.ClientSession, jti: str, text: str, shown: str | None = None) -> Answer:
        """One `echo`, with the pass given or the newest one."""
        params = {"name": "echo", "arguments": {"text": text}, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        nonce = self.live if shown is None else shown
        proof = make_proof(
            self.signer,
            method="POST",
            url=self.url,
            iat=Instant(time.time()),
            jti=jti,
            token=self.token,
            nonce=nonce or None,
        )
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "echo",
            "Authorization": f"DPoP {self.token}",
            "DPoP": proof,
        }
        async with http.post(self.url, data=body, headers=headers) as reply:
            content = await reply.read()
            return Answer(reply.status, reply.headers.get("DPoP-Nonce"), "JitTrust-Resend" in reply.headers, content)


async def ready(state: Path, within: float = 20.0) -> None:
    """Return when the broker of the state answers on its socket."""
    until = time.monotonic() + within
    while True:
        try:
            await (await join(state)).close()
        except JitError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)
        else:
            return


def checked(state: Path, grants: list[str]) -> dict[str, Any]:
    """What must hold of the state afterwards: ledger whole, gas exact, no pass spent twice."""
    with LedgerFile(state / "jittrust.db") as file:
        leaves = list(file.leaves())
        verdict = verify(iter(leaves), file.checkpoint() or "", LedgerKey.parse(file.ledger_key()), whole=True)
        rows = [json.loads(leaf) for leaf in leaves]
    with sqlite3.connect(f"file:{state / 'jittrust.db'}?mode=ro", uri=True) as db:
        left = dict(db.execute("SELECT id, gas_left FROM access_grant").fetchall())
    spent: dict[str, int] = dict.fromkeys(grants, 0)
    limit: dict[str, int] = {}
    seen: set[tuple[str, int, int]] = set()
    twice = 0
    for row in rows:
        if row["kind"] == "grant" and row["what"] == "opened":
            limit[row["grant"]] = row["gas_limit"]
        if row["kind"] in ("use", "refusal") and row["grant"]["id"] in spent:
            key = (row["grant"]["id"], row["grant"]["lane"], row["grant"]["seq"])
            twice += key in seen
            seen.add(key)
            spent[row["grant"]["id"]] += row["grant"]["price"]
    return {
        "ledger_verified": isinstance(verdict, LedgerVerified),
        "records": len(rows),
        "passes_spent_twice": twice,
        "grants_with_wrong_gas": sum(limit[grant] - paid != left[grant] for grant, paid in spent.items()),
        "uses": {row["grant"]["proof"] for row in rows if row["kind"] == "use"},
    }
