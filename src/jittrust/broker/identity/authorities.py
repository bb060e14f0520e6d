"""Rotation of the trust domain's signing authorities: prepare → activate → taint → revoke."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace

from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, ConflictError, NotFoundError, UnavailableError
from jittrust.core.identity.authority import (
    AUTHORITY_MOVES,
    PUBLISHED,
    TAINT_GRACE_SECONDS,
    AuthorityKind,
    AuthorityState,
    BundleVersion,
    SigningAuthority,
)
from jittrust.core.identity.bundle import TrustBundle
from jittrust.core.identity.svid import key_hash
from jittrust.core.states import move
from jittrust.core.units import Instant
from jittrust.ports.commit import Keep, Kept, RecordBody, Write

AUTHORITY_SECONDS = 30 * 86_400.0
"""Life of an authority: long enough that rotating is rare, short enough that a key nobody watches ends by itself."""
REFRESH_HINT_SECONDS = 60
"""How often others should ask for the bundle (SPIFFE Federation §4.3); also how soon a taint and revoke must have reached them."""
UPSTREAM_REQUEST = "request"
_PREPARE_AT, _ACTIVATE_AT = 1 / 2, 2 / 3
_WAITING_OR_READY = (AuthorityState.WAITING, AuthorityState.PREPARED)
_SIGNED_ONCE = (AuthorityState.OLD, AuthorityState.TAINTED)
_OWN = "own"


class AuthorityBook:
    """The signing authorities. Memory is the truth; whatever changes what is published raises the bundle's sequence in the same step."""

    def __init__(self, state: State, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._parts = parts
        self._known: tuple[SigningAuthority, ...] = ()
        self._bundle = TrustBundle(parts.trust_domain.name, ())
        self._version = 0
        self._cleaned = False
        state.add_index(self)

    # ---- the index: told of every change ---------------------------------------------------------------------------------------------------

    def took(self) -> None:
        """See `KeptIndex.took`."""
        found = self._state.of_kind(SigningAuthority).values()
        self._known = tuple(sorted(found, key=lambda a: (a.created, a.id), reverse=True))
        own = self._state.of_kind(BundleVersion).get(_OWN)
        published = [a for a in reversed(self._known) if a.state in PUBLISHED]
        self._bundle = TrustBundle(
            trust_domain=self._parts.trust_domain.name,
            x509=tuple(dict.fromkeys(base64.b64decode(root) for a in published for root in a.roots)),
            jwt={a.id: base64.b64decode(a.public) for a in published if a.kind is AuthorityKind.JWT},
            sequence=own.sequence if own else 0,
            refresh_hint=REFRESH_HINT_SECONDS,
        )
        self._version += 1

    def kept(self, value: Kept, before: Kept | None) -> None:  # noqa: ARG002 - the index's signature
        """See `KeptIndex.kept`."""
        if isinstance(value, SigningAuthority | BundleVersion):
            self.took()

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`."""
        if isinstance(value, SigningAuthority | BundleVersion):
            self.took()

    # ---- what others of the layer ask --------------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Rises with each change."""
        return self._version

    def published(self) -> TrustBundle:
        """The trust domain's own bundle as it is now; it may be empty before the first document."""
        return self._bundle

    def distrusted(self, now: Instant) -> frozenset[str]:
        """SHA-256 of the public keys that no X.509-SVID may have been signed by: revoked, or tainted for longer than the grace."""
        return frozenset(
            key_hash(base64.b64decode(a.public)) for a in self._known if a.kind is AuthorityKind.X509 and _dead(a, now)
        )

    def distrusted_kids(self, now: Instant) -> frozenset[str]:
        """The same for JWT-SVIDs, by `kid`."""
        return frozenset(a.id for a in self._known if a.kind is AuthorityKind.JWT and _dead(a, now))

    async def active(self, kind: AuthorityKind) -> SigningAuthority:
        """The authority that signs; made, published and activated in one step when there is none yet.

        Raises:
            UnavailableError: code `key_store_unavailable`, `authority_over` (what an upstream signed has ended), or what the store says.
        """
        found, now = self._active(kind), self._parts.clock()
        if found is not None and now < found.ends:
            return found
        if found is not None and found.upstream:
            # A root of our own in its place would be a change of trust that nobody asked for.
            raise UnavailableError(
                "authority_over",
                f"{found.id} ended, and what an upstream authority signed is renewed by people only.",
                "jittrust identity rotate prepare --upstream-request, then activate.",
            )
        by = "first use" if found is None else "schedule"
        first = replace(self._made(kind, now, by, upstream=False), state=AuthorityState.ACTIVE)
        changed = [first] if found is None else [self._moved(found, AuthorityState.OLD, now, by), first]
        # No await since looking: whoever comes second sees this one.
        await self._change(changed, [self._record(one, str(one.state), now, by) for one in changed])
        return self._active(kind) or first

    async def tick(self) -> None:
        """Rotate before an authority ends: prepare the next at half of its life, activate it at two thirds; revoke what signed and is over.

        One whose root is upstream is left to people: its answer takes a person anyway.
        """
        now = self._parts.clock()
        if not self._cleaned:
            # The process may have died after a revocation was durable and before its key was destroyed.
            for one in self._known:
                if one.state is AuthorityState.REVOKED:
                    self._parts.authority.destroy(one)
            self._cleaned = True
        for one in self._known:
            if one.state in _SIGNED_ONCE and one.ends + TAINT_GRACE_SECONDS < now:
                await self._retire(one, now)
        for kind in AuthorityKind:
            active = self._active(kind)
            if active is None or active.upstream:
                continue
            passed = (now - active.begins) / (active.ends - active.begins)
            ready = self._first(kind, AuthorityState.PREPARED)
            if ready is not None and passed >= _ACTIVATE_AT:
                await self.activate(ready.id, "schedule")
            elif self._first(kind, *_WAITING_OR_READY) is None and passed >= _PREPARE_AT:
                await self.prepare(kind, "schedule")

    # ---- the driving port --------------------------------------------------------------------------------------------------------------------

    async def _retire(self, over: SigningAuthority, now: Instant) -> None:
        """Nothing that it signed is valid any more: out of the bundle with it, which would grow for ever."""
        tainted = over
        if over.state is AuthorityState.OLD:
            tainted = replace(self._moved(over, AuthorityState.TAINTED, now, "schedule"), tainted=now)
        done = replace(self._moved(tainted, AuthorityState.REVOKED, now, "schedule"), revision=over.revision + 1)
        await self._change([done], [{**self._record(done, "revoked", now, "schedule"), "why": "its life is over"}])
        self._parts.authority.destroy(done)

    async def list(self) -> Sequence[SigningAuthority]:
        """See `Authorities.list`."""
        return self._known

    async def prepare(self, kind: AuthorityKind, by: str, upstream: str = "") -> SigningAuthority:
        """See `Authorities.prepare`."""
        now = self._parts.clock()
        if upstream not in ("", UPSTREAM_REQUEST):
            waiting = self._first(AuthorityKind.X509, AuthorityState.WAITING)
            if waiting is None:
                raise NotFoundError(
                    "authority_unknown",
                    "No authority waits for an upstream answer.",
                    "jittrust identity rotate prepare --upstream-request",
                )
            made = self._parts.authority.complete(waiting, upstream)
            if not made.begins <= now < made.ends:
                raise BadInputError(
                    "upstream_chain_bad",
                    "The upstream authority's answer is not valid now.",
                    "Have it signed again, and compare the clocks.",
                )
            done = replace(made, revision=waiting.revision + 1, changed=now, by=by)
            await self._change([done], [self._record(done, "prepared", now, by)])
            return done
        there = self._first(kind, *_WAITING_OR_READY)
        if there is not None:
            raise ConflictError(
                "authority_prepared",
                f"{there.id} is {there.state} already.",
                "jittrust identity rotate activate, or revoke it first.",
            )
        made = self._made(kind, now, by, upstream=upstream == UPSTREAM_REQUEST)
        await self._change([made], [self._record(made, str(made.state), now, by)])
        return made

    async def activate(self, authority: str, by: str) -> SigningAuthority:
        """See `Authorities.activate`."""
        now = self._parts.clock()
        found = self._found(authority)
        active = self._active(found.kind)
        done = self._moved(found, AuthorityState.ACTIVE, now, by)
        changed = [done] if active is None else [self._moved(active, AuthorityState.OLD, now, by), done]
        await self._change(changed, [self._record(a, str(a.state), now, by) for a in changed])
        return done

    async def taint(self, authority: str, by: str) -> SigningAuthority:
        """See `Authorities.taint`."""
        now = self._parts.clock()
        found = self._found(authority)
        if found.state is AuthorityState.ACTIVE:
            raise ConflictError(
                "illegal_move",
                f"{found.id} signs: nothing could be issued without it.",
                "Prepare and activate another one first: jittrust identity rotate prepare, then activate.",
            )
        done = replace(self._moved(found, AuthorityState.TAINTED, now, by), tainted=now)
        await self._change([done], [self._record(done, "tainted", now, by)])
        return done

    async def revoke(self, authority: str, by: str) -> SigningAuthority:
        """See `Authorities.revoke`."""
        now = self._parts.clock()
        done = self._moved(self._found(authority), AuthorityState.REVOKED, now, by)
        await self._change([done], [self._record(done, "revoked", now, by)])
        self._parts.authority.destroy(done)
        return done

    # ---- bits --------------------------------------------------------------------------------------------------------------------------------

    def _made(self, kind: AuthorityKind, now: Instant, by: str, *, upstream: bool) -> SigningAuthority:
        ends = Instant(now + AUTHORITY_SECONDS)
        made = self._parts.authority.make(kind, self._parts.trust_domain, now, ends, upstream=upstream)
        return replace(made, created=now, changed=now, by=by)

    def _active(self, kind: AuthorityKind) -> SigningAuthority | None:
        return self._first(kind, AuthorityState.ACTIVE)

    def _first(self, kind: AuthorityKind, *states: AuthorityState) -> SigningAuthority | None:
        return next((a for a in self._known if a.kind is kind and a.state in states), None)

    def _found(self, name: str) -> SigningAuthority:
        found = self._state.of_kind(SigningAuthority).get(name)
        if found is None:
            raise NotFoundError("authority_unknown", f"There is no authority {name[:80]}.", "jittrust identity rotate")
        return found

    def _moved(self, found: SigningAuthority, to: AuthorityState, now: Instant, by: str) -> SigningAuthority:
        state = move(AUTHORITY_MOVES, found.state, to)
        return replace(found, state=state, revision=found.revision + 1, changed=now, by=by)

    async def _change(self, changed: Sequence[SigningAuthority], records: Sequence[RecordBody]) -> None:
        own = self._state.of_kind(BundleVersion).get(_OWN)
        version = (
            BundleVersion(_OWN, 1, 1)
            if own is None
            else replace(own, sequence=own.sequence + 1, revision=own.revision + 1)
        )
        writes: list[Write] = [*(Keep(one) for one in changed), Keep(version)]
        await self._state.change(writes, records)

    def _record(self, authority: SigningAuthority, what: str, now: Instant, by: str) -> RecordBody:
        return {
            "kind": "authority",
            "at": milliseconds(now),
            "what": what,
            "authority": authority.id,
            "signs": authority.kind,
            "key": key_hash(base64.b64decode(authority.public)),
            "roots": [hashlib.sha256(base64.b64decode(root)).hexdigest() for root in authority.roots],
            "upstream": authority.upstream,
            "ends": milliseconds(authority.ends),
            "by": by,
        }


def _dead(authority: SigningAuthority, now: Instant) -> bool:
    if authority.state is AuthorityState.REVOKED:
        return True
    return authority.state is AuthorityState.TAINTED and now - authority.tainted > TAINT_GRACE_SECONDS
