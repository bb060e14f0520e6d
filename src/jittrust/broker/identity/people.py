"""People: invitations, login, sessions. Whoever may come in was named by an admin, a directory or the first start's link; nobody registers."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field, replace
from typing import Final

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.index import identity_record
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, RefusedError, UnavailableError
from jittrust.core.grant import jws
from jittrust.core.identity.identity import Identity, IdentityState, Role
from jittrust.core.identity.person import OneTimeLink, Passkey, SignIn
from jittrust.core.model import Json, SubjectKind
from jittrust.core.units import Instant, Seconds
from jittrust.ports.commit import Drop, Keep, Kept, RecordBody, Write
from jittrust.ports.identities import IdentityChange, NewIdentity
from jittrust.ports.identity_provider import IdentityProvider, LoginStart, PersonClaims
from jittrust.ports.people import Invitation, SignedIn

SESSION_SECONDS: Final = 12 * 3600
"""How long somebody stays signed in."""
SESSIONS_MOST: Final = 32
"""Most sessions of one person; the oldest ends first."""
BOOTSTRAP_SECONDS: Final = 24 * 3600
LIFE_LEAST: Final = 60
LIFE_MOST: Final = 7 * 24 * 3600
LOGIN_SECONDS: Final = 600
"""How long the way to the provider and back may take."""
LOGINS_MOST: Final = 1024
"""Most logins under way; the oldest is forgotten first."""
BOOTSTRAP: Final = "bootstrap"
_FIRST_ADMIN: Final = "/person/admin"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
_RANKS: Final = tuple(Role)


@dataclass(slots=True)
class _Ended:
    """Ends the sessions of whoever stops being active, so that they do not come back with their person."""

    state: State
    ids: set[str] = field(default_factory=set)

    def took(self) -> None:
        """See `KeptIndex.took`: what ended stays ended."""

    def kept(self, value: Kept, before: Kept | None) -> None:
        """See `KeptIndex.kept`."""
        del before
        if isinstance(value, Identity) and value.kind is SubjectKind.PERSON and value.state is not IdentityState.ACTIVE:
            self.ids.update(one.id for one in self.state.of_kind(SignIn).values() if one.person == value.id)

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`."""
        self.ids.discard(value.id)


