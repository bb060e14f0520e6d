"""Joins the user's broker for one command."""

from __future__ import annotations

import asyncio
import getpass
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from jittrust.apps.state_dir import default_state_dir
from jittrust.ports.driving import Driving

T = TypeVar("T")


def state_of(chosen: Path | None) -> Path:
    """The state directory that a command works on: `--state`, else the platform's."""
    return (chosen or default_state_dir()).expanduser().absolute()


def person() -> str:
    """The accountable person: the name of this user id as the system knows it, never what the environment claims."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


@asynccontextmanager
async def reach(state: Path) -> AsyncIterator[Driving]:
    """The faces of the user's broker, which is started when it does not run.

    Raises:
        UnavailableError: code `broker_unreachable` and others: exit code 3.
    """
    from jittrust.adapters.unixsocket.join import broker_command, driving_of, join

    connection = await join(state, broker_command(state))
    try:
        yield driving_of(connection)
    finally:
        await connection.close()


def asked(state: Path | None, question: Callable[[Driving], Awaitable[T]]) -> T:
    """Ask the broker one thing and let go of it."""

    async def go() -> T:
        async with reach(state_of(state)) as driving:
            return await question(driving)

    return asyncio.run(go())


def read_pin(*, from_stdin: bool, prompt: str = "Approver's PIN: ") -> str:
    """The PIN, typed without echo, or the first line of stdin.

    Raises:
        BadInputError: code `pin_needs_terminal`: there is no terminal and `--pin-stdin` was not given.
    """
    import sys

    from jittrust.core.errors import BadInputError

    if from_stdin:
        return sys.stdin.readline(4096).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadInputError(
            "pin_needs_terminal",
            "The PIN is asked for on a terminal, and there is none",
            "Run it in a terminal, or pass --pin-stdin.",
        )
    return getpass.getpass(prompt)
