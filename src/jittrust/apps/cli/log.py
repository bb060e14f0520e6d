"""`jittrust log`: the newest records of the ledger, and those that come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import moment, say
from jittrust.apps.cli.reach import reach, state_of
from jittrust.core.ledger.checkpoint import parse_body
from jittrust.ports.driving import Driving

_PAGE: Final = 500
_POLL_S: Final = 0.5


def log(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="How many of the newest.")] = 20,
    kind: Annotated[
        str, typer.Option("--kind", help="Only records of this kind: use, refusal, mission, grant, approval …")
    ] = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Show the newest records of the ledger: what was asked, what was decided, why.

    [bold]For example[/bold]

      jittrust log -f

      jittrust log -n 1000 --kind refusal --json
    """

    async def go() -> None:
        async with reach(state_of(state)) as driving:
            at = max(0, await _size(driving) - lines)
            while True:
                entries = await driving.ledger.entries(at, _PAGE)
                for entry in entries:
                    at += 1
                    _print(entry, kind, as_json=as_json)
                if entries:
                    continue
                if not follow:
                    return
                await asyncio.sleep(_POLL_S)

    asyncio.run(go())
    return DONE


async def _size(driving: Driving) -> int:
    """How many records there are, as the newest checkpoint says."""
    note = await driving.ledger.checkpoint()
    return parse_body(note.rpartition("\n\n")[0] + "\n").size if note else 0


def _print(entry: bytes, kind: str, *, as_json: bool) -> None:
    record: dict[str, Any] = json.loads(entry)
    if kind and record.get("kind") != kind:
        return
    if as_json:
        print(entry.decode(), flush=True)
        return
    at = record.get("at")
    when = moment(at / 1000) if isinstance(at, int | float) else "-"
    say(f"{record.get('index', ''):>6}  {when}  {record.get('kind', ''):<12}  {_line(record)}")


def _line(record: Mapping[str, Any]) -> str:
    """What a person wants to see of a record, in one line."""
    action, policy, intent, grant = (_part(record, name) for name in ("action", "policy", "intent", "grant"))
    if policy:
        reasons = ", ".join(
            str(reason.get("code")) for reason in policy.get("reasons", ()) if isinstance(reason, Mapping)
        )
        stands = f" {intent['disposition']}" if intent.get("disposition") else ""
        score = "" if intent.get("wis") is None else f"  WIS {intent['wis']}"
        return f"{policy.get('ruling', ''):<8} {action.get('resource', '')}  {intent.get('code', '')}{stands}{score}  {grant.get('price', 0)} gas  {reasons}"
    shown = ("what", "state", "mission", "id", "resource", "target", "tool", "settled", "why", "detail")
    return "  ".join(
        f"{record[name]}" for name in shown if isinstance(record.get(name), str | int) and record[name] != ""
    )


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}
