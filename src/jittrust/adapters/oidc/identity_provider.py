"""`ports.identity_provider`: login at one OpenID provider."""

from __future__ import annotations

from collections.abc import Callable

from jittrust.core.secret import Secret
from jittrust.core.units import Instant
from jittrust.ports.identity_provider import LoginStart, PersonClaims


class OidcProvider:
    """Login at one OpenID provider."""

    def __init__(self, issuer: str, client: str, secret: Secret | None, clock: Callable[[], Instant]) -> None:
        self._issuer = issuer
        self._client = client
        self._secret = secret
        self._clock = clock

    async def begin(self, redirect_uri: str) -> LoginStart:
        raise NotImplementedError

    async def finish(self, start: LoginStart, state: str, code: str, issuer: str) -> PersonClaims:
        raise NotImplementedError
