"""What goes wrong in SCIM's own words (RFC 7644 §3.12): not the problem details of the other faces."""

from __future__ import annotations

MAX_DETAIL = 500


class ScimError(Exception):
    """An answer that is an error.

    Attributes:
        status: HTTP status.
        scim_type: detail keyword of RFC 7644 §3.12, table 9; may be empty.
        detail: what happened, for people; one printable line.
        allow: the methods that are possible, for a 405.
    """

    def __init__(self, status: int, detail: str, scim_type: str = "", allow: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.scim_type = scim_type
        self.allow = allow
        self.detail = "".join(sign if sign.isprintable() else " " for sign in detail[:MAX_DETAIL])
