"""The broker's socket: who may call what, how it is joined or started, what happens when it goes."""

# ruff: noqa: ASYNC222, ASYNC240 - a test may touch a file and reap a process
from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.scenario.gated.world import HERE, World, world

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.api.local.face import LocalFace, ancestors
from jittrust.core.errors import BadInputError, NotFoundError, UnavailableError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.mission.mission import GoalSource
from jittrust.core.model import Action, Evaluation, Resource, Subject, SubjectKind
from jittrust.ports import wire
from jittrust.ports.registry import Attachment


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def peer(state: Path, *calls: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "peer.py"), str(state), *calls, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said.decode().splitlines()


def delete(name: str) -> Evaluation:
    who = Subject(SubjectKind.AGENT, "agent@dana")
    return Evaluation(
        f"c-{name}", who, Action("tools/call"), Resource("tool", "notes/delete"), {"name": name}, name * 64
    )


async def a_question(here: World) -> None:
    """Somebody asks for what a person has to answer."""
    broker = here.broker.driving
    joined = await broker.registry.attach(Attachment("dana", "agent", "notes", session="q"))
    await broker.registry.show_tools(
        joined.id, [{"name": "delete", "inputSchema": {}, "annotations": {"readOnlyHint": False}}]
    )
    await broker.decisions.evaluate(delete("a"), Shown(PassBinding.GATEWAY, attachment=joined.id))
    assert await broker.approvals.waiting()


async def test_the_socket_belongs_to_its_user_alone(here: World) -> None:
    path = wire.socket_path(here.state)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(path.stat().st_mode)


async def test_an_agent_and_what_descends_from_it_neither_answers_nor_widens_while_others_may(here: World) -> None:
    await a_question(here)
    agent = await peer(here.state, "attach", "say", "change", "answer", "child", "elicited")
    person = await peer(here.state, "say", "change", "answer")

    refused = "agent_may_not_approve"
    assert agent[:4] == ["attach ok", f"say {refused}", f"change {refused}", f"answer {refused}"]
    assert agent[4:8] == [f"{call} {refused}" for call in ("say", "change", "answer", "elicited")]
    assert agent[8:] == ["child ok", "elicited ok"]
    assert person == ["say ok", "change ok", "answer ok"]


async def test_whoever_leaves_without_a_word_is_detached(here: World) -> None:
    connection = await join(here.state)
    joined = await driving_of(connection).registry.attach(Attachment("dana", "agent", "notes", session="x"))
    await connection.close()
    seen = {joined.id}
    until = time.monotonic() + 5
    while seen and time.monotonic() < until:
        await asyncio.sleep(0.02)
        with contextlib.suppress(NotFoundError):
            seen = {(await here.broker.driving.registry.changed(joined.id, "", -5, 0.01)).id}
            continue
        seen = set()

    assert not seen


async def test_many_calls_are_under_way_on_one_connection_and_each_gets_its_own_answer(here: World) -> None:
    connection = await join(here.state)
    broker = driving_of(connection)
    joined = await broker.registry.attach(Attachment("dana", "agent", "notes", session="x"))
    waiting = asyncio.create_task(broker.registry.changed(joined.id, joined.mission, joined.generation, 20.0))
    keys = await asyncio.gather(*(broker.ledger.public_key() for _ in range(200)))
    pins = await broker.registry.pins()
    assert not waiting.done()
    await here.broker.driving.missions.say("dana", "Read the note", GoalSource.MISSION_START, "")
    moved = await waiting
    await connection.close()

    assert len(set(keys)) == 1
    assert pins == ()
    assert moved.goal_stated


