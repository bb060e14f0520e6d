"""Trust bundles, and checking documents against them."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.broker.identity.authorities import AuthorityBook
from jittrust.broker.identity.federation import FederationBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.state import State
from jittrust.core.errors import RefusedError
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.bundle import write_bundle
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.svid import CheckedX509, check_jwt_svid, check_x509
from jittrust.core.units import Instant
from jittrust.ports.bundles import CheckedJwt


class BundleBook:
    """What is trusted: our own authorities, and the foreign ones that an admin named."""

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
        """See `Bundles.own`. The first time it makes the first authorities: an empty bundle could not be trusted by anybody."""
        await self._state.refresh()
        for kind in AuthorityKind:
            await self._authorities.active(kind)
        return write_bundle(self._authorities.published())

    async def foreign(self) -> Mapping[str, str]:
        """See `Bundles.foreign`."""
        return {name: write_bundle(bundle) for name, bundle in self._federation.bundles().items()}

    async def check_jwt(self, token: str, audience: str) -> CheckedJwt:
        """See `Bundles.check_jwt`."""
        now = self._parts.clock()
        own = self._authorities.published()
        keys = {name: bundle.jwt for name, bundle in self._federation.bundles().items()}
        keys[own.trust_domain] = own.jwt
        checked = check_jwt_svid(token, keys, audience, now, self._authorities.distrusted_kids(now))
        self._still_here(checked.spiffe_id)
        return CheckedJwt(str(checked.spiffe_id), checked.claims)

    async def check_x509(self, chain: tuple[bytes, ...]) -> str:
        """See `Bundles.check_x509`."""
        return str(self.checked(chain, self._parts.clock()).spiffe_id)

    def checked(self, chain: tuple[bytes, ...], now: Instant) -> CheckedX509:
        """The X.509-SVID with its key. Raises RefusedError: code `svid_refused`."""
        own = self._authorities.published()
        roots = {name: bundle.x509 for name, bundle in self._federation.bundles().items()}
        roots[own.trust_domain] = own.x509
        checked = check_x509(chain, roots, now, self._authorities.distrusted(now))
        self._still_here(checked.spiffe_id)
        return checked

    def _still_here(self, spiffe_id: SpiffeId) -> None:
        """A document of ours outlives nobody: who is not active is not believed, however good the signature."""
        ours = spiffe_id.trust_domain == self._parts.trust_domain
        if ours and not self._identities.active(str(spiffe_id)) and not spiffe_id.path.startswith("/jittrust/"):
            raise RefusedError("svid_refused", "the identity is not active", "jittrust identity show")
