"""Authorization requests as a browser brings them: what may be trusted of them, and where an answer may go (OAuth 2.1 draft, RFC 7636, 8252, 9207)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from jittrust.core.intent.words import one_line, visible
from jittrust.core.oauth.error import OAuthError

STATE_LONGEST: Final = 2048
"""Most characters of `state`; it is given back as it came."""
URI_LONGEST: Final = 2048
"""Most characters of a redirect URI."""
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")
_THUMBPRINT: Final = _CHALLENGE
_LOOPBACK: Final = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::([1-9][0-9]{0,4}))?((?:[/?].*)?)\Z")
_URI: Final = re.compile(r"[!-~]+\Z")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_RUNS: Final = frozenset(
    {"javascript", "data", "vbscript", "blob", "file", "filesystem", "about", "view-source", "ws", "wss"}
)
"""Schemes that run or show something in the browser itself; nothing is ever sent there."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_SPACES: Final = re.compile(r" +")
_VISIBLE_ASCII: Final = re.compile(r"[ -~]*\Z")


class SentBackError(OAuthError):
    """A refusal that the client itself is told, through the browser.

    Attributes:
        address: the redirect URI with `error`, `state` and `iss` (RFC 6749 §4.1.2.1, RFC 9207).
    """

    def __init__(self, refused: OAuthError, address: str) -> None:
        super().__init__(refused.error, refused.code, refused.message, refused.next_step)
        self.address = address


def redirect_allowed(registered: Sequence[str], sent: str) -> bool:
    """Whether an answer may go to `sent`: byte for byte one of the registered, but for the port of a loopback address (RFC 8252 §7.3)."""
    if not sent or len(sent) > URI_LONGEST or _URI.match(sent) is None or "#" in sent:
        return False
    scheme = _SCHEME.match(sent)
    if scheme is None or scheme[1].lower() in _RUNS:
        return False
    if sent in registered:
        return True
    local = _LOOPBACK.match(sent)
    if local is None or int(local[2] or "80") > 65535:  # noqa: PLR2004 - TCP
        return False
    return any(
        known is not None and (known[1], known[3]) == (local[1], local[3]) for known in map(_LOOPBACK.match, registered)
    )


def goes_to(redirect_uri: str) -> tuple[str, bool]:
    """Where an answer goes, for people, and whether that is this machine. A scheme of an app is told as such."""
    if _LOOPBACK.match(redirect_uri):
        return "this machine", True
    found = re.match(r"https://((?:[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)(?:[/?]|\Z)", redirect_uri)
    if found:
        return found[1], False
    scheme = _SCHEME.match(redirect_uri)
    return f"an app ({scheme[1]}:)" if scheme else "nowhere", False


def checked_challenge(challenge: str, method: str) -> str:
    """A PKCE challenge, S256 only (RFC 7636 §4.2; OAuth 2.1 takes no other). Raises OAuthError: `invalid_request`."""
    if method != "S256":
        raise OAuthError("invalid_request", "pkce_method", "PKCE with S256 is required.", "code_challenge_method=S256")
    if _CHALLENGE.match(challenge) is None:
        raise OAuthError("invalid_request", "pkce_challenge", "The code_challenge is no SHA-256 in base64url.")
    return challenge


def checked_thumbprint(jkt: str) -> str:
    """A `dpop_jkt` (RFC 9449 §10), or nothing. Raises OAuthError: `invalid_request`."""
    if jkt and _THUMBPRINT.match(jkt) is None:
        raise OAuthError("invalid_request", "dpop_jkt_bad", "dpop_jkt is no RFC 7638 thumbprint.")
    return jkt


def checked_state(state: str) -> str:
    """`state` as it may be given back. Raises OAuthError: `invalid_request`."""
    if len(state) > STATE_LONGEST or _VISIBLE_ASCII.match(state) is None:
        raise OAuthError(
            "invalid_request", "state_bad", f"state has {STATE_LONGEST} printable ASCII characters at most."
        )
    return state


def pkce_holds(challenge: str, verifier: str) -> bool:
    """Whether the verifier (43..128 characters) is the one the challenge was made of (RFC 7636 §4.6)."""
    if _VERIFIER.match(verifier) is None:
        return False
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode("ascii", "replace"))


def resource_server(resource: str, issuer: str) -> str:
    """The server behind the broker that a resource indicator (RFC 8707) names; empty = all of them. Raises OAuthError: `invalid_target`."""
    if resource in {"", issuer, f"{issuer}/"}:
        return ""
    name = resource.removeprefix(f"{issuer}/mcp/")
    if name == resource or _NAME.match(name) is None:
        raise OAuthError(
            "invalid_target", "resource_unknown", "This resource is not behind this server.", f"{issuer}/mcp/SERVER"
        )
    return name


def plain_words(text: str, most: int) -> tuple[str, bool]:
    """A stranger's words as a person may be shown them, on one line, and whether they were other words before.

    Invisible and direction-changing characters and line breaks are gone, and look-alike forms are normalised (NFKC).
    """
    shown = one_line(text, most)
    same = one_line(text, 2 * len(text) + 8) == _SPACES.sub(" ", text).strip(" ")
    return shown, not same or two_alphabets(shown)


def own_words(text: str, most: int) -> str:
    """A person's words, with their lines, without anything invisible; `most` characters."""
    lines = (" ".join(visible(line).split()) for line in text.replace("\r\n", "\n").split("\n"))
    kept = "\n".join(line for line in lines if line)
    return "".join(sign for sign in kept if sign == "\n" or sign.isprintable())[:most]


def two_alphabets(text: str) -> bool:
    """Whether one word of a text mixes letters of two alphabets, as a name that imitates another does."""
    for word in re.split(r"[\s./:@_-]+", text):
        found = {unicodedata.name(sign, "?").partition(" ")[0] for sign in word if sign.isalpha()}
        if "LATIN" in found and found & {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}:
            return True
    return False
