"""What may be shown once: ids of assertions and proofs that were taken, remembered until they are over."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from jittrust.core.oauth.error import OAuthError
from jittrust.core.units import Instant

REMEMBERED_MOST = 100_000


class ReplayMemory:
    """Remembers, in this process only, so it takes nothing that was made before the process began; full, it takes nothing more."""

    def __init__(self, clock: Callable[[], Instant], most: int = REMEMBERED_MOST) -> None:
        """It begins to remember now."""
        self._clock = clock
        self._most = most
        # Times in assertions are whole seconds; a process takes longer than one to come back, so the second it began in is its own.
        self._since = math.floor(clock())
        self._until: dict[tuple[str, ...], Instant] = {}
        self._ends: list[tuple[Instant, tuple[str, ...]]] = []

    def take(self, key: tuple[str, ...], issued: Instant, until: Instant) -> bool:
        """Whether this is the first time; from now on it is not. Awaits nothing, so of many at once one wins.

        Raises:
            OAuthError: `temporarily_unavailable`, code `replay_memory_full`.
        """
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            ended, name = heapq.heappop(self._ends)
            if self._until.get(name) == ended:
                del self._until[name]
        if issued < self._since or key in self._until:
            return False
        if len(self._until) >= self._most:
            raise OAuthError(
                "temporarily_unavailable", "replay_memory_full", "Too many requests are under way.", "Try again later."
            )
        if len(self._ends) > 2 * self._most:
            # What was released meanwhile.
            self._ends = [(end, name) for name, end in self._until.items()]
            heapq.heapify(self._ends)
        self._until[key] = until
        heapq.heappush(self._ends, (until, key))
        return True

    def release(self, key: tuple[str, ...]) -> None:
        """Forget one whose request came to nothing."""
        self._until.pop(key, None)
