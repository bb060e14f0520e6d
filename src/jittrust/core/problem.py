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


def problem_of(error: JitError) -> bytes:
    """The problem document of an error of jittrust; its status is `error.http_status`."""
    return problem(error.http_status, error.code, error.message, error.next_step)
