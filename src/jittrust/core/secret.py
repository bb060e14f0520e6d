"""Bytes that must never be printed, logged or pickled."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """Secret bytes. `str`, `repr` and format show nothing of them; only `reveal()` gives them out. Compared in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes themselves. Call it where they are used, and keep the result no longer."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash would tell secrets apart

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")
