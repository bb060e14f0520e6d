"""Which parts of a tool's result are fields and which are free text.

Where a value stood is what separates an address that a directory returned from one that a stranger wrote into a mail. A field is a short, whole
value of a structured result whose name does not say "text". Everything else is free text, and so is all of a text that does not parse as a
whole: a few lines that look like fields inside prose are what an attacker would write.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.roles import leaves, role_of_name
from jittrust.core.intent.words import LiteralKind, fold, literals, name_words, stem
from jittrust.core.model import Json


@dataclass(frozen=True, slots=True)
class FieldRules:
    """What counts as a field."""

    longest_field: int = 160  # characters; longer values are free text
    most_words: int = 12  # words; longer values are free text
    most_fields: int = 3_000  # fields of one result; the rest is free text
    most_lines: int = 4_000  # lines of a text that are read as records; a longer text is free text
    most_leaves: int = 12_000  # values of one structured result that are read; what lies beyond is lost
    longest_literal: int = (
        32_768  # characters of a value that is read as a printed list or record of a programming language
    )
    deepest_literal: int = 24  # levels of such a value
    label_words: int = 5  # words of a name or title; a longer one is a sentence that somebody wrote
    most_free: int = 256  # free texts of one result that are kept apart; the rest is joined


FIELD_RULES = FieldRules()

_ENTRY = re.compile(
    r"(?P<indent> *)(?P<dashes>(?:- +)*)(?:(?P<name>[\w .\-/']{1,80}):(?: +(?P<value>\S.*))?|(?P<item>\S.*)?)"
)
_BLOCK = re.compile(r"[|>][+\-]?\d?")
_SENTENCE = re.compile(r"[.!?;]\s")
_HEADER = re.compile(r"(?P<name>[^<>@\n]{1,80}) <(?P<address>[^<>@\s]{1,80}@[^<>@\s]{1,80})>")
_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*+'|\"(?:[^\"\\\n]|\\.)*+\"")
_PRINTED = re.compile(r"(?:[\s\[\](){},:]|True|False|None|-?\d[\d.eE+\-]*+)*+")
_BRACKET = re.compile(r"[\[\](){}]")
_SAID = 2  # words from which a name may be a sentence
_LONGEST_NAME = 6  # words
_PROSE = frozenset(
    "please me you your my we us our i this that these those is are was be it now and or just also then here there following".split()
)
_LEADS_ON = frozenset(("to", "at", "via"))
_LABELS = frozenset(
    stem(word)
    for word in (
        "name title label nick nickname alias handle display channel room group topic status headline heading filename tag category location place "
        "venue city company organization organisation team project about bio motto signature purpose"
    ).split()
)
# "host name", "domain name", "site": these do name an address.
_NO_LABELS = frozenset(
    stem(word) for word in "host domain server site user login account email mail url uri link dns principal".split()
)
_ADDRESSES = frozenset({LiteralKind.EMAIL, LiteralKind.URL, LiteralKind.IBAN, LiteralKind.PHONE})
_ADDRESS_SIGNS = ("@", ".", "://", "+", *map(str, range(10)))


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
        inner = _printed(path, text) if isinstance(leaf, str) else None
        if inner is not None:
            _from_printed(path, inner, fields, free)
        elif len(fields) < FIELD_RULES.most_fields and _is_field(path, text):
            _take(path, text, fields, free)
        elif text.strip():
            free.append(text)


def _take(path: str, text: str, fields: list[tuple[str, str]], free: list[str]) -> None:
    """A field; of `Ada Lovelace <ada@example.com>` the address is one, and the name is what somebody calls themselves."""
    header = _HEADER.fullmatch(text.strip())
    if header is not None:
        fields.append((path, header["address"]))
        free.append(header["name"])
    else:
        fields.append((path, text))


def _printed(path: str, text: str) -> Json | None:
    """A value that is itself a printed list or record; None = it is a plain text. What people write is never taken apart."""
    if text[:1] not in {"[", "{"} or role_of_name(_named(path)) is ArgumentRole.CONTENT:
        return None
    return _literal(text)


def _from_printed(path: str, value: Json, fields: list[tuple[str, str]], free: list[str]) -> None:
    for inside, leaf in islice(leaves(value), FIELD_RULES.most_leaves):
        if isinstance(leaf, bool) or leaf is None:
            continue
        text = leaf if isinstance(leaf, str) else str(leaf)
        if len(fields) < FIELD_RULES.most_fields and _is_field(f"{path}{inside}", text):
            _take(f"{path}{inside}", text, fields, free)
        elif text.strip():
            free.append(text)


def _named(path: str) -> str:
    return next((part for part in reversed(path.split("/")) if part and not part.isdigit()), "")


def _is_field(path: str, text: str) -> bool:
    if len(text) > FIELD_RULES.longest_field or "\n" in text.strip() or len(text.split()) > FIELD_RULES.most_words:
        return False
    named = _named(path)
    if role_of_name(named) is ArgumentRole.CONTENT or _SENTENCE.search(text) is not None:
        return False
    if not _is_label(named):
        # An address that is only a part of a value was written into it.
        return _HEADER.fullmatch(text.strip()) is not None or not _holds_address(text, whole=False)
    return len(text.split()) <= FIELD_RULES.label_words and not _holds_address(text, whole=True)


def _is_label(name: str) -> bool:
    """Whether a field holds what somebody calls something: people choose such words freely, so that an address in them is no fact."""
    parts = [stem(word) for word in name_words(name[:256])]
    return bool(parts) and parts[-1] in _LABELS and not any(part in _NO_LABELS for part in parts)


def _holds_address(text: str, *, whole: bool) -> bool:
    """Whether an address stands in a value; `whole`: it may also be all of it."""
    if not any(sign in text for sign in _ADDRESS_SIGNS):
        return False
    folded = len(fold(text).strip("'\"`.,;: "))
    return any(whole or len(one.text) < folded - 1 for one in literals(text, _ADDRESSES))


def _parsed(text: str) -> Json | None:
    """The text as JSON, as the YAML that servers print for records, or as a list of single words; None = prose."""
    body = text.strip()
    found = _literal(body)
    if found is not None:
        return found
    return _parsed_lines(body)


def _literal(body: str) -> Json | None:
    """A text that is JSON, or a list or record as a programming language prints it, as a whole; None = neither."""
    if body[:1] in {"{", "["} and body[-1:] in {"}", "]"}:
        try:
            # Depth is bounded by the parser's own recursion guard; a result too deep for it is prose.
            value: Json = json.loads(body)
        except (ValueError, RecursionError):
            pass
        else:
            return value
        if len(body) <= FIELD_RULES.longest_literal and _PRINTED.fullmatch(_STRING.sub("", body)) is not None:
            return _evaluated(body)
    return None


def _evaluated(body: str) -> Json | None:
    """A literal of Python: strings, numbers, True, False and None in lists and records, and nothing else; None = it is none."""
    if _depth(body) > FIELD_RULES.deepest_literal:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stranger's backslashes are nobody's mistake here
            printed: Json = _as_json(ast.literal_eval(body))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    return printed


def _depth(body: str) -> int:
    """How deep brackets nest, strings included: more than there really are at most."""
    deepest = depth = 0
    for hit in _BRACKET.finditer(body):
        depth += 1 if hit.group() in "[{(" else -1
        deepest = max(deepest, depth)
    return deepest


def _as_json(value: object) -> Json:
    """What a literal is in JSON; tuples and sets are lists, names are texts."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict):
        return {str(name): _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_as_json(inner) for inner in value]
    return str(value)


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
        if hit is None or _is_prose(hit["name"]):
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


def _is_prose(name: str | None) -> bool:
    """Whether what stands before a colon is part of a sentence (“please send it to:”) and no name of a field."""
    said = (name or "").casefold().split()
    if len(said) < _SAID:
        return False
    return (
        len(said) > _LONGEST_NAME
        or not _PROSE.isdisjoint(said)
        or (said[-1] in _LEADS_ON and not said[0].endswith("ed") and said[0] != "reply")
    )


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
