"""What a browser says of a passkey, read and not yet believed (WebAuthn Level 3 §5)."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from jittrust.core.errors import BadInputError
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object

MAX_RESPONSE = 32 * 1024
"""Largest response that is read, in bytes: without attestation a few kilobytes are plenty."""


def said(response: str) -> tuple[bytes, str]:
    """Which challenge a response says it answers, and the id of the credential (base64url) that it says it is by; nothing is checked by this.

    Raises:
        BadInputError: code `passkey_bad`.
    """
    read = read_response(response)
    return octets(client_data(read).get("challenge")), base64url(octets(read.get("id")))


def read_response(response: str) -> Mapping[str, Json]:
    """The response as JSON. Raises BadInputError: code `passkey_bad`."""
    try:
        return parse_object(response.encode("utf-8", "replace"), max_bytes=MAX_RESPONSE)
    except BadInputError as error:
        raise BadInputError("passkey_bad", f"The browser's answer cannot be read: {error.message}.") from None


def client_data(read: Mapping[str, Json]) -> Mapping[str, Json]:
    """The client data; what two readers would read differently is read by none."""
    try:
        return parse_object(octets(inner(read).get("clientDataJSON")), max_bytes=MAX_RESPONSE)
    except BadInputError as error:
        raise BadInputError("passkey_bad", f"The browser's answer cannot be read: {error.message}.") from None


def inner(read: Mapping[str, Json]) -> Mapping[str, Json]:
    """Its member `response`. Raises BadInputError: code `passkey_bad`."""
    inner = read.get("response")
    if not isinstance(inner, dict):
        raise BadInputError("passkey_bad", "The browser's answer has no response in it.")
    return inner


def base64url(value: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def octets(value: Json) -> bytes:
    """The bytes that a base64url text spells. Raises BadInputError: code `passkey_bad`."""
    text = value if isinstance(value, str) else "not a text"
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadInputError("passkey_bad", "The browser's answer is not base64url where it should be.") from None
