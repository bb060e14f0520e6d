"""`ports.decision_point` over the broker's socket."""

from __future__ import annotations

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.grant.grant import Shown
from jittrust.core.model import Evaluation
from jittrust.core.units import Seconds
from jittrust.ports.decision_point import Decision, Learned, Lease, Outcome


class SocketDecisionPoint:
    """`DecisionPoint` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def evaluate(self, ask: Evaluation, shown: Shown) -> Decision:
        told: Decision = await self._connection.call("decisions.evaluate", ask=ask, shown=shown)
        return told

    async def settle(self, evaluation: str, outcome: Outcome) -> Learned:
        told: Learned = await self._connection.call("decisions.settle", evaluation=evaluation, outcome=outcome)
        return told

    async def lease(self, evaluation: str, timeout: Seconds) -> Lease:
        told: Lease = await self._connection.call("decisions.lease", evaluation=evaluation, timeout=timeout)
        return told
