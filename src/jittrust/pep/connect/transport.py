"""HTTP towards the broker: no redirects, no cookies, no codings, no proxy, bounded answers, and a clear word on whether a request went out."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object
from jittrust.pep.connect.discovery import UntrustedServerError
from jittrust.pep.mcp.sse import EventCutter, ServerEvent

MOST_ANSWER = 32 * 1024 * 1024
_MOST_DOCUMENT = 256 * 1024
_MOST_ERROR = 256 * 1024
_REDIRECTION = 3
_OK = 200
# A peer that went away without a word is noticed after half a minute.
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 20_000))


class NotSentError(UnavailableError):
    """No connection: nothing of the request has reached anybody."""


class AnswerLostError(UnavailableError):
    """The request may have been received, and no answer came."""


@dataclass(slots=True)
class BrokerAnswer:
    """An answer. `body` is whole, or None while `stream` is to be read (then close it)."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    media: str = ""
    body: bytes | None = field(default=None, repr=False)
    stream: aiohttp.ClientResponse | None = None
    challenges: tuple[str, ...] = ()

    @property
    def nonce(self) -> str:
        """The newest pass, or a nonce of the token endpoint; a secret."""
        return self.headers.get("dpop-nonce", "")

    def problem(self) -> Mapping[str, Json]:
        """The body as a JSON object; empty when it is none."""
        try:
            return parse_object(self.body or b"", max_bytes=_MOST_ERROR)
        except BadInputError:
            return {}

    async def events(self) -> AsyncIterator[ServerEvent]:
        """The events of a stream; ends with the stream.

        Raises:
            AnswerLostError: it broke off.
            UntrustedServerError: code `answer_too_large`.
        """
        if self.stream is None:
            return
        cutter = EventCutter(MOST_ANSWER)
        try:
            async for part in self.stream.content.iter_any():
                for event in cutter.feed(part):
                    yield event
        except BadInputError as error:
            raise UntrustedServerError("answer_too_large", error.message) from None
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise AnswerLostError("answer_lost", f"the stream broke off ({type(error).__name__})") from None

    def close(self) -> None:
        """Let go of a stream."""
        if self.stream is not None:
            self.stream.close()


class BrokerTransport:
    """One pooled client. Use it as an async context manager."""

    def __init__(self, *, connect_seconds: float = 5.0, silence: float = 660.0) -> None:
        """`silence`: seconds without a byte after which an answer counts as lost; longer than a broker waits for a server and a person."""
        self._connect = connect_seconds
        self._silence = silence
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=ssl.create_default_context(),
            socket_factory=_socket,
            # A connection that a broker closed while it lay idle would lose the next request: none is kept for longer than a broker keeps it.
            keepalive_timeout=15.0,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *, quiet: bool = False
    ) -> BrokerAnswer:
        """Send one request; returns when the answer is whole, or when a stream begins.

        Args:
            method: HTTP method.
            url: target.
            headers: as they go out.
            body: likewise.
            quiet: the stream may be silent for ever.

        Raises:
            NotSentError: code `broker_unreachable`.
            AnswerLostError: code `answer_lost`.
            UntrustedServerError: code `redirect_refused`, `coding_refused` or `answer_too_large`.
        """
        if self._session is None:
            raise NotSentError("broker_unreachable", "the connection is closed")
        out = {"accept-encoding": "identity", "user-agent": "jittrust-connect", **headers}
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._connect, sock_read=None if quiet else self._silence
        )
        try:
            response = await self._session.request(
                method, url, data=body, headers=out, timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSentError("broker_unreachable", f"no connection ({type(error).__name__})") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise AnswerLostError("answer_lost", f"the connection broke ({type(error).__name__})") from None
        try:
            return await self._read(response)
        except BaseException:
            response.close()
            raise

    async def _read(self, response: aiohttp.ClientResponse) -> BrokerAnswer:
        if response.status // 100 == _REDIRECTION:
            # Followed, a redirect would carry the token and the call to whoever it names.
            raise UntrustedServerError("redirect_refused", "the server answers with a redirect, which is not followed")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise UntrustedServerError("coding_refused", "the server sends a content coding that nobody asked for")
        headers = {name.lower(): value for name, value in response.headers.items()}
        challenges = tuple(response.headers.getall("www-authenticate", ()))
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        answer = BrokerAnswer(response.status, headers, media, challenges=challenges)
        if media == "text/event-stream" and response.status == _OK:
            answer.stream = response
            return answer
        parts = bytearray()
        try:
            async for part in response.content.iter_any():
                parts += part
                if len(parts) > MOST_ANSWER:
                    raise UntrustedServerError("answer_too_large", f"an answer of more than {MOST_ANSWER} bytes")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AnswerLostError("answer_lost", f"the answer broke off ({type(error).__name__})") from None
        response.release()
        answer.body = bytes(parts)
        return answer

    async def document(self, url: str) -> Mapping[str, Json]:
        """A metadata document.

        Raises:
            UnavailableError: it cannot be had now.
            UntrustedServerError: code `document_broken`, or as `send`.
        """
        async with asyncio.timeout(20.0):
            answer = await self.send("GET", url, {"accept": "application/json"})
        answer.close()
        body = answer.body or b""
        if answer.status != _OK or answer.stream is not None:
            raise UnavailableError("document_missing", f"{url} answers with HTTP {answer.status}")
        try:
            return parse_object(body, max_bytes=_MOST_DOCUMENT)
        except JitError as error:
            raise UntrustedServerError("document_broken", f"{url}: {error.message}") from None


def _socket(info: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's own tuple
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
