"""One stdio client on this side, one MCP server behind a broker on the other. Messages go through as the bytes that came, in both revisions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from jittrust.core.errors import ConflictError, JitError, RefusedError, UnavailableError
from jittrust.core.model import Json
from jittrust.pep.connect.backoff import delay
from jittrust.pep.connect.carrier import Carrier, Parcel, Sending
from jittrust.pep.connect.request_headers import ToolSchemas, request_headers
from jittrust.pep.connect.transport import MOST_ANSWER, AnswerLostError, BrokerAnswer
from jittrust.pep.mcp import jsonrpc
from jittrust.pep.mcp.jsonrpc import MalformedMessageError, Message, MessageKind, read_message
from jittrust.pep.mcp.sse import ServerEvent
from jittrust.pep.mcp.stdio import LineCutter, PipeReader, PipeWriter, TooLong

_ANSWERS = frozenset({MessageKind.RESULT, MessageKind.ERROR})
# Asked twice they do no more than once: what only reads or lists, by the protocol itself. A tool's own word for it (`idempotentHint`) is not
# trusted with that.
_REPEATABLE = frozenset(
    {
        *("initialize", "ping", "server/discover", "tools/list", "prompts/list", "prompts/get", "resources/list", "resources/read"),
        *("resources/templates/list", "completion/complete", "logging/setLevel", "subscriptions/listen"),
    }
)  # fmt: skip
_STREAM_WAIT = 30.0
_STATELESS_ONLY = "notifications/subscriptions/acknowledged"
_MOST_ASKED = 1024


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How patient the bridge is.

    Attributes:
        max_bytes: largest line of the client, in bytes.
        most_calls: requests under way at once.
        drain_s: how long calls may still be answered once the client has closed its end, in seconds.
        end_s: how long ending the session may take, in seconds.
    """

    max_bytes: int = 8 * 1024 * 1024
    most_calls: int = 256
    drain_s: float = 3.0
    end_s: float = 3.0


@dataclass(frozen=True, slots=True)
class HeldSession:
    """A session with the broker, up to revision 2025-11-25: its id, and the revision that was agreed on."""

    id: str
    version: str

    def headers(self) -> dict[str, str]:
        """What names it."""
        return {"mcp-session-id": self.id} | ({"mcp-protocol-version": self.version} if self.version else {})


@dataclass(slots=True, eq=False)
class _Going:
    """A request of the client under way. `silent`: its answer has been given, or is not wanted any more."""

    message: Message
    task: asyncio.Task[None]
    silent: bool = False


