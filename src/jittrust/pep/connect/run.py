"""Runs the bridge on standard input and output until the client leaves, a signal comes, or nobody gives a grant."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any

from jittrust.core.errors import JitError
from jittrust.pep.connect.bridge import ConnectBridge, ConnectOptions
from jittrust.pep.connect.carrier import Carrier
from jittrust.pep.connect.holder import GrantHolder
from jittrust.pep.mcp.stdio import PipeReader, PipeWriter

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LEAVE_SECONDS = 2.0


async def run_connect(carrier: Carrier, options: ConnectOptions) -> int:
    """Serve the client on our own standard input and output.

    Returns:
        0 when the client closed its end, 128 + n after signal n.

    Raises:
        JitError: nobody gave the first grant; who waits has been told.
    """
    # Copies: asyncio closes what it is given, and the interpreter still flushes the originals at its end.
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    with source, sink:
        return await _between(carrier, carrier.holder, PipeReader(source), PipeWriter(sink), options)


async def _between(
    carrier: Carrier, holder: GrantHolder, reader: PipeReader, writer: PipeWriter, options: ConnectOptions
) -> int:
    bridge = ConnectBridge(carrier, reader, writer, options)
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, int(number))
    await reader.open()
    await writer.open()
    from_client = asyncio.create_task(bridge.read_client())
    broken = asyncio.create_task(writer.broken.wait())
    login = asyncio.create_task(holder.open())
    keeping = asyncio.create_task(holder.keep())
    beside = (from_client, broken, login, keeping)
    try:
        ends: set[asyncio.Future[Any]] = {from_client, broken, stopped, login}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if login.done() and not stopped.done():
            try:
                await login
            except JitError as error:
                # Who asks in this moment is told why; then the process ends, and the client shows it as a server that does not start.
                await asyncio.sleep(0.2)
                await bridge.refuse(error)
                raise
        ends.discard(login)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if from_client.done() and not stopped.done():
            draining = asyncio.create_task(bridge.drain())
            either: set[asyncio.Future[Any]] = {draining, stopped}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            draining.cancel()
        return 128 + stopped.result() if stopped.done() else 0
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await bridge.finish()
        with contextlib.suppress(JitError, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await holder.leave()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
