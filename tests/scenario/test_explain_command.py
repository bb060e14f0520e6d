"""`jittrust explain` as a person types it, against a broker that serves its socket."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.scenario.gated.world import World, world
from tests.scenario.test_local_socket import delete

from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.mission.mission import GoalSource
from jittrust.core.model import Json
from jittrust.ports.missions import NewMission
from jittrust.ports.registry import Attachment

JITTRUST = str(Path(sys.executable).with_name("jittrust"))


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def typed(here: World, *words: str, **more: str) -> tuple[int, str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("JITTRUST_", "COLUMNS"))}
    process = await asyncio.create_subprocess_exec(
        JITTRUST,
        "explain",
        *words,
        "--state",
        str(here.state),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ | more,
    )
    said, wrong = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), wrong.decode()


async def _one_call(here: World) -> str:
    broker = here.broker.driving
    joined = await broker.registry.attach(Attachment("dana", "agent", "notes", session="q"))
    tool: dict[str, Json] = {"name": "delete", "inputSchema": {}, "annotations": {"readOnlyHint": False}}
    await broker.registry.show_tools(joined.id, [tool])
    await broker.missions.start(NewMission("dana", "Read my notes of today", GoalSource.MISSION_START))
    decision = await broker.decisions.evaluate(delete("a"), Shown(PassBinding.GATEWAY, attachment=joined.id))
    assert decision.approval is not None
    return decision.approval.id


async def test_a_person_reads_one_page_and_is_told_what_to_type(here: World) -> None:
    question = await _one_call(here)

    code, said, wrong = await typed(here, "last", COLUMNS="50")

    assert (code, wrong) == (0, "")
    assert "notes/delete: a person is asked" in said
    assert "No approved entry covers it." in said
    assert f"jittrust approve {question}" in said
    assert max(map(len, said.splitlines())) <= 50
    assert "\x1b" not in said
    for named in ("c-a", "c-", question):
        assert (await typed(here, named, COLUMNS="50"))[1] == said


async def test_a_program_gets_one_object_and_a_wrong_name_says_what_to_do(here: World) -> None:
    code, _, wrong = await typed(here)
    assert code == 1
    assert "No call was judged yet" in wrong
    await _one_call(here)

    code, said, _ = await typed(here, "c-a", "--json")
    assert code == 0
    assert json.loads(said)["call"]["evaluation"] == "c-a"
    assert json.loads(said)["disposition"]["word"] in {"over_reach", "drift"}
    code, said, wrong = await typed(here, "c-zzz")
    assert (code, said) == (1, "")
    assert "call_unknown" in wrong
    assert "jittrust log" in wrong
    code, said, _ = await typed(here, "c-zzz", "--json")
    assert json.loads(said)["error"]["code"] == "call_unknown"
