"""Registration entries: which selectors entitle a process or a token to which SPIFFE ID."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.core.errors import BadInputError
from jittrust.core.model import SubjectKind
from jittrust.core.units import Instant

MAX_SELECTOR = 1024


@dataclass(frozen=True, slots=True, order=True)
class Selector:
    """One attested fact, written `type:value`, such as `unix:uid:1000`: the type is what attested it."""

    type: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read `type:value`. Raises BadInputError: code `selector_bad`."""
        kind, colon, value = text.partition(":")
        if (
            not colon
            or not value
            or not (kind.isascii() and kind.isidentifier())
            or not kind.islower()
            or len(text) > MAX_SELECTOR
            or not text.isprintable()
        ):
            raise BadInputError("selector_bad", f"{text[:80]!r} is no selector.", "Example: unix:uid:1000")
        return cls(kind, value)

    def __str__(self) -> str:
        """`type:value`."""
        return f"{self.type}:{self.value}"


@dataclass(frozen=True, slots=True)
class RegistrationEntry:
    """Whoever is attested with all of `selectors` gets documents for `spiffe_id`. No selectors match nobody, never everybody.

    Attributes:
        id: `n-…`.
        spiffe_id: the identity that is given.
        kind: of what kind it is.
        selectors: all of them must have been attested, each as text (`Selector`), sorted.
        owner: SPIFFE ID of the accountable person.
        blueprint: id of the blueprint, for agents; empty without one.
        x509_seconds, jwt_seconds: life of the documents; 0 = as the rules say (1 h, 5 min).
        federates_with: names of the foreign trust domains whose bundles it gets.
        dns_names: DNS names in its X.509-SVID.
        hint: told to the workload when it has more than one identity (Workload API §hint).
        expires: the entry's own end; 0 = none.
        revision: 1 when first stored, one more with each change.
    """

    id: str
    spiffe_id: str
    kind: SubjectKind
    selectors: tuple[str, ...]
    owner: str
    blueprint: str = ""
    x509_seconds: int = 0
    jwt_seconds: int = 0
    federates_with: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    hint: str = ""
    expires: Instant = Instant(0)
    revision: int = 1
    created: Instant = Instant(0)
    by: str = ""


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A one-use ticket for an identity. The token itself is stored nowhere: `id` is its keyed hash (64 hex digits).

    `used` is 0 until somebody enrolled with it; it is spent by the revision that says so, which only one caller can write.
    """

    id: str
    entry: str
    expires: Instant
    used: Instant = Instant(0)
    used_by: str = ""
    revision: int = 1
    created: Instant = Instant(0)
    by: str = ""
