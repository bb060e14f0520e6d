"""The headers of a streamable HTTP request, made from the body that came over stdio (MCP 2026-07-28, transports). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.core.model import Json
from jittrust.pep.mcp.http_wire import encode_value, name_of, param_headers
from jittrust.pep.mcp.jsonrpc import MCP_META, Message

_BOTH = "application/json, text/event-stream"


class ToolSchemas:
    """The input schemas of tools whose arguments are mirrored in headers, as `tools/list` told them. Bounded."""

    MOST = 2000

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, Json]] = {}

    def learn(self, result: Mapping[str, Json]) -> None:
        """Take note of a result of `tools/list`."""
        tools = result.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if not isinstance(tool, Mapping):
                continue
            name, schema = tool.get("name"), tool.get("inputSchema")
            if isinstance(name, str) and isinstance(schema, Mapping) and "x-mcp-header" in str(schema):
                self._known[name] = schema
                if len(self._known) > self.MOST:
                    del self._known[next(iter(self._known))]

    def headers(self, message: Message) -> dict[str, str]:
        """`Mcp-Param-…` for a call."""
        name, arguments = message.params.get("name"), message.params.get("arguments")
        schema = self._known.get(name) if message.method == "tools/call" and isinstance(name, str) else None
        return {} if schema is None else param_headers(schema, arguments if isinstance(arguments, Mapping) else {})


def request_headers(message: Message, version: str, schemas: ToolSchemas) -> dict[str, str]:
    """What goes with the POST of a message. `version`: what `initialize` agreed on; empty before, and for the stateless revision."""
    headers = {"content-type": "application/json", "accept": _BOTH}
    if message.modern:
        said = message.meta[MCP_META + "protocolVersion"]
        headers["mcp-protocol-version"] = encode_value(said if isinstance(said, str) else "")
        headers["mcp-method"] = encode_value(message.method)
        name = name_of(message)
        if name is not None:
            headers["mcp-name"] = encode_value(name)
        return headers | schemas.headers(message)
    return headers | ({"mcp-protocol-version": version} if version else {})
