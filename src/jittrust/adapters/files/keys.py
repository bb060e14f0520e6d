"""The broker's keys as files: 32 bytes each, hexadecimal, readable by their owner only."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jittrust.adapters.files.durable import check_private, private_folder, sync_folder, write_whole
from jittrust.core.errors import UnavailableError
from jittrust.core.secret import Secret

KEY_SIZE = 32
_HEX = re.compile(rb"[0-9a-f]{64}\n\Z")


@dataclass(frozen=True, slots=True)
class BrokerKeys:
    """All secrets of one broker; a file of the field's name in `<state>/keys/` for each.

    Attributes:
        ledger: Ed25519 seed that signs checkpoints.
        token: Ed25519 seed that signs grants.
        passes: MAC key of passes.
        provenance: HMAC key under which seen values are remembered.
    """

    ledger: Secret
    token: Secret
    passes: Secret
    provenance: Secret


def load_keys(state: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> BrokerKeys:
    """Read the keys, or make all of them when there are none yet.

    A set that is there in part is refused, never completed: a new ledger key behind an old ledger would look like a forgery.

    Raises:
        UnavailableError: code `key_missing`, `key_broken`, `state_exposed` (others may read it) or `state_unusable`.
    """
    folder = private_folder(state) / "keys"
    try:
        if not folder.exists():
            _make(folder, random)
        private_folder(folder)
        return BrokerKeys(**{name: _read(folder / name) for name in BrokerKeys.__dataclass_fields__})
    except OSError as bad:
        raise UnavailableError("state_unusable", f"the keys in {folder} cannot be used: {bad.strerror}") from None


def _make(folder: Path, random: Callable[[int], bytes]) -> None:
    # All or nothing: a broker killed here starts over with an empty folder.
    draft = folder.with_name(".keys.new")
    shutil.rmtree(draft, ignore_errors=True)
    private_folder(draft)
    for name in BrokerKeys.__dataclass_fields__:
        write_whole(draft / name, random(KEY_SIZE).hex().encode() + b"\n")
    draft.rename(folder)
    sync_folder(folder.parent)


def _read(path: Path) -> Secret:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnavailableError(
            "key_missing",
            f"the key {path} is gone",
            "Put it back from a backup; without it this state cannot be used.",
        ) from None
    try:
        check_private(path, os.fstat(handle))
        content = os.read(handle, 1024)
    finally:
        os.close(handle)
    if not _HEX.match(content):
        raise UnavailableError("key_broken", f"{path} does not hold 64 hex digits")
    return Secret(bytes.fromhex(content.decode()))
