"""Where an argument's value first appeared: in the person's words, in a field of a result, in free text that a tool returned, or nowhere.

An index per mission. Pure: it is filled with what tools returned and asked about arguments; nothing else. Memory is bounded: when old texts are
dropped, the identifiers in them are kept, and answers of "seen nowhere" say that something was forgotten.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from jittrust.core.intent.attribution import SentenceIndex
from jittrust.core.intent.fields import FIELD_RULES, split_result, too_many
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.roles import leaves
from jittrust.core.intent.spelling import amounts, disguises, initials, names, put_together, squeezed, written
from jittrust.core.intent.words import (
    REACHING,
    TEXT_RULES,
    bare_address,
    decoded,
    fold,
    literals,
    name_words,
    one_line,
)
from jittrust.core.mission.mission import Goal
from jittrust.core.model import Json
from jittrust.core.secret import hidden, without_secrets

FORGOTTEN = "forgotten"
"""Source of a value that was seen nowhere while results, or values of this call, were too many to keep: it may have come from anywhere."""


@dataclass(frozen=True, slots=True)
class ProvenanceRules:
    """Bounds and constants of the index."""

    most_text: int = 1_000_000  # characters of free text kept for one mission
    most_result: int = 262_144  # characters of one result that are indexed; what lies beyond counts as forgotten
    most_identifiers: int = 50_000  # identifiers kept of texts that were dropped, and fields kept
    shortest_distinct: int = 6  # characters from which a field is checked against earlier free text
    shortest_value: int = 3  # characters under which a value that is no field says nothing
    shortest_encoded: int = 16  # characters from which a field may hide encoded text
    shortest_disguised: int = 7  # letters and digits from which a value is looked for however it is written
    shortest_half: int = 4  # letters and digits from which a part of a value that stood in two places counts
    longest_disguised: int = 256  # characters of a value that is looked for however it is written
    most_disguised: int = 24_000_000  # characters searched for the disguises of one call's values; beyond, they are looked for as they are
    longest_carried: int = 256  # characters of an argument that is remembered, so that its echo does not become a fact
    most_traced: int = 512  # argument values of one call that are traced; one more makes the rest unknown
    most_inside: int = 32  # identifiers of one content argument that are traced; one more makes the rest unknown
    most_content: int = 262_144  # characters of a call's contents that are read for identifiers; the rest is unknown
    most_searched: int = 2_000_000  # characters searched for one call; what is not found by then is unknown
    window: int = 8_192  # characters of free text that share one entry of the index of words
    overlap: int = 1_024  # characters that two windows share
    longest_shown: int = 80  # characters of a value shown to people


PROVENANCE_RULES = ProvenanceRules()

_WORD = re.compile(r"[^\W_]+")
_EDGE = re.compile(r"\w")
_OFTEN = 64
_MOST_NAMED = 64  # places of a word that are looked at for what stands beside it
_PLAIN_WORDS = re.compile(r"(?:[A-Za-z]{1,15} ?){1,12}")
_SHORTEST_NUMBER = 8  # digits from which a number in two halves is no chance
_DECIDING = frozenset({ArgumentRole.TARGET, ArgumentRole.SELECTOR, ArgumentRole.CREDENTIAL})


@dataclass(slots=True, eq=False)
class _Text:
    source: str
    text: str
    plain: str | None = None


@dataclass(frozen=True, slots=True)
class _Window:
    """One stretch of a free text; a value belongs to the window that it begins in."""

    text: _Text
    start: int
    end: int


@dataclass(slots=True)
class _Found:
    origin: Origin
    source: str


@dataclass(slots=True)
class ProvenanceIndex:
    """What the tools of one mission returned, indexed by value. Not safe for two threads at once.

    `lost`: something had to be forgotten. `searched`: characters of free text searched for the last call. `sentences`: what strangers said.
    """

    rules: ProvenanceRules = PROVENANCE_RULES
    lost: bool = False
    searched: int = 0
    sentences: SentenceIndex = field(default_factory=SentenceIndex)
    _fields: dict[str, _Found] = field(default_factory=dict)
    _texts: list[_Text] = field(default_factory=list)
    _kept: dict[str, _Found] = field(default_factory=dict)
    _windows: dict[int, _Window] = field(default_factory=dict)
    _places: dict[str, list[int]] = field(default_factory=dict)
    _made: int = 0
    _purged: int = 0
    _size: int = 0
    _carried: dict[str, _Found] = field(default_factory=dict)
    _plain: str | None = None
    _starts: list[int] = field(default_factory=list)
    _looked: int = 0

    def add_call(
        self, arguments: Mapping[str, Json], origins: Sequence[ArgumentOrigin], *, consequential: bool
    ) -> None:
        """Remember what a call that goes out carries and nobody trusted said: a later result that repeats it does not make it a fact.

        `consequential`: the call may have put the value there itself, so that one that the agent made up stays made up.
        """
        values = dict(islice(leaves(arguments), self.rules.most_traced))
        for one in origins:
            strange = one.origin is Origin.FREE_TEXT or (consequential and one.origin is Origin.UNSEEN)
            value = _as_text(values.get(one.path))
            if not strange or not self.rules.shortest_value <= len(value) <= self.rules.longest_carried:
                continue
            if len(self._carried) >= self.rules.most_identifiers:
                self.lost = True
                return
            self._carried.setdefault(fold(value), _Found(one.origin, one.source))

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
        if too_many(structured) or any(text.count(",") >= FIELD_RULES.most_leaves for text in texts):
            self.lost = True
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
        said, ruled = _trusted(goal.text), _trusted(operator)
        self.searched, self._looked, room = 0, 0, self.rules.most_content
        found: list[ArgumentOrigin] = []
        for count, (path, value) in enumerate(leaves(arguments)):
            if count >= self.rules.most_traced:
                # What was not looked at is not known, and the unknown is never good.
                found.append(_unknown(path, ArgumentRole.TARGET, "more values than are traced"))
                break
            role = roles.get(path, ArgumentRole.SELECTOR)
            text = _as_text(value)
            origin = self._origin(text, role, said, ruled, path)
            found.append(self._shown(path, role, origin, text))
            if isinstance(value, str) and (
                role is ArgumentRole.CONTENT or len(text) > TEXT_RULES.longest_value or " " in text.strip()
            ):
                found.extend(self._inside(path, text[:room], said, ruled))
                if len(text) > room:
                    found.append(_unknown(f"{path}#more", ArgumentRole.CONTENT, "more text than is read"))
                room -= min(room, len(text))
        return tuple(found)

    def _inside(self, path: str, text: str, said: _TrustedText, ruled: _TrustedText) -> Iterator[ArgumentOrigin]:
        whole = put_together(text)
        pieces = (text, *(() if whole == text else (whole,)), *decoded(text))
        places = dict.fromkeys(one.text for piece in pieces for one in literals(piece, REACHING))
        for place, literal in enumerate(places):
            if place >= self.rules.most_inside:
                yield _unknown(f"{path}#{place}", ArgumentRole.CONTENT, "more addresses than are traced")
                return
            origin = self._origin(literal, ArgumentRole.TARGET, said, ruled)
            yield self._shown(f"{path}#{place}", ArgumentRole.CONTENT, origin, literal)

    def _shown(self, path: str, role: ArgumentRole, found: _Found, text: str) -> ArgumentOrigin:
        # It goes into reasons, questions and the ledger: a credential is not for them, wherever it came from.
        plain = hidden(text) if role is ArgumentRole.CREDENTIAL and text else without_secrets(text)
        return ArgumentOrigin(path, role, found.origin, found.source, one_line(plain, self.rules.longest_shown))

    def _origin(self, text: str, role: ArgumentRole, said: _TrustedText, ruled: _TrustedText, path: str = "") -> _Found:
        value = fold(text[: TEXT_RULES.longest_value])
        if role is ArgumentRole.CONTROL or not value or value in {"true", "false", "null", "none"}:
            return _Found(Origin.TRIVIAL, "")
        spellings = _spellings(value)
        if any(said.holds(one) for one in spellings):
            return _Found(Origin.GOAL, "")
        if any(ruled.holds(one) for one in spellings):
            return _Found(Origin.OPERATOR, "")
        short = len(value) < self.rules.shortest_value and role is not ArgumentRole.AMOUNT
        named = self._named(value, path) if short else None
        if named is not None:
            return _found_in(named)
        for table in (self._fields, self._kept):
            known = next((table[one] for one in spellings if one in table), None)
            if known is not None:
                return known
        if short:
            return _Found(Origin.TRIVIAL, "")
        return self._in_text(spellings, text, role, said)

    def _in_text(self, spellings: Sequence[str], raw: str, role: ArgumentRole, said: _TrustedText) -> _Found:
        plain = [fold(one) for one in decoded(raw[: TEXT_RULES.longest_value])]
        amounts = written(_number(spellings[0]) or 0.0) if role is ArgumentRole.AMOUNT else ()
        for one in (*spellings, *plain, *amounts):
            text = self._find(one)
            if text is not None:
                return _found_in(text)
        if role in _DECIDING and len(raw) <= self.rules.longest_disguised:
            text = None
            host, _, rest = bare_address(spellings[0]).partition("/")
            if role is ArgumentRole.TARGET and rest and _HOST.fullmatch(host):
                text = self._find(host)
                if text is None and said.holds_host(host):
                    # The host is the person's: unless a part of the path stood somewhere, the agent went on from where the person pointed.
                    text = self._part_of(rest)
                    if text is None:
                        return _Found(Origin.GOAL, "")
            text = text or self._disguised(raw)
            if text is not None:
                return _found_in(text)
        carried = next((self._carried[one] for one in spellings if one in self._carried), None)
        if carried is not None:
            return carried
        unread = self.lost or self.searched > self.rules.most_searched
        return _Found(Origin.UNSEEN, FORGOTTEN if unread else "")

    def _part_of(self, path: str) -> _Text | None:
        """The free text in which a part of a path stands."""
        for part in islice(_PARTS.split(path), 16):
            text = self._find(part) if len(part) > self.rules.shortest_value else None
            if text is not None:
                return text
        return None

    def _named(self, value: str, path: str) -> _Text | None:
        """The free text that names a short identifier as what the argument is called: `file 11`, `id: '11'`, `#11`."""
        if not value.isalnum():
            return None
        places = self._places.get(value, ())
        if not places:
            return None
        called = (name for name in name_words(path.rpartition("/")[2] or path) if name.isalpha())
        if path.rpartition("/")[2].isdigit():
            called = (name for name in name_words(path.split("/")[1]) if name.isalpha())
        words = tuple(dict.fromkeys((*called, "id", "no", "nr", "number")))
        for number in islice(places, _MOST_NAMED):
            window = self._windows.get(number)
            if window is None or self.searched > self.rules.most_searched:
                continue
            self.searched += window.end - window.start
            text = window.text.text
            if _calls(text, value, words, window.start, min(len(text), window.end + len(value) + 32)):
                return window.text
        return None

    def _disguised(self, raw: str) -> _Text | None:
        """The free text that holds a value however it is written: spelled out, encoded, in look-alikes, in other words for a name, in two halves."""
        for name in names(raw):
            text = self._find(name)
            if text is not None:
                return text
        pattern = initials(raw)
        if pattern is not None:
            text = self._matching(pattern, fold(raw).split()[-1])
            if text is not None:
                return text
        spent = self._looked > self.rules.most_disguised
        if spent or not self._texts or (raw.isascii() and _PLAIN_WORDS.fullmatch(raw)):
            return None
        forms = [one for one in disguises(raw) if len(one) >= self.rules.shortest_disguised]
        whole = self._squeezed() if forms else ""
        for one in forms:
            self._looked += len(whole)
            if self._looked > self.rules.most_disguised:
                return None
            at = whole.find(one)
            if at >= 0:
                return self._text_at(at)
        reaches = bool(forms) and bool(literals(raw, REACHING))
        return (
            self._halves(forms[0], whole)
            if reaches or (forms and sum(map(str.isdigit, forms[0])) >= _SHORTEST_NUMBER)
            else None
        )

    def _halves(self, value: str, whole: str) -> _Text | None:
        """The text in which the first part of a value stands whose rest stands elsewhere; what begins so, and what ends so, is found by halving."""
        least = self.rules.shortest_half
        first = _longest(lambda size: whole.find(value[:size]) >= 0, len(value))
        last = _longest(lambda size: whole.find(value[len(value) - size :]) >= 0, len(value))
        self._looked += 2 * len(whole)
        if min(first, last) < least or first + last < len(value):
            return None
        return self._text_at(whole.find(value[:first]))

    def _squeezed(self) -> str:
        """All free texts as they read, one behind the other; made when a value is first looked for so."""
        if self._plain is None:
            parts, self._starts, at = [], [], 0
            for one in self._texts:
                if one.plain is None:
                    one.plain = squeezed(one.text)
                parts.append(one.plain)
                self._starts.append(at)
                at += len(one.plain) + 1
            self._plain = "\n".join(parts)
        return self._plain

    def _text_at(self, at: int) -> _Text:
        return self._texts[max(0, bisect_right(self._starts, at) - 1)]

    def _matching(self, pattern: re.Pattern[str], word: str) -> _Text | None:
        for number in islice(self._places.get(word, ()), _MOST_NAMED):
            window = self._windows.get(number)
            if window is None or self.searched > self.rules.most_searched:
                continue
            self.searched += window.end - window.start
            if pattern.search(window.text.text, window.start, window.end + self.rules.longest_disguised):
                return window.text
        return None

    def _find(self, value: str) -> _Text | None:
        """The first free text in which a whole value stands between word boundaries; None = nowhere that was looked."""
        tokens = _WORD.findall(value[: self.rules.overlap])
        if len(value) > self.rules.overlap:
            del tokens[-1:]  # it may be half a word
        if not tokens and _WORD.search(value) is None:
            return None
        listed = [self._places.get(token) for token in dict.fromkeys(tokens)]
        known = [places for places in listed if places is not None]
        if len(known) < len(listed):
            return None
        # A value that begins with one endless word is looked for everywhere.
        known.sort(key=len)
        shared = set(known[0] if known else self._windows).intersection(*known[1:])
        for number in sorted(shared):
            window = self._windows.get(number)
            if window is None:
                continue
            if self.searched > self.rules.most_searched:
                return None
            self.searched += window.end - window.start
            if _bounded_find(window.text.text, value, window.start, window.end) >= 0:
                return window.text
        return None

    def _add_field(self, value: str, origin: Origin, source: str) -> None:
        if not value or value in self._fields:
            return
        if len(self._fields) >= self.rules.most_identifiers:
            self.lost = True
            return
        distinct = len(value) >= self.rules.shortest_distinct and not value.isalpha()
        if distinct and origin is Origin.FIELD:
            # A stranger's value does not become a fact because a later answer repeats it.
            text = self._find(value)
            if text is not None:
                earlier = _found_in(text)
                origin, source = earlier.origin, earlier.source
            elif value in self._kept:
                origin, source = self._kept[value].origin, self._kept[value].source
        if value in self._carried and origin is Origin.FIELD:
            # The agent brought it here itself.
            origin, source = self._carried[value].origin, self._carried[value].source
        self._fields[value] = _Found(origin, source)

    def _add_text(self, text: str, source: str, *, endorsed: bool) -> None:
        if not text:
            return
        added = _Text(f"+{source}" if endorsed else source, text)
        if not endorsed:
            self.sentences.add(source, text)
        self._texts.append(added)
        self._plain = None
        self._size += len(text)
        for start in range(0, len(text), self.rules.window):
            end = min(len(text), start + self.rules.window)
            self._windows[self._made] = _Window(added, start, end)
            for token in set(_WORD.findall(text, start, min(len(text), end + self.rules.overlap))):
                places = self._places.get(token)
                if places is None:
                    self._places[token] = [self._made]
                else:
                    places.append(self._made)
            self._made += 1

    def _bound(self) -> None:
        if self._size <= self.rules.most_text:
            return
        dropped = 0
        while self._texts and self._size > self.rules.most_text:
            old = self._texts[dropped]
            dropped += 1
            self._size -= len(old.text)
            self.lost = True
            origin = _found_in(old)
            for one in literals(old.text):
                for spelling in _spellings(one.text):
                    if len(self._kept) < self.rules.most_identifiers:
                        self._kept.setdefault(spelling, origin)
            if dropped == len(self._texts):
                break
        gone = set(map(id, self._texts[:dropped]))
        del self._texts[:dropped]
        self._plain = None
        self._windows = {number: one for number, one in self._windows.items() if id(one.text) not in gone}
        if self._made - self._purged < 2 * len(self._windows) + _OFTEN:
            return
        # Places in windows that are gone are passed over when they are met; here and there they are swept out.
        self._purged = oldest = next(iter(self._windows), self._made)
        self._places = {
            token: kept
            for token, places in self._places.items()
            if (kept := [place for place in places if place >= oldest] if places[0] < oldest else places)
        }


def _found_in(text: _Text) -> _Found:
    return _Found(Origin.ENDORSED if text.source.startswith("+") else Origin.FREE_TEXT, text.source.lstrip("+"))


def _longest(holds: Callable[[int], bool], most: int) -> int:
    """The largest size that holds; what holds for a size holds for every smaller one."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def steered(origins: Sequence[ArgumentOrigin]) -> bool:
    """Whether a stranger's text said where a call goes: what it brings back then is a stranger's too."""
    return any(
        one.role is ArgumentRole.TARGET and "#" not in one.path and one.origin is Origin.FREE_TEXT for one in origins
    )


