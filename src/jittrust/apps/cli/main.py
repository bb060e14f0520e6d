"""`jittrust`: the door. Loads only what the command at hand needs; `run` and `hook` never load the command-line library at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from jittrust.apps.cli.failure import BAD_INPUT, coloured, guarded, report
from jittrust.apps.cli.table import COMMANDS, find, help_text
from jittrust.core.errors import BadInputError

_COMPLETION = ("--install-completion", "--show-completion")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jittrust ARGV` and return its exit code: 0 done, 1 refused or finding, 2 bad input, 3 broker unreachable."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)
    return guarded(lambda: _dispatch(arguments, as_json=as_json), as_json=as_json)


def _dispatch(arguments: list[str], *, as_json: bool) -> int:
    first = arguments[0] if arguments else "--help"
    if "_JITTRUST_COMPLETE" in os.environ or first in _COMPLETION:
        from jittrust.apps.cli.app import run_app

        return run_app(arguments, None)
    if first in {"--help", "-h", "help"}:
        print(help_text(bold=coloured(sys.stdout)))
        return 0
    if first in {"--version", "-V", "version"}:
        from jittrust import __version__

        print(f'{{"version": "{__version__}"}}' if as_json else f"jittrust {__version__}")
        return 0
    row = find(first)
    if row is None:
        return report(_unknown(first), as_json=as_json)
    if row.bypass:
        from importlib import import_module

        module, _, name = row.target.partition(":")
        code: int = getattr(import_module(module), name)(arguments[1:])
        return code
    from jittrust.apps.cli.app import run_app

    return run_app(arguments, row.name)


def _unknown(first: str) -> BadInputError:
    from difflib import get_close_matches

    kind = "option" if first.startswith("-") else "command"
    near = get_close_matches(first, [row.name for row in COMMANDS] + ["--help", "--version"], n=1)
    then = f"Did you mean: jittrust {near[0]}" if near else "See all: jittrust --help"
    error = BadInputError(f"unknown_{kind}", f"There is no {kind} {first}", then)
    assert error.exit_code == BAD_INPUT  # noqa: S101 - part of the contract
    return error


if __name__ == "__main__":
    sys.exit(main())
