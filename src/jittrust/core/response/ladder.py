"""Response ladder with hysteresis: from trust and the verdict to what happens to the session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jittrust.core.model import Response
from jittrust.core.response.session import SESSION_MOVES, SessionState, Standing
from jittrust.core.units import Instant


@dataclass(frozen=True, slots=True)
class LadderRules:
    """Trust below which a level is entered, how far above it must be to leave it, and how many clean calls that takes.

    Every number has a row in docs/scoring.md.
    """

    flag_below: float = 70.0
    narrow_below: float = 55.0
    suspend_below: float = 35.0
    kill_below: float = 8.0
    leave_margin: float = 8.0
    leave_clean: int = 5


RESPONSE_IN_FORCE: Mapping[SessionState, Response] = {
    SessionState.NORMAL: Response.NONE,
    SessionState.FLAGGED: Response.FLAG,
    SessionState.NARROWED: Response.NARROW,
    SessionState.SUSPENDED: Response.SUSPEND,
    SessionState.KILLED: Response.KILL,
}
"""What each state of a session means as a response."""

_ORDER = (SessionState.NORMAL, SessionState.FLAGGED, SessionState.NARROWED, SessionState.SUSPENDED, SessionState.KILLED)


def respond(standing: Standing, now: Instant, rules: LadderRules) -> tuple[Standing, Response]:
    """Move the session along the ladder by its trust and return the response in force.

    Down at once; up one level at a time, only from `flagged` and `narrowed`, only with `leave_margin` of trust above the level's threshold and
    `leave_clean` clean calls since the last strike. A suspended session is resumed by a person, a killed one never.
    """
    entered = _entered(standing, rules)
    now_at = _ORDER.index(standing.state)
    if _ORDER.index(entered) > now_at:
        return replace(standing, state=entered, moved=now), RESPONSE_IN_FORCE[entered]
    if standing.state in (SessionState.FLAGGED, SessionState.NARROWED) and _may_leave(standing, rules):
        better = _ORDER[now_at - 1]
        return replace(standing, state=better, clean=0, moved=now), RESPONSE_IN_FORCE[better]
    return standing, RESPONSE_IN_FORCE[standing.state]


def resumed(standing: Standing, now: Instant, rules: LadderRules) -> Standing:
    """The standing after a person let a suspended session go on: narrowed, with just enough trust not to fall back at once.

    A killed session is returned unchanged, because nothing resumes it.
    """
    if SessionState.NARROWED not in SESSION_MOVES[standing.state]:
        return standing
    trust = max(standing.trust, type(standing.trust)(rules.suspend_below + rules.leave_margin))
    return replace(standing, state=SessionState.NARROWED, trust=trust, clean=0, moved=now)


def _entered(standing: Standing, rules: LadderRules) -> SessionState:
    levels = (
        (rules.kill_below, SessionState.KILLED),
        (rules.suspend_below, SessionState.SUSPENDED),
        (rules.narrow_below, SessionState.NARROWED),
        (rules.flag_below, SessionState.FLAGGED),
    )
    return next((state for below, state in levels if standing.trust < below), SessionState.NORMAL)


def _may_leave(standing: Standing, rules: LadderRules) -> bool:
    threshold = rules.flag_below if standing.state is SessionState.FLAGGED else rules.narrow_below
    return standing.trust >= threshold + rules.leave_margin and standing.clean >= rules.leave_clean
