"""A minimal MCP server over HTTP (revision 2026-07-28), raw ASGI: what is measured is never the server.

python bench/peers/echo_http.py PORT
"""

import sys
from typing import Any

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

TOOL = {
    "name": "echo",
    "description": "Echo a text.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}
SERVER = {"name": "echo", "version": "1"}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """The result of one request."""
    params = message.get("params") or {}
    match message["method"]:
        case "initialize":
            return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": SERVER}
        case "server/discover":
            return {
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "serverInfo": SERVER,
                "ttlMs": 60_000,
                "cacheScope": "private",
            }
        case "tools/list":
            return {"resultType": "complete", "tools": [TOOL], "ttlMs": 60_000, "cacheScope": "private"}
        case _:
            text = params.get("arguments", {}).get("text", "")
            return {"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": False}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """One POST, one JSON answer."""
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    message = orjson.loads(body) if body else {}
    if scope["method"] != "POST" or "id" not in message:
        status, out = (202 if scope["method"] == "POST" else 405), b""
    else:
        status, out = 200, orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(out)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": out})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
