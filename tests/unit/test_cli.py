"""The command line: what it loads, how it helps, how it ends, what it prints."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jittrust.apps.cli import failure, hook, run
from jittrust.apps.cli.main import main
from jittrust.apps.cli.reference import page
from jittrust.apps.cli.table import COMMANDS
from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError

ROOT = Path(__file__).parents[2]
JITTRUST = str(Path(sys.executable).with_name("jittrust"))
PIN = "271828"
MAIL = (sys.executable, str(ROOT / "examples" / "servers" / "mail.py"))
# What a start must not pay for. `asyncio` and `ssl` are here because importing them costs more than the whole help.
HEAVY = {
    "typer",
    "rich",
    "pydantic",
    "cryptography",
    "nacl",
    "yaml",
    "cedarpy",
    "aiohttp",
    "uvicorn",
    "starlette",
    "sqlite3",
    "asyncio",
    "ssl",
}

Ran = subprocess.CompletedProcess[str]


def cli(*words: str, stdin: str = "", env: dict[str, str] | None = None, cwd: Path | None = None) -> Ran:
    """Run the real command."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JITTRUST_")}
    return subprocess.run(
        [JITTRUST, *words],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**clean, **(env or {})},
        cwd=cwd,
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state directory with a PIN; its broker is ended afterwards."""
    folder = tmp_path_factory.mktemp("s")
    assert cli("approve", "--set-pin", "--pin-stdin", "--state", str(folder), stdin=f"{PIN}\n").returncode == 0
    yield folder
    end_broker(folder)


def end_broker(folder: Path) -> None:
    """End the broker of a state directory, by the process id in its lock."""
    holder = (folder / "broker.lock").read_text().strip() if (folder / "broker.lock").exists() else ""
    if not holder.isdigit():
        return
    try:
        os.kill(int(holder), signal.SIGTERM)
    except ProcessLookupError:
        return
    for _ in range(200):
        if not Path(f"/proc/{holder}").exists():
            return
        time.sleep(0.05)


def answered(ran: Ran, code: int = 0) -> Any:  # noqa: ANN401 - any JSON value
    """The one JSON value that a command printed."""
    assert ran.returncode == code, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


def loaded(*words: str) -> set[str]:
    """Top-level modules that are loaded after the command ran in a process of its own."""
    code = (
        f"import sys\nfrom jittrust.apps.cli.main import main\nmain({list(words)!r})\n"
        "print(' '.join(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    return set(ran.stderr.split())


@pytest.mark.parametrize(
    "words", [("--help",), (), ("--version",), ("nonsense",), ("hook", "claude-code"), ("run", "--help"), ("run", "x")]
)
def test_help_hooks_and_mistakes_load_nothing_heavy(words: tuple[str, ...]) -> None:
    assert loaded(*words) & HEAVY == set()


def test_run_never_loads_the_command_line_library() -> None:
    code = (
        "import sys, asyncio\nfrom jittrust.apps.cli import run\nasync def none(options): return 0\nrun._run = none\n"
        "assert run.main(['--', 'x']) == 0\nimport jittrust.pep.mcp.stdio, jittrust.adapters.unixsocket.join, jittrust.apps.cli.reach\n"
        "print({'typer', 'rich', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)

    assert ran.stdout.strip() == "set()", ran.stdout + ran.stderr


def test_help_lists_every_command_by_job_with_examples() -> None:
    told = cli("--help").stdout

    assert [row.name for row in COMMANDS if f"  {row.name}" not in told] == []
    for heading in ("See it work:", "Say what an agent is for:", "Prove it:", "For example:", "Exit codes:"):
        assert heading in told
    assert cli().stdout == told
    assert cli("-h").stdout == told


@pytest.mark.parametrize(
    "words",
    [
        *((row.name,) for row in COMMANDS if not row.target.endswith(":app")),
        *(("mission", name) for name in ("plan", "start", "list", "show", "contract", "approve", "end")),
        *(("grant", name) for name in ("new", "list", "revoke")),
        *(("audit", name) for name in ("verify", "export")),
    ],
)
def test_every_command_teaches_by_example_and_takes_the_common_flags(words: tuple[str, ...]) -> None:
    ran = cli(*words, "--help", env={"COLUMNS": "200"})

    assert ran.returncode == 0
    assert "For example" in ran.stdout
    assert f"jittrust {' '.join(words)}" in ran.stdout
    assert "--json" in ran.stdout
    assert "--state" in ran.stdout


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("misson",), "jittrust mission"),
        (("--halp",), "--help"),
        (("mission", "strat"), "start"),
        (("mission", "list", "--al"), "--all"),
        (("approve", "--jsn"), "--json"),
        (("grant", "new", "--agnt", "x"), "--agent"),
        (("run", "--gaol", "x", "--", "y"), "--goal"),
        (("run", "mcp-server-git"), "jittrust run -- mcp-server-git"),
        (("run", "--"), "jittrust run -- COMMAND"),
        (("hook", "vim"), "claude-code"),
        (("mission", "start"), "--goal"),
        (("mission", "start", "--goal", "x", "--file", "y"), "--goal"),
        (("mission", "plan"), "--goal"),
        (("grant", "new", "--agent", "a", "--server", "s"), "--new-key"),
        (("log", "-n", "x"), "jittrust log --help"),
    ],
)
def test_a_mistake_ends_with_2_and_a_suggestion(words: tuple[str, ...], hint: str) -> None:
    ran = cli(*words)

    assert ran.returncode == 2
    assert hint in ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    as_json = answered(cli(*words[:1], "--json", *words[1:]), 2)
    assert set(as_json["error"]) == {"code", "message", "next_step"}


@pytest.mark.parametrize(
    ("error", "code"), [(BadInputError, 2), (RefusedError, 1), (UnavailableError, 3), (JitError, 1)]
)
def test_an_error_says_what_happened_its_code_and_the_next_step(
    error: type[JitError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> int:
        raise error("the_code", "What \x1b[2Jhappened\u202e", "jittrust doctor")

    assert failure.guarded(fails, as_json=False) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert (
        said.err
        == "What \N{REPLACEMENT CHARACTER}[2Jhappened\N{REPLACEMENT CHARACTER} [the_code]\nNext: jittrust doctor\n"
    )
    assert failure.guarded(fails, as_json=True) == code
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "the_code"


def test_a_fault_of_ours_shows_no_traceback_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> int:
        raise KeyError("oops")

    assert failure.guarded(fails, as_json=False) == 1
    said = capsys.readouterr().err
    assert "internal_error" in said
    assert "Traceback" not in said
    monkeypatch.setenv("JITTRUST_DEBUG", "1")
    with pytest.raises(KeyError):
        failure.guarded(fails, as_json=False)


def test_ctrl_c_ends_clean_with_130(state: Path) -> None:
    answered(cli("mission", "start", "--goal", "Look around", "--json", "--state", str(state)))
    words = [JITTRUST, "log", "-f", "--json", "--state", str(state)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["index"] >= 0
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=20)
        finally:
            process.kill()

    assert process.returncode == 130
    assert stderr == ""


def test_a_reader_that_leaves_is_no_error() -> None:
    script = '"$0" --help | head -1; echo ${PIPESTATUS[0]}'
    ran = subprocess.run(["bash", "-c", script, JITTRUST], capture_output=True, text=True, check=True)

    assert "Traceback" not in ran.stderr
    assert ran.stdout.splitlines()[-1] in {"0", "141"}


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_and_no_color_is_obeyed(env: dict[str, str], coloured: object) -> None:
    ours, theirs = pty.openpty()
    subprocess.run(
        [JITTRUST, "--help"],
        stdout=theirs,
        check=True,
        timeout=30,
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm", **env},
    )
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)

    assert (b"\x1b[" in shown) is coloured
    assert "\x1b[" not in cli("--help").stdout


def test_completion_knows_commands_and_flags() -> None:
    def completed(words: str) -> str:
        return cli(
            env={
                "_JITTRUST_COMPLETE": "complete_zsh",
                "_TYPER_COMPLETE_ARGS": words,
                "COMP_WORDS": words,
                "COMP_CWORD": "9",
            }
        ).stdout

    assert "mission" in completed("jittrust mis")
    assert "start" in completed("jittrust mission st")
    assert "--goal" in completed("jittrust mission start --g")
    assert "run" in completed("jittrust r")


def test_the_page_of_the_command_line_is_that_of_the_code() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page(), (
        "python -m jittrust.apps.cli.reference docs/cli.md"
    )


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("mcp-server-git", "--repository", "."), "mcp-server-git"),
        (("npx", "-y", "@modelcontextprotocol/server-filesystem", "/tmp"), "server-filesystem"),
        (("uvx", "mcp-server-time@latest"), "mcp-server-time"),
        (("python3.12", "-m", "mail"), "mail"),
        (("/usr/bin/python3", "/srv/files.py", "--x"), "files"),
        (("node", "build/index.js"), "index"),
        (("uv", "run", "hr server"), "hr-server"),
        (("sh",), "server"),
        (("Ü",), "server"),
    ],
)
def test_a_server_is_named_after_what_its_command_starts(command: Sequence[str], name: str) -> None:
    assert run.server_name(command) == name


def test_run_reads_its_own_flags_and_leaves_the_servers_alone() -> None:
    read = run.parse(["--goal=Pay --now", "--observe", "--state", "/s", "--", "srv", "--goal", "x", "--", "--json"])

    assert read == run.RunOptions(("srv", "--goal", "x", "--", "--json"), "Pay --now", "srv", "/s", observe=True)
    for wrong in (
        ["--goal", "--", "x"],
        ["--goal", "a", "--goal", "b", "--", "x"],
        ["--observe=1", "--", "x"],
        ["--server"],
    ):
        with pytest.raises(BadInputError):
            run.parse(wrong)


def test_the_hook_blocks_when_the_broker_is_gone() -> None:
    (entry,) = answered(cli("hook", "claude-code", "--url", "http://127.0.0.1:9/", "--json"))["hooks"][
        "UserPromptSubmit"
    ]
    (told,) = entry["hooks"]

    assert told["onFailure"] == "block"
    assert told["type"] == "http"
    assert told["url"] == "http://127.0.0.1:9/hooks/claude-code"
    assert told["headers"]["Authorization"] == "Bearer $" + told["allowedEnvVars"][0]
    assert hook.DEFAULT_URL in cli("hook", "claude-code").stdout


def test_a_mission_is_planned_edited_started_shown_and_ended(state: Path, tmp_path: Path) -> None:
    there = ("--state", str(state))
    server = (*MAIL, "--data", str(tmp_path / "mail"))
    file = tmp_path / "map.yaml"
    goal = "Read my mail and list the folders"
    planned = answered(cli("mission", "plan", "--goal", goal, "--server", "mail", "--json", *there, "--", *server))
    tools = {entry["tool"]: entry["state"] for entry in planned["entries"]}

    assert "mail/read_mail" in tools
    assert tools.get("mail/delete_mail") != "approved"
    assert set(tools) | set(planned["left_out"]) >= {"mail/send_mail", "mail/delete_mail"}
    written = cli("mission", "plan", "--goal", goal, "--out", str(file), *there, "--", *server)
    assert written.returncode == 0, written.stderr
    assert f"--file {file}" in written.stdout

    start = ("mission", "start", "--file", str(file), "--pin-stdin", "--json", *there)
    assert answered(cli(*start, stdin="000000\n"), 1)["error"]["code"] == "pin_wrong"
    assert answered(cli(*start[:-4], "--json", *there), 2)["error"]["code"] == "pin_needs_terminal"
    mission = answered(cli(*start, stdin=f"{PIN}\n"))["mission"]
    assert mission["state"] == "active"
    held = answered(cli("mission", "contract", "--json", *there))
    assert held["contract"]["mission"] == mission["id"]
    whole, part = tmp_path / "whole.jws", tmp_path / "part.jws"
    whole.write_text(held["signed"], encoding="ascii")
    part.write_text(planned["signed"], encoding="ascii")
    assert cli("mission", "contract", "--file", str(whole), "--inside", str(whole), *there).returncode == 0
    part.write_text(part.read_text(encoding="ascii")[:-8] + "AAAAAAAA", encoding="ascii")
    assert (
        answered(cli("mission", "contract", "--file", str(part), "--json", *there), 1)["error"]["code"]
        == "invalid_token"
    )
    assert [entry["tool"] for entry in mission["authority"]["entries"]] == [
        entry["tool"] for entry in planned["entries"]
    ]

    waiting = [entry["id"] for entry in mission["authority"]["entries"] if entry["state"] == "proposed"]
    approve = ("mission", "approve", "current", "--refuse", waiting[0], "--pin-stdin", "--json", *there)
    assert answered(cli(*approve, stdin="000000\n"), 1)["error"]["code"] == "pin_wrong"
    stands = {
        entry["id"]: entry["state"]
        for entry in answered(cli(*approve, stdin=f"{PIN}\n"))["mission"]["authority"]["entries"]
    }
    assert stands[waiting[0]] == "refused"
    assert all(stands[one] == "approved" for one in waiting[1:])
    assert answered(cli(*approve[:3], *approve[5:], stdin=f"{PIN}\n"), 1)["error"]["code"] == "nothing_waits"

    assert answered(cli("mission", "show", "--json", *there))["mission"]["id"] == mission["id"]
    assert answered(cli("mission", "show", mission["id"][:6], "--json", *there))["mission"]["id"] == mission["id"]
    assert mission["id"] in cli("mission", "list", *there).stdout
    assert answered(cli("mission", "end", "--why", "done", "--json", *there))["mission"]["state"] == "completed"
    assert answered(cli("mission", "list", "--json", *there))["missions"] == []
    assert answered(cli("mission", "show", "--json", *there), 1)["error"]["code"] == "mission_unknown"


def test_an_edited_map_starts_at_once_and_an_editor_that_fails_approves_nothing(state: Path, tmp_path: Path) -> None:
    there = ("--state", str(state))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf 'goal: edited\\nentries: [{tool: mail/read_mail, uses: 2}]\\n' > \"$1\"\n")
    editor.chmod(0o700)
    words = (
        "mission",
        "plan",
        "--goal",
        "Read mail",
        "--edit",
        "--pin-stdin",
        "--json",
        *there,
        "--",
        *MAIL,
        "--data",
        str(tmp_path / "m"),
    )
    mission = answered(cli(*words, stdin=f"{PIN}\n", env={"EDITOR": str(editor), "VISUAL": ""}))["mission"]

    assert mission["goal"]["texts"] == ["edited"]
    assert mission["authority"]["entries"][0]["uses_left"] == 2
    assert mission["authority"]["entries"][0]["state"] == "approved"
    for broken in ("false", "/nonexistent/editor"):
        ended = answered(cli(*words, stdin=f"{PIN}\n", env={"EDITOR": broken, "VISUAL": ""}), 2)
        assert ended["error"]["code"] == "editor_failed"


def test_a_server_that_cannot_be_listed_is_an_error_with_its_last_words(state: Path) -> None:
    words = ("mission", "plan", "--goal", "x", "--json", "--state", str(state), "--")

    assert answered(cli(*words, "no-such-program-here"), 2)["error"]["code"] == "command_missing"
    error = answered(cli(*words, "sh", "-c", "echo oh no >&2; exit 3"), 3)["error"]
    assert error["code"] == "upstream_failed"
    assert "oh no" in error["message"]


def test_grants_are_opened_listed_and_revoked_and_keys_are_private(state: Path, tmp_path: Path) -> None:
    there = ("--json", "--state", str(state))
    answered(cli("mission", "start", "--goal", "Read my mail", *there))
    key = tmp_path / "agent.jwk"
    new = ("grant", "new", "--agent", "reporter", "--server", "mail")
    issued = answered(cli(*new, "--new-key", str(key), *there))

    assert issued["grant"]["binding"] == "dpop"
    assert issued["token"].count(".") == 2
    assert issued["first_pass"]
    assert key.stat().st_mode & 0o777 == 0o600
    assert json.loads(key.read_text())["crv"] == "P-256"
    assert answered(cli(*new, "--new-key", str(key), *there), 2)["error"]["code"] == "key_not_written"
    again = answered(cli(*new, "--key", str(key), "--request", "r1", *there))
    assert again["grant"]["jkt"] == issued["grant"]["jkt"]
    assert answered(cli(*new, "--key", str(key), "--request", "r1", *there))["grant"]["id"] == again["grant"]["id"]
    assert answered(cli(*new, "--bearer", *there))["grant"]["binding"] == "gateway"
    assert len(answered(cli("grant", "list", *there))["grants"]) == 3
    revoked = answered(cli("grant", "revoke", issued["grant"]["id"], "--why", "test", *there))
    assert revoked["grant"]["state"] == "revoked"
    assert answered(cli("grant", "revoke", "g-none", *there), 1)["error"]["code"] == "grant_unknown"


def test_nothing_waits_is_said_and_an_unknown_question_is_refused(state: Path) -> None:
    there = ("--state", str(state))

    assert "Nothing waits" in cli("approve", *there).stdout
    assert answered(cli("approve", "--json", *there)) == {"waiting": []}
    assert answered(cli("deny", "a-none", "--json", *there), 1)["error"]["code"] == "approval_unknown"
    assert (
        answered(cli("approve", "a-none", "--json", "--pin-stdin", *there, stdin=f"{PIN}\n"), 1)["error"]["code"]
        == "approval_unknown"
    )


def test_a_pin_is_changed_only_with_the_old_one(tmp_path: Path) -> None:
    words = ("approve", "--set-pin", "--pin-stdin", "--json", "--state", str(tmp_path / "s"))

    assert answered(cli(*words, stdin="111111\n"), 2)["error"]["code"] == "pin_weak"
    assert answered(cli(*words, stdin=f"{PIN}\n")) == {"pin": "set"}
    assert answered(cli(*words, stdin="000000\n314159\n"), 1)["error"]["code"] == "pin_wrong"
    assert answered(cli(*words, stdin=f"{PIN}\n314159\n")) == {"pin": "set"}


def test_the_ledger_is_shown_verified_exported_and_a_changed_record_is_named(state: Path, tmp_path: Path) -> None:
    there = ("--state", str(state))
    answered(cli("mission", "start", "--goal", "Look around", "--json", *there))
    shown = [json.loads(line) for line in cli("log", "-n", "100000", "--json", *there).stdout.splitlines()]

    assert [record["index"] for record in shown] == list(range(len(shown)))
    assert "mission" in {record["kind"] for record in shown}
    assert {
        json.loads(line)["kind"]
        for line in cli("log", "-n", "999", "--kind", "mission", "--json", *there).stdout.splitlines()
    } == {"mission"}
    assert len(cli("log", "-n", "2", *there).stdout.splitlines()) == 2

    told = answered(cli("audit", "verify", "--json", *there))
    assert told["verified"]
    assert told["records"] >= len(shown)
    out = tmp_path / "ledger.jsonl"
    export = ("audit", "export", "--out", str(out), "--json", *there)
    answered(cli(*export))
    assert answered(cli(*export), 2)["error"]["code"] == "export_failed"
    vkey = str(tmp_path / "ledger.jsonl.vkey")
    assert answered(cli("audit", "verify", str(out), "--key", vkey, "--json"))["verified"]

    lines = out.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"at":', b'"at":1', 1)
    out.write_bytes(b"".join(lines))
    found = answered(cli("audit", "verify", str(out), "--json"), 1)
    assert (found["verified"], found["index"]) == (False, 1)
    assert "record 1" in cli("audit", "verify", str(out)).stdout
    assert answered(cli("audit", "verify", str(tmp_path / "none"), "--json"), 2)["error"]["code"] == "ledger_missing"
    assert answered(cli("audit", "verify", "--key", "nonsense", "--json", *there), 2)["error"]["code"] == "bad_key"


def test_the_doctor_says_what_is_enforced_and_what_this_machine_cannot_protect(state: Path) -> None:
    answered(cli("mission", "list", "--json", "--state", str(state)))
    told = answered(cli("doctor", "--json", "--state", str(state)))
    stands = {check["name"]: check["stands"] for check in told["checks"]}

    assert told["findings"] == 0
    for name in ("file modes", "store", "ledger", "policy", "approver's PIN", "clock", "broker"):
        assert stands[name] == "enforced", told
    assert stands["same user id"] == "limited"
    assert stands["sandbox"] == stands["kernel sensors"] == "not used"


def test_the_doctor_finds_open_files_and_a_broken_policy_and_starts_nothing(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    answered(cli("doctor", "--json", "--state", str(fresh)))
    assert not fresh.exists()
    sick = tmp_path / "sick"
    sick.mkdir(mode=0o700)
    (sick / "key").write_text("")
    (sick / "key").chmod(0o644)
    (sick / "jittrust.yaml").write_text("policy: {file: none.cedar}\n")
    told = answered(cli("doctor", "--json", "--state", str(sick)), 1)
    broken = {check["name"]: check for check in told["checks"] if check["stands"] == "broken"}

    assert set(broken) == {"file modes", "policy"}
    assert all(check["fix"] for check in broken.values())


def test_a_broker_that_cannot_start_is_told_with_3(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")

    assert cli("mission", "list", "--state", str(blocked / "below")).returncode == 3
    (tmp_path / "s").mkdir(mode=0o700)
    (tmp_path / "s" / "jittrust.yaml").write_text("nope: 1\n")
    ran = cli("mission", "list", "--state", str(tmp_path / "s"))
    assert ran.returncode == 3
    assert "nope" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_serve_refuses_a_broken_configuration_before_it_listens(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("listen:\n  prot: 1\n")
    there = ("--json", "--state", str(tmp_path / "s"))

    assert (
        answered(cli("serve", "--config", str(tmp_path / "none.yaml"), *there), 2)["error"]["code"] == "config_missing"
    )
    error = answered(cli("serve", "--config", str(tmp_path / "bad.yaml"), *there), 2)["error"]
    assert (error["code"], "bad.yaml:2:3" in error["message"]) == ("config_unknown_key", True)
    assert answered(cli("serve", *there, cwd=tmp_path), 2)["error"]["code"] == "no_servers"


def test_a_recording_is_judged_and_summed_up(tmp_path: Path) -> None:
    tool = {
        "type": "function",
        "function": {"name": "read_mail", "description": "Read a mail.", "parameters": {"type": "object"}},
    }
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "read_mail", "arguments": "{}"}}],
    }
    session = {"id": "s1", "tools": [tool], "messages": [{"role": "user", "content": "Read my mail"}, call]}
    file = tmp_path / "sessions.jsonl"
    file.write_text(json.dumps(session) + "\n")
    row = answered(cli("replay", str(file), "--json"))

    assert (row["session"], row["tool"]) == ("s1", "read_mail")
    assert "1 calls in 1 sessions" in cli("replay", str(file), "--independent").stdout
    file.write_text("{\n")
    assert answered(cli("replay", str(file), "--json"), 2)["error"]["code"] == "replay_line"


def test_main_returns_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"version"}
    assert main(["mission"]) == 2
