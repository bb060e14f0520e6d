"""`jittrust run`: one stdio MCP server behind the user's broker. Parses its own few flags; a client starts this with every server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jittrust.core.errors import BadInputError

HELP: Final = """\
Usage: jittrust run [OPTIONS] -- COMMAND…

Puts one stdio MCP server behind your broker, and is itself a stdio MCP server: put it where the server's command stood in your MCP client.
The broker is joined, or started when it does not run; all servers behind it share one mission.

Options:
  --goal TEXT     What the agent is to do, when you have no other way to say it. A mission that runs is not replaced.
  --server NAME   Name of the server in missions and policies. Default: made from COMMAND.
  --wait SECONDS  How long a call is held for your answer before the agent is told to come back. Default: 20.
  --observe       Record every verdict and stop nothing. Loud on purpose.
  --state DIR     Where all state lies; default: the platform's data directory.
  --json          Errors as one JSON object.
  --help          This page.

For example, in an MCP client's configuration:
  {"mcpServers": {"git": {"command": "jittrust", "args": ["run", "--", "mcp-server-git", "--repository", "."]}}}
"""
_TEXTS: Final = {"--goal": "goal", "--server": "server", "--state": "state", "--wait": "wait"}
_FLAGS: Final = {"--observe": "observe", "--json": "as_json"}
# Words that start another program: the server is named after what they start.
_STARTERS: Final = frozenset(
    {
        "npx",
        "uvx",
        "uv",
        "bunx",
        "pnpm",
        "yarn",
        "node",
        "deno",
        "bun",
        "python",
        "python3",
        "docker",
        "podman",
        "env",
        "sh",
        "bash",
    }
)
_PASSED_OVER: Final = frozenset({"run", "tool", "exec", "dlx", "x", "-m", "-y", "-i", "--rm", "--yes"})


WAIT_SECONDS: Final = 20.0
# Clients give up on a call after a minute or so; longer than this nobody is there any more.
_LONGEST_WAIT: Final = 3600.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What was asked for. `command` is what stands after `--`."""

    command: tuple[str, ...]
    goal: str = ""
    server: str = ""
    state: str = ""
    wait: float = WAIT_SECONDS
    observe: bool = False
    as_json: bool = False
    wants_help: bool = False


def parse(arguments: Sequence[str]) -> RunOptions:
    """Read the flags.

    Raises:
        BadInputError: code `unknown_option` (with a suggestion), `option_without_value`, `option_twice` or `command_empty`.
    """
    split = list(arguments).index("--") if "--" in arguments else len(arguments)
    own, command = list(arguments[:split]), tuple(arguments[split + 1 :])
    found: dict[str, str | bool] = {}
    while own:
        word, _, value = own.pop(0).partition("=")
        if word in {"--help", "-h"}:
            return RunOptions(command, wants_help=True)
        if word in _FLAGS and not value:
            found[_FLAGS[word]] = True
        elif word in _TEXTS:
            if not value:
                if not own or own[0].startswith("--"):
                    raise BadInputError("option_without_value", f"{word} needs a value", "See: jittrust run --help")
                value = own.pop(0)
            if _TEXTS[word] in found:
                raise BadInputError("option_twice", f"{word} is given twice", "See: jittrust run --help")
            found[_TEXTS[word]] = value
        elif word.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(word, [*_TEXTS, *_FLAGS], n=1)
            raise BadInputError(
                "unknown_option",
                f"jittrust run has no option {word}",
                f"Did you mean {near[0]}?" if near else "See: jittrust run --help",
            )
        else:
            raise BadInputError(
                "command_empty",
                f"The server's command stands after --: {word}",
                f"jittrust run -- {' '.join([word, *own])}",
            )
    if not command:
        raise BadInputError(
            "command_empty", "There is no command to run", "Write it after --: jittrust run -- COMMAND…"
        )
    return RunOptions(
        command=command,
        goal=str(found.get("goal", "")),
        server=str(found.get("server", "")) or server_name(command),
        state=str(found.get("state", "")),
        wait=_seconds(str(found.get("wait", WAIT_SECONDS))),
        observe=bool(found.get("observe")),
        as_json=bool(found.get("as_json")),
    )


def _seconds(text: str) -> float:
    try:
        wait = float(text)
    except ValueError:
        wait = -1.0
    if not 0.0 <= wait <= _LONGEST_WAIT:
        raise BadInputError(
            "option_bad_value",
            f"--wait takes 0 to {_LONGEST_WAIT:.0f} seconds, not {text[:40]!r}",
            "See: jittrust run --help",
        )
    return wait


def server_name(command: Sequence[str]) -> str:
    """A server's name made from its command: `npx -y @scope/server-files DIR` → `server-files`, `python -m mail` → `mail`."""
    for word in command:
        name = word.rstrip("/").rsplit("/", 1)[-1]
        if name in _STARTERS or name in _PASSED_OVER or word.startswith("-") or name.startswith("python3."):
            continue
        name = name.removesuffix(".py").removesuffix(".js").partition("@")[0] or name.lstrip("@")
        kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.-") else "-" for letter in name)
        return kept.strip("-.")[:64] or "server"
    return "server"


def main(arguments: Sequence[str]) -> int:
    """Run the server behind the broker until the client leaves; what the server ended with."""
    options = parse(arguments)
    if options.wants_help:
        print(HELP, end="")
        return 0
    import asyncio

    if options.observe:
        print("jittrust: OBSERVE: verdicts are recorded and nothing is stopped", file=sys.stderr)
    return asyncio.run(_run(options))


async def _run(options: RunOptions) -> int:
    import os

    from jittrust.apps.cli.reach import person, reach, state_of
    from jittrust.pep.mcp.gate import GateSettings
    from jittrust.pep.mcp.stdio import StdioOptions, run_stdio

    async with reach(state_of(Path(options.state) if options.state else None)) as driving:
        gate = GateSettings(
            server=options.server,
            person=person(),
            wait_s=options.wait,
            goal=options.goal,
            observe=options.observe,
        )
        # The server gets the environment of the client, without what is ours: tokens of hooks and clients are no business of a server.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("JITTRUST_")}
        return await run_stdio(options.command, environ, driving, StdioOptions(gate))
