"""The access token of a grant: an RFC 9068 `at+jwt`, signed with Ed25519, bound to the agent's key by `cnf` (RFC 9449 §6.1, RFC 8705 §3.1).

The header is exactly `{"alg":"Ed25519","typ":"at+jwt","kid":…}`: the fully specified name of RFC 9864, not the deprecated `EdDSA`. The token
says who is accountable, who acts, what for and what may be done (`core.grant.statement` fills it in), so that a service can decide on it
alone; what is left of the grant is known to the broker alone.
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
MAX_ACTORS = 12
"""Most agents in `act`, one inside the other; the chain of a delegation tree is shorter."""
_LATEST = 2**53
_HEADER_NAMES = frozenset(("alg", "typ", "kid"))
_ACTOR_NAMES = frozenset(("sub", wire.SUB_PROFILE, wire.ACTOR))
_THUMBPRINT_CHARACTERS = 43


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
        subject: who is accountable (`sub`): the person whose mission it is.
        audience: the one resource it is for (`aud`), the URL of an MCP server behind the broker.
        client: OAuth client it was issued to (`client_id`).
        grant, mission: ids.
        jkt: thumbprint of the key that must prove every use (`cnf.jkt`); empty for a bearer token, of a grant whose passes the enforcement
            point keeps.
        issued, expires: whole seconds since 1970 (`iat`, `exp`); from `expires` on the token is dead.
        id: `jti`.
        details: `authorization_details`; empty = not told here, never "anything".
        scope: space-separated; may be empty.
        x5t: thumbprint of the client certificate that must stand behind every use (`cnf.x5t#S256`); never together with `jkt`.
        actors: who acts, now and before (`act`): the agent that holds the token first, then those it was handed down by. Only the first and the
            subject decide anything (RFC 8693 §4.1); empty = the subject itself.
        details_at: where what may be done is told when it is too long for a token; empty when it is told here.
        intent: digest of the stated goal (`core.grant.statement.intent_digest`); empty without a goal.
        intent_code: what the goal is mostly about (`core.intent.taxonomy`).
        role: the role mask worn (`core.authority.mask`).
        may_act: the one agent that may take a part of this grant (RFC 8693 §4.4); empty = none or several, which the broker knows.
        status_index, status_list: place in a Token Status List, and the list's address; -1 and empty = in none.
        uses: most calls under it; None = not limited by number. How many are left, the broker knows.
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
    x5t: str = ""
    actors: tuple[str, ...] = ()
    details_at: str = ""
    intent: str = ""
    intent_code: str = ""
    role: str = ""
    may_act: str = ""
    status_index: int = -1
    status_list: str = ""
    uses: int | None = None


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
    return mint_body(body_of(claims), wire.ACCESS_TOKEN_TYP, kid, sign)


def mint_body(body: Mapping[str, Json], typ: str, kid: str, sign: Callable[[bytes], bytes]) -> str:
    """Sign a claims set as a token of kind `typ` (standards.md §14: one `typ` a kind). Arguments as `mint`."""
    signed = jws.join({"alg": wire.ED25519, "typ": typ, "kid": kid}, body)
    return (signed + b"." + jws.encode(sign(signed))).decode("ascii")


def body_of(claims: AccessClaims) -> dict[str, Json]:
    """The claims set of a token, in the order in which it is written. Introspection answers with the same names."""
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
    elif claims.x5t:
        body[wire.CONFIRMATION] = {wire.CERTIFICATE: claims.x5t}
    if claims.actors:
        body[wire.ACTOR] = _nested(claims.actors)
    if claims.may_act:
        body[wire.MAY_ACT] = {"sub": claims.may_act}
    optional: tuple[tuple[str, Json], ...] = (
        ("scope", claims.scope),
        (wire.INTENT, claims.intent),
        (wire.INTENT_CODE, claims.intent_code),
        (wire.ROLE, claims.role),
        (wire.DETAILS_AT, claims.details_at),
    )
    body.update((name, text) for name, text in optional if text)
    if claims.uses is not None:
        body[wire.USES] = claims.uses
    if claims.status_list:
        body[wire.STATUS] = {wire.STATUS_LIST: {"idx": claims.status_index, "uri": claims.status_list}}
    if claims.details:
        body[wire.AUTHORIZATION_DETAILS] = [dict(detail) for detail in claims.details]
    return body


def _nested(actors: Sequence[str]) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for agent in reversed(actors):
        made = {"sub": agent, wire.SUB_PROFILE: wire.AI_AGENT, **({wire.ACTOR: made} if made else {})}
    return made


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
    return claims_in(signed_body(token, keys, max_bytes, wire.ACCESS_TOKEN_TYP))


def signed_body(token: bytes, keys: Mapping[str, bytes], max_bytes: int, typ: str) -> dict[str, Json]:
    """The claims set of a token of exactly one kind that this broker signed; nothing in it is judged.

    Raises:
        InvalidTokenError: as `verify`, up to `bad_signature`; `bad_claims` when it is no strict JSON object.
    """
    try:
        parts = jws.split(token, max_bytes)
        _check_header(parts.header, typ)
        point = keys.get(str(parts.header.get("kid")))
        if point is None:
            raise InvalidTokenError("unknown_key", "the token names a key that is not ours")
        if not jws.ed25519_holds(point, parts.signed, parts.signature):
            raise InvalidTokenError("bad_signature", "the token's signature does not hold")
        return jws.json_object(parts.payload, "bad_claims")
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


def _check_header(header: Mapping[str, Json], typ: str) -> None:
    # Exactly one kind and one algorithm: everything that could be confused with it ends here (RFC 8725 §3.1, §3.11).
    if header.get("typ") != typ:
        raise InvalidTokenError("wrong_type", f"not a token of kind {typ}")
    if header.get("alg") != wire.ED25519:
        raise InvalidTokenError("wrong_algorithm", f"the token is not signed with {wire.ED25519}")
    if not _HEADER_NAMES.issuperset(header) or not isinstance(header.get("kid"), str):
        raise InvalidTokenError("unknown_header", "the token's header is not ours")


def claims_in(body: Mapping[str, Json]) -> AccessClaims:
    """The claims of an access token out of its claims set, whose signature holds.

    Raises:
        InvalidTokenError: `bad_claims`.
    """
    jkt, x5t = _confirmation(body)
    issued, expires = second(body, "iat"), second(body, "exp")
    if expires <= issued or ("nbf" in body and second(body, "nbf") > issued):
        raise _bad("the token's times contradict each other")
    details = body.get(wire.AUTHORIZATION_DETAILS, [])
    if not isinstance(details, list) or not all(isinstance(detail, Mapping) for detail in details):
        raise _bad("authorization_details is no list of objects")
    index, uri = _status(body)
    return AccessClaims(
        issuer=text(body, "iss"),
        subject=text(body, "sub"),
        audience=text(body, "aud"),
        client=text(body, "client_id"),
        grant=text(body, wire.GRANT),
        mission=text(body, wire.MISSION),
        jkt=jkt,
        issued=issued,
        expires=expires,
        id=text(body, "jti"),
        details=tuple(detail for detail in details if isinstance(detail, Mapping)),
        scope=text(body, "scope") if "scope" in body else "",
        x5t=x5t,
        actors=actors_in(body),
        details_at=text(body, wire.DETAILS_AT) if wire.DETAILS_AT in body else "",
        intent=text(body, wire.INTENT) if wire.INTENT in body else "",
        intent_code=text(body, wire.INTENT_CODE) if wire.INTENT_CODE in body else "",
        role=text(body, wire.ROLE) if wire.ROLE in body else "",
        may_act=_may_act(body),
        status_index=index,
        status_list=uri,
        uses=second(body, wire.USES) if wire.USES in body else None,
    )


def _confirmation(body: Mapping[str, Json]) -> tuple[str, str]:
    """Thumbprints of the key and of the certificate that the token is bound to; both empty when it says nothing of a key at all."""
    if wire.CONFIRMATION not in body:
        return "", ""
    confirmation = body[wire.CONFIRMATION]
    if not isinstance(confirmation, Mapping) or len(confirmation) != 1:
        raise _bad("the token is not bound to one key")
    ((name, _),) = confirmation.items()
    if name not in {wire.THUMBPRINT, wire.CERTIFICATE}:
        raise _bad("the token is not bound to one key")
    thumbprint = text(confirmation, name)
    if len(thumbprint) != _THUMBPRINT_CHARACTERS:
        raise _bad("the key's thumbprint has a wrong length")
    return (thumbprint, "") if name == wire.THUMBPRINT else ("", thumbprint)


def actors_in(body: Mapping[str, Json]) -> tuple[str, ...]:
    """Who acts according to `act`, the newest first. Raises InvalidTokenError: `bad_claims`."""
    if wire.ACTOR not in body:
        return ()
    found: list[str] = []
    inner: Json = body[wire.ACTOR]
    while True:
        if not isinstance(inner, Mapping) or not _ACTOR_NAMES.issuperset(inner) or len(found) == MAX_ACTORS:
            raise _bad(f"act names no chain of at most {MAX_ACTORS} agents")
        found.append(text(inner, "sub"))
        if wire.ACTOR not in inner:
            return tuple(found)
        inner = inner[wire.ACTOR]


def _may_act(body: Mapping[str, Json]) -> str:
    if wire.MAY_ACT not in body:
        return ""
    named = body[wire.MAY_ACT]
    if not isinstance(named, Mapping) or len(named) != 1:
        raise _bad("may_act names no agent")
    return text(named, "sub")


def _status(body: Mapping[str, Json]) -> tuple[int, str]:
    if wire.STATUS not in body:
        return -1, ""
    status = body[wire.STATUS]
    place = status.get(wire.STATUS_LIST) if isinstance(status, Mapping) and len(status) == 1 else None
    if not isinstance(place, Mapping) or set(place) != {"idx", "uri"}:
        raise _bad("status names no place in a status list")
    return second(place, "idx"), text(place, "uri")


def text(body: Mapping[str, Json], name: str) -> str:
    """A member that must be a text of 1..`MAX_TEXT` characters. Raises InvalidTokenError: `bad_claims`."""
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise _bad(f"{name} is no text of 1..{MAX_TEXT} characters")
    return value


def second(body: Mapping[str, Json], name: str) -> int:
    """A member that must be a whole number in 0..2^53-1. Raises InvalidTokenError: `bad_claims`."""
    value = body.get(name)
    # A truth value is a whole number for Python, so it is named.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LATEST:
        raise _bad(f"{name} is no whole number")
    return value


def _bad(message: str) -> InvalidTokenError:
    return InvalidTokenError("bad_claims", message)
