"""`jittrust intent`: what the engine reads out of a text, what it would have stopped, and the end of observing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Final

import typer

from jittrust.apps.cli.failure import DONE, REFUSED
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import emit, plain, say, table
from jittrust.apps.cli.promote import promote, report
from jittrust.core.errors import BadInputError
from jittrust.core.intent.goal import Clause, GoalReading, read_goal
from jittrust.core.intent.reading import goal_code
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.text import READING_BOUNDS, TextReading, as_reading, read_text, shown
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")

_MOST_BYTES: Final = 64 << 20
_SHOWN: Final = 400


@app.callback()
def _group() -> None:
    """See what the engine reads out of a text and what observing would have stopped; end observing."""


@app.command("read")
def read_(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text; `-` reads it from stdin.")],
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Read a text as a stranger's words and as a goal: what is hidden or encoded in it, whether it gives orders to a model, which acts it names.

    Ends with 1 when the text gives orders to a model.

    [bold]For example[/bold]

      jittrust intent read "Pay the bill in bill.txt and mail a copy to Ann"

      curl -s https://example.com/page | jittrust intent read - --json
    """
    del state  # nothing is stored: taken so that every command has the same options
    words = _from_stdin() if text == "-" else text
    read = read_text(words)
    goal = read_goal(Goal((words,), GoalSource.FLAG))
    if as_json:
        emit(_object(read, goal))
    else:
        _print(words, read, goal)
    return REFUSED if read.injection.suspicious else DONE


app.command("report")(report)
app.command("promote")(promote)


def _from_stdin() -> str:
    raw = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise BadInputError("text_too_long", f"A text may have at most {_MOST_BYTES >> 20} MiB.", "Give it in parts.")
    return raw.decode("utf-8", "replace")


def _object(read: TextReading, goal: GoalReading) -> dict[str, Json]:
    made = {name: plain(getattr(read, name)) for name in TextReading.__dataclass_fields__}
    return {**made, "reading": plain(as_reading(read)), "goal": _goal_object(goal)}


def _goal_object(goal: GoalReading) -> dict[str, Json]:
    return {
        "code": goal_code(goal),
        "delegates": goal.delegates,
        "whole": goal.whole,
        "clauses": [_clause_object(clause) for clause in goal.clauses],
        "literals": plain(goal.literals),
    }


def _clause_object(clause: Clause) -> dict[str, Json]:
    return {
        "verbs": {stem: plain(kinds) for stem, kinds in clause.verbs},
        "forbidden": {stem: plain(kinds) for stem, kinds in clause.forbidden},
        "about": sorted(clause.about),
        "refers": clause.refers,
    }


def _print(text: str, read: TextReading, goal: GoalReading) -> None:
    injection = read.injection
    verdict = "gives orders to a model" if injection.suspicious else "gives no orders to a model"
    say(f"This text {verdict} (score {injection.score:.2f}, suspicious from 0.50).")
    if not read.whole:
        say(f"Only the first {READING_BOUNDS.longest} of {read.length} characters were read.")
    say()
    if injection.reasons:
        table(("SIGNAL", "ADDS", "WHY"), ((one.code, f"{one.weight:.2f}", one.why) for one in injection.reasons), "")
        say()
    if read.flags:
        rows = ((flag.kind.value, flag.count, _first(flag.places)) for flag in read.flags)
        table(("FLAG", "TIMES", "FIRST AT"), rows, "")
        say()
    if read.hidden or read.variants:
        hidden = [("invisible", part) for part in read.hidden]
        decoded = [(" > ".join(one.codecs), one.text) for one in read.variants]
        table(("DECODED FROM", "TEXT"), ((name, shown(part, _SHOWN)) for name, part in [*hidden, *decoded]), "")
        say()
    if read.skeleton != text[: READING_BOUNDS.longest]:
        say(f"As written: {shown(text, _SHOWN)}")
        say(f"Understood: {shown(read.skeleton, _SHOWN)}")
        say()
    _print_goal(goal)


def _first(places: tuple[object, ...]) -> str:
    found = [plain(place) for place in places[:1]]
    return "; ".join(f"{one['start']}: {one['shown']}" for one in found if isinstance(one, Mapping))


def _print_goal(goal: GoalReading) -> None:
    code = goal_code(goal)
    meaning = f": {TAXONOMY[code].definition}" if code else ""
    say(f"As a goal it is {code or 'empty'}{meaning}")
    if goal.delegates:
        say("It points at content as the source of instructions: a person is asked before these are followed.")
    rows = [
        (
            ", ".join(f"{stem} ({'/'.join(kinds)})" for stem, kinds in clause.verbs) or "-",
            ", ".join(stem for stem, _ in clause.forbidden) or "-",
            ", ".join(sorted(clause.about)) or "-",
        )
        for clause in goal.clauses
    ]
    table(("VERBS", "FORBIDDEN", "ABOUT"), rows, "It has no clause.")
    if goal.literals:
        say()
        table(("IDENTIFIER", "KIND"), ((shown(one.text), one.kind.value) for one in goal.literals), "")
