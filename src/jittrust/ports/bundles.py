"""Trust bundles, and checking documents against them. Public: needs no role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.model import Json


@dataclass(frozen=True, slots=True)
class CheckedJwt:
    """A JWT-SVID that is valid here."""

    spiffe_id: str
    claims: Mapping[str, Json]


class Bundles(Protocol):
    """What is trusted."""

    async def own(self) -> str:
        """The trust domain's own bundle as a SPIFFE JWKS document, with sequence and refresh hint."""
        ...

    async def foreign(self) -> Mapping[str, str]:
        """Bundles of federated trust domains by name, those that have one."""
        ...

    async def check_jwt(self, token: str, audience: str) -> CheckedJwt:
        """Check a JWT-SVID of this or a federated domain. Raises RefusedError: code `svid_refused`."""
        ...

    async def check_x509(self, chain: tuple[bytes, ...]) -> str:
        """SPIFFE ID of a valid X.509-SVID (DER, leaf first) of this or a federated domain, whose identity, if it is ours, is active.

        Raises:
            RefusedError: code `svid_refused`.
        """
        ...
