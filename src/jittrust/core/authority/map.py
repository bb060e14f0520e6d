"""The micro-perimeter of a mission: which tool, which resources, which arguments, how often.

An authority map holds no wildcard for tools and is never widened by a score: only a person, or a policy a person wrote, adds an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jittrust.core.model import Json


class EntryState(StrEnum):
    """Whether an entry is in force."""

    APPROVED = "approved"
    PROPOSED = "proposed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuthorityEntry:
    """One thing a mission may do.

    Attributes:
        id: unique in its map, `e-…`.
        tool: `server/name` exactly; never a pattern.
        action: MCP method, `tools/call`, `resources/read` or `prompts/get`.
        resource: RE2 pattern, anchored at both ends, that the call's resource words must match (see `match`); empty = any.
        constraints: JSON Schema that the arguments must satisfy; empty = any.
        uses_left: how many calls are left; None = not limited by number.
        state: only `approved` entries let anything through.
        approved_by: `policy:<rule>` or the person; empty while proposed.
        why: the words of the goal or the rule that brought it here, for people.
        pin: definition hash of the tool that was approved; a changed definition does not match.
    """

    id: str
    tool: str
    action: str = "tools/call"
    resource: str = ""
    constraints: Mapping[str, Json] = field(default_factory=dict)
    uses_left: int | None = None
    state: EntryState = EntryState.PROPOSED
    approved_by: str = ""
    why: str = ""
    pin: str = ""


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A source that a person endorsed: what it says may direct acts of named kinds (`core.authority.endorsement`).

    Attributes:
        id: unique in its map, `s-…`.
        tool: `server/name` of the tool whose results are meant; never a pattern.
        selectors: argument name → the exact value that the reading call must have had (which file, whose mail), and no others.
        intents: intent codes of the acts that it may direct.
        amount_most: what the amounts of such acts may still add up to; None = such acts carry none.
        state: only `approved` ones count.
        approved_by: `policy:<rule>` or the person; empty while proposed.
        why: the words of the goal, for people.
        warned: whoever approved it was told that the text reads like orders to a model.
    """

    id: str
    tool: str
    selectors: Mapping[str, str] = field(default_factory=dict)
    intents: tuple[str, ...] = ()
    amount_most: float | None = None
    state: EntryState = EntryState.PROPOSED
    approved_by: str = ""
    why: str = ""
    warned: bool = False


@dataclass(frozen=True, slots=True)
class AuthorityMap:
    """All entries of a mission, in the order in which they were added, and the sources that may direct it."""

    entries: tuple[AuthorityEntry, ...] = ()
    lanes: int = 1
    endorsements: tuple[Endorsement, ...] = ()

    @property
    def approved(self) -> tuple[AuthorityEntry, ...]:
        """The entries in force."""
        return tuple(entry for entry in self.entries if entry.state is EntryState.APPROVED)

    @property
    def endorsed(self) -> tuple[Endorsement, ...]:
        """The endorsements in force."""
        return tuple(one for one in self.endorsements if one.state is EntryState.APPROVED)
