"""Goals, missions and their authority maps: for people and policies, never for agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.authority.map import AuthorityEntry, Endorsement
from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.response.session import Standing


@dataclass(frozen=True, slots=True)
class NewMission:
    """A goal that a person states.

    `entries` is an authority map a person has already edited and approved (from a mission file); empty = derive it from the goal and the
    tools known. Giving entries takes the approver's `pin` (secret, never recorded): it widens what may be done. `request` makes the start
    idempotent: the same request and person give the same mission. `minutes`: how long it lasts; None = as long as the settings let one last.
    `endorsements`: sources that the person's file endorses; `endorse`: ids of sources that the goal points at, to endorse. Both take the PIN too.
    """

    person: str
    goal: str
    source: GoalSource
    entries: tuple[AuthorityEntry, ...] = ()
    minutes: int | None = None
    observe: bool = False
    request: str = ""
    lanes: int = 1
    pin: str = ""
    endorsements: tuple[Endorsement, ...] = ()
    endorse: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MissionChange:
    """What a person changes: entries and endorsements of sources approved or refused (ids), entries added, or the state. Empty members change nothing.

    Approving, adding and letting a suspended mission go on take the approver's `pin` (secret, never recorded).
    """

    approve: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    add: tuple[AuthorityEntry, ...] = ()
    to: MissionState | None = None
    why: str = ""
    by: str = ""
    pin: str = ""


@dataclass(frozen=True, slots=True)
class MissionView:
    """A mission and how its agent stands."""

    mission: Mission
    standing: Standing


class Missions(Protocol):
    """Starts, extends, shows and ends missions."""

    async def start(self, new: NewMission) -> Mission:
        """Store a mission, make it the person's current one (an older current one is completed), and return it approved and active.

        Raises:
            BadInputError: code `goal_empty`, `goal_too_long`, or a bad entry.
            RefusedError: as `PinCheck.check`, when entries are given.
        """
        ...

    async def say(self, person: str, text: str, source: GoalSource, session: str) -> Mission:
        """Add words of the person to their current mission: they extend the goal and its map.

        A new `session` (not empty, other than the mission's) starts a new mission. Without a current mission one is started.
        """
        ...

    async def change(self, mission: str, change: MissionChange) -> Mission:
        """Apply a person's change.

        Raises:
            NotFoundError: code `mission_unknown`.
            ConflictError: code `illegal_move`.
            RefusedError: as `PinCheck.check`, when it widens.
        """
        ...

    async def list(self, person: str = "") -> Sequence[MissionView]:
        """All missions, newest first; of one person when named."""
        ...
