"""JOSE attack vectors of Wycheproof (C2SP/wycheproof, Apache-2.0) against the strict JWS and JWK readers.

Two readers: of our own tokens and of key proofs, which take Ed25519 and ES256 only; and of tokens that others make (client assertions, identity
assertions, documents of workloads), which take RSA, ECDSA and Ed25519. Of what a reader takes it must judge every vector as the vector says. A shared
secret and an encrypted token are never taken, whatever a vector says of them.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from jittrust.core.errors import BadInputError
from jittrust.core.grant import jws
from jittrust.core.identity.public_keys import TOKEN_ALGORITHMS, jws_holds
from jittrust.core.identity.svid import read_jws
from jittrust.core.oauth.assertion import _chosen

Unproven = Callable[[str, str], NoReturn]
ROOT = Path(__file__).resolve().parents[2]
VECTORS = Path(os.environ.get("JITTRUST_VECTORS", ROOT.parent / "shared" / "data" / "vectors")) / "wycheproof"
CLAIM = "Wycheproof JOSE vectors"
OURS = ("ES256", "Ed25519", "EdDSA")
# The vectors' own note allows a strict reader to differ on eight; on these four ours does: the key's `alg` is another than the header's.
DIFFERS = {"signature": {346, 347, 350, 351}, "crypto": set[int](), "key": set[int]()}


def vectors(name: str, unproven: Unproven) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    path = VECTORS / f"json_web_{name}_test.json"
    if not path.is_file():
        unproven(CLAIM, "the vectors are not on this machine (set JITTRUST_VECTORS)")
    for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]:
        for vector in group["tests"]:
            yield group, vector


def taken(compact: Any, jwk: Any) -> bool:  # noqa: ANN401 - a vector may be anything
    """Whether our readers take this JWS under this key, the key's own declarations included."""
    if not isinstance(compact, str):
        compact = json.dumps(compact)  # the JSON serialisation, which is not taken in any case
    try:
        parts = jws.split(compact.encode(), 100_000)
        key = jws.import_key(jwk)
    except (jws.MalformedJwsError, UnicodeEncodeError):
        return False
    return parts.header.get("alg") in key.algorithms and key.holds(parts.signed, parts.signature)


def public(group: dict[str, Any]) -> Any:  # noqa: ANN401
    return group.get("public") or {}


def algorithm(compact: Any) -> str:  # noqa: ANN401
    try:
        return str(jws.split(compact.encode(), 100_000).header.get("alg"))
    except (jws.MalformedJwsError, AttributeError):
        return ""


def of_others(compact: Any, keys: list[Any]) -> bool:  # noqa: ANN401
    """Whether the reader of other people's tokens takes this JWS under one of these keys."""
    if not isinstance(compact, str):
        compact = json.dumps(compact)
    try:
        header, _, signature, signed = read_jws(compact, 100_000)
        used = header.get("alg")
        return (
            isinstance(used, str)
            and used in TOKEN_ALGORITHMS
            and jws_holds(_chosen(keys, header.get("kid"), used), used, signed, signature)
        )
    except BadInputError:
        return False


def named_algorithm(compact: Any) -> str:  # noqa: ANN401
    """What a header names, read as carelessly as can be; empty for what has none."""
    try:
        head = str(compact).split(".", 1)[0]
        return str(json.loads(base64.urlsafe_b64decode(head + "=="))["alg"])
    except (ValueError, KeyError, TypeError):
        return ""


@pytest.mark.parametrize(("name", "count"), [("signature", 401), ("crypto", 83), ("key", 26)])
def test_of_the_algorithms_of_others_tokens_every_vector_is_judged_as_it_says(
    name: str, count: int, unproven: Unproven
) -> None:
    seen, wrong, right = 0, [], 0
    for group, vector in vectors(name, unproven):
        compact, given = vector.get("jws") or vector.get("jwe") or "", group.get("public") or group.get("private") or {}
        accepted = of_others(compact, given.get("keys", [given]))
        seen += 1
        right += accepted
        wanted = vector["result"] == "valid" and named_algorithm(compact) in TOKEN_ALGORITHMS
        if accepted != wanted:
            wrong.append(vector["tcId"])

    assert seen == count
    assert set(wrong) == DIFFERS[name]
    assert right >= 1


def test_no_shared_secret_and_no_encrypted_token_is_ever_taken(unproven: Unproven) -> None:
    seen, taken_ones = 0, []
    for name in ("signature", "encryption", "key", "crypto"):
        for group, vector in vectors(name, unproven):
            compact = vector.get("jws") or vector.get("jwe") or ""
            if named_algorithm(compact) in TOKEN_ALGORITHMS:
                continue
            given = group.get("public") or group.get("private") or {}
            seen += 1
            if of_others(compact, given.get("keys", [given])) or taken(compact, given):
                taken_ones.append((name, vector["tcId"]))

    assert seen > 200
    assert taken_ones == []


@pytest.mark.parametrize(("name", "count"), [("signature", 401), ("crypto", 83)])
def test_no_invalid_vector_is_taken_and_every_valid_one_of_our_algorithms_is(
    name: str, count: int, unproven: Unproven
) -> None:
    seen, wrongly_taken, wrongly_refused, right = 0, [], [], 0
    for group, vector in vectors(name, unproven):
        compact = vector.get("jws") or vector.get("jwe") or ""
        seen += 1
        accepted = taken(compact, public(group))
        if accepted and vector["result"] == "invalid":
            wrongly_taken.append(vector["tcId"])
        if not accepted and vector["result"] == "valid" and algorithm(compact) in OURS:
            wrongly_refused.append(vector["tcId"])
        right += accepted

    assert seen == count
    assert wrongly_taken == []
    assert wrongly_refused == []
    assert right >= 1


def test_no_encrypted_token_is_read_as_a_signed_one(unproven: Unproven) -> None:
    read = [vector["tcId"] for group, vector in vectors("encryption", unproven) if taken(vector["jwe"], public(group))]

    assert read == []


def test_no_invalid_key_set_gives_a_key(unproven: Unproven) -> None:
    wrong = []
    for group, vector in vectors("key", unproven):
        keys = (group.get("public") or group.get("private") or {}).get("keys", [])
        accepted = any(taken(vector.get("jws", ""), key) for key in keys)
        if accepted and vector["result"] == "invalid":
            wrong.append(vector["tcId"])

    assert wrong == []


def test_every_cut_and_every_flipped_bit_of_a_valid_vector_is_refused(unproven: Unproven) -> None:
    group, vector = next(
        (group, vector)
        for group, vector in vectors("signature", unproven)
        if vector["result"] == "valid" and taken(vector["jws"], public(group))
    )
    compact, key = vector["jws"], public(group)

    cut = [at for at in range(len(compact)) if taken(compact[:at], key)]
    flipped = [
        (at, bit)
        for at in range(len(compact))
        for bit in range(7)
        if taken(compact[:at] + chr(ord(compact[at]) ^ 1 << bit) + compact[at + 1 :], key)
    ]

    assert cut == []
    assert flipped == []
