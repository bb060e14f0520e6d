"""How the stories are told: in words on a terminal of any width, or as JSON lines."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, Protocol

from jittrust.apps.cli.failure import clean, coloured
from jittrust.apps.demo.telling import StoryEnd, ToldCall
from jittrust.core.model import Json

if TYPE_CHECKING:
    from rich.console import Console

_WIDEST: Final = 132
_IN_A_PIPE: Final = 120
_ONE_LINE: Final = 106  # columns from which the numbers stand beside the call
_JOINED: Final = "\N{NO-BREAK SPACE}"  # keeps what belongs together on one line
_NUMBERS: Final = 68  # columns that verdict and numbers take
_STOPPED: Final = frozenset({"session_suspended", "mission_not_active"})
_SHOWN_ALIKE: Final = 2  # calls of a stopped session that are told; the rest is counted
_LONGEST_CALL: Final = 60
_VERDICTS: Final[Mapping[str, tuple[str, str]]] = {
    "allow": ("allowed", "green"),
    "modify": ("changed", "yellow"),
    "step_up": ("asks you", "yellow"),
    "defer": ("waits", "yellow"),
    "deny": ("refused", "red"),
}
_WHO: Final[Mapping[str, str]] = {"agent": "", "document": "! ", "owner": "owner: ", "thief": "thief: "}


class Teller(Protocol):
    """Who tells the stories."""

    def chapter(self, number: int, title: str, words: str) -> None:
        """A story begins."""
        ...

    def call(self, told: ToldCall) -> None:
        """A call was judged."""
        ...

    def aside(self, words: str) -> None:
        """Something happened between the calls."""
        ...

    def end(self, end: StoryEnd) -> None:
        """A story has ended; what it claims was looked up."""
        ...

    def close(self, ends: Sequence[StoryEnd], ledger: Mapping[str, Json], steps: Sequence[tuple[str, str]], /) -> None:
        """All stories have been told."""
        ...


class JsonTeller:
    """One JSON object a line: every call, then the summary."""

    def chapter(self, number: int, title: str, words: str) -> None:
        """Nothing: the calls name their story."""

    def call(self, told: ToldCall) -> None:
        """The call."""
        _write(asdict(told) | {"reasons": list(told.reasons)})

    def aside(self, words: str) -> None:
        """Nothing."""

    def end(self, end: StoryEnd) -> None:
        """What did not come as told goes to stderr."""
        for claim in end.claims:
            if not claim.holds:
                sys.stderr.write(f"{end.name}: not so: {claim.words} ({claim.found})\n")

    def close(self, ends: Sequence[StoryEnd], ledger: Mapping[str, Json], _steps: Sequence[tuple[str, str]], /) -> None:
        """The summary."""
        stories: list[Json] = [
            {"name": e.name, "calls": len(e.calls), "allowed": e.allowed, "stopped": e.stopped, "ended": e.ended}
            for e in ends
        ]
        told = {"records": ledger["records"], "verified": ledger["verified"]}
        _write({"stories": stories, "ledger": told, "console": None})


def _write(value: Mapping[str, Json]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class TextTeller:
    """Words for people."""

    def __init__(self) -> None:
        """Takes the width of the terminal at hand."""
        self._console = _console()
        self._last: dict[str, ToldCall] = {}
        self._alike = 0

    def chapter(self, number: int, title: str, words: str) -> None:
        """A rule, a title, a paragraph."""
        self._last = {}
        self._say()
        self._say(f"{number}. {title}", "bold")
        self._say(words, indent=3)
        self._say()

    def call(self, told: ToldCall) -> None:
        """The call, its numbers, why."""
        from rich.text import Text

        if _STOPPED & {*told.reasons}:
            self._alike += 1
            if self._alike > _SHOWN_ALIKE:
                return
        verdict, colour = _VERDICTS.get(told.verdict, (told.verdict, "red"))
        wide = self._console.width >= _ONE_LINE
        room = min(_LONGEST_CALL, self._console.width - (_NUMBERS + 12 if wide else 12)) - len(_WHO[told.who])
        name, numbers = _cut(f"{told.call} {told.on}".strip(), room), _numbers(told)
        line = Text("   ")
        line.append(f"{verdict:<9}", colour)
        line.append(_WHO[told.who], "bold magenta")
        line.append(clean(f"{name:<{room}} {numbers}".replace(_JOINED, " ") if wide and numbers else name))
        self._console.print(line, soft_wrap=True)
        if numbers and not wide:
            self._say(numbers, indent=12)
        before = self._last.get(told.call)
        dearer = told.forwarded and before is not None and before.forwarded and told.price > before.price
        more = f" It cost {before.price} gas before: reaching further gets dearer." if dearer and before else ""
        moved = _moved(self._last, told)
        self._say(f"{told.why}{more}{moved}", "dim", indent=12)
        self._last[told.call] = told
        self._last[""] = told

    def aside(self, words: str) -> None:
        """A paragraph."""
        self._count_alike()
        self._say(words, "cyan", indent=3)

    def _count_alike(self) -> None:
        if self._alike > _SHOWN_ALIKE:
            self._say(f"{self._alike - _SHOWN_ALIKE} more calls, all refused the same way.", "cyan", indent=3)
        self._alike = 0

    def end(self, end: StoryEnd) -> None:
        """What was looked up afterwards."""
        self._count_alike()
        self._say()
        for claim in end.claims:
            words = f"checked  {claim.words}" if claim.holds else f"NOT SO   {claim.words} ({claim.found})"
            self._say(words, "green" if claim.holds else "bold red", indent=3)

    def close(self, _ends: Sequence[StoryEnd], ledger: Mapping[str, Json], steps: Sequence[tuple[str, str]], /) -> None:
        """The ledger, and what to try next."""
        self._say()
        self._say("The ledger", "bold")
        state = "are exactly what was signed" if ledger["verified"] else "are NOT what was signed"
        words_of_it = (
            f"{ledger['records']} records {state}: checked offline, record by record, against the signed checkpoint."
        )
        self._say(f"{words_of_it} {ledger.get('why', '')}", "green" if ledger["verified"] else "bold red", indent=3)
        self._say()
        self._say("Try next", "bold")
        for command, what in steps:
            self._console.print(f"   {command}", soft_wrap=True)
            self._say(what, "dim", indent=7)

    def _say(self, words: str = "", style: str = "", indent: int = 0) -> None:
        from rich.text import Text

        # Wrapped here, not by the terminal: no line ends in blanks when the output is kept.
        for line in textwrap.wrap(clean(words), max(20, self._console.width - indent), break_on_hyphens=False) or [""]:
            self._console.print(Text(" " * indent + line.replace(_JOINED, " "), style), soft_wrap=True)


def _moved(last: Mapping[str, ToldCall], told: ToldCall) -> str:
    """What became of the session with this call, if anything did."""
    before = last[""].response if "" in last else "none"
    if told.response == before:
        return ""
    words = {
        "flag": "The session is flagged from here on.",
        "narrow": "From here on the session has reduced privileges.",
        "suspend": "With this the mission is suspended, and you are asked whether it may go on.",
        "kill": "With this the session is killed.",
    }
    return f" {words[told.response]}" if told.response in words else ""


def _numbers(told: ToldCall) -> str:
    if told.wis is None:
        return "" if told.trust is None else f"trust {told.trust:.0f}"
    o, c, r = (_unit(told.factors.get(name)) for name in ("O", "C", "R"))
    t = told.factors.get("T")
    gas = "   -" if told.gas_left is None else f"{told.gas_left:>4}"
    groups = (
        f"WIS {told.wis:>3.0f}",
        f"O {o} C {c} R {r} T {'-' if t is None else f'{t:.0f}s'}",
        f"price {told.price:>2}",
        f"gas {gas}",
        f"trust {'-' if told.trust is None else f'{told.trust:.0f}'}",
    )
    return "  ".join(group.replace(" ", _JOINED) for group in groups)


def _unit(value: float | None) -> str:
    return " - " if value is None else f"{value:.2f}".removeprefix("0").rjust(3)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 3)] + "..."


def _console() -> Console:
    from rich.console import Console

    stream = sys.stdout
    # Facts may hold what a terminal cannot show.
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    width = None
    if not stream.isatty():
        said = os.environ.get("COLUMNS", "")
        width = max(20, int(said)) if said.isdecimal() else _IN_A_PIPE
    console = Console(
        no_color=not coloured(stream),
        color_system="auto" if coloured(stream) else None,
        highlight=False,
        markup=False,
        emoji=False,
        width=width,
    )
    console.width = min(console.width, _WIDEST)
    return console
