"""What an access token is worth at this moment."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.broker.identity.index import IdentityIndex
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.responses import StopIndex
from jittrust.broker.state import State
from jittrust.core.grant.claims import AccessClaims, InvalidTokenError, signed_claims
from jittrust.core.grant.grant import Grant
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import ENDED, MissionState
from jittrust.core.oauth.status_list import TokenStanding
from jittrust.core.response.session import SessionState
from jittrust.core.units import Instant

MOST_TOKEN_BYTES = 8192
_LIVE = (GrantState.ACTIVE, GrantState.SUSPENDED)


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A token that takes calls now, with its grant and its mission as they stand."""

    claims: AccessClaims
    grant: Grant
    mission: Mission


def own_claims(parts: OAuthParts, token: str) -> AccessClaims | None:
    """What an access token of this broker says, expired or not; None when it is none."""
    if not token.isascii():
        return None
    try:
        claims = signed_claims(token.encode("ascii"), parts.keys, MOST_TOKEN_BYTES)
    except InvalidTokenError:
        return None
    return claims if claims.issuer == parts.issuer else None


def live_token(state: State, parts: OAuthParts, token: str) -> LiveToken | None:
    """The token with its grant; None when it is no access token of this broker, or takes no calls now."""
    claims, now = own_claims(parts, token), parts.clock()
    if claims is None or not claims.issued - 5 <= now < claims.expires:
        return None
    grant = state.grants.get(claims.grant)
    if grant is None or (grant.mission, grant.jkt, grant.x5t) != (claims.mission, claims.jkt, claims.x5t):
        return None
    if grant_standing(state, grant, now) is not TokenStanding.VALID:
        return None
    return LiveToken(claims, grant, state.missions[grant.mission])


def grant_standing(state: State, grant: Grant, now: Instant) -> TokenStanding:
    """Whether a grant takes calls, may do so again, or never will."""
    mission = state.missions.get(grant.mission)
    chain = [grant, *(state.grants.get(above) for above in grant.path)]
    if mission is None or mission.state in ENDED or now >= mission.expires:
        return TokenStanding.ENDED
    if any(one is None or one.state not in _LIVE or now >= one.expires for one in chain):
        return TokenStanding.ENDED
    session = state.standings.get(mission.id)
    if session is not None and session.state is SessionState.KILLED:
        return TokenStanding.ENDED
    identities = IdentityIndex.of(state)
    standings = (identities.agent_standing(grant.agent), identities.person_standing(mission.person))
    waits = (
        mission.state is not MissionState.ACTIVE
        or any(one is not None and one.state is GrantState.SUSPENDED for one in chain)
        or (session is not None and session.state is SessionState.SUSPENDED)
        or any(one is not None and not one.active for one in standings)
        or StopIndex.of(state).reaching(grant.agent, grant.mission, grant) is not None
    )
    return TokenStanding.SUSPENDED if waits else TokenStanding.VALID
