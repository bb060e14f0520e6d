"""`jittrust demo`, as a person runs it: real processes, and the end looked up in what the servers did and in the ledger, not in what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jittrust.apps.demo import world
from jittrust.apps.demo.stories import nothing_happened
from jittrust.core.mission.states import MissionState

DEMO = [sys.executable, "-m", "jittrust.apps.cli.main", "demo"]
FORBIDDEN = {
    "mail.send_mail",
    "mail.delete_mail",
    "files.write_file",
    "files.delete_file",
    "hr.read_salary",
    "hr.export_records",
    "hr.update_record",
    "payments.pay_invoice",
    "payments.send_money",
    "payments.add_payee",
}


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JITTRUST_", "COLUMNS"))}
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    return kept | {"TMPDIR": str(temporary)} | more


def run(tmp_path: Path, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *flags], env=environment(tmp_path, **more), capture_output=True, text=True, timeout=120, check=False
    )


def processes_about(path: Path) -> list[str]:
    """Command lines of live processes that name `path`: the servers and enforcement points of a demo that worked there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(path) in line:
                found.append(line)
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    tmp_path = tmp_path_factory.mktemp("demo")
    folder = tmp_path / "kept"
    ran = run(tmp_path, "--json", "--state", str(folder))
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    return folder, [json.loads(line) for line in ran.stdout.splitlines()]


def calls_of(told: tuple[Path, list[dict[str, Any]]], story: str) -> list[dict[str, Any]]:
    return [line for line in told[1][:-1] if line["story"] == story]


def test_the_last_line_says_how_each_story_ended_and_that_the_ledger_is_whole(
    told: tuple[Path, list[dict[str, Any]]],
) -> None:
    summary = told[1][-1]

    assert list(summary) == ["stories", "ledger", "console"]
    assert summary["console"] is None
    assert [(story["name"], story["ended"]) for story in summary["stories"]] == [
        ("benign", "completed"),
        ("hijacked", "suspended"),
        ("stolen_pass", "reused"),
    ]
    for story in summary["stories"]:
        assert list(story) == ["name", "calls", "allowed", "stopped", "ended"]
        assert story["calls"] == story["allowed"] + story["stopped"] == len(calls_of(told, story["name"]))
    assert summary["ledger"]["verified"] is True


def test_the_benign_mission_asks_nobody_and_pays_one_invoice(told: tuple[Path, list[dict[str, Any]]]) -> None:
    data = told[0] / "worlds" / "benign"

    assert [call["verdict"] for call in calls_of(told, "benign")] == ["allow"] * 5
    assert [one.call for one in world.done(data)][-1] == "payments.pay_invoice"
    assert world.balance(data) == world.FULL_BALANCE - world.INVOICE_CENTS


def test_of_a_hijacked_mission_nothing_reaches_the_servers_but_reads_of_what_the_goal_can_need(
    told: tuple[Path, list[dict[str, Any]]],
) -> None:
    data, calls = told[0] / "worlds" / "hijacked", calls_of(told, "hijacked")
    orders = [call["call"] for call in calls if call["who"] == "document"]

    assert FORBIDDEN & {one.call for one in world.done(data)} == set()
    assert world.balance(data) == world.FULL_BALANCE
    assert world.mail_sent(data) == 0
    # The attack was really tried: the agent asked for every one of these.
    assert {"hr.read_salary", "hr.export_records", "mail.send_mail", "payments.send_money"} <= set(orders)
    assert {call["verdict"] for call in calls} == {"allow", "step_up", "deny"}
    trust = [call["trust"] for call in calls if not call["forwarded"]]
    assert trust == sorted(trust, reverse=True)
    assert calls[-1]["call"] == "payments.pay_invoice"
    assert "session_suspended" in calls[-1]["reasons"]


