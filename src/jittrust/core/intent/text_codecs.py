"""What a text hides in an encoding: undone in bounded work, level by level, and kept only where something readable comes out.

At most `levels` deep, `room` characters of decoded text in all, and every pass is linear in what it looks at. What the room did not suffice for is said,
never dropped in silence.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecodingRules:
    """Bounds of undoing encodings."""

    levels: int = 3  # nested encodings undone
    room: int = 65_536  # characters of decoded text kept of one text, all levels together
    most_variants: int = 1_024  # decoded stretches kept of one text
    most_tries: int = 4_096  # encoded-looking stretches tried in one text


DECODING_RULES = DecodingRules()


@dataclass(frozen=True, slots=True)
class DecodedVariant:
    """A stretch of a text, undone.

    Attributes:
        codecs: what was undone, outermost first.
        text: what came out.
        source: the beginning of what stood there.
    """

    codecs: tuple[str, ...]
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Everything that was undone in a text.

    Attributes:
        variants: in the order of level and place.
        left: stretches that look encoded and were not undone because the room or the levels were used up.
        work: characters looked at.
    """

    variants: tuple[DecodedVariant, ...]
    left: int
    work: int


# Words that English text can hardly do without, and those that instructions to a model are made of: enough to tell text from noise.
COMMON = frozenset(
    (
        "the and you your all are for not this that with from have will must please now any can what when who has was were into about more other then "
        "them these than some its out also been only before after there their which would should could each every where while because through "
        "ignore disregard forget previous prior instructions instruction rules rule system prompt secret password user assistant model message "
        "send email file files delete reveal follow execute command tool call account money transfer data key keys token task goal answer reply "
        "print show read write open forward upload post everything anything nothing never always first tell without admin access new "
        "mode developer do contents address everyone immediately override guidelines document share invite"
    ).split()
)
_LONG = frozenset(word for word in COMMON if len(word) > 2)  # noqa: PLR2004 - two letters stand in any text
_REAL_BACKWARDS = frozenset("won saw ton era tub not".split())
_ROTATED = {codecs.encode(word, "rot13"): word for word in _LONG}
_BACKWARDS = {word[::-1]: word for word in _LONG if word[::-1] not in COMMON | _REAL_BACKWARDS}
_FEWEST_WORDS = 2
_SPELLED_FROM = 5
_SPELLED_TO = 14
_ASCII_WORD = re.compile(r"[a-z]{3,24}")
_LEET_WORD = re.compile(r"(?:[a-z0-9$!|+]|@(?![a-z0-9\-]{1,63}\.)){2,32}")
_LEET_NUMBER = re.compile(r"(?<![\w.])[01457]{2,3}(?![\w.%])")
_LEET_SHORT = frozenset("to is as it at ai so all".split())
_LEET = re.compile(r"[a-z][0134578@$!|][a-z]|[01345789@$!]{1,2}[a-z]{1,3}[01345789@$!]")
_LEET_TABLES = tuple(str.maketrans("013457@$!|+8", one) for one in ("oieastasiltb", "oleastaslltb"))

