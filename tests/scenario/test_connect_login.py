"""How `jittrust connect` gets its grants from a running server: a browser, a person elsewhere, a workload's document; and renews them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, cast

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import stdio_client
from tests.browsing import Browsing, signed_in
from tests.connecting import MAIN, TOOLS, CountingServer, allowed, stdio, words
from tests.recorder import in_thread
from tests.serving import PIN, Running, gateway, now

from jittrust.adapters.workloadapi.client import WorkloadClient
from jittrust.apps.cli.reach import person
from jittrust.core.approval import ApprovalState, ConfirmedBy
from jittrust.core.grant.grant import Strictness
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.ports.approvals import Answer
from jittrust.ports.identities import NewIdentity
from jittrust.ports.wire import workload_socket_path

Mode = Literal["legacy", "auto"]
GOAL = "Read the notes and echo their words."


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with in_thread(CountingServer()) as found:
        yield cast("CountingServer", found)


@pytest.fixture(scope="module")
def running(server: CountingServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("login")
    with gateway(folder, {"notes": {"url": server.url}}, grant={"gas": 5000, "ttl_seconds": 60, "lanes": 4}) as made:
        yield made


@pytest.fixture(scope="module")
def browser(running: Running) -> Browsing:
    return now(signed_in(running))


async def said(log: Path, pattern: str) -> str:
    """What the command tells people on standard error."""
    async with asyncio.timeout(20):
        while (found := re.search(pattern, log.read_text("utf-8"))) is None:  # noqa: ASYNC110, ASYNC240 - another process writes it
            await asyncio.sleep(0.05)
    return found[1]


@asynccontextmanager
async def connected(
    running: Running, folder: Path, mode: Mode, *more: str, environ: dict[str, str] | None = None
) -> AsyncIterator[Client]:
    command = [*MAIN, "connect", running.mcp["notes"], "--state", str(folder / "agent"), *more]
    started = stdio(command)
    started.env = {**(started.env or {}), "BROWSER": "true", **(environ or {})}
    with (folder / "err").open("a") as errors:
        async with Client(stdio_client(started, errlog=errors), mode=mode) as client:
            yield client


async def _yes_in_the_browser(folder: Path, browser: Browsing) -> None:
    back = await browser.sent_back(await said(folder / "err", r"open: (\S+)"))
    async with httpx2.AsyncClient() as http:
        foreign = await http.get(back.partition("?")[0], params={"code": "x", "state": "another"})
        assert foreign.status_code == 400
        assert (await http.get(back)).status_code == 200


async def records(running: Running, kind: str) -> list[str]:
    return [record["what"] for record in await running.records() if record["kind"] == kind]


async def test_a_person_says_yes_in_the_browser_and_the_agent_works_with_a_grant_of_its_own_that_ends_with_it(
    running: Running, browser: Browsing, server: CountingServer, tmp_path: Path
) -> None:
    (tmp_path / "err").touch()
    answering = asyncio.create_task(_yes_in_the_browser(tmp_path, browser))
    async with connected(running, tmp_path, "auto", "--goal", GOAL, "--agent", "reporter") as client:
        assert set(TOOLS) <= {tool.name for tool in (await client.list_tools()).tools}
        assert words(await client.call_tool("echo", {"word": "by browser"})) == "noted: by browser"
    await answering
    assert server.done["by browser"] == 1
    key = tmp_path / "agent" / "connect" / "reporter.jwk"
    assert key.stat().st_mode & 0o777 == 0o600
    log = (tmp_path / "err").read_text("utf-8")
    assert GOAL not in log  # it was pushed, and stands in no address
    assert json.loads(key.read_bytes())["d"] not in log
    assert (await records(running, "oauth"))[-1] == "renewal_ended"
    assert (await records(running, "grant"))[-1] == "revoked"
    shown = "\n".join(browser.seen)
    assert GOAL in shown
    assert "jittrust connect" in shown


@pytest.mark.slow
async def test_a_grant_is_renewed_before_it_ends_and_a_long_call_and_a_session_live_through_it(
    running: Running, browser: Browsing, server: CountingServer, tmp_path: Path
) -> None:
    (tmp_path / "err").touch()
    server.nap = 10.0
    answering = asyncio.create_task(_yes_in_the_browser(tmp_path, browser))
    began = time.monotonic()
    async with connected(running, tmp_path, "legacy", "--goal", GOAL, "--agent", "patient") as client:
        assert words(await client.call_tool("echo", {"word": "early"})) == "noted: early"
        await asyncio.sleep(max(0.0, 40.0 - (time.monotonic() - began)))
        before = (await records(running, "oauth")).count("renewed")
        long = asyncio.create_task(client.call_tool("nap", {"word": "over the renewal"}))
        await asyncio.sleep(8.0)
        assert words(await client.call_tool("echo", {"word": "renewed"})) == "noted: renewed"
        assert (await records(running, "oauth")).count("renewed") == before + 1
        assert words(await long) == "noted: over the renewal"
        await asyncio.sleep(max(0.0, 64.0 - (time.monotonic() - began)))
        assert words(await client.call_tool("echo", {"word": "after the first"})) == "noted: after the first"
    await answering
    server.nap = 2.0
    assert {server.done[word] for word in ("early", "over the renewal", "renewed", "after the first")} == {1}


@pytest.fixture(scope="module")
def plain(server: CountingServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway whose person has a PIN and no passkey, and one workload: whatever runs as this user."""
    with gateway(tmp_path_factory.mktemp("plain"), {"notes": {"url": server.url}}) as made:
        now(_people(made))
        yield made


