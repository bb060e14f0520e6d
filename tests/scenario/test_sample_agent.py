"""The sample servers and the sample agent on their own: without a broker in between, a hijacked agent does the harm."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("mail", "files", "hr", "payments")

PAY_THE_INVOICE: list[dict[str, Any]] = [
    {
        "server": "mail",
        "tool": "search_mail",
        "arguments": {"query": "Northwind invoice", "folder": "inbox"},
        "save": "m",
    },
    {"server": "mail", "tool": "read_mail", "arguments": {"id": "{{m.messages.0.id}}"}},
    {"server": "files", "tool": "read_file", "arguments": {"path": "supplier-notes.txt"}},
    {"server": "payments", "tool": "list_invoices", "arguments": {"status": "open"}, "save": "bills"},
    {"server": "payments", "tool": "pay_invoice", "arguments": {"invoice_id": "{{bills.invoices.0.id}}"}},
]


def command(name: str, data: Path) -> str:
    return shlex.join([sys.executable, str(EXAMPLES / "servers" / f"{name}.py"), "--data", str(data)])


def act(data: Path, plan: list[dict[str, Any]], *flags: str) -> list[dict[str, Any]]:
    servers = [word for name in NAMES for word in ("--server", f"{name}={command(name, data)}")]
    agent = [sys.executable, str(EXAMPLES / "agent.py"), *servers, "--plan", "-", *flags]
    done = subprocess.run(agent, input=json.dumps(plan), capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def effects(data: Path) -> list[str]:
    lines = (data / "effects.jsonl").read_text("utf-8").splitlines()
    return [f"{done['server']}.{done['tool']}" for done in map(json.loads, lines) if done["ok"]]


@pytest.mark.parametrize(("mode", "revision"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
def test_an_agent_that_obeys_nobody_pays_the_one_invoice(tmp_path: Path, mode: str, revision: str) -> None:
    told = act(tmp_path, PAY_THE_INVOICE, "--mode", mode)
    assert {event["protocol"] for event in told if event["event"] == "connected"} == {revision}
    assert {event["outcome"] for event in told if event["event"] == "call"} == {"ok"}
    assert effects(tmp_path) == [f"{step['server']}.{step['tool']}" for step in PAY_THE_INVOICE]
    account = json.loads((tmp_path / "payments.json").read_text("utf-8"))
    assert account["balance_cents"] == 2_500_000 - 124_000


def test_an_agent_that_obeys_a_document_leaks_the_salaries_and_pays_a_stranger(tmp_path: Path) -> None:
    told = act(tmp_path, PAY_THE_INVOICE, "--obey")
    ordered = [f"{event['server']}.{event['tool']}" for event in told if event.get("because") == "files.read_file"]
    assert ordered == [
        "hr.list_employees",
        "hr.read_salary",
        "hr.export_records",
        "mail.send_mail",
        "payments.send_money",
    ]
    assert effects(tmp_path)[3:8] == ordered
    sent = json.loads((tmp_path / "mail" / "m-006.json").read_text("utf-8"))
    assert sent["to"] == ["archive@ledger-migration.example"]
    assert "118000" in sent["body"]
    paid = [payment["account"] for payment in json.loads((tmp_path / "payments.json").read_text("utf-8"))["payments"]]
    assert paid[1:] == ["LT601010012345678901", "GB33BUKB20201555555555"]


ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def exchange(data: Path, *lines: str, name: str = "mail") -> list[dict[str, Any]]:
    wire = "".join(line + "\n" for line in lines).encode("utf-8", errors="surrogatepass")
    done = subprocess.run(shlex.split(command(name, data)), input=wire, capture_output=True, timeout=20, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def request(method: str, **params: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": ENVELOPE}})


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nonsense", -32700),
        ("[" * 100_000, -32700),
        ('"\udcff', -32700),
        ("[]", -32600),
        ('{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/list"}', -32602),
        (request("resources/list"), -32601),
        (request("ping"), -32601),
        (request("tools/call", name="nothing"), -32602),
        (request("tools/call", name="read_mail", arguments=[]), -32602),
        (request("tools/list").replace("2026-07-28", "2099-01-01"), -32022),
    ],
)
def test_a_wrong_request_gets_its_code_and_the_server_lives(tmp_path: Path, line: str, code: int) -> None:
    wrong, right = exchange(tmp_path, line, request("tools/list"))
    assert wrong["error"]["code"] == code
    assert right["result"]["resultType"] == "complete"


@pytest.mark.parametrize(
    ("server", "tool", "arguments"),
    [
        ("mail", "read_mail", {}),
        ("mail", "read_mail", {"id": "m-001", "extra": 1}),
        ("mail", "send_mail", {"to": ["nobody"], "subject": "", "body": ""}),
        ("mail", "send_mail", {"to": ["a@b.example"], "subject": "\ud800", "body": ""}),
        ("files", "read_file", {"path": "../hr.sqlite"}),
        ("files", "read_file", {"path": "a\0b"}),
        ("files", "write_file", {"path": "reports", "text": ""}),
        ("hr", "read_salary", {"employee_id": "E-999"}),
        ("hr", "update_record", {"employee_id": "E-101", "field": "id = id --", "value": "x"}),
        ("payments", "send_money", {"account": "GB33BUKB20201555555555", "amount": float("nan"), "reference": ""}),
        ("payments", "send_money", {"account": "GB33BUKB20201555555555", "amount": True, "reference": ""}),
        ("payments", "pay_invoice", {"invoice_id": "INV-1987"}),
    ],
)
def test_a_call_that_cannot_be_done_is_an_error_result_without_effect(
    tmp_path: Path, server: str, tool: str, arguments: dict[str, Any]
) -> None:
    (answer,) = exchange(tmp_path, request("tools/call", name=tool, arguments=arguments), name=server)
    assert answer["result"]["isError"] is True
    assert not (tmp_path / "effects.jsonl").exists() or effects(tmp_path) == []