_UPPER = string.ascii_uppercase
_WORDS = string.ascii_letters + string.digits
_PRINTABLE_SHARE = 0.9
_LETTER_SHARE = 0.5
_SHOWN = 48
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{16,}(?:\r?\n[A-Za-z0-9+/_\-]{4,}){0,4096}={0,2}")
_BASE32 = re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9])")
_ASCII85 = re.compile(r"<~[!-uz\s]{8,65536}~>")
_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{2}(?:[ :,\-]?[0-9A-Fa-f]{2}){7,}(?![0-9A-Za-z])")
_HEX_MARKED = re.compile(r"0x[0-9A-Fa-f]{2}(?:[ ,]{0,2}0x[0-9A-Fa-f]{2}){5,}")
_ESCAPES = re.compile(r"(?:\\u\{?[0-9A-Fa-f]{4,6}\}?|\\x[0-9A-Fa-f]{2}|%u[0-9A-Fa-f]{4}|\\[0-3][0-7]{2})")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_QUOTED = re.compile(r"=[0-9A-F]{2}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|lt|gt|quot|apos|amp);?")
_BINARY = re.compile(r"(?<![01])[01]{8}(?:[ ,]?[01]{8}){3,}(?![01])")
_DECIMAL = re.compile(r"(?<![\d.])\d{2,3}(?:[ ,]{1,2}\d{2,3}){7,}(?![\d.])")
_MORSE = re.compile(r"(?<![.\-/])[.\-]{1,5}(?: (?:/ )?[.\-]{1,5}){5,}")
_SPELLED = re.compile(r"(?<![\w.])[A-Za-z](?:[ .\-_*·][A-Za-z]){2,}(?![A-Za-z])")
_NEIGHBOUR = 64  # characters between two escapes of one stretch
_LONGEST_STRETCH = 4_096  # characters; a longer one is undone in parts
_PREFIX = 64  # characters before the first
_HEX_SIGNS = re.compile(r"[ :,\-]|0x")
_NO_WORD = re.compile(r"[\s<>\"']")
_MORSE_SIGNS: Mapping[str, str] = dict(
    zip(
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..".split(),
        "abcdefghijklmnopqrstuvwxyz",
        strict=True,
    )
)


def undo(text: str, rules: DecodingRules = DECODING_RULES) -> DecodedText:
    """Everything in `text` that comes out of a known encoding as text."""
    room, tries, work, left = rules.room, rules.most_tries, 0, 0
    found: list[DecodedVariant] = []
    seen = {text}
    layer = [((), text)]  # type: list[tuple[tuple[str, ...], str]]
    for level in range(rules.levels + 1):
        deeper: list[tuple[tuple[str, ...], str]] = []
        for chain, piece in layer:
            work += len(piece)
            for codec, source, plain in _stretches(piece):
                tries -= 1
                if not plain or plain in seen or (chain and codec == chain[-1] and codec in _OWN_INVERSE):
                    continue
                if level == rules.levels or tries <= 0 or room < len(plain) or len(found) >= rules.most_variants:
                    left += 1
                    if tries <= 0:
                        break
                    continue
                seen.add(plain)
                room -= len(plain)
                found.append(DecodedVariant((*chain, codec), plain, source[:_SHOWN]))
                deeper.append(((*chain, codec), plain))
        layer = deeper
    return DecodedText(tuple(found), left, work)


_OWN_INVERSE = frozenset(("rot13", "reversed"))


def _stretches(text: str) -> Iterator[tuple[str, str, str]]:
    """Every stretch that some codec makes something of: codec, stretch, what came out."""
    raw = text.encode("utf-8", "surrogatepass")
    for name, table, fewest, pattern, undone in _WHOLE:
        if b"A" * fewest in raw.translate(table):
            for hit in pattern.finditer(text):
                yield name, hit.group(), undone(hit.group())
    for name, sign, pattern, fewest, undone in _ESCAPED:
        if sign in text:
            for stretch in _escaped_stretches(text, pattern, fewest):
                plain = undone(stretch)
                yield name, stretch, plain if plain != stretch else ""
    yield from _by_words(text)


def _escaped_stretches(text: str, pattern: re.Pattern[str], fewest: int) -> Iterator[str]:
    """Stretches with at least `fewest` escapes that stand close together, from the beginning of the first word to the end of the last."""
    start = end = count = 0
    for hit in pattern.finditer(text):
        if count and (hit.start() - end > _NEIGHBOUR or end - start > _LONGEST_STRETCH):
            if count >= fewest:
                yield _whole_words(text, start, end)
            count = 0
        if not count:
            start = hit.start()
        end, count = hit.end(), count + 1
    if count >= fewest:
        yield _whole_words(text, start, end)


def _whole_words(text: str, start: int, end: int) -> str:
    before = [hit.end() for hit in _NO_WORD.finditer(text, max(0, start - _PREFIX), start)]
    after = _NO_WORD.search(text, end, end + _PREFIX)
    first = before[-1] if before else max(0, start - _PREFIX)
    return text[first : after.start() if after else min(len(text), end + _PREFIX)]


