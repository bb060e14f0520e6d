"""MCP servers that are processes, behind the HTTP endpoint: one process for each session, in the stateless revision for each grant.

Agents never share a process: what one of them made a server remember, another would read. In the stateless revision requests of one grant may
carry the same id at once, so ids and progress tokens are replaced on the way in and put back on the way out; everything else stays as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from jittrust.core.errors import UnavailableError
from jittrust.core.model import Json
from jittrust.pep.asgi import Headers
from jittrust.pep.mcp import jsonrpc
from jittrust.pep.mcp.http_upstream import UpstreamFailedError, UpstreamReply
from jittrust.pep.mcp.jsonrpc import MCP_META, MalformedMessageError, Message, MessageKind, key_of, read_message
from jittrust.pep.mcp.sse import ServerEvent, write_event
from jittrust.pep.mcp.stdio import LineCutter, TooLong
from jittrust.pep.mcp.stdio import _end as end_server

_CHUNK = 256 * 1024
_UNASKED = 256
"""Most messages that wait for a caller which has no stream open; the oldest are dropped."""
_STREAMS_AFTER = 15.0
"""Seconds after which an answer becomes a stream although nothing came yet, so that the connection is kept alive."""
_SUBSCRIPTION = MCP_META + "subscriptionId"

_Item: TypeAlias = Message | UnavailableError

# HTTP statuses of errors in the stateless revision (transports, "Sending Messages"); others travel with 200.
_STATUSES = {-32700: 400, -32600: 400, -32602: 400, -32020: 400, -32021: 400, -32022: 400, -32601: 404}


@dataclass(frozen=True, slots=True)
class ProcessServer:
    """One MCP server behind the broker that is a program on this machine.

    Attributes:
        name: under which it sits behind the broker.
        command: program and arguments, no shell.
        env: its whole environment. May hold secrets.
        cwd: its working directory; empty = ours.
        max_bytes: largest line it may print, in bytes.
        silence: seconds without an answer after which a call counts as never answered.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str = ""
    max_bytes: int = jsonrpc.MAX_MESSAGE_BYTES
    silence: float = 300.0


@dataclass(slots=True)
class _Waiting:
    """One request under way: where its messages go, and what its caller called it."""

    queue: asyncio.Queue[_Item]
    id: bytes
    token: bytes | None
    stateless: bool


