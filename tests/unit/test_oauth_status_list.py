"""Token Status Lists: places that tell nothing, and lists that are read strictly."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.grant import jws
from jittrust.core.grant.claims import InvalidTokenError, mint_body
from jittrust.core.grant.proof import Ed25519Signer
from jittrust.core.model import Json
from jittrust.core.oauth.status_list import LIST_SIZE, TokenStanding, mint_list, number_at, place, read_list
from jittrust.core.units import Instant

KEY = bytes(range(32))
SIGNER = Ed25519Signer.from_secret(KEY)
KEYS = {"k1": bytes(SIGNER.key.verify_key)}
ISSUER = "https://broker.example"
URI = f"{ISSUER}/oauth/status/0"
NOW = Instant(1_700_000_000)


def test_every_grant_of_a_list_has_a_place_of_its_own_in_it() -> None:
    assert {place(number, KEY) for number in range(LIST_SIZE)} == set(range(LIST_SIZE))


@given(st.integers(0, 2**40), st.binary(min_size=32, max_size=64))
def test_a_place_is_in_the_list_of_its_number_and_can_be_undone_with_the_key(number: int, key: bytes) -> None:
    at = place(number, key)

    assert at // LIST_SIZE == number // LIST_SIZE
    assert number_at(at, key) == number


def test_places_do_not_tell_the_order_of_issuance() -> None:
    first = [place(number, KEY) for number in range(1000)]
    other_key = [place(number, bytes(32)) for number in range(1000)]
    other_list = [place(number + LIST_SIZE, KEY) - LIST_SIZE for number in range(1000)]

    rises = sum(one < two for one, two in itertools.pairwise(first))
    assert 420 < rises < 580
    assert sum(one == two for one, two in zip(first, other_key, strict=True)) < 5
    assert sum(one == two for one, two in zip(first, other_list, strict=True)) < 5


@given(st.dictionaries(st.integers(0, LIST_SIZE - 1), st.sampled_from(TokenStanding), max_size=50))
def test_a_list_reads_back_as_what_was_signed(standings: dict[int, TokenStanding]) -> None:
    token = mint_list(URI, ISSUER, standings, NOW, "k1", SIGNER.sign)
    found = read_list(token.encode(), KEYS, URI, ISSUER, NOW)

    assert all(found.at(at) is standing for at, standing in standings.items())
    free = next(at for at in range(100) if at not in standings)
    assert found.at(free) is TokenStanding.VALID
    assert found.at(LIST_SIZE) is found.at(-1) is TokenStanding.ENDED


def listed(**change: Json) -> bytes:
    body: dict[str, Json] = {
        "iss": ISSUER,
        "sub": URI,
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "ttl": 15,
        "status_list": {"bits": 2, "lst": jws.encode(zlib.compress(bytes(16))).decode()},
    }
    return mint_body({**body, **change}, "statuslist+jwt", "k1", SIGNER.sign).encode()


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"iss": "https://other.example"}, "wrong_issuer"),
        ({"sub": f"{ISSUER}/oauth/status/1"}, "wrong_audience"),
        ({"exp": int(NOW)}, "expired"),
        ({"iat": int(NOW) + 60}, "from_the_future"),
        ({"exp": 1e300}, "bad_claims"),
        ({"ttl": -1}, "bad_claims"),
        ({"status_list": None}, "bad_claims"),
        ({"status_list": {"bits": 1, "lst": "eJwDAAAAAAE"}}, "bad_claims"),
        ({"status_list": {"bits": 2}}, "bad_claims"),
        ({"status_list": {"bits": 2, "lst": "!!"}}, "bad_claims"),
        ({"status_list": {"bits": 2, "lst": "AAAA"}}, "bad_claims"),
        ({"status_list": {"bits": 2, "lst": jws.encode(zlib.compress(bytes(9))[:-2]).decode()}}, "bad_claims"),
        ({"status_list": {"bits": 2, "lst": jws.encode(zlib.compress(bytes(9)) + b"x").decode()}}, "bad_claims"),
        ({"status_list": {"bits": 2, "lst": jws.encode(zlib.compress(bytes(2**21), 9)).decode()}}, "bad_claims"),
    ],
)
def test_a_list_of_another_shape_is_refused_and_a_bomb_is_not_unpacked(change: dict[str, Json], detail: str) -> None:
    assert read_list(listed(), KEYS, URI, ISSUER, NOW).at(3) is TokenStanding.VALID
    with pytest.raises(InvalidTokenError) as refused:
        read_list(listed(**change), KEYS, URI, ISSUER, NOW)

    assert refused.value.detail == detail


def test_a_value_that_nobody_uses_counts_as_ended() -> None:
    packed = jws.encode(zlib.compress(b"\xff")).decode()

    found = read_list(listed(status_list={"bits": 2, "lst": packed}), KEYS, URI, ISSUER, NOW)

    assert found.at(0) is TokenStanding.ENDED
