"""The access token of a grant: an RFC 9068 `at+jwt`, signed with Ed25519, bound to the agent's key by `cnf.jkt` (RFC 9449 §6.1).

The header is exactly `{"alg":"Ed25519","typ":"at+jwt","kid":…}`: the fully specified name of RFC 9864, not the deprecated `EdDSA`. The token
says which grant; what is left of the grant is known to the broker alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jittrust.core.errors import RefusedError
from jittrust.core.grant import jws, wire
from jittrust.core.model import Json
from jittrust.core.units import Instant, Seconds

MAX_TEXT = 512
"""Longest claim text, in characters."""
_LATEST = 2**53
_HEADER_NAMES = frozenset(("alg", "typ", "kid"))
_JKT_CHARACTERS = 43


class InvalidTokenError(RefusedError):
    """The access token is no good: HTTP 401, `invalid_token` (RFC 6750 §3.1).

    `detail` is a stable word that says which check failed; it is for people and the ledger, never for the wire.
    """

    http_status = 401

    def __init__(self, detail: str, message: str) -> None:
        super().__init__(wire.INVALID_TOKEN, message, "Ask for a new grant.")
        self.detail = detail


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says.

    Attributes:
        issuer: URL of the broker (`iss`).
        subject: who acts (`sub`), a SPIFFE ID or an agent id.
        audience: the one resource it is for (`aud`), the URL of an MCP server behind the broker.
        client: OAuth client it was issued to (`client_id`).
        grant, mission: ids.
        jkt: thumbprint of the key that must prove every use; empty for a bearer token, of a grant whose passes the enforcement point keeps.
        issued, expires: whole seconds since 1970 (`iat`, `exp`); from `expires` on the token is dead.
        id: `jti`.
        details: `authorization_details`; empty = not told here.
        scope: space-separated; may be empty.
    """

    issuer: str
    subject: str
    audience: str
    client: str
    grant: str
    mission: str
    jkt: str
    issued: int
    expires: int
    id: str
    details: Sequence[Mapping[str, Json]] = field(default_factory=tuple)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say here.

    Attributes:
        issuer, audience: compared byte for byte.
        max_bytes: longest token. 8 KiB: what a header field may hold in common servers.
        longest: longest life, `exp` - `iat`. A grant lives minutes; an hour is the outer bound.
        ahead: how far `iat` may lie in the future: clocks of two replicas, 5 s.
    """

    issuer: str
    audience: str
    max_bytes: int = 8192
    longest: Seconds = Seconds(3600)
    ahead: Seconds = Seconds(5)


def mint(claims: AccessClaims, kid: str, sign: Callable[[bytes], bytes]) -> str:
    """Sign an access token.

    Args:
        claims: what it says.
        kid: names the signing key in the verifiers' set.
        sign: gives the 64-byte Ed25519 signature of its argument.

    Raises:
        Whatever `sign` raises.
    """
    header: dict[str, Json] = {"alg": wire.ED25519, "typ": wire.ACCESS_TOKEN_TYP, "kid": kid}
    body: dict[str, Json] = {
        "iss": claims.issuer,
        "sub": claims.subject,
        "aud": claims.audience,
        "client_id": claims.client,
        "iat": claims.issued,
        "exp": claims.expires,
        "jti": claims.id,
        wire.GRANT: claims.grant,
        wire.MISSION: claims.mission,
    }
    if claims.jkt:
        body[wire.CONFIRMATION] = {wire.THUMBPRINT: claims.jkt}
    if claims.scope:
        body["scope"] = claims.scope
    if claims.details:
        body[wire.AUTHORIZATION_DETAILS] = [dict(detail) for detail in claims.details]
    signed = jws.join(header, body)
    return (signed + b"." + jws.encode(sign(signed))).decode("ascii")


def verify(token: bytes, keys: Mapping[str, bytes], rules: TokenRules, now: Instant) -> AccessClaims:
    """Read an access token that this broker signed.

    Args:
        token: as it came in the Authorization header.
        keys: public Ed25519 keys, 32 bytes each, by `kid`.
        rules: what it must say here.
        now: the time.

    Raises:
        InvalidTokenError: its `detail` says why: a code of `jws.split`, `wrong_type`, `wrong_algorithm`, `unknown_header`, `unknown_key`,
            `bad_signature`, `bad_claims`, `wrong_issuer`, `wrong_audience`, `expired`, `from_the_future`, `lives_too_long`.

    Source:
        RFC 9068 §4, RFC 8725 §3, RFC 9449 §6.1.
    """
    claims = signed_claims(token, keys, rules.max_bytes)
    check_validity(claims, rules, now)
    return claims


def signed_claims(token: bytes, keys: Mapping[str, bytes], max_bytes: int) -> AccessClaims:
    """What an access token says that this broker signed, whenever and for whatever it is: `check_validity` must follow.

    Raises:
        InvalidTokenError: as `verify`, without the details that `check_validity` gives.
    """
    try:
        parts = jws.split(token, max_bytes)
        _check_header(parts.header)
        point = keys.get(str(parts.header.get("kid")))
        if point is None:
            raise InvalidTokenError("unknown_key", "the token names a key that is not ours")
        if not jws.ed25519_holds(point, parts.signed, parts.signature):
            raise InvalidTokenError("bad_signature", "the token's signature does not hold")
        return _claims(jws.json_object(parts.payload, "bad_claims"))
    except jws.MalformedJwsError as error:
        raise InvalidTokenError(error.code, error.message) from None


def check_validity(claims: AccessClaims, rules: TokenRules, now: Instant) -> None:
    """Check what of a token depends on where and when it is shown; run again each time a token that was verified before is shown again.

    Raises:
        InvalidTokenError: `wrong_issuer`, `wrong_audience`, `expired`, `from_the_future`, `lives_too_long`.
    """
    if claims.issuer != rules.issuer:
        raise InvalidTokenError("wrong_issuer", "another broker issued the token")
    if claims.audience != rules.audience:
        raise InvalidTokenError("wrong_audience", "the token is for another resource")
    if claims.expires - claims.issued > rules.longest:
        raise InvalidTokenError("lives_too_long", "the token lives longer than any grant")
    if now >= claims.expires:
        raise InvalidTokenError("expired", "the token has expired")
    if claims.issued > now + rules.ahead:
        raise InvalidTokenError("from_the_future", "the token was issued in the future")


def _check_header(header: Mapping[str, Json]) -> None:
    # Exactly one kind and one algorithm: everything that could be confused with it ends here (RFC 8725 §3.1, §3.11).
    if header.get("typ") != wire.ACCESS_TOKEN_TYP:
        raise InvalidTokenError("wrong_type", "not an access token")
    if header.get("alg") != wire.ED25519:
        raise InvalidTokenError("wrong_algorithm", f"the token is not signed with {wire.ED25519}")
    if not _HEADER_NAMES.issuperset(header) or not isinstance(header.get("kid"), str):
        raise InvalidTokenError("unknown_header", "the token's header is not ours")


def _claims(body: Mapping[str, Json]) -> AccessClaims:
    jkt = _thumbprint(body)
    issued, expires = _second(body, "iat"), _second(body, "exp")
    if expires <= issued or ("nbf" in body and _second(body, "nbf") > issued):
        raise InvalidTokenError("bad_claims", "the token's times contradict each other")
    details = body.get(wire.AUTHORIZATION_DETAILS, [])
    if not isinstance(details, list) or not all(isinstance(detail, Mapping) for detail in details):
        raise InvalidTokenError("bad_claims", "authorization_details is no list of objects")
    return AccessClaims(
        issuer=_text(body, "iss"),
        subject=_text(body, "sub"),
        audience=_text(body, "aud"),
        client=_text(body, "client_id"),
        grant=_text(body, wire.GRANT),
        mission=_text(body, wire.MISSION),
        jkt=jkt,
        issued=issued,
        expires=expires,
        id=_text(body, "jti"),
        details=tuple(detail for detail in details if isinstance(detail, Mapping)),
        scope=_text(body, "scope") if "scope" in body else "",
    )


def _thumbprint(body: Mapping[str, Json]) -> str:
    """Thumbprint of the key that the token is bound to; empty when it says nothing of a key at all."""
    if wire.CONFIRMATION not in body:
        return ""
    confirmation = body[wire.CONFIRMATION]
    if not isinstance(confirmation, Mapping) or set(confirmation) != {wire.THUMBPRINT}:
        raise InvalidTokenError("bad_claims", "the token is not bound to one key")
    jkt = _text(confirmation, wire.THUMBPRINT)
    if len(jkt) != _JKT_CHARACTERS:
        raise InvalidTokenError("bad_claims", "the key's thumbprint has a wrong length")
    return jkt


def _text(body: Mapping[str, Json], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise InvalidTokenError("bad_claims", f"{name} is no text of 1..{MAX_TEXT} characters")
    return value


def _second(body: Mapping[str, Json], name: str) -> int:
    value = body.get(name)
    # A truth value is a whole number for Python, so it is named.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LATEST:
        raise InvalidTokenError("bad_claims", f"{name} is no whole number of seconds")
    return value
