"""Attacks on access tokens and key proofs: every one is refused, and its benign twin goes through.

The attacker may send any bytes, knows every public key, has copied tokens and passes, and holds a key of his own. In the rows marked `signed`
even the signature is right: a library alone would let most of them through.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jittrust.core.errors import RefusedError
from jittrust.core.grant import jws
from jittrust.core.grant.claims import InvalidTokenError, TokenRules
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.grant.present import (
    InvalidProofError,
    PresentationRules,
    PresentedRequest,
    VerifiedBefore,
    check_bearer,
    check_key_proof,
    check_presentation,
    token_hash,
)
from jittrust.core.grant.proof import Ed25519Signer, Es256Signer, ProofSigner
from jittrust.core.units import Instant
from jittrust.verify import RequireGrant, Verifier

URL = "https://broker.example/mcp/files"
RULES = PresentationRules(TokenRules("https://broker.example", URL))
NOW = Instant(1_700_000_100)
BROKER = Ed25519Signer.from_secret(b"b" * 32)
KEYS = {"k1": bytes(BROKER.key.verify_key)}
AGENT = Ed25519Signer.from_secret(b"a" * 32)
AGENT_EC = Es256Signer.from_secret(b"a" * 32)
THIEF = Ed25519Signer.from_secret(b"t" * 32)
THIEF_EC = Es256Signer.from_secret(b"t" * 32)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

TOKEN_HEADER: dict[str, Any] = {"alg": "Ed25519", "typ": "at+jwt", "kid": "k1"}
TOKEN_BODY: dict[str, Any] = {
    "iss": "https://broker.example",
    "sub": "agent",
    "aud": URL,
    "client_id": "agent",
    "iat": 1_700_000_000,
    "exp": 1_700_000_300,
    "jti": "t-1",
    "grant_id": "g-1",
    "mission": "m-1",
    "cnf": {"jkt": AGENT.jkt},
}
PROOF_BODY: dict[str, Any] = {
    "jti": "0123456789abcdef",
    "htm": "POST",
    "htu": URL,
    "iat": 1_700_000_100,
    "nonce": "pass",
}


class LeftOut:
    def __repr__(self) -> str:
        return "left out"


LEFT_OUT = LeftOut()
Sign = Callable[[bytes], bytes]


def text(part: object) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def seal(header: object, body: object, sign: Sign) -> str:
    signed = jws.encode(text(header)) + b"." + jws.encode(text(body))
    return (signed + b"." + jws.encode(sign(signed))).decode()


def changed(base: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {name: value for name, value in {**base, **changes}.items() if value is not LEFT_OUT}


def token(header: object = None, body: object = None, sign: Sign = BROKER.sign) -> str:
    return seal(header or TOKEN_HEADER, body or TOKEN_BODY, sign)


class Bound:
    """Whether proofs speak of a token. At the token endpoint there is none yet."""

    to_token = True


def proof(
    header: object = None, body: object = None, sign: Sign | None = None, *, of: str = "", signer: ProofSigner = AGENT
) -> str:
    made = {"typ": "dpop+jwt", "alg": signer.algorithm, "jwk": dict(signer.jwk)}
    claims = {**PROOF_BODY, **({"ath": token_hash((of or token()).encode())} if Bound.to_token else {})}
    if isinstance(header, dict):
        made = changed(made, **header)
    if isinstance(body, dict):
        claims = changed(claims, **body)
    return seal(
        header if isinstance(header, bytes) else made, body if isinstance(body, bytes) else claims, sign or signer.sign
    )


def sent(access: str | None = None, key_proof: str | None = None, **changes: Any) -> PresentedRequest:  # noqa: ANN401
    access = token() if access is None else access
    key_proof = proof(of=access) if key_proof is None else key_proof
    return replace(PresentedRequest("POST", URL, [f"DPoP {access}"], [key_proof], b"{}"), **changes)


def with_token(header: object = None, body: object = None, sign: Sign = BROKER.sign) -> PresentedRequest:
    """A token made by the broker's own key that says what it should not, with a perfect proof for it."""
    return sent(token(header, body, sign))


def with_claims(**changes: object) -> PresentedRequest:
    return sent(token(body=changed(TOKEN_BODY, **changes)))


def with_proof(
    header: object = None, body: object = None, sign: Sign | None = None, signer: ProofSigner = AGENT
) -> PresentedRequest:
    access = EC_TOKEN if signer.algorithm == "ES256" else token()
    return sent(access, proof(header, body, sign, of=access, signer=signer))


def cnf(signer: ProofSigner) -> dict[str, Any]:
    return changed(TOKEN_BODY, cnf={"jkt": signer.jkt})


EC_TOKEN = token(body=cnf(AGENT_EC))
DOUBLE_ALG = b'{"alg":"none","alg":"Ed25519","typ":"at+jwt","kid":"k1"}'
DOUBLE_AUD = json.dumps(TOKEN_BODY).replace('"aud":', '"aud": "https://evil.example", "aud":').encode()
DOUBLE_TYP = b'{"typ":"dpop+jwt","alg":"Ed25519","typ":"at+jwt","kid":"k1"}'
DOUBLE_DEEP = b'{"alg":"Ed25519","typ":"at+jwt","kid":"k1","x":{"a":[{"b":1,"b":2}]}}'
DOUBLE_CNF = json.dumps(TOKEN_BODY).replace('"cnf": {', '"cnf": {"jkt": "' + THIEF.jkt + '", ').encode()
DOUBLE_ACT = (
    json.dumps({**TOKEN_BODY, "act": {"sub": "x"}}).replace('{"sub": "x"}', '{"sub": "x", "sub": "y"}').encode()
)
DOUBLE_ESCAPED = json.dumps(TOKEN_BODY).replace('"aud":', '"\\u0061ud": "https://evil.example", "aud":').encode()
OTHER_ALGORITHMS: tuple[object, ...] = (
    "NONE", "nOnE", "HS384", "HS512", "RS256", "PS256", "ES256K", "ES384", "ES512", "Ed448", "ECDH-ES", "dir", "", 0, None, True, {},
)  # fmt: skip
NO_MOMENTS: tuple[object, ...] = (
    0, 1_700_000_300.0, -1.0, 2**53, 2**64, {}, "", "1e3", False, 1e308, "1800000000", 1e300, 1_700_000_300.5, True, None, [1_700_000_300],
    -1, 2**63, LEFT_OUT,
)  # fmt: skip
DEEP = b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"


