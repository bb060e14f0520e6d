"""An ephemeral access grant, its lanes, and what a caller showed.

The access token names the grant; the pass is the DPoP nonce. A pass is not stored: it is `MAC(key, generation, grant, lane, seq)`, so an
old one is recognised without a table and the same successor can always be given again (`core.grant.passes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.authority.map import AuthorityMap
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
        client: OAuth client that asked for it; empty = the agent itself.
        x5t: SHA-256 thumbprint of the client certificate it is bound to (RFC 8705 §3.1), base64url; empty = to none. Its passes are kept by the
            enforcement point.
        path: the grants it was carved from, the root of the family first; empty for a root. It takes calls only while all of them are in force:
            ending one ends everything below it at once.
        authority: what this grant may do, inside its mission's map; None = whatever the mission's map allows.
        uses_left, uses_limit: calls that may still go out; None = not limited by number.
        may_act: agents that may take a part of this grant by showing its token and their own credential (RFC 8693 §4.4).
        status: its place in the Token Status List; -1 = in none.
        task: what its agent was asked to do, in the words of the agent that handed it on: a text of an agent, never a goal of a person. Empty for
            a root, and where nothing was said.
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
    client: str = ""
    x5t: str = ""
    path: tuple[str, ...] = ()
    authority: AuthorityMap | None = None
    uses_left: int | None = None
    uses_limit: int | None = None
    may_act: tuple[str, ...] = ()
    status: int = -1
    task: str = ""

    @property
    def shared(self) -> bool:
        """Whether it stands behind all of a mission's own enforcement points, whoever calls through them."""
        own = self.server or self.request or self.client or self.x5t or self.path or self.authority is not None
        return self.binding is PassBinding.GATEWAY and not own

    @property
    def parent(self) -> str:
        """The grant it was carved from; empty for a root."""
        return self.path[-1] if self.path else ""


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
        spent: number of the last pass that its caller showed and that bought a call; -1 = none has.
        follows: whether a pass that came with an answer has ever bought a call. As long as none has, its client may be one that takes passes
            from challenges only.
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
    spent: int = -1
    follows: bool = False


@dataclass(frozen=True, slots=True)
class RetiredPass:
    """What became of an old pass: whether it `bought` a call (else a challenge replaced it), when it was `handed` to the caller, when `retired`.

    One that was never delivered counts as handed when it was retired: before that nobody could know anything newer than the pass before it.
    """

    seq: int
    bought: bool
    handed: Instant
    retired: Instant


@dataclass(frozen=True, slots=True)
class Shown:
    """What the caller showed, after signature checks (`core.grant.present`).

    `binding` GATEWAY means the enforcement point keeps the chain: `presented` is None and the broker uses the live pass itself; the grant is
    then named by `grant` (bearer token) or found through `attachment` (a stdio enforcement point: the current grant of its person's mission).
    `presented` is the nonce as it came (None when the proof carried none). `iat` is the proof's issue time, `jti` its id. `x5t` is the thumbprint
    of the client certificate of the connection, empty without one. `narrowing` is a token that narrows the grant without the broker
    (`ports.attenuation`), its signatures checked and its conditions not yet; empty without one. `began` is the pass that the caller itself showed,
    where the enforcement point has gone on with newer ones of the chain for it within one request; None otherwise.
    """

    binding: PassBinding
    grant: str = ""
    presented: str | None = None
    iat: Instant | None = None
    jti: str = ""
    jkt: str = ""
    attachment: str = ""
    x5t: str = ""
    narrowing: str = ""
    began: str | None = None


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
