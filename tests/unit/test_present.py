"""What a caller showed: token, key binding and proof of one request."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.errors import BadInputError
from jittrust.core.grant.claims import AccessClaims, InvalidTokenError, TokenRules, mint
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.grant.present import (
    InvalidProofError,
    PresentationRules,
    PresentedRequest,
    VerifiedBefore,
    check_presentation,
    content_digest,
    normal_url,
    token_hash,
    www_authenticate,
)
from jittrust.core.grant.proof import Ed25519Signer, Es256Signer, ProofSigner, make_proof
from jittrust.core.units import Instant

SECRET = bytes(range(32))
BROKER = Ed25519Signer.from_secret(bytes(range(100, 132)))
KEYS = {"k1": bytes(BROKER.key.verify_key)}
URL = "https://broker.example/mcp/files"
RULES = PresentationRules(TokenRules("https://broker.example", URL))
NOW = Instant(1_700_000_100)
SIGNERS: tuple[ProofSigner, ...] = (Ed25519Signer.from_secret(SECRET), Es256Signer.from_secret(SECRET))


def token_for(signer: ProofSigner) -> str:
    claims = AccessClaims(
        issuer="https://broker.example",
        subject="agent",
        audience=URL,
        client="agent",
        grant="g-1",
        mission="m-1",
        jkt=signer.jkt,
        issued=1_700_000_000,
        expires=1_700_000_300,
        id="t-1",
    )
    return mint(claims, "k1", BROKER.sign)


def request(signer: ProofSigner, **change: Any) -> PresentedRequest:  # noqa: ANN401
    facts: dict[str, Any] = {
        "method": "POST",
        "url": URL,
        "iat": NOW,
        "jti": "j" * 16,
        "token": token_for(signer),
        **change,
    }
    return PresentedRequest("POST", URL, [f"DPoP {token_for(signer)}"], [make_proof(signer, **facts)], b"{}")


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.algorithm)
def test_a_right_proof_shows_grant_pass_time_and_id(signer: ProofSigner) -> None:
    shown = check_presentation(request(signer, nonce="the-pass"), KEYS, RULES, NOW)

    assert shown == Shown(PassBinding.DPOP, "g-1", "the-pass", NOW, "j" * 16, signer.jkt)


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.algorithm)
def test_a_proof_without_a_pass_shows_none(signer: ProofSigner) -> None:
    assert check_presentation(request(signer), KEYS, RULES, NOW).presented is None


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.algorithm)
def test_what_was_verified_before_changes_no_answer(signer: ProofSigner) -> None:
    before = VerifiedBefore()
    for _ in range(3):
        good = check_presentation(request(signer, nonce="n"), KEYS, RULES, NOW, before)
        assert good == check_presentation(request(signer, nonce="n"), KEYS, RULES, NOW)
    other = SIGNERS[1 - SIGNERS.index(signer)]
    stolen = replace(request(other), authorization=[f"DPoP {token_for(signer)}"])
    tampered = replace(request(signer), proofs=[request(signer).proofs[0][:-4] + "AAAA"])

    assert (len(before.tokens), len(before.keys)) == (1, 1)
    with pytest.raises(InvalidProofError, match="another key"):
        check_presentation(stolen, KEYS, RULES, NOW, before)
    with pytest.raises(InvalidProofError, match="signature"):
        check_presentation(tampered, KEYS, RULES, NOW, before)
    with pytest.raises(InvalidTokenError, match="expired"):
        check_presentation(request(signer), KEYS, RULES, Instant(1_700_000_300), before)
    elsewhere = replace(RULES, token=replace(RULES.token, audience="https://broker.example/mcp/mail"))
    with pytest.raises(InvalidTokenError, match="another resource"):
        check_presentation(request(signer), KEYS, elsewhere, NOW, before)
    assert len(before.keys) == 1


@pytest.mark.parametrize(
    ("iat", "detail"),
    [(NOW - 300, None), (NOW - 301, "too_old"), (NOW + 300, None), (NOW + 301, "from_the_future")],
)
def test_a_proof_is_taken_up_to_five_minutes_off(iat: float, detail: str | None) -> None:
    shown = request(SIGNERS[0], iat=Instant(iat))

    if detail is None:
        assert check_presentation(shown, KEYS, RULES, NOW).iat == iat
        return
    with pytest.raises(InvalidProofError) as refused:
        check_presentation(shown, KEYS, RULES, NOW)
    assert (refused.value.detail, refused.value.code, refused.value.grant) == (detail, "invalid_dpop_proof", "g-1")


def test_a_proof_may_speak_of_the_body_and_is_then_held_to_it() -> None:
    right, wrong = request(SIGNERS[0], body=b"{}"), request(SIGNERS[0], body=b"{ }")

    assert check_presentation(right, KEYS, RULES, NOW).grant == "g-1"
    for refused in (wrong, replace(right, body=None), replace(right, body=b"")):
        with pytest.raises(InvalidProofError, match="another body"):
            check_presentation(refused, KEYS, RULES, NOW)


def test_the_body_digest_is_that_of_rfc_9530() -> None:
    assert content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


def test_the_token_hash_is_that_of_rfc_9449() -> None:
    token = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"

    assert token_hash(token) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://a.example/mcp/x", "https://a.example/mcp/x"),
        ("HTTPS://A.Example:443/mcp/x?q=1", "https://a.example/mcp/x"),
        ("http://127.0.0.1:80", "http://127.0.0.1/"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
        ("https://a.example:80/", "https://a.example:80/"),
        ("http://[::1]:9/x", "http://[::1]:9/x"),
        ("https://a.example/%2f", "https://a.example/%2f"),
        ("https://a.example//x/", "https://a.example//x/"),
        ("https://a.example/x#f", None),
        ("https://a.example./x", None),
        ("https://a..example/x", None),
        ("https://u@a.example/x", None),
        ("https://a.example:/x", None),
        ("https://a.example:0443/x", None),
        ("https://a.example/x/../y", None),
        ("https://a.example/./x", None),
        ("https://a.example\\x", None),
        ("https://a.example/x y", None),
        ("https://\u0430.example/x", None),
        ("https://a.example/\u00e9", None),
        ("ftp://a.example/x", None),
        ("//a.example/x", None),
        ("/x", None),
        ("", None),
        ("https://a.example/x\n", None),
        ("https://a.example/" + "x" * 3000, None),
    ],
)
def test_urls_have_one_spelling_or_none(url: str, normal: str | None) -> None:
    assert normal_url(url) == normal


@given(st.text(max_size=80))
def test_a_normal_url_is_its_own_normal_form(tail: str) -> None:
    made = normal_url("https://a.example/" + tail)

    assert made is None or normal_url(made) == made


def test_a_refusal_says_how_to_do_it_and_nothing_else() -> None:
    assert www_authenticate("invalid_token", "https://a/m") == (
        'DPoP error="invalid_token", algs="ES256 Ed25519 EdDSA", resource_metadata="https://a/m"'
    )
    assert www_authenticate("") == 'DPoP algs="ES256 Ed25519 EdDSA"'


@pytest.mark.parametrize("secret", [b"", b"x" * 31, b"x" * 33])
def test_a_key_is_made_from_32_bytes(secret: bytes) -> None:
    for kind in (Ed25519Signer, Es256Signer):
        with pytest.raises(BadInputError, match="bad_key_secret"):
            kind.from_secret(secret)


def test_a_p256_secret_outside_the_curves_order_is_refused() -> None:
    for secret in (bytes(32), b"\xff" * 32):
        with pytest.raises(BadInputError, match="bad_key_secret"):
            Es256Signer.from_secret(secret)


def test_private_keys_stay_out_of_what_is_printed() -> None:
    for signer in SIGNERS:
        assert repr(signer) == f"{type(signer).__name__}({signer.jkt})"


def test_the_query_of_a_url_stays_out_of_the_proof() -> None:
    asked = request(SIGNERS[0], url=URL + "?secret=1#f")

    assert check_presentation(asked, KEYS, RULES, NOW).grant == "g-1"


def test_a_proof_for_the_token_endpoint_speaks_of_no_token() -> None:
    with pytest.raises(InvalidProofError, match="another token"):
        check_presentation(request(SIGNERS[0], token=""), KEYS, RULES, NOW)
