"""Identity assertion grants (draft-ietf-oauth-identity-assertion-authz-grant): an identity provider says which person a client acts for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from jittrust.core.model import Json
from jittrust.core.oauth.assertion import audience_in, check_once, refused, signed_by
from jittrust.core.units import Instant

ID_JAG_TYP: Final = "oauth-id-jag+jwt"
ID_JAG_TYPE: Final = "urn:ietf:params:oauth:token-type:id-jag"
LONGEST: Final = 3600.0
"""How long one is taken, in seconds from its `iat`. The draft leaves it to the provider; it is taken once, so an hour is an outer bound only."""
_MAX_TEXT = 512


@dataclass(frozen=True, slots=True)
class IdentityAssertion:
    """What one says: who (`issuer`, `subject`, and `email` only where the provider has verified it), through which client, for which resource.

    `jti` and `expires` are for remembering that it was taken; `issued` for refusing what was made before that memory began.
    """

    issuer: str
    subject: str
    client: str
    jti: str
    issued: Instant
    expires: Instant
    email: str = ""
    resource: str = ""
    details: Json = None


def check_id_jag(
    token: str, keys: Sequence[Json], issuer: str, audience: str, client: str, now: Instant
) -> IdentityAssertion:
    """Check an identity assertion (draft -03 §4.4.1).

    Args:
        token: compact JWS, `typ` `oauth-id-jag+jwt`.
        keys: JWKs of the provider.
        issuer: exact `iss`.
        audience: our issuer: the one thing `aud` may name.
        client: the authenticated client, which `client_id` must name.
        now: the time.

    Raises:
        BadInputError: code `assertion_bad`, or as `signed_by`.
    """
    claims = signed_by(token, keys, frozenset({ID_JAG_TYP}))
    if not issuer or claims.get("iss") != issuer:
        raise refused("it is of another issuer")
    audience_in(claims, (audience,))
    if _text(claims, "client_id") != client:
        raise refused("it was given to another client")
    if "cnf" in claims:
        raise refused("it is bound to a key in a way that is not taken")
    jti, issued, expires = check_once(claims, now, LONGEST)
    verified = claims.get("email_verified") is True
    return IdentityAssertion(
        issuer,
        _text(claims, "sub"),
        client,
        jti,
        issued,
        expires,
        _text(claims, "email") if verified and "email" in claims else "",
        _resource(claims),
        claims.get("authorization_details"),
    )


def _text(claims: Mapping[str, Json], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise refused(f"{name} is no text")
    return value


def _resource(claims: Mapping[str, Json]) -> str:
    """The one resource it is for; a list is taken where it has one member (one audience a token)."""
    value = claims.get("resource", "")
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise refused("it names no single resource")
    return value
