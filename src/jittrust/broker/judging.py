"""Asking the optional judge: who is asked when, what is kept of it, and when it is left alone. What it says can only add a question."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from jittrust.core.decide import Facts
from jittrust.core.errors import BadInputError, JitError
from jittrust.core.intent.judge import (
    JudgeAnswer,
    JudgeQuestion,
    JudgeRules,
    JudgeSaid,
    answer_of,
    is_grey,
    question_key,
    question_of,
)
from jittrust.core.model import Evaluation, Verdict
from jittrust.core.units import Instant
from jittrust.ports.judge import Judge

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _JudgeKept:
    """What came of one question, and until when that stands."""

    answer: JudgeAnswer | None
    why: str
    until: Instant


class JudgeDesk:
    """Asks the judge about one call. Whatever goes wrong there is as if there were no judge."""

    def __init__(self, judge: Judge, rules: JudgeRules, clock: Callable[[], Instant]) -> None:
        """`judge`: who is asked. Nothing is asked yet."""
        self._judge = judge
        self._rules = rules
        self._clock = clock
        self._kept: OrderedDict[str, _JudgeKept] = OrderedDict()
        self._under_way = 0
        self._failed = 0
        self._rests_until = Instant(0.0)

    async def said_of(self, ask: Evaluation, facts: Facts, verdict: Verdict) -> JudgeSaid | None:
        """What the judge says of a call; None where it is not asked: the call is clear, or cannot be told. Never raises."""
        reading, mission, tool = facts.reading, facts.mission, facts.tool
        if reading is None or mission is None or tool is None or facts.origins is None:
            return None
        if not is_grey(verdict, consequential=reading.consequential, rules=self._rules):
            return None
        question = question_of(mission.goal, tool, ask.arguments, facts.roles or {}, facts.origins, self._rules)
        if question is None:
            return None
        key, now = question_key(mission.authority, question), self._clock()
        known = self._kept.get(key)
        if known is not None and now < known.until:
            return JudgeSaid(self._judge.model, known.answer, known.why, kept=True)
        if now < self._rests_until:
            return JudgeSaid(self._judge.model, None, "resting")
        if self._under_way >= self._rules.at_once:
            return JudgeSaid(self._judge.model, None, "busy")
        self._under_way += 1
        try:
            said = await self._asked(question)
        finally:
            self._under_way -= 1
        self._keep(key, said)
        return replace(said, seconds=self._clock() - now)

    async def _asked(self, question: JudgeQuestion) -> JudgeSaid:
        model = self._judge.model
        try:
            async with asyncio.timeout(self._rules.timeout):
                raw = await self._judge.ask(question)
            return JudgeSaid(model, answer_of(raw, question, self._rules))
        except TimeoutError:
            return JudgeSaid(model, None, "timeout")
        except BadInputError:
            return JudgeSaid(model, None, "not_an_answer")
        except JitError:
            return JudgeSaid(model, None, "unreachable")
        except Exception as error:  # noqa: BLE001 - a library of others: whatever it throws, the call is judged without it
            # The kind alone: what a library says may quote what was sent.
            _LOG.error("the judge could not be asked (%s)", type(error).__name__)
            return JudgeSaid(model, None, "unreachable")

    def _keep(self, key: str, said: JudgeSaid) -> None:
        now, rules = self._clock(), self._rules
        if said.answer is not None:
            self._failed = 0
        else:
            self._failed += 1
            if self._failed >= rules.failures:
                # After the rest one question shows whether it is back: a single failure more has it rest again.
                self._failed, self._rests_until = rules.failures - 1, Instant(now + rules.rest)
        lasts = rules.kept if said.answer is not None else rules.kept_failed
        self._kept[key] = _JudgeKept(said.answer, said.why, Instant(now + lasts))
        self._kept.move_to_end(key)
        while len(self._kept) > rules.most_kept:
            self._kept.popitem(last=False)
