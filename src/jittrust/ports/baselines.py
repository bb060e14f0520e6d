"""What is usual here, adopted and taken back: for people, never for agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.intent.adoption import AdoptedBaseline
from jittrust.core.model import Json


@dataclass(frozen=True, slots=True)
class BaselineInForce:
    """What stands now.

    `adopted`: the last adoption, dropped ones too (`stands`); None = there never was one. `judged` and `asked`: calls judged by it in this
    process, at most the last 200, and those of which a person was or would have been asked. `alarm`: that is more than it promised, beyond
    chance. `readable`: False = a newer version cannot read it, so it is not in force.
    """

    adopted: AdoptedBaseline | None
    judged: int = 0
    asked: int = 0
    alarm: bool = False
    readable: bool = True


class Baselines(Protocol):
    """Adopts and drops the baseline of a deployment."""

    async def adopt(self, body: Mapping[str, Json], why: str, by: str, pin: str) -> AdoptedBaseline:
        """Put a baseline (`baseline.to_json`) in force for every decision and proposal from now on; it takes the place of the one before.

        Entries of running missions that only an earlier baseline had approved, and this one does not, are proposals again.

        Raises:
            BadInputError: code `bad_baseline`, `baseline_empty`, `baseline_too_large`, `reason_needed`.
            RefusedError: as `PinCheck.check`.
        """
        ...

    async def drop(self, why: str, by: str, pin: str) -> AdoptedBaseline:
        """Take it back: what only it had approved in running missions is a proposal again.

        Raises:
            NotFoundError: code `baseline_none`.
            BadInputError: code `reason_needed`.
            RefusedError: as `PinCheck.check`.
        """
        ...

    async def show(self) -> BaselineInForce:
        """What stands, and how often it asks."""
        ...
