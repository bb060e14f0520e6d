"""The broker's own credential for a server behind it: got from a real authorization server, kept, renewed, exchanged, never seen by a caller."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import unquote

import pytest
from aiohttp import web
from tests.oauthing import OAuthWorld, oauth_world, working

from jittrust.core.errors import BadInputError, JitError
from jittrust.core.grant.grant import PassBinding
from jittrust.core.oauth.transaction import TRANSACTION_TYPE, read_transaction
from jittrust.core.units import Instant
from jittrust.pep.mcp.http_channel import HttpChannel
from jittrust.pep.mcp.http_upstream import HttpServer, HttpUpstreams
from jittrust.pep.mcp.jsonrpc import read_message
from jittrust.pep.mcp.upstream_auth import (
    REDACTED,
    UpstreamAuth,
    UpstreamCredentialError,
    UpstreamGrant,
    redacted,
)
from jittrust.ports.grants import NewGrant

SECRET = "s3cr3t:of/the+broker"


@dataclass
class OtherSide:
    """An authorization server and an MCP server of somebody else's, in one process. Both count."""

    asked: list[dict[str, str]] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    life: float | None = 300
    kind: str = "Bearer"
    status: int = 200
    echo: str = ""
    stream: bool = False
    never: bool = False
    url: str = ""

    async def token(self, request: web.Request) -> web.Response:
        name, _, secret = base64.b64decode(request.headers["authorization"].split()[1]).decode().partition(":")
        self.clients.append(f"{unquote(name)}|{unquote(secret)}")
        self.asked.append({key: str(value) for key, value in (await request.post()).items()})
        if self.status != 200:
            return web.json_response({"error": "invalid_client"}, status=self.status, headers={"location": self.url})
        token = f"upstream-token-{len(self.asked)}-abcdef"
        self.good = set() if self.never else {token}
        said = {"access_token": token, "token_type": self.kind, "expires_in": self.life}
        return web.json_response({name: value for name, value in said.items() if value is not None})

    async def mcp(self, request: web.Request) -> web.StreamResponse:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.called.append(shown)
        if shown not in self.good:
            return web.Response(status=401, text=f"who is {shown}?")
        body = json.loads(await request.read())
        text = self.echo.replace("TOKEN", shown)
        answer = {"jsonrpc": "2.0", "id": body["id"], "result": {"content": [{"type": "text", "text": text}]}}
        if not self.stream:
            return web.json_response(answer)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: " + json.dumps(answer).encode() + b"\n\n")
        return response


@pytest.fixture
async def other() -> AsyncIterator[OtherSide]:
    made = OtherSide()
    app = web.Application()
    app.router.add_post("/token", made.token)
    app.router.add_post("/mcp", made.mcp)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def behind(other: OtherSide, **more: str) -> HttpServer:
    said = {"token_endpoint": f"{other.url}/token", "client_id": "broker@us", "client_secret": SECRET, **more}
    return HttpServer("notes", f"{other.url}/mcp", auth=UpstreamAuth.read("notes", said))


CALL = read_message(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{}}}')


async def called(upstreams: HttpUpstreams, server: HttpServer, grant: str = "g-1") -> tuple[int, bytes]:
    reply = await HttpChannel(server, upstreams, grant).post(CALL, CALL.raw, [(b"authorization", b"Bearer callers")])
    body = reply.body or b""
    if reply.events is not None:
        body = b"".join([event.raw async for event in reply.events])
    await reply.close()
    return reply.status, body


async def test_one_token_is_got_for_many_calls_with_the_brokers_own_name_and_nothing_of_the_callers(
    other: OtherSide,
) -> None:
    async with HttpUpstreams() as upstreams:
        server = behind(other, scope="notes.read", audience="notes", resource="https://notes.example")
        found = await asyncio.gather(*(called(upstreams, server, f"g-{number}") for number in range(20)))
    assert {status for status, _ in found} == {200}
    assert len(other.asked) == 1
    assert other.clients == [f"broker@us|{SECRET}"]
    assert other.asked[0] == {
        "grant_type": "client_credentials", "scope": "notes.read", "audience": "notes",
        "resource": "https://notes.example",
    }  # fmt: skip
    assert set(other.called) == other.good


async def test_a_token_that_the_server_refuses_is_renewed_once_and_the_call_goes_out_with_the_new_one(
    other: OtherSide,
) -> None:
    async with HttpUpstreams() as upstreams:
        server = behind(other)
        assert (await called(upstreams, server))[0] == 200
        other.good = set()  # as if it had been revoked there
        assert (await called(upstreams, server))[0] == 200
        assert len(other.asked) == 2
        other.never, other.good = True, set()
        before = len(other.called)
        status, body = await called(upstreams, server)
        assert status == 401
        assert len(other.called) - before == 2
        assert b"upstream-token" not in body


