"""A person calibrates, adopts, looks, drops and promotes with the real commands, against a broker in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jittrust.core.model import Json

JITTRUST = str(Path(sys.executable).with_name("jittrust"))
PIN = "271828"
Ran = subprocess.CompletedProcess[str]


def cli(*words: str, stdin: str = "") -> Ran:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JITTRUST_")}
    return subprocess.run(
        [JITTRUST, *words], input=stdin, capture_output=True, text=True, check=False, timeout=120, env=clean
    )


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "s"
    assert cli("approve", "--set-pin", "--pin-stdin", "--state", str(folder), stdin=f"{PIN}\n").returncode == 0
    yield folder
    end_broker(folder)


def end_broker(folder: Path) -> None:
    lock = folder / "broker.lock"
    holder = lock.read_text().strip() if lock.exists() else ""
    if not holder.isdigit():
        return
    os.kill(int(holder), signal.SIGTERM)
    for _ in range(200):
        if not Path(f"/proc/{holder}").exists():
            return
        time.sleep(0.05)


def session(goal: str, number: int) -> dict[str, Json]:
    parameters: Mapping[str, Json] = {"type": "object", "properties": {"text": {"type": "string"}}}
    function: Mapping[str, Json] = {"name": "add_note", "description": "Add a note.", "parameters": parameters}
    call: dict[str, Json] = {
        "id": "c1",
        "type": "function",
        "function": {"name": "add_note", "arguments": '{"text": "water"}'},
    }
    return {
        "id": f"s{number}",
        "tools": [{"type": "function", "function": function}],
        "messages": [
            {"role": "user", "content": goal},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
    }


def told(ran: Ran, code: int = 0) -> Any:  # noqa: ANN401 - any JSON value
    assert ran.returncode == code, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


def test_calibrate_adopt_look_restart_drop(state: Path, tmp_path: Path) -> None:
    recorded, usual = tmp_path / "r.jsonl", tmp_path / "usual.json"
    goals = ("Look after the garden", "Keep the shed in order", "Mind the greenhouse")
    recorded.write_text("".join(json.dumps(session(goal, n)) + "\n" for n, goal in enumerate(goals)))
    where = ("--state", str(state))

    learned = told(cli("calibrate", str(recorded), "--out", str(usual), "--json"))
    assert (learned["missions"], learned["tools"]) == (3, 1)
    assert told(cli("calibrate", "--show", "--json", *where))["in_force"] is False
    adopt = ("calibrate", "--adopt", str(usual), "--pin-stdin", "--json", *where)
    wrong = cli(*adopt, "--why", "seen", stdin="999999\n")
    assert (wrong.returncode, "pin_wrong" in wrong.stderr + wrong.stdout) == (1, True)
    silent = cli(*adopt, stdin=f"{PIN}\n")
    assert (silent.returncode, "reason_needed" in silent.stderr + silent.stdout) == (2, True)
    adopted = told(cli(*adopt, "--why", "seen", stdin=f"{PIN}\n"))
    end_broker(state)
    shown = told(cli("calibrate", "--show", "--json", *where))
    assert (shown["in_force"], shown["digest"], shown["why"]) == (True, adopted["adopted"], "seen")
    assert "usual" not in cli("doctor", *where).stderr
    checks = {check["name"]: check["stands"] for check in told(cli("doctor", "--json", *where))["checks"]}
    assert checks["baseline"] == "enforced"
    told(cli("calibrate", "--drop", "--why", "done", "--pin-stdin", "--json", *where, stdin=f"{PIN}\n"))
    assert told(cli("calibrate", "--show", "--json", *where))["in_force"] is False
    bad = cli("calibrate", "--adopt", str(recorded), "--why", "x", "--pin-stdin", *where, stdin=f"{PIN}\n")
    assert (bad.returncode, "bad_baseline" in bad.stderr) == (2, True)
    assert "Traceback" not in bad.stderr


def test_report_and_promote(state: Path, tmp_path: Path) -> None:
    where = ("--state", str(state))
    mission = told(cli("mission", "start", "--goal", "Look after the garden", "--observe", "--json", *where))
    name = mission["mission"]["id"]
    empty = told(cli("intent", "report", "--json", *where))
    assert (empty["calls"], empty["days"]) == (0, [])
    nothing = cli("calibrate", "--observed", "--out", str(tmp_path / "o.json"), "--json", *where)
    assert (nothing.returncode, "baseline_empty" in nothing.stderr + nothing.stdout) == (2, True)
    promote = ("intent", "promote", "--why", "seen", "--pin-stdin", "--json", *where)
    assert told(cli(*promote, "--mission", name, stdin=f"{PIN}\n"))["enforced"] == name
    assert told(cli(*promote, "--agent", "coder", stdin=f"{PIN}\n"))["enforced"] == "coder"
    assert [one["id"] for one in told(cli("intent", "promote", "--list", "--json", *where))["promotions"]] == ["coder"]
    assert told(cli(*promote, "--release", "coder", stdin=f"{PIN}\n")) == {"released": "coder"}
