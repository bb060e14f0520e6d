"""How every command ends: one function prints what went wrong, one runs a command and turns its end into an exit code. No third-party imports."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from typing import Final, TextIO

from jittrust.core.errors import JitError

DONE: Final = 0
REFUSED: Final = 1
BAD_INPUT: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130  # 128 + SIGINT, what shells expect
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE
# Text from agents, servers and files is printed: no escape sequences, no bidirectional overrides, nothing that moves the cursor.
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without anything that could move the cursor or turn what a person reads into something else."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def coloured(stream: TextIO) -> bool:
    """Whether to use colour on `stream` (NO_COLOR, https://no-color.org, and dumb terminals say no)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def report(error: JitError, *, as_json: bool) -> int:
    """Print what happened, under which code, and what to do next; return the exit code.

    People read it on stderr; with `--json` it is one object on stdout.
    """
    if as_json:
        print(json.dumps({"error": {"code": error.code, "message": error.message, "next_step": error.next_step}}))
        return error.exit_code
    red, dim, plain = ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") if coloured(sys.stderr) else ("", "", "")
    lines = [f"{red}{clean(error.message)}{plain} {dim}[{error.code}]{plain}"]
    if error.next_step:
        lines.append(f"Next: {clean(error.next_step)}")
    print("\n".join(lines), file=sys.stderr)
    return error.exit_code


def guarded(command: Callable[[], int], *, as_json: bool) -> int:
    """Run `command`. Errors are printed without a traceback (with one when JITTRUST_DEBUG=1), Ctrl-C ends with 130."""
    try:
        code = command()
        sys.stdout.flush()
    except JitError as error:
        if debugging():
            raise
        return report(error, as_json=as_json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return PIPE_CLOSED
    except Exception as error:
        if debugging():
            raise
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        said = JitError(
            "internal_error",
            f"Something went wrong inside jittrust: {what}",
            "Run it again with JITTRUST_DEBUG=1 and report it.",
        )
        return report(said, as_json=as_json)
    return code


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get("JITTRUST_DEBUG", "") not in {"", "0"}
