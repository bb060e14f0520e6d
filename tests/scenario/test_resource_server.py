"""A service that nobody told anything decides on grant tokens alone: `examples/resource_server.py` beside a real broker."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import httpx
from tests.serving import Running, gateway, http_server, now

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.grant.proof import Ed25519Signer, make_proof
from jittrust.core.units import Instant

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = Ed25519Signer.from_secret(bytes(range(32)))
READ = AuthorityEntry("e1", "orders/read_order", state=EntryState.APPROVED)
REFUND = AuthorityEntry(
    "e2",
    "orders/refund_order",
    constraints={"properties": {"amount": {"type": "integer", "maximum": 20}}, "required": ["amount"]},
    state=EntryState.APPROVED,
)


def ask(url: str, path: str, token: str, body: dict[str, Any] | None = None, proof: str = "") -> tuple[int, Any]:
    method = "GET" if body is None else "POST"
    shown = proof or make_proof(
        KEY, method=method, url=url + path, iat=Instant(time.time()), jti=f"j-{time.time_ns()}", token=token
    )
    headers = {"Authorization": f"DPoP {token}", "DPoP": shown}
    answer = httpx.request(method, url + path, json=body, headers=headers, timeout=10)
    return answer.status_code, answer.json()


async def revoke(broker: Running, grant: str) -> None:
    async with broker.person() as driving:
        await driving.grants.revoke(grant, "enough", "tester")


def test_a_service_checks_person_agent_entry_and_stated_intent_and_stops_with_the_status_list(tmp_path: Path) -> None:
    shop = {
        "orders": {
            "command": sys.executable,
            "args": [str(EXAMPLES / "servers" / "payments.py"), "--data", str(tmp_path)],
        }
    }
    with gateway(tmp_path / "broker", shop) as broker:
        sent = now(broker.mission("Refund order 7", [READ, REFUND]))
        meant = now(broker.grant("orders", jkt=KEY.jkt, mission=sent.id))
        command = [
            sys.executable,
            str(EXAMPLES / "resource_server.py"),
            "--issuer",
            broker.url,
            "--resource",
            f"{broker.url}/mcp/orders",
            "--statuses",
        ]
        with http_server(command) as url:
            status, order = ask(url, "/orders/7", meant.token)
            assert (status, order["customer"], order["read_by"]) == (200, "Bo", "tester")
            assert order["for"] == sent.person

            paid = ask(url, "/orders/7/refund", meant.token, {"ticket": "T-1", "amount": 20})
            assert paid[0] == 200
            assert paid[1]["mission"] == sent.id

            over = ask(url, "/orders/7/refund", meant.token, {"ticket": "T-1", "amount": 20 + 1})
            assert over[0] in {400, 403}

            proof = make_proof(
                KEY, method="GET", url=url + "/orders/7", iat=Instant(time.time()), jti="j" * 20, token=meant.token
            )
            assert ask(url, "/orders/7", meant.token, proof=proof)[0] == 200
            assert ask(url, "/orders/7", meant.token, proof=proof)[0] == 401

            other = now(broker.mission("Summarise my mail", [READ, REFUND]))
            strayed = now(broker.grant("orders", jkt=KEY.jkt, mission=other.id))
            assert ask(url, "/orders/7/refund", strayed.token, {"ticket": "T-1", "amount": 5}) == (
                403,
                {"code": "other_intent", "detail": "The agent was sent for something else (K.read)."},
            )
            narrow = now(broker.mission("Refund order 7", [READ]))
            reader = now(broker.grant("orders", jkt=KEY.jkt, mission=narrow.id))
            assert (
                ask(url, "/orders/7/refund", reader.token, {"ticket": "T-1", "amount": 5})[1]["code"] == "not_in_grant"
            )

            foreign = now(broker.grant("mail", jkt=KEY.jkt, mission=narrow.id))
            assert ask(url, "/orders/7", foreign.token)[0] == 401

            assert ask(url, "/orders/7", reader.token)[0] == 200
            now(revoke(broker, reader.grant.id))
        time.sleep(2.5)  # the broker gives the list that it has made for two seconds
        with http_server(command) as url:  # one that has no copy of the list from before
            assert ask(url, "/orders/7", reader.token)[0] == 401
