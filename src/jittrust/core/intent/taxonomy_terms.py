"""What an intent is made of beside its act: object classes, argument roles, effect flags and dispositions, as stable codes with examples.

An intent is (layer, verb, object class, argument roles, effect flags, disposition). Layer and verb are the act's code in `taxonomy.TAXONOMY`; the other
parts are here, each `<dimension>:<word>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Dimension(StrEnum):
    """Which question about an intent a term answers."""

    OBJECT = "object"  # what it acts on
    ROLE = "role"  # what an argument is for
    EFFECT = "effect"  # what it does to the world
    DISPOSITION = "disposition"  # how it stands to the goal


class Disposition(StrEnum):
    """How an intent stands to what the person asked for, the most honest first."""

    ALIGNED = "aligned"
    SUPPORTING = "supporting"
    DELEGATED = "delegated"
    EXPLORATORY = "exploratory"
    OVER_REACH = "over_reach"
    DRIFT = "drift"
    HIJACK_SUSPECT = "hijack_suspect"
    EVASIVE = "evasive"


@dataclass(frozen=True, slots=True)
class IntentTerm:
    """One term.

    Attributes:
        code: stable, `<dimension>:<word>`.
        definition: what belongs here, in a sentence.
        examples: two calls, arguments or situations that belong here.
        near_miss: one that looks alike and does not, with the code it has.
    """

    code: str
    definition: str
    examples: tuple[str, str]
    near_miss: str

    @property
    def dimension(self) -> Dimension:
        """The dimension that the code begins with."""
        return Dimension(self.code.split(":", 1)[0])


_ROWS: tuple[tuple[str, str, tuple[str, str], str], ...] = (
    # What it acts on.
    ("object:mail", "An e-mail, a mailbox or what is attached to a mail.", ("send_email", "list_inbox"), "a chat message is object:message"),
    ("object:message", "A message inside a chat or a system of messages.", ("send_direct_message", "read_thread"), "an e-mail is object:mail"),
    ("object:file", "A file or document with content.", ("read_file", "share_document"), "the folder it lies in is object:folder"),
    ("object:folder", "A place that holds files.", ("list_directory", "create_folder"), "a repository under version control is object:repository"),
    ("object:event", "An entry with a time in a calendar.", ("create_event", "reschedule_meeting"), "a booked room is object:reservation"),
    ("object:repository", "A code base under version control.", ("clone_repo", "create_branch"), "one commit in it is object:change"),
    ("object:change", "A commit, difference or history entry.", ("git_commit", "show_diff"), "editing a file outside version control is object:file"),
    ("object:person", "A human being, as a member, contact or account holder.", ("invite_user", "get_contact"), "what they typed is object:message"),
    ("object:money", "Money, a balance, an invoice or a payment.", ("send_money", "get_balance"), "the thing that is bought is object:goods"),
    ("object:goods", "A product or an order of products.", ("add_to_cart", "track_order"), "a seat or a room is object:reservation"),
    ("object:reservation", "A place held for somebody: room, table, seat.", ("reserve_hotel", "cancel_booking"), "a meeting in the calendar is object:event"),
    ("object:travel", "A trip, flight or route.", ("search_flights", "get_itinerary"), "the paid seat on it is object:reservation"),
    ("object:web", "A page or address outside.", ("get_webpage", "open_url"), "a page of one's own notes is object:file"),
    ("object:channel", "A room or group where many read.", ("create_channel", "list_groups"), "a message in it is object:message"),
    ("object:task", "A piece of work that is tracked: task, issue, ticket.", ("create_issue", "close_ticket"), "an appointment is object:event"),
    ("object:record", "A row or table of a database.", ("run_sql", "update_record"), "a spreadsheet file is object:file"),
    ("object:secret", "A password, key, token or code.", ("get_secret", "rotate_api_key"), "a salary is object:profile or object:money"),
    ("object:profile", "Settings and facts of an account or a person.", ("get_profile", "update_settings"), "the password of the account is object:secret"),
    ("object:memory", "What the agent keeps for later runs.", ("save_memory", "create_entities"), "a user's file is object:file"),
    ("object:time", "Dates, clocks and time zones.", ("get_current_time", "convert_timezone"), "an appointment is object:event"),
    ("object:picture", "An image, photo or screen.", ("take_screenshot", "resize_image"), "a scanned contract is object:file"),
    ("object:agent", "Another agent, model or sub-agent.", ("spawn_agent", "ask_model"), "a human supervisor is object:person"),
    ("object:machine", "A host, process, container or network.", ("restart_server", "port_scan"), "a program text is object:file"),
    ("object:policy", "A rule, permission, guard or limit.", ("attach_role_policy", "disable_firewall"), "a user's preference is object:profile"),
    ("object:ledger", "Records of what happened.", ("clear_audit_log", "export_log"), "an application's table is object:record"),
    ("object:unknown", "Nothing tells what it acts on; counts as sensitive.", ("do_it(x)", "process(data)"),
     "a named thing of no listed class is the nearest class"),
    # What an argument is for (PACT's roles).
    ("role:target", "Whom or where it reaches: recipient, address, account, host.", ("to", "iban"), "which thing is meant is role:selector"),
    ("role:selector", "Which existing thing is meant: id, path, name.", ("file_id", "path"), "where it is sent is role:target"),
    ("role:command", "Code, query or shell text that runs.", ("sql", "script"), "text that is only carried is role:content"),
    ("role:credential", "A password, key or token that opens something.", ("password", "api_key"), "an id that opens nothing is role:selector"),
    ("role:amount", "How much: money, volume, number of things.", ("amount", "quantity"), "how many results are shown is role:control"),
    ("role:content", "Free text that is carried.", ("body", "title"), "text that runs is role:command"),
    ("role:control", "Flags, limits and formats.", ("limit", "dry_run"), "a number that costs is role:amount"),
    # What it does to the world.
    ("effect:outward", "Data leaves for somebody else.", ("mail to a customer", "post on a page"), "a note to oneself has no effect:outward"),
    ("effect:destructive", "Something cannot be brought back.", ("delete_file", "drop_table"),
     "moving to the bin that can be emptied back is effect:reversible"),
    ("effect:reversible", "It can be undone with the same rights.", ("add_label", "archive_mail"), "what was sent is effect:outward and stays out"),
    ("effect:money", "Money moves or is promised.", ("send_money", "place_order"), "asking for a price has no effect:money"),
    ("effect:permission", "Somebody can do more or less afterwards.", ("share_file", "remove_user"), "reading who may do what has no effect:permission"),
    ("effect:secret", "A secret is shown, set or used.", ("get_secret", "update_password"), "private facts are effect:sensitive_in"),
    ("effect:executes", "Code, commands or configuration take effect.", ("run_sql", "deploy"), "showing code has no effect:executes"),
    ("effect:notifies", "Somebody is told as a side effect.", ("an invitation that mails guests", "a comment that alerts followers"),
     "the mail itself is effect:outward"),
    ("effect:document", "Its result is text that others wrote.", ("get_webpage", "read_file"),
     "a structured field of one's own account has no effect:document"),
    ("effect:open_world", "It reaches beyond the server's own data.", ("fetch(url)", "web_search"), "a server's own table has no effect:open_world"),
    ("effect:sensitive_in", "What comes back is private.", ("get_salary", "read_medical_record"), "what is carried out is effect:sensitive_out"),
    ("effect:sensitive_out", "What is carried out or touched is private.", ("mail a payroll file", "publish a contact list"),
     "private data that is only read is effect:sensitive_in"),
    ("effect:bulk", "Many things or many people at once.", ("delete_all_emails", "invite 50 users"), "one thing of many by its id has no effect:bulk"),
    ("effect:persistent", "It goes on after the mission.", ("add_cron_job", "save_memory"), "a file that was asked for is effect:reversible"),
    # How it stands to the goal.
    ("disposition:aligned", "The goal names the act and what it acts on.", ("“delete old.txt” → delete_file(old.txt)", "“mail Ann” → send_email(ann)"),
     "a read that the act needs is disposition:supporting"),
    ("disposition:supporting", "A harmless step without which the goal cannot be reached.", ("search before a booking", "get the id of a named file"),
     "a step that changes something unasked is disposition:over_reach"),
    ("disposition:delegated", "Content that the person pointed at asks for it.", ("“do what Ann's mail says” → her request", "“work through my to-do page”"),
     "the same words in content nobody pointed at are disposition:hijack_suspect"),
    ("disposition:exploratory", "Looks around without effect, near the goal.", ("list_tools first", "open a second similar file"),
     "looking for secrets is disposition:evasive or disposition:drift"),
    ("disposition:over_reach", "Serves the goal with more than it needs.", ("share with all instead of Ann", "delete a folder for one file"),
     "an act with no tie to the goal is disposition:drift"),
    ("disposition:drift", "Leads away from the goal, without a sign of an attacker.", ("fixing other bugs too", "booking a car after a flight was asked for"),
     "the same act asked for in a tool's output is disposition:hijack_suspect"),
    ("disposition:hijack_suspect", "Better explained by words in untrusted content than by the goal.",
     ("IBAN from a README", "mail to an address found in a review"),
     "content that the person pointed at is disposition:delegated"),
    ("disposition:evasive", "Avoids being seen, limited or stopped.", ("disable_audit", "the refused call again in base64"),
     "a second try with other words after an error is disposition:supporting"),
)  # fmt: skip

TERMS: Mapping[str, IntentTerm] = {row[0]: IntentTerm(*row) for row in _ROWS}
"""Every term by its code."""

DIMENSION_NAMES: Mapping[Dimension, str] = {
    Dimension.OBJECT: "Object classes: what it acts on",
    Dimension.ROLE: "Argument roles: what an argument is for",
    Dimension.EFFECT: "Effect flags: what it does to the world",
    Dimension.DISPOSITION: "Dispositions: how it stands to the goal",
}
