"""An MCP server on the official SDK that answers every call with the `_meta` that came with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("noting")


@server.tool(description="Read a note.")
async def read_note(name: str, context: Context[Any, Any]) -> str:
    meta = context.request_context.meta
    return json.dumps({"name": name, "meta": dict(meta) if isinstance(meta, Mapping) else None})


@server.tool(description="Delete a note.")
async def delete_note(name: str) -> str:
    return f"deleted {name}"


if __name__ == "__main__":
    server.run(transport="stdio")
