"""What was found in the texts that tools returned and agents sent: orders to a model, hidden or encoded text."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass

from jittrust.core.units import Unit

UNREAD = "unread"
"""Signal of a text that was not read in time, or not to its end: what it says is not known, so it counts as suspicious."""
ENCODED_ACT = "encoded_act"
"""Signal of an act that is asked for in an encoding, whatever act it is."""


@dataclass(frozen=True, slots=True)
class FindingRules:
    """What becomes a finding, and the bounds of looking for it."""

    from_value: float = 0.5  # value from which a text is a finding; as `InjectionRules.suspicious_from`
    encoded_act: float = 0.3  # an encoded stretch asks for an act; added to the signals of `InjectionRules`
    chunk: int = 2_048  # characters read at a time: while one is read, nothing else of this process runs
    overlap: int = 384  # characters that two pieces share
    longest_run: int = 16_384  # characters without a blank that are not cut in two: what is encoded stays whole
    most_read: int = 4_194_304  # characters read of one result; what lies beyond is unread
    most_kept: int = 64  # findings kept of one mission; the weakest gives way
    answer_waits: float = 0.02  # seconds that an answer waits for its reading, so that its record tells what was found
    call_waits: float = 0.5  # seconds that the next call of a mission waits for the reading of what the agent was given


FINDING_RULES = FindingRules()


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


def unread(source: str, rules: FindingRules = FINDING_RULES) -> TextFinding:
    """What is known of a text that nobody could read in time: nothing, and that is never good."""
    return TextFinding(source, Unit(rules.from_value), (UNREAD,), "", whole=False)


def keep(findings: MutableSequence[TextFinding], found: TextFinding, rules: FindingRules = FINDING_RULES) -> None:
    """Add a finding to those of a mission; when they are too many the weakest gives way, the oldest of equals."""
    findings.append(found)
    if len(findings) > rules.most_kept:
        del findings[min(range(len(findings)), key=lambda place: (findings[place].value, place))]
