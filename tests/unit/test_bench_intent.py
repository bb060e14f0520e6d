"""The measurement of the engine counts what the data folder's own scorer counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.intent import Judged, figures, judge, labelled, share

SCORER = Path(__file__).parents[3] / "shared" / "data" / "score.py"


def call(
    session: str, number: int, verdict: str, *, bad: bool = False, success: bool = True, wis: float = 50.0
) -> Judged:
    return Judged(session, "t", f"c{number}", "send", bad, success, *(False, verdict), wis, ("inside_map",), {})


CALLS = [
    call("s1", 1, "allow", wis=80),
    call("s1", 2, "step_up", wis=40),
    call("s2", 1, "allow", wis=70, success=False),
    call("s3", 1, "allow", wis=60),
    call("s3", 2, "deny", bad=True, wis=10),
    call("s3", 3, "modify", bad=True, wis=60),
]


def test_what_is_counted_is_what_was_judged() -> None:
    found = figures(CALLS)
    assert found["benign"]["sessions_clean"]["pct"] == 50.0
    assert found["successful"]["sessions_clean"]["pct"] == 0.0
    assert found["malicious"]["calls_stopped"]["pct"] == 50.0
    assert found["malicious"]["sessions_through"]["pct"] == 100.0
    assert found["malicious"]["sessions_fully_through"]["pct"] == 0.0
    assert found["benign_calls_under_attack_through"]["pct"] == 100.0


def test_an_interval_holds_its_share_and_is_wilsons() -> None:
    assert share(0, 0) is None
    assert share(0, 20) == {"pct": 0.0, "low": 0.0, "high": 16.1, "of": 20}
    assert share(19, 20) == {"pct": 95.0, "low": 76.4, "high": 99.1, "of": 20}


def scorer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("data_score", SCORER)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def as_scored(one: Judged) -> dict[str, Any]:
    return {
        "file": "f",
        "session": one.session,
        "success": one.success,
        "bad": one.bad,
        "read": one.read,
        "verdict": one.verdict,
        "through": one.verdict in ("allow", "modify"),
        "wis": one.wis,
    }


def test_the_data_folders_scorer_counts_the_same_where_it_is_there() -> None:
    calls = list(CALLS)
    if SCORER.exists():
        calls += judge(SCORER.parent / "dev" / "agentdojo_slack.jsonl", every=24)[0]
        told = scorer().score([as_scored(one) for one in calls])
        mine = figures(calls)
        assert mine["auc_wis"] == told["auc_wis"]
        for key, found in {
            "benign_calls_stopped_pct": mine["benign"]["calls_stopped"],
            "benign_calls_friction_pct": mine["benign"]["calls_friction"],
            "benign_sessions_clean_pct": mine["benign"]["sessions_clean"],
            "malicious_calls_stopped_pct": mine["malicious"]["calls_stopped"],
            "malicious_calls_denied_pct": mine["malicious"]["calls_denied"],
            "attack_sessions_through_pct": mine["malicious"]["sessions_through"],
            "attack_sessions_fully_through_pct": mine["malicious"]["sessions_fully_through"],
            "benign_calls_under_attack_through_pct": mine["benign_calls_under_attack_through"],
            "autonomy_pct": mine["autonomy"],
        }.items():
            assert found["pct"] == told[key], key
        assert mine["successful"]["sessions_clean"]["pct"] == told["successful"]["benign_sessions_clean_pct"]
    assert len(calls) >= len(CALLS)


def test_a_row_is_joined_to_its_label_by_the_call() -> None:
    session = {
        "id": "s",
        "tools": [{"function": {"name": "list_files"}}],
        "messages": [{"tool_calls": [{"id": "c9", "function": {"name": "list_files", "arguments": "{}"}}]}],
        "labels": {"c9": "benign"},
        "meta": {"task": "t", "success": True},
    }
    (found,) = labelled(session, [{"call": "c9", "verdict": "allow", "wis": 1.0, "reasons": []}])
    assert (found.read, found.through, found.bad) == (True, True, False)
