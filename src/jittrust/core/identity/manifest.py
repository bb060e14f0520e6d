"""The tool manifest of an agent as one digest: which tools it was approved with, each by the hash of its definition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

_PURPOSE = b"jittrust tool manifest 1\n"


def manifest_digest(pins: Mapping[str, str]) -> str:
    """SHA-256 (64 hex digits) of the pins (tool id → hash of its definition), whatever their order. An empty manifest has a digest too."""
    text = json.dumps(sorted(pins.items()), separators=(",", ":"))
    return hashlib.sha256(_PURPOSE + text.encode("ascii")).hexdigest()
