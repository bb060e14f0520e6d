"""`jittrust intent report` and `jittrust intent promote`: what observing would have done, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, PinStdin, State
from jittrust.apps.cli.output import emit, moment, say, table
from jittrust.apps.cli.reach import asked, person, read_pin
from jittrust.core.errors import BadInputError
from jittrust.ports.driving import Driving

if TYPE_CHECKING:
    from jittrust.apps.friction_report import FrictionReport

_PAGE: Final = 1000
_DAY: Final = 86_400.0

Since = Annotated[float, typer.Option("--since", metavar="DAYS", min=0.01, help="How many days back.")]


def report(
    mission: Annotated[str, typer.Option("--mission", metavar="ID", help="Of this mission only.")] = "",
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Of this agent only.")] = "",
    since: Since = 30.0,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """What a person was, or would have been, asked about; what was, or would have been, refused; why, and what would make it less.

    [bold]For example[/bold]

      jittrust intent report --since 7

      jittrust intent report --agent coder --json
    """
    found = _counted(state, mission, agent, since)
    if as_json:
        emit(found.as_row())
        return DONE
    _print(found)
    return DONE


def promote(
    mission: Annotated[str, typer.Option("--mission", metavar="ID", help="End observing for this mission.")] = "",
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="End observing for this agent.")] = "",
    release: Annotated[
        str, typer.Option("--release", metavar="NAME", help="Let this agent be only observed again; takes the PIN.")
    ] = "",
    list_: Annotated[bool, typer.Option("--list", help="Which agents were promoted.")] = False,
    why: Annotated[str, typer.Option("--why", help="Goes into the ledger.")] = "",
    since: Since = 30.0,
    pin_stdin: PinStdin = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """From observe to enforce, for one mission or one agent: shows the report first, takes the PIN, works at once.

    An agent that was promoted stays so whatever `--observe` of its servers or `policy.observe` says, until --release.

    [bold]For example[/bold]

      jittrust intent promote --agent coder --why "two weeks, four questions"

      jittrust intent promote --list
    """
    if sum((bool(mission), bool(agent), bool(release), list_)) != 1:
        raise BadInputError(
            "bad_usage", "Say one of --mission, --agent, --release or --list", "See: jittrust intent promote --help"
        )
    if list_:
        every = asked(state, lambda driving: driving.promotions.list())
        if as_json:
            emit({"promotions": every})
            return DONE
        rows = ((one.id, "enforced" if one.stands else "released", one.by, moment(one.since), one.why) for one in every)
        table(("AGENT", "STATE", "BY", "SINCE", "WHY"), rows, "No agent was promoted.")
        return DONE
    if release:
        pin = read_pin(from_stdin=pin_stdin)
        gone = asked(state, lambda driving: driving.promotions.release(release, why, person(), pin))
        if as_json:
            emit({"released": gone.id})
        else:
            say(f"{gone.id} is only observed again where its servers say so.")
        return DONE
    found = _counted(state, mission, agent, since)
    if not as_json:
        _print(found)
        say()
    pin = read_pin(from_stdin=pin_stdin)
    if mission:
        meant = asked(state, lambda driving: driving.promotions.enforce_mission(mission, why, person(), pin))
        name = meant.id
    else:
        made = asked(state, lambda driving: driving.promotions.enforce_agent(agent, why, person(), pin))
        name = made.id
    if as_json:
        emit({"enforced": name, "report": found.as_row()})
    else:
        say(f"{name} is enforced from its next call on.")
    return DONE


def _counted(state: Path | None, mission: str, agent: str, since: float) -> FrictionReport:
    from jittrust.adapters.system.clock import SteadyClock
    from jittrust.apps.friction_report import friction_report
    from jittrust.apps.observed import ledger_missions

    return friction_report(
        ledger_missions(asked(state, all_entries)).values(),
        mission=mission,
        agent=agent,
        since=float(SteadyClock()()) - since * _DAY,
    )


async def all_entries(driving: Driving) -> list[bytes]:
    """Every record of the ledger, oldest first."""
    found: list[bytes] = []
    while page := await driving.ledger.entries(len(found), _PAGE):
        found.extend(page)
    return found


def _print(found: FrictionReport) -> None:
    calls = max(1, found.calls)
    say(f"{found.calls} calls in {found.missions} missions, {found.only_observed} of them only observed.")
    say(
        f"A person was or would have been asked about {found.asked} ({100 * found.asked / calls:.1f} %), "
        f"{found.refused} were or would have been refused; {found.touched} missions were touched."
    )
    say()
    _table("WHY", found.causes)
    _table("TOOL", found.tools)
    if found.entries:
        table(("MAP ENTRY TO ADD", "GOALS"), found.entries.items(), "")
        say()
    if found.endorsements:
        rows = ((source, act, count) for (source, act), count in found.endorsements.items())
        table(("SOURCE TO ENDORSE", "FOR", "CALLS"), rows, "")
        say()
    table(("DAY", "CALLS", "ASKED", "REFUSED"), ((d.day, d.calls, d.asked, d.refused) for d in found.days), "")


def _table(head: str, rows: Mapping[str, int]) -> None:
    if rows:
        table((head, "CALLS"), rows.items(), "")
        say()
