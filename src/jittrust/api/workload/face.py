"""The SPIFFE Workload API over a Unix socket: who calls is what the kernel says, never what the caller says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import stat
import struct
from asyncio import BaseTransport
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog
from google.protobuf import json_format, struct_pb2
from google.protobuf.message import DecodeError
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.core.identity.bundle import TrustBundle, read_bundle, write_bundle
from jittrust.core.identity.spiffe_id import SCHEME, SpiffeId
from jittrust.ports.bundles import Bundles
from jittrust.ports.issuance import Credentials, Issuance
from jittrust.ports.process_attestor import Process
from jittrust.ports.workload_messages import (
    FETCH_JWT_BUNDLES,
    FETCH_JWT_SVID,
    FETCH_X509_BUNDLES,
    FETCH_X509_SVID,
    HEADER,
    VALIDATE_JWT_SVID,
    WorkloadMethod,
)

STREAMS_MOST: Final = 256
"""Most calls under way, and most connections."""
STREAMS_OF_PID: Final = 16
"""Most of them of one process."""
STREAMS_OF_UID: Final = 128
"""Most connections of one user: nobody shuts the others out."""
MESSAGE_MOST: Final = 64 * 1024
"""A larger request is refused before it is read."""
LOOK_SECONDS: Final = 2.0
"""How often a stream looks at what time alone changes: an entry's end, a process's end."""
APART_SECONDS: Final = 0.25
"""So far apart are the looks of one stream, so that a busy registry does not keep every stream busy."""
NO_IDENTITY: Final = "no identity issued"
_PATIENCE_SECONDS: Final = 10.0  # for a request that does not come and an answer that is not taken
_WINDOW: Final = 1 << 16
_PREFIX: Final = struct.Struct(">?I")
_UCRED: Final = struct.Struct("3i")
_STARTED: Final = 19  # place of `starttime` after the command name in /proc/PID/stat (proc(5), field 22)
_Call: TypeAlias = Stream[Any, Any]
_Answer: TypeAlias = Callable[[Process, Any], Awaitable[Any]]


class WorkloadFace:
    """Serves the Workload API. Any local user may call; an identity gets who is entitled to one."""

    def __init__(self, issuance: Issuance, bundles: Bundles) -> None:
        """Nothing listens before `open`."""
        self._issuance = issuance
        self._bundles = bundles
        self._server: _LocalServer | None = None
        self._path: Path | None = None
        self._callers = _Callers()
        self._under_way: Counter[int] = Counter()

    async def open(self, path: Path) -> None:
        """Listen on `path`; a socket that a dead broker left there is replaced. Its folder decides which users reach it: itself, it is for all.

        Raises:
            BadInputError: code `workload_socket_bad`: something else is there, somebody listens there, or the path cannot be used.
        """
        _clear(path)
        # What callers do wrong is told to them, not to our log.
        logging.getLogger("grpclib.server").setLevel(logging.CRITICAL)
        server = _LocalServer(self, self._callers)
        try:
            await server.start(path=str(path))
            path.chmod(0o666)  # noqa: ASYNC240 - one system call
        except (OSError, ValueError) as error:
            server.close()
            raise BadInputError("workload_socket_bad", f"Nothing can listen on {path}: {error}") from None
        self._server, self._path = server, path

    async def close(self) -> None:
        """Stop listening and end every stream."""
        server, path, self._server, self._path = self._server, self._path, None, None
        if server is None or path is None:
            return
        server.close()
        self._callers.abort()
        await server.wait_closed()
        with contextlib.suppress(OSError):
            path.unlink()

    def __mapping__(self) -> Mapping[str, Handler]:
        """The five calls, for grpclib."""
        answers: tuple[tuple[WorkloadMethod, _Answer], ...] = (
            (FETCH_X509_SVID, self._x509_svids),
            (FETCH_X509_BUNDLES, self._x509_bundles),
            (FETCH_JWT_SVID, self._jwt_svids),
            (FETCH_JWT_BUNDLES, self._jwt_bundles),
            (VALIDATE_JWT_SVID, self._validated),
        )
        return {method.path: self._handler(method, answer) for method, answer in answers}

    # ---- every call ---------------------------------------------------------------------------------------------------------------------

    def _handler(self, method: WorkloadMethod, answer: _Answer) -> Handler:
        async def handle(call: _Call) -> None:
            with self._admitted(call) as process, _told():
                request = await _request(call, method)
                if method.streams:
                    await self._follow(call, process, request, answer)
                else:
                    await call.send_message(await answer(process, request))

        kind = Cardinality.UNARY_STREAM if method.streams else Cardinality.UNARY_UNARY
        return Handler(handle, kind, method.request, method.response)

    @contextlib.contextmanager
    def _admitted(self, call: _Call) -> Iterator[Process]:
        name, value = HEADER
        metadata = call.metadata
        if metadata is None or metadata.getall(name, []) != [value]:
            raise GRPCError(Status.INVALID_ARGUMENT, f"the metadata {name}: {value} is missing")
        process = self._callers.of(call)
        if process is None:
            raise GRPCError(Status.PERMISSION_DENIED, NO_IDENTITY)
        if self._under_way.total() >= STREAMS_MOST or self._under_way[process.pid] >= STREAMS_OF_PID:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many calls are under way")
        self._under_way[process.pid] += 1
        try:
            yield process
        finally:
            self._under_way[process.pid] -= 1
            if not self._under_way[process.pid]:
                del self._under_way[process.pid]

    async def _follow(self, call: _Call, process: Process, request: object, answer: _Answer) -> None:
        """Send the answer, and again whenever it is another. Who loses the identity is told so at once, and the stream ends."""
        last = None
        clock = asyncio.get_running_loop().time
        known = await self._issuance.changed(-1, 0.0)
        while True:
            looked = clock()
            response = await answer(process, request)
            wire = response.SerializeToString(deterministic=True)
            if wire != last:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await call.send_message(response)
                last = wire
            known = await self._issuance.changed(known, LOOK_SECONDS)
            # The first change is told at once; those right behind it are told together.
            await asyncio.sleep(max(0.0, looked + APART_SECONDS - clock()))

    async def _identities(self, process: Process) -> tuple[Credentials, ...]:
        found = await self._issuance.for_process(process)
        if not found:
            raise GRPCError(Status.PERMISSION_DENIED, NO_IDENTITY)
        return found

    # ---- the five answers ---------------------------------------------------------------------------------------------------------------

    async def _x509_svids(self, process: Process, _: object) -> object:
        found = await self._identities(process)
        own, foreign = await self._trusted(found)
        response = FETCH_X509_SVID.response()
        for one in found:
            response.svids.add(
                spiffe_id=one.spiffe_id,
                x509_svid=b"".join(one.chain),
                x509_svid_key=one.key,
                bundle=b"".join(own.x509),
                hint=one.hint,
            )
        for bundle in foreign:
            if bundle.x509:
                response.federated_bundles[SCHEME + bundle.trust_domain] = b"".join(bundle.x509)
        return response

    async def _x509_bundles(self, process: Process, _: object) -> object:
        own, foreign = await self._trusted(await self._identities(process))
        response = FETCH_X509_BUNDLES.response()
        for bundle in (own, *foreign):
            if bundle.x509:
                response.bundles[SCHEME + bundle.trust_domain] = b"".join(bundle.x509)
        return response

    async def _jwt_svids(self, process: Process, request: Any) -> object:  # noqa: ANN401 - a message made at run time
        if request.spiffe_id:
            SpiffeId.parse(request.spiffe_id)
        found = await self._issuance.jwt(process, tuple(request.audience), request.spiffe_id)
        if not found:
            raise GRPCError(Status.PERMISSION_DENIED, NO_IDENTITY)
        response = FETCH_JWT_SVID.response()
        for one in found:
            response.svids.add(spiffe_id=one.spiffe_id, svid=one.jwt, hint=one.hint)
        return response

    async def _jwt_bundles(self, process: Process, _: object) -> object:
        own, foreign = await self._trusted(await self._identities(process))
        response = FETCH_JWT_BUNDLES.response()
        for bundle in (own, *foreign):
            only = TrustBundle(bundle.trust_domain, (), bundle.jwt)
            response.bundles[SCHEME + bundle.trust_domain] = write_bundle(only).encode()
        return response

    async def _validated(self, process: Process, request: Any) -> object:  # noqa: ANN401 - a message made at run time
        found = await self._identities(process)
        if not request.audience or not request.svid:
            raise GRPCError(Status.INVALID_ARGUMENT, "audience and svid are needed")
        checked = await self._bundles.check_jwt(request.svid, request.audience)
        # A workload trusts a foreign domain only where its own entry says so.
        named = {
            name for one in found for name in (SpiffeId.parse(one.spiffe_id).trust_domain.name, *one.federates_with)
        }
        if SpiffeId.parse(checked.spiffe_id).trust_domain.name not in named:
            raise GRPCError(Status.INVALID_ARGUMENT, "the trust domain of the SVID is not trusted here")
        claims = json_format.ParseDict(dict(checked.claims), struct_pb2.Struct())
        response = VALIDATE_JWT_SVID.response(spiffe_id=checked.spiffe_id)
        response.claims.ParseFromString(claims.SerializeToString())
        return response

    async def _trusted(self, found: tuple[Credentials, ...]) -> tuple[TrustBundle, tuple[TrustBundle, ...]]:
        """The own bundle, and those of the foreign domains that the process's entries name."""
        own = read_bundle(await self._bundles.own(), SpiffeId.parse(found[0].spiffe_id).trust_domain.name)
        named = sorted({name for one in found for name in one.federates_with})
        known = await self._bundles.foreign() if named else {}
        return own, tuple(read_bundle(known[name], name) for name in named if name in known)


