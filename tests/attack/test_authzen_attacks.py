"""Attacks on the decision API end in a 4xx or a refusal with a code, never in a 5xx, and nothing is let out or changed.

Strangers who ask, bodies that two readers would read differently, proofs that are not the agent's, tokens that were made up, mappings that a hostile
server declares, an operator's folder that is not sound.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.authzen import BASE, PEP, URL, Deciding, KeyHolder, application, asking, credentials, deciding, key_holder
from tests.model.world import allowing, world

from jittrust.adapters.cedar.attribute_policy import CedarAttributePolicy
from jittrust.api.authzen import coaz
from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.grant.proof import Ed25519Signer
from jittrust.core.model import SubjectKind

PLAN = {"path": "plan.txt"}
GOOD = {
    "subject": {"type": "user", "id": "alice"},
    "action": {"name": "read"},
    "resource": {"type": "record", "id": "record-1"},
}
PATHS = (
    "evaluation",
    "evaluations",
    "search/subject",
    "search/resource",
    "search/action",
    "outcome",
    "mcp",
    "requests",
)


@pytest.fixture
async def api() -> AsyncIterator[Deciding]:
    made = await world()
    await made.join()
    await made.start(allowing("read_file"))
    async with deciding(made) as found:
        yield found


def effects(api: Deciding) -> tuple[int, int]:
    """What went out and was not settled, and how many questions wait."""
    state = api.world.broker.state
    return len(state.calls), len(state.approvals)


# ---- who asks (T13, T44) -------------------------------------------------------------------------------------------------------------------

STRANGERS: dict[str, dict[str, str]] = {
    "nothing": {},
    "an empty bearer": {"authorization": "Bearer "},
    "another secret": {"authorization": "Bearer " + "x" * len(PEP)},
    "the secret cut short": {"authorization": f"Bearer {PEP[:-1]}"},
    "the secret and more": {"authorization": f"Bearer {PEP}x"},
    "the secret twice": {"authorization": f"Bearer {PEP} {PEP}"},
    "another scheme": {"authorization": f"DPoP {PEP}"},
    "basic": {"authorization": "Basic " + base64.b64encode(f"pep:{PEP}".encode()).decode()},
    "an unsigned token": {
        "authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJzcGlmZmU6Ly9qaXR0cnVzdC50ZXN0L3dvcmtsb2FkL3gifQ."
    },
    "a huge token": {"authorization": "Bearer " + "a." * 20_000},
    "in a cookie": {"cookie": f"token={PEP}"},
    "as a forwarded certificate": {"x-forwarded-client-cert": "URI=spiffe://jittrust.test/workload/gateway"},
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS.keys())
async def test_t13_nobody_but_enforcement_points_is_answered(api: Deciding, headers: dict[str, str]) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=api.app), base_url=BASE, headers=headers) as http:
        for path in PATHS:
            answer = await http.post(f"/access/v1/{path}", content=b"not even JSON")
            assert (answer.status_code, answer.json()["code"]) == (401, "caller_unknown"), path
        assert (await http.get("/access/v1/requests/arq_AAAA")).status_code == 401


@pytest.mark.parametrize("kind", [SubjectKind.AGENT, SubjectKind.WORKFLOW])
async def test_t13_an_agent_that_proves_who_it_is_finds_no_oracle(api: Deciding, kind: SubjectKind) -> None:
    shown = await credentials(api.world, kind, f"/{kind}/x")

    answer = await api.post("evaluation", asking("read_file"), authorization=f"Bearer {shown.jwt}")

    assert (answer.status_code, answer.json()["code"]) == (401, "caller_unknown")


async def test_t13_an_agent_s_own_grant_token_opens_nothing(api: Deciding) -> None:
    agent = await key_holder(api.world)
    for scheme in ("Bearer", "DPoP"):
        answer = await api.post("evaluation", asking("read_file"), authorization=f"{scheme} {agent.grant.token}")
        assert answer.status_code == 401


async def test_t13_a_workload_s_token_for_another_server_opens_nothing(api: Deciding) -> None:
    shown = await credentials(api.world, SubjectKind.WORKLOAD, "/workload/gateway", audience="https://other.example")

    assert (await api.post("evaluation", asking("read_file"), authorization=f"Bearer {shown.jwt}")).status_code == 401


async def test_t13_a_certificate_that_nobody_here_issued_opens_nothing(api: Deciding) -> None:
    app = application(api.world, None)

    async def with_certificate(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        scope["extensions"] = {
            "tls": {"client_cert_chain": ["-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"]}
        }
        await app(scope, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=with_certificate), base_url=BASE) as http:
        assert (await http.post("/access/v1/evaluation", json=GOOD)).status_code == 401


# ---- bodies (T1, T54) ----------------------------------------------------------------------------------------------------------------------


def body(**changes: Any) -> bytes:  # noqa: ANN401
    return json.dumps({**GOOD, **changes}).encode()


def subject(name: str) -> bytes:
    return json.dumps({**GOOD, "subject": {"type": "user", "id": name}}, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a bare text": b'"alice"',
    "a list": b"[]",
    "null": b"null",
    "a member twice": body().replace(b'"id": "alice"', b'"id": "alice", "id": "bob"'),
    "the subject twice": body()[:-1] + b', "subject": {"type": "user", "id": "bob"}}',
    "a member twice by escape": body()[:-1] + b', "\\u0073ubject": {"type": "user", "id": "bob"}}',
    "NaN": body()[:-1] + b', "context": {"a": NaN}}',
    "infinity": body()[:-1] + b', "context": {"a": -Infinity}}',
    "1e999": body()[:-1] + b', "context": {"a": 1e999}}',
    "a number beyond 64 bits": body()[:-1] + b', "context": {"a": 18446744073709551616}}',
    "nested 10000 deep": body()[:-1] + b', "context": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    "30000 members": json.dumps({**GOOD, "context": {str(number): 1 for number in range(30_000)}}).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + body(),
    "UTF-16": body().decode().encode("utf-16"),
    "not UTF-8": body().replace(b"alice", b"al\xffce"),
    "an overlong NUL": body().replace(b"alice", b"al\xc0\x80ce"),
    "an escaped NUL": body().replace(b"alice", b"al\\u0000ce"),
    "half a surrogate pair": body().replace(b"alice", b"\\ud800"),
    "a comment": body().replace(b"{", b"{/* */", 1),
    "a comma too many": body()[:-1] + b",}",
    "more behind it": body() + b"{}",
    "an empty id": subject(""),
    "an endless id": subject("a" * 5000),
    "a line break in an id": subject(b"alice\\n".decode("unicode_escape")),
    "a zero-width joiner": subject("ali\u200dce"),
    "turned reading direction": subject("\u202eecila"),
    "another spelling of the same name": subject("ame\u0301lie"),
    "a type that is a list": body(subject={"type": ["user"], "id": "alice"}),
    "an id that is a number": body(subject={"type": "user", "id": 1}),
    "an id that is true": body(subject={"type": "user", "id": True}),
    "properties that are a list": body(subject={"type": "user", "id": "alice", "properties": []}),
    "a context that is a text": body(context="now"),
    "a context that is null": body(context=None),
    "an action that is null": body(action=None),
    "obligations that are a text": body(
        subject={"type": "agent", "id": "agent"},
        resource={"type": "tool", "id": "srv/x"},
        context={"supported_obligations": "all"},
    ),
    "a role that is a number": body(
        action={"name": "write"}, subject={"type": "user", "id": "bob", "properties": {"role": 1}}
    ),
}


@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES.keys())
async def test_t54_a_body_that_can_be_read_in_two_ways_is_read_in_none(api: Deciding, sent: bytes) -> None:
    before = effects(api)
    answer = await api.raw("evaluation", sent)

    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]
    assert effects(api) == before


async def test_t54_a_body_without_end_is_cut_off(api: Deciding) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    answer = await api.http.post(
        "/access/v1/evaluation", content=endless(), headers={"content-type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "json_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", "text/plain")],
        [("content-type", "application/x-www-form-urlencoded")],
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("content-type", "application/json"), ("content-encoding", "gzip")],
        [],
    ],
    ids=["plain", "form", "two types", "compressed", "none"],
)
async def test_t54_what_is_not_plain_json_is_not_read(api: Deciding, headers: list[tuple[str, str]]) -> None:
    named = [*headers, ("authorization", f"Bearer {PEP}")]

    answer = await api.http.post("/access/v1/evaluation", content=body(), headers=named)

    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["a" * 300, "r\xe9sum\xe9", "tab\there"])
async def test_t54_a_request_id_that_could_forge_a_log_line_is_refused(api: Deciding, name: str) -> None:
    answer = await api.http.post(
        "/access/v1/evaluation", json=GOOD, headers=[(b"x-request-id", name.encode("latin-1"))]
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "request_id_bad")
    assert "x-request-id" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_t54_other_methods_are_refused(api: Deciding, method: str) -> None:
    answer = await api.http.request(method, "/access/v1/evaluation", json=GOOD)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


# ---- presentations (T8, T9, T12) -----------------------------------------------------------------------------------------------------------

Change = Callable[[KeyHolder], dict[str, Any]]


def another_key(agent: KeyHolder) -> dict[str, Any]:
    thief = replace(agent, signer=Ed25519Signer.from_secret(hashlib.sha256(b"thief").digest()))
    return thief.presentation()


def cut(agent: KeyHolder) -> dict[str, Any]:
    shown = agent.presentation()
    return {**shown, "dpop": str(shown["dpop"])[:-4]}


def flipped(agent: KeyHolder) -> dict[str, Any]:
    shown = agent.presentation()
    token = str(shown["authorization"])
    return {**shown, "authorization": token[:-6] + ("A" if token[-6] != "A" else "B") + token[-5:]}


PRESENTED: dict[str, Change] = {
    "a proof of another key": another_key,
    "a proof that was cut": cut,
    "a token that was changed": flipped,
    "no proof": lambda agent: {**agent.presentation(), "dpop": ""},
    "no token": lambda agent: {**agent.presentation(), "authorization": ""},
    "the token as a bearer": lambda agent: {"authorization": f"Bearer {agent.grant.token}", "url": URL},
    "bearer with a proof": lambda agent: {**agent.presentation(), "authorization": f"Bearer {agent.grant.token}"},
    "the proof for another URL": lambda agent: {**agent.presentation(), "url": "https://gateway.example/mcp/other"},
    "the proof for another method": lambda agent: {**agent.presentation(), "method": "GET"},
    "two tokens in one header": lambda agent: {
        **agent.presentation(),
        "authorization": f"DPoP {agent.grant.token}, DPoP x",
    },
    "a token of nothing": lambda agent: {**agent.presentation(), "authorization": "DPoP ..."},
    "an emoji for a token": lambda agent: {**agent.presentation(), "authorization": "DPoP \U0001f600"},
}


@pytest.mark.parametrize("change", PRESENTED.values(), ids=PRESENTED.keys())
async def test_t9_what_is_not_the_agent_s_own_proof_is_refused_and_spends_nothing(
    api: Deciding, change: Change
) -> None:
    agent = await key_holder(api.world)
    name = agent.grant.grant.id
    before = api.world.broker.state.grants[name]

    told = await api.told("evaluation", asking("read_file", PLAN, presentation=change(agent)))

    assert told["decision"] is False
    assert told["context"]["reason"] in {"invalid_token", "invalid_dpop_proof"}
    assert api.world.broker.state.grants[name] == before
    assert (await api.told("evaluation", asking("read_file", PLAN, presentation=agent.presentation())))[
        "decision"
    ] is True


MALFORMED: dict[str, Any] = {
    "a text": "DPoP x",
    "a list": [],
    "without a URL": {"authorization": "DPoP x"},
    "a URL with a fragment": {"authorization": "DPoP x", "url": f"{URL}#x"},
    "a URL of a file": {"authorization": "DPoP x", "url": "file:///etc/passwd"},
    "a token that is a list": {"authorization": ["DPoP x"], "url": URL},
    "a body that is no base64": {"authorization": "DPoP x", "url": URL, "body": "%%%"},
    "a proof of a megabyte": {"authorization": "DPoP x", "url": URL, "dpop": "x" * 900_000},
}


@pytest.mark.parametrize("shown", MALFORMED.values(), ids=MALFORMED.keys())
async def test_t9_a_presentation_that_is_none_is_400(api: Deciding, shown: Any) -> None:  # noqa: ANN401
    assert (await api.post("evaluation", asking("read_file", PLAN, presentation=shown))).status_code == 400


async def test_t12_a_pass_that_was_spent_pays_for_nothing_else(api: Deciding) -> None:
    agent = await key_holder(api.world)
    first = await api.told("evaluation", asking("read_file", PLAN, presentation=agent.presentation()))
    await api.told("outcome", {"evaluation_id": first["context"]["evaluation_id"], "outcome": {"settled": "complete"}})
    agent.newest, spent = first["context"]["next_pass"], agent.newest
    second = await api.told("evaluation", asking("read_file", {"path": "b"}, presentation=agent.presentation()))
    api.world.clock.now += 60
    agent.newest = spent

    stolen = await api.told("evaluation", asking("read_file", {"path": "secrets"}, presentation=agent.presentation()))

    assert (first["decision"], second["decision"], stolen["decision"]) == (True, True, False)
    assert len(await api.world.records("use")) == 2


async def test_t12_of_a_hundred_uses_with_one_pass_one_goes_out(api: Deciding) -> None:
    agent = await key_holder(api.world)
    asked = [asking("read_file", {"path": str(number)}, presentation=agent.presentation()) for number in range(100)]

    told = await asyncio.gather(*(api.told("evaluation", one) for one in asked))

    assert sum(one["decision"] for one in told) == 1


async def test_t44_a_grant_does_not_speak_for_another_agent(api: Deciding) -> None:
    agent = await key_holder(api.world)

    told = await api.told("evaluation", asking("read_file", PLAN, agent="admin", presentation=agent.presentation()))

    assert told["decision"] is False
    assert told["context"]["reason"] == "invalid_token"
    assert await api.world.records("use") == []


@pytest.mark.parametrize("name", ["g-unknown", "../../grants", "*", "m-1"])
async def test_t44_a_grant_that_is_none_is_refused(api: Deciding, name: str) -> None:
    told = await api.told("evaluation", asking("read_file", PLAN, grant=name))

    assert told["decision"] is False
    assert told["context"]["reason"] == "invalid_token"


async def test_t44_a_key_bound_grant_is_not_used_by_name(api: Deciding) -> None:
    agent = await key_holder(api.world)

    told = await api.told("evaluation", asking("read_file", PLAN, grant=agent.grant.grant.id))

    assert told["decision"] is False
    assert await api.world.records("use") == []


async def test_t45_a_use_of_what_is_not_behind_the_broker_is_400(api: Deciding) -> None:
    agent = await key_holder(api.world)

    answer = await api.post("evaluation", {**GOOD, "context": {"presentation": agent.presentation()}})

    assert answer.status_code == 400
    assert len(await api.world.records("use")) == 0


# ---- outcomes, pages, tasks (T16) -----------------------------------------------------------------------------------------------------------

OUTCOMES: dict[str, Any] = {
    "never let out": {"evaluation_id": "e-1", "outcome": {"settled": "complete"}},
    "without an id": {"outcome": {"settled": "complete"}},
    "another word": {"evaluation_id": "e-1", "outcome": {"settled": "refunded"}},
    "texts that are numbers": {"evaluation_id": "e-1", "outcome": {"settled": "complete", "texts": [1]}},
    "an answer that is no base64": {"evaluation_id": "e-1", "outcome": {"settled": "complete", "answer": "\u20ac"}},
    "an id of a kilometre": {"evaluation_id": "e" * 100_000, "outcome": {"settled": "complete"}},
}


@pytest.mark.parametrize("report", OUTCOMES.values(), ids=OUTCOMES.keys())
async def test_t16_an_outcome_of_nothing_is_refused(api: Deciding, report: Any) -> None:  # noqa: ANN401
    assert (await api.post("outcome", report)).status_code in {400, 404}
    assert await api.world.records("outcome") == []


@pytest.mark.parametrize(
    "page",
    [
        {"token": "AAAA"},
        {"token": "%00"},
        {"token": 1},
        {"limit": 0},
        {"limit": -1},
        {"limit": 1.5},
        {"limit": True},
        {"limit": "9"},
        [],
    ],
    ids=str,
)
async def test_t16_a_page_that_was_made_up_is_400(api: Deciding, page: Any) -> None:  # noqa: ANN401
    asked = {
        "subject": {"type": "user"},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"},
        "page": page,
    }

    assert (await api.post("search/subject", asked)).status_code == 400


async def test_t16_a_page_is_never_larger_than_its_bound(api: Deciding) -> None:
    asked = {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": {"type": "record", "id": "record-1"}}

    assert (await api.post("search/subject", {**asked, "page": {"limit": 2**62}})).status_code == 200


async def refused(api: Deciding) -> tuple[dict[str, Any], dict[str, Any]]:
    await key_holder(api.world)
    asked = asking("delete_record", {"id": "1"})
    offer = (await api.told("evaluation", asked))["context"]["access_request"]
    return asked, {"binding_token": offer["binding_token"], "expires_at": offer["expires_at"]}


REBOUND: dict[str, Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
    "another tool": lambda asked, denial: {
        **asked,
        "resource": {"type": "tool", "id": "srv/send_mail"},
        "denial": denial,
    },
    "other arguments": lambda _asked, denial: {**asking("delete_record", {"id": "2"}), "denial": denial},
    "another agent": lambda _asked, denial: {**asking("delete_record", {"id": "1"}, agent="bob"), "denial": denial},
    "another mission": lambda _asked, denial: {**asking("delete_record", {"id": "1"}, mission="m-9"), "denial": denial},
    "a later end": lambda asked, denial: {**asked, "denial": {**denial, "expires_at": "2099-01-01T00:00:00Z"}},
    "no token": lambda asked, denial: {**asked, "denial": {"expires_at": denial["expires_at"]}},
    "no denial": lambda asked, _denial: asked,
    "a token that was changed": lambda asked, denial: {
        **asked,
        "denial": {**denial, "binding_token": "A" + denial["binding_token"][1:]},
    },
    "a token of nothing": lambda asked, denial: {**asked, "denial": {**denial, "binding_token": "."}},
    "a token that is a list": lambda asked, denial: {**asked, "denial": {**denial, "binding_token": []}},
}


@pytest.mark.parametrize("changed", REBOUND.values(), ids=REBOUND.keys())
async def test_t16_only_what_was_refused_can_be_asked_about(
    api: Deciding, changed: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
) -> None:
    asked, denial = await refused(api)

    answer = await api.post("requests", changed(asked, denial))

    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:openid:authzen:access-request:error:invalid_denial_binding"
    assert api.world.broker.state.approvals == {}


async def test_t16_a_refusal_is_not_asked_about_for_ever(api: Deciding) -> None:
    asked, denial = await refused(api)
    api.world.clock.now += 601

    answer = await api.post("requests", {**asked, "denial": denial})

    assert (answer.status_code, answer.json()["code"]) == (400, "expired_denial")


async def test_t16_an_approval_that_is_only_claimed_opens_nothing(api: Deciding) -> None:
    asked, denial = await refused(api)
    task = (await api.post("requests", {**asked, "denial": denial})).json()["task"]["id"]

    claimed = await api.told(
        "evaluation", asking("delete_record", {"id": "1"}, approval={"id": task, "state": "approved"})
    )

    assert claimed["decision"] is False


@pytest.mark.parametrize("handle", ["arq_", "arq_AAAA", "a-1", "arq_" + "A" * 5000, "..%2f..", "arq_%00", "arq_\u20ac"])
async def test_t16_a_task_is_not_guessed(api: Deciding, handle: str) -> None:
    asked, denial = await refused(api)
    await api.post("requests", {**asked, "denial": denial})

    assert (await api.http.get(f"/access/v1/requests/{handle}")).status_code == 404
    assert (await api.http.post(f"/access/v1/requests/{handle}/cancel")).status_code == 404


# ---- mappings that a hostile server declares (COAZ-MCP; T57) --------------------------------------------------------------------------------

CLAIMS = {"sub": "alice", "client_id": "agent", "aud": "srv"}
READS: dict[str, Any] = {"action": {"name": "read"}, "resource": {"type": "record", "id": "record-1"}}
HOSTILE: dict[str, Any] = {
    "another subject": {"evaluation": {**READS, "subject": {"type": "user", "id": "admin"}}},
    "a subject of its own choice": {"evaluation": {**READS, "subject": {"id": "$params.arguments.who"}}},
    "a subject in an entry": {"evaluations": {"evaluations": [{**READS, "subject": {"id": "$token.sub"}}]}},
    "two envelopes": {"evaluation": READS, "evaluations": {"evaluations": [READS]}},
    "no envelope": READS,
    "an unknown envelope": {"search": READS},
    "a list": [READS],
    "no evaluations": {"evaluations": {"evaluations": []}},
    "a thousand evaluations": {"evaluations": {"evaluations": [READS] * 1000}},
    "another tool in place of the called one": {
        "evaluation": {**READS, "resource": {"type": "tool", "id": "read_file"}}
    },
    "another tool by expression": {"evaluation": {**READS, "resource": {"type": "$'to' + 'ol'", "id": "read_file"}}},
    "another tool in an entry": {
        "evaluations": {"evaluations": [{**READS, "resource": {"type": "prompt", "id": "x"}}]}
    },
    "a mission": {"evaluation": {**READS, "context": {"mission": "m-1"}}},
    "a grant": {"evaluation": {**READS, "context": {"grant": "g-1"}}},
    "a presentation in an entry": {"evaluations": {"evaluations": [{**READS, "context": {"presentation": {}}}]}},
    "an expression that fails": {"evaluation": {**READS, "resource": {"type": "record", "id": "$params.missing.x"}}},
    "an expression that divides by nothing": {"evaluation": {**READS, "resource": {"type": "record", "id": "$1/0"}}},
    "no expression": {"evaluation": {**READS, "resource": {"type": "record", "id": "$"}}},
    "a broken expression": {"evaluation": {**READS, "resource": {"type": "record", "id": "$params.(("}}},
    "a name that does not exist": {"evaluation": {**READS, "resource": {"type": "record", "id": "$env.HOME"}}},
    "a loop": {"evaluation": {**READS, "context": {"a": "$[1,2].map(a, [1,2].map(b, a + b))"}}},
    "a pattern": {"evaluation": {**READS, "context": {"a": "$'aaaa'.matches('(a+)+$')"}}},
    "an endless expression": {"evaluation": {**READS, "context": {"a": "$" + "1+" * 100_000 + "1"}}},
    "an expression nested deep": {"evaluation": {**READS, "context": {"a": "$" + "(" * 200 + "1" + ")" * 200}}},
    "a thousand expressions": {"evaluation": {**READS, "context": {str(number): "$1" for number in range(1000)}}},
    "an expression of two lines": {"evaluation": {**READS, "context": {"a": "$[1].map//\n(a, a)"}}},
    "an expression that is infinite": {"evaluation": {**READS, "context": {"a": "$1.0/0.0"}}},
    "an expression that gives bytes": {"evaluation": {**READS, "context": {"a": "$b'abc'"}}},
    "an expression that gives a type": {"evaluation": {**READS, "context": {"a": "$type(1)"}}},
    "a subject that is a text": {"evaluation": {**READS, "subject": "admin"}},
    "a context that is a text": {"evaluation": {**READS, "context": "x"}},
    "nested without end": {"evaluation": {**READS, "context": json.loads('{"a":' * 20 + "1" + "}" * 20)}},
}


@pytest.mark.parametrize("mapping", HOSTILE.values(), ids=HOSTILE.keys())
async def test_t57_a_hostile_mapping_ends_in_a_refusal(api: Deciding, mapping: Any) -> None:  # noqa: ANN401
    message = {"method": "tools/call", "params": {"name": "wipe", "arguments": {"who": "admin"}}}
    began = time.monotonic()

    answer = await api.post("mcp", {"message": message, "token": CLAIMS, "mapping": mapping})

    assert answer.status_code in {200, 400}, answer.text
    assert answer.status_code == 400 or answer.json()["decision"] is False
    assert time.monotonic() - began < 2.0


async def test_t57_what_an_expression_sees_is_bounded() -> None:
    params: dict[str, Any] = {"name": "x", "arguments": {"s": "x" * (coaz.MOST_SEEN - 100)}}
    doubled = {
        "evaluation": {**READS, "context": {str(n): "$" + " + ".join(["params.arguments.s"] * 20) for n in range(60)}}
    }

    with pytest.raises(coaz.MappingFaultError):
        coaz.request_of("tools/call", params, CLAIMS, "", doubled)
    with pytest.raises(coaz.MappingFaultError):
        coaz.request_of("tools/call", {"name": "x" * coaz.MOST_SEEN}, CLAIMS, "", {"evaluation": READS})


async def test_t57_the_subject_and_the_agent_are_the_token_s_own() -> None:
    mapping = {
        "evaluation": {
            **READS,
            "subject": {"type": "user"},
            "context": {"agent": "another", "a": "$token.?none", "b": "$$5"},
        }
    }

    made = coaz.request_of("tools/call", {"name": "x"}, CLAIMS, "", mapping)

    assert made["subject"] == {"type": "user", "id": "alice"}
    assert made["context"] == {"agent": "agent", "b": "$5"}


@pytest.mark.parametrize(
    "method", ["tools/destroy", "Tools/call", "tools/call ", "notifications", "", "rpc.discover", "ping/x"]
)
def test_t57_a_method_that_is_not_known_is_refused(method: str) -> None:
    assert not coaz.passes(method)
    with pytest.raises(RefusedError):
        coaz.request_of(method, {}, CLAIMS, "srv")


@pytest.mark.parametrize("aud", [["a", "b"], [], "", None, 1, [1]])
def test_t57_a_token_for_several_servers_names_none(aud: Any) -> None:  # noqa: ANN401
    with pytest.raises(coaz.MappingFaultError):
        coaz.request_of("tools/list", {}, {"sub": "alice", "aud": aud}, "")


# ---- the operator's folder --------------------------------------------------------------------------------------------------------------------

SCHEMA = "entity user { role?: String };\nentity doc;\naction read appliesTo { principal: [user], resource: [doc] };\n"
FOLDERS: dict[str, tuple[str, str, str]] = {
    "no rule": ("", SCHEMA, "[]"),
    "a rule that is none": ("permit everything;", SCHEMA, "[]"),
    "a rule about what the schema does not know": (
        'permit (principal, action == Action::"write", resource);',
        SCHEMA,
        "[]",
    ),
    "an attribute that is misspelt": (
        'forbid (principal, action, resource) when { principal.rolle == "x" };',
        SCHEMA,
        "[]",
    ),
    "an attribute that may be missing": (
        'forbid (principal, action, resource) when { principal.role == "x" };',
        SCHEMA,
        "[]",
    ),
    "two rules of one name": (
        '@id("a") permit (principal, action, resource); @id("a") forbid (principal, action, resource);',
        SCHEMA,
        "[]",
    ),
    "a rule with slots": ("permit (principal == ?principal, action, resource);", SCHEMA, "[]"),
    "a schema that is none": ("permit (principal, action, resource);", "entity", "[]"),
    "a schema with a namespace": ("permit (principal, action, resource);", "namespace A { entity user; }", "[]"),
    "entities that are no JSON": ("permit (principal, action, resource);", SCHEMA, "{"),
    "an entity twice over": ("permit (principal, action, resource);", SCHEMA, '[{"uid":{},"uid":{}}]'),
    "an entity of an unknown type": (
        "permit (principal, action, resource);",
        SCHEMA,
        '[{"uid":{"type":"robot","id":"r"},"attrs":{},"parents":[]}]',
    ),
    "an entity with an unknown attribute": (
        "permit (principal, action, resource);",
        SCHEMA,
        '[{"uid":{"type":"user","id":"r"},"attrs":{"x":1},"parents":[]}]',
    ),
}


@pytest.mark.parametrize("files", FOLDERS.values(), ids=FOLDERS.keys())
def test_t46_a_folder_that_is_not_sound_is_not_served(tmp_path: Path, files: tuple[str, str, str]) -> None:
    for name, text in zip(("policy.cedar", "schema.cedarschema", "entities.json"), files, strict=True):
        (tmp_path / name).write_text(text, "utf-8")

    with pytest.raises(BadInputError) as refusal:
        CedarAttributePolicy.load(tmp_path)
    assert refusal.value.code in {"policy_broken", "policy_empty", "attributes_schema"}
