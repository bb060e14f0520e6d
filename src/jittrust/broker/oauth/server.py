"""The token endpoint and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.broker.grants import GrantBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.sources import SourceBook
from jittrust.broker.oauth.clients import ClientBook
from jittrust.broker.oauth.consents import ConsentBook
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.oauth.renewals import RenewalBook
from jittrust.broker.oauth.transactions import TransactionBook
from jittrust.broker.state import State
from jittrust.core.model import Json
from jittrust.core.oauth.client import OAuthClient
from jittrust.ports.authorization_server import Pushed, TokenAnswer, TokenRequest
from jittrust.ports.token_keys import TokenKeys


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
        self._transactions = transactions
        self._identities = identities
        self._sources = sources
        self._token_keys = token_keys
        self._parts = parts

    async def token(self, request: TokenRequest) -> TokenAnswer:
        """See `AuthorizationServer.token`."""
        raise NotImplementedError

    async def push(self, request: TokenRequest) -> Pushed:
        """See `AuthorizationServer.push`."""
        raise NotImplementedError

    async def backchannel(self, request: TokenRequest) -> Pushed:
        """See `AuthorizationServer.backchannel`."""
        raise NotImplementedError

    async def register(self, metadata: Mapping[str, Json]) -> OAuthClient:
        """See `AuthorizationServer.register`."""
        raise NotImplementedError
