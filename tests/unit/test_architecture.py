"""The shape of the house: imports point inward, the core is pure, one word names one class."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from jittrust import __version__

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "jittrust"
CORE_MAY_IMPORT = {"cryptography", "joserfc", "jsonschema", "nacl", "re2", "referencing"}
# fmt: off
CORE_NEVER_IMPORTS = {
    "anyio", "asyncio", "concurrent", "ftplib", "http.client", "http.server", "importlib", "io", "logging", "mmap", "multiprocessing", "os",
    "pathlib", "pickle", "platform", "queue", "random", "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket",
    "socketserver", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
}
# fmt: on
MOST_METHODS = 5
EMPTY_WORDS = ("Manager", "Service", "Helper", "Util", "Utils")


def modules(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield str(path.relative_to(SRC.parent)), ast.parse(path.read_text(encoding="utf-8"))


def planted(source: str) -> Iterator[tuple[str, ast.Module]]:
    yield "planted.py", ast.parse(source)


def classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield ("." * node.level) + (node.module or "")
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module)


def is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split("[")[0].split(".")[-1] == "Protocol" for base in node.bases)


def repeated_classes(found: Iterator[tuple[str, ast.Module]]) -> dict[str, list[str]]:
    where: dict[str, list[str]] = defaultdict(list)
    for name, tree in found:
        for node in classes(tree):
            where[node.name].append(f"{name}:{node.lineno}")
    return {name: places for name, places in where.items() if len(places) > 1}


def impure(found: Iterator[tuple[str, ast.Module]]) -> list[str]:
    faults = []
    for name, tree in found:
        for node in ast.walk(tree):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                faults.append(f"{name}:{node.lineno}: async")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "open",
                "print",
                "input",
                "breakpoint",
                "__import__",
            }:
                faults.append(f"{name}:{node.lineno}: {ast.unparse(node.func)}()")
        for module in imported(tree):
            top = module.split(".")[0]
            if top in {"jittrust", ""}:
                continue
            never = any(module == name or module.startswith(f"{name}.") for name in CORE_NEVER_IMPORTS)
            if never or (top not in sys.stdlib_module_names and top not in CORE_MAY_IMPORT):
                faults.append(f"{name}: imports {module}")
    return faults


def port_faults(found: Iterator[tuple[str, ast.Module]]) -> list[str]:
    faults = []
    for name, tree in found:
        protocols = [node for node in classes(tree) if is_protocol(node)]
        if len(protocols) > 1:
            faults.append(f"{name}: {len(protocols)} Protocols in one file")
        for node in protocols:
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            if len(methods) > MOST_METHODS:
                faults.append(f"{name}: {node.name} has {len(methods)} methods")
            silent = (item.name for item in (node, *methods) if not ast.get_docstring(item))
            faults += [f"{name}: {item} states no contract" for item in silent]
    return faults


def mocks(found: Iterator[tuple[str, ast.Module]]) -> list[str]:
    return [f"{name}: {module}" for name, tree in found for module in imported(tree) if "mock" in module.split(".")]


def test_imports_point_inward_as_the_contracts_say() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 kept, 0 broken" in ran.stdout


def test_one_word_names_one_class_in_the_whole_tree() -> None:
    assert repeated_classes(modules(SRC)) == {}


def test_the_core_is_pure() -> None:
    assert impure(modules(SRC / "core")) == []


def test_a_port_is_one_small_protocol_with_its_contract_in_words() -> None:
    assert any(is_protocol(node) for _, tree in modules(SRC / "ports") for node in classes(tree))
    assert port_faults(modules(SRC / "ports")) == []


def test_no_class_is_named_by_an_empty_word_and_no_file_is_a_drawer() -> None:
    named = [
        f"{name}: {node.name}"
        for name, tree in modules(SRC)
        for node in classes(tree)
        if node.name.endswith(EMPTY_WORDS)
    ]
    drawers = [
        name for name, _ in modules(SRC) if Path(name).stem in {"utils", "util", "helpers", "helper", "common", "misc"}
    ]

    assert named + drawers == []


def test_nothing_is_mocked() -> None:
    assert mocks(modules(SRC)) == []
    trees = (
        (str(path), ast.parse(path.read_text(encoding="utf-8"))) for path in sorted((ROOT / "tests").rglob("*.py"))
    )
    assert mocks(trees) == []


def test_every_number_in_the_public_version_agrees() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

    assert declared == version("jittrust") == __version__
    assert f"[{declared}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "from datetime import datetime\nimport time",
        "import requests",
        "async def decide(): ...",
        "def load():\n    return open('rules')",
        "from pydantic import BaseModel",
    ],
)
def test_a_planted_impurity_is_found(source: str) -> None:
    assert impure(planted(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        'class P(Protocol):\n    """Keeps."""\n    def a(self): ...',
        'class P(Protocol):\n    """Keeps."""\n'
        + "".join(f'    def m{n}(self):\n        """Does."""\n' for n in range(6)),
        'class P(Protocol):\n    """Keeps."""\nclass Q(Protocol[T]):\n    """Keeps."""',
    ],
)
def test_a_planted_fat_or_silent_port_is_found(source: str) -> None:
    assert port_faults(planted(source)) != []


def test_a_planted_second_class_or_mock_is_found() -> None:
    assert repeated_classes(planted("class A: ...\nclass A: ...")) == {"A": ["planted.py:1", "planted.py:2"]}
    assert mocks(planted("from unittest import mock")) != []
    assert mocks(planted("import unittest.mock as m")) != []
