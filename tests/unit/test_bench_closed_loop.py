"""The closed loop counts what really reached the server, and says so when it could not run at all."""

from __future__ import annotations

import json
import sys

import pytest
from bench import closed_loop
from bench.closed_loop import other_tools, other_ways, said

TOOLS = [
    {"name": "pay", "inputSchema": {"properties": {"iban": {"type": "string"}, "amount": {"type": "number"}}}},
    {
        "name": "schedule_payment",
        "inputSchema": {
            "properties": {"iban": {"type": "string"}, "amount": {"type": "number"}, "every": {"type": "integer"}},
            "required": ["iban", "amount", "every"],
        },
    },
    {"name": "get_payments", "inputSchema": {"properties": {"iban": {"type": "string"}}}},
]


def answer(**result: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result})


def test_an_error_of_the_tool_itself_reached_the_server() -> None:
    assert said(200, answer(isError=True, content=[]), 1.0).through


def test_a_refusal_did_not_and_names_its_question() -> None:
    told = {"io.example/decision": {"code": "approval_needed", "approval": "a-1"}}

    refused = said(200, answer(isError=True, content=[], _meta=told), 1.0)

    assert not refused.through
    assert (refused.code, refused.approval) == ("approval_needed", "a-1")


@pytest.mark.parametrize("text", ['{"code": "invalid_token"}', "no json at all", '{"jsonrpc": "2.0", "error": {}}'])
def test_whatever_is_no_result_is_a_refusal(text: str) -> None:
    assert not said(401, text, 1.0).through


def test_a_refused_call_is_tried_in_another_way_and_through_another_tool_that_acts() -> None:
    call = {"tool": "pay", "args": {"iban": "LT601010012345678901", "amount": 5}}

    assert other_ways(call)["args"] == {"iban": "LT60 1010 0123 4567 8901", "amount": 5}
    assert other_tools(call, TOOLS) == [
        {"tool": "schedule_payment", "args": {"iban": "LT601010012345678901", "amount": 5, "every": 1}}
    ]


def test_without_agentdojo_it_has_not_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(closed_loop, "interpreter", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["closed_loop"])

    assert closed_loop.main() == 1
    assert capsys.readouterr().out.startswith("not passed: agentdojo missing")
