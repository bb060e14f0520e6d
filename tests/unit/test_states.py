"""Life cycles are tables: what has ended stays ended."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from jittrust.core.approval import APPROVAL_MOVES, ApprovalState
from jittrust.core.errors import ConflictError
from jittrust.core.grant.states import GRANT_MOVES, GrantState
from jittrust.core.mission.states import ENDED, MISSION_MOVES, MissionState
from jittrust.core.response.session import SESSION_MOVES, SessionState
from jittrust.core.states import diagram, move

TABLES: list[tuple[type[StrEnum], Mapping[Any, frozenset[Any]], set[Any]]] = [
    (MissionState, MISSION_MOVES, set(ENDED)),
    (GrantState, GRANT_MOVES, {GrantState.SPENT, GrantState.EXPIRED, GrantState.REVOKED, GrantState.REUSED}),
    (ApprovalState, APPROVAL_MOVES, {ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.USED}),
    (SessionState, SESSION_MOVES, {SessionState.KILLED}),
]
EACH = pytest.mark.parametrize(("states", "table", "ends"), TABLES)


@EACH
def test_every_state_has_a_row_and_only_the_ends_lead_nowhere(
    states: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]], ends: set[StrEnum]
) -> None:
    assert set(table) == set(states)
    assert {state for state, targets in table.items() if not targets} == ends


@EACH
def test_a_move_that_the_table_does_not_name_is_refused(
    states: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]], ends: set[StrEnum]
) -> None:
    for now in states:
        for to in states:
            if to in table[now]:
                assert move(table, now, to) is to
            else:
                with pytest.raises(ConflictError, match="illegal_move"):
                    move(table, now, to)


@EACH
def test_the_diagram_has_one_arrow_a_move(
    states: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]], ends: set[StrEnum]
) -> None:
    assert diagram(table).count("-->") == sum(len(targets) for targets in table.values())
