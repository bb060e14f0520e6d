"""`kill -HUP`: the policy file is read again while calls go on; a broken one changes nothing, and the log says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path


def logged(log: Path, word: str, within: float = 10.0) -> str:
    until = time.monotonic() + within
    while time.monotonic() < until:
        found = [line for line in log.read_text().splitlines() if word in line]
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_a_policy_file_is_read_again_on_hangup(tmp_path: Path) -> None:
    policy, config, log = tmp_path / "policy.cedar", tmp_path / "jittrust.yaml", tmp_path / "log"
    policy.write_text('@id("no-drops") forbid (principal, action, resource == Tool::"none/drop");\n')
    config.write_text(
        f"servers: {{none: {{command: '{sys.executable}', args: ['-c', '0']}}}}\npolicy: {{file: '{policy}'}}\n"
    )
    command = [*(sys.executable, "-m", "jittrust.apps.cli.main", "serve", "--config", str(config)), "--json"]
    command += ["--state", str(tmp_path / "state"), "--port", "0"]
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        try:
            json.loads(process.stdout.readline())
            policy.write_text('@id("no-sends") forbid (principal, action, resource == Tool::"none/send");\n')
            process.send_signal(signal.SIGHUP)
            line = logged(log, "policy_loaded")
            assert "no-sends" in line
            assert "no-drops" in line
            policy.write_text('@id("broken") forbid (principal, action')
            process.send_signal(signal.SIGHUP)
            assert "policy_broken" in logged(log, "policy_kept")
            assert process.poll() is None
        finally:
            process.terminate()
        assert process.wait(20) == 0
