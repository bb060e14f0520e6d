"""Writes what is made from the code: codes, settings and their JSON Schema, commands, intents, and the state diagrams of the architecture.

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

from jittrust.apps.cli import reference
from jittrust.apps.settings import json_schema, overrides, setting_fields
from jittrust.core.approval import APPROVAL_MOVES
from jittrust.core.grant.states import GRANT_MOVES
from jittrust.core.intent.note import NOTE_SCHEMA
from jittrust.core.intent.taxonomy import taxonomy_page
from jittrust.core.mission.states import MISSION_MOVES
from jittrust.core.reasons import AGENT_NEXT, REASONS
from jittrust.core.response.session import SESSION_MOVES
from jittrust.core.states import diagram

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


def note_schema_page() -> str:
    """The JSON Schema of the note about a call's intent that goes to adjacent agents."""
    return json.dumps(NOTE_SCHEMA, indent=2, ensure_ascii=False) + "\n"


def first_sentence(node: ast.AST) -> str:
    """What a docstring says first."""
    text = ast.get_docstring(node) or "" if isinstance(node, ast.ClassDef | ast.Module) else ""
    return re.split(r"(?<=[.:])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".:")


def methods(node: ast.ClassDef) -> set[tuple[str, ...]]:
    """The public methods of a class: each its name and the names of its arguments."""
    found = (item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))
    return {(item.name, *(one.arg for one in item.args.args[1:])) for item in found if not item.name.startswith("_")}


def ports_table() -> str:
    """Every port with its contract in a sentence, and the classes that have all of its methods."""
    found = [
        (path, node)
        for path in sorted(SRC.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    lines = ["| port | file in `ports/` | is | classes behind it |", "|---|---|---|---|"]
    for path, port in found:
        if path.parent != SRC / "ports" or "Protocol" not in map(ast.unparse, port.bases):
            continue
        behind = [
            f"`{node.name}` in `{where.relative_to(SRC)}`"
            for where, node in found
            if where.parent != path.parent
            and "Protocol" not in map(ast.unparse, node.bases)
            and methods(port) <= methods(node)
        ]
        lines.append(f"| `{port.name}` | `{path.name}` | {cell(first_sentence(port))} | {', '.join(behind)} |")
    return "\n".join(lines)


DIAGRAMS = {
    "A mission": diagram(MISSION_MOVES),
    "A grant": diagram(GRANT_MOVES),
    "A session under a mission": diagram(SESSION_MOVES),
    "A question to a person": diagram(APPROVAL_MOVES),
}


def diagrams() -> str:
    """Every life cycle, drawn from the table that is also what the code obeys."""
    each = (f"{name}:\n\n```mermaid\n{drawn}\n```" for name, drawn in DIAGRAMS.items())
    return "\n\n".join(each)


BLOCKS = {"ports": ports_table, "states": diagrams}


def architecture_page() -> str:
    """The page as it is, with its made blocks made anew."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name, make in BLOCKS.items():
        begin, end = f"<!-- made by `make docs`: {name} -->\n", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"docs/architecture.md has no block {name}")
        text = f"{text.partition(begin)[0]}{begin}{make()}\n{end}{text.partition(end)[2]}"
    return text


PAGES = {
    "docs/architecture.md": architecture_page,
    "docs/cli.md": reference.page,
    "docs/codes.md": codes_page,
    "docs/jittrust.schema.json": schema_page,
    "docs/schemas/intent-note-1.json": note_schema_page,
    "docs/settings.md": settings_page,
    "docs/taxonomy.md": taxonomy_page,
}


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
