"""Renewals: a refresh token that gives the next short grant of a mission while the score allows (RFC 6749 §6, RFC 9700 §4.14)."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.core.units import Instant


@dataclass(frozen=True, slots=True)
class Renewal:
    """The chain of refresh tokens of one client under one mission. Rotates at every use; an old one ends the chain and its grants.

    Attributes:
        id: `n-…`.
        client, agent, person, mission, server: for whom and what.
        jkt, x5t: the key every next grant is bound to; both empty for a bearer client.
        seq: number of the live refresh token.
        grant: the newest grant it gave.
        gas, uses, lanes: what is asked for each time; 0 = as the rules give.
        ended: why it gives no more; empty while it does.
        expires: when it ends, with its mission at the latest.
    """

    id: str
    client: str
    agent: str
    person: str
    mission: str
    server: str
    expires: Instant
    jkt: str = ""
    x5t: str = ""
    seq: int = 0
    grant: str = ""
    gas: int = 0
    uses: int = 0
    lanes: int = 1
    ended: str = ""
    revision: int = 1
