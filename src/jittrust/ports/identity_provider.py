"""Login of people at their own OpenID provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jittrust.core.units import Instant


@dataclass(frozen=True, slots=True)
class LoginStart:
    """What a login remembers until the browser comes back. All but `url` are secrets of this one login."""

    url: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class PersonClaims:
    """What the provider said about the person, checked. `email` is empty unless the provider verified it."""

    issuer: str
    subject: str
    email: str
    name: str
    methods: tuple[str, ...]
    authenticated: Instant


class IdentityProvider(Protocol):
    """Authorization code flow with PKCE (OpenID Connect Core §3.1, RFC 7636)."""

    async def begin(self, redirect_uri: str) -> LoginStart:
        """Where to send the browser. Raises UnavailableError: code `provider_unreachable`."""
        ...

    async def finish(self, start: LoginStart, state: str, code: str, issuer: str) -> PersonClaims:
        """Redeem the code and check the ID token: issuer, audience, nonce, times, signature, `iss` of the response (RFC 9207).

        Raises:
            RefusedError: code `login_failed`.
            UnavailableError: code `provider_unreachable`.
        """
        ...
