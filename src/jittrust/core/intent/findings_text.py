"""Looks for orders to a model in what came back: piece by piece, so that whoever shares the interpreter is never kept waiting for long.

Apart from `findings`, because reading texts needs tables that take a moment to load: whoever only decides does not load them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from jittrust.core.intent.findings import ENCODED_ACT, FINDING_RULES, UNREAD, FindingRules, TextFinding
from jittrust.core.intent.roles import leaves
from jittrust.core.intent.text import FlagKind, TextReading, read_text, shown
from jittrust.core.intent.text_injection import INJECTION_RULES
from jittrust.core.intent.words import GOAL_VERBS, REACHING, READING, literals, stem, words
from jittrust.core.model import Json
from jittrust.core.units import Unit

_ALIGNED = 120  # signs after which base64, base32, ascii85, hex and binary all begin anew
_POLITE = frozenset(("please", "then", "now", "also", "first", "and"))
_LONGEST_SENTENCE = 400
_FEWEST_WORDS = 3
_SENDING = frozenset(("send_out", "send_secret", "tool_order"))
_OPENS = (". ", "! ", "? ", ": ", "\n", ", ", " and ", " then ")


def look(
    source: str, texts: Sequence[str], structured: Json = None, rules: FindingRules = FINDING_RULES
) -> Iterator[TextFinding | None]:
    """Read a result; yields None after each piece but the last, and then what was found, None = nothing.

    The signals of all pieces together make the value: an order that stands in two halves is one. What the server structured is read like its texts.
    """
    weights: dict[str, float] = {}
    quotes: dict[str, str] = {}
    whole = True
    room = rules.most_read
    for text in _all(texts, structured):
        if len(text) > room:
            whole = False
        for start, end in pieces(text[:room], rules):
            read = read_text(text[start:end])
            whole = whole and not read.flagged(FlagKind.UNDECODED)
            for code, weight, quote in _signals(read, rules):
                if code not in weights:
                    weights[code], quotes[code] = weight, quote
            yield None
        room -= min(room, len(text))
    if not whole:
        weights[UNREAD] = rules.from_value
    # A text about a secret that goes to an address says it both ways; it counts once.
    if "send_secret" in weights:
        weights.pop("send_out", None)
    if weights.keys() <= {"directive", "hidden"}:
        weights.pop("directive", None)
    value = min(1.0, sum(weights.values()))
    if value < rules.from_value:
        yield None
        return
    codes = tuple(sorted(weights, key=lambda code: (-weights[code], code)))
    told = next((quotes[code] for code in codes if quotes.get(code)), "")
    yield TextFinding(source, Unit(round(value, 6)), codes, shown(told), whole)


def find(
    source: str, texts: Sequence[str], structured: Json = None, rules: FindingRules = FINDING_RULES
) -> TextFinding | None:
    """What `look` finds, in one go."""
    found = None
    for found in look(source, texts, structured, rules):  # noqa: B007 - the last one counts
        pass
    return found


def pieces(text: str, rules: FindingRules = FINDING_RULES) -> Iterator[tuple[int, int]]:
    """The whole text in pieces that share a little, cut between words; a stretch without a blank is cut only where it is endless."""
    start = 0
    while start < len(text):
        end = start + rules.chunk
        if end >= len(text):
            yield start, len(text)
            return
        blank = _blank(text, end, end + rules.longest_run)
        endless = blank < 0 and end + rules.longest_run < len(text)
        if endless:
            run = max(text.rfind(" ", start, end), text.rfind("\n", start, end), start - 1) + 1
            end = end + rules.longest_run - (end + rules.longest_run - run) % _ALIGNED
            yield start, end
            start = end
            continue
        end = len(text) if blank < 0 else blank
        yield start, end
        if end >= len(text):
            return
        back = _blank(text, end - rules.overlap, end)
        start = back if back > start else end


def _blank(text: str, start: int, end: int) -> int:
    places = [at for at in (text.find(" ", start, end), text.find("\n", start, end)) if at >= 0]
    return min(places, default=-1)


def _all(texts: Sequence[str], structured: Json) -> Iterator[str]:
    yield from texts
    if structured is not None:
        told = "\n".join(leaf for _, leaf in leaves(structured) if isinstance(leaf, str) and leaf)
        if told and told not in texts:
            yield told


def _signals(read: TextReading, rules: FindingRules) -> Iterator[tuple[str, float, str]]:
    for reason in read.injection.reasons:
        yield reason.code, reason.weight, reason.quote
    for variant in read.variants:
        acts = (reason.quote for reason in read.injection.reasons if reason.where and reason.code in _SENDING)
        order = _order(variant.text) or next(acts, "")
        if order:
            yield ENCODED_ACT, rules.encoded_act, order
            if "encoded_order" not in {reason.code for reason in read.injection.reasons}:
                yield "encoded_order", INJECTION_RULES.encoded_order, order
            return


def _order(text: str) -> str:
    """The first sentence of a decoded text that begins with an act; empty = none does."""
    for mark in _OPENS:
        text = text.replace(mark, "\x00")
    for sentence in islice(text.split("\x00"), 256):
        said = words(sentence[:_LONGEST_SENTENCE])
        first = next((at for at, word in enumerate(said[:4]) if word not in _POLITE), 0)
        if len(said) - first < _FEWEST_WORDS or not said[first].isascii():
            continue
        kinds = GOAL_VERBS.get(stem(said[first]))
        if kinds and (kinds[0] not in READING or first or literals(sentence, REACHING)):
            return sentence.strip()[:_LONGEST_SENTENCE]
    return ""
