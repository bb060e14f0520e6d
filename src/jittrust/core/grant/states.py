"""Life of an ephemeral access grant."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class GrantState(StrEnum):
    """Where a grant stands. `spent` (no gas left) and the other ends are final; a new grant must be asked for."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    SPENT = "spent"
    EXPIRED = "expired"
    REVOKED = "revoked"
    REUSED = "reused"


GRANT_MOVES: Mapping[GrantState, frozenset[GrantState]] = {
    GrantState.ACTIVE: frozenset(
        {GrantState.SUSPENDED, GrantState.SPENT, GrantState.EXPIRED, GrantState.REVOKED, GrantState.REUSED}
    ),
    GrantState.SUSPENDED: frozenset({GrantState.ACTIVE, GrantState.EXPIRED, GrantState.REVOKED, GrantState.REUSED}),
    GrantState.SPENT: frozenset(),
    GrantState.EXPIRED: frozenset(),
    GrantState.REVOKED: frozenset(),
    GrantState.REUSED: frozenset(),
}
