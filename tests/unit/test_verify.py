"""`jittrust.verify`: a service decides on a grant token alone."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.core.grant import jws
from jittrust.core.grant.claims import AccessClaims, mint
from jittrust.core.grant.proof import Ed25519Signer, Es256Signer, ProofSigner, make_proof
from jittrust.core.grant.statement import digest_of_goal
from jittrust.core.model import Json, Tool
from jittrust.core.oauth.status_list import TokenStanding, mint_list
from jittrust.core.units import Instant
from jittrust.pep.sdk.published import fetch_over_http
from jittrust.pep.sdk.verifier import HeaderPairs
from jittrust.verify import (
    InvalidProofError,
    InvalidTokenError,
    RequireGrant,
    SeenProofs,
    Verified,
    Verifier,
    certificate_thumbprint,
    grant_of,
    keys_of,
)

ISSUER = "https://broker.example"
BASE = "https://orders.example"
URL = f"{BASE}/orders/7"
SECRET = bytes(range(32))
BROKER = Ed25519Signer.from_secret(bytes(range(100, 132)))
KEYS = {"k1": bytes(BROKER.key.verify_key)}
JWKS: Mapping[str, Json] = {
    "keys": [{**BROKER.jwk, "kid": "k1", "use": "sig", "alg": "Ed25519"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}]
}
AGENT = Es256Signer.from_secret(SECRET)
NOW = 1_700_000_100.0
DETAILS: tuple[Mapping[str, Json], ...] = (
    {"type": "urn:jittrust:mcp-call", "identifier": "shop/refund", "actions": ["tools/call"],
     "constraints": {"properties": {"amount": {"maximum": 50}}, "required": ["amount"]}},
    {"type": "urn:jittrust:mcp-call", "identifier": "shop/read", "actions": ["tools/call", "resources/read"], "resource": "orders/.*"},
    {"type": "urn:jittrust:mcp-call", "identifier": "shop/cancel", "actions": ["tools/call"], "uses": 1},
    {"type": "urn:other", "identifier": "shop/delete", "actions": ["tools/call"]},
)  # fmt: skip
CLAIMS = AccessClaims(
    issuer=ISSUER,
    subject="anna",
    audience=BASE,
    client="agent",
    grant="g-1",
    mission="m-1",
    jkt=AGENT.jkt,
    issued=1_700_000_000,
    expires=1_700_000_300,
    id="t-1",
    details=DETAILS,
    actors=("spiffe://example.org/agent/1",),
    intent=digest_of_goal("m-1", "Refund order 7"),
    intent_code="T.refund",
    status_index=3,
    status_list=f"{ISSUER}/oauth/status/0",
)


def shown(
    claims: AccessClaims = CLAIMS,
    signer: ProofSigner = AGENT,
    jti: str = "j" * 16,
    **more: Any,  # noqa: ANN401
) -> dict[str, str]:
    token = mint(claims, "k1", BROKER.sign)
    facts: dict[str, Any] = {"method": "POST", "url": URL, "iat": Instant(NOW), "jti": jti, "token": token, **more}
    return {"Authorization": f"DPoP {token}", "DPoP": make_proof(signer, **facts)}


def verifier(**more: Any) -> Verifier:  # noqa: ANN401
    return Verifier(ISSUER, BASE, more.pop("keys", KEYS), clock=more.pop("clock", lambda: NOW), **more)


def refusal(headers: HeaderPairs, made: Verifier | None = None, **more: Any) -> str:  # noqa: ANN401
    facts = {"method": "POST", "url": URL, **more}
    with pytest.raises((InvalidTokenError, InvalidProofError)) as refused:
        (made or verifier()).check(facts.pop("method"), facts.pop("url"), headers, **facts)
    assert isinstance(refused.value, InvalidTokenError | InvalidProofError)
    assert refused.value.http_status == 401
    return refused.value.detail


@pytest.mark.parametrize("signer", [AGENT, Ed25519Signer.from_secret(SECRET)])
def test_the_holder_of_the_key_is_let_in_and_named(signer: ProofSigner) -> None:
    found = verifier().check("POST", URL + "?x=1", shown(replace(CLAIMS, jkt=signer.jkt), signer))

    assert (found.person, found.agent) == ("anna", "spiffe://example.org/agent/1")
    assert found.claims.intent_code == "T.refund"


def test_keys_are_taken_raw_or_as_a_jwk_set() -> None:
    assert keys_of(JWKS) == KEYS
    assert verifier(keys=JWKS).check("POST", URL, shown()).claims == CLAIMS
    broken_sets: tuple[Mapping[str, Json], ...] = ({}, {"keys": {}}, {"keys": [{**BROKER.jwk, "kid": "k", "d": "AA"}]})
    for broken in broken_sets:
        with pytest.raises(BadInputError):
            keys_of(broken)


def test_a_copied_proof_is_no_good_a_second_time_and_a_new_one_is() -> None:
    made = verifier()
    headers = shown()
    made.check("POST", URL, headers)

    assert refusal(headers, made) == "replayed"
    assert refusal(list(headers.items()), made) == "replayed"
    made.check("POST", URL, shown(jti="k" * 16))


def test_a_proof_cannot_outlive_the_memory_of_it() -> None:
    now = [NOW]
    made = verifier(clock=lambda: now[0])
    for iat in (NOW - 59, NOW, NOW + 59):
        made.check("POST", URL, shown(iat=Instant(iat), jti=f"jti-at-{iat}"))
    for at in range(0, 190, 2):
        now[0] = NOW + at
        for iat in (NOW - 59, NOW, NOW + 59):
            assert refusal(shown(iat=Instant(iat), jti=f"jti-at-{iat}"), made) in {"replayed", "too_old"}
    made.check("POST", URL, shown(iat=Instant(now[0]), jti="j" * 20))
    assert len(made._seen) == 1


def test_a_flood_of_one_holder_is_refused_and_others_are_let_in() -> None:
    seen = SeenProofs(most=80)
    for at in range(10):
        assert seen.first_time("k", f"j{at}", Instant(NOW + 60), Instant(NOW))
    with pytest.raises(UnavailableError, match="replay_memory_full"):
        seen.first_time("k", "j", Instant(NOW + 60), Instant(NOW))
    assert not seen.first_time("k", "j3", Instant(NOW + 60), Instant(NOW))
    assert seen.first_time("other", "j", Instant(NOW + 60), Instant(NOW))
    assert seen.first_time("k", "j", Instant(NOW + 130), Instant(NOW + 61))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"method": "GET"}, "wrong_method"),
        ({"url": f"{BASE}/orders/8"}, "wrong_url"),
        ({"iat": Instant(NOW - 61)}, "too_old"),
        ({"iat": Instant(NOW + 61)}, "from_the_future"),
        ({"token": "other"}, "wrong_token"),
        ({"body": b"{}"}, "wrong_body"),
        ({"signer": Ed25519Signer.from_secret(SECRET)}, "other_key"),
        ({"claims": replace(CLAIMS, jkt="")}, "not_bound"),
        ({"claims": replace(CLAIMS, audience="https://other.example")}, "wrong_audience"),
        ({"claims": replace(CLAIMS, issuer="https://other.example")}, "wrong_issuer"),
        ({"claims": replace(CLAIMS, issued=1_699_999_000, expires=int(NOW))}, "expired"),
        ({"claims": replace(CLAIMS, expires=1_700_009_000)}, "lives_too_long"),
    ],
)
def test_what_does_not_fit_this_request_is_refused(change: dict[str, Any], detail: str) -> None:
    assert refusal(shown(**change)) == detail


def test_a_token_goes_under_its_own_scheme_only() -> None:
    certificate = b"a certificate"
    bound = mint(replace(CLAIMS, jkt="", x5t=certificate_thumbprint(certificate)), "k1", BROKER.sign)
    loose = mint(replace(CLAIMS, jkt=""), "k1", BROKER.sign)
    dpop = shown()
    bearer = {"Authorization": f"Bearer {bound}"}

    assert verifier().check("POST", URL, bearer, certificate=certificate).person == "anna"
    assert refusal(bearer) == refusal(bearer, certificate=b"another") == "other_certificate"
    assert refusal({**bearer, "DPoP": dpop["DPoP"]}, certificate=certificate) == "proof_with_bearer"
    assert refusal({"Authorization": f"Bearer {loose}"}, certificate=certificate) == "not_bound"
    assert refusal({"Authorization": dpop["Authorization"].replace("DPoP", "Bearer")}) == "not_bearer"
    assert refusal({**dpop, "Authorization": f"DPoP {bound}"}) == "not_bound"
    assert refusal({"Authorization": dpop["Authorization"]}) == "no_proof"
    assert refusal({}) == "no_token"
    assert refusal([*dpop.items(), *dpop.items()]) == "many_tokens"
    assert refusal([*dpop.items(), (b"dpop", b"x")]) == "many_proofs"


FOUND = Verified(CLAIMS)


@pytest.mark.parametrize(
    ("tool", "action", "arguments", "allowed"),
    [
        ("shop/refund", "tools/call", {"amount": 50}, True),
        ("shop/refund", "tools/call", {"amount": 51}, False),
        ("shop/refund", "tools/call", {}, False),
        ("shop/refund", "tools/call", {"amount": "5"}, True),  # the schema bounds numbers; a service checks types by its own schema
        ("shop/refund", "resources/read", {"amount": 1}, False),
        ("Shop/refund", "tools/call", {"amount": 1}, False),
        ("shop/refund ", "tools/call", {"amount": 1}, False),
        ("other/refund", "tools/call", {"amount": 1}, False),
        ("shop/read", "tools/call", {"path": "orders/7"}, True),
        ("shop/read", "resources/read", {"uri": "orders/7"}, True),
        ("shop/read", "tools/call", {"path": "customers/7"}, False),
        ("shop/read", "tools/call", {"path": "orders/7", "other_path": "customers/7"}, False),
        ("shop/read", "tools/call", {}, False),
        ("shop/cancel", "tools/call", {"id": "7"}, False),
        ("shop/delete", "tools/call", {}, False),
    ],
)  # fmt: skip
def test_the_claims_decide(tool: str, action: str, arguments: dict[str, Json], allowed: bool) -> None:  # noqa: FBT001
    assert FOUND.allows(tool, action, arguments) is allowed


def test_the_services_own_definition_tells_what_is_acted_on() -> None:
    tool = Tool("shop", "read", "", {"properties": {"n": {"type": "string", "description": "path of the order"}}})

    assert FOUND.allows(tool, arguments={"n": "orders/7"})
    with pytest.raises(BadInputError):
        FOUND.allows("read")


def test_what_the_token_does_not_tell_is_not_allowed() -> None:
    assert not Verified(replace(CLAIMS, uses=3)).allows("shop/refund", arguments={"amount": 1})
    assert not Verified(replace(CLAIMS, details=(), details_at="x")).allows("shop/refund", arguments={"amount": 1})
    assert not Verified(replace(CLAIMS, details=())).allows("shop/refund", arguments={"amount": 1})
    assert "broker counts" in Verified(replace(CLAIMS, uses=3)).judged("shop/refund").why


def test_the_stated_intent_is_checked() -> None:
    assert FOUND.intent_is(" Refund  order 7 ")
    assert not FOUND.intent_is("Refund order 8")
    assert not Verified(replace(CLAIMS, mission="m-2")).intent_is("Refund order 7")
    assert not Verified(replace(CLAIMS, intent="")).intent_is("")


@dataclass(slots=True)
class Site:
    """What the issuer publishes."""

    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.pages:
            raise UnavailableError("fetch_failed", "no such page")
        return self.pages[url]


def site(standing: TokenStanding = TokenStanding.VALID, at: float = NOW) -> Site:
    uri = f"{ISSUER}/oauth/status/0"
    listed = mint_list(uri, ISSUER, {3: standing}, Instant(at), "k1", BROKER.sign)
    return Site({f"{ISSUER}/oauth/jwks": json.dumps(JWKS).encode(), uri: listed.encode()})


async def test_keys_are_fetched_when_needed_and_retired_ones_are_forgotten() -> None:
    there, now = site(), [NOW]
    made = Verifier(ISSUER, BASE, fetch=there.get, clock=lambda: now[0])
    for jti in ("a" * 16, "b" * 16):
        await made.checked("POST", URL, shown(jti=jti))
    assert there.asked == [f"{ISSUER}/oauth/jwks"]

    other = Ed25519Signer.from_secret(bytes(32))
    stranger = mint(CLAIMS, "k2", other.sign)
    headers = {"Authorization": f"DPoP {stranger}", "DPoP": "x"}
    for _ in range(50):
        with pytest.raises(InvalidTokenError):
            await made.checked("POST", URL, headers)
    assert len(there.asked) == 1  # unknown keys are looked for every ten seconds at most

    there.pages[f"{ISSUER}/oauth/jwks"] = json.dumps({"keys": [{**other.jwk, "kid": "k2"}]}).encode()
    now[0] += 11
    with pytest.raises(InvalidProofError):
        await made.checked("POST", URL, headers)
    assert len(there.asked) == 2
    with pytest.raises(InvalidTokenError, match="not ours"):
        await made.checked("POST", URL, shown(jti="c" * 16, iat=Instant(now[0])))


async def test_an_issuer_that_is_away_is_trusted_for_an_hour_and_not_longer() -> None:
    there, now = site(), [NOW]
    made = Verifier(ISSUER, BASE, fetch=there.get, clock=lambda: now[0])
    await made.refresh()
    there.pages.clear()
    now[0] += 3600
    await made.refresh()
    now[0] += 11
    with pytest.raises(UnavailableError, match="keys_unreachable"):
        await made.refresh()
    with pytest.raises(UnavailableError, match="keys_unreachable"):
        await Verifier(ISSUER, BASE, fetch=there.get).checked("POST", URL, shown())


@pytest.mark.parametrize("standing", TokenStanding)
async def test_a_status_list_stops_what_was_ended(standing: TokenStanding) -> None:
    there, now = site(standing), [NOW]
    made = verifier(fetch=there.get, statuses=True, clock=lambda: now[0])
    if standing is TokenStanding.VALID:
        await made.checked("POST", URL, shown())
        await made.checked("POST", URL, shown(jti="k" * 16))
        assert len(there.asked) == 1
        now[0] += 16
        await made.checked("POST", URL, shown(jti="l" * 16, iat=Instant(now[0])))
        assert len(there.asked) == 2
    else:
        with pytest.raises(InvalidTokenError, match=standing.name.lower()):
            await made.checked("POST", URL, shown())


async def test_no_list_no_entry() -> None:
    there = site()
    made = verifier(fetch=there.get, statuses=True)
    for uri in ("", "https://evil.example/oauth/status/0", f"{ISSUER}/oauth/status/0/../x", f"{ISSUER}/oauth/status/"):
        with pytest.raises(InvalidTokenError, match="no status list"):
            await made.checked("POST", URL, shown(replace(CLAIMS, status_list=uri), jti=f"jti-{len(uri):08}"))
    assert there.asked == []
    there.pages = site(at=NOW - 61).pages
    with pytest.raises(UnavailableError, match="status_unreachable"):
        await made.checked("POST", URL, shown())


@pytest.mark.parametrize(
    "url", ["http://broker.example/oauth/jwks", "ftp://x", "file:///etc/passwd", "http://127.0.0.1:9/"]
)
async def test_documents_come_over_https_or_from_this_machine(url: str) -> None:
    with pytest.raises(UnavailableError, match="fetch_failed"):
        await fetch_over_http(url)


@dataclass(slots=True)
class Answered:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def served(
    scope: dict[str, Any],
    body: tuple[bytes, ...] = (b"",),
    **more: Any,  # noqa: ANN401
) -> tuple[Answered, list[Any]]:
    inside: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        read = b""
        while True:
            message = await receive()
            read += message.get("body", b"")
            if not message.get("more_body"):
                break
        inside.extend((grant_of(scope), read))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    chunks = [{"type": "http.request", "body": part, "more_body": at + 1 < len(body)} for at, part in enumerate(body)]
    sent: list[Any] = []

    async def receive() -> Any:  # noqa: ANN401
        return chunks.pop(0)

    async def send(message: Any) -> None:  # noqa: ANN401
        sent.append(message)

    await RequireGrant(app, more.pop("verifier", verifier()), BASE, **more)(scope, receive, send)
    found = Answered(sent[0]["status"], dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:]))
    return found, inside


def http(headers: Mapping[str, str], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/orders/7", "raw_path": b"/orders/7?x=1", "headers": raw, **more}


async def test_the_middleware_lets_the_holder_in_and_hands_on_what_was_shown() -> None:
    answered, inside = await served(http(shown(), state={"mine": 1}), (b"ab", b"c"))

    assert answered.status == 204
    assert inside[0].claims == CLAIMS
    assert inside[1] == b"abc"


async def test_a_proof_that_speaks_of_the_body_is_checked_against_it() -> None:
    answered, inside = await served(http(shown(body=b"abc")), (b"ab", b"c"))
    other, nothing = await served(http(shown(body=b"abc")), (b"ab", b"d"))
    large, _ = await served(http(shown(body=b"abc")), (b"ab", b"c"), max_body=2)

    assert (answered.status, inside[1]) == (204, b"abc")
    assert (other.status, nothing) == (401, [])
    assert large.status == 400


async def test_a_stranger_is_told_how_to_come_in_and_not_which_check_failed() -> None:
    metadata = f"{BASE}/.well-known/oauth-protected-resource"
    nothing, _ = await served(http({}), metadata_url=metadata)
    forged, _ = await served(http(shown(signer=Ed25519Signer.from_secret(SECRET))))
    wrong, _ = await served(http(shown(replace(CLAIMS, audience="x"))))

    assert nothing.status == forged.status == wrong.status == 401
    assert f'resource_metadata="{metadata}"'.encode() in nothing.headers[b"www-authenticate"]
    assert b"error" not in nothing.headers[b"www-authenticate"]
    assert b'error="invalid_dpop_proof"' in forged.headers[b"www-authenticate"]
    assert b'error="invalid_token"' in wrong.headers[b"www-authenticate"]
    assert json.loads(wrong.body)["code"] == "invalid_token"
    assert b"audience" not in wrong.body
    assert wrong.headers[b"cache-control"] == b"no-store"


async def test_a_certificate_of_the_connection_is_read_from_the_tls_extension() -> None:
    der = b"\x30\x03\x02\x01\x01" * 20
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"
    token = mint(replace(CLAIMS, jkt="", x5t=certificate_thumbprint(der)), "k1", BROKER.sign)
    bearer = {"Authorization": f"Bearer {token}"}

    async def status(chain: object) -> int:
        scope = http(bearer, extensions={"tls": {"client_cert_chain": chain}})
        return (await served(scope))[0].status

    assert await status([pem]) == 204
    assert [await status(chain) for chain in ([], None, ["x"], [pem.replace("M", "!")])] == [401] * 4


async def test_keys_that_cannot_be_read_are_no_excuse() -> None:
    async def away(_url: str) -> bytes:
        raise UnavailableError("fetch_failed", "away")

    answered, inside = await served(http(shown()), verifier=Verifier(ISSUER, BASE, fetch=away))

    assert (answered.status, answered.headers[b"retry-after"], inside) == (503, b"1", [])


async def test_web_sockets_are_refused_and_life_cycles_passed_on() -> None:
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:  # noqa: ANN401
        seen.append(scope["type"])

    async def receive() -> Any:  # noqa: ANN401
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:  # noqa: ANN401
        seen.append(message["type"])

    wrapped = RequireGrant(app, verifier(), BASE)
    await wrapped({"type": "lifespan"}, receive, send)
    await wrapped({"type": "websocket", "path": "/"}, receive, send)

    assert seen == ["lifespan", "websocket.close"]
    with pytest.raises(JitError, match="no_grant"):
        grant_of({"type": "http"})


def test_importing_it_loads_no_server_no_framework_and_no_policy_engine() -> None:
    heavy = ("uvicorn", "starlette", "pydantic", "aiohttp", "cedarpy", "joserfc", "jittrust.broker", "jittrust.ports")
    code = f"import jittrust.verify, sys; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


def test_the_payload_is_what_an_honest_reader_sees() -> None:
    token = shown()["Authorization"].split()[1]

    assert json.loads(jws.decode(token.split(".")[1].encode()))["sub"] == "anna"
