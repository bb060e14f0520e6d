"""Transaction tokens inside the trust domain (draft-ietf-oauth-transaction-tokens): one unit of work and its stated intent, down a call chain."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.broker.identity.index import IdentityIndex
from jittrust.broker.oauth.clients import Authenticated
from jittrust.broker.oauth.live import grant_standing, live_token
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import RefusedError
from jittrust.core.grant import wire
from jittrust.core.grant.claims import InvalidTokenError
from jittrust.core.grant.grant import Grant
from jittrust.core.grant.present import KeyProof
from jittrust.core.grant.statement import intent_digest
from jittrust.core.identity.spiffe_id import TrustDomain
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.reading import goal_code
from jittrust.core.model import Json, SubjectKind
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.server_metadata import ACCESS_TOKEN_TYPE
from jittrust.core.oauth.status_list import TokenStanding
from jittrust.core.oauth.transaction import (
    LIFE,
    MOST_BYTES,
    TRANSACTION_TYPE,
    TransactionClaims,
    mint_transaction,
    narrower_scope,
    read_context,
    read_scope,
    read_transaction,
    replacement,
    scope_of,
)
from jittrust.core.units import Instant
from jittrust.ports.authorization_server import TokenAnswer

GATEWAY = "gateway"
"""What a transaction token of the broker's own gateway names as the workload that asked (`req_wl`)."""
_TAKEN = frozenset(
    (
        "grant_type",
        "requested_token_type",
        "audience",
        "scope",
        "subject_token",
        "subject_token_type",
        "request_context",
        "request_details",
        "client_id",
        "client_assertion",
        "client_assertion_type",
    )
)


