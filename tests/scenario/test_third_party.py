"""The servers that the scenarios drive, bare: what they do here is what must come through a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from tests.scenario import third_party

WORK: list[tuple[str, str, dict[str, Any], str]] = [
    ("git", "git_log", {"repo_path": "{folder}/repository"}, "Notes, version 2"),
    ("git", "git_diff_unstaged", {"repo_path": "{folder}/repository"}, "third line"),
    ("time", "get_current_time", {"timezone": "Europe/Paris"}, "Europe/Paris"),
    ("fetch", "fetch", {"url": "{page}"}, "on Saturday between ten and two"),
    ("filesystem", "read_text_file", {"path": "{folder}/documents/plan.txt"}, "Ship on Friday."),
    ("memory", "search_nodes", {"query": "Atlas"}, "Ships on Friday"),
    ("everything", "get-sum", {"a": 2, "b": 3}, "5"),
]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world").resolve()


def filled(arguments: dict[str, Any], **known: str) -> dict[str, Any]:
    return {name: value.format(**known) if isinstance(value, str) else value for name, value in arguments.items()}


def text(result: types.CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize(("name", "tool", "arguments", "expected"), WORK, ids=[f"{n}-{t}" for n, t, _, _ in WORK])
async def test_a_server_nobody_here_wrote_does_its_work(
    name: str, tool: str, arguments: dict[str, Any], expected: str, mode: str, world: Path
) -> None:
    found = third_party.server(name, world)
    target = StdioServerParameters(command=found.command[0], args=list(found.command[1:]), env=found.env)
    with third_party.local_page() as page:
        async with Client(target, mode=mode) as client:
            result = await client.call_tool(tool, filled(arguments, folder=str(world), page=page))
            spoken = client.protocol_version
    assert expected in text(result)
    assert not result.is_error
    modern = mode == "auto" and "2026-07-28" in found.modes
    assert spoken == ("2026-07-28" if modern else "2025-11-25")
