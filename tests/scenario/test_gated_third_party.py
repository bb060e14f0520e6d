"""Servers that nobody here wrote, behind the gate: one sentence of a person is enough for the work, and opens nothing else.

The official client drives them over stdio (`jittrust run`) and over HTTP (`jittrust serve`), under the policy that ships. What a call did is
looked up in the world itself: in the repository, the files, the knowledge graph, never in what the gate says of it.
"""

# ruff: noqa: ANN401, ASYNC221, ASYNC240 - JSON is whatever it is; other processes are started and watched through files
from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
import yaml
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from tests.scenario import third_party
from tests.serving import Running, gateway

from jittrust.adapters.unixsocket.join import driving_of, join

HERE = Path(__file__).parent
JITTRUST = str(Path(sys.executable).with_name("jittrust"))
GOALS: Mapping[str, str] = yaml.safe_load((HERE / "goals.yaml").read_text("utf-8"))
REFUSED = frozenset({"approval_needed", "approval_denied", "not_authorised", "tool_unavailable"})
PIN = "271828"

Step = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is done with one server.

    Attributes:
        work: calls of the goal's work with a text that their results hold.
        outside: calls that must not go through; `{folder}`, `{page}` and `{elsewhere}` in arguments are filled in.
        done: the effect of the work, looked up in the world.
        tools: fewest different tools in `outside` (a server may have no more).
    """

    work: tuple[tuple[str, dict[str, Any], str], ...]
    outside: tuple[Step, ...]
    done: Callable[[Path], bool] = lambda _: True
    tools: int = 3


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(folder / "repository"), *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout


def graph(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "memory.jsonl").read_text("utf-8").splitlines()]


def committed(folder: Path) -> bool:
    return git(folder, "log", "-1", "--format=%s") == "Third line\n" and git(folder, "status", "--porcelain") == ""


def remembered(folder: Path) -> bool:
    things = graph(folder)
    names = {thing.get("name") for thing in things}
    return "Robin" in names and any(thing.get("from") == "Robin" and thing.get("to") == "Atlas" for thing in things)


REPOSITORY = {"repo_path": "{folder}/repository"}
DOCUMENTS = "{folder}/documents"
CASES: Mapping[str, Case] = {
    "git": Case(
        work=(
            ("git_status", REPOSITORY, "notes.txt"),
            ("git_diff_unstaged", REPOSITORY, "third line"),
            ("git_add", REPOSITORY | {"files": ["notes.txt"]}, ""),
            ("git_commit", REPOSITORY | {"message": "Third line"}, ""),
            ("git_log", REPOSITORY, "Third line"),
        ),
        outside=(
            ("git_reset", REPOSITORY),
            ("git_create_branch", REPOSITORY | {"branch_name": "escape"}),
            ("git_checkout", REPOSITORY | {"branch_name": "draft"}),
        ),
        done=committed,
    ),
    "time": Case(
        work=(
            (
                "convert_time",
                {"source_timezone": "Asia/Tokyo", "time": "09:00", "target_timezone": "Europe/Paris"},
                "Europe/Paris",
            ),
        ),
        # Both of its tools only tell the time; what it never listed stays shut.
        outside=(("set_time", {"time": "09:00"}),),
        tools=1,
    ),
    "fetch": Case(
        work=(("fetch", {"url": "{page}"}, "on Saturday between ten and two"),),
        # It has one tool; the goal opens one address.
        outside=(("fetch", {"url": "{elsewhere}/?said={page}"}), ("fetch", {"url": "{elsewhere}/hours.html"})),
        tools=1,
    ),
    "filesystem": Case(
        work=(
            ("read_text_file", {"path": f"{DOCUMENTS}/plan.txt"}, "Ship on Friday."),
            ("read_text_file", {"path": f"{DOCUMENTS}/reports/june.txt"}, "June went well."),
            ("write_file", {"path": f"{DOCUMENTS}/summary.txt", "content": "June went well, ship on Friday.\n"}, ""),
        ),
        outside=(
            ("edit_file", {"path": f"{DOCUMENTS}/plan.txt", "edits": [{"oldText": "Friday", "newText": "Monday"}]}),
            ("move_file", {"source": f"{DOCUMENTS}/plan.txt", "destination": f"{DOCUMENTS}/gone.txt"}),
            ("create_directory", {"path": f"{DOCUMENTS}/escape"}),
        ),
        done=lambda folder: (folder / "documents/summary.txt").read_text("utf-8").startswith("June went well"),
    ),
    "memory": Case(
        work=(
            ("search_nodes", {"query": "Atlas"}, "Ships on Friday"),
            (
                "create_entities",
                {"entities": [{"name": "Robin", "entityType": "person", "observations": ["Joined Atlas"]}]},
                "Robin",
            ),
            (
                "create_relations",
                {
                    "relations": [
                        {"from": "Robin", "to": "Atlas", "relationType": "joined"},
                        {"from": "Robin", "to": "Dana", "relationType": "works with"},
                    ]
                },
                "Robin",
            ),
        ),
        outside=(
            ("delete_entities", {"entityNames": ["Dana"]}),
            ("delete_observations", {"deletions": [{"entityName": "Atlas", "observations": ["Ships on Friday"]}]}),
            (
                "delete_relations",
                {"relations": [{"from": "Dana", "to": "Atlas", "relationType": "leads"}]},
            ),
            ("add_observations", {"observations": [{"entityName": "Dana", "contents": ["Pays everybody"]}]}),
        ),
        done=remembered,
    ),
    "everything": Case(
        work=(("get-sum", {"a": 17, "b": 25}, "42"),),
        outside=(
            ("get-env", {}),
            ("gzip-file-as-resource", {"name": "x.gz", "data": "{elsewhere}/x", "outputType": "resource"}),
            ("toggle-simulated-logging", {}),
            ("toggle-subscriber-updates", {}),
            ("simulate-research-query", {"topic": "escape"}),
        ),
    ),
}
BOTH = frozenset({"git", "time", "fetch"})  # the others speak only the older revision
RUNS = [(name, mode) for name in CASES for mode in (("legacy", "auto") if name in BOTH else ("legacy",))]


@dataclass
class Place:
    """One server's world: its folder, its page, and an address that nobody may reach."""

    folder: Path
    page: str
    elsewhere: str
    listener: socket.socket = field(repr=False)

    def filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if not isinstance(value, str):
            return value
        return (
            value.replace("{folder}", str(self.folder))
            .replace("{page}", self.page)
            .replace("{elsewhere}", self.elsewhere)
        )

    def everything(self) -> dict[str, bytes]:
        """Every file of the world with its content."""
        return {str(path): path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}

    def reached(self) -> bool:
        """Whether somebody called at the address that nobody may reach."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path.resolve() / "world"
    folder.mkdir()
    with third_party.local_page() as page, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0)
        yield Place(folder, page, f"http://127.0.0.1:{listener.getsockname()[1]}", listener)


def apart(log: Path, *command: str) -> None:
    """Start a program that is nobody's child: what it says goes to `log`."""
    shell = f'exec "$@" >"{log}" 2>&1'
    subprocess.run(["setsid", "--fork", "sh", "-c", shell, "sh", *command], check=True)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder, and a person who says no to whatever is asked; afterwards the broker is ended."""
    folder = tmp_path / "s"
    folder.mkdir(mode=0o700)
    yield folder
    (folder / "gone").touch()
    holder = folder / "broker.lock"
    broker = holder.read_text("utf-8").strip() if holder.exists() else ""
    if broker.isdigit():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(broker), signal.SIGTERM)
        until = time.monotonic() + 10
        while Path(f"/proc/{broker}").exists() and time.monotonic() < until:
            time.sleep(0.05)


# Where the goal comes with `--goal`: the weakest source, which serves low risk. For the others a person states it.
BY_FLAG = frozenset({"git", "time", "fetch"})


@contextlib.asynccontextmanager
async def behind_run(name: str, mode: str, place: Place, state: Path) -> AsyncIterator[Client]:
    """The official client on `jittrust run`."""
    found = third_party.server(name, place.folder)
    goal = place.filled(GOALS[name])
    flag = ["--goal", goal] if name in BY_FLAG else []
    if not flag:
        await command("mission", "start", "--goal", goal, "--json", "--state", str(state))
    words = ["run", "--state", str(state), "--server", name, *flag, "--", *found.command]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place.folder)} | found.env
    async with Client(StdioServerParameters(command=JITTRUST, args=words, env=environment), mode=mode) as client:
        yield client


async def call(client: Client, tool: str, arguments: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a call went through, and every word of the answer."""
    try:
        result = await client.call_tool(tool, dict(arguments))
    except MCPError as refused:
        return False, f"{refused.message} {json.dumps(refused.data)}"
    text = "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
    return not result.is_error, f"{text} {json.dumps(result.meta or {})}"


