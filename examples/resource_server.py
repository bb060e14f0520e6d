"""An order desk that decides on grant tokens alone: who answers for it, which agent acts, what it was sent for, and whether it may do this.

    python resource_server.py --issuer http://127.0.0.1:8750 --resource http://127.0.0.1:8750/mcp/orders [--port 0] [--statuses]

It asks the broker for its keys and, with --statuses, for its status lists; during a call it asks nobody. Its first line on standard output is
`{"url": …}`. A refund needs three things: a grant token with a proof of its key, an entry in it that covers the refund, and a ticket whose words are the
goal that the person stated. An agent that was sent to summarise mail and was talked into a refund on the way has the first and neither of the others.

    GET  /orders/7          → tool orders/read_order, argument id
    POST /orders/7/refund   → tool orders/refund_order, arguments id and amount; body {"ticket": "T-1", "amount": 20}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from jittrust.verify import RequireGrant, Verifier, grant_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ORDERS: dict[str, dict[str, Any]] = {"7": {"customer": "Bo", "total": 40, "refunded": 0}}
TICKETS = {"T-1": "Refund order 7"}
"""What people asked this desk for, in their own words; where they come from is the desk's business."""


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Serve one request; `RequireGrant` has let it in."""
    if scope["type"] != "http":
        return
    status, answer = decide(scope, await body_of(receive))
    data = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def decide(scope: Message, body: bytes) -> tuple[int, dict[str, Any]]:
    """Answer a request, on the claims of its token alone."""
    grant = grant_of(scope)
    match scope["method"], scope["path"].strip("/").split("/"):
        case "GET", ["orders", order] if order in ORDERS:
            found = grant.judged("orders/read_order", arguments={"id": order})
            if not found.inside:
                return 403, {"code": "not_in_grant", "detail": found.why}
            return 200, {**ORDERS[order], "read_by": grant.agent, "for": grant.person}
        case "POST", ["orders", order, "refund"] if order in ORDERS:
            return refund(grant, order, body)
    return 404, {"code": "not_found"}


def refund(grant: Any, order: str, body: bytes) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 - jittrust.verify.Verified
    """Pay an order back."""
    try:
        asked = json.loads(body)
        ticket, amount = TICKETS[asked["ticket"]], asked["amount"]
    except (ValueError, KeyError, TypeError):
        return 400, {"code": "bad_request"}
    if type(amount) is not int or not 0 < amount <= ORDERS[order]["total"] - ORDERS[order]["refunded"]:
        return 400, {"code": "bad_amount"}
    found = grant.judged("orders/refund_order", arguments={"id": order, "amount": amount})
    if not found.inside:
        return 403, {"code": "not_in_grant", "detail": found.why}
    if not grant.intent_is(ticket):
        return 403, {
            "code": "other_intent",
            "detail": f"The agent was sent for something else ({grant.claims.intent_code}).",
        }
    ORDERS[order]["refunded"] += amount
    return 200, {"refunded": amount, "by": grant.agent, "for": grant.person, "mission": grant.claims.mission}


async def body_of(receive: Receive) -> bytes:
    """The whole body, which is small here."""
    data = b""
    while len(data) < 100_000:
        message = await receive()
        data += message.get("body", b"")
        if not message.get("more_body"):
            break
    return data


async def serve(issuer: str, resource: str, port: int, *, statuses: bool) -> None:
    """Serve on 127.0.0.1 until ended."""
    listening = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    guarded = RequireGrant(app, Verifier(issuer, resource, statuses=statuses), url)
    print(json.dumps({"url": url}), flush=True)
    await uvicorn.Server(uvicorn.Config(guarded, log_level="warning", lifespan="off")).serve([listening])


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="An order desk that decides on grant tokens alone.")
    parser.add_argument("--issuer", required=True, help="the broker's address, as its tokens name it")
    parser.add_argument("--resource", required=True, help="this service, as the broker's tokens name it")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--statuses", action="store_true", help="look every token up in its status list as well")
    said = parser.parse_args()
    asyncio.run(serve(said.issuer, said.resource, said.port, statuses=said.statuses))


if __name__ == "__main__":
    main()
