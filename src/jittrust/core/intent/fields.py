"""Which parts of a tool's result are fields and which are free text.

Where a value stood is what separates an address that a directory returned from one that a stranger wrote into a mail. A field is a short, whole
value of a structured result whose name does not say "text". Everything else is free text, and so is all of a text that does not parse as a
whole: a few lines that look like fields inside prose are what an attacker would write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.roles import leaves, role_of_name
from jittrust.core.model import Json


@dataclass(frozen=True, slots=True)
class FieldRules:
    """What counts as a field."""

    longest_field: int = 160  # characters; longer values are free text
    most_words: int = 12  # words; longer values are free text
    most_fields: int = 3_000  # fields of one result; the rest is free text
    most_lines: int = 4_000  # lines of a text that are read as records; a longer text is free text
    most_leaves: int = 12_000  # values of one structured result that are read; what lies beyond is lost
    most_free: int = 256  # free texts of one result that are kept apart; the rest is joined


FIELD_RULES = FieldRules()

_ENTRY = re.compile(
    r"(?P<indent> *)(?P<dashes>(?:- +)*)(?:(?P<name>[\w .\-/']{1,80}):(?: +(?P<value>\S.*))?|(?P<item>\S.*)?)"
)
_BLOCK = re.compile(r"[|>][+\-]?\d?")
_SENTENCE = re.compile(r"[.!?;]\s")


def split_result(
    structured: Json | None, texts: Sequence[str], *, documents: bool
) -> tuple[list[tuple[str, str]], list[str]]:
    """The fields (path, value) of a result, and its free texts.

    `documents`: the tool hands out text that others wrote (pages, files): nothing in its result is a field, however it is wrapped. `structured` is
    the result that the server itself structured; otherwise it is believed as far as its shape goes.
    """
    fields: list[tuple[str, str]] = []
    free: list[str] = []
    if structured is not None and documents:
        read = islice(leaves(structured), FIELD_RULES.most_leaves)
        free.extend(str(leaf) for _, leaf in read if isinstance(leaf, str) and leaf.strip())
    elif structured is not None:
        _from_json(structured, fields, free)
    for text in texts:
        parsed = None if documents else _parsed(text)
        if parsed is None:
            free.append(text)
        else:
            _from_json(parsed, fields, free)
    if len(free) > FIELD_RULES.most_free:
        free[FIELD_RULES.most_free :] = ["\n".join(free[FIELD_RULES.most_free :])]
    return fields, free


def too_many(value: Json | None) -> bool:
    """Whether a structured result has more values than are read."""
    waiting, seen = [value], 0
    while waiting and seen + len(waiting) <= FIELD_RULES.most_leaves:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
        else:
            seen += 1
    return bool(waiting)


def _from_json(value: Json, fields: list[tuple[str, str]], free: list[str]) -> None:
    for path, leaf in islice(leaves(value), FIELD_RULES.most_leaves):
        if isinstance(leaf, bool) or leaf is None:
            continue
        if not isinstance(leaf, str | int | float):
            free.append(json.dumps(leaf, ensure_ascii=False, default=str))
            continue
        text = str(leaf)
        if len(fields) < FIELD_RULES.most_fields and _is_field(path, text):
            fields.append((path, text))
        elif text.strip():
            free.append(text)


def _is_field(path: str, text: str) -> bool:
    if len(text) > FIELD_RULES.longest_field or "\n" in text.strip() or len(text.split()) > FIELD_RULES.most_words:
        return False
    named = next((part for part in reversed(path.split("/")) if part and not part.isdigit()), "")
    return role_of_name(named) is not ArgumentRole.CONTENT and _SENTENCE.search(text) is None


def _parsed(text: str) -> Json | None:
    """The text as JSON, as the YAML that servers print for records, or as a list of single words; None = prose."""
    body = text.strip()
    if body[:1] in {"{", "["} and body[-1:] in {"}", "]"}:
        try:
            # Depth is bounded by the parser's own recursion guard; a result too deep for it is prose.
            value: Json = json.loads(body)
        except (ValueError, RecursionError):
            pass
        else:
            return value
    return _parsed_lines(body)


def _parsed_lines(body: str) -> Json | None:
    if body.count("\n") >= FIELD_RULES.most_lines:
        return None
    pairs: list[Json] = []
    for name, value in _entries(body.split("\n")):
        if name is None:
            return None
        if value:
            pairs.append({name: value} if name else value)
    return pairs or None


def _entries(lines: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    """(name, value) of every line; (None, "") as soon as one line is neither an entry nor part of the value before."""
    at, parent, list_name = 0, -1, ""
    while at < len(lines):
        line = lines[at]
        at += 1
        if not line.strip():
            continue
        hit = _ENTRY.fullmatch(line)
        if hit is None:
            yield None, ""
            return
        parent = len(hit["indent"]) + len(hit["dashes"])
        name, value = hit["name"], hit["value"] if hit["name"] else hit["item"]
        if name is None:
            # A line without a name is a value only as an item of a list, or as a single word.
            if not hit["dashes"] and " " in (value or ""):
                yield None, ""
                return
            name = list_name if hit["dashes"] else ""
        elif value is None:
            list_name = name
        value, at = _whole(value or "", lines, at, parent)
        yield name.strip(), value


def _whole(value: str, lines: Sequence[str], at: int, parent: int) -> tuple[str, int]:
    """A value with the lines it goes on in: a quoted scalar up to its closing quote, a block or a folded line by its indent."""
    if value[:1] in {"'", '"'}:
        return _quoted(value, lines, at)
    block = _BLOCK.fullmatch(value) is not None
    parts = [] if block else [value]
    while at < len(lines):
        line = lines[at]
        deeper = len(line) - len(line.lstrip(" ")) > parent
        goes_on = deeper and (
            block
            or (bool(value) and (_ENTRY.fullmatch(line) or [None, None])[0] is not None and not _starts_entry(line))
        )
        if line.strip() and not goes_on:
            break
        if not line.strip() and not block and not _continues(lines, at, parent):
            break
        parts.append(line.strip())
        at += 1
    return "\n".join(parts).strip(), at


def _continues(lines: Sequence[str], at: int, parent: int) -> bool:
    following = next((line for line in lines[at : at + 8] if line.strip()), "")
    return len(following) - len(following.lstrip(" ")) > parent and not _starts_entry(following)


def _starts_entry(line: str) -> bool:
    hit = _ENTRY.fullmatch(line)
    return hit is not None and (bool(hit["dashes"]) or hit["name"] is not None)


def _quoted(value: str, lines: Sequence[str], at: int) -> tuple[str, int]:
    quote, parts = value[0], [value[1:]]
    while not _closes(parts[-1], quote):
        if at >= len(lines):
            # The quote never closes: all that follows is one text.
            return "\n".join(parts), at
        parts.append(lines[at].strip())
        at += 1
    parts[-1] = parts[-1][:-1]
    text = "\n".join(parts)
    if quote == "'":
        return text.replace("''", "'"), at
    return text.replace("\\\n", "").replace('\\"', '"').replace("\\n", "\n").replace("\\ ", " "), at


def _closes(line: str, quote: str) -> bool:
    line = line.rstrip()
    if not line.endswith(quote):
        return False
    if quote == "'":
        return (len(line) - len(line.rstrip("'"))) % 2 == 1
    rest = line[:-1]
    return (len(rest) - len(rest.rstrip("\\"))) % 2 == 0