class _Callers:
    """Which process opened which connection, noted when it was accepted: later its pid may be another's."""

    def __init__(self) -> None:
        self._open: dict[BaseTransport, Process] = {}

    def took(self, transport: BaseTransport) -> bool:
        """Note who is there; False: nobody knows, or it has too many."""
        process = _caller(transport.get_extra_info("socket"))
        if process is None:
            return False
        others = self._open.values()
        full = (
            len(self._open) >= STREAMS_MOST
            or sum(one.pid == process.pid for one in others) >= STREAMS_OF_PID
            or sum(one.uid == process.uid for one in others) >= STREAMS_OF_UID
        )
        if not full:
            self._open[transport] = process
        return not full

    def lost(self, transport: BaseTransport) -> None:
        self._open.pop(transport, None)

    def of(self, call: _Call) -> Process | None:
        # grpclib tells the peer's address and nothing else; a Unix socket's address says nothing.
        return self._open.get(call.peer._transport)  # noqa: SLF001

    def abort(self) -> None:
        for transport in tuple(self._open):
            transport.close()


class _LocalServer(Server):
    """A grpclib server whose connections are those of known processes."""

    def __init__(self, face: WorkloadFace, callers: _Callers) -> None:
        window = Configuration(http2_connection_window_size=_WINDOW, http2_stream_window_size=_WINDOW)
        super().__init__([face], config=window)
        self._callers = callers

    def _protocol_factory(self) -> H2Protocol:
        return _LocalProtocol(super()._protocol_factory(), self._callers)


