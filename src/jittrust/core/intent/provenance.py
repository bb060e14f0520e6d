"""Where an argument's value first appeared: in the person's words, in a field of a result, in free text that a tool returned, or nowhere.

An index per mission. Pure: it is filled with what tools returned and asked about arguments; nothing else. Memory is bounded: when old texts are
dropped, the identifiers in them are kept, and answers of "seen nowhere" say that something was forgotten.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jittrust.core.intent.fields import split_result
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.roles import leaves
from jittrust.core.intent.words import REACHING, TEXT_RULES, bare_address, decoded, fold, literals
from jittrust.core.mission.mission import Goal
from jittrust.core.model import Json

FORGOTTEN = "forgotten"
"""Source of a value that was seen nowhere while results, or values of this call, were too many to keep: it may have come from anywhere."""


@dataclass(frozen=True, slots=True)
class ProvenanceRules:
    """Bounds and constants of the index."""

    most_text: int = 1_000_000  # characters of free text kept for one mission
    most_result: int = 500_000  # characters of one result that are indexed; what lies beyond counts as forgotten
    most_identifiers: int = 50_000  # identifiers kept of texts that were dropped, and fields kept
    shortest_distinct: int = 6  # characters from which a field is checked against earlier free text
    shortest_value: int = 3  # characters under which a value that is no field says nothing
    shortest_encoded: int = 16  # characters from which a field may hide encoded text
    most_traced: int = 512  # argument values of one call that are traced; one more makes the rest unknown
    most_inside: int = 32  # identifiers of one content argument that are traced
    longest_shown: int = 80  # characters of a value shown to people


PROVENANCE_RULES = ProvenanceRules()

_WORD = re.compile(r"[^\W_]+")
_EDGE = re.compile(r"\w")


@dataclass(slots=True)
class _Text:
    source: str
    text: str
    tokens: frozenset[str]


@dataclass(slots=True)
class _Found:
    origin: Origin
    source: str


@dataclass(slots=True)
class ProvenanceIndex:
    """What the tools of one mission returned, indexed by value. Not safe for two threads at once."""

    rules: ProvenanceRules = PROVENANCE_RULES
    lost: bool = False
    _fields: dict[str, _Found] = field(default_factory=dict)
    _texts: list[_Text] = field(default_factory=list)
    _kept: dict[str, _Found] = field(default_factory=dict)
    _tokens: set[str] = field(default_factory=set)
    _size: int = 0
    _joined: str = ""
    _starts: list[int] = field(default_factory=list)

    def add_result(
        self,
        source_id: str,
        tool_id: str,
        structured: Json | None,
        texts: Sequence[str],
        *,
        documents: bool = False,
        endorsed: bool = False,
    ) -> None:
        """Index what a call returned.

        Args:
            source_id: name of the result, `files/read_file#3`; shown to people.
            tool_id: `server/name`.
            structured: the result as the server structured it; None = only text.
            texts: its text parts.
            documents: the tool hands out text that others wrote (`ActionReading.documents`): nothing in the result is a field.
            endorsed: a person endorsed this source as one of instructions.
        """
        del tool_id  # the source names it already; kept in the signature for indexes by tool
        if sum(map(len, texts)) > self.rules.most_result:
            # Cut text no longer parses as a whole, so that nothing in it counts as a field.
            self.lost, documents, texts = True, True, tuple(text[: self.rules.most_result] for text in texts[:16])
        fields, free = split_result(structured, texts, documents=documents)
        room = self.rules.most_result
        direct = Origin.ENDORSED if endorsed else Origin.FIELD
        for _, value in fields:
            room -= len(value) + 1
            if room < 0:
                self.lost = True
                break
            folded = fold(value)
            self._add_field(folded, direct, source_id)
            number = _number(folded)
            if number is not None:
                self._add_field(f"{number:g}", direct, source_id)
            # An encoding hides whole sentences in one word: what it says is text, not a field.
            for plain in decoded(value) if len(value) >= self.rules.shortest_encoded else ():
                self._add_text(fold(plain), source_id, endorsed=endorsed)
        for text in free:
            room -= len(text) + 1
            if room < 0:
                self.lost = True
                text = text[: max(0, room + len(text) + 1)]  # noqa: PLW2901 - the part there is room for
            if not text:
                break
            hidden = decoded(text) if len(text) <= TEXT_RULES.longest_text else ()
            for piece in (*_chunks(text), *hidden):
                self._add_text(fold(piece), source_id, endorsed=endorsed)
        self._bound()

    def trace(
        self, arguments: Mapping[str, Json], goal: Goal, roles: Mapping[str, ArgumentRole], operator: str = ""
    ) -> tuple[ArgumentOrigin, ...]:
        """Origin of every argument value, in order; then the identifiers inside content, whose path ends in `#<place>`.

        `operator` is text that the operator wrote (system text, policy).
        """
        said, ruled = _TrustedText(fold(goal.text)), _TrustedText(fold(operator))
        found: list[ArgumentOrigin] = []
        for count, (path, value) in enumerate(leaves(arguments)):
            if count >= self.rules.most_traced:
                # What was not looked at is not known, and the unknown is never good.
                found.append(
                    ArgumentOrigin(path, ArgumentRole.TARGET, Origin.UNSEEN, FORGOTTEN, "more values than are traced")
                )
                break
            role = roles.get(path, ArgumentRole.SELECTOR)
            text = _as_text(value)
            origin = self._origin(text, role, said, ruled)
            found.append(self._shown(path, role, origin, text))
            if isinstance(value, str) and (
                role is ArgumentRole.CONTENT or len(text) > TEXT_RULES.longest_value or " " in text.strip()
            ):
                found.extend(self._inside(path, text, said, ruled))
        return tuple(found)

    def _inside(self, path: str, text: str, said: _TrustedText, ruled: _TrustedText) -> Iterator[ArgumentOrigin]:
        places = (one for piece in (text, *decoded(text)) for one in literals(piece, REACHING))
        for place, literal in zip(
            range(self.rules.most_inside), dict.fromkeys(one.text for one in places), strict=False
        ):
            origin = self._origin(literal, ArgumentRole.TARGET, said, ruled)
            yield self._shown(f"{path}#{place}", ArgumentRole.CONTENT, origin, literal)

    def _shown(self, path: str, role: ArgumentRole, found: _Found, text: str) -> ArgumentOrigin:
        shown = text if len(text) <= self.rules.longest_shown else f"{text[: self.rules.longest_shown - 1]}…"
        return ArgumentOrigin(path, role, found.origin, found.source, shown)

    def _origin(self, text: str, role: ArgumentRole, said: _TrustedText, ruled: _TrustedText) -> _Found:
        value = fold(text[: TEXT_RULES.longest_value])
        if role is ArgumentRole.CONTROL or not value or value in {"true", "false", "null", "none"}:
            return _Found(Origin.TRIVIAL, "")
        spellings = _spellings(value)
        if any(said.holds(one) for one in spellings):
            return _Found(Origin.GOAL, "")
        if any(ruled.holds(one) for one in spellings):
            return _Found(Origin.OPERATOR, "")
        for table in (self._fields, self._kept):
            known = next((table[one] for one in spellings if one in table), None)
            if known is not None:
                return known
        if len(value) < self.rules.shortest_value and role is not ArgumentRole.AMOUNT:
            return _Found(Origin.TRIVIAL, "")
        return self._in_text(spellings, text)

    def _in_text(self, spellings: Sequence[str], raw: str) -> _Found:
        plain = [fold(one) for one in decoded(raw[: TEXT_RULES.longest_value])]
        for one in (*spellings, *plain):
            place = self._find(one)
            if place >= 0:
                text = self._texts[bisect_right(self._starts, place) - 1]
                return _Found(
                    Origin.ENDORSED if text.source.startswith("+") else Origin.FREE_TEXT, text.source.lstrip("+")
                )
        return _Found(Origin.UNSEEN, FORGOTTEN if self.lost else "")

    def _find(self, value: str) -> int:
        """Where a whole value stands in the free texts, between word boundaries; -1 = nowhere."""
        tokens = _WORD.findall(value)
        # The set of words answers nearly every "nowhere" without a search.
        if not tokens or not self._tokens.issuperset(tokens):
            return -1
        if len(self._starts) != len(self._texts):
            self._join()
        return _bounded_find(self._joined, value)

    def _join(self) -> None:
        self._starts, at = [], 0
        for text in self._texts:
            self._starts.append(at)
            at += len(text.text) + 1
        self._joined = "\n".join(text.text for text in self._texts)

    def _add_field(self, value: str, origin: Origin, source: str) -> None:
        if not value or value in self._fields:
            return
        if len(self._fields) >= self.rules.most_identifiers:
            self.lost = True
            return
        distinct = len(value) >= self.rules.shortest_distinct and not value.isalpha()
        if distinct and origin is Origin.FIELD:
            # A stranger's value does not become a fact because a later answer repeats it.
            place = self._find(value)
            if place >= 0:
                earlier = self._texts[bisect_right(self._starts, place) - 1].source
                origin, source = (Origin.ENDORSED if earlier.startswith("+") else Origin.FREE_TEXT), earlier.lstrip("+")
            elif value in self._kept:
                origin, source = self._kept[value].origin, self._kept[value].source
        self._fields[value] = _Found(origin, source)

    def _add_text(self, text: str, source: str, *, endorsed: bool) -> None:
        if not text:
            return
        tokens = frozenset(_WORD.findall(text))
        self._texts.append(_Text(f"+{source}" if endorsed else source, text, tokens))
        self._tokens |= tokens
        self._size += len(text)

    def _bound(self) -> None:
        if self._size <= self.rules.most_text:
            return
        while self._texts and self._size > self.rules.most_text:
            old = self._texts.pop(0)
            self._size -= len(old.text)
            self.lost = True
            origin = Origin.ENDORSED if old.source.startswith("+") else Origin.FREE_TEXT
            for one in literals(old.text):
                for spelling in _spellings(one.text):
                    if len(self._kept) < self.rules.most_identifiers:
                        self._kept.setdefault(spelling, _Found(origin, old.source.lstrip("+")))
        self._tokens = set().union(*(text.tokens for text in self._texts)) if self._texts else set()
        self._starts = []


@dataclass(slots=True)
class _TrustedText:
    """A trusted text, folded, asked whether it holds a value."""

    text: str
    _numbers: frozenset[float] | None = None

    def holds(self, value: str) -> bool:
        if not self.text:
            return False
        number = _number(value)
        if number is not None:
            if self._numbers is None:
                found = (_number(hit.group()) for hit in _NUMBER.finditer(self.text))
                self._numbers = frozenset(one for one in found if one is not None)
            if number in self._numbers:
                return True
        return _bounded_find(self.text, value) >= 0


_NUMBER = re.compile(r"\d[\d,]{0,15}(?:\.\d{1,6})?")


def _number(text: str) -> float | None:
    hit = _NUMBER.fullmatch(text.lstrip("$€£¥-"))
    return float(hit.group().replace(",", "")) if hit else None


def _bounded_find(text: str, value: str) -> int:
    """First place of `value` in `text` with no word character on either side; at most 64 places are looked at."""
    at = text.find(value)
    first_is_word, last_is_word = _EDGE.match(value[0]) is not None, _EDGE.match(value[-1]) is not None
    for _ in range(64):
        if at < 0:
            return -1
        end = at + len(value)
        clear_before = not first_is_word or at == 0 or _EDGE.match(text[at - 1]) is None
        clear_after = not last_is_word or end == len(text) or _EDGE.match(text[end]) is None
        if clear_before and clear_after:
            return at
        at = text.find(value, at + 1)
    return -1


def _spellings(value: str) -> tuple[str, ...]:
    """A folded value and the other ways in which the same thing is written."""
    spelled = [value]
    if "." in value or "/" in value:
        spelled.append(bare_address(value))
    if value[:1] in {"#", "@", "/"} and len(value) > 1:
        spelled.append(value[1:])
    if value[:2].isalpha() and value[2:4].isdigit() and " " in value:
        spelled.append(value.replace(" ", ""))
    number = _number(value)
    if number is not None:
        spelled.append(f"{number:g}")
    stripped = value.strip("'\"`.,;: ")
    spelled.append(stripped)
    return tuple(one for one in dict.fromkeys(spelled) if one)


def _as_text(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _chunks(text: str) -> Iterator[str]:
    """The whole text in pieces that the reader takes, overlapping so that no identifier is cut in two."""
    step, overlap = TEXT_RULES.longest_text, 256
    for start in range(0, len(text), step - overlap):
        yield text[start : start + step]