class TransactionBook:
    """Issues and replaces transaction tokens."""

    def __init__(self, state: State, trust_domain: TrustDomain, parts: OAuthParts) -> None:
        """Wire it up."""
        self._state = state
        self._trust_domain = trust_domain
        self._parts = parts
        self._identities = IdentityIndex.of(state)

    async def issue(
        self, who: Authenticated, parameters: Mapping[str, str], proof: KeyProof | None = None
    ) -> TokenAnswer:
        """A transaction token for a grant token (or a transaction token that is replaced by a narrower one).

        Only a workload of the registry that proved who it is gets one, or the agent whose grant it is; where the grant is bound to a key, the agent
        shows it with `proof` (its certificate with the connection). `audience` is the name of our trust domain. `scope` may be less than what
        was shown. `request_details` and `request_context` are taken at the edge only: whoever replaces a token cannot touch them.

        Raises:
            OAuthError: `unauthorized_client`, `invalid_target`, `invalid_scope`, `invalid_request`; `invalid_grant`, code `token_dead`, when what
                was shown is no token of ours or stands for nothing that may go on.
        """
        if not who.proven or self._identities.agent(who.agent) is None:
            raise OAuthError(
                "unauthorized_client", "no_workload", "Only a workload of this trust domain gets transaction tokens."
            )
        unknown = sorted(set(parameters) - _TAKEN)
        if unknown:
            raise OAuthError("invalid_request", "parameter_unknown", f"{unknown[0][:60]!r} is not taken here")
        if parameters.get("audience") != self._trust_domain.name:
            raise OAuthError("invalid_target", "audience_unknown", "audience is not the name of this trust domain")
        scope = read_scope(parameters.get("scope", ""))
        now = self._parts.clock()
        kind = parameters.get("subject_token_type")
        if kind == ACCESS_TOKEN_TYPE:
            claims = self._first(parameters, scope, who, proof, now)
        elif kind == TRANSACTION_TYPE:
            claims = self._next(parameters, scope, who.agent, now)
        else:
            raise OAuthError(
                "invalid_request",
                "subject_token_type",
                f"subject_token_type is {ACCESS_TOKEN_TYPE} or {TRANSACTION_TYPE}",
            )
        what = "transaction_replaced" if kind == TRANSACTION_TYPE else "transaction_issued"
        token = await self._minted(claims, what, who.agent, f"client:{who.client.id}", now)
        return TokenAnswer(
            {
                "access_token": token,
                "issued_token_type": TRANSACTION_TYPE,
                "token_type": "N_A",
                "expires_in": claims.expires - int(now),
            }
        )

    async def transaction(self, grant: str, server: str) -> str:
        """See `ports.gateway_tokens`."""
        now = self._parts.clock()
        held = self._state.grants.get(grant)
        if held is None or grant_standing(self._state, held, now) is not TokenStanding.VALID:
            raise RefusedError("grant_not_active", "The grant takes no calls any more.")
        claims = self._claims(held, int(held.expires), None, GATEWAY, now, {}, {}, server)
        return await self._minted(claims, "transaction_issued", GATEWAY, "gateway", now)

    async def _minted(self, claims: TransactionClaims, what: str, workload: str, by: str, now: Instant) -> str:
        token = mint_transaction(claims, self._parts.kid, self._parts.sign)
        if len(token) > MOST_BYTES:
            raise OAuthError(
                "invalid_request", "context_malformed", "request_details and request_context are too large"
            )
        await self._state.change(
            [],
            [
                {
                    "kind": "oauth",
                    "at": milliseconds(now),
                    "what": what,
                    "mission": claims.transaction,
                    "grant": claims.grant,
                    "workload": workload,
                    "scope": list(claims.scope),
                    "expires": milliseconds(Instant(claims.expires)),
                    "by": by,
                    "why": "",
                }
            ],
        )
        return token

    def _first(
        self,
        parameters: Mapping[str, str],
        scope: tuple[str, ...] | None,
        who: Authenticated,
        proof: KeyProof | None,
        now: Instant,
    ) -> TransactionClaims:
        live = live_token(self._state, self._parts, parameters.get("subject_token", ""))
        if live is None:
            raise _dead()
        if not self._may_begin(who, live.grant, proof):
            raise OAuthError(
                "unauthorized_client",
                "token_of_another",
                "subject_token is another agent's, or is bound to a key that was not shown.",
                "A workload asks, or the agent itself with a DPoP proof of its key.",
            )
        details = read_context(parameters.get("request_details", ""), "request_details")
        context = {"details": details} if details else {}
        environment = read_context(parameters.get("request_context", ""), "request_context")
        return self._claims(live.grant, live.claims.expires, scope, who.agent, now, context, environment)

    def _may_begin(self, who: Authenticated, grant: Grant, proof: KeyProof | None) -> bool:
        """Whether a chain of calls may begin here: an agent makes nothing of a token of another that it has seen."""
        identity, holder = self._identities.agent(who.agent), self._identities.agent(grant.agent)
        if identity is None or identity.kind is SubjectKind.WORKLOAD:
            return identity is not None
        if holder is None or holder.id != identity.id or (grant.x5t and who.x5t != grant.x5t):
            return False
        return not grant.jkt or (proof is not None and proof.jkt == grant.jkt)

    def _claims(
        self,
        grant: Grant,
        ends: int,
        scope: tuple[str, ...] | None,
        workload: str,
        now: Instant,
        context: Mapping[str, Json],
        environment: Mapping[str, Json],
        server: str = "",
    ) -> TransactionClaims:
        mission = self._state.missions[grant.mission]
        within = grant.authority if grant.authority is not None else mission.authority
        mine = f"{grant.server or server}/" if grant.server or server else ""
        code = goal_code(read_goal(mission.goal))
        most = scope_of(tuple(entry.tool for entry in within.approved if entry.tool.startswith(mine)), code)
        if not most:
            raise OAuthError(
                "invalid_scope", "scope_empty", "The grant allows nothing that a transaction could be for."
            )
        expires = min(ends, int(now + LIFE))
        if expires <= int(now):
            raise _dead()
        return TransactionClaims(
            issuer=self._parts.issuer,
            audience=self._trust_domain.name,
            transaction=mission.id,
            subject=mission.person,
            scope=narrower_scope(most, scope),
            workload=workload,
            context={
                wire.GRANT: grant.id,
                wire.MISSION: mission.id,
                "agent": grant.agent,
                wire.INTENT: intent_digest(mission),
                wire.INTENT_CODE: code,
                **context,
            },
            issued=int(now),
            expires=expires,
            environment=environment,
        )

    def _next(
        self, parameters: Mapping[str, str], scope: tuple[str, ...] | None, workload: str, now: Instant
    ) -> TransactionClaims:
        if parameters.get("request_details") or parameters.get("request_context"):
            raise OAuthError(
                "invalid_request", "context_fixed", "What came with the first token stays as it is for the whole chain."
            )
        said = parameters.get("subject_token", "")
        try:
            shown = read_transaction(
                said.encode("utf-8", "replace"), self._parts.keys, self._parts.issuer, self._trust_domain.name, now
            )
        except InvalidTokenError:
            raise _dead() from None
        grant = self._state.grants.get(shown.grant)
        if grant is None or grant_standing(self._state, grant, now) is not TokenStanding.VALID:
            raise _dead()
        made = replacement(shown, scope, workload, now)
        if made.expires <= made.issued:
            raise _dead()
        return made


def _dead() -> OAuthError:
    return OAuthError(
        "invalid_grant", "token_dead", "The token is none of ours, or takes no calls any more.", "Ask for a new grant."
    )
