"""What an identity provider tells about people (SCIM 2.0, RFC 7643)."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.core.units import Instant


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A user as the provider sent it. `id` is ours (RFC 7643 §3.1), `person` the SPIFFE ID it stands for, `document` the resource as JSON text."""

    id: str
    person: str
    user_name: str
    external_id: str
    active: bool
    document: str
    created: Instant = Instant(0)
    changed: Instant = Instant(0)
    revision: int = 1


@dataclass(frozen=True, slots=True)
class DirectoryGroup:
    """A group and its members (ids of users)."""

    id: str
    name: str
    external_id: str
    members: tuple[str, ...]
    document: str
    created: Instant = Instant(0)
    changed: Instant = Instant(0)
    revision: int = 1


@dataclass(frozen=True, slots=True)
class DirectoryToken:
    """The bearer token of one provider. `id` is its keyed hash; `last_four` are its last characters, for people."""

    id: str
    name: str
    last_four: str
    created: Instant = Instant(0)
    by: str = ""
    revision: int = 1
