"""One HTTP answer of the MCP endpoint: whole, or a stream of events that may begin before the call is finished."""

from __future__ import annotations

import asyncio

from jittrust.core.units import Gas
from jittrust.pep.asgi import NO_STORE, Headers, Send, answer
from jittrust.ports.decision_point import Decision

JSON_TYPE = (b"content-type", b"application/json")
STREAM_TYPE = (b"content-type", b"text/event-stream")
KEEP_ALIVE = b": keep-alive\n\n"
KEEP_ALIVE_SECONDS = 15.0
"""Longest silence on a stream: what stands in between cuts connections that say nothing."""


class Answering:
    """The answer to one request. Every answer carries the newest pass and what is left of the grant, and is never stored by anybody.

    Attributes:
        next_pass: the pass to show next; empty when there is none to hand out.
        extra: further headers of this answer.
        metadata: where the resource says who gives grants for it, for a 401.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = asyncio.Lock()
        self.next_pass = ""
        self._gas: Gas | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.extra: list[tuple[bytes, bytes]] = []
        self.metadata = ""
        self.gone = False
        self.streaming = False
        self.ended = False

    def decided(self, decision: Decision) -> None:
        """Take over what a decision says to its caller: the pass to show next, the gas that is left."""
        self.next_pass = decision.next_pass or ""
        self._gas = decision.gas_left

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What goes with every answer to this caller."""
        found = [NO_STORE, *self.extra]
        if self.next_pass:
            found.append((b"dpop-nonce", self.next_pass.encode("ascii")))
        if self._gas is not None:
            found.append((b"jittrust-gas", str(int(self._gas)).encode("ascii")))
        return found

    async def whole(self, status: int, body: bytes, headers: Headers = (JSON_TYPE,)) -> None:
        """Answer at once. Nothing happens when the caller has left."""
        self.ended = True
        if not self.gone:
            await answer(self._send, status, body, [*headers, *self.headers()])

    async def stream(self) -> None:
        """Begin a stream of events, unless it has begun."""
        async with self._lock:
            if self.streaming or self.gone:
                return
            self.streaming = True
            # Some proxies hold back a response until it ends; this asks them not to.
            headers = [STREAM_TYPE, (b"x-accel-buffering", b"no"), *self.headers()]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._keeping = asyncio.create_task(self._keep_alive())

    async def event(self, raw: bytes) -> bool:
        """Send one event; False when the caller has left or the stream has ended."""
        await self.stream()
        async with self._lock:
            if self.gone or self.ended:
                return False
            await self._send({"type": "http.response.body", "body": raw, "more_body": True})
            return True

    async def end(self) -> None:
        """End the stream."""
        async with self._lock:
            if not self.streaming or self.ended:
                return
            self.ended = True
            if not self.gone:
                await self._send({"type": "http.response.body", "body": b""})
        self.left()

    def left(self) -> None:
        """Stop what runs beside the answer."""
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            if not await self.event(KEEP_ALIVE):
                return
