"""A question to a person: may this exact call, tool definition or authority entry go through?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.units import Gas, Instant


class ApprovalState(StrEnum):
    """Where the question stands. `used` = the one call it bought has gone out."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"


APPROVAL_MOVES: Mapping[ApprovalState, frozenset[ApprovalState]] = {
    ApprovalState.WAITING: frozenset({ApprovalState.APPROVED, ApprovalState.DENIED, ApprovalState.EXPIRED}),
    ApprovalState.APPROVED: frozenset({ApprovalState.USED, ApprovalState.EXPIRED}),
    ApprovalState.DENIED: frozenset(),
    ApprovalState.EXPIRED: frozenset(),
    ApprovalState.USED: frozenset(),
}


class ApprovalKind(StrEnum):
    """What is asked."""

    CALL = "call"  # one call, bound to its digest
    TOOL_DEFINITION = "tool_definition"  # a new or changed definition, bound to its hash
    SUSPENSION = "suspension"  # may a suspended mission go on
    AUTHORITY = "authority"  # proposed entries of a mission's map


class ConfirmedBy(StrEnum):
    """How a person answered; `client` (form elicitation in the agent's own client) serves low risk only."""

    NOBODY = ""
    PIN = "pin"
    CLIENT = "client"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Approval:
    """One question and its answer.

    Attributes:
        id: `a-…`, short enough to type.
        kind: what is asked.
        mission: mission id; empty for tool definitions.
        subject: who asks (agent id).
        target: tool id, or mission id.
        digest: what exactly is approved: the call's digest, the definition's hash, the map's digest.
        text: exactly what will happen, for people, safe to print.
        why: the reasons in a sentence each.
        risk: 0..100, the call's R in per cent, whole (for the rule that elicitation serves low risk only).
        asked, expires: from when, until when it may be answered and used.
        state, answered_by, confirmed_by, answered: the answer.
        price: what the call will cost.
    """

    id: str
    kind: ApprovalKind
    mission: str
    subject: str
    target: str
    digest: str
    text: str
    why: str
    risk: int
    asked: Instant
    expires: Instant
    state: ApprovalState = ApprovalState.WAITING
    answered_by: str = ""
    confirmed_by: ConfirmedBy = ConfirmedBy.NOBODY
    answered: Instant = Instant(0)
    price: Gas = Gas(0)
