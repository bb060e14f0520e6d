"""What goes wrong around the real product, and what then happens: the rows of docs/failures.md that no test of a part can show alone."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.agent import DpopAgent, new_key
from tests.recorder import Recorder, in_thread
from tests.scenario.gated.world import World, world
from tests.serving import Running, gateway

from jittrust.adapters.system.clock import SteadyClock
from jittrust.core.authority.map import AuthorityEntry, EntryState

JITTRUST = str(Path(sys.executable).with_name("jittrust"))
ROOT = Path(__file__).parents[2]
SERVER = (sys.executable, str(ROOT / "examples" / "servers" / "files.py"))
TOOLS = ("echo", "slow")


def ended(*words: str | Path) -> tuple[int, dict[str, str], str]:
    """Exit code, the error as the command tells it to scripts, and everything that it said."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JITTRUST_")}
    ran = subprocess.run(
        [JITTRUST, *map(str, words), "--json"], capture_output=True, text=True, check=False, timeout=60, env=clean
    )
    said = ran.stdout + ran.stderr
    assert "Traceback" not in said, said
    error: dict[str, str] = json.loads(ran.stdout)["error"]
    assert error["next_step"], error
    return ran.returncode, error, said


def configured(folder: Path, more: str = "") -> tuple[str, Path, str, Path]:
    """The arguments that make `serve` use one server, on a state of its own."""
    file = folder / "jittrust.yaml"
    command = json.dumps([*SERVER[1:], "--data", str(folder / "data")])
    file.write_text(
        f"servers:\n  files: {{command: {SERVER[0]}, args: {command}}}\nlisten: {{port: 0}}\n{more}", "utf-8"
    )
    return "--config", file, "--state", folder / "state"


@pytest.fixture(scope="module")
def recording() -> Iterator[Recorder]:
    with in_thread(Recorder()) as found:
        yield found


@pytest.fixture(scope="module")
def running(recording: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateway(folder, {"notes": {"url": recording.url}}, upstream={"call_seconds": 1}) as found:
        yield found


@pytest.fixture
async def agent(running: Running, recording: Recorder) -> AsyncIterator[DpopAgent]:
    recording.forget()
    entries = (
        AuthorityEntry(f"e-{tool}", f"notes/{tool}", state=EntryState.APPROVED, approved_by="a person")
        for tool in TOOLS
    )
    await running.mission("Read the notes and echo their words.", tuple(entries))
    key = new_key()
    issued = await running.grant("notes", jkt=key.jkt)
    async with aiohttp.ClientSession() as http:
        yield DpopAgent(key, issued.token, running.mcp["notes"], issued.first_pass, http)


# --- what keeps it from starting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "code", "where"),
    [
        (None, "policy_missing", "rules.cedar"),
        ("", "policy_empty", "rules.cedar"),
        ('@id("a")\npermit (principal, action, resource)\nwhen { context.scor > 70 };', "policy_broken", "rules.cedar"),
        ('@id("a")\npermit (principal, action', "policy_broken", "rules.cedar"),
    ],
    ids=["missing", "empty", "asks for what is no fact", "does not parse"],
)
def test_a_configured_policy_that_is_missing_empty_or_broken_refuses_the_start(
    tmp_path: Path, policy: str | None, code: str, where: str
) -> None:
    if policy is not None:
        (tmp_path / "rules.cedar").write_text(policy, "utf-8")
    there = configured(tmp_path, "policy: {file: rules.cedar}\n")

    exit_code, error, _ = ended("serve", *there)

    assert (exit_code, error["code"]) == (2, code)
    assert where in error["message"]
    # The broker that `run` and every other command would start refuses in the same way.
    (tmp_path / "state").mkdir(mode=0o700, exist_ok=True)
    (tmp_path / "state" / "jittrust.yaml").write_text(f"policy: {{file: {tmp_path / 'rules.cedar'}}}\n", "utf-8")
    exit_code, error, _ = ended("mission", "list", "--state", tmp_path / "state")
    assert (exit_code, error["code"]) == (3, "broker_not_started")
    assert where in error["message"] + (tmp_path / "state" / "broker.log").read_text("utf-8")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("lisen: {port: 1}", "config_unknown_key"),
        ("grant: {gas: lots}", "config_bad_value"),
        ("grant: [", "config_syntax"),
    ],
    ids=["unknown key", "wrong type", "no YAML"],
)
def test_a_configuration_that_is_wrong_refuses_the_start_and_names_the_line(
    tmp_path: Path, line: str, code: str
) -> None:
    exit_code, error, _ = ended("serve", *configured(tmp_path, f"# three lines above\n{line}\n"))

    assert (exit_code, error["code"]) == (2, code)
    assert "jittrust.yaml:5" in error["message"] or "jittrust.yaml:6" in error["message"]
    assert not (tmp_path / "state" / "jittrust.db").exists()


