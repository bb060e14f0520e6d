"""Passes: the one live proof of freshness of a lane, minted and read without a table.

A pass is the DPoP nonce. It is `base64url(version | generation | lane | seq | grant id | MAC)`: whoever holds the pass key can tell an old
pass from a foreign one, and the same successor can always be given again. Nothing in it is secret; what counts is that nobody else can make
one, and that a lane takes only the newest.
"""

from __future__ import annotations

import binascii
import hmac
import struct
from dataclasses import dataclass

from jittrust.core.errors import BadInputError

KEY_BYTES = 32
"""Shortest pass key, in bytes: the security strength of HMAC-SHA-256 (RFC 2104 §3)."""
MAX_PASS = 256
"""Longest text that is read as a pass, in characters."""

_VERSION = 1
_HEAD = struct.Struct(">BIIQ")  # version, generation, lane, seq
_MAC_BYTES = 16  # 128 bits: RFC 2104 §5 allows half of the hash and no less than 80 bits
_MAX_GRANT = 128
# Keeps these MACs apart from any other use of the same key.
_DOMAIN = b"jittrust/pass\x00"


@dataclass(frozen=True, slots=True)
class PassId:
    """Which pass: number `seq` (>= 0) of lane `lane` (>= 0) of the grant."""

    grant: str
    lane: int
    seq: int


def mint(key: bytes, generation: int, grant: str, lane: int, seq: int) -> str:
    """The pass `seq` of a lane: always the same text for the same arguments.

    Args:
        key: pass key of this broker, at least 32 bytes, used for nothing else.
        generation: pass generation of the store, 0..2^32-1; it rises when a backup was restored, and all older passes die.
        grant: grant id, 1..128 ASCII characters.
        lane: lane number, 0..2^32-1.
        seq: number of the pass, 0..2^64-1.

    Returns:
        Base64url text of 46 characters and up; every character is an NQCHAR, so it fits a DPoP nonce (RFC 9449 §8.1).

    Raises:
        BadInputError: code `bad_pass_key` or `bad_pass_field`.
    """
    try:
        body = _HEAD.pack(_VERSION, generation, lane, seq) + grant.encode("ascii")
    except (struct.error, UnicodeEncodeError):
        raise BadInputError("bad_pass_field", "a pass needs an ASCII grant id and whole numbers in range") from None
    if not 0 < len(grant) <= _MAX_GRANT:
        raise BadInputError("bad_pass_field", f"a grant id has 1..{_MAX_GRANT} characters")
    return _encode(body + _mac(key, body))


def read(key: bytes, generation: int, text: str) -> PassId | None:
    """Which pass `text` is; None unless this broker minted it, with this key and in this very generation.

    Every text that was not minted gives None, never an error: forged, foreign, cut, of an older generation, in another spelling. The MAC is
    compared in constant time.

    Raises:
        BadInputError: code `bad_pass_key`.
    """
    if len(text) > MAX_PASS or not text.isascii():
        return None
    try:
        data = binascii.a2b_base64(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        return None
    body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, body)) or len(body) <= _HEAD.size:
        return None
    # One pass has one spelling: `+` for `-` and bits beyond the last byte decode alike and are no pass.
    if _encode(data) != text:
        return None
    version, minted_in, lane, seq = _HEAD.unpack_from(body)
    if version != _VERSION or minted_in != generation:
        return None
    return PassId(body[_HEAD.size :].decode("ascii"), lane, seq)


_TO_STANDARD = str.maketrans("-_", "+/")
_TO_URL = bytes.maketrans(b"+/", b"-_")


def _encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def _mac(key: bytes, body: bytes) -> bytes:
    if len(key) < KEY_BYTES:
        raise BadInputError("bad_pass_key", f"a pass key has at least {KEY_BYTES} bytes")
    return hmac.digest(key, _DOMAIN + body, "sha256")[:_MAC_BYTES]