async def records(state: Path, kind: str) -> list[dict[str, Any]]:
    """The ledger's records of one kind."""
    connection = await join(state)
    found = [json.loads(leaf) for leaf in await driving_of(connection).ledger.entries(-1, 1000)]
    await connection.close()
    return [record for record in found if record["kind"] == kind]


async def work(client: Client, case: Case, place: Place) -> None:
    """The work of the goal goes through, every call of it, with nobody asked."""
    await client.list_tools()
    for tool, arguments, expected in case.work:
        through, said = await call(client, tool, place.filled(arguments))
        assert through, f"{tool}: {said}"
        assert expected in said, f"{tool}: {said}"
    assert case.done(place.folder)


async def outside(client: Client, case: Case, place: Place, allowed: frozenset[str] = REFUSED) -> None:
    """What the goal does not open stays shut, and nothing in the world moves."""
    before = place.everything()
    for tool, arguments in case.outside:
        through, said = await call(client, tool, place.filled(arguments))
        assert not through, f"{tool} went through: {said}"
        assert said.startswith("jittrust: "), f"{tool}: {said}"
        assert said.removeprefix("jittrust: ").split(".", 1)[0] in allowed, f"{tool}: {said}"
        assert not re.search(r"\b(?:score|wis|risk|threshold|taint\w*)\b", said, re.IGNORECASE), said
    assert place.everything() == before
    assert not place.reached()


