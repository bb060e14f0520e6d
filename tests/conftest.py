"""What every test gets: the list of what this machine could not prove, and steady property tests.

A test that cannot run here says so with the fixture `unproven`; it then counts as skipped and is listed under
"UNPROVEN HERE:". A claim that `unproven.txt` (beside this file) does not allow, and any skip that did not go
through the fixture, fails the run: a skipped test must never look green.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

MARK = "UNPROVEN HERE: "
ALLOWED = Path(__file__).with_name("unproven.txt")

# No deadline: a shared machine stalls, and a stall is no falsified property.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("steady"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "steady")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts from it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def unproven() -> Callable[[str, str], NoReturn]:
    """Ends a test that cannot be carried out on this machine: `unproven("claim", "what is missing here")`."""

    def stop(claim: str, because: str) -> NoReturn:
        pytest.skip(f"{MARK}{claim}: {because}")

    return stop


def allowed_claims(text: str) -> set[str]:
    """Claims that may stay unproven: one a line, the words before the colon; `#` starts a comment."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return {line.split(":", 1)[0].strip() for line in lines if line}


def skips(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, str]]:
    """Test name and reason of every skip of this run, also of those that workers reported."""
    for report in terminalreporter.stats.get("skipped", []):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        yield report.nodeid, reason.removeprefix("Skipped: ")


def judged(found: Iterator[tuple[str, str]], allowed: set[str]) -> tuple[list[str], list[str]]:
    """Lines to print, and complaints that fail the run."""
    lines: list[str] = []
    complaints: list[str] = []
    for test, reason in found:
        if not reason.startswith(MARK):
            complaints.append(f"skipped without `unproven`: {test}: {reason}")
            continue
        claim, _, because = reason.removeprefix(MARK).partition(": ")
        lines.append(f"  {claim}: {because} ({test})")
        if claim not in allowed:
            complaints.append(f"not allowed by {ALLOWED.name}: {claim} ({test})")
    return sorted(lines), complaints


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run whose skips nobody allowed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput") or exitstatus != pytest.ExitCode.OK:
        return
    _, complaints = judged(skips(reporter), allowed_claims(ALLOWED.read_text(encoding="utf-8")))
    if complaints:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was not proven, just before pytest's closing line."""
    lines, complaints = judged(skips(terminalreporter), allowed_claims(ALLOWED.read_text(encoding="utf-8")))
    terminalreporter.write_line("")
    terminalreporter.write_line("UNPROVEN HERE:" + ("" if lines else " nothing"))
    for line in lines:
        terminalreporter.write_line(line)
    for complaint in complaints:
        terminalreporter.write_line(f"FAILED {complaint}", red=True)
