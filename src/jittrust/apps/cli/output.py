"""What commands print: tables and lines for people, one JSON object for programs. Rich is loaded only when something is drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from jittrust.apps.cli.failure import clean, coloured
from jittrust.core.model import Json

if TYPE_CHECKING:
    from rich.console import Console

# Members that are secret or for machines only never leave through a general print.
_HIDDEN = frozenset({"pin_hash"})


def plain(value: object) -> Json:
    """A domain value as JSON: dataclasses by member, enums by word, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.name not in _HIDDEN}
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(value, float):
        return float(value)
    return str(value)


def emit(value: object) -> None:
    """Print one JSON value on one line."""
    print(json.dumps(plain(value), ensure_ascii=True, allow_nan=False))


def console() -> Console:
    """Where people read; no colour with NO_COLOR or when it is no terminal. Markup is off: texts of agents are printed."""
    from rich.console import Console

    return Console(
        no_color=not coloured(sys.stdout),
        highlight=False,
        markup=False,
        emoji=False,
        width=None if sys.stdout.isatty() else 140,
    )


def say(text: str = "") -> None:
    """Print a line for people."""
    print(clean(text))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table, or `empty` when there are no rows. In a pipe: no frame, columns two blanks apart."""
    listed = [[clean(str(cell)) for cell in row] for row in rows]
    if not listed:
        say(empty)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for head in heads:
        drawn.add_column(head, overflow="fold")
    for row in listed:
        drawn.add_row(*row)
    console().print(drawn)


def moment(seconds: float) -> str:
    """A moment for people, UTC: `2026-01-31 12:00:00Z`; `-` for none."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else "-"


@contextmanager
def working(what: str, *, as_json: bool) -> Iterator[None]:
    """A spinner on stderr while something takes over a second; nothing in pipes and with `--json`."""
    if as_json or not coloured(sys.stderr):
        yield
        return
    from rich.console import Console

    with Console(stderr=True, markup=False).status(what):
        yield
