"""Refresh tokens: the next short grant of a mission, while the score allows."""

from __future__ import annotations

from jittrust.broker.grants import GrantBook
from jittrust.broker.oauth.clients import Authenticated
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.state import State
from jittrust.core.oauth.renewal import Renewal
from jittrust.ports.grants import IssuedGrant


class RenewalBook:
    """Keeps the chains of refresh tokens. A token is `MAC(key, id, seq)` and is stored nowhere."""

    def __init__(self, state: State, grants: GrantBook, parts: OAuthParts) -> None:
        """Wire it up."""
        self._state = state
        self._grants = grants
        self._parts = parts

    async def begin(self, renewal: Renewal) -> str:
        """Store a new chain; gives its first refresh token, a secret."""
        raise NotImplementedError

    async def renew(self, who: Authenticated, token: str, jkt: str) -> tuple[IssuedGrant, str]:
        """Measure again and give the next grant and refresh token. An old token ends the chain and its grants. Raises OAuthError: `invalid_grant`."""
        raise NotImplementedError

    def find(self, token: str) -> Renewal | None:
        """The chain that a token (live or old) is of; None when it is no token of ours."""
        raise NotImplementedError

    async def end(self, renewal: Renewal, why: str, by: str) -> None:
        """End a chain and the grants it gave."""
        raise NotImplementedError
