"""The signed answer of introspection (RFC 9701): for resource servers that must show later what they were told."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.core.grant.claims import InvalidTokenError, second, signed_body, text
from jittrust.core.model import Json
from jittrust.core.units import Instant

INTROSPECTION_TYP = "token-introspection+jwt"
MEDIA_TYPE = f"application/{INTROSPECTION_TYP}"
_MOST_BYTES = 512 * 1024
_OLDEST = 300


def read_introspection(
    token: bytes, keys: Mapping[str, bytes], issuer: str, audience: str, now: Instant
) -> Mapping[str, Json]:
    """The `token_introspection` member of a signed answer made for this caller in the last five minutes.

    Raises:
        InvalidTokenError: as `claims.signed_body`; `wrong_issuer`, `wrong_audience`, `expired`, `from_the_future`, `bad_claims`.
    """
    body = signed_body(token, keys, _MOST_BYTES, INTROSPECTION_TYP)
    if text(body, "iss") != issuer:
        raise InvalidTokenError("wrong_issuer", "another broker signed the answer")
    if text(body, "aud") != audience:
        raise InvalidTokenError("wrong_audience", "the answer is for another resource server")
    made = second(body, "iat")
    if now >= made + _OLDEST:
        raise InvalidTokenError("expired", "the answer is old")
    if made > now + 5:
        raise InvalidTokenError("from_the_future", "the answer was signed in the future")
    said = body.get("token_introspection")
    # RFC 9701 §5: a top-level `sub` or `exp` would let the answer pass as an access token.
    if not isinstance(said, Mapping) or not isinstance(said.get("active"), bool) or {"sub", "exp"} & set(body):
        raise InvalidTokenError("bad_claims", "no introspection answer")
    return said
