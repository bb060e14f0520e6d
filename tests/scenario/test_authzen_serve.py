"""A gateway of somebody else asks `jittrust serve` for decisions: the same grant, pass and ledger as for calls that come through our own gateway."""

from __future__ import annotations

import ssl
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.agent import DpopAgent, new_key
from tests.recorder import Recorder, in_thread
from tests.scenario.test_client_certificate import ECHO, certificate, documents, showing
from tests.serving import Running, gateway

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.core.units import Seconds
from jittrust.ports.identities import NewIdentity

ELSEWHERE = "https://gateway.example/notes"


@dataclass
class Gatekeeper:
    """An enforcement point of somebody else, with the operator's secret."""

    url: str
    token: str
    http: aiohttp.ClientSession

    async def ask(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {"authorization": f"Bearer {self.token}"}
        async with self.http.post(f"{self.url}/access/v1/{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


def echo(word: str, **context: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "subject": {"type": "agent", "id": "tester"},
        "action": {"name": "tools/call", "properties": {"arguments": {"word": word}}},
        "resource": {"type": "tool", "id": "notes/echo"},
        "context": context,
    }


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with (
        in_thread(Recorder()) as server,
        gateway(tmp_path_factory.mktemp("pdp"), {"notes": {"url": server.url}}) as found,
    ):
        yield found


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def gatekeeper(running: Running, http: aiohttp.ClientSession) -> Gatekeeper:
    return Gatekeeper(running.url, (running.state / "pep.token").read_text("ascii").strip(), http)


@pytest.fixture
async def agent(running: Running, http: aiohttp.ClientSession) -> DpopAgent:
    entry = AuthorityEntry("e-1", "notes/echo", state=EntryState.APPROVED, approved_by="a person")
    await running.mission("Read the notes and echo their words.", (entry,))
    key = new_key()
    issued = await running.grant("notes", jkt=key.jkt, strict=True)
    found = DpopAgent(key, issued.token, running.mcp["notes"], issued.first_pass, http)
    assert (await found.call(word="hello")).status == 200
    return found


async def test_one_chain_of_passes_goes_through_both_gateways(
    running: Running, gatekeeper: Gatekeeper, agent: DpopAgent
) -> None:
    presented = {
        "authorization": f"DPoP {agent.token}",
        "dpop": agent.proof(ELSEWHERE),
        "method": "POST",
        "url": ELSEWHERE,
    }

    asked = await gatekeeper.ask("evaluation", echo("there"))
    status, told = await gatekeeper.ask("evaluation", echo("there", presentation=presented))
    context = told["context"]
    settled = await gatekeeper.ask(
        "outcome", {"evaluation_id": context["evaluation_id"], "outcome": {"settled": "complete", "texts": ["there"]}}
    )
    spent, agent.nonce = agent.nonce, context["next_pass"]
    back = await agent.call(word="again")

    assert (asked[0], asked[1]["decision"]) == (200, True)
    assert (status, told["decision"], settled[0]) == (200, True, 200)
    assert back.status == 200
    assert spent != context["next_pass"]
    seqs = [one["grant"]["seq"] for one in await running.records() if one["kind"] == "use"]
    assert seqs == sorted(set(seqs))
    assert len(seqs) == 3


async def test_what_the_agent_holds_opens_nothing_at_the_decision_point(
    gatekeeper: Gatekeeper, agent: DpopAgent
) -> None:
    own = Gatekeeper(gatekeeper.url, agent.token, gatekeeper.http)

    status, told = await own.ask("evaluation", echo("x"))

    assert (status, told["code"]) == (401, "caller_unknown")


def test_the_secret_of_enforcement_points_is_for_its_owner_alone(running: Running) -> None:
    file = Path(running.state / "pep.token")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text("ascii").strip()) >= 40


async def test_over_tls_a_workload_s_certificate_asks_and_an_agent_s_does_not(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    listen = {"port": 0, "tls_certificate": str(chain), "tls_key": str(key)}
    servers = {"echo": {"command": sys.executable, "args": [str(ECHO)]}}
    trusting = ssl.create_default_context(cafile=str(chain))
    statuses = {}
    with gateway(tmp_path / "g", servers, listen=listen) as there:
        async with aiohttp.ClientSession() as http:
            for kind in (SubjectKind.WORKLOAD, SubjectKind.AGENT):
                async with there.person() as driving:
                    owner = await driving.identities.enrol(
                        NewIdentity(SubjectKind.PERSON, f"/person/{kind}", role=Role.ADMIN)
                    )
                    domain = owner.id.removesuffix(f"/person/{kind}")
                    entry = RegistrationEntry("", f"{domain}/{kind}/x", kind, (), owner.id, by="root")
                    join = await driving.enrolment.invite((await driving.enrolment.put(entry)).id, Seconds(600), "root")
                await documents(http, there.url, trusting, join.token, tmp_path / str(kind))
            shown = {"nobody": trusting} | {
                str(kind): showing(trusting, tmp_path / str(kind), chain)
                for kind in (SubjectKind.WORKLOAD, SubjectKind.AGENT)
            }
            for name, context in shown.items():
                async with http.post(f"{there.url}/access/v1/evaluation", json=echo("x"), ssl=context) as answer:
                    statuses[name] = answer.status

    assert statuses == {"nobody": 401, "workload": 200, "agent": 401}
