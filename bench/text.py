"""What reading a text finds: smuggled and encoded orders, wherever they stand; how often honest texts are flagged; what it costs.

    python -m bench text [--short] [--json]

Prints one JSON object. Attacks are 100 texts (ten orders in ten settings); a transform counts as detected when the text is flagged or what was hidden is
read, as recovered when the order itself is read, as suspicious when the injection reading says so. CPU is process time of one reading.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from bench.text_cases import ATTACKS, BENIGN, CODECS, ORDERS, PLAIN, transforms

from jittrust.core.intent.text import TextReading, read_text

_FILLER = "The committee met on Tuesday and talked about the budget of the library, the new roof and the summer fair. "
_LONG = 200_000


def _read(text: str, spent: list[float]) -> TextReading:
    began = time.process_time()
    read = read_text(text)
    spent.append(1000 * (time.process_time() - began))
    return read


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalpha())


def recovered(read: TextReading, plain: str) -> bool:
    """Whether the order in the hidden text was read, letters compared."""
    wanted = _letters(next(order for order in ORDERS if order in plain))
    return any(wanted in _letters(part) for part in (read.skeleton, *read.hidden, *(one.text for one in read.variants)))


def table(hiding: Mapping[str, Callable[[str], str]], texts: Iterable[str] = ATTACKS) -> dict[str, dict[str, float]]:
    """For every way of hiding: shares of texts detected, recovered and called suspicious, and the CPU of a reading in ms."""
    made: dict[str, dict[str, float]] = {}
    for name, hide in hiding.items():
        spent: list[float] = []
        counts = {"detected": 0, "recovered": 0, "suspicious": 0}
        total = 0
        for plain in texts:
            read = _read(hide(plain), spent)
            total += 1
            got = recovered(read, plain)
            counts["recovered"] += got
            counts["detected"] += got or bool(read.flags or read.hidden or read.variants)
            counts["suspicious"] += read.injection.suspicious
        shares = {key: round(count / total, 3) for key, count in counts.items()}
        made[name] = {**shares, "cpu_ms_p50": round(statistics.median(spent), 2), "cpu_ms_max": round(max(spent), 2)}
    return made


def alarms(texts: Iterable[str]) -> dict[str, object]:
    """How often honest texts are flagged, and which."""
    listed = tuple(texts)
    reads = [read_text(text) for text in listed]
    flagged = [text[:60] for text, read in zip(listed, reads, strict=True) if read.flags or read.hidden]
    suspicious = [text[:60] for text, read in zip(listed, reads, strict=True) if read.injection.suspicious]
    return {
        "texts": len(listed),
        "flagged": len(flagged),
        "suspicious": len(suspicious),
        "which": [*flagged, *suspicious],
    }


def diluted(order: str, at: float, length: int = _LONG) -> str:
    """The order at a share of the length of a long honest text."""
    filler = _FILLER * (length // len(_FILLER) + 1)
    cut = int(at * (length - len(order)))
    return f"{filler[:cut]}\n{order}\n{filler[cut:length]}"


def dilution(hiding: Mapping[str, Callable[[str], str]]) -> dict[str, object]:
    """Whether a reading depends on where in 200 kB the order stands."""
    spent: list[float] = []
    same = total = 0
    for hide in ({"as written": str} | dict(hiding)).values():
        for order in ORDERS:
            reads = [_read(diluted(hide(order), at), spent) for at in (0.0, 0.5, 1.0)]
            total += 1
            same += len({verdict(read) for read in reads}) == 1
    return {
        "cases": total,
        "same": same,
        "cpu_ms_p50": round(statistics.median(spent), 1),
        "cpu_ms_max": round(max(spent), 1),
    }


def verdict(read: TextReading) -> tuple[object, ...]:
    """What must not depend on the place."""
    reasons = tuple((reason.code, reason.weight) for reason in read.injection.reasons)
    return float(read.injection.score), reasons, tuple((flag.kind, flag.count) for flag in read.flags)


@cache
def floods() -> Mapping[str, str]:
    """Texts made to cost: each about 400 KiB, a million keys, and what breaks regular expressions that are not linear."""
    size = 400 * 1024
    return {
        "combining marks": "\u0301\u0323" * (size // 2),
        "letters with marks": "e\u0301\u0323" * (size // 3),
        "a million keys": "{" + ",".join(f'"k{number}":{number}' for number in range(1_000_000)) + "}",
        "zero-width spaces": "a\u200b" * (size // 2),
        "look-alikes": "\u0440\u0430ypal " * (size // 7),
        "one long word": "a" * size,
        "one long look-alike": "\u0430b" * (size // 2),
        "at signs": "a@" * (size // 2),
        "dots": "a." * (size // 2),
        "percents": "%61" * (size // 3),
        "open tags": "<system" * (size // 7),
        "open pictures": "![" * (size // 2),
        "ignore": "ignore " * (size // 7),
        "send": "send " * (size // 5) + "x@y.example",
        "new tasks": "new task " * (size // 9),
        "base64": "QUFB" * (size // 4),
        "base64 lines": ("QUFB" * 19 + "\n") * (size // 77),
        "hex pairs": "41 " * (size // 3),
        "digits": "11 " * (size // 3),
        "morse": ".- " * (size // 3),
        "spelled": "a " * (size // 2),
        "ligatures": "\ufdfa" * size,
        "quotes": '"role":' * (size // 7),
        "blank lines": "\n" * size,
        "rules": "-" * size,
    }


def costs() -> dict[str, dict[str, float]]:
    """CPU and characters looked at, for every flood."""
    made = {}
    for name, text in floods().items():
        spent: list[float] = []
        read = _read(text, spent)
        made[name] = {
            "length": len(text),
            "cpu_ms": round(spent[0], 1),
            "work_per_character": round(read.work / len(text), 1),
            "whole": read.whole,
        }
    return made


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench text", description=__doc__)
    parser.add_argument("--short", action="store_true", help="ten texts a transform, no long texts")
    parser.add_argument("--json", action="store_true", help="one JSON object; always so")
    given = parser.parse_args()
    texts = ATTACKS[::10] if given.short else ATTACKS
    result: dict[str, object] = {
        "transforms": table(transforms(), texts),
        "sparse transforms (every third letter)": table(transforms(3), texts),
        "codecs": table(CODECS, texts),
        "benign": alarms(BENIGN),
        "honest words of attacks": alarms(PLAIN),
        "as written": table({"plain": str}, texts),
    }
    if not given.short:
        result |= {"dilution": dilution({"base64": CODECS["base64"], "tags": transforms()["tags"]}), "floods": costs()}
    print(json.dumps(result, indent=1))
    return 0
