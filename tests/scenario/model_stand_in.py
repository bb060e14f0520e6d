"""A stand-in for the model behind Claude Code, on loopback: it says what a script tells it to, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Use:
    """The model asks for one tool."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class Model:
    """Answers each request that brings tools with the next turn of `script`, and with the word "done" when none is left."""

    script: list[Use] = field(default_factory=list)
    asked: list[Json] = field(default_factory=list)
    url: str = ""
    _one_at_a_time: Lock = field(default_factory=Lock)

    def says(self, *turns: Use) -> None:
        """Forget what was asked; the next turns are these."""
        with self._one_at_a_time:
            self.script[:] = turns
            self.asked.clear()

    def answer(self, request: Json) -> Json:
        """The content block for one request."""
        with self._one_at_a_time:
            self.asked.append(request)
            if request.get("tools") and self.script:
                use = self.script.pop(0)
                name = f"toolu_{len(self.asked):02}"
                return {"type": "tool_use", "id": name, "name": use.tool, "input": dict(use.arguments)}
        return {"type": "text", "text": "done"}

    def results(self) -> list[str]:
        """What the tools told the model, in order, as text."""
        messages = self.asked[-1]["messages"] if self.asked else []
        blocks = (block for message in messages if isinstance(message["content"], list) for block in message["content"])
        return [json.dumps(block["content"]) for block in blocks if block["type"] == "tool_result"]


def events(message: Json, block: Json) -> Iterator[Json]:
    """One answer as a stream of events."""
    started = message | {"content": [], "stop_reason": None}
    if block["type"] == "text":
        empty, delta = block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty = block | {"input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    yield {"type": "message_start", "message": started}
    yield {"type": "content_block_start", "index": 0, "content_block": empty}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


def handler(model: Model) -> type[BaseHTTPRequestHandler]:
    """Answers for `model`."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            pass

        def tell(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            self.tell("application/json", b"{}")

        do_HEAD = do_GET  # noqa: N815 - the standard library's name

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
            if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
                self.tell("application/json", b'{"input_tokens":1}')
                return
            block = model.answer(request)
            message = {
                "id": "msg_1", "type": "message", "role": "assistant", "model": request.get("model"), "content": [block],
                "stop_reason": "tool_use" if block["type"] == "tool_use" else "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }  # fmt: skip
            if not request.get("stream"):
                self.tell("application/json", json.dumps(message).encode())
                return
            lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events(message, block))
            self.tell("text/event-stream", "".join(lines).encode())

    return Answering


@contextmanager
def model_stand_in(script: Sequence[Use] = ()) -> Iterator[Model]:
    """A model on a free port of loopback."""
    model = Model(list(script))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(model)) as server:
        model.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield model
        finally:
            server.shutdown()
            thread.join(5)
