"""Ledger records: one canonical spelling, a place in the chain, and the five links that explain an action.

A record is a JSON object. Its leaf (what is hashed and stored) is that object with two members more, in canonical JSON:

- `index`: its place in the ledger, from 0;
- `prev`: the RFC 6962 leaf hash of the record before it, 64 hex digits; 64 zeros for the first.

`prev` is the leaf hash of the tree and not a second, plain hash: every record then vouches for the tree leaf before it, so that an edited record
can be named exactly from the records behind it and the signed root (`core.ledger.verify`).

Canonical JSON is RFC 8785 (JCS): members sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them. Refused are whole numbers
beyond ±2^53 that other readers would round, and more than 64 levels.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring
from typing import cast

from jittrust.core.errors import BadInputError
from jittrust.core.ledger.tree import leaf_hash
from jittrust.core.model import Json

FIRST_PREV = "0" * 64
MOST_DEPTH = 64
_MOST_WHOLE = 2**53
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_LONGEST_PLAIN = 21  # ECMAScript Number::toString: from 10^21 on the exponent form
_SMALLEST_PLAIN = -6  # and below 10^-6
_MOST_KEPT = 32  # names of one object whose order is kept
_LONGEST_KEPT = 512  # characters of all of them


class RecordKind(StrEnum):
    """What a record tells. Closed for those who write; a reader lets other words pass, so that an old verifier reads a newer ledger."""

    USE = "use"  # a call was judged, paid for and goes out: durable before it does
    REFUSAL = "refusal"  # a call was judged and does not go out
    OUTCOME = "outcome"  # what came back of a call that went out
    PASS = "pass"
    MISSION = "mission"  # a mission was proposed, approved, changed or ended
    GRANT = "grant"  # a grant was issued, ended, or a lane opened
    APPROVAL = "approval"  # a question to a person was asked, answered, used
    TOOL = "tool"  # a tool definition was pinned, changed, approved
    IDENTITY = "identity"  # a subject, blueprint, entry, ticket, passkey or directory user was made, changed or ended
    ISSUANCE = "issuance"  # a document was signed: by which key, for whom, until when
    AUTHORITY = "authority"  # a signing authority was prepared, activated, tainted, revoked
    FEDERATION = "federation"  # a foreign trust domain was trusted, refreshed, let go
    OAUTH = "oauth"  # a client, request or renewal of the authorization server was made, answered, redeemed or ended
    STOP = "stop"  # the kill switch was pulled or lifted
    STORE = "store"  # the store itself: found older than its fence


# These say why an action was let through or not, so they carry the five links.
LINKED_KINDS = frozenset({RecordKind.USE, RecordKind.REFUSAL})


@dataclass(frozen=True, slots=True)
class Links:
    """The five links from a person's words to what was done, each an object of the record.

    Attributes:
        prompt: whose words they were, under which mission and generation, and their digest.
        intent: intent code of the call, factors, WIS, drift, origins of its values.
        policy: what decided: ruling, authority entry, reasons.
        grant: grant, lane, pass number and price that paid.
        action: method, target and digest of the arguments.
    """

    prompt: Mapping[str, Json]
    intent: Mapping[str, Json]
    policy: Mapping[str, Json]
    grant: Mapping[str, Json]
    action: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """A record read back. `body` is the record as it was written, without `index` and `prev`."""

    index: int
    prev: str
    kind: str
    links: Links | None
    body: Mapping[str, Json]


def canonical(body: Mapping[str, Json]) -> bytes:
    """Return `body` in canonical JSON (RFC 8785), UTF-8.

    Raises:
        BadInputError: code `not_canonical`: NaN or infinity, a whole number that a double cannot hold, a lone surrogate, a member name that is no string,
            a value JSON does not have, or more than 64 levels.
    """
    parts: list[str] = []
    _write(body, parts, MOST_DEPTH)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError:
        raise BadInputError("not_canonical", "a record holds half a surrogate pair") from None


def leaf(body: Mapping[str, Json], index: int, prev: str) -> bytes:
    """Return the leaf of a record: `body` with its place, canonical.

    Args:
        body: the record; must have a `kind` and neither `index` nor `prev`.
        index: its place, >= 0.
        prev: `link(leaf before)`, `FIRST_PREV` for index 0.

    Raises:
        BadInputError: code `not_canonical` (see `canonical`) or `bad_record`.
    """
    if "index" in body or "prev" in body:
        raise BadInputError("bad_record", "a record brings no `index` and no `prev`: the ledger gives them")
    kind = body.get("kind")
    if not isinstance(kind, str) or not _KIND.match(kind):
        raise BadInputError("bad_record", f"a record needs a `kind`, a snake_case word, not {kind!r}")
    return canonical({**body, "index": index, "prev": prev})


def link(before: bytes) -> str:
    """What the record after leaf `before` carries as `prev`: its RFC 6962 leaf hash, 64 hex digits."""
    return leaf_hash(before).hex()


def check_record(entry: bytes) -> LedgerRecord:
    """Read a leaf back and check it whole: canonical spelling, place, kind, links.

    Raises:
        BadInputError: code `bad_record`, or `missing_link` when a record that explains an action lacks one of the five links.
    """
    try:
        read = json.loads(entry)
    except (ValueError, RecursionError):
        raise BadInputError("bad_record", "a record is not JSON") from None
    if not isinstance(read, dict):
        raise BadInputError("bad_record", "a record is not a JSON object")
    body = cast("dict[str, Json]", read)
    if canonical(body) != entry:
        raise BadInputError("bad_record", "a record is not in canonical JSON")
    index, prev, kind = body.pop("index", None), body.pop("prev", None), body.get("kind")
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise BadInputError("bad_record", f"`index` is not a place: {index!r}")
    if not isinstance(prev, str) or not _HEX64.match(prev):
        raise BadInputError("bad_record", "`prev` is not 64 hex digits")
    if not isinstance(kind, str) or not _KIND.match(kind):
        raise BadInputError("bad_record", f"`kind` is not a word: {kind!r}")
    return LedgerRecord(index, prev, kind, _links(kind, body), body)


def _links(kind: str, body: Mapping[str, Json]) -> Links | None:
    if kind not in LINKED_KINDS:
        return None
    found: dict[str, Mapping[str, Json]] = {}
    for name in Links.__dataclass_fields__:
        value = body.get(name)
        if not isinstance(value, Mapping):
            raise BadInputError("missing_link", f"a record of kind `{kind}` lacks the link `{name}`")
        found[name] = value
    return Links(**found)


def _write(value: Json, parts: list[str], depth: int) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, int):
        parts.append(_whole(value))
    elif isinstance(value, float):
        parts.append(_number(float(value)))
    elif depth == 0:
        raise BadInputError("not_canonical", f"a record is nested more than {MOST_DEPTH} deep")
    elif type(value) is dict or isinstance(value, Mapping):
        _write_object(value, parts, depth - 1)
    elif isinstance(value, list | tuple):
        parts.append("[")
        for position, item in enumerate(value):
            if position:
                parts.append(",")
            _write(item, parts, depth - 1)
        parts.append("]")
    else:
        raise BadInputError("not_canonical", f"a record holds a {type(value).__name__}, which JSON does not have")


def _write_object(value: Mapping[str, Json], parts: list[str], depth: int) -> None:
    opening = "{"
    for name, spelled in _members(tuple(value)):
        item = value[name]
        if type(item) is str:  # most members are text, and a call less for each is a third of the time
            parts.append(f"{opening}{spelled}:{encode_basestring(item)}")
        elif type(item) is int and -_MOST_WHOLE <= item <= _MOST_WHOLE:
            parts.append(f"{opening}{spelled}:{item}")
        elif item is None:
            parts.append(f"{opening}{spelled}:null")
        elif type(item) is dict and depth:
            parts.append(f"{opening}{spelled}:")
            _write_object(item, parts, depth - 1)
        else:
            parts.append(f"{opening}{spelled}:")
            _write(item, parts, depth)
        opening = ","
    parts.append("}" if opening == "," else "{}")


def _members(names: tuple[str, ...]) -> Sequence[tuple[str, str]]:
    """The names in order, each with its spelling."""
    try:
        few = len(names) <= _MOST_KEPT and sum(map(len, names)) <= _LONGEST_KEPT
    except TypeError:
        few = False  # a name that is no string: `_sorted` says so
    return _kept(names) if few else _sorted(names)


@lru_cache(maxsize=512)
def _kept(names: tuple[str, ...]) -> Sequence[tuple[str, str]]:
    """Records have few shapes. What is kept is bounded, whoever chose the names."""
    return _sorted(names)


def _sorted(names: tuple[str, ...]) -> Sequence[tuple[str, str]]:
    try:
        # For ASCII names the order of code points is the order of UTF-16 code units.
        ordered = sorted(names) if all(map(str.isascii, names)) else sorted(names, key=_utf16)
    except TypeError:
        raise BadInputError("not_canonical", "a member's name is not a string") from None
    return [(name, encode_basestring(name)) for name in ordered]


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")


def _whole(value: int) -> str:
    """A whole number; beyond ±2^53 only one that is already the spelling of a double, as a double that was written reads back."""
    digits = int.__repr__(value)
    if -_MOST_WHOLE <= value <= _MOST_WHOLE:
        return digits
    if len(digits) > _LONGEST_PLAIN + 1 or _number(float(value)) != digits:
        raise BadInputError(
            "not_canonical", "a record holds a whole number beyond ±2^53 that other readers would round"
        )
    return digits


def _number(value: float) -> str:
    """A double as ECMAScript prints it (RFC 8785 §3.2.2.3). Python's repr has the same shortest digits; only the form differs."""
    if not math.isfinite(value):
        raise BadInputError("not_canonical", "a record holds a number that is not finite")
    if value == 0:
        return "0"  # -0 too
    plain = repr(value)
    if "e" not in plain:  # 10^-4 up to 10^16: there both print the same digits without an exponent
        return plain.removesuffix(".0")
    sign = "-" if value < 0 else ""
    # Here the mantissa is one digit before the point: d.ddd, without zeros at the end.
    mantissa, _, exponent = plain.removeprefix("-").partition("e")
    digits = mantissa.replace(".", "")
    point = 1 + int(exponent)  # where the point stands, counted from the first digit
    if 0 < point <= _LONGEST_PLAIN:  # 10^16 and more, so at most 17 digits are all before the point
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    if _SMALLEST_PLAIN < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if power > 0 else '-'}{abs(power)}"
