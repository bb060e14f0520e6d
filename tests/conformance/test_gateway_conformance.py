"""A gateway that changes nothing: the suite finds the same through it, under the shipped policy, as without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.conformance import suite
from tests.serving import Running, gateway, http_server, now

from jittrust.apps.cli.reach import person
from jittrust.apps.mission_file import read_mission_file

HERE = Path(__file__).parent
MISSION = HERE / "everything.mission.yaml"
# Scenarios of the tasks extension, which no revision requires. They call tools that the upstream does not have; it says so, and the gateway,
# which never saw their definitions, refuses them before. That may only turn failures into passes.
EXTENSION = "tasks-"


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with http_server([sys.executable, str(HERE / "everything_server.py")]) as url:
        yield url


@pytest.fixture(scope="module")
def through(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with gateway(tmp_path_factory.mktemp("conformance"), {"everything": {"url": upstream}}) as running:
        yield running


def one(url: str, scenario: str, revision: suite.Revision, headers: Mapping[str, str], out: Path) -> dict[str, str]:
    """What one scenario finds. Each has a mission of its own, so that what one provokes is not held against the next."""
    command = [
        str(suite.NODE), "--import", str(HERE / "headers.mjs"), str(suite.SUITE), "server", "--url", url,
        "--scenario", scenario, "--spec-version", revision, "--force", "-o", str(out),
    ]  # fmt: skip
    environment = os.environ | {
        "CONFORMANCE_ORIGIN": url,
        "CONFORMANCE_HEADERS": json.dumps(dict(headers)),
        "CONFORMANCE_SUITE": str(suite.SUITE),
    }
    subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    reports = list(out.glob("**/checks.json"))
    return suite.checks(reports[0]) if reports else {"ran": "FAILURE"}


@pytest.mark.slow
@pytest.mark.parametrize("revision", suite.REVISIONS)
def test_the_suite_finds_the_same_through_the_gateway_as_without_it(
    upstream: str, through: Running, revision: suite.Revision, tmp_path: Path
) -> None:
    read = read_mission_file(MISSION)
    bare = suite.run(upstream, revision)
    found: suite.Findings = {}
    for scenario in bare:
        now(through.mission(read.goal, read.authority(person())))
        issued = now(through.grant("everything"))
        headers = {"authorization": f"Bearer {issued.token}"}
        found[scenario] = one(through.mcp["everything"], scenario, revision, headers, tmp_path / scenario)
    changed = suite.differences(bare, found)
    assert [line for line in changed if not line.startswith(EXTENSION)] == []
    assert [line for line in changed if " SUCCESS -> " in line] == []
