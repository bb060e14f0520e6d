"""A listening socket and a server that is told when to stop."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn

from jittrust.core.errors import UnavailableError


class StoppableServer(uvicorn.Server):
    """uvicorn without its own signal handlers: what else runs here must be told first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        UnavailableError: code `port_taken` or `address_unusable`.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        code = "port_taken" if taken else "address_unusable"
        raise UnavailableError(code, f"cannot listen on {host}:{port}: {error.strerror}", "Try --port 0.") from None
