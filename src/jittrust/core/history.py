"""What an agent usually does: counts of its own calls, the ground of factor C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class History:
    """Counts over the agent's calls that went through, all its missions, newest included.

    Attributes:
        calls: all calls.
        by_tool: calls by `server/name`.
        by_intent: calls by intent code (`K.read` …).
        after: calls by (`previous tool`, `tool`) inside a mission; the key of the first call is (`""`, tool).
        by_value: calls by tool, argument and digest of the value, joined by U+001F, for values that name a resource (host, path, person).
        last_tool: the tool called last in this mission; empty before the first.
    """

    calls: int = 0
    by_tool: Mapping[str, int] = field(default_factory=dict)
    by_intent: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[tuple[str, str], int] = field(default_factory=dict)
    by_value: Mapping[str, int] = field(default_factory=dict)
    last_tool: str = ""
