"""What the HTTP endpoint keeps of a caller between its requests: the gate, the way to the server, open streams, questions under way.

Up to revision 2025-11-25 that is a session, which belongs to the grant that opened it. In the stateless revision it is what one grant and one
server have in common (pinned tools, questions asked), and it may be dropped at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from jittrust.core.errors import ConflictError, JitError, UnavailableError
from jittrust.core.grant.grant import Shown
from jittrust.core.model import Evaluation, Json
from jittrust.core.units import Seconds
from jittrust.pep.mcp import jsonrpc
from jittrust.pep.mcp.gate import Gate, GateSettings, Handled
from jittrust.pep.mcp.http_answer import Answering
from jittrust.pep.mcp.http_channel import Channel
from jittrust.pep.mcp.jsonrpc import MCP_META, Message, MessageKind
from jittrust.pep.mcp.sse import write_event
from jittrust.ports.decision_point import Decision, DecisionPoint, Learned, Lease, Outcome
from jittrust.ports.driving import Driving

CURRENT: ContextVar[Answering | None] = ContextVar("jittrust_answering", default=None)
"""The answer that is being made: decisions made on the way to it are noted there, for its headers."""
REPLIES_KEPT = 64
"""How many answers of a session are kept for a caller that comes back for them with `Last-Event-ID`."""


class NotedDecisions:
    """The decision point as a gate behind HTTP sees it: each decision about the caller is noted on the answer that is being made.

    A stream of events begins before the gate is done, and its headers must carry the caller's next pass. What a server asks is no decision
    about the caller: it is paid from the chain that this enforcement point keeps.
    """

    def __init__(self, inner: DecisionPoint) -> None:
        self._inner = inner

    async def evaluate(self, ask: Evaluation, shown: Shown) -> Decision:
        """See `DecisionPoint.evaluate`."""
        decision = await self._inner.evaluate(ask, shown)
        if shown.grant and (answering := CURRENT.get()) is not None:
            answering.decided(decision)
        return decision

    async def settle(self, evaluation: str, outcome: Outcome) -> Learned:
        """See `DecisionPoint.settle`."""
        return await self._inner.settle(evaluation, outcome)

    async def lease(self, evaluation: str, timeout: Seconds) -> Lease:
        """See `DecisionPoint.lease`."""
        return await self._inner.lease(evaluation, timeout)


@dataclass(slots=True)
class Awaited:
    """A request whose stream ended before its answer came: the answer may come on a stream that the caller opens anew."""

    answer: asyncio.Future[Message]
    reply: asyncio.Future[bytes]


@dataclass(slots=True, eq=False)
class HttpSession:
    """One caller in front of one server."""

    id: str
    server: str
    grant: str
    stateless: bool
    gate: Gate
    channel: Channel
    used: float
    open_streams: int = 0
    stream: Answering | None = None
    listens: dict[bytes, Answering] = field(default_factory=dict)
    expected: dict[str, asyncio.Future[Message]] = field(default_factory=dict)
    awaited: dict[str, Awaited] = field(default_factory=dict)
    replies: dict[str, bytes] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    calls: dict[str, asyncio.Task[Handled]] = field(default_factory=dict)
    resumable: bool = False
    closed: bool = False

    async def join(self) -> None:
        """Join the broker and follow the mission. Raises UnavailableError."""
        await self.gate.open()
        self.begin(self.gate.watch())

    def begin(self, work: object) -> asyncio.Task[None]:
        """Run something for as long as the session lives; an error of ours ends it quietly."""

        async def quietly() -> None:
            with contextlib.suppress(JitError):
                await work  # type: ignore[misc]

        task = asyncio.create_task(quietly())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def announce(self, raw: bytes) -> None:
        """Tell the caller something of our own, on the streams that it has open for that."""
        if self.stream is not None:
            await self.stream.event(write_event(raw))
        for id_, answering in tuple(self.listens.items()):
            meta = b'{"_meta":{"' + MCP_META.encode() + b'subscriptionId":' + id_ + b"}}"
            await answering.event(write_event(jsonrpc.with_members(raw, {"params": meta})))

    def expect(self, key: str) -> asyncio.Future[Message]:
        """A future for the caller's response with this key.

        Raises:
            ConflictError: code `id_in_use`.
        """
        if key in self.expected:
            raise ConflictError("id_in_use", "a request with this id is under way")
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.expected[key] = future
        return future

    def responded(self, message: Message) -> None:
        """Hand the caller's response to whoever waits for it; a late one is dropped."""
        future = self.expected.pop(message.key, None)
        if future is not None and not future.done():
            future.set_result(message)

    def keep_reply(self, key: str, reply: bytes) -> None:
        """Keep what was answered, so that a caller that comes back is shown that and not what the server remembers."""
        self.replies[key] = reply
        while len(self.replies) > REPLIES_KEPT:
            del self.replies[next(iter(self.replies))]

    async def close(self, headers: list[tuple[bytes, bytes]] | None = None) -> int:
        """End everything; the status with which the server took it."""
        self.closed = True
        error = UnavailableError("session_closed", "the session has ended")
        for future in (*self.expected.values(), *(one.answer for one in self.awaited.values())):
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: whoever waited may be gone
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.gate.close()
        for answering in (self.stream, *self.listens.values()):
            if answering is not None:
                await answering.end()
        return await self.channel.close(headers or [])


@dataclass(slots=True)
class StreamFace:
    """How the gate reaches the caller while it handles one of its requests: on the stream of that request's answer."""

    session: HttpSession
    answering: Answering

    async def request(self, method: str, params: Mapping[str, Json], timeout: float) -> Mapping[str, Json] | None:
        """See `gate.ClientFace`."""
        name = f"jittrust-{secrets.token_hex(12)}"
        future = self.session.expect(f"s{name}")
        try:
            if not await self.answering.event(write_event(jsonrpc.request(name, method, params))):
                return None
            answer = await asyncio.wait_for(future, timeout)
        except (TimeoutError, JitError):
            return None
        finally:
            self.session.expected.pop(f"s{name}", None)
        return answer.result if answer.kind is MessageKind.RESULT else None

    async def notify(self, raw: bytes) -> None:
        """See `gate.ClientFace`."""
        await self.answering.event(write_event(raw))


def make_session(
    driving: Driving, settings: GateSettings, channel: Channel, *, stateless: bool, now: float
) -> HttpSession:
    """A session that has not joined yet. Its id is 192 random bits, visible ASCII (MCP 2025-11-25, Session Management)."""
    session_id = secrets.token_urlsafe(24)
    told: list[HttpSession] = []

    async def announce(raw: bytes) -> None:
        await told[0].announce(raw)

    noted = replace(driving, decisions=NotedDecisions(driving.decisions))
    gate = Gate(noted, replace(settings, session=session_id), channel, announce)
    session = HttpSession(session_id, settings.server, settings.grant, stateless, gate, channel, now)
    told.append(session)
    return session
