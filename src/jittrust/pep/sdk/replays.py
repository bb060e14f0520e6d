"""Which proofs were shown before (RFC 9449 §11.1): a service that hands out no passes must remember them as long as they could be shown again."""

from __future__ import annotations

from collections import deque

from jittrust.core.errors import UnavailableError
from jittrust.core.units import Instant


class SeenProofs:
    """Remembers proofs, at most so many, and of one key at most an eighth of them: a holder of one grant cannot make it forget or refuse others.

    It never forgets early. Memory is bounded by `most` entries of about 200 bytes.
    """

    def __init__(self, most: int = 100_000) -> None:
        """`most`: how many proofs may be remembered at once."""
        self._most = most
        self._until: dict[tuple[str, str], float] = {}
        self._order: deque[tuple[float, tuple[str, str]]] = deque()
        self._by_key: dict[str, int] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._until)

    def first_time(self, jkt: str, jti: str, until: Instant, now: Instant) -> bool:
        """Remember a proof that could be shown until then; whether it was new.

        Raises:
            UnavailableError: code `replay_memory_full`.
        """
        self._forget(now)
        key = (jkt, jti)
        if key in self._until:
            return False
        if len(self._until) >= self._most or self._by_key.get(jkt, 0) >= max(1, self._most // 8):
            raise UnavailableError(
                "replay_memory_full", "Too many requests to tell a new proof from a copied one.", "Try again shortly."
            )
        self._until[key] = until
        self._order.append((until, key))
        self._by_key[jkt] = self._by_key.get(jkt, 0) + 1
        return True

    def _forget(self, now: Instant) -> None:
        # In the order of arrival: one with a later end holds those behind it back for at most one window.
        while self._order and self._order[0][0] < now:
            _, key = self._order.popleft()
            del self._until[key]
            left = self._by_key[key[0]] - 1
            if left:
                self._by_key[key[0]] = left
            else:
                del self._by_key[key[0]]
