"""`ports.judge` on the `openai` client: Ollama, vLLM, llama.cpp or a cloud, whoever answers `POST BASE_URL/chat/completions`.

The client is the vendor's; what goes over the wire is ours: plain HTTP only to this machine, addresses are checked and then connected to as checked, no
redirect, no proxy of the environment, no second try, nothing compressed, no more than 64 KiB read, and no header that tells about this machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.intent.judge import INSTRUCTIONS, JUDGE_RULES, JudgeQuestion, answer_schema
from jittrust.core.model import Json
from jittrust.core.secret import Secret
from jittrust.core.strict_json import parse_object

if TYPE_CHECKING:
    from httpx2 import AsyncBaseTransport
    from openai import AsyncOpenAI

MAX_ENVELOPE: Final = 64 * 1024
"""Largest answer of an endpoint that is read, in bytes; the judge's own words are a small part of it."""
_DEEPEST: Final = 12
_MOST_TOKENS: Final = 200
_ADDRESSES: Final = 4
_OK: Final = 200
_NAMED: Final = re.compile(r"([^\s]{1,200})@(https?://[^\s@?#\\]{1,500})")
_KEPT_HEADERS: Final = frozenset({"host", "accept", "content-type", "content-length", "connection"})
_KEY: Final = re.compile(rb"[\x21-\x7e]{1,4096}")


