"""Signed checkpoints: C2SP `tlog-checkpoint` as a C2SP `signed-note` with Ed25519.

```
jittrust.example/ledger
20
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— jittrust.example/ledger Wf3oKAYb2sn3rLNTL9NEHkA…
```

First line: the origin, unique to the ledger. Then the number of records in decimal, then the root hash. A signature line holds the key's name and base64
of a 4-byte key id and the signature over everything up to and including the last newline before the empty line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from jittrust.core.errors import BadInputError
from jittrust.core.ledger.tree import HASH_SIZE

_ED25519 = b"\x01"  # signed-note signature type of Ed25519
_KEY_ID_SIZE = 4
_MARK = "\u2014 "  # em dash and space begin a signature line
_MOST_TEXT = 64 * 1024
_MOST_SIGNATURES = 16
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")
_NOT_TEXT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")  # control characters and what UTF-8 cannot carry


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says. `extensions` are further lines, opaque here and under the signature."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def body(self) -> str:
        """The text that is signed.

        Raises:
            BadInputError: code `bad_checkpoint`: this could not be read back.
        """
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        text = "".join(f"{line}\n" for line in lines)
        if parse_body(text) != self:
            raise BadInputError("bad_checkpoint", "an origin or extension line cannot be written into a checkpoint")
        return text


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """Public key of a ledger with the name under which it signs.

    Text form (signed-note verifier key): `<name>+<key id, 8 hex digits>+<base64(0x01 || key)>`.
    """

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not self.name.isprintable() or not self.name or "+" in self.name or " " in self.name:
            raise BadInputError("bad_key", f"a key's name has no white space and no plus: {self.name!r}")
        if len(self.public) != HASH_SIZE:
            raise BadInputError("bad_key", f"an Ed25519 key has 32 bytes, not {len(self.public)}")

    @property
    def id(self) -> bytes:
        """SHA-256(name || 0x0A || 0x01 || key), first 4 bytes: tells keys of one name apart, authenticates nothing."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_SIZE]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> LedgerKey:
        """Read the text form.

        Raises:
            BadInputError: code `bad_key`.
        """
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _base64(encoded)
        if raw is None or raw[:1] != _ED25519:
            raise BadInputError("bad_key", "not an Ed25519 verifier key", "It reads NAME+8 HEX DIGITS+BASE64.")
        key = cls(name, raw[1:])
        if key.id.hex() != key_id:
            raise BadInputError("bad_key", "the key id does not belong to this name and key")
        return key


@dataclass(frozen=True, slots=True, repr=False)
class LedgerSigner:
    """Signs checkpoints. Made from 32 secret bytes; never prints them."""

    key: LedgerKey
    _signing: SigningKey

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> LedgerSigner:
        """A signer from its Ed25519 seed (32 bytes).

        Raises:
            BadInputError: code `bad_key`.
        """
        if len(seed) != HASH_SIZE:
            raise BadInputError("bad_key", f"an Ed25519 seed has 32 bytes, not {len(seed)}")
        signing = SigningKey(seed)
        return cls(LedgerKey(name, bytes(signing.verify_key)), signing)

    def __repr__(self) -> str:
        return f"LedgerSigner({self.key})"

    def sign(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note."""
        body = checkpoint.body()
        signature = self._signing.sign(body.encode()).signature
        line = base64.b64encode(self.key.id + signature).decode()
        return f"{body}\n{_MARK}{self.key.name} {line}\n"


def parse_body(text: str) -> Checkpoint:
    """Read the text of a checkpoint, strictly: what `Checkpoint.body` would not write is refused.

    Raises:
        BadInputError: code `bad_checkpoint`.
    """
    if not text.endswith("\n") or _NOT_TEXT.search(text):
        raise _bad("a checkpoint is lines of text, each ended by a newline")
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):  # noqa: PLR2004  origin, size, root
        raise _bad("a checkpoint has an origin, a size and a root, and no empty line")
    origin, size, encoded, *extensions = lines
    root = _base64(encoded)
    if not _SIZE.match(size) or root is None or len(root) != HASH_SIZE:
        raise _bad("the size is a decimal number and the root 32 bytes in base64")
    return Checkpoint(origin, int(size), root, tuple(extensions))


def open_checkpoint(note: str, key: LedgerKey) -> Checkpoint:
    """Verify a signed note and return what it says.

    Signatures of other keys are passed over, as signed-note asks; the one of `key` must be there, once, and hold.

    Raises:
        BadInputError: code `bad_checkpoint` (malformed) or `bad_signature` (not signed by this key, or changed since).
    """
    text, signatures = _split_note(note)
    mine = [signature for name, key_id, signature in signatures if name == key.name and key_id == key.id]
    if not mine:
        raise BadInputError("bad_signature", f"the checkpoint is not signed by {key.name}")
    if len(mine) > 1:
        raise _bad("a key signs a checkpoint once")
    try:
        VerifyKey(key.public).verify(text.encode(), mine[0])
    except (BadSignatureError, ValueError):  # a lone surrogate is a ValueError too
        raise BadInputError(
            "bad_signature", f"the signature of {key.name} does not hold: the checkpoint was changed"
        ) from None
    return parse_body(text)


def _split_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    if len(note) > _MOST_TEXT:
        raise _bad(f"a checkpoint has at most {_MOST_TEXT} characters")
    head, gap, tail = note.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise _bad("a signed checkpoint is text, an empty line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        raise _bad(f"a checkpoint has at most {_MOST_SIGNATURES} signatures")
    return f"{head}\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    mark, rest = line[: len(_MARK)], line[len(_MARK) :]
    name, _, encoded = rest.partition(" ")
    raw = _base64(encoded)
    if mark != _MARK or not name or raw is None or len(raw) <= _KEY_ID_SIZE:
        raise _bad("a signature line reads: em dash, name, base64")
    return name, raw[:_KEY_ID_SIZE], raw[_KEY_ID_SIZE:]


def _base64(text: str) -> bytes | None:
    """Standard base64 in its only spelling, or None."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None


def _bad(why: str) -> BadInputError:
    return BadInputError("bad_checkpoint", why)
