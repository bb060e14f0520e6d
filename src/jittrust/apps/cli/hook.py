"""`jittrust hook CLIENT`: the hook by which an agent's client tells the broker what its person asked. Loads nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from jittrust.core.errors import BadInputError

HELP: Final = """\
Usage: jittrust hook claude-code [--url URL]

Prints the part of Claude Code's settings.json that sends every prompt of yours to the broker, where it becomes the goal of the mission. The hook
blocks the prompt when the broker cannot be reached (onFailure: block; needs Claude Code 2.1.295 or newer). Scheduled prompts are turned off:
an agent writes them, and Claude Code hands them to the hook as if you had typed them.

Options:
  --url URL     Address of `jittrust serve`; default: http://127.0.0.1:8750
  --state DIR   Taken for the sake of scripts; nothing is read or written.
  --json        Only the JSON, without the words around it.
  --help        This page.

For example:
  jittrust hook claude-code --json > hooks.json      # then merge it into ~/.claude/settings.json
  export JITTRUST_HOOK_TOKEN="$(cat ~/.local/share/jittrust/hook.token)"     # made by the first `jittrust serve`
"""
DEFAULT_URL: Final = "http://127.0.0.1:8750"
PATH: Final = "/hooks/claude-code"
TIMEOUT_S: Final = 5


def claude_code_settings(url: str) -> dict[str, object]:
    """The part of Claude Code's settings.json that makes what a person types the goal, and nothing else."""
    hook = {
        "type": "http",
        "url": url.rstrip("/") + PATH,
        "timeout": TIMEOUT_S,
        "onFailure": "block",  # unset, a hook that fails lets the prompt through
        "headers": {"Authorization": "Bearer $JITTRUST_HOOK_TOKEN"},
        "allowedEnvVars": ["JITTRUST_HOOK_TOKEN"],
    }
    return {
        "hooks": {"UserPromptSubmit": [{"hooks": [hook]}]},
        # A prompt that the agent scheduled reaches the hook without a mark of its own. The first line leaves what lies in a project's
        # .claude/scheduled_tasks.json alone, the second takes the tools away.
        "env": {"CLAUDE_CODE_DISABLE_CRON": "1"},
        "permissions": {"deny": ["CronCreate", "ScheduleWakeup"]},
    }


def main(arguments: Sequence[str]) -> int:
    """Print the hook of the client that is named."""
    words = list(arguments)
    if not words or "--help" in words or "-h" in words:
        print(HELP, end="")
        return 0 if words else 2
    url, as_json, clients = DEFAULT_URL, False, list[str]()
    while words:
        word, _, value = words.pop(0).partition("=")
        if word == "--json":
            as_json = True
        elif word in {"--url", "--state"}:
            if not value and not words:
                raise BadInputError("option_without_value", f"{word} needs a value", "See: jittrust hook --help")
            value = value or words.pop(0)
            url = value if word == "--url" else url
        elif word.startswith("-"):
            raise BadInputError("unknown_option", f"jittrust hook has no option {word}", "See: jittrust hook --help")
        else:
            clients.append(word)
    if clients != ["claude-code"]:
        raise BadInputError(
            "unknown_client",
            f"There is no hook for {' '.join(clients) or 'no client'}",
            "Known is: jittrust hook claude-code",
        )
    if not url.startswith(("http://", "https://")):
        raise BadInputError("bad_url", f"{url} is no http address", "For example: --url http://127.0.0.1:8750")
    text = json.dumps(claude_code_settings(url), indent=2)
    if as_json:
        print(text)
        return 0
    print(f"Merge this into ~/.claude/settings.json and set JITTRUST_HOOK_TOKEN where Claude Code starts:\n\n{text}")
    return 0
