"""The kill switch: for people, never for agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.response.stop import Stop, StopScope


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a stop reached: `grants` and `missions` that it ended, `calls` that were under way and are cut off."""

    stop: Stop
    grants: tuple[str, ...]
    missions: tuple[str, ...]
    calls: int


class Responses(Protocol):
    """Stops agents, missions, grants, chains or everything, at once."""

    async def stop(self, scope: StopScope, target: str, why: str, by: str) -> Stopped:
        """Stop it: in force in memory before anything is awaited, durable and recorded before this returns. Stopping twice changes nothing.

        Raises:
            NotFoundError: code `target_unknown`: no such mission or grant. (Any agent may be stopped, one never seen too.)
            BadInputError: code `reason_needed`.
            UnavailableError: it is in force, and could not be made durable: a restart would forget it.
        """
        ...

    async def lift(self, stop: str, why: str, by: str, pin: str) -> Stop:
        """Let its target go on. Grants and missions that were ended stay ended; everything else goes on as it was.

        Raises:
            NotFoundError: code `stop_unknown`.
            RefusedError: as `PinCheck.check`.
        """
        ...

    async def list(self) -> Sequence[Stop]:
        """All stops, newest first, lifted ones too."""
        ...
