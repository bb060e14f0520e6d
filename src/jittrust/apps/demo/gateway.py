"""The HTTP gateway of the third story, on loopback, and a client that holds a key: stock DPoP (RFC 9449), nothing of ours in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import uvicorn

from jittrust.apps.serving import StoppableServer, listen
from jittrust.core.errors import UnavailableError
from jittrust.core.grant.proof import ProofSigner, make_proof
from jittrust.core.units import Instant
from jittrust.pep.mcp.http import McpEndpoint

_REVISION: Final = "2026-07-28"
_META: Final = "io.modelcontextprotocol/"
_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: status, the `code` of a refusal (empty when there is none), what a person may read of it."""

    status: int
    code: str
    detail: str


@dataclass(slots=True)
class KeyHolder:
    """Whoever holds the key: its grant's token and the newest pass it has seen."""

    signer: ProofSigner
    token: str
    nonce: str | None
    clock: Callable[[], Instant]

    async def call(
        self, session: aiohttp.ClientSession, url: str, tool: str, arguments: Mapping[str, Any]
    ) -> HttpAnswer:
        """Call one tool with the newest pass, and keep the next one."""
        body = _body(tool, arguments)
        proof = make_proof(
            self.signer, method="POST", url=url, iat=self.clock(), jti=secrets.token_urlsafe(16), token=self.token,
            nonce=self.nonce, body=body,
        )  # fmt: skip
        headers = {"Authorization": f"DPoP {self.token}", "DPoP": proof}
        async with session.post(url, data=body, headers=_headers(tool) | headers) as reply:
            self.nonce = reply.headers.get("DPoP-Nonce", self.nonce)
            return _answer(reply.status, await reply.text())


async def call_without_key(session: aiohttp.ClientSession, url: str, token: str, tool: str) -> HttpAnswer:
    """Call one tool with a copied token alone."""
    async with session.post(
        url, data=_body(tool, {}), headers=_headers(tool) | {"Authorization": f"Bearer {token}"}
    ) as reply:
        return _answer(reply.status, await reply.text())


@contextlib.asynccontextmanager
async def open_gateway(make: Callable[[str], McpEndpoint]) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """Serve the endpoint that `make` makes for a base URL, on a free port of loopback; its base URL and a client."""
    with listen("127.0.0.1", 0) as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with make(base) as endpoint:
            server = StoppableServer(
                uvicorn.Config(endpoint, loop="none", lifespan="off", log_level="critical", access_log=False)
            )
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                timeout = aiohttp.ClientTimeout(total=_SECONDS)
                async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
                    yield base, session
            except (aiohttp.ClientError, TimeoutError) as error:
                words = f"the gateway of the demo does not answer: {type(error).__name__}: {error}"
                raise UnavailableError("demo_gateway_failed", words) from None
            finally:
                server.should_exit = True
                await asyncio.gather(serving, return_exceptions=True)


def _body(tool: str, arguments: Mapping[str, Any]) -> bytes:
    meta = {
        f"{_META}protocolVersion": _REVISION,
        f"{_META}clientCapabilities": {},
        f"{_META}clientInfo": {"name": "reporter", "version": "1.0.0"},
    }
    params = {"name": tool, "arguments": dict(arguments), "_meta": meta}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def _headers(tool: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": _REVISION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }


def _answer(status: int, text: str) -> HttpAnswer:
    """Reads a JSON-RPC response, bare or as the last event of a stream, or problem details."""
    events = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    try:
        found = json.loads(events[-1] if events else text)
    except ValueError:
        return HttpAnswer(status, "unreadable", text[:200])
    if "jsonrpc" not in found:
        return HttpAnswer(status, str(found.get("code", "")), str(found.get("detail", "")))
    error = found.get("error")
    if error is None:
        refused = found["result"].get("isError") is True
        words = "".join(block.get("text", "") for block in found["result"].get("content", ()))
        return HttpAnswer(status, "tool_error" if refused else "", words[:200])
    return HttpAnswer(status, str((error.get("data") or {}).get("code", error["code"])), str(error["message"]))
