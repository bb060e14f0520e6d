"""Reading any text before anything relies on it: what cannot be seen, what looks like something else, what is encoded, what speaks to the model.

Sizes and runs are bounded before any normalisation (normalising alternating combining marks takes quadratic time). A text is read as a whole, in linear
time, never cut in silence: beyond `longest` characters the reading says that it is not whole. What people are shown is escaped, so that they see what
a model would read.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate, pairwise

from jittrust.core.intent.confusables import CONFUSABLES, ROUGH
from jittrust.core.intent.text_codecs import COMMON, DECODING_RULES, DecodedVariant, DecodingRules, undo
from jittrust.core.intent.text_injection import INJECTION_RULES, InjectionReading, InjectionRules, read_injection
from jittrust.core.model import Reading
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class ReadingBounds:
    """Bounds of reading one text."""

    longest: int = 1_048_576  # characters read of one text; beyond, the reading is not whole
    longest_mark_run: int = 30  # consecutive combining marks kept before normalising
    most_places: int = 16  # places named of one kind of flag; the count is exact
    longest_shown: int = 64  # characters shown of one place


READING_BOUNDS = ReadingBounds()


class FlagKind(StrEnum):
    """What is odd about the signs of a text."""

    OVERSIZE = "oversize"  # longer than is read
    MARK_RUN = "mark_run"  # combining marks in a run that no language has
    STACKED_MARKS = "stacked_marks"  # marks on letter after letter, or heaps of them
    TAGS = "tags"  # invisible copies of ASCII
    ZERO_WIDTH = "zero_width"
    JOINER = "joiner"  # a joiner where nothing joins
    BIDI = "bidi"  # turns the order in which people see a text
    VARIATION = "variation"  # variation selectors that select nothing
    FILLER = "filler"  # letters that are blank
    SOFT_HYPHEN = "soft_hyphen"
    CONTROL = "control"  # control characters, noncharacters, halves of pairs
    PRIVATE = "private"  # private use: means what two parties agreed on
    CONFUSABLE = "confusable"  # a letter of another script in a word, read as a Latin one
    MIXED_SCRIPT = "mixed_script"  # a word of two scripts that are not written together
    STYLED = "styled"  # letters of mathematics, circles or squares, used as text
    UNDECODED = "undecoded"  # encoded, and more than is undone


@dataclass(frozen=True, slots=True)
class FlagPlace:
    """Where a flag is: characters `start` to `end` of the text, and how they look when nothing is hidden."""

    start: int
    end: int
    shown: str


@dataclass(frozen=True, slots=True)
class TextFlag:
    """One kind of oddity: how often, and the first places."""

    kind: FlagKind
    count: int
    places: tuple[FlagPlace, ...]


@dataclass(frozen=True, slots=True)
class TextReading:
    """A text, read.

    Attributes:
        length: characters of the text; `whole`: all of them were read.
        skeleton: as it is understood: nothing invisible, compatibility forms, look-alikes and accents undone. For comparing, not for showing.
        flags: what is odd about its signs.
        hidden: what invisible signs spell, where they spell something.
        variants: what its encodings hide.
        injection: whether the text, its hidden and its decoded parts address the model.
        work: characters looked at, all passes together: the bound that tests count.
    """

    length: int
    whole: bool
    skeleton: str
    flags: tuple[TextFlag, ...]
    hidden: tuple[str, ...]
    variants: tuple[DecodedVariant, ...]
    injection: InjectionReading
    work: int

    def flagged(self, kind: FlagKind) -> bool:
        """Whether it has a flag of this kind."""
        return any(flag.kind is kind for flag in self.flags)


# Which signs may stand where. Ranges are Unicode blocks.
_ARABIC = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
_JOINING = _ARABIC + "\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ua8e0-\ua8ff\U00011000-\U00011fff"
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\uaa60-\uaa7f\u3040-\u30ff\u3400-\u9fff"
_IDEOGRAPHS = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PICTURES = (
    "\u00a9\u00ae\u203c\u2049\u2100-\u214f\u2190-\u23ff\u2460-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001faff"
)
_JAMO = "\u1100-\u115e\u1161-\u11ff\ua960-\ua97f\ud7b0-\ud7ff"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
_ACCENTED = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_CONTROLS = "\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000e0000-\U000e0fff]+"
)
_BLANKS = re.compile("[\u2800]")
_RTL = re.compile(f"[{_ARABIC}]")
_OPENING = re.compile("[\u202a\u202b\u2066-\u2068]")
_CLOSING = re.compile("[\u202c\u2069]")

# Kind, the signs without which it cannot be (looked for first, among the different signs of the text), pattern.
_PATTERNS: tuple[tuple[FlagKind, str, re.Pattern[str]], ...] = (
    (FlagKind.ZERO_WIDTH, "\u200b\u2060-\u2064\u206a-\u206f\ufff0-\ufffb\ufeff\u180e\u034f", re.compile(
        f"(?<![{_SPACELESS}])\u200b+|\u200b(?![{_SPACELESS}])|[\u2060-\u2064\u206a-\u206f\ufff0-\ufffb]+|(?!\\A)\ufeff|(?<![\u1800-\u18af])\u180e"
        "|(?<![\u0590-\u05ff])\u034f")),
    (FlagKind.JOINER, "\u200c\u200d", re.compile(
        f"(?<![{_JOINING}])\u200c+|\u200c(?![{_JOINING}\\s]|\\Z)|(?<![{_JOINING}{_PICTURES}\ufe0f])\u200d+"
        f"|(?<![\u0900-\u0dff])\u200d(?![{_JOINING}{_PICTURES}])")),
    (FlagKind.BIDI, "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069", re.compile("[\u202d\u202e]|(?<=[A-Za-z])[\u200e\u200f\u061c]+(?=[A-Za-z])")),
    (FlagKind.VARIATION, _SELECTORS + "\u180b-\u180f", re.compile(
        f"(?<![{_PICTURES}{_IDEOGRAPHS}0-9#*\u1000-\u109f\u1800-\u18af\u2200-\u22ff])[{_SELECTORS}]+|(?<=[0-9#*])[{_SELECTORS}](?!\u20e3)"
        "|(?<![\u1800-\u18af])[\u180b-\u180d\u180f]+")),
    (FlagKind.FILLER, "\u3164\uffa0\u17b4\u17b5\u115f\u1160\u2800", re.compile(
        f"[\u3164\uffa0\u17b4\u17b5]+|(?<![{_JAMO}])[\u115f\u1160](?![{_JAMO}])|(?<![\u2800-\u28ff])\u2800+(?![\u2800-\u28ff])")),
    (FlagKind.SOFT_HYPHEN, "\u00ad", re.compile(r"(?<![^\W\d_]{2})\u00ad+|\u00ad(?![^\W\d_]{2})")),
    (FlagKind.CONTROL, _CONTROLS, re.compile(f"[{_CONTROLS}]+")),
    (FlagKind.PRIVATE, "\ue000-\uf8ff\U000f0000-\U0010ffff", re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]+")),
)  # fmt: skip
_CONTROL = next(pattern for kind, _, pattern in _PATTERNS if kind is FlagKind.CONTROL)
_GATES = {kind: re.compile(f"[{signs}]") for kind, signs, _ in _PATTERNS}
_DIRECTIONS = re.compile("[\u200e\u200f\u061c\u202a-\u202c\u2066-\u2069]+")
_TAGS = re.compile("[\U000e0000-\U000e00ff]+")
_TAG_FLAGS = frozenset(
    "".join(chr(0xE0000 + ord(letter)) for letter in name) + "\U000e007f" for name in ("gbeng", "gbsct", "gbwls")
)
_BLACK_FLAG = "\U0001f3f4"
_STACKED = re.compile(
    f"(?:[A-Za-z\u0430-\u044f\u03b1-\u03c9][{_MARKS}]+){{3,}}|[{_MARKS}]{{4,}}|(?<=[^\\W\\d_])[\u20dd-\u20e4]|[{_ACCENTED}]{{5,}}"
)
_STRUCK = re.compile("[A-Za-z][\u0334-\u0338]")
_STACKING = re.compile(f"[{_MARKS}{_ACCENTED}]")
_HEAP = re.compile(f"[{_MARKS}]{{4,}}")
_NO_WORDS = re.compile(r"[^\w\s\x00-\x7f]{31,}")
_GENERIC_MARKS = re.compile(f"[{_MARKS}]+")
_GENERIC_RUN = re.compile(f"([{_MARKS}]{{{READING_BOUNDS.longest_mark_run}}})[{_MARKS}]+")
_ANY_MARK = re.compile(f"[{_MARKS}]")
# A ligature of a whole sentence: eighteen characters from one.
_ENDLESS = str.maketrans({"\ufdfa": " ", "\ufdfb": " "})

_TOKEN = re.compile(r"[^\W_]+")
_FULLWIDTH = "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CIRCLED = "\u249c-\u24e9\U0001f110-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189"
_SMALL = "\u1d00-\u1d6a\u02b0-\u02b8\u2071\u207f\u2090-\u209c"
_LETTERLIKE = "\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212c-\u2134\u2145-\u2149"
_STYLED_ALWAYS = f"\U0001d400-\U0001d7ff{_CIRCLED}{_SMALL}{_LETTERLIKE}"
_KINDS_OF_STYLE = ("\U0001d400-\U0001d7ff" + _LETTERLIKE, _CIRCLED, _SMALL)
_STYLED = re.compile(
    "|".join(f"[{kind}]{{3,}}|(?:[{kind}][ .\\-_]){{5,}}[{kind}]" for kind in _KINDS_OF_STYLE)
    + f"|(?<=[A-Za-z])[\U0001d400-\U0001d7ff{_LETTERLIKE}{_CIRCLED}{_FULLWIDTH}]+(?=[A-Za-z])"
    + "|(?<![\U0001f1e6-\U0001f1ff])[\U0001f1e6-\U0001f1ff](?![\U0001f1e6-\U0001f1ff])"
)
_STYLING = re.compile(f"[{_STYLED_ALWAYS}{_FULLWIDTH}\U0001f1e6-\U0001f1ff]")
_STYLED_WIDE = re.compile(f"[{_FULLWIDTH}]{{3,}}")
_FLAG_LETTERS = re.compile("[\U0001f1e6-\U0001f1ff]{5,}")

_LIVING = {"GREEK": "greek", "CYRILLIC": "cyrillic", "ARMENIAN": "armenian", "CHEROKEE": "cherokee", "COPTIC": "coptic"}


def _script(sign: str) -> str:
    first = unicodedata.name(sign, "").split(" ", 1)[0]
    return (
        "latin"
        if first in {"LATIN", "MATHEMATICAL", "NEGATIVE", "SQUARED", "REGIONAL"}
        else _LIVING.get(first, "other")
    )


_FOREIGN = {
    chr(code): _script(chr(code)) for code in CONFUSABLES if chr(code).isalnum() and _script(chr(code)) != "latin"
}
# Of these every sign of the script counts, not only look-alikes.
_FOREIGN_LETTER = re.compile(
    "[\u0370-\u03ff\u1f00-\u1fff\u0400-\u052f\ua640-\ua69f\u0530-\u058f\u13a0-\u13ff\uab70-\uabbf"
    + "".join(map(re.escape, _FOREIGN))
    + "]"
)
# Latin letters and signs that are no letters: understood as what they look like wherever they stand.
_ALWAYS: Mapping[int, str] = {
    code: letter for code, letter in CONFUSABLES.items() if _script(chr(code)) == "latin" or not chr(code).isalnum()
}
_LATIN_ODD = re.compile("[\u0251\u0261\u0269\u1d00-\u1d22\ua730\ua731]")
_SHORTEST_LOOKALIKE = 3
_SWITCHES = 2
_LONGEST_TOKEN = 256


def shown(text: str, most: int = READING_BOUNDS.longest_shown) -> str:
    """`text` as people may see it: everything invisible, every look-alike and all but plain letters as `<U+XXXX>`; cut to `most` characters."""
    made = [_sign(letter) for letter in text[:most]]
    return "".join(made) + ("…" if len(text) > most else "")


def _sign(letter: str) -> str:
    if letter.isascii():
        return letter if letter.isprintable() else f"<U+{ord(letter):04X}>"
    plain = letter.isprintable() and ord(letter) not in CONFUSABLES and _INVISIBLE.match(letter) is None
    marks = unicodedata.combining(letter) != 0 or _BLANKS.match(letter) is not None
    return letter if plain and not marks else f"<U+{ord(letter):04X}>"


def read_text(
    text: str,
    bounds: ReadingBounds = READING_BOUNDS,
    decoding: DecodingRules = DECODING_RULES,
    injection: InjectionRules = INJECTION_RULES,
) -> TextReading:
    """Read a text that anybody may have written. Pure, linear in its length, no errors."""
    length = len(text)
    flags: list[TextFlag] = []
    if length > bounds.longest:
        flags.append(TextFlag(FlagKind.OVERSIZE, length - bounds.longest, (FlagPlace(bounds.longest, length, ""),)))
        text = text[: bounds.longest]
    flags += _sign_flags(text, bounds)
    hidden = () if text.isascii() else tuple(_spelled_by_invisible(text))
    bare, gaps = _without_invisible(text)
    skeleton, word_flags = _skeleton(bare, gaps, bounds)
    flags += word_flags
    undone = undo(skeleton, decoding)
    if undone.left:
        flags.append(TextFlag(FlagKind.UNDECODED, undone.left, ()))
    parts = [("", skeleton), *(("invisible", _plain(part)) for part in hidden)]
    parts += [(" > ".join(variant.codecs), _plain(variant.text)) for variant in undone.variants]
    reading = read_injection(parts, hides=any(flag.kind in _HIDING for flag in flags), rules=injection)
    passes = 1 if text.isascii() else len(_PATTERNS) + 4
    work = passes * len(text) + undone.work + reading.work
    return TextReading(length, length <= bounds.longest, skeleton, tuple(flags), hidden, undone.variants, reading, work)


def as_reading(read: TextReading) -> Reading:
    """The injection part as a `Reading`: 0 = speaks to nobody, 1 = surely gives orders to a model."""
    why = "; ".join(reason.why for reason in read.injection.reasons[:3]) or "Nothing in it addresses a model."
    return Reading("injection", read.injection.score, Unit(1.0 if read.whole else 0.5), "core.intent.text", why)


_HIDING = frozenset(
    (
        FlagKind.TAGS,
        FlagKind.ZERO_WIDTH,
        FlagKind.BIDI,
        FlagKind.VARIATION,
        FlagKind.FILLER,
        FlagKind.STACKED_MARKS,
        FlagKind.CONFUSABLE,
        FlagKind.JOINER,
        FlagKind.SOFT_HYPHEN,
        FlagKind.STYLED,
    )
)


def _plain(text: str) -> str:
    """The skeleton of a part, without its flags."""
    return text if text.isascii() else _skeleton(*_without_invisible(text), READING_BOUNDS)[0]


def _places(text: str, kind: FlagKind, hits: Iterator[tuple[int, int]], bounds: ReadingBounds) -> list[TextFlag]:
    kept: list[FlagPlace] = []
    count = 0
    for start, end in hits:
        count += 1
        if len(kept) < bounds.most_places:
            kept.append(FlagPlace(start, end, shown(text[start:end], bounds.longest_shown)))
    return [TextFlag(kind, count, tuple(kept))] if count else []


def _sign_flags(text: str, bounds: ReadingBounds) -> list[TextFlag]:
    """What single signs and their neighbours tell."""
    if text.isascii():
        return _places(text, FlagKind.CONTROL, _spans(_CONTROL, text), bounds)
    found: list[TextFlag] = []
    different = "".join(set(text))
    for kind, _, pattern in _PATTERNS:
        if _GATES[kind].search(different) is None:
            continue
        spans = _spans(pattern, text)
        if kind is FlagKind.BIDI and not _directions_fit(text):
            spans = iter(sorted({*spans, *_spans(_DIRECTIONS, text)}))
        found += _places(text, kind, spans, bounds)
    found += _places(text, FlagKind.TAGS, _tag_spans(text), bounds)
    found += _places(text, FlagKind.MARK_RUN, _mark_runs(text, bounds.longest_mark_run), bounds)
    if _STACKING.search(different) is not None:
        found += _places(text, FlagKind.STACKED_MARKS, _stacked(text), bounds)
    wide = _STYLED_WIDE.search(text) is not None and _EAST_ASIAN.search(different) is None
    plain = _STYLING.search(different) is None
    styled = [*(() if plain else _styled(text)), *(_spans(_STYLED_WIDE, text) if wide else ())]
    return found + _places(text, FlagKind.STYLED, iter(sorted(styled)), bounds)


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    return (hit.span() for hit in pattern.finditer(text))


def _directions_fit(text: str) -> bool:
    """Whether direction marks have a reason: there is text written from the right, and what they open they close."""
    if _DIRECTIONS.search(text) is None:
        return True
    return _RTL.search(text) is not None and len(_OPENING.findall(text)) == len(_CLOSING.findall(text))


def _tag_spans(text: str) -> Iterator[tuple[int, int]]:
    for hit in _TAGS.finditer(text):
        if not (text[hit.start() - 1 : hit.start()] == _BLACK_FLAG and hit.group() in _TAG_FLAGS):
            yield hit.span()


def _mark_runs(text: str, longest: int) -> Iterator[tuple[int, int]]:
    """Where combining marks stand in runs longer than `longest`; what is no word is looked at, because only there they can be."""
    run = re.compile(rb"[^\x00]{%d,}" % (longest + 1))
    for hit in _NO_WORDS.finditer(text):
        for found in run.finditer(bytes(map(unicodedata.combining, hit.group()))):
            yield hit.start() + found.start(), hit.start() + found.end()


def _stacked(text: str) -> Iterator[tuple[int, int]]:
    struck = [hit.span() for hit in _STRUCK.finditer(text)]
    if len(struck) >= _SHORTEST_LOOKALIKE:
        yield from struck
    for hit in _STACKED.finditer(text):
        # Accents that belong to their letters compose with them; only what stays over was put on.
        part = hit.group()[:_LONGEST_TOKEN]
        if (
            _HEAP.search(part) is not None
            or len(part) == 1
            or not _ANY_MARK.search(part)
            or len(_ANY_MARK.findall(unicodedata.normalize("NFC", part))) > 1
        ):
            yield hit.span()


def _styled(text: str) -> Iterator[tuple[int, int]]:
    hits = [hit.span() for hit in _STYLED.finditer(text)]
    singles = [span for span in hits if "\U0001f1e6" <= text[span[0]] <= "\U0001f1ff"]
    yield from (span for span in hits if not "\U0001f1e6" <= text[span[0]] <= "\U0001f1ff")
    if len(singles) >= _SHORTEST_LOOKALIKE:
        yield from singles
    for hit in _FLAG_LETTERS.finditer(text):
        if len(hit.group()) % 2 or any(
            word in hit.group().translate(_ALWAYS) for word in COMMON if len(word) > _SHORTEST_LOOKALIKE
        ):
            yield hit.span()


def _spelled_by_invisible(text: str) -> Iterator[str]:
    """What invisible signs say: tags are ASCII, variation selectors are bytes, zero-width signs are bits."""
    tags = "".join(text[start:end] for start, end in _tag_spans(text))
    spelled = "".join(filter(str.isprintable, tags.translate(_TAG_LETTERS)))
    if spelled:
        yield spelled
    selected = bytes(
        code - 0xFE00 if code < 0xFF00 else code - 0xE0100 + 16  # noqa: PLR2004 - two blocks of selectors, 16 and 240
        for code in map(ord, _SELECTOR.findall(text))
    )
    for raw in (selected, selected[1:], *_bits(text)):
        made = raw.decode("utf-8", "replace")
        readable = "".join(letter for letter in made if letter.isprintable() and letter != "\ufffd")
        if len(readable) >= _LEAST_SPELLED and len(readable) >= _READABLE * len(made):
            yield readable
            break


_TAG_LETTERS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
_SELECTOR = re.compile(f"[{_SELECTORS}]")
_LEAST_SPELLED = 4
_READABLE = 0.8
_ZERO_AND_ONE = (
    ("\u200b", "\u200c"),
    ("\u200b", "\u200d"),
    ("\u200c", "\u200d"),
    ("\u2062", "\u2064"),
    ("\u200c", "\u200b"),
    ("\u200d", "\u200b"),
)


def _bits(text: str) -> Iterator[bytes]:
    for zero, one in _ZERO_AND_ONE:
        if zero in text and one in text:
            bits = re.sub(f"[^{zero}{one}]", "", text).translate({ord(zero): "0", ord(one): "1"})
            yield bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


def _without_invisible(text: str) -> tuple[str, Sequence[tuple[int, int]]]:
    """The text without invisible signs, and what was taken out: places in what is left, with the length of each."""
    if text.isascii():
        return text, ()
    parts: list[str] = []
    gaps: list[tuple[int, int]] = []
    last = kept = 0
    for start, end in _spans(_INVISIBLE, text):
        parts.append(text[last:start])
        kept += start - last
        gaps.append((kept, end - start))
        last = end
    return ("".join(parts) + text[last:], gaps) if gaps else (text, ())


def _skeleton(bare: str, gaps: Sequence[tuple[int, int]], bounds: ReadingBounds) -> tuple[str, list[TextFlag]]:
    """What a text is understood as, and its words that are written to look like others."""
    if bare.isascii():
        return bare, []
    flags: list[TextFlag] = []
    spelled = bare
    different = "".join(set(bare))
    if _FOREIGN_LETTER.search(different) is not None or _LATIN_ODD.search(different) is not None:
        fakes, mixed, edged = _fake_words(bare)
        where = _original(gaps)
        flags += _places(bare, FlagKind.CONFUSABLE, iter(fakes), bounds)
        flags += _places(bare, FlagKind.MIXED_SCRIPT, iter(mixed), bounds)
        if gaps:
            flags = [
                TextFlag(
                    flag.kind,
                    flag.count,
                    tuple(FlagPlace(where(one.start), where(one.end - 1) + 1, one.shown) for one in flag.places),
                )
                for flag in flags
            ]
        spelled = _translated(bare, sorted([*fakes, *edged]))
    return _understood(spelled, bounds.longest_mark_run), flags


def _original(gaps: Sequence[tuple[int, int]]) -> Callable[[int], int]:
    places, sums = [at for at, _ in gaps], [0, *accumulate(size for _, size in gaps)]
    return lambda at: at + sums[bisect_right(places, at)]


def _translated(text: str, spans: Sequence[tuple[int, int]]) -> str:
    parts: list[str] = []
    last = 0
    for start, end in spans:
        parts += [text[last:start], text[start:end].translate(CONFUSABLES)]
        last = end
    return "".join(parts) + text[last:]


def _understood(text: str, longest_run: int) -> str:
    """Compatibility forms without accents. Runs of marks are cut first: normalising them takes quadratic time."""
    text = _GENERIC_RUN.sub(r"\1", text)  # the common case, and much faster than asking for the class of every sign
    parts: list[str] = []
    last = 0
    for start, end in _mark_runs(text, longest_run):
        parts.append(text[last : start + longest_run])
        last = end
    short = ("".join(parts) + text[last:]).translate(_ENDLESS)
    apart = _GENERIC_MARKS.sub("", unicodedata.normalize("NFKD", short.translate(_ALWAYS)))
    return _INVISIBLE.sub("", unicodedata.normalize("NFC", apart))


def _fake_words(text: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]]]:
    """Words with letters that only look Latin, words of scripts that are not written together, and what is understood as Latin without being odd."""
    edged: list[tuple[int, int]] = []
    fakes: list[tuple[int, int]] = []
    mixed: list[tuple[int, int]] = []
    alike: list[tuple[int, int, str]] = []
    real: set[str] = set()
    latin_before = False
    for hit in _TOKEN.finditer(text):
        word = hit.group()
        if word.isascii():
            latin_before = True
            continue
        verdict, scripts = _judged(word)
        if verdict == "fake":
            fakes.append(hit.span())
        elif verdict == "mixed":
            mixed.append(hit.span())
        elif verdict == "edged":
            edged.append(hit.span())
        elif verdict == "alike":
            alike.append((*hit.span(), next(iter(scripts))))
        elif verdict == "real":
            real |= scripts
        latin_before = latin_before or verdict == "latin"
    for start, end, script in alike:
        # A word of nothing but look-alikes: a real one where the text has other words of that script, unless it spells a word of ours.
        spells = text[start:end].translate(CONFUSABLES).lower() in COMMON
        if end - start < _SHORTEST_LOOKALIKE:
            if fakes and script not in real:
                edged.append((start, end))
        elif latin_before and (script not in real or (spells and end - start > _SHORTEST_LOOKALIKE)):
            fakes.append((start, end))
    return sorted(fakes), mixed, edged


def _judged(word: str) -> tuple[str, frozenset[str]]:
    return _judged_once(word) if len(word) <= _LONGEST_TOKEN else _judged_once.__wrapped__(word)


@lru_cache(maxsize=16_384)
def _judged_once(word: str) -> tuple[str, frozenset[str]]:
    """`fake` Latin, `mixed`, nothing but look-`alike`s, `edged` by a foreign part, `real` in its own script, or `latin`; and its scripts."""
    if _FOREIGN_LETTER.search(word) is None:
        odd = _LATIN_ODD.search(word) is not None and _LATIN_ODD.sub("", word).isascii()
        return ("fake" if odd and len(word) > _SHORTEST_LOOKALIKE else "latin"), frozenset()
    kinds = [_kind(letter) for letter in word if letter.isalpha()]
    latin = sum(kind == "" for kind in kinds)
    foreign = [letter for letter in word if letter.isalpha() and _kind(letter)]
    lookalikes = sum(letter in _FOREIGN for letter in foreign)
    scripts = frozenset(kind for kind in kinds if kind)
    if not latin:
        every = lookalikes == len(foreign) and len(scripts) == 1 and not ROUGH & set(foreign)
        return ("alike" if every and not scripts & {"other"} else "real"), scripts
    switches = sum((one == "") != (other == "") for one, other in pairwise(kinds))
    if scripts == {"greek"} and len(foreign) == 1 and switches == 1:
        return "edged", frozenset()  # a unit or a protein: one Greek letter at an edge
    if scripts & {"other"} and not lookalikes:
        return "real", scripts
    if lookalikes == len(foreign) or (lookalikes and switches >= _SWITCHES):
        acronym = switches == 1 and kinds[0] == "" and word[:latin].isupper() and len(foreign) > 1
        return ("edged" if acronym else "fake"), scripts
    return ("mixed" if switches >= _SWITCHES else "real"), scripts


def _kind(letter: str) -> str:
    """The script of a letter as far as it matters here; empty = Latin."""
    if letter.isascii() or "\u00aa" <= letter <= "\u02af" or "\u1e00" <= letter <= "\u1eff":
        return ""
    known = _FOREIGN.get(letter)
    if known is not None:
        return known
    code = ord(letter)
    return next((name for low, high, name in _BLOCKS if low <= code <= high), "other")


_BLOCKS: tuple[tuple[int, int, str], ...] = (
    (0x370, 0x3FF, "greek"),
    (0x1F00, 0x1FFF, "greek"),
    (0x400, 0x52F, "cyrillic"),
    (0xA640, 0xA69F, "cyrillic"),
    (0x530, 0x58F, "armenian"),
    (0x13A0, 0x13FF, "cherokee"),
    (0xAB70, 0xABBF, "cherokee"),
)
