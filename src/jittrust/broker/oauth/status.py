"""What tokens are worth now: introspection, revocation, status lists, keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from jittrust.broker.grants import GrantBook
from jittrust.broker.identity.index import IdentityIndex
from jittrust.broker.oauth.clients import Authenticated, ClientBook
from jittrust.broker.oauth.live import LiveToken, grant_standing, live_token, own_claims
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.oauth.renewals import RenewalBook
from jittrust.broker.state import State
from jittrust.core.errors import NotFoundError
from jittrust.core.grant import jws, wire
from jittrust.core.grant.claims import body_of, mint_body
from jittrust.core.grant.present import InvalidProofError, check_key_proof
from jittrust.core.grant.statement import INTROSPECTION, STATUS_LISTS, details_of
from jittrust.core.grant.states import GrantState
from jittrust.core.model import Json, SubjectKind
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.introspection import INTROSPECTION_TYP
from jittrust.core.oauth.status_list import LIST_SIZE, TTL, TokenStanding, mint_list
from jittrust.core.units import Instant
from jittrust.ports.authorization_server import ClientProof

REVOCATION = "/oauth/revoke"
_TOKEN = "/oauth/token"
_INACTIVE: Mapping[str, Json] = {"active": False}
# A list is made anew at most this often, and at most a tenth of the time is spent on it; what is cached outside is told by its own `ttl`.
_FRESH_SECONDS = 2.0
_SHARE = 10
_STRIDE = 250


@dataclass(frozen=True, slots=True)
class _Made:
    token: str
    at: Instant
    fresh: float


class StatusBook:
    """See `ports.token_status`."""

    def __init__(
        self, state: State, clients: ClientBook, grants: GrantBook, renewals: RenewalBook, parts: OAuthParts
    ) -> None:
        """Wire it up."""
        self._state = state
        self._clients = clients
        self._grants = grants
        self._renewals = renewals
        self._parts = parts
        self._identities = IdentityIndex.of(state)
        self._lists: dict[int, _Made] = {}
        self._making = asyncio.Lock()
        # Grants by list; `State.grants` only grows until it is read again.
        self._by_list: dict[int, list[str]] = {}
        self._indexed: Mapping[str, object] | None = None
        self._count = 0
        self._last = ""

    # ---- introspection ----------------------------------------------------------------------------------------------------------------

    async def introspect(self, token: str, caller: ClientProof, proof: str = "") -> Mapping[str, Json]:
        """See `TokenStatus.introspect`."""
        return self._said(token, await self._who(caller, INTROSPECTION), proof)

    async def introspect_signed(self, token: str, caller: ClientProof, proof: str = "") -> str:
        """See `TokenStatus.introspect_signed`."""
        who = await self._who(caller, INTROSPECTION)
        body: dict[str, Json] = {
            "iss": self._parts.issuer,
            "aud": who.client.id,
            "iat": int(self._parts.clock()),
            "token_introspection": self._said(token, who, proof),
        }
        return mint_body(body, INTROSPECTION_TYP, self._parts.kid, self._parts.sign)

    async def _who(self, caller: ClientProof, endpoint: str) -> Authenticated:
        issuer = self._parts.issuer
        return await self._clients.authenticate(caller, (issuer, f"{issuer}{endpoint}", f"{issuer}{_TOKEN}"))

    def _said(self, token: str, who: Authenticated, proof: str) -> Mapping[str, Json]:
        renewal = self._renewals.find(token)
        if renewal is not None:
            mine = renewal.client == who.client.id and self._shown(who, renewal.jkt, renewal.x5t, proof)
            if not mine or renewal.ended or self._parts.clock() >= renewal.expires:
                return _INACTIVE
            return {
                "active": True,
                "iss": self._parts.issuer,
                "client_id": renewal.client,
                "sub": renewal.person,
                "exp": int(renewal.expires),
                wire.MISSION: renewal.mission,
            }
        live = live_token(self._state, self._parts, token)
        if live is None or not self._may_know(who, live, proof):
            return _INACTIVE
        grant = live.grant
        body = body_of(live.claims)
        # The token says what held when it was made, and may say too little; here stands what holds now, and all of it.
        body.pop(wire.DETAILS_AT, None)
        body[wire.AUTHORIZATION_DETAILS] = [dict(detail) for detail in details_of(grant, live.mission)]
        return {
            "active": True,
            "token_type": "DPoP" if grant.jkt else "Bearer",
            **body,
            "gas_left": int(grant.gas_left),
            "gas_limit": int(grant.gas_limit),
            **({} if grant.uses_limit is None else {"uses_left": grant.uses_left, "uses_limit": grant.uses_limit}),
        }

    def _may_know(self, who: Authenticated, live: LiveToken, proof: str) -> bool:
        """Whether the answer is meant for this caller: a workload, the client of the token, or an agent that the grant or one above it is of."""
        grant = live.grant
        if live.claims.client == who.client.id:
            return self._shown(who, grant.jkt, grant.x5t, proof)
        identity = self._identities.agent(who.agent) if who.proven else None
        if identity is None or identity.kind is SubjectKind.WORKLOAD:
            return identity is not None
        # What another agent may do, and for which goal, is none of its business.
        chain = (grant, *self._state.path_of(grant))
        holders = (self._identities.agent(one.agent) for one in chain if one is not None)
        return any(holder is not None and holder.id == identity.id for holder in holders)

    def _shown(self, who: Authenticated, jkt: str, x5t: str, proof: str) -> bool:
        try:
            return self._holds(who, jkt, x5t, proof, INTROSPECTION)
        except InvalidProofError:
            return False

    # ---- revocation -------------------------------------------------------------------------------------------------------------------

    async def revoke(self, token: str, caller: ClientProof, proof: str = "") -> None:
        """See `TokenStatus.revoke`."""
        who = await self._who(caller, REVOCATION)
        renewal = self._renewals.find(token)
        if renewal is not None:
            self._check_own(who, renewal.client, renewal.agent)
            self._check_holder(who, renewal.jkt, renewal.x5t, proof)
            if not renewal.ended:
                await self._renewals.end(renewal, "its client revoked it", f"client:{who.client.id}")
            return
        claims = own_claims(self._parts, token)
        grant = None if claims is None else self._state.grants.get(claims.grant)
        if claims is None or grant is None:
            return
        self._check_own(who, claims.client, grant.agent)
        self._check_holder(who, claims.jkt, claims.x5t, proof)
        if grant.state in (GrantState.ACTIVE, GrantState.SUSPENDED):
            await self._grants.revoke(grant.id, "its client revoked it", f"client:{who.client.id}")

    def _check_own(self, who: Authenticated, client: str, agent: str) -> None:
        if who.client.id != client and not (who.proven and who.agent == agent):
            raise OAuthError("invalid_client", "token_of_another", "The token was given to another client.")

    def _check_holder(self, who: Authenticated, jkt: str, x5t: str, proof: str) -> None:
        """Refuse a public client that shows a bound token without its key: a copied token would end its owner's work."""
        try:
            if self._holds(who, jkt, x5t, proof, REVOCATION):
                return
        except InvalidProofError as error:
            raise OAuthError("invalid_dpop_proof", error.code, error.message, error.next_step) from None
        raise OAuthError(
            "invalid_client",
            "key_not_shown",
            "The token is bound to a key, and the client did not show that it holds it.",
            "Send a DPoP proof of that key, or authenticate.",
        )

    def _holds(self, who: Authenticated, jkt: str, x5t: str, proof: str, endpoint: str) -> bool:
        """Whether the caller proved who it is, or the key of a bound token at this endpoint. Raises InvalidProofError."""
        if who.proven or not (jkt or x5t) or (x5t and who.x5t == x5t):
            return True
        if not (jkt and proof):
            return False
        return check_key_proof(proof, "POST", f"{self._parts.issuer}{endpoint}", self._parts.clock()).jkt == jkt

    # ---- status lists -----------------------------------------------------------------------------------------------------------------

    async def status_list(self, number: int) -> str:
        """See `TokenStatus.status_list`."""
        async with self._making:
            made = self._lists.get(number)
            if made is None or not 0 <= self._parts.clock() - made.at < made.fresh:
                made = await self._made(number)
            return made.token

    async def _made(self, number: int) -> _Made:
        now = self._parts.clock()
        await self._index()
        if number not in self._by_list:
            raise NotFoundError("status_list_unknown", f"There is no status list {number}.")
        token = await self._list(number, now)
        fresh = min(float(TTL), max(_FRESH_SECONDS, _SHARE * (self._parts.clock() - now)))
        made = self._lists[number] = _Made(token, now, fresh)
        while len(self._lists) > 8:  # noqa: PLR2004 - those asked for now; each can be made again
            del self._lists[next(iter(self._lists))]
        return made

    async def _index(self) -> None:
        grants = self._state.grants
        if self._indexed is grants and len(grants) == self._count and next(reversed(grants), "") == self._last:
            return  # nothing new: whoever asks for lists that are not there costs nothing
        names = list(grants)
        if self._indexed is not grants or (self._count and names[self._count - 1 : self._count] != [self._last]):
            self._indexed, self._count = grants, 0
            self._by_list.clear()
        for name in names[self._count :]:
            status = grants[name].status
            if status >= 0:
                self._by_list.setdefault(status // LIST_SIZE, []).append(name)
            self._count, self._last = self._count + 1, name
            if self._count % (4 * _STRIDE) == 0:
                await asyncio.sleep(0)

    async def _list(self, number: int, now: Instant) -> str:
        standings: dict[int, TokenStanding] = {}
        for count, name in enumerate(tuple(self._by_list[number])):
            grant = self._state.grants.get(name)
            if grant is not None:
                standing = grant_standing(self._state, grant, now)
                if standing is not TokenStanding.VALID:
                    standings[grant.status % LIST_SIZE] = standing
            if count % _STRIDE == _STRIDE - 1:
                # A full list takes half a second; decisions go on meanwhile.
                await asyncio.sleep(0)
        uri = f"{self._parts.issuer}{STATUS_LISTS}/{number}"
        return mint_list(uri, self._parts.issuer, standings, now, self._parts.kid, self._parts.sign)

    # ---- keys -------------------------------------------------------------------------------------------------------------------------

    async def keys(self) -> Mapping[str, Json]:
        """See `TokenStatus.keys`."""
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": jws.encode(point).decode("ascii"),
                    "kid": kid,
                    "use": "sig",
                    "alg": wire.ED25519,
                }
                for kid, point in self._parts.keys.items()
            ]
        }
