"""The token endpoint and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jittrust.broker.grants import GrantBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.index import IdentityIndex, names_of
from jittrust.broker.identity.sources import SourceBook
from jittrust.broker.oauth.clients import Authenticated, ClientBook
from jittrust.broker.oauth.consents import ConsentBook, Redeemed
from jittrust.broker.oauth.exchange import ExchangeBook
from jittrust.broker.oauth.issuing import Holder, Wishes, answer_of, as_oauth, check_server, issue_record, needed
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.oauth.renewals import RenewalBook, grant_request
from jittrust.broker.oauth.replay import ReplayMemory
from jittrust.broker.oauth.transactions import TransactionBook
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.core.grant.present import InvalidProofError, KeyProof, check_key_proof
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.attest import EvidenceKind
from jittrust.core.identity.identity import Identity, IdentityState
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Json, SubjectKind
from jittrust.core.oauth.assertion import peek
from jittrust.core.oauth.authorize import resource_server
from jittrust.core.oauth.client import OAuthClient
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.id_jag import ID_JAG_TYP, IdentityAssertion, check_id_jag
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.oauth.server_metadata import (
    AUTHORIZATION_CODE,
    CIBA,
    CLIENT_CREDENTIALS,
    GRANT_TYPES,
    JWT_BEARER,
    REFRESH_TOKEN,
    TOKEN_EXCHANGE,
    TOKEN_PATH,
)
from jittrust.core.units import Gas, Instant
from jittrust.ports.authorization_server import Pushed, TokenAnswer, TokenRequest
from jittrust.ports.grants import IssuedGrant, NewGrant
from jittrust.ports.token_keys import TokenKeys

PROOF_SECONDS: Final = 60.0
"""How far `iat` of a proof at these endpoints may lie behind and ahead."""
GRANTS_AT_ONCE: Final = 256
"""Most grants that one agent holds at a time under one mission because it asked for them itself."""
_DEFAULT_GRANTS: Final = (AUTHORIZATION_CODE, REFRESH_TOKEN)
_LIVE: Final = (GrantState.ACTIVE, GrantState.SUSPENDED)


class ServerBook:
    """See `ports.authorization_server`."""

    def __init__(
        self,
        state: State,
        clients: ClientBook,
        consents: ConsentBook,
        grants: GrantBook,
        renewals: RenewalBook,
        transactions: TransactionBook,
        identities: IdentityBook,
        sources: SourceBook,
        token_keys: TokenKeys,
        parts: OAuthParts,
    ) -> None:
        """Wire it up. `token_keys`: keys of the issuers that `sources` names, for identity assertions."""
        self._state = state
        self._clients = clients
        self._consents = consents
        self._grants = grants
        self._renewals = renewals
        self._identities = identities
        self._sources = sources
        self._token_keys = token_keys
        self._parts = parts
        self._index = IdentityIndex.of(state)
        self._exchanges = ExchangeBook(state, clients, grants, transactions, parts)
        self._seen = ReplayMemory(parts.clock)
        # Anybody may ask for a public client: what comes there fills no memory that tokens need. By its URL a proof is for one of the two.
        self._asked = ReplayMemory(parts.clock)

    # ---- the port -------------------------------------------------------------------------------------------------------------------------

    async def token(self, request: TokenRequest) -> TokenAnswer:
        """See `AuthorizationServer.token`."""
        kind = needed(request.parameters, "grant_type")
        if kind not in GRANT_TYPES:
            raise OAuthError("unsupported_grant_type", "grant_type_unknown", "This grant_type is not given here.")
        proof = self._proved(request, self._seen)
        try:
            await self._state.refresh()
            return await self._given(kind, request, proof)
        except JitError as error:
            # Nothing was given, so nothing was used up: the client may try again with the same proof.
            self._release(proof, self._seen)
            raise as_oauth(error, "invalid_grant" if kind == REFRESH_TOKEN else "access_denied") from None

    async def push(self, request: TokenRequest) -> Pushed:
        """See `AuthorizationServer.push`."""
        who, parameters = await self._asker(request)
        _check_allowed(who.client, AUTHORIZATION_CODE)
        return await self._consents.push(who, parameters)

    async def backchannel(self, request: TokenRequest) -> Pushed:
        """See `AuthorizationServer.backchannel`."""
        who, parameters = await self._asker(request)
        _check_allowed(who.client, CIBA)
        return await self._consents.backchannel(who, parameters)

    async def register(self, metadata: Mapping[str, Json]) -> OAuthClient:
        """See `AuthorizationServer.register`."""
        await self._state.refresh()
        return await self._clients.register(metadata)

    # ---- who asks -------------------------------------------------------------------------------------------------------------------------

    async def _asker(self, request: TokenRequest) -> tuple[Authenticated, Mapping[str, str]]:
        """The client of a request that a person will see, and its parameters with the key that was proved (RFC 9449 §10.1)."""
        proof = self._proved(request, self._asked)
        try:
            await self._state.refresh()
            who = await self._clients.authenticate(request.proof, self._audiences(request))
        except JitError as error:
            self._release(proof, self._asked)
            raise as_oauth(error) from None
        if proof is None:
            return who, request.parameters
        if request.parameters.get("dpop_jkt", proof.jkt) != proof.jkt:
            raise OAuthError("invalid_dpop_proof", "dpop_jkt_differs", "dpop_jkt is another key than the proof's.")
        return who, {**request.parameters, "dpop_jkt": proof.jkt}

    def _audiences(self, request: TokenRequest) -> tuple[str, ...]:
        """What an assertion may be for: this server, its token endpoint, or the endpoint that was asked (RFC 7523 §3, RFC 9126 §2)."""
        issuer = self._parts.issuer
        return tuple(dict.fromkeys((issuer, f"{issuer}{TOKEN_PATH}", request.url)))

    def _proved(self, request: TokenRequest, seen: ReplayMemory) -> KeyProof | None:
        """The key that the request proves, taken once; None without a proof."""
        if not request.dpop:
            return None
        now = self._parts.clock()
        try:
            proof = check_key_proof(request.dpop, "POST", request.url, now)
        except InvalidProofError as error:
            raise OAuthError("invalid_dpop_proof", error.code, error.message, error.next_step) from None
        if not seen.take(("proof", proof.jkt, proof.jti), proof.iat, Instant(proof.iat + PROOF_SECONDS + 1)):
            raise OAuthError(
                "invalid_dpop_proof",
                "proof_used",
                "The proof was used before, or made before this server began.",
                "Sign each request anew.",
            )
        return proof

    @staticmethod
    def _release(proof: KeyProof | None, seen: ReplayMemory) -> None:
        if proof is not None:
            seen.release(("proof", proof.jkt, proof.jti))

    # ---- what is given --------------------------------------------------------------------------------------------------------------------

    async def _given(self, kind: str, request: TokenRequest, proof: KeyProof | None) -> TokenAnswer:
        audiences, parameters = self._audiences(request), request.parameters
        jkt = proof.jkt if proof else ""
        if kind == TOKEN_EXCHANGE:
            silent = not (request.proof.client or request.proof.assertion or request.proof.assertion_type)
            named = not silent or (bool(request.proof.chain) and proof is None)
            who = await self._clients.authenticate(request.proof, audiences) if named else None
            if who is not None:
                _check_allowed(who.client, kind)
            return await self._exchanges.exchange(request, who, proof, audiences)
        if kind == JWT_BEARER:
            return await self._by_assertion(request, audiences, jkt)
        who = await self._clients.authenticate(request.proof, audiences)
        _check_allowed(who.client, kind)
        holder = self._holder(who, jkt)
        if kind == CLIENT_CREDENTIALS:
            if not who.proven:
                raise OAuthError(
                    "unauthorized_client", "client_unproven", "Only a client that proves who it is acts alone."
                )
            return await self._opened(holder, self._mission_of(who.agent), kind, parameters)
        if kind == REFRESH_TOKEN:
            return await self._renewed(holder, parameters)
        # What cannot be asked for is refused before anything is spent on it.
        wishes = Wishes.of(parameters, self._parts.issuer)
        if kind == CIBA:
            redeemed = await self._consents.poll(who, needed(parameters, "auth_req_id"), jkt)
        else:
            needed(parameters, "code")
            redeemed = await self._consents.redeem(who, parameters, jkt)
        return await self._redeemed(holder, redeemed, wishes, kind, parameters)

    def _holder(self, who: Authenticated, jkt: str) -> Holder:
        if who.client.strict and not jkt:
            raise OAuthError(
                "invalid_dpop_proof", "proof_missing", "This client proves a key with every request.", "Send DPoP."
            )
        return Holder(who, jkt)

    async def _redeemed(
        self, holder: Holder, redeemed: Redeemed, wishes: Wishes, kind: str, parameters: Mapping[str, str]
    ) -> TokenAnswer:
        """What a person said yes to, once; with the first token of a chain that renews it."""
        asked = redeemed.request
        mission = self._state.missions.get(asked.mission)
        if mission is None:
            raise OAuthError("invalid_grant", "mission_ended", "The mission is over.", "Ask the person again.")
        if asked.jkt and asked.jkt != holder.jkt:
            raise OAuthError("invalid_dpop_proof", "renewal_key", "The request is bound to another key.")
        if asked.resource and wishes.server not in {"", asked.resource}:
            raise OAuthError("invalid_target", "resource_differs", "The person said yes for another resource.")
        server = asked.resource or wishes.server
        check_server(holder, server)
        chain = self._parts.new_id("n")
        gas = [one for one in (asked.gas, wishes.gas) if one]
        uses = [one for one in (asked.uses, wishes.uses) if one]
        new = NewGrant(
            person=mission.person,
            agent=asked.agent,
            server=server,
            binding=holder.binding,
            jkt=holder.jkt,
            strictness=holder.strictness,
            mission=mission.id,
            gas=Gas(min(gas)) if gas else None,
            ttl=wishes.ttl,
            lanes=wishes.lanes or asked.lanes,
            request=grant_request(chain, 0),
            client=holder.who.client.id,
            x5t=holder.x5t,
            uses=min(uses) if uses else None,
            authority=wishes.authority(mission.authority),
            may_act=wishes.may_act,
        )
        issued = await self._grants.open(new)
        # Kept for every client, for it says what all grants of this yes may have together; the token is for those that named it.
        refresh = await self._renewals.begin(
            Renewal(
                chain,
                holder.who.client.id,
                asked.agent,
                mission.person,
                mission.id,
                server,
                mission.expires,
                holder.jkt,
                holder.x5t,
                grant=issued.grant.id,
                gas=min(gas) if gas else 0,
                uses=min(uses) if uses else 0,
                lanes=new.lanes,
            )
        )
        # Last, so that a code that comes a second time meanwhile ends the grant and the chain alike.
        await self._consents.gave(asked, issued.grant.id)
        if self._state.grants[issued.grant.id].state is not GrantState.ACTIVE:
            raise OAuthError(
                "invalid_grant", "code_reused", "The code came twice: what it gave has ended.", "Ask again."
            )
        if REFRESH_TOKEN not in (holder.who.client.grant_types or _DEFAULT_GRANTS):
            refresh = ""
        asked_details = {**parameters, "authorization_details": ""} if asked.details else parameters
        return await self._answered(issued, holder, kind, asked_details, refresh)

    async def _renewed(self, holder: Holder, parameters: Mapping[str, str]) -> TokenAnswer:
        token = needed(parameters, "refresh_token")
        known = self._renewals.find(token)
        resource = parameters.get("resource", "")
        if known is not None and resource and resource_server(resource, self._parts.issuer) != known.server:
            raise OAuthError("invalid_target", "resource_differs", "The refresh token is for another resource.")
        issued, refresh = await self._renewals.renew(holder.who, token, holder.jkt)
        return await self._answered(issued, holder, REFRESH_TOKEN, parameters, refresh)

    async def _opened(
        self, holder: Holder, mission: Mission, kind: str, parameters: Mapping[str, str], resource: str = ""
    ) -> TokenAnswer:
        """A grant for an agent under a mission that runs; nothing renews it: the agent asks again."""
        wishes = Wishes.of(parameters, self._parts.issuer)
        server = wishes.server or resource
        check_server(holder, server)
        self._check_room(holder.who.agent, mission.id)
        gas, uses = wishes.gas, wishes.uses
        # Named, so that it is never taken for the grant that the enforcement points of a mission share.
        request = self._parts.new_id("o")
        if mission.agent:
            # A person said yes to this mission for this agent, with so much gas at a time and so many calls: that holds for these grants too.
            most_gas, most_uses, request = self._renewals.draw(holder.who.agent, mission.id)
            gas = min(most_gas, gas or most_gas)
            uses = uses if most_uses is None else min(most_uses, uses or most_uses)
        issued = await self._grants.open(
            NewGrant(
                person=mission.person,
                agent=holder.who.agent,
                server=server,
                binding=holder.binding,
                jkt=holder.jkt,
                strictness=holder.strictness,
                mission=mission.id,
                gas=None if gas is None else Gas(gas),
                ttl=wishes.ttl,
                lanes=wishes.lanes or 1,
                request=request,
                client=holder.who.client.id,
                x5t=holder.x5t,
                uses=uses,
                authority=wishes.authority(mission.authority),
                may_act=wishes.may_act,
            )
        )
        return await self._answered(issued, holder, kind, parameters, "")

    def _check_room(self, agent: str, mission: str) -> None:
        """Refuse one grant too many: each takes a place in a status list and in memory, even with a single unit of gas.

        Nothing is awaited from here to the opening of the grant.
        """
        identity, now, rules = self._index.agent(agent), self._parts.clock(), self._parts.rules.grants
        names = [agent] if identity is None else {agent, *self._index.agent_names(identity.id)}
        longest = max(rules.ttl, rules.ttl_shortest)
        opened = self._state.held_since(names, "", Instant(now - longest)).values()
        # What others carved for it is no grant that it asked for: they cannot use up its room.
        held = sum(
            one.mission == mission and not one.path and one.state in _LIVE and now < one.expires for one in opened
        )
        if held >= GRANTS_AT_ONCE:
            raise OAuthError(
                "access_denied",
                "too_many_grants",
                f"{GRANTS_AT_ONCE} grants of this agent are in force under the mission.",
                "Use them, revoke some, or wait until they end.",
            )

    async def _answered(
        self, issued: IssuedGrant, holder: Holder, kind: str, parameters: Mapping[str, str], refresh: str
    ) -> TokenAnswer:
        now, grant = self._parts.clock(), issued.grant
        await self._state.change([], [issue_record(grant, holder, kind.rpartition(":")[2], now, holder.who.agent)])
        mission = self._state.missions.get(grant.mission)
        return answer_of(issued, now, mission.authority if mission else None, parameters, refresh)

    # ---- assertions -------------------------------------------------------------------------------------------------------------------------

    async def _by_assertion(self, request: TokenRequest, audiences: tuple[str, ...], jkt: str) -> TokenAnswer:
        """RFC 7523 §2.1: a workload's own document, or an identity provider's word for a person."""
        assertion = needed(request.parameters, "assertion")
        try:
            header, _ = peek(assertion)
        except BadInputError as error:
            raise OAuthError("invalid_grant", "assertion_bad", error.message) from None
        kind = header.get("typ")
        if isinstance(kind, str) and kind.lower() == ID_JAG_TYP:
            return await self._for_person(request, assertion, audiences, jkt)
        try:
            spiffe_id = await self._clients.svid(assertion, audiences)
        except OAuthError as error:
            raise OAuthError("invalid_grant", error.code, error.message, error.next_step) from None
        client = self._clients.workload(spiffe_id)
        who = Authenticated(client, client.agent, proven=True)
        if request.proof.assertion or request.proof.client not in {"", client.id}:
            said = await self._clients.authenticate(request.proof, audiences)
            if said.proven and said.agent != who.agent:
                raise OAuthError(
                    "invalid_grant", "assertion_of_another", "The assertion is another's than the client's."
                )
            who = Authenticated(said.client, who.agent, proven=True, x5t=said.x5t)
            _check_allowed(said.client, JWT_BEARER, builtin=True)
        return await self._opened(self._holder(who, jkt), self._mission_of(who.agent), JWT_BEARER, request.parameters)

    async def _for_person(
        self, request: TokenRequest, assertion: str, audiences: tuple[str, ...], jkt: str
    ) -> TokenAnswer:
        who = await self._clients.authenticate(request.proof, audiences)
        _check_allowed(who.client, JWT_BEARER)
        if not who.proven:
            raise OAuthError(
                "unauthorized_client",
                "client_unproven",
                "Only a client that proves who it is brings a person's assertion.",
            )
        said = await self._asserted(assertion, who)
        person = self._person(said)
        mission = self._current(person, who.agent)
        if mission is None:
            raise _no_mission(f"{person.id} has no mission that runs")
        resource = ""
        if said.resource:
            resource = resource_server(said.resource, self._parts.issuer)
            asked = Wishes.of(request.parameters, self._parts.issuer).server
            if asked not in {"", resource}:
                raise OAuthError("invalid_target", "resource_differs", "The assertion is for another resource.")
        return await self._opened(self._holder(who, jkt), mission, JWT_BEARER, request.parameters, resource)

    async def _asserted(self, assertion: str, who: Authenticated) -> IdentityAssertion:
        """The provider's word, checked with the keys of an issuer that an admin trusts, and taken once."""
        try:
            header, claims = peek(assertion)
            named, kid = claims.get("iss"), header.get("kid")
            issuer = self._sources.of(EvidenceKind.OIDC, named) if isinstance(named, str) and named else None
            if issuer is None or not isinstance(kid, str):
                raise OAuthError("invalid_grant", "issuer_untrusted", "No admin trusts the issuer of this assertion.")
            listed = (await self._token_keys.keys(issuer, kid)).get("keys")
            keys = listed if isinstance(listed, list) else []
            now = self._parts.clock()
            said = check_id_jag(assertion, keys, issuer.issuer, self._parts.issuer, who.client.id, now)
        except UnavailableError as error:
            raise as_oauth(error) from None
        except BadInputError as error:
            raise OAuthError("invalid_grant", error.code, error.message, error.next_step) from None
        if said.details is not None:
            raise OAuthError(
                "invalid_grant", "details_in_assertion", "authorization_details inside an assertion are not taken."
            )
        if not self._seen.take(("assertion", said.issuer, said.jti), said.issued, said.expires):
            raise OAuthError(
                "invalid_grant", "assertion_used", "The assertion was used before, or made before this server began."
            )
        return said

    # ---- whose mission ----------------------------------------------------------------------------------------------------------------------

    def _person(self, said: IdentityAssertion) -> Identity:
        """The person that a provider means, as at login: by its own name for them, or by a mail address that it has verified."""
        found = self._identities.find(f"oidc:{said.issuer}#{said.subject}")
        if found is None and said.email:
            by_mail = self._identities.find(f"email:{said.email}")
            # A mail address that was given to somebody else later is not the person whom the provider has named before.
            if by_mail is not None and not any(one.startswith(f"oidc:{said.issuer}#") for one in by_mail.names):
                found = by_mail
        if found is None or found.kind is not SubjectKind.PERSON or found.state is not IdentityState.ACTIVE:
            raise OAuthError(
                "invalid_grant", "person_unknown", "No active person here is the one that the assertion names.",
                "An admin registers people: jittrust identity enrol, or SCIM.",
            )  # fmt: skip
        return found

    def _mission_of(self, agent: str) -> Mission:
        """The mission an agent works under: the newest that runs and is its own, or its owner's current one."""
        now = self._parts.clock()
        mine = [m for m in self._state.missions.values() if m.agent and m.agent == agent and _runs(m, now)]
        if mine:
            return max(mine, key=lambda m: (m.created, m.id))
        identity = self._index.agent(agent)
        owner = self._identities.find(identity.owner) if identity is not None and identity.owner else None
        found = self._current(owner, agent) if owner is not None else None
        if found is None:
            raise _no_mission("Neither the agent nor the person who answers for it has a mission that runs")
        return found

    def _current(self, person: Identity, agent: str) -> Mission | None:
        """The newest mission of a person that runs and is no other agent's."""
        now = self._parts.clock()
        found = (self._state.current(name) for name in names_of(person))
        mine = [m for m in found if m is not None and m.agent in {"", agent} and _runs(m, now)]
        return max(mine, key=lambda m: (m.created, m.id), default=None)


def _runs(mission: Mission, now: Instant) -> bool:
    return mission.state is MissionState.ACTIVE and now < mission.expires


def _check_allowed(client: OAuthClient, kind: str, *, builtin: bool = False) -> None:
    """Refuse what a client's metadata does not name. `builtin`: our own client passes all the same, for the assertion alone says who acts."""
    if kind not in (client.grant_types or _DEFAULT_GRANTS) and not (builtin and client.strict):
        raise OAuthError(
            "unauthorized_client", "grant_type_not_allowed", "The client's metadata does not name this grant_type."
        )


def _no_mission(why: str) -> OAuthError:
    return OAuthError(
        "access_denied",
        "no_mission",
        f"{why}.",
        "A person states a goal: jittrust mission start --goal TEXT, or asks for it at the authorization endpoint.",
    )
