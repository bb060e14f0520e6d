"""One proof posted many times at once, byte for byte, to a whole gateway: one is let out and pays, whatever the rest is answered.

    python -m bench same_proof --posts 10000 [--at-once 400] [--rounds 1] [--json]

The attacker's strongest replay: he has the very request, under the live pass, before its owner's has arrived. An answer given again (the same bytes
as the first, `JitTrust-Resend`) is no second use: nothing goes out and nothing is paid.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from bench.served import META, MODERN, Client, Served, checked, finish, ready

from jittrust.core.grant.proof import make_proof
from jittrust.core.units import Instant


def request_of(client: Client, text: str) -> tuple[bytes, dict[str, str]]:
    """One signed request, to be sent as often as one likes."""
    params = {"name": "echo", "arguments": {"text": text}, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    proof = make_proof(
        client.signer,
        method="POST",
        url=client.url,
        iat=Instant(time.time()),
        jti=secrets.token_urlsafe(16),
        token=client.token,
        nonce=client.live,
    )
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "echo",
        "Authorization": f"DPoP {client.token}",
        "DPoP": proof,
    }
    return body, headers


async def burst(client: Client, posts: int, at_once: int) -> tuple[Counter[str], str | None]:
    """Post one request `posts` times over `at_once` connections; what was answered, and the newest pass."""
    body, headers = request_of(client, secrets.token_hex(4))
    told: Counter[str] = Counter()
    given: list[str] = []
    begin = asyncio.Event()
    left = iter(range(posts))

    async def post(http: aiohttp.ClientSession) -> None:
        await begin.wait()
        for _ in left:
            async with http.post(client.url, data=body, headers=headers) as reply:
                content = await reply.read()
                again = "again" if "JitTrust-Resend" in reply.headers else ""
                failed = reply.status == 200 and b'"isError":false' not in content.replace(b" ", b"")
                told[f"{reply.status}{' ' + again if again else ''}{' failed' if failed else ''}"] += 1
                if reply.headers.get("DPoP-Nonce"):
                    given.append(reply.headers["DPoP-Nonce"])

    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once), timeout=timeout) as http:
        workers = [asyncio.create_task(post(http)) for _ in range(at_once)]
        await asyncio.sleep(0)
        begin.set()
        await asyncio.gather(*workers)
    return told, given[0] if given else None


def campaign(state: Path, posts: int, at_once: int, rounds: int) -> dict[str, Any]:
    """Bursts, each of a grant of its own, and what the state says afterwards."""
    served = Served.prepare(state)
    upstream, gateway = served.start_upstream(), served.start()
    told: Counter[str] = Counter()
    clients: list[Client] = []
    try:

        async def run() -> None:
            await ready(state)
            clients.extend(await served.grants([secrets.token_bytes(32) for _ in range(rounds)]))
            for client in clients:
                found, _ = await burst(client, posts, at_once)
                told.update(found)

        asyncio.run(run())
    finally:
        finish(gateway)
        finish(upstream)
    found = checked(state, [client.grant for client in clients])
    accepted = len(found["uses"])
    return {
        "id": "same_proof",
        "value": {"accepted": accepted, "of": posts * rounds},
        "rounds": rounds,
        "at_once": at_once,
        "answers": dict(told),
        **{name: found[name] for name in ("passes_spent_twice", "grants_with_wrong_gas", "ledger_verified")},
        "passed": accepted == rounds
        and sum(told.values()) == posts * rounds
        and found["passes_spent_twice"] == found["grants_with_wrong_gas"] == 0
        and found["ledger_verified"],
    }


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jittrust-same-proof-") as folder:
        began = time.monotonic()
        result = campaign(Path(folder), chosen.posts, chosen.at_once, chosen.rounds)
    result["wall_s"] = round(time.monotonic() - began, 1)
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
