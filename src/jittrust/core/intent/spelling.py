"""Other ways to write one value: what a model would still read as the same address, name, number or code.

Only ever used to find a stranger's hand in a value. Nothing here makes a value the person's: a look-alike of what the person said is not what the
person said.
"""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata
from collections.abc import Iterator

from jittrust.core.intent.confusables import CONFUSABLES
from jittrust.core.intent.words import fold, visible

# A capital that looks like another still stands for it when a text comes in one case.
_ALIKE = {
    **{
        ord(low): letter
        for code, letter in CONFUSABLES.items()
        if len(low := chr(code).casefold()) == 1 and not low.isascii()
    },
    **CONFUSABLES,
}
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]+")
_BETWEEN = re.compile(r"[\W_]+")
_SPELLED_SIGN = re.compile(
    r"(?<=[\W_])(?:at|dot|punkt|underscore|dash|minus|hyphen|slash|colon|plus)(?=[\W_])|(?<=[\W_])(?:arobase|chiocciola)(?=[\W_])"
)
# Without one of these nobody spells an address or a number out: looking for them first is many times faster.
_SPELLING = (
    "dot",
    "punkt",
    "arobase",
    "chiocciola",
    "underscore",
    "hyphen",
    "slash",
    "(at)",
    "[at]",
    "<at>",
    "{at}",
    "-at-",
    "_at_",
)
_COUNTING = (
    "zero",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "nought",
    "one one",
    "one two",
    "two two",
    "two one",
)
_APART = (
    "[at]",
    "(at)",
    "{at}",
    "<at>",
    "[dot]",
    "(dot)",
    "{dot}",
    "<dot>",
    "[.]",
    "(.)",
    "{.}",
    "[@]",
    "(@)",
    "[:]",
    "[/]",
    "hxxp",
    " at ",
)
_APART_SIGN = re.compile(
    r"\s?[\[({<]\s?(?P<sign>at|dot|[.@:/])\s?[\])}>]\s?|(?<=\w) (?P<word>at|dot) (?=\w[\w\-]{0,60} dot \w)|(?<=\w) (?P<last>dot) (?=\w{2,24}\b)",
    re.IGNORECASE,
)
_SIGNS = {"at": "@", "dot": "."}
_HXXP = re.compile(r"\bhxxp", re.IGNORECASE)
_LETTERS = {code: None for code in range(128) if not chr(code).isalnum()}
_DIGITS = {
    word: str(digit) for digit, word in enumerate("zero one two three four five six seven eight nine".split())
} | {"oh": "0", "null": "0", "nought": "0"}
_DIGIT_WORD = re.compile(r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|oh|nought)\b")
_FEWEST_DIGIT_WORDS = 3
_DIGIT_RUN = re.compile(rf"(?:{_DIGIT_WORD.pattern}[\W_]*){{{_FEWEST_DIGIT_WORDS},64}}")
_TITLES = frozenset("mr mrs ms miss mx dr prof professor sir madam herr frau monsieur madame senor senora".split())
_TAGGED = re.compile(r"\+[^@\s]{0,64}(?=@)")
_SHORTEST_CODE = 8
_MOST_NAME_PARTS = 4
_LABELS = re.compile(r"([.@/])")
_LEET = str.maketrans("0134578$!|", "oieastbsil")
_AMOUNT = re.compile(r"[$€£¥]?\s?(?P<number>\d[\d,.]{0,15}?)(?P<scale>[km]|bn)?")
_SCALES = {"k": 1e3, "m": 1e6, "bn": 1e9}


def squeezed(text: str) -> str:
    """A text with nothing left but letters and digits, look-alikes and accents undone, digit words as digits: how it reads, however it is written."""
    text = visible(text)
    if not text.isascii():
        text = _MARKS.sub("", unicodedata.normalize("NFKD", text.translate(_ALIKE)))
    text = text.casefold()
    if any(sign in text for sign in _SPELLING):
        text = _SPELLED_SIGN.sub(" ", f" {text} ")
    if any(word in text for word in _COUNTING):
        text = _DIGIT_RUN.sub(_digits, text)
    return text.translate(_LETTERS) if text.isascii() else _BETWEEN.sub("", text)


def _digits(hit: re.Match[str]) -> str:
    return _DIGIT_WORD.sub(lambda word: _DIGITS[word.group()], hit.group()).replace(" ", "") + " "


