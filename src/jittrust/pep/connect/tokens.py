"""What the token endpoint answers, and what may be believed of it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.core.grant import jws, wire
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object

MISSION_TYPE = "urn:jittrust:mission"
CLIENT_ID = "jittrust-connect"
_MOST_TOKEN = 65536
_LONGEST = 86_400
_FEW = 16
_PENDING = frozenset({"authorization_pending", "slow_down"})
_VERIFIER = 43


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant in hand. Token, refresh token and first pass are secrets.

    Attributes:
        token, refresh, first_pass: as they came; empty where there is none.
        id: `grant_id`; empty where the token does not say.
        began, ends: seconds of the steady clock.
        lanes: how many lanes it allows, as far as is known.
    """

    token: str = field(repr=False)
    began: float
    ends: float
    id: str = ""
    refresh: str = field(default="", repr=False)
    first_pass: str = field(default="", repr=False)
    lanes: int = _FEW


class GrantRefusedError(RefusedError):
    """The authorization server gives no grant. `word` is what it said (RFC 6749 §5.2)."""

    def __init__(self, code: str, message: str, next_step: str = "", word: str = "") -> None:
        super().__init__(code, message, next_step)
        self.word = word

    @property
    def pending(self) -> bool:
        """Whether somebody still thinks about it (CIBA Core §11)."""
        return self.word in _PENDING


def read_grant(status: int, body: bytes, nonce: str, jkt: str, now: float) -> HeldGrant:
    """The answer of the token endpoint.

    Args:
        status: HTTP status.
        body: at most a few dozen KiB of JSON.
        nonce: `DPoP-Nonce`: the first pass of the new grant.
        jkt: thumbprint of our key.
        now: the steady clock.

    Raises:
        GrantRefusedError: code `grant_refused`, or `token_not_bound` (a bearer token, or one for another key), `token_malformed`.
        UnavailableError: code `token_endpoint_failed`: try again.
    """
    try:
        said = parse_object(body, max_bytes=_MOST_TOKEN)
    except BadInputError:
        said = {}
    if status != 200:  # noqa: PLR2004 - RFC 6749 §5.1
        raise refusal_of(status, said)
    token, kind, seconds = said.get("access_token"), said.get("token_type"), said.get("expires_in")
    if not isinstance(kind, str) or kind.lower() != "dpop":
        raise GrantRefusedError(
            "token_not_bound", "the server gave a token that is not bound to our key", "Do not use this server."
        )
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or " " in token:
        raise GrantRefusedError("token_malformed", "the server's answer holds no token")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= _LONGEST:
        raise GrantRefusedError("token_malformed", "the server does not say how long its token lives")
    refresh = said.get("refresh_token")
    claims = claims_in(token)
    bound = claims.get(wire.CONFIRMATION)
    if isinstance(bound, Mapping) and bound.get(wire.THUMBPRINT) != jkt:
        raise GrantRefusedError("token_not_bound", "the server gave a token for another key", "Do not use this server.")
    grant = claims.get(wire.GRANT)
    return HeldGrant(
        token,
        now,
        now + seconds,
        grant if isinstance(grant, str) else "",
        refresh if isinstance(refresh, str) else "",
        nonce,
        lanes_in(said) or _FEW,
    )


def read_token_file(content: bytes, now: float, wall: float) -> HeldGrant:
    """What `jittrust grant new --json` printed, or a token alone.

    `wall`: the time, in seconds since 1970; `now`: the steady clock. Raises BadInputError: code `token_file_broken`.
    """
    text = content.strip()
    try:
        told: Mapping[str, Json] = parse_object(text) if text.startswith(b"{") else {"token": text.decode("ascii")}
    except (BadInputError, UnicodeDecodeError):
        told = {}
    token, grant, first = told.get("token"), told.get("grant"), told.get("first_pass")
    held: Mapping[str, Json] = grant if isinstance(grant, Mapping) else {}
    if not isinstance(token, str) or not token.isascii() or token.count(".") != 2:  # noqa: PLR2004 - RFC 7515 §7.1
        raise BadInputError(
            "token_file_broken",
            "the token file holds no token",
            "Write it with: jittrust grant new --agent NAME --server SERVER --new-key KEY --strict --json > FILE",
        )
    claims = claims_in(token)
    ends, lanes, found = claims.get("exp"), held.get("lanes"), claims.get(wire.GRANT)
    return HeldGrant(
        token,
        now,
        now + (float(ends) - wall if isinstance(ends, int | float) else float(_LONGEST)),
        found if isinstance(found, str) else "",
        first_pass=first if isinstance(first, str) else "",
        lanes=lanes if isinstance(lanes, int) else _FEW,
    )


def claims_in(token: str) -> Mapping[str, Json]:
    """The claims of a token, for our own orientation: nobody has verified them. Empty for a token that is no JWT."""
    try:
        return parse_object(jws.decode(token.split(".")[1].encode("ascii"))) if token.count(".") == 2 else {}  # noqa: PLR2004
    except (BadInputError, UnicodeEncodeError):
        return {}


def lanes_in(said: Mapping[str, Json]) -> int:
    """How many lanes the granted mission allows; 0 where the answer does not say."""
    details = said.get("authorization_details")
    for one in details if isinstance(details, list) else ():
        lanes = one.get("lanes") if isinstance(one, Mapping) and one.get("type") == MISSION_TYPE else None
        if isinstance(lanes, int) and not isinstance(lanes, bool) and lanes > 0:
            return lanes
    return 0


def refusal_of(status: int, said: Mapping[str, Json]) -> JitError:
    """What an error answer of an authorization server means (RFC 6749 §5.2). Its words are shown to people, so they are bounded and cleaned."""
    word = said.get("error")
    if status >= 500 or status == 429 or not isinstance(word, str):  # noqa: PLR2004 - RFC 9110 §15.6, RFC 6585 §4
        return UnavailableError("token_endpoint_failed", f"the authorization server answered with HTTP {status}")
    words = said.get("error_description")
    told = "".join(letter for letter in words if letter.isprintable())[:300] if isinstance(words, str) else ""
    known = "".join(letter for letter in word if letter.isascii() and (letter.isalnum() or letter == "_"))[:64]
    return GrantRefusedError(
        "grant_refused", f"no grant: {known}{': ' if told else ''}{told}", "See: jittrust approve, jittrust log", known
    )


def challenge_of(verifier: str) -> str:
    """The PKCE challenge, S256 (RFC 7636 §4.2). Raises BadInputError: code `bad_verifier`."""
    if len(verifier) < _VERIFIER:
        raise BadInputError("bad_verifier", "a verifier has at least 43 characters")
    return jws.encode(hashlib.sha256(verifier.encode("ascii")).digest()).decode("ascii")


def mission_details(goal: str, minutes: int, gas: int, lanes: int) -> list[Json]:
    """`authorization_details` (RFC 9396): one mission. 0 leaves a number to the server."""
    numbers = {"minutes": minutes, "gas": gas, "lanes": lanes}
    return [{"type": MISSION_TYPE, "goal": goal, **{name: number for name, number in numbers.items() if number}}]
