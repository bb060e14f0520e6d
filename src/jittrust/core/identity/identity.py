"""The registry's values: who exists, who answers for whom, and how each stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.model import SubjectKind
from jittrust.core.units import Instant


class IdentityState(StrEnum):
    """How an identity stands. Only `active` gets documents, grants and calls."""

    ACTIVE = "active"
    STALE = "stale"  # model, manifest or binary is not what was enrolled: it has to be attested again
    SUSPENDED = "suspended"  # by a person, or because its owner left; a person may let it go on
    RETIRED = "retired"  # for good; its name is never given again


IDENTITY_MOVES: Mapping[IdentityState, frozenset[IdentityState]] = {
    IdentityState.ACTIVE: frozenset({IdentityState.STALE, IdentityState.SUSPENDED, IdentityState.RETIRED}),
    IdentityState.STALE: frozenset({IdentityState.ACTIVE, IdentityState.SUSPENDED, IdentityState.RETIRED}),
    IdentityState.SUSPENDED: frozenset({IdentityState.ACTIVE, IdentityState.STALE, IdentityState.RETIRED}),
    IdentityState.RETIRED: frozenset(),
}


class Role(StrEnum):
    """What a person may do here, least first; each includes the one before."""

    NONE = ""
    VIEWER = "viewer"  # sees everything, changes nothing
    RESPONDER = "responder"  # answers questions, stops and resumes
    ADMIN = "admin"  # identities, federation, policy, people


@dataclass(frozen=True, slots=True)
class Identity:
    """One subject of the trust domain.

    Attributes:
        id: its SPIFFE ID as text. It says who, never how far somebody is trusted (ADR 0019).
        kind: person, agent, workload or workflow.
        owner: SPIFFE ID of the person who answers for it; a person answers for itself and has none.
        state: how it stands.
        revision: 1 when first stored, one more with each change.
        names: other names it is known by, each `kind:value`: `os:alice`, `email:a@example.org`, `oidc:ISSUER#SUB`, `scim:ID`, `client:NAME`.
        display: for people; safe to print.
        source: where it came from: `cli`, `bootstrap`, `attested`, `oidc`, `scim`, `import:keycloak` ….
        blueprint: id of the blueprint it was enrolled under; empty without one.
        roots: what a re-enrolment is recognised by: `owner:ID|blueprint:ID`, `binary:SHA256`, `key:THUMBPRINT`. Kept for ever.
        lineage: ids of identities with a root in common that were there before, oldest first; while it is not empty a subject starts low.
        role: a person's role.
        model, manifest: digests measured at the last attestation (64 hex digits); empty where the blueprint names none.
        created, changed: when.
        by, why: who changed it last, and why.
    """

    id: str
    kind: SubjectKind
    owner: str = ""
    state: IdentityState = IdentityState.ACTIVE
    revision: int = 1
    names: tuple[str, ...] = ()
    display: str = ""
    source: str = ""
    blueprint: str = ""
    roots: tuple[str, ...] = ()
    lineage: tuple[str, ...] = ()
    role: Role = Role.NONE
    model: str = ""
    manifest: str = ""
    created: Instant = Instant(0)
    changed: Instant = Instant(0)
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What an agent was approved as. An agent enrolled under it never gets more, and runs as what was approved.

    Attributes:
        id: name, `[a-z0-9][a-z0-9._-]{0,63}`.
        owner: SPIFFE ID of the accountable person.
        maximum: the most any mission of such an agent may hold; empty = nothing is allowed (empty is never all).
        unlimited: the owner set no maximum: missions alone decide. Must be said, never a default.
        model: SHA-256 of the model's name and version, or of its weights, as the owner chose; empty = not pinned.
        manifest: digest of the tool manifest (`core.identity.manifest`); empty = not pinned.
        revision: 1 when first stored, one more with each change.
    """

    id: str
    owner: str
    maximum: tuple[AuthorityEntry, ...] = ()
    unlimited: bool = False
    model: str = ""
    manifest: str = ""
    revision: int = 1
    created: Instant = Instant(0)
    by: str = ""
