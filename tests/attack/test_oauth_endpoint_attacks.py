"""What comes to the endpoints that is not exactly right: refused with a word that OAuth knows and a code, and never a fault of the server."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest
from tests.oauthing import (
    CREDENTIALS,
    ISSUER,
    ORIGIN,
    RESOURCE,
    TOKEN,
    OAuthWorld,
    as_workload,
    dpop,
    error_of,
    key,
    oauth_world,
    working,
)

from jittrust.api.oauth.form import MAX_FORM, parse_form
from jittrust.core.grant import jws
from jittrust.core.grant.present import InvalidProofError, check_key_proof
from jittrust.core.oauth.client import ClientMethod
from jittrust.core.oauth.error import OAUTH_ERRORS, OAuthError
from jittrust.core.oauth.server_metadata import GRANT_TYPES, server_metadata
from jittrust.core.units import Instant

FORM = {"content-type": "application/x-www-form-urlencoded"}
ENDPOINTS = ("/oauth/token", "/oauth/par", "/oauth/bc-authorize")
GOOD = b"grant_type=client_credentials&client_id=x"

HOSTILE: list[tuple[bytes, dict[str, str], str]] = [
    (b"", FORM, "invalid_request"),
    (GOOD + b"&client_id=x", FORM, "invalid_request"),
    (GOOD + b"&grant_type=client_credentials", FORM, "invalid_request"),
    (GOOD + b"&grant%5Ftype=authorization_code", FORM, "invalid_request"),
    (GOOD + b"&resource=" + RESOURCE.encode() + b"&resource=" + ISSUER.encode(), FORM, "invalid_target"),
    (GOOD + b"&resource=https://other.example/", FORM, "invalid_target"),
    (GOOD + b"&resource=" + RESOURCE.encode() + b"/", FORM, "invalid_target"),
    (GOOD + b"&resource=" + ISSUER.encode() + b"/mcp/", FORM, "invalid_target"),
    (GOOD + b"&resource=" + ISSUER.encode() + b"/mcp/srv/../mail", FORM, "invalid_target"),
    (GOOD + b"&resource=" + ISSUER.upper().encode() + b"/mcp/srv", FORM, "invalid_target"),
    (GOOD + b"&audience=" + RESOURCE.encode() + b"&resource=" + ISSUER.encode(), FORM, "invalid_target"),
    (GOOD, {"content-type": "application/json"}, "invalid_request"),
    (GOOD, {"content-type": "text/plain"}, "invalid_request"),
    (GOOD, {"content-type": "application/x-www-form-urlencoded; charset=utf-16"}, "invalid_request"),
    (GOOD, {"content-type": "multipart/form-data; boundary=x"}, "invalid_request"),
    (GOOD, {**FORM, "content-encoding": "gzip"}, "invalid_request"),
    (GOOD + b"&x=%zz", FORM, "invalid_request"),
    (GOOD + b"&x=%", FORM, "invalid_request"),
    (GOOD + b"&x=%ff", FORM, "invalid_request"),
    (GOOD + b"&x=\xff", FORM, "invalid_request"),
    (GOOD + b"&x=%c0%80", FORM, "invalid_request"),
    (GOOD + b"&x=%00", FORM, "invalid_request"),
    (GOOD + b"&x=a%08b", FORM, "invalid_request"),
    (GOOD + b"&&x=1", FORM, "invalid_request"),
    (GOOD + b"&=1", FORM, "invalid_request"),
    (GOOD + b"&a%20b=1", FORM, "invalid_request"),
    (GOOD + b"&" + b"n" * 65 + b"=1", FORM, "invalid_request"),
    (GOOD + b"&x=" + b"a" * MAX_FORM, FORM, "invalid_request"),
    (b"&".join(b"p%d=1" % n for n in range(65)), FORM, "invalid_request"),
    (GOOD + b"&client_secret=x", FORM, "invalid_client"),
    (GOOD, {**FORM, "authorization": "Basic eDp5"}, "invalid_client"),
    (GOOD, {**FORM, "authorization": "Bearer x"}, "invalid_client"),
]


async def post(there: OAuthWorld, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    async with there.web() as web:
        return await web.post(path, content=content, headers=headers)


@pytest.mark.parametrize("row", range(len(HOSTILE)))
async def test_a_form_that_is_not_exactly_one_is_refused_at_every_endpoint(row: int) -> None:
    content, headers, word = HOSTILE[row]
    there = await oauth_world()
    for path in ENDPOINTS:
        answer = await post(there, path, content, headers)
        if path != "/oauth/token" and not content:
            # Without any parameter the other endpoints miss the client first.
            assert error_of(answer)[1] == "invalid_client"
            continue
        assert (answer.status_code, error_of(answer)[1]) == (OAUTH_ERRORS[word], word)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()) <= {"error", "error_description", "code", "next_step"}


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_parameters_in_the_url_are_refused(path: str) -> None:
    there = await oauth_world()

    answer = await post(there, f"{path}?grant_type=client_credentials", GOOD, FORM)

    assert error_of(answer) == (400, "invalid_request", "parameters_in_url")


@pytest.mark.parametrize("path", [*ENDPOINTS, "/oauth/register"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_the_endpoints_of_programs_are_posted_to(method: str, path: str) -> None:
    there = await oauth_world()
    async with there.web() as web:
        assert (await web.request(method, path)).status_code == 405


@pytest.mark.parametrize(
    "kind", ["password", "implicit", "", "AUTHORIZATION_CODE", "urn:ietf:params:oauth:grant-type:device_code"]
)
async def test_what_oauth_21_has_left_out_is_not_given(kind: str) -> None:
    there = await oauth_world()

    answer = await there.ask({"grant_type": kind, "username": "ada", "password": "x", "client_id": "jittrust-connect"})

    assert error_of(answer)[1] in {"unsupported_grant_type", "invalid_request"}


@pytest.mark.parametrize(
    "form",
    [
        {"code": "x" * 43, "code_verifier": "v" * 43},
        {"code": "x" * 43},
        {"code": "", "code_verifier": "v" * 43},
        {"code": "x", "code_verifier": "v" * 43, "redirect_uri": "https://evil.example/"},
        {},
    ],
)
async def test_a_code_that_nobody_was_given_buys_nothing(form: dict[str, str]) -> None:
    there = await oauth_world()

    answer = await there.ask(
        {"grant_type": "authorization_code", "client_id": "jittrust-connect", **form}, dpop(there, key())
    )

    assert answer.status_code == 400
    assert error_of(answer)[1] in {"invalid_grant", "invalid_request"}


@pytest.mark.parametrize("name", ["auth_req_id", "refresh_token"])
async def test_a_secret_that_nobody_was_given_buys_nothing(name: str) -> None:
    there = await oauth_world()
    kinds = {"auth_req_id": "urn:openid:params:grant-type:ciba", "refresh_token": "refresh_token"}

    answer = await there.ask(
        {"grant_type": kinds[name], "client_id": "jittrust-connect", name: "x" * 43}, dpop(there, key())
    )

    assert (answer.status_code, error_of(answer)[1]) in {(400, "invalid_grant"), (400, "expired_token")}


# ---- proofs at the token endpoint ----------------------------------------------------------------------------------------------------------------


PROOFS: list[dict[str, Any]] = [
    {"method": "GET"},
    {"method": "post"},
    {"url": RESOURCE},
    {"url": ISSUER},
    {"url": TOKEN + "/"},
    {"url": TOKEN.replace("token", "%74oken")},
    {"url": "https://127.0.0.1:8750/oauth/token"},
    {"url": "http://localhost:8750/oauth/token"},
    {"url": f"{ISSUER}/oauth/../oauth/token"},
    {"url": "http://127.0.0.1:8750@evil.example/oauth/token"},
    {"iat": Instant(1_789_999_939)},
    {"iat": Instant(1_790_000_061)},
    {"iat": Instant(0)},
    {"jti": "short"},
    {"jti": "x" * 300},
    {"jti": "with space"},
    {"token": "x.y.z"},
    {"body": b"x"},
    {"nonce": ""},
    {"nonce": 'a"b'},
]


@pytest.mark.parametrize("over", PROOFS)
async def test_t7_a_proof_for_something_else_gives_nothing(over: dict[str, Any]) -> None:
    there = await oauth_world()
    await working(there)
    there.clock.now = 1_790_000_000.0
    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid())}

    answer = await there.ask(form, dpop(there, key(), **over))

    assert error_of(answer)[:2] == (400, "invalid_dpop_proof")
    assert there.broker.state.grants == {}


@pytest.mark.parametrize("junk", ["x", "a.b.c", "é", "e30.e30.e30", ".", "A" * 9000])
async def test_t7_what_is_no_proof_gives_nothing(junk: str) -> None:
    there = await oauth_world()
    await working(there)
    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid())}

    async with there.web() as web:
        answer = await web.post("/oauth/token", data=form, headers=[(b"dpop", junk.encode())])
        twice = await web.post("/oauth/token", data=form, headers=[("dpop", dpop(there, key())) for _ in range(2)])
        joined = await web.post(
            "/oauth/token", data=form, headers={"dpop": f"{dpop(there, key())}, {dpop(there, key(2))}"}
        )

    for one in (answer, twice, joined):
        assert error_of(one)[:2] == (400, "invalid_dpop_proof")
    assert there.broker.state.grants == {}


async def test_t7_of_many_showings_of_one_proof_one_is_taken() -> None:
    there = await oauth_world()
    await working(there)
    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid())}
    proof = dpop(there, key())

    answers = await asyncio.gather(*(there.ask(form, proof) for _ in range(100)))

    assert sorted({one.status_code for one in answers}) == [200, 400]
    assert sum(one.status_code == 200 for one in answers) == 1
    assert len(there.broker.state.grants) == 1


async def test_t13_a_proof_with_its_signature_spelled_otherwise_is_the_same_proof() -> None:
    there = await oauth_world()
    await working(there)
    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid())}
    proof = dpop(there, key())
    twins = (proof + "=", proof + "==", proof[:-1] + chr(ord(proof[-1]) ^ 1), proof.upper(), proof + ".")
    assert (await there.ask(form, proof)).status_code == 200

    for twin in twins:
        assert (await there.ask(form, twin)).status_code == 400
    assert len(there.broker.state.grants) == 1


async def test_a_proof_that_was_made_before_the_server_began_is_not_taken() -> None:
    there = await oauth_world()
    await working(there)
    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid())}
    proof = dpop(there, key())
    there.clock.now += 5
    await there.open()

    assert error_of(await there.ask(form, proof))[2] == "proof_used"
    assert (await there.ask(form, dpop(there, key()))).status_code == 200


def test_a_right_proof_says_key_id_pass_and_time() -> None:
    signed = jws.join({"typ": "dpop+jwt", "alg": "Ed25519", "jwk": dict(key().jwk)}, {
        "jti": "j" * 16, "htm": "POST", "htu": TOKEN + "?a=b", "iat": 100, "nonce": "n",
    })  # fmt: skip
    proof = (signed + b"." + jws.encode(key().sign(signed))).decode()

    read = check_key_proof(proof, "POST", TOKEN, Instant(130))

    assert (read.jkt, read.jti, read.nonce, read.iat) == (key().jkt, "j" * 16, "n", Instant(100))
    for now in (161, 39):
        with pytest.raises(InvalidProofError):
            check_key_proof(proof, "POST", TOKEN, Instant(now))


# ---- what the server says of itself ----------------------------------------------------------------------------------------------------------------


async def test_metadata_says_what_is_there_and_names_the_issuer_byte_for_byte() -> None:
    there = await oauth_world()
    async with there.web() as web:
        answer = await web.get("/.well-known/oauth-authorization-server", headers={"origin": "https://client.example"})
        told = answer.json()
        resource = (await web.get("/.well-known/oauth-protected-resource/mcp/srv")).json()
        root = (await web.get("/.well-known/oauth-protected-resource")).json()
        unknown = await web.get("/.well-known/oauth-protected-resource/mcp/other")
        jwks = (await web.get(told["jwks_uri"])).json()
        asked = {
            name: (await web.post(told[name])).status_code
            for name in told
            if name.endswith("_endpoint") and name != "authorization_endpoint"
        }

    assert (told["issuer"], told["authorization_endpoint"]) == (ISSUER, f"{ORIGIN}/oauth/authorize")
    assert all(told[name].startswith(f"{ISSUER}/oauth/") for name in asked)
    assert not {404, 405} & set(asked.values())
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert set(told["grant_types_supported"]) == set(GRANT_TYPES)
    assert set(told["token_endpoint_auth_methods_supported"]) == {str(one) for one in ClientMethod}
    assert told["require_pushed_authorization_requests"] is False
    for name in (
        "authorization_response_iss_parameter_supported",
        "client_id_metadata_document_supported",
        "tls_client_certificate_bound_access_tokens",
    ):
        assert told[name] is True
    assert told["backchannel_token_delivery_modes_supported"] == ["poll"]
    assert told["authorization_details_types_supported"] == ["urn:jittrust:mcp-call", "urn:jittrust:mission"]
    assert "none" not in told["dpop_signing_alg_values_supported"]
    assert not any(one.startswith("HS") for one in told["token_endpoint_auth_signing_alg_values_supported"])
    assert (resource["resource"], resource["authorization_servers"]) == (RESOURCE, [ISSUER])
    assert root["resource"] == ISSUER
    assert unknown.status_code == 404
    assert jwks["keys"]
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_only_what_is_public_is_open_to_other_origins() -> None:
    there = await oauth_world()
    for path in ENDPOINTS:
        answer = await post(there, path, GOOD, {**FORM, "origin": "https://evil.example"})
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_an_issuer_with_a_path_has_its_documents_where_the_rfcs_put_them() -> None:
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from jittrust.api.oauth.metadata import metadata_routes

    issuer = "https://host.example/base"
    web = TestClient(Starlette(routes=metadata_routes(issuer, "https://host.example", ("srv",), registration=False)))

    assert web.get("/.well-known/oauth-authorization-server/base").json()["issuer"] == issuer
    found = web.get("/.well-known/oauth-protected-resource/base/mcp/srv").json()
    assert found["resource"] == f"{issuer}/mcp/srv"


def test_metadata_names_no_shared_secret_method() -> None:
    told = json.dumps(server_metadata(ISSUER, ORIGIN, registration=True))

    assert "client_secret" not in told
    assert "HS256" not in told


@pytest.mark.parametrize("text", [b"a=1", b"a=1&b=", b"a=%41+b", b"a=%C3%A9", b"a=1=2"])
def test_ordinary_forms_are_read(text: bytes) -> None:
    assert "a" in parse_form(text)


def word_of(data: bytes) -> str:
    try:
        parse_form(data)
    except OAuthError as error:
        return error.error
    return ""


def test_no_bytes_make_the_form_reader_fail_otherwise_than_with_a_word() -> None:
    words = {word_of(hashlib.shake_256(seed.to_bytes(4)).digest(80).replace(b"\x00", b"&")) for seed in range(2000)}

    assert words <= {"", "invalid_request", "invalid_target"}
