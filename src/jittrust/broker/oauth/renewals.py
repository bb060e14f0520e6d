"""Refresh tokens: the next short grant of a mission, while the score allows."""

from __future__ import annotations

import hmac
import re
from dataclasses import replace
from itertools import islice
from typing import Final

from jittrust.broker.grants import GrantBook
from jittrust.broker.oauth.clients import Authenticated
from jittrust.broker.oauth.issuing import Holder, as_oauth
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.record import grant_record, milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import ConflictError, JitError
from jittrust.core.grant import jws
from jittrust.core.grant.grant import Grant
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.states import ENDED
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import Drop, Keep, MoveGrant, RecordBody
from jittrust.ports.grants import IssuedGrant, NewGrant

LOST_SECONDS: Final = 10.0
"""How long the answer that gave the next token may have been lost: the same old token then gives the same next one."""
KEPT_SECONDS: Final = 3600.0
"""How long after its mission's end a chain is still known: until then an old token is told from one that never was."""
_LOOK_SECONDS: Final = 60.0
_DROPPED_AT_ONCE: Final = 1000
_LIVE: Final = (GrantState.ACTIVE, GrantState.SUSPENDED)
_TOKEN: Final = re.compile(
    r"jtr_(?P<id>n-[A-Za-z0-9-]{1,64})\.(?P<seq>0|[1-9][0-9]{0,8})\.(?P<mac>[A-Za-z0-9_-]{43})\Z"
)


