"""A full checked use: token, key proof, pass, map, intent, debit, ledger, durable before the answer; beside the same-run ceiling.

    python -m bench use --json [--seconds 6] [--flight 64] [--growth 100,1000,10000,100000,1000000]

Three figures, each beside a unit of the same run, for absolute times belong to the machine and its neighbours:

- in process, on a real SQLite store: uses a second and CPU of one use, beside U (one EdDSA JWT checked by hand with libsodium) and F (append
  1 KB and fdatasync);
- over HTTP, one server process: the same uses behind a raw ASGI application, beside one that checks the two signatures and does nothing else;
- with 10^2 to 10^6 live grants: CPU of a use, and what a live grant weighs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from bench.served import free_port, wait_for
from nacl.signing import SigningKey, VerifyKey

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.adapters.system.clock import SteadyClock
from jittrust.adapters.system.names import new_name
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.errors import JitError
from jittrust.core.grant.claims import TokenRules
from jittrust.core.grant.grant import Grant, Lane, PassBinding, Strictness
from jittrust.core.grant.present import PresentationRules, PresentedRequest, VerifiedBefore, check_presentation
from jittrust.core.grant.proof import Ed25519Signer, make_proof
from jittrust.core.grant.states import GrantState
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.mission.mission import GoalSource
from jittrust.core.model import Evaluation, Subject, SubjectKind
from jittrust.core.rules import Rules
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.pep.mcp.jsonrpc import read_message
from jittrust.pep.mcp.translate import to_evaluation
from jittrust.ports.commit import OpenGrant
from jittrust.ports.decision_point import Outcome, Passage, Settled
from jittrust.ports.grants import NewGrant
from jittrust.ports.missions import NewMission
from jittrust.ports.registry import Attachment

ISSUER = "https://broker.example"
URL = f"{ISSUER}/mcp/files"
SEED = b"u" * 32
TOOL = {
    "name": "read_file",
    "description": "Read a file of the shared folder.",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}
RULES = Rules()
GAS = Gas(1_000_000_000)


@dataclass
class Holder:
    """Somebody with a grant, its key and the newest pass."""

    signer: Ed25519Signer
    token: str
    live: str
    count: Iterator[int] = field(default_factory=itertools.count)

    def asked(self, url: str = URL) -> PresentedRequest:
        """The next request, signed."""
        jti = f"jti-{next(self.count):020d}"
        proof = make_proof(
            self.signer, method="POST", url=url, iat=Instant(time.time()), jti=jti, token=self.token, nonce=self.live
        )
        return PresentedRequest("POST", url, [f"DPoP {self.token}"], [proof])


def question(number: int) -> Evaluation:
    """A call of 300 bytes, read from its bytes as a gate does."""
    params = {"name": "read_file", "arguments": {"path": f"/srv/reports/q{number % 4}.txt"}}
    raw = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()
    made = to_evaluation(
        read_message(raw), server="files", subject=Subject(SubjectKind.AGENT, "bench"), evaluation_id=new_name("c")
    )
    assert isinstance(made, Evaluation)
    return made


@dataclass
class Full:
    """A broker in process and the check in front of it."""

    broker: Broker
    keys: dict[str, bytes]
    before: VerifiedBefore = field(default_factory=VerifiedBefore)
    rules: PresentationRules = field(
        default_factory=lambda: PresentationRules(TokenRules(ISSUER, URL, longest=Seconds(4000)))
    )

    async def use(self, asked: PresentedRequest, number: int) -> str | None:
        """One use from the bytes to the durable answer; the next pass, None when it did not go out."""
        shown = check_presentation(asked, self.keys, self.rules, Instant(time.time()), self.before)
        ask = question(number)
        decisions = self.broker.driving.decisions
        decision = await decisions.evaluate(ask, shown)
        if decision.passage is not Passage.FORWARD:
            return None
        learned = await decisions.settle(ask.id, Outcome(Settled.COMPLETE, ("The figures are fine.",), answer=b"{}"))
        return learned.next_pass

    async def holders(self, count: int) -> list[Holder]:
        """Grants for one mission, each with a key of its own."""
        driving = self.broker.driving
        entry = AuthorityEntry("e-1", "files/read_file", state=EntryState.APPROVED, approved_by="ana", why="said so")
        new = NewMission("ana", "Read the reports.", GoalSource.FILE, entries=(entry,), pin="123456", minutes=60)
        mission = await driving.missions.start(new)
        made = []
        for _ in range(count):
            signer = Ed25519Signer.from_secret(secrets.token_bytes(32))
            new_grant = NewGrant("ana", "bench", "files", PassBinding.DPOP, jkt=signer.jkt, mission=mission.id, gas=GAS)
            issued = await driving.grants.open(new_grant)
            made.append(Holder(signer, issued.token, issued.first_pass or ""))
        return made


def rules() -> Rules:
    """Grants that no measurement runs out of."""
    from dataclasses import replace

    return replace(RULES, grants=replace(RULES.grants, gas=int(GAS), ttl=3600.0))


@contextlib.asynccontextmanager
async def opened(store: SqliteCommit | MemoryCommit, clock: Callable[[], Instant]) -> AsyncIterator[Full]:
    """A broker over the store."""
    key = SigningKey(SEED)
    broker = await Broker.open(
        store=store,
        ledger=store,
        policy=CedarPolicy.load(),
        pin=MemoryPin("123456"),
        secrets=BrokerSecrets(SEED, "k1", lambda data: key.sign(data).signature),
        ledger_vkey=str(LedgerSigner.from_seed("bench.example/ledger", SEED).key),
        rules=rules(),
        clock=clock,
        new_id=new_name,
        issuer=ISSUER,
        identity=offline_identity(RULES, clock, new_name),
    )
    attached = await broker.driving.registry.attach(Attachment("ana", "bench", "files"))
    await broker.driving.registry.show_tools(attached.id, [TOOL])
    try:
        yield Full(broker, {"k1": bytes(key.verify_key)})
    finally:
        await broker.close()


def sqlite(folder: Path) -> SqliteCommit:
    """A real store: WAL, synchronous FULL."""
    from jittrust.adapters.files.fence import FileFence

    signer = LedgerSigner.from_seed("bench.example/ledger", SEED)
    return SqliteCommit.open(
        folder / "jittrust.db",
        signer=signer,
        origin="bench.example/ledger",
        fence=FileFence(folder),
        clock=SteadyClock(),
    )


def unit(seconds: float) -> float:
    """U in microseconds of CPU: split, decode, check one EdDSA JWT with libsodium, read its claims; nothing strict about it."""
    key = SigningKey(SEED)
    signer = Ed25519Signer.from_secret(SEED)
    token = make_proof(
        signer, method="POST", url=URL, iat=Instant(time.time()), jti="j" * 22, token="t", nonce="n" * 60
    )
    public = VerifyKey(bytes(key.verify_key))
    best, ends = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.process_time()
        for _ in range(200):
            signed, _, signature = token.rpartition(".")
            public.verify(signed.encode(), urlsafe_b64decode(signature + "=="))
            head, body = signed.split(".")
            json.loads(urlsafe_b64decode(head + "=="))
            json.loads(urlsafe_b64decode(body + "=="))
        best = min(best, (time.process_time() - began) / 200 * 1e6)
    return best


def disk(folder: Path, seconds: float) -> float:
    """F in milliseconds: append 1 KB and fdatasync, the median."""
    handle = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        took: list[float] = []
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            began = time.perf_counter()
            os.write(handle, b"x" * 1024)
            os.fdatasync(handle)
            took.append((time.perf_counter() - began) * 1e3)
        return statistics.median(took)
    finally:
        os.close(handle)


def spread(took: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(took)
    return {
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
    }


async def in_process(folder: Path, seconds: float, flight: int) -> dict[str, Any]:
    """Uses a second through the broker on a real store, `flight` callers at once."""
    async with opened(sqlite(folder), SteadyClock()) as full:
        holders = await full.holders(flight)
        numbers, took, refused = itertools.count(), list[float](), 0
        ends = time.perf_counter() + seconds

        async def caller(holder: Holder) -> None:
            nonlocal refused
            while time.perf_counter() < ends:
                asked = holder.asked()
                began = time.perf_counter()
                following = await full.use(asked, next(numbers))
                took.append(time.perf_counter() - began)
                if following is None:
                    refused += 1
                    return
                holder.live = following

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(caller, holders))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        signing = await asyncio.to_thread(signing_cost, holders[0])
        return {
            "uses": len(took),
            "refused": refused,
            "uses_per_second": len(took) / wall,
            # The callers sign in the same process; their share is measured and taken off.
            "cpu_us_per_use": cpu / len(took) * 1e6 - signing,
            **spread(took),
        }


def signing_cost(holder: Holder) -> float:
    """Microseconds of CPU to make one request."""
    began = time.process_time()
    for _ in range(500):
        holder.asked()
    return (time.process_time() - began) / 500 * 1e6


async def over_http(folder: Path, seconds: float, flight: int, mode: str) -> dict[str, Any]:
    """Uses a second of one server process: `full`, or `bare` (two signatures, nothing else)."""
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.use_http", mode, str(port), str(folder), str(flight)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - once
    try:
        assert process.stdout is not None
        told = json.loads(await asyncio.to_thread(process.stdout.readline))
        wait_for(process, port)
        holders = [
            Holder(Ed25519Signer.from_secret(bytes.fromhex(one["secret"])), one["token"], one["pass"])
            for one in told["holders"]
        ]
        took, failed = list[float](), 0
        ends = time.perf_counter() + seconds
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=flight)) as http:

            async def caller(holder: Holder) -> None:
                nonlocal failed
                while time.perf_counter() < ends:
                    asked = holder.asked()
                    headers = {"Authorization": asked.authorization[0], "DPoP": asked.proofs[0]}
                    began = time.perf_counter()
                    async with http.post(f"http://127.0.0.1:{port}/", headers=headers, data=b"{}") as reply:
                        await reply.read()
                        took.append(time.perf_counter() - began)
                        if reply.status != 200:
                            failed += 1
                            return
                        holder.live = reply.headers.get("DPoP-Nonce", holder.live)

            used = cpu_of(process.pid)
            began = time.perf_counter()
            await asyncio.gather(*map(caller, holders))
            wall, used = time.perf_counter() - began, cpu_of(process.pid) - used
        return {
            "uses": len(took),
            "failed": failed,
            "uses_per_second": len(took) / wall,
            "server_cpu_us_per_use": used / len(took) * 1e6,
            **spread(took),
        }
    finally:
        process.kill()
        process.wait()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def growth(sizes: list[int]) -> list[dict[str, float]]:
    """CPU of a use with so many live grants in memory, and what one weighs there."""
    found = []
    signer = LedgerSigner.from_seed("bench.example/ledger", SEED)
    store = MemoryCommit(signer=signer, origin="bench.example/ledger")
    async with opened(store, SteadyClock()) as full:
        (holder,) = await full.holders(1)
        state, numbers = full.broker.state, itertools.count()
        model = next(iter(state.grants.values()))
        live, weighed, before = 1, 0.0, resident()
        for size in sizes:
            while live < size:
                writes = [stranger(model, live + at) for at in range(min(5000, size - live))]
                await state.change(writes, [])
                live += len(writes)
            gc.collect()
            gc.freeze()  # what lives long is not walked again: else the collector's share grows with what is there
            weighed = (resident() - before) / max(1, live - 1)
            best = float("inf")
            for _ in range(12):
                began = time.process_time()
                asked = [await once(full, holder, numbers) for _ in range(50)]
                best = min(best, (time.process_time() - began) / 50 * 1e6)
                assert all(asked)
            found.append({"grants": size, "cpu_us_per_use": best, "bytes_per_grant": weighed})
    return found


def stranger(model: Grant, number: int) -> OpenGrant:
    """A live grant of somebody else; ten share a mission."""
    from dataclasses import replace

    name = f"g-{number:016x}"
    other = replace(
        model,
        id=name,
        family=name,
        mission=f"m-{number // 10:016x}",
        agent=f"spiffe://example.org/agent/{number}",
        jkt=secrets.token_urlsafe(32),
        state=GrantState.ACTIVE,
        strictness=Strictness.STOCK,
    )
    return OpenGrant(other, Lane(name, 0, 0, model.issued, model.issued))


async def once(full: Full, holder: Holder, numbers: Iterator[int]) -> bool:
    following = await full.use(holder.asked(), next(numbers))
    holder.live = following or holder.live
    return following is not None


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, in one run."""
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        for part in ("inside", "full", "bare"):
            (folder / part).mkdir()
        one, floor = unit(1.0), disk(folder, 1.5)
        inside = await in_process(folder / "inside", options.seconds, options.flight)
        full = await over_http(folder / "full", options.seconds, options.flight, "full")
        bare = await over_http(folder / "bare", options.seconds, options.flight, "bare")
    sizes = [int(size) for size in options.growth.split(",") if size]
    grown = await growth(sizes) if sizes else []
    ratios = {
        "cpu_of_a_use_in_U": inside["cpu_us_per_use"] / one,
        "uses_per_second_times_F": inside["uses_per_second"] * floor / 1e3,
        "http_full_over_bare_rate": full["uses_per_second"] / bare["uses_per_second"],
        "http_full_over_bare_cpu": full["server_cpu_us_per_use"] / bare["server_cpu_us_per_use"],
        "growth": grown[-1]["cpu_us_per_use"] / grown[0]["cpu_us_per_use"] if grown else None,
    }
    enough = inside["uses"] > 100 * options.seconds and not inside["refused"] and not full["failed"] + bare["failed"]
    return {
        "id": "use",
        "passed": enough,
        "units": {"U_us": one, "F_ms": floor},
        "in_process": inside,
        "http": {"full": full, "bare": bare},
        "growth": grown,
        "ratios": ratios,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench use", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--flight", type=int, default=64)
    parser.add_argument("--growth", default="100,1000,10000,100000,1000000")
    options = parser.parse_args()
    try:
        found = uvloop.run(measured(options))
    except JitError as error:
        print(json.dumps({"id": "use", "passed": False, "why": str(error)}))
        return 1
    print(json.dumps(found, indent=None if options.json else 2))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
