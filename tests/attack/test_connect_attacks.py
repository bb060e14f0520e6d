"""A hostile server, authorization server or network against `jittrust connect`: nothing of the key, the token or the pass gets where it must not."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from aiohttp import web
from tests.agent import new_key

from jittrust.core.errors import JitError, UnavailableError
from jittrust.core.grant import jws
from jittrust.core.model import Json
from jittrust.pep.connect import transport
from jittrust.pep.connect.bridge import ConnectBridge, ConnectOptions
from jittrust.pep.connect.carrier import Carrier, Parcel
from jittrust.pep.connect.discovery import UntrustedServerError, base_of
from jittrust.pep.connect.holder import GrantHolder
from jittrust.pep.connect.logins import BrowserLogin, FileLogin, Machine, TokenDesk, Wanted
from jittrust.pep.connect.loopback import LoopbackPage
from jittrust.pep.connect.tokens import GrantRefusedError, HeldGrant
from jittrust.pep.connect.transport import BrokerTransport
from jittrust.pep.mcp.stdio import PipeReader, PipeWriter

Answer = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]


def part(value: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


TOKEN = f"{part({'typ': 'at+jwt'})}.{part({'grant_id': 'g-1', 'exp': 4e9})}.c2ln"


@dataclass
class Hostile:
    """Answers as it is told. `seen` are all requests: path, headers, body."""

    url: str = ""
    change: dict[str, Json] = field(default_factory=dict)
    resource: dict[str, Json] = field(default_factory=dict)
    token: dict[str, Json] = field(default_factory=dict)
    challenge: str = ""
    answers: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def mcp(self) -> str:
        return f"{self.url}/mcp/notes"

    def metadata(self) -> dict[str, Json]:
        made: dict[str, Json] = {
            "issuer": self.url,
            "token_endpoint": f"{self.url}/oauth/token",
            "authorization_endpoint": f"{self.url}/oauth/authorize",
            "dpop_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return {name: value for name, value in (made | self.change).items() if value is not None}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.path, {k.lower(): v for k, v in request.headers.items()}, body))
        if request.path.startswith("/.well-known/oauth-protected-resource"):
            return web.json_response({"resource": self.mcp, "authorization_servers": [self.url]} | self.resource)
        if request.path.startswith("/.well-known/oauth-authorization-server"):
            return web.json_response(self.metadata())
        if request.path == "/oauth/token":
            said: dict[str, Json] = {"access_token": TOKEN, "token_type": "DPoP", "expires_in": 300}
            return web.json_response(said | self.token, headers={"dpop-nonce": "first"})
        if request.method == "GET":
            return web.Response(status=401, headers={"www-authenticate": self.challenge or "DPoP"})
        told = self.answers.pop(0) if self.answers else self.always
        assert told is not None
        found = told(request)
        return found if isinstance(found, web.StreamResponse) else await found

    def posts(self) -> list[Mapping[str, Json]]:
        """The claims of the proofs of all requests to the MCP endpoint."""
        return [
            json.loads(jws.decode(headers["dpop"].split(".")[1].encode()))
            for path, headers, _ in self.seen
            if path == "/mcp/notes" and "dpop" in headers
        ]


@pytest.fixture
async def hostile() -> AsyncIterator[Hostile]:
    made = Hostile()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{any:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def machine(*, browse: Callable[[str], bool] = lambda _: True) -> Machine:
    said: list[str] = []
    return Machine(
        new_key(), time.monotonic, time.time, lambda: secrets.token_urlsafe(32), lambda: 0.5, said.append, browse
    )  # fmt: skip


@pytest.fixture
async def http() -> AsyncIterator[BrokerTransport]:
    async with BrokerTransport() as found:
        yield found


async def carrier(hostile: Hostile, http: BrokerTransport, patience: float = 3.0) -> Carrier:
    here = machine()
    login = FileLogin(here, lambda: json.dumps({"token": TOKEN, "first_pass": "p0"}).encode())
    holder = GrantHolder(login, here, limit=lambda _: 1)
    await holder.open()
    return Carrier(http, holder, here, hostile.mcp, base_of(hostile.mcp), patience)


CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{}}}'
PARCEL = Parcel("POST", {"content-type": "application/json"}, CALL)


async def sent(made: Carrier, parcel: Parcel = PARCEL) -> tuple[int, bytes]:
    sending = made.send(parcel)
    try:
        answer = await sending.answer()
        return answer.status, answer.body or b""
    finally:
        sending.close()


def ok(nonce: str = "next") -> Answer:
    headers = {"dpop-nonce": nonce} if nonce else {}
    return lambda _: web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}}, headers=headers)


def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def challenge(nonce: str) -> Answer:
    return lambda _: web.json_response(
        {"code": "use_dpop_nonce"}, status=401, headers={"dpop-nonce": nonce}, content_type="application/problem+json"
    )


# --- discovery and login -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"issuer": "http://127.0.0.1:1"}, "issuer_mismatch"),
        ({"token_endpoint": "http://evil.example/token"}, "address_insecure"),
        ({"token_endpoint": "https://evil.example/token"}, "endpoint_elsewhere"),
        ({"pushed_authorization_request_endpoint": "https://evil.example/par"}, "endpoint_elsewhere"),
        ({"dpop_signing_alg_values_supported": None}, "dpop_missing"),
    ],
)
async def test_t9_an_authorization_server_that_contradicts_itself_gets_no_request(
    hostile: Hostile, http: BrokerTransport, change: dict[str, Json], code: str
) -> None:
    hostile.change = change
    with pytest.raises(UntrustedServerError) as caught:
        await TokenDesk.find(http, machine(), hostile.mcp)
    assert caught.value.code == code
    assert not [path for path, _, _ in hostile.seen if path.startswith("/oauth")]


async def test_t9_metadata_of_another_resource_or_on_another_host_is_not_followed(
    hostile: Hostile, http: BrokerTransport
) -> None:
    hostile.resource = {"resource": "https://bank.example/mcp"}
    with pytest.raises(UntrustedServerError) as caught:
        await TokenDesk.find(http, machine(), hostile.mcp)
    assert caught.value.code == "resource_mismatch"
    hostile.challenge = 'DPoP resource_metadata="https://evil.example/meta"'
    with pytest.raises(UntrustedServerError) as caught:
        await TokenDesk.find(http, machine(), hostile.mcp)
    assert caught.value.code == "metadata_elsewhere"


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "N_A", "mac"])
async def test_t9_a_token_that_is_not_bound_to_the_key_is_refused(
    hostile: Hostile, http: BrokerTransport, kind: str
) -> None:
    hostile.token = {"token_type": kind}
    desk = await TokenDesk.find(http, machine(), hostile.mcp)
    with pytest.raises(GrantRefusedError) as caught:
        await desk.grant({"grant_type": "x"})
    assert caught.value.code == "token_not_bound"


def _coming_back(hostile: Hostile, **change: str | None) -> Callable[[str], bool]:
    """A browser in which a hostile page answers for the authorization server."""
    tasks: list[asyncio.Task[None]] = []

    def browse(address: str) -> bool:
        from urllib.parse import parse_qs, urlsplit

        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}

        async def come() -> None:
            answer = {"code": "c", "state": asked["state"], "iss": hostile.url} | change
            query = {name: value for name, value in answer.items() if value is not None}
            async with aiohttp.ClientSession() as session, session.get(asked["redirect_uri"], params=query) as got:
                await got.read()

        tasks.append(asyncio.create_task(come()))
        return True

    return browse


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"iss": "https://other.example"}, "issuer_mismatch"),
        ({"iss": None}, "issuer_mismatch"),
        ({"code": None, "error": "access_denied"}, "grant_refused"),
        ({"code": None}, "grant_refused"),
    ],
)
async def test_t9_an_answer_in_the_browser_from_somebody_else_redeems_nothing(
    hostile: Hostile, http: BrokerTransport, change: dict[str, str | None], code: str
) -> None:
    login = BrowserLogin(http, machine(browse=_coming_back(hostile, **change)), Wanted(hostile.mcp, "Read."))
    with pytest.raises(JitError) as caught:
        await login.first()
    assert caught.value.code == code
    assert not [path for path, _, _ in hostile.seen if path == "/oauth/token"]


async def test_t9_an_answer_with_another_state_does_not_even_end_the_login(
    hostile: Hostile, http: BrokerTransport
) -> None:
    login = BrowserLogin(http, machine(browse=_coming_back(hostile, state="guessed")), Wanted(hostile.mcp, "Read."))
    login.patience = 0.5
    with pytest.raises(GrantRefusedError) as caught:
        await login.first()
    assert caught.value.code == "login_timeout"


async def test_an_honest_answer_in_the_browser_is_redeemed_with_the_verifier_and_the_key(
    hostile: Hostile, http: BrokerTransport
) -> None:
    here = machine(browse=_coming_back(hostile))
    found = await BrowserLogin(http, here, Wanted(hostile.mcp, "Read.")).first()
    assert (found.token, found.first_pass) == (TOKEN, "first")
    [(_, headers, body)] = [one for one in hostile.seen if one[0] == "/oauth/token"]
    assert b"code_verifier=" in body
    assert headers["dpop"]


async def test_another_site_in_the_same_browser_cannot_speak_to_the_page(hostile: Hostile) -> None:
    async with LoopbackPage(lambda _: True) as page, aiohttp.ClientSession() as session:
        for headers in ({"host": "evil.example"}, {"host": "127.0.0.1"}):
            async with session.get(page.url, params={"state": "s", "code": "c"}, headers=headers) as got:
                assert got.status == 403
        async with session.get(page.url + "?state=a&state=b&code=c") as got:
            assert got.status == 400
        async with session.post(page.url) as got:
            assert got.status == 405


# --- calls ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_t9_a_redirect_is_never_followed_with_the_token(
    hostile: Hostile, http: BrokerTransport, status: int
) -> None:
    hostile.always = lambda _: web.Response(status=status, headers={"location": hostile.url + "/elsewhere"})
    with pytest.raises(UntrustedServerError) as caught:
        await sent(await carrier(hostile, http))
    assert caught.value.code == "redirect_refused"
    assert [path for path, _, _ in hostile.seen] == ["/mcp/notes"]


async def test_an_answer_that_is_too_large_is_cut_off(
    hostile: Hostile, http: BrokerTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_ANSWER", 100_000)

    async def whole(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json", "dpop-nonce": "n"})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x" * 10_000)
        return response

    hostile.always = whole
    with pytest.raises(UntrustedServerError) as caught:
        await sent(await carrier(hostile, http))
    assert caught.value.code == "answer_too_large"


async def test_an_event_that_never_ends_is_cut_off(
    hostile: Hostile, http: BrokerTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_ANSWER", 100_000)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "dpop-nonce": "n"})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"data: " + b"x" * 10_000)
        return response

    hostile.always = endless
    sending = (await carrier(hostile, http)).send(PARCEL)
    answer = await sending.answer()
    with pytest.raises(UntrustedServerError) as caught:
        [event async for event in answer.events()]
    assert caught.value.code == "answer_too_large"
    sending.close()


async def test_a_content_coding_that_nobody_asked_for_is_refused(hostile: Hostile, http: BrokerTransport) -> None:
    hostile.always = lambda _: web.Response(body=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    with pytest.raises(UntrustedServerError) as caught:
        await sent(await carrier(hostile, http))
    assert caught.value.code == "coding_refused"


async def test_a_challenge_is_answered_with_the_new_pass_and_endless_ones_are_given_up(
    hostile: Hostile, http: BrokerTransport
) -> None:
    hostile.answers = [challenge("p1"), ok("p2")]
    made = await carrier(hostile, http)
    assert (await sent(made))[0] == 200
    assert [claims.get("nonce") for claims in hostile.posts()] == ["p0", "p1"]
    hostile.always = challenge("again")
    with pytest.raises(UnavailableError) as caught:
        await sent(made)
    assert caught.value.code == "challenged_again"
    assert len(hostile.posts()) == 2 + 4


async def test_a_lost_answer_is_asked_for_with_the_same_pass_and_the_same_bytes_and_a_fresh_proof(
    hostile: Hostile, http: BrokerTransport
) -> None:
    hostile.answers = [cut, cut, ok("p1")]
    assert (await sent(await carrier(hostile, http)))[0] == 200
    claims = hostile.posts()
    assert [one["nonce"] for one in claims] == ["p0"] * 3
    assert len({str(one["jti"]) for one in claims}) == 3
    assert {body for path, _, body in hostile.seen if path == "/mcp/notes"} == {CALL}


async def test_a_call_whose_answer_stays_lost_is_in_doubt_and_its_pass_is_never_shown_again(
    hostile: Hostile, http: BrokerTransport
) -> None:
    hostile.always = cut
    made = await carrier(hostile, http)
    with pytest.raises(UnavailableError) as caught:
        await sent(made)
    assert caught.value.code == "in_doubt"
    assert len(hostile.posts()) == 4  # once, and three times more
    hostile.always = None
    hostile.answers = [challenge("p9"), ok()]
    assert (await sent(made))[0] == 200
    assert [claims.get("nonce") for claims in hostile.posts()[4:]] == [None, "p9"]


async def test_an_answer_after_a_lost_one_that_is_a_challenge_leaves_the_call_in_doubt_and_repeats_what_may_be_repeated(
    hostile: Hostile, http: BrokerTransport
) -> None:
    hostile.answers = [cut, challenge("p1")]
    made = await carrier(hostile, http)
    with pytest.raises(UnavailableError) as caught:
        await sent(made)
    assert caught.value.code == "in_doubt"
    hostile.answers = [challenge("p2"), cut, challenge("p3"), challenge("p4"), ok()]
    assert (await sent(made, Parcel("POST", {}, CALL, repeatable=True)))[0] == 200
    # Of a pass that may have been seen no other request is made, and after doubt none is shown at all.
    assert [claims.get("nonce") for claims in hostile.posts()[2:]] == [None, "p2", "p2", None, "p4"]


async def test_a_call_that_may_have_been_carried_out_is_not_sent_again_in_another_session(
    hostile: Hostile, http: BrokerTransport
) -> None:
    import os

    def session(nonce: str, **headers: str) -> Answer:
        body: dict[str, Json] = {"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-11-25"}}
        return lambda _: web.json_response(body, headers={"dpop-nonce": nonce, **headers})

    def gone(_: web.Request) -> web.Response:
        return web.json_response({"code": "session_unknown"}, status=404, content_type="application/problem+json")

    hostile.answers = [session("p1", **{"mcp-session-id": "s1"}), cut, gone]
    hostile.always = cut
    made = await carrier(hostile, http)
    inward, outward = os.pipe(), os.pipe()
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    with os.fdopen(inward[0], "rb", 0) as source, os.fdopen(outward[1], "wb", 0) as sink:
        bridge = ConnectBridge(
            made, reader := PipeReader(source), writer := PipeWriter(sink), ConnectOptions(drain_s=5, end_s=0.1)
        )
        await reader.open()
        await writer.open()
        reading = asyncio.create_task(bridge.read_client())
        ask = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        os.write(inward[1], json.dumps(ask).encode() + b"\n")
        async with asyncio.timeout(5):
            while not hostile.posts():  # noqa: ASYNC110 - another task fills it
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        os.write(inward[1], CALL.replace(b'"id":1', b'"id":2') + b"\n")
        os.close(inward[1])
        await asyncio.wait_for(reading, 5)
        await bridge.drain()
        await bridge.finish()
    with os.fdopen(outward[0], "rb") as said:
        [_, answer] = [json.loads(line) for line in said.read().splitlines()]
    assert answer["error"]["data"]["code"] == "in_doubt"
    paid = [body for _, _, body in hostile.seen if b"tools/call" in body]
    assert len(paid) == 2  # once, and once more with the same pass


async def test_answers_that_hand_out_no_pass_are_followed_by_a_request_without_one(
    hostile: Hostile, http: BrokerTransport
) -> None:
    hostile.answers = [ok(""), ok("p1"), ok("p2")]
    made = await carrier(hostile, http)
    for _ in range(3):
        assert (await sent(made))[0] == 200
    assert [claims.get("nonce") for claims in hostile.posts()] == ["p0", None, "p1"]


async def test_a_broker_that_is_not_there_is_an_error_with_a_code_in_time_and_never_silence(
    hostile: Hostile, http: BrokerTransport
) -> None:
    hostile.url = "http://127.0.0.1:1"
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        await sent(await carrier(hostile, http, patience=1.0))
    assert caught.value.code == "broker_unreachable"
    assert "nothing was carried out" in caught.value.message
    assert time.monotonic() - began < 4


async def test_those_who_wait_for_a_lane_go_on_with_the_next_grant_and_what_is_under_way_ends_where_it_began(
    hostile: Hostile, http: BrokerTransport
) -> None:
    here, tokens = machine(), [TOKEN]
    login = FileLogin(here, lambda: json.dumps({"token": tokens[-1], "first_pass": f"p{len(tokens)}"}).encode())
    holder = GrantHolder(login, here, limit=lambda _: 1)
    await holder.open()
    made = Carrier(http, holder, here, hostile.mcp, base_of(hostile.mcp), 5.0)

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(2.0)
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}}, headers={"dpop-nonce": "late"})

    hostile.answers = [slow, ok("q2")]
    first = asyncio.create_task(sent(made))
    await asyncio.sleep(0.2)
    second = asyncio.create_task(sent(made))
    await asyncio.sleep(0.2)
    tokens.append(TOKEN[:-1] + "d")
    await holder.ended(await holder.current(1.0))
    assert (await asyncio.wait_for(second, 1.0))[0] == 200
    assert not first.done()
    assert (await first)[0] == 200
    assert [claims.get("nonce") for claims in hostile.posts()] == ["p1", "p2"]


class Moody:
    """A server that says no, until it says yes."""

    def __init__(self) -> None:
        self.willing = False
        self.asked = 0

    async def first(self) -> HeldGrant:
        return HeldGrant(TOKEN, 0.0, 60.0)

    async def next(self, before: HeldGrant) -> HeldGrant:
        self.asked += 1
        if not self.willing:
            raise GrantRefusedError("grant_refused", "the mission is suspended")
        return HeldGrant(TOKEN, before.began + 60.0, before.ends + 60.0)

    async def leave(self, last: HeldGrant) -> None:
        """Nothing to give back."""


async def test_a_server_that_says_no_is_not_asked_by_every_call_and_asked_again_later() -> None:
    clock, login = [0.0], Moody()
    holder = GrantHolder(login, replace(machine(), steady=lambda: clock[0]))
    await holder.open()
    tenure = await holder.current(1.0)
    for _ in range(10):
        with pytest.raises(GrantRefusedError):
            await holder.ended(tenure)
    assert login.asked == 1
    clock[0], login.willing = 10.0, True
    assert (await holder.ended(tenure)).grant.ends == 120.0
    assert (await holder.current(1.0)).grant.ends == 120.0


async def test_a_subscription_that_breaks_is_taken_up_again_and_the_client_is_greeted_once(
    hostile: Hostile, http: BrokerTransport
) -> None:
    import os

    turns = 0

    async def stream(request: web.Request) -> web.StreamResponse:
        nonlocal turns
        turns += 1
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "dpop-nonce": f"n{turns}"})
        await response.prepare(request)
        for method in ("notifications/subscriptions/acknowledged", "notifications/tools/list_changed"):
            await response.write(b"data: " + json.dumps({"jsonrpc": "2.0", "method": method}).encode() + b"\n\n")
        if turns == 1:
            cut(request)
        else:
            await asyncio.sleep(5)
        return response

    hostile.always = stream
    made = await carrier(hostile, http)
    inward, outward = os.pipe(), os.pipe()
    with os.fdopen(inward[0], "rb", 0) as source, os.fdopen(outward[1], "wb", 0) as sink:
        bridge = ConnectBridge(made, reader := PipeReader(source), writer := PipeWriter(sink), ConnectOptions())
        await reader.open()
        await writer.open()
        reading = asyncio.create_task(bridge.read_client())
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
        ask = {"jsonrpc": "2.0", "id": 5, "method": "subscriptions/listen", "params": {"_meta": meta}}
        os.write(inward[1], json.dumps(ask).encode() + b"\n")
        async with asyncio.timeout(8):
            while turns < 2:  # noqa: ASYNC110 - a counter of the test's own
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        os.close(inward[1])
        await asyncio.wait_for(reading, 5)
        await bridge.drain()
        await bridge.finish()
    with os.fdopen(outward[0], "rb") as said:
        methods = [json.loads(line).get("method") for line in said.read().splitlines()]
    assert methods.count("notifications/subscriptions/acknowledged") == 1
    assert methods.count("notifications/tools/list_changed") == 2
    assert [claims.get("nonce") for claims in hostile.posts()] == ["p0", "n1"]


async def test_a_proof_that_is_not_taken_says_which_address_to_use(hostile: Hostile, http: BrokerTransport) -> None:
    hostile.always = lambda _: web.json_response({"code": "invalid_dpop_proof"}, status=401)
    with pytest.raises(JitError) as caught:
        await sent(await carrier(hostile, http))
    assert caught.value.code == "proof_refused"
    assert "address" in caught.value.next_step


async def test_what_a_server_sends_unasked_reaches_the_client_as_one_line_each_and_never_answers_another_call(
    hostile: Hostile, http: BrokerTransport
) -> None:
    import os

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "dpop-nonce": "n"})
        await response.prepare(request)
        note = b'{"jsonrpc":"2.0","method":"notifications/message",\ndata: "params":{"data":"two lines"}}'
        foreign = b'{"jsonrpc":"2.0","id":99,"result":{"forged":true}}'
        broken = b'{"jsonrpc":"2.0","id":1,"result"'
        final = b'{"jsonrpc":"2.0","id":7,"result":{"kept":1.50}}'
        for data in (note, foreign, broken, final):
            await response.write(b"data: " + data + b"\n\n")
        return response

    hostile.always = stream
    made = await carrier(hostile, http)
    inward, outward = os.pipe(), os.pipe()
    with os.fdopen(inward[0], "rb", 0) as source, os.fdopen(outward[1], "wb", 0) as sink:
        bridge = ConnectBridge(made, reader := PipeReader(source), writer := PipeWriter(sink), ConnectOptions())
        await reader.open()
        await writer.open()
        reading = asyncio.create_task(bridge.read_client())
        os.write(inward[1], CALL.replace(b'"id":1', b'"id":7') + b"\nno json\n")
        os.close(inward[1])
        await asyncio.wait_for(reading, 5)
        await bridge.drain()
        await bridge.finish()
    with os.fdopen(outward[0], "rb") as said:
        lines = said.read().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0])["error"]["code"] == -32700
    assert json.loads(lines[1])["params"] == {"data": "two lines"}
    assert lines[2] == b'{"jsonrpc":"2.0","id":7,"result":{"kept":1.50}}'
