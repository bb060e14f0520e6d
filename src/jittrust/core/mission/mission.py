"""A mission: a stated goal, who stated it, and what may be done for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from jittrust.core.authority.map import AuthorityMap
from jittrust.core.mission.states import MissionState
from jittrust.core.units import Instant


class GoalSource(StrEnum):
    """Where the goal's words came from, strongest first."""

    PROMPT_HOOK = "prompt_hook"
    MISSION_START = "mission_start"
    CONSENT = "consent"  # proposed by an agent, confirmed by the person together with everything it may do
    ELICITATION = "elicitation"
    FLAG = "goal_flag"
    FILE = "mission_file"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a person wants, in their own words. Trusted text only: nothing a tool returned ever gets in here.

    `texts` are the first statement and every later message of the person, oldest first. `source` is where they came from.
    """

    texts: tuple[str, ...]
    source: GoalSource

    @property
    def text(self) -> str:
        """All words of the person, one statement a line."""
        return "\n".join(self.texts)

    @property
    def stated(self) -> bool:
        """Whether there is a goal at all."""
        return any(text and not text.isspace() for text in self.texts)


@dataclass(frozen=True, slots=True)
class Mission:
    """One approved goal.

    Attributes:
        id: unique name, `m-…`.
        person: for whom (the accountable person; local user name in one-user mode).
        agent: which agent acts (Subject id).
        goal: the person's words; `Goal((), NONE)` before any goal is known.
        state: see `states`.
        authority: what may be done; grows only by a person or a policy a person wrote.
        created: when it was proposed.
        confirmed: last time a person confirmed it (approval, goal statement); T is measured from here.
        expires: end of the permission in force.
        observe: verdicts are recorded and nothing is stopped (explicit and loud).
        generation: rises with every change of goal or authority, so that stale answers are recognised.
    """

    id: str
    person: str
    agent: str
    goal: Goal
    state: MissionState
    authority: AuthorityMap
    created: Instant
    confirmed: Instant
    expires: Instant
    observe: bool = False
    generation: int = 0
    why_ended: str = field(default="")
