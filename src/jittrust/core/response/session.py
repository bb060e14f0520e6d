"""Life of an agent's session under a mission, as the response ladder moves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.units import Instant, Score


class SessionState(StrEnum):
    """What the graduated response has made of the session."""

    NORMAL = "normal"
    FLAGGED = "flagged"
    NARROWED = "narrowed"
    SUSPENDED = "suspended"
    KILLED = "killed"


SESSION_MOVES: Mapping[SessionState, frozenset[SessionState]] = {
    SessionState.NORMAL: frozenset(
        {SessionState.FLAGGED, SessionState.NARROWED, SessionState.SUSPENDED, SessionState.KILLED}
    ),
    SessionState.FLAGGED: frozenset(
        {SessionState.NORMAL, SessionState.NARROWED, SessionState.SUSPENDED, SessionState.KILLED}
    ),
    SessionState.NARROWED: frozenset(
        {SessionState.FLAGGED, SessionState.NORMAL, SessionState.SUSPENDED, SessionState.KILLED}
    ),
    SessionState.SUSPENDED: frozenset({SessionState.NORMAL, SessionState.NARROWED, SessionState.KILLED}),
    SessionState.KILLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How an agent stands under one mission: its trust and the response in force.

    Attributes:
        trust: 0..100; falls fast, comes back slowly; never shown to the agent.
        state: response in force.
        strikes: losses that counted, in this mission; never fewer, and each lowers what trust can come back to.
        clean: clean calls since the last strike (hysteresis: a level is left only after enough of them).
        calls, refused: totals.
        moved: when the state last changed.
    """

    trust: Score
    state: SessionState
    strikes: int = 0
    clean: int = 0
    calls: int = 0
    refused: int = 0
    moved: Instant = Instant(0)
