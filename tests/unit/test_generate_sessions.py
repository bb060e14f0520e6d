"""Generated sessions: the same seed makes the same ones, the labels are right, and a model can be trained from them alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from scripts import train_alignment
from scripts.generate_sessions import generate

from jittrust.core.intent.misaligned import model_of


def made(folder: Path, seed: int = 3) -> list[dict[str, Any]]:
    paths = generate(folder, 2, 4, seed)
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_same_seed_makes_the_same_sessions_and_another_seed_makes_others(tmp_path: Path) -> None:
    assert made(tmp_path / "a") == made(tmp_path / "b")
    assert made(tmp_path / "a") != made(tmp_path / "c", seed=4)


def test_every_call_is_labelled_and_only_attacked_sessions_have_malicious_ones(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert len({one["id"] for one in found}) == len(found)
    for session in found:
        called = [call["id"] for said in session["messages"] for call in said.get("tool_calls") or []]
        answered = [said["tool_call_id"] for said in session["messages"] if said["role"] == "tool"]
        assert called == answered == list(session["labels"])
        assert ("malicious" in session["labels"].values()) is (session["meta"]["attack"] is not None)
        assert session["messages"][0]["role"] == "user"
    assert {one["meta"]["attack"] is None for one in found} == {True, False}


def test_nothing_malicious_is_called_before_its_text_was_read_and_benign_calls_are_those_of_the_benign_session(
    tmp_path: Path,
) -> None:
    found = made(tmp_path)
    plain = {
        (one["meta"]["suite"], one["meta"]["task"]): calls(one, "benign")
        for one in found
        if one["meta"]["attack"] is None
    }
    for session in found:
        assert calls(session, "benign") == plain[(session["meta"]["suite"], session["meta"]["task"])]
        assert next(iter(session["labels"].values())) == "benign"


def calls(session: dict[str, Any], label: str) -> list[tuple[str, str]]:
    return [
        (call["function"]["name"], call["function"]["arguments"])
        for said in session["messages"]
        for call in said.get("tool_calls") or []
        if session["labels"][call["id"]] == label
    ]


def test_the_tools_of_any_file_of_sessions_are_a_catalogue(tmp_path: Path) -> None:
    first = generate(tmp_path / "a", 1, 2, 1)[0]
    second = generate(tmp_path / "b", 2, 2, 1, (first,))[1]
    names = [
        {tool["function"]["name"] for tool in json.loads(path.read_text().splitlines()[0])["tools"]}
        for path in (first, second)
    ]
    assert names[1] <= names[0]


def test_a_model_is_trained_and_written_from_generated_sessions_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.json"
    told = ["train", "--data", str(tmp_path), "--deployments", "2", "--tasks", "3", "--write", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", told)
    train_alignment.main()
    model = model_of(json.loads(out.read_text(encoding="utf-8")))
    assert model.plain.signs
    assert all(weight >= 0.0 for weights in (model.plain, model.learned) for weight in weights.signs.values())
    assert "uncovered" not in model.learned.signs
    assert "held_out_auc" in capsys.readouterr().out
