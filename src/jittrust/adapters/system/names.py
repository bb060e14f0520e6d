"""Unique names: unguessable, short enough to type where a person has to."""

from __future__ import annotations

import base64
import secrets

# An approval id is typed by a person and guarded by a PIN: 40 bits. Everything else: 80 bits.
_SHORT = frozenset({"a"})


def new_name(prefix: str) -> str:
    """`prefix-` and 8 (approvals) or 16 lower-case letters and digits."""
    raw = secrets.token_bytes(5 if prefix in _SHORT else 10)
    return f"{prefix}-{base64.b32encode(raw).decode('ascii').lower()}"
