"""Trust in foreign trust domains: what an admin wrote, and the bundles that were fetched for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError, RefusedError
from jittrust.core.identity.bundle import TrustBundle, read_bundle
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain, accepts, check_pattern
from jittrust.core.identity.identity import Identity, IdentityState
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.units import Instant
from jittrust.ports.commit import Drop, Keep, Kept, RecordBody
from jittrust.ports.identities import IdentityChange

REFRESH_LEAST, REFRESH_MOST = 60, 3600
"""Bounds for the refresh hint of a foreign bundle, in seconds: a peer neither drives our traffic nor keeps us from hearing of a revocation."""
REFRESH_USUAL = 300
ASKED_AT_ONCE = 8
RETRY_SECONDS = 30.0
"""After a failure a domain is asked again so soon."""
_URL = re.compile(r"https://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9._~%/?&=-]*)?\Z")
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_URL_MOST = 2048
_ACCEPTS_MOST = 100


class FederationBook:
    """Says whom we trust, for exactly what."""

    def __init__(self, state: State, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._parts = parts
        self._bundles: dict[str, TrustBundle] = {}
        self._asked: dict[str, float] = {}
        self._room = asyncio.Semaphore(ASKED_AT_ONCE)
        self._version = 0
        state.add_index(self)

    # ---- the index: told of every change ---------------------------------------------------------------------------------------------------

    def took(self) -> None:
        """See `KeptIndex.took`."""
        self._bundles = {}
        for domain in self._state.of_kind(FederatedDomain).values():
            self.kept(domain, None)
        self._version += 1

    def kept(self, value: Kept, before: Kept | None) -> None:
        """See `KeptIndex.kept`."""
        if not isinstance(value, FederatedDomain):
            return
        if not (isinstance(before, FederatedDomain) and before.bundle == value.bundle and value.id in self._bundles):
            self._bundles.pop(value.id, None)
            if value.bundle:
                self._bundles[value.id] = read_bundle(value.bundle, value.id)
        self._version += 1

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`."""
        if isinstance(value, FederatedDomain):
            self._bundles.pop(value.id, None)
            self._version += 1

    # ---- what others of the layer ask --------------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Rises with each change."""
        return self._version

    def bundles(self) -> Mapping[str, TrustBundle]:
        """The bundles in force, by name of the trust domain."""
        return self._bundles

    def accepts(self, spiffe_id: SpiffeId) -> bool:
        """Whether an admin accepts this identity of a federated domain here."""
        domain = self._state.of_kind(FederatedDomain).get(spiffe_id.trust_domain.name)
        return domain is not None and accepts(domain, spiffe_id)

    async def tick(self) -> None:
        """Ask every domain that is due; one that fails never stops the others."""
        now = self._parts.clock()
        due = [d.id for d in self._state.of_kind(FederatedDomain).values() if d.url and self._due(d, now)]
        for name in due:
            self._asked[name] = now
        await asyncio.gather(*(self._tried(name) for name in due))

    # ---- the driving port --------------------------------------------------------------------------------------------------------------------

    async def list(self) -> Sequence[FederatedDomain]:
        """See `Federation.list`."""
        return sorted(self._state.of_kind(FederatedDomain).values(), key=lambda domain: domain.id)

    async def federate(self, domain: FederatedDomain, by: str) -> FederatedDomain:
        """See `Federation.federate`."""
        self._check(domain)
        await self._state.refresh()
        known = self._state.of_kind(FederatedDomain).get(domain.id)
        text = domain.bundle or (known.bundle if known else "")
        # A pin that is new is compared, also where the domain is known: what is written down was checked.
        pinned = not domain.bundle and bool(domain.pinned) and (known is None or domain.pinned != known.pinned)
        if pinned or not text:
            raw = await self._parts.bundle_source.fetch(domain)
            if not hmac.compare_digest(hashlib.sha256(raw).hexdigest(), domain.pinned):
                raise RefusedError(
                    "bundle_pin_mismatch",
                    f"The bundle that {domain.url} serves has another SHA-256 than the pin.",
                    "Compare again with its admin: jittrust identity bundle | sha256sum, on their side.",
                )
            text = raw.decode("utf-8", "replace")
        bundle = read_bundle(text, domain.id)
        now = self._parts.clock()
        # Fetching took a while: what is stored now counts.
        known = self._state.of_kind(FederatedDomain).get(domain.id)
        if known is not None and (domain.bundle or pinned):
            _check_forward(known, bundle, text)
        made = replace(
            domain,
            bundle=text,
            sequence=bundle.sequence,
            refresh_seconds=_refresh_seconds(bundle),
            fetched=now,
            failure="",
            revision=known.revision + 1 if known else 1,
            created=known.created if known else now,
            by=by,
        )
        await self._state.change([Keep(made)], [self._record(made, "federated", now, by)])
        return made

    async def refresh(self, name: str) -> FederatedDomain:
        """See `Federation.refresh`."""
        known = self._known(name)
        if not known.url:
            return known
        try:
            text = (await self._parts.bundle_source.fetch(known)).decode("utf-8", "replace")
            bundle = read_bundle(text, name)
            now_known = self._known(name)
            if _asked_where(now_known) != _asked_where(known):
                # What was fetched answers for what was trusted before.
                raise _changed(name)
            _check_forward(now_known, bundle, text)
        except ConflictError:
            raise
        except JitError as error:
            await self._failed(name, error)
            raise
        now = self._parts.clock()
        made = replace(
            now_known,
            bundle=text,
            sequence=bundle.sequence,
            refresh_seconds=_refresh_seconds(bundle),
            fetched=now,
            failure="",
            revision=now_known.revision + 1,
        )
        changed = made.bundle != now_known.bundle or bool(now_known.failure)
        await self._state.change([Keep(made)], [self._record(made, "refreshed", now, "")] if changed else [])
        return made

    async def end(self, name: str, by: str) -> None:
        """See `Federation.end`."""
        await self._state.refresh()
        known = self._known(name)
        # First it stops counting, last it is forgotten: whatever fails in between leaves nothing trusted, and ending it again finishes the work.
        cut = replace(known, url="", accepts=(), bundle="", revision=known.revision + 1)
        await self._state.change([Keep(cut)], [self._record(known, "ended", self._parts.clock(), by)])
        for identity in self._came_from(name):
            await self._identities.change(
                identity, IdentityChange(to=IdentityState.SUSPENDED, why="federation_ended", by=by)
            )
        left = self._known(name)
        if left.bundle or left.accepts:
            raise _changed(name)
        await self._state.change([Drop(left)], [])

    def _came_from(self, name: str) -> Sequence[str]:
        """Identities that are given to SVIDs of a domain and count now."""
        whole, one = f"svid:trust-domain:{name}", f"svid:id:{TrustDomain(name).uri}/"
        given = {
            entry.spiffe_id
            for entry in self._state.of_kind(RegistrationEntry).values()
            if any(selector == whole or selector.startswith(one) for selector in entry.selectors)
        }
        known = self._state.of_kind(Identity)
        return sorted(i for i in given if i in known and known[i].state in (IdentityState.ACTIVE, IdentityState.STALE))

    # ---- bits --------------------------------------------------------------------------------------------------------------------------------

    def _due(self, domain: FederatedDomain, now: Instant) -> bool:
        wait = RETRY_SECONDS if domain.failure else float(domain.refresh_seconds)
        return now >= max(float(domain.fetched), self._asked.get(domain.id, 0.0)) + wait

    async def _tried(self, name: str) -> None:
        async with self._room:
            try:
                await self.refresh(name)
            except JitError:
                return  # recorded there

    async def _failed(self, name: str, error: JitError) -> None:
        known = self._state.of_kind(FederatedDomain).get(name)
        why = f"{error.code}: {error.message}"[:300]
        if known is None or known.failure == why:
            return
        told = replace(known, failure=why, revision=known.revision + 1)
        try:
            await self._state.change([Keep(told)], [self._record(told, "refresh_failed", self._parts.clock(), "", why)])
        except ConflictError:
            return  # somebody changed the domain meanwhile; the next failure is recorded

    def _known(self, name: str) -> FederatedDomain:
        known = self._state.of_kind(FederatedDomain).get(name)
        if known is None:
            raise NotFoundError(
                "federation_unknown", f"{name[:80]} is not trusted here.", "jittrust identity federate (lists all)"
            )
        return known

    def _check(self, domain: FederatedDomain) -> None:
        theirs = TrustDomain(domain.id)
        if theirs == self._parts.trust_domain:
            raise _bad("that is our own trust domain")
        if domain.url and (len(domain.url) > _URL_MOST or not _URL.match(domain.url)):
            raise _bad("the address must be https://, without user or fragment")
        if not domain.url and not domain.bundle:
            raise _bad("say where its bundle is, or give the bundle")
        if domain.pinned and not _HEX64.match(domain.pinned):
            raise _bad("a pin is a SHA-256, 64 hex digits in lower case")
        if domain.profile is EndpointProfile.HTTPS_SPIFFE and domain.url:
            if not domain.endpoint_id:
                raise _bad("an https_spiffe endpoint has a SPIFFE ID: say which")
            if SpiffeId.parse(domain.endpoint_id).trust_domain != theirs:
                raise _bad("the endpoint's SPIFFE ID must be of that trust domain")
        known = self._state.of_kind(FederatedDomain).get(domain.id)
        if not domain.bundle and known is None and not domain.pinned:
            raise _bad(
                "the first contact needs a pin, or a bundle carried by hand: nothing is trusted because it came first"
            )
        if not domain.bundle and known is None and domain.profile is EndpointProfile.HTTPS_SPIFFE:
            raise _bad("an https_spiffe endpoint is known by its bundle: carry the first one by hand")
        if len(domain.accepts) > _ACCEPTS_MOST:
            raise _bad(f"at most {_ACCEPTS_MOST} patterns")
        for pattern in domain.accepts:
            check_pattern(pattern, theirs)

    def _record(self, domain: FederatedDomain, what: str, now: Instant, by: str, why: str = "") -> RecordBody:
        return {
            "kind": "federation",
            "at": milliseconds(now),
            "what": what,
            "trust_domain": domain.id,
            "url": domain.url,
            "profile": domain.profile,
            "accepts": list(domain.accepts),
            "sequence": domain.sequence,
            "bundle": hashlib.sha256(domain.bundle.encode("utf-8", "replace")).hexdigest(),
            "by": by,
            "why": why,
        }


