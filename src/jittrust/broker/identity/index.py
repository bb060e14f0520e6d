"""Finds identities by what they are called, who answers for them and what they are recognised by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import RefusedError
from jittrust.core.identity.identity import Blueprint, Identity, IdentityState
from jittrust.core.identity.spiffe_id import SCHEME
from jittrust.core.identity.standing import IdentityStanding, standing_of
from jittrust.core.units import Instant
from jittrust.ports.commit import Keep, Kept, RecordBody

_SCHEME_WORD = SCHEME.rstrip("/")


class IdentityIndex:
    """The registry as decisions see it: every question is a few look-ups in memory, whatever its size.

    A name of a retired identity still finds it, until a live one takes the name: who was retired does not become a stranger without limits.
    """

    def __init__(self, state: State, trust_domain: str) -> None:
        """`trust_domain`: URI of our own, for names that are paths."""
        self._identities = state.of_kind(Identity)
        self._blueprints = state.of_kind(Blueprint)
        self._state = state
        self._trust_domain = trust_domain
        self.version = 0
        self._clear()

    @classmethod
    def of(cls, state: State) -> IdentityIndex:
        """The index of this state, made on first use."""
        for index in state.indexes:
            if isinstance(index, cls):
                return index
        made = cls(state, "")
        state.add_index(made)
        return made

    def serve(self, trust_domain: str) -> None:
        """Say which trust domain paths are read in."""
        self._trust_domain = trust_domain

    def _clear(self) -> None:
        self._live: dict[str, str] = {}
        self._past: dict[str, str] = {}
        self._owned: dict[str, dict[str, None]] = {}
        self._rooted: dict[str, dict[str, None]] = {}

    # ---- told by the state ------------------------------------------------------------------------------------------------------------

    def took(self) -> None:
        """See `KeptIndex.took`."""
        self._identities = self._state.of_kind(Identity)
        self._blueprints = self._state.of_kind(Blueprint)
        self._clear()
        for identity in self._identities.values():
            self._add(identity)
        self.version += 1

    def kept(self, value: Kept, before: Kept | None) -> None:
        """See `KeptIndex.kept`."""
        if isinstance(value, Identity):
            if isinstance(before, Identity):
                self._remove(before)
            self._add(value)
        if isinstance(value, Identity | Blueprint):
            self.version += 1

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`."""
        if isinstance(value, Identity):
            self._remove(value)
        if isinstance(value, Identity | Blueprint):
            self.version += 1

    def _add(self, identity: Identity) -> None:
        names = self._past if identity.state is IdentityState.RETIRED else self._live
        for name in identity.names:
            names[name] = identity.id
        if identity.owner:
            self._owned.setdefault(identity.owner, {})[identity.id] = None
        for root in identity.roots:
            self._rooted.setdefault(root, {})[identity.id] = None

    def _remove(self, identity: Identity) -> None:
        names = self._past if identity.state is IdentityState.RETIRED else self._live
        for name in identity.names:
            if names.get(name) == identity.id:
                del names[name]
        for table, keys in ((self._owned, (identity.owner,)), (self._rooted, identity.roots)):
            for key in keys:
                bucket = table.get(key)
                if bucket is not None:
                    bucket.pop(identity.id, None)
                    if not bucket:
                        del table[key]

    # ---- questions --------------------------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Identity | None:
        """An identity by SPIFFE ID, path or any of its names."""
        found = self._identities.get(f"{self._trust_domain}{name}" if name.startswith("/") else name)
        if found is not None:
            return found
        known = self._live.get(name) or self._past.get(name)
        return None if known is None else self._identities[known]

    def holder(self, name: str) -> str:
        """Id of the live identity that has this name; empty = the name is free."""
        return self._live.get(name, "")

    def agent(self, agent: str) -> Identity | None:
        """Whom an agent's name means: its SPIFFE ID, its path, or `client:NAME` (`NAME@PERSON` before `NAME` alone)."""
        if agent.startswith((SCHEME, "/")):
            return self.find(agent)
        if not self._identities:
            return None
        return self.find(f"client:{agent}") or self.find(f"client:{agent.rpartition('@')[0]}")

    def agent_names(self, identity: str) -> Iterator[str]:
        """What an agent with this id may be called by in a call; `@PERSON` behind a client's name is left out."""
        found = self._identities[identity]
        yield found.id
        yield found.id.removeprefix(self._trust_domain)
        for name in found.names:
            if name.startswith("client:"):
                yield name.removeprefix("client:")

    def person(self, person: str) -> Identity | None:
        """Whom a person's name means: a SPIFFE ID, a path, any name, or `os:NAME`."""
        return self.find(person) or self.find(f"os:{person}")

    def standing(self, identity: Identity) -> IdentityStanding:
        """How an identity stands, with its owner and its blueprint."""
        return standing_of(identity, self._identities.get(identity.owner), self._blueprints.get(identity.blueprint))

    def agent_standing(self, agent: str) -> IdentityStanding | None:
        """How an agent stands; None: it is no identity of the registry and claims none. A SPIFFE ID that nobody knows is no good."""
        found = self.agent(agent)
        if found is not None:
            return self.standing(found)
        if agent[: len(_SCHEME_WORD)].casefold() == _SCHEME_WORD:
            return IdentityStanding(agent, None)
        return None

    def person_standing(self, person: str) -> IdentityStanding | None:
        """How a person stands; None: the registry does not know them by this name."""
        found = self.person(person) if self._identities else None
        return None if found is None else self.standing(found)

    def owned(self, owner: str) -> tuple[Identity, ...]:
        """What a person answers for, in the order of ids."""
        return tuple(self._identities[one] for one in sorted(self._owned.get(owner, ())))

    def alike(self, roots: Iterable[str]) -> tuple[Identity, ...]:
        """Every identity with one of these roots."""
        ids = dict.fromkeys(one for root in roots for one in self._rooted.get(root, ()))
        return tuple(self._identities[one] for one in ids)

    def family(self, identity: Identity) -> frozenset[str]:
        """Ids of all that hang together with it by roots, over any number of steps; itself included."""
        seen, roots, waiting = {identity.id}, set[str](), [identity]
        while waiting:
            for root in waiting.pop().roots:
                if root in roots:
                    continue
                roots.add(root)
                for one in self._rooted.get(root, ()):
                    if one not in seen:
                        seen.add(one)
                        waiting.append(self._identities[one])
        return frozenset(seen)


