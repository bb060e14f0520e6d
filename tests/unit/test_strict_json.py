"""The one JSON parser of every edge."""

import json
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.errors import BadInputError
from jittrust.core.model import Json
from jittrust.core.strict_json import MAX_BYTES, MAX_DEPTH, parse, parse_object, raw_member

BAD: list[tuple[str, bytes, str]] = [
    ("a line of 10 MB", b'"' + b"x" * 10_000_000 + b'"', "json_too_large"),
    ("arrays 10,000 deep", b"[" * 10_000 + b"]" * 10_000, "json_too_deep"),
    ("objects 10,000 deep", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "json_too_deep"),
    ("open arrays without an end", b"[" * 1_000_000, "json_too_deep"),
    ("both kinds in turn", b'[{"a":' * 5_000, "json_too_deep"),
    ("one level too many", b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "json_too_deep"),
    ("depth behind quotes and backslashes", b'["\\\\","\\"[","]",' + b"[" * 64 + b"]" * 64 + b"]", "json_too_deep"),
    ("more objects than allowed", b"[" + b"[]," * 100_001 + b"[]]", "json_too_many_keys"),
    ("more members than allowed", b"{" + b",".join(b'"%d":1' % n for n in range(100_001)) + b"}", "json_too_many_keys"),
    ("a name twice", b'{"a":1,"a":2}', "json_duplicate_key"),
    ("a name twice in another spelling", b'{"a":1,"\\u0061":2}', "json_duplicate_key"),
    ("a name twice, deep down", b'[{"x":[{"a":{},"b":1,"a":0}]}]', "json_duplicate_key"),
    ("NaN", b'{"a":NaN}', "json_not_finite"),
    ("Infinity", b"[Infinity]", "json_not_finite"),
    ("-Infinity", b"-Infinity", "json_not_finite"),
    ("1e400", b"1e400", "json_not_finite"),
    ("-1e400", b"[-1e400]", "json_not_finite"),
    ("2^64", str(2**64).encode(), "json_number_range"),
    ("-2^63-1", str(-(2**63) - 1).encode(), "json_number_range"),
    ("a million digits", b"1" * 1_000_000, "json_number_range"),
    ("a fraction of a million digits", b"0." + b"1" * 1_000_000, "json_number_range"),
    ("an exponent of a million digits", b"1e" + b"1" * 1_000_000, "json_number_range"),
    ("a lone high surrogate", b'"\\ud800"', "json_lone_surrogate"),
    ("a lone low surrogate", b'"\\udc00"', "json_lone_surrogate"),
    ("two high surrogates", b'"\\ud83d\\ud83d\\ude00"', "json_lone_surrogate"),
    ("a pair and a low surrogate", b'"\\uD83D\\uDE00\\uDE00"', "json_lone_surrogate"),
    ("a lone surrogate as a name", b'{"\\udfff":1}', "json_lone_surrogate"),
    ("a lone surrogate behind backslashes", b'"\\\\\\\\\\ud800"', "json_lone_surrogate"),
    ("a raw surrogate", b'"\xed\xa0\x80"', "json_bad_utf8"),
    ("a byte that is not UTF-8", b'"\xff"', "json_bad_utf8"),
    ("an over-long slash", b'"\xc0\xaf"', "json_bad_utf8"),
    ("a cut character", b'"\xe2\x82', "json_bad_utf8"),
    ("beyond Unicode", b'"\xf4\x90\x80\x80"', "json_bad_utf8"),
    ("Latin-1", b'"caf\xe9"', "json_bad_utf8"),
    ("UTF-16 with a mark", '{"a":1}'.encode("utf-16"), "json_bom"),
    ("UTF-16 without a mark", '{"a":1}'.encode("utf-16-le"), "json_nul"),
    ("UTF-32", '{"a":1}'.encode("utf-32-be"), "json_nul"),
    ("UTF-8 with a mark", b"\xef\xbb\xbf{}", "json_bom"),
    ("a raw NUL", b'"a\x00b"', "json_nul"),
    ("an escaped NUL", b'"a\\u0000b"', "json_nul"),
    ("an escaped NUL behind backslashes", b'"\\\\\\u0000"', "json_nul"),
    ("nothing", b"", "json_syntax"),
    ("white space", b" \n", "json_syntax"),
    ("garbage", b"hello", "json_syntax"),
    ("a comma too many", b"[1,]", "json_syntax"),
    ("two values", b"1 2", "json_syntax"),
    ("a second document", b"{}\n{}", "json_syntax"),
    ("single quotes", b"{'a':1}", "json_syntax"),
    ("a comment", b"{} // x", "json_syntax"),
    ("a leading zero", b"01", "json_syntax"),
    ("a plus sign", b"+1", "json_syntax"),
    ("hexadecimal", b"0x10", "json_syntax"),
    ("a bare point", b"1.", "json_syntax"),
    ("an unknown escape", b'"\\x41"', "json_syntax"),
    ("a short escape", b'"\\u00e"', "json_syntax"),
    ("an escape with a sign", b'"\\u+123"', "json_syntax"),
    ("a raw control character", b'"a\nb"', "json_syntax"),
    ("an open string", b'"abc', "json_syntax"),
    ("a wrong bracket", b"[1}", "json_syntax"),
    ("a name that is no string", b"{1:2}", "json_syntax"),
    ("a non-breaking space", "\u00a0{}".encode(), "json_syntax"),
    ("Python's True", b"True", "json_syntax"),
]

