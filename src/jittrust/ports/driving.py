"""The faces a broker shows to enforcement points and APIs, in one bundle."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.ports.approvals import Approvals
from jittrust.ports.decision_point import DecisionPoint
from jittrust.ports.grants import Grants
from jittrust.ports.ledger_view import LedgerView
from jittrust.ports.missions import Missions
from jittrust.ports.registry import Registry


@dataclass(frozen=True, slots=True)
class Driving:
    """Everything that may be asked of a broker, in process or through its socket."""

    decisions: DecisionPoint
    missions: Missions
    grants: Grants
    approvals: Approvals
    registry: Registry
    ledger: LedgerView
