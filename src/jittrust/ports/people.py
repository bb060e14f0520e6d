"""People: invitations, login, sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jittrust.core.identity.identity import Identity, Role
from jittrust.core.units import Instant, Seconds


@dataclass(frozen=True, slots=True)
class Invitation:
    """A one-time link's secret (told once), for whom and until when."""

    secret: str
    person: str
    expires: Instant


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session: `secret` is the cookie's value, told once and empty when looked up; `person` as it stands now; `methods` are RFC 8176 names."""

    person: Identity
    methods: tuple[str, ...]
    ends: Instant
    secret: str = ""


class People(Protocol):
    """Who is in front of the browser."""

    async def invite(self, person: str, role: Role, life: Seconds, by: str) -> Invitation:
        """A one-time link for a person (a name or path; made when new). An older unused one for the same person and role is dead.

        Raises:
            BadInputError: code `life_bad`, `role_bad`, `name_bad`, `person_needed` (it names somebody who is no person).
            RefusedError: code `identity_not_active`.
            ConflictError: code `identity_exists`, `name_taken`.
        """
        ...

    async def bootstrap(self) -> Invitation | None:
        """The first admin's link, while no active admin has a passkey or a login; None after that. An older unused one is dead."""
        ...

    async def login(self, redirect_uri: str) -> tuple[str, str]:
        """Begin a login at the OpenID provider: address for the browser, and a handle that its cookie keeps.

        Raises:
            UnavailableError: code `provider_unreachable`, `provider_not_set`.
        """
        ...

    async def logged_in(self, handle: str, state: str, code: str, issuer: str) -> SignedIn:
        """Finish a login. Whoever the provider names must be a known, active person. Raises RefusedError: code `login_failed`, `person_unknown`."""
        ...

    async def session(self, secret: str, *, end: bool = False) -> SignedIn:
        """Whose session it is; with `end` it is over. Raises RefusedError: code `not_signed_in`: unknown, over, or the person is not active."""
        ...