GOOD: list[tuple[bytes, Json]] = [
    (b' {"a" : [1, -0.5, true, false, null, "x"]} \r\n\t', {"a": [1, -0.5, True, False, None, "x"]}),
    (b'{"a":1,"b":{"a":1},"A":1}', {"a": 1, "b": {"a": 1}, "A": 1}),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    ('"\U0001f600\u20ac"'.encode(), "\U0001f600\u20ac"),
    (b'"\\\\ud800 \\\\u0000"', "\\ud800 \\u0000"),
    (str(2**64 - 1).encode(), 2**64 - 1),
    (str(-(2**63)).encode(), -(2**63)),
    (b"1e308", 1e308),
    (b"1e-400", 0.0),
    (b'"1234567890123456789012345678901234567890"', "1234567890123456789012345678901234567890"),
    (b'["' + b"[" * 1000 + b'"]', ["[" * 1000]),
    (b'["\\"' + b"[" * 1000 + b'\\\\"]', ['"' + "[" * 1000 + "\\"]),
]


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_json_is_refused_with_its_code_and_quickly(data: bytes, code: str) -> None:
    began = time.process_time()

    with pytest.raises(BadInputError) as refused:
        parse(data)

    assert refused.value.code == code
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(("data", "value"), GOOD)
def test_every_good_twin_is_taken_as_it_is(data: bytes, value: Json) -> None:
    assert parse(data) == value


def test_limits_hold_to_the_edge() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    largest = b'"' + b"x" * (MAX_BYTES - 2) + b'"'
    wide = b"[" + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b",[]" * 1000 + b"]"

    assert parse(largest) == "x" * (MAX_BYTES - 2)
    assert parse(wide) == json.loads(wide)
    assert parse(deepest) == json.loads(deepest)
    assert parse(b"[1]", max_depth=1) == [1]
    assert parse(b"1", max_depth=0) == 1
    assert parse(b'{"a":{"b":1}}', max_keys=2) == {"a": {"b": 1}}
    for refused in ((b"[[1]]", 1), (b"[]", 0)):
        with pytest.raises(BadInputError, match="json_too_deep"):
            parse(refused[0], max_depth=refused[1])
    with pytest.raises(BadInputError, match="json_too_many_keys"):
        parse(b'{"a":{"b":1},"c":2}', max_keys=2)


def test_a_depth_limit_beyond_the_stack_ends_in_a_code_and_not_in_a_crash() -> None:
    deep = sys.getrecursionlimit() * 50

    with pytest.raises(BadInputError, match="json_too_deep"):
        parse(b"[" * deep + b"]" * deep, max_depth=deep)
    with pytest.raises(BadInputError, match="json_too_deep"):
        raw_member(b"[" * deep + b"]" * deep, ())


def test_an_escaped_nul_passes_only_where_it_is_asked_for() -> None:
    assert parse(b'"a\\u0000b"', allow_nul=True) == "a\x00b"


def test_an_object_is_demanded_where_an_object_is_needed() -> None:
    assert parse_object(b'{"a":1}') == {"a": 1}
    with pytest.raises(BadInputError, match="json_not_object"):
        parse_object(b"[1]")


@pytest.mark.parametrize(
    ("data", "path", "raw"),
    [
        (b'{"a": {"b" : [1, 2 ] } }', ("a", "b"), b"[1, 2 ]"),
        (
            b'{"params":{"name":"x","arguments": {"p":1.50, "q":"\\u0041"}}}',
            ("params", "arguments"),
            b'{"p":1.50, "q":"\\u0041"}',
        ),
        (b" [1] ", (), b"[1]"),
        (b'{"a":1}', ("b",), None),
        (b"{}", ("a",), None),
        (b'[{"a":1}]', ("a",), None),
        (b'{"a":1}', ("a", "b"), None),
        (b'{"\\u0061":1,"b":2}', ("a",), b"1"),
        ('{"é":"ü€", "b":"ß"}'.encode(), ("é",), '"ü€"'.encode()),
        ('{"é":"ü€", "b":"ß"}'.encode(), ("b",), '"ß"'.encode()),
        (b'{"\\u00e9":1}', ("é",), b"1"),
        (b'{"x":{"arguments":1},"arguments":2}', ("arguments",), b"2"),
        (b'{"x":"\\"arguments\\":3","arguments":{}}', ("arguments",), b"{}"),
        (b'{"a":-1e5,"b":null}', ("a",), b"-1e5"),
        (b'{"":7}', ("",), b"7"),
    ],
)
def test_the_exact_bytes_of_a_member_are_found(data: bytes, path: tuple[str, ...], raw: bytes | None) -> None:
    parse(data)

    assert raw_member(data, path) == raw


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b'{"a" 1}', b"{1:2}", b'{"b":1 "a":2}']
)
def test_broken_bytes_give_a_code_and_no_member(data: bytes) -> None:
    with pytest.raises(BadInputError, match="json_syntax"):
        raw_member(data, ("z",))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_whatever_json_writes_is_read_back_the_same(value: Json, ascii_only: bool) -> None:  # noqa: FBT001
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_either_parsed_as_the_reference_does_or_refused(data: bytes) -> None:
    try:
        ours = parse(data)
    except BadInputError:
        return
    assert ours == json.loads(data)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), json_values, min_size=1
    ),
    st.data(),
)
def test_the_bytes_of_a_member_parse_to_its_value(document: dict[str, Json], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(document)))
    text = json.dumps(
        document, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 1]))
    ).encode()

    raw = raw_member(text, (name,))

    assert raw is not None
    assert parse(raw) == document[name]
    assert text.count(raw) >= 1
