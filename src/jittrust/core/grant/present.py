"""What a caller showed, checked: access token, key proof, and that the proof is about this very request (RFC 9449 §4.3, §7.1).

Every check stands or falls alone and the first that fails refuses. The pass is handed on unjudged: that needs the lane (`core.grant.lanes`).
Two things are left to the broker, because they need its state: that grant and lane are alive, and that a pass is spent once. With rotating
passes a copied proof is worth nothing more, so no list of seen `jti`s is needed; the `jti` is returned for the record.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from jittrust.core.errors import RefusedError
from jittrust.core.grant import claims as tokens
from jittrust.core.grant import jws, wire
from jittrust.core.grant.claims import InvalidTokenError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.model import Json
from jittrust.core.units import Instant, Seconds

MAX_NONCE = 1024
"""Longest nonce that is looked at, in characters."""
_JTI = re.compile(r"[\x21-\x7e]{8,256}")
_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,1024}")  # NQCHAR, RFC 9449 §8.1
_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
    r"(?:\?[\x21\x24-\x7e]*)?"
)
_DEFAULT_PORTS = {"https": "443", "http": "80"}
_LATEST = 2**53
_MAX_URL = 2048


class InvalidProofError(RefusedError):
    """The proof is no good: HTTP 401, `invalid_dpop_proof` (RFC 9449 §7.1).

    `detail` is a stable word that says which check failed; it is for people and the ledger, never for the wire. `grant` is the grant that the
    (valid) token named: without a proof of its key nothing happens to it, the attempt is only counted.
    """

    http_status = 401

    def __init__(self, detail: str, message: str, grant: str = "") -> None:
        super().__init__(
            wire.INVALID_PROOF, message, "Sign each request anew with the key of the grant and the newest pass."
        )
        self.detail = detail
        self.grant = grant


@dataclass(frozen=True, slots=True)
class PresentedRequest:
    """The request as it came.

    Attributes:
        method: HTTP method, as sent.
        url: the URL under which the broker is known (from its own configuration, never from `Host`), with the request's path.
        authorization: every value of the Authorization header, one for each time it was sent.
        proofs: every value of the DPoP header, likewise.
        body: the raw body; None where it is not at hand, then a proof that speaks of it is refused.
        digest: its `content_digest`, where whoever read the body tells no more of it; counts only without `body`.
    """

    method: str
    url: str
    authorization: Sequence[str]
    proofs: Sequence[str]
    body: bytes | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class PresentationRules:
    """The numbers and names of a presentation.

    Attributes:
        token: what the access token must say.
        oldest, newest: how far `iat` of a proof may lie behind and ahead of now. 300 s each (MCP DPoP profile; RFC 9449 §11.1 leaves it to
            the server): the pass gives the freshness, the window only keeps clocks honest.
        max_proof_bytes: longest proof. 4 KiB; real ones have 400 to 900 bytes.
    """

    token: tokens.TokenRules
    oldest: Seconds = Seconds(300)
    newest: Seconds = Seconds(300)
    max_proof_bytes: int = 4096


@dataclass(frozen=True, slots=True)
class KeyProof:
    """A proof without a token, as the token endpoint takes it: whose key (`jkt`), its id, the pass it carries (None without one), when it was made."""

    jkt: str
    jti: str
    nonce: str | None
    iat: Instant


@dataclass(frozen=True, slots=True)
class VerifiedBefore:
    """What was verified before and need not be computed again. Both mappings belong to the caller, who bounds their size.

    Attributes:
        tokens: claims by token. Forget all of it when a signing key is retired. Life, issuer and audience are checked every time all the same.
        keys: keys by the header part of a proof, whose checks then need not be done again. Only headers with the key that a valid token names
            get in.
    """

    tokens: MutableMapping[bytes, tokens.AccessClaims] = field(default_factory=dict)
    keys: MutableMapping[bytes, jws.PublicProofKey] = field(default_factory=dict)


def check_presentation(
    request: PresentedRequest,
    keys: Mapping[str, bytes],
    rules: PresentationRules,
    now: Instant,
    before: VerifiedBefore | None = None,
) -> Shown:
    """Check token, key binding and proof of one request.

    Args:
        request: what came.
        keys: public Ed25519 keys of the token signer by `kid`.
        rules: numbers and names.
        now: the time.
        before: see `VerifiedBefore`; None = compute everything.

    Returns:
        What was shown. `presented` is the nonce as it came, None if the proof has none.

    Raises:
        InvalidTokenError: `no_token`, `many_tokens`, `not_dpop` (a bound token sent as a bearer token), `not_bound` (a bearer token sent with
            a proof), or as `claims.verify`.
        InvalidProofError: `no_proof`, `many_proofs`, a code of `jws.split` or `jws.import_key`, `wrong_type`, `wrong_algorithm`, `other_key`,
            `bad_signature`, `bad_claims`, `wrong_method`, `wrong_url`, `wrong_token`, `too_old`, `from_the_future`, `wrong_body`.
    """
    token = token_of(request.authorization)
    claims = _claims_of(token, keys, rules, now, before)
    if not claims.jkt:
        raise InvalidTokenError("not_bound", "the token is bound to no key; it goes under the scheme Bearer")
    return check_bound(request, token, claims.grant, claims.jkt, rules, now, before)


def check_bound(
    request: PresentedRequest,
    token: bytes,
    grant: str,
    jkt: str,
    rules: PresentationRules,
    now: Instant,
    before: VerifiedBefore | None = None,
) -> Shown:
    """Check the proof that stands beside a token, whatever kind of token it is. The rest as `check_presentation`.

    Args:
        request: what came.
        token: the token as it was sent, its own signatures checked already.
        grant: the grant that it names.
        jkt: thumbprint of the key that it is bound to.
        rules: numbers and names; those of the token are not looked at.
        now: the time.
        before: see `VerifiedBefore`.

    Raises:
        InvalidProofError: as `check_presentation`.
    """
    if len(request.proofs) != 1:
        detail = "many_proofs" if request.proofs else "no_proof"
        raise InvalidProofError(detail, "exactly one DPoP header is wanted", grant)
    proof = request.proofs[0]
    if not proof.isascii():
        raise InvalidProofError("jws_base64", "the proof is not ASCII", grant)
    try:
        body = _verified_proof(proof.encode("ascii"), jkt, rules, before)
    except jws.MalformedJwsError as error:
        raise InvalidProofError(error.code, error.message, grant) from None
    except InvalidProofError as error:
        error.grant = grant
        raise
    failed = _failed_claim(body, request, token, rules, now)
    if failed is not None:
        raise InvalidProofError(*failed, grant)
    nonce = body.get("nonce")
    return Shown(
        binding=PassBinding.DPOP,
        grant=grant,
        presented=nonce if isinstance(nonce, str) else None,
        iat=Instant(_whole(body, "iat")),
        jti=str(body["jti"]),
        jkt=jkt,
    )


def check_bearer(
    request: PresentedRequest,
    keys: Mapping[str, bytes],
    rules: PresentationRules,
    now: Instant,
    before: VerifiedBefore | None = None,
) -> Shown:
    """Check the bearer token of one request: a grant whose chain of passes the enforcement point keeps. Arguments as `check_presentation`.

    Raises:
        InvalidTokenError: `no_token`, `many_tokens`, `not_bearer` (another scheme, or a token that is bound to a key: taken without a proof
            it would be worth stealing), `proof_with_bearer`, or as `claims.verify`.

    Source:
        RFC 6750 §2.1; RFC 9449 §7.1 (a bound token must not be taken as a bearer token).
    """
    token = token_of(request.authorization, "bearer")
    claims = _claims_of(token, keys, rules, now, before)
    if claims.jkt:
        raise InvalidTokenError(
            "not_bearer", "the token is bound to a key; it goes under the scheme DPoP, with a proof"
        )
    if request.proofs:
        raise InvalidTokenError("proof_with_bearer", "a bearer token comes without a proof")
    return Shown(binding=PassBinding.GATEWAY, grant=claims.grant)


def check_key_proof(
    proof: str,
    method: str,
    url: str,
    now: Instant,
    *,
    window: Seconds = Seconds(60),
    max_bytes: int = 4096,
) -> KeyProof:
    """Check a proof that comes without an access token, at the token endpoint and beside it (RFC 9449 §5, §10.1).

    Args:
        proof: value of the one DPoP header.
        method: of the request.
        url: of the request, from the configuration.
        now: the time.
        window: how far `iat` may lie behind and ahead. 60 s: no pass needs to be in it, so whoever remembers its `jti` must do so for this long.
        max_bytes: longest proof.

    Raises:
        InvalidProofError: as `check_presentation`; `bad_claims` too for an `ath` or a `content_digest`, which speak of another request.
    """
    if not proof.isascii():
        raise InvalidProofError("jws_base64", "the proof is not ASCII")
    try:
        head, body, signature = jws.parts_of(proof.encode("ascii"), max_bytes)
        key = _key_of(jws.header_of(head))
        if not key.holds(proof[: len(head) + 1 + len(body)].encode("ascii"), jws.decode(signature)):
            raise InvalidProofError("bad_signature", "the proof's signature does not hold")
        claims = jws.json_object(jws.decode(body), "bad_claims")
    except jws.MalformedJwsError as error:
        raise InvalidProofError(error.code, error.message) from None
    if "ath" in claims or wire.CONTENT_DIGEST in claims:
        raise InvalidProofError("bad_claims", "the proof is for a request with an access token or a message")
    rules = PresentationRules(tokens.TokenRules("", ""), window, window)
    failed = _failed_claim(claims, PresentedRequest(method, url, (), ()), None, rules, now)
    if failed is not None:
        raise InvalidProofError(*failed)
    nonce = claims.get("nonce")
    return KeyProof(
        key.jkt, str(claims["jti"]), nonce if isinstance(nonce, str) else None, Instant(_whole(claims, "iat"))
    )


def token_of(authorization: Sequence[str], wanted: str = "dpop") -> bytes:
    """The access token out of the Authorization header, which must have the scheme `wanted` (lower case).

    Raises:
        InvalidTokenError: `no_token`, `many_tokens`, `not_dpop`, `not_bearer`.
    """
    if len(authorization) != 1:
        detail = "many_tokens" if authorization else "no_token"
        raise InvalidTokenError(detail, "exactly one Authorization header is wanted")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != wanted or not token.isascii():
        words = {"dpop": "under the scheme DPoP, with a proof of its key"}.get(wanted, "under the scheme Bearer")
        raise InvalidTokenError(f"not_{wanted}", f"the token must come {words}")
    return token.encode("ascii")


def www_authenticate(error: str, resource_metadata: str = "") -> str:
    """Value of the WWW-Authenticate header of a 401 (RFC 9449 §7.1, RFC 9728 §5.1). `error` is one of the wire's codes, or empty."""
    fields = [f'error="{error}"'] if error else []
    fields.append(f'algs="{" ".join(wire.PROOF_ALGORITHMS)}"')
    if resource_metadata:
        fields.append(f'resource_metadata="{resource_metadata}"')
    return "DPoP " + ", ".join(fields)


