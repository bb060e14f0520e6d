"""The MCP conformance suite's scenarios for authorization servers, against `jittrust serve`: its metadata, and a code grant in a person's browser."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from bench.served import free_port
from tests.browsing import Browsing, signed_in
from tests.conformance import suite
from tests.serving import Running, gateway, now

ROOT = Path(__file__).resolve().parents[2]
GOAL = "List the files and read them."


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("authorization")
    files = {
        "command": sys.executable,
        "args": [str(ROOT / "examples/servers/files.py"), "--data", str(folder / "data")],
    }
    with gateway(folder / "gateway", {"files": files}, oauth={"registration": True}) as found:
        yield found


@pytest.fixture(scope="module")
def browser(running: Running) -> Browsing:
    return now(signed_in(running, goal=GOAL))


async def scenarios(issuer: str, browser: Browsing, out: Path, *more: str) -> dict[str, str]:
    """Every scenario, check by check; whatever address it asks a person to open is opened and answered."""
    command = [
        str(suite.NODE),
        str(suite.SUITE),
        "authorization",
        "--url",
        issuer,
        "-o",
        str(out),
        *more,
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(60):
            async for line in process.stdout:
                said += line
                if line.startswith(b"http"):
                    back = await browser.sent_back(line.decode().strip())
                    async with httpx2.AsyncClient() as http:
                        await http.get(back)
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    reports = await asyncio.to_thread(lambda: sorted(out.glob("**/checks.json")))
    assert [one for report in reports for one in suite.complaints(report)] == [], said.decode()
    return {name: status for report in reports for name, status in suite.checks(report).items()}


def issuer_of(running: Running) -> str:
    return running.mcp["files"].removesuffix("/mcp/files")


async def test_the_suite_finds_nothing_wrong_with_metadata_and_code_grant(
    running: Running, browser: Browsing, tmp_path: Path
) -> None:
    port = free_port()
    metadata = {
        "client_name": "Conformance suite",
        "redirect_uris": [f"http://127.0.0.1:{port}/callback"],
        "token_endpoint_auth_method": "none",
    }
    async with httpx2.AsyncClient() as http:
        answer = await http.post(f"{issuer_of(running)}/oauth/register", json=metadata)
    assert answer.status_code == 201, answer.text
    told = ("--client-id", answer.json()["client_id"], "--resource", running.mcp["files"], "--port", str(port))

    found = await scenarios(issuer_of(running), browser, tmp_path, *told)

    assert set(found) == {
        "authorization-server-metadata",
        "authorization-server-metadata-cimd",
        "authorization-code-grant",
    }
    assert set(found.values()) == {"SUCCESS"}