def _unknown(path: str, role: ArgumentRole, shown: str) -> ArgumentOrigin:
    return ArgumentOrigin(path, role, Origin.UNSEEN, FORGOTTEN, shown)


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
                found = {_number(hit.group()) for hit in _NUMBER.finditer(self.text)}
                scaled = {one for hit in _SCALED.finditer(self.text) for one in amounts(hit.group())}
                self._numbers = frozenset(one for one in (*found, *scaled) if one is not None)
            if number in self._numbers:
                return True
        return _bounded_find(self.text, value) >= 0

    def holds_host(self, host: str) -> bool:
        """Whether a host stands in the text, not as part of a mail address, and the text names no path of it: then any page of it is meant."""
        at = _bounded_find(self.text, host) if self.text else -1
        return at >= 0 and self.text[at - 1 : at] != "@" and _PATH.match(self.text, at + len(host)) is None


@lru_cache(maxsize=64)
def _trusted(text: str) -> _TrustedText:
    """A goal or an operator's text, folded once for all calls under it."""
    return _TrustedText(fold(text))


_PARTS = re.compile(r"[/?&=#]+")
_HOST = re.compile(r"[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8}(?::\d{1,5})?")
_PATH = re.compile(r"/\w")
_SCALED = re.compile(r"(?<![\w.,])\d[\d,.]{0,15}(?:[km]|bn)\b")
_NUMBER = re.compile(r"\d[\d,]{0,15}(?:\.\d{1,6})?")


