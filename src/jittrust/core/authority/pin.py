"""Pinning of tool definitions: what the model sees is what a person approved (rug pull, A→B→A, a list per client)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.model import Json
from jittrust.core.units import Instant

# Everything a model can read of a tool. Unknown members count too: a field nobody knows today is read tomorrow. `_meta` is left out because
# servers put per-request data there and clients do not show it to the model.
_NOT_DEFINITION = frozenset({"_meta"})


class PinState(StrEnum):
    """How a tool's definition stands."""

    PINNED = "pinned"
    CHANGED = "changed"  # differs from what was approved: blocked until a person approves, also if it changes back


@dataclass(frozen=True, slots=True)
class ToolPin:
    """The approved definition of one tool of one server.

    `pin` is the approved hash, `seen` the last hash the server showed, `definition` the approved definition as canonical JSON.
    """

    server: str
    tool: str
    pin: str
    seen: str
    state: PinState
    definition: str
    first_seen: Instant
    approved_by: str = ""


def definition_hash(definition: Mapping[str, Json]) -> str:
    """SHA-256 (64 hex digits) of a tool definition: sorted members, no white space, every nested member, `_meta` left out."""
    return _hash(shown_definition(definition))


def shown_definition(definition: Mapping[str, Json]) -> str:
    """What a pin is the hash of: the definition in its one spelling, `_meta` left out."""
    return canonical_definition({name: value for name, value in definition.items() if name not in _NOT_DEFINITION})


def _hash(spelled: str) -> str:
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()


def canonical_definition(definition: Mapping[str, Json]) -> str:
    """One spelling for one definition: members sorted, no white space, UTF-8."""
    return json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def judge_definition(
    known: ToolPin | None, server: str, tool: str, definition: Mapping[str, Json], now: Instant, spelled: str = ""
) -> ToolPin:
    """Return the pin after the server showed `definition`.

    First sight pins. The same hash leaves a pinned tool pinned. Another hash marks the tool changed, and it stays changed, even when the old
    definition comes back, until a person approves: a server that flips between two definitions is exactly the attack (A→B→A).
    `spelled`: `shown_definition` of it, where that is known already.
    """
    seen = _hash(spelled or shown_definition(definition))
    if known is None:
        return ToolPin(
            server,
            tool,
            seen,
            seen,
            PinState.PINNED,
            spelled if spelled and "_meta" not in definition else canonical_definition(definition),
            now,
            "policy:first_sight",
        )
    if known.state is PinState.PINNED and seen == known.pin:
        return known
    return ToolPin(
        server, tool, known.pin, seen, PinState.CHANGED, known.definition, known.first_seen, known.approved_by
    )
