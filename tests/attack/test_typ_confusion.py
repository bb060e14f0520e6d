"""T1: no token of one kind is taken for one of another, though the same key signed both and every claim is there that the other kind needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jittrust.core.errors import BadInputError, JitError, RefusedError
from jittrust.core.grant import jws
from jittrust.core.grant.claims import TokenRules, verify
from jittrust.core.grant.present import PresentationRules, PresentedRequest, check_key_proof, check_presentation
from jittrust.core.grant.proof import Ed25519Signer, Es256Signer, make_proof
from jittrust.core.identity.attest import check_token
from jittrust.core.identity.svid import check_jwt_svid
from jittrust.core.oauth.assertion import signed_by
from jittrust.core.oauth.id_jag import check_id_jag
from jittrust.core.oauth.status_list import mint_list, read_list
from jittrust.core.oauth.transaction import read_transaction
from jittrust.core.units import Instant

URL = "https://broker.example"
NOW = Instant(1_700_000_100)
ED = Ed25519Signer.from_secret(b"b" * 32)
KEYS = {"k1": bytes(ED.key.verify_key)}
EC = ec.derive_private_key(7, ec.SECP256R1())
AGENT = Es256Signer.from_secret(b"a" * 32)


def es256(signed: bytes) -> bytes:
    r, s = decode_dss_signature(EC.sign(signed, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def coordinate(number: int) -> str:
    return jws.encode(number.to_bytes(32, "big")).decode()


POINT = EC.public_key().public_numbers()
EC_JWK = {"kty": "EC", "crv": "P-256", "kid": "k1", "x": coordinate(POINT.x), "y": coordinate(POINT.y)}
ED_JWK = {**ED.jwk, "kid": "k1"}
SPKI = EC.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

# Every claim that any of the readers wants, at once. What one kind must not have, or must have otherwise, is in its reader's row.
EVERYTHING: Mapping[str, Any] = {
    "iss": URL,
    "sub": "spiffe://broker.example/agent",
    "aud": URL,
    "client_id": "agent",
    "iat": 1_700_000_090,
    "exp": 1_700_000_140,
    "jti": "0123456789abcdef",
    "txn": "m-1",
    "scope": "files/read",
    "req_wl": "agent",
    "tctx": {"grant_id": "g-1"},
    "htm": "POST",
    "htu": URL + "/x",
    "grant_id": "g-1",
    "mission": "m-1",
    "ttl": 60,
    "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"},
    "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
}
UNBOUND = dict(EVERYTHING)
BOUND = {**EVERYTHING, "cnf": {"jkt": AGENT.jkt}}
LIST = {
    **EVERYTHING,
    **jws.json_object(jws.decode(mint_list(URL, URL, {}, NOW, "k1", ED.sign).split(".")[1].encode()), "x"),
    "sub": URL,
}


def by_ed(typ: str | None, body: Mapping[str, Any]) -> str:
    return sealed({"alg": "Ed25519", "kid": "k1"}, typ, body, ED.sign)


def by_ec(typ: str | None, body: Mapping[str, Any]) -> str:
    return sealed({"alg": "ES256", "kid": "k1"}, typ, body, es256)


def by_agent(typ: str | None, body: Mapping[str, Any]) -> str:
    return sealed({"alg": "ES256", "jwk": dict(AGENT.jwk)}, typ, body, AGENT.sign)


def sealed(header: dict[str, Any], typ: str | None, body: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    signed = jws.join({**header, **({} if typ is None else {"typ": typ})}, body)
    return (signed + b"." + jws.encode(sign(signed))).decode()


def used(token: str) -> object:
    """The token in a whole presentation, with a proof of its key."""
    shown = make_proof(AGENT, method="POST", url=URL, iat=NOW, jti="0123456789abcdef", token=token, nonce="p")
    rules = PresentationRules(TokenRules(URL, URL))
    return check_presentation(PresentedRequest("POST", URL, [f"DPoP {token}"], [shown], b""), KEYS, rules, NOW)


KINDS: tuple[str | None, ...] = (
    "at+jwt", "dpop+jwt", "txntoken+jwt", "statuslist+jwt", "oauth-id-jag+jwt", "JWT", "JOSE", "client-authentication+jwt", "logout+jwt",
    "secevent+jwt", "wit+jwt", "wpt+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "kb+jwt", "dc+sd-jwt", "jwk-set+jwt", None,
)  # fmt: skip
READERS: Mapping[str, tuple[Callable[[str], object], Callable[[str | None], str], frozenset[str | None]]] = {
    "access token": (
        lambda token: verify(token.encode(), KEYS, TokenRules(URL, URL), NOW),
        lambda typ: by_ed(typ, BOUND),
        frozenset({"at+jwt"}),
    ),
    "access token, shown with a proof": (used, lambda typ: by_ed(typ, BOUND), frozenset({"at+jwt"})),
    "key proof": (
        lambda token: check_key_proof(token, "POST", URL + "/x", NOW),
        lambda typ: by_agent(typ, UNBOUND),
        frozenset({"dpop+jwt"}),
    ),
    "transaction token": (
        lambda token: read_transaction(token.encode(), KEYS, URL, URL, NOW),
        lambda typ: by_ed(typ, UNBOUND),
        frozenset({"txntoken+jwt"}),
    ),
    "status list": (
        lambda token: read_list(token.encode(), KEYS, URL, URL, NOW),
        lambda typ: by_ed(typ, LIST),
        frozenset({"statuslist+jwt"}),
    ),
    "identity assertion": (
        lambda token: check_id_jag(token, [ED_JWK], URL, URL, "agent", NOW),
        lambda typ: by_ed(typ, UNBOUND),
        frozenset({"oauth-id-jag+jwt"}),
    ),
    "client assertion": (
        lambda token: signed_by(token, [ED_JWK], frozenset({"jwt", "client-authentication+jwt"}), untyped=True),
        lambda typ: by_ed(typ, UNBOUND),
        frozenset({"JWT", "client-authentication+jwt", None}),
    ),
    "JWT-SVID": (
        lambda token: check_jwt_svid(token, {"broker.example": {"k1": SPKI}}, URL, NOW),
        lambda typ: by_ec(typ, UNBOUND),
        frozenset({"JWT", "JOSE", None}),
    ),
    "token of an outside issuer": (
        lambda token: check_token(token, {"keys": [EC_JWK]}, URL, URL, NOW),
        lambda typ: by_ec(typ, UNBOUND),
        # Some providers of workload identity (RFC 9068) issue nothing else; its audience is what keeps it apart.
        frozenset({"JWT", "at+jwt", None}),
    ),
}


@pytest.mark.parametrize("typ", KINDS, ids=lambda typ: typ or "untyped")
@pytest.mark.parametrize("reader", READERS)
def test_t1_a_token_is_read_only_as_what_its_header_says_it_is(reader: str, typ: str | None) -> None:
    read, make, own = READERS[reader]
    token = make(typ)
    if typ in own:
        assert read(token) is not None
        return

    with pytest.raises((RefusedError, BadInputError)) as refused:
        read(token)

    assert isinstance(refused.value, JitError)


@pytest.mark.parametrize("reader", READERS)
def test_t1_the_kind_is_not_guessed_from_a_spelling_that_is_nearly_right(reader: str) -> None:
    read, make, own = READERS[reader]
    for typ in own - {None}:
        for near in (f"{typ} ", f" {typ}", f"{typ}\x00", f"x-{typ}", f"{typ}+x", f"{typ};a=b"):
            with pytest.raises((RefusedError, BadInputError)):
                read(make(near))
