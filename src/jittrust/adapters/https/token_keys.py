"""`ports.token_keys`: fetches and caches JWK sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jittrust.core.identity.attest import TrustedIssuer
from jittrust.core.model import Json
from jittrust.core.units import Instant


class HttpsTokenKeys:
    """Fetches and caches JWK sets."""

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self._clock = clock

    async def keys(self, issuer: TrustedIssuer, kid: str) -> Mapping[str, Json]:
        raise NotImplementedError
