"""What is usual here, in force: found for every decision, adopted and dropped by a person, watched for more questions than it promised."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from jittrust.broker.record import baseline_record, friction_record, mission_record
from jittrust.broker.state import State
from jittrust.core.authority.usual import BY_BASELINE, withdrawn
from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError
from jittrust.core.intent.adoption import ADOPTED, LARGEST_BASELINE, AdoptedBaseline, adoptable
from jittrust.core.intent.baseline import NO_BASELINE, Baseline, departs
from jittrust.core.mission.states import ENDED
from jittrust.core.model import Json
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.baselines import BaselineInForce
from jittrust.ports.commit import Keep, Kept, PutMission, RecordBody, Write
from jittrust.ports.pin import PinCheck

LONGEST_WHY = 512
"""Longest reason, in characters."""
WATCHED = 200
"""Last calls over which real friction is compared with the promise."""
FROM_MISSIONS = 3
"""Missions of which a person must have been asked before it counts as friction of the baseline, and not as one odd mission."""
_TRIES = 3


class BaselineIndex:
    """The baseline in force now, and what it has asked; one look-up for every decision."""

    def __init__(self, state: State) -> None:
        """Use `BaselineIndex.of`."""
        self._state = state
        self._digest = ""
        self._read: Baseline = NO_BASELINE
        self._made: dict[int, tuple[Rules, Rules]] = {}
        self._seen: deque[tuple[str, bool]] = deque(maxlen=WATCHED)
        self.readable = True
        self.alarm = False

    @classmethod
    def of(cls, state: State) -> BaselineIndex:
        """The index of this state, made on first use."""
        for index in state.indexes:
            if isinstance(index, cls):
                return index
        made = cls(state)
        state.add_index(made)
        return made

    @property
    def adoption(self) -> AdoptedBaseline | None:
        """The last adoption, dropped or not."""
        return self._state.of_kind(AdoptedBaseline).get(ADOPTED)

    @property
    def baseline(self) -> Baseline:
        """What is in force; `NO_BASELINE` where nothing is."""
        return self._read

    def rules(self, given: Rules) -> Rules:
        """The rules with the baseline in force; as they were given where none was adopted."""
        if not self._read.adopted:
            return given
        known = self._made.get(id(given))
        if known is None or known[0] is not given:
            known = self._made[id(given)] = (given, replace(given, baseline=self._read))
        return known[1]

    def took(self) -> None:
        """See `KeptIndex.took`."""
        self._put(self._state.of_kind(AdoptedBaseline).get(ADOPTED))

    def kept(self, value: Kept, before: Kept | None) -> None:  # noqa: ARG002 - a later one takes its place
        """See `KeptIndex.kept`."""
        if isinstance(value, AdoptedBaseline):
            self._put(value)

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`: adoptions are kept for good, without their body once they are dropped."""

    def _put(self, value: AdoptedBaseline | None) -> None:
        digest = value.digest if value is not None and value.stands else ""
        if digest == self._digest:
            return
        self._digest, self._read, self.readable = digest, NO_BASELINE, True
        self._made.clear()
        self._seen.clear()
        self.alarm = False
        if digest and value is not None:
            try:
                self._read = adoptable(value.body)
            except JitError:
                # Kept by an older version: nothing is usual until somebody adopts anew, and `show` says so.
                self.readable = False

    def watch(self, mission: str, now: Instant, *, asked: bool) -> RecordBody | None:
        """Count a judged call; the record of an alarm at the moment when friction leaves what was promised."""
        if not self._read.adopted:
            return None
        self._seen.append((mission, asked))
        whole, stopped, promised = len(self._seen), self.asked, self._read.calls_promised
        above = len({one for one, was in self._seen if was}) >= FROM_MISSIONS and departs(
            stopped, whole, promised, self._read.calls_judged
        )
        began, self.alarm = above and not self.alarm, above
        return friction_record(self._digest, stopped, whole, promised, now) if began else None

    @property
    def asked(self) -> int:
        """Of the calls that are watched, those of which a person was or would have been asked."""
        return sum(was for _, was in self._seen)

    @property
    def judged(self) -> int:
        """Calls that are watched."""
        return len(self._seen)


