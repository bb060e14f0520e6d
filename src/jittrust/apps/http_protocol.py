"""uvicorn's HTTP/1.1 protocol with two bounds that it lacks: how long a request's head may be, and how long it may take to come."""

from __future__ import annotations

import _ssl
import asyncio
import ssl
import sys
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jittrust.core.problem import PROBLEM_TYPE, problem

HEAD_BYTES = 64 * 1024
"""Longest request line and headers together. A token has at most 8 KiB, a proof 4 KiB, and each header of a stock client less than that."""
HEAD_SECONDS = 15.0
"""By when the whole head must be there, counted from the connection or from the first byte of a further request."""


def client_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates that the other side showed, DER, leaf first, as the handshake verified them; empty when it showed none."""
    if tls.getpeercert(binary_form=True) is None:
        return ()
    if sys.version_info >= (3, 13):
        return tuple(tls.get_verified_chain())
    # Before 3.13 the method is there and has no public name.
    return tuple(one.public_bytes(_ssl.ENCODING_DER) for one in tls._sslobj.get_verified_chain())  # type: ignore[attr-defined]  # noqa: SLF001


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head that is too long (431) and hangs up on one that does not come: either would cost memory or a connection for ever.

    Bytes of a head are counted as they come, for the parser keeps a header that has not ended yet.
    """

    _head_open = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _client_certificate: tuple[str, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the transport: a caller has connected."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._client_certificate = tuple(map(ssl.DER_cert_to_PEM_cert, client_chain(tls)))
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport: the connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by the transport: the next bytes."""
        super().data_received(data)
        if self._head_open and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, "head_too_large", f"request line and headers may have {HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """Called by the parser: a request begins."""
        super().on_message_begin()
        if self._client_certificate:
            # As the TLS extension of ASGI has it.
            tls: dict[object, object] = {"client_cert_chain": self._client_certificate, "client_cert_error": None}
            self.scope.setdefault("extensions", {})["tls"] = tls
        self._head_open, self._head_bytes = True, 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        """Called by the parser: the head is whole."""
        self._head_open = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Called when the bytes are no HTTP; `msg` is uvicorn's."""
        self._refuse(400, "bad_http", msg)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._head_open and not self.transport.is_closing():
            self._refuse(408, "head_too_slow", f"the request was not there after {HEAD_SECONDS:g} s")

    def _refuse(self, status: int, code: str, words: str) -> None:
        body = problem(status, code, words)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {PROBLEM_TYPE}\r\ncache-control: no-store\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
