"""The page on this machine to which a browser comes back with the answer (RFC 8252 §7.3): one path, one port, a few seconds of life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

_PATH = "/callback"
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>jittrust</title>'
    '<body style="font:16px system-ui;margin:3rem"><p>{}</p></body></html>'
)
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Returned:
    """What the browser brought. `code` is a secret."""

    state: str = field(repr=False)
    issuer: str
    code: str = field(default="", repr=False)
    error: str = ""


class LoopbackPage:
    """Serves the page while the block lasts. Only an answer with our own state counts; others are told so and change nothing."""

    def __init__(self, is_ours: Callable[[Returned], bool]) -> None:
        """`is_ours`: whether the state is the one that was sent."""
        self._is_ours = is_ours
        self._found: asyncio.Future[Returned] | None = None
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._found = asyncio.get_running_loop().create_future()
        app = web.Application(client_max_size=0)
        app.router.add_get(_PATH, self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{_PATH}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def returned(self) -> Returned:
        """The first answer that is ours."""
        if self._found is None:
            raise RuntimeError("the page is not open")
        return await self._found

    async def _answer(self, request: web.Request) -> web.Response:
        # Another site in the same browser may send people here under a name of its own (DNS rebinding).
        if request.host != self.url.partition("://")[2].removesuffix(_PATH):
            return _page(403, "This page is not for you.")
        query = request.query
        if any(len(query.getall(name)) > 1 for name in query):
            return _page(400, "This answer cannot be read.")
        error = "".join(one for one in query.get("error", "") if one.isascii() and (one.isalnum() or one == "_"))[:64]
        found = Returned(query.get("state", ""), query.get("iss", ""), query.get("code", ""), error)
        if self._found is None or not self._is_ours(found):
            return _page(400, "This answer belongs to nothing that was asked.")
        if not self._found.done():
            self._found.set_result(found)
        return _page(200, "That was all. You can close this page and go back to your agent.")


def _page(status: int, words: str) -> web.Response:
    return web.Response(status=status, text=_PAGE.format(words), content_type="text/html", headers=_HEADERS)
