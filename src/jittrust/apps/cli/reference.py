"""docs/cli.md, written from the commands themselves: `python -m jittrust.apps.cli.reference FILE`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from jittrust.apps.cli import connect, hook, run
from jittrust.apps.cli.app import build
from jittrust.apps.cli.table import COMMANDS, EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYPASS = {"run": run.HELP, "hook": hook.HELP, "connect": connect.HELP}
_HEAD = """\
# The command line

<!-- made by `make docs`; change the code, not this page -->

Every command takes `--json` (one JSON value instead of text), `--state DIR` (where all state lies) and `--help`.

| exit code | means |
|---|---|
| 0 | done |
| 1 | refused, or a finding |
| 2 | bad input: a flag, a file, a value |
| 3 | the broker, the store or a server cannot be reached; nothing was let through |
| 130 | Ctrl-C |

Errors go to stderr: what happened, a stable code in brackets, the next command to run. With `--json` they are one object on stdout:
`{"error": {"code", "message", "next_step"}}`. `JITTRUST_DEBUG=1` shows tracebacks, `NO_COLOR=1` takes colours away,
`jittrust --install-completion` completes commands and flags in your shell.
"""


def page() -> str:
    """The whole page."""
    group = typer.main.get_command(build())
    commands: Mapping[str, Any] = group.commands  # type: ignore[attr-defined]
    parts = [_HEAD, "```sh"]
    parts += [f"{command}   # {what}" for command, what in EXAMPLES]
    parts.append("```")
    for job in dict.fromkeys(row.job for row in COMMANDS):
        parts += ["", f"## {job}"]
        for row in COMMANDS:
            if row.job != job:
                continue
            if row.bypass:
                parts += ["", f"### jittrust {row.name}", "", row.line, "", "```", _BYPASS[row.name].rstrip(), "```"]
            else:
                parts += _command(f"jittrust {row.name}", commands[row.name])
    return "\n".join(parts) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - typer keeps its command classes private
    yield from ("", f"### {name}", "")
    below: Mapping[str, Any] = getattr(command, "commands", {})
    if below:
        yield command.help or ""
        for inner, found in below.items():
            yield from _command(f"{name} {inner}", found)
        return
    text, _, examples = (command.help or "").partition("[bold]For example[/bold]")
    yield from (re.sub(r"\[/?bold\]", "", text).strip(), "")
    yield f"    {name} {_usage(command.params)}".rstrip()
    options = [param for param in command.params if param.param_type_name == "option" and "--help" not in param.opts]
    if options:
        yield from ("", "| option | |", "|---|---|")
        for option in options:
            kind = "" if option.is_flag else f" {_value(option)}"
            yield f"| `{', '.join(option.opts)}{kind}` | {option.help or ''} |"
    if examples.strip():
        yield from (
            "",
            "```sh",
            re.sub(r"\n\s*\n", "\n", re.sub(r"^ +", "", examples.strip(), flags=re.MULTILINE)),
            "```",
        )


def _value(param: Any) -> str:  # noqa: ANN401
    """What stands for a value: its own word, or that of its type."""
    kind: object = param.type_descriptor.annotation
    return str(
        param.metavar or {int: "N", Path: "FILE"}.get(kind, "TEXT")
        if isinstance(kind, type)
        else param.metavar or "TEXT"
    )


def _usage(params: list[Any]) -> str:
    words = []
    for param in params:
        if param.param_type_name == "argument":
            named = param.metavar or param.name.upper()
            words.append(named if param.required or named.startswith("[") else f"[{named}]")
        elif param.required:
            words.append(f"{param.opts[0]} {_value(param)}")
    return " ".join([*(["[OPTIONS]"] if params else []), *words])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