def _check_forward(known: FederatedDomain, bundle: TrustBundle, text: str) -> None:
    """A bundle only moves on (SPIFFE Federation §4.4): an older one, or another one of the same number, is refused."""
    if bundle.sequence < known.sequence or (bundle.sequence == known.sequence and not _same(known, bundle, text)):
        raise RefusedError(
            "bundle_rollback",
            f"{known.id} serves sequence {bundle.sequence} with other keys; {known.sequence} is known.",
            "Ask its admin. If it was restored from a backup, end the federation and pin it again.",
        )


def _same(known: FederatedDomain, bundle: TrustBundle, text: str) -> bool:
    if not known.bundle or text == known.bundle:
        return True
    before = read_bundle(known.bundle, known.id)
    return (set(before.x509), dict(before.jwt)) == (set(bundle.x509), dict(bundle.jwt))


def _refresh_seconds(bundle: TrustBundle) -> int:
    return max(REFRESH_LEAST, min(REFRESH_MOST, bundle.refresh_hint or REFRESH_USUAL))


def _asked_where(domain: FederatedDomain) -> tuple[str, str, str, float]:
    return domain.url, domain.profile, domain.endpoint_id, domain.created


def _changed(name: str) -> ConflictError:
    return ConflictError("stale_revision", f"{name} was changed meanwhile.", "Look at it, then try again.")


def _bad(why: str) -> BadInputError:
    return BadInputError(
        "federation_bad", f"It cannot be federated so: {why}.", "See: jittrust identity federate --help"
    )
