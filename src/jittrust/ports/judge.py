"""A language model that is asked about a call which stays grey."""

from __future__ import annotations

from typing import Protocol

from jittrust.core.intent.judge import JudgeQuestion


class Judge(Protocol):
    """Asks a language model one question. Knows nothing of missions, grants or verdicts, and keeps nothing between two questions."""

    @property
    def model(self) -> str:
        """Name of the model that is asked, for the record; never a key."""
        ...

    async def ask(self, question: JudgeQuestion) -> bytes:
        """The model's answer as it came, unread, at most as long as `JudgeRules.longest_answer` and a little: whoever asks reads it strictly.

        One question is one request: nothing is tried again, no redirect is followed. The caller sets the time limit by cancelling; a cancelled
        question leaves no connection behind.

        Raises:
            UnavailableError: code `judge_unreachable`: no answer came; the message never holds the question, the answer or a key.
            BadInputError: code `judge_answer_bad`: what came is no answer of a model.
        """
        ...
