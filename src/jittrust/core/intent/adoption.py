"""An adopted baseline: what a person put in force as usual here, until a person takes it back.

Adoption is an act, not a setting: it takes the approver's PIN, is recorded with its digest and its reason, and no file that an agent may write
can bring it about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jittrust.core.errors import BadInputError
from jittrust.core.intent.baseline import Baseline, from_json
from jittrust.core.model import Json
from jittrust.core.units import Instant

ADOPTED: Final = "usual"
"""Under this name the one baseline of a deployment is kept."""
LARGEST_BASELINE: Final = 5_000_000
"""Largest baseline that is adopted, in bytes of JSON."""


@dataclass(frozen=True, slots=True)
class AdoptedBaseline:
    """One adoption.

    Attributes:
        id: always `ADOPTED`.
        body: the baseline as `baseline.to_json` writes it; empty once it was dropped.
        digest: SHA-256 of its JSON with sorted keys, 64 hex digits.
        by, why: who adopted it, and why.
        since: when.
        dropped: when a person took it back; None while it is in force.
    """

    id: str
    body: Json
    digest: str
    by: str
    why: str
    since: Instant
    dropped: Instant | None = None
    revision: int = 1

    @property
    def stands(self) -> bool:
        """Whether it is in force."""
        return self.dropped is None


def adoptable(body: Json) -> Baseline:
    """The baseline that a person is about to adopt.

    Raises:
        BadInputError: code `bad_baseline` (damaged, or of another version), `baseline_empty` (it was learned from nothing).
    """
    if not isinstance(body, Mapping):
        raise BadInputError("bad_baseline", "this is no baseline", "Make one: jittrust calibrate.")
    made = from_json(body)
    if not made.adopted:
        raise BadInputError("baseline_empty", "the baseline was learned from nothing", "Make one: jittrust calibrate.")
    return made
