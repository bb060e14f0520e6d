"""A security-free pass-through, uvicorn and aiohttp: the least a Python proxy can cost.

UPSTREAM=http://127.0.0.1:9000/mcp python bench/peers/passthrough.py PORT
"""

import os
import sys
from typing import Any

import aiohttp
import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

UPSTREAM = os.environ["UPSTREAM"]
DROPPED = {b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding"}
state: dict[str, Any] = {}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Forward one POST."""
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                state["client"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            else:
                await state["client"].close()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    orjson.loads(body)
    headers = {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"] if name not in DROPPED}
    async with state["client"].post(UPSTREAM, data=body, headers=headers) as reply:
        out = await reply.read()
        kind = reply.headers.get("content-type", "application/json").encode()
        status = reply.status
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", kind), (b"content-length", str(len(out)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": out})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
