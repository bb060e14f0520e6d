"""Asks a stdio MCP server for its tools, in either revision of the protocol, and ends it. No tool is ever called."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
MOST_PAGES = 100
MOST_TOOLS = 5000
MOST_LINE_BYTES = 8 << 20
_METHOD_NOT_FOUND = -32601
_KEPT_ERRORS = 2000
_GRACE_S = 2.0
_PIECE = 65536
_MOST_NOISE = 1000


async def list_tools(
    command: Sequence[str], *, version: str, environ: Mapping[str, str] | None = None, timeout: float = 30.0
) -> Sequence[Mapping[str, Json]]:
    """The full tool definitions of the server that `command` starts, as it shows them. `timeout` in seconds is for everything together.

    Raises:
        BadInputError: code `command_missing`: there is no such program.
        UnavailableError: code `upstream_failed`: it ended, answered nonsense or an error, or took too long.
    """
    try:
        async with asyncio.timeout(timeout), _started(command, environ) as server:
            return await server.tools(version)
    except TimeoutError as error:
        raise UnavailableError(
            "upstream_failed", f"{command[0]} did not answer within {timeout:g} s", "Run it by hand."
        ) from error


@asynccontextmanager
async def _started(command: Sequence[str], environ: Mapping[str, str] | None) -> AsyncIterator[_Server]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if environ is None else dict(environ),
            limit=MOST_LINE_BYTES,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadInputError(
            "command_missing", f"{command[0]} cannot be started: {why}", "Check the command after --."
        ) from error
    server = _Server(command[0], process)
    try:
        yield server
    finally:
        await server.end()


class _Server:
    """One running server and the requests open on it: one at a time."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process
        self._number = 0
        self._said = bytearray()
        self._listening = asyncio.create_task(self._listen())

    async def tools(self, version: str) -> Sequence[Mapping[str, Json]]:
        """All pages of `tools/list`, after whatever opening this server understands."""
        info: Json = {"name": "jittrust", "version": version}
        hello: dict[str, Json] = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": info}
        answer = await self._ask("initialize", hello)
        meta: dict[str, Json] = {}
        if "error" in answer:
            # The stateless revision has no `initialize`: every request says what it needs to know.
            prefix = "io.modelcontextprotocol/"
            meta = {f"{prefix}protocolVersion": MODERN, f"{prefix}clientCapabilities": {}, f"{prefix}clientInfo": info}
        else:
            await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        found: list[Mapping[str, Json]] = []
        cursor: Json = None
        for _ in range(MOST_PAGES):
            params: dict[str, Json] = {**({"_meta": meta} if meta else {}), **({"cursor": cursor} if cursor else {})}
            page = self._result(await self._ask("tools/list", params))
            tools = page.get("tools")
            if not isinstance(tools, list) or not all(
                isinstance(tool, Mapping) and isinstance(tool.get("name"), str) for tool in tools
            ):
                raise self._failed("its tools/list is no list of tools")
            found += [tool for tool in tools if isinstance(tool, Mapping)]
            cursor = page.get("nextCursor")
            if not cursor:
                return found
            if len(found) > MOST_TOOLS:
                break
        raise self._failed(f"it lists more than {MOST_TOOLS} tools or {MOST_PAGES} pages")

    async def end(self) -> None:
        """Close its input, wait a moment, then end its whole process group."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        rest = asyncio.create_task(self._drain())  # a process counts as ended only once its pipes are read out
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _GRACE_S)
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
        # Children that outlived their parent hold its pipes open.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await asyncio.gather(rest, self._listening)

    async def _drain(self) -> None:
        """Read its output to the end and forget it."""
        assert self._process.stdout is not None  # noqa: S101 - asked for at the start
        while await self._process.stdout.read(_PIECE):
            pass

    async def _listen(self) -> None:
        """Keep the last words of its stderr, for the error message."""
        assert self._process.stderr is not None  # noqa: S101 - asked for at the start
        while piece := await self._process.stderr.read(_PIECE):
            self._said = (self._said + piece)[-_KEPT_ERRORS:]

    async def _send(self, message: Mapping[str, Json]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - asked for at the start
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._failed("it ended") from error

    async def _ask(self, method: str, params: Mapping[str, Json]) -> Mapping[str, Json]:
        """Send a request and return its response; requests of the server are declined, everything else is passed over."""
        self._number += 1
        await self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert self._process.stdout is not None  # noqa: S101 - asked for at the start
        for _ in range(_MOST_NOISE):
            try:
                line = await self._process.stdout.readline()
            except ValueError as error:
                raise self._failed(f"it sent a line of more than {MOST_LINE_BYTES} bytes") from error
            if not line:
                await asyncio.sleep(0.05)  # its last words may still be in the pipe
                raise self._failed("it ended")
            try:
                message = parse_object(line, max_bytes=MOST_LINE_BYTES, allow_nul=True)
            except BadInputError:
                continue  # many servers print greetings
            if message.get("id") == self._number and ("result" in message or "error" in message):
                return message
            if "method" in message and "id" in message:
                answer: dict[str, Json] = {"jsonrpc": "2.0", "id": message["id"]}
                declined: Json = {"code": _METHOD_NOT_FOUND, "message": "not offered"}
                await self._send(
                    {**answer, "result": {}} if message["method"] == "ping" else {**answer, "error": declined}
                )
        raise self._failed(f"it sent {_MOST_NOISE} lines and no answer")

    def _result(self, message: Mapping[str, Json]) -> Mapping[str, Json]:
        result = message.get("result")
        if isinstance(result, Mapping):
            return result
        error = message.get("error")
        raise self._failed(f"it answered: {error.get('message') if isinstance(error, Mapping) else error}")

    def _failed(self, what: str) -> UnavailableError:
        last = self._said.decode("utf-8", "replace").strip().splitlines()[-3:]
        tail = f"; it said: {' / '.join(last)}" if last else ""
        return UnavailableError(
            "upstream_failed", f"The server {self._name} cannot be listed: {what}{tail}", "Run it by hand."
        )
