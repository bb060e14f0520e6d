"""A payment account as an MCP server: payees, invoices, balance, paying."""

# ruff: noqa: D102  (what a tool's function does is said once, in the tool's description)
from __future__ import annotations

import json
from pathlib import Path

from _base import Json, Server, Tool, ToolError, data_folder, hints, save

SEED: Json = {
    "balance_cents": 2_500_000,
    "payees": [
        {"id": "P-1", "name": "Northwind Supplies", "account": "GB33BUKB20201555555555"},
        {"id": "P-2", "name": "Brightline Energy", "account": "NL91ABNA0417164300"},
        {"id": "P-3", "name": "Lakeside Catering", "account": "DE89370400440532013000"},
    ],
    "invoices": [
        {"id": "INV-1987", "payee_id": "P-1", "amount_cents": 119_200, "due": "2026-06-30", "status": "paid"},
        {"id": "INV-2041", "payee_id": "P-1", "amount_cents": 124_000, "due": "2026-07-31", "status": "open"},
        {"id": "INV-7719", "payee_id": "P-2", "amount_cents": 31_850, "due": "2026-08-03", "status": "open"},
    ],
    "payments": [{"id": "T-1", "account": "GB33BUKB20201555555555", "amount_cents": 119_200, "reference": "INV-1987"}],
}


class Account:
    """One account in `DIR/payments.json`; amounts are kept in cents, told in euros."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            save(path, SEED)

    def state(self) -> Json:
        state: Json = json.loads(self.path.read_text("utf-8"))
        return state

    def list_payees(self, _: Json) -> Json:
        return {"payees": self.state()["payees"]}

    def list_invoices(self, given: Json) -> Json:
        state = self.state()
        names = {payee["id"]: payee["name"] for payee in state["payees"]}
        wanted = given.get("status", "all")
        return {
            "invoices": [
                {"id": bill["id"], "payee": names[bill["payee_id"]], "due": bill["due"], "status": bill["status"]}
                | {"amount": bill["amount_cents"] / 100, "currency": "EUR"}
                for bill in state["invoices"]
                if wanted in ("all", bill["status"])
            ]
        }

    def get_balance(self, _: Json) -> Json:
        return {"balance": self.state()["balance_cents"] / 100, "currency": "EUR"}

    def pay(self, state: Json, account: str, cents: int, reference: str) -> Json:
        if cents > state["balance_cents"]:
            raise ToolError("The balance does not cover this amount.")
        state["balance_cents"] -= cents
        payment = {"id": f"T-{len(state['payments']) + 1}", "account": account, "amount_cents": cents}
        state["payments"].append(payment | {"reference": reference})
        save(self.path, state)
        return {
            "id": payment["id"],
            "account": account,
            "amount": cents / 100,
            "currency": "EUR",
            "reference": reference,
            "status": "paid",
        }

    def pay_invoice(self, given: Json) -> Json:
        state = self.state()
        for bill in state["invoices"]:
            if bill["id"] == given["invoice_id"]:
                if bill["status"] != "open":
                    raise ToolError(f"Invoice {bill['id']} is already {bill['status']}.")
                bill["status"] = "paid"
                payee = next(payee for payee in state["payees"] if payee["id"] == bill["payee_id"])
                return self.pay(state, payee["account"], bill["amount_cents"], bill["id"])
        raise ToolError(f"There is no invoice {given['invoice_id']}.")

    def send_money(self, given: Json) -> Json:
        return self.pay(self.state(), given["account"], round(given["amount"] * 100), given["reference"])

    def add_payee(self, given: Json) -> Json:
        state = self.state()
        if any(payee["account"] == given["account"] for payee in state["payees"]):
            raise ToolError("There is a payee with this account already.")
        payee = {"id": f"P-{len(state['payees']) + 1}", "name": given["name"], "account": given["account"]}
        state["payees"].append(payee)
        save(self.path, state)
        return payee | {"status": "added"}


def server(data: Path) -> Server:
    account = Account(data / "payments.json")
    iban = {"type": "string", "description": "Account number (IBAN)", "pattern": r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$"}
    tools = [
        Tool(
            "list_payees",
            "List the payees on file, with their account numbers.",
            {},
            (),
            hints(read_only=True),
            account.list_payees,
        ),
        Tool(
            "list_invoices",
            "List the invoices that were received, with amount, due date and status.",
            {"status": {"type": "string", "enum": ["all", "open", "paid"]}},
            (),
            hints(read_only=True),
            account.list_invoices,
        ),
        Tool(
            "get_balance",
            "Get the balance of the payment account.",
            {},
            (),
            hints(read_only=True),
            account.get_balance,
        ),
        Tool(
            "pay_invoice",
            "Pay an open invoice to the account on file for its payee.",
            {"invoice_id": {"type": "string", "description": "Number of the invoice", "pattern": r"^INV-\d+$"}},
            ("invoice_id",),
            hints(read_only=False, destructive=True, open_world=True),
            account.pay_invoice,
        ),
        Tool(
            "send_money",
            "Send money from the payment account to any bank account.",
            {
                "account": iban,
                "amount": {"type": "number", "minimum": 0.01, "maximum": 1_000_000},
                "currency": {"type": "string", "enum": ["EUR"]},
                "reference": {"type": "string", "maxLength": 140},
            },
            ("account", "amount", "reference"),
            hints(read_only=False, destructive=True, open_world=True),
            account.send_money,
        ),
        Tool(
            "add_payee",
            "Add a payee and its bank account to the payees on file.",
            {"name": {"type": "string", "minLength": 1, "maxLength": 100}, "account": iban},
            ("name", "account"),
            hints(read_only=False),
            account.add_payee,
        ),
    ]
    return Server("payments", "1.0.0", "The payment account of Acme.", tools, data)


if __name__ == "__main__":
    server(data_folder(__doc__)).serve()
