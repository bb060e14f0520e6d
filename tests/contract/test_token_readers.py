"""Our tokens in front of readers that nobody here wrote."""

from __future__ import annotations

import time
from typing import Any

import pytest
from authlib.oauth2.rfc6750.errors import InvalidTokenError  # type: ignore[import-untyped]
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator  # type: ignore[import-untyped]
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from jittrust.core.grant.claims import AccessClaims, mint, mint_body
from jittrust.core.grant.proof import Ed25519Signer
from jittrust.core.oauth.transaction import TransactionClaims, mint_transaction

SIGNER = Ed25519Signer.from_secret(bytes(range(32)))
JWKS: Any = {"keys": [{**SIGNER.jwk, "kid": "k1", "use": "sig", "alg": "Ed25519"}]}
ISSUER = "https://broker.example"
URL = f"{ISSUER}/mcp/files"


def claims(**change: Any) -> AccessClaims:  # noqa: ANN401
    now = int(time.time())
    facts: dict[str, Any] = {
        "issuer": ISSUER,
        "subject": "anna",
        "audience": URL,
        "client": "agent",
        "grant": "g-1",
        "mission": "m-1",
        "jkt": SIGNER.jkt,
        "issued": now,
        "expires": now + 300,
        "id": "t-1",
        "actors": ("spiffe://example.org/agent/2", "spiffe://example.org/agent/1"),
        "details": ({"type": "urn:jittrust:mcp-call", "identifier": "files/read", "actions": ["tools/call"]},),
        "intent": "x" * 43,
        "intent_code": "K.read",
        "role": "reader",
        "status_index": 5,
        "status_list": f"{ISSUER}/oauth/status/0",
        **change,
    }
    return AccessClaims(**facts)


class Rfc9068(JWTBearerTokenValidator):  # type: ignore[misc]
    """authlib's validator of RFC 9068; the signature is read with the one algorithm of our keys, which authlib 1.9 does not take by itself."""

    def get_jwks(self) -> Any:  # noqa: ANN401
        return JWKS

    def read(self, token: str) -> JWTAccessTokenClaims:
        options = {"iss": {"essential": True, "validate": self.validate_iss}, "aud": {"essential": True, "value": URL}}
        options |= {name: {"essential": True} for name in ("exp", "sub", "client_id", "iat", "jti")}
        try:
            decoded = jwt.decode(token, KeySet.import_key_set(JWKS), algorithms=["Ed25519"])
        except JoseError as error:
            raise InvalidTokenError from error
        found = JWTAccessTokenClaims(decoded.claims, decoded.header, options)
        self.validate_token(found, None, None)
        return found


def test_authlibs_rfc_9068_validator_takes_the_grant_token() -> None:
    found = Rfc9068(ISSUER, URL).read(mint(claims(), "k1", SIGNER.sign))

    assert (found["sub"], found["client_id"]) == ("anna", "agent")
    assert found["act"]["act"]["sub"] == "spiffe://example.org/agent/1"


@pytest.mark.parametrize(
    "change",
    [{"issuer": "https://other.example"}, {"audience": f"{ISSUER}/mcp/mail"}, {"issued": 1, "expires": 2}],
)
def test_it_refuses_what_we_refuse(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidTokenError):
        Rfc9068(ISSUER, URL).read(mint(claims(**change), "k1", SIGNER.sign))


def test_it_takes_no_other_kind_of_ours() -> None:
    now = int(time.time())
    context = {"grant_id": "g-1"}
    transaction = TransactionClaims(ISSUER, "example.org", "m-1", "anna", ("x",), "w", context, now, now + 60)
    for token in (
        mint_transaction(transaction, "k1", SIGNER.sign),
        mint_body({"iss": ISSUER, "aud": URL, "iat": now}, "token-introspection+jwt", "k1", SIGNER.sign),
        mint_body({"iss": ISSUER, "sub": URL, "iat": now, "exp": now + 60}, "statuslist+jwt", "k1", SIGNER.sign),
    ):
        with pytest.raises(InvalidTokenError):
            Rfc9068(ISSUER, URL).read(token)


def test_joserfc_reads_every_claim_and_the_thumbprint_is_the_keys() -> None:
    token = jwt.decode(mint(claims(), "k1", SIGNER.sign), KeySet.import_key_set(JWKS), algorithms=["Ed25519"])
    key = OKPKey.import_key({name: str(value) for name, value in SIGNER.jwk.items()})

    assert token.header == {"alg": "Ed25519", "typ": "at+jwt", "kid": "k1"}
    assert token.claims["cnf"]["jkt"] == key.thumbprint()
    registry = jwt.JWTClaimsRegistry(iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": URL})
    registry.validate(token.claims)
