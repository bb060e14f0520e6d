"""Merkle tree of RFC 6962 §2.1 (RFC 9162 §2.1): roots, proofs, and a frontier that grows without the leaves.

Everything works on hashes; who keeps the leaves is somebody else's matter. SHA-256 throughout, a hash is 32 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Subtrees: TypeAlias = Callable[[int, int], bytes]
"""Gives MTH(D[begin:end]), the root over the leaves begin <= i < end (RFC 6962 §2.1)."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry): the hash of a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right): the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that is needed to append: the roots of the perfect subtrees that make up the tree, largest first.

    `size` is the number of leaves; `nodes` has as many hashes as `size` has one-bits. Appending and the root cost O(log size).
    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.nodes) != self.size.bit_count():
            raise ValueError(
                f"a tree of {self.size} leaves has {self.size.bit_count()} subtrees, not {len(self.nodes)}"
            )

    def append(self, leaf: bytes) -> Frontier:
        """The frontier with one leaf hash more."""
        nodes = list(self.nodes)
        size = self.size
        while size & 1:
            leaf = node_hash(nodes.pop(), leaf)
            size >>= 1
        nodes.append(leaf)
        return Frontier(self.size + 1, tuple(nodes))

    def extend(self, leaves: Sequence[bytes]) -> Frontier:
        """The frontier with more leaf hashes. Whole levels are hashed at once, which is about twice as fast as one by one."""
        done = self
        start, total = 0, len(leaves)
        while start < total:
            # The largest perfect subtree that may stand at this place.
            room = (total - start).bit_length() - 1
            level = room if done.size == 0 else min((done.size & -done.size).bit_length() - 1, room)
            row = leaves[start : start + (1 << level)]
            for _ in range(level):
                row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
            done = done._graft(row[0], level)
            start += 1 << level
        return done

    def _graft(self, subtree: bytes, level: int) -> Frontier:
        nodes = list(self.nodes)
        size = self.size >> level
        while size & 1:
            subtree = node_hash(nodes.pop(), subtree)
            size >>= 1
        nodes.append(subtree)
        return Frontier(self.size + (1 << level), tuple(nodes))

    def root(self) -> bytes:
        """MTH over all leaves; `EMPTY_ROOT` for an empty tree."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root


def over(leaves: Iterable[bytes]) -> Subtrees:
    """Subtree roots over leaf hashes held in memory; perfect subtrees are kept, so many proofs over one tree are cheap."""
    rows: list[list[bytes]] = [list(leaves)]
    while len(rows[-1]) > 1:
        row = rows[-1]
        rows.append([node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)])

    def subtree(begin: int, end: int) -> bytes:
        count = end - begin
        if not 0 <= begin < end <= len(rows[0]):
            raise ValueError(f"no leaves {begin}..{end} in a tree of {len(rows[0])}")
        level = count.bit_length() - 1
        if count == 1 << level and begin % count == 0:
            return rows[level][begin >> level]
        middle = begin + _split(count)
        return node_hash(subtree(begin, middle), subtree(middle, end))

    return subtree


def inclusion_proof(index: int, size: int, subtree: Subtrees) -> tuple[bytes, ...]:
    """Audit path of leaf `index` in the tree of the first `size` leaves (RFC 6962 §2.1.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(begin, middle))
            begin = middle
    return tuple(reversed(path))


def consistency_proof(old: int, size: int, subtree: Subtrees) -> tuple[bytes, ...]:
    """Proof that the tree of `old` leaves is the beginning of the tree of `size` leaves (RFC 6962 §2.1.2).

    Empty when `old` is 0 or equals `size`: there is nothing to prove.

    Raises:
        ValueError: `old` is negative or larger than `size`.
    """
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} leaves never had {old}")
    if old in {0, size}:
        return ()
    path: list[bytes] = []
    begin, end, whole = 0, size, True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(begin, middle))
            begin = middle
            whole = False
    if not whole:
        path.append(subtree(begin, end))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows leaf hash `leaf` at `index` under `root` (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    first, last, found = index, size - 1, leaf
    for node in proof:
        if last == 0:
            return False
        if first & 1 or first == last:
            found = node_hash(node, found)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            found = node_hash(found, node)
        first, last = first >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree (`old`, `old_root`) is the beginning of (`size`, `root`) (RFC 9162 §2.1.4.2)."""
    if not 0 <= old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    first, last = old - 1, size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            before, after = node_hash(node, before), node_hash(node, after)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            after = node_hash(after, node)
        first, last = first >> 1, last >> 1
    return last == 0 and before == old_root and after == root


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (count >= 2)."""
    return 1 << ((count - 1).bit_length() - 1)
