"""Whether a call that has gone out may go on: what its grant stood for when it began must still stand."""

from __future__ import annotations

from collections.abc import Iterable

from jittrust.core.grant.grant import Grant
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.units import Instant

_TAKEN = frozenset({GrantState.SUSPENDED, GrantState.REVOKED, GrantState.REUSED})
_STOPPED = frozenset({SessionState.SUSPENDED, SessionState.KILLED})
# Beyond the life of its grant a call needs more than not being stopped: it would not get a new grant of the same size either.
_RENEWS = frozenset({SessionState.NORMAL, SessionState.FLAGGED})


def lease_lost(
    mission: Mission | None, standing: Standing | None, grant: Grant | None, above: Iterable[Grant | None], now: Instant
) -> str:
    """Why a call under way must be cut; empty when it may go on.

    A grant whose time or gas has run out does not cut what it has paid for: the call goes on as long as the session stands well enough to have
    its grant renewed.

    Args:
        mission: the call's mission.
        standing: how the session stands; None as long as nothing was counted.
        grant: the call's grant.
        above: the grants it was carved from, None for one that is unknown.
        now: the time.
    """
    if mission is None or grant is None:
        return "its mission or grant is gone"
    if mission.state is not MissionState.ACTIVE:
        return f"the mission is {mission.state}"
    if now >= mission.expires:
        return "the mission has run out"
    state = SessionState.NORMAL if standing is None else standing.state
    if state in _STOPPED:
        return f"the session is {state}"
    if grant.state in _TAKEN:
        return f"the grant is {grant.state}"
    if any(one is None or one.state in _TAKEN for one in above):
        return "a grant it was carved from has ended"
    if now >= grant.expires and state not in _RENEWS:
        return f"the grant has run out, and the session is {state}"
    return ""
