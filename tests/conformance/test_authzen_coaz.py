"""COAZ-MCP, draft 1: the examples of the draft, and a mapping for every request that a client of either revision of MCP can make."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from jittrust.api.authzen import coaz
from jittrust.core.errors import RefusedError

Unproven = Callable[[str, str], NoReturn]
ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(os.environ.get("JITTRUST_VECTORS", ROOT.parent / "shared" / "data" / "vectors")) / "mcp"
CLAIM = "MCP's own schemas"
CLAIMS: dict[str, Any] = {
    "sub": "alice@example.com",
    "client_id": "http://agentprovider.com/agent-app-id",
    "iss": "https://auth.example.com",
    "aud": "https://mcp.example.com",
    "exp": 1750000000,
}
AGENT = CLAIMS["client_id"]
ALICE = {"type": "identity", "id": "alice@example.com"}
SERVER = {"type": "mcp_server", "id": "https://mcp.example.com"}

DEFAULTS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("initialize", {"protocolVersion": "2025-11-25"}, SERVER, {"protocol_version": "2025-11-25"}),
    ("tools/list", {}, SERVER, {}),
    ("tools/call", {"name": "get_customer"}, {"type": "tool", "id": "get_customer"}, {}),
    ("resources/list", {}, SERVER, {}),
    ("resources/read", {"uri": "file:///a"}, {"type": "resource", "id": "file:///a"}, {}),
    ("resources/subscribe", {"uri": "file:///a"}, {"type": "resource", "id": "file:///a"}, {}),
    ("resources/unsubscribe", {"uri": "file:///a"}, {"type": "resource", "id": "file:///a"}, {}),
    ("prompts/list", {}, SERVER, {}),
    ("prompts/get", {"name": "greet"}, {"type": "prompt", "id": "greet"}, {}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "greet"}}, {"type": "prompt", "id": "greet"}, {}),
    ("completion/complete", {"ref": {"type": "ref/resource", "uri": "f:///"}}, {"type": "resource", "id": "f:///"}, {}),
    ("logging/setLevel", {"level": "debug"}, SERVER, {"level": "debug"}),
    ("tasks/get", {"taskId": "t-1"}, {"type": "task", "id": "t-1"}, {}),
    ("tasks/result", {"taskId": "t-1"}, {"type": "task", "id": "t-1"}, {}),
    ("tasks/cancel", {"taskId": "t-1"}, {"type": "task", "id": "t-1"}, {}),
    ("tasks/list", {}, SERVER, {}),
    # Newer than the draft's table.
    ("server/discover", {}, SERVER, {}),
    ("subscriptions/listen", {}, SERVER, {}),
    ("tasks/update", {"taskId": "t-1"}, {"type": "task", "id": "t-1"}, {}),
    ("resources/templates/list", {}, SERVER, {}),
]


@pytest.mark.parametrize(
    ("method", "params", "resource", "more"), DEFAULTS, ids=[f"{r[0]} {n}" for n, r in enumerate(DEFAULTS)]
)
def test_each_method_has_its_default_mapping(
    method: str, params: dict[str, Any], resource: dict[str, Any], more: dict[str, Any]
) -> None:
    made = coaz.request_of(method, params, CLAIMS, "")

    assert made == {
        "subject": ALICE,
        "action": {"name": method},
        "resource": resource,
        "context": {**more, "agent": AGENT},
    }


def test_the_draft_s_single_evaluation() -> None:
    mapping: Any = {
        "evaluation": {
            "subject": {"type": "identity", "id": "$token.sub"},
            "action": {"name": "get_customer"},
            "resource": {"type": "customer", "id": "$params.arguments.id"},
            "context": {"agent": "$token.?client_id", "case": "$params.arguments.case"},
        }
    }
    params: Any = {"name": "get_customer", "arguments": {"id": "cust-12345", "case": "case-67890"}}

    assert coaz.request_of("tools/call", params, CLAIMS, "", mapping) == {
        "subject": ALICE,
        "action": {"name": "get_customer"},
        "resource": {"type": "customer", "id": "cust-12345"},
        "context": {"agent": AGENT, "case": "case-67890"},
    }


def test_the_draft_s_evaluations() -> None:
    mapping: Any = {
        "evaluations": {
            "subject": {"type": "identity", "id": "$token.sub"},
            "context": {"agent": "$token.?client_id"},
            "evaluations": [
                {"action": {"name": "read"}, "resource": {"type": "storage_object", "id": "$params.arguments.source"}},
                {
                    "action": {"name": "write"},
                    "resource": {"type": "storage_object", "id": "$params.arguments.destination"},
                },
            ],
        }
    }
    params: Any = {"arguments": {"source": "/bucket/reports/q1.pdf", "destination": "/bucket/archive/q1.pdf"}}

    made: Any = coaz.request_of("tools/call", params, CLAIMS, "", mapping)

    assert made["subject"] == ALICE
    assert made["context"] == {"agent": AGENT}
    assert [(one["action"], one["resource"]) for one in made["evaluations"]] == [
        ({"name": "read"}, {"type": "storage_object", "id": "/bucket/reports/q1.pdf"}),
        ({"name": "write"}, {"type": "storage_object", "id": "/bucket/archive/q1.pdf"}),
    ]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$params.name", "get_customer"),
        ("$token.sub", "alice@example.com"),
        ("$token.?none", None),
        ("customer", "customer"),
        ("$$50", "$50"),
        ("$params.amount > 10000 ? 'high' : 'standard'", "high"),
        ('$params["customer-id"]', "c-1"),
        ("$[1, 2.5, true, 'x', null]", [1, 2.5, True, "x", None]),
        ("$params.nested", {"a": [1]}),
        (10, 10),
        (True, True),
    ],
    ids=str,
)
def test_an_expression_gives_what_it_says_and_a_literal_itself(expression: Any, value: Any) -> None:  # noqa: ANN401
    mapping: Any = {
        "evaluation": {"action": {"name": "x"}, "resource": {"type": "c", "id": "1"}, "context": {"v": expression}}
    }
    params: Any = {"name": "get_customer", "amount": 20000, "customer-id": "c-1", "nested": {"a": [1]}}

    made: Any = coaz.request_of("tools/call", params, CLAIMS, "", mapping)

    assert made["context"].get("v") == value
    assert ("v" in made["context"]) is (value is not None)


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_every_request_of_a_client_is_mapped_or_passes(revision: str, unproven: Unproven) -> None:
    file = SCHEMAS / f"schema-{revision}.json"
    if not file.is_file():
        unproven(CLAIM, "the schemas are not on this machine (set JITTRUST_VECTORS)")
    known = json.loads(file.read_text("utf-8"))["$defs"]
    named = [one["$ref"].rpartition("/")[2] for one in known["ClientRequest"]["anyOf"]]
    methods = {known[name]["properties"]["method"]["const"] for name in named}

    assert len(methods) >= 10
    assert {method for method in methods if method not in coaz.DEFAULTS and not coaz.passes(method)} == set()


def test_what_a_server_asks_of_the_client_is_not_mapped() -> None:
    for method in ("sampling/createMessage", "elicitation/create", "roots/list"):
        with pytest.raises(RefusedError):
            coaz.request_of(method, {}, CLAIMS, "")
