"""Is this ledger the one that was signed? And if not: which record is the first bad one, and what is wrong with it?

Works on a stream of leaves, once through, with memory for one chunk. What can be told from what:

- a signed checkpoint holds the root: any change whatever to the records it covers is found;
- each record holds the leaf hash of the one before it and its own place, which says *where*;
- checkpoints kept elsewhere (a witness, an earlier export) show a history that was rewritten and signed anew, or cut and signed anew.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from jittrust.core.errors import BadInputError
from jittrust.core.ledger.checkpoint import Checkpoint, LedgerKey, open_checkpoint
from jittrust.core.ledger.record import FIRST_PREV, check_record
from jittrust.core.ledger.tree import Frontier, leaf_hash

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class LedgerVerified:
    """The records are exactly those the newest checkpoint covers, and every earlier checkpoint fits."""

    size: int
    root: bytes
    earlier: int


@dataclass(frozen=True, slots=True)
class LedgerBroken:
    """The first thing that is wrong.

    Attributes:
        index: the first bad record; None when it is the checkpoint that is bad.
        code: `bad_checkpoint`, `bad_signature`, `bad_record` (no record at all), `missing_link`, `bad_index` (dropped, inserted or
            swapped), `edited` (differs from what its successor vouches for), `rewritten` (the chain fits, the signed root does not),
            `truncated`, `unsigned_tail` (more records than were signed), `forked` (an earlier checkpoint tells another history).
        why: one sentence for people.
    """

    index: int | None
    code: str
    why: str


def verify(
    leaves: Iterable[bytes],
    checkpoint: str,
    key: LedgerKey,
    earlier: Sequence[str] = (),
    *,
    whole: bool = False,
) -> LedgerVerified | LedgerBroken:
    """Check `leaves` against the newest signed checkpoint and earlier ones.

    Args:
        leaves: the records as canonical JSON, from index 0.
        checkpoint: the newest checkpoint, a signed note.
        key: whose signature counts.
        earlier: further signed checkpoints of this ledger, any order: those a witness kept, or those stored beside the ledger (the more of
            them, the closer a rewritten record is found).
        whole: parse every record too and check spelling, kind and links (about ten times slower).

    Returns:
        `LedgerVerified`, or the first bad record.
    """
    try:
        newest = open_checkpoint(checkpoint, key)
        known = sorted((open_checkpoint(note, key) for note in earlier), key=lambda note: note.size)
    except BadInputError as bad:
        return LedgerBroken(None, bad.code, bad.message)
    for note in known:
        if note.origin != newest.origin:
            return LedgerBroken(None, "bad_checkpoint", f"an earlier checkpoint is of another ledger: {note.origin}")
        if note.size > newest.size:
            why = (
                f"an earlier checkpoint covers {note.size} records, the newest only {newest.size}: the end was cut off"
            )
            return LedgerBroken(newest.size, "truncated", why)
    return _walk(iter(leaves), [*known, newest], whole=whole)


def _walk(leaves: Iterator[bytes], notes: list[Checkpoint], *, whole: bool) -> LedgerVerified | LedgerBroken:
    newest = notes[-1]
    behind = frontier = (
        Frontier()
    )  # `behind` lacks the last leaf of `frontier`: the next record tells whether that one is right
    prev, good = FIRST_PREV, 0
    for note in notes:
        while frontier.size < note.size:
            # Chunks end on multiples of their size, so that the tree is built from whole subtrees.
            room = min(note.size - frontier.size, _CHUNK - frontier.size % _CHUNK)
            chunk = list(islice(leaves, room))
            hashes = [leaf_hash(entry) for entry in chunk]
            position = _first_break(chunk, hashes, frontier.size, prev)
            if position is not None:
                if position > 0:
                    behind = frontier.extend(hashes[: position - 1])
                return _explain(frontier.size + position, chain(chunk[position:], leaves), behind, newest)
            if whole and (bad := _first_unreadable(chunk, frontier.size)) is not None:
                return bad
            if len(chunk) < room:
                size = frontier.size + len(chunk)
                return LedgerBroken(size, "truncated", f"{newest.size} records were signed, {size} are here")
            behind = frontier.extend(hashes[:-1])
            frontier = behind.append(hashes[-1])
            prev = hashes[-1].hex()
        if frontier.root() != note.root:
            after = next(leaves, None)
            if after is not None and not _follows(after, note.size, prev.encode()):
                return _explain(note.size, chain([after], leaves), behind, newest)
            return _other_history(note, newest, good)
        good = note.size
    if next(leaves, None) is not None:
        return LedgerBroken(
            newest.size, "unsigned_tail", f"there are more records than the {newest.size} that were signed"
        )
    return LedgerVerified(newest.size, newest.root, len(notes) - 1)


def _other_history(note: Checkpoint, newest: Checkpoint, good: int) -> LedgerBroken:
    if note is newest:
        why = f"a record from {good} to {note.size - 1} was changed and the records behind it were chained anew"
        return LedgerBroken(good, "rewritten", f"{why}: the signed root does not fit")
    why = f"an earlier checkpoint of {note.size} records tells another history; up to record {good} both agree"
    return LedgerBroken(good, "forked", why)


def _first_break(chunk: Sequence[bytes], hashes: Sequence[bytes], start: int, prev: str) -> int | None:
    """Position in the chunk of the first record that is not in its place behind its predecessor."""
    vouched = [prev.encode(), *map(hexlify, hashes)]
    for position, entry in enumerate(chunk):
        if not _follows(entry, start + position, vouched[position]):
            return position
    return None


def _follows(entry: bytes, index: int, prev: bytes) -> bool:
    # A search instead of a parse, for speed. Members are sorted, so `index` is never the last one. A nested member of the same spelling does no
    # harm: it would have to hold the right hash, and the signed root is what decides.
    return b'"prev":"' + prev in entry and b'"index":%d,' % index in entry


def _first_unreadable(chunk: Sequence[bytes], start: int) -> LedgerBroken | None:
    for index, entry in enumerate(chunk, start):
        try:
            check_record(entry)
        except BadInputError as bad:
            return LedgerBroken(index, bad.code, bad.message)
    return None


def _explain(index: int, rest: Iterator[bytes], behind: Frontier, newest: Checkpoint) -> LedgerBroken:
    """Name the first bad record after a break at `index`; `rest` begins with that record, `behind` covers the records before `index - 1`."""
    entry = next(rest)
    try:
        record = check_record(entry)
    except BadInputError as bad:
        return LedgerBroken(index, bad.code, bad.message)
    if record.index != index:
        after = next(rest, None)
        if record.index == index - 1 and (after is None or _follows(after, index, hexlify(leaf_hash(entry)))):
            why = f"record {index - 1} was put in: what follows vouches for another"
            return LedgerBroken(index - 1, "bad_index", why)
        return LedgerBroken(
            index, "bad_index", f"here stands record {record.index}: records were dropped, put in or swapped"
        )
    if index == 0:
        return LedgerBroken(0, "edited", "the first record must carry 64 zeros as `prev`")
    # Either the record before was edited, or this one's `prev` was. The tree decides: if the hashes that the records vouch for lead to the signed
    # root, they are right, and the record before is the one that differs.
    if index >= newest.size or _vouched_root(behind, chain([entry], rest), newest.size) == newest.root:
        return LedgerBroken(index - 1, "edited", f"record {index - 1} is not the one that was signed")
    return LedgerBroken(index, "edited", f"record {index} does not carry the hash of record {index - 1}")


def _vouched_root(frontier: Frontier, entries: Iterator[bytes], size: int) -> bytes | None:
    """Root of the tree when each record up to the last is taken as its successor says it was; None when that cannot be told."""
    last: bytes | None = None
    while frontier.size < size - 1:
        last = next(entries, None)
        if last is None:
            return None
        try:
            frontier = frontier.append(bytes.fromhex(check_record(last).prev))
        except BadInputError:
            return None
    return None if last is None else frontier.append(leaf_hash(last)).root()
