"""The documentation says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jittrust.apps.settings import setting_fields
from jittrust.core.reasons import REASONS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def failure_rows() -> list[tuple[str, str]]:
    """What goes wrong, and the cell that names the tests that show what then happens."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (DOCS / "failures.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    return [(row[0], row[2]) for row in cells if row[2] != "test"]


def test_pages_made_from_the_code_are_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "docs.py"), "--check"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_reason_that_the_code_gives_is_listed() -> None:
    given = {
        match[1]
        for path in (ROOT / "src").rglob("*.py")
        for match in re.finditer(r"\bReason\(\s*(?:code=)?\"(\w+)\"", path.read_text(encoding="utf-8"))
    }
    elsewhere = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py") if path.name != "reasons.py"
    )
    page = (DOCS / "codes.md").read_text(encoding="utf-8")

    assert REASONS
    assert [code for code in REASONS if f'"{code}"' not in elsewhere] == [], "a reason that is never given"
    assert sorted(given - set(REASONS)) == []
    assert [code for code in REASONS if f"`{code}`" not in page] == []


def test_there_are_at_most_forty_settings_and_the_page_names_each() -> None:
    names = [".".join(path) for path, _ in setting_fields()]
    page = (DOCS / "settings.md").read_text(encoding="utf-8")

    assert 1 < len(names) <= 40
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_decision_has_its_own_number_and_is_in_the_list() -> None:
    pages = sorted(path.name for path in (DOCS / "adr").glob("[0-9]*.md"))
    contents = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")

    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))
    assert [name for name in pages if f"]({name})" not in contents] == []


def test_every_decision_names_what_was_refused_and_what_enforces_it() -> None:
    for path in (DOCS / "adr").glob("[0-9]*.md"):
        headings = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)

        assert headings == ["Decision", "Why", "Options refused", "What enforces it"], path.name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_failure_names_at_least_one_test_and_each_exists() -> None:
    faults = []
    for what, cell in failure_rows():
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", cell)
        if not named or "<br>".join(f"`{file}::{test}`" for file, test in named) != cell:
            faults.append(f"{what}: {cell}")
        for file, test in named:
            path = ROOT / "tests" / file
            if not path.is_file() or f"def {test}(" not in path.read_text(encoding="utf-8"):
                faults.append(f"{what}: there is no {file}::{test}")

    assert len(failure_rows()) > 40
    assert faults == []


def test_every_decision_names_only_tests_that_exist() -> None:
    tests = {
        match[1]
        for path in (ROOT / "tests").rglob("*.py")
        for match in re.finditer(r"^\s*(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    } | {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    named = {
        (path.name, match[0])
        for path in (DOCS / "adr").glob("[0-9]*.md")
        for match in re.finditer(r"\btest_\w+", path.read_text(encoding="utf-8"))
    }

    assert len(named) > 20
    assert sorted(f"{page}: {test}" for page, test in named if test not in tests) == []


def test_every_setting_is_read_somewhere() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py") if path.name != "settings.py"
    )
    names = [path for path, _ in setting_fields()]
    assert [".".join(path) for path in names if not re.search(rf"\.{path[-1]}\b", source)] == []


def test_the_documentation_names_no_place_of_the_machine_it_was_written_on() -> None:
    for page in PAGES:
        assert not re.search(r"/work/|/tmp/|/root/|DESIGN", page.read_text(encoding="utf-8")), page
