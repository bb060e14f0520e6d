"""Writes the pages that are made from the code: codes, settings, and the JSON Schema of the configuration file.

usage: scripts/docs.py [--check]     with --check nothing is written; exit 1 names the pages that are stale
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from jittrust.apps.settings import json_schema, overrides, setting_fields
from jittrust.core.reasons import AGENT_NEXT, REASONS

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "jittrust"
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MADE = "<!-- made by `make docs`; change the code, not this page -->\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of errors: what a command ends with and what HTTP answers."""

    exit_code: int
    http_status: int


@dataclass(frozen=True, slots=True)
class Raised:
    """One place that raises an error with a literal code."""

    code: str
    kind: str
    message: str
    next_step: str


def trees(folder: Path = SRC) -> Iterator[ast.Module]:
    """Every module of the package, in the order of their paths."""
    for path in sorted(folder.rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def kinds(modules: list[ast.Module]) -> dict[str, Kind]:
    """The error classes by name, with the numbers that each inherits or sets."""
    classes = {node.name: node for tree in modules for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}

    def number(name: str, attribute: str) -> int | None:
        node = classes.get(name)
        if node is None:
            return None
        for item in node.body:
            if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == attribute:
                return int(ast.literal_eval(item.value))
        return next((found for base in node.bases if (found := number(ast.unparse(base), attribute)) is not None), None)

    made = {}
    for name in classes:
        exit_code, status = number(name, "exit_code"), number(name, "http_status")
        if exit_code is not None and status is not None:
            made[name] = Kind(exit_code, status)
    return made


def words(node: ast.expr | None) -> str:
    """The text of a literal; what is filled in later is shown as `…`."""
    if node is None:
        return ""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return words(node.left) + words(node.right)
    return "…"


def raised(modules: list[ast.Module], known: dict[str, Kind]) -> list[Raised]:
    """Every error that the package can raise with a literal code."""
    found = []
    for tree in modules:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            kind = ast.unparse(node.func).split(".")[-1]
            if kind not in known:
                continue
            given: dict[str, ast.expr] = dict(zip(("code", "message", "next_step"), node.args, strict=False))
            given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
            code = given.get("code")
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                found.append(Raised(code.value, kind, words(given.get("message")), words(given.get("next_step"))))
    return found


def cell(text: str) -> str:
    """Text that cannot break out of a table's cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def codes_page() -> str:
    """Every stable code: reasons of verdicts, then errors."""
    modules = list(trees())
    known = kinds(modules)
    by_code: dict[str, list[Raised]] = {}
    for item in raised(modules, known):
        if not CODE.fullmatch(item.code):
            raise SystemExit(f"not a snake_case code: {item.code!r}")
        by_code.setdefault(item.code, []).append(item)
    lines = [
        "# Codes",
        "",
        MADE,
        "A code never changes its meaning. `…` stands for what is filled in.",
        "",
        "## Reasons of a verdict",
        "",
        "The meaning is for people. The agent is told only the coarse code and its next step, so that a refusal is no oracle.",
        "",
        "| code | meaning | the agent is told |",
        "|---|---|---|",
        *(f"| `{code}` | {cell(reason.meaning)} | `{reason.agent}` |" for code, reason in sorted(REASONS.items())),
        "",
        "| the agent is told | and as a next step |",
        "|---|---|",
        *(f"| `{code}` | {cell(step)} |" for code, step in AGENT_NEXT.items()),
        "",
        "## Errors",
        "",
        "Exit is what a command ends with: 1 refused or a finding, 2 bad input, 3 broker unreachable.",
        "",
        "| code | says | what to do | HTTP | exit |",
        "|---|---|---|---|---|",
    ]
    for code, places in sorted(by_code.items()):
        says = " / ".join(dict.fromkeys(cell(place.message) for place in places))
        step = " / ".join(dict.fromkeys(cell(place.next_step) for place in places if place.next_step))
        http = ", ".join(sorted({str(known[place.kind].http_status) for place in places}))
        ends = ", ".join(sorted({str(known[place.kind].exit_code) for place in places}))
        lines.append(f"| `{code}` | {says} | {step} | {http} | {ends} |")
    return "\n".join(lines) + "\n"


def default(about: FieldInfo) -> str:
    """What holds when the setting is not given; what depends on the machine is left to the description."""
    if about.default_factory is not None or about.default is None or about.is_required():
        return ""
    value = about.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ""
    return f"`{value}`" if value != "" else ""


def bounds(about: FieldInfo) -> str:
    """What may be given."""
    lowest = next((item.ge for item in about.metadata if isinstance(item, Ge)), None)
    highest = next((item.le for item in about.metadata if isinstance(item, Le)), None)
    if lowest is not None and highest is not None:
        return f"{lowest}..{highest}"
    choices = get_args(about.annotation) if get_origin(about.annotation) is Literal else ()
    return ", ".join(f"`{choice}`" for choice in choices if choice)


def settings_page() -> str:
    """Every setting, from the model that reads the file."""
    variable = {path: name for name, path in overrides().items()}
    lines = [
        "# Settings",
        "",
        MADE,
        "One YAML file, given with `--config`; everything in it may be left out. Editors know it through",
        "`# yaml-language-server: $schema=jittrust.schema.json` in the first line ([the schema](jittrust.schema.json)).",
        "Paths are relative to the file. A variable of the environment overrides the file; lists in it are separated by commas.",
        "",
        "| setting | what it does | may be | default | environment |",
        "|---|---|---|---|---|",
    ]
    for path, about in setting_fields():
        if not isinstance(about, FieldInfo) or not about.description:
            raise SystemExit(f"the setting {'.'.join(path)} has no description")
        env = f"`{variable[path]}`" if path in variable else ""
        name = ".".join(path)
        lines.append(f"| `{name}` | {cell(about.description)} | {bounds(about)} | {default(about)} | {env} |")
    return "\n".join(lines) + "\n"


def schema_page() -> str:
    """The JSON Schema of the configuration file, without what depends on this machine."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


PAGES = {"docs/codes.md": codes_page, "docs/settings.md": settings_page, "docs/jittrust.schema.json": schema_page}


def main() -> int:
    """Write the pages, or say which are stale."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'stale, run `make docs`' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
