"""Answers of the token endpoint that are lost at every point: an honest client recovers, and of one chain there are never two successors."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.oauthing import AGENT, OAuthWorld, dpop, key, oauth_world, working
from tests.unit.test_oauth_token import chain, renew

from jittrust.core.errors import UnavailableError
from jittrust.core.grant.states import GrantState
from jittrust.core.oauth.renewal import Renewal
from jittrust.ports.commit import Change, Committed

ROUNDS = 250
POINTS = (
    "before the grant",
    "after the grant",
    "before the token",
    "after the token",
    "before the record",
    "after the record",
    "the answer",
)


class Breaking:
    """A store that fails, or whose process dies, at one of its next commits."""

    def __init__(self, there: OAuthWorld) -> None:
        self.store, self.went = there.store, there.store.commit
        self.left, self.after = -1, False
        there.store.commit = self.commit  # type: ignore[method-assign]

    async def commit(self, change: Change) -> Committed:
        """See `Commit.commit`."""
        breaks, self.left = self.left == 0, self.left - 1
        if breaks and not self.after:
            raise UnavailableError("store_unavailable", "gone")
        done = await self.went(change)
        if breaks:
            raise asyncio.CancelledError
        return done


@pytest.mark.parametrize("point", range(len(POINTS)), ids=POINTS)
async def test_a_lost_answer_costs_an_honest_client_nothing(point: int) -> None:
    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)
    breaking = Breaking(there)
    for number in range(1, ROUNDS + 1):
        breaking.left, breaking.after = (point // 2, bool(point % 2)) if point < len(POINTS) - 1 else (-1, False)
        try:
            await there.ask(renew(token), dpop(there, key()))
        except asyncio.CancelledError:
            await there.open()
            there.clock.now += 1
        breaking.left = -1

        answer = await there.ask(renew(token), dpop(there, key()))

        assert answer.status_code == 200, answer.text
        kept = there.broker.state.of_kind(Renewal)[made.id]
        live = [g for g in there.broker.state.grants_of(made.mission) if g.state is GrantState.ACTIVE]
        assert (kept.seq, kept.ended, kept.grant) == (number, "", answer.json()["grant_id"])
        assert len(live) <= 2
        token = answer.json()["refresh_token"]
        there.clock.now += 60
        mission = there.broker.state.missions[made.mission]
        there.broker.state.missions[made.mission] = type(mission)(
            **{name: getattr(mission, name) for name in mission.__slots__} | {"expires": there.clock.now + 9000}
        )


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_shown_in_whatever_order_there_are_never_two_live_successors(seed: int) -> None:
    """A model: one live number; the one before it counts for ten seconds for the same key; anything else ends the chain, but only with the key."""
    rolls = random.Random(seed)
    there = await oauth_world()
    await working(there)
    made, first = await chain(there, key().jkt)
    tokens, live, moved, ended = [first], 0, there.now, False
    assert AGENT
    for _ in range(40):
        shown = rolls.randrange(len(tokens))
        thief = rolls.random() < 0.2
        answer = await there.ask(renew(tokens[shown]), dpop(there, key(2 if thief else 1)))
        fine = not ended and not thief and (shown == live or (shown == live - 1 and there.now - moved <= 10))
        if answer.status_code == 503:
            assert answer.json()["code"] == "renewal_spent"
            there.clock.now += 700
            continue
        assert (answer.status_code == 200) is fine, (shown, live, thief, ended, answer.text)
        if fine:
            if shown == live:
                live, moved = live + 1, there.now
                tokens.append(answer.json()["refresh_token"])
            assert answer.json()["refresh_token"] == tokens[shown + 1]
        elif not thief:
            ended = True
        assert bool(there.broker.state.of_kind(Renewal)[made.id].ended) is ended
        there.clock.now += rolls.choice((0, 1, 5, 11))
