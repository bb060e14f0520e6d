"""Passkeys of people."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import Final

from jittrust.broker.approvals import ApprovalProof
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.identity.people import PeopleBook
from jittrust.broker.state import State
from jittrust.core.approval import Approval, ApprovalKind, ApprovalState, ConfirmedBy, chosen, question_challenge
from jittrust.core.errors import BadInputError, JitError, NotFoundError, RefusedError
from jittrust.core.identity.identity import Identity, IdentityState, Role
from jittrust.core.identity.passkey_response import said
from jittrust.core.identity.person import Passkey
from jittrust.core.model import SubjectKind
from jittrust.core.units import Instant
from jittrust.ports.approvals import Answer
from jittrust.ports.commit import Keep, RecordBody, Write
from jittrust.ports.people import SignedIn

CHALLENGE_SECONDS: Final = 300
"""How long an authenticator may take."""
CHALLENGES_MOST: Final = 4096
"""Most challenges of one purpose that are open at once; the oldest is forgotten first."""
PASSKEYS_MOST: Final = 32
"""Most passkeys of one person."""
LABEL_MOST: Final = 64
METHODS: Final = ("pop", "user", "mfa")
"""What a passkey with user verification proves, in the words of RFC 8176."""
_MAY_ANSWER: Final = frozenset({Role.RESPONDER, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class _OpenChallenge:
    """What a challenge was given out for."""

    until: Instant
    person: str = ""
    invitation: str = ""  # keyed hash of the link it was begun with; empty when begun by a session
    nonce: bytes = b""


class _Challenges:
    """Open challenges of one purpose; each is good once. They live in memory: after a restart people begin again."""

    def __init__(self) -> None:
        self._open: dict[bytes, _OpenChallenge] = {}

    def add(self, challenge: bytes, asked: _OpenChallenge, now: Instant) -> None:
        """Remember one."""
        while self._open and (len(self._open) >= CHALLENGES_MOST or next(iter(self._open.values())).until <= now):
            del self._open[next(iter(self._open))]
        self._open[challenge] = asked

    def take(self, challenge: bytes, now: Instant) -> _OpenChallenge | None:
        """What it was given out for, if it is open. It is not open any more."""
        asked = self._open.pop(challenge, None)
        return None if asked is None or asked.until <= now else asked


class PasskeyBook:
    """Enrols passkeys, and lets them sign in and approve. Options and responses are WebAuthn's JSON."""

    def __init__(self, state: State, people: PeopleBook, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._people = people
        self._identities = identities
        self._parts = parts
        # A flood of one purpose does not push out the challenges of another.
        self._enrolling = _Challenges()
        self._signing_in = _Challenges()
        self._approving = _Challenges()

    # ---- the port -----------------------------------------------------------------------------------------------------------------------

    async def begin(self, session: str, invitation: str) -> str:
        """See `Passkeys.begin`."""
        await self._state.refresh()
        person, link = self._newcomer(session, invitation)
        known = self._of(person.id)
        if len(known) >= PASSKEYS_MOST:
            raise RefusedError("passkey_refused", f"Nobody has more than {PASSKEYS_MOST} passkeys.")
        now, challenge = self._parts.clock(), self._parts.random(32)
        self._enrolling.add(challenge, _OpenChallenge(_until(now), person.id, link), now)
        display = person.display or person.id
        return self._parts.passkeys.options(challenge, person.id, display, tuple(one.id for one in known))

    async def finish(self, session: str, invitation: str, response: str, label: str) -> SignedIn:
        """See `Passkeys.finish`."""
        await self._state.refresh()
        person, link = self._newcomer(session, invitation)
        if len(label) > LABEL_MOST or not label.isprintable():
            raise BadInputError("passkey_bad", f"A label has {LABEL_MOST} printable characters at most.")
        now, (challenge, _) = self._parts.clock(), said(response)
        asked = self._enrolling.take(challenge, now)
        if asked is None or asked.person != person.id or not hmac.compare_digest(asked.invitation, link):
            raise await self._refused("not_asked", person.id, now)
        try:
            made = self._parts.passkeys.registered(response, challenge, person.id)
        except RefusedError as error:
            raise await self._refused("registration_bad", person.id, now) from error
        if made.id in self._state.of_kind(Passkey):
            raise await self._refused("credential_known", person.id, now)
        made = replace(made, label=label, created=now, used=now)
        writes: list[Write] = [Keep(made)]
        record = self._people.record("passkey_enrolled", person.id, now, credential=_hashed(made.id), label=label)
        records: list[RecordBody] = [record]
        if link:
            spent, told, person = self._people.spent(self._people.link(invitation)[0], person, now)
            writes += spent
            records += told
        signed, more, told = self._people.signed_in(person, METHODS, now, "passkey_enrolled")
        await self._state.change([*writes, *more], [*records, *told])
        return signed

    async def request(self, approval: str = "", *, endorse: bool = False, up_to: float | None = None) -> str:
        """See `Passkeys.request`."""
        await self._state.refresh()
        now = self._parts.clock()
        if not approval:
            challenge = self._parts.random(32)
            self._signing_in.add(challenge, _OpenChallenge(_until(now)), now)
            return self._parts.passkeys.request(challenge, ())
        found = self._state.approvals.get(approval)
        if found is None or found.state is not ApprovalState.WAITING or now >= found.expires:
            raise NotFoundError(
                "approval_unknown", f"No question {approval[:80]} waits.", "The agent has to ask again."
            )
        nonce = self._parts.random(32)
        challenge = question_challenge(chosen(found, up_to) if endorse else found, nonce)
        self._approving.add(challenge, _OpenChallenge(_until(now), nonce=nonce), now)
        return self._parts.passkeys.request(challenge, ())

    async def sign_in(self, response: str) -> SignedIn:
        """See `Passkeys.sign_in`."""
        await self._state.refresh()
        now, (challenge, _) = self._parts.clock(), said(response)
        if self._signing_in.take(challenge, now) is None:
            raise await self._refused("not_asked", "", now)
        passkey = await self._checked(response, challenge, now)
        person = self._state.of_kind(Identity).get(passkey.person)
        if person is None or person.kind is not SubjectKind.PERSON or person.state is not IdentityState.ACTIVE:
            raise await self._refused("person_not_active", passkey.person, now, passkey.id)
        signed, writes, records = self._people.signed_in(person, METHODS, now, f"passkey:{_hashed(passkey.id)[:16]}")
        await self._state.change([Keep(passkey), *writes], records)
        return signed

    async def list(self, person: str) -> tuple[Passkey, ...]:
        """See `Passkeys.list`."""
        await self._state.refresh()
        found = self._identities.find(person)
        return () if found is None else self._of(found.id)

    # ---- for the questions ----------------------------------------------------------------------------------------------------------------

    def required(self) -> bool:
        """See `ApproverCheck.required`."""
        identities = self._state.of_kind(Identity)
        return any(
            (person := identities.get(one.person)) is not None
            and person.state is IdentityState.ACTIVE
            and person.role in _MAY_ANSWER
            for one in self._state.of_kind(Passkey).values()
        )

    async def proof(self, approval: Approval, answer: Answer) -> ApprovalProof:
        """See `ApproverCheck.proof`."""
        _, person = self._people.seen(answer.session)
        own = approval.kind is ApprovalKind.MISSION and approval.target == person.id
        # Whoever is asked on their own behalf may always say no.
        if person.role not in _MAY_ANSWER and (answer.approve or not own):
            raise RefusedError("role_too_low", "Only responders and admins answer questions.", "Ask one of them.")
        if not answer.approve:
            return ApprovalProof(person.id)
        if answer.confirmed_by is not ConfirmedBy.PASSKEY:
            raise RefusedError("passkey_required", "A yes needs a passkey.")
        now, (challenge, _) = self._parts.clock(), said(answer.assertion)
        asked = self._approving.take(challenge, now)
        if asked is None or not hmac.compare_digest(question_challenge(approval, asked.nonce), challenge):
            raise await self._refused("another_question", person.id, now, approval=approval.id)
        passkey = await self._checked(answer.assertion, challenge, now, person.id, approval.id)
        return ApprovalProof(person.id, _hashed(passkey.id), (Keep(passkey),))

    # ---- inside -------------------------------------------------------------------------------------------------------------------------

    def _newcomer(self, session: str, invitation: str) -> tuple[Identity, str]:
        """Whose passkey it will be, and the id of the link that says so, if one does."""
        if invitation:
            link, person = self._people.link(invitation)
            return person, link.id
        return self._people.seen(session)[1], ""

    def _of(self, person: str) -> tuple[Passkey, ...]:
        mine = (one for one in self._state.of_kind(Passkey).values() if one.person == person)
        return tuple(sorted(mine, key=lambda one: (one.created, one.id)))

    async def _checked(
        self, response: str, challenge: bytes, now: Instant, person: str = "", approval: str = ""
    ) -> Passkey:
        """The passkey that signed, as it has to be stored; nothing is awaited unless it is refused."""
        passkey = self._state.of_kind(Passkey).get(said(response)[1])
        if passkey is None or person not in ("", passkey.person):
            raise await self._refused("credential_unknown", person, now, approval=approval)
        try:
            signs = self._parts.passkeys.asserted(response, challenge, passkey)
        except RefusedError as error:
            raise await self._refused("assertion_bad", passkey.person, now, passkey.id, approval) from error
        # A counter that does not rise means that two authenticators have this key (WebAuthn Level 3 §7.2, step 22).
        if passkey.signs and signs <= passkey.signs:
            raise await self._refused("counter_went_back", passkey.person, now, passkey.id, approval)
        return replace(passkey, signs=signs, used=now, revision=passkey.revision + 1)

    async def _refused(self, why: str, person: str, now: Instant, credential: str = "", approval: str = "") -> JitError:
        """The refusal, recorded. What was tried stands in the ledger only; whoever tries learns no more than that it failed."""
        if person:
            record = self._people.record("passkey_refused", person, now, approval=approval, credential="")
            told = {**record, "why": why, "credential": _hashed(credential) if credential else ""}
            await self._state.change([], [told])
        return RefusedError("passkey_refused", "This passkey is not taken.", "Begin again.")


def _until(now: Instant) -> Instant:
    return Instant(now + CHALLENGE_SECONDS)


def _hashed(credential: str) -> str:
    """How the ledger names a credential."""
    return hashlib.sha256(base64.urlsafe_b64decode(credential + "=" * (-len(credential) % 4))).hexdigest()