class ProcessChannel:
    """One caller's process of one server (see `http_channel.Channel`)."""

    def __init__(self, server: ProcessServer) -> None:
        self._server = server
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._own = f"jittrust-{os.urandom(8).hex()}-"
        self._waiting: dict[str, _Waiting] = {}
        self._unasked: asyncio.Queue[_Item] = asyncio.Queue(_UNASKED)
        self._listening = False
        self._gone: UnavailableError | None = None

    @property
    def pid(self) -> int:
        """Process id of the server; 0 before it runs."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the program.

        Raises:
            UpstreamFailedError: code `upstream_not_started`.
        """
        async with self._starting:
            if self._process is not None:
                return
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._server.command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    env=dict(self._server.env),
                    cwd=self._server.cwd or None,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise UpstreamFailedError(
                    "upstream_not_started", f"the server {self._server.name} does not start ({type(error).__name__})"
                ) from None
            self._reading = asyncio.create_task(self._read(self._process))

    async def post(self, message: Message, raw: bytes, headers: Headers) -> UpstreamReply:  # noqa: ARG002 - the port's
        """Send a message; the reply of a request begins with the first thing that the server says about it."""
        await self.start()
        if message.kind is not MessageKind.REQUEST:
            await self._write(raw)
            return UpstreamReply(202, [], body=b"")
        key, waiting, raw = self._enter(message, raw)
        try:
            await self._write(raw)
            first = await asyncio.wait_for(waiting.queue.get(), _STREAMS_AFTER)
        except TimeoutError:
            first = None
        except BaseException:
            await self._leave(key, waiting)
            raise
        if isinstance(first, UnavailableError):
            raise first
        if first is not None and first.kind in {MessageKind.RESULT, MessageKind.ERROR}:
            status = _status(first) if waiting.stateless else 200
            return UpstreamReply(status, [(b"content-type", b"application/json")], "application/json", first.raw)
        reply = UpstreamReply(200, [], "text/event-stream")
        reply.events = self._answers(key, waiting, first)
        return reply

    async def listen(self, headers: Headers) -> UpstreamReply:  # noqa: ARG002 - the port's
        """Open the stream for what the server says unasked; one at a time."""
        await self.start()
        if self._listening:
            return UpstreamReply(409, [], body=b"")
        self._listening = True
        reply = UpstreamReply(200, [], "text/event-stream")
        reply.events = self._unasked_events()
        return reply

    async def ask(self, method: str, params: Mapping[str, Json], timeout: float) -> Message:
        """See `gate.UpstreamFace`."""
        await self.start()
        name = f"{self._own}{next(self._numbers)}"
        waiting = _Waiting(asyncio.Queue(), jsonrpc.dump(name), None, stateless=False)
        self._waiting[f"s{name}"] = waiting
        try:
            await self._write(jsonrpc.request(name, method, params))
            async with asyncio.timeout(timeout):
                while True:
                    found = await waiting.queue.get()
                    if isinstance(found, UnavailableError):
                        raise found
                    if found.kind in {MessageKind.RESULT, MessageKind.ERROR}:
                        return found
        except TimeoutError:
            raise UpstreamFailedError(
                "upstream_silent", f"the server {self._server.name} did not answer in time"
            ) from None
        finally:
            self._waiting.pop(f"s{name}", None)

    async def close(self, headers: Headers = ()) -> int:  # noqa: ARG002 - the port's
        """End the process."""
        self._end_all(UpstreamFailedError("upstream_died", f"the server {self._server.name} was ended"))
        if self._process is not None:
            await end_server(self._process, 2.0)
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        return 200

    # --- in ------------------------------------------------------------------------------------------------------------------------------

    def _enter(self, message: Message, raw: bytes) -> tuple[str, _Waiting, bytes]:
        """Enter a request among those under way. In the stateless revision it gets an id and a progress token that nobody else has."""
        if self._gone is not None:
            raise self._gone
        id_ = message.id or b"null"
        if not message.modern:
            if message.key in self._waiting:
                raise UpstreamFailedError("id_in_use", "a request with this id is under way")
            waiting = _Waiting(asyncio.Queue(), id_, None, stateless=False)
            self._waiting[message.key] = waiting
            return message.key, waiting, raw
        name = f"{self._own}{next(self._numbers)}"
        mine = jsonrpc.dump(name)
        token = message.progress_token
        waiting = _Waiting(asyncio.Queue(), id_, None if token is None else jsonrpc.dump(token), stateless=True)
        self._waiting[f"s{name}"] = waiting
        raw = jsonrpc.with_members(raw, {"id": mine})
        if token is not None:
            raw = jsonrpc.with_path(raw, ("params", "_meta"), {"progressToken": mine})
        return f"s{name}", waiting, raw

    async def _leave(self, key: str, waiting: _Waiting) -> None:
        """A caller of the stateless revision has gone: its request is cancelled."""
        if self._waiting.pop(key, None) is not None and waiting.stateless and self._gone is None:
            with contextlib.suppress(UnavailableError):
                await self._write(jsonrpc.notification("notifications/cancelled", {"requestId": key[1:]}))

    async def _write(self, raw: bytes) -> None:
        if self._gone is not None:
            raise self._gone
        pipe = cast("asyncio.subprocess.Process", self._process).stdin
        if pipe is None or pipe.is_closing():
            raise UpstreamFailedError("upstream_died", f"the server {self._server.name} has ended")
        # Line ends stand only between the values of a JSON text, never inside one.
        pipe.write(raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        with contextlib.suppress(ConnectionError):
            await pipe.drain()

    # --- out -----------------------------------------------------------------------------------------------------------------------------

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        pipe = cast("asyncio.StreamReader", process.stdout)
        cutter = LineCutter(self._server.max_bytes)
        while chunk := await pipe.read(_CHUNK):
            for line in cutter.feed(chunk):
                self._line(line)
        words = "Nobody knows whether the call took effect. Tell the user before you repeat it."
        self._end_all(UpstreamFailedError("upstream_died", f"the server {self._server.name} has ended", words))

    def _end_all(self, error: UnavailableError) -> None:
        self._gone = self._gone or error
        for waiting in self._waiting.values():
            waiting.queue.put_nowait(error)
        self._put_unasked(error)

    def _line(self, line: bytes | TooLong) -> None:
        head, tail = (line.head, line.tail) if isinstance(line, TooLong) else (line, b"")
        if not head.strip():
            return
        if isinstance(line, TooLong):
            self._broken(jsonrpc.guess_id(head, tail), "json_too_large")
            return
        try:
            message = read_message(line, max_bytes=self._server.max_bytes, allow_nul=True)
        except MalformedMessageError as error:
            self._broken(error.id, error.code)
            return
        self._route(message)

    def _broken(self, id_: bytes | None, code: str) -> None:
        """A line that is no message. Where it was to be the answer to a call, that call is told."""
        if id_ is None:
            return
        key = read_message(b'{"jsonrpc":"2.0","method":"-","id":' + id_ + b"}").key
        if (waiting := self._waiting.pop(key, None)) is not None:
            error = UpstreamFailedError("upstream_malformed", "the server's answer could not be read", code)
            waiting.queue.put_nowait(error)

    def _route(self, message: Message) -> None:
        if message.kind in {MessageKind.RESULT, MessageKind.ERROR}:
            waiting = self._waiting.pop(message.key, None)
            if waiting is not None:
                waiting.queue.put_nowait(_renamed(message, waiting) if waiting.stateless else message)
            return
        key = ""
        if message.method == "notifications/progress":
            key = key_of(message.params.get("progressToken"))
        elif _SUBSCRIPTION in message.meta:
            key = key_of(message.meta[_SUBSCRIPTION])
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.stateless:
            waiting.queue.put_nowait(_renamed(message, waiting))
        elif (newest := self._newest()) is not None:
            newest.queue.put_nowait(message)
        else:
            self._put_unasked(message)

    def _newest(self) -> _Waiting | None:
        """The caller's request that came last: a message that names none most likely belongs to it, and its stream is open."""
        found = (
            waiting
            for key, waiting in reversed(self._waiting.items())
            if not key.startswith(f"s{self._own}") or waiting.stateless
        )
        return next(found, None)

    def _put_unasked(self, item: _Item) -> None:
        if self._unasked.full():
            self._unasked.get_nowait()
        self._unasked.put_nowait(item)

    async def _answers(self, key: str, waiting: _Waiting, first: Message | None) -> AsyncIterator[ServerEvent]:
        try:
            if first is not None:
                yield _event(first)
            while True:
                async with asyncio.timeout(None if waiting.token else self._server.silence):
                    found = await waiting.queue.get()
                if isinstance(found, UnavailableError):
                    raise found
                yield _event(found)
                if found.kind in {MessageKind.RESULT, MessageKind.ERROR}:
                    return
        except TimeoutError:
            raise UpstreamFailedError("upstream_silent", f"the server {self._server.name} never answered") from None
        finally:
            await self._leave(key, waiting)

    async def _unasked_events(self) -> AsyncIterator[ServerEvent]:
        try:
            while True:
                found = await self._unasked.get()
                if isinstance(found, UnavailableError):
                    return
                yield _event(found)
        finally:
            self._listening = False


def _event(message: Message) -> ServerEvent:
    return ServerEvent(write_event(message.raw.replace(b"\n", b" ").replace(b"\r", b" ")), message.raw)


def _renamed(message: Message, waiting: _Waiting) -> Message:
    """The message under the names that its caller knows."""
    if message.kind in {MessageKind.RESULT, MessageKind.ERROR}:
        raw = jsonrpc.with_members(message.raw, {"id": waiting.id})
        meta = message.result.get("_meta")
        if isinstance(meta, Mapping) and _SUBSCRIPTION in meta:
            raw = jsonrpc.with_path(raw, ("result", "_meta"), {_SUBSCRIPTION: waiting.id})
    elif message.method == "notifications/progress":
        raw = jsonrpc.with_path(message.raw, ("params",), {"progressToken": waiting.token or b"null"})
    else:
        raw = jsonrpc.with_path(message.raw, ("params", "_meta"), {_SUBSCRIPTION: waiting.id})
    return read_message(raw, max_bytes=len(raw), allow_nul=True)


def _status(message: Message) -> int:
    error = message.body.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    return _STATUSES.get(code, 200) if isinstance(code, int) else 200
