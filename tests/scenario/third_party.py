"""MCP servers that nobody here wrote, installed with the tests, each with a small world to work on.

Git, time and fetch come from PyPI with the development dependencies; filesystem, memory and everything come from npm
into `.tests/npm` (`scripts/setup npm` makes it). `server(name, folder)` lays the world in `folder` and says how to start.
Run as a program it prints what each server lists, in each protocol revision it speaks.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / ".tests" / "node"
PACKAGES = ROOT / ".tests/npm/node_modules/@modelcontextprotocol"

Mode = Literal["legacy", "2026-07-28"]


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """How to start one server: the command line, what goes into its environment, the client modes it answers."""

    name: str
    command: tuple[str, ...]
    modes: tuple[Mode, ...]
    env: dict[str, str] = field(default_factory=dict)


BOTH: tuple[Mode, ...] = ("legacy", "2026-07-28")
LEGACY: tuple[Mode, ...] = ("legacy",)


def python_server(name: str, module: str, *arguments: str) -> ThirdParty:
    return ThirdParty(name, (sys.executable, "-m", module, *arguments), BOTH)


def node_server(name: str, *arguments: str, env: dict[str, str] | None = None) -> ThirdParty:
    script = PACKAGES / f"server-{name}" / "dist" / "index.js"
    return ThirdParty(name, (str(NODE), str(script), *arguments), LEGACY, env or {})


def in_repository(repository: Path, *arguments: str) -> None:
    """Git without this user's configuration, and with one author and date, so that hashes are the same everywhere."""
    who = {"NAME": "Sample Author", "EMAIL": "author@acme.example", "DATE": "2026-07-01T12:00:00Z"}
    env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    subprocess.run(["git", "-C", str(repository), *arguments], env=env, check=True, capture_output=True)


def git(folder: Path) -> ThirdParty:
    """A repository with two commits, a second branch, and one change that is not committed."""
    repository = folder / "repository"
    if not repository.exists():
        repository.mkdir(parents=True)
        in_repository(repository, "init", "--initial-branch=main")
        for key, value in (("user.name", "Sample Author"), ("user.email", "author@acme.example")):
            in_repository(repository, "config", key, value)
        for number, text in enumerate(("first line\n", "first line\nsecond line\n"), 1):
            (repository / "notes.txt").write_text(text, "utf-8")
            in_repository(repository, "add", "notes.txt")
            in_repository(repository, "commit", "-m", f"Notes, version {number}")
        in_repository(repository, "branch", "draft")
        (repository / "notes.txt").write_text("first line\nsecond line\nthird line\n", "utf-8")
    return python_server("git", "mcp_server_git", "--repository", str(repository))


def time(_: Path) -> ThirdParty:
    return python_server("time", "mcp_server_time", "--local-timezone", "Etc/UTC")


def fetch(_: Path) -> ThirdParty:
    """Allowed to fetch from the loopback, where the page of `local_page` is.

    It must not see a Node: its HTML extractor would run `npm install` at the first page.
    """
    plain = python_server("fetch", "mcp_server_fetch", "--allow-private-ips")
    return replace(plain, command=("/usr/bin/env", "PATH=/nonexistent", *plain.command))


def filesystem(folder: Path) -> ThirdParty:
    """A folder with three documents."""
    root = folder / "documents"
    if not root.exists():
        (root / "reports").mkdir(parents=True)
        (root / "plan.txt").write_text("Ship on Friday.\n", "utf-8")
        (root / "todo.txt").write_text("- write the summary\n- send it\n", "utf-8")
        (root / "reports" / "june.txt").write_text("June went well.\n", "utf-8")
    return node_server("filesystem", str(root.resolve()))


def memory(folder: Path) -> ThirdParty:
    """A knowledge graph of two things and how they are related."""
    graph = folder / "memory.jsonl"
    if not graph.exists():
        things: list[dict[str, Any]] = [
            {"type": "entity", "name": "Atlas", "entityType": "project", "observations": ["Ships on Friday"]},
            {"type": "entity", "name": "Dana", "entityType": "person", "observations": ["Prefers tea"]},
            {"type": "relation", "from": "Dana", "to": "Atlas", "relationType": "leads"},
        ]
        folder.mkdir(parents=True, exist_ok=True)
        graph.write_text("\n".join(map(json.dumps, things)), "utf-8")
    return node_server("memory", env={"MEMORY_FILE_PATH": str(graph.resolve())})


def everything(_: Path) -> ThirdParty:
    return node_server("everything", "stdio")


WORLDS: dict[str, Callable[[Path], ThirdParty]] = {
    "git": git,
    "time": time,
    "fetch": fetch,
    "filesystem": filesystem,
    "memory": memory,
    "everything": everything,
}


def server(name: str, folder: Path) -> ThirdParty:
    """Lays the world of `name` in `folder`, unless it is there, and says how to start the server.

    Raises:
        KeyError: `name` is none of `WORLDS`.
    """
    return WORLDS[name](folder)


PAGE = """<!doctype html>
<html><head><title>Opening hours</title></head>
<body><article><h1>Opening hours</h1>
<p>The library is open from Monday to Friday between nine and six, and on Saturday between ten and two.</p>
<p>On public holidays it stays closed. Books that are due on such a day may be returned on the next one.</p>
</article></body></html>
"""


@contextmanager
def local_page() -> Iterator[str]:
    """Serves one page on the loopback for as long as the block runs; gives its URL."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/hours.html"
            body = PAGE.encode() if found else b"not found"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8" if found else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class names it)
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}/hours.html"
        finally:
            httpd.shutdown()


async def catalogue(found: ThirdParty) -> dict[str, Any]:
    """What a server lists, in each revision that it answers."""
    from mcp import Client, StdioServerParameters

    listed: dict[str, Any] = {"command": list(found.command), "revisions": {}}
    for revision in found.modes:
        target = StdioServerParameters(command=found.command[0], args=list(found.command[1:]), env=found.env)
        # A pinned revision skips the probe, and with it what the server says about itself.
        mode = "legacy" if revision == "legacy" else "auto"
        async with Client(target, mode=mode) as client:
            tools = (await client.list_tools()).tools
            able = client.server_capabilities.model_dump(mode="json", by_alias=True, exclude_none=True)
            listed["revisions"][client.protocol_version] = {"capabilities": able, "tools": len(tools)}
            listed["server"] = (
                client.server_info.model_dump(mode="json", exclude_none=True) if client.server_info else None
            )
            listed["tools"] = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
    return listed


async def catalogues() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return {name: await catalogue(server(name, Path(folder))) for name in WORLDS}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(catalogues()), indent=1, ensure_ascii=False))
