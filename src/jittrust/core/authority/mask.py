"""The hat that a mission wears: what kinds of acts its map is for, under one short name. It says nothing that the map does not allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.intent.reading import classify
from jittrust.core.intent.taxonomy import Layer
from jittrust.core.model import Tool

NO_ROLE = "none"
"""Name of the mask of a map that lets nothing through."""

# In the order in which the names are joined: what harms least first.
_NAMES: Mapping[Layer, str] = {
    Layer.KNOWLEDGE: "reader",
    Layer.DATA: "editor",
    Layer.COMMUNICATION: "sender",
    Layer.TRANSACTION: "buyer",
    Layer.AGENT: "delegator",
    Layer.EXECUTION: "operator",
    Layer.IDENTITY: "administrator",
    Layer.OVERSIGHT: "overseer",
}
_CALL = "tools/call"
_READ = "K.read"


@dataclass(frozen=True, slots=True)
class RoleMask:
    """A role worn for one mission.

    Attributes:
        name: names of its kinds of acts joined by `+`, for example `reader+sender`; `none` for a map that lets nothing through.
        codes: taxonomy codes of the acts that the approved tools can do.
        tools: the approved tools, `server/name`.
    """

    name: str
    codes: frozenset[str]
    tools: frozenset[str]

    def covers(self, code: str) -> bool:
        """Whether an act with this taxonomy code is in the role. The first one that is not makes the mask fall off."""
        return code in self.codes


def mask_of(entries: Iterable[AuthorityEntry], tools: Mapping[str, Tool]) -> RoleMask:
    """The mask that the approved ones among `entries` make.

    `tools`: definitions by `server/name`; one that is not known is read by its name alone, and so counts as one with consequences unless the
    name itself says otherwise.
    """
    codes: set[str] = set()
    names: set[str] = set()
    for entry in entries:
        if entry.state is not EntryState.APPROVED:
            continue
        names.add(entry.tool)
        if entry.action != _CALL:
            codes.add(_READ)
            continue
        server, _, name = entry.tool.partition("/")
        codes.add(classify(tools.get(entry.tool) or Tool(server, name, ""), {}).intent)
    layers = {Layer(code.partition(".")[0]) for code in codes}
    name = "+".join(word for layer, word in _NAMES.items() if layer in layers)
    return RoleMask(name or NO_ROLE, frozenset(codes), frozenset(names))
