"""Ephemeral access grants: ask for one, open a lane, look, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.authority.map import AuthorityMap
from jittrust.core.grant.grant import Grant, PassBinding, Shown, Strictness
from jittrust.core.units import Gas, Seconds


@dataclass(frozen=True, slots=True)
class NewGrant:
    """What is asked for. `request` is the caller's idempotency key: asking again gives the same grant and its newest pass, never a second one.

    `mission` empty = the person's current mission. `jkt` (thumbprint of the enrolled key) is required for binding DPOP; `x5t` binds a grant whose
    passes the enforcement point keeps to a client certificate. `uses`: most calls; None = as many as the gas pays for. `authority`: less than the
    mission's map; None = all of it. `client`: OAuth client that asks, empty = the agent. `may_act`: see `Grant`.
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
    client: str = ""
    x5t: str = ""
    uses: int | None = None
    authority: AuthorityMap | None = None
    may_act: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChildGrant:
    """A part of a grant for another agent. Everything but the agent's own key must be inside the parent's.

    `parent`: grant id. `server` empty = the parent's. `gas`, `uses`, `ttl` None = as much as the parent has, gas: half of it. `authority` None = the
    parent's. `request`: idempotency key, as in `NewGrant`. `task`: what the child's agent is asked to do, at most 2,000 characters; it is measured
    against the person's goal and is no part of it. Empty = nothing was said.
    """

    parent: str
    agent: str
    jkt: str = ""
    x5t: str = ""
    server: str = ""
    gas: Gas | None = None
    uses: int | None = None
    ttl: Seconds | None = None
    lanes: int = 1
    authority: AuthorityMap | None = None
    may_act: tuple[str, ...] = ()
    client: str = ""
    request: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class IssuedGrant:
    """A grant with its access token (`at+jwt`) and, for DPoP, the first pass. Both are secrets.

    `next_pass`: with a child that its parent's holder asked for, the pass the parent's lane takes next; else None.
    """

    grant: Grant
    token: str
    first_pass: str | None
    next_pass: str | None = None


class Grants(Protocol):
    """The life of grants, from opening to the end."""

    async def open(self, new: NewGrant) -> IssuedGrant:
        """Issue a grant, durable and recorded before it is returned; idempotent by `request`.

        Raises:
            RefusedError: code `mission_not_active`, `trust_too_low`, `lanes_too_many`, `not_narrower` (an own authority outside the mission's map).
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

    async def delegate(self, child: ChildGrant, shown: Shown | None) -> IssuedGrant:
        """Carve a child grant out of a parent, durable and recorded before it is returned; idempotent by `request`.

        Args:
            child: what is asked for.
            shown: what the parent's holder showed: a live pass of it is spent. None: the child's agent asks by itself, and must be among the
                parent's `may_act`.

        Raises:
            RefusedError: code `not_narrower`, `may_not_act`, `depth_exhausted`, `mission_not_active`, `identity_not_active`, `grant_not_active`,
                `stopped`, `narrowing_forbids` (a narrowed token was shown), `invalid_token` (it is not the parent's), `request_reused`.
            GasExhaustedError: code `gas_exhausted`, `uses_exhausted`: the parent has not so much left.
            BadInputError: what is asked for means nothing (`grant_key`, `bad_number`, `bad_name`, `bad_authority`, `bad_task`).
            PassSupersededError: the pass shown is not live.
            NotFoundError: code `grant_unknown`.
        """
        ...

    async def list(self, mission: str = "") -> Sequence[Grant]:
        """All grants, newest first; of one mission when named."""
        ...

    async def revoke(self, grant: str, why: str, by: str) -> Grant:
        """End a grant, and with it at once everything that was carved from it. Raises NotFoundError: code `grant_unknown`."""
        ...
