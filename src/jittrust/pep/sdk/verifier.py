"""Is this request made by the holder of a live grant, and may it do this? Answered from the grant token and its proof, asking nobody.

What it cannot know: how much gas or how many uses are left, and whether the grant was ended a moment ago. The first is the broker's alone: a grant or an
entry that is limited by number is not decided here. The second is bounded by the token's five minutes, or by seconds with status lists.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.authority.match import Match, MatchStanding, match
from jittrust.core.errors import BadInputError
from jittrust.core.grant import jws, wire
from jittrust.core.grant.claims import AccessClaims, InvalidTokenError, TokenRules, check_validity, signed_claims
from jittrust.core.grant.present import (
    InvalidProofError,
    PresentationRules,
    PresentedRequest,
    VerifiedBefore,
    check_presentation,
    token_of,
)
from jittrust.core.grant.statement import digest_of_goal
from jittrust.core.model import Json, Tool
from jittrust.core.units import Instant, Seconds
from jittrust.pep.sdk.published import Fetch, PublishedKeys, PublishedStatus, fetch_over_http, keys_of
from jittrust.pep.sdk.replays import SeenProofs

K = TypeVar("K")
V = TypeVar("V")
_REMEMBERED = 4096
# An hour and the rounding of both ends to whole seconds.
_LONGEST = Seconds(3602)
HeaderPairs = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]


class _Newest(dict[K, V]):
    """A dict that drops its oldest entry when it grows past its bound."""

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > _REMEMBERED:
            del self[next(iter(self))]


@dataclass(frozen=True, slots=True)
class Verified:
    """A request whose grant token holds and whose sender proved its key.

    `claims` is what the token says: `claims.subject` is the accountable person, `claims.actors` the agents, the acting one first.
    """

    claims: AccessClaims

    @property
    def person(self) -> str:
        """Who answers for it."""
        return self.claims.subject

    @property
    def agent(self) -> str:
        """Who acts."""
        return self.claims.actors[0] if self.claims.actors else self.claims.subject

    def allows(self, tool: str | Tool, action: str = "tools/call", arguments: Mapping[str, Json] | None = None) -> bool:
        """Whether the claims alone let this through.

        Args:
            tool: `server/name`, exactly; or the service's own definition of it, whose schema tells which arguments name what is acted on.
            action: `tools/call`, `resources/read` or `prompts/get`.
            arguments: the call's arguments, parsed.

        Returns:
            False too for everything that the token does not tell: details left out for their length, calls limited by number.
        """
        return self.judged(tool, action, arguments).inside

    def judged(
        self, tool: str | Tool, action: str = "tools/call", arguments: Mapping[str, Json] | None = None
    ) -> Match:
        """As `allows`, with the entry that covers the call, or why none does, for the log."""
        if self.claims.uses is not None:
            return Match(MatchStanding.OUTSIDE, None, "The grant is limited by number; only the broker counts.")
        if self.claims.details_at:
            where = self.claims.details_at
            return Match(MatchStanding.OUTSIDE, None, f"The token is too small for what may be done; ask {where}.")
        return match(authority_in(self.claims.details), _tool(tool), action, arguments or {})

    def intent_is(self, goal: str) -> bool:
        """Whether the grant was issued for this stated goal: the person's words, one statement a line.

        A service that is told what it is called for (by the user, by a work order) checks here that the agent was sent for just that.
        """
        digest = digest_of_goal(self.claims.mission, goal)
        return bool(self.claims.intent) and hmac.compare_digest(digest.encode(), self.claims.intent.encode())


def authority_in(details: Iterable[Mapping[str, Json]]) -> AuthorityMap:
    """What `authorization_details` allow, as a map; what is not of our type, or limited by number, allows nothing here."""
    made: list[AuthorityEntry] = []
    for detail in details:
        tool, actions = detail.get("identifier"), detail.get("actions")
        resource, constraints = detail.get("resource", ""), detail.get("constraints", {})
        if (
            detail.get("type") != wire.AUTHORIZATION_TYPE
            or "uses" in detail
            or not isinstance(tool, str)
            or not isinstance(actions, list | tuple)
            or not isinstance(resource, str)
            or not isinstance(constraints, Mapping)
        ):
            continue
        made.extend(
            AuthorityEntry(f"e-{len(made) + at}", tool, action, resource, constraints, state=EntryState.APPROVED)
            for at, action in enumerate(actions)
            if isinstance(action, str)
        )
    return AuthorityMap(tuple(made))


def _tool(tool: str | Tool) -> Tool:
    if isinstance(tool, Tool):
        return tool
    server, slash, name = tool.partition("/")
    if not (server and slash and name):
        raise BadInputError("bad_tool", f"{tool!r} is not server/name")
    return Tool(server, name, "")


def certificate_thumbprint(certificate: bytes) -> str:
    """`x5t#S256` of a certificate in DER (RFC 8705 §3.1)."""
    return jws.encode(hashlib.sha256(certificate).digest()).decode("ascii")


class Verifier:
    """Checks requests for one resource."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        keys: Mapping[str, bytes] | Mapping[str, Json] | None = None,
        *,
        jwks_url: str = "",
        statuses: bool = False,
        window: float = 60.0,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - a service of its own has no Clock port
        fetch: Fetch = fetch_over_http,
        seen: SeenProofs | None = None,
    ) -> None:
        """Say whose tokens, for which resource.

        Args:
            issuer: `iss`, byte for byte.
            audience: `aud`, byte for byte: this service's own address as the broker knows it.
            keys: the issuer's keys: a JWK set, or raw Ed25519 keys by `kid`. None: they are read from `jwks_url`.
            jwks_url: where the keys are; empty with `keys` None: `issuer/oauth/jwks`.
            statuses: look every token up in its status list as well.
            window: how far a proof's `iat` may lie behind or ahead, in seconds; as long are proofs remembered.
            clock: seconds since 1970.
            fetch: gets a document by URL.
            seen: memory of proofs; one for all verifiers that take the same tokens.
        """
        self._issuer = issuer
        self._window = Seconds(window)
        self._clock = clock
        self._rules = PresentationRules(TokenRules(issuer, audience, longest=_LONGEST), self._window, self._window)
        self._seen = seen if seen is not None else SeenProofs()
        self._published = PublishedKeys(jwks_url or f"{issuer}/oauth/jwks", fetch) if keys is None else None
        self._statuses = PublishedStatus(issuer, fetch) if statuses else None
        self._keys: Mapping[str, bytes] = {} if keys is None else _raw(keys)
        self._before = VerifiedBefore(_Newest(), _Newest())

    def check(
        self, method: str, url: str, headers: HeaderPairs, body: bytes | None = None, certificate: bytes = b""
    ) -> Verified:
        """Check a request with the keys at hand.

        Args:
            method: HTTP method.
            url: the URL under which this service is known, with the request's path; never made from the Host header.
            headers: of the request; names in any case.
            body: raw body; needed when the proof speaks of it.
            certificate: the client's TLS certificate in DER, checked by the TLS layer; for tokens that are bound to one.

        Raises:
            InvalidTokenError, InvalidProofError: as `core.grant.present`; `not_bound` for a token that is bound to nothing, `other_certificate`,
                `replayed` for a proof that was shown before.
            UnavailableError: code `replay_memory_full`.
        """
        authorization, proofs = _values(headers)
        now = Instant(self._clock())
        if len(authorization) == 1 and authorization[0].partition(" ")[0].lower() == "bearer":
            return Verified(self._by_certificate(authorization, proofs, certificate, now))
        request = PresentedRequest(method, url, authorization, proofs, body)
        shown = check_presentation(request, self._keys, self._rules, now, self._before)
        claims = self._before.tokens[token_of(authorization)]
        until = Instant((shown.iat or now) + self._window)
        if not self._seen.first_time(shown.jkt, shown.jti, until, now):
            raise InvalidProofError("replayed", "the proof was shown before", claims.grant)
        return Verified(claims)

    def _by_certificate(
        self, authorization: list[str], proofs: list[str], certificate: bytes, now: Instant
    ) -> AccessClaims:
        token = token_of(authorization, "bearer")
        claims = signed_claims(token, self._keys, self._rules.token.max_bytes)
        check_validity(claims, self._rules.token, now)
        if claims.jkt:
            raise InvalidTokenError("not_bearer", "the token is bound to a key; it goes under the scheme DPoP")
        if not claims.x5t:
            raise InvalidTokenError("not_bound", "the token is bound to no key; whoever copied it could use it")
        if proofs:
            raise InvalidTokenError("proof_with_bearer", "a token bound to a certificate comes without a proof")
        if not certificate or not hmac.compare_digest(certificate_thumbprint(certificate), claims.x5t):
            raise InvalidTokenError("other_certificate", "the token is bound to another certificate")
        return claims

    async def checked(
        self, method: str, url: str, headers: HeaderPairs, body: bytes | None = None, certificate: bytes = b""
    ) -> Verified:
        """As `check`, fetching keys and status lists as they are needed.

        Raises:
            InvalidTokenError: also `ended`, `suspended`, `no_status`, with status lists.
            UnavailableError: also `keys_unreachable`, `status_unreachable`.
        """
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        await self.refresh()
        try:
            found = self.check(method, url, pairs, body, certificate)
        except InvalidTokenError as error:
            if error.detail != "unknown_key" or not await self.refresh(unknown=True):
                raise
            found = self.check(method, url, pairs, body, certificate)
        if self._statuses is not None:
            await self._statuses.check(found.claims, self._keys, Instant(self._clock()))
        return found

    async def refresh(self, *, unknown: bool = False) -> bool:
        """Read the keys again where they are old, or one is `unknown`; whether they changed. Raises UnavailableError: code `keys_unreachable`."""
        if self._published is None:
            return False
        keys = await self._published.get(Instant(self._clock()), unknown=unknown)
        if keys == self._keys:
            return False
        self._keys = keys
        # What a retired key signed is good no longer.
        self._before = VerifiedBefore(_Newest(), _Newest())
        return True


def _raw(keys: Mapping[str, bytes] | Mapping[str, Json]) -> Mapping[str, bytes]:
    raw = {kid: point for kid, point in keys.items() if isinstance(point, bytes)}
    return (
        raw
        if raw and len(raw) == len(keys)
        else keys_of({name: value for name, value in keys.items() if not isinstance(value, bytes)})
    )


def _values(headers: HeaderPairs) -> tuple[list[str], list[str]]:
    """Every value of Authorization and of DPoP, one for each time it was sent."""
    authorization: list[str] = []
    proofs: list[str] = []
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        word = (name.decode("latin-1") if isinstance(name, bytes) else name).lower()
        if word in {"authorization", "dpop"}:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            (authorization if word == "authorization" else proofs).append(text.strip(" \t"))
    return authorization, proofs
