"""Server-sent events as bytes: cut the stream into events, keep every byte, read a copy (HTML Living Standard §9.2).

Pure. A gateway must hand an event on as it came (unknown fields, comments, ids for resumption survive) and still know what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jittrust.core.errors import BadInputError

# An event ends with an empty line; lines end with CRLF, LF or CR. A CR at the end of what is here may be half of a CRLF, so it must be
# followed by another byte, or the event would be cut in the middle of its own end.
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r(?=[^\n])|\r\n\n|\n\r\n|\r\r\n|\n\r(?=[^\n])")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
# Control characters, NEL, LS and PS: readers that split text into lines by Unicode's rules find a line of data in what is a comment here.
_TURNS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `raw` is every byte of it with the empty line that ends it; `data` is None for comments, ids and retries alone."""

    raw: bytes
    data: bytes | None
    id: str = ""


class EventCutter:
    """Cuts a stream of bytes into events."""

    def __init__(self, limit: int) -> None:
        """`limit`: most bytes of one event."""
        self._limit = limit
        self._held = bytearray()
        self._searched = 0
        self._begun = False

    def feed(self, part: bytes) -> Iterator[ServerEvent]:
        """Take the next bytes; gives every event that is now whole.

        Raises:
            BadInputError: code `event_too_large`.
        """
        self._held += part
        if not self._begun:
            if len(self._held) < len(_BOM) and _BOM.startswith(self._held):
                return
            # A reader leaves out one byte order mark (§9.2.5). Handed on, it would hide the first line from us and not from the caller.
            self._begun = True
            if self._held.startswith(_BOM):
                del self._held[: len(_BOM)]
        while True:
            # Seen bytes are not searched again, except for the few that may begin an end.
            found = _END.search(self._held, max(0, self._searched - 3))
            if found is None:
                self._searched = len(self._held)
                if len(self._held) > self._limit:
                    raise BadInputError("event_too_large", f"an event of more than {self._limit} bytes")
                return
            raw = bytes(self._held[: found.end()])
            del self._held[: found.end()]
            self._searched = 0
            yield read_event(raw)

    @property
    def rest(self) -> bytes:
        """Bytes of an event that has not ended."""
        return bytes(self._held)


def read_event(raw: bytes) -> ServerEvent:
    """Read one event: its `data` lines joined by a line feed, its id. A line that another reader could take for two lines is left out."""
    if _TURNS.search(raw) is not None:
        lines = [line for line in _LINE.split(raw) if line]
        plain = [line for line in lines if line.partition(b":")[0] == b"data" or _TURNS.search(line) is None]
        raw = raw if plain == lines else b"".join(line + b"\n" for line in plain) + b"\n"
    data: list[bytes] = []
    event_id = ""
    for line in _LINE.split(raw):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"id":
            event_id = value.decode("utf-8", "replace")
    joined = b"\n".join(data)
    return ServerEvent(raw, joined or None, event_id)


def write_event(data: bytes, event_id: str = "") -> bytes:
    """One `message` event. `data` is JSON on one line."""
    lead = f"id: {event_id}\n".encode() if event_id else b""
    return b"event: message\n" + lead + b"data: " + data + b"\n\n"


def replace_data(event: ServerEvent, data: bytes) -> bytes:
    """The event with other data, its other fields as they came."""
    kept = [line for line in _LINE.split(event.raw) if line and line.partition(b":")[0] != b"data"]
    return b"".join(line + b"\n" for line in kept) + b"data: " + data + b"\n\n"
