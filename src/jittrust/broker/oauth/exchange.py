"""Token exchange (RFC 8693): a part of a grant for another agent, a transaction token, or a token that its holder narrows alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from jittrust.broker.grants import GrantBook, audience
from jittrust.broker.oauth.clients import Authenticated, ClientBook
from jittrust.broker.oauth.issuing import Holder, Wishes, answer_of, check_server, issue_record, needed
from jittrust.broker.oauth.live import live_token
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.oauth.transactions import TransactionBook
from jittrust.broker.state import State
from jittrust.core.authority.map import AuthorityMap
from jittrust.core.grant.grant import Grant, PassBinding, Shown
from jittrust.core.grant.present import KeyProof
from jittrust.core.model import Json
from jittrust.core.oauth.authorize import checked_thumbprint
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.server_metadata import (
    ACCESS_TOKEN_TYPE,
    ACTOR_PATH,
    JWT_TYPE,
    NARROWING_TYPE,
)
from jittrust.core.oauth.transaction import TRANSACTION_TYPE
from jittrust.core.units import Gas, Instant
from jittrust.ports.attenuation import Attenuated
from jittrust.ports.authorization_server import TokenAnswer, TokenRequest
from jittrust.ports.grants import ChildGrant

_MAX_TOKEN: Final = 8192
# They are new with each try; everything else of a request makes it the request that it is.
_PASSING: Final = frozenset(("client_assertion", "client_assertion_type", "actor_token", "subject_token"))


class ExchangeBook:
    """Answers token exchanges."""

    def __init__(
        self, state: State, clients: ClientBook, grants: GrantBook, transactions: TransactionBook, parts: OAuthParts
    ) -> None:
        """Wire it up."""
        self._state = state
        self._clients = clients
        self._grants = grants
        self._transactions = transactions
        self._parts = parts

    async def exchange(
        self, request: TokenRequest, who: Authenticated | None, proof: KeyProof | None, audiences: tuple[str, ...]
    ) -> TokenAnswer:
        """Answer one exchange.

        Args:
            request: what came.
            who: the client; None when it said nothing of who it is, which is enough only for who proves the parent's key.
            proof: of a key, checked and not seen before.
            audiences: what a statement for us may be for.

        Raises:
            OAuthError: `invalid_request` for tokens that are no good (RFC 8693 §2.2.2).
            JitError: what `GrantBook.delegate` raises.
        """
        parameters = request.parameters
        subject, kind = needed(parameters, "subject_token"), needed(parameters, "subject_token_type")
        wanted = parameters.get("requested_token_type", ACCESS_TOKEN_TYPE)
        if wanted == TRANSACTION_TYPE:
            if who is None:
                raise OAuthError(
                    "invalid_client", "client_missing", "The request does not say which client it is from."
                )
            return await self._transactions.issue(who, parameters, proof)
        if kind != ACCESS_TOKEN_TYPE or wanted not in (ACCESS_TOKEN_TYPE, NARROWING_TYPE):
            raise OAuthError("invalid_request", "token_type_unknown", "This kind of token is not exchanged here.")
        parent = self._parent(subject)
        if wanted == NARROWING_TYPE:
            return self._narrowing(parent, proof)
        if proof is not None and parent.jkt and proof.jkt == parent.jkt:
            return await self._by_parent(parameters, parent, who, proof)
        return await self._by_child(parameters, parent, who, proof, audiences)

    # ---- inside -----------------------------------------------------------------------------------------------------------------------------

    def _parent(self, token: str) -> Grant:
        """The live grant that a token is of, whatever it is for: all of it is ours."""
        live = live_token(self._state, self._parts, token) if len(token) <= _MAX_TOKEN else None
        if live is None:
            raise OAuthError(
                "invalid_request", "subject_token_bad", "subject_token is no live token of this server.", "Renew it."
            )
        return live.grant

    async def _by_parent(
        self,
        parameters: Mapping[str, str],
        parent: Grant,
        who: Authenticated | None,
        proof: KeyProof,
    ) -> TokenAnswer:
        """The parent's holder gives a part away: it proves its key and spends a live pass, and says whom it means."""
        if who is not None and who.client.id != (parent.client or parent.agent) and who.agent != parent.agent:
            raise OAuthError("unauthorized_client", "token_of_another", "subject_token was given to another client.")
        # For this purpose alone: a document that were good for more would let the parent act as the child.
        agent = await self._actor(parameters, (self._parts.issuer + ACTOR_PATH,))
        if not agent:
            raise OAuthError(
                "invalid_request",
                "actor_missing",
                "Nobody is named to get a part of the grant.",
                f"Send the other agent's JWT-SVID for {self._parts.issuer}{ACTOR_PATH} as actor_token.",
            )
        if proof.nonce is None:
            raise OAuthError(
                "invalid_dpop_proof", "pass_needed", "Giving a part away takes a live pass of the grant.", "Send it."
            )
        shown = Shown(PassBinding.DPOP, parent.id, proof.nonce, proof.iat, proof.jti, proof.jkt)
        jkt = checked_thumbprint(parameters.get("dpop_jkt", ""))
        # The child's agent is its own client: whoever asked for it may neither renew nor end it in its name.
        child = self._child(parameters, parent, agent, "")
        said = json.dumps(
            [proof.nonce, *sorted((k, v) for k, v in parameters.items() if k not in _PASSING)], ensure_ascii=True
        )
        name = hashlib.sha256(said.encode("ascii")).hexdigest()[:32]
        issued = await self._grants.delegate(replace(child, jkt=jkt, request=f"x-{name}"), shown)
        now = self._parts.clock()
        await self._state.change([], [issue_record(issued.grant, None, "token_exchange", now, parent.agent)])
        answer = answer_of(issued, now, self._within(parent), parameters)
        body: dict[str, Json] = {**answer.body, "issued_token_type": ACCESS_TOKEN_TYPE}
        if issued.first_pass:
            # The header carries the next pass of who asked; the first pass of the child goes with the token that it is given.
            body["first_pass"] = issued.first_pass
        return TokenAnswer(body, issued.next_pass or "")

    async def _by_child(
        self,
        parameters: Mapping[str, str],
        parent: Grant,
        who: Authenticated | None,
        proof: KeyProof | None,
        audiences: tuple[str, ...],
    ) -> TokenAnswer:
        """Another agent takes a part: it proves who it is, and the parent's grant names it among those that may."""
        if who is None or not who.proven:
            raise OAuthError(
                "invalid_client",
                "client_unproven",
                "Only an agent that proves who it is takes a part of another's grant.",
                "Authenticate, or prove the key of the grant itself.",
            )
        if await self._actor(parameters, (*audiences, self._parts.issuer + ACTOR_PATH)) not in {"", who.agent}:
            raise OAuthError("invalid_request", "actor_differs", "actor_token is another's than the client's.")
        holder = Holder(who, proof.jkt if proof else "")
        child = self._child(parameters, parent, who.agent, who.client.id)
        check_server(holder, child.server or parent.server)
        said = json.dumps(
            [
                *(parent.id, who.client.id, who.agent, holder.jkt, holder.x5t),
                *sorted((k, v) for k, v in parameters.items() if k not in _PASSING),
            ],
            ensure_ascii=True,
        )
        now = self._parts.clock()
        name = self._again_or_new(parent, f"y-{hashlib.sha256(said.encode('ascii')).hexdigest()[:32]}", now)
        issued = await self._grants.delegate(replace(child, jkt=holder.jkt, x5t=holder.x5t, request=name), None)
        await self._state.change([], [issue_record(issued.grant, holder, "token_exchange", now, who.agent)])
        answer = answer_of(issued, now, self._within(parent), parameters)
        return TokenAnswer({**answer.body, "issued_token_type": ACCESS_TOKEN_TYPE}, answer.next_pass)

    def _again_or_new(self, parent: Grant, name: str, now: Instant) -> str:
        """What the child's request is called: as the last one like it while its answer may have been lost, else anew.

        Whoever wants two children at once sends a parameter of its own choice with the second; what has ended is never given again.
        """
        number, last = 0, None
        while (found := self._state.requested(parent.mission, f"{name}.{number}")) is not None:
            number, last = number + 1, found
        window = self._parts.rules.rotation.retry_window
        if last is not None and now - last.issued <= window and self._state.in_force(last, now):
            return last.request
        return f"{name}.{number}"

    def _child(self, parameters: Mapping[str, str], parent: Grant, agent: str, client: str) -> ChildGrant:
        wishes = Wishes.of(parameters, self._parts.issuer)
        within = self._within(parent)
        return ChildGrant(
            parent=parent.id,
            agent=agent,
            server=wishes.server,
            gas=None if wishes.gas is None else Gas(wishes.gas),
            uses=wishes.uses,
            ttl=wishes.ttl,
            lanes=wishes.lanes or 1,
            authority=wishes.authority(within) if within is not None else None,
            may_act=wishes.may_act,
            client=client,
            task=parameters.get("task", ""),
        )

    def _within(self, parent: Grant) -> AuthorityMap | None:
        mission = self._state.missions.get(parent.mission)
        return parent.authority if parent.authority is not None else mission.authority if mission else None

    async def _actor(self, parameters: Mapping[str, str], audiences: tuple[str, ...]) -> str:
        """The agent that `actor_token` proves; empty without one."""
        token = parameters.get("actor_token", "")
        kind = parameters.get("actor_token_type", "")
        if not token and not kind:
            return ""
        if kind != JWT_TYPE:
            raise OAuthError("invalid_request", "token_type_unknown", f"actor_token_type is {JWT_TYPE}.")
        try:
            spiffe_id = await self._clients.svid(token, audiences)
        except OAuthError as error:
            raise OAuthError("invalid_request", "actor_token_bad", error.message) from None
        return self._clients.workload(spiffe_id).agent

    def _narrowing(self, parent: Grant, proof: KeyProof | None) -> TokenAnswer:
        if self._parts.attenuation is None:
            raise OAuthError(
                "invalid_request", "narrowing_missing", "Tokens that are narrowed offline are not installed here.",
                "pip install jittrust[biscuit]",
            )  # fmt: skip
        if proof is None or not parent.jkt or proof.jkt != parent.jkt:
            raise OAuthError("invalid_dpop_proof", "key_not_shown", "The key of the grant has to be proved.")
        first = Attenuated(parent.id, parent.jkt, audience(self._parts.issuer, parent.server), parent.expires)
        left = max(0, int(parent.expires - self._parts.clock()))
        token = self._parts.attenuation.mint(first)
        return TokenAnswer(
            {"access_token": token, "issued_token_type": NARROWING_TYPE, "token_type": "N_A", "expires_in": left}
        )
