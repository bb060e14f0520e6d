"""Metadata of OAuth clients, written by strangers: what is taken of it, strictly (RFC 7591 §2, RFC 8252 §7, OAuth 2.1 draft §2.3).

A member that is not known is ignored, as RFC 7591 asks; one that is known and not right refuses the whole. Nothing is fetched: keys come in `jwks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from jittrust.core.errors import BadInputError
from jittrust.core.grant.jws import thumbprint
from jittrust.core.identity.public_keys import PRIVATE_MEMBERS, from_jwk
from jittrust.core.intent.words import one_line
from jittrust.core.model import Json
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.server_metadata import AUTHORIZATION_CODE, CIBA, CLIENT_CREDENTIALS, GRANT_TYPES

REDIRECTS_MOST: Final = 16
KEYS_MOST: Final = 16
NAME_LONGEST: Final = 80
URI_LONGEST: Final = 2048
_HTTPS: Final = re.compile(
    r"https://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()+,;=:@%/?-]*)?\Z"
)
_LOOPBACK: Final = re.compile(
    r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()+,;=:@%/?-]*)?\Z"
)
# RFC 8252 §7.1: an app's own scheme is a domain name turned round, so it has a dot; `javascript:`, `data:` and the like have none.
_APP: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+):(?P<path>/[A-Za-z0-9._~!$&'()+,;=:@%/-]*)(?P<query>\?[A-Za-z0-9._~!$&'()+,;=:@%/?-]*)?\Z"
)
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:00|0[aAdD]|2[eEfF]|5[cC])")
_METHODS: Final = {
    "none": ClientMethod.NONE,
    "private_key_jwt": ClientMethod.PRIVATE_KEY_JWT,
}
_PROVEN_ONLY: Final = frozenset((CLIENT_CREDENTIALS, CIBA))


def read_metadata(metadata: Mapping[str, Json], client: str, source: ClientSource) -> OAuthClient:
    """A client out of its metadata.

    Args:
        metadata: as it came, a strict JSON object.
        client: its id, given here or its URL.
        source: how it became known.

    Raises:
        OAuthError: `invalid_redirect_uri`, or `invalid_client_metadata`: a client secret or a way to use one, keys to be fetched, a private key,
            something that only a client with a key may ask for, or a member of a wrong shape.
    """
    method = _method(metadata)
    keys = _keys(metadata, method)
    grants = _grant_types(metadata, method)
    redirects = _redirects(metadata, needed=AUTHORIZATION_CODE in grants)
    responses = _texts(metadata, "response_types", 4) if "response_types" in metadata else ()
    if any(one != "code" for one in responses):
        raise bad_metadata("the only response type is code")
    if any(name in metadata for name in ("client_secret", "client_secret_expires_at")):
        raise bad_metadata("clients have no secrets here")
    return OAuthClient(
        client,
        source,
        method,
        name=_name(metadata),
        redirect_uris=redirects,
        grant_types=grants,
        keys=keys,
        home=_home(metadata),
    )


def check_redirect(uri: str) -> str:
    """The redirect URI, if it is one: https, a loopback address over http, or an app's own scheme with a dot (RFC 8252 §7).

    Refused are fragments, user information, wildcards, dot segments, escapes that stand for a separator, and everything that is not plain ASCII.

    Raises:
        OAuthError: `invalid_redirect_uri`.
    """
    found = None if len(uri) > URI_LONGEST else _HTTPS.match(uri) or _LOOPBACK.match(uri) or _APP.match(uri)
    if found is None or _BROKEN_ESCAPE.search(uri) or "*" in uri:
        raise _bad_redirect("it is no https URL, loopback address or scheme of an app")
    parts = found.groupdict()
    if int(parts.get("port") or 0) > 65535 or not {".", ".."}.isdisjoint((parts["path"] or "").split("/")):  # noqa: PLR2004 - TCP
        raise _bad_redirect("its port or its path cannot be compared")
    if ".." in (parts.get("host") or ""):
        raise _bad_redirect("its host is none")
    return uri


def plain_https(uri: str) -> bool:
    """Whether a text is an https URL without user information and fragment, in plain ASCII."""
    found = _HTTPS.match(uri) if len(uri) <= URI_LONGEST else None
    return found is not None and ".." not in found["host"] and int(found["port"] or 1) <= 65535  # noqa: PLR2004 - TCP


def bad_metadata(why: str) -> OAuthError:
    """What is wrong with metadata."""
    return OAuthError("invalid_client_metadata", "client_metadata_bad", f"The client's metadata is not taken: {why}.")


def _method(metadata: Mapping[str, Json]) -> ClientMethod:
    named = metadata.get("token_endpoint_auth_method", "none")
    if not isinstance(named, str) or named not in _METHODS:
        raise bad_metadata("token_endpoint_auth_method is none or private_key_jwt: clients have no secrets here")
    return _METHODS[named]


def _keys(metadata: Mapping[str, Json], method: ClientMethod) -> tuple[Mapping[str, Json], ...]:
    if "jwks_uri" in metadata:
        raise bad_metadata("jwks_uri is not followed; put the keys in jwks")
    if method is not ClientMethod.PRIVATE_KEY_JWT:
        if "jwks" in metadata:
            raise bad_metadata("keys without token_endpoint_auth_method private_key_jwt")
        return ()
    jwks = metadata.get("jwks")
    listed = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= KEYS_MOST:
        raise bad_metadata(f"jwks has 1 to {KEYS_MOST} keys")
    seen: set[str] = set()
    for key in listed:
        if not isinstance(key, Mapping) or not PRIVATE_MEMBERS.isdisjoint(key):
            raise bad_metadata("a key is no public key; a private one is known to others now")
        try:
            from_jwk(key)
            name = thumbprint(key)
        except BadInputError as error:
            raise bad_metadata(f"a key is not taken ({error.message})") from None
        if name in seen or not isinstance(key.get("kid", ""), str):
            raise bad_metadata("a key is there twice, or its kid is no text")
        seen.add(name)
    return tuple(key for key in listed if isinstance(key, Mapping))


def _grant_types(metadata: Mapping[str, Json], method: ClientMethod) -> tuple[str, ...]:
    named = metadata.get("grant_types", [AUTHORIZATION_CODE])
    if not isinstance(named, list) or not named or len(named) > len(GRANT_TYPES):
        raise bad_metadata("grant_types is a list of one or more")
    grants = tuple(one for one in named if isinstance(one, str) and one in GRANT_TYPES)
    if len(grants) != len(named) or len(set(grants)) != len(grants):
        raise bad_metadata("grant_types names one that is not given here, or one twice")
    if method is ClientMethod.NONE and not _PROVEN_ONLY.isdisjoint(grants):
        raise bad_metadata("client_credentials and CIBA are for clients that prove who they are")
    return grants


def _redirects(metadata: Mapping[str, Json], *, needed: bool) -> tuple[str, ...]:
    if "redirect_uris" not in metadata and not needed:
        return ()
    found = metadata.get("redirect_uris")
    if not isinstance(found, list) or len(found) > REDIRECTS_MOST or (needed and not found):
        raise _bad_redirect(f"redirect_uris is a list of 1 to {REDIRECTS_MOST}")
    uris = tuple(check_redirect(one) for one in found if isinstance(one, str))
    if len(uris) != len(found) or len(set(uris)) != len(uris):
        raise _bad_redirect("one is no text, or there twice")
    return uris


def _name(metadata: Mapping[str, Json]) -> str:
    name = metadata.get("client_name", "")
    if not isinstance(name, str):
        raise bad_metadata("client_name is no text")
    # A stranger's words in front of people: one line, nothing invisible, nothing that turns the reading direction.
    return one_line(name, NAME_LONGEST)


def _home(metadata: Mapping[str, Json]) -> str:
    home = metadata.get("client_uri", "")
    if not isinstance(home, str) or (home and not plain_https(home)):
        raise bad_metadata("client_uri is no https URL")
    return home


def _texts(metadata: Mapping[str, Json], name: str, most: int) -> Sequence[str]:
    value = metadata[name]
    if not isinstance(value, list) or len(value) > most or not all(isinstance(one, str) for one in value):
        raise bad_metadata(f"{name} is no short list of texts")
    return [one for one in value if isinstance(one, str)]


def _bad_redirect(why: str) -> OAuthError:
    return OAuthError("invalid_redirect_uri", "redirect_uri_bad", f"A redirect URI is not taken: {why}.")
