"""The one registry of people, agents, workloads and workflows: for people and admins, never for agents."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.broker.grants import GrantBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.missions import MissionBook
from jittrust.broker.state import State
from jittrust.core.identity.identity import Blueprint, Identity
from jittrust.ports.identities import IdentityChange, IdentityQuery, IdentityView, NewIdentity


class IdentityBook:
    """Registers, shows and changes identities."""

    def __init__(self, state: State, grants: GrantBook, missions: MissionBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._grants = grants
        self._missions = missions
        self._parts = parts

    async def list(self, query: IdentityQuery) -> Sequence[Identity]:
        """See `Identities.list`."""
        raise NotImplementedError

    async def show(self, name: str) -> IdentityView:
        """See `Identities.show`."""
        raise NotImplementedError

    async def enrol(self, new: NewIdentity) -> Identity:
        """See `Identities.enrol`."""
        raise NotImplementedError

    async def change(self, name: str, change: IdentityChange) -> IdentityView:
        """See `Identities.change`."""
        raise NotImplementedError

    async def draw(self, blueprint: Blueprint) -> Blueprint:
        """See `Identities.draw`."""
        raise NotImplementedError