def disguises(value: str) -> tuple[str, ...]:
    """How else a value may stand in a squeezed text, squeezed: itself, undone where it is encoded, encoded, backwards, turned, without its tag."""
    plain = squeezed(value)
    made = [plain, *(squeezed(one) for one in undone(value))]
    low = visible(value).strip().casefold()
    raw = visible(value).strip().encode("utf-8", "surrogatepass")
    made += [
        squeezed(base64.b64encode(raw).decode()),
        squeezed(base64.b64encode(low.encode("utf-8", "surrogatepass")).decode()),
        squeezed(base64.b32encode(raw).decode()),
        raw.hex(),
        "".join(f"{byte:02x}" for byte in low.encode("utf-8", "surrogatepass")),
        plain[::-1],
        codecs.encode(plain, "rot13"),
    ]
    if not low.isascii():
        made.append(squeezed("".join(map(_ascii_label, _LABELS.split(low)))))
    if "@" in low:
        made.append(squeezed(_TAGGED.sub("", low)))
    if any(sign.isdigit() for sign in plain) and any(sign.isalpha() for sign in plain):
        made.append(plain.translate(_LEET))
    return tuple(dict.fromkeys(one for one in made if one))


def put_together(text: str) -> str:
    """A text with addresses that were taken apart so that nobody recognises them: `eve [at] evil [dot] example`, `hxxps://evil[.]example`."""
    low = text.casefold()
    if not any(sign in low for sign in _APART):
        return text
    return _HXXP.sub("http", _APART_SIGN.sub(_sign, text))


def _sign(hit: re.Match[str]) -> str:
    said = (hit["sign"] or hit["word"] or hit["last"]).casefold()
    return _SIGNS.get(said, said)


def undone(value: str) -> Iterator[str]:
    """What a short value hides: base64, hex, percent signs, punycode, backwards; only what comes out as text."""
    core = value.strip()
    if len(core) >= _SHORTEST_CODE and core.isascii():
        for decode in (_base64, _hex, _base32):
            try:
                text = decode(core.rstrip("=")).decode("utf-8")
            except ValueError:
                continue
            if text.isprintable():
                yield text
    if "xn--" in core.casefold():
        yield "".join(map(_label, _LABELS.split(core.casefold())))


def _ascii_label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"


def _base64(core: str) -> bytes:
    return base64.b64decode(core.replace("-", "+").replace("_", "/") + "=" * (-len(core) % 4), validate=True)


def _hex(core: str) -> bytes:
    return bytes.fromhex(core.replace(":", " "))


def _base32(core: str) -> bytes:
    return base64.b32decode(core.upper() + "=" * (-len(core) % 8))


def _label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError):
        return label


def names(value: str) -> tuple[str, ...]:
    """A person's name in other words, folded: without title, last name first. Empty where the value is no name of two to four words."""
    parts = [part.strip(".,") for part in fold(value).split()]
    parts = [part for part in parts if part and part not in _TITLES]
    if not 1 < len(parts) <= _MOST_NAME_PARTS or not all(part.replace("-", "").isalpha() for part in parts):
        return ()
    first, last = " ".join(parts[:-1]), parts[-1]
    return (f"{first} {last}", f"{last} {first}", f"{last}, {first}")


def initials(value: str) -> re.Pattern[str] | None:
    """A pattern of the full name that "J. Smith" is short for; None where the value has no initial."""
    parts = [part.strip(".,") for part in fold(value).split()]
    parts = [part for part in parts if part and part not in _TITLES]
    if not 1 < len(parts) <= _MOST_NAME_PARTS or not all(part.isalpha() for part in parts) or len(parts[-1]) < 2:  # noqa: PLR2004
        return None
    if all(len(part) > 1 for part in parts):
        return None
    spelled = (rf"{re.escape(part)}\w{{0,30}}\.?" if len(part) == 1 else re.escape(part) for part in parts)
    return re.compile(r"\b" + r"\W{1,3}".join(spelled) + r"\b")


def amounts(text: str) -> tuple[float, ...]:
    """What an amount may be, as a number: `1,500.00`, `$1.5k`, `1.500,00`; empty where it is none."""
    hit = _AMOUNT.fullmatch(text.strip().casefold())
    if hit is None:
        return ()
    number, scale = hit["number"].rstrip(".,"), _SCALES.get(hit["scale"] or "", 1.0)
    found = []
    for spelled in (number.replace(",", ""), number.replace(".", "").replace(",", ".")):
        try:
            found.append(float(spelled) * scale)
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))


def written(number: float) -> tuple[str, ...]:
    """How a number from a thousand on may be written in a text, folded; smaller ones, and what is no whole number of cents, as they are."""
    made = [f"{number:.2f}", f"{number:,.2f}", f"{number:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")]
    if number == int(number):
        made += [
            f"{number:.0f}",
            f"{number:,.0f}",
            f"{number:,.0f}".replace(",", "."),
            f"{number:,.0f}".replace(",", " "),
        ]
    for scale, size in (("k", 1e3), ("m", 1e6)):
        if number >= size and round(number / size, 3) * size == number:
            made.append(f"{number / size:g}{scale}")
    return tuple(dict.fromkeys(made))
