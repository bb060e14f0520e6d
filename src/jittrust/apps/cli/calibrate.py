"""`jittrust calibrate`: what is usual in a deployment, learned from its own recordings, adopted by a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, PinStdin, State
from jittrust.apps.cli.output import emit, moment, say, table, working
from jittrust.apps.cli.reach import asked, person, read_pin
from jittrust.core.errors import BadInputError

if TYPE_CHECKING:
    from jittrust.apps.calibrate import Calibration, FrictionBudget

_NAMED_MOST: Final = 12


def calibrate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE…]", help="Recordings of benign sessions, JSON Lines, as for replay."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the baseline is written.", metavar="BASELINE")
    ] = None,
    adopt: Annotated[
        Path | None,
        typer.Option("--adopt", metavar="BASELINE", help="Put a baseline in force, from now on; takes the PIN."),
    ] = None,
    observed: Annotated[
        bool, typer.Option("--observed", help="Learn from the missions of this ledger that closed clean.")
    ] = False,
    since: Annotated[
        float, typer.Option("--since", metavar="DAYS", min=0.01, help="With --observed: how many days back.")
    ] = 90.0,
    show: Annotated[bool, typer.Option("--show", help="What is in force, and how often it asks.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Take back what was adopted; takes the PIN.")] = False,
    why: Annotated[str, typer.Option("--why", help="Goes into the ledger.")] = "",
    friction_calls: Annotated[
        float,
        typer.Option("--friction-calls", min=0.1, max=50.0, help="Share of calls a person may be asked about, %."),
    ] = 2.0,
    friction_missions: Annotated[
        float, typer.Option("--friction-missions", min=0.1, max=50.0, help="Share of missions likewise, %.")
    ] = 5.0,
    pin_stdin: PinStdin = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Learn what is usual here from benign sessions, set the threshold from a friction budget, and put it in force.

    Learning changes nothing. Adopting is an act: it lets the tools of the baseline pass for goals that do not name them (policy:baseline), takes the
    PIN and a reason, is recorded, and works at once, without a restart. Look at the baseline first.

    [bold]For example[/bold]

      jittrust calibrate observed.jsonl --out usual.json --friction-missions 5

      jittrust replay new.jsonl --baseline usual.json

      jittrust calibrate --observed --since 30 --out usual.json

      jittrust calibrate --adopt usual.json --why "observed since May"

      jittrust calibrate --show
    """
    learns = bool(files)
    if sum((learns, observed, adopt is not None, show, drop)) != 1 or ((learns or observed) and out is None):
        raise BadInputError(
            "bad_usage",
            "Say FILE… or --observed, with --out, or one of --adopt, --show, --drop",
            "See: jittrust calibrate --help",
        )
    if show:
        return _show(state, as_json=as_json)
    if adopt is not None:
        return _adopt(adopt, why, state, pin_stdin=pin_stdin, as_json=as_json)
    if drop:
        pin = read_pin(from_stdin=pin_stdin)
        gone = asked(state, lambda driving: driving.baselines.drop(why, person(), pin))
        if as_json:
            emit({"dropped": gone.digest, "by": gone.by, "why": gone.why})
        else:
            say(f"Baseline {gone.digest[:12]} is dropped. What only it had approved waits for a person again.")
        return DONE
    from jittrust.apps.calibrate import FrictionBudget, as_row
    from jittrust.apps.calibrate import calibrate as learned_from
    from jittrust.core.intent.baseline import to_json

    budget = FrictionBudget(friction_calls / 100, friction_missions / 100)
    with working("Learning …", as_json=as_json):
        found = _observed(state, budget, since) if observed else learned_from(files or [], budget)
    if out is not None:
        out.write_text(json.dumps(to_json(found.baseline), indent=1) + "\n", encoding="utf-8")
    row = as_row(found)
    if as_json:
        emit(row)
        return DONE
    say(f"{found.missions} missions with {row['goals']} goals taught {row['tools']} tools.")
    _left_out(found.left_out)
    say(f"A person will be asked in {row['missions_promised']} of missions and about {row['calls_promised']} of calls,")
    say("measured on goals left out one after another.")
    if observed:
        say(
            "Records hold no values, so calls were not judged again: what a baseline cannot be shown to lift is counted."
        )
    made = found.baseline
    if made.calls_promised > made.calls_budget or made.missions_promised > made.missions_budget:
        say("That is above the budget: the rest comes from what the goals do not name and the baseline does not know.")
    say(f"Next: look at it, then jittrust calibrate --adopt {out} --why …")
    return DONE