class BaselineBook:
    """See `ports.baselines`."""

    def __init__(self, state: State, pin: PinCheck, clock: Callable[[], Instant]) -> None:
        """Wire it up."""
        self._state = state
        self._pin = pin
        self._clock = clock
        self._index = BaselineIndex.of(state)

    async def adopt(self, body: Mapping[str, Json], why: str, by: str, pin: str) -> AdoptedBaseline:
        """See `Baselines.adopt`."""
        checked_why(why)
        # Reading it, and checking a PIN, take a while, and every decision would wait for them.
        digest, baseline = await asyncio.to_thread(_looked_at, body)
        await asyncio.to_thread(self._pin.check, pin)
        for attempt in range(_TRIES):
            now, known = self._clock(), self._index.adoption
            revision = (known.revision if known else 0) + 1
            adopted = AdoptedBaseline(ADOPTED, body, digest, by, why, now, revision=revision)
            try:
                await self._change(adopted, baseline, "adopted", now)
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise
            else:
                return adopted
        raise AssertionError  # unreachable: the loop returns or raises

    async def drop(self, why: str, by: str, pin: str) -> AdoptedBaseline:
        """See `Baselines.drop`."""
        checked_why(why)
        await asyncio.to_thread(self._pin.check, pin)
        await self._state.refresh()
        for attempt in range(_TRIES):
            known, now = self._index.adoption, self._clock()
            if known is None or not known.stands:
                raise NotFoundError("baseline_none", "No baseline is adopted.", "jittrust calibrate --show")
            gone = replace(known, body={}, by=by, why=why, dropped=now, revision=known.revision + 1)
            try:
                await self._change(gone, NO_BASELINE, "dropped", now)
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise
            else:
                return gone
        raise AssertionError  # unreachable: the loop returns or raises

    async def show(self) -> BaselineInForce:
        """See `Baselines.show`."""
        await self._state.refresh()
        index = self._index
        return BaselineInForce(index.adoption, index.judged, index.asked, index.alarm, index.readable)

    async def _change(self, value: AdoptedBaseline, baseline: Baseline, what: str, now: Instant) -> None:
        writes: list[Write] = [Keep(value)]
        records: list[RecordBody] = [baseline_record(value, baseline, what, now)]
        for mission in self._state.missions.values():
            if mission.state in ENDED:
                continue
            entries = withdrawn(mission.goal, self._state.tools, mission.authority.entries, baseline)
            if entries != mission.authority.entries:
                narrowed = replace(
                    mission,
                    authority=replace(mission.authority, entries=entries),
                    generation=mission.generation + 1,
                )
                writes.append(PutMission(narrowed, mission.generation))
                records.append(mission_record(narrowed, "map_narrowed", BY_BASELINE, now, f"the baseline was {what}"))
        await self._state.change(writes, records)


def checked_why(why: str) -> None:
    """Refuse an act of a person without a reason.

    Raises:
        BadInputError: code `reason_needed`.
    """
    if not why.strip() or len(why) > LONGEST_WHY:
        raise BadInputError("reason_needed", f"Say why, in 1 to {LONGEST_WHY} characters.", "Add --why TEXT.")


def _looked_at(body: Mapping[str, Json]) -> tuple[str, Baseline]:
    raw = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(raw) > LARGEST_BASELINE:
        raise BadInputError(
            "baseline_too_large",
            f"the baseline has {len(raw)} bytes, {LARGEST_BASELINE} are the most",
            "Learn from fewer or newer recordings.",
        )
    return hashlib.sha256(raw).hexdigest(), adoptable(body)
