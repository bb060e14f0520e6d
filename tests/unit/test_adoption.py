"""A baseline is in force only once a person adopted it with the PIN: at once, through a restart, until a person drops it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.stores import sqlite_store
from tests.model.world import MAIL, PIN, Names, World, allowing, world

from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.authority.usual import BY_BASELINE
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError
from jittrust.core.intent.adoption import AdoptedBaseline
from jittrust.core.intent.baseline import learn, seen_call, to_json, tool_key
from jittrust.core.model import Json, Tool
from jittrust.ports.decision_point import Passage

NOTE: Mapping[str, Json] = {
    "name": "add_note",
    "description": "Add a note.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
    "annotations": {"readOnlyHint": False, "openWorldHint": False},
}
GOAL = "Look after the garden project"
WHY = "four weeks of observing, looked through"


def usual(**more: Any) -> dict[str, Json]:  # noqa: ANN401 - fields of a baseline
    """A baseline that three goals taught the tool `add_note`."""
    tool = Tool("srv", "add_note", "Add a note.", {"properties": {"text": {}}})
    made = learn((f"goal {word}", [seen_call(tool, (), ())]) for word in ("one", "two", "three"))
    assert tool_key(tool) in made.tools
    return to_json(replace(made, threshold=0.8, **more))


@pytest.fixture
async def garden() -> World:
    made = await world()
    await made.join((NOTE,))
    return made


def entry_of(made: World, mission: str) -> AuthorityEntry | None:
    entries = made.broker.state.missions[mission].authority.entries
    return next((entry for entry in entries if entry.tool == "srv/add_note"), None)


async def passes(made: World) -> bool:
    return (await made.call("add_note", {"text": "water the roses"})).passage is Passage.FORWARD


async def test_it_takes_the_pin_and_nothing_is_usual_before(garden: World) -> None:
    with pytest.raises(RefusedError) as refused:
        await garden.broker.driving.baselines.adopt(usual(), WHY, "ada", "0000")
    assert refused.value.code == "pin_wrong"
    await garden.start(goal=GOAL)
    assert not await passes(garden)
    assert (await garden.broker.driving.baselines.show()).adopted is None
    assert not await garden.records("baseline")


async def test_it_takes_effect_at_once_and_is_recorded_with_who_and_why(garden: World) -> None:
    adopted = await garden.broker.driving.baselines.adopt(usual(calls_budget=0.02), WHY, "ada", PIN)
    mission = await garden.start(goal=GOAL)
    entry = entry_of(garden, mission.id)
    assert entry is not None
    assert (entry.state, entry.approved_by) == (EntryState.APPROVED, BY_BASELINE)
    assert await passes(garden)
    (record,) = await garden.records("baseline")
    assert record["what"] == "adopted"
    assert (record["digest"], record["by"], record["why"]) == (adopted.digest, "ada", WHY)
    assert record["budget"] == {"calls": 0.02, "missions": 0.0}
    assert "add_note" not in str(record)


async def test_what_only_it_had_approved_is_a_proposal_again_once_it_is_dropped(garden: World) -> None:
    baselines = garden.broker.driving.baselines
    await baselines.adopt(usual(), WHY, "ada", PIN)
    mission = await garden.start(goal=GOAL)
    assert await passes(garden)
    with pytest.raises(RefusedError):
        await baselines.drop("no longer", "ada", "0000")
    assert await passes(garden)
    dropped = await baselines.drop("no longer", "ada", PIN)
    assert not dropped.body
    entry = entry_of(garden, mission.id)
    assert entry is not None
    assert (entry.state, entry.approved_by) == (EntryState.PROPOSED, "")
    assert not await passes(garden)
    assert [record["what"] for record in await garden.records("baseline")] == ["adopted", "dropped"]
    with pytest.raises(NotFoundError):
        await baselines.drop("twice", "ada", PIN)


async def test_what_a_person_approved_stays_when_a_baseline_is_dropped(garden: World) -> None:
    await garden.broker.driving.baselines.adopt(usual(), WHY, "ada", PIN)
    mission = await garden.start(allowing("add_note"), goal=GOAL)
    await garden.broker.driving.baselines.drop("no longer", "ada", PIN)
    entry = entry_of(garden, mission.id)
    assert entry is not None
    assert entry.approved_by == "ada"
    assert await passes(garden)


async def test_a_restart_keeps_it(tmp_path: Path) -> None:
    async def opened(store: SqliteCommit, run: int) -> World:
        made = await World(store, store, names=Names(100 * run)).open()
        await made.join((NOTE,))
        return made

    async with sqlite_store(tmp_path / "state") as store:
        made = await opened(store, 1)
        adopted = await made.broker.driving.baselines.adopt(usual(), WHY, "ada", PIN)
    async with sqlite_store(tmp_path / "state") as store:
        again = await opened(store, 2)
        assert (await again.broker.driving.baselines.show()).adopted == adopted
        await again.start(goal=GOAL)
        assert await passes(again)
        await again.broker.driving.baselines.drop("no longer", "ada", PIN)
    async with sqlite_store(tmp_path / "state") as store:
        last = await opened(store, 3)
        shown = (await last.broker.driving.baselines.show()).adopted
        assert shown is not None
        assert not shown.stands
        await last.start(goal=GOAL)
        assert not await passes(last)


@pytest.mark.parametrize(
    ("body", "why", "code"),
    [
        ({"baseline": 9}, WHY, "bad_baseline"),
        ({**usual(), "threshold": 7}, WHY, "bad_baseline"),
        (to_json(learn(())), WHY, "baseline_empty"),
        ({**usual(), "values": {f"{n:032x}": 1 for n in range(140_000)}}, WHY, "baseline_too_large"),
        (usual(), "  ", "reason_needed"),
    ],
    ids=["version", "damaged", "empty", "large", "no reason"],
)
async def test_what_cannot_be_adopted_is_refused_with_a_reason(
    garden: World, body: dict[str, Json], why: str, code: str
) -> None:
    with pytest.raises(BadInputError) as refused:
        await garden.broker.driving.baselines.adopt(body, why, "ada", PIN)
    assert refused.value.code == code
    assert (await garden.broker.driving.baselines.show()).adopted is None


async def test_one_of_an_older_version_is_not_in_force_and_says_so(garden: World) -> None:
    await garden.broker.driving.baselines.adopt(usual(), WHY, "ada", PIN)
    state = garden.broker.state
    kept = state.kept["baseline"]["usual"]
    assert isinstance(kept, AdoptedBaseline)
    state.kept["baseline"]["usual"] = replace(kept, body={"baseline": 1}, digest="0" * 64)
    for index in state.indexes:
        index.took()
    shown = await garden.broker.driving.baselines.show()
    assert not shown.readable
    await garden.start(goal=GOAL)
    assert not await passes(garden)


async def test_more_questions_than_promised_are_an_alarm_told_once(garden: World) -> None:
    await garden.broker.driving.baselines.adopt(usual(calls_promised=0.01, calls_judged=500), WHY, "ada", PIN)
    await garden.join()
    for number in range(4):
        await garden.start(goal=f"{GOAL} {number}")
        for _ in range(3):
            await garden.call("send_mail", MAIL)
            await passes(garden)
    shown = await garden.broker.driving.baselines.show()
    assert shown.alarm
    assert shown.asked >= 12
    told = [one for one in await garden.records("baseline") if one["what"] == "friction_above_promise"]
    assert len(told) == 1


async def test_one_odd_mission_is_no_alarm(garden: World) -> None:
    await garden.broker.driving.baselines.adopt(usual(calls_promised=0.01, calls_judged=500), WHY, "ada", PIN)
    await garden.join()
    await garden.start(goal=GOAL)
    for _ in range(30):
        await garden.call("send_mail", MAIL)
    assert not (await garden.broker.driving.baselines.show()).alarm
