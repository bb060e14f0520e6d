"""Signing authorities of the trust domain and their life, as SPIRE drills it: prepare → activate → taint → revoke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.units import Instant


class AuthorityKind(StrEnum):
    """What an authority signs."""

    X509 = "x509"
    JWT = "jwt"


class AuthorityState(StrEnum):
    """Where an authority stands. Published in the bundle: all but `waiting` and `revoked`. Signs: `active`."""

    WAITING = "waiting"  # its certificate request waits for the upstream authority's answer
    PREPARED = "prepared"  # published, so that everybody can know it before it signs
    ACTIVE = "active"  # signs; one of each kind
    OLD = "old"  # signed until another was activated
    TAINTED = "tainted"  # not trusted any more: whatever it signed is replaced now and refused here after the grace
    REVOKED = "revoked"  # out of the bundle, key destroyed


AUTHORITY_MOVES: Mapping[AuthorityState, frozenset[AuthorityState]] = {
    AuthorityState.WAITING: frozenset({AuthorityState.PREPARED, AuthorityState.REVOKED}),
    AuthorityState.PREPARED: frozenset({AuthorityState.ACTIVE, AuthorityState.TAINTED, AuthorityState.REVOKED}),
    AuthorityState.ACTIVE: frozenset({AuthorityState.OLD}),
    AuthorityState.OLD: frozenset({AuthorityState.ACTIVE, AuthorityState.TAINTED}),
    AuthorityState.TAINTED: frozenset({AuthorityState.REVOKED}),
    AuthorityState.REVOKED: frozenset(),
}

PUBLISHED = frozenset({AuthorityState.PREPARED, AuthorityState.ACTIVE, AuthorityState.OLD, AuthorityState.TAINTED})
BACKDATED_SECONDS = 10.0
"""A document is valid from so long before it was made, for peers whose clock is a little behind."""
TAINT_GRACE_SECONDS = 30.0
"""After a taint, honest workloads have this long to take the documents that were pushed to them; then what it signed is refused here."""


@dataclass(frozen=True, slots=True)
class SigningAuthority:
    """One authority. Its private key is never here: `key` names it in the key store.

    Attributes:
        id: `x-…` or `j-…`; for JWT authorities also the `kid`.
        kind, state: what it signs, where it stands.
        key: name of the signing key (X.509: of the intermediate) in the key store.
        public: SubjectPublicKeyInfo of that key, DER, base64.
        roots: X.509 only: the certificates the bundle publishes for it (its own root, or the upstream's), DER, base64.
        chain: X.509 only: the intermediate and whatever lies between it and the root, nearest to the leaf first, DER, base64.
        request: X.509 only, while `waiting`: the certificate request for the upstream authority, PEM.
        upstream: the root is somebody else's.
        begins, ends: validity; nothing signed by it outlives `ends`.
        tainted: when it was tainted; 0 = never.
        revision: 1 when first stored, one more with each change.
    """

    id: str
    kind: AuthorityKind
    state: AuthorityState
    key: str
    public: str
    roots: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    request: str = ""
    upstream: bool = False
    begins: Instant = Instant(0)
    ends: Instant = Instant(0)
    tainted: Instant = Instant(0)
    revision: int = 1
    created: Instant = Instant(0)
    changed: Instant = Instant(0)
    by: str = ""


@dataclass(frozen=True, slots=True)
class BundleVersion:
    """The own bundle's `spiffe_sequence`: one more with each change of what is published, never going back. `id` is `own`."""

    id: str
    sequence: int
    revision: int
