"""What a message has to be before anybody acts on it, and what a cut leaves alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.errors import UnavailableError
from jittrust.core.problem import problem_of
from jittrust.pep.mcp import jsonrpc
from jittrust.pep.mcp.jsonrpc import MalformedMessageError, MessageKind, read_message
from jittrust.pep.mcp.stdio import LineCutter, TooLong

DEEP = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}}"

HOSTILE = [
    (b"", "json_syntax"),
    (b"hello", "json_syntax"),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping"', "json_syntax"),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}', "json_not_finite"),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', "json_duplicate_key"),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}', "json_duplicate_key"),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\ud800"}}', "json_lone_surrogate"),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xff"}}', "json_bad_utf8"),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\u0000"}}', "json_nul"),
    (DEEP, "json_too_deep"),
    (b"[]", "batch_unsupported"),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', "batch_unsupported"),
    (b'{"id":1,"method":"ping"}', "not_a_message"),
    (b'{"jsonrpc":"2.0","id":1}', "not_a_message"),
    (b'{"jsonrpc":"2.0","id":1,"method":7}', "not_a_message"),
    (b'{"jsonrpc":"2.0","id":1,"method":""}', "not_a_message"),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', "not_a_message"),
    (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', "not_a_message"),
    (b'{"jsonrpc":"2.0","result":{}}', "not_a_message"),
    (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', "bad_id"),
    (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', "bad_id"),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', "bad_id"),
    (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', "bad_id"),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', "params_not_object"),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":7}}', "params_not_object"),
]


@pytest.mark.parametrize(("line", "code"), HOSTILE)
def test_a_hostile_line_is_refused_with_its_code_and_a_well_formed_reply(line: bytes, code: str) -> None:
    with pytest.raises(MalformedMessageError) as refused:
        read_message(line)

    reply = json.loads(refused.value.reply())
    assert refused.value.code == code
    assert reply["error"]["data"] == {"code": code}
    assert reply["error"]["code"] in (jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST)
    assert b"\n" not in refused.value.reply()


def test_the_reply_to_a_broken_line_names_its_request_where_that_is_plain() -> None:
    with pytest.raises(MalformedMessageError) as first:
        read_message(b'{"jsonrpc":"2.0","id":"a-1","method":"ping","params":{"x":NaN}}')
    with pytest.raises(MalformedMessageError) as last:
        read_message(b'{"method":"ping","params":{"x":NaN},"jsonrpc":"2.0","id":77}')
    with pytest.raises(MalformedMessageError) as nested:
        read_message(b'{"params":{"id":5,"x":NaN}}')

    assert (first.value.id, last.value.id, nested.value.id) == (b'"a-1"', b"77", None)


def test_messages_are_told_apart_and_ids_keep_their_spelling() -> None:
    request = read_message(b' {"jsonrpc":"2.0","id":"\\u0061","method":"ping"}\r\n')
    same = read_message(b'{"jsonrpc":"2.0","id":"a","result":{}}')
    notice = read_message(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    error = read_message(b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}')

    assert (request.kind, request.id, request.key) == (MessageKind.REQUEST, b'"\\u0061"', "sa")
    assert (same.kind, same.key) == (MessageKind.RESULT, request.key)
    assert (notice.kind, notice.id) == (MessageKind.NOTIFICATION, None)
    assert (error.kind, error.id) == (MessageKind.ERROR, None)
    assert read_message(b'{"jsonrpc":"2.0","id":1,"method":"ping"}').key != "s1"


def test_what_a_server_answers_may_hold_nul_and_what_a_client_asks_may_not() -> None:
    line = b'{"jsonrpc":"2.0","id":1,"result":{"text":"a\\u0000b"}}'

    assert read_message(line, allow_nul=True).result == {"text": "a\0b"}
    with pytest.raises(MalformedMessageError, match="NUL"):
        read_message(line)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    body=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), JSON, max_size=6),
    ascii_=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_a_cut_changes_the_member_it_names_and_nothing_else(
    body: dict[str, Any], *, ascii_: bool, indent: int | None
) -> None:
    data = json.dumps(body, ensure_ascii=ascii_, indent=indent).encode()

    slots = {slot.name: data[slot.start : slot.end] for slot in jsonrpc.members(data)}
    assert {name: json.loads(raw) for name, raw in slots.items()} == body
    assert json.loads(jsonrpc.with_members(data, {})) == body
    for name in body:
        assert json.loads(jsonrpc.with_members(data, {name: b"[7]"})) == body | {name: [7]}
        assert json.loads(jsonrpc.with_members(data, {name: None})) == {k: v for k, v in body.items() if k != name}
    for name, value in body.items():
        if isinstance(value, list):
            raw = slots[name]
            assert [json.loads(raw[slot.start : slot.end]) for slot in jsonrpc.elements(raw)] == value


def test_a_cut_keeps_numbers_and_escapes_as_they_were_spelled() -> None:
    data = b'{"a": 1.50e+2, "b": "\\u00e9\\/", "c" : {"d": [1.0, 2], "e": 0}}'

    assert (
        jsonrpc.with_path(data, ("c",), {"e": b"9"}) == b'{"a": 1.50e+2, "b": "\\u00e9\\/", "c" : {"d":[1.0, 2],"e":9}}'
    )
    assert jsonrpc.with_path(data, ("b",), {"x": b"1"}) == data
    assert jsonrpc.with_path(data, ("missing",), {"x": b"1"}) == data


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=12),
    sizes=st.lists(st.integers(1, 17), min_size=1),
)
def test_lines_come_out_as_they_went_in_however_the_bytes_arrive(lines: list[bytes], sizes: list[int]) -> None:
    data, cutter, out = b"".join(line + b"\n" for line in lines), LineCutter(20), list[bytes | TooLong]()
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        out += cutter.feed(data[at : at + size])
        at += size

    assert len(out) == len(lines)
    for came, went in zip(out, lines, strict=True):
        if len(went) <= 20:
            assert came == went
        else:
            assert isinstance(came, TooLong)
            assert (came.size, came.head) == (len(went), went)


def test_a_line_of_ten_megabytes_is_not_kept_and_the_stream_stays_in_step() -> None:
    cutter = LineCutter(8 * 1024 * 1024)
    long = b'{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"x":"' + b"a" * 10_000_000 + b'"}}'
    out: list[bytes | TooLong] = []
    for at in range(0, len(long), 65_536):
        out += cutter.feed(long[at : at + 65_536])
    assert sum(map(len, cutter._parts)) <= 8 * 1024 * 1024
    out += cutter.feed(b"\n{}\n")

    assert isinstance(out[0], TooLong)
    assert out[0].size == len(long)
    assert jsonrpc.guess_id(out[0].head, out[0].tail) == b"4"
    assert out[1:] == [b"{}"]


def test_a_caller_is_not_told_where_the_store_lies() -> None:
    error = UnavailableError(
        "store_unavailable", "the store /home/ada/state/jittrust.db cannot be used: disk full", "Free some space."
    )

    for told in (jsonrpc.failure_reply(b"1", error), problem_of(error)):
        assert b"store_unavailable" in told
        assert b"ada" not in told
        assert b"disk" not in told
