"""Headers that say something else than the body are refused."""

from __future__ import annotations

import base64
import json

import pytest

from jittrust.core.model import Json
from jittrust.pep.mcp.http_wire import (
    Era,
    WireRefusal,
    accepts,
    check_modern,
    check_params,
    decode_value,
    era_of,
    mcp_headers,
)
from jittrust.pep.mcp.jsonrpc import Message, read_message

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


def call(**params: object) -> Message:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, "name": "pay", **params}}
    return read_message(json.dumps(body).encode())


def headers(**changes: str | None) -> dict[str, str]:
    named = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "pay"}
    named |= {name.replace("_", "-"): value for name, value in changes.items() if value is not None}
    return {
        name: value
        for name, value in named.items()
        if name.replace("-", "_") not in changes or changes[name.replace("-", "_")]
    }


def test_a_request_whose_headers_say_what_its_body_says_passes() -> None:
    assert check_modern(headers(), call()) is None
    encoded = "=?base64?" + base64.b64encode("zahlen ä".encode()).decode() + "?="
    assert check_modern(headers(mcp_name=encoded), call(name="zahlen ä")) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"mcp_method": "tools/list"},
        {"mcp_method": "TOOLS/CALL"},
        {"mcp_method": None},
        {"mcp_name": "read"},
        {"mcp_name": None},
        {"mcp_name": "=?base64?cGF5?"},
        {"mcp_name": "=?base64?cGF6?="},
        {"mcp_name": "=?base64?cGF5=?="},
        {"mcp_protocol_version": "2025-11-25"},
        {"mcp_protocol_version": None},
    ],
)
def test_a_header_that_differs_from_the_body_is_a_mismatch(changes: dict[str, str | None]) -> None:
    refused = check_modern(headers(**changes), call())
    assert refused is not None
    assert (refused.status, refused.rpc_code) == (400, -32020)


def test_a_header_that_comes_twice_is_refused_even_when_both_agree() -> None:
    found = mcp_headers([(b"mcp-name", b"pay"), (b"mcp-method", b"tools/call"), (b"mcp-name", b"pay")])
    assert isinstance(found, WireRefusal)
    assert found.rpc_code == -32020


def test_white_space_around_a_header_is_no_part_of_it() -> None:
    assert mcp_headers([(b"mcp-name", b"  pay \t")]) == {"mcp-name": "pay"}


def test_an_envelope_without_capabilities_is_refused() -> None:
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": {"_meta": {k: v for k, v in META.items() if "Version" in k}},
    }
    refused = check_modern(headers(mcp_method="tools/list"), read_message(json.dumps(body).encode()))
    assert refused is not None
    assert (refused.status, refused.rpc_code) == (400, -32602)


def test_an_unknown_revision_names_those_that_are_served() -> None:
    strange = {**META, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": strange}}
    message = read_message(json.dumps(body).encode())
    refused = check_modern({"mcp-protocol-version": "2031-01-01", "mcp-method": "ping"}, message)
    assert refused is not None
    assert refused.rpc_code == -32022
    assert refused.data["supported"] == ["2026-07-28"]


def test_a_body_with_the_modern_envelope_is_modern_whatever_the_header_says() -> None:
    assert era_of({"mcp-protocol-version": "2025-11-25"}, call()) is Era.MODERN
    assert era_of({}, call()) is Era.MODERN
    assert era_of({"mcp-protocol-version": "2025-11-25"}, None) is Era.LEGACY
    assert era_of({}, None) is Era.LEGACY
    assert era_of({"mcp-protocol-version": "2031-01-01"}, None) is Era.MODERN


SCHEMA: dict[str, Json] = {
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "where": {"properties": {"row": {"type": "integer", "x-mcp-header": "Row"}}},
    }
}


def test_a_mirrored_argument_and_its_header_must_agree() -> None:
    assert (
        check_params(
            {"mcp-param-region": "eu", "mcp-param-row": "42.0"}, SCHEMA, {"region": "eu", "where": {"row": 42}}
        )
        is None
    )
    assert check_params({}, SCHEMA, {}) is None
    for said in ({}, {"mcp-param-region": "us"}, {"mcp-param-region": "eu", "mcp-param-row": "7"}):
        refused = check_params(said, SCHEMA, {"region": "eu"})
        assert refused is not None
        assert refused.rpc_code == -32020


def test_only_a_sound_sentinel_decodes() -> None:
    assert decode_value("plain") == "plain"
    assert decode_value("=?base64?cGF5?=") == "pay"
    for broken in ("=?base64?!!?=", "=?base64?cGF?=", "=?base64?/w==?=", "=?base64?cGFy\n?="):
        assert decode_value(broken) is None


def test_accept_is_read_as_a_list() -> None:
    assert accepts([(b"accept", b"application/json, text/event-stream;q=0.9")]) == (True, True)
    assert accepts([(b"accept", b"application/json")]) == (True, False)
    assert accepts([(b"accept", b"*/*")]) == (True, True)
    assert accepts([]) == (False, False)
