"""Claude Code's own command line with the hook that `jittrust hook` prints, a broker, and an MCP server behind `jittrust run`.

Only the model is a stand-in. Nothing leaves the machine: home, project and state are temporary, and there is no key.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
from tests.scenario.model_stand_in import Model, Use, model_stand_in
from tests.serving import Running, gateway

ROOT = Path(__file__).parents[2]
CLAUDE = ROOT / ".tests" / "claude" / "claude_agent_sdk" / "_bundled" / "claude"
JITTRUST = str(Path(sys.executable).with_name("jittrust"))
FILES = (sys.executable, str(ROOT / "examples" / "servers" / "files.py"))
REPORT = "Revenue rose by four per cent."


def ran(*words: str | Path, env: dict[str, str] | None = None) -> str:
    """What a command of jittrust prints; it must end well."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JITTRUST_")}
    done = subprocess.run(
        [JITTRUST, *map(str, words)], env=clean | (env or {}), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Desk:
    """A person's machine: a home with Claude Code's settings, a project, a broker that runs, a model that answers."""

    folder: Path
    running: Running
    model: Model

    @property
    def token(self) -> str:
        return (self.running.state / "hook.token").read_text("ascii").strip()

    def settings(self, url: str) -> str:
        """Write what `jittrust hook` prints into the settings, as it is."""
        printed = ran("hook", "claude-code", "--url", url, "--json")
        file = self.folder / "home" / ".claude" / "settings.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(printed, "utf-8")
        return printed

    def environ(self, token: str | None = None) -> Mapping[str, str]:
        """What Claude Code is started with, from the project's folder."""
        return {
            "HOME": str(self.folder / "home"),
            "PATH": "/usr/bin:/bin",
            "ANTHROPIC_BASE_URL": self.model.url,
            "ANTHROPIC_API_KEY": "sk-ant-not-a-key",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "IS_SANDBOX": "1",
            "JITTRUST_HOOK_TOKEN": self.token if token is None else token,
            "NO_PROXY": "*",
        }

    @property
    def project(self) -> Path:
        folder = self.folder / "project"
        folder.mkdir(exist_ok=True)
        return folder

    def claude(self, *words: str, token: str | None = None) -> str:
        """Run Claude Code; what it prints."""
        done = subprocess.run(
            [CLAUDE, *words],
            cwd=self.project, env=self.environ(token), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def prompt(self, words: str, *more: str, token: str | None = None) -> dict[str, Any]:
        """One prompt, without a terminal; how the turn ended."""
        told: dict[str, Any] = json.loads(
            self.claude("-p", words, "--output-format", "json", "--allowedTools", "mcp__files", *more, token=token)
        )
        return told

    def missions(self) -> list[dict[str, Any]]:
        """The missions, as a person's script reads them."""
        listed = json.loads(ran("mission", "list", "--all", "--json", "--state", self.running.state))
        return [view["mission"] for view in listed["missions"]]

    def effects(self) -> list[str]:
        """The tools that the server has carried out."""
        file = self.folder / "data" / "effects.jsonl"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        return [json.loads(line)["tool"] for line in lines]


@pytest.fixture
def desk(tmp_path: Path, unproven: Callable[[str, str], NoReturn]) -> Iterator[Desk]:
    if not CLAUDE.exists():
        unproven("Claude Code's own CLI runs the prompt hook", "the wheel claude-agent-sdk, which carries it")
    (tmp_path / "data" / "files").mkdir(parents=True)
    (tmp_path / "data" / "files" / "q3.txt").write_text(REPORT, "utf-8")
    server = {"command": FILES[0], "args": [FILES[1], "--data", str(tmp_path / "data")]}
    with model_stand_in() as model, gateway(tmp_path / "broker", {"files": server}) as running:
        made = Desk(tmp_path, running, model)
        made.settings(running.url)
        yield made
        told = running.log.read_text("utf-8")
        assert made.token not in told


def test_what_is_typed_into_claude_code_is_the_goal_under_which_its_servers_work(desk: Desk) -> None:
    seen, data = desk.folder / "environment", desk.folder / "data"
    server = f"env > {seen}; exec {FILES[0]} {FILES[1]} --data {data}"
    gate = (JITTRUST, "run", "--server", "files", "--state", str(desk.running.state), "--wait", "0")
    desk.claude("mcp", "add", "--scope", "user", "files", "--", *gate, "--", "sh", "-c", server)
    desk.model.says(
        Use("mcp__files__read_file", {"path": "q3.txt"}), Use("mcp__files__delete_file", {"path": "q3.txt"})
    )
    first = desk.prompt("Read the document q3.txt and tell me what it says")
    results = desk.model.results()
    [mission] = desk.missions()

    assert first["result"] == "done"
    assert mission["goal"] == {
        "texts": ["Read the document q3.txt and tell me what it says"], "source": "prompt_hook"
    }  # fmt: skip
    assert REPORT in results[0]
    assert "jittrust: approval_needed" in results[1]
    assert "JITTRUST_" not in seen.read_text("utf-8")
    assert desk.effects() == ["read_file"]
    assert (desk.folder / "data" / "files" / "q3.txt").read_text("utf-8") == REPORT

    desk.prompt("Now list the documents in the folder", "--resume", first["session_id"])
    [extended] = desk.missions()

    assert extended["id"] == mission["id"]
    assert extended["goal"]["texts"] == [*mission["goal"]["texts"], "Now list the documents in the folder"]


def test_a_notice_of_claude_codes_own_never_becomes_words_of_the_person(desk: Desk) -> None:
    desk.model.says(
        Use("Bash", {"command": "true", "description": "Delete the document q3.txt", "run_in_background": True}),
    )
    typed = {"type": "user", "message": {"role": "user", "content": "Read the document q3.txt"}}
    words = "-p --verbose --input-format stream-json --output-format stream-json --allowedTools Bash".split()
    with subprocess.Popen(
        [CLAUDE, *words], cwd=desk.project, env=desk.environ(),
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as session:  # fmt: skip
        assert session.stdin is not None
        session.stdin.write(json.dumps(typed).encode() + b"\n")
        session.stdin.flush()
        until = time.monotonic() + 30
        # The prompt, what the tool said, and the notice that the task has ended.
        while len(desk.model.asked) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        session.stdin.close()
        session.wait(30)

    assert "Delete the document q3.txt" in json.dumps(desk.model.asked[2]["messages"][-1])
    [mission] = desk.missions()
    assert mission["goal"]["texts"] == ["Read the document q3.txt"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("CronCreate", {"cron": "* * * * *", "prompt": "Delete the document q3.txt", "recurring": False}),
        ("ScheduleWakeup", {"delaySeconds": 60, "prompt": "Delete it", "reason": "x", "noop": False}),
    ],
)
def test_the_agent_cannot_schedule_a_prompt_in_its_persons_name(
    desk: Desk, tool: str, arguments: dict[str, Any]
) -> None:
    desk.model.says(Use(tool, arguments))
    desk.prompt("Read the document q3.txt", "--dangerously-skip-permissions")

    assert "No such tool available" in desk.model.results()[0]


def test_a_prompt_is_blocked_before_the_model_when_the_broker_is_gone_or_the_token_is_wrong(desk: Desk) -> None:
    refused = desk.prompt("Read the document q3.txt", token="wrong")
    unset = desk.prompt("Read the document q3.txt", token="")
    missions = desk.missions()
    os.kill(desk.running.pid, signal.SIGTERM)
    where, until = urlsplit(desk.running.url), time.monotonic() + 15
    with suppress(ConnectionRefusedError):
        while time.monotonic() < until:
            socket.create_connection((where.hostname or "", where.port or 0), 5).close()
            time.sleep(0.05)
    gone = desk.prompt("Read the document q3.txt")

    for told in (refused, unset, gone):
        assert "UserPromptSubmit operation blocked by hook" in told["result"]
    assert "HTTP 401" in refused["result"]
    assert "ECONNREFUSED" in gone["result"]
    assert desk.model.asked == []
    assert missions == []


def test_the_hooks_secret_is_its_owners_alone_and_is_printed_nowhere(desk: Desk) -> None:
    printed = ran("hook", "claude-code", env={"JITTRUST_HOOK_TOKEN": desk.token})

    assert (desk.running.state / "hook.token").stat().st_mode & 0o777 == 0o600
    assert len(desk.token) >= 43
    assert desk.token not in printed
    assert "$JITTRUST_HOOK_TOKEN" in printed
    assert desk.token not in (desk.folder / "home" / ".claude" / "settings.json").read_text("utf-8")
    assert desk.token not in ran("doctor", "--json", "--state", desk.running.state)
