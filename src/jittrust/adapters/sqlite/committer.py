"""Group commit: one thread owns the database and makes many waiting steps durable with one synchronisation.

A step is handed over by a task and waits in a queue. The thread takes all that wait, carries each out on its own, makes them durable together, and
only then are the tasks told. A task waits at most `deadline_s`, whatever the disk does: a step that was not begun by then never is.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from jittrust.core.errors import UnavailableError

T = TypeVar("T")
Outcome: TypeAlias = "tuple[bool, Any]"
"""Whether it succeeded, and the value or the error."""

DEADLINE_S = 2.0
MOST_TOGETHER = 256
MOST_WAITING = 4096


class Step:
    """One thing to do with the database, and who waits for it."""

    __slots__ = ("begun", "future", "loop", "run", "withdrawn")

    def __init__(self, run: Callable[[sqlite3.Connection], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.run = run
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.begun = False
        self.withdrawn = False


class GroupCommitter:
    """Hands steps from any number of loops to one thread.

    `together(steps)` is called in the thread with the steps of one group; it carries them out and returns an outcome for each when they are durable.
    It must not raise for reasons it knows; if it does, every step of the group fails.
    """

    def __init__(
        self,
        together: Callable[[Sequence[Step]], Sequence[Outcome]],
        at_end: Callable[[], None],
        *,
        deadline_s: float = DEADLINE_S,
        most_together: int = MOST_TOGETHER,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._together = together
        self._at_end = at_end
        self._deadline_s = deadline_s
        self._most_together = most_together
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._waiting: deque[Step] = deque()
        self._closing = False
        # A daemon, so that a hung disk cannot keep the process from ending; what waits then was never acknowledged.
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    async def run(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Wait until `run` was carried out and is durable, and give what it gave.

        Raises:
            UnavailableError: code `store_unavailable`: not done within the deadline, closed, or too much waits.
            Exception: whatever the step raised.
        """
        loop = asyncio.get_running_loop()
        step = Step(run, loop)
        with self._lock:
            if self._closing:
                raise UnavailableError("store_unavailable", "the store is closed")
            if len(self._waiting) >= self._most_waiting:
                raise UnavailableError("store_unavailable", f"{self._most_waiting} steps wait for the store already")
            self._waiting.append(step)
            if len(self._waiting) == 1:
                self._wake.notify()
        timer = loop.call_later(self._deadline_s, self._expire, step)
        try:
            done: T = await step.future
        finally:
            timer.cancel()
            if not step.begun:
                self._withdraw(step)
        return done

    async def close(self) -> None:
        """Carry out what waits, then end the thread. Waits for twice the deadline at most."""
        with self._lock:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join, 2 * self._deadline_s)

    def _withdraw(self, step: Step) -> None:
        with self._lock:
            step.withdrawn = not step.begun

    def _expire(self, step: Step) -> None:
        self._withdraw(step)
        if not step.future.done():
            state = "it may still be carried out" if step.begun else "it was not begun and never will be"
            step.future.set_exception(
                UnavailableError(
                    "store_unavailable", f"the store did not answer within {self._deadline_s:g} s: {state}"
                )
            )

    def _work(self) -> None:
        try:
            while steps := self._take():
                try:
                    outcomes = self._together(steps)
                except Exception as bad:  # noqa: BLE001  the thread is the store: it outlives any single group
                    error = UnavailableError("store_unavailable", f"the store failed: {type(bad).__name__}: {bad}")
                    outcomes = [(False, error)] * len(steps)
                _tell(steps, outcomes)
        finally:
            self._at_end()

    def _take(self) -> list[Step]:
        """The next group; empty when closing and nothing waits."""
        taken: list[Step] = []
        with self._lock:
            while not taken:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._waiting:
                    return taken
                while self._waiting and len(taken) < self._most_together:
                    step = self._waiting.popleft()
                    if not step.withdrawn:
                        step.begun = True
                        taken.append(step)
        return taken


def _tell(steps: Sequence[Step], outcomes: Sequence[Outcome]) -> None:
    """Wake each loop once for all of its tasks."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Step, Outcome]]] = {}
    for step, outcome in zip(steps, outcomes, strict=True):
        by_loop.setdefault(step.loop, []).append((step, outcome))
    for loop, told in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, told)
        except RuntimeError:
            # The loop has ended and nobody waits any more; what was done stays done.
            continue


def _settle(told: Sequence[tuple[Step, Outcome]]) -> None:
    for step, (succeeded, value) in told:
        if step.future.done():
            continue
        if succeeded:
            step.future.set_result(value)
        else:
            step.future.set_exception(value)
