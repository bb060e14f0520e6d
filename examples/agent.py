"""A scripted agent, driven by the official MCP client: it follows a plan and, with --obey, whatever documents tell it.

    python agent.py --server files='python servers/files.py --data DIR' --plan plan.json [--obey]

The plan is a JSON list of steps, each `{"server": …, "tool": …, "arguments": {…}, "save": NAME?}` or
`{"server": …, "list": true}`. In an argument, `{{NAME.messages.0.id}}` stands for a value of a saved result and
`{{results}}` for all that document-given steps have found so far. What happens is printed as JSON lines.

There is no model in it. `--obey` stands for a model that has been hijacked: a document that holds numbered steps between
INSTRUCTIONS FOR THE ASSISTANT and END OF INSTRUCTIONS is followed to the letter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx2
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client

Json = dict[str, Any]
Report = Callable[[Json], None]
Mode = Literal["auto", "legacy", "2026-07-28"]
Reply = Literal["accept", "decline", "cancel"]

ORDERS = re.compile(r"INSTRUCTIONS FOR THE ASSISTANT[^\n]*\n(?P<steps>.*?)END OF INSTRUCTIONS", re.DOTALL)
ORDER = re.compile(r"^\s*\d+\.\s+(?P<server>\w+)\.(?P<tool>\w+)\s+(?P<arguments>\{.*\})\s*$", re.MULTILINE)
HOLE = re.compile(r"\{\{(?P<path>[\w.-]+)\}\}")


def strings(value: object) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def orders(result: Json) -> list[Json]:
    """The steps that a result tells its reader to take."""
    found: list[Json] = []
    for text in strings(result.get("structured") or result.get("text", "")):
        for block in ORDERS.finditer(text):
            for order in ORDER.finditer(block["steps"]):
                step = {"server": order["server"], "tool": order["tool"], "arguments": json.loads(order["arguments"])}
                found.append(step)
    return found


def form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What someone fills in who clicks through a form: defaults, first choices, yes."""
    filled: dict[str, Any] = {}
    for name, part in schema.get("properties", {}).items():
        choices = part.get("enum") or [choice["const"] for choice in part.get("oneOf", [])]
        kinds: dict[str, Any] = {"boolean": True, "integer": 1, "number": 1.0, "string": "yes"}
        filled[name] = part.get("default", choices[0] if choices else kinds.get(part.get("type"), []))
    return filled


