"""Reads what agents are given, beside the event loop; the next call of a mission does not overtake the reading of what came before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace

from jittrust.broker.state import State
from jittrust.core.grant.grant import Grant
from jittrust.core.intent.findings import FINDING_RULES, FindingRules, TextFinding, keep, unread
from jittrust.core.model import Json

# After each piece the worker stands aside so long: the event loop gets its turn without waiting for the interpreter to take it away.
_STANDS_ASIDE_S = 0.000_5
# Results of one mission that may wait for the worker; more of them are told as unread instead of being piled up.
_MOST_WAITING = 32
# Grants of which it is remembered that their task was read; the task of one that is forgotten is read again.
_MOST_HEARD = 4096


class TextWatch:
    """The reading of texts for one broker. `worker`: a pool of one thread; None = read at once, where nobody else waits (tests, replays)."""

    def __init__(self, state: State, worker: Executor | None = None, rules: FindingRules = FINDING_RULES) -> None:
        """Nothing is read yet."""
        self._state = state
        self._worker = worker
        self._heard: dict[str, None] = {}
        # Where nobody waits, a text is read in one piece: that costs less in all.
        self._rules = rules if worker is not None else replace(rules, chunk=rules.most_read)

    def warm(self) -> None:
        """Have the worker load what reading needs, so that the first result does not wait for it."""
        if self._worker is not None:
            self._worker.submit(_look, "", (), None, self._rules)

    def read(self, mission: str, source: str, texts: Sequence[str], structured: Json = None) -> None:
        """Begin to read what the agent of a mission is given. What is found is kept with the mission, under `source`."""
        memory = self._state.memory(mission)
        if self._worker is None:
            found = _last(_look(source, texts, structured, self._rules))
            if found is not None:
                keep(memory.findings, found, self._rules)
            return
        if len(memory.unread) >= _MOST_WAITING:
            keep(memory.findings, unread(source, self._rules), self._rules)
            return

        def done(task: asyncio.Future[TextFinding | None]) -> None:
            memory.unread.pop(source, None)
            found = unread(source, self._rules) if task.cancelled() or task.exception() is not None else task.result()
            if found is not None:
                keep(memory.findings, found, self._rules)

        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._worker, _aside, source, tuple(texts), structured, self._rules)
        memory.unread[source] = reading
        reading.add_done_callback(done)

    def hear(self, grant: Grant) -> None:
        """Read the tasks that agents handed on until they came to this one, each once."""
        for name in (*grant.path, grant.id):
            one = self._state.grants.get(name)
            if one is None or not one.task or name in self._heard:
                continue
            self._heard[name] = None
            if len(self._heard) > _MOST_HEARD:
                del self._heard[next(iter(self._heard))]
            self.read(one.mission, f"task of {one.agent} ({name})", (one.task,))

    def found_in(self, mission: str, source: str) -> TextFinding | None:
        """What was found in a text of this mission; a text that is not read yet is unread."""
        memory = self._state.memories.get(mission)
        if memory is None:
            return None
        if source in memory.unread:
            return unread(source, self._rules)
        return next((one for one in reversed(memory.findings) if one.source == source), None)

    async def answered(self, mission: str, source: str) -> None:
        """Wait a moment, so that the record of an answer tells what was found in it."""
        memory = self._state.memories.get(mission)
        task = memory.unread.get(source) if memory is not None else None
        if task is not None:
            await asyncio.wait((task,), timeout=self._rules.answer_waits)

    def busy(self, mission: str) -> bool:
        """Whether something that the agent was given is still being read."""
        memory = self._state.memories.get(mission)
        return memory is not None and bool(memory.unread)

    async def caught_up(self, mission: str) -> tuple[TextFinding, ...]:
        """Wait until all that the agent was given so far is read; what is not by then is told as unread."""
        memory = self._state.memories.get(mission)
        given = dict(memory.unread) if memory is not None else {}
        if not given:
            return ()
        _, late = await asyncio.wait(given.values(), timeout=self._rules.call_waits)
        return tuple(unread(source, self._rules) for source, task in given.items() if task in late)


def _look(source: str, texts: Sequence[str], structured: Json, rules: FindingRules) -> Iterator[TextFinding | None]:
    from jittrust.core.intent.findings_text import look  # noqa: PLC0415 - its tables are loaded by the worker, never at start

    return look(source, texts, structured, rules)


def _last(found: Iterator[TextFinding | None]) -> TextFinding | None:
    last = None
    for last in found:  # noqa: B007 - the last one counts
        pass
    return last


def _aside(source: str, texts: Sequence[str], structured: Json, rules: FindingRules) -> TextFinding | None:
    """Read in the worker's thread, giving way after each piece but the first: most answers have one."""
    found = _look(source, texts, structured, rules)
    last = next(found, None)
    for last in found:  # noqa: B007 - the last one counts
        time.sleep(_STANDS_ASIDE_S)
    return last
