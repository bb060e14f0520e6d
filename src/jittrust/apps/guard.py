"""Who may knock: the `Host` and `Origin` checks in front of everything that `jittrust serve` mounts.

A page on the web can make its own name resolve to 127.0.0.1 (DNS rebinding) and then talk to a local server as if it were its own. The names
it must use give it away: `Host` is its name, `Origin` its origin. Both are looked at before anything else, on every path.
"""

from __future__ import annotations

from collections.abc import Iterable

from jittrust.pep.asgi import AsgiApp, Receive, Scope, Send, answer_problem, header_values

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


class HostGuard:
    """ASGI middleware. Refusals are problem details: 400 `host_missing`, `header_repeated`; 403 `host_not_allowed`, `origin_not_allowed`."""

    def __init__(self, app: AsgiApp, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        """Guard `app`.

        Args:
            app: what is guarded.
            hosts: names taken besides those of the loopback device; a name without a port goes with every port.
            origins: web origins taken besides the server's own, such as `http://localhost:3000`.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts) | LOOPBACK_NAMES
        self._origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is asked under one of our own names."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        hosts, origins = header_values(scope, b"host"), header_values(scope, b"origin")
        if len(hosts) > 1 or len(origins) > 1:
            await answer_problem(send, 400, "header_repeated", "Host and Origin may come once")
        elif not hosts:
            await answer_problem(send, 400, "host_missing", "the request names no Host")
        elif not self._known_host(host := hosts[0].decode("latin-1").lower()):
            await answer_problem(
                send, 403, "host_not_allowed", "this server does not answer to that host name",
                "Use 127.0.0.1 or localhost, or add the name to listen.allowed_hosts.",
            )  # fmt: skip
        elif (
            origins and not _for_everybody(scope) and not self._known_origin(origins[0].decode("latin-1").lower(), host)
        ):
            await answer_problem(
                send, 403, "origin_not_allowed", "requests from that web origin are not taken",
                "Add the origin to listen.allowed_origins if it is yours.",
            )  # fmt: skip
        else:
            await self._app(scope, receive, send)

    def _known_host(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        bare = name if colon and port.isdecimal() and not (host.startswith("[") and host.endswith("]")) else host
        return host in self._hosts or bare in self._hosts

    def _known_origin(self, origin: str, host: str) -> bool:
        # The server's own pages: same name and port. `null` (a sandboxed frame, a file) is nobody's.
        return origin in self._origins or origin in {f"http://{host}", f"https://{host}"}


def _for_everybody(scope: Scope) -> bool:
    """Metadata that any page may read: it is public, and asking changes nothing."""
    return scope["method"] in {"GET", "HEAD", "OPTIONS"} and scope["path"].startswith("/.well-known/")
