"""Goals become missions: plan, start, extend, change, end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from jittrust.broker.baselines import BaselineIndex
from jittrust.broker.grants import GrantBook
from jittrust.broker.identity.index import IdentityIndex, check_active
from jittrust.broker.record import grant_record, mission_record
from jittrust.broker.state import State
from jittrust.core.authority.endorsement import endorsable, proposed_endorsements
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, Endorsement, EntryState
from jittrust.core.authority.match import check_entry
from jittrust.core.authority.propose import propose
from jittrust.core.authority.usual import with_usual
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError
from jittrust.core.grant.states import GrantState
from jittrust.core.intent.dialogue import read_message
from jittrust.core.intent.reading import classify
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import ENDED, MISSION_MOVES, MissionState
from jittrust.core.model import Tool
from jittrust.core.response.ladder import resumed
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.rules import Rules
from jittrust.core.scoring.trust import opening
from jittrust.core.states import move
from jittrust.core.units import Instant
from jittrust.ports.commit import MoveGrant, PutMission, PutStanding, RecordBody, Write
from jittrust.ports.missions import MissionChange, MissionView, NewMission
from jittrust.ports.pin import PinCheck

TOGETHER = 1800.0
"""Conversations of one person that speak within so many seconds of each other share a mission."""
_WEAK_SOURCES: Mapping[GoalSource, str] = {
    GoalSource.ELICITATION: "a form in the agent's own client",
    GoalSource.FLAG: "--goal in a client's configuration",
}
GOAL_CHARACTERS = 20_000
"""Longest statement of a goal, in characters. Longer is refused, never cut."""

# Named here: inside the class `list` is the port's method.
Writes: TypeAlias = list[Write]
Records: TypeAlias = list[RecordBody]


@dataclass(frozen=True, slots=True)
class MissionBegun:
    """A mission about to start: what makes it durable, and what has to be done in memory once it is."""

    mission: Mission
    writes: tuple[Write, ...]
    records: tuple[RecordBody, ...]
    carry_on: Callable[[], None]


class MissionBook:
    """Starts, extends, shows and ends missions."""

    def __init__(
        self,
        state: State,
        grants: GrantBook,
        pin: PinCheck,
        rules: Rules,
        clock: Callable[[], Instant],
        new_id: Callable[[str], str],
    ) -> None:
        """Wire it up."""
        self._state = state
        self._grants = grants
        self._pin = pin
        self._rules = rules
        self._clock = clock
        self._new_id = new_id
        self._sessions: dict[str, str] = {}
        self._identities = IdentityIndex.of(state)
        self._baselines = BaselineIndex.of(state)

    # ---- the port ---------------------------------------------------------------------------------------------------------------------

    async def start(self, new: NewMission) -> Mission:
        """See `Missions.start`."""
        if new.entries or new.endorsements or new.endorse:
            # A map that somebody wrote widens what may be done, so it takes the approver's PIN like every approval.
            await asyncio.to_thread(self._pin.check, new.pin)
        if new.request:
            await self._state.refresh()
            identity = f"m-{new.request}"
            known = self._state.missions.get(identity)
            if known is not None and known.person != new.person:
                raise RefusedError("request_reused", "This request id is somebody else's.", "Choose a new request id.")
            if known is not None:
                return known
        else:
            identity = self._new_id("m")
        check_active(self._identities.person_standing(new.person))
        now = self._clock()
        begun = self._begun(self.make(identity, new, now), "started", now)
        await self._state.change(begun.writes, begun.records)
        begun.carry_on()
        return begun.mission

    async def say(self, person: str, text: str, source: GoalSource, session: str) -> Mission:
        """See `Missions.say`."""
        words = checked(text)
        # A person pastes what others wrote: it is read away from the loop, and once.
        await asyncio.to_thread(read_message, words)
        now = self._clock()
        # Words that are in the goal already are answered from memory: it must not be what a failed step left there.
        await self._state.refresh()
        current = self.running(person)
        known = self._sessions.get(current.id, "") if current is not None else ""
        # Another conversation is another mission, unless the two go on side by side: what runs behind the broker cannot tell for which of two
        # open windows it works, so they share one mission, its taint and its trust. The first that speaks adopts a mission without one.
        apart = current is not None and now - current.confirmed >= TOGETHER
        # What came through the agent's own client gives way to the person's own words, and is never added to them.
        weak = current is not None and current.goal.source in _WEAK_SOURCES
        if current is not None and current.goal.stated and source in _WEAK_SOURCES:
            return current
        if current is None or (session and known and session != known and apart) or weak:
            started = await self.start(NewMission(person, words, source))
            self._sessions[started.id] = session
            return started
        if session:
            self._sessions[current.id] = session
        if words in current.goal.texts:
            return current
        goal = Goal((*current.goal.texts, words), source if not current.goal.stated else current.goal.source)
        said = replace(current, goal=goal, confirmed=now, generation=current.generation + 1)
        said = replace(said, authority=self.extended(said, self._all_tools()))
        await self._state.change(
            [PutMission(said, current.generation)], [mission_record(said, "words_added", person, now)]
        )
        return said

    async def change(self, mission: str, change: MissionChange) -> Mission:
        """See `Missions.change`."""
        if change.approve or change.add or change.to in (MissionState.APPROVED, MissionState.ACTIVE):
            await asyncio.to_thread(self._pin.check, change.pin)
        return await self.apply(mission, change)

    async def apply(self, mission: str, change: MissionChange) -> Mission:
        """Make a change true whose right to be made was checked already. Raises as `Missions.change`, but for the PIN."""
        found = self._state.missions.get(mission)
        if found is None:
            raise NotFoundError("mission_unknown", f"There is no mission {mission}.", "jittrust mission list")
        if change.to in (MissionState.APPROVED, MissionState.ACTIVE):
            check_active(self._identities.person_standing(found.person))
        now = self._clock()
        known = {entry.id for entry in found.authority.entries} | {one.id for one in found.authority.endorsements}
        unknown = {*change.approve, *change.refuse} - known
        if unknown:
            raise NotFoundError(
                "entry_unknown",
                f"The map has no entry {', '.join(sorted(unknown))}.",
                f"jittrust mission show {mission}",
            )
        checked_entries(change.add, {entry.id for entry in found.authority.entries})
        endorsements = tuple(_answered_source(one, change) for one in found.authority.endorsements)
        entries = [self._answered(entry, change) for entry in found.authority.entries]
        entries += [replace(entry, state=EntryState.APPROVED, approved_by=change.by) for entry in change.add]
        state = found.state if change.to is None else move(MISSION_MOVES, found.state, change.to)
        changed = replace(
            found,
            authority=replace(found.authority, entries=tuple(entries), endorsements=endorsements),
            state=state,
            generation=found.generation + 1,
            confirmed=now if change.approve or change.add or state is MissionState.ACTIVE else found.confirmed,
            why_ended=change.why if state in ENDED else found.why_ended,
        )
        writes: Writes = [PutMission(changed, found.generation)]
        records = [mission_record(changed, _named(change), change.by, now, change.why)]
        if state in ENDED and found.state not in ENDED:
            self._end_grants(changed, now, change.why, change.by, writes, records)
        if found.state is MissionState.SUSPENDED and state is MissionState.ACTIVE:
            standing = self._state.standings.get(mission)
            if standing is not None:
                writes.append(PutStanding(mission, resumed(standing, now, self._rules.ladder)))
        await self._state.change(writes, records)
        return changed

    async def list(self, person: str = "") -> Sequence[MissionView]:
        """See `Missions.list`."""
        chosen = [m for m in self._state.missions.values() if not person or m.person == person]
        unknown = Standing(opening(self._rules.trust), SessionState.NORMAL)
        newest_first = sorted(chosen, key=lambda m: (m.created, m.id), reverse=True)
        return [MissionView(m, self._state.standings.get(m.id, unknown)) for m in newest_first]

    # ---- for consents -----------------------------------------------------------------------------------------------------------------

    def start_consented(
        self, person: str, goal: Goal, authority: AuthorityMap, minutes: int, agent: str, now: Instant
    ) -> MissionBegun:
        """The mission that a person said yes to, with exactly this map, and what makes it durable together with that yes.

        No PIN is asked for: it, or a passkey, was checked over exactly this question. Nothing is awaited.

        Raises:
            RefusedError: code `identity_not_active`.
            BadInputError: a bad entry.
        """
        check_active(self._identities.person_standing(person))
        checked_entries(authority.entries, set())
        mission = Mission(
            id=self._new_id("m"),
            person=person,
            agent=agent,
            goal=goal,
            state=MissionState.ACTIVE,
            authority=authority,
            created=now,
            confirmed=now,
            expires=Instant(now + minutes * 60),
        )
        return self._begun(mission, "consented", now)

    def _begun(self, mission: Mission, what: str, now: Instant) -> MissionBegun:
        writes: Writes = []
        records: Records = []
        before = self._state.newest(mission.person)
        carried = self._state.memories.get(before.id) if before is not None else None
        self._complete_current(mission.person, now, writes, records)
        writes += [
            PutMission(mission, None),
            PutStanding(mission.id, Standing(opening(self._rules.trust), SessionState.NORMAL)),
        ]
        records.append(mission_record(mission, what, mission.person, now))

        def carry_on() -> None:
            if before is not None and carried is not None:
                # The agent goes on with what it has read: a new goal makes no stranger's value its own.
                self._state.carry(carried, mission.id, lost=carried.results_lost and now - before.confirmed < TOGETHER)

        return MissionBegun(mission, tuple(writes), tuple(records), carry_on)

    # ---- for the registry ---------------------------------------------------------------------------------------------------------------

    def running(self, person: str) -> Mission | None:
        """The person's current mission, unless its time has passed."""
        current = self._state.current(person)
        return None if current is None or self._clock() >= current.expires else current

    def make(self, identity: str, new: NewMission, now: Instant) -> Mission:
        """The mission as `new` asks for it, active, with its map."""
        words = (checked(new.goal),) if new.goal.strip() else ()
        if not words and new.source is not GoalSource.NONE:
            raise BadInputError("goal_empty", "The goal has no words.", "Say what shall be done, in one sentence.")
        longest = self._rules.grants.mission_minutes
        minutes = longest if new.minutes is None else new.minutes
        if not 1 <= minutes <= longest:
            raise BadInputError(
                "mission_minutes",
                f"A mission lasts 1..{longest} minutes here, not {minutes}.",
                "Ask for less, or set mission.minutes in jittrust.yaml.",
            )
        if not 1 <= new.lanes <= self._rules.grants.lanes_most:
            raise BadInputError(
                "lanes_number", f"A mission has 1..{self._rules.grants.lanes_most} lanes, not {new.lanes}."
            )
        goal = Goal(words, new.source)
        checked_entries(new.entries, set())
        checked_endorsements(new.endorsements)
        given = AuthorityMap(new.entries, new.lanes, new.endorsements)
        mission = Mission(
            id=identity,
            person=new.person,
            agent="",
            goal=goal,
            state=MissionState.ACTIVE,
            authority=given,
            created=now,
            confirmed=now,
            expires=Instant(now + minutes * 60),
            observe=new.observe,
        )
        if not new.entries:
            mission = replace(mission, authority=self.extended(mission, self._all_tools()))
        return _endorsed(mission, new.endorse) if new.endorse else mission

    def extended(self, mission: Mission, tools: Iterable[Tool]) -> AuthorityMap:
        """The map with what the goal proposes for tools it does not name yet. An entry that a person answered is never touched.

        A map that a person wrote whole (a mission file), or confirmed line by line, is not extended: what is not in it was left out on purpose.
        """
        if mission.goal.source in (GoalSource.FILE, GoalSource.CONSENT) or not mission.goal.stated:
            return mission.authority
        known = {tool.id: tool for tool in tools}
        told = self._told(mission)
        proposed = propose(mission.goal, tuple(known.values()), self._rules.proposal, operator=told)
        usual = self._baselines.rules(self._rules).baseline
        proposed = with_usual(mission.goal, tuple(known.values()), proposed, usual)
        derived = {entry.id: self._confirmed(entry, known[entry.tool], mission.goal) for entry in proposed}
        kept = []
        for entry in mission.authority.entries:
            newer = derived.pop(entry.id, None)
            if newer is None or not _by_policy(entry):
                kept.append(entry)
                continue
            # Nobody has answered it: more words may approve it, and a definition that a person approved meanwhile is judged anew.
            better = entry.state is EntryState.PROPOSED and newer.state is EntryState.APPROVED
            kept.append(newer if better or newer.pin != entry.pin else entry)
        wider = replace(mission.authority, entries=(*kept, *derived.values()))
        return replace(wider, endorsements=_pointed_at(mission, wider, tuple(known.values())))

    def _confirmed(self, entry: AuthorityEntry, tool: Tool, goal: Goal) -> AuthorityEntry:
        """What a weak source brought as the goal approves low risk only.

        A form in the agent's own client may have been answered by the client itself, and `--goal` stands in a file that an agent can often write.
        """
        low = TAXONOMY[classify(tool, {}).intent].base_risk <= self._rules.elicit_up_to
        if goal.source not in _WEAK_SOURCES or entry.state is not EntryState.APPROVED or low:
            return entry
        why = f"{entry.why} A goal from {_WEAK_SOURCES[goal.source]} serves low risk only, so a person decides."
        return replace(entry, state=EntryState.PROPOSED, approved_by="", why=why)

    def _told(self, mission: Mission) -> str:
        """What the operator told the agent: kept with the mission, or with the one before it where this one is about to start."""
        before = self._state.newest(mission.person)
        kept = self._state.memories.get(mission.id) or self._state.memories.get(before.id if before is not None else "")
        return kept.operator if kept is not None else ""

    def _answered(self, entry: AuthorityEntry, change: MissionChange) -> AuthorityEntry:
        if entry.id in change.approve:
            # What a person approves is the definition as it is now, if the entry is bound to one.
            tool = self._state.tools.get(entry.tool)
            pin = tool.pin if entry.pin and tool is not None else entry.pin
            return replace(entry, state=EntryState.APPROVED, approved_by=change.by, pin=pin)
        if entry.id in change.refuse:
            return replace(entry, state=EntryState.REFUSED, approved_by=change.by)
        return entry

    def _all_tools(self) -> tuple[Tool, ...]:
        return tuple(self._state.tools[name] for name in sorted(self._state.tools))

    def _complete_current(self, person: str, now: Instant, writes: Writes, records: Records) -> None:
        current = self._state.current(person)
        if current is None:
            return
        if now >= current.expires:
            to, why = MissionState.EXPIRED, "its time had passed"
        elif MissionState.COMPLETED in MISSION_MOVES[current.state]:
            to, why = MissionState.COMPLETED, "a new goal was stated"
        else:
            to, why = MissionState.WITHDRAWN, "a new goal was stated"
        ended = replace(
            current,
            state=move(MISSION_MOVES, current.state, to),
            generation=current.generation + 1,
            why_ended=why,
        )
        writes.append(PutMission(ended, current.generation))
        records.append(mission_record(ended, str(to), person, now, ended.why_ended))
        self._end_grants(ended, now, ended.why_ended, person, writes, records)

    def _end_grants(self, mission: Mission, now: Instant, why: str, by: str, writes: Writes, records: Records) -> None:
        for grant in self._grants.live_of(mission.id):
            writes.append(MoveGrant(grant.id, GrantState.REVOKED))
            records.append(grant_record(grant, "revoked", now, why, by))