class PeopleBook:
    """Who is in front of the browser."""

    def __init__(self, state: State, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._parts = parts
        self._logins: dict[str, tuple[LoginStart, Instant]] = {}
        self._ended = _Ended(state)
        state.add_index(self._ended)

    # ---- the port -----------------------------------------------------------------------------------------------------------------------

    async def invite(self, person: str, role: Role, life: Seconds, by: str) -> Invitation:
        """See `People.invite`."""
        await self._state.refresh()
        if not LIFE_LEAST <= life <= LIFE_MOST:
            raise BadInputError("life_bad", f"A link lives {LIFE_LEAST} seconds to {LIFE_MOST // 86400} days.")
        if role is Role.NONE:
            raise BadInputError("role_bad", "An invitation needs a role.", "viewer, responder or admin")
        found = self._identities.find(person)
        if found is None:
            found = await self._identities.enrol(_newcomer(person, by))
        return await self._link(found, role, life, by)

    async def bootstrap(self) -> Invitation | None:
        """See `People.bootstrap`."""
        await self._state.refresh()
        if self.administered():
            return None
        admins = [one for one in self._people() if one.role is Role.ADMIN]
        if admins:
            first = min(admins, key=lambda one: (one.created, one.id))
        else:
            first = await self._first_admin()
        return await self._link(first, Role.ADMIN, Seconds(BOOTSTRAP_SECONDS), BOOTSTRAP)

    async def login(self, redirect_uri: str) -> tuple[str, str]:
        """See `People.login`."""
        start = await self._provider().begin(redirect_uri)
        now, handle = self._parts.clock(), self.secret()
        for key in [key for key, (_, until) in self._logins.items() if until <= now]:
            del self._logins[key]
        while len(self._logins) >= LOGINS_MOST:
            del self._logins[next(iter(self._logins))]
        self._logins[self.keyed("login", handle)] = (start, Instant(now + LOGIN_SECONDS))
        return start.url, handle

    async def logged_in(self, handle: str, state: str, code: str, issuer: str) -> SignedIn:
        """See `People.logged_in`."""
        await self._state.refresh()
        start, until = self._logins.pop(self.keyed("login", handle), (None, Instant(0)))
        if start is None or self._parts.clock() >= until:
            raise RefusedError("login_failed", "This login was not begun here, or took too long.", "Sign in again.")
        claims = await self._provider().finish(start, state, code, issuer)
        person = await self._known(claims)
        now = self._parts.clock()
        signed, writes, records = self.signed_in(person, claims.methods or ("fed",), now, "oidc")
        await self._state.change(writes, records)
        return signed

    async def session(self, secret: str, *, end: bool = False) -> SignedIn:
        """See `People.session`."""
        await self._state.refresh()
        sign_in, person = self.seen(secret)
        if end:
            record = self.record("signed_out", person.id, self._parts.clock(), session=sign_in.id[:16])
            await self._state.change([Drop(sign_in)], [record])
        return SignedIn(person, sign_in.methods, sign_in.ends)

    async def tick(self) -> None:
        """Forget sessions that are over, and those of people who stopped: they do not come back with a restart either."""
        now, people = self._parts.clock(), self._state.of_kind(Identity)
        gone = [
            one
            for one in self._state.of_kind(SignIn).values()
            if one.ends <= now
            or one.id in self._ended.ids
            or (person := people.get(one.person)) is None
            or person.state is not IdentityState.ACTIVE
        ]
        if gone:
            await self._state.change([Drop(one) for one in gone], [])

    # ---- for the passkeys -----------------------------------------------------------------------------------------------------------------

    def secret(self) -> str:
        """A fresh secret for a link, a cookie or a login: 32 random bytes, base64url."""
        return jws.encode(self._parts.random(32)).decode("ascii")

    def keyed(self, purpose: str, secret: str) -> str:
        """Under which id a secret is kept: its keyed hash, another one for each purpose."""
        told = f"{purpose}\x00{secret}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._parts.hash_key, told, "sha256").hex()

    def seen(self, secret: str) -> tuple[SignIn, Identity]:
        """The session with this secret and its person, from memory, without an await. Raises RefusedError: code `not_signed_in`."""
        found = self._state.of_kind(SignIn).get(self.keyed("session", secret)) if secret else None
        if found is None or found.id in self._ended.ids or self._parts.clock() >= found.ends:
            raise _not_signed_in()
        person = self._state.of_kind(Identity).get(found.person)
        if person is None or person.kind is not SubjectKind.PERSON or person.state is not IdentityState.ACTIVE:
            raise _not_signed_in()
        return found, person

    def signed_in(
        self, person: Identity, methods: tuple[str, ...], now: Instant, how: str
    ) -> tuple[SignedIn, list[Write], list[RecordBody]]:
        """A new session for somebody who has just proved who they are, and what makes it durable."""
        secret = self.secret()
        sign_in = SignIn(self.keyed("session", secret), person.id, methods, now, Instant(now + SESSION_SECONDS))
        mine = sorted((one for one in self._state.of_kind(SignIn).values() if one.person == person.id), key=_begun)
        gone = [one for one in mine if one.ends <= now or one.id in self._ended.ids]
        kept = [one for one in mine if one not in gone]
        gone += kept[: max(0, len(kept) - SESSIONS_MOST + 1)]
        told = SignedIn(person, methods, sign_in.ends, secret)
        record = self.record("signed_in", person.id, now, how=how, methods=list(methods), session=sign_in.id[:16])
        return told, [*(Drop(one) for one in gone), Keep(sign_in)], [record]

    def link(self, secret: str) -> tuple[OneTimeLink, Identity]:
        """An unused invitation and its person. Raises RefusedError: code `link_dead`."""
        found = self._state.of_kind(OneTimeLink).get(self.keyed("link", secret)) if secret else None
        if found is None or found.used or self._parts.clock() >= found.expires:
            raise _link_dead()
        if found.by == BOOTSTRAP and self.administered():
            raise _link_dead()
        person = self._state.of_kind(Identity).get(found.person)
        # Whoever was changed since (suspended, given another role) was invited as somebody else.
        if person is None or person.state is not IdentityState.ACTIVE or person.changed > found.created:
            raise _link_dead()
        return found, person

    def spent(
        self, link: OneTimeLink, person: Identity, now: Instant
    ) -> tuple[list[Write], list[RecordBody], Identity]:
        """What spends an invitation and gives its person the role that it says, unless they have a higher one."""
        writes: list[Write] = [Keep(replace(link, used=now, revision=link.revision + 1))]
        records: list[RecordBody] = [self.record("link_used", person.id, now, link=link.id[:16], role=link.role)]
        if _RANKS.index(link.role) > _RANKS.index(person.role):
            person = replace(person, role=link.role, revision=person.revision + 1, changed=now, by=link.by, why="")
            writes.append(Keep(person))
            records.append(identity_record(person, "changed", now, link.by, "invited"))
        return writes, records, person

    def record(self, what: str, person: str, now: Instant, **more: Json) -> RecordBody:
        """What somebody did to come in or go."""
        return {
            "kind": "identity",
            "at": milliseconds(now),
            "what": what,
            "identity": person,
            "by": person,
            "why": "",
            **more,
        }

    def administered(self) -> bool:
        """Whether there is an active admin who can sign in."""
        admins = {one.id: one for one in self._people() if one.role is Role.ADMIN}
        if self._parts.provider is not None and any(_has_login(one) for one in admins.values()):
            return True
        return any(one.person in admins for one in self._state.of_kind(Passkey).values())

    # ---- inside -------------------------------------------------------------------------------------------------------------------------

    def _people(self) -> list[Identity]:
        return [
            one
            for one in self._state.of_kind(Identity).values()
            if one.kind is SubjectKind.PERSON and one.state is IdentityState.ACTIVE
        ]

    async def _first_admin(self) -> Identity:
        """The person of the first link, made when there is none yet; a name that was given before is not given again."""
        number = 1
        while True:
            path = _FIRST_ADMIN if number == 1 else f"{_FIRST_ADMIN}-{number}"
            found = self._identities.find(path)
            if found is None:
                display = "First administrator"
                return await self._identities.enrol(
                    NewIdentity(SubjectKind.PERSON, path, display=display, source=BOOTSTRAP, by=BOOTSTRAP)
                )
            if found.source == BOOTSTRAP and found.state is IdentityState.ACTIVE:
                return found
            number += 1

    async def _link(self, person: Identity, role: Role, life: Seconds, by: str) -> Invitation:
        if person.kind is not SubjectKind.PERSON:
            raise BadInputError("person_needed", f"{person.id} is no person.", "Only people are invited.")
        if person.state is not IdentityState.ACTIVE:
            raise RefusedError(
                "identity_not_active", f"{person.id} is {person.state}.", "A person decides: jittrust identity show."
            )
        now, secret = self._parts.clock(), self.secret()
        made = OneTimeLink(
            self.keyed("link", secret), person.id, role, Instant(now + life), created=max(now, person.changed), by=by
        )
        old = [one for one in self._state.of_kind(OneTimeLink).values() if self._replaced(one, made)]
        record = self.record("invited", person.id, now, role=role, link=made.id[:16])
        await self._state.change([*(Drop(one) for one in old), Keep(made)], [{**record, "by": by}])
        return Invitation(secret, person.id, made.expires)

    def _replaced(self, one: OneTimeLink, new: OneTimeLink) -> bool:
        if one.used:
            return False
        same = (one.person, one.role) == (new.person, new.role)
        return same or one.expires <= new.created or (one.by == BOOTSTRAP and new.by == BOOTSTRAP)

    def _provider(self) -> IdentityProvider:
        if self._parts.provider is None:
            raise UnavailableError(
                "provider_not_set", "No OpenID provider is set here.", "Set people.oidc_issuer, or use a passkey."
            )
        return self._parts.provider

    async def _known(self, claims: PersonClaims) -> Identity:
        """Whom the provider means. A person known by mail address only is bound to the provider's subject at their first login."""
        name = f"oidc:{claims.issuer}#{claims.subject}"
        found = self._identities.find(name)
        if found is not None:
            return self._let_in(found)
        found = self._identities.find(f"email:{claims.email}") if claims.email else None
        # A mail address that was given to somebody else later is not the person whom the provider has named before.
        if found is None or any(one.startswith(f"oidc:{claims.issuer}#") for one in found.names):
            raise _person_unknown()
        self._let_in(found)
        change = IdentityChange(names=(name,), why="first login at the provider", by=found.id)
        return (await self._identities.change(found.id, change)).identity

    def _let_in(self, person: Identity) -> Identity:
        if person.kind is not SubjectKind.PERSON or person.state is not IdentityState.ACTIVE:
            raise _person_unknown()
        return person


def _begun(one: SignIn) -> tuple[Instant, str]:
    return one.begins, one.id


def _has_login(person: Identity) -> bool:
    return any(name.startswith(("oidc:", "email:")) for name in person.names)


def _newcomer(person: str, by: str) -> NewIdentity:
    """Somebody to register under a path, or under a name that gives them one."""
    if person.startswith("/"):
        return NewIdentity(SubjectKind.PERSON, person, source="invited", by=by)
    kind, sign, value = person.partition(":")
    plain = _UNFIT.sub("-", value if sign else kind).strip("-.")
    if not plain or kind == "spiffe":
        raise BadInputError(
            "name_bad", f"{person[:80]!r} is no name.", "Write kind:value, such as email:a@example.org."
        )
    return NewIdentity(SubjectKind.PERSON, f"/person/{plain}", names=(person,) if sign else (), source="invited", by=by)


def _not_signed_in() -> RefusedError:
    return RefusedError("not_signed_in", "Nobody is signed in.", "Sign in: /console/login")


def _link_dead() -> RefusedError:
    return RefusedError("link_dead", "This link was used, has expired or was replaced.", "Ask for a new one.")


def _person_unknown() -> RefusedError:
    return RefusedError("person_unknown", "Nobody here is known by this login.", "Ask an administrator to invite you.")
