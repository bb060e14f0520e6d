"""Every schedule of a small world, with the product's own rule: stock clients, a thief with a copied key, challenges, lanes.

Two things must hold together. A thief who bought a call is noticed at the very next use of an owner that holds a pass, if that is outside the
slack. A single holder is never taken for two, however his calls, answers and the clock interleave: where he takes passes from challenges, however
late and in whatever order he reads them; where he takes them from answers, as long as none overtakes another (`broker.turns` sees to that) or is on
its way for longer than the slack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import pytest

from jittrust.core.grant import lanes
from jittrust.core.grant.grant import Lane, PassBinding, PassStanding, RetiredPass, Shown, Strictness
from jittrust.core.grant.lanes import RotationRules
from jittrust.core.grant.passes import PassId
from jittrust.core.units import Instant

RULES = RotationRules(resends=0)  # a re-send is the same call; here every call is another one
BOUGHT = frozenset({PassStanding.FRESH})
TELLS = frozenset({PassStanding.CHALLENGE, PassStanding.LOST_RACE})


class Takes(StrEnum):
    """Where a client takes its newest pass from."""

    CHALLENGES = "challenges"  # requests-oauth2client
    ANSWERS = "answers"  # npm oauth4webapi


@dataclass(frozen=True, slots=True)
class Chain:
    """A lane and what became of its old passes."""

    lane: Lane
    old: tuple[RetiredPass, ...] = ()
    seen: tuple[tuple[int, int], ...] = ()  # an old pass that bought nothing, and what was told when it was first shown

    def _next(self, lane: Lane, now: float, *, bought: bool) -> Chain:
        handed = Instant(now) if self.lane.delivered is None else self.lane.delivered
        return Chain(lane, (*self.old, RetiredPass(self.lane.seq, bought, handed, Instant(now))), self.seen)

    def bought(self, now: float) -> Chain:
        return self._next(lanes.successor(self.lane, f"d{self.lane.seq}", "e", Instant(now)), now, bought=True)

    def opened(self, now: float) -> Chain:
        return self._next(lanes.opened_with(self.lane, Instant(now)), now, bought=False)

    def asked(self, now: float, shown: int | None = None) -> Chain:
        after = self._next(lanes.challenge(self.lane, Instant(now)), now, bought=False)
        if shown is None or self.lane.follows or self.old[shown].bought or shown in dict(self.seen):
            return after
        return replace(after, seen=(*self.seen, (shown, after.lane.seq)))

    def answered(self, now: float) -> Chain:
        return replace(self, lane=lanes.delivered(self.lane, Instant(now)))

    def judged(self, seq: int | None, iat: float, now: float, kind: Strictness) -> PassStanding:
        """As the broker does it."""
        read = None if seq is None else PassId("g", 0, seq)
        newer = None
        if seq is not None and seq < self.lane.seq - 1:
            old = self.old[max(0, seq - 1) : seq + lanes.LOOK + 1]
            newer = lanes.known_newer(self.lane, seq, old, kind, dict(self.seen).get(seq))
        shown = Shown(PassBinding.DPOP, "g", None if seq is None else "text", Instant(iat))
        standing = lanes.judge(self.lane, read, shown, f"new {now} {iat}", Instant(now), newer, RULES, kind).standing
        assert (standing is PassStanding.FRESH) == (seq == self.lane.seq), "an old pass never buys a call"
        return standing


START = Chain(Lane("g", 0, 0, Instant(0), Instant(0)))


# ---- a thief ------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Theft:
    """The owner calls one call after the other; a thief has the key and whatever passes he copied or was told."""

    now: float
    chain: Chain
    owner: int | None
    thief: frozenset[int]
    bought_at: float | None = None  # when the thief bought something that the owner has made no use after
    caught: bool = False

    def owner_calls(self, takes: Takes, kind: Strictness) -> Theft:
        standing = self.chain.judged(self.owner, self.now, self.now, kind)
        outside = self.bought_at is not None and self.now > self.bought_at + RULES.slack
        if standing is PassStanding.REUSE:
            assert self.thief, "nobody else has the key yet"
            return replace(self, caught=True)
        assert not outside, f"the thief bought at {self.bought_at} and the owner's use at {self.now} was {standing}"
        chain, held = self.chain, self.owner
        if standing in TELLS:
            chain = chain.asked(self.now, held)
            held = chain.lane.seq
        assert chain.judged(held, self.now, self.now, kind) is PassStanding.FRESH
        chain = chain.bought(self.now).answered(self.now)
        return Theft(
            self.now,
            chain,
            chain.lane.seq if takes is Takes.ANSWERS else held,
            self.thief,
        )

    def thief_shows(self, seq: int | None, kind: Strictness, *, lane: bool = False) -> Theft:
        standing = self.chain.judged(seq, self.now, self.now, kind)
        if standing is PassStanding.REUSE:
            return replace(self, caught=True)
        if standing in TELLS:
            chain = self.chain.asked(self.now, seq)
            return replace(self, chain=chain, thief=self.thief | {chain.lane.seq})
        chain = self.chain.opened(self.now) if lane else self.chain.bought(self.now).answered(self.now)
        return replace(self, chain=chain, thief=self.thief | {chain.lane.seq}, bought_at=self.now)

    def steps(self, takes: Takes, kind: Strictness) -> Iterator[Theft]:
        yield replace(self, now=self.now + 3)
        yield self.owner_calls(takes, kind)
        yield self.thief_shows(None, kind)
        if self.owner is not None:
            yield replace(self, thief=self.thief | {self.owner})
        for seq in sorted(self.thief):
            yield self.thief_shows(seq, kind)
        if self.chain.lane.seq in self.thief:
            yield self.thief_shows(self.chain.lane.seq, kind, lane=True)


def explore_theft(takes: Takes, kind: Strictness, depth: int) -> tuple[int, int]:
    """All schedules of so many steps; how many states there are, and in how many the thief is caught."""
    # The owner has used its grant before: who holds no pass yet has nothing to be exposed by.
    begin = Theft(10.0, START, None, frozenset()).owner_calls(takes, kind)
    seen, edge, caught = {begin}, {begin}, 0
    for _ in range(depth):
        found = {after for state in edge for after in state.steps(takes, kind)} - seen
        seen |= found
        caught += sum(state.caught for state in found)
        edge = {state for state in found if not state.caught}
    return len(seen), caught


@pytest.mark.parametrize(
    ("takes", "kind"),
    [
        (Takes.CHALLENGES, Strictness.STOCK),
        (Takes.ANSWERS, Strictness.STOCK),
        (Takes.ANSWERS, Strictness.STRICT),
    ],
)
def test_whenever_a_thief_bought_a_call_the_owners_next_use_outside_the_slack_is_reuse(
    takes: Takes, kind: Strictness
) -> None:
    states, caught = explore_theft(takes, kind, depth=7)

    assert states > 5_000
    assert caught > 500


def test_who_copies_a_pass_between_challenge_and_retry_gets_one_call_and_no_second_unnoticed() -> None:
    # The one gap, and only in a lane that does not follow: the owner holds a pass that a challenge gave and nobody has used. Had he used it
    # himself, everything would look the same.
    chain = START.asked(10)
    owner = thief = chain.lane.seq
    chain = chain.bought(10).answered(10)  # the thief is faster, with the owner's own pass

    assert chain.judged(owner, 20, 20, Strictness.STOCK) is PassStanding.CHALLENGE
    chain = chain.asked(20)
    owner = chain.lane.seq
    chain = chain.bought(20).answered(20)
    assert chain.judged(thief + 1, 30, 30, Strictness.STOCK) is PassStanding.REUSE, "his own pass is old"
    asked = chain.asked(30)
    second = asked.bought(30).answered(30)
    assert second.judged(owner, 40, 40, Strictness.STOCK) is PassStanding.REUSE, "through a challenge"


def test_who_buys_while_a_challenge_is_on_its_way_to_the_owner_is_noticed_from_the_owners_next_use_on() -> None:
    # What the owner has not been seen to hold may reach it at any time. From the moment it shows that pass, it holds it or a newer one.
    chain = START.asked(10).bought(10).answered(10).asked(20, 1)
    owner = chain.lane.seq
    chain = chain.asked(22, 1).bought(22).answered(22)  # the thief, once the owner's turn is over

    assert chain.judged(owner, 30, 30, Strictness.STOCK) is PassStanding.LOST_RACE, "its retry, eight seconds late"
    chain = chain.asked(30, owner)
    assert chain.judged(owner, 40, 40, Strictness.STOCK) is PassStanding.LOST_RACE, "nothing was bought since"
    chain = chain.asked(40, owner).bought(40).answered(40)  # the thief
    assert chain.judged(owner, 43, 43, Strictness.STOCK) is PassStanding.REUSE


# ---- a single holder ----------------------------------------------------------------------------------------------------------------------------


class Place(StrEnum):
    IDLE = "idle"
    SENT = "sent"
    OUT = "out"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Caller:
    """One of several calls of one client: where it is, the pass it shows, when the proof was made, whether it is the library's own retry."""

    place: Place = Place.IDLE
    seq: int | None = None
    iat: float = 0.0
    again: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """An answer on its way: to whom, the pass it carries, whether it is a challenge, since when."""

    caller: int
    seq: int | None
    asks: bool
    since: float


