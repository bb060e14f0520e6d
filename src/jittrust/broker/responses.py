"""The kill switch: in force in memory before anything is awaited, then made durable.

Ending grants and missions goes through the store like every change, and a store that hangs would undo it in memory. So what was pulled is held in
an index of its own as well, which no store takes back: a full or hung disk never puts an agent back to work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from jittrust.broker.identity.index import IdentityIndex, names_of
from jittrust.broker.record import grant_record, mission_record, stop_record
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, ConflictError, NotFoundError, RefusedError
from jittrust.core.grant.grant import Grant
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MISSION_MOVES, MissionState
from jittrust.core.response.stop import EVERYTHING, Stop, StopScope
from jittrust.core.states import move
from jittrust.core.units import Instant
from jittrust.ports.commit import Keep, Kept, MoveGrant, PutMission, RecordBody, Write
from jittrust.ports.pin import PinCheck
from jittrust.ports.responses import Stopped

LONGEST = 512
"""Longest reason and longest target, in characters."""
_TRIES = 3
_LIVE = (GrantState.ACTIVE, GrantState.SUSPENDED)


class StopIndex:
    """What is stopped now; each question is a few look-ups."""

    def __init__(self, state: State) -> None:
        """Use `StopIndex.of`."""
        self._state = state
        self._pulled: dict[str, Stop] = {}
        self._standing: dict[tuple[StopScope, str], Stop] = {}

    @classmethod
    def of(cls, state: State) -> StopIndex:
        """The index of this state, made on first use."""
        for index in state.indexes:
            if isinstance(index, cls):
                return index
        made = cls(state)
        state.add_index(made)
        return made

    def took(self) -> None:
        """See `KeptIndex.took`. What was pulled and could not be stored stands on."""
        self._standing.clear()
        for stop in (*self._state.of_kind(Stop).values(), *self._pulled.values()):
            self._put(stop)

    def kept(self, value: Kept, before: Kept | None) -> None:  # noqa: ARG002 - a later one takes its place
        """See `KeptIndex.kept`."""
        if isinstance(value, Stop):
            self._put(value)

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`: stops are kept for good."""

    def pull(self, stop: Stop) -> None:
        """Put a stop in force that is not stored yet."""
        self._pulled[stop.id] = stop
        self._put(stop)

    def pulled(self, stop: str) -> Stop | None:
        """A stop that was put in force here, stored or not."""
        return self._pulled.get(stop)

    def let_go(self, stop: str) -> None:
        """A person lifted it: the store's word counts again."""
        self._pulled.pop(stop, None)

    def _put(self, stop: Stop) -> None:
        key = (stop.scope, stop.target)
        if stop.stands:
            self._standing[key] = stop
        else:
            self._standing.pop(key, None)

    def standing(self) -> Iterator[Stop]:
        """Every stop in force."""
        yield from self._standing.values()

    def reaching(self, agent: str, mission: str, grant: Grant | None) -> Stop | None:
        """The stop that reaches a call or a new grant of this agent under this mission; None when none does."""
        if not self._standing:
            return None
        found = self._standing.get((StopScope.EVERYTHING, EVERYTHING)) or self._standing.get(
            (StopScope.MISSION, mission)
        )
        if found is not None:
            return found
        names = [agent]
        if grant is not None:
            for name in (grant.id, *grant.path):
                found = self._standing.get((StopScope.GRANT, name))
                if found is not None:
                    return found
            found = self._standing.get((StopScope.CHAIN, grant.family))
            names.append(grant.agent)
        return found or next(filter(None, map(self._of_agent, names)), None)

    def _of_agent(self, agent: str) -> Stop | None:
        stop = self._standing.get((StopScope.AGENT, agent))
        if stop is not None:
            return stop
        # Somebody who goes by several names is stopped under all of them.
        identity = IdentityIndex.of(self._state).agent(agent)
        if identity is None:
            return None
        found = (self._standing.get((StopScope.AGENT, name)) for name in names_of(identity))
        return next(filter(None, found), None)