def _by_words(text: str) -> Iterator[tuple[str, str, str]]:
    """Readings that only words tell: rotated, backwards, in digits for letters, letter by letter."""
    if _SPELLED.search(text) is not None:
        for hit in _spelled(text):
            yield "spelled", hit[0], hit[1]
    lowered = text.lower() if text.isascii() else text.casefold()
    words = set(_ASCII_WORD.findall(lowered))
    rotated, backwards, leet = len(words & _ROTATED.keys()), len(words & _BACKWARDS.keys()), _LEET.search(lowered)
    if max(rotated, backwards) < _FEWEST_WORDS and leet is None:
        return
    for line, low in zip(text.split("\n"), lowered.split("\n"), strict=True):
        here = set(_ASCII_WORD.findall(low))
        plain = len(here & _LONG)
        if rotated >= _FEWEST_WORDS and len(here & _ROTATED.keys()) >= max(_FEWEST_WORDS, plain):
            yield "rot13", line, codecs.encode(line, "rot13")
        if backwards >= _FEWEST_WORDS and len(here & _BACKWARDS.keys()) >= max(_FEWEST_WORDS, plain):
            yield "reversed", line, line[::-1]
        if leet is not None and _LEET.search(low) is not None:
            yield "leet", line, _from_leet(low)


def _from_leet(line: str) -> str:
    """The line with words for digits-in-words; empty when fewer than two words come out."""
    hits = 0

    def word(hit: re.Match[str]) -> str:
        nonlocal hits
        token = hit.group()
        if token.isalpha():
            return token
        for table in _LEET_TABLES:
            made = token.translate(table)
            if made in COMMON:
                hits += 1
                return made
        return token.translate(_LEET_TABLES[0]) if not token.isdigit() else token

    made = _LEET_WORD.sub(word, line)
    return _LEET_NUMBER.sub(_short_word, made) if hits >= _FEWEST_WORDS else ""


def _short_word(hit: re.Match[str]) -> str:
    """Among words in digits a number may be a word too."""
    read = (hit.group().translate(table) for table in _LEET_TABLES)
    return next((word for word in read if word in _LEET_SHORT), hit.group())


def _spelled(text: str) -> Iterator[tuple[str, str]]:
    """Words spelled letter by letter: kept where a known word comes out, so that initials and lists of options are not."""
    hits = list(_SPELLED.finditer(text))
    made = ["".join(letter for letter in hit.group() if letter.isalpha()).lower() for hit in hits]
    known = [word for word in made if word in _LONG]
    longest = any(
        word[at : at + size] in _LONG
        for word in made
        for at in range(len(word))
        for size in range(_SPELLED_FROM, _SPELLED_TO)
        if at + size <= len(word)
    )
    if longest or len(known) >= _FEWEST_WORDS:
        yield text[hits[0].start() : hits[0].start() + _SHOWN], " ".join(map(_segmented, made))


def _segmented(word: str) -> str:
    """Words without blanks between them, apart: the longest known word at every place, what is between them left whole."""
    made: list[str] = []
    at = kept = 0
    while at < len(word):
        size = next((size for size in range(_SPELLED_TO, 1, -1) if word[at : at + size] in COMMON), 0)
        if size and at + size <= len(word):
            made += [word[kept:at], word[at : at + size]]
            at = kept = at + size
        else:
            at += 1
    return " ".join(filter(None, [*made, word[kept:]]))


def _from_base64(blob: str) -> str:
    core = re.sub(r"\s", "", blob)
    plain = _base64_text(core)
    if plain or core == blob:
        return plain
    return "\n".join(filter(None, map(_base64_text, blob.split())))


def _base64_text(blob: str) -> str:
    core = blob.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _as_text(base64.b64decode(core + "=" * (-len(core) % 4), validate=True))
    except binascii.Error:
        return ""


def _from_base32(blob: str) -> str:
    core = blob.rstrip("=")
    try:
        return _as_text(base64.b32decode(core + "=" * (-len(core) % 8)))
    except binascii.Error:
        return ""


