"""No part of a grant allows more than the grant: generated pairs against the model of sets in `bench.narrowing`, and the model against itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bench.narrowing import NOW, campaign, outside

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.units import Gas, Instant

ENTRY = AuthorityEntry("e", "files/read", resource="a|b", uses_left=3, state=EntryState.APPROVED)
MISSION = Mission(
    "m",
    "ada",
    "a",
    Goal(("x",), GoalSource.FLAG),
    MissionState.ACTIVE,
    AuthorityMap((replace(ENTRY, resource="", uses_left=None),)),
    NOW,
    NOW,
    Instant(NOW + 300),
)
PARENT = Grant(
    "g-p", "m", "g-p", "a", "files", PassBinding.DPOP, "k", Strictness.STRICT, GrantState.ACTIVE, Gas(100), Gas(100), 2, NOW,
    Instant(NOW + 300), authority=AuthorityMap((ENTRY,)), uses_left=5, uses_limit=5,
)  # fmt: skip
CHILD = replace(
    PARENT, id="g-c", path=("g-p",), gas_left=Gas(10), gas_limit=Gas(10), uses_left=2, uses_limit=2,
    authority=AuthorityMap((replace(ENTRY, resource="a", uses_left=1),)),
)  # fmt: skip


def test_of_five_thousand_pairs_no_part_allows_more_than_the_whole() -> None:
    found = campaign(5_000, seed=7)

    assert found["first"] == []
    assert (found["child_not_inside_parent"], found["crashes"]) == (0, 0)
    assert found["accepted"] > 500, "a check that refuses everything proves nothing"
    assert len(found["by_code"]) >= 10


def test_the_model_takes_a_part_for_a_part() -> None:
    assert outside(PARENT, CHILD, MISSION) == []
    assert outside(PARENT, replace(CHILD, authority=AuthorityMap(())), MISSION) == []


@pytest.mark.parametrize(
    ("wider", "what"),
    [
        ({"authority": AuthorityMap((replace(ENTRY, resource="[ab]+", uses_left=1),))}, "calls"),
        ({"authority": AuthorityMap((replace(ENTRY, resource=""),))}, "calls"),
        ({"authority": AuthorityMap((replace(ENTRY, tool="files/Read"),))}, "calls"),
        ({"authority": AuthorityMap((replace(ENTRY, uses_left=4),))}, "uses of an entry"),
        ({"authority": AuthorityMap((replace(ENTRY, uses_left=None),))}, "uses of an entry"),
        (
            {"authority": AuthorityMap((replace(ENTRY, uses_left=2), replace(ENTRY, id="f", uses_left=2)))},
            "uses of an entry",
        ),
        ({"gas_left": Gas(101), "gas_limit": Gas(101)}, "gas"),
        ({"uses_left": None, "uses_limit": None}, "uses"),
        ({"uses_left": 6, "uses_limit": 6}, "uses"),
        ({"expires": Instant(NOW + 301)}, "time"),
        ({"server": ""}, "audience"),
        ({"server": "FILES"}, "audience"),
        ({"lanes": 3}, "lanes"),
        ({"jkt": "", "binding": PassBinding.GATEWAY}, "key"),
        ({"strictness": Strictness.STOCK}, "strictness"),
        ({"path": ()}, "chain"),
        ({"mission": "m-2"}, "chain"),
        ({"family": "g-c"}, "chain"),
    ],
)
def test_the_model_sees_every_kind_of_widening(wider: dict[str, Any], what: str) -> None:
    assert what in outside(PARENT, replace(CHILD, **wider), MISSION)