class ResponseBook:
    """See `ports.responses`."""

    def __init__(self, state: State, pin: PinCheck, clock: Callable[[], Instant]) -> None:
        """Wire it up."""
        self._state = state
        self._pin = pin
        self._clock = clock
        self._stops = StopIndex.of(state)

    async def stop(self, scope: StopScope, target: str, why: str, by: str) -> Stopped:
        """See `Responses.stop`."""
        if not why.strip() or len(why) > LONGEST:
            raise BadInputError("reason_needed", f"Say why, in 1 to {LONGEST} characters.", "Add --why TEXT.")
        target = self._target(scope, target)
        # From here on it is in force, whatever becomes of the rest.
        stop = self._stops.pulled(f"{scope}:{target}") or self._state.of_kind(Stop).get(f"{scope}:{target}")
        if stop is None or not stop.stands:
            stop = Stop(f"{scope}:{target}", scope, target, why, by, self._clock())
        self._stops.pull(stop)
        for attempt in range(_TRIES):
            try:
                return await self._end(stop, why, by)
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError  # unreachable: the loop returns or raises

    async def _end(self, stop: Stop, why: str, by: str) -> Stopped:
        """End what it reaches, in one step with the stop itself."""
        scope, target, now = stop.scope, stop.target, self._clock()
        writes: list[Write] = []
        records: list[RecordBody] = []
        known = self._state.of_kind(Stop).get(stop.id)
        if known is None or not known.stands:
            writes.append(Keep(replace(stop, revision=(known.revision if known else 0) + 1)))
            records.append(stop_record(stop, "pulled", now))
        grants = [g for g in self._state.grants.values() if g.state in _LIVE and self._ends(scope, target, g)]
        for grant in grants:
            writes.append(MoveGrant(grant.id, GrantState.REVOKED))
            records.append(grant_record(grant, "revoked", now, why, by))
        missions = [mission for mission in self._state.missions.values() if self._stops_mission(scope, target, mission)]
        for mission in missions:
            to = move(MISSION_MOVES, mission.state, MissionState.TERMINATED)
            ended = replace(mission, state=to, why_ended=why, generation=mission.generation + 1)
            writes.append(PutMission(ended, mission.generation))
            records.append(mission_record(ended, str(to), by, now, why))
        calls = sum(
            self._stops.reaching(call.ask.subject.id, call.mission, self._state.grants.get(call.grant)) is not None
            for call in self._state.calls.values()
        )
        if writes:
            await self._state.change(writes, records)
        return Stopped(stop, tuple(g.id for g in grants), tuple(m.id for m in missions), calls)

    async def lift(self, stop: str, why: str, by: str, pin: str) -> Stop:
        """See `Responses.lift`."""
        # Checking a PIN takes a while, and every decision would wait for it.
        await asyncio.to_thread(self._pin.check, pin)
        stored = self._state.of_kind(Stop).get(stop)
        found = self._stops.pulled(stop) or stored
        if found is None or not found.stands:
            raise NotFoundError("stop_unknown", f"Nothing is stopped as {stop}.", "See: jittrust kill --list")
        now = self._clock()
        lifted = replace(found, lifted=now, revision=(stored.revision if stored else 0) + 1)
        await self._state.change([Keep(lifted)], [{**stop_record(lifted, "lifted", now), "why": why, "by": by}])
        self._stops.let_go(stop)
        return lifted

    async def list(self) -> Sequence[Stop]:
        """See `Responses.list`."""
        return sorted(self._state.of_kind(Stop).values(), key=lambda stop: stop.since, reverse=True)

    def _target(self, scope: StopScope, target: str) -> str:
        if scope is StopScope.EVERYTHING:
            return EVERYTHING
        if not target or len(target) > LONGEST or not target.isprintable():
            raise BadInputError("target_bad", "That is no name of an agent, mission or grant.", "jittrust kill --help")
        if scope is StopScope.AGENT:
            return target
        if scope is StopScope.MISSION:
            if target not in self._state.missions:
                raise NotFoundError("target_unknown", f"There is no mission {target}.", "jittrust mission list")
            return target
        grant = self._state.grants.get(target)
        if grant is None:
            raise NotFoundError("target_unknown", f"There is no grant {target}.", "jittrust grant list")
        return grant.family if scope is StopScope.CHAIN else target

    def _ends(self, scope: StopScope, target: str, grant: Grant) -> bool:
        """Whether the stop ends this grant for good. What was carved from it is dead with it, so nothing below is looked for."""
        if scope is StopScope.GRANT:
            return grant.id == target
        if scope is StopScope.CHAIN:
            return target in {grant.id, grant.family}
        if scope is StopScope.MISSION:
            return grant.mission == target
        # Everything is frozen, not ended: what is ended cannot be put back when it was a false alarm.
        return scope is StopScope.AGENT and self._same(target, grant.agent) and not grant.shared

    def _stops_mission(self, scope: StopScope, target: str, mission: Mission) -> bool:
        # Under a stopped agent's missions nothing of it goes out while the stop stands; others may go on with them.
        return (
            scope is StopScope.MISSION
            and mission.id == target
            and MissionState.TERMINATED in MISSION_MOVES[mission.state]
        )

    def _same(self, target: str, agent: str) -> bool:
        if not agent:
            return False
        if agent == target:
            return True
        identity = IdentityIndex.of(self._state).agent(agent)
        return identity is not None and target in names_of(identity)


def check_not_stopped(state: State, agent: str, mission: str, grant: Grant | None = None) -> None:
    """Refuse to open anything for what is stopped.

    Raises:
        RefusedError: code `stopped`.
    """
    stop = StopIndex.of(state).reaching(agent, mission, grant)
    if stop is not None:
        raise RefusedError(
            "stopped", f"{stop.by} stopped {stop.id}: {stop.why}", f"A person lifts it: jittrust kill --lift {stop.id}"
        )
