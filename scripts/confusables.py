"""Writes `core/intent/confusables.py`: signs of other scripts and styles that are read as a Latin letter or a digit.

usage: scripts/confusables.py FILE     FILE is `confusables.json` of the PyPI package confusable_homoglyphs (MIT), made from Unicode's confusables.txt

Kept is a sign that is not ASCII, stands for one ASCII letter or digit, and that compatibility normalisation does not already turn into one.
"""

from __future__ import annotations

import json
import string
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

TARGET = Path(__file__).parents[1] / "src" / "jittrust" / "core" / "intent" / "confusables.py"
LATIN = string.ascii_letters + string.digits
ROW = 12
# Read as a letter by everybody, and not in Unicode's table: small capitals, and letters in squares and circles.
SMALL = {letter: f"LATIN LETTER SMALL CAPITAL {letter.upper()}" for letter in string.ascii_lowercase}
# In Unicode's table these look like small capitals or like no letter at all; inside a Latin word they are read as these.
ROUGHLY = {
    "b": "\u0432",
    "h": "\u043d",
    "k": "\u03ba\u043a",
    "m": "\u043c",
    "n": "\u03b7\u043f",
    "r": "\u0433",
    "t": "\u03c4\u0442",
    "w": "\u03c9\u0448",
}
BOXED = ("NEGATIVE CIRCLED", "NEGATIVE SQUARED", "SQUARED")
HEAD = '''"""Signs that are read as a Latin letter or a digit and are none: made by scripts/confusables.py; change the script, not this table.

From Unicode's confusables.txt (Copyright Unicode, Inc., Unicode License V3, https://www.unicode.org/license.txt), as the package confusable_homoglyphs
(MIT) has it, and from the names of signs.
"""

from __future__ import annotations

from collections.abc import Mapping

_ROWS: Mapping[str, str] = {
'''
TAIL = '''}  # fmt: skip

CONFUSABLES: Mapping[int, str] = {ord(sign): letter for letter, signs in _ROWS.items() for sign in signs}
"""Code point → the ASCII letter or digit that it is read as."""

ROUGH: frozenset[str] = frozenset("{rough}")
"""Those of them that pass for their letter only inside a Latin word; a word of nothing else is a word of its own script."""
'''


def sources(table: dict[str, list[dict[str, str]]]) -> dict[str, set[str]]:
    """Letter → the signs that look like it."""
    found: dict[str, set[str]] = defaultdict(set)
    for letter in LATIN:
        for row in table.get(letter, []):
            sign = row["c"]
            if len(sign) == 1 and sign not in string.printable and unicodedata.normalize("NFKC", sign) not in LATIN:
                # Unicode takes a capital iota for a small L; in a word it is a capital I.
                capital = letter == "l" and "CAPITAL LETTER" in unicodedata.name(sign, "")
                found["I" if capital else letter].add(sign)
    for letter in string.ascii_lowercase:
        found[letter].update(ROUGHLY.get(letter, ""))
        names = [SMALL.get(letter, "")]
        names += [f"{box} LATIN CAPITAL LETTER {letter.upper()}" for box in BOXED]
        names += [f"REGIONAL INDICATOR SYMBOL LETTER {letter.upper()}"]
        for name in filter(None, names):
            try:
                sign = unicodedata.lookup(name)
            except KeyError:
                continue
            if unicodedata.normalize("NFKC", sign).casefold() != letter:
                found[letter].add(sign)
    return found


def literal(signs: set[str]) -> list[str]:
    """The signs as lines of a Python literal, escaped: a table of look-alikes is not to be read by eye."""
    escaped = [f"\\u{ord(sign):04x}" if sign <= "\uffff" else f"\\U{ord(sign):08x}" for sign in sorted(signs)]
    return ["".join(escaped[at : at + ROW]) for at in range(0, len(escaped), ROW)]


def main() -> int:
    """Write the table."""
    found = sources(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    taken: set[str] = set()
    lines = []
    for letter in LATIN:
        signs = found[letter] - taken  # what looks like two letters stands for the first
        taken |= signs
        if signs:
            lines.append(f'    "{letter}": (')
            lines += [f'        "{row}"' for row in literal(signs)]
            lines.append("    ),")
    TARGET.write_text(
        HEAD + "\n".join(lines) + "\n" + TAIL.replace("{rough}", "".join(literal(set("".join(ROUGHLY.values()))))),
        encoding="utf-8",
    )
    print(f"{TARGET.name}: {len(taken)} signs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
