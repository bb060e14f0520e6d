"""Minting and reading passes."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.errors import BadInputError
from jittrust.core.grant.passes import MAX_PASS, PassId, mint, read

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
GRANT = "g-7f3a9c"
ALPHABET = string.ascii_letters + string.digits + "-_"

grants = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128)
small = st.integers(0, 2**32 - 1)
seqs = st.integers(0, 2**64 - 1)


@given(grants, small, small, seqs)
def test_a_pass_reads_back_as_what_was_minted(grant: str, generation: int, lane: int, seq: int) -> None:
    text = mint(KEY, generation, grant, lane, seq)

    assert read(KEY, generation, text) == PassId(grant, lane, seq)
    assert text == mint(KEY, generation, grant, lane, seq)
    assert set(text) <= set(ALPHABET)  # all NQCHAR, RFC 9449 §8.1
    assert len(text) <= MAX_PASS


@given(st.tuples(grants, small, seqs), st.tuples(grants, small, seqs))
def test_two_passes_never_share_a_text(one: tuple[str, int, int], two: tuple[str, int, int]) -> None:
    assert (mint(KEY, 1, *one) == mint(KEY, 1, *two)) == (one == two)


def test_a_pass_of_another_key_or_generation_is_none() -> None:
    text = mint(KEY, 2, GRANT, 0, 5)

    assert read(OTHER, 2, text) is None
    assert read(KEY, 1, text) is None
    assert read(KEY, 3, text) is None


def test_every_change_of_one_character_kills_a_pass() -> None:
    text = mint(KEY, 1, GRANT, 3, 9)

    alive = [
        changed
        for at in range(len(text))
        for sign in ALPHABET + "+/=. \n"
        if (changed := text[:at] + sign + text[at + 1 :]) != text and read(KEY, 1, changed) is not None
    ]

    assert alive == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "AAAA",
        "=",
        "====",
        "é" * 60,
        "A" * 46,
        "A" * 257,
        "A" * 100_000,
        " ",
        "\x00" * 46,
        "eyJ.eyJ.sig",
        "{}",
        "\ud800" * 46,
    ],
)
def test_foreign_text_is_none_and_never_an_error(text: str) -> None:
    assert read(KEY, 1, text) is None


def test_other_spellings_of_a_live_pass_are_none() -> None:
    for seq in range(64):  # so that `-` and `_` occur
        text = mint(KEY, 1, GRANT, 0, seq)
        twins = {text + "=", text + "==", " " + text, text + "\n", text.replace("-", "+").replace("_", "/")} - {text}

        assert [twin for twin in twins if read(KEY, 1, twin) is not None] == []


def test_cut_and_grown_passes_are_none() -> None:
    text = mint(KEY, 1, GRANT, 0, 1)

    assert [cut for cut in range(len(text)) if read(KEY, 1, text[:cut]) is not None] == []
    assert read(KEY, 1, text + "AAAA") is None


@given(st.text(max_size=300))
def test_no_guessed_text_is_a_pass(text: str) -> None:
    assert read(KEY, 1, text) is None


@pytest.mark.parametrize(
    ("generation", "grant", "lane", "seq"),
    [
        (-1, GRANT, 0, 0),
        (2**32, GRANT, 0, 0),
        (0, GRANT, -1, 0),
        (0, GRANT, 0, -1),
        (0, GRANT, 0, 2**64),
        (0, "", 0, 0),
        (0, "é", 0, 0),
        (0, "g" * 129, 0, 0),
    ],
)
def test_a_field_out_of_range_is_refused_at_minting(generation: int, grant: str, lane: int, seq: int) -> None:
    with pytest.raises(BadInputError, match="bad_pass_field"):
        mint(KEY, generation, grant, lane, seq)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(BadInputError, match="bad_pass_key"):
        mint(b"short", 1, GRANT, 0, 0)
