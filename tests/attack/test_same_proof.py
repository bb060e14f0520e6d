"""T7: one proof, posted many times at once, is let out once. The long version is `python -m bench same_proof`."""

from __future__ import annotations

from pathlib import Path

from bench.same_proof import campaign


def test_t7_of_many_posts_of_one_proof_at_once_one_is_let_out_and_pays(tmp_path: Path) -> None:
    found = campaign(tmp_path, posts=24, at_once=24, rounds=1)

    assert found["value"] == {"accepted": 1, "of": 24}
    assert found["passed"], found
