"""What answers say beside what was asked: the gas that is left, who gives grants, what a page of an allowed origin may read."""

from __future__ import annotations

import json

import pytest

from jittrust.core.grant.claims import InvalidTokenError
from jittrust.core.grant.present import InvalidProofError
from jittrust.core.units import Instant
from jittrust.pep.asgi import AsgiMessage, Headers
from jittrust.pep.mcp import jsonrpc
from jittrust.pep.mcp.http import McpEndpoint
from jittrust.pep.mcp.http_auth import TokenSource, challenge_for_pass, challenges, metadata_address

GAS = b'"dev.jittrust/gas":7'


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b'{"id":1, "result" : { "x": 1.50 , "y":[ ] }}', b'{"id":1, "result" : { "x": 1.50 , "y":[ ] ,"_meta":{%s}}}'),
        (b'{"result":{},"id":"a"}', b'{"result":{"_meta":{%s}},"id":"a"}'),
        (b'{"result":{"_meta":{"a/b": 1.0}, "z":0}}', b'{"result":{"_meta":{"a/b": 1.0,%s}, "z":0}}'),
        (b'{"result":{"_meta":{ }}}', b'{"result":{"_meta":{ %s}}}'),
        (b'{"result":{"_meta":{"dev.jittrust/gas":9999}}}', b'{"result":{"_meta":{%s}}}'),
    ],
)
def test_a_result_says_what_is_left_and_keeps_every_other_byte(reply: bytes, told: bytes) -> None:
    assert jsonrpc.with_gas(reply, 7) == told.replace(b"%s", GAS)


@pytest.mark.parametrize(
    "reply", [b'{"id":1,"error":{"code":1,"message":"m"}}', b'{"result":[1]}', b'{"result":{"_meta":"odd"}}', b"{}"]
)
def test_what_has_no_place_for_it_stays_as_it_is(reply: bytes) -> None:
    assert jsonrpc.with_gas(reply, 7) == reply


def test_every_401_says_where_the_resource_tells_who_gives_grants_for_it() -> None:
    address = metadata_address("https://a.example/", "/mcp/files")
    named = f'resource_metadata="{address}"'.encode()

    assert address == "https://a.example/.well-known/oauth-protected-resource/mcp/files"
    for error in (None, InvalidTokenError("no_token", "x"), InvalidTokenError("ended", "x")):
        assert [named in value for _, value in challenges(error, address)] == [True, True]
    assert named in challenges(InvalidProofError("wrong_body", "x"), address)[0][1]
    assert named in challenge_for_pass(address)[1]
    assert challenges(None)[1] == (b"www-authenticate", b"Bearer")


@pytest.mark.parametrize(
    "path", ["/mcp/", "/mcp/a/b", '/mcp/a"b', "/mcp/a b", "/mcp/\u00e4", "/other", "/mcp/a\r\nx", "/mcp/" + "a" * 65]
)
def test_nothing_of_an_odd_path_comes_back_in_a_header(path: str) -> None:
    assert metadata_address("https://a.example", path) == "https://a.example/.well-known/oauth-protected-resource"


async def asked(method: str, headers: Headers, origins: tuple[str, ...]) -> tuple[int, dict[bytes, bytes]]:
    sent: list[AsgiMessage] = []

    async def send(message: AsgiMessage) -> None:
        sent.append(message)

    async def receive() -> AsgiMessage:
        return {"type": "http.request", "body": b""}

    source = TokenSource("https://a.example", {}, lambda: Instant(0))
    endpoint = McpEndpoint(None, source, "ada", {}, "https://a.example", origins=origins)  # type: ignore[arg-type]
    scope = {"type": "http", "method": method, "path": "/mcp/files", "headers": list(headers)}
    await endpoint(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


PAGE = (b"origin", b"https://page.example")
PREFLIGHT = (
    PAGE,
    (b"access-control-request-method", b"POST"),
    (b"access-control-request-headers", b"Authorization, DPoP, mcp-param-path, x-other, MCP-Protocol-Version"),
)


async def test_a_page_of_an_allowed_origin_may_read_the_pass_and_what_is_left() -> None:
    status, headers = await asked("POST", [PAGE], ("https://page.example",))

    assert status == 401
    assert headers[b"access-control-allow-origin"] == b"https://page.example"
    assert headers[b"vary"] == b"Origin"
    assert {b"DPoP-Nonce", b"Jittrust-Gas", b"WWW-Authenticate"} <= set(
        headers[b"access-control-expose-headers"].split(b", ")
    )
    assert b"access-control-allow-credentials" not in headers


@pytest.mark.parametrize("origins", [(), ("https://other.example",)])
async def test_a_page_of_any_other_origin_reads_nothing(origins: tuple[str, ...]) -> None:
    for method, sent in (("POST", [PAGE]), ("OPTIONS", [*PREFLIGHT])):
        status, headers = await asked(method, sent, origins)
        assert status in {401, 405}
        assert not [name for name in headers if name.startswith(b"access-control")]


async def test_the_browsers_own_question_names_the_headers_that_are_taken_and_no_others() -> None:
    status, headers = await asked("OPTIONS", PREFLIGHT, ("https://page.example",))

    assert status == 204
    assert headers[b"access-control-allow-headers"] == b"authorization, dpop, mcp-param-path, mcp-protocol-version"
    assert headers[b"access-control-allow-methods"] == b"POST, GET, DELETE"
    assert headers[b"cache-control"] == b"no-store"


def test_gas_is_told_as_a_whole_number() -> None:
    told = json.loads(jsonrpc.with_gas(b'{"result":{"resultType":"complete"}}', 1234))

    assert told["result"]["_meta"] == {"dev.jittrust/gas": 1234}
