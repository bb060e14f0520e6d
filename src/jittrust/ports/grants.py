"""Ephemeral access grants: ask for one, open a lane, look, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.grant.grant import Grant, PassBinding, Shown, Strictness
from jittrust.core.units import Gas, Seconds


@dataclass(frozen=True, slots=True)
class NewGrant:
    """What is asked for. `request` is the caller's idempotency key: asking again gives the same grant and its newest pass, never a second one.

    `mission` empty = the person's current mission. `jkt` (thumbprint of the enrolled key) is required for binding DPOP.
    """

    person: str
    agent: str
    server: str
    binding: PassBinding
    jkt: str = ""
    strictness: Strictness = Strictness.STOCK
    mission: str = ""
    gas: Gas | None = None
    ttl: Seconds | None = None
    lanes: int = 1
    request: str = ""


@dataclass(frozen=True, slots=True)
class IssuedGrant:
    """A grant with its access token (`at+jwt`) and, for DPoP, the first pass. Both are secrets."""

    grant: Grant
    token: str
    first_pass: str | None


class Grants(Protocol):
    """The life of grants."""

    async def open(self, new: NewGrant) -> IssuedGrant:
        """Issue a grant, durable and recorded before it is returned; idempotent by `request`.

        Raises:
            RefusedError: code `mission_not_active`, `trust_too_low`, `lanes_too_many`.
        """
        ...

    async def open_lane(self, shown: Shown) -> tuple[int, str, str]:
        """Open one more lane of the grant: a recorded call that spends a live pass of an open lane.

        Returns its number, its first pass, and the next pass of the lane that asked. The pass shown is dead from then on, so that a second
        holder of the key cannot take a lane of his own unnoticed.

        Raises:
            RefusedError: code `lanes_exhausted`.
            PassSupersededError: the pass shown is not live.
        """
        ...

    async def list(self, mission: str = "") -> Sequence[Grant]:
        """All grants, newest first; of one mission when named."""
        ...

    async def revoke(self, grant: str, why: str, by: str) -> Grant:
        """End a grant and its family at once. Raises NotFoundError: code `grant_unknown`."""
        ...
