"""The same echo server over stdio, standard library only.

python bench/peers/echo_stdio.py
"""

import json
import sys
from typing import Any

TOOL = {
    "name": "echo",
    "description": "Echo a text.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """The result of one request."""
    params = message.get("params") or {}
    match message["method"]:
        case "initialize":
            info = {"name": "echo", "version": "1"}
            return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            return {"tools": [TOOL]}
        case _:
            text = params.get("arguments", {}).get("text", "")
            return {"content": [{"type": "text", "text": text}], "isError": False}


for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" in message and "method" in message:
        out = {"jsonrpc": "2.0", "id": message["id"], "result": answer(message)}
        sys.stdout.buffer.write(json.dumps(out).encode() + b"\n")
        sys.stdout.buffer.flush()