def judge_named(named: str) -> tuple[str, str]:
    """Model and base URL of `MODEL@BASE_URL`.

    Raises:
        BadInputError: code `judge_bad`: it is none, or plain http would leave this machine.
    """
    found = _NAMED.fullmatch(named)
    if found is None:
        raise BadInputError(
            "judge_bad", "intent.judge must be MODEL@BASE_URL", "For example llama3.1@http://127.0.0.1:11434/v1"
        )
    try:
        url = urlsplit(found[2])
        host, port = url.hostname or "", url.port
    except ValueError:
        raise BadInputError("judge_bad", "the base URL of intent.judge is no URL", "") from None
    del port
    if not host or (url.scheme == "http" and not _is_this_machine(host)):
        raise BadInputError(
            "judge_bad", "intent.judge takes plain http:// only on this machine", "Use https://, or 127.0.0.1."
        )
    return found[1], found[2].rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class OpenAiJudge:
    """Asks one endpoint. Made once; every question is a connection of its own."""

    def __init__(
        self,
        model: str,
        base_url: str,
        key: Secret | None,
        may_ask: Callable[[str], bool],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Load the client, which takes about a second.

        Args:
            model: name of the model as the endpoint knows it.
            base_url: as `judge_named` gives it.
            key: the endpoint's key; None = it wants none.
            may_ask: which addresses are asked over https; over http it is this machine alone.
            tls: whom to believe; None = the system's certificate authorities.

        Raises:
            BadInputError: code `judge_missing` (the extra `llm` is not installed), `judge_bad` (the key has characters that no header carries).
        """
        if find_spec("openai") is None:
            raise BadInputError(
                "judge_missing", "intent.judge needs the extra `llm`", "Install it: pip install 'jittrust[llm]'"
            )
        if key is not None and _KEY.fullmatch(key.reveal()) is None:
            raise BadInputError("judge_bad", "JITTRUST_JUDGE_KEY has characters that no key has", "Set it again.")
        self._model = model
        self._client = _client(base_url, _guarded(key, may_ask, tls))

    @property
    def model(self) -> str:
        return self._model

    async def ask(self, question: JudgeQuestion) -> bytes:
        schema = answer_schema(question)
        try:
            came = await self._client.chat.completions.with_raw_response.create(
                model=self._model,
                messages=[
                    {"role": "system", "content": INSTRUCTIONS},
                    {"role": "user", "content": question.text()},
                ],
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "judgement", "strict": True, "schema": dict(schema)},
                },
                temperature=0,
                max_tokens=_MOST_TOKENS,
            )
            body = came.http_response.content
        except Exception as error:  # noqa: BLE001 - whatever the client throws is one thing here: no answer
            # Without its cause: what the client says may quote what was sent.
            raise UnavailableError(
                "judge_unreachable", f"The judge gave no answer ({type(error).__name__})", "The call goes without it."
            ) from None
        return _said(body)


def _said(body: bytes) -> bytes:
    """The model's own words. Raises BadInputError: code `judge_answer_bad`."""
    try:
        told = parse_object(body, max_bytes=MAX_ENVELOPE, max_depth=_DEEPEST, max_keys=1_000, allow_nul=True)
    except BadInputError as error:
        raise BadInputError("judge_answer_bad", f"the endpoint's answer is not taken: {error.code}") from None
    choices = told.get("choices")
    first: Json = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    message = first.get("message") if isinstance(first, dict) else None
    words = message.get("content") if isinstance(message, dict) else None
    if not isinstance(words, str) or not words or len(words) > JUDGE_RULES.longest_answer:
        raise BadInputError("judge_answer_bad", "the endpoint's answer has not one message of the length of an answer")
    return words.encode("utf-8")


def _client(base_url: str, transport: AsyncBaseTransport) -> AsyncOpenAI:
    from httpx2 import AsyncClient
    from openai import AsyncOpenAI

    seconds = JUDGE_RULES.timeout
    http = AsyncClient(transport=transport, follow_redirects=False, trust_env=False, timeout=seconds)
    # The key is put in by the transport, so that the client and its log never hold it.
    return AsyncOpenAI(
        api_key="none", base_url=base_url, organization="", project="", timeout=seconds, max_retries=0, http_client=http
    )


def _guarded(key: Secret | None, may_ask: Callable[[str], bool], tls: ssl.SSLContext | None) -> AsyncBaseTransport:
    """The way out: see the module."""
    from httpx2 import AsyncBaseTransport, AsyncByteStream, AsyncHTTPTransport, ConnectError, Limits, Request, Response

    class BoundedStream(AsyncByteStream):
        def __init__(self, inner: AsyncByteStream) -> None:
            self._inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            read = 0
            async for chunk in self._inner:
                read += len(chunk)
                if read > MAX_ENVELOPE:
                    raise OSError("the answer is too long")
                yield chunk

        async def aclose(self) -> None:
            await self._inner.aclose()

    class GuardedTransport(AsyncBaseTransport):
        def __init__(self) -> None:
            self._inner = AsyncHTTPTransport(
                verify=tls if tls is not None else True,
                trust_env=False,
                retries=0,
                limits=Limits(max_keepalive_connections=0),
            )

        async def handle_async_request(self, request: Request) -> Response:
            host, secure = request.url.host, request.url.scheme == "https"
            # A request of our own: the client reads its own once more, and must not see the key.
            headers = {name: value for name, value in request.headers.items() if name.lower() in _KEPT_HEADERS}
            headers |= {"accept-encoding": "identity", "user-agent": "jittrust"}
            if key is not None:
                headers["authorization"] = f"Bearer {key.reveal().decode('ascii')}"
            extensions = {**request.extensions, "sni_hostname": host}
            body = await request.aread()
            addresses = await _resolved(host, request.url.port or (443 if secure else 80))
            if not all(may_ask(one) if secure else ipaddress.ip_address(one).is_loopback for one in addresses):
                raise OSError("the name leads to an address that is not asked")
            for address in addresses[:_ADDRESSES]:
                url = request.url.copy_with(host=address)
                own = Request(request.method, url, headers=headers, content=body, extensions=extensions)
                try:
                    answer = await self._inner.handle_async_request(own)
                except ConnectError:
                    continue
                return await _checked(answer)
            raise OSError("nobody answers there")

        async def aclose(self) -> None:
            await self._inner.aclose()

    async def _checked(answer: Response) -> Response:
        stream = answer.stream
        if not isinstance(stream, AsyncByteStream):
            raise OSError("no stream")
        if answer.status_code != _OK or answer.headers.get("content-encoding", "identity") != "identity":
            await stream.aclose()
            raise OSError(f"it answered {answer.status_code}, or in another coding")
        return Response(
            answer.status_code, headers=answer.headers, stream=BoundedStream(stream), extensions=answer.extensions
        )

    return GuardedTransport()


async def _resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system names them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    listed = list(dict.fromkeys(str(place[0]).partition("%")[0] for *_, place in found))
    if not listed:
        raise OSError("the name leads nowhere")
    return listed