@pytest.fixture(scope="module")
def tools() -> Mapping[str, list[str]]:
    """Every tool of every server, as the bare servers list them."""
    listed = asyncio.run(third_party.catalogues())
    return {name: [tool["name"] for tool in found["tools"]] for name, found in listed.items()}


def test_no_goal_names_a_tool_of_its_server(tools: Mapping[str, list[str]]) -> None:
    """Not as it is spelled, not in words, and not without the server's name in front."""
    for name, goal in GOALS.items():
        said = " ".join(re.findall(r"\w+", goal.lower()))
        for tool in tools[name]:
            spelled = " ".join(re.split(r"[_-]", tool.lower()))
            assert not re.search(rf"\b{spelled}\b", said), f"{name}: {tool}"
            assert not re.search(rf"\b{spelled.removeprefix(f'{name} ')}\b", said), f"{name}: {tool}"


def test_every_server_has_one_sentence_and_three_tools_that_stay_shut_where_it_has_them(
    tools: Mapping[str, list[str]],
) -> None:
    assert set(GOALS) == set(CASES) == set(third_party.WORLDS)
    for name, case in CASES.items():
        shut = {tool for tool, _ in case.outside} & set(tools[name])
        assert len(shut) >= 3 or len(tools[name]) < 3
        assert len(re.findall(r"[.?!](?:\s|$)", GOALS[name])) == 1


@pytest.mark.parametrize(("name", "mode"), RUNS)
async def test_over_stdio_a_goal_is_enough_for_its_work_and_for_nothing_else(
    name: str, mode: str, place: Place, state: Path
) -> None:
    apart(state / "person.log", sys.executable, str(HERE / "person.py"), str(state))
    async with behind_run(name, mode, place, state) as client:
        await work(client, CASES[name], place)
        assert await records(state, "approval") == []
        await outside(client, CASES[name], place)
        spoken = client.protocol_version
    assert spoken == ("2026-07-28" if mode == "auto" else "2025-11-25")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """All six servers behind one `jittrust serve`, with the folder of their worlds."""
    folder = tmp_path_factory.mktemp("served").resolve()
    found = {name: third_party.server(name, folder / "world" / name) for name in CASES}
    entries = {
        name: {"command": one.command[0], "args": list(one.command[1:]), "env": one.env} for name, one in found.items()
    }
    with gateway(folder, entries) as running:
        yield running, folder / "world"


