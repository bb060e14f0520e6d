"""What every kind of token request has in common: how a grant is bound and asked for, and how it is answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jittrust.broker.oauth.clients import Authenticated
from jittrust.broker.record import milliseconds
from jittrust.core.authority.map import AuthorityMap
from jittrust.core.errors import ConflictError, JitError, PassSupersededError, UnavailableError
from jittrust.core.grant import wire
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.model import Json
from jittrust.core.oauth.authorize import resource_server
from jittrust.core.oauth.details import authority_of, mission_of, read_details
from jittrust.core.oauth.error import OAuthError
from jittrust.core.problem import outward
from jittrust.core.units import Instant, Seconds
from jittrust.ports.authorization_server import TokenAnswer
from jittrust.ports.commit import RecordBody
from jittrust.ports.grants import IssuedGrant

MAY_ACT_MOST: Final = 16
_AGENT_LONGEST: Final = 512
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,15}\Z")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who gets a token, and what it is bound to: `jkt` of a proof's key, or the certificate that the client came with, or nothing."""

    who: Authenticated
    jkt: str

    @property
    def binding(self) -> PassBinding:
        """Who keeps the passes."""
        return PassBinding.DPOP if self.jkt else PassBinding.GATEWAY

    @property
    def x5t(self) -> str:
        """Thumbprint of the certificate that it is bound to."""
        return "" if self.jkt else self.who.x5t

    @property
    def strictness(self) -> Strictness:
        """What reuse does: only our own clients never overwrite a pass out of order."""
        return Strictness.STRICT if self.who.client.strict else Strictness.STOCK

    @property
    def bound(self) -> str:
        """What it is bound to, for the ledger."""
        return "key" if self.jkt else "certificate" if self.x5t else "bearer"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request asks for besides whose it is; None and empty = as the rules give.

    Standard are `resource` (or `audience`) and `authorization_details`. Ours are `gas`, `uses`, `lanes`, `ttl` (whole numbers from 1) and `may_act`
    (agents that may take a part, separated by spaces): asking for less is always possible, for more gives no more.
    """

    server: str
    details: tuple[Mapping[str, Json], ...]
    gas: int | None
    uses: int | None
    lanes: int | None
    ttl: Seconds | None
    may_act: tuple[str, ...]

    @classmethod
    def of(cls, parameters: Mapping[str, str], issuer: str) -> Wishes:
        """Read them. Raises OAuthError: `invalid_target`, `invalid_authorization_details`, `invalid_request`."""
        resource, audience = parameters.get("resource", ""), parameters.get("audience", "")
        if resource and audience and resource != audience:
            raise OAuthError("invalid_target", "one_resource", "A token is for one resource.", "Ask for each alone.")
        details = read_details(parameters["authorization_details"]) if "authorization_details" in parameters else ()
        if mission_of(details) is not None:
            raise OAuthError(
                "invalid_authorization_details",
                "mission_needs_a_person",
                "A mission is asked for from a person, not at the token endpoint.",
                "Use the authorization endpoint or the back channel.",
            )
        ttl = _whole(parameters, "ttl")
        return cls(
            resource_server(resource or audience, issuer),
            details,
            _whole(parameters, "gas"),
            _whole(parameters, "uses"),
            _whole(parameters, "lanes"),
            None if ttl is None else Seconds(ttl),
            _agents(parameters),
        )

    def authority(self, within: AuthorityMap) -> AuthorityMap | None:
        """The part of a map that is asked for; None = all of it. Raises OAuthError: `invalid_authorization_details`."""
        return authority_of(self.details, within) if self.details else None


def needed(parameters: Mapping[str, str], name: str) -> str:
    """A parameter that has to be there. Raises OAuthError: `invalid_request`."""
    value = parameters.get(name, "")
    if not value:
        raise OAuthError("invalid_request", "parameter_missing", f"{name} is missing.")
    return value


def check_server(holder: Holder, server: str) -> None:
    """A key's chain of passes is for one server, so it has to be named. Raises OAuthError: `invalid_target`."""
    if holder.jkt and not server:
        raise OAuthError(
            "invalid_target",
            "resource_needed",
            "A token that is bound to a key is for one MCP server.",
            "Send `resource`, as its metadata names it.",
        )


def answer_of(
    issued: IssuedGrant, now: Instant, within: AuthorityMap | None, asked: Mapping[str, str], refresh: str = ""
) -> TokenAnswer:
    """The token response of a grant (RFC 6749 §5.1, RFC 9396 §7), its first pass as the next nonce.

    `within`: its mission's map, of which it has all unless it has its own. `asked`: the request's parameters.
    """
    grant = issued.grant
    body: dict[str, Json] = {
        "access_token": issued.token,
        "token_type": "DPoP" if grant.jkt else "Bearer",
        "expires_in": max(0, int(grant.expires - now)),
        wire.GRANT: grant.id,
        wire.MISSION: grant.mission,
        "gas": int(grant.gas_left),
    }
    if grant.uses_left is not None:
        body["uses"] = grant.uses_left
    if refresh:
        body["refresh_token"] = refresh
    if "authorization_details" in asked:
        authority = grant.authority if grant.authority is not None else within
        body[wire.AUTHORIZATION_DETAILS] = list(wire.authorization_details(authority)) if authority else []
    if "scope" in asked:
        # There are no scopes: what a token may do is its mission's map. RFC 6749 §5.1: what is given otherwise than asked for is told.
        body["scope"] = ""
    return TokenAnswer(body, issued.first_pass or "")


def issue_record(grant: Grant, holder: Holder | None, how: str, now: Instant, by: str) -> RecordBody:
    """A token was given."""
    bound = holder.bound if holder else "key" if grant.jkt else "certificate" if grant.x5t else "bearer"
    return {
        "kind": "oauth",
        "at": milliseconds(now),
        "what": "token_issued",
        "how": how,
        "client": grant.client or grant.agent,
        "agent": grant.agent,
        "grant": grant.id,
        "mission": grant.mission,
        "server": grant.server,
        "bound": bound,
        "by": by,
        "why": "",
    }


def as_oauth(error: JitError, otherwise: str = "access_denied") -> OAuthError:
    """A refusal of the broker in the words of OAuth; `otherwise`: the word for what the rules forbid."""
    if isinstance(error, OAuthError):
        return error
    word = otherwise
    if isinstance(error, PassSupersededError):
        word = "invalid_dpop_proof"
    elif isinstance(error, UnavailableError | ConflictError):
        word = "temporarily_unavailable"
    elif error.http_status == 400:  # noqa: PLR2004
        word = "invalid_request"
    return OAuthError(word, error.code, *outward(error))


def _whole(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not _WHOLE.match(text) or int(text) > 2**53:
        raise OAuthError("invalid_request", "number_bad", f"{name} is a whole number from 1 to 2^53.")
    return int(text)


def _agents(parameters: Mapping[str, str]) -> tuple[str, ...]:
    named = tuple(parameters.get("may_act", "").split())
    unfit = any(len(one) > _AGENT_LONGEST or not one.isprintable() for one in named)
    if len(named) > MAY_ACT_MOST or len(set(named)) != len(named) or unfit:
        raise OAuthError("invalid_request", "may_act_bad", f"may_act names at most {MAY_ACT_MOST} agents, each once.")
    return named