def normal_url(url: str) -> str | None:
    """A URL in the one spelling in which two are compared: scheme and host in lower case, default port left out, no query, `/` for no path.

    None for anything out of the ordinary: user info, fragment, dot segments, a backslash, an empty port, a trailing dot, non-ASCII text,
    another scheme. Percent escapes stay as they are, so `%2f` equals `%2f` and nothing else.

    Source:
        RFC 9449 §4.3 (9), RFC 3986 §6.2.2, §6.2.3.
    """
    found = _URL.fullmatch(url) if len(url) <= _MAX_URL else None
    if found is None:
        return None
    scheme, host, path = found["scheme"].lower(), found["host"].lower(), found["path"] or "/"
    if scheme not in _DEFAULT_PORTS or ".." in host or not {".", ".."}.isdisjoint(path.split("/")):
        return None
    port = "" if found["port"] in {None, _DEFAULT_PORTS[scheme]} else f":{found['port']}"
    return f"{scheme}://{host}{port}{path}"


def token_hash(token: bytes) -> str:
    """`ath`: base64url of the SHA-256 of the access token (RFC 9449 §4.2)."""
    return jws.encode(hashlib.sha256(token).digest()).decode("ascii")


def content_digest(body: bytes) -> str:
    """`content_digest` over the raw body, in the form of RFC 9530 (MCP DPoP profile, draft)."""
    # RFC 8941 byte sequences use the standard alphabet, with padding.
    text = jws.encode(hashlib.sha256(body).digest()).decode("ascii").replace("-", "+").replace("_", "/")
    return f"sha-256=:{text}=:"


