"""One connection to the user's broker, with many calls under way on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.ports import wire

_UCRED = struct.Struct("3i")
Revive = Callable[[], Awaitable[None]]


class LocalConnection:
    """Calls the broker that listens on `path`.

    When the connection is lost, what is under way fails and the next call connects again (after `revive`, which starts a broker where none
    runs). A call that may have reached the broker is never sent a second time.
    """

    def __init__(self, path: Path, revive: Revive | None = None) -> None:
        """Nothing is opened before `open` or the first call."""
        self._path = path
        self._revive = revive
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._opening = asyncio.Lock()
        self._closed = False

    async def open(self) -> None:
        """Connect.

        Raises:
            UnavailableError: code `broker_unreachable`: nobody answers; `broker_foreign`: somebody else's process does.
        """
        async with self._opening:
            if self._writer is not None and not self._writer.is_closing():
                return
            reader, writer = await _connected(self._path)
            self._writer = writer
            self._listener = asyncio.create_task(self._listen(reader, writer))

    async def close(self) -> None:
        """Let go; what is under way fails."""
        self._closed = True
        if self._writer is not None:
            self._writer.close()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    async def call(self, name: str, /, **arguments: object) -> Any:  # noqa: ANN401 - the callers know the type by the call's name
        """Call one method of a port.

        Raises:
            UnavailableError: code `broker_unreachable`: no broker, or it went away before it answered.
            JitError: whatever the port raises.
        """
        writer = await self._ready()
        self._count += 1
        number = self._count
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            writer.write(wire.frame({"id": number, "call": name, "args": arguments}))
            await writer.drain()
            told = await future
        except ConnectionError:
            raise _unreachable(self._path) from None
        finally:
            self._waiting.pop(number, None)
        return wire.calls()[name].result(told)

    async def _ready(self) -> asyncio.StreamWriter:
        if self._writer is None or self._writer.is_closing():
            if self._closed:
                raise _unreachable(self._path)
            try:
                await self.open()
            except UnavailableError:
                if self._revive is None:
                    raise
                await self._revive()
                await self.open()
        if self._writer is None:  # closed meanwhile
            raise _unreachable(self._path)
        return self._writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(4)
                told = wire.unframe(await reader.readexactly(wire.frame_length(head)))
                future = self._waiting.get(told.get("id", -1))
                if future is None or future.done():
                    continue
                if "error" in told:
                    future.set_exception(wire.decode_error(told["error"]))
                else:
                    future.set_result(told.get("result"))
        except (asyncio.IncompleteReadError, ConnectionError, BadInputError):
            pass
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(_unreachable(self._path))


async def _connected(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if not wire.is_private(path.parent):
        raise UnavailableError(
            "broker_unreachable", f"{path.parent} is missing or not this user's alone", "jittrust doctor"
        )
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        raise _unreachable(path) from None
    with contextlib.suppress(OSError):
        raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        if _UCRED.unpack(raw)[1] != os.getuid():
            writer.close()
            raise UnavailableError("broker_foreign", f"the process that answers on {path} is another user's")
    return reader, writer


def _unreachable(path: Path) -> JitError:
    return UnavailableError("broker_unreachable", f"no broker answers on {path}", "jittrust doctor")
