"""The way from one caller's gate to its server: a session of an HTTP server, or a process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Protocol

from jittrust.core.errors import UnavailableError
from jittrust.core.model import Json
from jittrust.pep.asgi import Headers
from jittrust.pep.mcp import jsonrpc
from jittrust.pep.mcp.http_upstream import HttpServer, HttpUpstreams, UpstreamFailedError, UpstreamReply
from jittrust.pep.mcp.jsonrpc import MCP_META, MalformedMessageError, Message, MessageKind, read_message


class Channel(Protocol):
    """One caller's way to one server."""

    async def post(self, message: Message, raw: bytes, headers: Headers) -> UpstreamReply:
        """Send a message. `raw` are the bytes to send, `message` what they say. Raises UnavailableError."""
        ...

    async def listen(self, headers: Headers) -> UpstreamReply:
        """Open the stream for what the server says unasked (up to revision 2025-11-25). Raises UnavailableError."""
        ...

    async def ask(self, method: str, params: Mapping[str, Json], timeout: float) -> Message:
        """See `gate.UpstreamFace`."""
        ...

    async def close(self, headers: Headers = ()) -> int:
        """End the session; the HTTP status with which the server took it."""
        ...


class HttpChannel:
    """A session of an HTTP server; its session id stays here."""

    def __init__(self, server: HttpServer, upstreams: HttpUpstreams, grant: str = "") -> None:
        """`grant`: id of the grant that calls go under; a server's token may be got for it alone."""
        self._server = server
        self._grant = grant
        self._upstreams = upstreams
        self._session = ""
        self._version = ""
        self._numbers = itertools.count(1)

    async def post(self, message: Message, raw: bytes, headers: Headers) -> UpstreamReply:
        """See `Channel.post`."""
        reply = await self._upstreams.send(self._server, "POST", headers, raw, self._session, self._grant)
        if message.method == "initialize" and reply.session:
            self._session = reply.session
        return reply

    def negotiated(self, version: str) -> None:
        """Note the revision that `initialize` agreed on: it goes with our own requests."""
        self._version = version

    async def listen(self, headers: Headers) -> UpstreamReply:
        """See `Channel.listen`."""
        return await self._upstreams.send(self._server, "GET", headers, None, self._session, self._grant)

    async def ask(self, method: str, params: Mapping[str, Json], timeout: float) -> Message:
        """See `gate.UpstreamFace`."""
        raw = jsonrpc.request(f"jittrust-{next(self._numbers)}", method, params)
        message = read_message(raw, max_bytes=len(raw))
        version = message.meta.get(MCP_META + "protocolVersion", self._version)
        headers = [
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"mcp-protocol-version", str(version).encode("ascii", "replace")),
        ]
        if message.modern:
            headers.append((b"mcp-method", method.encode("ascii", "replace")))
        try:
            async with asyncio.timeout(timeout):
                return await self._asked(message, [header for header in headers if header[1]])
        except TimeoutError:
            raise UpstreamFailedError(
                "upstream_silent", f"the server {self._server.name} did not answer in time"
            ) from None

    async def _asked(self, message: Message, headers: Headers) -> Message:
        reply = await self._upstreams.send(self._server, "POST", headers, message.raw, self._session, self._grant)
        try:
            if reply.events is None:
                return read_message(reply.body or b"", allow_nul=True)
            async for event in reply.events:
                if event.data is None:
                    continue
                found = read_message(event.data, allow_nul=True)
                if found.kind in {MessageKind.RESULT, MessageKind.ERROR}:
                    return found
        except MalformedMessageError as error:
            raise UpstreamFailedError("upstream_garbled", f"the server {self._server.name}: {error.message}") from None
        finally:
            await reply.close()
        raise UpstreamFailedError(
            "upstream_broke_off", f"the server {self._server.name} ended its stream without an answer"
        )

    async def close(self, headers: Headers = ()) -> int:
        """See `Channel.close`."""
        if not self._session:
            return 200
        session, self._session = self._session, ""
        if not headers and self._version:
            headers = [(b"mcp-protocol-version", self._version.encode("ascii", "replace"))]
        try:
            async with asyncio.timeout(5.0):
                reply = await self._upstreams.send(self._server, "DELETE", headers, None, session, self._grant)
                await reply.close()
        except (UnavailableError, TimeoutError):
            return 502
        return reply.status
