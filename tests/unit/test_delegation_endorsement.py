"""A child is given a part of what its mission's endorsed sources may direct, and spends from the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.model.world import World
from tests.unit.test_broker_endorsement import FIRST, SECOND, bank, endorse, question, read, sources
from tests.unit.test_delegation import hand, key, root, shown

from jittrust.core.authority.map import AuthorityMap, Endorsement
from jittrust.core.errors import RefusedError
from jittrust.core.mission.mission import Mission
from jittrust.core.model import Json
from jittrust.ports.decision_point import Decision, Passage
from jittrust.ports.grants import IssuedGrant


async def begun() -> tuple[World, Mission, Endorsement]:
    """A mission whose bills were endorsed up to 200 in all."""
    w, mission = await bank()
    await read(w)
    await endorse(w, question(await w.call("send_money", FIRST)), up_to=200)
    (given,) = w.broker.state.missions[mission.id].authority.endorsed
    return w, w.broker.state.missions[mission.id], given


def part(mission: Mission, *endorsements: Endorsement) -> AuthorityMap:
    entries = tuple(one for one in mission.authority.approved if one.tool.endswith(("send_money", "read_file")))
    return AuthorityMap(entries, 1, endorsements)


async def pay(w: World, child: IssuedGrant, call: dict[str, Json], presented: str | None = None) -> Decision:
    said = shown(w, child.grant.id, presented or child.first_pass, "child")
    return await w.broker.driving.decisions.evaluate(w.ask("send_money", call), said)


async def test_a_child_pays_within_its_own_amount_and_what_it_spends_the_mission_has_spent() -> None:
    w, mission, given = await begun()
    child = await hand(w, await root(w), authority=part(mission, replace(given, amount_most=60.0)))

    too_much = await pay(w, child, dict(FIRST))  # which the person endorsed, and did not approve by itself
    passed = await pay(w, child, dict(SECOND), too_much.next_pass)

    assert (too_much.passage, passed.passage) == (Passage.ASK, Passage.FORWARD)
    assert [one.amount_most for one in sources(w, mission) if one.id == given.id] == [pytest.approx(160.0)]


async def test_a_question_of_a_child_offers_no_source_because_a_part_never_widens() -> None:
    w, mission, _ = await begun()
    child = await hand(w, await root(w), authority=part(mission))
    asked = await pay(w, child, dict(SECOND))
    assert question(asked).offer is None


@pytest.mark.parametrize(
    "wider",
    [
        {"amount_most": 201.0},
        {"intents": ("T.pay", "I.invite")},
        {"selectors": {"path": "other.txt"}},
        {"tool": "srv/send_mail"},
        {"warned": True},
    ],
)
async def test_a_child_that_asks_for_more_than_was_endorsed_is_refused(wider: dict[str, object]) -> None:
    w, mission, given = await begun()
    with pytest.raises(RefusedError) as refused:
        await hand(w, await root(w), authority=part(mission, replace(given, **wider)))  # type: ignore[arg-type]
    assert refused.value.code == "not_narrower"


async def test_what_a_person_takes_back_no_child_keeps() -> None:
    w, mission, given = await begun()
    child = await hand(w, await root(w), authority=part(mission, given), jkt=key("child"))
    await w.change(mission.id, refuse=(given.id,))
    assert (await pay(w, child, dict(SECOND))).passage is Passage.ASK
