"""`/healthz`: is the broker able to decide, and what happens when a part of it is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse

from jittrust.core.errors import JitError
from jittrust.ports.ledger_view import LedgerView

PATIENCE_SECONDS = 1.0
"""How long a part may take to answer before it counts as gone."""


@dataclass(frozen=True, slots=True)
class FailureRule:
    """One row of the matrix: what happens to calls when `part` is not there. `opens`: whether anything passes that would not pass otherwise."""

    part: str
    when: str
    then: str
    opens: bool = False


MATRIX: tuple[FailureRule, ...] = (
    FailureRule("store", "cannot write, is full or slower than its deadline", "deny, 503 with Retry-After"),
    FailureRule("ledger", "cannot be appended to", "deny, 503 with Retry-After"),
    FailureRule("signer", "has no key", "no grant is issued, no checkpoint is signed; deny"),
    FailureRule("policy", "configured and missing, broken or empty", "refuse to start"),
    FailureRule("policy", "cannot be evaluated for a call", "deny"),
    FailureRule("factor", "cannot be measured in time", "unknown: reads may pass inside the map, other calls step up"),
    FailureRule("person", "does not answer a step-up", "deny when the question expires"),
    FailureRule("upstream", "is down or breaks off", "the error is passed on, gas is not given back, the lane lives"),
    FailureRule("enforcement point", "is gone", "no call goes out; the client sees its server as dead"),
)
"""The same rows as docs/failures.md. Nothing fails open; a mission in observe mode is the one exception, and it says so."""


class Health:
    """`GET /healthz`. It needs no credential and tells no secret: states and rules, no names."""

    def __init__(self, ledger: LedgerView, version: str, notes: Mapping[str, str | bool]) -> None:
        """`notes`: plain facts about how this process runs (`observe`, `development`), shown as they are."""
        self._ledger = ledger
        self._version = version
        self._notes = dict(notes)

    async def answer(self, _request: Request) -> JSONResponse:
        """200 when decisions can be made and recorded, else 503 with `Retry-After`."""
        ledger = await self._ledger_state()
        healthy = ledger == "ok"
        body = {
            "status": "ok" if healthy else "unavailable",
            "version": self._version,
            "ledger": ledger,
            "notes": self._notes,
            "matrix": [
                {"part": rule.part, "when": rule.when, "then": rule.then, "opens": rule.opens} for rule in MATRIX
            ],
        }
        headers = {"cache-control": "no-store"} | ({} if healthy else {"retry-after": "5"})
        return JSONResponse(body, 200 if healthy else 503, headers)

    async def _ledger_state(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._ledger.checkpoint()
        except TimeoutError:
            return "slow"
        except JitError as error:
            return error.code
        return "ok"
