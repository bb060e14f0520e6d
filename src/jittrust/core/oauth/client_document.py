"""Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document-02): a client whose id is the URL of its metadata."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import Final

from jittrust.core.errors import BadInputError
from jittrust.core.model import Json
from jittrust.core.oauth.client import ClientSource, OAuthClient
from jittrust.core.oauth.client_metadata import bad_metadata, plain_https, read_metadata
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Instant

MAX_DOCUMENT: Final = 64 * 1024
"""Largest document, in bytes. The draft names 5 KiB as the least that a server must take."""
MAX_URL: Final = 512
_LOCAL: Final = re.compile(r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?:[:/?]|\Z)")
_NUMBER: Final = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)\Z")


def check_document_url(url: str) -> str:
    """The URL, if it may be a client's id (draft §3): https, a host with a dot, a path, and nothing else.

    Refused besides user information and fragment, as the draft says: queries, dot segments, an empty segment, percent escapes, and hosts that are
    addresses in any spelling, since an address is nobody's name.

    Raises:
        BadInputError: code `client_url_bad`.
    """
    host_and_path = url.removeprefix("https://")
    host, slash, path = host_and_path.partition("/")
    name = host.partition(":")[0]
    segments = path.split("/")
    fits = (
        len(url) <= MAX_URL
        and host_and_path != url
        and plain_https(url)
        and bool(slash and path)
        and "?" not in url
        and "%" not in url
        and not {".", ".."} & set(segments)
        and "" not in segments[:-1]
        and "." in name
        and not _is_address(name)
    )
    if not fits:
        raise BadInputError("client_url_bad", "This is no client's URL", "An https URL with a path, and nothing else.")
    return url


def _is_address(host: str) -> bool:
    last = host.rpartition(".")[2]
    # `127.1`, `0x7f.1` and `2130706433` are addresses for some resolvers: no name ends in a number.
    if not last or _NUMBER.match(last):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def read_document(url: str, data: bytes, now: Instant) -> OAuthClient:
    """The client that a document describes.

    Args:
        url: where it was fetched, already checked; `client_id` must be it, byte for byte.
        data: the document.
        now: when it was fetched.

    Raises:
        OAuthError: `invalid_client_metadata`, `invalid_redirect_uri`.
    """
    try:
        metadata: dict[str, Json] = parse_object(data, max_bytes=MAX_DOCUMENT, max_depth=8, max_keys=2000)
    except BadInputError as error:
        raise bad_metadata(f"the document is no JSON object ({error.message})") from None
    if metadata.get("client_id") != url:
        raise bad_metadata("the document is another client's")
    home = metadata.get("client_uri")
    if isinstance(home, str) and home and _origin(home) != _origin(url):
        # Draft §4: whoever wrote the document may not speak for another site.
        raise bad_metadata("client_uri is another site's")
    return replace(read_metadata(metadata, url, ClientSource.DOCUMENT), since=now, fetched=now)


def local_redirects(client: OAuthClient) -> tuple[str, ...]:
    """Redirect URIs on the person's own machine: any program there could stand behind the name of such a client (draft §8.4), so people are told."""
    return tuple(uri for uri in client.redirect_uris if _LOCAL.match(uri))


def _origin(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].lower().removesuffix(":443")
