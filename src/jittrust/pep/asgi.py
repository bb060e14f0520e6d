"""The few things an enforcement point does with raw ASGI: read a bounded body, answer, say what is wrong.

No framework: these run for every tool call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

from jittrust.core.errors import BadInputError, JitError
from jittrust.core.problem import PROBLEM_TYPE, problem, problem_of

Scope: TypeAlias = MutableMapping[str, Any]
AsgiMessage: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
Send: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

NO_STORE: tuple[bytes, bytes] = (b"cache-control", b"no-store")


class ClientGoneError(Exception):
    """The caller closed the connection before its request was read."""


class BodyTooLargeError(BadInputError):
    """More bytes than this endpoint takes."""

    http_status = 413


class BodyTooSlowError(BadInputError):
    """The body did not arrive in time."""

    http_status = 408


class MediaTypeError(BadInputError):
    """A content type or coding that this endpoint does not read."""

    http_status = 415


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Every value of a header (lower-case name), in order, without the white space around it (RFC 9110 §5.5)."""
    return [value.strip(b" \t") for known, value in scope["headers"] if known == name]


def one_header(scope: Scope, name: bytes) -> bytes | None:
    """The value of a header that may come once; None where it is absent.

    Raises:
        BadInputError: code `header_repeated`: it came twice, and two readers would take different copies.
    """
    values = header_values(scope, name)
    if len(values) > 1:
        raise BadInputError("header_repeated", f"the header {name.decode('latin-1')} came {len(values)} times")
    return values[0] if values else None


def check_json_type(scope: Scope) -> None:
    """Refuse a body that is not plain JSON: what cannot be read cannot be judged.

    Raises:
        MediaTypeError: code `unsupported_media_type` or `unsupported_coding` (no compression is taken, so no bomb either).
        BadInputError: code `header_repeated`.
    """
    media = (one_header(scope, b"content-type") or b"").split(b";")[0].strip().lower()
    if media != b"application/json":
        raise MediaTypeError("unsupported_media_type", "the body must be application/json")
    coding = one_header(scope, b"content-encoding")
    if coding is not None and coding.lower() not in {b"", b"identity"}:
        raise MediaTypeError("unsupported_coding", "send the body without a content coding")


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float) -> bytes:
    """Read the whole body.

    Args:
        scope: the request.
        receive: where the body comes from.
        limit: most bytes that are taken; not a byte more is kept.
        seconds: by when all of it must be there.

    Raises:
        BodyTooLargeError: code `body_too_large`; by `Content-Length` before anything is read, else as soon as the limit is passed.
        BodyTooSlowError: code `body_too_slow`.
        ClientGoneError: the caller left.
    """
    said = one_header(scope, b"content-length")
    if said is not None and (not said.isdigit() or len(said) > len(str(limit)) or int(said) > limit):
        raise BodyTooLargeError("body_too_large", f"at most {limit} bytes are taken")
    try:
        async with asyncio.timeout(seconds):
            return await _collect(receive, limit)
    except TimeoutError:
        raise BodyTooSlowError("body_too_slow", f"the body was not there after {seconds:g} s") from None


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLargeError("body_too_large", f"at most {limit} bytes are taken")
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def answer(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Send one whole response."""
    length = (b"content-length", str(len(body)).encode("ascii"))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def answer_problem(
    send: Send, status: int, code: str, detail: str, next_step: str = "", headers: Headers = ()
) -> None:
    """Send problem details (RFC 9457), never to be stored."""
    kind = (b"content-type", PROBLEM_TYPE.encode("ascii"))
    await answer(send, status, problem(status, code, detail, next_step), [kind, NO_STORE, *headers])


async def answer_error(send: Send, error: JitError, headers: Headers = ()) -> None:
    """Send an error of jittrust as problem details."""
    kind = (b"content-type", PROBLEM_TYPE.encode("ascii"))
    await answer(send, error.http_status, problem_of(error), [kind, NO_STORE, *headers])
