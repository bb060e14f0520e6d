"""An adversary at the authorization server: what costs the broker more than it costs who sends it, and what a yes, a code or a key gives on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from joserfc.jwk import ECKey
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from starlette.applications import Starlette
from starlette.types import Message
from tests.attack.test_oauth_code_attacks import bring, flow
from tests.consenting import BACK, CHALLENGE, CLIENT, consenting, mission
from tests.model.world import allowing, world
from tests.oauthing import (
    CREDENTIALS,
    ISSUER,
    ORIGIN,
    RESOURCE,
    KeyClient,
    OAuthWorld,
    as_workload,
    dpop,
    error_of,
    key,
    oauth_world,
    working,
)

from jittrust.api.oauth import form
from jittrust.api.oauth.app import oauth_routes
from jittrust.broker.leases import LeaseBook
from jittrust.broker.oauth.replay import ReplayMemory
from jittrust.core.authority.map import AuthorityMap
from jittrust.core.authority.match import MatchStanding, check_entry, match
from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.grant.states import GrantState
from jittrust.core.model import Json, Tool
from jittrust.core.oauth.authorize import goes_to
from jittrust.core.oauth.client_metadata import check_redirect
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.response.stop import StopScope
from jittrust.ports.commit import Change, Committed

LONGEST_S = 3.0
"""For one request of a stranger, on a machine that does other things too; before, the worst of them took minutes."""
ALL_ACTIONS = ["tools/call", "resources/read", "prompts/get"]


def call(constraints: Json) -> dict[str, Json]:
    return {
        "type": "urn:jittrust:mcp-call",
        "identifier": "srv/read_file",
        "actions": ALL_ACTIONS,
        "constraints": constraints,
    }


COSTLY: dict[str, list[Json]] = {
    "ten thousand parts": [call({"allOf": [True] * 10_000})],
    "sixty-four with parts": [call({"properties": {f"{n}": {} for n in range(24)}}) for _ in range(64)],
    "a tree of parts": [call({"anyOf": [{"anyOf": [{"anyOf": [{}] * 6}] * 6}] * 6}) for _ in range(4)],
    "eight thousand names": [call({"required": [f"{n}" for n in range(7_000)]})],
}


async def push(there: OAuthWorld, details: list[Json]) -> tuple[int, str, str]:
    sent = {
        "client_id": "jittrust-connect",
        "response_type": "code",
        "redirect_uri": "http://127.0.0.1:9/callback",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "authorization_details": json.dumps(details, separators=(",", ":")),
    }
    answer = await there.ask(sent, path="/oauth/par")
    return (201, "", "") if answer.status_code == 201 else error_of(answer)


@pytest.mark.parametrize("name", COSTLY)
async def test_t58_the_constraints_that_a_stranger_asks_for_hold_nobody_up(name: str) -> None:
    there = await oauth_world()
    begun = time.perf_counter()

    status, _, _ = await push(there, COSTLY[name])

    assert status in (201, 400)
    assert time.perf_counter() - begun < LONGEST_S


TOOL = Tool("srv", "read_file", "Reads.")
BIG: list[tuple[Json, dict[str, Json]]] = [
    ({"properties": {"a": {"items": {"allOf": [True] * 2_000}}}}, {"a": list(range(20_000))}),
    ({"properties": {"a": {"items": {"enum": list(range(5_000))}}}}, {"a": list(range(-20_000, 0))}),
]


@pytest.mark.parametrize("row", range(len(BIG)))
def test_what_an_agent_makes_too_large_to_compare_is_not_inside(row: int) -> None:
    constraints, arguments = BIG[row]
    entry = allowing("read_file", constraints=constraints)
    begun = time.perf_counter()

    found = match(AuthorityMap((entry,)), TOOL, "tools/call", arguments)

    assert found.standing is MatchStanding.CONSTRAINT_FAILED
    assert time.perf_counter() - begun < LONGEST_S


@pytest.mark.parametrize(
    ("members", "unique"),
    [
        ([{"n": n} for n in range(8_000)], True),
        ([*({"n": n} for n in range(8_000)), {"n": 7.0}], False),
        ([1, True], True),
        ([1, 1.0], False),
        ([[1], [1.0]], False),
        (["1", 1], True),
    ],
)
def test_members_are_found_to_be_equal_without_comparing_every_pair(members: list[Json], *, unique: bool) -> None:
    entry = allowing("read_file", constraints={"properties": {"a": {"uniqueItems": True}}})
    begun = time.perf_counter()

    found = match(AuthorityMap((entry,)), TOOL, "tools/call", {"a": members})

    assert found.inside is unique
    assert time.perf_counter() - begun < LONGEST_S


WORDS = [
    *("type", "enum", "const", "required", "properties", "items", "prefixItems", "allOf", "anyOf", "not", "if", "minLength", "maxItems"),
    *("multipleOf", "maximum", "uniqueItems", "dependentRequired", "dependentSchemas", "additionalProperties", "title", "format", "$ref", "$defs"),
    *("contains", "minContains", "readOnly", "examples", "propertyNames", "unknown"),
]  # fmt: skip


def _made(draw: random.Random, depth: int) -> Json:
    """Anything, now and then a schema."""
    plain: list[Json] = [
        True,
        False,
        None,
        0,
        1,
        -1,
        2.0,
        1.5,
        "string",
        "array",
        "x",
        "",
        [],
        {},
        ["a", "b"],
        ["a", "a"],
        ["string", "null"],
    ]
    if depth == 0 or draw.random() < 0.25:
        return draw.choice(plain)
    if draw.random() < 0.2:
        return [_made(draw, depth - 1) for _ in range(draw.randint(0, 3))]
    if draw.random() < 0.15:
        return {draw.choice("abc"): _made(draw, depth - 1) for _ in range(draw.randint(0, 2))}
    return {draw.choice(WORDS): _made(draw, depth - 1) for _ in range(draw.randint(0, 2))}


def test_the_check_in_one_pass_takes_and_refuses_what_the_metaschema_does() -> None:
    draw = random.Random(20261124)
    taken = 0
    for _ in range(3_000):
        schema = {draw.choice(WORDS): _made(draw, 3) for _ in range(draw.randint(1, 2))}
        if any(
            name in json.dumps(schema) for name in ('"$ref": "string"', '"$ref": "array"', '"$ref": "x"', '"$ref": ""')
        ):
            continue  # refused for another reason: a reference outside itself
        try:
            Draft202012Validator.check_schema(schema)
            right = True
        except SchemaError:
            right = False
        found = True
        try:
            check_entry(allowing("read_file", constraints=schema))
        except BadInputError:
            found = False
        assert found is right, schema
        taken += found
    assert 300 < taken < 2_900


# ---- T44: a client id more costs a stranger nothing ---------------------------------------------------------------------------------------


async def test_t44_a_stranger_with_a_thousand_names_asks_a_person_30_times_an_hour() -> None:
    here = await consenting()
    asked = 0
    for number in range(300):
        client = dataclasses.replace(CLIENT, id=f"https://evil.example/{number}.json")
        with contextlib.suppress(OAuthError):
            await here.ask_elsewhere(mission(f"Read the file {number}.txt"), client=client, requested_expiry="30")
            asked += 1
        here.tick(10)
    assert asked == 30


async def test_t44_a_workload_of_ours_and_a_page_are_not_shut_by_what_strangers_ask() -> None:
    here = await consenting()
    for number in range(40):
        client = dataclasses.replace(CLIENT, id=f"https://evil.example/{number}.json")
        with contextlib.suppress(OAuthError):
            await here.ask_elsewhere(mission(f"Read the file {number}.txt"), client=client)
    assert len(await here.world.broker.driving.approvals.waiting()) == 20

    assert await here.code(mission())

    here.tick(3000)
    for number in range(40, 60):
        client = dataclasses.replace(CLIENT, id=f"https://evil.example/{number}.json")
        with contextlib.suppress(OAuthError):
            await here.ask_elsewhere(mission(f"Read the file {number}.txt"), client=client)
    ours = dataclasses.replace(CLIENT, id="spiffe://jittrust.test/agent/coder")
    assert await here.ask_elsewhere(mission("Read the file plan.txt"), client=ours)


@pytest.mark.parametrize(
    ("address", "host"),
    [("https://[2001:db8::666]/cb", "[2001:db8::666]"), ("https://[2001:db8::666]:8443/cb", "[2001:db8::666]:8443")],
)
def test_t45_an_address_of_a_machine_is_shown_as_one_and_not_as_an_app(address: str, host: str) -> None:
    assert check_redirect(address) == address
    assert goes_to(address) == (host, False)


# ---- what everybody waits for ----------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class SlowPin:
    """A PIN whose check takes as long as a real one's."""

    went_on: bool = False

    def check(self, pin: str) -> None:
        """Wait for the loop to go on, as it would for other callers."""
        for _ in range(200):
            if self.went_on:
                return
            time.sleep(0.01)
        raise RefusedError("pin_wrong", pin)


