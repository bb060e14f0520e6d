"""The ledger's tables: records appended with their place, a checkpoint signed for each group."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.ledger.checkpoint import Checkpoint, LedgerSigner, open_checkpoint
from jittrust.core.ledger.record import FIRST_PREV, leaf
from jittrust.core.ledger.tree import HASH_SIZE, Frontier, leaf_hash
from jittrust.ports.commit import RecordBody


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """Where the next record goes: the tree so far, and the hash of the last record."""

    frontier: Frontier = field(default_factory=Frontier)
    prev: str = FIRST_PREV

    @property
    def size(self) -> int:
        """How many records there are."""
        return self.frontier.size


def read_head(db: sqlite3.Connection, origin: str, signer: LedgerSigner) -> LedgerHead:
    """The head as stored, checked against the last record and the newest checkpoint.

    Raises:
        UnavailableError: code `ledger_broken`: the tables disagree, or the checkpoint is not ours; `audit verify` tells more.
    """
    size, nodes, prev = db.execute("SELECT ledger_size, frontier, prev FROM meta").fetchone()
    last = db.execute("SELECT number, leaf_hash FROM record ORDER BY number DESC LIMIT 1").fetchone()
    note = db.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    try:
        frontier = Frontier(size, tuple(nodes[i : i + HASH_SIZE] for i in range(0, len(nodes), HASH_SIZE)))
        signed = Checkpoint(origin, 0, Frontier().root()) if note is None else open_checkpoint(note[0], signer.key)
    except (ValueError, BadInputError) as bad:
        raise _broken(str(bad)) from None
    if (last[0] + 1, last[1].hex()) != (size, prev) if last else (size, prev) != (0, FIRST_PREV):
        raise _broken("the last record is not the one that was stored last")
    if signed != Checkpoint(origin, size, frontier.root()):
        raise _broken("the newest checkpoint does not cover the records")
    return LedgerHead(frontier, prev)


def append(db: sqlite3.Connection, head: LedgerHead, records: Sequence[RecordBody]) -> LedgerHead:
    """Add records; give the new head. `seal` makes it the stored one.

    Raises:
        BadInputError: code `not_canonical` or `bad_record`.
    """
    frontier, prev = head.frontier, head.prev
    for body in records:
        entry = leaf(body, frontier.size, prev)
        digest = leaf_hash(entry)
        db.execute("INSERT INTO record (number, leaf, leaf_hash) VALUES (?, ?, ?)", (frontier.size, entry, digest))
        frontier, prev = frontier.append(digest), digest.hex()
    return LedgerHead(frontier, prev)


def seal(db: sqlite3.Connection, head: LedgerHead, origin: str, signer: LedgerSigner) -> None:
    """Store the head and a signed checkpoint over all records."""
    note = signer.sign(Checkpoint(origin, head.size, head.frontier.root()))
    db.execute("INSERT INTO checkpoint (size, note) VALUES (?, ?)", (head.size, note))
    db.execute(
        "UPDATE meta SET ledger_size = ?, frontier = ?, prev = ?",
        (head.size, b"".join(head.frontier.nodes), head.prev),
    )


def _broken(why: str) -> UnavailableError:
    return UnavailableError(
        "ledger_broken",
        f"the ledger does not fit together: {why}",
        "Run `jittrust audit verify`; restore the state from a backup.",
    )
