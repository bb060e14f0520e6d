"""A PIN in memory: the fake of the approver's PIN."""

from __future__ import annotations

import hmac

from jittrust.core.errors import RefusedError


class MemoryPin:
    """`ports.pin.PinCheck` for one process. Locks after `most` wrong tries and stays locked."""

    def __init__(self, pin: str | None = None, most: int = 5) -> None:
        self._pin = pin
        self._most = most
        self._wrong = 0

    def check(self, pin: str) -> None:
        if self._pin is None:
            raise RefusedError("pin_not_set", "No approver's PIN is set")
        if self._wrong >= self._most:
            raise RefusedError("pin_locked", "Too many wrong PINs")
        if not hmac.compare_digest(pin.encode("utf-8", "surrogatepass"), self._pin.encode()):
            self._wrong += 1
            raise RefusedError("pin_wrong", "That is not the PIN")
        self._wrong = 0
