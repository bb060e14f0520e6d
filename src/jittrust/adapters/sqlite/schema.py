"""The database file: how it is opened, what is refused, and its tables from the first version on."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from jittrust.core.errors import UnavailableError

APPLICATION_ID = 0x4A495454  # "JITT" in the file's header, so that another program's database is never touched
_HEADER_SIZE = 100
_MAGIC = b"SQLite format 3\x00"
_BUSY_S = 1.0
_WAL_PAGES = 4000  # 16 MiB: emptying the journal costs two more synchronisations, at 1000 pages for more than one commit in a hundred
_WAL_BYTES = 64 * 1024 * 1024

# One entry a version, each carried out once, in one transaction with the version number. Entries are never changed after a release.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        origin TEXT NOT NULL,           -- of the ledger
        ledger_key TEXT NOT NULL,       -- its verifier key; for people, a verifier brings its own
        epoch INTEGER NOT NULL,         -- which broker may write
        turn INTEGER NOT NULL,          -- number of the last transaction
        pass_generation INTEGER NOT NULL,
        ledger_size INTEGER NOT NULL,
        frontier BLOB NOT NULL,         -- the roots of the ledger's perfect subtrees, 32 bytes each
        prev TEXT NOT NULL              -- leaf hash of the last record
    ) STRICT;
    CREATE TABLE mission (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        generation INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE access_grant (
        id TEXT PRIMARY KEY,
        mission TEXT NOT NULL,
        request TEXT NOT NULL,
        state TEXT NOT NULL,
        gas_left INTEGER NOT NULL CHECK (gas_left >= 0),
        body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX grant_request ON access_grant (mission, request) WHERE request <> '';
    CREATE TABLE lane (
        grant_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        issued REAL NOT NULL,
        delivered REAL,
        digest TEXT NOT NULL,
        use_id TEXT NOT NULL,
        used_at REAL,
        resends INTEGER NOT NULL,
        is_open INTEGER NOT NULL,
        PRIMARY KEY (grant_id, number)
    ) STRICT, WITHOUT ROWID;
    -- Every pass that is no longer live, once: the primary key is what makes a second spending impossible, whatever happens above it.
    CREATE TABLE retired_pass (
        grant_id TEXT NOT NULL,
        lane INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        use_id TEXT NOT NULL,           -- empty: a challenge replaced it
        digest TEXT NOT NULL,
        price INTEGER NOT NULL,         -- what was debited
        retired REAL NOT NULL,
        handed REAL NOT NULL,           -- when it had been delivered, or put in place
        PRIMARY KEY (grant_id, lane, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE standing (mission TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE approval (id TEXT PRIMARY KEY, state TEXT NOT NULL, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE pin (
        server TEXT NOT NULL,
        tool TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (server, tool)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE agent (id TEXT PRIMARY KEY, calls INTEGER NOT NULL, last_tool TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE history (
        agent TEXT NOT NULL,
        kind TEXT NOT NULL,             -- tool, intent, after, value
        word TEXT NOT NULL,
        tool TEXT NOT NULL,             -- of `after`: what followed; else empty
        calls INTEGER NOT NULL,
        PRIMARY KEY (agent, kind, word, tool)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE record (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL, leaf_hash BLOB NOT NULL) STRICT;
    CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
    """,
    """
    -- The identity layer: one value a row, changed only by whoever knows its revision.
    CREATE TABLE kept (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        revision INTEGER NOT NULL CHECK (revision > 0),
        body BLOB NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- From here on retired_pass.handed of a pass that was never delivered is when it was retired.
    ALTER TABLE lane ADD COLUMN spent INTEGER NOT NULL DEFAULT -1;     -- the last pass that bought a call
    ALTER TABLE lane ADD COLUMN follows INTEGER NOT NULL DEFAULT 0;    -- a pass that came with an answer has bought one
    UPDATE lane SET
        spent = coalesce((SELECT max(seq) FROM retired_pass AS old
            WHERE old.grant_id = lane.grant_id AND old.lane = lane.number AND old.use_id <> ''), -1),
        follows = EXISTS (SELECT 1 FROM retired_pass AS old JOIN retired_pass AS next
            ON next.grant_id = old.grant_id AND next.lane = old.lane AND next.seq = old.seq + 1
            WHERE old.grant_id = lane.grant_id AND old.lane = lane.number AND old.use_id <> '' AND next.use_id <> '');
    """,
    """
    -- Delegation, and grants by the number of calls: a grant from before has no path, no limit and no authority of its own.
    ALTER TABLE access_grant ADD COLUMN uses_left INTEGER CHECK (uses_left >= 0);
    ALTER TABLE access_grant ADD COLUMN path TEXT NOT NULL DEFAULT '[]';  -- ids, the root first; none for a root
    CREATE TABLE entry_use (
        grant_id TEXT NOT NULL,
        entry TEXT NOT NULL,            -- of the grant's own authority
        uses_left INTEGER CHECK (uses_left >= 0),
        PRIMARY KEY (grant_id, entry)
    ) STRICT, WITHOUT ROWID;
    """,
)


