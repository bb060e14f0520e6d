"""Contracts of missions: what a goal opens, in one signed object. For people; never for agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jittrust.core.mission.contract import Contract, SignedContract
from jittrust.core.model import Tool


class Contracts(Protocol):
    """Makes and reads signed contracts."""

    async def plan(self, goal: str, tools: Sequence[Tool], minutes: int) -> SignedContract:
        """Derive a contract from a goal's words and a tool catalogue; nothing is stored. Empty `tools` = every tool pinned here.

        Raises:
            BadInputError: code `goal_empty` or `goal_too_long`.
        """
        ...

    async def of(self, mission: str) -> SignedContract:
        """The contract of a mission as it stands now.

        Raises:
            NotFoundError: code `mission_unknown`.
        """
        ...

    async def read(self, token: str) -> Contract:
        """Read a contract that this broker signed, whenever.

        Raises:
            InvalidTokenError: code `invalid_token`; its signature does not hold, or it is none.
        """
        ...
