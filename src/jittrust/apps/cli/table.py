"""Every command in one table, by job: what `--help` lists and where each is. Importing it costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One command.

    Attributes:
        name: as typed.
        job: heading under which `--help` lists it.
        line: what it does, one line.
        target: `module:attribute`, a function or a typer app; imported only when the command is called.
        bypass: it parses its own few flags and never loads typer, because it starts with every server or hook.
    """

    name: str
    job: str
    line: str
    target: str
    bypass: bool = False


_HERE: Final = "jittrust.apps.cli."
START: Final = "See it work"
GUARD: Final = "Put servers behind just-in-time trust"
SAY: Final = "Say what an agent is for"
ANSWER: Final = "Answer and look"
PROVE: Final = "Prove it"

COMMANDS: Final[Sequence[CommandRow]] = (
    CommandRow(
        "demo", START, "Three short stories: honest work, a hijacked agent, a stolen pass.", _HERE + "start:demo"
    ),
    CommandRow(
        "dev", START, "Gateway and sample servers with temporary keys, nothing to configure.", _HERE + "start:dev"
    ),
    CommandRow("run", GUARD, "Put one stdio MCP server behind your broker.", _HERE + "run:main", bypass=True),
    CommandRow(
        "connect",
        GUARD,
        "Give a stdio client a key and the newest pass, for a server behind `jittrust serve`.",
        _HERE + "connect:main",
        bypass=True,
    ),
    CommandRow("serve", GUARD, "Serve the configured MCP servers over HTTP, at /mcp/NAME.", _HERE + "start:serve"),
    CommandRow(
        "hook",
        GUARD,
        "Print the hook that tells the broker what you asked your agent.",
        _HERE + "hook:main",
        bypass=True,
    ),
    CommandRow("mission", SAY, "Plan, start, list, show, approve and end missions.", _HERE + "mission:app"),
    CommandRow("grant", SAY, "Open, list and revoke ephemeral access grants.", _HERE + "grant:app"),
    CommandRow(
        "identity", SAY, "Who exists and who answers for whom; entries, rotation, federation.", _HERE + "identity:app"
    ),
    CommandRow("approve", ANSWER, "Say yes to what waits for you; without an ID: list it.", _HERE + "answer:approve"),
    CommandRow("deny", ANSWER, "Say no to what waits for you.", _HERE + "answer:deny"),
    CommandRow(
        "kill",
        ANSWER,
        "Stop an agent, mission, grant, chain or everything, at once; --lift ends it.",
        _HERE + "kill:kill",
    ),
    CommandRow("log", ANSWER, "Show the newest records of the ledger; -f follows.", _HERE + "log:log"),
    CommandRow(
        "explain",
        ANSWER,
        "One page about one call: why it was judged so, and what would let it pass.",
        _HERE + "explain:explain",
    ),
    CommandRow(
        "replay", PROVE, "Judge recorded sessions with the live rules; nothing is called.", _HERE + "replay:replay"
    ),
    CommandRow(
        "calibrate",
        PROVE,
        "Learn what is usual here, set the threshold from a friction budget, adopt it, drop it.",
        _HERE + "calibrate:calibrate",
    ),
    CommandRow(
        "intent",
        PROVE,
        "Read a text; report what observing would have stopped; promote from observe to enforce.",
        _HERE + "intent:app",
    ),
    CommandRow(
        "policy", PROVE, "Check and test written rules; see what a change would have changed.", _HERE + "policy:app"
    ),
    CommandRow("audit", PROVE, "Verify or export the ledger, offline.", _HERE + "audit:app"),
    CommandRow("doctor", PROVE, "What is really enforced on this machine, and what is not.", _HERE + "doctor:doctor"),
)

EXAMPLES: Final[Sequence[tuple[str, str]]] = (
    ("jittrust demo", "see a hijacked agent being stopped"),
    ("jittrust run -- mcp-server-git --repository .", "one server behind the broker: put this into your MCP client"),
    ('jittrust mission start --goal "Summarise last week\'s commits"', "say what the agent is to do"),
    ("jittrust approve", "what waits for you"),
    ("jittrust log -f", "watch every decision"),
)


def find(name: str) -> CommandRow | None:
    """The command of that name."""
    return next((row for row in COMMANDS if row.name == name), None)


def help_text(*, bold: bool = False) -> str:
    """What `jittrust --help` prints."""

    def head(text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if bold else text

    lines = [
        f"{head('jittrust')}: just-in-time trust for AI agents. No standing access: a goal, a map of what may be touched, a few minutes, a limit.",
        "",
        f"{head('Usage:')} jittrust COMMAND [OPTIONS]",
    ]
    for job in dict.fromkeys(row.job for row in COMMANDS):
        lines += ["", head(job + ":")]
        lines += [f"  {row.name:<9} {row.line}" for row in COMMANDS if row.job == job]
    lines += ["", head("For example:")]
    for command, what in EXAMPLES:
        lines += [f"  # {what}", f"  {command}"]
    lines += [
        "",
        "Every command takes --json, --state DIR and --help. Exit codes: 0 done, 1 refused or a finding, 2 bad input, 3 broker unreachable.",
        "Shell completion: jittrust --install-completion. No colour: NO_COLOR=1. Details of an error: JITTRUST_DEBUG=1.",
    ]
    return "\n".join(lines)
