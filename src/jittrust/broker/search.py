"""What would be decided, without a pass, a debit or an effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from jittrust.broker.baselines import BaselineIndex
from jittrust.broker.gather import Gather
from jittrust.broker.state import State
from jittrust.core.decide import decide
from jittrust.core.errors import NotFoundError
from jittrust.core.grant.grant import Grant, PassBinding, PassStanding, Presentation, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Action, Evaluation, Resource, Ruling, Subject, SubjectKind, Verdict
from jittrust.core.rules import Rules
from jittrust.core.units import Gas, Instant
from jittrust.ports.searches import Found

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "tool": ("tools/call",),
    "resource": ("resources/read", "resources/subscribe"),
    "prompt": ("prompts/get",),
}
"""What can be done to each type of resource behind the broker, sorted."""
MOST_JUDGED = 512
"""Most questions that one page asks; a page that would need more ends early and says where to go on."""
_ASKED = Presentation(PassStanding.FRESH, 0, 0, "asked without a pass")


class SearchBook:
    """See `ports.searches`."""

    def __init__(self, state: State, gather: Gather, rules: Rules, clock: Callable[[], Instant]) -> None:
        """Wire it up."""
        self._state = state
        self._gather = gather
        self._rules = rules
        self._clock = clock
        self._baselines = BaselineIndex.of(state)
        # Who acts under which missions, kept up with what was opened since the last question.
        self._missions_of: dict[str, dict[str, None]] = {}
        self._looked_at: Mapping[str, Grant] = {}
        self._last = ""

    async def judge(self, ask: Evaluation, mission: str) -> Verdict:
        """See `Searches.judge`."""
        await self._state.refresh()
        if mission:
            found = self._state.missions.get(mission)
            if found is None or mission not in self._names_of(ask.subject.id):
                raise NotFoundError("mission_unknown", f"There is no mission {mission}.", "jittrust mission list")
            return self._judge(ask, found)
        verdicts = [self._judge(ask, one) for one in self.missions_of(ask.subject.id) or self._newest(ask.subject.id)]
        if not verdicts:
            raise NotFoundError("mission_unknown", "The agent has no mission.", "jittrust mission list")
        return next((verdict for verdict in verdicts if _lets_through(verdict)), verdicts[0])

    async def subjects(self, ask: Evaluation, after: str, limit: int) -> Found:
        """See `Searches.subjects`."""
        await self._state.refresh()
        return await self._page(
            (agent for agent in sorted(self._agents()) if agent > after),
            lambda agent: replace(ask, subject=Subject(SubjectKind.AGENT, agent)),
            limit,
        )

    async def resources(self, ask: Evaluation, after: str, limit: int) -> Found:
        """See `Searches.resources`."""
        await self._state.refresh()
        # Only tools are known by name: what a server hands out as resources and prompts it names as it likes.
        known = sorted(self._state.tools) if ask.resource.type == "tool" else []
        return await self._page(
            (tool for tool in known if tool > after),
            lambda tool: replace(ask, resource=Resource(ask.resource.type, tool)),
            limit,
        )

    async def actions(self, ask: Evaluation) -> Sequence[str]:
        """See `Searches.actions`."""
        await self._state.refresh()
        named = ACTIONS.get(ask.resource.type, ())
        return [name for name in named if self._passes(replace(ask, action=Action(name)))]

    async def _page(self, candidates: Iterator[str], asking: Callable[[str], Evaluation], limit: int) -> Found:
        ids: list[str] = []
        judged, last = 0, ""
        for candidate in candidates:
            if len(ids) >= limit or judged >= MOST_JUDGED:
                return Found(ids, last)
            await asyncio.sleep(0)  # others are waiting for their decisions
            ask = asking(candidate)
            missions = self.missions_of(ask.subject.id)
            judged += max(1, len(missions))
            last = candidate
            if any(_lets_through(self._judge(ask, mission)) for mission in missions):
                ids.append(candidate)
        return Found(ids)

    def _passes(self, ask: Evaluation) -> bool:
        return any(_lets_through(self._judge(ask, mission)) for mission in self.missions_of(ask.subject.id))

    def _judge(self, ask: Evaluation, mission: Mission) -> Verdict:
        now = self._clock()
        grant = self._grant(ask.subject.id, mission, now)
        memory = self._state.memories.get(mission.id)
        recent = memory.recent.copy() if memory is not None else None
        try:
            facts = self._gather.facts(ask, grant, mission, _ASKED, now)
        finally:
            # A question is no call: it neither hurries the agent nor leaves a memory of a mission behind.
            if memory is None or recent is None:
                self._state.memories.pop(mission.id, None)
            else:
                memory.recent = recent
        return decide(ask, facts, self._baselines.rules(self._rules), now).verdict

    def _grant(self, agent: str, mission: Mission, now: Instant) -> Grant:
        """The grant that would stand behind the call: the agent's own with the most left, the shared one, or one as it would be opened now."""
        live = [grant for grant in self._state.live_grants_of(mission.id) if now < grant.expires]
        own = [grant for grant in live if grant.agent == agent and not grant.shared]
        if own:
            return max(own, key=lambda grant: (grant.state is GrantState.ACTIVE, grant.gas_left, grant.id))
        shared = next((grant for grant in reversed(live) if grant.shared), None)
        if shared is not None:
            return shared
        rules = self._rules.grants
        gas = Gas(rules.gas)
        return Grant(
            id="",
            mission=mission.id,
            family="",
            agent=agent,
            server="",
            binding=PassBinding.GATEWAY,
            jkt="",
            strictness=Strictness.STRICT,
            state=GrantState.ACTIVE,
            gas_left=gas,
            gas_limit=gas,
            lanes=1,
            issued=now,
            expires=Instant(min(now + rules.ttl, mission.expires)),
        )

    def missions_of(self, agent: str) -> Sequence[Mission]:
        """The agent's missions that are in force, newest first."""
        found = (self._state.missions[name] for name in self._names_of(agent) if name in self._state.missions)
        live = [mission for mission in found if self._in_force(mission)]
        return sorted(live, key=lambda mission: (mission.created, mission.id), reverse=True)

    def _newest(self, agent: str) -> Sequence[Mission]:
        """The agent's newest mission, in force or not: it says why nothing goes any more."""
        found = [self._state.missions[name] for name in self._names_of(agent) if name in self._state.missions]
        return sorted(found, key=lambda mission: (mission.created, mission.id))[-1:]

    def _names_of(self, agent: str) -> set[str]:
        """Every mission that the agent has ever held a grant of, and those whose own enforcement points it comes through."""
        self._look()
        persons = {agent.rpartition("@")[2]} if "@" in agent else set()
        persons |= {joined.said.person for joined in self._state.attachments.values() if joined.said.agent == agent}
        current = {mission.id for person in persons if (mission := self._state.current(person)) is not None}
        return current.union(self._missions_of.get(agent, ()))

    def _agents(self) -> set[str]:
        self._look()
        known = {
            agent
            for agent, names in self._missions_of.items()
            if any(name in self._state.missions and self._in_force(self._state.missions[name]) for name in names)
        }
        joined = (one.said for one in self._state.attachments.values())
        return known | {f"{said.agent}@{said.person}" for said in joined if said.agent and not said.grant}

    def _in_force(self, mission: Mission) -> bool:
        return mission.state is MissionState.ACTIVE and self._clock() < mission.expires

    def _look(self) -> None:
        """Take in the grants that were opened since the last look; all of them when the store was read again."""
        grants = self._state.grants
        if grants is not self._looked_at:
            self._missions_of, self._looked_at, self._last = {}, grants, ""
        newest = ""
        for name in reversed(grants):
            newest = newest or name
            if name == self._last:
                break
            grant = grants[name]
            if not grant.shared:
                self._missions_of.setdefault(grant.agent, {})[grant.mission] = None
        self._last = newest or self._last


def _lets_through(verdict: Verdict) -> bool:
    return verdict.ruling in (Ruling.ALLOW, Ruling.MODIFY)
