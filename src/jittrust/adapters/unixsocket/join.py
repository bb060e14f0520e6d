"""Join the user's broker, or start it. Ten enforcement points that start together make one broker."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from jittrust.adapters.unixsocket.approvals import SocketApprovals
from jittrust.adapters.unixsocket.authorities import SocketAuthorities
from jittrust.adapters.unixsocket.baselines import SocketBaselines
from jittrust.adapters.unixsocket.bundles import SocketBundles
from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.adapters.unixsocket.contracts import SocketContracts
from jittrust.adapters.unixsocket.decision_point import SocketDecisionPoint
from jittrust.adapters.unixsocket.enrolment import SocketEnrolment
from jittrust.adapters.unixsocket.federation import SocketFederation
from jittrust.adapters.unixsocket.grants import SocketGrants
from jittrust.adapters.unixsocket.identities import SocketIdentities
from jittrust.adapters.unixsocket.ledger_view import SocketLedgerView
from jittrust.adapters.unixsocket.missions import SocketMissions
from jittrust.adapters.unixsocket.people import SocketPeople
from jittrust.adapters.unixsocket.promotions import SocketPromotions
from jittrust.adapters.unixsocket.registry import SocketRegistry
from jittrust.adapters.unixsocket.responses import SocketResponses
from jittrust.adapters.unixsocket.searches import SocketSearches
from jittrust.adapters.unixsocket.trusted_sources import SocketTrustedSources
from jittrust.core.errors import UnavailableError
from jittrust.ports import wire
from jittrust.ports.driving import Driving

READY_WITHIN = 10.0
"""Seconds a broker gets to start."""
_LOOK_EVERY = 0.02


def broker_command(state: Path) -> Sequence[str]:
    """The command that runs the broker of a state folder.

    Isolated (`-I`): neither the working directory nor the PYTHON* variables of whoever starts it choose what it runs.
    """
    return (sys.executable, "-I", "-m", "jittrust.apps.broker_process", "--state", str(state.absolute()))


async def join(state: Path, start: Sequence[str] | None = None) -> LocalConnection:
    """Connect to the broker of `state`; where none answers, start one with the command `start` (None: only join).

    Raises:
        UnavailableError: code `broker_unreachable` (nobody answers, and none was to be started), `broker_not_started` (it ended at once),
            `broker_slow` (it does not answer within 10 s).
    """
    path = wire.socket_path(state)
    connection = LocalConnection(path, None if start is None else lambda: _started(state, path, start))
    try:
        await connection.open()
    except UnavailableError:
        if start is None:
            raise
        await _started(state, path, start)
        await connection.open()
    return connection


def driving_of(connection: LocalConnection) -> Driving:
    """The driving ports over a connection."""
    return Driving(
        decisions=SocketDecisionPoint(connection),
        missions=SocketMissions(connection),
        grants=SocketGrants(connection),
        approvals=SocketApprovals(connection),
        registry=SocketRegistry(connection),
        ledger=SocketLedgerView(connection),
        sources=SocketTrustedSources(connection),
        people=SocketPeople(connection),
        identities=SocketIdentities(connection),
        federation=SocketFederation(connection),
        enrolment=SocketEnrolment(connection),
        bundles=SocketBundles(connection),
        authorities=SocketAuthorities(connection),
        contracts=SocketContracts(connection),
        responses=SocketResponses(connection),
        searches=SocketSearches(connection),
        baselines=SocketBaselines(connection),
        promotions=SocketPromotions(connection),
    )


async def _started(state: Path, path: Path, start: Sequence[str]) -> None:
    """Start a broker, unless somebody else has done so meanwhile; return when one answers."""
    until = asyncio.get_running_loop().time() + READY_WITHIN
    async with _lock(state / "start.lock", until):
        if await _answers(path):
            return
        log = state / "broker.log"
        pid = _spawn(start, log)
        while not await _answers(path):
            ended, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - WNOHANG does not wait
            if ended:
                code = os.waitstatus_to_exitcode(status)
                words = f"the broker ended at once with exit code {code}{_last_line(log)}"
                raise UnavailableError("broker_not_started", words, f"Look into {log}")
            if asyncio.get_running_loop().time() > until:
                words = f"the broker does not answer within {READY_WITHIN:.0f} s{_last_line(log)}"
                raise UnavailableError("broker_slow", words, f"Look into {log}")
            await asyncio.sleep(_LOOK_EVERY)


def _spawn(command: Sequence[str], log: Path) -> int:
    """Start a process that outlives us, with nothing of ours but its environment; its process id."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    try:
        return os.posix_spawn(
            command[0],
            list(command),
            os.environ,
            setsid=True,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(log), flags, 0o600),
            ),
        )
    except OSError as error:
        raise UnavailableError("broker_not_started", f"the broker cannot be started: {error.strerror}") from None


@contextlib.asynccontextmanager
async def _lock(path: Path, until: float) -> AsyncIterator[None]:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        words = f"the state folder {path.parent} cannot be used: {error.strerror}"
        raise UnavailableError("broker_not_started", words, "Choose another with --state DIR.") from None
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() > until:
                    raise UnavailableError(
                        "broker_slow", "another process has been starting the broker for too long"
                    ) from None
                await asyncio.sleep(_LOOK_EVERY)
            else:
                break
        yield
    finally:
        os.close(handle)


async def _answers(path: Path) -> bool:
    trial = LocalConnection(path)
    try:
        await trial.open()
    except UnavailableError:
        return False
    await trial.close()
    return True


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace")[-2000:].strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1][:200]}" if lines and lines[-1].isprintable() else ""
