"""The ledger of a store's file for offline reading, beside a running broker or from a copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from jittrust.adapters.sqlite.schema import APPLICATION_ID, unavailable
from jittrust.core.errors import NotFoundError, UnavailableError

_PAGE = 2048


class LedgerFile:
    """One consistent picture of the ledger in a database file, opened for reading only."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            NotFoundError: code `no_store`: there is no such file.
            UnavailableError: code `store_foreign` or `store_unavailable`.
        """
        if not path.exists():
            raise NotFoundError("no_store", f"there is no store {path}", "Give the folder with --state.")
        self._path = path
        self._db = _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def leaves(self) -> Iterator[bytes]:
        """All records, oldest first; a damaged page ends it with an error.

        Raises:
            UnavailableError: code `store_unavailable`.
        """
        try:
            cursor = self._db.execute("SELECT leaf FROM record ORDER BY number")
            while rows := cursor.fetchmany(_PAGE):
                for (entry,) in rows:
                    yield bytes(entry) if isinstance(entry, bytes) else str(entry).encode("utf-8", "replace")
        except sqlite3.Error as bad:
            raise unavailable(self._path, bad) from None

    def checkpoint(self) -> str | None:
        """The newest signed checkpoint; None for an empty ledger."""
        return next(iter(self.checkpoints(1)), None)

    def checkpoints(self, at_most: int, *, begin: int = 0, end: int | None = None) -> list[str]:
        """Signed checkpoints of sizes begin..end, evenly spread when there are more than `at_most`, newest first.

        The more of them are verified, the closer a rewritten record is found.
        """
        try:
            rows = self._db.execute(
                "SELECT note FROM (SELECT note, row_number() OVER (ORDER BY size DESC) - 1 AS place, count(*) OVER () AS total"
                " FROM checkpoint WHERE size >= ?1 AND (?2 IS NULL OR size <= ?2))"
                " WHERE place % ((total + ?3 - 1) / ?3) = 0 ORDER BY place",
                (begin, end, max(at_most, 1)),
            ).fetchall()
        except sqlite3.Error as bad:
            raise unavailable(self._path, bad) from None
        return [str(note) for (note,) in rows]

    def ledger_key(self) -> str:
        """The verifier key that the file itself names: for people. Whoever changes the records can change this too."""
        try:
            found = self._db.execute("SELECT ledger_key FROM meta").fetchone()
        except sqlite3.Error as bad:
            raise unavailable(self._path, bad) from None
        return "" if found is None else str(found[0])


def _open(path: Path) -> sqlite3.Connection:
    where = f"file:{quote(str(path.absolute()))}"
    last: sqlite3.Error | None = None
    # A copy on a medium that cannot be written has no room for the shared memory of a journal; there, nobody else writes either.
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        db: sqlite3.Connection | None = None
        try:
            db = sqlite3.connect(f"{where}?{mode}", uri=True, isolation_level=None)
            owner = db.execute("PRAGMA application_id").fetchone()[0]
            if owner != APPLICATION_ID:
                db.close()
                raise UnavailableError("store_foreign", f"{path} is not a store of jittrust")
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM meta").fetchone()
        except sqlite3.Error as bad:
            last = bad
            if db is not None:
                db.close()
        else:
            return db
    raise unavailable(path, last or sqlite3.OperationalError("unable to open"))
