"""`jittrust policy`: the written rules checked, tested, and tried on what happened."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from jittrust.apps.cli.failure import BAD_INPUT, DONE, REFUSED
from jittrust.apps.cli.options import AsJson, Config, State
from jittrust.apps.cli.output import emit, moment, say, table, working
from jittrust.apps.cli.reach import reach, state_of
from jittrust.core.errors import BadInputError

if TYPE_CHECKING:
    from jittrust.apps.simulate import RecordedDecision, SimulatedDecision, Simulation
    from jittrust.ports.driving import Driving

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
_PAGE: Final = 500
_MOST: Final = 10_000
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Cedar files; each is checked by itself.")],
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Check rules: syntax, facts and types, names, rules that never match, permits that a forbid makes void.

    Exit 0: nothing to say. 1: it loads, with warnings. 2: jittrust would not start with it.

    [bold]For example[/bold]

      jittrust policy check policy.cedar

      jittrust policy check policy.cedar --json | jq '.findings[] | {line, column, rule, text}'
    """
    from jittrust.adapters.cedar.places import FindingLevel
    from jittrust.adapters.cedar.policy import check_policy

    del state  # nothing is looked at but the files: taken so that every command has the same options
    found = [(file, *check_policy(file)) for file in files]
    findings = [finding for _, _, listed in found for finding in listed]
    if as_json:
        rules = [
            {"file": rule.file, "id": rule.id, "line": rule.line, "permits": rule.permits}
            for _, some, _ in found
            for rule in some
        ]
        emit({"rules": rules, "findings": findings})
    else:
        for finding in findings:
            say(f"{finding.level}: {finding.told} [{finding.code}]")
        for file, rules_of, listed in found:
            levels = Counter(finding.level for finding in listed)
            said = ", ".join(f"{times} {level}{'s' if times > 1 else ''}" for level, times in sorted(levels.items()))
            say(
                f"{file}: {len(rules_of)} rule{'' if len(rules_of) == 1 else 's'}, {said or 'nothing to say against them'}"
            )
    if any(finding.level is FindingLevel.ERROR for finding in findings):
        return BAD_INPUT
    return REFUSED if findings else DONE


@app.command("test")
def run_policy_cases(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Cases, in YAML.")] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="CEDAR", help="These rules, not those the file names.")
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a file to start from.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Ask the rules questions and compare what they say with what they should say. The shipped rules are always in force.

    Exit 0: all as expected. 1: some not. 2: the file or the rules are broken.

    [bold]For example[/bold]

      jittrust policy test --example > cases.yaml

      jittrust policy test cases.yaml

      jittrust policy test cases.yaml --policy new.cedar
    """
    from jittrust.apps.policy_cases import EXAMPLE, run_cases

    del state  # as above
    if example:
        if as_json:
            emit({"example": EXAMPLE})
        else:
            print(EXAMPLE, end="")
        return DONE
    if file is None:
        raise BadInputError("no_cases", "No file of cases was named", "jittrust policy test --example > cases.yaml")
    results = list(run_cases(file, policy))
    bad = [result for result in results if not result.good]
    if as_json:
        emit({"cases": len(results), "good": len(results) - len(bad), "failed": bad})
        return REFUSED if bad else DONE
    for result in bad:
        wanted = result.expected + ("" if result.expected_rules is None else f" by {', '.join(result.expected_rules)}")
        said = result.said + (f" by {', '.join(result.rules)}" if result.rules else "")
        say(f"{result.where}: {result.name}: expected {wanted}, the rules say {said}")
    say(f"{len(results) - len(bad)} of {len(results)} cases as expected")
    return REFUSED if bad else DONE


@app.command()
def simulate(
    policy: Annotated[Path, typer.Option("--policy", metavar="CEDAR", help="The changed rules.")],
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Only calls since then: 90m, 24h, 7d, or 2026-01-31[T12:00].")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000_000, help="Only the newest this many calls.")
    ] = _MOST,
    config: Config = None,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Replay the calls that the ledger records against changed rules. Nothing is called, nothing is changed.

    The shipped rules stay in force. A record holds no values of arguments: where a rule looks at one, the answer is `unknown`.
    With --json: one object a call that would not certainly be judged as it was. Exit 1 when there is one.

    [bold]For example[/bold]

      jittrust policy simulate --policy new.cedar --since 7d

      jittrust policy simulate --policy new.cedar --json | jq 'select(.would_be == "deny")'
    """
    from jittrust.adapters.cedar.policy import CedarPolicy
    from jittrust.apps.settings import load_settings
    from jittrust.apps.simulate import Simulation, told
    from jittrust.apps.state_dir import find_config
    from jittrust.core.rules import Rules

    began = _moment(since)
    folder = state_of(state)
    in_force = CedarPolicy.load(load_settings(find_config(config, folder)).policy.file)
    simulation = Simulation(CedarPolicy.load(policy), in_force, Rules())

    async def go() -> list[SimulatedDecision]:
        async with reach(folder) as driving:
            return [simulation.judge(recorded) async for recorded in _newest(driving, began, limit)]

    with working("Judging …", as_json=as_json):
        judged = asyncio.run(go())[::-1]
    changed = [one for one in judged if one.changed]
    if as_json:
        for one in changed:
            emit(told(one))
    else:
        _show(judged, changed, simulation)
    return REFUSED if changed else DONE


def _show(judged: list[SimulatedDecision], changed: list[SimulatedDecision], simulation: Simulation) -> None:
    if not judged:
        say("The ledger holds no call in that time.")
        return
    first, last = (moment(one.recorded.at / 1000) for one in (judged[0], judged[-1]))
    unknown = sum(one.would_be.value == "unknown" for one in changed)
    say(
        f"{len(judged)} calls from {first} to {last}: {len(changed) - unknown} would be judged otherwise, {unknown} cannot be told."
    )
    say()
    rows = Counter(
        (
            one.recorded.question.resource,
            ", ".join(one.rules) or "-",
            str(one.recorded.ruling),
            str(one.would_be),
            one.why,
        )
        for one in changed
    )
    table(
        ("TOOL", "RULE", "WAS", "WOULD BE", "CALLS", "WHY"),
        ((tool, rule, was, would, times, why) for (tool, rule, was, would, why), times in rows.most_common()),
        "Nothing would change.",
    )
    if idle := [rule for rule, times in simulation.met.items() if not times]:
        say()
        say(f"Held for none of these calls: {', '.join(idle)}")


async def _newest(driving: Driving, since: float, limit: int) -> AsyncIterator[RecordedDecision]:
    """Recorded calls, newest first."""
    from jittrust.apps.simulate import recorded_decisions
    from jittrust.core.ledger.checkpoint import parse_body

    note = await driving.ledger.checkpoint()
    end, left = parse_body(note.rpartition("\n\n")[0] + "\n").size if note else 0, limit
    while end > 0 and left > 0:
        start = max(0, end - _PAGE)
        page = await driving.ledger.entries(start, end - start)
        end = start
        for recorded in reversed(list(recorded_decisions(page))):
            if recorded.at < since * 1000:
                return
            yield recorded
            left -= 1
            if not left:
                return


def _moment(since: str) -> float:
    """Seconds since 1970; 0 for none."""
    if not since:
        return 0.0
    if span := _SPAN.fullmatch(since):
        from jittrust.adapters.system.clock import SteadyClock

        return SteadyClock()() - int(span[1]) * _SECONDS[span[2]]
    try:
        at = datetime.fromisoformat(since)
    except ValueError:
        raise BadInputError(
            "bad_since", f"--since {since} is no moment", "Write 90m, 24h, 7d or 2026-01-31T12:00."
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
