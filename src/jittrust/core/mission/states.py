"""Life of a mission: one approved goal. The four ends are those of the OAuth WG mission drafts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class MissionState(StrEnum):
    """Where a mission stands."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    WITHDRAWN = "withdrawn"
    TERMINATED = "terminated"
    EXPIRED = "expired"


ENDED = frozenset({MissionState.COMPLETED, MissionState.WITHDRAWN, MissionState.TERMINATED, MissionState.EXPIRED})

MISSION_MOVES: Mapping[MissionState, frozenset[MissionState]] = {
    MissionState.PROPOSED: frozenset({MissionState.APPROVED, MissionState.WITHDRAWN, MissionState.EXPIRED}),
    MissionState.APPROVED: frozenset(
        {MissionState.ACTIVE, MissionState.WITHDRAWN, MissionState.TERMINATED, MissionState.EXPIRED}
    ),
    MissionState.ACTIVE: frozenset({MissionState.SUSPENDED, *ENDED}),
    MissionState.SUSPENDED: frozenset({MissionState.ACTIVE, *ENDED}),
    MissionState.COMPLETED: frozenset(),
    MissionState.WITHDRAWN: frozenset(),
    MissionState.TERMINATED: frozenset(),
    MissionState.EXPIRED: frozenset(),
}
