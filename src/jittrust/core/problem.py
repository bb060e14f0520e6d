"""What an HTTP face answers when something is wrong: problem details (RFC 9457) with a stable `code`."""

from __future__ import annotations

import json
from http import HTTPStatus

from jittrust.core.errors import JitError

PROBLEM_TYPE = "application/problem+json"
"""Media type of a problem document (RFC 9457 §3)."""


def problem(status: int, code: str, detail: str, next_step: str = "") -> bytes:
    """The problem document as UTF-8 JSON.

    Args:
        status: HTTP status, 400..599, repeated in the body for readers that lost the status line.
        code: stable snake_case word for programs.
        detail: what is wrong with this request, safe to show to whoever sent it.
        next_step: what would make it work; left out when empty.

    Source:
        RFC 9457 §3.1; `type` stays `about:blank`, so `title` is the status phrase (§4.2.1), and `code` is an extension member (§3.2).
    """
    body: dict[str, str | int] = {"title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    if next_step:
        body["next_step"] = next_step
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")


_INWARD = ("store_", "ledger_", "key_", "keys_", "state_", "fence_", "memory_")
_AWAY = "The broker cannot record this call now, so nothing was let through."


def outward(error: JitError) -> tuple[str, str]:
    """What a caller is told of an error, and the next step: where the store lies and what is wrong with it is for the operator's log."""
    if error.code.startswith(_INWARD):
        return _AWAY, "Try again later, and tell the user."
    return error.message, error.next_step


def problem_of(error: JitError) -> bytes:
    """The problem document of an error of jittrust, as a caller may read it; its status is `error.http_status`."""
    return problem(error.http_status, error.code, *outward(error))
