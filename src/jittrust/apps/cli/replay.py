"""`jittrust replay`: recorded sessions, judged by the rules that judge live calls."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import emit, say, table, working
from jittrust.core.model import Json


def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON Lines, one recorded session a line, in OpenAI chat form.")
    ],
    independent: Annotated[
        bool, typer.Option("--independent", help="Judge each call as if earlier responses had not happened.")
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="BASELINE", help="What is usual here, as jittrust calibrate wrote it."),
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Judge recorded agent sessions. Nothing is called, nothing is stored; every session starts with an empty history.

    With --json: one object a tool call, in order, as it is judged.

    [bold]For example[/bold]

      jittrust replay sessions.jsonl

      jittrust replay sessions.jsonl --json | jq 'select(.verdict == "deny")'
    """
    from jittrust.adapters.files.models import read_baseline
    from jittrust.apps.replay import replay_file, shipped_rules
    from jittrust.core.intent.baseline import NO_BASELINE, departs

    del state  # nothing is stored: taken so that every command has the same options
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    sessions: dict[str, str] = {}
    usual = NO_BASELINE if baseline is None else read_baseline(baseline)
    with working("Judging …", as_json=as_json):
        for row in replay_file(file, independent=independent, rules=shipped_rules(usual)):
            if as_json:
                emit(row)
                continue
            verdicts[str(row["verdict"])] += 1
            reasons.update(_codes(row))
            sessions[str(row["session"])] = str(row["response"])
    if as_json:
        return DONE
    calls = sum(verdicts.values())
    say(f"{calls} calls in {len(sessions)} sessions")
    table(
        ("VERDICT", "CALLS", "SHARE"),
        ((name, n, f"{100 * n / calls:.1f} %") for name, n in verdicts.most_common()),
        "No tool call in it.",
    )
    say()
    table(("LAST RESPONSE", "SESSIONS"), Counter(sessions.values()).most_common(), "")
    say()
    table(("REASON", "CALLS"), reasons.most_common(12), "")
    asked = calls - verdicts["allow"] - verdicts["modify"]
    if usual.adopted and departs(asked, calls, usual.calls_promised, usual.calls_judged):
        say()
        say(
            f"ALARM: a person was asked about {100 * asked / calls:.1f} % of calls, the baseline promised "
            f"{100 * usual.calls_promised:.1f} %. Either these are no everyday sessions, or calibrate anew."
        )
    return DONE


def _codes(row: dict[str, Json]) -> list[str]:
    codes = row.get("reasons")
    return [str(code) for code in codes] if isinstance(codes, list | tuple) else []
