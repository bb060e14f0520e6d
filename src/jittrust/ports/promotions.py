"""From observe to enforce: for people, never for agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jittrust.core.mission.mission import Mission
from jittrust.core.mission.promotion import Promotion


class Promotions(Protocol):
    """Ends observing, for one mission or for one agent."""

    async def enforce_mission(self, mission: str, why: str, by: str, pin: str) -> Mission:
        """Judge an observed mission in earnest from now on. A session that would have been stopped begins narrowed, as one that a person resumed.

        Raises:
            NotFoundError: code `mission_unknown`.
            ConflictError: code `mission_ended`, `not_observed`.
            BadInputError: code `reason_needed`.
            RefusedError: as `PinCheck.check`.
        """
        ...

    async def enforce_agent(self, agent: str, why: str, by: str, pin: str) -> Promotion:
        """Judge an agent in earnest from now on, whatever its enforcement points or `policy.observe` say. Twice changes nothing.

        Raises:
            BadInputError: code `reason_needed`, `target_bad`.
            RefusedError: as `PinCheck.check`.
        """
        ...

    async def release(self, agent: str, why: str, by: str, pin: str) -> Promotion:
        """Let it be only observed again where it says so.

        Raises:
            NotFoundError: code `promotion_none`.
            BadInputError: code `reason_needed`.
            RefusedError: as `PinCheck.check`.
        """
        ...

    async def list(self) -> Sequence[Promotion]:
        """All promotions, those that ended too, newest first."""
        ...
