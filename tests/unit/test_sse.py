"""Server-sent events: cut as they come, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.errors import BadInputError
from jittrust.pep.mcp.sse import EventCutter, ServerEvent, read_event, replace_data, write_event

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
FIELDS = st.sampled_from(
    [b"data: {}", b"data:x", b"event: message", b"id: 7", b": note", b"retry: 100", b"data: \xc3\xa4"]
)
EVENTS = st.lists(st.tuples(st.lists(FIELDS, min_size=1, max_size=4), ENDS), min_size=1, max_size=5)


def written(events: list[tuple[list[bytes], bytes]]) -> bytes:
    return b"".join(b"".join(field + end for field in fields) + end for fields, end in events)


@given(EVENTS, st.lists(st.integers(1, 7), max_size=60))
def test_a_stream_cut_at_any_place_gives_the_same_bytes_and_the_same_data(
    events: list[tuple[list[bytes], bytes]], steps: list[int]
) -> None:
    # A comment behind the last event tells a lone CR from half of a CRLF.
    stream = written(events) + b": end"
    whole = EventCutter(10_000)
    wanted = list(whole.feed(stream))
    parts = EventCutter(10_000)
    found: list[ServerEvent] = []
    at = 0
    for step in [*steps, len(stream)]:
        found += parts.feed(stream[at : at + step])
        at += step
    assert found == wanted
    assert b"".join(event.raw for event in found) + parts.rest == stream
    assert len(found) == len(events)


def test_data_lines_are_joined_and_comments_carry_none() -> None:
    assert read_event(b"id: 5\ndata: a\ndata:b\n\n").data == b"a\nb"
    assert read_event(b"id: 5\ndata: a\n\n").id == "5"
    assert read_event(b": keep-alive\n\n").data is None
    assert read_event(b"id: 1\ndata: \n\n").data is None  # the priming event of a resumable stream


def test_an_event_over_the_limit_is_refused_before_it_ends() -> None:
    cutter = EventCutter(1000)
    assert list(cutter.feed(b"data: " + b"x" * 990 + b"\n")) == []
    with pytest.raises(BadInputError) as refused:
        list(cutter.feed(b"data: more"))
    assert refused.value.code == "event_too_large"


def test_replaced_data_keeps_the_other_fields() -> None:
    event = read_event(b"event: message\nid: 9\nretry: 3\ndata: {old}\n\n")
    assert replace_data(event, b"{}") == b"event: message\nid: 9\nretry: 3\ndata: {}\n\n"
    assert read_event(write_event(b"{}", "4")).data == b"{}"