def _from_ascii85(blob: str) -> str:
    try:
        return _as_text(base64.a85decode(blob, adobe=True))
    except ValueError:
        return ""


def _from_hex(blob: str) -> str:
    core = _HEX_SIGNS.sub("", blob)
    return _as_text(bytes.fromhex(core)) if len(core) % 2 == 0 else ""


def _from_binary(blob: str) -> str:
    bits = re.sub(r"[ ,]", "", blob)
    return _as_text(bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8)))


def _from_decimal(blob: str) -> str:
    numbers = [int(number) for number in re.findall(r"\d+", blob)]
    if any(not ord(" ") <= number <= ord("~") for number in numbers):
        return ""
    plain = "".join(map(chr, numbers))
    return plain if sum(map(str.isalpha, plain)) >= _PRINTABLE_SHARE * len(plain.replace(" ", "")) else ""


def _from_morse(blob: str) -> str:
    words = ["".join(_MORSE_SIGNS.get(sign, "") for sign in word.split()) for word in blob.split("/")]
    return " ".join(words) if len(set(words) & COMMON) >= 1 else ""


def _from_escapes(stretch: str) -> str:
    def sign(hit: re.Match[str]) -> str:
        body = hit.group()
        octal = body[0] == "\\" and body[1].isdigit()
        code = int(body[1:], 8) if octal else int(body[2:].strip("{}"), 16)
        return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else body  # noqa: PLR2004 - Unicode's bounds

    return _ESCAPES.sub(sign, stretch)


def _from_bytes(pattern: re.Pattern[str]) -> Callable[[str], str]:
    runs = re.compile(f"(?:{pattern.pattern})+")

    def undone(stretch: str) -> str:
        return runs.sub(
            lambda hit: bytes.fromhex(hit.group().replace("%", "").replace("=", "")).decode("utf-8", "replace"), stretch
        )

    return undone


def _as_text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    judged = text[: DECODING_RULES.room]  # what is longer is not kept, only counted
    good = sum(letter.isprintable() or letter in "\n\r\t" for letter in judged)
    letters = sum(letter.isalnum() or letter == " " for letter in judged)
    kept = judged and good >= _PRINTABLE_SHARE * len(judged) and letters >= _LETTER_SHARE * len(judged)
    return text if kept else ""


def _one_sign(letters: str) -> bytes:
    """A table that makes one sign of these letters and nothing of every other: a run of them is then found several times faster."""
    return bytes(ord("A") if chr(byte) in letters else 0 for byte in range(256))


# Codec, table of its letters, shortest run of them, pattern, what undoes it.
_WHOLE: Iterable[tuple[str, bytes, int, re.Pattern[str], Callable[[str], str]]] = (
    ("base64", _one_sign(_WORDS + "+/_-"), 16, _BASE64, _from_base64),
    ("base32", _one_sign(_UPPER + "234567"), 16, _BASE32, _from_base32),
    ("ascii85", _one_sign("".join(map(chr, range(33, 127))) + " \n"), 12, _ASCII85, _from_ascii85),
    ("hex", _one_sign("0123456789abcdefABCDEF :,-"), 16, _HEX, _from_hex),
    ("hex", _one_sign("0123456789abcdefABCDEFx ,"), 24, _HEX_MARKED, _from_hex),
    ("binary", _one_sign("01 ,"), 32, _BINARY, _from_binary),
    ("decimal", _one_sign("0123456789 ,"), 23, _DECIMAL, _from_decimal),
    ("morse", _one_sign(".- /"), 11, _MORSE, _from_morse),
)
_ESCAPED: Iterable[tuple[str, str, re.Pattern[str], int, Callable[[str], str]]] = (
    ("escapes", "\\", _ESCAPES, 3, _from_escapes),
    ("escapes", "%u", _ESCAPES, 3, _from_escapes),
    ("percent", "%", _PERCENT, 1, _from_bytes(_PERCENT)),
    ("quoted-printable", "=", _QUOTED, 3, _from_bytes(_QUOTED)),
    ("entities", "&", _ENTITY, 2, html.unescape),
)