def _pointed_at(mission: Mission, authority: AuthorityMap, tools: Sequence[Tool]) -> tuple[Endorsement, ...]:
    """The sources of the map with those that the goal points at by now. What a person answered is never touched.

    What only the goal's words brought is derived anew: more words may forbid it. From a weak source of words the policy approves none.
    """
    derived = {one.id: one for one in proposed_endorsements(mission.goal, tools, authority)}
    if mission.goal.source in _WEAK_SOURCES:
        why = f"A goal from {_WEAK_SOURCES[mission.goal.source]} endorses nothing by itself."
        derived = {
            name: replace(one, state=EntryState.PROPOSED, approved_by="", why=f"{one.why} {why}")
            if one.state is EntryState.APPROVED
            else one
            for name, one in derived.items()
        }
    answered = [one for one in authority.endorsements if one.approved_by and not one.approved_by.startswith("policy:")]
    names = {one.id for one in answered}
    return (*answered, *(one for name, one in derived.items() if name not in names))


def _endorsed(mission: Mission, names: Sequence[str]) -> Mission:
    """The mission with these of its proposed sources endorsed by its person."""
    unknown = set(names) - {one.id for one in mission.authority.endorsements}
    if unknown:
        raise NotFoundError(
            "entry_unknown",
            f"The goal points at no source {', '.join(sorted(unknown))}.",
            "What it points at: jittrust mission plan --goal TEXT",
        )
    change = MissionChange(approve=tuple(names), by=mission.person)
    endorsements = tuple(_answered_source(one, change) for one in mission.authority.endorsements)
    return replace(mission, authority=replace(mission.authority, endorsements=endorsements))