@dataclass(frozen=True, slots=True)
class Alone:
    """One client, several calls at once, one newest pass for all of them."""

    now: float
    chain: Chain
    held: int | None
    callers: tuple[Caller, ...]
    answers: tuple[Told, ...] = ()

    def _with(self, at: int, caller: Caller, **more: object) -> Alone:
        callers = tuple(caller if number == at else one for number, one in enumerate(self.callers))
        return replace(self, callers=callers, **more)  # type: ignore[arg-type]

    def steps(self, takes: Takes) -> Iterator[Alone]:
        if not self.answers or takes is Takes.CHALLENGES:
            yield replace(self, now=self.now + 3)  # for a client of this kind no answer is too late
        elif all(told.since == self.now for told in self.answers):
            yield replace(self, now=self.now + 1.9)  # no answer is on its way for longer than this
        for at, caller in enumerate(self.callers):
            match caller.place:
                case Place.IDLE:
                    yield self._with(at, Caller(Place.SENT, self.held, self.now))
                case Place.SENT:
                    yield self._arrives(at, caller)
                case Place.OUT:
                    mine = lanes.deliverable(self.chain.lane, (caller.seq or 0) + 1)
                    told = Told(at, self.chain.lane.seq if mine else None, asks=False, since=self.now)
                    chain = self.chain.answered(self.now) if mine else self.chain
                    yield self._with(at, replace(caller, place=Place.BACK), chain=chain, answers=(*self.answers, told))
                case Place.BACK:
                    pass
        for which in range(len(self.answers) if takes is Takes.CHALLENGES else min(1, len(self.answers))):
            yield self._takes(takes, which)

    def _arrives(self, at: int, caller: Caller) -> Alone:
        standing = self.chain.judged(caller.seq, caller.iat, self.now, Strictness.STOCK)
        assert standing is not PassStanding.REUSE, "there is one holder only"
        if standing is PassStanding.FRESH:
            return self._with(at, replace(caller, place=Place.OUT), chain=self.chain.bought(self.now))
        chain = self.chain.asked(self.now, caller.seq)
        told = Told(at, chain.lane.seq, asks=True, since=self.now)
        return self._with(at, replace(caller, place=Place.BACK), chain=chain, answers=(*self.answers, told))

    def _takes(self, takes: Takes, which: int) -> Alone:
        told, rest = self.answers[which], (*self.answers[:which], *self.answers[which + 1 :])
        caller = self.callers[told.caller]
        # The client that takes challenges only does not look at the answer to its own retry either.
        adopts = told.seq is not None and (takes is Takes.ANSWERS or (told.asks and not caller.again))
        held = told.seq if adopts else self.held
        retry = told.asks and not caller.again
        after = Caller(Place.SENT, held, self.now, again=True) if retry else Caller()
        return self._with(told.caller, after, held=held, answers=rest)


def explore_alone(takes: Takes, callers: int, depth: int) -> int:
    """All schedules of so many steps; how many states there are."""
    begin = Alone(10.0, START, None, (Caller(),) * callers)
    seen, edge = {begin}, {begin}
    for _ in range(depth):
        edge = {after for state in edge for after in state.steps(takes)} - seen
        seen |= edge
    return len(seen)


@pytest.mark.parametrize("takes", list(Takes))
@pytest.mark.parametrize(("callers", "depth"), [(1, 18), (2, 13), (3, 9)])
def test_a_single_holder_is_never_taken_for_two(takes: Takes, callers: int, depth: int) -> None:
    assert explore_alone(takes, callers, depth) > 1_000
