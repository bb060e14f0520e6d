"""Written rules in a running gateway: read again on SIGHUP, kept when the file is broken, and tried on what happened before they are put in force."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.serving import Running, gateway

ROOT = Path(__file__).resolve().parents[2]
JITTRUST = str(Path(sys.executable).with_name("jittrust"))
OPEN = '@id("lists") permit (principal, action == Action::"tools/call", resource == Tool::"files/list_files");\n'
CLOSED = (
    OPEN
    + '@id("no-reading")\nforbid (principal, action == Action::"tools/call", resource == Tool::"files/read_file");\n'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("policy")
    (made / "data" / "files").mkdir(parents=True)
    (made / "data" / "files" / "plan.txt").write_text("Plant tulips in March.", "utf-8")
    (made / "policy.cedar").write_text(OPEN, "utf-8")
    return made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    files = {
        "command": sys.executable,
        "args": [str(ROOT / "examples/servers/files.py"), "--data", str(folder / "data")],
    }
    rules = {"file": str(folder / "policy.cedar")}
    with gateway(folder / "gateway", {"files": files}, policy=rules) as found:
        yield found


async def read(running: Running) -> str:
    """What reading the plan brings: its words, or the refusal."""
    await running.mission("List the files and read them.")
    token = (await running.grant("files")).token
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30) as http,
        Client(streamable_http_client(running.mcp["files"], http_client=http)) as client,
    ):
        await client.list_tools()
        return str(await client.call_tool("read_file", {"path": "plan.txt"}))


def reload(running: Running, said: str) -> None:
    """Ask for it, and wait until the log says what came of it."""
    before = running.log.read_text("utf-8").count(said)
    os.kill(running.pid, signal.SIGHUP)
    until = time.monotonic() + 10
    while running.log.read_text("utf-8").count(said) == before:
        assert time.monotonic() < until, running.log.read_text("utf-8")
        time.sleep(0.02)


def simulated(running: Running, folder: Path, rules: str) -> tuple[int, list[dict[str, str]], str]:
    """What the command says of other rules: its exit code, its objects, and its table."""
    file = folder / "other.cedar"
    file.write_text(rules, "utf-8")
    command = [JITTRUST, "policy", "simulate", "--policy", str(file), "--state", str(running.state)]
    command += ["--config", str(folder / "gateway" / "jittrust.yaml"), "--since", "1h"]
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == told.returncode, shown.stderr + told.stderr
    return told.returncode, [json.loads(line) for line in told.stdout.splitlines()], shown.stdout


async def test_a_change_is_foretold_put_in_force_on_sighup_and_a_broken_file_changes_nothing(
    running: Running, folder: Path
) -> None:
    policy = folder / "policy.cedar"
    assert "tulips" in await read(running)

    code, changed, table = simulated(running, folder, CLOSED)
    assert code == 1
    assert {(one["resource"], one["recorded"], one["would_be"], tuple(one["rules"])) for one in changed} == {
        ("files/read_file", "allow", "deny", ("no-reading",))
    }
    assert "files/read_file" in table
    assert simulated(running, folder, OPEN)[:2] == (0, [])

    policy.write_text(CLOSED, "utf-8")
    reload(running, "policy_loaded")
    assert "tulips" not in await read(running)
    refused = [record for record in await running.records() if record["kind"] == "refusal"][-1]
    assert [reason["code"] for reason in refused["policy"]["reasons"]] == ["policy_forbids"]
    assert refused["policy"]["forbids"] == ["no-reading"]

    policy.write_text(OPEN + "permit (principal;", "utf-8")
    reload(running, "policy_kept")
    assert "policy_broken" in running.log.read_text("utf-8")
    assert "tulips" not in await read(running)

    policy.write_text(OPEN, "utf-8")
    reload(running, "policy_loaded")
    assert "tulips" in await read(running)

    # What was forbidden and would not be any more: goal, map and scores were not asked, so nothing is foretold.
    code, changed, _ = simulated(running, folder, OPEN)
    assert {(one["recorded"], one["would_be"]) for one in changed} == {("deny", "unknown")}
    assert code == 1
