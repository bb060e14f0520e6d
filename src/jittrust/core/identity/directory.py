"""What an identity provider tells about people (SCIM 2.0, RFC 7643)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from unicodedata import normalize

from jittrust.core.errors import BadInputError
from jittrust.core.identity.identity import Role
from jittrust.core.model import Json
from jittrust.core.units import Instant

MAX_NAME = 256
"""Longest user name, external id and group name, in characters."""
MAX_DOCUMENT = 64 * 1024
"""Largest document of one user or group without its members, in bytes of UTF-8."""
MAX_MEMBERS = 50_000
"""Most members of one group."""
MAX_DISPLAY = 200
MAX_SEGMENT = 100
"""Longest segment that `path_segment` gives, in characters."""
_EMAIL = re.compile(r"[^\s@\x00-\x20\x7f]{1,64}@[^\s@\x00-\x20\x7f]{1,255}\Z")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-")

GROUP_ROLES: Mapping[str, Role] = {
    "jittrust-viewer": Role.VIEWER,
    "jittrust-responder": Role.RESPONDER,
    "jittrust-admin": Role.ADMIN,
}
"""Groups whose members get a role here. The name is compared in any case."""
_RANK = {role: rank for rank, role in enumerate(Role)}


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


def folded(text: str) -> str:
    """What user names, group names and e-mail addresses are compared by: NFC, lower case, NFC (RFC 8265 without its width mapping)."""
    return normalize("NFC", normalize("NFC", text).lower())


def rank(role: Role) -> int:
    """How much a role may do; 0 is nothing."""
    return _RANK[role]


def role_of(groups: Iterable[str]) -> Role:
    """The greatest role that membership in groups of these names gives."""
    return max((GROUP_ROLES.get(folded(name), Role.NONE) for name in groups), key=rank, default=Role.NONE)


def shown(text: str) -> str:
    """A text that is safe to print on one line: what is not printable becomes a question mark; at most 200 characters."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[: MAX_DISPLAY + 1])[:MAX_DISPLAY].strip()


def path_segment(name: str) -> str:
    """A SPIFFE ID path segment for a name of any script: the same name always gives the same one, two names never the same one.

    ASCII letters, digits, `.` and `-` stay as they are, everything else is written as `_` and hex digits of its UTF-8 bytes, with `_` at the
    end of each run (`é` is `_c3a9_`). What would be too long, empty, or only dots is `_h` and 40 hex digits of its SHA-256. `_h` begins nothing else.
    """
    made: list[str] = []
    run = b""
    for sign in name:
        if sign in _PLAIN:
            if run:
                made.append(f"_{run.hex()}_")
                run = b""
            made.append(sign)
        else:
            run += sign.encode("utf-8", "surrogatepass")
    if run:
        made.append(f"_{run.hex()}_")
    segment = "".join(made)
    if not segment or len(segment) > MAX_SEGMENT or not segment.strip("."):
        return f"_h{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"
    return segment


def emails_of(user: DirectoryUser) -> tuple[str, ...]:
    """The addresses that say who a user is, folded: the user name if it is one, and the primary address (the only one counts as primary).

    Other addresses say nothing: many directories let people write them themselves.
    """
    found = [user.user_name] if _EMAIL.match(user.user_name) else []
    listed = _document(user.document).get("emails")
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    primary = [one for one in entries if one.get("primary") is True] or (entries if len(entries) == 1 else [])
    if len(primary) == 1:
        value = primary[0].get("value")
        if isinstance(value, str) and _EMAIL.match(value):
            found.append(value)
    return tuple(dict.fromkeys(folded(one) for one in found))


def display_of(user: DirectoryUser) -> str:
    """The name of a user for people; never what somebody is recognised by."""
    document = _document(user.document)
    name = document.get("name")
    formatted = name.get("formatted") if isinstance(name, dict) else None
    for text in (document.get("displayName"), formatted, user.user_name):
        if isinstance(text, str) and shown(text):
            return shown(text)
    return ""


def check_user(user: DirectoryUser) -> None:
    """Refuse a user that cannot be kept. Raises BadInputError: code `directory_value_bad`."""
    _check_text("A user name", user.user_name, needed=True)
    _check_text("An external id", user.external_id, needed=False)
    _check_document(user.document)


def check_group(group: DirectoryGroup) -> None:
    """Refuse a group that cannot be kept. Raises BadInputError: code `directory_value_bad`."""
    _check_text("A group's name", group.name, needed=True)
    _check_text("An external id", group.external_id, needed=False)
    _check_document(group.document)
    if len(group.members) > MAX_MEMBERS:
        raise BadInputError("directory_value_bad", f"A group has at most {MAX_MEMBERS} members.")


def _check_text(what: str, text: str, *, needed: bool) -> None:
    if len(text) > MAX_NAME or (needed and not text.strip()) or not text.isprintable():
        raise BadInputError("directory_value_bad", f"{what} has 1 to {MAX_NAME} printable characters.")


def _check_document(document: str) -> None:
    if len(document.encode("utf-8", "surrogatepass")) > MAX_DOCUMENT:
        raise BadInputError("directory_value_bad", f"A user or group has at most {MAX_DOCUMENT} bytes.")
    _document(document)


def _document(document: str) -> dict[str, Json]:
    try:
        made = json.loads(document) if document else {}
    except (ValueError, RecursionError):
        raise BadInputError("directory_value_bad", "The document is no JSON.") from None
    if not isinstance(made, dict):
        raise BadInputError("directory_value_bad", "The document is no JSON object.")
    return made
