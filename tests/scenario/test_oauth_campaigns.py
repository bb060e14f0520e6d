"""Short versions of the campaigns on passes; the long ones are commands in bench/."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from bench import cut, lostanswer, races, stock


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.timeout(240)
def test_of_two_to_thirty_two_holders_of_one_pass_exactly_one_pays(state: Path) -> None:
    on_disk = races.campaign(state / "store", 480)
    in_memory = asyncio.run(races.in_memory(240))

    assert (on_disk["winners"], on_disk["faults"]) == (480, [])
    assert in_memory["faults"] == []


@pytest.mark.timeout(240)
def test_whoever_loses_an_answer_gets_on_and_pays_once(state: Path) -> None:
    result = lostanswer.campaign(state, losses=6)

    assert result["faults"] == []
    assert result["passed"], result
    assert len(result["value"]) >= 8
    assert all(one["recovered"] == one["n"] for one in result["value"].values())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["challenges", "answers"])
@pytest.mark.parametrize("bursts", [False, True])
def test_a_stock_client_with_eight_callers_on_a_bad_network_is_never_suspended(kind: str, bursts: bool) -> None:  # noqa: FBT001 - parameters of the test
    result = stock.leaping(kind, 1_500, 8, 3, bursts=bursts)

    assert (result["suspended"], result["passes"]["reuse"]) == (0, 0)
    assert result["went_through"] > 1_500 * 0.8


@pytest.mark.timeout(240)
def test_what_is_under_way_is_cut_within_a_second(state: Path) -> None:
    result = asyncio.run(cut.campaign(state, calls=20))

    assert result["wrong"] == []
    assert result["value"]["caller_told_s"]["max"] <= cut.BOUND_S
