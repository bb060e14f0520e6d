"""Questions to a person that an enforcement point puts on an agent's behalf (AuthZEN access requests). In process only."""

from __future__ import annotations

from typing import Protocol

from jittrust.core.approval import Approval
from jittrust.core.model import Evaluation


class AccessRequests(Protocol):
    """Asks a person about one call, tells how the question stands, takes it back. It never lets anything through by itself."""

    async def open(self, ask: Evaluation, mission: str) -> Approval:
        """Put exactly this call before a person, durable and recorded; the same call asked twice is one question.

        Args:
            ask: the call; judged once more, and asked only where a person's yes would let it through.
            mission: whose call it is; empty = the newest of the agent's that is in force.

        Raises:
            NotFoundError: code `mission_unknown`.
            RefusedError: code `not_requestable`: no person's yes would help, or none is needed; `questions_too_many`.
        """
        ...

    async def find(self, approval: str) -> Approval:
        """How it stands. Raises NotFoundError: code `approval_unknown`."""
        ...

    async def cancel(self, approval: str, by: str) -> Approval:
        """Take it back; answered as no by `by`.

        Raises:
            NotFoundError: code `approval_unknown`.
            ConflictError: code `approval_closed`: answered, used or expired.
        """
        ...