async def test_the_check_of_a_pin_for_lifting_a_stop_holds_up_no_decision() -> None:
    there = await world()
    await there.start()
    await there.broker.driving.responses.stop(StopScope.AGENT, "agent", "test", "ada")
    pin = SlowPin()
    there.broker.driving.responses._pin = pin  # type: ignore[attr-defined]

    lifting = asyncio.create_task(there.broker.driving.responses.lift("agent:agent", "test", "ada", "x"))
    await asyncio.sleep(0.02)
    pin.went_on = True

    assert not (await lifting).stands


async def test_asking_for_a_status_list_that_is_not_there_looks_through_nothing() -> None:
    there = await oauth_world()
    await working(there)
    answer = await there.ask({"grant_type": CREDENTIALS, **as_workload(await there.svid())})
    grants = there.broker.state.grants
    one = grants[answer.json()["grant_id"]]
    for number in range(200_000):
        grants[f"z-{number}"] = dataclasses.replace(one, id=f"z-{number}", status=number % 1000, mission="m-none")
    async with there.web() as web:
        await web.get("/oauth/status/999999")
        begun = time.perf_counter()
        for _ in range(50):
            assert (await web.get("/oauth/status/999999")).status_code == 404
    assert time.perf_counter() - begun < 0.5


# ---- bodies that do not come ---------------------------------------------------------------------------------------------------------------

