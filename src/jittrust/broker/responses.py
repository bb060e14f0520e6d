"""The kill switch: in force in memory before anything is awaited, then made durable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jittrust.broker.state import State
from jittrust.core.response.stop import Stop, StopScope
from jittrust.core.units import Instant
from jittrust.ports.pin import PinCheck
from jittrust.ports.responses import Stopped


class ResponseBook:
    """See `ports.responses`."""

    def __init__(self, state: State, pin: PinCheck, clock: Callable[[], Instant]) -> None:
        """Wire it up."""
        self._state = state
        self._pin = pin
        self._clock = clock

    async def stop(self, scope: StopScope, target: str, why: str, by: str) -> Stopped:
        """See `Responses.stop`."""
        raise NotImplementedError

    async def lift(self, stop: str, why: str, by: str, pin: str) -> Stop:
        """See `Responses.lift`."""
        raise NotImplementedError

    async def list(self) -> Sequence[Stop]:
        """See `Responses.list`."""
        raise NotImplementedError