class _LocalProtocol(H2Protocol):
    def __init__(self, made: H2Protocol, callers: _Callers) -> None:
        super().__init__(made.handler, made.config, made.h2_config)
        self._callers = callers
        self._transport: BaseTransport | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = transport
        if not self._callers.took(transport):
            transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._transport is not None:
            self._callers.lost(self._transport)
        super().connection_lost(exc)


def _caller(connection: Any) -> Process | None:  # noqa: ANN401 - asyncio wraps the socket in a class of its own
    """Who is at the other end, as the kernel says; None where it does not say."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(raw)
        told = Path(f"/proc/{pid}/stat").read_bytes()
        return Process(pid, uid, gid, int(told[told.rindex(b")") + 2 :].split()[_STARTED]))
    except (OSError, ValueError, IndexError):
        return None


async def _request(call: _Call, method: WorkloadMethod) -> object:
    """The one message of a request. grpclib would wait for as many bytes as the caller announces; here the announcement is judged first."""
    raw = call._stream  # noqa: SLF001
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            prefix = await raw.recv_data(_PREFIX.size)
            compressed, size = _PREFIX.unpack(prefix) if prefix else (False, 0)
            body = await raw.recv_data(size) if prefix and not compressed and size <= MESSAGE_MOST else None
    except TimeoutError:
        raise GRPCError(Status.DEADLINE_EXCEEDED, "the request did not come") from None
    except AssertionError:
        body = None
    if body is None:
        raise GRPCError(
            Status.INVALID_ARGUMENT, f"a request is one message of at most {MESSAGE_MOST} bytes, uncompressed"
        )
    try:
        return method.request.FromString(body)
    except DecodeError:
        raise GRPCError(Status.INVALID_ARGUMENT, "the request cannot be read") from None


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what the broker refuses into what gRPC says; a fault of ours is logged and told without its words."""
    try:
        yield
    except (GRPCError, StreamTerminatedError, ProtocolError):
        raise
    except RefusedError as error:
        status = Status.INVALID_ARGUMENT if error.code == "svid_refused" else Status.PERMISSION_DENIED
        raise GRPCError(status, error.message) from None
    except BadInputError as error:
        raise GRPCError(Status.INVALID_ARGUMENT, error.message) from None
    except UnavailableError:
        raise GRPCError(Status.UNAVAILABLE, "the broker cannot issue now") from None
    except JitError as error:
        raise GRPCError(Status.UNAVAILABLE, f"try again ({error.code})") from None
    except TimeoutError:
        raise GRPCError(Status.DEADLINE_EXCEEDED, "the answer was not taken") from None
    except Exception:  # noqa: BLE001 - the one place where a fault of ours is told
        structlog.get_logger().exception("workload_call_failed")
        raise GRPCError(Status.INTERNAL, "the broker failed; its log says why") from None


def _clear(path: Path) -> None:
    """Take away a socket on which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise BadInputError("workload_socket_bad", f"{path} is no socket.", "Name another path for it.")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise BadInputError("workload_socket_bad", f"{path} cannot be used: {error}") from None
    raise BadInputError("workload_socket_bad", f"Somebody listens on {path} already.", "Stop the other broker.")
