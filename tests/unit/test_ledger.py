"""The ledger's pure parts against the vectors of their standards, and what each kind of tampering is called."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

import pytest

from jittrust.core.errors import BadInputError
from jittrust.core.ledger.checkpoint import Checkpoint, LedgerKey, LedgerSigner, open_checkpoint, parse_body
from jittrust.core.ledger.record import FIRST_PREV, Links, RecordKind, canonical, check_record, leaf, link
from jittrust.core.ledger.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    over,
    verify_consistency,
    verify_inclusion,
)
from jittrust.core.ledger.verify import LedgerBroken, LedgerVerified, verify
from jittrust.core.model import Json
from jittrust.core.secret import Secret

SIGNER = LedgerSigner.from_seed("jittrust.test/ledger", bytes(range(32)))
ORIGIN = "jittrust.test/ledger"
LINKS: dict[str, Json] = {
    "prompt": {"mission": "m-1"},
    "intent": {"code": "K.read"},
    "policy": {"entry": "e-1"},
    "grant": {"id": "g-1", "lane": 0, "seq": 0},
    "action": {"method": "tools/call", "resource": "files/read_file"},
}

# RFC 8785 appendix B.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

# The eight leaves and roots that Certificate Transparency implementations share (RFC 6962).
INPUTS = tuple(
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
)
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
FIRST_PATH = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
SIX_TO_EIGHT = (
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
)

# The example of the signed-note format (C2SP signed-note, Go golang.org/x/mod/sumdb/note).
NEUMANN_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_rfc_8785_writes_them(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))

    assert canonical({"n": number}) == f'{{"n":{text}}}'.encode()


def test_members_are_sorted_by_utf_16_code_units_as_in_rfc_8785() -> None:
    members: dict[str, Json] = {"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "ö": 7}

    names = list(json.loads(canonical(members)))

    assert names == ["\r", "1", "\u0080", "ö", "€", "\U0001f600", "\ufb33"]


def test_strings_are_escaped_as_in_rfc_8785() -> None:
    text = '€$\x0f\nA\'B"\\\\"/\b\t\f\r\x7f\u2028'

    assert canonical({"s": text}) == '{"s":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\\b\\t\\f\\r\x7f\u2028"}'.encode()


def test_every_kind_of_json_value_has_one_spelling() -> None:
    value: dict[str, Json] = {"b": [1, [], {}, None, True, False, -0.0, 1.0, ("x",)], "a": {"z": 1e21, "y": "ü"}}

    assert canonical(value) == '{"a":{"y":"ü","z":1e+21},"b":[1,[],{},null,true,false,0,1,["x"]]}'.encode()


@pytest.mark.parametrize(
    "bad",
    [
        float("nan"),
        float("inf"),
        2**53 + 1,
        -(2**53) - 1,
        "\ud800",
        {"\udfff": 1},
        {1: 2},
        b"x",
        {1, 2},
        PurePosixPath(),
    ],
    ids=repr,
)
def test_what_json_cannot_carry_is_refused(bad: Json) -> None:
    with pytest.raises(BadInputError) as caught:
        canonical({"x": [bad]})

    assert caught.value.code == "not_canonical"


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    deep: Json = []
    for _ in range(10_000):
        deep = [deep]

    with pytest.raises(BadInputError):
        canonical({"x": deep})


def test_roots_are_those_of_rfc_6962() -> None:
    frontier = Frontier()
    for count, root in enumerate(ROOTS):
        assert frontier.root().hex() == root
        frontier = frontier.append(leaf_hash(INPUTS[count])) if count < len(INPUTS) else frontier
    assert Frontier().root() == EMPTY_ROOT


def test_proofs_are_those_of_rfc_6962() -> None:
    subtree = over(map(leaf_hash, INPUTS))

    assert tuple(node.hex() for node in inclusion_proof(0, 8, subtree)) == FIRST_PATH
    assert tuple(node.hex() for node in consistency_proof(1, 8, subtree)) == FIRST_PATH
    assert tuple(node.hex() for node in consistency_proof(6, 8, subtree)) == SIX_TO_EIGHT


def test_proofs_of_what_is_not_there_are_refused() -> None:
    subtree = over(map(leaf_hash, INPUTS))
    root = bytes.fromhex(ROOTS[8])

    for index, size in ((8, 8), (-1, 8), (0, 0)):
        with pytest.raises(ValueError, match="no leaf"):
            inclusion_proof(index, size, subtree)
        assert not verify_inclusion(leaf_hash(b""), index, size, (), root)
    for old, size in ((9, 8), (-1, 8)):
        with pytest.raises(ValueError, match="never had"):
            consistency_proof(old, size, subtree)
        assert not verify_consistency(old, root, size, root, ())
    with pytest.raises(ValueError, match="no leaves"):
        subtree(0, 9)
    with pytest.raises(ValueError, match="subtrees"):
        Frontier(3, (root,))


def test_the_signed_note_of_the_specification_verifies() -> None:
    key = LedgerKey.parse(NEUMANN_KEY)

    assert str(key) == NEUMANN_KEY
    for note, code in ((NEUMANN_NOTE, "bad_checkpoint"), (NEUMANN_NOTE.replace("think", "thunk"), "bad_signature")):
        with pytest.raises(BadInputError) as caught:
            open_checkpoint(note, key)
        assert caught.value.code == code, "the signature holds, and the text is no checkpoint"


def test_a_key_of_another_implementation_has_the_id_it_names() -> None:
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

    assert str(LedgerKey.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x+00000000+AAAA",
        NEUMANN_KEY.replace("c74f20a3", "c74f20a4"),
        NEUMANN_KEY.replace("Peter", "Pet er"),
        NEUMANN_KEY[:-1],
    ],
)
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(BadInputError) as caught:
        LedgerKey.parse(text)

    assert caught.value.code == "bad_key"


def test_a_checkpoint_comes_back_as_it_was_signed() -> None:
    checkpoint = Checkpoint(ORIGIN, 17, bytes(range(32)), ("ext 1", "— looks like a signature"))
    note = SIGNER.sign(checkpoint)

    assert open_checkpoint(note, SIGNER.key) == checkpoint
    assert note.splitlines()[:3] == [ORIGIN, "17", base64.b64encode(bytes(range(32))).decode()]
    other = LedgerSigner.from_seed("witness.test", bytes(32))
    cosigned = note + other.sign(checkpoint).rpartition("\n\n")[2]
    assert open_checkpoint(cosigned, SIGNER.key) == open_checkpoint(cosigned, other.key) == checkpoint
    assert "SigningKey" not in repr(SIGNER)


ROOT_TEXT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "o\n1\n",
        f"o\n01\n{ROOT_TEXT}\n",
        f"o\n-1\n{ROOT_TEXT}\n",
        f"o\n1 \n{ROOT_TEXT}\n",
        f"o\n1\n{ROOT_TEXT[:-1]}\n",
        f"o\n1\n{ROOT_TEXT}",
        f"\n1\n{ROOT_TEXT}\n",
        f"o\n1\n{ROOT_TEXT}\n\n",
        f"o\n1\n{ROOT_TEXT}\nx\ty\n",
        f"o\r\n1\n{ROOT_TEXT}\n",
        f"o\ud800\n1\n{ROOT_TEXT}\n",
        f"o\n1\n{ROOT_TEXT[:-2]}B=\n",
        f"o\n{10**20}\n{ROOT_TEXT}\n",
    ],
    ids=repr,
)
def test_a_checkpoint_is_read_strictly(body: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_body(body)

    assert caught.value.code == "bad_checkpoint"


def test_a_signed_note_is_read_strictly() -> None:
    note = SIGNER.sign(Checkpoint(ORIGIN, 1, bytes(32)))
    text, _, signature = note.rpartition("\n\n")
    cases = {
        note[:-1]: "bad_checkpoint",
        text: "bad_checkpoint",
        note + signature: "bad_checkpoint",  # twice by one key
        note + "x\n": "bad_checkpoint",
        note + "- x AAAAAAAA\n": "bad_checkpoint",
        note + "— x AAA\n": "bad_checkpoint",
        note + "— x AAAAAAAA\n" * 20: "bad_checkpoint",
        note + "x" * 70_000: "bad_checkpoint",
        note.replace("\n1\n", "\n2\n"): "bad_signature",
        note.replace(signature, "— other AAAAAAAA\n"): "bad_signature",
        note.replace(ORIGIN + "\n", "\ud800\n"): "bad_signature",
    }
    for bad, code in cases.items():
        with pytest.raises(BadInputError) as caught:
            open_checkpoint(bad, SIGNER.key)
        assert caught.value.code == code, bad

    for origin in ("", "a\nb", "a\tb"):
        with pytest.raises(BadInputError):
            SIGNER.sign(Checkpoint(origin, 1, bytes(32)))
    with pytest.raises(BadInputError):
        LedgerSigner.from_seed("x", bytes(31))
    with pytest.raises(BadInputError):
        LedgerKey("x", bytes(31))


def test_a_record_is_read_back_with_its_five_links() -> None:
    entry = leaf({"kind": "use", **LINKS, "trust": 61.5}, 0, FIRST_PREV)

    read = check_record(entry)

    assert read.links == Links(**LINKS)  # type: ignore[arg-type]
    assert (read.index, read.prev, read.kind) == (0, FIRST_PREV, RecordKind.USE)
    assert read.body == {"kind": "use", **LINKS, "trust": 61.5}
    assert link(entry) == leaf_hash(entry).hex()


@pytest.mark.parametrize("name", list(LINKS))
def test_a_record_of_an_action_lacks_no_link(name: str) -> None:
    links = {other: value for other, value in LINKS.items() if other != name}

    bodies: tuple[dict[str, Json], ...] = (
        {"kind": "use", **links},
        {"kind": "refusal", **links, name: "text"},
    )
    for body in bodies:
        with pytest.raises(BadInputError) as caught:
            check_record(leaf(body, 0, FIRST_PREV))
        assert caught.value.code == "missing_link"
    assert check_record(leaf({"kind": "outcome"}, 0, FIRST_PREV)).links is None


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"index":0, "kind":"broker"}',
        b'{"index":0,"index":0,"kind":"broker"}',
        b'{"index":-1,"kind":"broker","prev":"' + b"0" * 64 + b'"}',
        b'{"index":true,"kind":"broker","prev":"' + b"0" * 64 + b'"}',
        b'{"index":0,"kind":"broker","prev":"0"}',
        b'{"index":0,"kind":"Bad Kind","prev":"' + b"0" * 64 + b'"}',
        b'{"index":0,"prev":"' + b"0" * 64 + b'"}',
    ],
    ids=lambda entry: repr(entry[:40]),
)
def test_what_is_no_record_is_refused(entry: bytes) -> None:
    with pytest.raises(BadInputError) as caught:
        check_record(entry)

    assert caught.value.code == "bad_record"


@pytest.mark.parametrize(
    "body", [{}, {"kind": 1}, {"kind": "A b"}, {"kind": "x", "prev": "y"}, {"kind": "x", "index": 1}], ids=repr
)
def test_the_ledger_gives_the_place_and_the_writer_the_kind(body: Mapping[str, Json]) -> None:
    with pytest.raises(BadInputError) as caught:
        leaf(body, 0, FIRST_PREV)

    assert caught.value.code == "bad_record"


def test_a_secret_is_never_printed_or_pickled() -> None:
    secret = Secret(b"swordfish")

    assert "swordfish" not in f"{secret} {secret!r} {[secret]}"
    assert secret == Secret(b"swordfish")
    assert secret != Secret(b"other")
    assert secret != b"swordfish"
    assert secret.reveal() == b"swordfish"
    with pytest.raises(TypeError):
        secret.__reduce__()
    with pytest.raises(TypeError):
        hash(secret)


SIZE = 40


def chained(bodies: list[dict[str, Json]]) -> list[bytes]:
    leaves: list[bytes] = []
    prev = FIRST_PREV
    for index, body in enumerate(bodies):
        leaves.append(leaf(body, index, prev))
        prev = link(leaves[-1])
    return leaves


def signed(leaves: list[bytes]) -> str:
    frontier = Frontier().extend([leaf_hash(entry) for entry in leaves])
    return SIGNER.sign(Checkpoint(ORIGIN, frontier.size, frontier.root()))


BODIES: list[dict[str, Json]] = [{"kind": "use", **LINKS, "n": n} for n in range(SIZE)]
LEAVES = chained(BODIES)
NEWEST = signed(LEAVES)
EACH = [signed(LEAVES[:size]) for size in range(1, SIZE)]


def edited(at: int) -> list[bytes]:
    return [entry.replace(b"K.read", b"K.quit") if n == at else entry for n, entry in enumerate(LEAVES)]


def rechained(at: int) -> list[bytes]:
    return chained([{**body, "n": 999} if n == at else body for n, body in enumerate(BODIES)])


def with_other_prev(entry: bytes) -> bytes:
    return re.sub(rb'"prev":"(.)', lambda found: b'"prev":"' + (b"e" if found[1] == b"f" else b"f"), entry)


def prev_edited(at: int) -> list[bytes]:
    return [with_other_prev(entry) if n == at else entry for n, entry in enumerate(LEAVES)]


def forged(at: int) -> list[bytes]:
    new = leaf({"kind": "use", **LINKS, "n": 999}, at, link(LEAVES[at - 1]) if at else FIRST_PREV)
    return [*LEAVES[:at], new, *LEAVES[at:]]


def test_an_untouched_ledger_verifies_against_every_checkpoint() -> None:
    assert verify(iter(LEAVES), NEWEST, SIGNER.key, EACH, whole=True) == LedgerVerified(
        SIZE, open_checkpoint(NEWEST, SIGNER.key).root, SIZE - 1
    )
    assert isinstance(verify([], signed([]), SIGNER.key), LedgerVerified)


@pytest.mark.parametrize("at", range(SIZE))
def test_every_edit_drop_swap_insertion_and_cut_is_found_and_named(at: int) -> None:
    last = at == SIZE - 1
    # Nobody vouches for the last record but the checkpoint: without an earlier one, all that can be said is "somewhere".
    assert broken(edited(at)) == ((0, "rewritten") if last else (at, "edited"))
    assert broken(edited(at), EACH)[0] == at
    assert broken(prev_edited(at))[0] == at
    assert broken([*LEAVES[:at], *LEAVES[at + 1 :]]) == (at, "truncated" if last else "bad_index")
    assert broken([*LEAVES[:at], LEAVES[at], LEAVES[at], *LEAVES[at + 1 :]])[0] in {at, at + 1}
    assert broken(forged(at)) == (at, "bad_index")
    assert broken([*LEAVES[:at], b"{}", *LEAVES[at + 1 :]]) == (at, "bad_record")
    assert broken(LEAVES[:at]) == (at, "truncated")
    assert broken(rechained(at)) == (0, "rewritten")
    assert broken(rechained(at), EACH)[0] == at
    if not last:
        swapped = [*LEAVES[:at], LEAVES[at + 1], LEAVES[at], *LEAVES[at + 2 :]]
        assert broken(swapped) == (at, "bad_index")


def broken(leaves: list[bytes], earlier: list[str] | None = None) -> tuple[int | None, str]:
    found = verify(iter(leaves), NEWEST, SIGNER.key, earlier or ())
    assert isinstance(found, LedgerBroken), found
    assert found.why
    return found.index, found.code


def test_records_behind_the_checkpoint_are_named() -> None:
    assert broken(chained([*BODIES, {"kind": "broker"}])) == (SIZE, "unsigned_tail")


def test_a_history_that_was_rewritten_and_signed_anew_is_found_by_an_earlier_checkpoint() -> None:
    rewritten = rechained(7)

    found = verify(rewritten, signed(rewritten), SIGNER.key, [EACH[4], EACH[20]])

    assert isinstance(found, LedgerBroken)
    assert (found.index, found.code) == (5, "forked")


def test_a_tail_that_was_cut_and_signed_anew_is_found_by_a_later_checkpoint() -> None:
    for leaves in (LEAVES[:30], LEAVES):
        found = verify(leaves, EACH[29], SIGNER.key, [NEWEST])

        assert isinstance(found, LedgerBroken)
        assert (found.index, found.code) == (30, "truncated")


def test_a_checkpoint_of_another_key_or_another_ledger_proves_nothing() -> None:
    stranger = LedgerSigner.from_seed(SIGNER.key.name, bytes(32))
    forged_note = stranger.sign(open_checkpoint(NEWEST, SIGNER.key))
    other = SIGNER.sign(Checkpoint("other", 3, bytes(32)))

    for checkpoint, earlier, code in (
        (forged_note, [], "bad_signature"),
        (NEWEST, [forged_note], "bad_signature"),
        (NEWEST, [other], "bad_checkpoint"),
        ("garbage", [], "bad_checkpoint"),
    ):
        found = verify(LEAVES, checkpoint, SIGNER.key, earlier)
        assert isinstance(found, LedgerBroken)
        assert (found.index, found.code) == (None, code)


def test_a_record_without_its_links_is_found_when_every_record_is_read_whole() -> None:
    leaves = chained([{"kind": "outcome"}, {"kind": "use"}])

    assert isinstance(verify(leaves, signed(leaves), SIGNER.key), LedgerVerified)
    found = verify(leaves, signed(leaves), SIGNER.key, whole=True)
    assert isinstance(found, LedgerBroken)
    assert (found.index, found.code) == (1, "missing_link")


@pytest.mark.parametrize("tamper", [edited, prev_edited], ids=["edited", "prev edited"])
def test_an_edit_is_named_across_the_chunks_of_a_long_ledger(tamper: Callable[[int], list[bytes]]) -> None:
    long = chained([{"kind": "use", **LINKS, "n": n} for n in range(9000)])
    checkpoint = signed(long)
    for at in (0, 4094, 4095, 4096, 4097, 8191, 8192, 8998):

        def tampered(at: int = at) -> Iterator[bytes]:
            for n, entry in enumerate(long):
                changed = entry.replace(b"K.read", b"K.quit") if tamper is edited else with_other_prev(entry)
                yield changed if n == at else entry

        found = verify(tampered(), checkpoint, SIGNER.key)
        assert isinstance(found, LedgerBroken)
        assert (found.index, found.code) == (at, "edited")
