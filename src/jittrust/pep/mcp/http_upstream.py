"""MCP servers that are reached over streamable HTTP: bytes through, the broker's own credential, never the caller's.

One pooled client and one TLS context serve every upstream: a client a call is what makes other gateways slow.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.pep.asgi import Headers
from jittrust.pep.mcp.sse import EventCutter, ServerEvent, read_event
from jittrust.pep.mcp.upstream_auth import UpstreamAuth, UpstreamTokens, redacted
from jittrust.ports.gateway_tokens import GatewayTokens

MAX_ANSWER = 32 * 1024 * 1024
"""Most bytes of one answer, or of one event of a stream."""

# What a caller's request may carry on. A list of what passes, not of what is held back: a credential in a header that nobody thought of
# (X-Api-Key, Cookie, Proxy-Authorization) must not travel.
_FORWARDED = frozenset(
    {
        b"accept", b"accept-language", b"content-type", b"last-event-id", b"mcp-method", b"mcp-name", b"mcp-protocol-version",
        b"traceparent", b"tracestate",
    }
)  # fmt: skip
_REDIRECTION = 3
_UNAUTHORISED = 401
_LIKE_A_SECRET = 16  # characters; a shorter header (a version, a name) may well stand in an answer
_FORWARDED_PREFIX = b"mcp-param-"
# What an upstream's answer may carry back.
_RETURNED = frozenset({"allow", "content-type", "mcp-protocol-version", "retry-after", "x-accel-buffering"})


class UpstreamFailedError(UnavailableError):
    """A server behind the broker is not there, or did not answer as one."""

    http_status = 502


@dataclass(frozen=True, slots=True)
class HttpServer:
    """One MCP server behind the broker, over HTTP.

    Attributes:
        name: under which it sits behind the broker.
        url: its endpoint, `http` or `https`.
        headers: sent with every request: the broker's own credential for it. A secret.
        silence: seconds without a byte after which a call counts as never answered.
        auth: where the token for it comes from; None = its headers are all it wants.
    """

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    silence: float = 300.0
    auth: UpstreamAuth | None = None

    def __post_init__(self) -> None:
        """Refuse an address that is not HTTP.

        Raises:
            BadInputError: code `bad_upstream_url`, or `config_bad_value`: two credentials for one header.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInputError("bad_upstream_url", f"{self.name}: {self.url!r} is no http or https address")
        if self.auth is not None and any(name.lower() == "authorization" for name in self.headers):
            raise BadInputError(
                "config_bad_value", f"servers.{self.name} has an Authorization header and `auth`", "Keep one of them."
            )


@dataclass(slots=True)
class UpstreamReply:
    """What came back: `body` whole, or `events` one by one (then close it).

    `session` is the upstream's own session id, never shown to a caller.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    media: str = ""
    body: bytes | None = None
    events: AsyncIterator[ServerEvent] | None = None
    session: str = ""
    _response: aiohttp.ClientResponse | None = None

    async def close(self) -> None:
        """Let go of the connection; a stream that has not ended is cut, which is how a modern caller cancels."""
        if self.events is not None:
            with suppress(RuntimeError):  # being read elsewhere: cutting the connection ends that
                await self.events.aclose()  # type: ignore[attr-defined]
        if self._response is not None:
            self._response.close()


def forwarded(headers: Headers) -> list[tuple[str, str]]:
    """The caller's headers that may go on to the upstream."""
    return [
        (name.decode("latin-1"), value.strip(b" \t").decode("latin-1"))
        for name, value in headers
        if name in _FORWARDED or name.startswith(_FORWARDED_PREFIX)
    ]