def _claims_of(
    token: bytes, keys: Mapping[str, bytes], rules: PresentationRules, now: Instant, before: VerifiedBefore | None
) -> tokens.AccessClaims:
    known = before.tokens.get(token) if before is not None else None
    claims = known if known is not None else tokens.signed_claims(token, keys, rules.token.max_bytes)
    # Remembered as soon as the signature holds: a token that is for another resource need not be verified again for the next one tried.
    if before is not None and known is None:
        before.tokens[token] = claims
    tokens.check_validity(claims, rules.token, now)
    return claims


def _verified_proof(
    proof: bytes, jkt: str, rules: PresentationRules, before: VerifiedBefore | None
) -> Mapping[str, Json]:
    head, body, signature = jws.parts_of(proof, rules.max_proof_bytes)
    known = before.keys.get(head) if before is not None else None
    key = known if known is not None else _key_of(jws.header_of(head))
    # Before the signature: it is cheaper, and who holds another key learns nothing from it.
    if not hmac.compare_digest(key.jkt.encode(), jkt.encode()):
        raise InvalidProofError("other_key", "the token is bound to another key")
    if before is not None and known is None:
        before.keys[head] = key
    if not key.holds(proof[: len(head) + 1 + len(body)], jws.decode(signature)):
        raise InvalidProofError("bad_signature", "the proof's signature does not hold")
    return jws.json_object(jws.decode(body), "bad_claims")