def test_a_configuration_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    exit_code, error, _ = ended("serve", "--config", tmp_path / "none.yaml", "--state", tmp_path / "state")

    assert (exit_code, error["code"]) == (2, "config_missing")
    assert "none.yaml" in error["message"]


def test_a_database_from_a_newer_version_refuses_the_start_and_is_left_as_it_is(
    tmp_path: Path, recording: Recorder
) -> None:
    with gateway(tmp_path, {"notes": {"url": recording.url}}) as first:
        database = first.state / "jittrust.db"
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA user_version = 900")
        db.commit()
    before = database.read_bytes()

    exit_code, error, _ = ended("serve", "--config", tmp_path / "jittrust.yaml", "--state", tmp_path / "state")

    assert (exit_code, error["code"]) == (3, "store_newer")
    assert database.read_bytes() == before


async def test_a_second_broker_on_one_store_is_refused_and_the_first_goes_on(
    agent: DpopAgent, running: Running
) -> None:
    config = running.state.parent / "jittrust.yaml"

    exit_code, error, _ = await asyncio.to_thread(ended, "serve", "--config", config, "--state", running.state)

    assert (exit_code, error["code"]) == (3, "broker_running")
    assert str(running.pid) in error["message"] + error["next_step"]
    assert (await agent.call(word="still here")).status == 200


def test_a_port_that_is_taken_refuses_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        exit_code, error, _ = ended("serve", *configured(tmp_path), "--port", str(port))

    assert (exit_code, error["code"]) == (3, "port_taken")


# --- what fails while it runs --------------------------------------------------------------------------------------------------------------