async def test_a_token_is_got_anew_shortly_before_it_ends(other: OtherSide) -> None:
    other.life = 1
    async with HttpUpstreams() as upstreams:
        server = behind(other)
        assert (await called(upstreams, server))[0] == 200
        await asyncio.sleep(1.1)
        assert (await called(upstreams, server))[0] == 200
    assert len(other.asked) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_credential_that_the_server_echoes_is_taken_out_of_what_the_caller_sees(
    other: OtherSide,
    stream: bool,  # noqa: FBT001 - the parameter of the test
) -> None:
    other.stream, other.echo = stream, f"you sent TOKEN, and your secret is {SECRET}; static-api-key-0123456789"
    async with HttpUpstreams() as upstreams:
        server = behind(other)
        server = HttpServer(server.name, server.url, {"x-api-key": "static-api-key-0123456789"}, auth=server.auth)
        status, body = await called(upstreams, server)
    assert status == 200
    assert body.count(REDACTED) == 3
    assert SECRET.encode() not in body
    assert b"upstream-token" not in body
    json.loads(body.removeprefix(b"data: "))


async def test_a_refusal_that_names_the_credential_does_not_either(other: OtherSide) -> None:
    async with HttpUpstreams() as upstreams:
        server = behind(other)
        await called(upstreams, server)
        other.status = 400
        other.good = set()
        with pytest.raises(UpstreamCredentialError) as caught:
            await called(upstreams, server)
    assert "upstream-token" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(server)


@pytest.mark.parametrize(
    ("name", "value"), [("status", 401), ("status", 302), ("status", 500), ("kind", "DPoP"), ("kind", "mac")]
)
async def test_without_a_credential_nothing_is_sent_to_the_server(
    other: OtherSide, name: str, value: str | int
) -> None:
    setattr(other, name, value)
    async with HttpUpstreams() as upstreams:
        server = behind(other)
        for _ in range(5):
            with pytest.raises(UpstreamCredentialError) as caught:
                await called(upstreams, server)
            assert caught.value.code == "upstream_credential_missing"
    assert other.called == []
    assert len(other.asked) == 1  # nobody asks again at once after a failure


async def test_token_exchange_shows_a_transaction_token_of_the_mission_and_keeps_one_token_for_each_grant(
    other: OtherSide,
) -> None:
    there: OAuthWorld = await oauth_world()
    mission = await working(there)
    grants = [
        (
            await there.broker.driving.grants.open(
                NewGrant(mission.person, f"agent-{number}", "files", PassBinding.GATEWAY, mission=mission.id)
            )
        ).grant
        for number in range(2)
    ]
    async with HttpUpstreams(there.broker.inner.gateway) as upstreams:
        server = behind(other, grant=UpstreamGrant.TOKEN_EXCHANGE, audience="https://notes.example")
        for grant in (*grants, *grants):
            other.good = {f"upstream-token-{number}-abcdef" for number in (1, 2)}
            assert (await called(upstreams, server, grant.id))[0] == 200
    assert len(other.asked) == 2
    for grant, asked in zip(grants, other.asked, strict=True):
        assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        assert asked["subject_token_type"] == TRANSACTION_TYPE
        parts = there.broker.inner.gateway._parts  # type: ignore[attr-defined]
        domain = there.broker.inner.gateway._trust_domain.name  # type: ignore[attr-defined]
        claims = read_transaction(asked["subject_token"].encode(), parts.keys, parts.issuer, domain, Instant(there.now))
        assert (claims.transaction, claims.grant, claims.subject) == (mission.id, grant.id, mission.person)
    with pytest.raises(JitError):
        await there.broker.inner.gateway.transaction("g-none", "files")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"token_endpoint": "https://as.example/t", "client_id": "c"},
        {"token_endpoint": "http://as.example/t", "client_id": "c", "client_secret": "s"},
        {"token_endpoint": "https://as.example/t", "client_id": "c", "client_secret": "s", "grant": "password"},
        {"token_endpoint": "https://as.example/t", "client_id": "c", "client_secret": "s", "tokn": "x"},
    ],
)
def test_a_setting_that_is_not_whole_is_bad_input(said: dict[str, str]) -> None:
    with pytest.raises(BadInputError) as caught:
        UpstreamAuth.read("notes", said)
    assert caught.value.code == "config_bad_value"
    assert "servers.notes.auth" in caught.value.message


def test_short_texts_are_left_alone() -> None:
    assert redacted(b"ok no abc", ["ok", "abc"]) == b"ok no abc"
    assert redacted(b'{"a":"long\\/secret"}', ["long/secret"]) == b'{"a":"[redacted]"}'


def test_two_credentials_for_one_header_are_bad_input(other: OtherSide) -> None:
    auth = behind(other).auth
    with pytest.raises(BadInputError) as caught:
        HttpServer("notes", "https://notes.example/mcp", {"Authorization": "Bearer x"}, auth=auth)
    assert caught.value.code == "config_bad_value"
