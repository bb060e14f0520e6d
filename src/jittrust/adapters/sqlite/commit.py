"""Commit and LedgerReader on one SQLite file: WAL, full synchronisation, one writer, group commit, a fence."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from jittrust.adapters.sqlite.committer import DEADLINE_S, GroupCommitter, Outcome, Step
from jittrust.adapters.sqlite.ledger_table import LedgerHead, append, read_head, seal
from jittrust.adapters.sqlite.schema import open_database, unavailable
from jittrust.adapters.sqlite.state import read_retired, read_state
from jittrust.adapters.sqlite.writes import apply_write
from jittrust.core.errors import BadInputError, FencedError, UnavailableError
from jittrust.core.grant.grant import RetiredPass
from jittrust.core.ledger.checkpoint import Checkpoint, LedgerSigner
from jittrust.core.ledger.record import FIRST_PREV, RecordKind
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import Change, Committed, RecordBody, StoredState

MOST_ENTRIES = 1000


class Fence(Protocol):
    """What the database cannot know about itself; `adapters.files.fence.FileFence` keeps it."""

    def begin(self, stored_epoch: int, stored_turn: int) -> tuple[int, bool]:
        """Open the next epoch durably; give it, and whether the database is not the one that ran last."""
        ...

    def settle(self) -> None:
        """The database carries the epoch."""
        ...

    def note(self, turn: int) -> None:
        """Transaction `turn` is durable."""
        ...


class SqliteCommit:
    """The store of one broker. Make it with `open`, which is the only part that blocks.

    Attributes:
        restored: the database was not the one that ran last (a backup, a fresh file beside an old fence, a lost fence). Every pass issued before
            is dead, and the ledger says so (record `store`, `what` = `restored`).
    """

    def __init__(
        self, path: Path, db: sqlite3.Connection, head: LedgerHead, epoch: int, *, restored: bool,
        signer: LedgerSigner, origin: str, fence: Fence, deadline_s: float,
    ) -> None:  # fmt: skip
        self.restored = restored
        self._path = path
        self._db: sqlite3.Connection | None = db
        self._head = head
        self._epoch = epoch
        self._signer = signer
        self._origin = origin
        self._fence = fence
        self._fenced = False
        self._committer = GroupCommitter(self._together, self._let_go, deadline_s=deadline_s)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        signer: LedgerSigner,
        origin: str,
        fence: Fence,
        clock: Callable[[], Instant],
        deadline_s: float = DEADLINE_S,
    ) -> SqliteCommit:
        """Open or make the store and take it over from any broker before.

        Args:
            path: the database file; its folder exists.
            signer: signs the ledger's checkpoints, the same for the life of the store.
            origin: the ledger's unique name, the same for the life of the store.
            fence: kept outside of `path` and outside of backups; the caller holds the broker's lock.
            clock: the time, for the generation of passes after a restore.
            deadline_s: how long a commit may take.

        Raises:
            UnavailableError: code `store_newer`, `store_foreign`, `store_not_durable`, `ledger_broken`, `ledger_key_changed`, or
                `store_unavailable`.
        """
        db = open_database(path)
        try:
            epoch, restored, head = _take_over(db, signer, origin, fence, clock)
        except sqlite3.Error as bad:
            db.close()
            raise unavailable(path, bad) from None
        except UnavailableError:
            db.close()
            raise
        return cls(
            path, db, head, epoch, restored=restored, signer=signer, origin=origin, fence=fence, deadline_s=deadline_s
        )

    async def commit(self, change: Change) -> Committed:
        if self._fenced:
            raise _fenced()
        return await self._committer.run(lambda db: self._carry_out(db, change))

    async def load(self) -> StoredState:
        return await self._committer.run(read_state)

    async def retired(self, grant: str, lane: int, first: int, last: int) -> Sequence[RetiredPass]:
        def look(db: sqlite3.Connection) -> Sequence[RetiredPass]:
            return read_retired(db, grant, lane, first, last)

        return await self._committer.run(look)

    async def close(self) -> None:
        await self._committer.close()

    async def entries(self, after: int, limit: int) -> Sequence[bytes]:
        def look(db: sqlite3.Connection) -> Sequence[bytes]:
            rows = db.execute(
                "SELECT leaf FROM record WHERE number >= ? ORDER BY number LIMIT ?",
                (max(after, 0), min(max(limit, 0), MOST_ENTRIES)),
            )
            return tuple(entry for (entry,) in rows)

        return await self._committer.run(look)

    async def checkpoint(self) -> str:
        def look(db: sqlite3.Connection) -> str | None:
            found = db.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
            return None if found is None else str(found[0])

        note = await self._committer.run(look)
        if note is None:  # nothing was recorded yet
            head = LedgerHead()
            return self._signer.sign(Checkpoint(self._origin, head.size, head.frontier.root()))
        return note

    # From here on: in the store's own thread.

    def _together(self, steps: Sequence[Step]) -> Sequence[Outcome]:
        try:
            return self._transaction(steps)
        except FencedError as bad:
            self._fenced = True
            error: UnavailableError = bad
        except UnavailableError as bad:
            error = bad
        except sqlite3.Error as bad:
            error = unavailable(self._path, bad)
        # Whatever the connection thinks is durable now, the file decides: open it anew with the next group.
        self._let_go()
        # Each waits for an error of its own: a shared one would collect the tracebacks of all.
        return [(False, type(error)(error.code, error.message, error.next_step)) for _ in steps]

    def _transaction(self, steps: Sequence[Step]) -> Sequence[Outcome]:
        db = self._connection()
        db.execute("BEGIN IMMEDIATE")
        taken = db.execute("UPDATE meta SET turn = turn + 1 WHERE epoch = ? RETURNING turn", (self._epoch,)).fetchall()
        if not taken:
            raise _fenced()
        before, changes = self._head, db.total_changes
        outcomes = [_on_its_own(db, step) for step in steps]
        if self._head is not before:
            seal(db, self._head, self._origin, self._signer)
        if db.total_changes == changes:
            db.execute("ROLLBACK")
            return outcomes
        db.execute("COMMIT")
        with contextlib.suppress(OSError):
            # A note that is missing makes the fence older than the database, which is harmless.
            self._fence.note(taken[0][0])
        return outcomes

    def _carry_out(self, db: sqlite3.Connection, change: Change) -> Committed:
        gas_left: Gas | None = None
        for write in change.writes:
            left = apply_write(db, write)
            gas_left = gas_left if left is None else left
        first = self._head.size
        # Last, so that the head moves only when nothing of the change can fail any more.
        if change.records:
            self._head = append(db, self._head, change.records)
        return Committed(tuple(range(first, self._head.size)), gas_left)

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            db = open_database(self._path)
            try:
                self._head = read_head(db, self._origin, self._signer)
            except (sqlite3.Error, UnavailableError):
                db.close()
                raise
            self._db = db
        return self._db

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        with contextlib.suppress(sqlite3.Error):
            db.close()


def _on_its_own(db: sqlite3.Connection, step: Step) -> Outcome:
    """Carry out one step; if it fails, nothing of it stays and the others go on."""
    db.execute("SAVEPOINT step")
    try:
        value = step.run(db)
    except sqlite3.IntegrityError as bad:
        failed: Exception = BadInputError("bad_value", f"the store refuses a value: {bad}")
    except sqlite3.Error:
        raise
    except (UnicodeEncodeError, OverflowError) as bad:
        failed = BadInputError("bad_value", f"a value cannot be stored: {bad}")
    except Exception as bad:  # noqa: BLE001  the one who waits gets it; the thread goes on
        failed = bad
    else:
        db.execute("RELEASE step")
        return True, value
    db.execute("ROLLBACK TO step")
    db.execute("RELEASE step")
    return False, failed


def _take_over(
    db: sqlite3.Connection, signer: LedgerSigner, origin: str, fence: Fence, clock: Callable[[], Instant]
) -> tuple[int, bool, LedgerHead]:
    """Put this broker's epoch into the database; raise the generation of passes if the database is not the one that ran last."""
    key = str(signer.key)
    found = db.execute("SELECT epoch, turn, pass_generation, origin, ledger_key FROM meta").fetchone()
    stored_epoch, turn, generation, *ledger = found or (0, 0, 1, origin, key)
    if ledger != [origin, key]:
        raise UnavailableError(
            "ledger_key_changed",
            f"this ledger is {ledger[0]} signed by {ledger[1]}, not {origin} by {key}",
            "Put the keys of this state back, or give another --state.",
        )
    head = LedgerHead() if found is None else read_head(db, origin, signer)
    epoch, restored = fence.begin(stored_epoch, turn)
    if restored:
        # Never a generation that any earlier history of this database can have had, however many restores there were.
        generation = max(generation + 1, epoch, int(clock()))
    db.execute("BEGIN IMMEDIATE")
    if found is None:
        db.execute(
            "INSERT INTO meta VALUES (1, ?, ?, ?, ?, ?, 0, x'', ?)",
            (origin, key, epoch, turn + 1, generation, FIRST_PREV),
        )
    else:
        db.execute("UPDATE meta SET epoch = ?, turn = turn + 1, pass_generation = ?", (epoch, generation))
    if restored:
        at = round(clock() * 1000)
        told: RecordBody = {"kind": RecordKind.STORE, "at": at, "what": "restored", "pass_generation": generation}
        head = append(db, head, [told])
        seal(db, head, origin, signer)
    db.execute("COMMIT")
    fence.settle()
    with contextlib.suppress(OSError):
        fence.note(turn + 1)
    return epoch, restored, head


def _fenced() -> FencedError:
    return FencedError(
        "fenced", "another broker has taken over this state", "Stop this process; it can never write here again."
    )
