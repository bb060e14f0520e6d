"""What a review of the authorization server found: each hole once more, from outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import httpx
import pytest
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from tests.authzen import asking, credentials, deciding, key_holder
from tests.model.world import Clock, allowing, world
from tests.oauthing import (
    ACCESS,
    ADA,
    AGENT,
    CREDENTIALS,
    EXCHANGE,
    HELPER,
    ISSUER,
    RESOURCE,
    KeyClient,
    OAuthWorld,
    as_workload,
    claims_of,
    dpop,
    error_of,
    key,
    oauth_world,
    working,
)
from tests.scim import BASE, provider

from jittrust.api.scim import answers
from jittrust.api.workload import attest_http
from jittrust.api.workload.attest_http import SVID_PATH, attest_routes
from jittrust.broker.oauth.replay import ReplayMemory
from jittrust.broker.oauth.server import GRANTS_AT_ONCE
from jittrust.core.grant.grant import PassBinding
from jittrust.core.model import SubjectKind
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.units import Instant
from jittrust.ports.commit import Keep
from jittrust.ports.grants import NewGrant

# ---- bodies that do not come ---------------------------------------------------------------------------------------------------------------


async def held_back() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(30)


async def test_t58_a_provider_that_holds_a_body_back_holds_a_connection_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "BODY_SECONDS", 0.05)
    async with provider(await world()) as scim, asyncio.timeout(5):
        answer = await scim.http.post(
            f"{BASE}/Users", content=held_back(), headers={"content-type": "application/scim+json"}
        )
    assert answer.status_code == 408


async def test_t58_a_workload_that_holds_its_evidence_back_holds_a_connection_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attest_http, "BODY_SECONDS", 0.05)
    app = Starlette(routes=attest_routes((await world()).broker.inner.issuance))
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as web,
        asyncio.timeout(5),
    ):
        answer = await web.post(SVID_PATH, content=held_back(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "body_too_slow")


# ---- memories that somebody fills ----------------------------------------------------------------------------------------------------------

DOCUMENT = {
    "token_endpoint_auth_method": "private_key_jwt",
    "grant_types": [CREDENTIALS],
    "redirect_uris": [],
}


async def test_t58_one_host_fills_an_eighth_of_the_memory_of_assertions_however_many_clients_it_publishes() -> None:
    there = await oauth_world()
    there.broker.inner.authorization._clients._seen = ReplayMemory(there.clock, most=16)  # type: ignore[attr-defined]
    signer = ECKey.generate_key("P-256", {"kid": "c1"})

    async def shows(url: str) -> str:
        told = {**DOCUMENT, "client_id": url, "client_name": "x", "jwks": {"keys": [signer.as_dict(private=False)]}}
        there.documents.at[url] = json.dumps(told).encode()
        client = KeyClient(there, url, signer, made=next(numbers))
        return error_of(await there.ask({"grant_type": CREDENTIALS, **client.form()}))[2]

    numbers = iter(range(100))
    said = [await shows(f"https://n{number}.evil.example/client") for number in range(20)]
    other = await shows("https://good.example/client")

    assert said[:2] == ["no_mission"] * 2
    assert set(said[2:]) == {"replay_memory_full"}
    assert other == "no_mission"


def test_what_one_sharer_forgets_makes_room_for_it_again() -> None:
    clock = Clock()
    memory = ReplayMemory(clock, most=8)
    assert memory.take(("a",), clock(), Instant(clock.now + 60), "x")
    with pytest.raises(OAuthError):
        memory.take(("b",), clock(), Instant(clock.now + 60), "x")
    memory.release(("a",))
    assert memory.take(("b",), clock(), Instant(clock.now + 60), "x")
    clock.now += 61
    assert memory.take(("c",), clock(), Instant(clock.now + 60), "x")
    assert memory._of_sharer == {"x": 1}


# ---- a part that a child takes twice -------------------------------------------------------------------------------------------------------


async def parent(there: OAuthWorld, **more: str) -> tuple[str, str]:
    """A grant of the coder that the tester may take parts of, and its token."""
    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, "may_act": HELPER, **more}
    answer = await there.ask({**form, **as_workload(await there.svid())}, dpop(there, key()))
    return answer.json()["grant_id"], answer.json()["access_token"]


async def taken(there: OAuthWorld, token: str, signer: int = 2, **more: str) -> str:
    """The grant that the tester gets when it asks for a part."""
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS, **more}
    answer = await there.ask({**form, **as_workload(await there.svid("/agent/tester"))}, dpop(there, key(signer)))
    return str(answer.json()["grant_id"])


async def test_a_lost_answer_of_a_part_that_a_child_takes_carves_no_gas_again() -> None:
    there = await oauth_world()
    await working(there)
    grant, token = await parent(there)

    first = await taken(there, token, gas="100")
    left = there.broker.state.grants[grant].gas_left
    there.clock.now += 9
    again = await asyncio.gather(*(taken(there, token, gas="100") for _ in range(3)))

    assert set(again) == {first}
    assert there.broker.state.grants[grant].gas_left == left


async def test_a_child_takes_another_part_when_it_means_to() -> None:
    there = await oauth_world()
    await working(there)
    _, token = await parent(there)

    first = await taken(there, token, gas="100")
    others = [
        await taken(there, token, gas="100", part="two"),
        await taken(there, token, gas="101"),
        await taken(there, token, 3, gas="100"),
    ]
    there.clock.now += 11
    later = await taken(there, token, gas="100")
    await there.broker.driving.grants.revoke(later, "enough", "ada")
    after = await taken(there, token, gas="100")

    assert len({first, *others, later, after}) == 6
    assert await taken(there, token, gas="100") == after


# ---- how much is kept ----------------------------------------------------------------------------------------------------------------------


async def test_t58_an_agent_holds_so_many_grants_of_a_mission_and_no_more() -> None:
    there = await oauth_world()
    mission = await working(there)
    svid = await there.svid()

    async def asks() -> str:
        form = {"grant_type": CREDENTIALS, "resource": RESOURCE, "gas": "1", **as_workload(svid)}
        answer = await there.ask(form)
        return "" if answer.status_code == 200 else ":".join(error_of(answer)[1:])

    said = [await asks() for _ in range(GRANTS_AT_ONCE + 2)]
    live = there.broker.state.live_grants_of(mission.id)
    mine = [one.id for one in live if one.agent == AGENT]
    await there.broker.driving.grants.revoke(mine[0], "enough", "ada")

    assert said == [""] * GRANTS_AT_ONCE + ["access_denied:too_many_grants"] * 2
    assert len(mine) == GRANTS_AT_ONCE
    assert [await asks(), await asks()] == ["", "access_denied:too_many_grants"]
    other = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid("/agent/tester"))}
    assert (await there.ask(other)).status_code == 200


async def test_chains_of_refresh_tokens_are_forgotten_an_hour_after_their_mission_and_no_sooner() -> None:
    there = await oauth_world()
    state, ends = there.broker.state, Instant(there.now + 600)
    one = Renewal("n-1", "c", AGENT, ADA, "m-1", "srv", ends)
    await state.change([Keep(one), Keep(replace(one, id="n-2", expires=Instant(ends + 120)))], [])
    kept = []
    for seconds in (0, 599, 3600, 120):
        there.clock.now += seconds
        await there.broker.tend()
        kept.append(sorted(state.of_kind(Renewal)))
    there.clock.now += 60
    await there.broker.tend()

    assert kept == [["n-1", "n-2"], ["n-1", "n-2"], ["n-1", "n-2"], ["n-2"]]
    assert not state.of_kind(Renewal)


# ---- who is told what a token is worth -----------------------------------------------------------------------------------------------------

ASKED = "/oauth/introspect"


async def is_told(there: OAuthWorld, token: str, asker: Mapping[str, str], proof: str = "") -> bool:
    """Whether the caller is told; else it learns nothing."""
    told = (await there.ask({"token": token, **asker}, proof, ASKED)).json()
    assert told["active"] or told == {"active": False}
    return bool(told["active"])


async def test_t40_a_copied_token_tells_its_thief_nothing_through_a_public_client() -> None:
    there = await oauth_world()
    mission = await working(there)
    await there.svid()
    new = NewGrant("ada", AGENT, "srv", PassBinding.DPOP, key().jkt, mission=mission.id, client="jittrust-connect")
    token = (await there.broker.driving.grants.open(new)).token
    public = {"client_id": "jittrust-connect"}

    def shown(signer: int, path: str = ASKED) -> str:
        return dpop(there, key(signer), url=f"{ISSUER}{path}")

    refused = [await is_told(there, token, public, one) for one in ("", shown(9), shown(1, "/oauth/token"), "x.y.z")]
    assert refused == [False] * 4
    assert await is_told(there, token, public, shown(1))
    async with there.web() as web:
        signed = {"accept": "application/token-introspection+jwt"}
        answer = await web.post(ASKED, data={"token": token, **public}, headers=signed)
    assert claims_of(answer.text)["token_introspection"] == {"active": False}


async def test_t40_a_copied_refresh_token_tells_its_thief_nothing_either() -> None:
    there = await oauth_world()
    mission = await working(there)
    chain = Renewal("n-1", "jittrust-connect", AGENT, "ada", mission.id, "srv", mission.expires, key().jkt)
    token = await there.broker.inner.tokens._renewals.begin(chain)  # type: ignore[attr-defined]
    public = {"client_id": "jittrust-connect"}

    assert not await is_told(there, token, public)
    assert await is_told(there, token, public, dpop(there, key(), url=f"{ISSUER}{ASKED}"))


async def test_an_agent_learns_of_its_own_grants_and_of_parts_of_them_and_of_no_others() -> None:
    there = await oauth_world()
    await working(there)
    _, token = await parent(there)
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS, "gas": "9"}
    took = await there.ask({**form, **as_workload(await there.svid("/agent/tester"))}, dpop(there, key(2)))
    child = str(took.json()["access_token"])

    async def told(path: str) -> tuple[bool, bool]:
        asker = as_workload(await there.svid(path))
        return await is_told(there, token, asker), await is_told(there, child, asker)

    assert await told("/agent/coder") == (True, True)
    assert await told("/agent/tester") == (False, True)
    assert await told("/agent/stranger") == (False, False)
    assert await told("/workload/service") == (True, True)


# ---- who begins a chain of calls -----------------------------------------------------------------------------------------------------------


async def test_an_agent_makes_no_transaction_of_another_agents_token_nor_of_its_own_without_its_key() -> None:
    there = await oauth_world()
    await working(there)
    _, token = await parent(there)
    bearer = await there.ask({"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid())})
    form = {
        "grant_type": EXCHANGE,
        "requested_token_type": "urn:ietf:params:oauth:token-type:txn_token",
        "audience": "jittrust.test",
        "subject_token_type": ACCESS,
    }

    async def said(path: str, shown: str, signer: int = 0) -> str:
        asked = {**form, "subject_token": shown, **as_workload(await there.svid(path))}
        answer = await there.ask(asked, dpop(there, key(signer)) if signer else "")
        return "" if answer.status_code == 200 else ":".join(error_of(answer)[1:])

    refused = "unauthorized_client:token_of_another"
    assert await said("/agent/tester", token) == refused
    assert await said("/agent/tester", token, 2) == refused
    assert await said("/agent/tester", bearer.json()["access_token"]) == refused
    assert await said("/agent/coder", token) == refused
    assert await said("/agent/coder", token, 2) == refused
    assert await said("/agent/coder", token, 1) == ""
    assert await said("/agent/coder", bearer.json()["access_token"]) == ""
    assert await said("/workload/service", token) == ""


# ---- enforcement points that name grants ---------------------------------------------------------------------------------------------------


async def test_a_workload_spends_no_grant_whose_token_was_not_shown_to_it() -> None:
    there = await world()
    await there.join()
    await there.start(allowing("read_file"))
    async with deciding(there) as api:
        agent = await key_holder(there)
        loose = await there.broker.driving.grants.open(NewGrant("ada", "agent", "srv", PassBinding.GATEWAY))
        service = await credentials(there, SubjectKind.WORKLOAD, "/workload/gateway")
        named = asking("read_file", {"path": "plan.txt"}, grant=loose.grant.id)
        shown = asking("read_file", {"path": "plan.txt"}, presentation=agent.presentation())
        before = there.broker.state.grants[loose.grant.id].gas_left
        refused = (await api.post("evaluation", named, authorization=f"Bearer {service.jwt}")).json()
        after = there.broker.state.grants[loose.grant.id].gas_left
        presented = (await api.post("evaluation", shown, authorization=f"Bearer {service.jwt}")).json()
        vouched = await api.told("evaluation", named)

    assert (refused["decision"], refused["context"]["reason"]) == (False, "grant_not_shown")
    assert after == before
    assert (presented["decision"], vouched["decision"]) == (True, True)
