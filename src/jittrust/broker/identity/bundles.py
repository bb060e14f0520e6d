"""Trust bundles, and checking documents against them. Public: needs no role."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.broker.identity.authorities import AuthorityBook
from jittrust.broker.identity.federation import FederationBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.state import State
from jittrust.ports.bundles import CheckedJwt


class BundleBook:
    """What is trusted."""

    def __init__(
        self,
        state: State,
        authorities: AuthorityBook,
        federation: FederationBook,
        identities: IdentityBook,
        parts: IdentityParts,
    ) -> None:
        """Wire it up."""
        self._state = state
        self._authorities = authorities
        self._federation = federation
        self._identities = identities
        self._parts = parts

    async def own(self) -> str:
        """See `Bundles.own`."""
        raise NotImplementedError

    async def foreign(self) -> Mapping[str, str]:
        """See `Bundles.foreign`."""
        raise NotImplementedError

    async def check_jwt(self, token: str, audience: str) -> CheckedJwt:
        """See `Bundles.check_jwt`."""
        raise NotImplementedError

    async def check_x509(self, chain: tuple[bytes, ...]) -> str:
        """See `Bundles.check_x509`."""
        raise NotImplementedError
