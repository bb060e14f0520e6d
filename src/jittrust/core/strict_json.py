r"""The one JSON parser of every edge: what it lets through means the same thing to every reader.

Refused, each with its own code (`BadInputError`, HTTP 400):

| code | what came |
|---|---|
| `json_too_large` | more bytes than `max_bytes` |
| `json_bom` | a byte order mark (RFC 8259 §8.1: must not be added) |
| `json_nul` | a NUL, raw (UTF-16 and UTF-32 text has them) or as `\u0000`: it ends a string for whoever reads with C or SQL |
| `json_bad_utf8` | anything that is not UTF-8, raw surrogates and over-long forms included |
| `json_too_deep` | arrays and objects nested deeper than `max_depth` |
| `json_too_many_keys` | more object members, or more arrays and objects, in all than `max_keys` |
| `json_duplicate_key` | one member name twice in one object (RFC 8259 §4: readers differ on which one wins) |
| `json_not_finite` | `NaN`, `Infinity`, or a number like `1e400` that overflows a double |
| `json_number_range` | a whole number outside -2^63..2^64-1 (what every store and writer here keeps exactly) or one of over 512 characters |
| `json_lone_surrogate` | half of a UTF-16 pair as an escape: no UTF-8 text can carry it |
| `json_syntax` | everything else that RFC 8259 does not allow |

Work and memory grow linearly with the input; nothing recurses deeper than `max_depth`.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import NoReturn, cast

from jittrust.core.errors import BadInputError
from jittrust.core.model import Json

MAX_BYTES = 4 * 1024 * 1024
"""Default size limit: a large tool result fits, a 10 MB line does not."""
MAX_DEPTH = 64
"""Default nesting limit. JSON Schemas of real tools stay under 20."""
MAX_KEYS = 100_000
"""Default limit of object members, and of arrays and objects, in the whole document."""

_MAX_NUMBER = 512  # the longest double written out in full (1e-308 with 17 digits) has about 330 characters
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1
# Looking for one digit nineteen times over is ten times faster than looking for nineteen digits with a pattern.
_ONE_DIGIT = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F])\\u[dD][c-fC-F]", re.DOTALL
)
_SPACE = re.compile(r"[ \t\n\r]*")
_SPACES = frozenset(" \t\n\r")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEP)

Pairs = list[tuple[str, Json]]


def _object(pairs: Pairs) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise BadInputError("json_duplicate_key", f"the member {name[:80]!r} appears twice in one object")
    return made


def _constant(text: str) -> NoReturn:
    raise BadInputError("json_not_finite", f"{text} is not a JSON number")


def _real(text: str) -> float:
    if len(text) > _MAX_NUMBER:
        raise BadInputError("json_number_range", f"a number of {len(text)} characters")
    made = float(text)
    if made - made != 0.0:
        raise BadInputError("json_not_finite", f"{text[:40]} is larger than any double")
    return made


def _whole(text: str) -> int:
    if len(text) > len(str(_LOWEST)) + 1 or not _LOWEST <= (made := int(text)) <= _HIGHEST:
        raise BadInputError("json_number_range", f"the whole number {text[:40]} lies outside -2^63..2^64-1")
    return made


# Building a decoder costs more than parsing a small document, so the four are made once. They keep no state.
_PLAIN = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_real)
_WITH_LONG_NUMBERS = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_real, parse_int=_whole
)
# For spans only: nothing is checked again, values are thrown away.
_SCAN = json.JSONDecoder(parse_int=len, parse_float=len).scan_once  # type: ignore[attr-defined]


def parse(
    data: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_keys: int = MAX_KEYS,
    allow_nul: bool = False,
) -> Json:
    r"""Parse one JSON text, or refuse it with the code that the module's table gives.

    Args:
        data: the bytes as they came, without the line end of the transport (white space around the value is allowed).
        max_bytes: largest size, in bytes.
        max_depth: deepest nesting; a bare scalar has depth 0, `[]` has depth 1.
        max_keys: most object members, and most arrays and objects, in the whole document.
        allow_nul: let the escape `\u0000` through (for what a tool returned, which is shown and never stored as a name).

    Raises:
        BadInputError: see the module's table.

    Source:
        RFC 8259; RFC 7493 (I-JSON) §2.1, §2.3.
    """
    if len(data) > max_bytes:
        raise BadInputError("json_too_large", f"{len(data)} bytes of JSON, at most {max_bytes} are taken")
    text = _text(data)
    if b"\\" in data:
        _check_escapes(data, allow_nul=allow_nul)
    # A text without that many opening brackets cannot be nested that deep: most texts are not scanned at all.
    if data.count(b"[") + data.count(b"{") > max_depth:
        _check_nesting(data, max_depth, max_keys)
    decoder = _WITH_LONG_NUMBERS if _LONG_NUMBER in data.translate(_ONE_DIGIT) else _PLAIN
    if data.count(b":") > max_keys:
        decoder = _counting(max_keys)
    try:
        return cast("Json", decoder.decode(text))
    except json.JSONDecodeError as error:
        raise BadInputError("json_syntax", f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise BadInputError("json_too_deep", "nested deeper than this caller's stack allows") from None


def parse_object(
    data: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_keys: int = MAX_KEYS,
    allow_nul: bool = False,
) -> dict[str, Json]:
    """Like `parse`, for a text that must be an object.

    Raises:
        BadInputError: code `json_not_object`, or as `parse`.
    """
    made = parse(data, max_bytes=max_bytes, max_depth=max_depth, max_keys=max_keys, allow_nul=allow_nul)
    if not isinstance(made, dict):
        raise BadInputError("json_not_object", "a JSON object is wanted here")
    return made


def raw_member(data: bytes, path: tuple[str, ...]) -> bytes | None:
    """The exact bytes of the value at `path`, a chain of member names from the top; None where there is no such member.

    `data` must have gone through `parse`, which refused duplicate names: so there is one such value, and its bytes are the ones that every
    reader sees. Nothing is normalised; white space around the value is left out. The empty path gives the whole value.

    Raises:
        BadInputError: code `json_syntax` or `json_too_deep` for bytes that `parse` would have refused.
    """
    # In Latin-1 one character is one byte, so the C scanner's offsets are byte offsets; JSON's own signs are all ASCII.
    text = data.decode("latin-1")
    try:
        start = _skip(text, 0)
        for name in path:
            found = _member(text, start, name)
            if found is None:
                return None
            start = found
        _, end = _SCAN(text, start)
    except (StopIteration, IndexError, json.JSONDecodeError):
        raise BadInputError("json_syntax", "not JSON") from None
    except RecursionError:
        raise BadInputError("json_too_deep", "nested deeper than this caller's stack allows") from None
    return data[start:end]


def _text(data: bytes) -> str:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise BadInputError("json_bom", "a byte order mark starts the text; send UTF-8 without one")
    if b"\x00" in data:
        raise BadInputError("json_nul", "a NUL byte is in the text; is it UTF-16? Send UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInputError("json_bad_utf8", f"not UTF-8 at byte {error.start}") from None


def _check_escapes(data: bytes, *, allow_nul: bool) -> None:
    nul = not allow_nul and b"\\u0000" in data
    surrogate = _ESCAPED_SURROGATE.search(data) is not None
    if not (nul or surrogate):
        return
    # With the pairs of backslashes gone, every backslash left starts an escape.
    escapes = data.replace(b"\\\\", b"__")
    if nul and b"\\u0000" in escapes:
        raise BadInputError("json_nul", "a string holds the escape for NUL")
    if surrogate and _LONE_SURROGATE.search(escapes):
        raise BadInputError("json_lone_surrogate", "a string holds half of a surrogate pair")


def _check_nesting(data: bytes, max_depth: int, max_keys: int) -> None:
    """Linear, without recursion: drop the strings, keep the brackets, add them up.

    The parser cannot get deeper than this sum says: as far as a text is well formed the strings are found rightly, and behind the first
    error nothing is parsed.
    """
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(None, _NOT_BRACKETS)
    # The usual bomb is one long run; it is seen without adding up.
    run = b"[" * (max_depth + 1) in brackets.replace(b"{", b"[")
    if not run and len(brackets) > 2 * max_keys:
        raise BadInputError("json_too_many_keys", f"more than {max_keys} arrays and objects")
    if run or max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > max_depth:
        raise BadInputError("json_too_deep", f"arrays and objects are nested deeper than {max_depth}")


def _counting(max_keys: int) -> json.JSONDecoder:
    left = max_keys

    def count(pairs: Pairs) -> dict[str, Json]:
        nonlocal left
        left -= len(pairs)
        if left < 0:
            raise BadInputError("json_too_many_keys", f"more than {max_keys} object members")
        return _object(pairs)

    return json.JSONDecoder(object_pairs_hook=count, parse_constant=_constant, parse_float=_real, parse_int=_whole)


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] not in _SPACES:  # mostly there is none
        return at
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _member(text: str, at: int, name: str) -> int | None:
    """Where the value of member `name` of the object at `at` starts; None if it is no object or has no such member."""
    if text[at] != "{":
        return None
    at = _skip(text, at + 1)
    while text[at] != "}":
        _expect(text, at, '"')
        start, (_, at) = at, _SCAN(text, at)
        raw = text[start:at]
        at = _skip(text, at)
        _expect(text, at, ":")
        at = _skip(text, at + 1)
        # The Latin-1 reading is right only for where things are: a name is read once more, as UTF-8.
        plain = raw.isascii() and "\\" not in raw
        if name == (raw[1:-1] if plain else json.loads(raw.encode("latin-1").decode("utf-8", "surrogateescape"))):
            return at
        _, at = _SCAN(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
            _expect(text, at, '"')
        else:
            _expect(text, at, "}")
    return None


def _expect(text: str, at: int, sign: str) -> None:
    if text[at] != sign:
        raise json.JSONDecodeError(f"expecting {sign}", text, at)
