"""The approver's PIN."""

from __future__ import annotations

from typing import Protocol


class PinCheck(Protocol):
    """Knows whether a PIN is the approver's. Counts wrong tries and locks for a growing while; the count survives a restart."""

    def check(self, pin: str) -> None:
        """Return when the PIN is right.

        Raises:
            RefusedError: code `pin_wrong`, `pin_not_set` or `pin_locked`.
        """
        ...
