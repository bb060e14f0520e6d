"""Checks what an authenticator signed (WebAuthn Level 3 §7)."""

from __future__ import annotations

from typing import Protocol

from jittrust.core.identity.person import Passkey


class PasskeyCheck(Protocol):
    """Verifies registrations and assertions, user verification required. Relying party and origin are its own settings."""

    def options(self, challenge: bytes, person: str, display: str, known: tuple[str, ...]) -> str:
        """`PublicKeyCredentialCreationOptions` as JSON; `known` are the person's credential ids, which are excluded."""
        ...

    def registered(self, response: str, challenge: bytes, person: str) -> Passkey:
        """The credential that a registration response proves. Raises RefusedError: code `passkey_refused`; BadInputError: code `passkey_bad`."""
        ...

    def request(self, challenge: bytes, allowed: tuple[str, ...]) -> str:
        """`PublicKeyCredentialRequestOptions` as JSON; `allowed` are credential ids, empty = any resident one."""
        ...

    def asserted(self, response: str, challenge: bytes, passkey: Passkey) -> int:
        """The signature counter of a valid assertion by `passkey`. Raises RefusedError: code `passkey_refused`; BadInputError: code `passkey_bad`."""
        ...