@contextmanager
def no_disk(pid: int) -> Iterator[None]:
    """From now on this process can write no file beyond its first byte: what a full disk looks like from inside."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def test_when_the_disk_takes_no_more_calls_are_denied_with_503_and_go_again_when_it_does(
    agent: DpopAgent, running: Running, recording: Recorder
) -> None:
    first = await agent.call(word="before")
    with no_disk(running.pid):
        refused = [await agent.call(word=f"lost {number}") for number in range(3)]
        async with agent.http.get(f"{running.url}/healthz") as answer:
            health = answer.status, answer.headers.get("retry-after"), (await answer.json())["ledger"]
    then = await agent.call(word="after")

    assert first.status == then.status == 200
    assert [answer.status for answer in refused] == [503, 503, 503]
    assert {answer.json["error"]["data"]["code"] for answer in refused} == {"store_unavailable"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert health == (503, "5", "store_unavailable")
    # Nothing went out, and the lane, its pass and the gas are those of before.
    assert [call["arguments"]["word"] for call in recording.calls] == ["before", "after"]
    spent = {int(answer.headers["jittrust-gas"]) for answer in (first, then)}
    uses = [record for record in await running.records() if record["kind"] == "use"][-2:]
    assert max(spent) - min(spent) == uses[1]["grant"]["price"]


async def test_a_server_that_never_answers_over_http_ends_the_call_with_a_code_and_the_gas_is_not_given_back(
    agent: DpopAgent, running: Running
) -> None:
    first = await agent.call(word="before")
    silent = await agent.call("slow", word="for ever")
    then = await agent.call(word="after")

    assert silent.json["error"]["data"]["code"] == "upstream_unreachable", silent.body
    assert (first.status, then.status) == (200, 200)
    gas = [int(answer.headers["jittrust-gas"]) for answer in (first, silent, then)]
    assert gas[0] > gas[1] > gas[2]
    outcomes = [record for record in await running.records() if record["kind"] == "outcome"]
    assert [record["settled"] for record in outcomes[-3:]] == ["complete", "in_doubt", "complete"]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def test_a_server_that_never_answers_over_stdio_holds_no_other_call_up_and_the_client_may_give_up(
    here: World,
) -> None:
    line = await here.gate(gate={"goal": "Read my notes"})
    await line.begin()
    number = await line.start("tools/call", name="never", arguments={})
    others = [await line.call("read_note", name=f"n{other}") for other in range(3)]
    await line.notice("notifications/cancelled", requestId=number)
    after = await line.call("read_note", name="after")
    await line.leave()

    assert all("note" in answer["result"]["content"][0]["text"] for answer in (*others, after))
    assert sorted(record["settled"] for record in await here.records("outcome")) == ["complete"] * 4 + ["in_doubt"]


# --- clocks --------------------------------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_moves_nothing_and_one_that_jumps_ahead_is_followed() -> None:
    wall, steady = [1000.0], [0.0]
    clock = SteadyClock(lambda: wall[0], lambda: steady[0])
    seen = []
    for wall[0], steady[0] in ((1010.0, 10.0), (400.0, 20.0), (5000.0, 30.0), (4000.0, 40.0)):
        seen.append(float(clock()))

    assert seen == [1010.0, 1020.0, 5000.0, 5010.0]


# --- an end without a word -----------------------------------------------------------------------------------------------------------------


def test_a_gateway_that_is_killed_in_mid_call_starts_again_and_its_ledger_is_whole(
    tmp_path: Path, recording: Recorder
) -> None:
    recording.forget()
    servers: dict[str, dict[str, Any]] = {"notes": {"url": recording.url}}

    async def until_killed(first: Running) -> None:
        entry = AuthorityEntry("e", "notes/slow", state=EntryState.APPROVED, approved_by="a person")
        await first.mission("Read the notes slowly.", (entry,))
        key = new_key()
        issued = await first.grant("notes", jkt=key.jkt)
        async with aiohttp.ClientSession() as http:
            holder = DpopAgent(key, issued.token, first.mcp["notes"], issued.first_pass, http)
            under_way = asyncio.create_task(holder.call("slow", word="x"))
            while not recording.calls:  # noqa: ASYNC110 - the recorder is on another loop
                await asyncio.sleep(0.02)
            os.kill(first.pid, signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await under_way

    with pytest.raises(AssertionError), gateway(tmp_path, servers) as first:  # it does not end well
        asyncio.run(until_killed(first))
    with gateway(tmp_path, servers) as second:
        found = asyncio.run(second.records())
    verified = subprocess.run(
        [JITTRUST, "audit", "verify", "--state", str(tmp_path / "state")], capture_output=True, text=True, check=False
    )

    assert [record["kind"] for record in found].count("use") == 1
    assert verified.returncode == 0, verified.stdout + verified.stderr


# --- backups -------------------------------------------------------------------------------------------------------------------------------


def test_a_state_restored_as_the_page_says_goes_on_and_no_pass_from_before_lives(
    tmp_path: Path, recording: Recorder
) -> None:
    recording.forget()
    servers: dict[str, dict[str, Any]] = {"notes": {"url": recording.url}}
    state, backup = tmp_path / "state", tmp_path / "backup"
    key = new_key()
    said: dict[str, str] = {}

    async def begin(first: Running) -> None:
        entry = AuthorityEntry("e", "notes/echo", state=EntryState.APPROVED, approved_by="a person")
        await first.mission("Read the notes and echo their words.", (entry,))
        issued = await first.grant("notes", jkt=key.jkt)
        said.update(token=issued.token, copied=issued.first_pass or "")

    async def call(there: Running, nonce: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as http:
            holder = DpopAgent(key, said["token"], there.mcp["notes"], nonce, http)
            answer = await holder.call(word="x")
            return answer.status, holder.nonce or ""

    port = {"listen": {"port": free_port()}}
    with gateway(tmp_path, servers, **port) as first:
        asyncio.run(begin(first))
    shutil.copytree(state, backup, ignore=shutil.ignore_patterns("fence", "broker.*"))
    with gateway(tmp_path, servers, **port) as second:
        spent = asyncio.run(call(second, said["copied"]))
    for path in backup.iterdir():
        shutil.copytree(path, state / path.name, dirs_exist_ok=True) if path.is_dir() else shutil.copy2(path, state)
    with gateway(tmp_path, servers, **port) as third:
        # The very pass that was live when the copy was made, and that was spent since.
        again = asyncio.run(call(third, said["copied"]))
        then = asyncio.run(call(third, again[1]))
        kinds = [(record["kind"], record.get("what")) for record in asyncio.run(third.records())]

    assert (spent[0], again[0], then[0]) == (200, 401, 200)
    assert ("store", "restored") in kinds
    assert len(recording.calls) == 2


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