FORM = "application/x-www-form-urlencoded"
BODIES = [("/oauth/token", FORM), ("/oauth/revoke", FORM), ("/oauth/register", "application/json")]


@pytest.mark.parametrize(("path", "kind"), BODIES)
async def test_t58_a_body_that_is_held_back_holds_a_connection_for_a_while_only(
    path: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "BODY_SECONDS", 0.05)
    there = await oauth_world(registration=True)

    async def slow() -> AsyncIterator[bytes]:
        yield b"grant"
        await asyncio.sleep(30)

    async with there.web() as web, asyncio.timeout(5):
        answer = await web.post(path, content=slow(), headers={"content-type": kind})

    assert error_of(answer) == (400, "invalid_request", "body_too_slow")


@pytest.mark.parametrize(("path", "kind"), BODIES)
async def test_whoever_leaves_in_the_middle_of_a_body_leaves_no_fault_behind(path: str, kind: str) -> None:
    there = await oauth_world(registration=True)
    app = Starlette(routes=oauth_routes(there.broker.inner, ISSUER, ORIGIN, ("srv",), registration=True))
    came: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"grant", "more_body": True}, {"type": "http.disconnect"}]
    )
    said: list[Message] = []

    async def receive() -> Message:
        return next(came)

    async def send(message: Message) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", kind.encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": None,
    }
    await app(scope, receive, send)

    assert said[0]["status"] == 400


# ---- a yes bounds all that follows from it ------------------------------------------------------------------------------------------------


