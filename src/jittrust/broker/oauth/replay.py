"""What may be shown once: ids of assertions and proofs that were taken, remembered until they are over."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from jittrust.core.oauth.error import OAuthError
from jittrust.core.units import Instant

REMEMBERED_MOST = 100_000
_SHARE = 8


class ReplayMemory:
    """Remembers, in this process only, so it takes nothing that was made before the process began; full, it takes nothing more.

    Of one sharer it remembers at most an eighth: nobody whom a key costs nothing keeps the memory full for others.
    """

    def __init__(self, clock: Callable[[], Instant], most: int = REMEMBERED_MOST) -> None:
        """It begins to remember now."""
        self._clock = clock
        self._most = most
        # Times in assertions are whole seconds; a process takes longer than one to come back, so the second it began in is its own.
        self._since = math.floor(clock())
        self._until: dict[tuple[str, ...], Instant] = {}
        self._ends: list[tuple[Instant, tuple[str, ...]]] = []
        self._sharer: dict[tuple[str, ...], str] = {}
        self._of_sharer: dict[str, int] = {}

    def take(self, key: tuple[str, ...], issued: Instant, until: Instant, sharer: str = "") -> bool:
        """Whether this is the first time; from now on it is not. Awaits nothing, so of many at once one wins.

        `sharer`: who has at most an eighth of the memory; empty = who may fill all of it.

        Raises:
            OAuthError: `temporarily_unavailable`, code `replay_memory_full`.
        """
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            ended, name = heapq.heappop(self._ends)
            if self._until.get(name) == ended:
                self._forget(name)
        if issued < self._since or key in self._until:
            return False
        share = self._of_sharer.get(sharer, 0) if sharer else 0
        if len(self._until) >= self._most or share >= max(1, self._most // _SHARE):
            raise OAuthError(
                "temporarily_unavailable", "replay_memory_full", "Too many requests are under way.", "Try again later."
            )
        if len(self._ends) > 2 * self._most:
            # What was released meanwhile.
            self._ends = [(end, name) for name, end in self._until.items()]
            heapq.heapify(self._ends)
        self._until[key] = until
        if sharer:
            self._sharer[key], self._of_sharer[sharer] = sharer, share + 1
        heapq.heappush(self._ends, (until, key))
        return True

    def release(self, key: tuple[str, ...]) -> None:
        """Forget one whose request came to nothing."""
        if key in self._until:
            self._forget(key)

    def _forget(self, key: tuple[str, ...]) -> None:
        del self._until[key]
        sharer = self._sharer.pop(key, "")
        if sharer:
            self._of_sharer[sharer] -= 1
            if not self._of_sharer[sharer]:
                del self._of_sharer[sharer]