def test_an_old_pass_in_a_thiefs_hands_ends_the_grant_and_the_ledger_says_so(
    told: tuple[Path, list[dict[str, Any]]],
) -> None:
    calls = calls_of(told, "stolen_pass")

    assert [(call["who"], call["forwarded"]) for call in calls] == [
        ("owner", True),
        ("owner", True),
        ("owner", True),
        ("thief", False),
        ("thief", False),
        ("owner", False),
    ]
    assert calls[4]["reasons"] == ["pass_reused"]
    assert calls[5]["reasons"] == ["grant_not_active"]
    assert len(world.done(told[0] / "worlds" / "stolen_pass")) == 3


def test_the_kept_ledger_verifies_with_the_public_command_and_holds_every_call(
    told: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "jittrust.apps.cli.main", "audit"]
    state = ["--state", str(told[0])]
    checked = subprocess.run([*command, "verify", *state, "--json"], capture_output=True, text=True, check=True)
    exported = tmp_path / "ledger.jsonl"
    subprocess.run([*command, "export", *state, "--out", str(exported)], capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in exported.read_text("utf-8").splitlines()]
    judged = [record for record in records if record["kind"] in {"use", "refusal"}]

    assert json.loads(checked.stdout)["records"] == told[1][-1]["ledger"]["records"] == len(records)
    # Two calls of the thief are none of the grant's: one without a key, one with a dead pass.
    assert len(judged) == sum(story["calls"] for story in told[1][-1]["stories"]) - 2
    assert sum(record["kind"] == "use" for record in judged) == sum(s["allowed"] for s in told[1][-1]["stories"])
    assert [record["what"] for record in records if record["kind"] == "pass"] == ["reuse"]


def test_the_stories_are_readable_in_a_pipe_and_in_a_narrow_window_and_leave_nothing_behind(tmp_path: Path) -> None:
    ran = run(tmp_path, COLUMNS="64", NO_COLOR="1")

    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    assert "\x1b" not in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 64
    assert "NOT SO" not in ran.stdout
    for words in ("A mission that just works", "hijacked", "A stolen pass", "exactly what was signed", "jittrust run"):
        assert words in ran.stdout
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_about(tmp_path) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_stopped_in_the_middle_leaves_no_folder_and_no_process(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with subprocess.Popen(
        [*DEMO, "--json"], env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["story"] == "benign"
        assert processes_about(tmp_path) != []
        running.send_signal(number)
        _, errors = running.communicate(timeout=30)

    assert running.returncode == status, errors
    assert "Traceback" not in errors
    assert list((tmp_path / "tmp").iterdir()) == []
    time.sleep(0.1)
    assert processes_about(tmp_path) == []


def test_the_demo_touches_no_folder_that_holds_something(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "jittrust.db").write_bytes(b"mine")
    ran = run(tmp_path, "--state", str(mine), "--json")

    assert ran.returncode == 2
    assert json.loads(ran.stdout)["error"]["code"] == "demo_state_used"
    assert [path.name for path in mine.iterdir()] == ["jittrust.db"]


def test_without_the_mcp_client_it_says_what_to_install(tmp_path: Path) -> None:
    without = "import sys; sys.modules['mcp'] = None; from jittrust.apps.cli.main import main; sys.exit(main(['demo']))"
    ran = subprocess.run(
        [sys.executable, "-c", without], env=environment(tmp_path), capture_output=True, text=True, check=False
    )

    assert ran.returncode == 2
    assert "jittrust[demo]" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_the_demo_checks_would_not_hold_without_a_broker_in_between(tmp_path: Path) -> None:
    data = world.furnish(tmp_path / "bare", poisoned=True)
    folder = world.examples()
    servers = [
        word
        for name in world.SERVERS
        for word in ("--server", f"{name}={sys.executable} {folder}/servers/{name}.py --data {data}")
    ]
    subprocess.run(
        [sys.executable, str(folder / "agent.py"), *servers, "--plan", "-", "--obey"],
        input=json.dumps(list(world.PAY_THE_INVOICE)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    held = [claim.holds for claim in nothing_happened(data, [], MissionState.ACTIVE)[:3]]
    assert held == [False, False, False]
    assert world.paid(data).count(world.STRANGER) >= 3
