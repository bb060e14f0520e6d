"""A stand-in for an endpoint that speaks OpenAI's chat completions, over a real socket, honest or not; and judges of one answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from jittrust.core.intent.judge import JudgeQuestion
from jittrust.core.model import Json


def saying(relation: str = "aligned", clause: str = "1", confidence: Json = 0.9) -> str:
    return json.dumps({"relation": relation, "clause": clause, "confidence": confidence})


def envelope(words: object, **more: object) -> bytes:
    """The answer of an endpoint whose model said `words`."""
    message = {"role": "assistant", "content": words, **more}
    return json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message}],
        }
    ).encode()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    if not any(one.lower().startswith("content-type") for one in headers):
        head.append("Content-Type: application/json")
    return "\r\n".join([*head, *headers, "", ""]).encode() + body


@dataclass(slots=True)
class StubEndpoint:
    """Answers every request with the same bytes, or by a behaviour; keeps all bytes that came."""

    reply: bytes = field(default_factory=lambda: http(envelope(saying())))
    behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object] | None = None
    port: int = 0
    received: list[bytes] = field(default_factory=list)
    elsewhere: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def questions(self) -> list[dict[str, Json]]:
        return [json.loads(one.partition(b"\r\n\r\n")[2]) for one in self.received]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ),
                0,
            )
            self.received.append(head + await reader.readexactly(length))
            if head.startswith(b"GET"):
                self.elsewhere += 1
            if self.behave is not None:
                await self.behave(reader, writer)  # type: ignore[misc]
            else:
                writer.write(self.reply)
                await writer.drain()


@contextlib.asynccontextmanager
async def stub_endpoint(**more: object) -> AsyncIterator[StubEndpoint]:
    stub = StubEndpoint(**more)  # type: ignore[arg-type]
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await stub.talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(talk(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(came, "127.0.0.1", 0)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def stall(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n")
    for _n in range(500):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


async def stream_on(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for n in range(3):
        piece = f'data: {{"choices":[{{"delta":{{"content":"{n}"}}}}]}}\n\n'.encode()
        writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b" " * 65536
    for _n in range(160):
        writer.write(b"10000\r\n" + piece + b"\r\n")
        await writer.drain()


def bomb() -> bytes:
    return http(gzip.compress(b" " * 10_000_000 + envelope(saying("aligned"))), "200 OK", "Content-Encoding: gzip")


@dataclass(slots=True)
class SameAnswer:
    """A judge in memory: always the same words, or the same error; counts."""

    words: str = ""
    error: Exception | None = None
    wait: float = 0.0
    model: str = "stand-in"
    asked: list[JudgeQuestion] = field(default_factory=list)

    async def ask(self, question: JudgeQuestion) -> bytes:
        self.asked.append(question)
        if self.wait:
            await asyncio.sleep(self.wait)
        if self.error is not None:
            raise self.error
        return self.words.encode()
