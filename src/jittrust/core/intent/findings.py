"""What was found in the texts that tools returned and agents sent: orders to a model, hidden or encoded text."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class TextFinding:
    """One text that reads like orders to a model.

    Attributes:
        source: the result it stood in, `files/read_file#3`, or the agent that sent it.
        value: 0..1, how much it reads like orders.
        signals: codes of the signals that were found (`core.intent.text_injection`).
        quote: the place that says most, escaped and cut, for people.
        whole: all of the text was read.
    """

    source: str
    value: Unit
    signals: tuple[str, ...]
    quote: str
    whole: bool = True