@dataclass
class Agent:
    """Calls tools of several servers, one after the other, and tells `report` what came of it."""

    servers: Mapping[str, str]
    report: Report
    obey: bool = False
    mode: Mode = "auto"
    reply: Reply | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    clients: dict[str, Client] = field(default_factory=dict, init=False)
    saved: dict[str, object] = field(default_factory=dict, init=False)
    loot: list[str] = field(default_factory=list, init=False)
    followed: list[Json] = field(default_factory=list, init=False)

    async def act(self, steps: Sequence[Json]) -> None:
        """Connects to every server, takes the steps, disconnects."""
        async with AsyncExitStack() as stack:
            for name, where in self.servers.items():
                await self.connect(stack, name, where)
            for step in steps:
                await self.take(step, because="plan")

    async def connect(self, stack: AsyncExitStack, name: str, where: str) -> None:
        """Reaches one server: an http(s) URL, or a command line that speaks MCP on its standard streams."""
        target: StdioServerParameters | AbstractAsyncContextManager[Any]
        if where.startswith(("http://", "https://")):
            timeout = httpx2.Timeout(30, read=300)
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=dict(self.headers), timeout=timeout))
            target = streamable_http_client(where, http_client=http)
        else:
            command, *arguments = shlex.split(where)
            target = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
        info = types.Implementation(name="sample-agent", version="1.0.0")
        asked = self.asked(name) if self.reply else None
        client = Client(target, mode=self.mode, client_info=info, elicitation_callback=asked)
        self.clients[name] = await stack.enter_async_context(client)
        tools = [tool.name for tool in (await client.list_tools()).tools]
        self.report({"event": "connected", "server": name, "protocol": client.protocol_version, "tools": tools})

    def asked(self, server: str) -> Callable[..., Any]:
        """Answers elicitations of one server as `reply` says; declared to servers only when there is a reply."""

        async def answer(_: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
            shown = params.model_dump(mode="json", by_alias=True, exclude_none=True)
            self.report({"event": "asked", "server": server, "reply": self.reply, "params": shown})
            action = self.reply or "cancel"
            if action == "accept" and isinstance(params, types.ElicitRequestFormParams):
                return types.ElicitResult(action=action, content=form(params.requested_schema))
            return types.ElicitResult(action=action)

        return answer

    def fill(self, value: Any) -> Any:  # noqa: ANN401  (any JSON value in, any out)
        """`value` with the holes in its strings filled from saved results."""
        if isinstance(value, dict):
            return {name: self.fill(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return HOLE.sub(lambda hole: self.look_up(hole["path"]), value) if isinstance(value, str) else value

    def look_up(self, path: str) -> str:
        """A saved value by its dotted path; a path that leads nowhere stays as it is."""
        if path == "results":
            return "\n".join(self.loot)
        name, *parts = path.split(".")
        found: object = self.saved.get(name)
        for part in parts:
            if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            else:
                found = found.get(part) if isinstance(found, dict) else None
        return "{{" + path + "}}" if found is None else str(found)

    async def take(self, step: Json, because: str) -> None:
        """One step, and with `obey` those that its result asks for."""
        if step.get("list"):
            listed = await self.clients[step["server"]].list_tools(cache_mode="refresh")
            names = [tool.name for tool in listed.tools]
            self.report({"event": "listed", "server": step["server"], "tools": names})
            return
        arguments = self.fill(step.get("arguments", {}))
        call = {"server": step["server"], "tool": step["tool"], "arguments": arguments, "because": because}
        result = await self.call(step["server"], step["tool"], arguments)
        self.report({"event": "call"} | call | result)
        if result["outcome"] == "ok":
            if "save" in step:
                self.saved[step["save"]] = result.get("structured")
            if because != "plan":
                self.loot.append(result["text"])
            if self.obey:
                await self.follow(result, f"{step['server']}.{step['tool']}")
        await asyncio.sleep(self.pause)

    async def follow(self, result: Json, source: str) -> None:
        """Does what a document says, once."""
        for order in orders(result):
            if order not in self.followed:
                self.followed.append(order)
                await self.take(order, because=source)

    async def call(self, server: str, tool: str, arguments: Json) -> Json:
        """The result as JSON: outcome `ok`, `error` (the tool or the gateway said no) or `refused` (a protocol error)."""
        if server not in self.clients:
            return {"outcome": "error", "text": f"no server is called {server}"}
        try:
            result = await self.clients[server].call_tool(tool, arguments)
        except MCPError as refused:
            error = {"code": refused.code, "message": refused.message, "data": refused.data}
            return {"outcome": "refused", "text": refused.message, "error": error}
        text = "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
        told: Json = {"outcome": "error" if result.is_error else "ok", "text": text}
        if result.structured_content is not None:
            told["structured"] = result.structured_content
        if result.meta:
            told["meta"] = result.meta
        return told


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--server", action="append", default=[], metavar="NAME=COMMAND|URL", help="once for each server"
    )
    parser.add_argument("--plan", required=True, metavar="FILE", help="JSON list of steps; - reads standard input")
    parser.add_argument("--obey", action="store_true", help="do what documents say")
    parser.add_argument(
        "--mode", choices=["auto", "legacy", "2026-07-28"], default="auto", help="MCP revision to speak"
    )
    parser.add_argument(
        "--reply", choices=["accept", "decline", "cancel"], help="to questions of servers; none are heard"
    )
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="for servers with a URL")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="after each call")
    return parser.parse_args()


def main() -> None:
    """Runs one plan; exit status 1 when a server could not be reached."""
    given = arguments()
    plan = sys.stdin.read() if given.plan == "-" else Path(given.plan).read_text("utf-8")
    agent = Agent(
        servers=dict(pair.split("=", 1) for pair in given.server),
        report=lambda event: print(json.dumps(event, ensure_ascii=False), flush=True),
        obey=given.obey,
        mode=given.mode,
        reply=given.reply,
        headers={name: value.strip() for name, value in (line.split(":", 1) for line in given.header)},
        pause=given.pause,
    )
    asyncio.run(agent.act(json.loads(plan)))


if __name__ == "__main__":
    main()
