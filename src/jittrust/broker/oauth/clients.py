"""OAuth clients: known, registered, fetched, authenticated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jittrust.broker.identity.bundles import BundleBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.state import State
from jittrust.core.model import Json
from jittrust.core.oauth.client import OAuthClient
from jittrust.ports.authorization_server import ClientProof


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

    async def known(self, client: str) -> OAuthClient:
        """The client of that id: built in, registered, a SPIFFE ID, or a document that is fetched. Raises OAuthError: `invalid_client`."""
        raise NotImplementedError

    async def authenticate(self, proof: ClientProof, audience: tuple[str, ...]) -> Authenticated:
        """Check what a client shows; `audience`: what an assertion may be for. Raises OAuthError: `invalid_client`."""
        raise NotImplementedError

    async def register(self, metadata: Mapping[str, Json]) -> OAuthClient:
        """Store a client from its metadata (RFC 7591). Raises OAuthError: `invalid_client_metadata`, `invalid_redirect_uri`."""
        raise NotImplementedError
