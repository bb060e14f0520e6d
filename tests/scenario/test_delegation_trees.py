"""Trees of agents that spend and hand on at the same time, in processes that die: a short run of `python -m bench delegation`."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.delegation import DELEGATES, GAS, campaign, costs, deep, revoked


def test_what_a_family_spent_is_exactly_what_left_its_root_whoever_dies_when() -> None:
    found = campaign(8, 3, 3, seed=3)

    assert (found["sums_wrong"], found["acknowledged_missing"]) == (0, 0)
    for kind, trees in (("memory", 8), ("sqlite", 3), ("killed", 3)):
        part = found[kind]
        assert part["wrong"] == []
        assert (part["spent"], part["left"]) == (trees * GAS, 0)
        assert part["grants"] > trees * DELEGATES // 2
        assert part["deepest"] > 1
    assert found["killed"]["kills"] == 3


@pytest.mark.parametrize("durable", [False, True])
async def test_no_call_that_begins_after_a_root_was_ended_gets_out_below_it(tmp_path: Path, *, durable: bool) -> None:
    found = await revoked(5, 2, tmp_path / "s" if durable else None)

    assert found["begun_later_and_allowed"] == 0


async def test_a_chain_ends_at_its_longest_length_with_a_code() -> None:
    assert await deep(200) == {"asked": 200, "reached": 8, "refused": {"depth_exhausted": 192}}


async def test_ending_a_grant_does_not_get_dearer_with_what_hangs_below_it() -> None:
    ending = (await costs())["ending_us_by_number_below"]

    assert ending["10000"] < 20 * ending["0"] + 1000, ending