class RenewalBook:
    """Keeps the chains of refresh tokens. A token is `MAC(key, id, seq)` and is stored nowhere."""

    def __init__(self, state: State, grants: GrantBook, parts: OAuthParts) -> None:
        """Wire it up."""
        self._state = state
        self._grants = grants
        self._parts = parts
        self._looked = 0.0

    async def begin(self, renewal: Renewal) -> str:
        """Store a new chain; gives its first refresh token, a secret."""
        now = self._parts.clock()
        await self._state.change([Keep(renewal)], [self._record(renewal, "renewal_begun", now, renewal.agent, "")])
        return self._token(renewal.id, renewal.seq)

    async def renew(self, who: Authenticated, token: str, jkt: str) -> tuple[IssuedGrant, str]:
        """Measure again and give the next grant and refresh token. An old token ends the chain and its grants.

        The token before the live one, shown again within 10 seconds by who proves the same key (or, without a key, proves to be the same client),
        gives the very same next token and the very same grant: its answer was lost. There are never two live successors.

        Raises:
            OAuthError: `invalid_grant`: no token of ours, of another client, the chain has ended, or what `GrantBook.open` refuses.
                `invalid_dpop_proof`: of another key than the chain is bound to, which does nothing to the chain.
        """
        renewal, seq = self._read(token)
        if renewal is None:
            raise _no_good("renewal_unknown", "The refresh token is none of this server")
        if renewal.client != who.client.id or (who.proven and renewal.agent != who.agent):
            raise _no_good("renewal_of_another", "The refresh token was given to another client")
        if renewal.jkt != jkt or (renewal.x5t and renewal.x5t != who.x5t):
            # Only who holds the key may end the chain by showing an old token: a copied token is no weapon (T40).
            raise OAuthError(
                "invalid_dpop_proof" if renewal.jkt else "invalid_grant",
                "renewal_key",
                "The refresh token is bound to another key.",
                "Prove the key of the grant.",
            )
        now = self._parts.clock()
        if renewal.ended or now >= renewal.expires:
            raise _no_good("renewal_over", f"It gives no more: {renewal.ended or 'its mission is over'}")
        if seq != renewal.seq and not self._lost(renewal, seq, who, now):
            await self.end(renewal, "an old refresh token was shown again", f"client:{who.client.id}")
            raise _no_good("renewal_reused", "An old refresh token was shown: the chain and its grants have ended")
        number = seq + 1
        issued = await self._opened(renewal, number, who, jkt)
        return issued, await self._moved_on(renewal.id, number, issued.grant, now)

    def find(self, token: str) -> Renewal | None:
        """The chain that a token (live or old) is of; None when it is no token of ours."""
        return self._read(token)[0]

    async def end(self, renewal: Renewal, why: str, by: str) -> None:
        """End a chain and the grants it gave."""
        now = self._parts.clock()
        known = self._state.of_kind(Renewal).get(renewal.id)
        if known is None or known.ended:
            return
        ended = replace(known, ended=why, revision=known.revision + 1)
        newest = self._state.grants.get(known.grant)
        ending = self._families(known, [*self._gave(known), *([newest] if newest is not None else [])])
        await self._state.change(
            [Keep(ended), *(MoveGrant(g.id, GrantState.REVOKED) for g in ending)],
            [
                self._record(ended, "renewal_ended", now, by, why),
                *(grant_record(g, "revoked", now, why, by) for g in ending),
            ],
        )

    async def tick(self) -> None:
        """Forget chains whose mission has long been over: no grant of theirs takes calls, and their tokens were refused for an hour."""
        now = self._parts.clock()
        if 0 <= now - self._looked < _LOOK_SECONDS:
            return
        self._looked = float(now)
        over = (one for one in self._state.of_kind(Renewal).values() if now >= one.expires + KEPT_SECONDS)
        gone = [Drop(one) for one in islice(over, _DROPPED_AT_ONCE)]
        if gone:
            await self._state.change(gone, [])

    # ---- inside -----------------------------------------------------------------------------------------------------------------------------

    def _lost(self, renewal: Renewal, seq: int, who: Authenticated, now: Instant) -> bool:
        """Whether the answer to this token may have been lost."""
        grant = self._state.grants.get(renewal.grant)
        held = bool(renewal.jkt or renewal.x5t) or who.proven
        return seq == renewal.seq - 1 and held and grant is not None and now - grant.issued <= LOST_SECONDS

    async def _opened(self, renewal: Renewal, number: int, who: Authenticated, jkt: str) -> IssuedGrant:
        mission = self._state.missions.get(renewal.mission)
        if mission is None or mission.state in ENDED:
            raise _no_good("mission_ended", "The mission is over")
        request = grant_request(renewal.id, number)
        before, gas = self._state.grants.get(renewal.grant), self._left(renewal, request)
        uses = await self._handed_over(renewal, request)
        holder = Holder(who, jkt)
        try:
            # The number is part of the request's name: asked for twice, it is one grant.
            return await self._grants.open(
                NewGrant(
                    person=renewal.person,
                    agent=renewal.agent,
                    server=renewal.server,
                    binding=holder.binding,
                    jkt=jkt,
                    strictness=holder.strictness,
                    mission=renewal.mission,
                    gas=Gas(gas),
                    lanes=renewal.lanes,
                    request=request,
                    client=renewal.client,
                    x5t=renewal.x5t,
                    uses=uses,
                    authority=before.authority if before is not None else None,
                    may_act=before.may_act if before is not None else (),
                )
            )
        except JitError as error:
            raise as_oauth(error, "invalid_grant") from None

    async def _moved_on(self, name: str, number: int, grant: Grant, now: Instant) -> str:
        """Make the next token the live one, unless another answer to the same token already has."""
        known = self._state.of_kind(Renewal)[name]
        if known.ended:
            await self._grants.revoke(grant.id, known.ended, "policy:renewal")
            raise _no_good("renewal_over", f"It gives no more: {known.ended}")
        if known.seq < number:
            after = replace(known, seq=number, grant=grant.id, revision=known.revision + 1)
            # Of one chain two grants take calls at once, so that what runs under the last one may end: no more, however fast it is renewed.
            kept = {grant_request(name, number - 1), grant_request(name, number)}
            old = [g for g in self._gave(after) if g.request.startswith(f"{name}.") and g.request not in kept]
            why, by = "it was renewed twice", "policy:renewal"
            ending = self._families(after, old)
            try:
                await self._state.change(
                    [Keep(after), *(MoveGrant(g.id, GrantState.REVOKED) for g in ending)],
                    [
                        self._record(after, "renewed", now, after.agent, ""),
                        *(grant_record(g, "revoked", now, why, by) for g in ending),
                    ],
                )
            except ConflictError as error:
                raise as_oauth(error) from None
        return self._token(name, number)

    def _left(self, renewal: Renewal, request: str = "") -> int:
        """Gas that the next grant may have: of one chain no more is given in two lives of a grant than twice what it may have at a time.

        `request`: of a grant that does not count, because it is the one that is asked for, again perhaps.

        Raises:
            OAuthError: `temporarily_unavailable`, code `renewal_spent`.
        """
        rules, now = self._parts.rules.grants, self._parts.clock()
        at_a_time, given = renewal.gas or rules.gas, 0
        for grant in self._gave(renewal):
            if grant.request != request and grant.issued > now - rules.lineage_spans * rules.ttl:
                given += int(grant.gas_limit) - (0 if self._holds(grant, now) else int(grant.gas_left))
        left = min(at_a_time, rules.lineage_spans * at_a_time - given)
        if left <= 0:
            raise OAuthError(
                "temporarily_unavailable",
                "renewal_spent",
                "This chain was given all the gas that one may get for now.",
                "Wait until some of it is older.",
            )
        return left

    async def _handed_over(self, renewal: Renewal, request: str) -> int | None:
        """Uses that are left to a chain with a number of them, taken back from the grants before; None = as many as the gas pays for.

        A person said how many calls there are at most, so the next grant takes over what the last one has not used, and that one ends.

        Raises:
            OAuthError: `invalid_grant`, code `uses_exhausted`.
        """
        if not renewal.uses:
            return None
        now = self._parts.clock()
        old = [grant for grant in self._gave(renewal) if grant.request != request]
        ending = self._families(renewal, old)
        if ending:
            why, by = "what it had left was handed over", "policy:renewal"
            await self._state.change(
                [MoveGrant(g.id, GrantState.REVOKED) for g in ending],
                [grant_record(g, "revoked", now, why, by) for g in ending],
            )
        left = self._uses(renewal, request)
        if left <= 0:
            raise _no_good("uses_exhausted", "All calls that the person allowed were made")
        return left

    def _uses(self, renewal: Renewal, request: str = "") -> int:
        """Of a chain's uses, how many no grant has used or holds."""
        now, left = self._parts.clock(), renewal.uses
        for grant in self._gave(renewal):
            if grant.request != request and grant.uses_limit is not None:
                left -= grant.uses_limit - (0 if self._holds(grant, now) else grant.uses_left or 0)
        return left

    def _holds(self, grant: Grant, now: Instant) -> bool:
        return grant.state in _LIVE and now < grant.expires

    def draw(self, agent: str, mission: str) -> tuple[int, int | None, str]:
        """Gas, uses and request name for one more grant under a mission that a person started for this very agent: within the same bounds.

        Raises:
            OAuthError: `access_denied`, code `no_mission`: what the person said yes to was not fetched, or has ended. As `renew`, when all is given.
        """
        chains = (
            one
            for one in self._state.of_kind(Renewal).values()
            if (one.mission, one.agent, one.ended) == (mission, agent, "")
        )
        renewal = max(chains, key=self._newest, default=None)
        if renewal is None:
            raise OAuthError(
                "access_denied",
                "no_mission",
                "What the person said yes to was not fetched by its client, or has ended.",
                "Fetch it first, with its code or by polling.",
            )
        gas, uses = self._left(renewal), None
        if renewal.uses:
            uses = self._uses(renewal)
            if uses <= 0:
                raise OAuthError(
                    "temporarily_unavailable",
                    "renewal_spent",
                    "Other grants hold all calls that are left.",
                    "Use them.",
                )
        return gas, uses, f"{renewal.id}:{self._parts.new_id('o')}"

    def _newest(self, renewal: Renewal) -> tuple[float, str]:
        grant = self._state.grants.get(renewal.grant)
        return (0.0 if grant is None else float(grant.issued), renewal.id)

    def _families(self, renewal: Renewal, grants: list[Grant]) -> list[Grant]:
        """These grants and everything carved from them, as far as they have not ended."""
        families = {g.family for g in grants}
        return [g for g in self._state.live_grants_of(renewal.mission) if g.family in families]

    def _gave(self, renewal: Renewal) -> list[Grant]:
        names = (f"{renewal.id}.", f"{renewal.id}:")
        return [g for g in self._state.grants_of(renewal.mission) if g.request.startswith(names)]

    def _read(self, token: str) -> tuple[Renewal | None, int]:
        found = _TOKEN.match(token) if len(token) <= 256 else None  # noqa: PLR2004
        # The same work for a token that is none: how long it takes tells nothing of which chains there are.
        name, seq = (found["id"], int(found["seq"])) if found else ("n-", 0)
        mac = (found["mac"] if found else "").encode("ascii")
        known = self._state.of_kind(Renewal).get(name)
        holds = hmac.compare_digest(self._mac(name, seq), mac)
        return (known, seq) if holds and known is not None and seq <= known.seq else (None, 0)

    def _mac(self, name: str, seq: int) -> bytes:
        told = f"refresh token\x00{name}\x00{seq}".encode()
        return jws.encode(hmac.digest(self._parts.hash_key, told, "sha256"))

    def _token(self, name: str, seq: int) -> str:
        return f"jtr_{name}.{seq}.{self._mac(name, seq).decode('ascii')}"

    def _record(self, renewal: Renewal, what: str, now: Instant, by: str, why: str) -> RecordBody:
        return {
            "kind": "oauth",
            "at": milliseconds(now),
            "what": what,
            "renewal": renewal.id,
            "number": renewal.seq,
            "client": renewal.client,
            "agent": renewal.agent,
            "mission": renewal.mission,
            "server": renewal.server,
            "grant": renewal.grant,
            "bound": "key" if renewal.jkt else "certificate" if renewal.x5t else "bearer",
            "by": by,
            "why": why,
        }


def grant_request(name: str, number: int) -> str:
    """Idempotency key of the grant that goes with a number of a chain."""
    return f"{name}.{number}"


def _no_good(code: str, why: str) -> OAuthError:
    return OAuthError("invalid_grant", code, f"{why}.", "Ask the person again, or use the newest refresh token.")
