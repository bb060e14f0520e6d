"""From observe to enforce, by a person, for one mission or one agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from jittrust.broker.baselines import checked_why
from jittrust.broker.record import mission_record, promotion_record
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, ConflictError, NotFoundError
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.promotion import Promotion
from jittrust.core.mission.states import ENDED
from jittrust.core.response.ladder import resumed
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.rules import Rules
from jittrust.core.scoring.trust import opening
from jittrust.core.units import Instant
from jittrust.ports.commit import Keep, PutMission, PutStanding, Write
from jittrust.ports.pin import PinCheck

LONGEST_NAME = 512
"""Longest name of an agent, in characters."""


def enforced(state: State, *names: str) -> bool:
    """Whether a person said of one of these agents that it is not only observed any more."""
    known = state.of_kind(Promotion)
    return bool(known) and any((one := known.get(name)) is not None and one.stands for name in names)


class PromotionBook:
    """See `ports.promotions`."""

    def __init__(self, state: State, pin: PinCheck, rules: Rules, clock: Callable[[], Instant]) -> None:
        """Wire it up."""
        self._state = state
        self._pin = pin
        self._rules = rules
        self._clock = clock

    async def enforce_mission(self, mission: str, why: str, by: str, pin: str) -> Mission:
        """See `Promotions.enforce_mission`."""
        checked_why(why)
        await asyncio.to_thread(self._pin.check, pin)
        await self._state.refresh()
        found = self._state.missions.get(mission)
        if found is None:
            raise NotFoundError("mission_unknown", f"There is no mission {mission}.", "jittrust mission list")
        if found.state in ENDED:
            raise ConflictError("mission_ended", f"The mission {mission} is {found.state}.", "jittrust mission list")
        if not found.observe:
            raise ConflictError("not_observed", f"The mission {mission} is enforced already.")
        now = self._clock()
        meant = replace(found, observe=False, generation=found.generation + 1)
        writes: list[Write] = [PutMission(meant, found.generation)]
        standing = self._state.standings.get(mission)
        if standing is not None and standing.state in (SessionState.SUSPENDED, SessionState.KILLED):
            # What was only observed stopped nothing, so it must not stop it now: the person has seen it, and goes on as after a question.
            writes.append(PutStanding(mission, self._taken_on(standing, now)))
        await self._state.change(writes, [mission_record(meant, "enforced", by, now, why)])
        return meant

    async def enforce_agent(self, agent: str, why: str, by: str, pin: str) -> Promotion:
        """See `Promotions.enforce_agent`."""
        checked_why(why)
        if not agent or len(agent) > LONGEST_NAME or not agent.isprintable():
            raise BadInputError("target_bad", "That is no name of an agent.", "jittrust intent promote --help")
        await asyncio.to_thread(self._pin.check, pin)
        await self._state.refresh()
        known = self._state.of_kind(Promotion).get(agent)
        if known is not None and known.stands:
            return known
        now = self._clock()
        made = Promotion(agent, by, why, now, revision=(known.revision if known else 0) + 1)
        await self._state.change([Keep(made)], [promotion_record(made, "enforced", by, why, now)])
        return made

    async def release(self, agent: str, why: str, by: str, pin: str) -> Promotion:
        """See `Promotions.release`."""
        checked_why(why)
        await asyncio.to_thread(self._pin.check, pin)
        await self._state.refresh()
        known = self._state.of_kind(Promotion).get(agent)
        if known is None or not known.stands:
            raise NotFoundError("promotion_none", f"{agent} was not promoted.", "jittrust intent promote --list")
        now = self._clock()
        gone = replace(known, ended=now, revision=known.revision + 1)
        await self._state.change([Keep(gone)], [promotion_record(gone, "released", by, why, now)])
        return gone

    async def list(self) -> Sequence[Promotion]:
        """See `Promotions.list`."""
        return sorted(self._state.of_kind(Promotion).values(), key=lambda one: one.since, reverse=True)

    def _taken_on(self, standing: Standing, now: Instant) -> Standing:
        if standing.state is SessionState.KILLED:
            standing = replace(standing, state=SessionState.SUSPENDED, trust=opening(self._rules.trust))
        return resumed(standing, now, self._rules.ladder)
