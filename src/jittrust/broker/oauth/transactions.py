"""Transaction tokens inside the trust domain (draft-ietf-oauth-transaction-tokens): one unit of work and its stated intent, down a call chain."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.broker.oauth.clients import Authenticated
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.state import State
from jittrust.core.identity.spiffe_id import TrustDomain
from jittrust.ports.authorization_server import TokenAnswer


class TransactionBook:
    """Issues and replaces transaction tokens."""

    def __init__(self, state: State, trust_domain: TrustDomain, parts: OAuthParts) -> None:
        """Wire it up."""
        self._state = state
        self._trust_domain = trust_domain
        self._parts = parts

    async def issue(self, who: Authenticated, parameters: Mapping[str, str]) -> TokenAnswer:
        """A transaction token for a grant token (or a transaction token that is replaced by a narrower one). Raises OAuthError."""
        raise NotImplementedError
