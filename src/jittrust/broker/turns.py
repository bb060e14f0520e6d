"""Callers of one lane that show an old pass, one after the other.

A client that follows several calls at once keeps one newest pass for all of them. Were each told another one at the same moment, the answers could
overtake each other, and the client would keep an older one. So a lane tells nobody a newer pass while the last one told is still on its way: the
next caller waits until it has been shown, or until it must have arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from jittrust.broker.state import State
from jittrust.core.grant import lanes
from jittrust.core.grant.lanes import RotationRules
from jittrust.core.units import Instant

SEEN_MOST = 16_384
"""Passes that bought nothing and were shown, of all lanes. What is forgotten speaks against nobody (ADR 0042)."""


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class LaneTurns:
    """Whose turn it is to be told a new pass, for every lane that somebody waits for."""

    def __init__(self, state: State, rules: RotationRules, clock: Callable[[], Instant]) -> None:
        """Nothing is kept for a lane that nobody waits for."""
        self._state = state
        self._rules = rules
        self._clock = clock
        self._lines: dict[tuple[str, int], _Line] = {}
        self._answered: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    def saw(self, grant: str, number: int, seq: int, told: int) -> None:
        """Note that the old pass `seq`, which bought nothing, was shown and the pass `told` given in answer; only the first time counts."""
        self._answered.setdefault((grant, number, seq), told)
        self._answered.move_to_end((grant, number, seq))
        if len(self._answered) > SEEN_MOST:
            self._answered.popitem(last=False)

    def answered(self, grant: str, number: int, seq: int) -> int | None:
        """The pass that was told when `seq` was first shown; None if nobody knows."""
        return self._answered.get((grant, number, seq))

    @contextlib.asynccontextmanager
    async def turn(self, grant: str, number: int) -> AsyncIterator[bool]:
        """The caller's turn, first come first served; False when it did not come within `queue`. Nobody else is told a pass inside."""
        key = (grant, number)
        line = self._lines.setdefault(key, _Line())
        line.waiting += 1
        first = came = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rules.queue):
                    first = await line.lock.acquire()
                    await self._arrived(key)
                    came = True
            yield came
        finally:
            if first:
                line.lock.release()
            line.waiting -= 1
            if not line.waiting:
                self._lines.pop(key, None)

    async def _arrived(self, key: tuple[str, int]) -> None:
        """Return when the pass told last has been shown or replaced, or must have arrived."""
        changed = asyncio.Event()
        self._state.listeners.append(changed.set)
        try:
            while (lane := self._state.lanes.get(key)) is not None:
                left = lanes.in_hand(lane, self._clock(), self._rules)
                if left <= 0:
                    return
                changed.clear()
                try:
                    async with asyncio.timeout(left):
                        while self._state.lanes.get(key) is lane:
                            await changed.wait()
                            changed.clear()
                except TimeoutError:
                    return
        finally:
            self._state.listeners.remove(changed.set)
