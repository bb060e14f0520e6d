"""The access token of a grant."""

import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import OKPKey

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.grant import jws
from jittrust.core.grant.claims import AccessClaims, InvalidTokenError, TokenRules, mint, verify
from jittrust.core.grant.proof import Ed25519Signer, Es256Signer
from jittrust.core.grant.wire import authorization_details
from jittrust.core.model import Json
from jittrust.core.units import Instant

SIGNER = Ed25519Signer.from_secret(bytes(range(32)))
KEYS = {"k1": bytes(SIGNER.key.verify_key)}
RULES = TokenRules("https://broker.example", "https://broker.example/mcp/files")
NOW = Instant(1_700_000_000)
CLAIMS = AccessClaims(
    issuer=RULES.issuer,
    subject="spiffe://example.org/agent/1",
    audience=RULES.audience,
    client="agent-1",
    grant="g-1",
    mission="m-1",
    jkt=SIGNER.jkt,
    issued=1_700_000_000,
    expires=1_700_000_300,
    id="t-1",
)


def minted(claims: AccessClaims = CLAIMS) -> bytes:
    return mint(claims, "k1", SIGNER.sign).encode()


def test_a_token_reads_back_as_what_was_minted() -> None:
    entry = AuthorityEntry("e1", "files/read", resource="a", constraints={"required": ["p"]}, state=EntryState.APPROVED)
    details = authorization_details(AuthorityMap((entry, AuthorityEntry("e2", "files/write"))))
    claims = replace(CLAIMS, details=details, scope="mcp")

    assert verify(minted(claims), KEYS, RULES, NOW) == claims
    assert [detail["identifier"] for detail in details] == ["files/read"]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=100)


@given(texts, texts, texts, texts, st.integers(0, 2**40), st.integers(1, 3600))
def test_any_text_survives_the_round_trip(
    subject: str, client: str, grant: str, mission: str, issued: int, life: int
) -> None:
    claims = replace(
        CLAIMS, subject=subject, client=client, grant=grant, mission=mission, issued=issued, expires=issued + life
    )

    assert verify(minted(claims), KEYS, RULES, Instant(issued)) == claims


def test_another_library_reads_the_token_too() -> None:
    key = OKPKey.import_key(dict(SIGNER.jwk))  # type: ignore[arg-type]

    token = joserfc_jwt.decode(minted().decode(), key, algorithms=["Ed25519"])

    assert token.header == {"alg": "Ed25519", "typ": "at+jwt", "kid": "k1"}
    assert set(token.claims) >= {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}  # RFC 9068 §2.2
    assert token.claims["cnf"] == {"jkt": SIGNER.jkt}


def test_the_token_of_another_library_is_read_when_it_says_the_same() -> None:
    key = OKPKey.import_key(json.loads(json.dumps({**SIGNER.jwk, "d": jws.encode(bytes(SIGNER.key)).decode()})))
    payload = urlsafe_b64decode(minted().split(b".")[1] + b"==")
    header = {"alg": "Ed25519", "typ": "at+jwt", "kid": "k1"}

    token = joserfc_jws.serialize_compact(header, payload, key, algorithms=["Ed25519"])

    assert verify(token.encode(), KEYS, RULES, NOW) == CLAIMS


@pytest.mark.parametrize(
    ("now", "detail"),
    [
        (CLAIMS.expires - 0.001, None),
        (CLAIMS.expires, "expired"),
        (CLAIMS.issued - 5, None),
        (CLAIMS.issued - 5.001, "from_the_future"),
    ],
)
def test_a_token_lives_from_its_first_second_to_its_last(now: float, detail: str | None) -> None:
    if detail is None:
        assert verify(minted(), KEYS, RULES, Instant(now)) == CLAIMS
        return
    with pytest.raises(InvalidTokenError) as refused:
        verify(minted(), KEYS, RULES, Instant(now))

    assert (refused.value.detail, refused.value.code, refused.value.http_status) == (detail, "invalid_token", 401)


def test_a_life_of_an_hour_is_the_longest() -> None:
    hour = replace(CLAIMS, expires=CLAIMS.issued + 3600)

    assert verify(minted(hour), KEYS, RULES, NOW) == hour
    with pytest.raises(InvalidTokenError, match="longer"):
        verify(minted(replace(hour, expires=hour.expires + 1)), KEYS, RULES, NOW)


def test_a_retired_signing_key_ends_its_tokens() -> None:
    with pytest.raises(InvalidTokenError, match="not ours"):
        verify(minted(), {"k2": KEYS["k1"]}, RULES, NOW)


@pytest.mark.parametrize(
    ("jwk", "thumbprint"),
    [
        (  # RFC 7638 §3.1
            {
                "kty": "RSA",
                "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX"
                "jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnY"
                "b9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF"
                "44-csFCur-kEgU8awapJzKnqDKgw",
                "e": "AQAB",
                "alg": "RS256",
                "kid": "2011-04-29",
            },
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        (  # RFC 8037 appendix A.3
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
        (  # RFC 9449 §6.1: the key of the proof in §4.1
            {
                "kty": "EC",
                "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
                "crv": "P-256",
            },
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        ),
    ],
)
def test_thumbprints_are_those_of_the_rfcs(jwk: dict[str, str], thumbprint: str) -> None:
    assert jws.thumbprint(jwk) == thumbprint


def test_the_signature_of_rfc_8037_holds() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = jws.decode(b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")

    key = jws.import_key(jwk)

    assert key.holds(signed, signature)
    assert not key.holds(signed + b"x", signature)
    assert not key.holds(signed, signature[:-1])


def test_a_deterministic_p256_signature_is_that_of_rfc_6979() -> None:
    secret = bytes.fromhex(
        "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"
    )  # appendix A.2.5, SHA-256, "sample"

    assert Es256Signer.from_secret(secret).sign(b"sample").hex().upper() == (
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
    )


@given(st.binary(max_size=100))
def test_base64url_has_one_text_for_one_byte_string(data: bytes) -> None:
    assert jws.decode(jws.encode(data)) == data


@given(st.binary(max_size=40))
def test_any_other_text_is_refused_or_is_the_one_spelling(text: bytes) -> None:
    try:
        data = jws.decode(text)
    except jws.MalformedJwsError:
        return
    assert jws.encode(data) == text


@pytest.mark.parametrize(
    "jwk",
    [{}, {"kty": "oct", "k": "AA"}, {"kty": "EC", "crv": "P-256", "x": "AA"}, {"kty": "OKP", "crv": 1, "x": "AA"}],
)
def test_what_is_no_public_key_has_no_thumbprint(jwk: dict[str, Json]) -> None:
    with pytest.raises(jws.MalformedJwsError):
        jws.thumbprint(jwk)


def test_a_token_of_a_grant_without_a_key_says_nothing_of_a_key() -> None:
    unbound = replace(CLAIMS, jkt="")

    assert verify(minted(unbound), KEYS, RULES, NOW) == unbound
    assert b"cnf" not in jws.decode(minted(unbound).split(b".")[1])


@pytest.mark.parametrize(
    "wrong", [replace(CLAIMS, jkt="short"), replace(CLAIMS, details=cast("Any", [{}]), scope="x" * 513)]
)
def test_a_claim_of_a_wrong_length_is_refused(wrong: AccessClaims) -> None:
    with pytest.raises(InvalidTokenError) as refused:
        verify(minted(wrong), KEYS, RULES, NOW)

    assert refused.value.detail == "bad_claims"
