"""Registration entries and join tokens: who will be given which identity."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError
from jittrust.core.grant import jws
from jittrust.core.identity.entry import JoinToken, RegistrationEntry, Selector
from jittrust.core.identity.identity import Blueprint, Identity
from jittrust.core.identity.match import EntryIndex
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.model import SubjectKind
from jittrust.core.units import Instant, Seconds
from jittrust.ports.commit import Drop, Keep, Kept, RecordBody, Write
from jittrust.ports.enrolment import JoinTicket

TOKEN_BYTES = 32
LIFE_LEAST, LIFE_MOST = 60.0, 7 * 86_400.0
"""A join token lives a minute at least and a week at most, in seconds."""
X509_SECONDS_RANGE = (60, 86_400)
JWT_SECONDS_RANGE = (30, 3600)
SELECTORS_MOST = 32
NAMES_MOST = 32
RESERVED_PATH = "/jittrust/"
"""Paths below it are the broker's own."""
_DNS = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_HINT_MOST = 64
_TOKEN_MOST = 256
_SWEEP = 100  # ended tokens forgotten with each new one: their table shrinks faster than it grows
_RESERVED = "join_token"
_DNS_MOST = 253


class EnrolmentBook:
    """Says which attested facts entitle to which identity."""

    def __init__(self, state: State, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._parts = parts
        self._index = EntryIndex()
        self._giving: dict[str, dict[str, RegistrationEntry]] = {}
        state.add_index(self)

    # ---- the index: told of every change ---------------------------------------------------------------------------------------------------

    def took(self) -> None:
        """See `KeptIndex.took`."""
        self._index = EntryIndex()
        self._giving = {}
        for entry in self._state.of_kind(RegistrationEntry).values():
            self.kept(entry, None)

    def kept(self, value: Kept, before: Kept | None) -> None:
        """See `KeptIndex.kept`."""
        if isinstance(before, RegistrationEntry):
            self.dropped(before)
        if isinstance(value, RegistrationEntry):
            self._index.put(value)
            self._giving.setdefault(value.spiffe_id, {})[value.id] = value

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`."""
        if isinstance(value, RegistrationEntry):
            self._index.drop(value)
            giving = self._giving.get(value.spiffe_id, {})
            giving.pop(value.id, None)
            if not giving:
                self._giving.pop(value.spiffe_id, None)

    # ---- what others of the layer ask --------------------------------------------------------------------------------------------------------

    def matching(self, selectors: Collection[str], now: Instant) -> tuple[RegistrationEntry, ...]:
        """The entries that these attested facts entitle to."""
        return self._index.matching(selectors, now)

    def giving(self, spiffe_id: str, now: Instant) -> tuple[RegistrationEntry, ...]:
        """The entries in force that give an identity, oldest first."""
        found = self._giving.get(spiffe_id, {}).values()
        return tuple(sorted((e for e in found if not e.expires or now < e.expires), key=lambda e: (e.created, e.id)))

    async def redeem(self, token: str, path: str, key: str) -> RegistrationEntry:
        """Spend a join token: one caller ever gets its entry, however many try.

        Args:
            token: as it was told.
            path: path of the SPIFFE ID that is asked for, or the ID; empty = whatever the entry gives.
            key: SHA-256 (hex) of the key that it is spent for, for the ledger; empty = none.

        Raises:
            RefusedError: code `attestation_failed`: unknown, ended, used, or for another identity; its message is for the ledger alone.
            JitError: as `State.change`.
        """
        await self._state.refresh()
        now = self._parts.clock()
        # The hash is keyed: how long the look-up takes says nothing about a token.
        known = self._state.of_kind(JoinToken).get(self._hash(token)) if 0 < len(token) <= _TOKEN_MOST else None
        if known is None:
            raise _no_token("there is no such join token")
        entry = self._state.of_kind(RegistrationEntry).get(known.entry)
        if known.used:
            raise _no_token("the join token was used before")
        if now >= known.expires:
            raise _no_token("the join token has ended")
        if entry is None or (entry.expires and now >= entry.expires):
            raise _no_token("the entry of the join token has ended")
        if not gives(entry, path):
            raise _no_token("the join token is for another identity")
        # No await since looking: whoever comes second finds it used.
        spent = replace(known, used=now, used_by=entry.spiffe_id, revision=known.revision + 1)
        record = {**self._token_record(spent, "join_token_used", now, entry.spiffe_id), "key": key}
        await self._state.change([Keep(spent)], [record])
        return entry

    # ---- the driving port --------------------------------------------------------------------------------------------------------------------

    async def entries(self) -> Sequence[RegistrationEntry]:
        """See `Enrolment.entries`."""
        await self._state.refresh()
        return sorted(self._state.of_kind(RegistrationEntry).values(), key=lambda e: (e.spiffe_id, e.id))

    async def put(self, entry: RegistrationEntry) -> RegistrationEntry:
        """See `Enrolment.put`. Without selectors only join tokens lead to an entry: selectors never match it."""
        await self._state.refresh()
        now = self._parts.clock()
        known = self._state.of_kind(RegistrationEntry).get(entry.id) if entry.id else None
        if entry.id and known is None:
            raise _unknown(entry.id)
        checked = self._checked(entry, now)
        same = known is not None and _means(known) == _means(checked)
        made = replace(
            checked,
            id=known.id if known else self._parts.new_id("n"),
            revision=known.revision + 1 if known else 1,
            # Since when these facts entitle to this identity: what was issued before does not renew under new ones.
            created=known.created if known and same else now,
        )
        what = "entry_changed" if known else "entry_added"
        # A token leads to what the admin meant when making it, or to nothing.
        dead: list[Write] = [] if same else [Drop(ticket) for ticket in self._tickets(made.id)]
        await self._state.change([Keep(made), *dead], [self._record(made, what, now, entry.by)])
        return made

    async def remove(self, entry: str) -> None:
        """See `Enrolment.remove`."""
        await self._state.refresh()
        now = self._parts.clock()
        known = self._state.of_kind(RegistrationEntry).get(entry)
        if known is None:
            raise _unknown(entry)
        writes: list[Write] = [Drop(known), *(Drop(ticket) for ticket in self._tickets(entry))]
        await self._state.change(writes, [self._record(known, "entry_removed", now, "")])

    async def invite(self, entry: str, life: Seconds, by: str) -> JoinTicket:
        """See `Enrolment.invite`."""
        if not LIFE_LEAST <= life <= LIFE_MOST:
            raise BadInputError(
                "life_bad", "A join token lives 60 seconds to 7 days.", "jittrust identity entry invite --minutes 10"
            )
        await self._state.refresh()
        now = self._parts.clock()
        known = self._state.of_kind(RegistrationEntry).get(entry)
        if known is None:
            raise _unknown(entry)
        token = jws.encode(self._parts.random(TOKEN_BYTES)).decode("ascii")
        made = JoinToken(self._hash(token), entry, Instant(now + life), created=now, by=by)
        ended = islice((one for one in self._state.of_kind(JoinToken).values() if one.expires <= now), _SWEEP)
        writes: list[Write] = [Keep(made), *(Drop(one) for one in ended)]
        await self._state.change(writes, [self._token_record(made, "join_token_made", now, known.spiffe_id)])
        return JoinTicket(token, entry, known.spiffe_id, made.expires)

    # ---- bits --------------------------------------------------------------------------------------------------------------------------------

    def _tickets(self, entry: str) -> list[JoinToken]:
        return [one for one in self._state.of_kind(JoinToken).values() if one.entry == entry]

    def _checked(self, entry: RegistrationEntry, now: Instant) -> RegistrationEntry:
        spiffe_id = SpiffeId.parse(entry.spiffe_id)
        if spiffe_id.trust_domain != self._parts.trust_domain:
            raise _bad(f"{entry.spiffe_id} is not of {self._parts.trust_domain}")
        if not spiffe_id.path or spiffe_id.path.startswith(RESERVED_PATH):
            raise _bad("the SPIFFE ID needs a path that is not the broker's own")
        there = self._state.of_kind(Identity).get(entry.spiffe_id)
        if entry.kind is SubjectKind.PERSON or (there is not None and there.kind is SubjectKind.PERSON):
            raise _bad("people are not attested, they sign in")
        if there is not None and there.kind is not entry.kind:
            raise _bad(f"{there.id} is of another kind: {there.kind}")
        if entry.expires and entry.expires <= now:
            raise _bad("it has ended already")
        selectors = tuple(sorted({str(Selector.parse(text)) for text in entry.selectors}))
        if len(selectors) > SELECTORS_MOST:
            raise _bad(f"at most {SELECTORS_MOST} selectors")
        if any(Selector.parse(text).type == _RESERVED for text in selectors):
            raise _bad("a join token is made for an entry, and is no selector of it")
        owner = self._identities.find(entry.owner)
        if owner is None:
            raise NotFoundError("identity_unknown", f"There is no person {entry.owner[:80]}.", "jittrust identity ls")
        if owner.kind is not SubjectKind.PERSON:
            raise _bad(f"{owner.id} is no person, and only people answer for others")
        if not self._identities.active(owner.id):
            raise RefusedError("owner_inactive", f"{owner.id} is not active.", "Name an owner who is there.")
        if entry.blueprint and entry.blueprint not in self._state.of_kind(Blueprint):
            raise NotFoundError(
                "blueprint_unknown", f"There is no blueprint {entry.blueprint[:80]}.", "jittrust identity blueprint"
            )
        _within(entry.x509_seconds, X509_SECONDS_RANGE, "x509_seconds")
        _within(entry.jwt_seconds, JWT_SECONDS_RANGE, "jwt_seconds")
        if max(len(entry.dns_names), len(entry.federates_with)) > NAMES_MOST:
            raise _bad(f"at most {NAMES_MOST} names")
        for name in entry.dns_names:
            if len(name) > _DNS_MOST or not _DNS.match(name) or name.rsplit(".", 1)[-1].isdigit():
                raise _bad(f"{name[:80]!r} is no DNS name")
        for name in entry.federates_with:
            TrustDomain(name)
        if len(entry.hint) > _HINT_MOST or not entry.hint.isprintable():
            raise _bad(f"a hint has at most {_HINT_MOST} printable characters")
        return replace(entry, selectors=selectors, owner=owner.id)

    def _hash(self, token: str) -> str:
        return hmac.digest(self._parts.hash_key, b"join:" + token.encode("utf-8", "surrogatepass"), "sha256").hex()

    def _record(self, entry: RegistrationEntry, what: str, now: Instant, by: str) -> RecordBody:
        return {
            "kind": "identity",
            "at": milliseconds(now),
            "what": what,
            "entry": entry.id,
            "spiffe_id": entry.spiffe_id,
            "subject_kind": entry.kind,
            "selectors": list(entry.selectors),
            "owner": entry.owner,
            "blueprint": entry.blueprint,
            "by": by,
        }

    def _token_record(self, token: JoinToken, what: str, now: Instant, spiffe_id: str) -> RecordBody:
        return {
            "kind": "identity",
            "at": milliseconds(now),
            "what": what,
            "entry": token.entry,
            "spiffe_id": spiffe_id,
            "token": token.id[:16],
            "expires": milliseconds(token.expires),
            "by": token.by,
        }


def gives(entry: RegistrationEntry, path: str) -> bool:
    """Whether an entry gives what is asked for: a path, a SPIFFE ID, or (empty) anything."""
    return not path or path in {entry.spiffe_id, SpiffeId.parse(entry.spiffe_id).path}


def _means(entry: RegistrationEntry) -> tuple[object, ...]:
    """Who gets which identity; the rest says what their documents look like."""
    return entry.spiffe_id, entry.kind, entry.selectors, entry.owner, entry.blueprint


def _no_token(why: str) -> RefusedError:
    return RefusedError("attestation_failed", why)


def _within(seconds: int, bounds: tuple[int, int], name: str) -> None:
    if seconds and not bounds[0] <= seconds <= bounds[1]:
        raise _bad(f"{name} lies between {bounds[0]} and {bounds[1]}, or is 0")


def _bad(why: str) -> BadInputError:
    return BadInputError("entry_bad", f"The entry cannot be taken: {why}.", "See: jittrust identity entry add --help")


def _unknown(entry: str) -> NotFoundError:
    return NotFoundError("entry_unknown", f"There is no entry {entry[:80]}.", "jittrust identity entry ls")
