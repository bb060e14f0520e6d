"""The MCP endpoint over streamable HTTP: `/mcp/{server}`, raw ASGI, both eras of the protocol (docs/http.md is the wire page).

Up to revision 2025-11-25 a client opens a session with `initialize`; from 2026-07-28 on every POST stands by itself. Which of the two a request
is, is read from its body. Every message shows a token and, for grants bound to a key, a proof with the newest pass; every answer carries the
next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Self, cast

from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError, RefusedError, UnavailableError
from jittrust.core.grant.claims import InvalidTokenError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.grant.present import InvalidProofError
from jittrust.core.model import Action, Evaluation, Json, Resource
from jittrust.core.problem import PROBLEM_TYPE, problem, problem_of
from jittrust.core.reasons import AgentCode
from jittrust.core.units import Seconds
from jittrust.pep.asgi import (
    BodyTooSlowError,
    ClientGoneError,
    Headers,
    Receive,
    Scope,
    Send,
    check_json_type,
    one_header,
    read_body,
)
from jittrust.pep.mcp import jsonrpc, translate
from jittrust.pep.mcp.gate import GateSettings, Handled, LeaseEndedError, fresh_id
from jittrust.pep.mcp.http_answer import JSON_TYPE, Answering
from jittrust.pep.mcp.http_auth import PresentationCheck, TokenSource, challenge_for_pass, challenges, metadata_address
from jittrust.pep.mcp.http_channel import Channel, HttpChannel
from jittrust.pep.mcp.http_process import ProcessChannel, ProcessServer
from jittrust.pep.mcp.http_session import CURRENT, Awaited, HttpSession, NotedDecisions, StreamFace, make_session
from jittrust.pep.mcp.http_upstream import HttpServer, HttpUpstreams, UpstreamFailedError, UpstreamReply
from jittrust.pep.mcp.http_wire import Era, WireRefusal, accepts, check_modern, era_of, mcp_headers
from jittrust.pep.mcp.jsonrpc import MalformedMessageError, Message, MessageKind, read_message
from jittrust.pep.mcp.sse import ServerEvent, replace_data, write_event
from jittrust.ports.decision_point import Decision, Outcome, Passage, Settled
from jittrust.ports.driving import Driving
from jittrust.ports.gateway_tokens import GatewayTokens

_PATH = ("", "mcp", "server")
_SESSION = b"mcp-session-id"
_PROBLEM = ((b"content-type", PROBLEM_TYPE.encode("ascii")),)
_RESEND = (b"jittrust-resend", b"1")
# What a page of an allowed origin may read of an answer, and what it may send (Fetch, CORS protocol).
_EXPOSED = (
    b"access-control-expose-headers",
    b"DPoP-Nonce, Jittrust-Gas, Jittrust-Resend, Mcp-Session-Id, WWW-Authenticate, Retry-After",
)
_FROM_PAGES = frozenset(
    {
        *("authorization", "dpop", "content-type", "accept", "last-event-id", "idempotency-key"),
        *("mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name"),
    }
)
_PARAMETER = re.compile(r"mcp-param-[a-z0-9_-]{1,64}")
# Methods that revision 2026-07-28 has no more and that would be judged by what they ask for.
_REMOVED = frozenset({"resources/subscribe", "resources/unsubscribe", "tasks/result"})
_ANSWERS = frozenset({MessageKind.RESULT, MessageKind.ERROR})


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """How much one process takes, and how patient it is.

    Attributes:
        body_bytes: largest request body.
        body_seconds: by when a body must be there.
        calls: requests of one grant under way at once.
        queue_seconds: how long one more waits for its turn before 429.
        sessions: sessions open at once, all callers together.
        grant_sessions: sessions open at once for one grant.
        idle_seconds: a session that was not used for so long is ended.
        reunion_seconds: how long an answer waits for a caller whose stream has ended.
    """

    body_bytes: int = 8 * 1024 * 1024
    body_seconds: float = 20.0
    calls: int = 32
    queue_seconds: float = 2.0
    sessions: int = 1000
    grant_sessions: int = 16
    idle_seconds: float = 1800.0
    reunion_seconds: float = 60.0


class TooManyError(UnavailableError):
    """More at once than is taken; nothing happened."""

    http_status = 429


class MethodError(BadInputError):
    """An HTTP method that this resource does not have."""

    http_status = 405


class NotAcceptableError(BadInputError):
    """The caller does not take what the answer may be."""

    http_status = 406


@dataclass(slots=True)
class _Asking:
    """One HTTP request on its way."""

    scope: Scope
    receive: Receive
    server: str
    headers: Headers
    mcp: Mapping[str, str]
    shown: Shown
    answering: Answering

    @property
    def bound(self) -> bool:
        """Whether the caller keeps its own chain of passes."""
        return self.shown.binding is PassBinding.DPOP


class McpEndpoint:
    """ASGI application for `/mcp/{server}`. Use it as an async context manager around the server's life."""

    def __init__(
        self,
        driving: Driving,
        tokens: TokenSource,
        person: str,
        servers: Mapping[str, HttpServer | ProcessServer],
        base_url: str,
        *,
        limits: HttpLimits | None = None,
        gate: GateSettings | None = None,
        origins: Iterable[str] = (),
        gateway: GatewayTokens | None = None,
    ) -> None:
        """Wire it up.

        Args:
            driving: the broker.
            tokens: who signs access tokens.
            person: for whom agents act here.
            servers: what is behind, by name.
            base_url: the address under which this server is known; proofs are compared with it.
            limits: how much is taken.
            gate: what gates are told besides server, person, session and grant.
            gateway: what is shown where a server's token is got by token exchange.
            origins: web origins whose pages may read answers and their headers; whoever is in front has refused all others.
        """
        self._driving = driving
        self._check = PresentationCheck(tokens, base_url)
        self._base_url = base_url
        self._origins = frozenset(origin.lower() for origin in origins)
        self._servers = servers
        self._limits = limits or HttpLimits()
        self._gate = replace(gate or GateSettings("", ""), person=person)
        self._upstreams = HttpUpstreams(gateway)
        self._sessions: dict[str, HttpSession] = {}
        self._callers: dict[tuple[str, str], asyncio.Future[HttpSession]] = {}
        self._under_way: dict[str, int] = {}
        self._turn = asyncio.Condition()
        self._sweeping: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._upstreams.__aenter__()
        self._sweeping = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._upstreams.__aexit__(None, None, None)

    async def stop(self) -> None:
        """End every session and its streams, so that nobody holds up the end of the process."""
        callers = [future.result() for future in self._callers.values() if future.done() and not future.exception()]
        ending = [*self._sessions.values(), *callers]
        self._sessions.clear()
        self._callers.clear()
        await asyncio.gather(*(one.close() for one in ending), return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Nothing that a caller sends ends in anything but an answer with a code."""
        answering = Answering(send)
        answering.metadata = metadata_address(self._base_url, scope["path"])
        token = CURRENT.set(answering)
        try:
            if not await self._shared(scope, answering):
                await self._answer(scope, receive, answering)
        except ClientGoneError:
            return
        except MalformedMessageError as error:
            await answering.whole(413 if error.code == "json_too_large" else 400, error.reply())
        except _Turned as turned:
            await _answer_turned(answering, turned.decision)
        except JitError as error:
            await _answer_error(answering, error)
        finally:
            CURRENT.reset(token)
            answering.left()

    async def _shared(self, scope: Scope, answering: Answering) -> bool:
        """Let pages of an allowed web origin read the answer, and answer the browser's own question; whether that was all."""
        origin = one_header(scope, b"origin")
        if origin is None or origin.decode("latin-1").lower() not in self._origins:
            return False
        answering.extra += [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), _EXPOSED]
        wants = one_header(scope, b"access-control-request-headers")
        if scope["method"] != "OPTIONS" or one_header(scope, b"access-control-request-method") is None:
            return False
        asked = (name.strip().lower() for name in (wants or b"").decode("latin-1").split(","))
        taken = ", ".join(name for name in asked if name in _FROM_PAGES or _PARAMETER.fullmatch(name))
        headers = [(b"access-control-allow-methods", b"POST, GET, DELETE"), (b"access-control-max-age", b"600")]
        headers += [(b"access-control-allow-headers", taken.encode("ascii"))] if taken else []
        await answering.whole(204, b"", headers)
        return True

    async def _answer(self, scope: Scope, receive: Receive, answering: Answering) -> None:
        server = _server_of(scope["path"])
        method: str = scope["method"]
        if method not in {"POST", "GET", "DELETE"}:
            raise MethodError("method_not_allowed", "POST, GET and DELETE are taken here")
        # First who asks, then whether what is asked for exists: strangers learn nothing about the servers behind.
        shown = self._check.check_early(scope, [server])
        if method == "POST":
            check_json_type(scope)
            body = await read_body(scope, receive, limit=self._limits.body_bytes, seconds=self._limits.body_seconds)
        else:
            body = b""
        if shown is None:
            shown = self._check.check(scope, [server], body)
        if server not in self._servers:
            raise NotFoundError("server_unknown", "there is no server of that name here")
        headers = [(name, value) for name, value in scope["headers"] if name != _SESSION]
        named = mcp_headers(headers)
        if isinstance(named, WireRefusal):
            await answering.whole(named.status, named.reply(None))
            return
        asking = _Asking(scope, receive, server, headers, named, shown, answering)
        async with self._watched(asking):
            if method == "POST":
                await self._post(asking, body)
            elif method == "GET":
                await self._get(asking)
            else:
                await self._delete(asking)

    # --- POST ----------------------------------------------------------------------------------------------------------------------------

    async def _post(self, asking: _Asking, body: bytes) -> None:
        message = read_message(body, max_bytes=self._limits.body_bytes)
        json_, stream = accepts(asking.headers)
        if not (json_ and stream):
            raise NotAcceptableError("not_acceptable", "Accept must name application/json and text/event-stream")
        if era_of(asking.mcp, message) is Era.MODERN:
            refused = check_modern(asking.mcp, message)
            if refused is not None:
                await asking.answering.whole(refused.status, refused.reply(message.id))
                return
            if message.kind is not MessageKind.REQUEST:
                # This revision has no notifications and no responses from a client; they end here.
                await self._protocol(asking, message)
                await asking.answering.whole(202, b"", ())
                return
            if message.method in _REMOVED:
                error = jsonrpc.error_reply(
                    message.id, jsonrpc.METHOD_NOT_FOUND, "Method not found", {"code": "method_unknown"}
                )
                await self._protocol(asking, message)
                await asking.answering.whole(404, error)
                return
            async with self._place(asking, message):
                session = await self._caller(asking)
                await self._request(asking, session, message)
            return
        if message.method == "initialize" and message.kind is MessageKind.REQUEST:
            async with self._place(asking, message):
                await self._initialize(asking, message)
            return
        session = self._session(asking)
        if message.kind is MessageKind.REQUEST:
            async with self._place(asking, message):
                await self._request(asking, session, message)
            return
        await self._protocol(asking, message)
        if message.kind in _ANSWERS:
            session.responded(message)
        elif session.gate.notice_from_client(message):
            reply = await session.channel.post(message, message.raw, asking.headers)
            await reply.close()
            if message.method == "notifications/cancelled":
                under_way = session.calls.get(jsonrpc.key_of(message.params.get("requestId")))
                if under_way is not None:
                    under_way.cancel()
        await asking.answering.whole(202, b"", ())

    async def _initialize(self, asking: _Asking, message: Message) -> None:
        limits = self._limits
        if len(self._sessions) >= limits.sessions:
            raise TooManyError("too_many_sessions", f"{limits.sessions} sessions are open", "Try again later.")
        if sum(one.grant == asking.shown.grant for one in self._sessions.values()) >= limits.grant_sessions:
            raise TooManyError(
                "too_many_sessions", f"{limits.grant_sessions} sessions of this grant are open", "End one first."
            )
        session = self._new_session(asking, stateless=False)
        self._sessions[session.id] = session
        asking.answering.extra.append((_SESSION, session.id.encode("ascii")))
        opened = False
        try:
            await session.join()
            handled = await self._request(asking, session, message)
            opened = handled is not None and _is_result(handled.reply)
            if opened and isinstance(session.channel, HttpChannel):
                session.channel.negotiated(_version_of(cast("Handled", handled).reply))
        finally:
            if not opened:
                self._sessions.pop(session.id, None)
                self._behind(session.close())

    async def _request(self, asking: _Asking, session: HttpSession, message: Message) -> Handled | None:
        """Carry one request through the gate and answer it; None when the caller left before it was done."""
        exchange = _Exchange(asking, session, message, self._limits.reunion_seconds)
        # A caller that keeps its own passes is not asked anything in the middle of a call: the pass in the headers of the stream must be its
        # newest when the call is over. It is asked by result (2026-07-28), or a person answers with `jittrust approve`.
        face = None if asking.bound or session.stateless else StreamFace(session, asking.answering)
        key = (one_header(asking.scope, b"idempotency-key") or b"")[:256].decode("latin-1")
        if message.key in session.calls:
            raise ConflictError("id_in_use", "a request with this id is under way")
        task = asyncio.create_task(session.gate.handle(message, asking.shown, face, exchange.forward, key))
        if (
            not session.stateless
        ):  # there an id is unique within its session; a stateless caller may use it for two requests at once
            session.calls[message.key] = task
        session.open_streams += 1
        try:
            handled = await task
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if here is None or here.cancelling():
                task.cancel()
                raise
            # Not we were cancelled but the call, by its caller; a stateless caller does that by leaving.
            await exchange.cancelled()
            return None
        finally:
            session.open_streams -= 1
            session.used = asyncio.get_running_loop().time()
            session.calls.pop(message.key, None)
            session.listens.pop(message.id or b"", None)
            await exchange.close()
        if isinstance(handled.error, LeaseEndedError):
            self._behind(exchange.tell_server())
        await exchange.finish(handled)
        return handled

    # --- GET and DELETE (sessions) -------------------------------------------------------------------------------------------------------

    async def _get(self, asking: _Asking) -> None:
        if era_of(asking.mcp, None) is Era.MODERN:
            raise MethodError("method_not_allowed", "this revision has POST alone", "Use subscriptions/listen.")
        if not accepts(asking.headers)[1]:
            raise NotAcceptableError("not_acceptable", "Accept must name text/event-stream")
        session = self._session(asking)
        evaluation = await self._protocol(asking, None, "stream/open")
        reply = await session.channel.listen(asking.headers)
        session.open_streams += 1
        resumed = one_header(asking.scope, b"last-event-id") is not None
        try:
            if reply.events is None:
                await asking.answering.whole(reply.status, reply.body or b"", reply.headers)
                return
            if not resumed:
                session.stream = asking.answering
            await asking.answering.stream()
            relay = _Exchange(asking, session, None, self._limits.reunion_seconds).relay(reply)
            await self._until_lease_ends(session, evaluation, relay)
            await asking.answering.end()
        finally:
            session.open_streams -= 1
            session.used = asyncio.get_running_loop().time()
            if session.stream is asking.answering:
                session.stream = None
            await reply.close()

    async def _until_lease_ends(self, session: HttpSession, evaluation: str, relay: Awaitable[object]) -> None:
        """Relay a stream until it is over, or its grant is."""
        relaying = asyncio.ensure_future(relay)
        watching = asyncio.create_task(session.gate.lease_end(evaluation))
        try:
            await asyncio.wait((relaying, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            relaying.cancel()
            watching.cancel()
            done = await asyncio.gather(relaying, watching, return_exceptions=True)
        if isinstance(done[0], Exception) and not isinstance(done[0], UnavailableError):
            raise done[0]

    async def _delete(self, asking: _Asking) -> None:
        if era_of(asking.mcp, None) is Era.MODERN:
            raise MethodError("method_not_allowed", "this revision has POST alone")
        session = self._session(asking)
        await self._protocol(asking, None, "session/end")
        self._sessions.pop(session.id, None)
        status = await session.close([*asking.headers])
        await asking.answering.whole(status if status < HTTPStatus.INTERNAL_SERVER_ERROR else 200, b"", ())

    # --- who and where -------------------------------------------------------------------------------------------------------------------

    def _session(self, asking: _Asking) -> HttpSession:
        """The session that the request names. One of another grant is none: nobody learns that it exists.

        Raises:
            BadInputError: code `session_required` or `header_repeated`.
            NotFoundError: code `session_unknown`: the client must initialize anew.
        """
        named = one_header(asking.scope, _SESSION)
        if not named:
            raise BadInputError(
                "session_required", "a request in a session names it in Mcp-Session-Id", "Send initialize first."
            )
        session = self._sessions.get(named.decode("latin-1"))
        if session is None or session.closed or session.server != asking.server or session.grant != asking.shown.grant:
            raise NotFoundError("session_unknown", "there is no such session", "Send initialize again.")
        asking.answering.extra.append((_SESSION, named))
        session.used = asyncio.get_running_loop().time()
        return session

    async def _caller(self, asking: _Asking) -> HttpSession:
        """What this grant and this server have in common, in the stateless revision."""
        key = (asking.server, asking.shown.grant)
        known = self._callers.get(key)
        if known is None:
            known = asyncio.get_running_loop().create_future()
            self._callers[key] = known
            session = self._new_session(asking, stateless=True)
            try:
                await session.join()
            except BaseException as error:
                del self._callers[key]
                known.set_exception(
                    error if isinstance(error, JitError) else UnavailableError("caller_gone", "try again")
                )
                known.exception()  # seen
                raise
            known.set_result(session)
        session = await asyncio.shield(known)
        session.used = asyncio.get_running_loop().time()
        return session

    def _new_session(self, asking: _Asking, *, stateless: bool) -> HttpSession:
        server = self._servers[asking.server]
        channel: Channel = (
            HttpChannel(server, self._upstreams, asking.shown.grant)
            if isinstance(server, HttpServer)
            else ProcessChannel(server)
        )
        settings = replace(self._gate, server=server.name, grant=asking.shown.grant)
        now = asyncio.get_running_loop().time()
        return make_session(self._driving, settings, channel, stateless=stateless, now=now)

    async def _protocol(self, asking: _Asking, message: Message | None, name: str = "") -> str:
        """Show the pass of a message that nothing is asked about: a notification, a response, a stream, the end of a session.

        Returns:
            The evaluation under which it was let through.

        Raises:
            RefusedError: the grant has ended, or another refusal that no score outweighs.
        """
        subject = translate.agent_subject("", self._gate.person)
        if message is not None and message.method:
            ask = translate.protocol_evaluation(
                message, server=asking.server, subject=subject, evaluation_id=fresh_id()
            )
        else:
            target = f"{asking.server}/{name or 'response'}"
            raw = b"" if message is None else message.raw
            digest = translate.call_digest(name or "response", target, raw, "")
            ask = Evaluation(
                fresh_id(), subject, Action(name or "response"), Resource(translate.PROTOCOL, target), {}, digest
            )
        decisions = NotedDecisions(self._driving.decisions)
        decision = await decisions.evaluate(ask, asking.shown)
        if decision.passage is Passage.FORWARD:
            if name == "stream/open":
                await decisions.lease(
                    decision.evaluation, Seconds(0)
                )  # from here on it is known, though it is settled at once
            learned = await decisions.settle(decision.evaluation, Outcome(Settled.COMPLETE))
            asking.answering.next_pass = learned.next_pass or ""
            return decision.evaluation
        if decision.passage is Passage.RESEND:
            return decision.evaluation
        raise _Turned(decision)

    @contextlib.asynccontextmanager
    async def _place(self, asking: _Asking, message: Message) -> AsyncIterator[None]:
        """A place among the requests of a grant that are under way. Streams that wait for news take none.

        Raises:
            TooManyError: code `too_many_calls`.
        """
        if message.method == "subscriptions/listen":
            yield
            return
        grant = asking.shown.grant
        try:
            async with asyncio.timeout(self._limits.queue_seconds), self._turn:
                await self._turn.wait_for(lambda: self._under_way.get(grant, 0) < self._limits.calls)
                self._under_way[grant] = self._under_way.get(grant, 0) + 1
        except TimeoutError:
            raise TooManyError(
                "too_many_calls", f"{self._limits.calls} requests of this grant are under way", "Wait."
            ) from None
        try:
            yield
        finally:
            self._under_way[grant] -= 1
            if not self._under_way[grant]:
                del self._under_way[grant]
            async with self._turn:
                self._turn.notify_all()

    @contextlib.asynccontextmanager
    async def _watched(self, asking: _Asking) -> AsyncIterator[None]:
        """Notice when the caller leaves. In the stateless revision, and on streams that only listen, that cancels what is under way."""
        here = asyncio.current_task()
        cancels = asking.scope["method"] == "GET" or era_of(asking.mcp, None) is Era.MODERN
        left = False

        async def watch() -> None:
            nonlocal left
            while (await asking.receive())["type"] != "http.disconnect":
                pass
            left = asking.answering.gone = True
            if cancels and here is not None and not asking.answering.ended:
                here.cancel()

        watching = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if not left or here is None:
                raise
            here.uncancel()
            raise ClientGoneError from None
        finally:
            watching.cancel()

    # --- housekeeping --------------------------------------------------------------------------------------------------------------------

    def _behind(self, work: object) -> None:
        async def quietly() -> None:
            with contextlib.suppress(JitError):
                await work  # type: ignore[misc]

        task = asyncio.create_task(quietly())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _sweep(self) -> None:
        """End what nobody uses any more."""
        while True:
            await asyncio.sleep(min(30.0, self._limits.idle_seconds / 4))
            before = asyncio.get_running_loop().time() - self._limits.idle_seconds
            for session in [one for one in self._sessions.values() if one.used < before and not one.open_streams]:
                self._sessions.pop(session.id, None)
                self._behind(session.close())
            for key, future in list(self._callers.items()):
                if future.done() and future.result().used < before and not future.result().open_streams:
                    del self._callers[key]
                    self._behind(future.result().close())


class _Turned(Exception):  # noqa: N818 - a way out, no error
    """The decision point turned a protocol message away."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.passage)
        self.decision = decision


class _Exchange:
    """One request on its way through a gate, or a stream of a session: what comes back is read, judged and handed on."""

    def __init__(self, asking: _Asking, session: HttpSession, message: Message | None, reunion_seconds: float) -> None:
        self._asking = asking
        self._session = session
        self._message = message
        self._reunion_seconds = reunion_seconds
        self._reply: UpstreamReply | None = None
        self._final: ServerEvent | None = None
        self._awaited: Awaited | None = None

    async def forward(self, raw: bytes) -> Message:
        """See `gate.Forward`: send, hand on what comes in between, return the response."""
        message, session, asking = cast("Message", self._message), self._session, self._asking
        reply = self._reply = await session.channel.post(message, raw, asking.headers)
        if reply.events is None:
            return _response(reply, message)
        wants = message.params.get("notifications")
        if (
            message.method == "subscriptions/listen"
            and isinstance(wants, Mapping)
            and wants.get("toolsListChanged") is True
        ):
            session.listens[message.id or b""] = asking.answering
        await asking.answering.stream()
        try:
            answer = await self.relay(reply)
        except UnavailableError:
            if session.stateless or not session.resumable:
                raise
            answer = None
        return answer if answer is not None else await self._reunion(message)

    async def relay(self, reply: UpstreamReply) -> Message | None:
        """Hand on the events of a stream until the response to this exchange's request comes; None when the stream ended without it.

        Raises:
            UnavailableError: the server broke off.
        """
        answering = self._asking.answering
        async for event in cast("AsyncIterator[ServerEvent]", reply.events):
            if event.id:
                self._session.resumable = True
            if event.data is None:
                await answering.event(event.raw)
                continue
            try:
                found = read_message(event.data, allow_nul=True)
            except MalformedMessageError:
                continue  # no message: nobody could act on it, and what cannot be read cannot be judged
            if found.kind in _ANSWERS:
                if self._message is not None and found.key in {self._message.key, ""}:
                    self._final = event
                    return found
                await self._other_answer(event, found)
            elif found.kind is MessageKind.NOTIFICATION:
                if await self._session.gate.notice_from_server(found):
                    await answering.event(event.raw)
            elif not self._session.stateless:
                self._session.begin(self._server_asks(event, found))
        return None

    async def _other_answer(self, event: ServerEvent, found: Message) -> None:
        """The response to another request of this session, on a stream that its caller opened to come back for it."""
        session, answering = self._session, self._asking.answering
        awaited = session.awaited.pop(found.key, None)
        if awaited is not None and not awaited.answer.done():
            awaited.answer.set_result(found)
            with contextlib.suppress(asyncio.CancelledError):
                reply = await awaited.reply
                await answering.event(replace_data(event, reply))
            return
        # It was answered before: what the caller got then is shown again, not what the server remembers. Anything else was never judged.
        kept = session.replies.get(found.key)
        if kept is not None:
            await answering.event(replace_data(event, kept))

    async def _reunion(self, message: Message) -> Message:
        """The server has ended the stream and still owes the answer: the caller will come back for it (`Last-Event-ID`)."""
        if self._session.stateless or not self._session.resumable:
            raise UpstreamFailedError("upstream_broke_off", "the server ended its stream without an answer")
        loop = asyncio.get_running_loop()
        self._awaited = Awaited(loop.create_future(), loop.create_future())
        self._session.awaited[message.key] = self._awaited
        await self._asking.answering.end()
        try:
            return await asyncio.wait_for(self._awaited.answer, self._reunion_seconds)
        except TimeoutError:
            raise UpstreamFailedError("upstream_silent", "nobody came back for the answer") from None
        finally:
            self._session.awaited.pop(message.key, None)

    async def _server_asks(self, event: ServerEvent, asked: Message) -> None:
        """Carry a request of the server to the caller and its response back."""
        session, answering = self._session, self._asking.answering

        async def to_client(raw: bytes) -> Message:
            future = session.expect(asked.key)
            try:
                sent = await answering.event(event.raw if raw == asked.raw else replace_data(event, raw))
                if not sent and not session.resumable:
                    raise UnavailableError("client_gone", "the client has left")
                return await future
            finally:
                session.expected.pop(asked.key, None)

        response = await session.gate.server_request(asked, to_client)
        answer = read_message(response, max_bytes=len(response))
        reply = await session.channel.post(answer, response, self._asking.headers)
        await reply.close()

    async def finish(self, handled: Handled) -> None:
        """Answer the caller."""
        message, answering = cast("Message", self._message), self._asking.answering
        reply = handled.reply
        if not self._session.stateless:
            self._session.keep_reply(message.key, reply)
        if self._awaited is not None:
            if not self._awaited.reply.done():
                self._awaited.reply.set_result(reply)
            return
        if answering.streaming:
            unchanged = self._final is not None and self._final.data == reply
            final = self._final
            await answering.event(
                final.raw
                if final is not None and unchanged
                else replace_data(final, reply)
                if final is not None
                else write_event(reply)
            )
            await answering.end()
            return
        answering.next_pass = handled.next_pass or ""
        await self._whole(handled)

    async def _whole(self, handled: Handled) -> None:
        answering, decision, error = self._asking.answering, handled.decision, handled.error
        if error is None and decision is not None and decision.passage is not Passage.FORWARD:
            await _answer_turned(answering, decision, handled)
            return
        if error is None:
            reply = self._reply
            status = reply.status if reply is not None and reply.events is None else 200
            await answering.whole(status, handled.reply)
            return
        if error.code == "invalid_token" or isinstance(error, InvalidTokenError | InvalidProofError):
            await _answer_error(answering, error)
            return
        headers: list[tuple[bytes, bytes]] = [JSON_TYPE]
        if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"2"))
        await answering.whole(_status(error, stateless=self._session.stateless), handled.reply, headers)

    async def tell_server(self) -> None:
        """Tell the server that nobody waits for its answer any more. In the stateless revision the end of its stream says so."""
        message, session = cast("Message", self._message), self._session
        if session.stateless:
            return
        words = b'{"requestId":' + (message.id or b"null") + b"}"
        raw = jsonrpc.with_members(jsonrpc.notification("notifications/cancelled", {}), {"params": words})
        notice = read_message(raw, max_bytes=len(raw))
        reply = await session.channel.post(notice, raw, self._asking.headers)
        await reply.close()

    async def cancelled(self) -> None:
        """The caller cancelled its request: its answer ends without a result, which nobody waits for."""
        message, answering = cast("Message", self._message), self._asking.answering
        if answering.streaming:
            await answering.end()
        else:
            await answering.whole(
                200, jsonrpc.error_reply(message.id, 499, "jittrust: the request was cancelled.", {"code": "cancelled"})
            )

    async def close(self) -> None:
        """Let go of the server's stream."""
        if self._reply is not None:
            await self._reply.close()


def _server_of(path: str) -> str:
    parts = path.split("/")
    return parts[2] if len(parts) == len(_PATH) and parts[1] == "mcp" else ""


def _response(reply: UpstreamReply, message: Message) -> Message:
    """The response in a whole answer.

    Raises:
        UpstreamFailedError: codes `upstream_refused`, `upstream_malformed`.
    """
    try:
        found = read_message(reply.body or b"", max_bytes=max(len(reply.body or b""), 1), allow_nul=True)
    except MalformedMessageError as error:
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise UpstreamFailedError("upstream_refused", f"the server answered with HTTP {reply.status}") from None
        raise UpstreamFailedError("upstream_malformed", "the server's answer could not be read", error.code) from None
    if found.kind is MessageKind.ERROR and not found.key:
        # It could not tell which request it was; we can.
        raw = jsonrpc.with_members(found.raw, {"id": message.id or b"null"})
        return read_message(raw, max_bytes=len(raw), allow_nul=True)
    if found.kind not in _ANSWERS or found.key != message.key:
        raise UpstreamFailedError("upstream_malformed", "the server answered something else than it was asked")
    return found


def _status(error: JitError, *, stateless: bool) -> int:
    """HTTP status of a JSON-RPC error that we made. A handshake client reads errors of a call only from a 200."""
    if isinstance(error, UpstreamFailedError):
        return 200
    if error.http_status in {429, 503}:
        return error.http_status
    if not stateless:
        return 200
    return 404 if error.code == "method_unknown" else error.http_status


def _is_result(reply: bytes) -> bool:
    return read_message(reply, max_bytes=len(reply), allow_nul=True).kind is MessageKind.RESULT


def _version_of(reply: bytes) -> str:
    version: Json = read_message(reply, max_bytes=len(reply), allow_nul=True).result.get("protocolVersion")
    return version if isinstance(version, str) else ""


async def _answer_turned(answering: Answering, decision: Decision, handled: Handled | None = None) -> None:
    """Answer what the decision point turned away: by the pass, by the grant, or by the rules."""
    answering.next_pass = decision.next_pass or ""
    passage, code = decision.passage, decision.verdict.agent_code
    if passage is Passage.CHALLENGE:
        body = problem(
            401,
            "use_dpop_nonce",
            "the proof does not carry the newest pass",
            "Repeat the request with the pass in DPoP-Nonce.",
        )
        await answering.whole(401, body, [*_PROBLEM, challenge_for_pass(answering.metadata)])
    elif passage is Passage.BUSY:
        wait = str(max(1, decision.retry_after)).encode("ascii")
        body = problem(429, "busy", "too many requests show one pass at once", "Wait, or open a lane.")
        await answering.whole(429, body, [*_PROBLEM, (b"retry-after", wait)])
    elif passage is Passage.RESEND and handled is not None:
        await answering.whole(200 if decision.answer is not None else 202, handled.reply, [JSON_TYPE, _RESEND])
    elif code == AgentCode.GRANT_ENDED:
        body = problem(401, "invalid_token", "the grant has ended", decision.verdict.agent_next)
        ended = InvalidTokenError("ended", "the grant has ended")
        await answering.whole(401, body, [*_PROBLEM, *challenges(ended, answering.metadata)])
    elif handled is not None:
        await answering.whole(200, handled.reply)
    else:
        body = problem(403, code, "this message is not let through", decision.verdict.agent_next)
        await answering.whole(403, body, _PROBLEM)


async def _answer_error(answering: Answering, error: JitError) -> None:
    """Answer an error outside JSON-RPC with problem details."""
    if answering.streaming:
        await answering.end()
        return
    headers: list[tuple[bytes, bytes]] = [*_PROBLEM]
    unauthenticated = error.code == "invalid_token" or isinstance(error, InvalidTokenError | InvalidProofError)
    if unauthenticated:
        missing = isinstance(error, InvalidTokenError) and error.detail == "no_token"
        code = "authorization_missing" if missing else error.code
        headers += challenges(error, answering.metadata)
        # Which check failed is for people and the ledger: it would tell a thief what to mend.
        words = "an access token is wanted" if missing else "the access token or its proof is no good"
        await answering.whole(401, problem(401, code, words, "Ask for a grant: jittrust grant new."), headers)
        return
    if isinstance(error, MethodError):
        headers.append((b"allow", b"POST, GET, DELETE"))
    if error.http_status in {429, 503}:
        headers.append((b"retry-after", b"2"))
    if isinstance(error, BodyTooSlowError):
        # The rest of the body belongs to nothing. (One that is too large is read on and dropped: closing would lose the answer on its way.)
        headers.append((b"connection", b"close"))
    await answering.whole(error.http_status, problem_of(error), headers)


async def answer_lane(
    driving: Driving, check: PresentationCheck, servers: tuple[str, ...], scope: Scope, send: Send
) -> None:
    """`POST /grants/{id}/lanes`: open one more chain of passes for parallel calls. Answers 201 with its number and first pass."""
    answering = Answering(send)
    try:
        if scope["method"] != "POST":
            raise MethodError("method_not_allowed", "lanes are opened by POST")
        shown = check.check(scope, servers, b"")
        if shown.binding is not PassBinding.DPOP:
            raise RefusedError(
                "lanes_need_dpop", "the gateway keeps the passes of this grant, so it has no lanes to open"
            )
        if scope["path"] != f"/grants/{shown.grant}/lanes":
            raise RefusedError("wrong_grant", "the token is for another grant")
        number, first, following = await driving.grants.open_lane(shown)
        body: dict[str, Json] = {"lane": number, "pass": first}
        # DPoP-Nonce carries the next pass of the lane that asked; the new lane's own would be put in its place.
        answering.next_pass = following
        await answering.whole(201, jsonrpc.dump(body))
    except JitError as error:
        await _answer_error(answering, error)
