"""The driving ports on a Unix socket. Who calls is asked of the kernel, never of the caller."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jittrust.core.approval import ConfirmedBy
from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.core.mission.mission import GoalSource
from jittrust.ports import wire
from jittrust.ports.approvals import Answer, Caller
from jittrust.ports.driving import Driving
from jittrust.ports.registry import Attached, Attachment

_LOG = logging.getLogger(__name__)
_UCRED = struct.Struct("3i")
_MOST_AT_ONCE = 512
_MOST_ANCESTORS = 64

# What widens, grants or states a goal is for people. A goal that a form in the client brought (elicitation) comes through the gate, which
# is a descendant of the agent's process by nature, and is recorded as what it is.
_FOR_PEOPLE = frozenset({"missions.start", "missions.change", "missions.say", "grants.open", "grants.revoke"})


@dataclass(slots=True, eq=False)
class _Peer:
    """One connection."""

    caller: Caller
    writer: asyncio.StreamWriter
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MOST_AT_ONCE))


class LocalFace:
    """Serves the driving ports to processes of the user it runs as; others are refused."""

    def __init__(self, driving: Driving) -> None:
        """Nothing is opened yet."""
        self._driving = driving
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._peers: set[_Peer] = set()
        self._owners: dict[str, tuple[_Peer, tuple[int, ...]]] = {}
        self._quiet_since = 0.0
        self._empty = asyncio.Event()

    async def open(self, path: Path) -> None:
        """Listen on `path` (mode 0600). A socket left behind by a broker that is gone is replaced.

        Raises:
            UnavailableError: code `broker_running` (somebody answers there), `socket_unusable` (the folder is not this user's alone).
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not wire.is_private(path.parent):
            raise UnavailableError(
                "socket_unusable", f"{path.parent} is not this user's alone", f"chmod 700 {path.parent}"
            )
        if await _answers(path):
            raise UnavailableError("broker_running", f"a broker answers on {path} already")
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at start
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path=str(path))
        except OSError as error:
            raise UnavailableError("socket_unusable", f"cannot listen on {path}: {error.strerror}") from None
        finally:
            os.umask(before)
        self._path = path
        self._quiet_since = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Stop listening, end every connection."""
        if self._server is not None:
            self._server.close()
        for peer in tuple(self._peers):
            peer.writer.close()
        waiting = [task for peer in self._peers for task in peer.tasks]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if self._peers:
            await self._empty.wait()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def quiet_for(self) -> float:
        """For how many seconds nobody has been connected; 0 while somebody is."""
        return 0.0 if self._peers else asyncio.get_running_loop().time() - self._quiet_since

    # --- one connection ------------------------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = _caller(writer.get_extra_info("socket"))
        if caller is None or caller.uid != os.getuid():
            writer.close()
            return
        peer = _Peer(caller, writer)
        self._peers.add(peer)
        self._empty.clear()
        try:
            while True:
                head = await reader.readexactly(4)
                body = await reader.readexactly(wire.frame_length(head))
                await peer.room.acquire()
                task = asyncio.create_task(self._answer(peer, body))
                peer.tasks.add(task)
                task.add_done_callback(peer.tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError, BadInputError):
            pass  # the other side has left, or speaks something else
        finally:
            await self._left(peer)

    async def _left(self, peer: _Peer) -> None:
        """Whoever joined through this connection and is nobody else's is gone."""
        # Questions that are being decided are decided to the end: what was paid is recorded, whoever still listens.
        peer.writer.close()
        for attached in [attached for attached, (owner, _) in self._owners.items() if owner is peer]:
            del self._owners[attached]
            with contextlib.suppress(JitError):
                await self._driving.registry.detach(attached)
        self._peers.discard(peer)
        if not self._peers:
            self._empty.set()
        self._quiet_since = asyncio.get_running_loop().time()

    async def _answer(self, peer: _Peer, body: bytes) -> None:
        number: object = None
        try:
            asked = wire.unframe(body)
            number = asked.get("id")
            result = await self._call(peer, str(asked.get("call")), asked.get("args"))
            answer = wire.frame({"id": number, "result": wire.encode(result)})
        except JitError as error:
            answer = wire.frame({"id": number, "error": wire.encode_error(error)})
        except Exception:  # noqa: BLE001 - whatever it is: the caller must not wait for ever, and the broker stays alive
            _LOG.exception("a call over the socket failed")
            broken = UnavailableError(
                "broker_broken", "the broker failed on this call", "Look into its log: jittrust doctor"
            )
            answer = wire.frame({"id": number, "error": wire.encode_error(broken)})
        finally:
            peer.room.release()
        with contextlib.suppress(ConnectionError):
            if not peer.writer.is_closing():
                peer.writer.write(answer)
                await peer.writer.drain()

    async def _call(self, peer: _Peer, name: str, raw: object) -> object:
        call = wire.calls().get(name)
        if call is None:
            raise BadInputError("call_unknown", f"this broker knows no call {name[:80]!r}", "Is it of another version?")
        if not isinstance(raw, Mapping) or not call.required <= raw.keys() <= call.arguments.keys():
            raise BadInputError("wire_value", f"the arguments of {name} are others")
        arguments = {key: call.arguments[key](value) for key, value in raw.items()}
        self._check(peer, name, arguments)
        result = await getattr(getattr(self._driving, call.port), call.method)(**arguments)
        if isinstance(result, Attached):
            attachment = arguments.get("attachment")
            if isinstance(attachment, Attachment):
                self._owners[result.id] = (peer, attachment.pids)
        return result

    def _check(self, peer: _Peer, name: str, arguments: dict[str, Any]) -> None:
        if name == "approvals.answer" and isinstance(answer := arguments["answer"], Answer):
            arguments["answer"] = replace(answer, caller=peer.caller)
            joined = any(owner is peer for owner, _ in self._owners.values())
            if answer.confirmed_by is ConfirmedBy.CLIENT and not joined:
                raise RefusedError(
                    "confirmation_too_weak",
                    "only an enforcement point that has joined hands on what its client's person confirmed",
                    "Answer with the PIN: jittrust approve.",
                )
        if name == "registry.attach" and isinstance(attachment := arguments["attachment"], Attachment):
            # Whoever joins is an agent's process, whether it says so or not.
            pids = tuple(dict.fromkeys((*attachment.pids, peer.caller.pid)))
            arguments["attachment"] = replace(attachment, pids=pids)
        if name not in _FOR_PEOPLE or arguments.get("source") is GoalSource.ELICITATION:
            return
        agents = {pid for _, pids in self._owners.values() for pid in pids}
        if agents & {peer.caller.pid, *peer.caller.ancestors}:
            raise RefusedError(
                "agent_may_not_approve",
                "this process descends from an agent's process; an agent never states or widens its own mission",
                "Run it in a terminal of your own.",
            )


async def _answers(path: Path) -> bool:
    """Whether somebody listens on `path`."""
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True


def _caller(connection: Any) -> Caller | None:  # noqa: ANN401 - asyncio wraps the socket in a class of its own
    """Who is at the other end, as the kernel says; None where it does not say."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        return None
    pid, uid, _ = _UCRED.unpack(raw)
    return Caller(uid, pid, ancestors(pid))


def ancestors(pid: int) -> tuple[int, ...]:
    """The process ids of the ancestors of `pid`, nearest first, as /proc says; empty where there is none."""
    found: list[int] = []
    while pid > 1 and len(found) < _MOST_ANCESTORS:
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        # The second field is the name in parentheses and may hold anything, so the fields are counted from its last parenthesis.
        pid = int(status.rpartition(")")[2].split()[1])
        if pid > 0:
            found.append(pid)
    return tuple(found)
