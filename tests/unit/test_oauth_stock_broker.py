"""Stock clients before a whole broker: who waits for whom, and what is held against nobody."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from tests.model.world import World, allowing, world

from jittrust.core.grant.grant import PassBinding, Shown, Strictness
from jittrust.core.grant.lanes import RotationRules
from jittrust.core.mission.states import MissionState
from jittrust.core.rules import Rules
from jittrust.core.units import Instant, Seconds
from jittrust.ports.decision_point import Decision, Passage


async def stock(rotation: RotationRules | None = None) -> tuple[World, str, str | None]:
    w = await world(rules=replace(Rules(), rotation=rotation or RotationRules()))
    await w.join()
    await w.start(allowing("read_file"))
    issued = await w.grant(Strictness.STOCK)
    return w, issued.grant.id, issued.first_pass


async def bought(w: World, grant: str, shown: str | None, word: str) -> Decision:
    decision = await w.show(grant, shown, "read_file", {"path": word})
    assert decision.passage is Passage.FORWARD
    await w.settle(decision)
    return decision


async def test_a_client_that_takes_passes_from_challenges_alone_is_never_suspected() -> None:
    w, grant, _ = await stock()
    held = None

    for number in range(8):
        challenged = await w.show(grant, held, "read_file", {"path": f"{number}"})
        assert challenged.passage is Passage.CHALLENGE
        held = challenged.next_pass
        await bought(w, grant, held, f"{number}")
        w.clock.now += 13

    mission = w.broker.state.current("ada")
    assert mission is not None
    assert mission.state is MissionState.ACTIVE
    assert not [record for record in await w.records("pass") if record["what"] == "reuse"]


async def test_passes_that_the_enforcement_point_spent_for_the_caller_are_not_held_against_it() -> None:
    w, grant, _ = await stock()
    held = (await w.show(grant, None, "read_file", {"path": "a"})).next_pass

    async def within_one_request(presented: str | None, began: str | None) -> Decision:
        shown = Shown(PassBinding.DPOP, grant, presented, Instant(w.clock.now), w.names("j"), held_jkt, began=began)
        return await w.broker.driving.decisions.evaluate(w.ask("delete_record", {"id": "1"}), shown)

    held_jkt = w.broker.state.grants[grant].jkt
    asked = await within_one_request(held, None)
    again = await within_one_request(asked.next_pass, held)
    assert (asked.passage, again.passage) == (Passage.ASK, Passage.ASK)
    w.clock.now += 60

    assert (await w.show(grant, held, "read_file", {"path": "b"})).passage is Passage.CHALLENGE


async def test_the_same_call_again_after_a_refusal_is_judged_anew() -> None:
    w, grant, first = await stock()
    refused = await w.show(grant, first, "delete_record", {"id": "1"})
    assert refused.passage in (Passage.ASK, Passage.REFUSE)

    again = await w.show(grant, first, "delete_record", {"id": "1"})
    assert again.passage is Passage.CHALLENGE
    assert (await w.show(grant, again.next_pass, "delete_record", {"id": "1"})).passage is refused.passage


async def test_callers_with_an_old_pass_are_told_a_new_one_when_the_last_one_told_was_shown() -> None:
    w, grant, first = await stock()
    await bought(w, grant, first, "a")
    one = await w.show(grant, first, "read_file", {"path": "b"})
    other = asyncio.create_task(w.show(grant, first, "read_file", {"path": "c"}))
    await asyncio.sleep(0.05)
    assert not other.done(), "the pass told to the one is on its way"

    await bought(w, grant, one.next_pass, "b")

    told = await asyncio.wait_for(other, 0.2)
    assert told.passage is Passage.CHALLENGE
    await bought(w, grant, told.next_pass, "c")


async def test_a_pass_that_nobody_shows_holds_the_others_up_for_a_second() -> None:
    w, grant, first = await stock()
    await bought(w, grant, first, "a")
    await w.show(grant, first, "read_file", {"path": "b"})

    began = time.monotonic()
    told = await w.show(grant, first, "read_file", {"path": "c"})

    assert told.passage is Passage.CHALLENGE
    assert 0.9 < time.monotonic() - began < 2


async def test_who_waits_too_long_is_told_to_come_back() -> None:
    w, grant, first = await stock(RotationRules(hold=Seconds(2), queue=Seconds(0.1)))
    await bought(w, grant, first, "a")
    await w.show(grant, first, "read_file", {"path": "b"})

    told = await w.show(grant, first, "read_file", {"path": "c"})

    assert (told.passage, told.retry_after) == (Passage.BUSY, 1)
    assert told.next_pass is None


async def test_a_strict_client_never_waits() -> None:
    w = await world()
    await w.join()
    await w.start(allowing("read_file"))
    issued = await w.grant(Strictness.STRICT)
    await bought(w, issued.grant.id, issued.first_pass, "a")
    began = time.monotonic()

    for word in "bcd":
        assert (await w.show(issued.grant.id, None, "read_file", {"path": word})).passage is Passage.CHALLENGE

    assert time.monotonic() - began < 0.9
