"""Short versions of the campaigns on a whole broker; the long ones are commands in bench/."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from bench import crash, kill, race

from jittrust.core.response.stop import StopScope


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.timeout(240)
def test_of_client_processes_that_show_one_pass_at_the_same_moment_exactly_one_is_let_out_and_pays(state: Path) -> None:
    result = race.campaign(state, races=100, clients=4)

    assert result["value"] == {"one_winner": 100, "none": 0, "more": 0}
    assert (result["passes_spent_twice"], result["grants_with_wrong_gas"], result["ledger_verified"]) == (0, 0, True)


@pytest.mark.timeout(240)
def test_a_broker_killed_under_load_spends_no_pass_twice_loses_no_gas_and_no_acknowledged_call(state: Path) -> None:
    result = asyncio.run(crash.campaign(state, kills=12, clients=6, seed=7))

    assert result["value"] == {"acknowledged_missing": 0, "passes_spent_twice": 0, "grants_with_wrong_gas": 0}
    assert (result["ledger_verified"], result["refused"]) == (True, [])
    # Kills in the middle of calls, not between them: without traffic nothing would have been shown.
    assert result["fewest_acks_before_a_kill"] >= crash.LEAST_ACKS_A_KILL


@pytest.mark.timeout(240)
def test_from_pulling_the_kill_switch_on_nothing_that_is_begun_goes_through(state: Path) -> None:
    found = asyncio.run(kill.campaign(state, rounds=2, clients=3, seed=3))

    assert set(found) == set(StopScope)
    assert [scope["begun_after"] for scope in found.values()] == [0] * len(found)
    assert [scope["quiet_rounds"] for scope in found.values()] == [0] * len(found)
