"""The kill switch: what was stopped, until a person lifts it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.units import Instant


class StopScope(StrEnum):
    """How much is stopped."""

    AGENT = "agent"
    MISSION = "mission"
    GRANT = "grant"
    CHAIN = "chain"  # a grant and everything carved from it
    EVERYTHING = "everything"


EVERYTHING = "*"
"""Target of a stop of everything."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One pull of the kill switch. While it stands, nothing of its target goes out and nothing new is opened for it.

    `id` is `scope:target`, so that there is one for each target. `lifted` is when a person ended it, None while it stands.
    """

    id: str
    scope: StopScope
    target: str
    why: str
    by: str
    since: Instant
    lifted: Instant | None = None
    revision: int = 1

    @property
    def stands(self) -> bool:
        """Whether it is in force."""
        return self.lifted is None
