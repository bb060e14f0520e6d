"""An ephemeral access grant, its lanes, and what a caller showed.

The access token names the grant; the pass is the DPoP nonce. A pass is not stored: it is `MAC(key, generation, grant, lane, seq)`, so an
old one is recognised without a table and the same successor can always be given again (`core.grant.passes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.grant.states import GrantState
from jittrust.core.units import Gas, Instant


class Strictness(StrEnum):
    """What reuse of an old pass does: stock clients overwrite nonces out of order, ours never do."""

    STRICT = "strict"
    STOCK = "stock"


class PassBinding(StrEnum):
    """Who keeps the chain of passes."""

    DPOP = "dpop"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a mission may do now, for how long, for how much.

    Attributes:
        id: `g-…`.
        mission: mission id.
        family: id of the first grant of this delegation tree; reuse kills the family.
        agent: Subject id it was issued to.
        server: the MCP server it is for (audience); empty = every server of this broker (gateway-kept chains only).
        binding: who keeps the chain.
        jkt: RFC 7638 thumbprint of the key, for DPoP; empty for gateway-kept chains.
        strictness: what reuse does.
        state: see `states`.
        gas_left, gas_limit: spending limit in whole units.
        lanes: how many lanes may be open at once, >= 1; part of the authority.
        issued, expires: from when, until when.
        request: idempotency key under which it was asked for.
    """

    id: str
    mission: str
    family: str
    agent: str
    server: str
    binding: PassBinding
    jkt: str
    strictness: Strictness
    state: GrantState
    gas_left: Gas
    gas_limit: Gas
    lanes: int
    issued: Instant
    expires: Instant
    request: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One chain of passes of a grant.

    Attributes:
        grant, number: which lane; number 0 never closes, others close after 5 s unused.
        seq: number of the live pass; the pass shown must carry exactly this.
        issued: when the live pass was put in place (durable).
        delivered: when the live pass was handed to the caller; None until then.
        digest: digest of the request that spent `seq - 1`; empty when a challenge or the opening made the live pass.
        use: id of that request's evaluation; empty likewise.
        used_at: when it was spent.
        resends: how often its answer was given again.
        open: whether the lane takes calls.
    """

    grant: str
    number: int
    seq: int
    issued: Instant
    delivered: Instant | None = None
    digest: str = ""
    use: str = ""
    used_at: Instant | None = None
    resends: int = 0
    open: bool = True


@dataclass(frozen=True, slots=True)
class Shown:
    """What the caller showed, after signature checks (`core.grant.present`).

    `binding` GATEWAY means the enforcement point keeps the chain: `presented` is None and the broker uses the live pass itself; the grant is
    then named by `grant` (bearer token) or found through `attachment` (a stdio enforcement point: the current grant of its person's mission).
    `presented` is the nonce as it came (None when the proof carried none). `iat` is the proof's issue time, `jti` its id.
    """

    binding: PassBinding
    grant: str = ""
    presented: str | None = None
    iat: Instant | None = None
    jti: str = ""
    jkt: str = ""
    attachment: str = ""


class PassStanding(StrEnum):
    """How the pass shown relates to the live one."""

    FRESH = "fresh"
    RESEND = "resend"
    CHALLENGE = "challenge"
    LOST_RACE = "lost_race"
    REUSE = "reuse"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Presentation:
    """The pass shown, judged. `lane` is the lane number, `seq` the number of the pass shown (-1 when none was readable)."""

    standing: PassStanding
    lane: int
    seq: int
    why: str
