"""The tool list of one server as one client may see it: read whole, pinned, narrowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from jittrust.core.authority.pin import definition_hash
from jittrust.core.errors import UnavailableError
from jittrust.core.model import Json
from jittrust.pep.mcp import jsonrpc, translate
from jittrust.pep.mcp.jsonrpc import Message, MessageKind
from jittrust.ports.registry import ToolStanding

_MOST_PAGES = 200
_MOST_TOOLS = 5000
Definitions = dict[str, list[Mapping[str, Json]]]
Show = Callable[[Sequence[Mapping[str, Json]]], Awaitable[Sequence[ToolStanding]]]


class UpstreamFace(Protocol):
    """How the gate asks the server something of its own."""

    async def ask(self, method: str, params: Mapping[str, Json], timeout: float) -> Message:
        """Send a request under an id that no client can have, and return the response.

        Raises:
            UnavailableError: no answer within `timeout` seconds, or the server is gone.
        """
        ...


class ToolListing:
    """What a server lists, as far as it has been read, and what of it may be listed on.

    Attributes:
        offered: whether the server said that it has tools.
        envelope: `_meta` of the client's last stateless request; None in a legacy session.
    """

    def __init__(self, upstream: UpstreamFace, show: Show, upstream_s: float, repin_s: float) -> None:
        """Nothing is read yet; `show` gives definitions to the broker and says how each stands."""
        self.offered = True
        self.envelope: Mapping[str, Json] | None = None
        self._upstream = upstream
        self._show = show
        self._upstream_s = upstream_s
        self._repin_s = repin_s
        self._changes = 1  # how often the server's list is known to have changed, the first sight included
        self._read = 0  # up to which of these changes it has been read
        self._verified = True
        self._pinned_at: float | None = None
        self._pin_lock = asyncio.Lock()
        self._definitions: Definitions = {}
        self._hashes: dict[str, str] = {}
        self._listed: frozenset[str] = frozenset()

    def changed(self) -> None:
        """The server said that its list has changed."""
        self._changes += 1

    async def show_again(self) -> bool:
        """Show the broker once more what was read; whether other tools may be listed now."""
        if self._pinned_at is None:
            return False
        async with self._pin_lock:
            return await self._pin()

    async def ready(self) -> None:
        """Before a tool is called: its server's definitions are known, and not old.

        Raises:
            UnavailableError: code `tools_not_verified`: the server said that its tools changed and does not list them.
        """
        now = asyncio.get_running_loop().time()
        if self._pinned_at is not None and now - self._pinned_at > self._repin_s:
            self._changes += 1
        await self.fresh()
        if not self._verified:
            words = "the server changed its tools and does not list them"
            raise UnavailableError("tools_not_verified", words, "Go on without this server.")

    async def fresh(self) -> None:
        """Read and pin the server's whole tool list, unless that was done since it last changed."""
        if self._read >= self._changes or not self.offered:
            return
        async with self._pin_lock:
            upto = self._changes
            if self._read >= upto:
                return
            try:
                found = await self._read_tools()
            except UnavailableError:
                # At first sight nothing is pinned and the broker refuses what it does not know; later an old pin must not stand in.
                self._verified = self._pinned_at is None
                return
            self._definitions = found
            await self._pin()
            self._verified = True
            self._read = upto
            self._pinned_at = asyncio.get_running_loop().time()

    async def _read_tools(self) -> Definitions:
        found: Definitions = {}
        cursor: Json = None
        for _ in range(_MOST_PAGES):
            params: dict[str, Json] = {} if cursor is None else {"cursor": cursor}
            if self.envelope is not None:
                params["_meta"] = _own_envelope(self.envelope)
            answer = await self._upstream.ask("tools/list", params, self._upstream_s)
            if answer.kind is not MessageKind.RESULT:
                break  # it has no tools, or will not say so
            _add(found, translate.definitions(answer))
            cursor = answer.result.get("nextCursor")
            if cursor is None or len(found) > _MOST_TOOLS:
                break
        return found

    async def _pin(self) -> bool:
        """Show the broker every definition; whether the set of listed tools became another."""
        shown = [definition for versions in self._definitions.values() for definition in versions]
        standings = await self._show(shown)
        refused = {standing.tool for standing in standings if not standing.listed}
        listed = frozenset(standing.tool for standing in standings if standing.listed) - refused
        # One name with two definitions in one list is no definition at all.
        listed -= {name for name, versions in self._definitions.items() if len(versions) > 1}
        before, self._listed = self._listed, listed
        self._hashes = {name: definition_hash(versions[-1]) for name, versions in self._definitions.items()}
        return before != listed

    async def narrowed(self, message: Message, answer: Message) -> bytes:
        """The list as this client may see it. Definitions that differ from what the gate itself was shown are pinned first."""
        page: Definitions = {}
        _add(page, translate.definitions(answer))
        seen = {name: [definition_hash(version) for version in versions] for name, versions in page.items()}
        if any(hashes != [self._hashes.get(name)] for name, hashes in seen.items()) or self._pinned_at is None:
            async with self._pin_lock:
                self._definitions |= page
                await self._pin()
                if self._pinned_at is None:
                    self._pinned_at = asyncio.get_running_loop().time()
        return translate.narrowed_listing(answer, self._listed.__contains__, modern=message.modern)


def _add(found: Definitions, tools: Sequence[Mapping[str, Json]]) -> None:
    for tool in tools:
        versions = found.setdefault(str(tool["name"]), [])
        if tool not in versions:
            versions.append(tool)


def _own_envelope(envelope: Mapping[str, Json]) -> Mapping[str, Json]:
    prefix = jsonrpc.MCP_META
    return {
        prefix + "protocolVersion": envelope.get(prefix + "protocolVersion", jsonrpc.MODERN),
        prefix + "clientCapabilities": {},
        prefix + "clientInfo": {"name": "jittrust", "version": "0"},
    }