class ConnectBridge:
    """Stands between the client and the broker."""

    def __init__(self, carrier: Carrier, reader: PipeReader, writer: PipeWriter, options: ConnectOptions) -> None:
        self._carrier = carrier
        self._reader, self._writer = reader, writer
        self._options = options
        self._machine = carrier.machine
        self._schemas = ToolSchemas()
        self._calls: dict[str, _Going] = {}
        self._asked: dict[str, HeldSession] = {}
        self._session: HeldSession | None = None
        self._hello: Message | None = None
        self._ready: Message | None = None
        self._joining = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._notice: asyncio.Task[None] | None = None
        self._stream: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the client's lines ------------------------------------------------------------------------------------------------------------------

    async def read_client(self) -> None:
        """Until the client closes its end."""
        cutter = LineCutter(self._options.max_bytes)
        while chunk := await self._reader.read():
            for line in cutter.feed(chunk):
                await self._line(line)
        for line in cutter.rest():
            await self._line(line)

    async def _line(self, line: bytes | TooLong) -> None:
        if isinstance(line, TooLong):
            words = f"{line.size} bytes in one message, at most {self._options.max_bytes} are taken"
            id_ = jsonrpc.guess_id(line.head, line.tail)
            await self._writer.write(MalformedMessageError("json_too_large", words, jsonrpc.PARSE_ERROR, id_).reply())
            return
        if not line.strip():
            return
        try:
            message = read_message(line, max_bytes=self._options.max_bytes)
        except MalformedMessageError as error:
            await self._writer.write(error.reply())
            return
        if message.kind is MessageKind.REQUEST:
            await self._request(message)
        elif message.kind is MessageKind.NOTIFICATION:
            self._client_notice(message)
        else:
            session = self._asked.pop(message.key, self._session)
            if session is not None:
                self._in_order(message, session)

    async def _request(self, message: Message) -> None:
        error: JitError | None = None
        if message.key in self._calls:
            error = ConflictError("id_in_use", "a request with this id is under way")
        elif len(self._calls) >= self._options.most_calls:
            error = UnavailableError(
                "too_many_calls", f"{self._options.most_calls} requests are under way", "Wait for answers."
            )
        if error is not None:
            await self._writer.write(jsonrpc.failure_reply(message.id, error))
            return
        going = _Going(message, asyncio.create_task(self._carry(message, self._notice)))
        self._calls[message.key] = going
        going.task.add_done_callback(lambda _: self._calls.pop(message.key, None))

    def _client_notice(self, message: Message) -> None:
        if message.method == "notifications/cancelled":
            going = self._calls.get(jsonrpc.key_of(message.params.get("requestId")))
            if going is None or going.message.method == "initialize":
                return
            going.silent = True
            if going.message.modern:
                going.task.cancel()  # closing the stream is how this revision cancels
                return
        if message.method == "notifications/initialized":
            self._ready = message
        if self._session is not None:
            self._in_order(message, self._session)
        # The stateless revision has no notifications from a client; they end here.

    def _in_order(self, message: Message, session: HeldSession) -> None:
        """Send a notification or a response, after those before it and before every later request."""
        before = self._notice

        async def send() -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                await self._post(message, session)
            except JitError as error:
                self._machine.tell(f"{message.method or 'a response'} did not get through: {error}")
            if message.method == "notifications/initialized":
                self._listen(session)

        self._notice = self._start(send())

    async def _post(self, message: Message, session: HeldSession) -> None:
        headers = request_headers(message, session.version, self._schemas) | session.headers()
        sending = self._carrier.send(Parcel("POST", headers, message.raw, repeatable=True))
        try:
            answer = await sending.answer()
            if answer.status >= 400 and not _is_gone(answer):  # noqa: PLR2004 - RFC 9110 §15.5
                raise _error_of(answer)
        finally:
            sending.close()

    # --- requests ----------------------------------------------------------------------------------------------------------------------------

    async def _carry(self, message: Message, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        try:
            reply = await self._answered(message)
        except JitError as error:
            reply = jsonrpc.failure_reply(message.id, error)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is: the client must not wait for ever
            self._machine.tell(f"a call failed inside jittrust: {type(error).__name__}")
            broken = UnavailableError("connect_broken", "the call failed inside jittrust connect", "Tell the user.")
            reply = jsonrpc.failure_reply(message.id, broken)
        going = self._calls.get(message.key)
        if going is not None and not going.silent:
            going.silent = True
            await self._writer.write(reply)

    async def _answered(self, message: Message) -> bytes:
        """The reply to a request, as the bytes that came. Raises JitError."""
        if message.method == "initialize" and not message.modern:
            return await self._initialize(message)
        for _ in range(3):
            session = None if message.modern else self._session
            headers = request_headers(message, session.version if session else "", self._schemas)
            parcel = Parcel(
                "POST",
                headers | (session.headers() if session else {}),
                message.raw,
                repeatable=message.method in _REPEATABLE,
                quiet=message.method == "subscriptions/listen",
                roomy=message.method not in _REPEATABLE,
            )
            sending = self._carrier.send(parcel)
            try:
                answer = await sending.answer()
                if session is not None and _is_gone(answer):
                    sending.unheard()
                    sending.close()  # its lane is needed
                    await self._join_again(session)
                    continue
                reply = await self._reply(message, sending, answer, session)
            finally:
                sending.close()
            if message.method == "tools/list":
                self._learn(reply)
            return reply.raw
        raise UnavailableError("session_lost", "the broker forgets every session at once", "Try again later.")

    async def _reply(
        self, message: Message, sending: Sending, answer: BrokerAnswer, session: HeldSession | None
    ) -> Message:
        """The response in an answer, whole or streamed; streams that break are taken up again. Raises JitError."""
        failures, last_id = 0, ""
        while answer.stream is not None:
            try:
                async for event in answer.events():
                    last_id = event.id or last_id
                    found = await self._event(event, message, session, again=failures > 0)
                    if found is not None:
                        return found
            except AnswerLostError:
                pass
            failures += 1
            answer.close()
            if last_id and session is not None:
                sending.close()  # its lane is needed
                return await self._resumed(message, session, last_id)
            if message.method == "subscriptions/listen":
                await asyncio.sleep(delay(failures, self._machine.draw(), first=0.5, most=_STREAM_WAIT))
                sending.close()
                sending.begin_anew()
            else:
                await sending.broke()
            answer = await sending.answer()
        found = _message_in(answer)
        if found is None:
            # What the broker says now is about what was sent last; an earlier one may have been carried out all the same.
            sending.unheard()
            raise _error_of(answer)
        return found

    async def _resumed(self, message: Message, session: HeldSession, last_id: str) -> Message:
        """Come back for an answer with `Last-Event-ID` (up to revision 2025-11-25). Raises JitError."""
        for failures in range(1, 8):
            await asyncio.sleep(delay(failures, self._machine.draw()))
            headers = {"accept": "text/event-stream", "last-event-id": last_id, **session.headers()}
            sending = self._carrier.send(Parcel("GET", headers, repeatable=True, quiet=True))
            try:
                answer = await sending.answer()
                if answer.stream is None:
                    break
                async for event in answer.events():
                    last_id = event.id or last_id
                    found = await self._event(event, message, session, again=False)
                    if found is not None:
                        return found
            except AnswerLostError:
                continue
            finally:
                sending.close()
        raise UnavailableError(
            "in_doubt",
            "the stream broke off, and nobody knows whether the call was carried out",
            "Find out before you repeat it, and tell the user.",
        )

    async def _event(
        self, event: ServerEvent, message: Message | None, session: HeldSession | None, *, again: bool
    ) -> Message | None:
        """Hand one event on; the response to `message` is given back instead."""
        if event.data is None:
            return None
        try:
            found = read_message(event.data, max_bytes=MOST_ANSWER, allow_nul=True)
        except MalformedMessageError:
            return None  # no message: nobody could act on it
        if found.kind in _ANSWERS:
            if message is not None and found.key in {message.key, ""}:
                return found
            going = self._calls.get(found.key)
            if going is not None and not going.silent:
                going.silent = True
                await self._writer.write(found.raw)
                going.task.cancel()
            return None
        if found.kind is MessageKind.REQUEST and session is not None:
            self._asked[found.key] = session
            if len(self._asked) > _MOST_ASKED:
                del self._asked[next(iter(self._asked))]
        if again and found.method == _STATELESS_ONLY:
            return None  # the client has been told already
        await self._writer.write(found.raw)
        return None

    def _learn(self, reply: Message) -> None:
        self._schemas.learn(reply.result)

    # --- sessions, up to revision 2025-11-25 ---------------------------------------------------------------------------------------------------

    async def _initialize(self, message: Message) -> bytes:
        async with self._joining:
            self._unlisten()
            self._session = None
            reply, session = await self._join(message)
            if session is not None:
                self._session, self._hello, self._ready = session, message, None
            return reply.raw

    async def _join(self, hello: Message) -> tuple[Message, HeldSession | None]:
        """Open a session. Raises JitError."""
        parcel = Parcel("POST", request_headers(hello, "", self._schemas), hello.raw, repeatable=True)
        sending = self._carrier.send(parcel)
        try:
            answer = await sending.answer()
            id_ = answer.headers.get("mcp-session-id", "")
            reply = await self._reply(hello, sending, answer, None)
        finally:
            sending.close()
        if reply.kind is not MessageKind.RESULT:
            return reply, None
        version: Json = reply.result.get("protocolVersion")
        return reply, HeldSession(id_, version if isinstance(version, str) else "") if id_ else None

    async def _join_again(self, lost: HeldSession) -> None:
        """The broker does not know the session any more (it was started anew, or the grant is another): open one like it.

        Raises:
            JitError: that does not work.
        """
        async with self._joining:
            hello = self._hello
            if self._session is not lost or hello is None:
                return
            self._unlisten()
            name = jsonrpc.dump(f"jittrust-connect-{next(self._numbers)}")
            raw = jsonrpc.with_members(hello.raw, {"id": name})
            reply, session = await self._join(read_message(raw, max_bytes=len(raw)))
            if session is None:
                words = "the session was lost, and the server does not open another"
                raise UnavailableError("session_lost", words, f"It answered: {jsonrpc.dump(reply.body)[:200].decode()}")
            self._machine.tell("the broker did not know the session any more; a new one was opened")
            self._session = session
            if self._ready is not None:
                await self._post(self._ready, session)
                self._listen(session)

    def _listen(self, session: HeldSession) -> None:
        """Open the stream for what the server says unasked."""
        if self._session is session:
            self._unlisten()
            self._stream = self._start(self._follow(session))

    def _unlisten(self) -> None:
        if self._stream is not None and self._stream is not asyncio.current_task():
            self._stream.cancel()
        self._stream = None

    async def _follow(self, session: HeldSession) -> None:
        failures, last_id = 0, ""
        while self._session is session:
            resuming = {"last-event-id": last_id} if last_id else {}
            headers = {"accept": "text/event-stream", **session.headers(), **resuming}
            sending = self._carrier.send(Parcel("GET", headers, repeatable=True, quiet=True))
            began = self._machine.steady()
            try:
                answer = await sending.answer()
                if _is_gone(answer):
                    sending.close()  # its lane is needed
                    await self._join_again(session)
                    return
                if answer.stream is None:
                    return  # this server says nothing unasked
                async for event in answer.events():
                    last_id = event.id or last_id
                    await self._event(event, None, session, again=False)
            except RefusedError:
                return
            except UnavailableError:
                pass
            finally:
                sending.close()
            failures = 1 if self._machine.steady() - began > _STREAM_WAIT else failures + 1
            await asyncio.sleep(delay(failures, self._machine.draw(), first=0.5, most=_STREAM_WAIT))

    # --- the end -----------------------------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """The client has closed its end: its calls may still be answered for a moment."""
        waiting = [one.task for one in self._calls.values() if one.message.method != "subscriptions/listen"]
        if waiting and not self._writer.broken.is_set():
            await asyncio.wait(waiting, timeout=self._options.drain_s)

    async def refuse(self, error: JitError) -> None:
        """Nothing will ever come: everybody who waits is told."""
        for going in tuple(self._calls.values()):
            if not going.silent:
                going.silent = True
                await self._writer.write(jsonrpc.failure_reply(going.message.id, error))

    async def finish(self) -> None:
        """End what is under way, then the session."""
        gone = UnavailableError(
            "connect_ended", "jittrust connect was ended", "Nobody knows whether the call was carried out."
        )
        await self.refuse(gone)
        session, self._session = self._session, None
        tasks = [*(one.task for one in self._calls.values()), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if session is not None:
            with contextlib.suppress(JitError, TimeoutError):
                async with asyncio.timeout(self._options.end_s):
                    sending = self._carrier.send(Parcel("DELETE", session.headers(), repeatable=True))
                    try:
                        await sending.answer()
                    finally:
                        sending.close()
        await self._writer.close()

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _is_gone(answer: BrokerAnswer) -> bool:
    """Whether the broker says that it knows no such session; it looks that up before it judges anything."""
    return answer.status == 404 and answer.problem().get("code") == "session_unknown"  # noqa: PLR2004 - RFC 9110 §15.5.5


def _message_in(answer: BrokerAnswer) -> Message | None:
    """The JSON-RPC message in a whole answer; None when it is none."""
    if answer.media != "application/json":
        return None
    try:
        found = read_message(answer.body or b"", max_bytes=MOST_ANSWER, allow_nul=True)
    except MalformedMessageError:
        return None
    return found if found.kind in _ANSWERS else None


def _error_of(answer: BrokerAnswer) -> JitError:
    """What an answer that is no JSON-RPC message says, for the client. The words come from a server, so they are bounded."""
    told = answer.problem()
    code, detail, step = (_words(told, name) for name in ("code", "detail", "next_step"))
    error = UnavailableError if answer.status >= 500 or answer.status == 429 else RefusedError  # noqa: PLR2004 - RFC 9110 §15
    made = error(code or "http_error", detail or f"the server answered with HTTP {answer.status}", step)
    made.http_status = answer.status
    return made


def _words(told: Mapping[str, Json], name: str) -> str:
    value = told.get(name)
    return "".join(letter for letter in value if letter.isprintable())[:500] if isinstance(value, str) else ""
