"""Signed statements that clients bring: which key, which kind, and that each is taken once (RFC 7521, RFC 7523, RFC 8725)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from jittrust.core.errors import BadInputError
from jittrust.core.grant import jws
from jittrust.core.identity.public_keys import ED25519_ALGORITHMS, TOKEN_ALGORITHMS, PublicKey, from_jwk, jws_holds
from jittrust.core.identity.svid import LATEST, LEEWAY_SECONDS, read_jws
from jittrust.core.model import Json
from jittrust.core.units import Instant

MAX_ASSERTION = 16 * 1024
MAX_KEYS = 100
_LONGEST_LIFE = 24 * 3600.0
_HEADERS = frozenset(("alg", "kid", "typ"))
_KEY_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
_JTI = re.compile(r"[\x21-\x7e]{1,256}\Z")


def peek(token: str) -> tuple[Mapping[str, Json], Mapping[str, Json]]:
    """Header and claims as they stand there, nothing verified: only to find out whose key has to be asked.

    Raises:
        BadInputError: it is no compact JWS under the strict reader.
    """
    header, payload, _, _ = read_jws(token, MAX_ASSERTION)
    return header, jws.json_object(payload, "jws_claims")


def signed_by(token: str, keys: Sequence[Json], types: frozenset[str], *, untyped: bool = False) -> Mapping[str, Json]:
    """The claims of a JWT that one of these keys signed; who says so, and to whom, is the caller's to check.

    Args:
        token: compact JWS of at most 16 KiB; its header has `alg`, `kid` and `typ` and nothing else.
        keys: JWKs of whoever should have signed. Exactly one must fit: by `kid` where the header has one, else the only one of its kind.
        types: which `typ` it may be, in lower case.
        untyped: whether it may have none.

    Raises:
        BadInputError: a code of `core.grant.jws`, `key_bad` or `assertion_bad`.
    """
    header, payload, signature, signed = read_jws(token, MAX_ASSERTION)
    if not _HEADERS.issuperset(header):
        raise refused("its header has members that are not taken")
    kind = header.get("typ")
    if not (kind is None and untyped) and not (isinstance(kind, str) and kind.lower() in types):
        raise refused("it is another kind of token")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in TOKEN_ALGORITHMS:
        raise refused("its algorithm is not taken")
    if not jws_holds(_chosen(keys, header.get("kid"), algorithm), algorithm, signed, signature):
        raise refused("its signature does not hold")
    return jws.json_object(payload, "jws_claims")


def check_once(claims: Mapping[str, Json], now: Instant, longest: float) -> tuple[str, Instant, Instant]:
    """Its `jti`, its `iat`, and until when it is taken, if it holds now and may be taken, once.

    Libraries in wide use give an assertion an hour. What counts here is when it was made: it is taken for `longest` seconds from then, or until its
    `exp` where that is sooner, and must be remembered no longer.

    Args:
        claims: `jti`, `iat` and `exp` are required; `nbf` counts where it is there.
        now: `exp` lies after it without leeway, at most a day after `iat`; `iat` and `nbf` lie at most 60 s ahead.
        longest: how long it is taken, in seconds from `iat`.

    Raises:
        BadInputError: code `assertion_bad`.
    """
    jti = claims.get("jti")
    if not isinstance(jti, str) or not _JTI.match(jti):
        raise refused("it has no jti of 1 to 256 visible characters")
    expires, issued = _moment(claims, "exp"), _moment(claims, "iat")
    begins = _moment(claims, "nbf") if "nbf" in claims else issued
    if expires <= issued or expires - issued > _LONGEST_LIFE:
        raise refused("it lives for more than a day, or not at all")
    if max(issued, begins) > now + LEEWAY_SECONDS:
        raise refused("it has not begun")
    until = min(expires, issued + longest)
    if until <= now:
        raise refused("it is over")
    return jti, Instant(issued), Instant(until)


def audience_in(claims: Mapping[str, Json], wanted: Sequence[str]) -> None:
    """Refuse a statement that is for somebody else, or for somebody else too: whoever else it is for could show it here.

    Raises:
        BadInputError: code `assertion_bad`.
    """
    named = claims.get("aud")
    listed = [named] if isinstance(named, str) else named
    if not isinstance(listed, list) or not listed or not all(one in wanted for one in listed):
        raise refused("it is for somebody else")


def refused(why: str) -> BadInputError:
    """What is wrong with a statement."""
    return BadInputError("assertion_bad", f"The assertion is not taken: {why}.", "Make a new one for this server.")


def _moment(claims: Mapping[str, Json], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise refused(f"{name} is no time")
    return float(value)


def _chosen(keys: Sequence[Json], kid: Json, algorithm: str) -> PublicKey:
    if kid is not None and (not isinstance(kid, str) or not kid):
        raise refused("its kid is no text")
    fitting = [
        one
        for one in keys[:MAX_KEYS]
        if isinstance(one, Mapping)
        and (kid is None or one.get("kid") == kid)
        and one.get("kty") == _KEY_KINDS.get(algorithm[:2], "OKP")
        and one.get("use", "sig") == "sig"
        and _same(one.get("alg"), algorithm)
        and _verifies(one.get("key_ops"))
    ]
    if len(fitting) != 1:
        raise refused("it does not choose one of its maker's keys")
    return from_jwk(fitting[0])


def _same(named: Json, algorithm: str) -> bool:
    return named is None or named == algorithm or (isinstance(named, str) and {named, algorithm} == ED25519_ALGORITHMS)


def _verifies(operations: Json) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)