def _number(text: str) -> float | None:
    hit = _NUMBER.fullmatch(text.lstrip("$€£¥-"))
    return float(hit.group().replace(",", "")) if hit else None


def _bounded_find(text: str, value: str, start: int = 0, end: int | None = None) -> int:
    """First place of `value` in `text` with no word character on either side, beginning in `start`..`end`; at most 64 places are looked at."""
    until = len(text) if end is None else min(len(text), end + len(value) - 1)
    at = text.find(value, start, until)
    first_is_word, last_is_word = _EDGE.match(value[0]) is not None, _EDGE.match(value[-1]) is not None
    for _ in range(64):
        if at < 0:
            return -1
        stop = at + len(value)
        clear_before = not first_is_word or at == 0 or _EDGE.match(text[at - 1]) is None
        clear_after = not last_is_word or stop == len(text) or _EDGE.match(text[stop]) is None
        if clear_before and clear_after:
            return at
        at = text.find(value, at + 1, until)
    return -1


def _calls(text: str, value: str, words: tuple[str, ...], start: int, end: int) -> bool:
    """Whether `text` names a short value by one of these words between `start` and `end`: `file 11`, `#11`."""
    if text.count(value, start, end) > _OFTEN:
        return re.compile(f"{_called(words)}{re.escape(value)}\\b").search(text, start, end) is not None
    # Where it stands seldom, looking at what is before it is cheaper than a pattern of its own.
    before, at = _before(words), text.find(value, start, end)
    reach = 2 * max(map(len, words)) + 32
    while at >= 0:
        stop = at + len(value)
        ends = stop == end or _EDGE.match(text[stop]) is None
        if ends and before.search(text, max(start, at - reach), at + 1) is not None:
            return True
        at = text.find(value, at + 1, end)
    return False


def _called(words: tuple[str, ...]) -> str:
    known = "|".join(map(re.escape, words))
    return rf"(?:#|\b(?:{known})s?\b(?:\W{{1,3}}(?:is|no|nr|number|id)\b)?[\W_]{{0,4}})"


@lru_cache(maxsize=512)
def _before(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"{_called(words)}[^\W_]\Z")


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