def open_database(path: Path, migrations: tuple[str, ...] = MIGRATIONS) -> sqlite3.Connection:
    """Open the store for writing: durable settings set and read back, tables brought up to date.

    Raises:
        UnavailableError: code `store_newer` (made by a newer version; nothing was touched), `store_foreign` (another program's database),
            `store_not_durable` (the file system or the library does not keep WAL with full synchronisation), `store_unavailable`.
    """
    _check_header(path, len(migrations))
    with contextlib.suppress(OSError):
        path.touch(mode=0o600)  # SQLite would make it readable by all; its journal takes over the rights of the file
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False)
    except sqlite3.Error as bad:
        raise unavailable(path, bad) from None
    try:
        _set_durable(db, path)
        _migrate(db, migrations)
    except sqlite3.Error as bad:
        db.close()
        raise unavailable(path, bad) from None
    except UnavailableError:
        db.close()
        raise
    return db


def unavailable(path: Path, bad: Exception) -> UnavailableError:
    """What broke, in words, as the error the ports promise."""
    said = str(bad) or type(bad).__name__
    if "full" in said:
        step = "Make room on its disk; the store goes on by itself."
    elif "readonly" in said:
        step = "Make the file and its folder writable."
    elif "malformed" in said or "not a database" in said:
        step = "Restore it from a backup; passes issued so far will be dead."
    else:
        step = "Nothing was let through. The store is tried again with the next call."
    return UnavailableError("store_unavailable", f"the store {path} cannot be used: {said}", step)


def _check_header(path: Path, newest: int) -> None:
    # Read by hand: SQLite itself would already recover a journal or make files beside the database.
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
    except FileNotFoundError:
        return
    except OSError as bad:
        raise unavailable(path, bad) from None
    if not header:
        return
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise unavailable(path, sqlite3.DatabaseError("file is not a database"))
    version, owner = int.from_bytes(header[60:64]), int.from_bytes(header[68:72])
    _check_version(owner, version, newest, path)


def _check_version(owner: int, version: int, newest: int, path: Path) -> None:
    if owner not in {0, APPLICATION_ID} or (owner == 0 and version > 0):
        raise UnavailableError("store_foreign", f"{path} is another program's database", "Give another --state.")
    if version > newest:
        raise UnavailableError(
            "store_newer",
            f"{path} was made by a newer jittrust (schema {version}, this one knows {newest})",
            "Upgrade jittrust, or give another --state. Nothing was touched.",
        )


def _set_durable(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}").fetchall()
    db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}").fetchall()
    mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    level = db.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, level) != ("wal", 2):
        raise UnavailableError(
            "store_not_durable",
            f"{path} does not keep WAL with full synchronisation (it says {mode}, {level})",
            "Put --state on a local file system.",
        )


def _migrate(db: sqlite3.Connection, migrations: tuple[str, ...]) -> None:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    owner = int(db.execute("PRAGMA application_id").fetchone()[0])
    _check_version(owner, version, len(migrations), Path(db.execute("PRAGMA database_list").fetchone()[2]))
    if owner == 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise UnavailableError("store_foreign", "the database belongs to another program", "Give another --state.")
    for number in range(version, len(migrations)):
        # executescript() would commit first; the script brings its own transaction.
        db.executescript(
            f"BEGIN IMMEDIATE; {migrations[number]}; PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number + 1}; COMMIT;"
        )
    if version < len(migrations):
        # The header must tell the version without the journal: see `_check_header`.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
