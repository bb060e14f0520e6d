"""The approver's PIN in the state directory: a scrypt hash, a count of wrong tries that survives a restart, a lock that grows.

Threat model, stated plainly: whoever can read files as this user can copy the hash and try PINs elsewhere (six digits: about a day on one core).
What this stops is an agent that guesses through the broker.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.units import Instant, Seconds

SHORTEST: Final = 6
LONGEST: Final = 128
FREE_TRIES: Final = 5
FIRST_LOCK: Final = Seconds(30)
LONGEST_LOCK: Final = Seconds(3600)
_COST: Final = 1 << 15  # 32 MiB and about 80 ms a try: RFC 7914 parameters N=2^15, r=8, p=1
_BLOCK: Final = 8
_MEMORY: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class _Tries:
    """Wrong tries since the last right one, and until when none is taken."""

    wrong: int = 0
    locked_until: float = 0.0


class PinFile:
    """`ports.pin.PinCheck` over two files of mode 0600: `approver.pin` and `approver.tries`.

    A check takes about 80 ms of CPU and a file lock: call it in a thread.
    """

    def __init__(self, folder: Path, clock: Callable[[], Instant]) -> None:
        """`folder` is the state directory; `clock` tells the time of day (a lock must outlive the process)."""
        self._pin = folder / "approver.pin"
        self._tries = folder / "approver.tries"
        self._lock = folder / "approver.lock"
        self._clock = clock

    def is_set(self) -> bool:
        """Whether a PIN has been set."""
        return self._pin.exists()

    def set(self, pin: str, old: str | None = None) -> None:
        """Set the PIN. When there is one already, `old` must be it.

        Raises:
            BadInputError: code `pin_weak`: shorter than 6, longer than 128 characters, one character repeated, or a plain sequence.
            RefusedError: the codes of `check`, for `old`.
        """
        _refuse_weak(pin)
        if self.is_set():
            self.check(old or "")
        salt = secrets.token_bytes(16)
        made = {"v": 1, "n": _COST, "r": _BLOCK, "salt": salt.hex(), "hash": _hashed(pin, salt, _COST, _BLOCK).hex()}
        with self._locked():
            _write_private(self._pin, json.dumps(made))
            self._note(_Tries())

    def check(self, pin: str) -> None:
        """See `ports.pin.PinCheck`.

        Raises:
            RefusedError: also code `pin_unsafe`: the file belongs to somebody else or others may write it.
        """
        with self._locked():
            kept = self._kept()
            tries, now = self._read_tries(), self._clock()
            if now < tries.locked_until:
                wait = round(min(tries.locked_until - now, LONGEST_LOCK)) or 1
                raise RefusedError(
                    "pin_locked", f"Too many wrong PINs: locked for {wait} s more", "Wait, then try again."
                )
            # Counted before it is looked at: killing the process buys no free try.
            wrong = tries.wrong + 1
            delay = min(FIRST_LOCK * 2 ** min(wrong - FREE_TRIES, 20), LONGEST_LOCK) if wrong >= FREE_TRIES else 0.0
            self._note(_Tries(wrong, now + delay if delay else 0.0))
            shown = _hashed(pin[: LONGEST + 1], bytes.fromhex(kept["salt"]), int(kept["n"]), int(kept["r"]))
            if not hmac.compare_digest(shown, bytes.fromhex(kept["hash"])):
                left = FREE_TRIES - wrong
                then = f"{left} more before it locks." if left > 0 else f"Locked for {round(delay)} s."
                raise RefusedError("pin_wrong", "That is not the PIN", then)
            self._note(_Tries())

    def _kept(self) -> dict[str, str]:
        try:
            status = self._pin.lstat()
            text = self._pin.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise RefusedError(
                "pin_not_set", "No approver's PIN is set", "Set one: jittrust approve --set-pin"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedError("pin_unsafe", f"{self._pin} cannot be read", "jittrust doctor") from error
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise RefusedError(
                "pin_unsafe", f"{self._pin} is open to others", f"chmod 600 {self._pin}, then set a new PIN."
            )
        try:
            kept = json.loads(text)
            fits = kept["v"] == 1 and 1 < int(kept["n"]) <= 4 * _COST and 1 <= int(kept["r"]) <= 2 * _BLOCK
            bytes.fromhex(kept["salt"]), bytes.fromhex(kept["hash"])
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedError("pin_unsafe", f"{self._pin} is damaged", "Remove it and set a new PIN.") from error
        if not fits:
            raise RefusedError("pin_unsafe", f"{self._pin} is of a version this one cannot read", "Set a new PIN.")
        return dict(kept)

    def _read_tries(self) -> _Tries:
        try:
            read = json.loads(self._tries.read_text(encoding="utf-8"))
            return _Tries(max(0, int(read["wrong"])), float(read["locked_until"]))
        except FileNotFoundError:
            return _Tries()
        except (OSError, ValueError, KeyError, TypeError):
            # A damaged count is no free try.
            return _Tries(FREE_TRIES)

    def _note(self, tries: _Tries) -> None:
        _write_private(self._tries, json.dumps(asdict(tries)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One try at a time, over all processes: parallel guesses may not share a count."""
        opened = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield
        finally:
            os.close(opened)


def _hashed(pin: str, salt: bytes, cost: int, block: int) -> bytes:
    # HMAC pads a short key with zeros, so scrypt alone takes a PIN and the same PIN with a NUL behind it for one.
    raw = hashlib.sha256(pin.encode("utf-8", "surrogatepass")).digest()
    return hashlib.scrypt(raw, salt=salt, n=cost, r=block, p=1, maxmem=max(_MEMORY, 256 * cost * block), dklen=32)


def _refuse_weak(pin: str) -> None:
    steps = {ord(after) - ord(before) for before, after in pairwise(pin)}
    if not SHORTEST <= len(pin) <= LONGEST:
        raise BadInputError("pin_weak", f"A PIN has {SHORTEST} to {LONGEST} characters", "Choose another.")
    if len(steps) == 1 and steps <= {-1, 0, 1}:
        raise BadInputError("pin_weak", "This PIN is one character repeated, or counts up or down", "Choose another.")


def _write_private(file: Path, text: str) -> None:
    """Replace a file whole and durably, readable by its owner alone."""
    made = file.with_name(f"{file.name}.{os.getpid()}.new")
    opened = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    made.replace(file)
