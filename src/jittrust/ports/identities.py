"""The one registry of people, agents, workloads and workflows: for people and admins, never for agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.identity.identity import Blueprint, Identity, IdentityState, Role
from jittrust.core.model import SubjectKind


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """A subject to register. `path` is the path of its SPIFFE ID (`/agent/coder`). Every kind but a person needs an `owner` (SPIFFE ID or name)."""

    kind: SubjectKind
    path: str
    owner: str = ""
    names: tuple[str, ...] = ()
    display: str = ""
    blueprint: str = ""
    roots: tuple[str, ...] = ()
    role: Role = Role.NONE
    source: str = "cli"
    by: str = ""


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """What changes; None changes nothing. `names` are added, `forget_names` taken away."""

    to: IdentityState | None = None
    owner: str | None = None
    role: Role | None = None
    display: str | None = None
    names: tuple[str, ...] = ()
    forget_names: tuple[str, ...] = ()
    why: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class IdentityQuery:
    """Which identities. Empty members choose all; `text` is looked for in ids, names and display. At most `limit`, after the id `after`."""

    kind: SubjectKind | None = None
    owner: str = ""
    state: IdentityState | None = None
    text: str = ""
    after: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class IdentityView:
    """An identity, what it was enrolled as, and whom it answers for. `ended` are the missions that a change of it ended."""

    identity: Identity
    blueprint: Blueprint | None = None
    owned: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()


class Identities(Protocol):
    """Registers, shows and changes identities."""

    async def list(self, query: IdentityQuery) -> Sequence[Identity]:
        """Identities in the order of their ids."""
        ...

    async def show(self, name: str) -> IdentityView:
        """One identity by SPIFFE ID, path or any of its names. Raises NotFoundError: code `identity_unknown`."""
        ...

    async def enrol(self, new: NewIdentity) -> Identity:
        """Register a subject, durable and recorded before it is returned. What was there before with a root in common becomes its lineage.

        Raises:
            BadInputError: code `spiffe_id_bad`, `owner_needed`, `name_bad`.
            ConflictError: code `identity_exists` (also when it is retired: names are never given again), `name_taken`.
            NotFoundError: code `identity_unknown` (the owner), `blueprint_unknown`.
            RefusedError: code `owner_inactive`.
        """
        ...

    async def change(self, name: str, change: IdentityChange) -> IdentityView:
        """Change an identity.

        Whoever stops being active is cut at once: grants revoked, missions suspended, streams closed. A person who stops
        takes every identity they own along (state `suspended`, why `owner_left`), within the same step.

        Raises:
            NotFoundError: code `identity_unknown`.
            ConflictError: code `illegal_move`, `last_admin` (nobody could administer any more), `name_taken`.
            RefusedError: code `owner_inactive` (it goes on only under an owner who is there).
        """
        ...

    async def draw(self, blueprint: Blueprint) -> Blueprint:
        """Store a blueprint, new or changed (by its id; `revision` is ours). Identities enrolled under another digest become stale.

        Raises:
            BadInputError: code `blueprint_bad`.
            NotFoundError: code `identity_unknown` (the owner).
        """
        ...