def moved(identity: Identity, to: IdentityState, now: Instant, why: str, by: str) -> Identity:
    """The identity in another state, one revision on."""
    return replace(identity, state=to, revision=identity.revision + 1, changed=now, why=why, by=by)


def identity_record(identity: Identity, what: str, now: Instant, by: str, why: str = "") -> RecordBody:
    """An identity as it was registered or changed."""
    return {
        **moved_record(identity, what, now, by, why),
        "subject": identity.kind,
        "names": list(identity.names),
        "role": identity.role,
        "blueprint": identity.blueprint,
        "roots": list(identity.roots),
        "lineage": list(identity.lineage),
        "source": identity.source,
    }


def moved_record(identity: Identity, what: str, now: Instant, by: str, why: str = "") -> RecordBody:
    """An identity of which nothing but the state and what was measured changed; the rest stands in its records before."""
    return {
        "kind": "identity",
        "at": milliseconds(now),
        "what": what,
        "identity": identity.id,
        "owner": identity.owner,
        "state": identity.state,
        "model": identity.model,
        "manifest": identity.manifest,
        "by": by,
        "why": why,
    }


def stale(identity: Identity, now: Instant, why: str, by: str) -> tuple[Keep, RecordBody]:
    """What has to be made durable so that an identity that is not what was approved gets nothing until it is attested again."""
    after = moved(identity, IdentityState.STALE, now, why, by)
    return Keep(after), moved_record(after, "stale", now, by, why)


def measured_otherwise(identity: Identity, manifest: str, now: Instant) -> tuple[Keep, RecordBody]:
    """The same for an agent whose servers list other tools than it was approved with."""
    return stale(
        replace(identity, manifest=manifest), now, "its servers list other tools than were approved", "policy:manifest"
    )


def check_active(standing: IdentityStanding | None) -> None:
    """Refuse whoever the registry knows, or who claims to be known, and who is not active.

    Raises:
        RefusedError: code `identity_not_active`.
    """
    if standing is not None and not standing.active:
        raise RefusedError("identity_not_active", standing.told, "A person decides: jittrust identity show.")


def names_of(identity: Identity) -> Iterator[str]:
    """Everything it may be called by as a mission's person: its id, its path, its names, and the bare name of a local user."""
    yield identity.id
    yield identity.id[len(SCHEME) :].partition("/")[1] + identity.id[len(SCHEME) :].partition("/")[2]
    for name in identity.names:
        yield name
        if name.startswith("os:"):
            yield name.removeprefix("os:")
