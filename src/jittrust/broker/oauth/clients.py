"""OAuth clients: known, registered, fetched, authenticated. None has a secret that it shares with us (ADR 0038)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from jittrust.broker.identity.bundles import BundleBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.oauth.replay import ReplayMemory
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.core.grant import jws
from jittrust.core.identity.federate import FederatedDomain, accepts
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.model import Json
from jittrust.core.oauth.assertion import audience_in, check_once, peek, signed_by
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.client_document import check_document_url, read_document
from jittrust.core.oauth.client_metadata import read_metadata
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.server_metadata import AUTHORIZATION_CODE, CIBA, REFRESH_TOKEN, TOKEN_EXCHANGE
from jittrust.core.oauth.spiffe_client import JWT_ASSERTION, JWT_SPIFFE, is_spiffe, parsed, spiffe_client
from jittrust.ports.authorization_server import ClientProof
from jittrust.ports.commit import Keep, RecordBody

CONNECT: Final = "jittrust-connect"
"""Our own client: `jittrust connect`."""
ASSERTION_LONGEST: Final = 300.0
"""How long a client's assertion is taken, in seconds from its `iat`."""
REGISTERED_MOST: Final = 1000
"""Most clients that registered themselves."""
REGISTERED_A_MINUTE: Final = 10
_ID_LONGEST: Final = 2048
_ASSERTION_TYPES: Final = frozenset(("jwt", "client-authentication+jwt"))


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A client that said who it is. `agent`: the subject that acts; `proven`: it proved it (not a public client); `x5t`: of its TLS certificate."""

    client: OAuthClient
    agent: str
    proven: bool
    x5t: str = ""


class ClientBook:
    """Says who a client is."""

    def __init__(self, state: State, identities: IdentityBook, bundles: BundleBook, parts: OAuthParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._bundles = bundles
        self._parts = parts
        self._seen = ReplayMemory(parts.clock)
        self._registered: deque[float] = deque(maxlen=REGISTERED_A_MINUTE)

    async def known(self, client: str) -> OAuthClient:
        """The client of that id: built in, registered, a SPIFFE ID, or a document that is fetched. Raises OAuthError: `invalid_client`."""
        if client == CONNECT:
            return _OURS
        if is_spiffe(client):
            spiffe_id = parsed(client)
            if spiffe_id is None or not self._accepted(spiffe_id):
                raise _unknown()
            return self._workload(spiffe_id)
        if client.startswith("https://"):
            return await self._documented(client)
        found = self._state.of_kind(OAuthClient).get(client) if 0 < len(client) <= _ID_LONGEST else None
        if found is None:
            raise _unknown()
        return found

    async def authenticate(self, proof: ClientProof, audience: tuple[str, ...]) -> Authenticated:
        """Check what a client shows; `audience`: what an assertion may be for. Raises OAuthError: `invalid_client`."""
        if proof.assertion or proof.assertion_type:
            if proof.assertion_type == JWT_SPIFFE:
                return self._by_jwt_svid(proof, await self.svid(proof.assertion, audience))
            if proof.assertion_type == JWT_ASSERTION:
                return await self._by_assertion(proof, audience)
            raise _bad("assertion_type", "this kind of client assertion is not taken")
        if proof.chain and (not proof.client or is_spiffe(proof.client)):
            return self._by_certificate(proof)
        if not proof.client:
            raise _bad("client_missing", "the request does not say which client it is from")
        client = await self.known(proof.client)
        if client.method is not ClientMethod.NONE:
            raise _bad("client_unproven", f"this client proves who it is with {client.method}")
        return Authenticated(client, client.agent or client.id, proven=False)

    async def register(self, metadata: Mapping[str, Json]) -> OAuthClient:
        """Store a client from its metadata (RFC 7591). Raises OAuthError: `invalid_client_metadata`, `invalid_redirect_uri`."""
        if not self._parts.registration:
            raise OAuthError(
                "access_denied",
                "registration_off",
                "Clients do not register themselves here.",
                "Use a Client ID Metadata Document, or the SPIFFE ID of an identity here.",
            )
        now = self._parts.clock()
        made = replace(read_metadata(metadata, self._parts.new_id("client"), ClientSource.REGISTERED), since=now)
        if len(self._registered) == REGISTERED_A_MINUTE and self._registered[0] > now - 60:
            raise OAuthError("temporarily_unavailable", "registration_busy", "Too many registered just now.", "Wait.")
        clients = self._state.of_kind(OAuthClient)
        if sum(one.source is ClientSource.REGISTERED for one in clients.values()) >= REGISTERED_MOST:
            raise OAuthError(
                "access_denied", "registration_full", f"{REGISTERED_MOST} clients are registered.", "Ask the admin."
            )
        self._registered.append(float(now))
        record: RecordBody = {
            "kind": "oauth",
            "at": milliseconds(now),
            "what": "client_registered",
            "client": made.id,
            "name": made.name,
            "redirect_uris": list(made.redirect_uris),
            "grant_types": list(made.grant_types),
            "method": made.method,
            "by": made.id,
            "why": "",
        }
        await self._state.change([Keep(made)], [record])
        return made

    # ---- for the token endpoint -----------------------------------------------------------------------------------------------------------

    async def svid(self, token: str, audience: tuple[str, ...]) -> SpiffeId:
        """The workload that a JWT-SVID proves, of ours or accepted from a federated domain.

        It may be for one or more of `audience`, and for nobody else: whoever else it is for could show it here. Shown again it is taken again:
        workloads reuse SVIDs until they end (WIT-SVID §3.3), so what it gives is bound to a key wherever it can be.

        Raises:
            OAuthError: `invalid_client`.
        """
        for one in audience:
            try:
                checked = await self._bundles.check_jwt(token, one)
                audience_in(checked.claims, audience)
            except RefusedError:
                continue
            except BadInputError:
                break
            spiffe_id = parsed(checked.spiffe_id)
            if spiffe_id is not None and self._accepted(spiffe_id):
                return spiffe_id
        raise _bad("svid_refused", "the JWT-SVID is not taken: it is over, for somebody else, or of nobody known here")

    def workload(self, spiffe_id: SpiffeId, method: ClientMethod = ClientMethod.SPIFFE_JWT) -> OAuthClient:
        """The client that a workload whose SVID was checked is."""
        return replace(self._workload(spiffe_id), method=method)

    # ---- inside -----------------------------------------------------------------------------------------------------------------------------

    def _accepted(self, spiffe_id: SpiffeId) -> bool:
        """Whether it is an identity of ours that is active, or one of a federated domain that an admin accepts."""
        if self._identities.active(str(spiffe_id)):
            return True
        domain = self._state.of_kind(FederatedDomain).get(spiffe_id.trust_domain.name)
        return domain is not None and accepts(domain, spiffe_id)

    def _workload(self, spiffe_id: SpiffeId) -> OAuthClient:
        client = spiffe_client(spiffe_id)
        # Who comes from elsewhere acts here as the identity that an admin gave that name to; without one it acts as nobody.
        local = self._identities.find(f"client:{spiffe_id}")
        return client if local is None else replace(client, agent=local.id)

    async def _documented(self, url: str) -> OAuthClient:
        try:
            check_document_url(url)
            data = await self._parts.documents.fetch(url)
            return read_document(url, data, self._parts.clock())
        except UnavailableError as error:
            raise OAuthError("temporarily_unavailable", error.code, error.message, error.next_step) from None
        except JitError as error:
            raise OAuthError("invalid_client", error.code, error.message, error.next_step) from None

    def _by_jwt_svid(self, proof: ClientProof, spiffe_id: SpiffeId) -> Authenticated:
        client = self.workload(spiffe_id)
        if proof.client not in {"", client.id}:
            raise _bad("client_differs", "client_id is another than the assertion's subject")
        return Authenticated(client, client.agent, proven=True)

    def _by_certificate(self, proof: ClientProof) -> Authenticated:
        try:
            spiffe_id = self._bundles.checked(proof.chain, self._parts.clock()).spiffe_id
        except RefusedError as error:
            raise _bad("svid_refused", error.message) from None
        if not self._accepted(spiffe_id):
            raise _unknown()
        client = self.workload(spiffe_id, ClientMethod.TLS)
        if proof.client not in {"", client.id}:
            raise _bad("client_differs", "client_id is another than the certificate's")
        x5t = jws.encode(hashlib.sha256(proof.chain[0]).digest()).decode("ascii")
        return Authenticated(client, client.agent, proven=True, x5t=x5t)

    async def _by_assertion(self, proof: ClientProof, audience: tuple[str, ...]) -> Authenticated:
        """RFC 7523 §3, with `iat` and `jti` required: without them nothing could be taken only once."""
        try:
            _, told = peek(proof.assertion)
            name = told.get("sub")
            if not isinstance(name, str) or not name or told.get("iss") != name or proof.client not in {"", name}:
                raise _bad("client_differs", "iss, sub and client_id are not one client")
            client = await self.known(name)
            if client.method is not ClientMethod.PRIVATE_KEY_JWT:
                raise _bad("client_unproven", f"this client proves who it is with {client.method}")
            claims = signed_by(proof.assertion, client.keys, _ASSERTION_TYPES, untyped=True)
            audience_in(claims, audience)
            jti, issued, expires = check_once(claims, self._parts.clock(), ASSERTION_LONGEST)
        except BadInputError as error:
            raise OAuthError("invalid_client", error.code, error.message, error.next_step) from None
        if not self._seen.take(("assertion", client.id, jti), issued, expires, _sharer(client)):
            raise _bad("assertion_used", "the assertion was used before, or made before this server began")
        return Authenticated(client, client.agent or client.id, proven=True)


_OURS: Final = OAuthClient(
    CONNECT,
    ClientSource.BUILT_IN,
    ClientMethod.NONE,
    name="jittrust connect",
    redirect_uris=("http://127.0.0.1/callback",),
    grant_types=(AUTHORIZATION_CODE, REFRESH_TOKEN, CIBA, TOKEN_EXCHANGE),
    strict=True,
)


def _sharer(client: OAuthClient) -> str:
    """Who may fill an eighth of the memory of assertions: all clients whose documents lie under one name, or all that registered themselves.

    Names below a name cost nothing, so the last two labels count.
    """
    if not client.id.startswith("https://"):
        return str(client.source)
    host = client.id.removeprefix("https://").partition("/")[0].partition(":")[0]
    return "https://" + ".".join(host.lower().rstrip(".").split(".")[-2:])


def _unknown() -> OAuthError:
    return _bad("client_unknown", "no such client is known here")


def _bad(code: str, why: str) -> OAuthError:
    return OAuthError("invalid_client", code, f"The client is not taken: {why}.")
