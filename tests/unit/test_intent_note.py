"""The note to adjacent agents: it holds no words, it is read strictly, and it can only add distance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.errors import BadInputError
from jittrust.core.intent.cascade import CASCADE_RULES, cascade, noted
from jittrust.core.intent.note import NOTE_SCHEMA, UNREADABLE_NOTE, note_json, note_of, read_note
from jittrust.core.model import Evaluation, Subject, SubjectKind
from jittrust.pep.mcp.jsonrpc import MAX_MESSAGE_BYTES, Message, read_message
from jittrust.pep.mcp.translate import INTENT_NOTE, to_evaluation, with_note

KEY = bytes(range(32))
OTHER = bytes(32)
PUBLISHED = Path(__file__).parents[2] / "docs" / "schemas" / "intent-note-1.json"
VALID = jsonschema.Draft202012Validator(NOTE_SCHEMA)
NOTE = note_of(KEY, "m-1", "Send a mail to anna@example.com", "g-1", "C.send_external", 2, 0.31)
RAW: dict[str, Any] = dict(note_json(NOTE))

values = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70), st.floats(-1, 2), st.just(float("nan")), st.just(float("inf")), st.text(max_size=24),
    st.just("A" * 22), st.just("D.delete"), st.lists(st.integers(), max_size=2),
)  # fmt: skip


def call(meta: object = None) -> Message:
    params: dict[str, object] = {"name": "send", "arguments": {"to": "a"}}
    if meta is not None:
        params["_meta"] = meta
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    return read_message(raw, max_bytes=MAX_MESSAGE_BYTES)


def asked(message: Message) -> Evaluation:
    found = to_evaluation(message, server="srv", subject=Subject(SubjectKind.AGENT, "a"), evaluation_id="c")
    assert isinstance(found, Evaluation)
    return found


def test_a_note_that_was_written_is_read_as_it_was_and_is_what_the_published_schema_says() -> None:
    assert read_note(json.loads(json.dumps(RAW))) == NOTE
    VALID.validate(RAW)
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == NOTE_SCHEMA
    assert len(json.dumps(RAW)) < 512


def test_a_note_holds_no_word_of_the_goal_and_no_name_and_another_broker_cannot_recognise_it() -> None:
    wire = json.dumps(RAW)
    assert not any(word in wire for word in ("anna", "mail", "m-1", "g-1"))
    other = note_of(OTHER, "m-1", "Send a mail to anna@example.com", "g-1", "C.send_external", 2, 0.31)
    assert {other.mission, other.goal, other.grant}.isdisjoint({NOTE.mission, NOTE.goal, NOTE.grant})
    under_another_mission = note_of(KEY, "m-2", "Send a mail to anna@example.com", "g-1", "", 0, None)
    assert under_another_mission.goal != NOTE.goal, "the same goal twice is not told"


def test_a_distance_is_told_coarsely_and_never_nearer_than_it_is() -> None:
    told = [note_of(KEY, "m", "g", "g", "", 0, far).distance for far in (0.0, 0.001, 0.31, 0.5, 0.97, 1.0, 7.0)]
    assert told == [0.0, 0.05, 0.35, 0.5, 1.0, 1.0, 1.0]


def test_a_short_key_writes_no_note() -> None:
    with pytest.raises(BadInputError, match="32 bytes"):
        note_of(b"short", "m", "g", "g", "", 0, None)


@given(
    st.dictionaries(st.sampled_from([*RAW, "more"]), values, max_size=3),
    st.sets(st.sampled_from(sorted(RAW)), max_size=1),
)
def test_the_reader_takes_exactly_what_the_schema_takes(changed: dict[str, Any], dropped: set[str]) -> None:
    raw = {name: value for name, value in {**RAW, **changed}.items() if name not in dropped}
    taken = True
    try:
        read_note(raw)
    except BadInputError:
        taken = False
    # JSON has no NaN and no infinity, so a schema says nothing of them; the reader refuses them.
    finite = not any(isinstance(value, float) and value - value != 0.0 for value in raw.values())
    assert taken == (finite and VALID.is_valid(raw))


@pytest.mark.parametrize("raw", [None, 7, "note", [], {}, [RAW], {**RAW, "v": 2}, {**RAW, "goal": "x" * 100_000}])
def test_what_is_no_note_is_refused_with_a_code(raw: object) -> None:
    with pytest.raises(BadInputError) as refused:
        read_note(raw)
    assert refused.value.code == "bad_note"


def test_a_callers_note_comes_with_the_question_and_one_that_cannot_be_read_counts_as_no_good_sign() -> None:
    assert asked(call()).note is None
    assert asked(call({INTENT_NOTE: RAW})).note == NOTE
    for bad in (None, {}, {**RAW, "hop": -1}, "trust me"):
        assert asked(call({INTENT_NOTE: bad})).note == UNREADABLE_NOTE
    unread = noted(UNREADABLE_NOTE)
    assert unread.distance == CASCADE_RULES.unread


def test_a_note_changes_nothing_of_what_is_judged_but_the_distance() -> None:
    plain, told = asked(call()), asked(call({INTENT_NOTE: RAW}))
    assert (plain.digest, plain.arguments) == (told.digest, told.arguments)


@given(st.floats(0, 1), st.lists(st.floats(0, 1), max_size=4))
def test_a_note_never_brings_a_call_nearer_to_the_goal(claimed: float, later: list[float]) -> None:
    hops = [replace(noted(NOTE), distance=far) for far in later]
    without = cascade(hops)
    with_note_of_caller = cascade([noted(replace(NOTE, distance=claimed)), *hops])
    assert with_note_of_caller is not None
    assert float(with_note_of_caller.value or 0.0) >= (0.0 if without is None else float(without.value or 0.0))


@pytest.mark.parametrize(
    "meta", [None, {}, {"progressToken": 1, "x/y": [1.50]}, {INTENT_NOTE: {"forged": True}, "a": 1}]
)
def test_the_note_goes_out_in_place_of_whatever_the_caller_said_under_its_name(meta: object) -> None:
    message = call(meta)
    sent = json.loads(with_note(message, NOTE))
    assert sent["params"]["_meta"].pop(INTENT_NOTE) == RAW
    left = dict(meta) if isinstance(meta, dict) else {}
    left.pop(INTENT_NOTE, None)
    assert sent["params"].pop("_meta") == left
    assert sent["params"] == {"name": "send", "arguments": {"to": "a"}}


def test_without_a_note_a_callers_own_does_not_go_on_and_other_messages_stay_byte_for_byte() -> None:
    assert json.loads(with_note(call({INTENT_NOTE: RAW, "a": 1}), None))["params"]["_meta"] == {"a": 1}
    plain = call({"a": 1})
    assert with_note(plain, None) is plain.raw
    listing = read_message(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', max_bytes=100)
    assert with_note(listing, NOTE) is listing.raw
