"""What a re-enrolment is recognised by: roots, and what was there before with one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jittrust.core.errors import BadInputError
from jittrust.core.identity.identity import Identity

ROOTS_MOST = 64
"""Most roots of one identity. Of more, the oldest keys go: a key that was replaced says least."""
LINEAGE_MOST = 100
"""Most ids that an identity's lineage names. Of more, the newest are named; the roots find the others."""
_KEY = "key:"
_ROOT = re.compile(
    r"(owner:spiffe://[^|\s]+\|blueprint:[a-z0-9._-]{0,64}|binary:[0-9a-f]{64}|key:[A-Za-z0-9_-]{1,128})\Z"
)


def checked_roots(roots: Iterable[str]) -> tuple[str, ...]:
    """The roots, each once, in their order.

    Raises:
        BadInputError: code `root_bad`.
    """
    found = tuple(dict.fromkeys(roots))
    for root in found:
        if not _ROOT.match(root):
            raise BadInputError("root_bad", f"{root[:80]!r} is no root.", "Write binary:SHA256 or key:THUMBPRINT.")
    return found


def owner_root(owner: str, blueprint: str) -> str:
    """The root of what one owner enrols under one blueprint. Without a blueprint nothing tells an owner's subjects apart, so they share one."""
    return f"owner:{owner}|blueprint:{blueprint}"


def joined_roots(known: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    """The roots with more of them, at most `ROOTS_MOST`."""
    roots = tuple(dict.fromkeys((*known, *more)))
    over = len(roots) - ROOTS_MOST
    if over <= 0:
        return roots
    going = set([root for root in roots if root.startswith(_KEY)][:over])
    return tuple(root for root in roots if root not in going)


def lineage_of(identity: Identity, alike: Iterable[Identity]) -> tuple[str, ...]:
    """Ids of what was there before with a root in common, oldest first: those known already, and `alike` as far as they are older."""
    older = sorted((one for one in alike if _before(one, identity)), key=lambda one: (one.created, one.id))
    return tuple(dict.fromkeys((*identity.lineage, *(one.id for one in older))))[-LINEAGE_MOST:]


def _before(one: Identity, identity: Identity) -> bool:
    return one.id != identity.id and one.created <= identity.created and identity.id not in one.lineage
