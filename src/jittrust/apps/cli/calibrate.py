"""`jittrust calibrate`: what is usual in a deployment, learned from its own recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import emit, say, working


def calibrate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Recordings of benign sessions, JSON Lines, as for replay.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Where the baseline is written.", metavar="BASELINE")],
    friction_calls: Annotated[
        float,
        typer.Option("--friction-calls", min=0.1, max=50.0, help="Share of calls a person may be asked about, %."),
    ] = 2.0,
    friction_missions: Annotated[
        float, typer.Option("--friction-missions", min=0.1, max=50.0, help="Share of missions likewise, %.")
    ] = 5.0,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Learn what is usual here from recordings of benign sessions, and set the threshold from a friction budget.

    Adopt it by naming it: who does lets the tools in it pass for goals that do not name them (policy:baseline). Look at it first.

    [bold]For example[/bold]

      jittrust calibrate observed.jsonl --out usual.json --friction-missions 5

      jittrust replay new.jsonl --baseline usual.json
    """
    from jittrust.apps.calibrate import FrictionBudget, as_row
    from jittrust.apps.calibrate import calibrate as learned_from
    from jittrust.core.intent.baseline import to_json

    del state  # nothing of the state is read: taken so that every command has the same options
    with working("Learning …", as_json=as_json):
        found = learned_from(files, FrictionBudget(friction_calls / 100, friction_missions / 100))
    out.write_text(json.dumps(to_json(found.baseline), indent=1) + "\n", encoding="utf-8")
    row = as_row(found)
    if as_json:
        emit(row)
        return DONE
    say(
        f"{found.missions} missions with {row['goals']} goals taught {row['tools']} tools; {found.left_out} were left out."
    )
    say(
        f"A person will be asked in {row['missions_promised_pct']} % of missions and about {row['calls_promised_pct']} % of calls,"
    )
    say("measured on goals left out one after another.")
    if (
        found.baseline.calls_promised > friction_calls / 100
        or found.baseline.missions_promised > friction_missions / 100
    ):
        say("That is above the budget: the rest comes from what the goals do not name and the baseline does not know.")
    return DONE
