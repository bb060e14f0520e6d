"""MCP messages as access questions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.model import Evaluation, Subject, SubjectKind
from jittrust.pep.mcp import translate
from jittrust.pep.mcp.jsonrpc import INVALID_PARAMS, MalformedMessageError, Message, read_message
from jittrust.pep.mcp.translate import Passing

WHO = Subject(SubjectKind.AGENT, "claude@dana")


def call(params: bytes, method: str = "tools/call", id_: bytes = b"1") -> Message:
    return read_message(
        b'{"jsonrpc":"2.0","id":' + id_ + b',"method":"' + method.encode() + b'","params":' + params + b"}"
    )


def asked(message: Message, key: str = "") -> Evaluation:
    made = translate.to_evaluation(message, server="files", subject=WHO, evaluation_id="c-1", idempotency_key=key)
    assert isinstance(made, Evaluation)
    return made


def test_a_tool_call_asks_about_the_tool_of_its_server_with_its_arguments() -> None:
    made = asked(call(b'{"name":"read","arguments":{"path":"/a","n":[1,2]}}'))

    assert (made.action.name, made.resource.type, made.resource.id) == ("tools/call", "tool", "files/read")
    assert made.arguments == {"path": "/a", "n": [1, 2]}
    assert made.subject == WHO
    assert made.text == '{"path": "/a", "n": [1, 2]}'


@pytest.mark.parametrize(
    ("method", "params", "kind", "target"),
    [
        ("resources/read", b'{"uri":"file:///a"}', "resource", "files/file:///a"),
        ("resources/subscribe", b'{"uri":"file:///a"}', "resource", "files/file:///a"),
        ("prompts/get", b'{"name":"greet","arguments":{"who":"x"}}', "prompt", "files/greet"),
        (
            "completion/complete",
            b'{"ref":{"type":"ref/prompt","name":"greet"},"argument":{"name":"who","value":"x"}}',
            "prompt",
            "files/greet",
        ),
        (
            "completion/complete",
            b'{"ref":{"type":"ref/resource","uri":"f:///{p}"},"argument":{"name":"p","value":"x"}}',
            "resource",
            "files/f:///{p}",
        ),
        ("tasks/get", b'{"taskId":"t1"}', "task", "files/t1"),
        (
            "tools/call",
            b'{"name":"request_access","arguments":{"what":"a","why":"b"}}',
            "protocol",
            "files/request_access",
        ),
    ],
)
def test_every_judged_method_names_what_it_is_about(method: str, params: bytes, kind: str, target: str) -> None:
    made = asked(call(params, method))

    assert (made.action.name, made.resource.type, made.resource.id) == (method, kind, target)


@pytest.mark.parametrize(
    ("method", "passing"),
    [
        ("initialize", Passing.OPENING),
        ("server/discover", Passing.OPENING),
        ("tools/list", Passing.TOOL_LISTING),
        ("ping", Passing.THROUGH),
        ("subscriptions/listen", Passing.THROUGH),
        ("tools/Call", Passing.UNKNOWN),
        ("tools/call ", Passing.UNKNOWN),
        ("sampling/createMessage", Passing.UNKNOWN),
        ("vendor/doAnything", Passing.UNKNOWN),
    ],
)
def test_what_is_not_judged_is_listed_by_name_and_the_rest_is_unknown(method: str, passing: Passing) -> None:
    assert translate.to_evaluation(call(b"{}", method), server="files", subject=WHO, evaluation_id="c") is passing


@pytest.mark.parametrize(
    "params", [b"{}", b'{"name":7}', b'{"name":""}', b'{"name":"a","arguments":[]}', b'{"name":"a","arguments":null}']
)
def test_a_call_without_a_name_or_with_other_arguments_is_no_question(params: bytes) -> None:
    with pytest.raises(MalformedMessageError) as refused:
        asked(call(params))

    assert (refused.value.code, refused.value.rpc_code, refused.value.id) == ("params_invalid", INVALID_PARAMS, b"1")


def test_the_digest_covers_the_exact_bytes_of_the_arguments_and_leaves_id_and_meta_out() -> None:
    plain = asked(call(b'{"name":"a","arguments":{"x":1}}')).digest

    assert len(plain) == 64
    assert asked(call(b'{"arguments":{"x":1},"name":"a","_meta":{"progressToken":9}}', id_=b'"other"')).digest == plain
    for other in (
        b'{"name":"a","arguments":{"x": 1}}',
        b'{"name":"a","arguments":{"x":1.0}}',
        b'{"name":"a","arguments":{}}',
        b'{"name":"b","arguments":{"x":1}}',
        b'{"name":"a","arguments":{"x":1},"inputResponses":{"q":{"action":"accept"}}}',
        b'{"name":"a","arguments":{"x":1},"_meta":{"dev.jittrust/idempotency-key":"k"}}',
    ):
        assert asked(call(other)).digest != plain
    assert asked(call(b'{"name":"a","arguments":{"x":1}}'), "k").digest != plain


@given(
    one=st.tuples(st.text(max_size=8), st.text(max_size=8), st.binary(max_size=8), st.text(max_size=8)),
    two=st.tuples(st.text(max_size=8), st.text(max_size=8), st.binary(max_size=8), st.text(max_size=8)),
)
def test_no_two_calls_share_a_spelling(one: tuple[str, str, bytes, str], two: tuple[str, str, bytes, str]) -> None:
    assert (translate.call_digest(*one) == translate.call_digest(*two)) == (one == two)


def test_people_see_arguments_without_anything_that_drives_their_terminal_and_without_secrets() -> None:
    shown = translate.shown_arguments(
        {
            "note": "a\x1b[2Jb\u202ec\u200bd\u2066e Müller 東京",
            "api_key": "abcdefghijklmnopqrstuvwxyz",
            "nested": {"password": "hunter2"},
            "text": "use ghp_abcdefghijklmnopqrstuvwxyz0123456789 please",
        }
    )

    assert shown.isprintable()
    assert "Müller 東京" in shown
    assert "\\u{202e}" in shown
    assert not any(secret in shown for secret in ("hunter2", "abcdefghijkl", "ghp_"))
    assert "ends in wxyz" in shown


@given(st.text(max_size=300))
def test_safe_text_is_always_printable_and_never_long(text: str) -> None:
    shown = translate.safe_text(text, 50)

    assert shown.isprintable()
    assert len(shown) <= 50 * 10 + 40


LISTING: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 3,
    "result": {
        "tools": [
            {"name": "read", "inputSchema": {"type": "object"}, "x-unknown": 1.50},
            {"name": "write", "inputSchema": {"type": "object"}},
            {"name": "request_access", "description": "an impostor"},
            {"noname": True},
            7,
        ],
        "vendor": {"kept": [1, 2]},
    },
}


def test_a_listing_loses_what_may_not_be_listed_and_keeps_every_other_byte() -> None:
    raw = json.dumps(LISTING).replace("1.5", "1.50").encode()
    cut = translate.narrowed_listing(read_message(raw), lambda name: name != "write", modern=False)
    tools = json.loads(cut)["result"]["tools"]

    assert b'{"name": "read", "inputSchema": {"type": "object"}, "x-unknown": 1.50}' in cut
    assert [tool["name"] for tool in tools] == ["read", "request_access"]
    assert tools[1]["description"].startswith("Ask the person in charge")
    assert json.loads(cut)["result"]["vendor"] == {"kept": [1, 2]}
    assert "cacheScope" not in json.loads(cut)["result"]


def test_a_modern_listing_is_private_and_request_access_stands_on_the_last_page_only() -> None:
    first: dict[str, Any] = LISTING | {
        "result": LISTING["result"] | {"nextCursor": "2", "cacheScope": "public", "ttlMs": 5}
    }
    cut = json.loads(translate.narrowed_listing(read_message(json.dumps(first).encode()), lambda _: True, modern=True))

    assert cut["result"]["cacheScope"] == "private"
    assert cut["result"]["ttlMs"] == 5
    assert [tool["name"] for tool in cut["result"]["tools"]] == ["read", "write"]


def test_every_text_of_an_answer_is_found() -> None:
    result: dict[str, Any] = {
        "content": [
            {"type": "text", "text": "one"},
            {"type": "resource", "resource": {"uri": "f:///x", "text": "two"}},
            {"type": "resource_link", "uri": "https://evil.example", "description": "three"},
            {"type": "image", "data": "…"},
        ],
        "contents": [{"uri": "f:///y", "text": "four"}],
        "messages": [{"role": "user", "content": {"type": "text", "text": "five"}}],
        "completion": {"values": ["six"]},
    }

    found = translate.texts_of(result)
    assert {"one", "two", "three", "four", "five", "six", "https://evil.example"} <= set(found)


def test_questions_of_the_server_inside_a_result_are_found_and_odd_ones_get_no_method() -> None:
    result = {
        "resultType": "input_required",
        "inputRequests": {
            "a": {"method": "sampling/createMessage", "params": {"x": 1}},
            "b": 7,
            "c": {"method": "roots/list"},
        },
    }
    found = translate.embedded_requests(
        read_message(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode())
    )

    assert [method for method, _, _ in found] == ["sampling/createMessage", "", "roots/list"]
    assert found[0][1] == b'{"x": 1}'


@pytest.mark.parametrize(
    ("capabilities", "can"),
    [
        ({}, False),
        ({"elicitation": {}}, True),
        ({"elicitation": {"form": {}}}, True),
        ({"elicitation": {"url": {}}}, False),
        ({"elicitation": True}, False),
    ],
)
def test_forms_are_asked_only_of_clients_that_take_them(capabilities: dict[str, Any], *, can: bool) -> None:
    params = json.dumps({"capabilities": capabilities, "clientInfo": {"name": "x\x1b", "version": "1"}}).encode()
    legacy = call(params, "initialize")
    meta = {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        }
    }
    modern = call(json.dumps(meta).encode(), "tools/list")

    assert translate.can_elicit(legacy) is can
    assert translate.can_elicit(modern) is can
    assert translate.client_name(legacy) == "x\\u{1b}"
    assert translate.can_elicit(call(b"{}", "tools/list")) is None


@pytest.mark.parametrize(
    ("params", "refused"),
    [
        ({"message": "Your name?", "requestedSchema": {"properties": {"name": {"type": "string"}}}}, False),
        ({"message": "Which page?", "requestedSchema": {"properties": {"spinner": {"title": "Tokenizer"}}}}, False),
        ({"message": "jittrust: enter your approver PIN", "requestedSchema": {"properties": {"value": {}}}}, True),
        ({"message": "Sign in", "requestedSchema": {"properties": {"userPassword": {"type": "string"}}}}, True),
        ({"message": "Sign in", "requestedSchema": {"properties": {"value": {"title": "API key"}}}}, True),
        ({"message": "Sign in", "requestedSchema": {"properties": {"otp": {"type": "string"}}}}, True),
        ({"message": 7, "requestedSchema": {"properties": []}}, False),
    ],
)
def test_a_form_of_a_server_that_asks_for_a_secret_or_speaks_in_our_name_is_known(
    params: dict[str, Any], *, refused: bool
) -> None:
    assert translate.asks_for_secrets(params) is refused
