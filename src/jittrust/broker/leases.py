"""Leases of calls that are under way, and of streams: they end within a fraction of a second with whatever they stood on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from jittrust.broker.responses import StopIndex
from jittrust.broker.state import State
from jittrust.core.errors import NotFoundError
from jittrust.core.grant.lease import lease_lost
from jittrust.core.units import Instant, Seconds
from jittrust.ports.decision_point import Lease

LEASE_ENDED = "lease_ended"
# A change is looked at after so many seconds, with all that came in meanwhile; without one the clock is looked at this often.
_SOON, _OFTEN = 0.02, 0.2
# A lease that nobody has asked for again for so long is forgotten, seconds.
_FORGET, _SWEEP = 120.0, 1.0


@dataclass(slots=True)
class _Held:
    """What a call or stream stands on, and who waits for its end."""

    agent: str
    mission: str
    grant: str
    observed: bool
    asked: float
    waiting: set[asyncio.Future[Lease]] = field(default_factory=set)


class LeaseBook:
    """See `DecisionPoint.lease`. One look serves everybody who waits, however often something changes."""

    def __init__(self, state: State, clock: Callable[[], Instant]) -> None:
        """Nothing runs while nobody waits."""
        self._state = state
        self._stops = StopIndex.of(state)
        self._clock = clock
        self._held: dict[str, _Held] = {}
        # Those that somebody waits for, so that what is only remembered costs nothing; and when what is forgotten was looked for last.
        self._waited: dict[int, _Held] = {}
        self._swept = 0.0
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def lease(self, evaluation: str, timeout: Seconds) -> Lease:
        """See `DecisionPoint.lease`."""
        held = self._holding(evaluation)
        why = self._lost(held)
        if why:
            return Lease(goes_on=False, code=LEASE_ENDED, why=why)
        if timeout <= 0:
            return Lease(goes_on=True)
        end: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        held.waiting.add(end)
        self._waited[id(held)] = held
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            return await asyncio.wait_for(end, timeout)
        except TimeoutError:
            return Lease(goes_on=True)
        finally:
            held.waiting.discard(end)
            if not held.waiting:
                self._waited.pop(id(held), None)
            held.asked = asyncio.get_running_loop().time()

    def _holding(self, evaluation: str) -> _Held:
        """What it stands on. A stream is settled when it begins, so it is known from the first question on, not from the open calls."""
        now = asyncio.get_running_loop().time()
        held = self._held.get(evaluation)
        if held is None:
            call = self._state.calls.get(evaluation)
            if call is None:
                raise NotFoundError("evaluation_unknown", f"{evaluation} was never let out, or is settled already")
            held = self.hold(evaluation, call.ask.subject.id, call.mission, call.grant, observed=call.observed)
        held.asked = now
        return held

    def hold(self, evaluation: str, agent: str, mission: str, grant: str, *, observed: bool = False) -> _Held:
        """Let an evaluation be asked about that is no open call: a stream that is opened again."""
        now = asyncio.get_running_loop().time()
        if now - self._swept > _SWEEP:
            self._swept = now
            for name in [name for name, one in self._held.items() if not one.waiting and now - one.asked > _FORGET]:
                del self._held[name]
        self._held[evaluation] = held = _Held(agent, mission, grant, observed, now)
        return held

    def _lost(self, held: _Held) -> str:
        state = self._state
        grant = state.grants.get(held.grant)
        if self._stops.reaching(held.agent, held.mission, grant) is not None:
            return "it was stopped"
        if held.observed:
            return ""  # where verdicts are only observed, they cut nothing either
        above = [state.grants.get(name) for name in grant.path] if grant is not None else []
        return lease_lost(
            state.missions.get(held.mission), state.standings.get(held.mission), grant, above, self._clock()
        )

    async def _look(self) -> None:
        """End what may not go on, until nobody waits any more."""
        self._state.listeners.append(self._changed.set)
        try:
            while waited := list(self._waited.values()):
                for held in waited:
                    why = self._lost(held)
                    for end in held.waiting if why else ():
                        if not end.done():
                            end.set_result(Lease(goes_on=False, code=LEASE_ENDED, why=why))
                self._changed.clear()
                await asyncio.sleep(_SOON)
                try:
                    async with asyncio.timeout(_OFTEN):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            self._state.listeners.remove(self._changed.set)
