"""Authority maps and contracts, shown to people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jittrust.apps.cli.output import plain, say, table
from jittrust.core.authority.map import AuthorityEntry, Endorsement, EntryState
from jittrust.core.errors import BadInputError
from jittrust.core.intent.origin import ArgumentRole, Origin
from jittrust.core.mission.contract import ArgumentContract, Contract


def read_token(file: Path) -> str:
    """The signed contract in a file. Raises BadInputError: code `contract_file`."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise BadInputError(
            "contract_file", f"{file} is no readable signed contract", "Make one: jittrust mission plan --signed FILE"
        ) from None


def show_contract(found: Contract) -> None:
    """A contract for people: what was read, what it opens, what is asked about."""
    rows = (
        (
            ", ".join(f"{root} ({'/'.join(kinds)})" for root, kinds in one.does.items()) or "-",
            ", ".join(one.forbids) or "-",
            ", ".join(one.about) or "-",
        )
        for one in found.clauses
    )
    table(("DOES", "FORBIDS", "ABOUT"), rows, "The words have no clause that could be read.")
    if found.identifiers:
        say()
        table(("IDENTIFIER", "KIND"), ((said, kind) for kind, said in found.identifiers), "")
    if not found.whole:
        say("\nThe goal was too long to be read whole: no act is approved without you.")
    say()
    show_map(found.authority.entries, "The goal opens no tool: every consequential call would ask you.")
    tools = {entry.id: entry.tool for entry in found.authority.entries}
    limits = [
        (tools[act.entry], one.argument, one.role, _asks(one), ", ".join(one.values) or "-")
        for act in found.acts
        for one in act.arguments
        if act.consequential and (one.asks or one.values)
    ]
    if limits:
        say()
        table(("TOOL", "ARGUMENT", "IS", "YOU ARE ASKED WHEN IT", "IN YOUR WORDS"), limits, "")
    show_sources(found.authority.endorsements)
    how = found.limits
    say(
        f"\nLimits    {how.minutes} minutes; each grant {how.ttl:.0f} s and {how.gas} gas; {how.lanes} lane{'s' * (how.lanes > 1)}"
    )


def show_sources(endorsements: Sequence[Endorsement]) -> None:
    """The sources that may direct acts, after an empty line; nothing where there are none."""
    if not endorsements:
        return
    say()
    sources = (
        (one.id, f"{one.tool} {_selected(one)}".strip(), ", ".join(one.intents), _most(one), _endorsed(one))
        for one in endorsements
    )
    table(("SOURCE", "WHAT IT SAYS", "MAY DIRECT", "UP TO", "STANDS"), sources, "")


_ASKS = {Origin.FREE_TEXT: "stood in text that a tool returned", Origin.UNSEEN: "was named by nobody"}


def _asks(one: ArgumentContract) -> str:
    inside = "holds an address that " if one.role is ArgumentRole.CONTENT and one.asks else ""
    return inside + (" or ".join(_ASKS[origin] for origin in one.asks) or "-")


def _selected(one: Endorsement) -> str:
    return ", ".join(f"{name}={value}" for name, value in one.selectors.items())


def _most(one: Endorsement) -> str:
    return "-" if one.amount_most is None else f"{one.amount_most:g}"


def _endorsed(one: Endorsement) -> str:
    return "waits for you" if one.state is EntryState.PROPOSED else f"{one.state} by {one.approved_by}"


def show_map(entries: Sequence[AuthorityEntry], empty: str) -> None:
    """The entries of a map; `empty` is said where there is none."""
    rows = ((entry.id, entry.tool, _limits(entry), entry.why, _standing(entry)) for entry in entries)
    table(("ENTRY", "TOOL", "LIMITS", "WHY", "STANDS"), rows, empty)


def _limits(entry: AuthorityEntry) -> str:
    uses = "" if entry.uses_left is None else f"{entry.uses_left} uses"
    method = "" if entry.action == "tools/call" else entry.action
    constraints = str(plain(entry.constraints)) if entry.constraints else ""
    return ", ".join(part for part in (method, entry.resource, constraints, uses) if part) or "-"


def _standing(entry: AuthorityEntry) -> str:
    if entry.state is EntryState.PROPOSED:
        return "waits for you"
    return f"{entry.state} by {entry.approved_by}" if entry.approved_by else str(entry.state)
