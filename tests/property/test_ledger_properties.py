"""Laws of the ledger's tree and spelling, against slow and obvious versions of both."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.ledger.record import canonical
from jittrust.core.ledger.tree import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    over,
    verify_consistency,
    verify_inclusion,
)
from jittrust.core.model import Json


def obvious_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + obvious_root(leaves[:k]) + obvious_root(leaves[k:])).digest()


def hashes(size: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % n).digest() for n in range(size)]


sizes = st.integers(0, 130)


@given(sizes, st.lists(st.integers(0, 40), max_size=6))
def test_a_frontier_has_the_obvious_root_however_it_grew(start: int, steps: list[int]) -> None:
    leaves = hashes(start + sum(steps))
    frontier = Frontier()
    for leaf in leaves[:start]:
        frontier = frontier.append(leaf)
    for step in steps:
        frontier = frontier.extend(leaves[frontier.size : frontier.size + step])

    assert frontier.size == len(leaves)
    assert frontier.root() == obvious_root(leaves)


@given(st.integers(1, 130), st.data())
def test_every_leaf_can_be_shown_and_nothing_else_can(size: int, data: st.DataObject) -> None:
    leaves = hashes(size)
    root, index = obvious_root(leaves), data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, over(leaves))

    assert verify_inclusion(leaves[index], index, size, proof, root)
    assert not verify_inclusion(hashes(size + 1)[-1], index, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, (*proof, root), root)
    if proof:
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], root)
        other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
        assert not verify_inclusion(leaves[index], other, size, proof, root)


@given(sizes, st.data())
def test_every_beginning_can_be_shown_and_no_other_history_can(size: int, data: st.DataObject) -> None:
    leaves = hashes(size)
    old = data.draw(st.integers(0, size))
    before, root = obvious_root(leaves[:old]), obvious_root(leaves)
    proof = consistency_proof(old, size, over(leaves))

    assert verify_consistency(old, before, size, root, proof)
    assert not verify_consistency(old, before, size, root, (*proof, root))
    if 0 < old < size:
        forked = obvious_root([*leaves[: old - 1], bytes(32)])
        assert not verify_consistency(old, forked, size, root, proof)
        assert not verify_consistency(old, before, size, obvious_root([bytes(32), *leaves[1:]]), proof)
        assert not verify_consistency(old, before, size, root, proof[:-1])
        assert not verify_consistency(old, before, size, root, ())


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, max_size=5), st.randoms())
def test_canonical_json_reads_back_equal_and_has_one_spelling(body: dict[str, Json], order: random.Random) -> None:
    names = list(body)
    order.shuffle(names)

    written = canonical(body)

    assert json.loads(written, parse_int=float) == body
    assert canonical(json.loads(written)) == written
    assert canonical({name: body[name] for name in names}) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_every_bit_but_the_sign_of_zero(number: float) -> None:
    read = float(json.loads(canonical({"n": number}))["n"])

    assert read == number
