"""Tokens that whoever holds them may narrow without asking the broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.units import Instant


@dataclass(frozen=True, slots=True)
class Attenuated:
    """What the first block of such a token says: the grant it is for, the key its holder proves, and when it ends. Later blocks only narrow."""

    grant: str
    jkt: str
    audience: str
    expires: Instant


class Attenuation(Protocol):
    """Makes and reads such tokens. Synchronous: it computes and asks nobody."""

    def mint(self, first: Attenuated) -> str:
        """The token of a grant, not narrowed yet; ASCII."""
        ...

    def read(self, token: str) -> Attenuated:
        """Check every signature. Raises RefusedError: code `invalid_token`."""
        ...

    def forbids(self, token: str, facts: Mapping[str, str], now: Instant) -> str:
        """Which condition of any block the call fails, for people; empty: all hold.

        `facts`: `action`, `tool`, `server` and, as `arg:NAME`, the call's arguments that are text. A condition that cannot be evaluated in time fails.
        """
        ...
