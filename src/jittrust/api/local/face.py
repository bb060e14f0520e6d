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
from jittrust.core.errors import BadInputError, JitError, NotFoundError, RefusedError, UnavailableError
from jittrust.core.grant.grant import Shown
from jittrust.core.mission.mission import GoalSource
from jittrust.ports import wire
from jittrust.ports.approvals import Answer, Caller
from jittrust.ports.decision_point import Decision, Passage
from jittrust.ports.driving import Driving
from jittrust.ports.registry import Attached, Attachment

_LOG = logging.getLogger(__name__)
_UCRED = struct.Struct("3i")
_MOST_AT_ONCE = 512
_MOST_ANCESTORS = 64
_LET_OUT_MOST = 10_000  # calls that went out and were not settled yet, as in `broker.state`
_LONGEST_WAIT = 60.0  # seconds; who wants to wait longer asks again
_FRAME_SECONDS = 30.0  # by when the rest of a frame must be there
# Calls that only wait: nobody is owed their end once the other side has left.
_OF_A_CALL = frozenset({"decisions.settle", "decisions.lease"})
_WAITING = frozenset({"approvals.wait", "registry.changed", "decisions.lease"})

# What widens, grants or states a goal is for people. A goal that a form in the client brought (elicitation) comes through the gate, which
# is a descendant of the agent's process by nature, and is recorded as what it is.
_FOR_PEOPLE = frozenset(
    {
        *("missions.start", "missions.change", "missions.say", "grants.open", "grants.delegate", "grants.revoke"),
        *("responses.stop", "responses.lift"),
        # What would be decided, asked without paying for it, would be an oracle.
        *("searches.judge", "searches.subjects", "searches.resources", "searches.actions"),
        *("identities.enrol", "identities.change", "identities.draw"),
        *("enrolment.put", "enrolment.remove", "enrolment.invite"),
        *("authorities.prepare", "authorities.activate", "authorities.taint", "authorities.revoke"),
        *("federation.federate", "federation.refresh", "federation.end"),
        *("people.invite", "people.bootstrap", "people.login", "people.logged_in", "people.session"),
        *("sources.trust", "sources.distrust", "sources.directory_token"),
    }
)


@dataclass(slots=True, eq=False)
class _Peer:
    """One connection."""

    caller: Caller
    writer: asyncio.StreamWriter
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    waits: set[asyncio.Task[None]] = field(default_factory=set)
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
        self._let_out: dict[str, int] = {}  # evaluation → process that was told to let it out
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
                async with asyncio.timeout(_FRAME_SECONDS):
                    body = await reader.readexactly(wire.frame_length(head))
                await peer.room.acquire()
                task = asyncio.create_task(self._answer(peer, body))
                peer.tasks.add(task)
                task.add_done_callback(peer.tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError, BadInputError, TimeoutError):
            pass  # the other side has left, speaks something else, or holds half a frame back
        finally:
            await self._left(peer)

    async def _left(self, peer: _Peer) -> None:
        """Whoever joined through this connection and is nobody else's is gone."""
        # Questions that are being decided are decided to the end: what was paid is recorded, whoever still listens.
        peer.writer.close()
        for task in tuple(peer.waits):
            task.cancel()
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
            answer = wire.frame({"id": number, "result": result})
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
        here = asyncio.current_task()
        if name in _WAITING and here is not None:
            peer.waits.add(here)
            here.add_done_callback(peer.waits.discard)
        result = await getattr(getattr(self._driving, call.port), call.method)(**arguments)
        if isinstance(result, Decision) and result.passage is Passage.FORWARD:
            self._let_out[result.evaluation] = peer.caller.pid
            while len(self._let_out) > _LET_OUT_MOST:
                del self._let_out[next(iter(self._let_out))]
        if name == "decisions.settle":
            self._let_out.pop(arguments["evaluation"], None)
        if isinstance(result, Attached):
            attachment = arguments.get("attachment")
            if isinstance(attachment, Attachment):
                self._owners[result.id] = (peer, attachment.pids)
        return result

    def _check(self, peer: _Peer, name: str, arguments: dict[str, Any]) -> None:
        if name == "approvals.answer" and isinstance(answer := arguments["answer"], Answer):
            arguments["answer"] = replace(answer, caller=peer.caller)
            if answer.confirmed_by is ConfirmedBy.CLIENT and not self._joined(peer):
                raise RefusedError(
                    "confirmation_too_weak",
                    "only an enforcement point that has joined hands on what its client's person confirmed",
                    "Answer with the PIN: jittrust approve.",
                )
        if name == "registry.attach" and isinstance(attachment := arguments["attachment"], Attachment):
            # Whoever joins is an agent's process, whether it says so or not.
            pids = tuple(dict.fromkeys((*attachment.pids, peer.caller.pid)))
            arguments["attachment"] = replace(attachment, pids=pids)
        if "timeout" in arguments:
            arguments["timeout"] = type(arguments["timeout"])(min(arguments["timeout"], _LONGEST_WAIT))
        self._check_own(peer, name, arguments)
        if name not in _FOR_PEOPLE:
            return
        if arguments.get("source") is GoalSource.ELICITATION and self._joined(peer):
            return
        agents = {pid for _, pids in self._owners.values() for pid in pids}
        if agents & {peer.caller.pid, *peer.caller.ancestors}:
            raise RefusedError(
                "agent_may_not_approve",
                "this process descends from an agent's process; an agent never states or widens its own mission",
                "Run it in a terminal of your own.",
            )

    def _joined(self, peer: _Peer) -> bool:
        return any(owner is peer for owner, _ in self._owners.values())

    def _check_own(self, peer: _Peer, name: str, arguments: dict[str, Any]) -> None:
        """Refuse what speaks for somebody else: another process's attachment or call, or a token, which nobody has checked here."""
        shown, attachment = arguments.get("shown"), arguments.get("attachment")
        if isinstance(attachment, Attachment) and (attachment.grant or attachment.operator):
            raise _no_token()
        if isinstance(shown, Shown) and (shown.grant or not self._owns(peer, shown.attachment)):
            raise _no_token()
        if "attached" in arguments and not self._owns(peer, arguments["attached"]):
            if name == "registry.detach" and arguments["attached"] not in self._owners:
                arguments["attached"] = ""  # whoever has left already may leave twice
                return
            raise NotFoundError("attachment_unknown", "This process has joined under no such name.", "Attach again.")
        if name in _OF_A_CALL and self._let_out.get(arguments["evaluation"]) != peer.caller.pid:
            raise NotFoundError("evaluation_unknown", "this process let no such call out, or has settled it already")

    def _owns(self, peer: _Peer, attached: str) -> bool:
        owner = self._owners.get(attached)
        return owner is not None and owner[0].caller.pid == peer.caller.pid


def _no_token() -> RefusedError:
    words = "a process on this socket speaks for itself alone: it joins and shows the attachment that it got"
    return RefusedError("invalid_token", words, "Callers with access tokens use HTTP.")


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
