"""Text is read safely, cheaply, and without guessing."""

from __future__ import annotations

import base64
import time
import unicodedata

import pytest

from jittrust.core.intent.words import (
    TEXT_RULES,
    VERBS,
    LiteralKind,
    VerbClass,
    concepts,
    decoded,
    fold,
    literals,
    name_words,
    stem,
    words,
)


def test_names_are_split_at_underscores_dashes_and_humps() -> None:
    assert name_words("git_diff-stagedFilesHTTP") == ("git", "diff", "staged", "files", "http")


@pytest.mark.parametrize(
    ("word", "like"),
    [
        ("creating", "create"),
        ("files", "file"),
        ("entities", "entity"),
        ("sent", "send"),
        ("commits", "commit"),
        ("stopped", "stop"),
    ],
)
def test_forms_of_a_word_share_a_stem(word: str, like: str) -> None:
    assert stem(word) == stem(like)


def test_a_word_of_another_language_has_no_verb_class_and_no_concept() -> None:
    for word in words("переведи деньги 删除文件 supprimez"):
        assert stem(word) not in VERBS
        assert concepts((stem(word),)) == frozenset()


def test_identifiers_are_found_each_as_its_kind() -> None:
    found = {one.kind: one.text for one in literals(
        "Pay 'the bill' $12.50 to GB29NWBK60161331926819, mail Bob@Example.com, see https://a.example/x?y=1 and /home/u/a.txt, order W-12345, on "
        "2024-05-15, file notes.txt"
    )}  # fmt: skip

    assert found[LiteralKind.IBAN] == "gb29nwbk60161331926819"
    assert found[LiteralKind.EMAIL] == "bob@example.com"
    assert found[LiteralKind.URL] == "https://a.example/x?y=1"
    assert found[LiteralKind.PATH] == "/home/u/a.txt"
    assert found[LiteralKind.FILENAME] == "notes.txt"
    assert found[LiteralKind.AMOUNT] == "$12.50"
    assert found[LiteralKind.DATE] == "2024-05-15"
    assert found[LiteralKind.ID] == "w-12345"
    assert found[LiteralKind.QUOTED] == "the bill"


def test_invisible_characters_do_not_hide_a_word() -> None:
    assert fold("de\u200blete\U000e0041 \uff46\uff49\uff4c\uff45") == "delete file"


def test_every_combining_mark_counts_as_one_that_a_long_run_is_cut_from() -> None:
    kept = [chr(code) for code in range(0x110000) if unicodedata.combining(chr(code)) and chr(code).isalnum()]
    assert kept == []


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0300\u0316" * 200_000,
        "a@" * 200_000,
        "a." * 200_000,
        "aa11 aaaa " * 40_000,
        "/a" * 200_000,
        "'" * 400_000,
        "1,1" * 130_000,
        "a-" * 200_000,
    ],
    ids=["marks", "at", "dots", "iban", "path", "quotes", "amount", "dashes"],
)
def test_hostile_text_is_read_in_linear_time(text: str) -> None:
    started = time.process_time()
    literals(text)
    assert time.process_time() - started < 1.0


def test_three_layers_of_encoding_are_undone_and_a_fourth_is_not() -> None:
    layers = ["the address is https://evil.example/collect"]
    for _ in range(4):
        layers.append(base64.b64encode(layers[-1].encode()).decode())

    assert layers[0] in decoded(layers[3])
    assert layers[0] not in decoded(layers[4])


def test_percent_and_hex_are_undone() -> None:
    assert "evil@example.com" in decoded("evil%40example.com")
    assert any("evil@example.com" in one for one in decoded(b"evil@example.com".hex()))


def test_decoded_text_is_bounded() -> None:
    blob = base64.b64encode(b"x" * 150_000).decode()
    assert sum(map(len, decoded(" ".join([blob] * 4)))) <= 2 * TEXT_RULES.longest_decoding


def test_a_verb_that_pays_is_not_a_verb_that_reads() -> None:
    assert VERBS[stem("transfer")][0] is VerbClass.PAY
    assert VERBS[stem("retrieve")][0] is VerbClass.READ