async def test_what_is_under_way_fails_when_the_broker_goes_and_the_next_call_connects_again(here: World) -> None:
    connection = await join(here.state)
    broker = driving_of(connection)
    joined = await broker.registry.attach(Attachment("dana", "agent", "notes", session="x"))
    waiting = asyncio.create_task(broker.registry.changed(joined.id, joined.mission, joined.generation, 20.0))
    await asyncio.sleep(0.1)
    await here.face.close()
    with pytest.raises(UnavailableError) as lost:
        await waiting
    with pytest.raises(UnavailableError) as gone:
        await broker.ledger.public_key()
    await here.face.open(wire.socket_path(here.state))
    key = await broker.ledger.public_key()
    await connection.close()

    assert (lost.value.code, gone.value.code) == ("broker_unreachable", "broker_unreachable")
    assert key


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xffxx",
        b"\x00\x00\x00\x05hello",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02{}",
        b"GET / HTTP/1.1\r\n\r\n",
        wire.frame({"id": 1, "call": "broker.__class__", "args": {}}),
        wire.frame({"id": 1, "call": "decisions.evaluate", "args": {"ask": 7, "shown": None}}),
        wire.frame({"id": 1, "call": "missions.list", "args": {"person": "a", "more": 1}}),
    ],
)
async def test_what_is_no_call_is_refused_and_the_broker_lives(here: World, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(wire.socket_path(here.state)))
    writer.write(sent)
    writer.write_eof()
    said = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    connection = await join(here.state)
    assert await driving_of(connection).ledger.public_key()
    await connection.close()

    assert not said or "error" in wire.unframe(said[4:])
    assert b"Traceback" not in said


async def test_a_second_broker_on_one_socket_is_refused_and_a_dead_ones_socket_is_replaced(
    here: World, tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError) as second:
        await LocalFace(here.broker.driving).open(wire.socket_path(here.state))
    left = tmp_path / "left.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(left))
    dead.close()
    replaced = LocalFace(here.broker.driving)
    await replaced.open(left)
    await replaced.close()

    assert second.value.code == "broker_running"
    assert not left.exists()


async def test_a_folder_that_others_may_write_to_is_used_by_neither_side(here: World, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(UnavailableError) as served:
        await LocalFace(here.broker.driving).open(shared / "b.sock")
    with pytest.raises(UnavailableError) as joined:
        await LocalConnection(shared / "b.sock").open()

    assert (served.value.code, joined.value.code) == ("socket_unusable", "broker_unreachable")


async def test_ten_that_start_together_make_one_broker_and_it_ends_when_all_have_left(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    command = (sys.executable, str(HERE / "broker_process.py"), str(tmp_path))
    connections = await asyncio.gather(*(join(tmp_path, command) for _ in range(10)))
    keys = {await driving_of(connection).ledger.public_key() for connection in connections}
    for connection in connections:
        await connection.close()
    starts = (tmp_path / "starts").read_text("utf-8").split()

    assert len(keys) == 1
    assert len(starts) == 1
    os.waitpid(int(starts[0]), 0)
    assert not wire.socket_path(tmp_path).exists()


async def test_a_broker_that_ends_is_started_again_by_the_next_call(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    command = (sys.executable, str(HERE / "broker_process.py"), str(tmp_path))
    connection = await join(tmp_path, command)
    first = int((tmp_path / "starts").read_text("utf-8"))
    os.kill(first, 9)
    os.waitpid(first, 0)
    await asyncio.sleep(0.1)
    assert await driving_of(connection).ledger.public_key()
    await connection.close()

    _, second = (tmp_path / "starts").read_text("utf-8").split()
    os.waitpid(int(second), 0)


async def test_a_broker_that_cannot_start_says_why_and_where_to_look(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(UnavailableError) as failed:
        await join(tmp_path, (sys.executable, str(HERE / "broker_process.py"), str(tmp_path), "fails"))
    with pytest.raises(UnavailableError) as missing:
        await join(tmp_path)
    with pytest.raises((UnavailableError, BadInputError)):
        await join(tmp_path, ("/nonexistent/python",))

    assert failed.value.code == "broker_not_started"
    assert "the store cannot be read" in failed.value.message
    assert "broker.log" in failed.value.next_step
    assert missing.value.code == "broker_unreachable"


def test_ancestors_end_at_the_first_process() -> None:
    found = ancestors(os.getpid())

    assert found[0] == os.getppid()
    assert len(set(found)) == len(found)
