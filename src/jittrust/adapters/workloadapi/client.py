"""A client of the SPIFFE Workload API, ours or anybody's, over its Unix socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.ports.workload_messages import FETCH_JWT_BUNDLES, FETCH_JWT_SVID, FETCH_X509_SVID, HEADER, WorkloadMethod

_METADATA = (HEADER,)


@dataclass(frozen=True, slots=True)
class FetchedX509:
    """One X.509-SVID with its key (PKCS#8) and what to trust, all PEM. `federated`: by the SPIFFE ID of the trust domain."""

    spiffe_id: str
    hint: str
    chain: bytes
    key: bytes = field(repr=False)
    bundle: bytes = b""
    federated: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FetchedJwt:
    """One JWT-SVID."""

    spiffe_id: str
    hint: str
    token: str = field(repr=False)


class WorkloadClient:
    """Asks one Workload API. Use it as an async context manager."""

    def __init__(self, path: Path) -> None:
        """`path` is that of the socket."""
        self._path = path
        self._channel: Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = Channel(path=str(self._path))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def x509_svids(self) -> AsyncIterator[tuple[FetchedX509, ...]]:
        """All X.509-SVIDs now, and again with each rotation. Ends with an error, never by itself.

        Raises:
            RefusedError: code `workload_no_identity`.
            UnavailableError: code `workload_unreachable`, `workload_lost` (the stream ended: ask again).
            BadInputError: code `workload_answer_bad`.
        """
        with _told(self._path):
            async for response in self._streamed(FETCH_X509_SVID):
                yield _x509(response)
        raise UnavailableError("workload_lost", "The Workload API ended the stream.")

    async def jwt_bundles(self) -> AsyncIterator[Mapping[str, bytes]]:
        """The JWT bundles (JWK sets) by the SPIFFE ID of their trust domain, now and with each change. Raises: as `x509_svids`."""
        with _told(self._path):
            async for response in self._streamed(FETCH_JWT_BUNDLES):
                yield dict(response.bundles)
        raise UnavailableError("workload_lost", "The Workload API ended the stream.")

    async def jwt_svids(self, audience: tuple[str, ...], spiffe_id: str = "") -> tuple[FetchedJwt, ...]:
        """A JWT-SVID for each identity, or for the one named. Raises: as `x509_svids`."""
        with _told(self._path):
            method = FETCH_JWT_SVID
            call = UnaryUnaryMethod[Any, Any](self._open, method.path, method.request, method.response)
            response = await call(method.request(audience=audience, spiffe_id=spiffe_id), metadata=_METADATA)
            return tuple(FetchedJwt(one.spiffe_id, one.hint, one.svid) for one in response.svids)

    @property
    def _open(self) -> Channel:
        if self._channel is None:
            raise UnavailableError("workload_unreachable", "The client is not open.")
        return self._channel

    async def _streamed(self, method: WorkloadMethod) -> AsyncIterator[Any]:
        call = UnaryStreamMethod[Any, Any](self._open, method.path, method.request, method.response)
        async with call.open(metadata=_METADATA) as stream:
            await stream.send_message(method.request(), end=True)
            async for response in stream:
                yield response


def _x509(response: Any) -> tuple[FetchedX509, ...]:  # noqa: ANN401 - a message made at run time
    try:
        federated = {name: _pem(der) for name, der in response.federated_bundles.items()}
        found = []
        for one in response.svids:
            key = load_der_private_key(one.x509_svid_key, None)
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            found.append(FetchedX509(one.spiffe_id, one.hint, _pem(one.x509_svid), pem, _pem(one.bundle), federated))
    except (ValueError, TypeError) as error:
        raise BadInputError("workload_answer_bad", f"The Workload API's answer cannot be read: {error}") from None
    if not found:
        raise RefusedError("workload_no_identity", "The Workload API gave no identity.", _ENTRY)
    return tuple(found)


def _pem(several: bytes) -> bytes:
    """Certificates that follow each other, DER, as PEM."""
    found = []
    while several:
        size = _length(several)
        found.append(x509.load_der_x509_certificate(several[:size]).public_bytes(Encoding.PEM))
        several = several[size:]
    return b"".join(found)


def _length(der: bytes) -> int:
    """How long the DER element is that begins here (X.690 §8.1.3)."""
    if len(der) < 2:  # noqa: PLR2004 - tag and length
        raise ValueError("a certificate is cut off")
    first = der[1]
    more = first & 0x7F if first & 0x80 else 0
    size = int.from_bytes(der[2 : 2 + more]) if more else first
    if size + 2 + more > len(der):
        raise ValueError("a certificate is cut off")
    return size + 2 + more


_ENTRY = "Ask an admin for a registration entry: jittrust identity entry add."


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except GRPCError as error:
        raise _answered(error) from None
    except (OSError, StreamTerminatedError, TimeoutError) as error:
        raise UnavailableError(
            "workload_unreachable",
            f"No Workload API answers at {path}: {error}",
            "Start the broker, or say where it listens: SPIFFE_ENDPOINT_SOCKET=unix:///path/workload.sock.",
        ) from None


def _answered(error: GRPCError) -> JitError:
    said = str(error.message or error.status.name)
    if error.status is Status.PERMISSION_DENIED:
        return RefusedError("workload_no_identity", f"The Workload API gives no identity here: {said}", _ENTRY)
    if error.status is Status.INVALID_ARGUMENT:
        return BadInputError("workload_request_bad", f"The Workload API does not take the request: {said}")
    return UnavailableError("workload_lost", f"The Workload API cannot answer: {said}")
