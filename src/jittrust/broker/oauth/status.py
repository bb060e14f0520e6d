"""What tokens are worth now: introspection, revocation, status lists, keys."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.broker.grants import GrantBook
from jittrust.broker.oauth.clients import ClientBook
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.oauth.renewals import RenewalBook
from jittrust.broker.state import State
from jittrust.core.model import Json
from jittrust.ports.authorization_server import ClientProof


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

    async def introspect(self, token: str, caller: ClientProof) -> Mapping[str, Json]:
        """See `TokenStatus.introspect`."""
        raise NotImplementedError

    async def revoke(self, token: str, caller: ClientProof) -> None:
        """See `TokenStatus.revoke`."""
        raise NotImplementedError

    async def status_list(self, number: int) -> str:
        """See `TokenStatus.status_list`."""
        raise NotImplementedError

    async def keys(self) -> Mapping[str, Json]:
        """See `TokenStatus.keys`."""
        raise NotImplementedError