async def _people(running: Running) -> None:
    async with running.person() as driving:
        new = NewIdentity(SubjectKind.PERSON, "/person/me", role=Role.ADMIN, names=(f"os:{person()}",), by="test")
        owner = await driving.identities.enrol(new)
        agent = f"{owner.id.removesuffix('/person/me')}/agent/nightly"
        mine = (f"unix:uid:{os.getuid()}",)
        await driving.enrolment.put(RegistrationEntry("", agent, SubjectKind.AGENT, mine, owner.id, by="test"))


async def test_a_person_says_yes_elsewhere_and_is_told_which_words_to_compare(
    plain: Running, server: CountingServer, tmp_path: Path
) -> None:
    (tmp_path / "err").touch()

    async def answer() -> None:
        code = await said(tmp_path / "err", r"must say yes to ([A-Z0-9]{8}): jittrust approve")
        async with plain.person() as driving:
            [asked] = [one for one in await driving.approvals.waiting() if one.state is ApprovalState.WAITING]
            assert code in str(asked)
            await driving.approvals.answer(
                asked.id, Answer(approve=True, by=person(), confirmed_by=ConfirmedBy.PIN, pin=PIN)
            )

    answering = asyncio.create_task(answer())
    async with connected(plain, tmp_path, "auto", "--login", "ciba", "--goal", GOAL, "--agent", "away") as client:
        await answering
        assert words(await client.call_tool("echo", {"word": "by ciba"})) == "noted: by ciba"
    assert server.done["by ciba"] == 1


@pytest.mark.parametrize("kept_in", ["socket", "file"])
async def test_a_workload_shows_its_jwt_svid_and_gets_a_strict_grant_bound_to_its_own_key(
    plain: Running, server: CountingServer, tmp_path: Path, kept_in: str
) -> None:
    await plain.mission(GOAL, allowed(*TOOLS), 4)
    socket = workload_socket_path(plain.state)
    where = f"unix://{socket}"
    if kept_in == "file":
        async with WorkloadClient(socket) as client:
            token = (await client.jwt_svids((plain.url,)))[0].token
        document = tmp_path / "svid.token"
        document.write_text(token, "ascii")
        document.chmod(0o600)
        where = str(document)
    async with connected(plain, tmp_path, "auto", "--login", "svid", "--svid", where) as client:
        word = f"by svid in a {kept_in}"
        assert words(await client.call_tool("echo", {"word": word})) == f"noted: {word}"
    assert server.done[word] == 1
    async with plain.person() as driving:
        newest = max(await driving.grants.list(), key=lambda grant: grant.issued)
    assert newest.agent.endswith("/agent/nightly")
    assert newest.strictness is Strictness.STRICT
    assert newest.jkt
