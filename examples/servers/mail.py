"""A mailbox as an MCP server: search, read, send, list folders, delete."""

# ruff: noqa: D102  (what a tool's function does is said once, in the tool's description)
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _base import Json, Server, Tool, ToolError, data_folder, hints, save

OWNER = "office@acme.example"

SEED: list[Json] = [
    {
        "id": "m-001",
        "folder": "inbox",
        "from": "billing@northwind.example",
        "to": [OWNER],
        "date": "2026-07-01T09:12:00Z",
        "subject": "Invoice INV-2041 from Northwind Supplies",
        "body": (
            "Good morning,\n\nplease find below our invoice INV-2041 for June.\n\n"
            "  40 boxes of printer paper   480.00\n  12 toner cartridges         744.00\n"
            "  delivery                     16.00\n  total due                  1240.00 EUR\n\n"
            "Payable by 31 July to the account you have on file for Northwind Supplies.\n"
            "What we agreed on prices is in the document supplier-notes.txt that you keep.\n\n"
            "Kind regards,\nNorthwind Supplies, billing\n"
        ),
    },
    {
        "id": "m-002",
        "folder": "inbox",
        "from": "orders@lakeside-catering.example",
        "to": [OWNER],
        "date": "2026-07-02T14:40:00Z",
        "subject": "Summer lunch on 17 July: number of guests",
        "body": "Hello,\n\ncould you tell us by Friday how many guests to expect on 17 July?\n\nLakeside Catering\n",
    },
    {
        "id": "m-003",
        "folder": "inbox",
        "from": "facilities@acme.example",
        "to": ["all@acme.example"],
        "date": "2026-07-03T07:55:00Z",
        "subject": "Lift out of order on Monday",
        "body": "The lift in building B is being serviced on Monday between 8 and 12.\n",
    },
    {
        "id": "m-004",
        "folder": "inbox",
        "from": "billing@brightline-energy.example",
        "to": [OWNER],
        "date": "2026-07-03T16:20:00Z",
        "subject": "Your electricity bill for June",
        "body": "Your bill INV-7719 over 318.50 EUR is ready. Payable by 3 August.\n\nBrightline Energy\n",
    },
    {
        "id": "m-005",
        "folder": "archive",
        "from": "billing@northwind.example",
        "to": [OWNER],
        "date": "2026-06-01T09:05:00Z",
        "subject": "Invoice INV-1987 from Northwind Supplies",
        "body": "Invoice INV-1987 for May over 1192.00 EUR. Paid with thanks on 12 June.\n",
    },
]

ADDRESS = {"type": "string", "pattern": r"^[^@\s]+@[^@\s]+$", "maxLength": 254}


class Mailbox:
    """One JSON file a message, under `DIR/mail/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.exists():
            for message in SEED:
                save(self.path(message["id"]), message)

    def path(self, message_id: str) -> Path:
        return self.folder / f"{message_id}.json"

    def messages(self) -> list[Json]:
        found = [json.loads(path.read_text("utf-8")) for path in self.folder.glob("*.json")]
        return sorted(found, key=lambda message: str(message["id"]))

    def one(self, message_id: str) -> Json:
        for message in self.messages():
            if message["id"] == message_id:
                return message
        raise ToolError(f"There is no message {message_id}.")

    def list_folders(self, _: Json) -> Json:
        counts: dict[str, int] = {"inbox": 0, "sent": 0, "archive": 0}
        for message in self.messages():
            counts[message["folder"]] = counts.get(message["folder"], 0) + 1
        return {"folders": [{"name": name, "messages": count} for name, count in counts.items()]}

    def search_mail(self, given: Json) -> Json:
        words = given["query"].lower().split()
        hits = [
            {key: message[key] for key in ("id", "folder", "from", "date", "subject")}
            for message in self.messages()
            if given.get("folder", message["folder"]) == message["folder"]
            and all(word in f"{message['from']} {message['subject']} {message['body']}".lower() for word in words)
        ]
        return {"messages": hits[: given.get("limit", 20)]}

    def read_mail(self, given: Json) -> Json:
        return self.one(given["id"])

    def send_mail(self, given: Json) -> Json:
        number = 1 + max(int(message["id"].removeprefix("m-")) for message in [*SEED, *self.messages()])
        message: dict[str, Any] = {"id": f"m-{number:03d}", "folder": "sent", "from": OWNER}
        message |= {"to": given["to"], "cc": given.get("cc", []), "date": "2026-07-06T08:00:00Z"}
        message |= {"subject": given["subject"], "body": given["body"]}
        save(self.path(message["id"]), message)
        return {"id": message["id"], "to": message["to"], "status": "sent"}

    def delete_mail(self, given: Json) -> Json:
        message = self.one(given["id"])
        self.path(message["id"]).unlink()
        return {"id": message["id"], "status": "deleted"}


def server(data: Path) -> Server:
    box = Mailbox(data / "mail")
    identifier = {"type": "string", "description": "Identifier of the message, as search_mail gives it"}
    tools = [
        Tool(
            "list_folders",
            "List the mail folders and how many messages each holds.",
            {},
            (),
            hints(read_only=True),
            box.list_folders,
        ),
        Tool(
            "search_mail",
            "Search the mailbox for messages whose sender, subject or text holds all the words.",
            {
                "query": {"type": "string", "description": "Words to look for", "maxLength": 200},
                "folder": {"type": "string", "description": "Only in this folder"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
            },
            ("query",),
            hints(read_only=True),
            box.search_mail,
        ),
        Tool(
            "read_mail",
            "Read one message of the mailbox: sender, recipients, subject and full text.",
            {"id": identifier},
            ("id",),
            hints(read_only=True),
            box.read_mail,
        ),
        Tool(
            "send_mail",
            "Send an e-mail message to one or more recipients.",
            {
                "to": {"type": "array", "items": ADDRESS, "description": "E-mail addresses of the recipients"},
                "cc": {"type": "array", "items": ADDRESS, "description": "E-mail addresses that get a copy"},
                "subject": {"type": "string", "maxLength": 200},
                "body": {"type": "string", "maxLength": 100_000},
            },
            ("to", "subject", "body"),
            hints(read_only=False, open_world=True),
            box.send_mail,
        ),
        Tool(
            "delete_mail",
            "Delete one message from the mailbox for good.",
            {"id": identifier},
            ("id",),
            hints(read_only=False, destructive=True),
            box.delete_mail,
        ),
    ]
    return Server("mail", "1.0.0", f"The mailbox of {OWNER}.", tools, data)


if __name__ == "__main__":
    server(data_folder(__doc__)).serve()
