"""What a grant's token says of it: who is accountable, who acts, what for, and what may be done.

`sub` is the accountable person, never the agent: a service that logs or limits by `sub` does so by the human being who answers for the act. The
agent is in `act`, with every agent that handed the grant down inside it (RFC 8693 §4.1).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

from jittrust.core.authority.map import AuthorityMap
from jittrust.core.errors import RefusedError
from jittrust.core.grant import jws, wire
from jittrust.core.grant.claims import MAX_ACTORS, AccessClaims, InvalidTokenError, body_of, claims_in
from jittrust.core.grant.grant import Grant
from jittrust.core.mission.mission import Mission
from jittrust.core.model import Json
from jittrust.core.oauth.status_list import LIST_SIZE

MOST_BYTES = 6 * 1024
"""Longest token with `authorization_details` in it: with a proof of 1 KiB beside it, it fits where servers allow 8 KiB of header fields."""
INTROSPECTION = "/oauth/introspect"
STATUS_LISTS = "/oauth/status"
_LONGEST = 8 * 1024  # what verifiers take
_OVERHEAD = 260  # header with a `kid` of 64 characters, two dots, signature, encoded
_SPACE = re.compile(r"[ \t\r\n]+")


def claims_of(
    grant: Grant,
    mission: Mission,
    issuer: str,
    audience: str,
    token_id: str,
    intent_code: str,
    role: str,
    parents: Sequence[str] = (),
) -> AccessClaims:
    """What the access token of a grant says.

    Args:
        grant: as it stands.
        mission: its mission, likewise.
        issuer: `iss`.
        audience: `aud`.
        token_id: `jti`.
        intent_code: what the goal is mostly about (`core.intent.reading.goal_code`).
        role: name of the mask worn (`core.authority.mask`).
        parents: the agents of the grants it was carved from, in the order of `grant.path`.

    Returns:
        Claims whose token has fewer than `MOST_BYTES`. `authorization_details` are the approved entries for the grant's server. When they are too
        long or too deep for a token, all of them are left out and `authorization_details_at` says where they are told: part of them would
        read as if it were everything. `may_act` is told when exactly one agent is named, for RFC 8693 has no form for several.

    Raises:
        RefusedError: code `token_too_large`: even so it would be more than what verifiers take, or hold a text they refuse.
    """
    claims = AccessClaims(
        issuer=issuer,
        subject=mission.person,
        audience=audience,
        client=grant.client or grant.agent,
        grant=grant.id,
        mission=mission.id,
        jkt=grant.jkt,
        issued=int(grant.issued),
        expires=int(grant.expires),
        id=token_id,
        details=details_of(grant, mission),
        x5t=grant.x5t,
        actors=(grant.agent, *reversed(parents))[:MAX_ACTORS],
        intent=intent_digest(mission),
        intent_code=intent_code,
        role=role,
        may_act=grant.may_act[0] if len(grant.may_act) == 1 else "",
        status_index=grant.status % LIST_SIZE if grant.status >= 0 else -1,
        status_list=f"{issuer}{STATUS_LISTS}/{grant.status // LIST_SIZE}" if grant.status >= 0 else "",
        uses=grant.uses_limit,
    )
    if _fits(claims, MOST_BYTES):
        return claims
    shorter = replace(claims, details=(), details_at=f"{issuer}{INTROSPECTION}")
    if not _fits(shorter, _LONGEST):
        raise RefusedError(
            "token_too_large",
            f"The token of grant {grant.id} would be longer than {_LONGEST} bytes, or hold a text that no verifier takes.",
            "Give the agents on its path shorter names.",
        )
    return shorter


def details_of(grant: Grant, mission: Mission) -> tuple[Mapping[str, Json], ...]:
    """What may be done under a grant, as RFC 9396 objects: the approved entries of its own map, or of its mission's, for its server.

    An entry of its own map whose tool the mission does not allow any more is left out: a call must be inside both.
    """
    mine = f"{grant.server}/" if grant.server else ""
    allowed = {(entry.tool, entry.action) for entry in mission.authority.approved}
    within = grant.authority if grant.authority is not None else mission.authority
    entries = (entry for entry in within.entries if entry.tool.startswith(mine))
    return wire.authorization_details(
        AuthorityMap(tuple(entry for entry in entries if (entry.tool, entry.action) in allowed), within.lanes)
    )


def intent_digest(mission: Mission) -> str:
    """Digest of the mission's stated goal, salted with the mission's id; empty without a goal.

    Who knows the goal's words can check that a token was issued for them; two missions with the same goal cannot be told to have it.
    """
    return digest_of_goal(mission.id, mission.goal.text) if mission.goal.stated else ""


def digest_of_goal(mission: str, goal: str) -> str:
    r"""Base64url of SHA-256 over `jittrust intent 1`, the mission's id and the goal, each ended by a zero byte but the last.

    The goal is taken in Unicode NFC, runs of space, tab, CR and LF as one space, none at either end: what is read off a page is the same goal.
    """
    words = _SPACE.sub(" ", unicodedata.normalize("NFC", goal)).strip(" ")
    data = b"\0".join(part.encode("utf-8", "surrogatepass") for part in ("jittrust intent 1", mission, words))
    return jws.encode(hashlib.sha256(data).digest()).decode("ascii")


def _fits(claims: AccessClaims, most: int) -> bool:
    """Whether the token is at most so long and will be read as what it is."""
    try:
        payload = jws.join({}, body_of(claims)).partition(b".")[2]
        if len(payload) + _OVERHEAD > most:
            return False
        claims_in(jws.json_object(jws.decode(payload), "bad_claims"))
    except (InvalidTokenError, jws.MalformedJwsError, ValueError, TypeError):
        return False
    return True
