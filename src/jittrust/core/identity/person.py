"""What people sign in with: passkeys, sessions, one-time links. Tokens are stored nowhere, only their keyed hashes."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.core.identity.identity import Role
from jittrust.core.units import Instant


@dataclass(frozen=True, slots=True)
class Passkey:
    """A public key credential of a person (WebAuthn Level 3 §4).

    Attributes:
        id: credential id, base64url.
        person: SPIFFE ID.
        public_key: COSE key, base64url.
        signs: last signature counter; synced passkeys keep it at 0, so it is a hint and no proof.
        backed_up: the credential is synced between devices.
        label: for the person.
    """

    id: str
    person: str
    public_key: str
    signs: int = 0
    backed_up: bool = False
    label: str = ""
    created: Instant = Instant(0)
    used: Instant = Instant(0)
    revision: int = 1


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person's session in the browser. `id` is the keyed hash of the cookie; `methods` are RFC 8176 names of how they proved themselves."""

    id: str
    person: str
    methods: tuple[str, ...]
    begins: Instant
    ends: Instant
    revision: int = 1


@dataclass(frozen=True, slots=True)
class OneTimeLink:
    """An invitation: whoever opens it first enrols a passkey for `person` with `role`. `id` is the keyed hash of its secret."""

    id: str
    person: str
    role: Role
    expires: Instant
    used: Instant = Instant(0)
    revision: int = 1
    created: Instant = Instant(0)
    by: str = ""
