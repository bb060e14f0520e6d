"""The certification scenario of AuthZEN 1.0, transcribed: levels Basic, Batch, Search and Discovery; and the published interoperability decisions.

Scenario: openid/authzen, certification/authorization-api-1_0-scenario.md; its fixture is the folder `authzen` beside this file. Decisions of the Todo
1.0-02 and API gateway scenarios are used where they are on this machine. Not here: TLS (the routes are the same behind it), and whether the
hosted suite of the OpenID Foundation agrees.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import pytest
from tests.authzen import BASE, Deciding, deciding
from tests.model.world import world

Unproven = Callable[[str, str], NoReturn]
ROOT = Path(__file__).resolve().parents[2]
VECTORS = Path(os.environ.get("JITTRUST_VECTORS", ROOT.parent / "shared" / "data" / "vectors")) / "authzen"
CLAIM = "AuthZEN interoperability decisions"

ALICE: dict[str, Any] = {"type": "user", "id": "alice"}
BOB: dict[str, Any] = {"type": "user", "id": "bob"}
ADMIN = {**BOB, "properties": {"role": "admin"}}
READ: dict[str, Any] = {"name": "read"}
WRITE: dict[str, Any] = {"name": "write"}
ONE: dict[str, Any] = {"type": "record", "id": "record-1"}
TWO: dict[str, Any] = {"type": "record", "id": "record-2"}
ACTIVE = {**ONE, "properties": {"status": "active"}}
ARCHIVED = {**TWO, "properties": {"status": "archived"}}


@pytest.fixture
async def pdp() -> AsyncIterator[Deciding]:
    async with deciding(await world(), issuer=BASE) as found:
        yield found


def question(subject: Any, action: Any, resource: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"subject": subject, "action": action, "resource": resource, **more}


def decisions(told: Mapping[str, Any]) -> list[bool]:
    return [one["decision"] for one in told["evaluations"]]


# ---- Basic ----------------------------------------------------------------------------------------------------------------------------

BASIC: list[tuple[str, dict[str, Any], bool]] = [
    ("2.2.1", question(ALICE, READ, ONE), True),
    ("1.4 rule 2", question(ALICE, WRITE, ONE), True),
    ("1.4 rule 3", question(BOB, READ, ONE), True),
    ("2.2.2", question(BOB, WRITE, ONE), False),
    ("2.2.3", question(ALICE, READ, ONE, context={"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}), True),
    ("2.2.4", question(ALICE, WRITE, ARCHIVED), False),
    ("2.2.5", question(ADMIN, WRITE, ARCHIVED), True),
    ("2.2.6", question(ALICE, {"name": "delete", "properties": {"soft": True}}, ONE), True),
    ("2.2.7", question(ALICE, {"name": "delete", "properties": {"soft": False}}, ONE), False),
    (
        "2.2.8",
        question(
            {**ALICE, "properties": {"department": "Sales", "role": "manager"}},
            {"name": "read", "properties": {"method": "GET"}},
            {**ONE, "properties": {"status": "active", "owner": "bob"}},
        ),
        True,
    ),
    ("2.2.9", question(ALICE, READ, ONE, foo="bar", futureField={"nested": True}), True),
]


@pytest.mark.parametrize(("body", "expected"), [row[1:] for row in BASIC], ids=[row[0] for row in BASIC])
async def test_basic_a_decision_of_the_fixture(pdp: Deciding, body: dict[str, Any], *, expected: bool) -> None:
    answers = [await pdp.post("evaluation", body) for _ in range(3)]  # 2.6: idempotent

    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["decision"] is expected
        assert isinstance(answer.json().get("context", {}), dict)


MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("2.4.1 no subject", {"action": READ, "resource": ONE}),
    ("2.4.1 no action", {"subject": ALICE, "resource": ONE}),
    ("2.4.1 no resource", {"subject": ALICE, "action": READ}),
    ("2.4.2 subject without type", question({"id": "alice"}, READ, ONE)),
    ("2.4.2 subject without id", question({"type": "user"}, READ, ONE)),
    ("2.4.2 action without name", question(ALICE, {}, ONE)),
    ("2.4.2 resource without type", question(ALICE, READ, {"id": "record-1"})),
    ("2.4.2 resource without id", question(ALICE, READ, {"type": "record"})),
    ("2.4.6 subject is a text", question("alice", READ, ONE)),
    ("2.4.6 name is a number", question(ALICE, {"name": 123}, ONE)),
]


@pytest.mark.parametrize("body", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
@pytest.mark.parametrize("endpoint", ["evaluation", "evaluations"])
async def test_basic_a_request_without_what_it_needs_is_400(pdp: Deciding, body: dict[str, Any], endpoint: str) -> None:
    assert (await pdp.post(endpoint, body)).status_code == 400


@pytest.mark.parametrize(
    "endpoint", ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"]
)
async def test_basic_what_is_no_json_is_400(pdp: Deciding, endpoint: str) -> None:
    body = json.dumps(question(ALICE, READ, ONE)).encode()

    assert (await pdp.raw(endpoint, body, content_type="text/plain")).status_code == 400
    assert (await pdp.raw(endpoint, b'{"subject": ')).status_code == 400
    assert (await pdp.raw(endpoint, b"")).status_code == 400


async def test_basic_the_request_id_is_echoed(pdp: Deciding) -> None:
    body = question(ALICE, READ, ONE)

    with_id = await pdp.post("evaluation", body, x_request_id="bfe9eb29-ab87-4ca3-be83-a1d5d8305716")
    refused = await pdp.post("evaluation", {}, x_request_id="r-2")
    without = await pdp.post("evaluation", body)

    assert with_id.headers["x-request-id"] == "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    assert (refused.status_code, refused.headers["x-request-id"]) == (400, "r-2")
    assert without.status_code == 200


# ---- Batch ---------------------------------------------------------------------------------------------------------------------------

BATCH: list[tuple[str, dict[str, Any], list[bool] | None]] = [
    ("3.2.1", {"subject": ALICE, "action": READ, "evaluations": [{"resource": ONE}, {"resource": TWO}]}, None),
    ("3.2.2", {"subject": BOB, "resource": ONE, "evaluations": [{"action": READ}, {"action": WRITE}]}, [True, False]),
    (
        "3.2.3",
        {"subject": ALICE, "action": WRITE, "evaluations": [{"resource": ACTIVE}, {"resource": ARCHIVED}]},
        [True, False],
    ),
    (
        "3.2.4",
        {"action": WRITE, "resource": ARCHIVED, "evaluations": [{"subject": ALICE}, {"subject": ADMIN}]},
        [False, True],
    ),
    ("3.2.5", {"evaluations": [question(ALICE, READ, ONE), question(BOB, WRITE, ONE)]}, [True, False]),
    (
        "3.2.6",
        {
            "subject": ALICE,
            "action": READ,
            "context": {"time": "2025-06-27T18:03-07:00"},
            "evaluations": [
                {"resource": ONE},
                {"resource": TWO, "context": {"time": "2025-06-27T19:00-07:00", "source": "batch-override"}},
            ],
        },
        None,
    ),
    (
        "3.2.7",
        {
            "subject": ALICE,
            "action": WRITE,
            "resource": {"type": "record"},
            "evaluations": [
                {"resource": {"id": "record-1", "properties": {"status": "active"}}},
                {"resource": ARCHIVED},
            ],
        },
        [True, False],
    ),
    ("3.4.1", {"subject": ALICE, "action": READ, "evaluations": [{"resource": ONE}, {}]}, [True, False]),
]


@pytest.mark.parametrize(("body", "expected"), [row[1:] for row in BATCH], ids=[row[0] for row in BATCH])
async def test_batch_each_evaluation_is_answered_in_its_place(
    pdp: Deciding, body: dict[str, Any], expected: list[bool] | None
) -> None:
    told = await pdp.told("evaluations", body)

    assert "decision" not in told
    assert len(told["evaluations"]) == len(body["evaluations"])
    assert all(isinstance(one["decision"], bool) for one in told["evaluations"])
    assert expected is None or decisions(told) == expected


@pytest.mark.parametrize("more", [{}, {"evaluations": []}], ids=["3.4.2", "3.4.3"])
async def test_batch_without_evaluations_is_one_evaluation(pdp: Deciding, more: dict[str, Any]) -> None:
    assert (await pdp.told("evaluations", {**question(ALICE, READ, ONE), **more}))["decision"] is True


# ---- Search --------------------------------------------------------------------------------------------------------------------------

USERS, RECORDS = {"type": "user"}, {"type": "record"}
SEARCH: list[tuple[str, str, dict[str, Any], list[dict[str, str]]]] = [
    ("4.2.1", "subject", question(USERS, READ, ONE), [ALICE, BOB]),
    ("4.2.2", "subject", question(USERS, READ, ONE, context={"time": "2025-06-27T18:03-07:00"}), [ALICE, BOB]),
    ("4.2.4", "subject", question(USERS, WRITE, ARCHIVED), [BOB]),
    ("4.3.1", "resource", question(ALICE, READ, RECORDS), [ONE]),
    ("4.3.3", "resource", question(ADMIN, WRITE, RECORDS), [TWO]),
    ("4.4.1", "action", {"subject": ALICE, "resource": ONE}, [READ, WRITE]),
    ("4.4.2", "action", {"subject": ALICE, "resource": ONE, "context": {"ip": "192.168.1.1"}}, [READ, WRITE]),
    ("4.4.3", "action", {"subject": ADMIN, "resource": ARCHIVED}, [WRITE]),
]


@pytest.mark.parametrize(("kind", "body", "expected"), [row[1:] for row in SEARCH], ids=[row[0] for row in SEARCH])
async def test_search_finds_what_the_fixture_names(
    pdp: Deciding, kind: str, body: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    results = (await pdp.told(f"search/{kind}", body))["results"]

    assert all(one in results for one in expected)
    assert kind == "action" or {one["type"] for one in results} == {body[kind]["type"]}


EMPTY: list[tuple[str, str, dict[str, Any]]] = [
    ("4.6.1", "action", {"subject": {"type": "user", "id": "nonexistent-user"}, "resource": ONE}),
    ("4.6.2", "subject", question({"type": "spaceship"}, READ, ONE)),
    ("4.6.2 resource", "resource", question(ALICE, READ, {"type": "spaceship"})),
    ("4.6.2 action", "action", {"subject": {"type": "spaceship", "id": "enterprise"}, "resource": ONE}),
]


@pytest.mark.parametrize(("kind", "body"), [row[1:] for row in EMPTY], ids=[row[0] for row in EMPTY])
async def test_search_for_what_is_unknown_is_empty(pdp: Deciding, kind: str, body: dict[str, Any]) -> None:
    assert (await pdp.told(f"search/{kind}", body))["results"] == []


UNSEARCHABLE: list[tuple[str, str, dict[str, Any]]] = [
    ("4.7.1 subject", "subject", {"subject": USERS, "resource": ONE}),
    ("4.7.1 resource", "resource", {"action": READ, "resource": RECORDS}),
    ("4.7.1 action", "action", {"subject": ALICE}),
    ("4.7.2 subject", "subject", question(USERS, READ, RECORDS)),
    ("4.7.2 resource", "resource", question(USERS, READ, RECORDS)),
]


@pytest.mark.parametrize(("kind", "body"), [row[1:] for row in UNSEARCHABLE], ids=[row[0] for row in UNSEARCHABLE])
async def test_search_without_what_it_needs_is_400(pdp: Deciding, kind: str, body: dict[str, Any]) -> None:
    assert (await pdp.post(f"search/{kind}", body)).status_code == 400


async def test_search_pages_have_a_token_until_there_is_no_more(pdp: Deciding) -> None:
    body = question(USERS, READ, ONE)
    found: list[str] = []
    page: dict[str, Any] = {"limit": 1}
    for _ in range(20):
        told = await pdp.told("search/subject", {**body, "page": page})
        found += [one["id"] for one in told["results"]]
        assert isinstance(told["page"]["next_token"], str)
        page = {"token": told["page"]["next_token"]}
        if not page["token"]:
            break

    assert found == ["alice", "bob"]
    assert page["token"] == ""


# ---- Discovery ----------------------------------------------------------------------------------------------------------------------


async def test_discovery_names_the_decision_point_and_its_endpoints(pdp: Deciding) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=pdp.app), base_url=BASE) as anybody:
        answer = await anybody.get("/.well-known/authzen-configuration")

    told = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert told["policy_decision_point"] == BASE
    assert told["access_evaluation_endpoint"] == f"{BASE}/access/v1/evaluation"
    assert all(url.startswith("https://") for name, url in told.items() if name.endswith("_endpoint"))
    assert all(isinstance(one, str) for one in told["capabilities"])


# ---- decisions that others published ------------------------------------------------------------------------------------------------


def published(name: str, unproven: Unproven) -> dict[str, list[dict[str, Any]]]:
    file = VECTORS / name
    if not file.is_file():
        unproven(CLAIM, "the decisions are not on this machine (set JITTRUST_VECTORS)")
    found: dict[str, list[dict[str, Any]]] = json.loads(file.read_text("utf-8"))
    return found


@pytest.mark.parametrize(("name", "count", "batches"), [("todo-1_0-02.json", 40, 3), ("gateways.json", 25, 0)])
async def test_every_published_decision_is_given(
    pdp: Deciding, name: str, count: int, batches: int, unproven: Unproven
) -> None:
    cases = published(name, unproven)

    wrong = [
        case["request"]
        for case in cases["evaluation"]
        if (await pdp.told("evaluation", case["request"]))["decision"] is not case["expected"]
    ]
    for case in cases.get("evaluations", []):
        told = await pdp.told("evaluations", case["request"])
        if decisions(told) != [one["decision"] for one in case["expected"]]:
            wrong.append(case["request"])

    assert wrong == []
    assert (len(cases["evaluation"]), len(cases.get("evaluations", []))) == (count, batches)
