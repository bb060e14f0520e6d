"""Transaction tokens (draft-ietf-oauth-transaction-tokens-10): one unit of work and its stated intent, down a call chain inside a trust domain.

The unit of work is the mission (`txn`), whoever is accountable stays `sub`, and what was asked for at the edge is fixed in `tctx`: the digest of the
stated goal, its taxonomy code, and what the first workload added. A transaction token is no credential: who shows it must still say who it is.
All names of the draft stand in this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from jittrust.core.errors import BadInputError
from jittrust.core.grant import wire
from jittrust.core.grant.claims import MAX_TEXT, InvalidTokenError, mint_body, second, signed_body, text
from jittrust.core.model import Json
from jittrust.core.oauth.error import OAuthError
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Instant, Seconds

TRANSACTION_TYP = "txntoken+jwt"
TRANSACTION_TYPE = "urn:ietf:params:oauth:token-type:txn_token"
"""`requested_token_type`, `issued_token_type`, and the `subject_token_type` of one that is replaced."""
HEADER = "Txn-Token"
LIFE = Seconds(60)
"""Longest life: about that of one request."""
MOST_BYTES = 8192
_MOST_CONTEXT_BYTES = 2048
_MOST_SCOPE = 512
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3


@dataclass(frozen=True, slots=True)
class TransactionClaims:
    """What a transaction token says.

    Attributes:
        issuer: URL of the broker (`iss`).
        audience: name of the trust domain (`aud`), never a single workload.
        transaction: the unit of work (`txn`): the mission.
        subject: the accountable person (`sub`).
        scope: what it is for, as narrow as possible: tools, `server/name`, and the intent code; never empty.
        workload: who asked for this token (`req_wl`); of a replacement, who asked for that.
        context: what was asked for at the edge (`tctx`); never changes.
        environment: how it came in (`rctx`); never changes.
        issued, expires: whole seconds since 1970.
    """

    issuer: str
    audience: str
    transaction: str
    subject: str
    scope: tuple[str, ...]
    workload: str
    context: Mapping[str, Json]
    issued: int
    expires: int
    environment: Mapping[str, Json] = field(default_factory=dict)

    @property
    def grant(self) -> str:
        """The grant that stands behind the transaction."""
        grant = self.context.get(wire.GRANT)
        return grant if isinstance(grant, str) else ""


def mint_transaction(claims: TransactionClaims, kid: str, sign: Callable[[bytes], bytes]) -> str:
    """Sign a transaction token. `kid` and `sign` as `claims.mint`."""
    body: dict[str, Json] = {
        "iss": claims.issuer,
        "aud": claims.audience,
        "txn": claims.transaction,
        "sub": claims.subject,
        "scope": " ".join(claims.scope),
        "req_wl": claims.workload,
        "tctx": claims.context,
        "iat": claims.issued,
        "exp": claims.expires,
    }
    if claims.environment:
        body["rctx"] = claims.environment
    return mint_body(body, TRANSACTION_TYP, kid, sign)


def read_transaction(
    token: bytes, keys: Mapping[str, bytes], issuer: str, trust_domain: str, now: Instant
) -> TransactionClaims:
    """Read a transaction token of this trust domain.

    Raises:
        InvalidTokenError: as `claims.verify`.
    """
    body = signed_body(token, keys, MOST_BYTES, TRANSACTION_TYP)
    issued, expires = second(body, "iat"), second(body, "exp")
    context, environment = body.get("tctx"), body.get("rctx", {})
    if not isinstance(context, Mapping) or not isinstance(environment, Mapping) or expires <= issued:
        raise InvalidTokenError("bad_claims", "no transaction token")
    scope = tuple(text(body, "scope").split(" "))
    if not all(map(_SCOPE_TOKEN.fullmatch, scope)):
        raise InvalidTokenError("bad_claims", "scope is no list of words")
    claims = TransactionClaims(
        issuer=text(body, "iss"),
        audience=text(body, "aud"),
        transaction=text(body, "txn"),
        subject=text(body, "sub"),
        scope=scope,
        workload=text(body, "req_wl"),
        context=context,
        issued=issued,
        expires=expires,
        environment=environment,
    )
    if claims.issuer != issuer:
        raise InvalidTokenError("wrong_issuer", "another broker issued the token")
    if claims.audience != trust_domain:
        raise InvalidTokenError("wrong_audience", "the token is for another trust domain")
    if expires - issued > LIFE:
        raise InvalidTokenError("lives_too_long", "the token lives longer than any transaction token")
    if now >= expires:
        raise InvalidTokenError("expired", "the token has expired")
    if issued > now + 5:
        raise InvalidTokenError("from_the_future", "the token was issued in the future")
    return claims


def replacement(
    claims: TransactionClaims, scope: tuple[str, ...] | None, workload: str, now: Instant
) -> TransactionClaims:
    """The token that takes the place of another further down the chain: same transaction, subject, audience, context and end; never more scope.

    Raises:
        OAuthError: `invalid_scope`, code `not_narrower`.
    """
    kept = narrower_scope(claims.scope, scope)
    return replace(claims, scope=kept, workload=workload, issued=int(now), expires=min(claims.expires, int(now + LIFE)))


def narrower_scope(most: tuple[str, ...], asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """The scope asked for; all of it when none was. Raises OAuthError: `invalid_scope`, code `not_narrower`."""
    if asked is None:
        return most
    if not set(asked) <= set(most):
        extra = next(word for word in asked if word not in most)
        raise OAuthError("invalid_scope", "not_narrower", f"{extra[:100]!r} is not in the scope of what was shown")
    return asked


def read_scope(said: str) -> tuple[str, ...] | None:
    """Words of a `scope` parameter, each once; None when it is empty. Raises OAuthError: `invalid_scope`, code `scope_malformed`."""
    if not said:
        return None
    words = tuple(dict.fromkeys(said.split(" ")))
    if len(said) > _MOST_SCOPE or not all(map(_SCOPE_TOKEN.fullmatch, words)):
        raise OAuthError(
            "invalid_scope", "scope_malformed", f"scope is no list of words of at most {_MOST_SCOPE} signs"
        )
    return words


def scope_of(tools: tuple[str, ...], intent_code: str) -> tuple[str, ...]:
    """The widest scope of a transaction: the intent code and the tools that may be called, as many as there is room for."""
    made: list[str] = []
    room = MAX_TEXT
    for word in dict.fromkeys((intent_code, *tools)):
        if _SCOPE_TOKEN.fullmatch(word) and len(word) < room:
            made.append(word)
            room -= len(word) + 1
    return tuple(made)


def read_context(said: str, name: str) -> Mapping[str, Json]:
    """The JSON object of `request_details` or `request_context`; empty for an empty text.

    Raises:
        OAuthError: `invalid_request`, code `context_malformed`.
    """
    if not said:
        return {}
    try:
        made = parse_object(
            said.encode("utf-8", "surrogatepass"), max_bytes=_MOST_CONTEXT_BYTES, max_depth=4, max_keys=64
        )
    except BadInputError as error:
        raise OAuthError("invalid_request", "context_malformed", f"{name}: {error.message}") from None
    # Written out once more it must stay as small, and the same for every reader.
    if len(json.dumps(made)) > 2 * _MOST_CONTEXT_BYTES:
        raise OAuthError("invalid_request", "context_malformed", f"{name} is too large")
    return made
