"""What a review of the authorization server found: each hole once more, from outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from tests.model.world import Clock, world
from tests.oauthing import CREDENTIALS, KeyClient, error_of, oauth_world
from tests.scim import BASE, provider

from jittrust.api.scim import answers
from jittrust.api.workload import attest_http
from jittrust.api.workload.attest_http import SVID_PATH, attest_routes
from jittrust.broker.oauth.replay import ReplayMemory
from jittrust.core.oauth.error import OAuthError
from jittrust.core.units import Instant

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