def hmac_with(key: bytes) -> Sign:
    return lambda signed: hmac.digest(key, signed, "sha256")


def padded(value: str, part: int, tail: str) -> str:
    parts = value.split(".")
    parts[part] += tail
    return ".".join(parts)


def other_last_bits(value: str, part: int) -> str:
    """The same bytes under another text: the unused bits of the last character set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    parts = value.split(".")
    last = alphabet.index(parts[part][-1])
    assert len(parts[part]) % 4 != 0
    parts[part] = parts[part][:-1] + alphabet[last | 1 if not last & 1 else last ^ 1]
    return ".".join(parts)


def small_order_key() -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "x": jws.encode(b"\x01" + bytes(31)).decode()}


def small_order() -> PresentedRequest:
    """A key of order one, under which the signature (identity, 0) holds for every text where a verifier is careless."""
    key = small_order_key()
    access = token(body=changed(TOKEN_BODY, cnf={"jkt": jws.thumbprint(key)}))
    return sent(access, proof({"jwk": key}, None, lambda _: b"\x01" + bytes(63), of=access))


def second_s() -> PresentedRequest:
    """The same signature with s + L: a second text for one signature."""
    order = 2**252 + 27742317777372353535851937790883648493

    def sign(signed: bytes) -> bytes:
        made = AGENT.sign(signed)
        return made[:32] + (int.from_bytes(made[32:], "little") + order).to_bytes(32, "little")

    return with_proof(sign=sign)


@dataclass(frozen=True)
class Attack:
    name: str
    request: Callable[[], PresentedRequest]
    error: type[RefusedError]
    detail: str
    now: float = NOW


def on_token(name: str, request: Callable[[], PresentedRequest], detail: str, now: float = NOW) -> Attack:
    return Attack(f"token: {name}", request, InvalidTokenError, detail, now)


def on_proof(name: str, request: Callable[[], PresentedRequest], detail: str, now: float = NOW) -> Attack:
    return Attack(f"proof: {name}", request, InvalidProofError, detail, now)


ATTACKS = [
    # how it is sent
    on_token("not sent", lambda: sent(authorization=[]), "no_token"),
    on_token("sent twice", lambda: sent(authorization=[f"DPoP {token()}"] * 2), "many_tokens"),
    on_token("as a bearer token", lambda: sent(authorization=[f"Bearer {token()}"]), "not_dpop"),
    on_token("without a scheme", lambda: sent(authorization=[token()]), "not_dpop"),
    on_token("empty", lambda: sent(authorization=["DPoP "]), "jws_parts"),
    on_token("two in one header", lambda: sent(authorization=[f"DPoP {token()}, DPoP {token()}"]), "jws_parts"),
    on_token("with white space", lambda: sent(authorization=[f"DPoP  {token()}"]), "jws_base64"),
    on_token("with a tab", lambda: sent(authorization=[f"DPoP\t{token()}"]), "not_dpop"),
    on_token("not ASCII", lambda: sent(authorization=["DPoP \u0435yJ"]), "not_dpop"),
    on_token("5 MB of payload, signed", lambda: with_claims(sub="x" * 5_000_000), "jws_too_large"),
    # algorithm
    on_token(
        "alg none", lambda: with_token(header=changed(TOKEN_HEADER, alg="none"), sign=lambda _: b"x"), "wrong_algorithm"
    ),
    on_token(
        "alg none without signature",
        lambda: sent(token(header=changed(TOKEN_HEADER, alg="none")).rpartition(".")[0] + "."),
        "jws_parts",
    ),
    on_token("alg None", lambda: with_token(header=changed(TOKEN_HEADER, alg="None")), "wrong_algorithm"),
    on_token("alg ed25519, signed", lambda: with_token(header=changed(TOKEN_HEADER, alg="ed25519")), "wrong_algorithm"),
    on_token("alg EdDSA, signed", lambda: with_token(header=changed(TOKEN_HEADER, alg="EdDSA")), "wrong_algorithm"),
    on_token(
        "alg HS256 with the public key as secret",
        lambda: with_token(header=changed(TOKEN_HEADER, alg="HS256"), sign=hmac_with(KEYS["k1"])),
        "wrong_algorithm",
    ),
    on_token(
        "alg ES256",
        lambda: with_token(header=changed(TOKEN_HEADER, alg="ES256"), sign=THIEF_EC.sign),
        "wrong_algorithm",
    ),
    on_token(
        "alg a list, signed", lambda: with_token(header=changed(TOKEN_HEADER, alg=["Ed25519"])), "wrong_algorithm"
    ),
    on_token("alg missing, signed", lambda: with_token(header=changed(TOKEN_HEADER, alg=LEFT_OUT)), "wrong_algorithm"),
    on_token("alg twice, signed", lambda: with_token(header=DOUBLE_ALG), "jws_header"),
    # kind
    on_token("a DPoP proof as token", lambda: sent(proof()), "wrong_type"),
    *(
        on_token(f"typ {typ!r}, signed", partial(with_token, header=changed(TOKEN_HEADER, typ=typ)), "wrong_type")
        for typ in (
            "JWT",
            "dpop+jwt",
            "logout+jwt",
            "txntoken+jwt",
            "oauth-id-jag+jwt",
            "secevent+jwt",
            "statuslist+jwt",
            "wit+jwt",
            "AT+JWT",
            "application/at+jwt",
            "at+jwt ",
            "",
            None,
            LEFT_OUT,
        )
    ),
    # headers
    on_token("crit, signed", lambda: with_token(header=changed(TOKEN_HEADER, crit=["exp"])), "jws_forbidden_header"),
    on_token("empty crit, signed", lambda: with_token(header=changed(TOKEN_HEADER, crit=[])), "jws_forbidden_header"),
    on_token(
        "b64 false, signed",
        lambda: with_token(header=changed(TOKEN_HEADER, b64=False, crit=["b64"])),
        "jws_forbidden_header",
    ),
    on_token(
        "jku, signed",
        lambda: with_token(header=changed(TOKEN_HEADER, jku="https://evil.example/k")),
        "jws_forbidden_header",
    ),
    on_token(
        "x5u, signed",
        lambda: with_token(header=changed(TOKEN_HEADER, x5u="file:///etc/passwd")),
        "jws_forbidden_header",
    ),
    on_token("x5c, signed", lambda: with_token(header=changed(TOKEN_HEADER, x5c=["AAAA"])), "jws_forbidden_header"),
    on_token("cty JWT, signed", lambda: with_token(header=changed(TOKEN_HEADER, cty="JWT")), "jws_forbidden_header"),
    on_token("zip, signed", lambda: with_token(header=changed(TOKEN_HEADER, zip="DEF")), "jws_forbidden_header"),
    on_token("enc", lambda: with_token(header=changed(TOKEN_HEADER, enc="A256GCM")), "jws_forbidden_header"),
    on_token(
        "a key of its own",
        lambda: with_token(header=changed(TOKEN_HEADER, jwk=dict(THIEF.jwk)), sign=THIEF.sign),
        "unknown_header",
    ),
    on_token("unknown kid", lambda: with_token(header=changed(TOKEN_HEADER, kid="k9"), sign=THIEF.sign), "unknown_key"),
    on_token(
        "kid as a path",
        lambda: with_token(header=changed(TOKEN_HEADER, kid="../../dev/null"), sign=THIEF.sign),
        "unknown_key",
    ),
    on_token(
        "kid as SQL",
        lambda: with_token(header=changed(TOKEN_HEADER, kid="k1' UNION SELECT 'x"), sign=THIEF.sign),
        "unknown_key",
    ),
    on_token("kid a number", lambda: with_token(header=changed(TOKEN_HEADER, kid=1)), "unknown_header"),
    on_token("kid missing, signed", lambda: with_token(header=changed(TOKEN_HEADER, kid=LEFT_OUT)), "unknown_header"),
    on_token("header no object, signed", lambda: with_token(header=b'["at+jwt"]'), "jws_header"),
    on_token("header no JSON", lambda: with_token(header=b"at+jwt"), "jws_header"),
    on_token("header nested deep", lambda: with_token(header=DEEP), "jws_header"),
    on_token("header in UTF-16", lambda: with_token(header=json.dumps(TOKEN_HEADER).encode("utf-16")), "jws_header"),
    on_token("b64 true, signed", lambda: with_token(header=changed(TOKEN_HEADER, b64=True)), "jws_forbidden_header"),
    on_token(
        "x5t of a stranger, signed",
        lambda: with_token(header=changed(TOKEN_HEADER, x5t="AAAA")),
        "jws_forbidden_header",
    ),
    on_token(
        "x5t#S256 of a stranger, signed",
        lambda: with_token(header=changed(TOKEN_HEADER, **{"x5t#S256": "AAAA"})),
        "jws_forbidden_header",
    ),
    on_token("a second header named typ, signed", lambda: with_token(header=DOUBLE_TYP), "jws_header"),
    on_token("a second name in a member of the header, signed", lambda: with_token(header=DOUBLE_DEEP), "jws_header"),
    *(
        on_token(
            f"kid {str(kid)[:16]!r}",
            partial(with_token, header=changed(TOKEN_HEADER, kid=kid), sign=THIEF.sign),
            detail,
        )
        for kid, detail in (
            ("", "unknown_key"),
            ("k1\x00", "jws_header"),
            ("K1", "unknown_key"),
            ("k1 ", "unknown_key"),
            ("\u212a1", "unknown_key"),
            ("https://evil.example/k1", "unknown_key"),
            ("k" * 5000, "unknown_key"),
            (None, "unknown_header"),
            (["k1"], "unknown_header"),
            ({"k1": 1}, "unknown_header"),
            (True, "unknown_header"),
        )
    ),
    *(
        on_token(
            f"alg {alg!r}, a MAC under the public key",
            partial(with_token, header=changed(TOKEN_HEADER, alg=alg), sign=hmac_with(KEYS["k1"])),
            "wrong_algorithm",
        )
        for alg in OTHER_ALGORITHMS
    ),
    # the signature, and how it is spelt
    on_token("signed by a thief", lambda: with_token(sign=THIEF.sign), "bad_signature"),
    on_token("no signature bytes", lambda: with_token(sign=lambda _: bytes(64)), "bad_signature"),
    on_token("short signature", lambda: with_token(sign=lambda signed: BROKER.sign(signed)[:63]), "bad_signature"),
    on_token("long signature", lambda: with_token(sign=lambda signed: BROKER.sign(signed) + b"\x00"), "bad_signature"),
    on_token(
        "payload exchanged",
        lambda: sent(
            ".".join(
                (
                    token().split(".")[0],
                    jws.encode(text(changed(TOKEN_BODY, grant_id="g-9"))).decode(),
                    token().split(".")[2],
                )
            )
        ),
        "bad_signature",
    ),
    on_token("== behind the signature", lambda: sent(padded(token(), 2, "==")), "jws_base64"),
    on_token("= behind the payload", lambda: sent(padded(token(), 1, "=")), "jws_base64"),
    on_token("other bits behind the signature", lambda: sent(other_last_bits(token(), 2)), "jws_base64"),
    on_token("a line feed behind it", lambda: sent(token() + "\n"), "jws_base64"),
    on_token("four parts", lambda: sent(token() + ".AAAA"), "jws_parts"),
    on_token("five parts, like a JWE", lambda: sent("e30.AA.AA.AA.AA"), "jws_parts"),
    on_token("two parts", lambda: sent(token().rpartition(".")[0]), "jws_parts"),
    on_token("JSON serialisation", lambda: sent(json.dumps({"payload": "e30", "signatures": []})), "jws_parts"),
    on_token("standard alphabet", lambda: sent("+/+/.+/+/.+/+/"), "jws_base64"),
    on_token("a NUL in it", lambda: sent(token()[:-1] + "\x00"), "jws_base64"),
    # claims
    on_token("claims twice, signed", lambda: with_token(body=DOUBLE_AUD), "bad_claims"),
    on_token("a claim twice inside cnf, signed", lambda: with_token(body=DOUBLE_CNF), "bad_claims"),
    on_token("a claim twice inside a claim nobody reads, signed", lambda: with_token(body=DOUBLE_ACT), "bad_claims"),
    on_token("a claim twice by an escape, signed", lambda: with_token(body=DOUBLE_ESCAPED), "bad_claims"),
    on_token("claims no object, signed", lambda: with_token(body=b"[1]"), "bad_claims"),
    on_token("claims nested deep, signed", lambda: with_token(body=DEEP), "bad_claims"),
    on_token("a token in a token, signed", lambda: with_token(body=token().encode()), "bad_claims"),
    *(on_token(f"exp {exp!r}, signed", partial(with_claims, exp=exp), "bad_claims") for exp in NO_MOMENTS),
    on_token("exp NaN, signed", lambda: with_token(body=text(TOKEN_BODY).replace(b"1700000300", b"NaN")), "bad_claims"),
    on_token(
        "exp 1e400, signed", lambda: with_token(body=text(TOKEN_BODY).replace(b"1700000300", b"1e400")), "bad_claims"
    ),
    on_token("iat text, signed", lambda: with_claims(iat="0"), "bad_claims"),
    on_token("iat missing, signed", lambda: with_claims(iat=LEFT_OUT), "bad_claims"),
    on_token("exp before iat, signed", lambda: with_claims(iat=1_700_000_300), "bad_claims"),
    on_token("not valid yet, signed", lambda: with_claims(nbf=1_700_000_200), "bad_claims"),
    on_token("expired", sent, "expired", 1_700_000_300),
    on_token("from the future", sent, "from_the_future", 1_699_999_000),
    on_token("lives for ever, signed", lambda: with_claims(exp=2**52), "lives_too_long"),
    on_token("another audience, signed", lambda: with_claims(aud="https://broker.example/mcp/mail"), "wrong_audience"),
    on_token("audience in another case, signed", lambda: with_claims(aud=URL.upper()), "wrong_audience"),
    on_token("audience with a slash more, signed", lambda: with_claims(aud=URL + "/"), "wrong_audience"),
    on_token("a prefix of the audience, signed", lambda: with_claims(aud=URL[:-1]), "wrong_audience"),
    on_token("many audiences, signed", lambda: with_claims(aud=[URL, "https://evil.example"]), "bad_claims"),
    on_token("one audience in a list, signed", lambda: with_claims(aud=[URL]), "bad_claims"),
    on_token("no audience, signed", lambda: with_claims(aud=LEFT_OUT), "bad_claims"),
    on_token("another issuer, signed", lambda: with_claims(iss="https://evil.example"), "wrong_issuer"),
    on_token("issuer with a slash more, signed", lambda: with_claims(iss="https://broker.example/"), "wrong_issuer"),
    on_token("no grant, signed", lambda: with_claims(grant_id=LEFT_OUT), "bad_claims"),
    on_token("details no list, signed", lambda: with_claims(authorization_details={"type": "x"}), "bad_claims"),
    on_token("details a list of texts, signed", lambda: with_claims(authorization_details=["x"]), "bad_claims"),
    on_token("empty grant, signed", lambda: with_claims(grant_id=""), "bad_claims"),
    on_token("grant a number, signed", lambda: with_claims(grant_id=1), "bad_claims"),
    on_token("grant with a NUL, signed", lambda: with_claims(grant_id="g-1\x00"), "bad_claims"),
    on_token("bound to no key, signed", lambda: with_claims(cnf=LEFT_OUT), "not_bound"),
    on_token("bound to nothing, signed", lambda: with_claims(cnf={}), "bad_claims"),
    on_token(
        "bound to a certificate too, signed", lambda: with_claims(cnf={"jkt": AGENT.jkt, "x5t#S256": "A"}), "bad_claims"
    ),
    on_token("an empty thumbprint, signed", lambda: with_claims(cnf={"jkt": ""}), "bad_claims"),
    # how the proof is sent
    on_proof("not sent", lambda: sent(proofs=[]), "no_proof"),
    on_proof("sent twice", lambda: sent(proofs=[proof(), proof()]), "many_proofs"),
    on_proof("two in one header", lambda: sent(proofs=[proof() + ", " + proof()]), "jws_parts"),
    on_proof("empty", lambda: sent(proofs=[""]), "jws_parts"),
    on_proof("not ASCII", lambda: sent(proofs=["\u0435yJ.e.e"]), "jws_base64"),
    on_proof("too large, signed", lambda: with_proof(body={"x": "x" * 5000}), "jws_too_large"),
    on_proof("the token as its own proof", lambda: sent(proofs=[token()]), "wrong_type"),
    on_proof("padded", lambda: sent(proofs=[padded(proof(), 2, "==")]), "jws_base64"),
    on_proof("other last bits", lambda: sent(proofs=[other_last_bits(proof(), 2)]), "jws_base64"),
    on_proof("cut", lambda: sent(proofs=[proof()[:-10]]), "bad_signature"),
    # the proof's kind and algorithm
    *(
        on_proof(f"typ {typ!r}, signed", partial(with_proof, {"typ": typ}), "wrong_type")
        for typ in ("JWT", "at+jwt", "DPOP+JWT", "application/dpop+jwt", "dpop", LEFT_OUT)
    ),
    on_proof("alg none", lambda: with_proof({"alg": "none"}, sign=lambda _: b"x"), "wrong_algorithm"),
    on_proof(
        "alg HS256 under the key's text",
        lambda: with_proof({"alg": "HS256"}, sign=hmac_with(str(AGENT.jwk["x"]).encode())),
        "wrong_algorithm",
    ),
    on_proof("alg RS256", lambda: with_proof({"alg": "RS256"}), "wrong_algorithm"),
    on_proof("alg of the other key kind", lambda: with_proof({"alg": "ES256"}), "wrong_algorithm"),
    on_proof("EdDSA for a P-256 key", lambda: with_proof({"alg": "EdDSA"}, signer=AGENT_EC), "wrong_algorithm"),
    on_proof("alg a list, signed", lambda: with_proof({"alg": ["Ed25519"]}), "wrong_algorithm"),
    on_proof("alg missing, signed", lambda: with_proof({"alg": LEFT_OUT}), "wrong_algorithm"),
    on_proof("crit, signed", lambda: with_proof({"crit": []}), "jws_forbidden_header"),
    on_proof("jku, signed", lambda: with_proof({"jku": "https://evil.example"}), "jws_forbidden_header"),
    on_proof("x5c, signed", lambda: with_proof({"x5c": ["AA"]}), "jws_forbidden_header"),
    on_proof("header twice, signed", lambda: with_proof(b'{"typ":"x","typ":"dpop+jwt"}'), "jws_header"),
    # the proof's key
    on_proof("of the thief's own key", lambda: with_proof(signer=THIEF), "other_key"),
    on_proof("of the thief's P-256 key", lambda: sent(EC_TOKEN, proof(of=EC_TOKEN, signer=THIEF_EC)), "other_key"),
    on_proof("the owner's key, the thief's signature", lambda: with_proof(sign=THIEF.sign), "bad_signature"),
    on_proof(
        "the owner's P-256 key, the thief's signature",
        lambda: with_proof(sign=THIEF_EC.sign, signer=AGENT_EC),
        "bad_signature",
    ),
    on_proof("without a key", lambda: with_proof({"jwk": LEFT_OUT}), "jwk_kind"),
    on_proof("key as text", lambda: with_proof({"jwk": json.dumps(dict(AGENT.jwk))}), "jwk_kind"),
    on_proof(
        "with the private key, signed",
        lambda: with_proof({"jwk": {**AGENT.jwk, "d": jws.encode(bytes(AGENT.key)).decode()}}),
        "jwk_private",
    ),
    on_proof(
        "with a private P-256 key",
        lambda: with_proof({"jwk": {**AGENT_EC.jwk, "d": "AA"}}, signer=AGENT_EC),
        "jwk_private",
    ),
    on_proof(
        "a symmetric key", lambda: with_proof({"jwk": {"kty": "oct", "k": "AAAA"}, "alg": "ES256"}), "jwk_private"
    ),
    on_proof("an RSA key", lambda: with_proof({"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}), "jwk_kind"),
    on_proof("kty a list", lambda: with_proof({"jwk": {**AGENT.jwk, "kty": ["OKP"]}}), "jwk_kind"),
    on_proof("curve Ed448", lambda: with_proof({"jwk": {**AGENT.jwk, "crv": "Ed448"}}), "jwk_kind"),
    on_proof("curve X25519", lambda: with_proof({"jwk": {**AGENT.jwk, "crv": "X25519"}}), "jwk_kind"),
    on_proof("curve P-384", lambda: with_proof({"jwk": {**AGENT_EC.jwk, "crv": "P-384"}}, signer=AGENT_EC), "jwk_kind"),
    on_proof(
        "a point off the curve",
        lambda: with_proof({"jwk": {**AGENT_EC.jwk, "y": jws.encode(b"\x01" * 32).decode()}}, signer=AGENT_EC),
        "jwk_point",
    ),
    on_proof(
        "the point at infinity",
        lambda: with_proof({"jwk": {**AGENT_EC.jwk, "x": "A" * 43, "y": "A" * 43}}, signer=AGENT_EC),
        "jwk_point",
    ),
    on_proof(
        "a coordinate beyond the field",
        lambda: with_proof({"jwk": {**AGENT_EC.jwk, "x": jws.encode(b"\xff" * 32).decode()}}, signer=AGENT_EC),
        "jwk_point",
    ),
    on_proof("a short coordinate", lambda: with_proof({"jwk": {**AGENT.jwk, "x": "AAAA"}}), "jwk_point"),
    on_proof(
        "a padded coordinate", lambda: with_proof({"jwk": {**AGENT.jwk, "x": str(AGENT.jwk["x"]) + "="}}), "jws_base64"
    ),
    on_proof("a coordinate that is a number", lambda: with_proof({"jwk": {**AGENT.jwk, "x": 5}}), "jwk_member"),
    on_proof("a key for encryption, signed", lambda: with_proof({"jwk": {**AGENT.jwk, "use": "enc"}}), "jwk_member"),
    on_proof(
        "key_ops for something else, signed",
        lambda: with_proof({"jwk": {**AGENT.jwk, "key_ops": ["sign"]}}),
        "jwk_member",
    ),
    on_proof(
        "a key for another algorithm, signed", lambda: with_proof({"jwk": {**AGENT.jwk, "alg": "ES256"}}), "jwk_member"
    ),
    on_proof(
        "a key with a certificate, signed",
        lambda: with_proof({"jwk": {**AGENT.jwk, "x5u": "https://evil.example"}}),
        "jwk_member",
    ),
    on_proof("a key of small order", small_order, "bad_signature"),
    on_proof("s + L, a second spelling of the signature", second_s, "bad_signature"),
    on_proof("r = s = 0", lambda: with_proof(sign=lambda _: bytes(64), signer=AGENT_EC), "bad_signature"),
    on_proof(
        "r = s = n", lambda: with_proof(sign=lambda _: ORDER.to_bytes(32, "big") * 2, signer=AGENT_EC), "bad_signature"
    ),
    on_proof(
        "an ASN.1 signature",
        lambda: with_proof(sign=lambda signed: b"\x30\x44" + AGENT_EC.sign(signed), signer=AGENT_EC),
        "bad_signature",
    ),
    # what the proof says of this request
    on_proof("of another token", lambda: sent(token(body=changed(TOKEN_BODY, jti="t-2")), proof()), "wrong_token"),
    on_proof("without ath, signed", lambda: with_proof(body={"ath": LEFT_OUT}), "wrong_token"),
    on_proof(
        "ath in hexadecimal, signed",
        lambda: with_proof(body={"ath": hashlib.sha256(token().encode()).hexdigest()}),
        "wrong_token",
    ),
    on_proof("ath null, signed", lambda: with_proof(body={"ath": None}), "wrong_token"),
    on_proof("ath padded, signed", lambda: with_proof(body={"ath": token_hash(token().encode()) + "="}), "wrong_token"),
    *(
        on_proof(f"htm {htm!r}, signed", partial(with_proof, body={"htm": htm}), "wrong_method")
        for htm in ("GET", "post", "POST ", ["POST"], None, LEFT_OUT)
    ),
    *(
        on_proof(f"htu {str(htu)[:60]!r}, signed", partial(with_proof, body={"htu": htu}), "wrong_url")
        for htu in (
            "https://broker.example/mcp/mail",
            "http://broker.example/mcp/files",
            "https://broker.example:8443/mcp/files",
            "https://broker.example./mcp/files",
            "https://broker.example:0443/mcp/files",
            "https://broker.example:/mcp/files",
            "https://broker.example:80/mcp/files",
            "https://broker.example:443:443/mcp/files",
            "https://user@broker.example/mcp/files",
            "https://user:pass@broker.example/mcp/files",
            "https://broker.example%2fmcp/files",
            "https://broker.example/mcp/files%2f",
            "https://broker.example/mcp/files%3Fa=1",
            "https://broker.example/mcp/files%20",
            "https://broker.example/mcp/files ",
            "https://broker.example/mcp//files",
            "https://broker.example/%2e%2e/mcp/files",
            "https://broker.example/mcp/files?a#b",
            "https:/broker.example/mcp/files",
            "https:broker.example/mcp/files",
            "//broker.example/mcp/files",
            "wss://broker.example/mcp/files",
            "https://xn--broker-example/mcp/files",
            "https://[::1]/mcp/files",
            "https://127.0.0.1/mcp/files",
            "https://broker.example\t/mcp/files",
            "https://broker.example/mcp/fi\u200bles",
            "https://broker.example/mcp/files" + "/" * 2100,
            {"url": URL},
            0,
            "https://evil.example/mcp/files",
            "https://broker.example@evil.example/mcp/files",
            "https://evil.example/?https://broker.example/mcp/files",
            "https://broker.example/mcp/files/",
            "https://broker.example/MCP/files",
            "https://broker.example//mcp/files",
            "https://broker.example/mcp%2ffiles",
            "https://broker.example/mcp/%66iles",
            "https://broker.example/x/../mcp/files",
            "https://broker.example/mcp/./files",
            "https://broker.example/mcp/files;x",
            "https://broker.example/mcp/files%00",
            "https://broker.example\\mcp/files",
            "https://broker.example/mcp/files#x",
            " https://broker.example/mcp/files",
            "https://broker.example/mcp/files\n",
            "https://br\u043eker.example/mcp/files",
            "/mcp/files",
            "",
            None,
            [URL],
            LEFT_OUT,
        )
    ),
    *(
        on_proof(f"iat {iat!r}, signed", partial(with_proof, body={"iat": iat}), "bad_claims")
        for iat in ("1700000100", 1_700_000_100.5, True, None, -1, 2**63, LEFT_OUT)
    ),
    on_proof("too old", lambda: with_proof(body={"iat": 1_699_999_799}), "too_old"),
    on_proof("from the future", lambda: with_proof(body={"iat": 1_700_000_401}), "from_the_future"),
    *(
        on_proof(f"jti {str(jti)[:12]!r}, signed", partial(with_proof, body={"jti": jti}), "bad_claims")
        for jti in (
            "",
            "1234567",
            "x" * 257,
            "with a space",
            "caf\u00e9caf\u00e9",
            "line\nfeed",
            12345678,
            None,
            ["x" * 16],
            LEFT_OUT,
        )
    ),
    *(
        on_proof(f"nonce {str(nonce)[:12]!r}, signed", partial(with_proof, body={"nonce": nonce}), "bad_claims")
        for nonce in ("", 'a"b', "a\\b", "a b", "a\r\nX: y", "\u00e9", "x" * 1025, 1, None, ["pass"], {"a": 1})
    ),
    on_proof("claims twice, signed", lambda: with_proof(body=b'{"htm":"GET","htm":"POST"}'), "bad_claims"),
    on_proof("claims no object, signed", lambda: with_proof(body=b"1"), "bad_claims"),
    on_proof("claims nested deep, signed", lambda: with_proof(body=DEEP), "bad_claims"),
    on_proof("another body, signed", lambda: with_proof(body={"content_digest": "sha-256=:AAAA:"}), "wrong_body"),
    on_proof("body digest null, signed", lambda: with_proof(body={"content_digest": None}), "wrong_body"),
    on_proof(
        "body digest sha-512, signed", lambda: with_proof(body={"content_digest": "sha-512=:AAAA:"}), "wrong_body"
    ),
]


def with_attacks() -> pytest.MarkDecorator:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names) >= 300
    return pytest.mark.parametrize("attack", ATTACKS, ids=names)


@with_attacks()
def test_every_attack_on_token_or_proof_is_refused_for_its_own_reason(attack: Attack) -> None:
    request = attack.request()

    with pytest.raises(attack.error) as refused:
        check_presentation(request, KEYS, RULES, Instant(attack.now))

    assert isinstance(refused.value, InvalidTokenError | InvalidProofError)
    assert refused.value.detail == attack.detail
    assert refused.value.http_status == 401


@with_attacks()
def test_no_attack_profits_from_what_was_verified_before(attack: Attack) -> None:
    before = VerifiedBefore()
    check_presentation(sent(), KEYS, RULES, NOW, before)
    check_presentation(sent(EC_TOKEN, proof(of=EC_TOKEN, signer=AGENT_EC)), KEYS, RULES, NOW, before)

    with pytest.raises(attack.error):
        check_presentation(attack.request(), KEYS, RULES, Instant(attack.now), before)


@pytest.fixture
def no_token() -> Iterator[None]:
    """Proofs are made for a request that has no token yet."""
    Bound.to_token = False
    yield
    Bound.to_token = True


# What a proof without a token cannot get wrong: it is of no token, and any key may come.
OF_A_TOKEN = frozenset({"wrong_token", "other_key", "no_proof", "many_proofs"})
KEY_ATTACKS = [attack for attack in ATTACKS if attack.error is InvalidProofError and attack.detail not in OF_A_TOKEN]


@pytest.mark.usefixtures("no_token")
@pytest.mark.parametrize("attack", KEY_ATTACKS, ids=[attack.name for attack in KEY_ATTACKS])
def test_every_attack_on_a_proof_is_refused_at_the_token_endpoint_too(attack: Attack) -> None:
    (sent_proof,) = attack.request().proofs

    with pytest.raises(InvalidProofError) as refused:
        check_key_proof(sent_proof, "POST", URL, Instant(attack.now))

    assert refused.value.detail == ("bad_claims" if attack.detail == "wrong_body" else attack.detail)


def test_a_proof_for_a_token_is_not_taken_where_there_is_none() -> None:
    with pytest.raises(InvalidProofError) as refused:
        check_key_proof(proof(), "POST", URL, NOW)

    assert refused.value.detail == "bad_claims"


@pytest.mark.usefixtures("no_token")
@pytest.mark.parametrize("signer", [AGENT, AGENT_EC], ids=["Ed25519", "P-256"])
def test_a_plain_proof_is_taken_at_the_token_endpoint_and_names_its_key(signer: ProofSigner) -> None:
    shown = check_key_proof(proof(signer=signer), "POST", URL, NOW)

    assert (shown.jkt, shown.jti, shown.nonce, shown.iat) == (signer.jkt, PROOF_BODY["jti"], "pass", NOW)


@pytest.mark.usefixtures("no_token")
@pytest.mark.parametrize("away", [-61, 61])
def test_a_proof_without_a_token_is_good_for_a_minute(away: int) -> None:
    with pytest.raises(InvalidProofError):
        check_key_proof(proof(), "POST", URL, Instant(NOW + away))


def verifier_at(now: float) -> Verifier:
    """A service of somebody else that takes our tokens."""
    return Verifier("https://broker.example", URL, KEYS, clock=lambda: now)


def header_pairs(request: PresentedRequest) -> list[tuple[bytes, bytes]]:
    """Headers as a web server hands them on."""
    return [
        *((b"authorization", value.encode("utf-8", "surrogatepass")) for value in request.authorization),
        *((b"dpop", value.encode("utf-8", "surrogatepass")) for value in request.proofs),
    ]


@with_attacks()
def test_every_attack_is_refused_by_a_service_that_verifies_for_itself(attack: Attack) -> None:
    request = attack.request()

    with pytest.raises((InvalidTokenError, InvalidProofError)):
        verifier_at(attack.now).check(request.method, request.url, header_pairs(request), request.body)


@with_attacks()
async def test_no_attack_gets_through_the_middleware_or_makes_it_fail(attack: Attack) -> None:
    request = attack.request()
    sent_back: list[dict[str, Any]] = []
    reached: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        reached.append(scope["path"])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body or b"", "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401
        sent_back.append(message)

    scope = {
        "type": "http",
        "method": request.method,
        "path": "/mcp/files",
        "raw_path": b"/mcp/files",
        "headers": header_pairs(request),
    }
    await RequireGrant(app, verifier_at(attack.now), "https://broker.example")(scope, receive, send)

    assert reached == []
    assert sent_back[0]["status"] == 401


def test_the_honest_twin_gets_in_at_a_service_once() -> None:
    request, service = sent(), verifier_at(NOW)

    assert service.check("POST", URL, header_pairs(request), b"{}").claims.grant == "g-1"
    with pytest.raises(InvalidProofError):
        service.check("POST", URL, header_pairs(request), b"{}")


BENIGN: dict[str, Callable[[], PresentedRequest]] = {
    "plain": sent,
    "scheme in lower case": lambda: sent(authorization=[f"dpop {token()}"]),
    "P-256": lambda: with_proof(signer=AGENT_EC),
    "the old name EdDSA": lambda: with_proof({"alg": "EdDSA"}),
    "a key as WebCrypto exports it": lambda: with_proof({"jwk": {**AGENT.jwk, "ext": True, "key_ops": ["verify"]}}),
    "a key with use, alg and kid": lambda: with_proof(
        {"jwk": {**AGENT.jwk, "use": "sig", "alg": "Ed25519", "kid": "x"}}
    ),
    "an unknown harmless header": lambda: with_proof({"kid": "x"}),
    "an unknown claim": lambda: with_proof(body={"x": [1]}),
    "an unknown token claim": lambda: with_claims(act={"sub": "parent"}),
    "valid since it was issued": lambda: with_claims(nbf=1_700_000_000),
    "a query in the request": lambda: sent(url=URL + "?a=1"),
    "a query in htu": lambda: with_proof(body={"htu": URL + "?a=1"}),
    "host and scheme in capitals": lambda: with_proof(body={"htu": "HTTPS://Broker.Example/mcp/files"}),
    "the default port": lambda: with_proof(body={"htu": "https://broker.example:443/mcp/files"}),
    "another jti": lambda: with_proof(body={"jti": "12345678"}),
    "the longest jti": lambda: with_proof(body={"jti": "x" * 256}),
    "the longest nonce": lambda: with_proof(body={"nonce": "x" * 1024}),
    "iat at the edge": lambda: with_proof(body={"iat": 1_699_999_800}),
    "members in another order, with white space": lambda: with_token(
        body=json.dumps(dict(reversed(TOKEN_BODY.items())), indent=2).encode()
    ),
}


@pytest.mark.parametrize("name", BENIGN)
def test_every_benign_twin_goes_through(name: str) -> None:
    shown = check_presentation(BENIGN[name](), KEYS, RULES, NOW)

    assert shown.grant == "g-1"
    assert shown.binding is PassBinding.DPOP


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    [
        "alg",
        "typ",
        "jwk",
        "kid",
        "iat",
        "exp",
        "jti",
        "htm",
        "htu",
        "ath",
        "nonce",
        "aud",
        "iss",
        "sub",
        "cnf",
        "content_digest",
    ]
)
members = st.sampled_from(["kty", "crv", "x", "y", "d", "use", "key_ops", "alg", "ext", "kid"])


@settings(max_examples=300)
@given(
    st.sampled_from(["token header", "token", "proof header", "proof", "key"]),
    st.dictionaries(names, anything, min_size=1, max_size=3),
    st.dictionaries(members, anything, min_size=1, max_size=3),
)
def test_no_signed_nonsense_ends_in_anything_but_a_refusal(
    where: str, changes: dict[str, object], key: dict[str, object]
) -> None:
    requests = {
        "token header": lambda: with_token(header=changed(TOKEN_HEADER, **changes)),
        "token": lambda: with_claims(**changes),
        "proof header": lambda: with_proof(changes),
        "proof": lambda: with_proof(body=changes),
        "key": lambda: with_proof({"jwk": {**AGENT.jwk, **key}}),
    }

    try:
        shown = check_presentation(requests[where](), KEYS, RULES, NOW)
    except (InvalidTokenError, InvalidProofError):
        return
    assert shown.jkt == AGENT.jkt


@settings(max_examples=300)
@given(st.booleans(), st.data())
def test_no_changed_character_of_a_token_or_a_proof_goes_unnoticed(of_token: bool, data: st.DataObject) -> None:  # noqa: FBT001
    whole = token() if of_token else proof()
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda sign: sign != whole[at]))
    broken = whole[:at] + other + whole[at + 1 :]

    with pytest.raises((InvalidTokenError, InvalidProofError)):
        check_presentation(sent(broken, proof()) if of_token else sent(token(), broken), KEYS, RULES, NOW)


UNBOUND = token(body=changed(TOKEN_BODY, cnf=LEFT_OUT))


@pytest.mark.parametrize(
    ("request_sent", "detail"),
    [
        (sent(authorization=[f"Bearer {token()}"], proofs=[]), "not_bearer"),
        (sent(authorization=[f"Bearer {token()}"]), "not_bearer"),
        (sent(authorization=[f"Bearer {UNBOUND}"]), "proof_with_bearer"),
        (sent(authorization=[f"DPoP {UNBOUND}"], proofs=[]), "not_bearer"),
        (sent(authorization=[UNBOUND], proofs=[]), "not_bearer"),
        (sent(authorization=[], proofs=[]), "no_token"),
        (sent(authorization=[f"Bearer {UNBOUND}"] * 2, proofs=[]), "many_tokens"),
        (sent(authorization=[f"Bearer {token(body=changed(TOKEN_BODY, cnf=None))}"], proofs=[]), "bad_claims"),
        (sent(authorization=[f"Bearer {token(body=changed(TOKEN_BODY, cnf={}))}"], proofs=[]), "bad_claims"),
        (sent(authorization=[f"Bearer {token(body=changed(TOKEN_BODY, cnf={'jkt': ''}))}"], proofs=[]), "bad_claims"),
        (sent(authorization=[f"Bearer {UNBOUND[:-6]}AAAAAA"], proofs=[]), "bad_signature"),
        (sent(authorization=[f"Bearer {proof()}"], proofs=[]), "wrong_type"),
    ],
)
def test_a_bound_token_is_never_taken_without_its_proof_nor_an_unbound_one_with_any(
    request_sent: PresentedRequest, detail: str
) -> None:
    with pytest.raises(InvalidTokenError) as refused:
        check_bearer(request_sent, KEYS, RULES, NOW)

    assert refused.value.detail == detail


def test_an_unbound_token_is_taken_as_a_bearer_token_and_its_chain_is_kept_for_it() -> None:
    shown = check_bearer(sent(authorization=[f"bearer {UNBOUND}"], proofs=[]), KEYS, RULES, NOW)

    assert shown == Shown(PassBinding.GATEWAY, "g-1")


def test_the_twin_of_a_p256_signature_shows_the_same_proof_and_so_the_same_pass() -> None:
    def twin(signed: bytes) -> bytes:
        made = AGENT_EC.sign(signed)
        return made[:32] + (ORDER - int.from_bytes(made[32:], "big")).to_bytes(32, "big")

    first = check_presentation(with_proof(signer=AGENT_EC), KEYS, RULES, NOW)
    second = check_presentation(with_proof(sign=twin, signer=AGENT_EC), KEYS, RULES, NOW)

    # ECDSA has two texts for one signature, so what makes a use unique is the pass and the jti, never the text.
    assert first == second == Shown(PassBinding.DPOP, "g-1", "pass", NOW, "0123456789abcdef", AGENT_EC.jkt)