def _key_of(header: Mapping[str, Json]) -> jws.PublicProofKey:
    if header.get("typ") != wire.PROOF_TYP:
        raise InvalidProofError("wrong_type", "not a DPoP proof")
    algorithm = header.get("alg")
    if algorithm not in wire.PROOF_ALGORITHMS:
        raise InvalidProofError("wrong_algorithm", "the proof's algorithm is not taken")
    key = jws.import_key(header.get("jwk"))
    if algorithm not in key.algorithms:
        raise InvalidProofError("wrong_algorithm", "the proof's algorithm does not fit its key")
    return key


def _failed_claim(
    body: Mapping[str, Json], request: PresentedRequest, token: bytes | None, rules: PresentationRules, now: Instant
) -> tuple[str, str] | None:
    """First claim of the proof that does not hold: its detail and its message. `token` None: the proof goes with none."""
    jti, nonce, iat = body.get("jti"), body.get("nonce"), _whole(body, "iat")
    here = normal_url(request.url)
    claimed_url, claimed_hash = body.get("htu"), body.get("ath")
    digest = body.get(wire.CONTENT_DIGEST)
    known = request.digest if request.body is None else content_digest(request.body)
    checks = (
        (
            isinstance(jti, str) and _JTI.fullmatch(jti) is not None,
            "bad_claims",
            "jti is no text of 8..256 visible signs",
        ),
        (
            "nonce" not in body or (isinstance(nonce, str) and _NONCE.fullmatch(nonce) is not None),
            "bad_claims",
            "nonce is no nonce",
        ),
        (iat >= 0, "bad_claims", "iat is no whole number of seconds"),
        (body.get("htm") == request.method, "wrong_method", "the proof is for another method"),
        (
            isinstance(claimed_url, str) and here is not None and normal_url(claimed_url) == here,
            "wrong_url",
            "the proof is for another URL",
        ),
        (
            token is None
            or (
                isinstance(claimed_hash, str)
                and hmac.compare_digest(claimed_hash.encode("utf-8", "replace"), token_hash(token).encode())
            ),
            "wrong_token",
            "the proof is for another token",
        ),
        (iat >= now - rules.oldest, "too_old", "the proof is too old"),
        (iat <= now + rules.newest, "from_the_future", "the proof was made in the future"),
        (
            wire.CONTENT_DIGEST not in body or (known != "" and digest == known),
            "wrong_body",
            "the proof is for another body",
        ),
    )
    return next(((detail, message) for holds, detail, message in checks if not holds), None)


def _whole(body: Mapping[str, Json], name: str) -> int:
    """A whole number of seconds, -1 if it is none."""
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LATEST else -1