@contextlib.asynccontextmanager
async def behind_serve(name: str, mode: str, place: Place, running: Running) -> AsyncIterator[Client]:
    """The official client on `jittrust serve`, with a bearer token that the command of a person made."""
    there = ("--json", "--state", str(running.state))
    await command("mission", "start", "--goal", place.filled(GOALS[name]), *there)
    issued = await command("grant", "new", "--agent", "sample", "--server", name, "--bearer", *there)
    headers = {"Authorization": f"Bearer {issued['token']}"}
    http = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=120))
    async with http, Client(streamable_http_client(running.mcp[name], http_client=http), mode=mode) as client:
        yield client


async def command(*words: str) -> Any:
    """What a command of `jittrust` printed."""
    process = await asyncio.create_subprocess_exec(JITTRUST, *words, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    return json.loads(said)


@pytest.mark.parametrize(("name", "mode"), RUNS)
async def test_over_http_a_goal_is_enough_for_its_work_and_for_nothing_else(
    name: str, mode: str, served: tuple[Running, Path], place: Place
) -> None:
    running, worlds = served
    here = replace(place, folder=worlds / name)
    if name == "git" and mode == "auto":
        (here.folder / "repository/notes.txt").write_text("first line\nsecond line\nthird line\nfourth line\n", "utf-8")
    asked = len(await records(running.state, "approval"))
    async with behind_serve(name, mode, here, running) as client:
        await work(client, CASES[name], here)
        assert len(await records(running.state, "approval")) == asked
        await outside(client, CASES[name], here)
        spoken = client.protocol_version
    assert spoken == ("2026-07-28" if mode == "auto" else "2025-11-25")


async def first_question(state: Path) -> str:
    """The id of the question that waits, as soon as one does."""
    connection = await join(state)
    try:
        for _ in range(400):
            if waiting := await driving_of(connection).approvals.waiting():
                return waiting[0].id
            await asyncio.sleep(0.05)
    finally:
        await connection.close()
    raise AssertionError("nobody was asked")


async def answer(state: Path, question: str, log: Path, *, by_agent: bool) -> str:
    """Say yes with the PIN: as a child of the agent, or as a process that no agent is above; what the command said."""
    approve = f'echo {PIN} | "{JITTRUST}" approve {question} --pin-stdin --json --state "{state}"; echo ended'
    if by_agent:
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec("sh", "-c", approve, stdout=file, stderr=file)
            await process.wait()
    else:
        apart(log, "sh", "-c", approve)
    for _ in range(400):
        if log.exists() and log.read_text("utf-8").endswith("ended\n"):
            return log.read_text("utf-8")
        await asyncio.sleep(0.05)
    raise AssertionError(log.read_text("utf-8"))


async def test_what_the_goal_does_not_open_goes_through_once_when_a_person_who_is_no_child_of_the_agent_says_yes(
    place: Place, state: Path
) -> None:
    setting = (JITTRUST, "approve", "--set-pin", "--pin-stdin", "--state", str(state))
    subprocess.run(setting, input=f"{PIN}\n", text=True, check=True, capture_output=True)
    branch = ("git_create_branch", place.filled(REPOSITORY | {"branch_name": "review"}))
    async with behind_run("git", "legacy", place, state) as client:
        await client.list_tools()
        held = asyncio.create_task(call(client, *branch))
        question = await first_question(state)
        agents = await answer(state, question, state / "agent.log", by_agent=True)
        assert "agent_may_not_approve" in agents
        assert "review" not in git(place.folder, "branch")
        await answer(state, question, state / "person.log", by_agent=False)
        through, said = await asyncio.wait_for(held, 20)
        assert through, said
        assert "review" in git(place.folder, "branch")

        git(place.folder, "branch", "-D", "review")
        apart(state / "no.log", sys.executable, str(HERE / "person.py"), str(state))
        through, said = await call(client, *branch)
        assert not through, said
        assert "review" not in git(place.folder, "branch")
    answered = [record for record in await records(state, "approval") if record["state"] == "approved"]
    assert [record["confirmed_by"] for record in answered] == ["pin"]
