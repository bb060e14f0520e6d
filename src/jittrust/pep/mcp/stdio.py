"""A stdio MCP server behind the gate: a stdio server towards the client, a stdio client towards the server it starts.

Lines go through as the bytes that came, in both revisions. Requests of our own carry ids that start with a random word, so they never meet an
id of the client or the server. Nothing is read faster than the other side takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import sys
import threading
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from typing import IO, Any, cast

from jittrust.core.errors import BadInputError, ConflictError, JitError, UnavailableError
from jittrust.core.model import Json
from jittrust.pep.mcp import jsonrpc, translate
from jittrust.pep.mcp.gate import Gate, GateSettings, LeaseEndedError
from jittrust.pep.mcp.jsonrpc import MAX_MESSAGE_BYTES, MalformedMessageError, Message, MessageKind
from jittrust.ports.driving import Driving

_CHUNK = 256 * 1024
_HEAD, _TAIL = 8192, 2048
_METHOD_UNKNOWN = str(jsonrpc.METHOD_NOT_FOUND).encode()
_SECRET_LIKE = re.compile(r"[A-Za-z0-9+/_=-]{24,}")


@dataclass(frozen=True, slots=True)
class StdioOptions:
    """How one stdio server is put behind the gate.

    Attributes:
        gate: see `GateSettings`; `pids` are filled in here.
        max_bytes: largest line, in bytes, either way.
        most_calls: requests of the client that may be under way at once.
        drain_s: after the client has closed its end, how long calls that went out may still be answered, in seconds.
        grace_s: how long the server gets to end by itself, and again after SIGTERM, in seconds.
    """

    gate: GateSettings
    max_bytes: int = MAX_MESSAGE_BYTES
    most_calls: int = 256
    drain_s: float = 3.0
    grace_s: float = 2.0


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line that was longer than allowed: how it began, how it ended. What lay between was never kept."""

    head: bytes
    tail: bytes
    size: int


class LineCutter:
    """Cuts a byte stream into lines and stays in step when one is too long; holds at most `max_bytes` and one chunk."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> list[bytes | TooLong]:
        """The lines that end in `chunk`, without their line ends."""
        lines: list[bytes | TooLong] = []
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._take(chunk[start:end])
            lines.append(self._cut())
            start = end + 1
        self._take(chunk[start:])
        return lines

    def rest(self) -> list[bytes | TooLong]:
        """What came after the last line end, once the stream has ended."""
        return [self._cut()] if self._size else []

    def _take(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        if self._size <= self._max:
            self._parts.append(part)
            return
        if self._parts:
            kept = b"".join(self._parts)
            self._head, self._tail, self._parts = kept[:_HEAD], kept[-_TAIL:], []
        if len(self._head) < _HEAD:
            self._head += part[: _HEAD - len(self._head)]
        self._tail = (self._tail + part[-_TAIL:])[-_TAIL:]

    def _cut(self) -> bytes | TooLong:
        line = TooLong(self._head, self._tail, self._size) if self._size > self._max else b"".join(self._parts)
        self._parts, self._size, self._head, self._tail = [], 0, b"", b""
        return line


class PipeReader:
    """Reads a file descriptor of any kind without blocking the loop, no faster than it is asked to."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self._stream: asyncio.StreamReader | None = None
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(1)

    async def open(self) -> None:
        """Start reading."""
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader(limit=_CHUNK)
        try:
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), self._handle)
        except ValueError:  # a regular file cannot be polled
            threading.Thread(target=self._pump, args=(loop,), daemon=True).start()
        else:
            self._stream = stream

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        chunk = b"."
        while chunk:
            try:
                chunk = os.read(self._handle.fileno(), _CHUNK)
                asyncio.run_coroutine_threadsafe(self._queue.put(chunk), loop).result()
            except (OSError, ValueError, RuntimeError, CancelledError):  # the file is closed, or the loop has ended
                return

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        if self._stream is None:
            return await self._queue.get()
        try:
            return await self._stream.read(_CHUNK)
        except OSError:
            return b""


