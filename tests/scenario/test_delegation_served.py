"""Delegation and narrowing over HTTP: an agent hands a part on, the other uses it, and what a holder wrote into its token is obeyed."""

from __future__ import annotations

import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from bench.served import Client
from biscuit_auth import Algorithm, Biscuit, BlockBuilder, PublicKey
from tests.serving import Running, gateway

from jittrust.adapters.biscuit.attenuation import BiscuitAttenuation, attenuation_of
from jittrust.adapters.files.keys import load_keys
from jittrust.apps.cli.reach import person
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import PassBinding, Strictness
from jittrust.core.grant.proof import Ed25519Signer
from jittrust.core.units import Gas
from jittrust.ports.attenuation import Attenuated
from jittrust.ports.grants import ChildGrant, IssuedGrant, NewGrant

ECHO = Path(__file__).parents[2] / "bench" / "peers" / "echo_stdio.py"
ENTRY = AuthorityEntry("e-echo", "echo/echo", state=EntryState.APPROVED, approved_by="a person")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    command = {"command": sys.executable, "args": [str(ECHO)]}
    with gateway(tmp_path_factory.mktemp("gateway"), {"echo": command}) as found:
        yield found


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def signer() -> Ed25519Signer:
    return Ed25519Signer.from_secret(secrets.token_bytes(32))


def holder(running: Running, key: Ed25519Signer, issued: IssuedGrant, token: str = "") -> Client:
    return Client(running.mcp["echo"], key, issued.grant.id, token or issued.token, issued.first_pass or "")


async def parent(running: Running, key: Ed25519Signer) -> IssuedGrant:
    await running.mission("Echo the texts.", (ENTRY,), lanes=2)
    new = NewGrant(
        person(), "tester", "echo", PassBinding.DPOP, key.jkt, Strictness.STRICT, gas=Gas(900), may_act=("helper",)
    )
    async with running.person() as driving:
        return await driving.grants.open(new)


async def test_a_part_goes_from_agent_to_agent_and_dies_with_the_whole(
    running: Running, http: aiohttp.ClientSession
) -> None:
    key, childs = signer(), signer()
    whole = await parent(running, key)
    limited = AuthorityMap((AuthorityEntry("e-c", "echo/echo", uses_left=2, state=EntryState.APPROVED),))
    async with running.person() as driving:
        part = await driving.grants.delegate(
            ChildGrant(whole.grant.id, "helper", childs.jkt, gas=Gas(300), authority=limited), None
        )
    above, below = holder(running, key, whole), holder(running, childs, part)

    answers = []
    for turn in range(3):
        answer = await below.call(http, secrets.token_urlsafe(12), f"words {turn}")
        below.live = answer.next_pass or below.live
        answers.append(answer)
    by_parent = await above.call(http, secrets.token_urlsafe(12), "words")
    async with running.person() as driving:
        await driving.grants.revoke(whole.grant.id, "enough", "ada")
    dead = await below.call(http, secrets.token_urlsafe(12), "more words")

    assert [one.echoed for one in answers] == [True, True, False], answers
    assert by_parent.echoed
    assert not dead.echoed
    codes = [
        [reason["code"] for reason in one["policy"]["reasons"]]
        for one in await running.records()
        if one["kind"] == "refusal"
    ]
    assert codes[-2:] == [["uses_exhausted"], ["ancestor_ended"]]


async def test_what_a_holder_wrote_into_its_token_is_obeyed_and_the_pass_is_still_wanted(
    running: Running, http: aiohttp.ClientSession
) -> None:
    key = signer()
    whole = await parent(running, key)
    made = cast("BiscuitAttenuation", attenuation_of(load_keys(running.state).passes.reveal()))
    first = Attenuated(whole.grant.id, key.jkt, running.mcp["echo"], whole.grant.expires)
    root = cast("Any", PublicKey).from_bytes(made.public_key, cast("Any", Algorithm).Ed25519)
    minted = made.mint(first)
    narrowed = Biscuit.from_base64(minted + "=" * (-len(minted) % 4), root).append(
        BlockBuilder('check if tool("echo"), arg("text", $t), $t.starts_with("good ")')
    )
    client = holder(running, key, whole, str(narrowed.to_base64()).rstrip("="))

    good = await client.call(http, secrets.token_urlsafe(12), "good words")
    old, client.live = client.live, good.next_pass or ""
    bad = await client.call(http, secrets.token_urlsafe(12), "bad words")
    client.live = bad.next_pass or ""
    again = await client.call(http, secrets.token_urlsafe(12), "good again")
    client.token = minted + "AAAA"
    broken = await client.call(http, secrets.token_urlsafe(12), "good words", again.next_pass)
    client.token = str(narrowed.to_base64()).rstrip("=")
    reused = await client.call(http, secrets.token_urlsafe(12), "good other words", old)

    assert (good.echoed, bad.echoed, again.echoed) == (True, False, True), (good, bad, again)
    assert broken.status == 401
    assert not reused.echoed
    codes = [
        [reason["code"] for reason in one["policy"]["reasons"]]
        for one in await running.records()
        if one["kind"] == "refusal"
    ]
    assert ["narrowing_forbids"] in codes


async def test_hostile_children_are_refused_over_the_socket_with_a_code(running: Running) -> None:
    whole = await parent(running, signer())
    told: list[str] = []
    async with running.person() as driving:
        for wrong in (
            ChildGrant(whole.grant.id, "stranger", signer().jkt),
            ChildGrant(whole.grant.id, "helper", signer().jkt, server="other"),
            ChildGrant(whole.grant.id, "helper"),
            ChildGrant(whole.grant.id, "helper", signer().jkt, authority=AuthorityMap((ENTRY, ENTRY))),
        ):
            with pytest.raises(JitError) as caught:
                await driving.grants.delegate(wrong, None)
            told.append(caught.value.code)
    assert told == ["may_not_act", "not_narrower", "not_narrower", "bad_authority"]