async def test_t33_forty_requests_at_once_get_no_more_uses_than_the_person_said() -> None:
    here = await flow()
    there = here.there
    name = "https://agent.example/client.json"
    app = KeyClient(there, name, ECKey.generate_key("P-256", {"kid": "c1"}))
    there.documents.at[name] = json.dumps(
        {
            "client_id": name,
            "redirect_uris": [BACK],
            "grant_types": ["authorization_code", "client_credentials", "refresh_token"],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [app.key.as_dict(private=False)]},
        }
    ).encode()
    code = await here.ada.code(mission(gas=100, uses=5), resource=RESOURCE, client_id=name)
    first = (await there.ask({**bring(code, client_id="-", uses="2"), **app.form()}, dpop(there, key()))).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    alone = {"grant_type": CREDENTIALS, "resource": RESOURCE, "uses": "1"}

    await asyncio.gather(
        *(there.ask({**refresh, **app.form()}, dpop(there, key())) for _ in range(20)),
        *(there.ask({**alone, **app.form()}, dpop(there, key(2 + number))) for number in range(20)),
    )

    live = [one for one in there.broker.state.grants.values() if one.state is GrantState.ACTIVE]
    assert 1 <= sum(one.uses_left or 0 for one in live) <= 2
    assert all(one.uses_limit is not None for one in live)
    assert sum(int(one.gas_limit) for one in there.broker.state.grants.values()) <= 200


async def test_t39_a_code_that_comes_again_while_its_grant_is_being_noted_leaves_nothing_that_renews() -> None:
    here = await flow()
    there, reached, gate = here.there, asyncio.Event(), asyncio.Event()
    code = await here.ada.code(mission(gas=500), resource=RESOURCE)
    commit = there.store.commit

    async def slow(change: Change) -> Committed:
        done = await commit(change)
        if any(record.get("what") == "granted" for record in change.records):
            reached.set()
            await gate.wait()
        return done

    there.store.commit = slow  # type: ignore[method-assign]
    first = asyncio.create_task(there.ask(bring(code), dpop(there, key())))
    await reached.wait()
    thief = await there.ask(bring(code), dpop(there, key(5)))
    gate.set()

    assert error_of(thief)[1] == "invalid_grant"
    assert error_of(await first)[1] == "invalid_grant"
    assert {one.state for one in there.broker.state.grants.values()} == {GrantState.REVOKED}
    assert all(one.ended for one in there.broker.state.of_kind(Renewal).values())


async def test_t58_what_strangers_push_fills_no_memory_that_tokens_need() -> None:
    there = await oauth_world()
    await working(there)
    server = there.broker.inner.authorization
    for name in ("_seen", "_asked"):
        setattr(server, name, ReplayMemory(there.clock, most=20))
    sent = {
        "client_id": "jittrust-connect",
        "response_type": "code",
        "redirect_uri": "http://127.0.0.1:9/callback",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    pushed = [
        await there.ask(
            {**sent, "state": f"s-{number}"}, dpop(there, key(), url=f"{ISSUER}/oauth/par"), path="/oauth/par"
        )
        for number in range(30)
    ]

    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid())}
    answer = await there.ask(form, dpop(there, key()))

    assert error_of(pushed[-1])[2] == "replay_memory_full"
    assert answer.status_code == 200


async def test_a_call_more_costs_the_same_however_many_leases_are_remembered() -> None:
    there = await world()
    leases = LeaseBook(there.broker.state, there.clock)
    for number in range(60_000):
        leases.hold(f"c-{number}", "agent", "m", "g")
    begun = time.perf_counter()

    for number in range(200):
        leases.hold(f"d-{number}", "agent", "m", "g")

    assert time.perf_counter() - begun < 0.2


async def test_nothing_that_is_stopped_opens_a_lane() -> None:
    there = await world()
    await there.join()
    await there.start(lanes=4)
    issued = await there.grant(lanes=2)
    await there.broker.driving.responses.stop(StopScope.EVERYTHING, "", "test", "ada")

    shown = Shown(
        PassBinding.DPOP, issued.grant.id, issued.first_pass, there.clock(), there.names("j"), issued.grant.jkt
    )
    with pytest.raises(RefusedError, match="stopped"):
        await there.broker.driving.grants.open_lane(shown)