class PipeWriter(asyncio.Protocol):
    """Writes lines to a file descriptor of any kind; `write` returns once the other side has taken enough."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self._transport: asyncio.WriteTransport | None = None
        self._free = asyncio.Event()
        self._free.set()
        self.broken = asyncio.Event()

    async def open(self) -> None:
        """Start writing."""
        with contextlib.suppress(ValueError):  # a regular file takes bytes without waiting
            transport, _ = await asyncio.get_running_loop().connect_write_pipe(lambda: self, self._handle)
            self._transport = transport

    def pause_writing(self) -> None:
        """Called by the transport: its buffer is full."""
        self._free.clear()

    def resume_writing(self) -> None:
        """Called by the transport: its buffer has room."""
        self._free.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Called by the transport: the reader is gone, or we closed."""
        self.broken.set()
        self._free.set()

    async def write(self, line: bytes) -> None:
        """Send one line. Does nothing when the reader is gone."""
        if self.broken.is_set():
            return
        # Line ends stand only between the values of a JSON text; a client that takes a carriage return for one would read two messages.
        line = line.replace(b"\n", b" ").replace(b"\r", b" ")
        if self._transport is None:
            try:
                left = memoryview(line + b"\n")
                while left:
                    left = left[self._handle.write(left) :]
            except (OSError, ValueError):
                self.broken.set()
            return
        self._transport.write(line + b"\n")
        await self._free.wait()

    async def close(self) -> None:
        """Send what is buffered, for at most a second, then close."""
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.broken.wait(), 1.0)


@dataclass(slots=True)
class _UnderWay:
    """A request under way: its task, and whether it has been sent on."""

    task: asyncio.Task[None]
    method: str
    sent: bool = False


