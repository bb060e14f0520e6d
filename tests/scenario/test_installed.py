"""What is shipped works where it is installed: no source tree, no developer's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def ran(command: Sequence[str | Path], cwd: Path) -> str:
    """What a command prints; it must end well. Nothing of this environment reaches it."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("JITTRUST_", "PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def needed(stated: Iterable[str], extras: set[str], seen: dict[str, Distribution]) -> dict[str, Distribution]:
    """The distributions that the requirements lead to with these extras, as this environment has them."""
    for wanted in map(Requirement, stated):
        if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        known = f"{wanted.name.lower()}{sorted(wanted.extras)}"
        if known not in seen:
            seen[known] = distribution(wanted.name)
            needed(seen[known].requires or (), wanted.extras, seen)
    return seen


def linked(folder: Path, found: Iterable[Distribution]) -> None:
    """Make a folder that holds exactly these distributions, each by links to its files."""
    folder.mkdir()
    for one in found:
        tops = {Path(str(file)).parts[0] for file in one.files or ()} - {"..", "__pycache__"}
        for top in tops:
            place = folder / top
            if not place.exists():
                place.symlink_to(Path(str(one.locate_file(top))))


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, built from the source distribution, and what it says that it needs."""
    folder = tmp_path_factory.mktemp("installed")
    built = folder / "built"
    hatch = (sys.executable, "-m", "hatchling", "build", "-d", built)
    ran((*hatch, "-t", "sdist"), ROOT)
    with tarfile.open(next(built.glob("*.tar.gz"))) as source:
        source.extractall(folder, filter="data")
    ran((*hatch, "-t", "wheel"), next(folder.glob("jittrust-*")))
    ran((sys.executable, "-m", "venv", folder / "venv"), folder)
    python = folder / "venv" / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    ran((python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel), folder)
    lines = json.loads(
        ran((python, "-c", "import importlib.metadata as m, json; print(json.dumps(m.requires('jittrust')))"), folder)
    )
    linked(folder / "needed", needed(lines, {"demo"}, {}).values())
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (site / "needed.pth").write_text(f"{folder / 'needed'}\n")
    return python.parent


def test_the_wheel_made_from_the_source_distribution_has_all_that_it_runs(bin_folder: Path, tmp_path: Path) -> None:
    where = "import jittrust, sys; print(jittrust.__file__)"

    assert ran((bin_folder / "python", "-c", where), tmp_path).startswith(str(bin_folder.parent))
    assert "jittrust demo" in ran((bin_folder / "jittrust", "--help"), tmp_path)


def test_the_demo_tells_its_stories_from_an_installed_wheel(bin_folder: Path, tmp_path: Path) -> None:
    last = json.loads(ran((bin_folder / "jittrust", "demo", "--json"), tmp_path).splitlines()[-1])

    assert [story["calls"] > 0 for story in last["stories"]] == [True, True, True]
    assert last["ledger"]["verified"] is True
    assert list(tmp_path.iterdir()) == []
