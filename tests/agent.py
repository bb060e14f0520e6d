"""A DPoP client in forty lines: shows a proof with the newest pass, takes the next one from the answer. Nothing is retried by itself."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import Any, Self

import aiohttp
from tests.recorder import META, Wire

from jittrust.core.grant.proof import Ed25519Signer, Es256Signer, make_proof
from jittrust.core.units import Instant

ACCEPT = "application/json, text/event-stream"


def new_key() -> Es256Signer:
    return Es256Signer.from_secret(b"\x01" + secrets.token_bytes(31))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Wire:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])

    @property
    def text(self) -> str:
        return "\n".join(block["text"] for block in self.json["result"]["content"])


@dataclass
class DpopAgent:
    """One holder of a key. `copy()` is a thief's."""

    key: Es256Signer | Ed25519Signer
    token: str
    url: str
    nonce: str | None
    http: aiohttp.ClientSession = field(repr=False)
    number: int = 0

    def copy(self) -> Self:
        return replace(self)

    def proof(self, url: str, method: str = "POST", *, nonce: str | None = None, later: float = 0.0) -> str:
        return make_proof(
            self.key, method=method, url=url, iat=Instant(time.time() + later), jti=secrets.token_urlsafe(16),
            token=self.token, nonce=nonce if nonce is not None else self.nonce,
        )  # fmt: skip

    async def call(self, name: str = "echo", word: str = "", *, nonce: str | None = None, **more: Wire) -> Answer:
        self.number += 1
        params = {"_meta": META, "name": name, "arguments": {"word": word}}
        return await self.send("tools/call", params, name, nonce=nonce, **more)

    async def send(
        self, method: str, params: dict[str, Any], name: str = "", *, nonce: str | None = None, later: float = 0.0,
        headers: dict[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        body = json.dumps({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        whole = {
            "authorization": f"DPoP {self.token}",
            "dpop": self.proof(self.url, nonce=nonce, later=later),
            "content-type": "application/json",
            "accept": ACCEPT,
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": method,
            **({"mcp-name": name} if name else {}),
            **(headers or {}),
        }
        async with self.http.post(self.url, data=body, headers=whole) as response:
            answer = Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read())
        if "dpop-nonce" in answer.headers:
            self.nonce = answer.headers["dpop-nonce"]
        return answer
