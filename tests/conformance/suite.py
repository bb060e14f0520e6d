"""Runs the MCP conformance suite against a server and says what each of its checks found.

`run(url, revision)` gives `{scenario: {check: status}}`, so that two servers can be compared check by check. The suite
and Node come from `.tests/` (`scripts/setup npm` makes it).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / ".tests" / "node"
SUITE = ROOT / ".tests/npm/node_modules/@modelcontextprotocol/conformance/dist/index.js"

Revision = Literal["2025-11-25", "2026-07-28"]
REVISIONS: tuple[Revision, ...] = ("2025-11-25", "2026-07-28")

# `server-<scenario>-<ISO time with the colons and the point replaced>`
FOLDER = re.compile(r"^server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")
ANNOUNCED = re.compile(r"^=== Running scenario: (?P<scenario>\S+) ===$", re.MULTILINE)

Findings = dict[str, dict[str, str]]


class SuiteDidNotRunError(Exception):
    """The suite stopped before it asked the server anything."""


def checks(report: Path) -> dict[str, str]:
    """Status of each check in one `checks.json`; a check that comes again is numbered (`id`, `id#2`, …)."""
    found: dict[str, str] = {}
    for check in json.loads(report.read_text("utf-8")):
        name, number = check["id"], 2
        while name in found:
            name, number = f"{check['id']}#{number}", number + 1
        found[name] = check["status"]
    return found


def complaints(report: Path) -> list[str]:
    """What the failing checks in one `checks.json` say, for a person to read."""
    found = json.loads(report.read_text("utf-8"))
    return [f"{check['id']}: {check.get('errorMessage', '')}" for check in found if check["status"] == "FAILURE"]


def command(url: str, revision: Revision, out: Path) -> list[str]:
    """Every scenario that the revision requires, and those it reports without scoring them."""
    return [str(NODE), str(SUITE), "server", "--url", url, "--requirements", revision, "-o", str(out)]


def run(
    url: str,
    revision: Revision,
    *,
    headers: Mapping[str, str] | None = None,
    out: Path | None = None,
    timeout: float = 300,
) -> Findings:
    """Puts the server at `url` through the scenarios of `revision`.

    `headers` go with every request to that origin (an Authorization header, say). `out` keeps the suite's own reports.
    Statuses are the suite's: SUCCESS, FAILURE, WARNING, SKIPPED, INFO. A scenario that broke off without a report has
    the one check `ran: FAILURE`.

    Raises:
        SuiteDidNotRunError: nothing was asked, with what the suite printed.
        subprocess.TimeoutExpired: not done within `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        asked = command(url, revision, folder)
        environment = dict(os.environ)
        if headers:
            asked[1:1] = ["--import", str(Path(__file__).with_name("headers.mjs"))]
            environment |= {
                "CONFORMANCE_ORIGIN": url,
                "CONFORMANCE_HEADERS": json.dumps(dict(headers)),
                "CONFORMANCE_SUITE": str(SUITE),
            }
        # The exit status says only whether the required scenarios passed, which is for the caller to judge.
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
        findings: Findings = {name: {"ran": "FAILURE"} for name in ANNOUNCED.findall(done.stdout)}
        if not findings:
            raise SuiteDidNotRunError(done.stdout[-2000:] + done.stderr[-2000:])
        for report in sorted(folder.glob("server-*/checks.json")):
            named = FOLDER.match(report.parent.name)
            if named and named["scenario"] in findings:
                findings[named["scenario"]] = checks(report)
        return findings


def failing(findings: Findings) -> list[str]:
    """`scenario: check` of every check that failed."""
    return [
        f"{scenario}: {check}"
        for scenario, found in sorted(findings.items())
        for check, status in found.items()
        if status == "FAILURE"
    ]


def differences(bare: Findings, through: Findings) -> list[str]:
    """What a gateway in between changed, check by check; empty when nothing.

    Lines that only inform (`incoming-sse-event#3: INFO`) are no checks: how many there are depends on when the suite looks.
    """
    return [
        f"{scenario}: {check}: {before} -> {after}"
        for scenario in sorted(bare.keys() | through.keys())
        for check in sorted(bare.get(scenario, {}).keys() | through.get(scenario, {}).keys())
        if (before := bare.get(scenario, {}).get(check)) != (after := through.get(scenario, {}).get(check))
        and {before, after} != {"INFO", None}
    ]
