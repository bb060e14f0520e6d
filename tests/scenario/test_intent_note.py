"""The note about a call's intent on the wire: the official SDK's server gets it from both gates, whatever its client said under that name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.serving import Running, gateway

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.intent.note import NOTE_VERSION, read_note

NAME = "dev.jittrust/intent"
GOAL = "Read the note of Anna, then delete the note a"
ENTRIES = tuple(
    AuthorityEntry(f"e-{tool}", f"noting/{tool}", state=EntryState.APPROVED, approved_by="a person")
    for tool in ("read_note", "delete_note")
)
FAR = {"v": 1, "mission": "A" * 22, "goal": "B" * 22, "code": "D.delete", "hop": 3, "distance": 0.9, "grant": "C" * 22}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = {"command": sys.executable, "args": [str(Path(__file__).with_name("noting_server.py"))]}
    with gateway(tmp_path_factory.mktemp("noting"), {"noting": server}) as found:
        yield found


async def called(running: Running, mode: Any, meta: Any = None, tool: str = "read_note") -> Any:  # noqa: ANN401
    await running.mission(GOAL, ENTRIES)
    issued = await running.grant("noting")
    headers = {"Authorization": f"Bearer {issued.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
        transport = streamable_http_client(running.mcp["noting"], http_client=http)
        async with Client(transport, mode=mode) as client:
            return await client.call_tool(tool, {"name": "a"}, meta=meta)


def received(answer: Any) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = json.loads(answer.content[0].text)["meta"]
    return found


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_server_gets_the_note_beside_whatever_else_the_client_says(running: Running, mode: str) -> None:
    meta = received(await called(running, mode, {"x.example/kept": [1, "a"]}))

    note = read_note(meta[NAME])
    assert (note.v, note.code, note.hop) == (NOTE_VERSION, "K.read", 0)
    assert note.distance is not None
    assert meta["x.example/kept"] == [1, "a"]
    assert "Anna" not in json.dumps(meta)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_what_a_client_says_under_our_name_counts_against_it_and_does_not_go_on_as_ours(
    running: Running, mode: str
) -> None:
    meta = received(await called(running, mode, {NAME: FAR}))

    note = read_note(meta[NAME])
    assert note.mission != FAR["mission"]
    assert (note.hop, note.distance) == (4, 0.9)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_same_effect_goes_out_without_a_note_and_takes_a_person_with_one_from_far_off(
    running: Running, mode: str
) -> None:
    plain = await called(running, mode, tool="delete_note")
    far = await called(running, mode, {NAME: FAR}, tool="delete_note")

    assert plain.content[0].text == "deleted a"
    assert far.is_error
    assert "approval_needed" in far.content[0].text
