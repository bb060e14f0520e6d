"""A process of the user that is not the enforcement point, on the broker's socket: it speaks for nobody but itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.scenario.gated.world import HERE, World, world

from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.model import Action, Evaluation, Json, Resource, Subject, SubjectKind
from jittrust.ports.registry import Attachment

NOTE: dict[str, Json] = {
    "name": "read_note",
    "inputSchema": {},
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


def reading(name: str) -> Evaluation:
    who = Subject(SubjectKind.AGENT, "agent@dana")
    return Evaluation(
        f"c-{name}", who, Action("tools/call"), Resource("tool", "notes/read_note"), {"name": name}, "0" * 64
    )


async def stranger(state: Path, *calls: str) -> list[str]:
    """Another process of the same user; what it got for each call."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "stranger.py"), str(state), *calls, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said.decode().splitlines()


async def test_nobody_uses_or_ends_what_another_process_joined_or_let_out(here: World) -> None:
    connection = await join(here.state)
    broker = driving_of(connection)
    joined = await broker.registry.attach(Attachment("dana", "agent", "notes", (os.getpid(),), session="x"))
    await broker.registry.show_tools(joined.id, [NOTE])
    mine = Shown(PassBinding.GATEWAY, attachment=joined.id)
    decision = await broker.decisions.evaluate(reading("a"), mine)

    names = (f"evaluate:{joined.id}", f"show_tools:{joined.id}", f"changed:{joined.id}", f"detach:{joined.id}")
    told = await stranger(here.state, *names, f"settle:{decision.evaluation}")

    assert [line.split()[1] for line in told] == [
        "invalid_token",
        "attachment_unknown",
        "attachment_unknown",
        "attachment_unknown",
        "evaluation_unknown",
    ]
    assert (await broker.decisions.evaluate(reading("b"), mine)).passage == decision.passage
    await connection.close()


async def test_a_grant_without_its_token_and_words_of_an_operator_are_worth_nothing_on_the_socket(here: World) -> None:
    connection = await join(here.state)
    broker = driving_of(connection)
    joined = await broker.registry.attach(Attachment("dana", "agent", "notes", session="x"))
    await broker.registry.show_tools(joined.id, [NOTE])
    await broker.decisions.evaluate(reading("a"), Shown(PassBinding.GATEWAY, attachment=joined.id))
    (grant, *_) = await broker.grants.list()
    await connection.close()

    told = await stranger(here.state, f"grant:{grant.id}", f"dpop:{grant.id}", f"tie:{grant.id}", "operator:x")

    assert [line.split()[1] for line in told] == ["invalid_token"] * 4


async def test_nobody_hands_on_a_form_s_answer_who_has_not_joined(here: World) -> None:
    assert await stranger(here.state, "attach_elsewhere:", "elicited:") == ["attach_elsewhere ok", "elicited ok"]
    own = await join(here.state)
    await driving_of(own).registry.attach(Attachment("dana", "agent", "notes", (os.getpid(),), session="x"))

    told = await stranger(here.state, "elicited:")
    await own.close()

    assert told == ["elicited agent_may_not_approve"]


async def test_who_leaves_leaves_no_waiting_behind_however_long_it_wanted_to_wait(here: World) -> None:
    connection = await join(here.state)
    broker = driving_of(connection)
    joined = await broker.registry.attach(Attachment("dana", "agent", "notes", session="x"))
    waits = [
        asyncio.create_task(broker.registry.changed(joined.id, joined.mission, joined.generation, 1e9))
        for _ in range(50)
    ]
    while len(here.broker.state.listeners) < len(waits):  # noqa: ASYNC110 - the broker is in this process
        await asyncio.sleep(0.01)
    await connection.close()
    for wait in waits:
        with pytest.raises(JitError):
            await wait

    async with asyncio.timeout(5):
        while here.broker.state.listeners:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
