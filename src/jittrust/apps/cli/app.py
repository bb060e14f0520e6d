"""The typer application, built from the table: all of it for completion and documentation, one command for a call."""

from __future__ import annotations

from importlib import import_module

import typer

from jittrust.apps.cli.failure import BAD_INPUT, DONE, report
from jittrust.apps.cli.table import COMMANDS
from jittrust.core.errors import BadInputError


def build(only: str | None = None) -> typer.Typer:
    """The application with one command, or with all that typer parses (`only` None)."""
    app = typer.Typer(name="jittrust", no_args_is_help=True, rich_markup_mode="rich", context_settings=_CONTEXT)
    # With a callback a single command keeps its name instead of becoming the whole application.
    app.callback()(_root)
    for row in COMMANDS:
        if only not in {None, row.name}:
            continue
        if row.bypass:
            # Completion and documentation know it by name; it is never called through here.
            app.command(row.name, help=row.line, context_settings=_OPEN, add_help_option=False)(_passed_on)
            continue
        module, _, name = row.target.partition(":")
        target = getattr(import_module(module), name)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=row.name, help=row.line, rich_help_panel=row.job)
        else:
            app.command(row.name, rich_help_panel=row.job)(target)
    return app


_CONTEXT = {"help_option_names": ["--help", "-h"]}
_OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}


def _root() -> None:
    """Just-in-time trust for AI agents."""


def _passed_on(context: typer.Context) -> int:
    from jittrust.apps.cli.main import main

    return main([str(context.info_name), *context.args])


def run_app(arguments: list[str], only: str | None) -> int:
    """Parse and run; the exit code. Mistakes in the arguments are told like every other error, with a suggestion where there is one."""
    as_json = "--json" in arguments
    try:
        code = build(only)(args=arguments, prog_name="jittrust", standalone_mode=False)
    except typer.TyperException as error:
        asked = " ".join(["jittrust", *_words(arguments)])
        # Printed help is an "error" of the parser when a group is called without a command.
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return BAD_INPUT
        told = BadInputError("bad_usage", error.format_message().replace("\n", " "), f"See: {asked} --help")
        return report(told, as_json=as_json)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    return code if isinstance(code, int) else DONE


def _words(arguments: list[str]) -> list[str]:
    """The command's own words: `mission start`."""
    words: list[str] = []
    for argument in arguments[:2]:
        if argument.startswith("-"):
            break
        words.append(argument)
    return words[:1] if words and words[0] not in _GROUPS else words


_GROUPS = {row.name for row in COMMANDS if row.target.endswith(":app")}
