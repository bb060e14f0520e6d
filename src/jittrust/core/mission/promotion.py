"""The end of observing: an agent of whom a person said that from now on verdicts are enforced."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.core.units import Instant


@dataclass(frozen=True, slots=True)
class Promotion:
    """One agent promoted from observe to enforce. `id` is the agent's name.

    While it stands, neither `--observe` of an enforcement point nor `policy.observe` keeps this agent's calls from being stopped. A mission that was
    started with `--observe` goes on observing until it is promoted itself. `ended` is when a person took it back.
    """

    id: str
    by: str
    why: str
    since: Instant
    ended: Instant | None = None
    revision: int = 1

    @property
    def stands(self) -> bool:
        """Whether it is in force."""
        return self.ended is None