def _answered_source(one: Endorsement, change: MissionChange) -> Endorsement:
    if one.id in change.approve:
        return replace(one, state=EntryState.APPROVED, approved_by=change.by)
    if one.id in change.refuse:
        return replace(one, state=EntryState.REFUSED, approved_by=change.by)
    return one


def checked_endorsements(endorsements: Iterable[Endorsement]) -> None:
    """Refuse endorsements that a person wrote and that no source may have.

    Raises:
        BadInputError: code `entry_twice`, `bad_endorsement`.
    """
    taken: set[str] = set()
    for one in endorsements:
        if one.id in taken:
            raise BadInputError("entry_twice", f"Two sources have the id {one.id}.", "Give each its own.")
        taken.add(one.id)
        bad = [code for code in one.intents if code not in TAXONOMY or not endorsable(code)]
        if bad or not one.intents or not one.selectors:
            what = f"{bad[0]} is directed by no text" if bad else "a source has kinds of acts and says what is read"
            raise BadInputError("bad_endorsement", f"{one.tool}: {what}.", "See docs/intent.md.")


def checked(goal: str) -> str:
    """The words of a goal, or an error with a code."""
    words = goal.strip()
    if not words:
        raise BadInputError("goal_empty", "The goal has no words.", "Say what shall be done, in one sentence.")
    if len(words) > GOAL_CHARACTERS:
        raise BadInputError(
            "goal_too_long", f"The goal has {len(words)} characters, {GOAL_CHARACTERS} are the most.", "Say it shorter."
        )
    return words


def checked_entries(entries: Iterable[AuthorityEntry], taken: set[str]) -> None:
    """Refuse entries that could not be judged later, or whose id another entry of the map has.

    Raises:
        BadInputError: code `bad_resource_pattern`, `bad_constraint` or `entry_twice`.
    """
    for entry in entries:
        check_entry(entry)
        if entry.id in taken:
            raise BadInputError("entry_twice", f"Two entries have the id {entry.id}.", "Give each its own.")
        taken.add(entry.id)


def _by_policy(entry: AuthorityEntry) -> bool:
    return entry.state is EntryState.PROPOSED or (
        entry.state is EntryState.APPROVED and entry.approved_by.startswith("policy:")
    )


def _named(change: MissionChange) -> str:
    if change.to is not None:
        return str(change.to)
    return "map_widened" if change.approve or change.add else "map_narrowed"
