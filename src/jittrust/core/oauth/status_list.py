"""Token Status Lists (draft-ietf-oauth-status-list): what became of tokens, for resource servers that ask nobody during a call.

A list holds two bits for each of `LIST_SIZE` places. A grant's place says nothing about when it was issued (herd privacy): grants fill a list in the
order of a keyed permutation. Whoever fetches a list learns how many in it ended, not whose they were.
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from jittrust.core.grant import jws, wire
from jittrust.core.grant.claims import InvalidTokenError, mint_body, second, signed_body, text
from jittrust.core.model import Json
from jittrust.core.units import Instant, Seconds

STATUS_LIST_TYP = "statuslist+jwt"
LIST_SIZE = 2**16
"""Places in one list: 16 KiB before compression."""
BITS = 2
TTL = Seconds(15)
"""How long a copy of a list is good for: a kill reaches those who only read lists this late."""
LIFE = Seconds(60)
"""From when to when a signed list is valid at all."""
_ROUNDS = 6
_HALF = 8
_MASK = (1 << _HALF) - 1
_MOST_BYTES = 64 * 1024
_MOST_INFLATED = 1024 * 1024
_PER_BYTE = 8 // BITS


class TokenStanding(IntEnum):
    """What became of a token (draft §7.1)."""

    VALID = 0
    ENDED = 1
    SUSPENDED = 2


def place(number: int, key: bytes) -> int:
    """The place of the grant with this number (0, 1, 2 … in the order of issuance) over all lists; list `place // LIST_SIZE`.

    Args:
        number: >= 0. Different numbers have different places.
        key: secret, >= 32 bytes. Other uses of it give other values.
    """
    of, within = divmod(number, LIST_SIZE)
    left, right = within >> _HALF, within & _MASK
    for turn in range(_ROUNDS):
        left, right = right, left ^ _round(key, of, turn, right)
    return of * LIST_SIZE + (left << _HALF | right)


def number_at(at: int, key: bytes) -> int:
    """Undo `place`."""
    of, within = divmod(at, LIST_SIZE)
    left, right = within >> _HALF, within & _MASK
    for turn in reversed(range(_ROUNDS)):
        left, right = right ^ _round(key, of, turn, left), left
    return of * LIST_SIZE + (left << _HALF | right)


def _round(key: bytes, of: int, turn: int, half: int) -> int:
    # A Feistel network: a permutation whatever its round function is (Luby and Rackoff 1988).
    made: bytes = hmac.digest(key, b"status list place\0%d\0%d\0%d" % (of, turn, half), "sha256")
    return made[0]


def mint_list(
    uri: str,
    issuer: str,
    standings: Mapping[int, TokenStanding],
    now: Instant,
    kid: str,
    sign: Callable[[bytes], bytes],
) -> str:
    """A signed list.

    Args:
        uri: where it is served (`sub`).
        issuer: `iss`, the same as that of the tokens.
        standings: by place in this list, 0..LIST_SIZE-1; what is not named is valid.
        now: the time.
        kid: names the signing key.
        sign: as `claims.mint`.
    """
    packed = bytearray(LIST_SIZE // _PER_BYTE)
    for at, standing in standings.items():
        packed[at // _PER_BYTE] |= standing << BITS * (at % _PER_BYTE)
    body: dict[str, Json] = {
        "iss": issuer,
        "sub": uri,
        "iat": int(now),
        "exp": int(now) + int(LIFE),
        "ttl": int(TTL),
        wire.STATUS_LIST: {"bits": BITS, "lst": jws.encode(zlib.compress(bytes(packed), 9)).decode("ascii")},
    }
    return mint_body(body, STATUS_LIST_TYP, kid, sign)


@dataclass(frozen=True, slots=True)
class StatusList:
    """A list that was read: good until `expires`, and to be asked for again after `ttl` seconds."""

    uri: str
    expires: int
    ttl: int
    packed: bytes

    def at(self, index: int) -> TokenStanding:
        """What became of the token with this place. A place beyond the list, or a value that is not used, counts as ended."""
        if not 0 <= index < len(self.packed) * _PER_BYTE:
            return TokenStanding.ENDED
        value = self.packed[index // _PER_BYTE] >> BITS * (index % _PER_BYTE) & (2**BITS - 1)
        return TokenStanding(value) if value < len(TokenStanding) else TokenStanding.ENDED


def read_list(token: bytes, keys: Mapping[str, bytes], uri: str, issuer: str, now: Instant) -> StatusList:
    """Read a list that the issuer signed for this address.

    Raises:
        InvalidTokenError: as `claims.verify`; `wrong_audience` when it is the list of another address, `bad_claims` when it is no list of ours.
    """
    body = signed_body(token, keys, _MOST_BYTES, STATUS_LIST_TYP)
    if text(body, "iss") != issuer:
        raise InvalidTokenError("wrong_issuer", "another broker signed the list")
    if text(body, "sub") != uri:
        raise InvalidTokenError("wrong_audience", "the list of another address")
    expires = second(body, "exp")
    if now >= expires:
        raise InvalidTokenError("expired", "the list has expired")
    if second(body, "iat") > now + 5:
        raise InvalidTokenError("from_the_future", "the list was signed in the future")
    inner = body.get(wire.STATUS_LIST)
    if not isinstance(inner, Mapping) or inner.get("bits") != BITS or isinstance(inner.get("bits"), bool):
        raise InvalidTokenError("bad_claims", f"no status list of {BITS} bits")
    return StatusList(uri, expires, second(body, "ttl"), _inflated(inner.get("lst")))


def _inflated(packed: Json) -> bytes:
    if not isinstance(packed, str) or not packed.isascii():
        raise InvalidTokenError("bad_claims", "lst is no text")
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(jws.decode(packed.encode("ascii")), _MOST_INFLATED)
    except (zlib.error, jws.MalformedJwsError):
        raise InvalidTokenError("bad_claims", "lst is no zlib stream in base64url") from None
    if not inflater.eof or inflater.unused_data:
        raise InvalidTokenError("bad_claims", "lst is longer than any list, cut off or followed by something")
    return data
