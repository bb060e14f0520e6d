"""`jittrust kill`: the kill switch, from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import emit, moment, say, table
from jittrust.apps.cli.reach import asked, person, read_pin
from jittrust.core.errors import BadInputError
from jittrust.core.response.stop import StopScope


def kill(
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Stop an agent, under whatever name.")] = "",
    mission: Annotated[str, typer.Option("--mission", metavar="ID", help="End a mission and all its grants.")] = "",
    grant: Annotated[str, typer.Option("--grant", metavar="ID", help="End a grant and what was carved from it.")] = "",
    chain: Annotated[
        str, typer.Option("--chain", metavar="ID", help="End the whole delegation tree that a grant belongs to.")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Freeze everything. Nothing is ended; lifting thaws.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="Goes into the ledger.")] = "",
    lift: Annotated[
        str, typer.Option("--lift", metavar="STOP", help="Let what was stopped go on; takes the PIN.")
    ] = "",
    list_: Annotated[bool, typer.Option("--list", help="What is stopped, and what was.")] = False,
    pin_stdin: Annotated[bool, typer.Option("--pin-stdin", help="Read the PIN from stdin.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Stop an agent, a mission, a grant, a chain or everything, at once; calls under way are cut off.

    [bold]For example[/bold]

      jittrust kill --agent coder --why "it reads secrets"

      jittrust kill --all --why "incident"

      jittrust kill --list

      jittrust kill --lift everything:*
    """
    chosen = [
        (scope, target)
        for scope, target in (
            (StopScope.AGENT, agent),
            (StopScope.MISSION, mission),
            (StopScope.GRANT, grant),
            (StopScope.CHAIN, chain),
            (StopScope.EVERYTHING, "*" if everything else ""),
        )
        if target
    ]
    if len(chosen) + bool(lift) + list_ != 1:
        raise BadInputError(
            "bad_usage",
            "Say one of --agent, --mission, --grant, --chain, --all, --lift or --list",
            "See: jittrust kill --help",
        )
    if list_:
        return _list(state, as_json=as_json)
    if lift:
        pin = read_pin(from_stdin=pin_stdin)
        lifted = asked(state, lambda driving: driving.responses.lift(lift, why or "lifted by a person", person(), pin))
        if as_json:
            emit({"stop": lifted})
        else:
            say(f"{lifted.id} is lifted. Grants and missions that were ended stay ended.")
        return DONE
    scope, target = chosen[0]
    reason = why or "stopped by a person"
    stopped = asked(state, lambda driving: driving.responses.stop(scope, target, reason, person()))
    if as_json:
        emit(stopped)
        return DONE
    say(
        f"{stopped.stop.id} is stopped: {len(stopped.grants)} grants and {len(stopped.missions)} missions ended,"
        f" {stopped.calls} calls under way cut off."
    )
    say(f"Nothing new is opened for it until: jittrust kill --lift {stopped.stop.id}")
    return DONE


def _list(state: Path | None, *, as_json: bool) -> int:
    stops = asked(state, lambda driving: driving.responses.list())
    if as_json:
        emit({"stops": stops})
        return DONE
    rows = ((stop.id, "stands" if stop.stands else "lifted", stop.by, moment(stop.since), stop.why) for stop in stops)
    table(("STOP", "STATE", "BY", "SINCE", "WHY"), rows, "Nothing was ever stopped.")
    return DONE
