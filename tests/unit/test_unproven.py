"""The list of what could not be proven keeps its own promises."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def run(folder: Path, body: str, allowed: str, *options: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "unproven.txt").write_text(allowed, encoding="utf-8")
    (folder / "test_planted.py").write_text(f"import pytest\n\n\n{body}", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


CANNOT = "def test_kernel(unproven):\n    unproven('kernel sensor', 'no BTF')\n"


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "workers"])
def test_an_allowed_claim_is_listed_and_the_run_passes(tmp_path: Path, options: tuple[str, ...]) -> None:
    ran = run(tmp_path, CANNOT, "kernel sensor: a kernel with BTF\n", *options)

    assert ran.returncode == 0, ran.stdout
    assert "UNPROVEN HERE:\n  kernel sensor: no BTF" in ran.stdout


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "workers"])
def test_a_claim_that_nobody_allowed_fails_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    ran = run(tmp_path, CANNOT, "# kernel sensor: only a comment\n", *options)

    assert ran.returncode == 1
    assert "not allowed by unproven.txt: kernel sensor" in ran.stdout


def test_an_ordinary_skip_fails_the_run(tmp_path: Path) -> None:
    ran = run(tmp_path, "def test_lazy():\n    pytest.skip('later')\n", "")

    assert ran.returncode == 1
    assert "skipped without `unproven`" in ran.stdout


def test_a_run_without_gaps_says_so_before_the_closing_line(tmp_path: Path) -> None:
    ran = run(tmp_path, "def test_fine():\n    assert True\n", "")

    assert ran.returncode == 0
    assert ran.stdout.splitlines()[-2:][0] == "UNPROVEN HERE: nothing"
    assert "1 passed" in ran.stdout.splitlines()[-1]