class HttpUpstreams:
    """The pooled client to every HTTP upstream. Use it as an async context manager."""

    def __init__(self, gateway: GatewayTokens | None = None, *, connect_seconds: float = 10.0) -> None:
        """`gateway`: what is shown where a server's token is got by token exchange."""
        self._tokens = UpstreamTokens(gateway)
        self._connect_seconds = connect_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context())
        # No cookie is kept, no proxy is read from the environment, nothing is decoded: what comes back is what was sent.
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self,
        server: HttpServer,
        method: str,
        headers: Headers,
        body: bytes | None = None,
        session: str = "",
        grant: str = "",
    ) -> UpstreamReply:
        """Send one request and return as soon as the answer begins.

        Args:
            server: which upstream.
            method: `POST`, `GET` or `DELETE`.
            headers: the caller's, filtered here.
            body: the exact bytes that were judged.
            session: the upstream's session id, when there is one.
            grant: id of the grant that this goes under.

        Raises:
            UpstreamCredentialError: code `upstream_credential_missing`: nothing was sent.
            UpstreamFailedError: code `upstream_unreachable` (nothing was sent or no answer began), `upstream_redirects`, `upstream_encoded`,
                `upstream_too_large`, `upstream_broke_off`.
        """
        if self._session is None:
            raise UpstreamFailedError("upstream_unreachable", "the gateway is closing")
        out = [
            *forwarded(headers),
            ("accept-encoding", "identity"),
            ("user-agent", "jittrust"),
            *server.headers.items(),
        ]
        if session:
            out.append(("mcp-session-id", session))
        if server.auth is None:
            return await self._send(self._session, server, method, out, body)
        token = await self._tokens.token(self._session, server.name, server.auth, grant)
        reply = await self._send(self._session, server, method, [*out, ("authorization", f"Bearer {token}")], body)
        if reply.status != _UNAUTHORISED:
            return reply
        # It was not let in, so it did nothing: once more with a new token.
        await reply.close()
        token = await self._tokens.token(self._session, server.name, server.auth, grant, refused=token)
        return await self._send(self._session, server, method, [*out, ("authorization", f"Bearer {token}")], body)

    async def _send(
        self,
        http: aiohttp.ClientSession,
        server: HttpServer,
        method: str,
        out: list[tuple[str, str]],
        body: bytes | None,
    ) -> UpstreamReply:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._connect_seconds, sock_read=None if method == "GET" else server.silence
        )
        try:
            response = await http.request(
                method, server.url, data=body, headers=out, timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UpstreamFailedError(
                "upstream_unreachable", f"the server {server.name} gave no answer ({type(error).__name__})"
            ) from None
        try:
            return await self._begin(server, response)
        except BaseException:
            response.close()
            raise

    def _secrets(self, server: HttpServer) -> list[str]:
        """The broker's credentials for a server, which must not come back from it."""
        parts = [part for value in server.headers.values() for part in {value, value.rpartition(" ")[2]}]
        own = [part for part in parts if len(part) >= _LIKE_A_SECRET]
        return own if server.auth is None else own + self._tokens.secrets(server.name, server.auth)

    async def _begin(self, server: HttpServer, response: aiohttp.ClientResponse) -> UpstreamReply:
        if response.status // 100 == _REDIRECTION:
            # Followed blindly, a redirect would carry the broker's credential and the arguments wherever the upstream says.
            raise UpstreamFailedError("upstream_redirects", f"the server {server.name} answered with a redirect")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise UpstreamFailedError("upstream_encoded", f"the server {server.name} sent a content coding unasked")
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in response.headers.items()
            if name.lower() in _RETURNED
        ]
        media = response.headers.get("content-type", "").split(";")[0].strip().lower()
        reply = UpstreamReply(response.status, headers, media, session=response.headers.get("mcp-session-id", ""))
        reply._response = response  # noqa: SLF001 - made two lines above
        if media == "text/event-stream":
            reply.events = _events(server, response, self._secrets)
            return reply
        reply.body = redacted(await _whole(server, response), self._secrets(server))
        response.release()
        return reply


async def _whole(server: HttpServer, response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.content.iter_any():
            size += len(part)
            if size > MAX_ANSWER:
                raise UpstreamFailedError(
                    "upstream_too_large", f"the server {server.name} sent over {MAX_ANSWER} bytes"
                )
            parts.append(part)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UpstreamFailedError(
            "upstream_broke_off", f"the server {server.name} broke off its answer ({type(error).__name__})"
        ) from None
    return b"".join(parts)


async def _events(
    server: HttpServer, response: aiohttp.ClientResponse, secrets_of: Callable[[HttpServer], list[str]]
) -> AsyncIterator[ServerEvent]:
    cutter = EventCutter(MAX_ANSWER)
    try:
        async for part in response.content.iter_any():
            for event in cutter.feed(part):
                raw = redacted(event.raw, secrets_of(server))
                yield event if raw == event.raw else read_event(raw)
    except BadInputError as error:
        raise UpstreamFailedError("upstream_too_large", f"the server {server.name}: {error.message}") from None
    except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
        raise UpstreamFailedError(
            "upstream_broke_off", f"the server {server.name} broke off its stream ({type(error).__name__})"
        ) from None
    finally:
        response.close()
