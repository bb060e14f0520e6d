"""An authorization request on its way through a person: pushed or sent by a browser, shown, answered, redeemed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.model import Json
from jittrust.core.units import Instant


class RequestKind(StrEnum):
    """How the answer gets back to the client."""

    CODE = "code"  # by the person's browser (RFC 6749 §4.1)
    BACKCHANNEL = "backchannel"  # the client polls (CIBA)


class RequestState(StrEnum):
    """Where a request stands."""

    PUSHED = "pushed"
    ASKED = "asked"
    APPROVED = "approved"
    DENIED = "denied"
    REDEEMED = "redeemed"


REQUEST_MOVES: Mapping[RequestState, frozenset[RequestState]] = {
    RequestState.PUSHED: frozenset({RequestState.ASKED, RequestState.DENIED}),
    RequestState.ASKED: frozenset({RequestState.APPROVED, RequestState.DENIED}),
    RequestState.APPROVED: frozenset({RequestState.REDEEMED}),
    RequestState.DENIED: frozenset(),
    RequestState.REDEEMED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a client asks a person for. Secrets (request URI, code, auth_req_id) are kept as keyed hashes only.

    Attributes:
        id: `r-…`.
        kind, state: see there.
        client: OAuth client id; agent: the subject that will act.
        redirect_uri, oauth_state, challenge, nonce: as sent; empty for a back channel. `challenge` is the PKCE challenge, S256.
        resource: the MCP server behind the broker it is for, by name; empty = all of them.
        details: `authorization_details`, checked.
        message: a back channel's `binding_message`: the person finds the same words where the request came from.
        goal: what the agent says it wants to do; a person may change it before saying yes, and only then it is a goal.
        minutes, gas, uses, lanes: what is asked for; 0 = as the rules give.
        jkt: key the tokens must be bound to (`dpop_jkt`); empty = not said yet.
        secret: keyed hash of what finds it now: request URI, then code or auth_req_id.
        person: who answered; mission: what was started by it; approval: the question they answered.
        made, expires: until when it may go on from where it stands.
        polled, interval: back channel: when it was asked for last, and how many seconds must lie between.
        entries: what the person was shown that it may do, exactly: it becomes the mission's map.
        later: none of its tools was known when the person was asked, so that the goal's words allow what turns up, as they do for any mission.
        grant: what a redeemed code was given, so that a second use of the code ends it (RFC 6749 §4.1.2).
    """

    id: str
    kind: RequestKind
    state: RequestState
    client: str
    agent: str
    made: Instant
    expires: Instant
    secret: str
    redirect_uri: str = ""
    oauth_state: str = ""
    challenge: str = ""
    nonce: str = ""
    resource: str = ""
    details: tuple[Mapping[str, Json], ...] = ()
    goal: str = ""
    message: str = ""
    minutes: int = 0
    gas: int = 0
    uses: int = 0
    lanes: int = 1
    jkt: str = ""
    person: str = ""
    mission: str = ""
    approval: str = ""
    polled: Instant = Instant(0)
    interval: int = 5
    grant: str = ""
    entries: tuple[AuthorityEntry, ...] = ()
    later: bool = False
    revision: int = 1
