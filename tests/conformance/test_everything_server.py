"""The upstream of the comparison is itself conformant, so that a failure behind a gateway is the gateway's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance import suite

# Not required by the revision: the SDK that the fixture stands on has no tasks extension.
WITHOUT = "tasks-"


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    script = Path(__file__).with_name("everything_server.py")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
        process.terminate()


@pytest.mark.parametrize(("revision", "scenarios"), [("2025-11-25", 33), ("2026-07-28", 50)])
def test_the_upstream_passes_every_scenario_that_its_sdk_can(
    upstream: str, revision: suite.Revision, scenarios: int
) -> None:
    findings = suite.run(upstream, revision)
    assert len(findings) == scenarios
    assert [failed for failed in suite.failing(findings) if not failed.startswith(WITHOUT)] == []
