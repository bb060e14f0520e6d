"""Floods: what an agent, a server or a process of the user may pile up in the broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.model.world import MAIL, World, world
from tests.scenario.gated.world import world as real_world

from jittrust.api.local import face
from jittrust.broker.registry import TOOLS_MOST
from jittrust.broker.state import ANSWERS_BYTES, KeptAnswer
from jittrust.core.errors import BadInputError
from jittrust.ports import wire
from jittrust.ports.decision_point import Passage


async def test_a_server_that_lists_other_tools_each_time_fills_the_store_no_further_than_one_long_list() -> None:
    w = await world()
    await w.join([{"name": f"read_{n}"} for n in range(TOOLS_MOST - 10)])
    before = len(await w.broker.driving.registry.pins())

    with pytest.raises(BadInputError, match="tools_too_many"):
        await w.join([{"name": f"other_{n}"} for n in range(20)])
    await w.join([{"name": f"other_{n}"} for n in range(10)])

    assert len(await w.broker.driving.registry.pins()) == before + 10 == TOOLS_MOST


async def test_a_call_under_way_keeps_none_of_its_arguments() -> None:
    w: World = await world()
    await w.join()
    await w.start()
    decision = await w.call("send_mail", MAIL)

    assert decision.passage is Passage.FORWARD
    (call,) = w.broker.state.calls.values()
    assert (call.ask.arguments, call.ask.text) == ({}, "")
    assert call.ask.id == decision.evaluation


async def test_answers_kept_for_a_second_sending_are_bounded_together() -> None:
    state = (await world()).broker.state
    for n in range(64):
        state.keep_answer(("g", 0, n), KeptAnswer(f"c-{n}", b"x" * 1024 * 1024, done=True))
        state.bound_answers()

    kept = [answer.answer for answer in state.answers.values() if answer.answer is not None]
    assert sum(map(len, kept)) <= ANSWERS_BYTES
    assert state.answers["g", 0, 63].answer is not None
    assert state.answers["g", 0, 0].answer is None


async def test_half_a_frame_is_not_held_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "_FRAME_SECONDS", 0.2)
    async with real_world(tmp_path) as here:
        reader, writer = await asyncio.open_unix_connection(str(wire.socket_path(here.state)))
        writer.write((wire.MAX_FRAME - 1).to_bytes(4, "big") + b"x" * 100_000)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
