"""The fence: what a database file cannot know about itself, kept beside it.

`<state>/fence/` tells two things: who may write (`epoch`, one more with every start of a broker), and whether the database is older than it was
(`turn`, the number of the last committed transaction). **Leave this folder out of backups**: it is there so that a database that comes out of one
is recognised, and every pass issued before is dead.

- `epoch`: two lines, `settled` and `opening`. A start writes `opening` first, then the database takes it, then it is settled: a crash in between
  leaves a database with either, and both are right.
- `turn-<epoch>`: 20 digits, written after each commit without fsync. It survives the end of the process; after a loss of power it may be older
  than the database, which is harmless: only a database *older* than the fence is a restored one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from jittrust.adapters.files.durable import PRIVATE_FILE, private_folder, sync_folder, write_whole
from jittrust.core.errors import UnavailableError

_EPOCH = re.compile(rb"settled ([0-9]{1,15})\nopening ([0-9]{1,15})\n\Z")
_TURN = re.compile(rb"[0-9]{20}\n\Z")


class FileFence:
    """The fence of one state folder. Take the broker's lock first: two openings at once would share an epoch."""

    def __init__(self, state: Path) -> None:
        self._folder = private_folder(state / "fence")
        self._path = self._folder / "epoch"
        self._epoch = 0
        self._turn = -1

    def begin(self, stored_epoch: int, stored_turn: int) -> tuple[int, bool]:
        """Open the next epoch, durably.

        Args:
            stored_epoch: the epoch in the database; 0 for a new one.
            stored_turn: the number of its last transaction.

        Returns:
            The new epoch, larger than any before, and whether the database is not the one that ran last (restored from a backup, replaced or
            started anew, or the fence was lost): then no pass issued so far may live.

        Raises:
            UnavailableError: code `fence_broken` (unreadable content) or `store_unavailable` (cannot be written).
        """
        try:
            settled, opening = self._read()
            newest_turn = self._newest_turn()
            fresh = settled == opening == stored_epoch == 0
            same = fresh or stored_epoch in {settled, opening}
            restored = not same or stored_turn < newest_turn
            self._epoch = max(settled, opening, stored_epoch) + 1
            # An older `settled` stays until the database has the new epoch; after a restore only the new one may match.
            write_whole(self._path, _epochs(self._epoch if restored else stored_epoch, self._epoch))
            self._open_turn()
            self.note(stored_turn)
        except OSError as bad:
            raise UnavailableError("store_unavailable", f"the fence cannot be written: {bad.strerror}") from None
        return self._epoch, restored

    def settle(self) -> None:
        """Note that the database carries the epoch.

        Raises:
            UnavailableError: code `store_unavailable`.
        """
        try:
            write_whole(self._path, _epochs(self._epoch, self._epoch))
            for path in self._turns():
                if path.name != self._turn_name:
                    path.unlink(missing_ok=True)
        except OSError as bad:
            raise UnavailableError("store_unavailable", f"the fence cannot be written: {bad.strerror}") from None

    def note(self, turn: int) -> None:
        """Note the number of a transaction that is durable now.

        Raises:
            OSError: as the file system says; the transaction stands all the same.
        """
        os.pwrite(self._turn, b"%020d\n" % turn, 0)

    def close(self) -> None:
        """Close the file of turns; a second call does nothing."""
        if self._turn >= 0:
            os.close(self._turn)
            self._turn = -1

    @property
    def _turn_name(self) -> str:
        return f"turn-{self._epoch}"

    def _open_turn(self) -> None:
        self.close()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._turn = os.open(self._folder / self._turn_name, flags, PRIVATE_FILE)
        sync_folder(self._folder)

    def _turns(self) -> list[Path]:
        return sorted(self._folder.glob("turn-*"))

    def _read(self) -> tuple[int, int]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return 0, 0
        found = _EPOCH.match(content)
        if found is None:
            raise UnavailableError(
                "fence_broken",
                f"{self._path} is not what a broker writes there",
                "Remove the file: every pass issued so far will be dead, which is safe.",
            )
        return int(found[1]), int(found[2])

    def _newest_turn(self) -> int:
        # A torn file counts as not there: the write is one block, so this is a loss of power, where older is allowed.
        found = [path.read_bytes() for path in self._turns()]
        return max((int(content) for content in found if _TURN.match(content)), default=0)


def _epochs(settled: int, opening: int) -> bytes:
    return b"settled %d\nopening %d\n" % (settled, opening)