def _observed(state: Path | None, budget: FrictionBudget, since: float) -> Calibration:
    from jittrust.adapters.files.models import shipped_model
    from jittrust.adapters.system.clock import SteadyClock
    from jittrust.apps.cli.promote import all_entries
    from jittrust.apps.observed import learn_observed, ledger_missions

    missions = ledger_missions(asked(state, all_entries)).values()
    return learn_observed(missions, budget, shipped_model(), float(SteadyClock()()), since)


def _left_out(left: Mapping[str, str]) -> None:
    if not left:
        return
    say(f"{len(left)} taught nothing:")
    for name, why in list(left.items())[:_NAMED_MOST]:
        say(f"  {name}: {why}")
    if len(left) > _NAMED_MOST:
        say(f"  … and {len(left) - _NAMED_MOST} more (--json lists all)")


def _adopt(file: Path, why: str, state: Path | None, *, pin_stdin: bool, as_json: bool) -> int:
    from jittrust.adapters.files.models import read_baseline
    from jittrust.core.intent.adoption import adoptable
    from jittrust.core.intent.baseline import to_json

    body = to_json(read_baseline(file))
    made = adoptable(body)
    if not as_json:
        say(f"{file}: {made.goals} goals, {len(made.tools)} tools; a call goes to a person above {made.threshold:.2f}.")
        names = sorted({key.partition("\x1f")[0] for key, goals in made.tools.items() if goals > 1})
        say(f"Tools that it lets pass for goals that do not name them: {', '.join(names) or 'none'}")
    pin = read_pin(from_stdin=pin_stdin)
    adopted = asked(state, lambda driving: driving.baselines.adopt(body, why, person(), pin))
    if as_json:
        emit({"adopted": adopted.digest, "by": adopted.by, "why": adopted.why})
    else:
        say(f"Baseline {adopted.digest[:12]} is in force, from the next decision on.")
        say("Take it back: jittrust calibrate --drop")
    return DONE


def _show(state: Path | None, *, as_json: bool) -> int:
    from jittrust.core.intent.adoption import adoptable

    found = asked(state, lambda driving: driving.baselines.show())
    kept = found.adopted
    made = adoptable(kept.body) if kept is not None and kept.stands and found.readable else None
    if as_json:
        emit(
            {
                "in_force": made is not None,
                "digest": None if kept is None else kept.digest,
                "by": None if kept is None else kept.by,
                "why": None if kept is None else kept.why,
                "since": None if kept is None else kept.since,
                "dropped": None if kept is None else kept.dropped,
                "goals": made.goals if made else 0,
                "tools": len(made.tools) if made else 0,
                "threshold": made.threshold if made else None,
                "calls_promised_pct": round(100 * made.calls_promised, 2) if made else None,
                "missions_promised_pct": round(100 * made.missions_promised, 2) if made else None,
                "judged": found.judged,
                "asked": found.asked,
                "alarm": found.alarm,
            }
        )
        return DONE
    if kept is None:
        say("Nothing is adopted as usual here. Next: jittrust calibrate FILE… --out usual.json")
        return DONE
    if made is None:
        until = (
            "an older version wrote it, so it is not in force: adopt anew"
            if kept.stands
            else f"dropped by {kept.by} at {moment(kept.dropped or kept.since)}: {kept.why}"
        )
        say(f"Baseline {kept.digest[:12]}: {until}")
        return DONE
    say(f"Baseline  {kept.digest[:12]}, adopted by {kept.by} at {moment(kept.since)}: {kept.why}")
    say(f"Knows     {made.goals} goals, {len(made.tools)} tools; a call goes to a person above {made.threshold:.2f}")
    say(
        f"Promised  a person asked about {100 * made.calls_promised:.1f} % of calls, in {100 * made.missions_promised:.1f} % of missions"
    )
    share = f"{100 * found.asked / found.judged:.1f} %" if found.judged else "-"
    say(f"Real      {share} of the last {found.judged} calls{'  ALARM: more than promised' if found.alarm else ''}")
    say()
    most_first = sorted(made.tools.items(), key=lambda item: (-item[1], item[0]))
    table(("TOOL", "GOALS"), ((key.partition("\x1f")[0], goals) for key, goals in most_first), "")
    return DONE