@dataclass(slots=True)
class _Side:
    """What is awaited from one side: our own requests and those sent on, by key."""

    awaited: dict[str, asyncio.Future[Message]] = field(default_factory=dict)
    gone: JitError | None = None

    def expect(self, key: str) -> asyncio.Future[Message]:
        """A future for the response with this key. Raises when the side is gone."""
        if self.gone is not None:
            raise self.gone
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.awaited[key] = future
        return future

    def settle(self, key: str, answer: Message | JitError) -> bool:
        """Hand out a response; False when nobody waits for it."""
        future = self.awaited.pop(key, None)
        if future is None or future.done():
            return False
        if isinstance(answer, JitError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return True

    def leave(self, error: JitError) -> None:
        """The side is gone: everybody who waits is told."""
        self.gone = error
        for key in tuple(self.awaited):
            self.settle(key, error)


class StdioBridge:
    """One client and one server with the gate between them."""

    def __init__(
        self,
        server: asyncio.subprocess.Process,
        reader: PipeReader,
        writer: PipeWriter,
        ports: Driving,
        options: StdioOptions,
    ) -> None:
        self._process = server
        self._options = options
        self._reader, self._writer = reader, writer
        self._own = f"jittrust-{secrets.token_hex(8)}-"
        self._count = 0
        self._from_server = _Side()
        self._from_client = _Side()
        self._calls: dict[str, _UnderWay] = {}
        self._server_calls: dict[str, _UnderWay] = {}
        self._listens: dict[str, bytes] = {}
        self._legacy = False
        self._bad_lines = 0
        pids = (*options.gate.pids, os.getpid(), os.getppid(), server.pid)
        session = options.gate.session or secrets.token_hex(8)
        self.gate = Gate(ports, replace(options.gate, pids=pids, session=session), self, self._announce)

    # --- faces of the gate ---------------------------------------------------------------------------------------------------------------

    async def ask(self, method: str, params: Mapping[str, Json], timeout: float) -> Message:
        """Ask the server something of our own (see `UpstreamFace`)."""
        name = self._fresh_name()
        future = self._from_server.expect(f"s{name}")
        await self._to_server(jsonrpc.request(name, method, params))
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            await self._to_server(jsonrpc.notification("notifications/cancelled", {"requestId": name}))
            raise UnavailableError("upstream_silent", f"the server does not answer {method}") from None
        finally:
            self._from_server.awaited.pop(f"s{name}", None)

    async def request(self, method: str, params: Mapping[str, Json], timeout: float) -> Mapping[str, Json] | None:
        """Ask the client something of our own (see `ClientFace`)."""
        name = self._fresh_name()
        try:
            future = self._from_client.expect(f"s{name}")
            await self._writer.write(jsonrpc.request(name, method, params))
            answer = await asyncio.wait_for(future, timeout)
        except JitError:
            return None
        except (TimeoutError, asyncio.CancelledError) as error:
            words = {"requestId": name, "reason": "no longer needed"}
            await self._writer.write(jsonrpc.notification("notifications/cancelled", words))
            if isinstance(error, asyncio.CancelledError):
                raise
            return None
        finally:
            self._from_client.awaited.pop(f"s{name}", None)
        return answer.result if answer.kind is MessageKind.RESULT else None

    async def notify(self, raw: bytes) -> None:
        """Send the client a notification (see `ClientFace`)."""
        await self._writer.write(raw)

    async def _announce(self, raw: bytes) -> None:
        if self._legacy:
            await self._writer.write(raw)
        for id_ in tuple(
            self._listens.values()
        ):  # revision 2026-07-28: only to who subscribed, under the subscription's id
            meta = b'{"_meta":{"' + jsonrpc.MCP_META.encode() + b'subscriptionId":' + id_ + b"}}"
            await self._writer.write(jsonrpc.with_members(raw, {"params": meta}))

    def _fresh_name(self) -> str:
        self._count += 1
        return f"{self._own}{self._count}"

    async def _to_server(self, raw: bytes) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.is_closing():
            return
        pipe.write(raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        with contextlib.suppress(ConnectionError):
            await pipe.drain()

    # --- the client's lines --------------------------------------------------------------------------------------------------------------

    async def read_client(self) -> None:
        """Until the client closes its end."""
        cutter = LineCutter(self._options.max_bytes)
        while chunk := await self._reader.read():
            for line in cutter.feed(chunk):
                await self._client_line(line)
        for line in cutter.rest():
            await self._client_line(line)

    async def _client_line(self, line: bytes | TooLong) -> None:
        if isinstance(line, TooLong):
            words = f"{line.size} bytes in one message, at most {self._options.max_bytes} are taken"
            error = MalformedMessageError(
                "json_too_large", words, jsonrpc.PARSE_ERROR, jsonrpc.guess_id(line.head, line.tail)
            )
            await self._writer.write(error.reply())
            return
        if not line.strip():
            return
        try:
            message = jsonrpc.read_message(line, max_bytes=self._options.max_bytes)
        except MalformedMessageError as error:
            await self._writer.write(error.reply())
            return
        if message.kind is MessageKind.REQUEST:
            await self._client_request(message)
        elif message.kind is MessageKind.NOTIFICATION:
            await self._client_notice(message)
        else:
            self._from_client.settle(message.key, message)

    async def _client_request(self, message: Message) -> None:
        error: JitError | None = None
        if message.key in self._calls or message.key.startswith(f"s{self._own}"):
            error = ConflictError("id_in_use", "a request with this id is under way")
        elif len(self._calls) >= self._options.most_calls:
            error = UnavailableError(
                "too_many_calls", f"{self._options.most_calls} requests are under way", "Wait for answers."
            )
        if error is not None:
            await self._writer.write(jsonrpc.failure_reply(message.id, error))
            return
        if message.method == "initialize":
            self._legacy = True
        task = asyncio.create_task(self._carry(message))
        self._calls[message.key] = _UnderWay(task, message.method)
        task.add_done_callback(lambda _: self._calls.pop(message.key, None))
        # The task runs up to its first wait: what passes unjudged keeps its place in the order of the client's lines.
        await asyncio.sleep(0)

    async def _carry(self, message: Message) -> None:
        wants = message.params.get("notifications")
        if (
            message.method == "subscriptions/listen"
            and isinstance(wants, Mapping)
            and wants.get("toolsListChanged") is True
        ):
            self._listens[message.key] = message.id or b"null"

        async def forward(raw: bytes) -> Message:
            future = self._from_server.expect(message.key)
            if (call := self._calls.get(message.key)) is not None:
                call.sent = True
            await self._to_server(raw)
            try:
                return await future
            finally:
                self._from_server.awaited.pop(message.key, None)

        try:
            handled = await self.gate.handle(message, None, self, forward)
            reply = handled.reply
            if isinstance(handled.error, LeaseEndedError):
                words = b'{"requestId":' + (message.id or b"null") + b"}"
                await self._to_server(
                    jsonrpc.with_members(jsonrpc.notification("notifications/cancelled", {}), {"params": words})
                )
            if message.key in self._listens and _METHOD_UNKNOWN in reply:
                await self._listen(message)
            await self._writer.write(reply)
        except Exception as error:  # noqa: BLE001 - whatever it is: the client must not wait for ever, and the gate stays alive
            _say(f"a call failed inside jittrust: {error!r}")
            broken = UnavailableError("gate_broken", "the call failed inside jittrust", "Tell the user.")
            await self._writer.write(jsonrpc.failure_reply(message.id, broken))
        finally:
            self._listens.pop(message.key, None)

    async def _listen(self, message: Message) -> None:
        """Serve a subscription of our own for a server that knows none: its tool list changes with the mission all the same."""
        subscription = {jsonrpc.MCP_META + "subscriptionId": message.body["id"]}
        taken: dict[str, Json] = {"_meta": subscription, "notifications": {"toolsListChanged": True}}
        await self._writer.write(jsonrpc.notification("notifications/subscriptions/acknowledged", taken))
        await asyncio.Event().wait()  # until the client cancels it, or leaves

    async def _client_notice(self, message: Message) -> None:
        if message.method == "notifications/cancelled":
            call = self._calls.get(jsonrpc.key_of(message.params.get("requestId")))
            if call is None or call.method == "initialize":
                return
            call.task.cancel()
            if call.sent:
                await self._to_server(message.raw)
            return
        if self.gate.notice_from_client(message):
            await self._to_server(message.raw)

    # --- the server's lines --------------------------------------------------------------------------------------------------------------

    async def read_server(self) -> None:
        """Until the server closes its output."""
        pipe = cast("asyncio.StreamReader", self._process.stdout)
        cutter = LineCutter(self._options.max_bytes)
        while chunk := await pipe.read(_CHUNK):
            for line in cutter.feed(chunk):
                await self._server_line(line)
        for line in cutter.rest():
            await self._server_line(line)

    async def _server_line(self, line: bytes | TooLong) -> None:
        if isinstance(line, TooLong):
            self._bad_line("json_too_large", line.head, jsonrpc.guess_id(line.head, line.tail))
            return
        if not line.strip():
            return
        try:
            message = jsonrpc.read_message(line, max_bytes=self._options.max_bytes, allow_nul=True)
        except MalformedMessageError as error:
            self._bad_line(error.code, line, error.id)
            return
        if message.kind is MessageKind.REQUEST:
            self._server_request(message)
            await asyncio.sleep(0)
        elif message.kind is MessageKind.NOTIFICATION:
            await self._server_notice(message)
        elif not self._from_server.settle(message.key, message):
            self._bad_lines += 1  # late, after a cancellation, or never asked for

    def _bad_line(self, code: str, line: bytes, id_: bytes | None) -> None:
        """Skip a line that is no message. Where it was to be the answer to a call, that call is told."""
        self._bad_lines += 1
        if self._bad_lines & (self._bad_lines - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a flood must not fill the log
            shown = _SECRET_LIKE.sub("…", translate.safe_text(line[:80].decode("utf-8", "replace"), 80))
            _say(
                f"the server printed a line that is no MCP message [{code}], skipped ({self._bad_lines} so far): {shown}"
            )
        key = jsonrpc.key_of_raw(id_)
        if key:
            words = "the server's answer could not be read"
            self._from_server.settle(
                key, UnavailableError("upstream_malformed", words, f"It is no well-formed message: {code}.")
            )

    def _server_request(self, message: Message) -> None:
        task = asyncio.create_task(self._carry_back(message))
        self._server_calls[message.key] = _UnderWay(task, message.method)
        task.add_done_callback(lambda _: self._server_calls.pop(message.key, None))

    async def _carry_back(self, message: Message) -> None:
        if message.key in self._from_client.awaited or message.key.startswith(f"s{self._own}"):
            await self._to_server(
                jsonrpc.failure_reply(message.id, ConflictError("id_in_use", "a request with this id is under way"))
            )
            return

        async def to_client(raw: bytes) -> Message:
            future = self._from_client.expect(message.key)
            if (call := self._server_calls.get(message.key)) is not None:
                call.sent = True
            await self._writer.write(raw)
            try:
                return await future
            finally:
                self._from_client.awaited.pop(message.key, None)

        await self._to_server(await self.gate.server_request(message, to_client))

    async def _server_notice(self, message: Message) -> None:
        if message.method == "notifications/cancelled":
            call = self._server_calls.get(jsonrpc.key_of(message.params.get("requestId")))
            if call is not None:
                call.task.cancel()
            if call is None or not call.sent:
                return
        if await self.gate.notice_from_server(message):
            await self._writer.write(message.raw)

    # --- the end -------------------------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """The client has closed its end: its calls may still be answered for a moment."""
        self._from_client.leave(UnavailableError("client_gone", "the client has closed its end"))
        for call in tuple(self._calls.values()):
            if call.method == "subscriptions/listen":
                call.task.cancel()
        waiting = [call.task for call in self._calls.values()]
        if waiting and not self._writer.broken.is_set():
            await asyncio.wait(waiting, timeout=self._options.drain_s)

    def server_gone(self, why: str) -> None:
        """The server has ended: every call under way is told."""
        words = "Nobody knows whether the call took effect. Tell the user before you repeat it."
        self._from_server.leave(UnavailableError("upstream_died", why, words))

    async def finish(self) -> None:
        """End what is under way, report it, leave the broker."""
        tasks = [call.task for call in (*self._calls.values(), *self._server_calls.values())]
        if tasks and self._from_server.gone is not None:
            await asyncio.wait(tasks, timeout=1.0)  # they were told that the server is gone and are writing it down
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.gate.close()
        await self._writer.close()
        if self._bad_lines:
            _say(f"lines of the server that were skipped: {self._bad_lines}")


async def run_stdio(argv: Sequence[str], env: Mapping[str, str], ports: Driving, options: StdioOptions) -> int:
    """Start `argv` (no shell) with exactly `env`, and stand between it and the client on our own standard input and output.

    Returns:
        What the process should end with: 0 when the client closed its end, 128 + n after signal n, else what the server ended with
        (1 if it ended well by itself while calls were under way).

    Raises:
        BadInputError: code `command_not_found` or `command_not_started`.
        UnavailableError: the broker is not there.
    """
    if not argv:
        raise BadInputError("command_empty", "no command to run", "Write it after --: jittrust run -- COMMAND…")
    try:
        server = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(env),
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle
        )
    except FileNotFoundError:
        raise BadInputError(
            "command_not_found", f"there is no command {argv[0]!r}", "Check the spelling and PATH."
        ) from None
    except (OSError, ValueError) as error:
        raise BadInputError("command_not_started", f"{argv[0]!r} does not start: {error}") from None
    try:
        return await _bridge(server, ports, options)
    finally:
        await _end(server, options.grace_s)


async def _bridge(server: asyncio.subprocess.Process, ports: Driving, options: StdioOptions) -> int:
    # Copies: asyncio closes what it is given, and the interpreter still flushes the originals at its end.
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    with source, sink:
        return await _between(server, PipeReader(source), PipeWriter(sink), ports, options)


async def _between(
    server: asyncio.subprocess.Process, reader: PipeReader, writer: PipeWriter, ports: Driving, options: StdioOptions
) -> int:
    bridge = StdioBridge(server, reader, writer, ports, options)
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, int(number))
    await bridge.gate.open()
    await reader.open()
    await writer.open()
    from_client = asyncio.create_task(bridge.read_client())
    from_server = asyncio.create_task(bridge.read_server())
    broken = asyncio.create_task(writer.broken.wait())
    watch = asyncio.create_task(bridge.gate.watch())
    try:
        ends: set[asyncio.Future[Any]] = {from_client, from_server, broken, stopped}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if from_client.done() and not stopped.done():
            await _until(stopped, bridge.drain())
        if stopped.done():
            return 128 + stopped.result()
        for reading in (from_client, from_server):
            if reading.done() and (fault := reading.exception()) is not None:
                _say(f"reading failed inside jittrust: {fault!r}")
                return 1
        if from_client.done() or broken.done():
            return 0
        return await _server_ended(server, bridge)
    finally:
        await _end(server, options.grace_s if not stopped.done() else min(0.5, options.grace_s))
        bridge.server_gone("the server was ended")
        for task in (from_client, from_server, broken, watch):
            task.cancel()
        await asyncio.gather(from_client, from_server, broken, watch, return_exceptions=True)
        await bridge.finish()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def _until(stopped: asyncio.Future[int], work: Awaitable[None]) -> None:
    """Do `work`, unless a signal comes first."""
    task = asyncio.ensure_future(work)
    ends: set[asyncio.Future[Any]] = {task, stopped}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _server_ended(server: asyncio.subprocess.Process, bridge: StdioBridge) -> int:
    try:
        code = await asyncio.wait_for(server.wait(), 1.0)
    except TimeoutError:
        bridge.server_gone("the server has closed its output")
        _say("the server has closed its output")
        return 1
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    bridge.server_gone(f"the server {how}")
    _say(f"the server {how}")
    return 128 - code if code < 0 else code or 1


async def _end(server: asyncio.subprocess.Process, grace_s: float) -> None:
    """Close its input, then SIGTERM, then SIGKILL, to its whole process group."""
    if server.stdin is not None:
        server.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None and not _signal_group(server.pid, number):
            break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait(), grace_s)
    await server.wait()


def _signal_group(leader: int, number: signal.Signals) -> bool:
    """Signal the server and whatever it started; False when nobody is left."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _say(words: str) -> None:
    """One line for people; standard output belongs to the protocol."""
    sys.stderr.write(f"jittrust: {words}\n")
    sys.stderr.flush()
