"""Passkeys of people."""

from __future__ import annotations

from typing import Protocol

from jittrust.core.identity.person import Passkey
from jittrust.ports.people import SignedIn


class Passkeys(Protocol):
    """Enrols passkeys, and lets them sign in and approve. Options and responses are WebAuthn's JSON."""

    async def begin(self, session: str, invitation: str) -> str:
        """Creation options for the person of a session or of an unused invitation (one of the two). Raises RefusedError: code `not_signed_in`, `link_dead`."""
        ...

    async def finish(self, session: str, invitation: str, response: str, label: str) -> SignedIn:
        """Store the new passkey; the invitation is spent, and its person signed in.

        Raises:
            RefusedError: code `passkey_refused`, `link_dead`, `not_signed_in`.
            BadInputError: code `passkey_bad`.
        """
        ...

    async def request(self, approval: str = "", *, endorse: bool = False, up_to: float | None = None) -> str:
        """Request options: to sign in, or (with `approval`) over exactly what that question asks, or over the source that it offers to endorse.

        `endorse`, `up_to`: as in the answer that is to be signed. Raises NotFoundError: code `approval_unknown`; BadInputError: code
        `nothing_to_endorse`, `bad_amount`.
        """
        ...

    async def sign_in(self, response: str) -> SignedIn:
        """Sign in with a passkey. Raises RefusedError: code `passkey_refused`; BadInputError: code `passkey_bad`."""
        ...

    async def list(self, person: str) -> tuple[Passkey, ...]:
        """Passkeys of a person."""
        ...
