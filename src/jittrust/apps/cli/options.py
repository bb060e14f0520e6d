"""Options that every command takes, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

COMMON: Final = "Common"

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="Where all state lies; default: the platform's data directory.",
        rich_help_panel=COMMON,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.", rich_help_panel=COMMON)]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration; default: jittrust.yaml in the state directory.",
        rich_help_panel=COMMON,
    ),
]
PinStdin = Annotated[
    bool, typer.Option("--pin-stdin", help="Read the PIN from the first line of stdin, for automation.")
]
