"""A question to a person: may this exact call, tool definition or authority entry go through?"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from jittrust.core.authority.map import Endorsement
from jittrust.core.errors import BadInputError
from jittrust.core.units import Gas, Instant

MOST_AMOUNT: Final = 1e12
"""Largest amount that somebody endorses a source for."""


class ApprovalState(StrEnum):
    """Where the question stands. `used` = the one call it bought has gone out."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"


APPROVAL_MOVES: Mapping[ApprovalState, frozenset[ApprovalState]] = {
    ApprovalState.WAITING: frozenset({ApprovalState.APPROVED, ApprovalState.DENIED, ApprovalState.EXPIRED}),
    ApprovalState.APPROVED: frozenset({ApprovalState.USED, ApprovalState.EXPIRED}),
    ApprovalState.DENIED: frozenset(),
    ApprovalState.EXPIRED: frozenset(),
    ApprovalState.USED: frozenset(),
}


class ApprovalKind(StrEnum):
    """What is asked."""

    CALL = "call"  # one call, bound to its digest
    TOOL_DEFINITION = "tool_definition"  # a new or changed definition, bound to its hash
    SUSPENSION = "suspension"  # may a suspended mission go on
    AUTHORITY = "authority"  # proposed entries of a mission's map
    MISSION = "mission"  # a mission that an agent asks for (OAuth consent, CIBA); bound to the request and everything shown with it


class ConfirmedBy(StrEnum):
    """How a person answered; `client` (form elicitation in the agent's own client) serves low risk only."""

    NOBODY = ""
    PIN = "pin"
    PASSKEY = "passkey"  # a signature of the person's authenticator over exactly this question
    SESSION = "session"  # signed in at the console: enough to say no, never to say yes
    CLIENT = "client"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Approval:
    """One question and its answer.

    Attributes:
        id: `a-…`, short enough to type.
        kind: what is asked.
        mission: mission id; empty for tool definitions.
        subject: who asks (agent id).
        target: tool id, or mission id.
        digest: what exactly is approved: the call's digest, the definition's hash, the map's digest.
        text: exactly what will happen, for people, safe to print.
        why: the reasons in a sentence each.
        risk: 0..100, the call's R in per cent, whole (for the rule that elicitation serves low risk only).
        asked, expires: from when, until when it may be answered and used.
        state, answered_by, confirmed_by, answered: the answer.
        price: what the call will cost.
        offer: a source that may be endorsed instead of this one call, with the amount that the call carries; None = none.
        endorses: the answer was to endorse it; `offer` then is what was endorsed.
    """

    id: str
    kind: ApprovalKind
    mission: str
    subject: str
    target: str
    digest: str
    text: str
    why: str
    risk: int
    asked: Instant
    expires: Instant
    state: ApprovalState = ApprovalState.WAITING
    answered_by: str = ""
    confirmed_by: ConfirmedBy = ConfirmedBy.NOBODY
    answered: Instant = Instant(0)
    price: Gas = Gas(0)
    offer: Endorsement | None = None
    endorses: bool = False


def chosen(approval: Approval, up_to: float | None = None) -> Approval:
    """The question as somebody who endorses the offered source answers it. `up_to`: as `Answer.up_to`.

    Raises:
        BadInputError: code `nothing_to_endorse`, or `bad_amount`: not a number from the call's own amount on, or an amount where acts carry none.
    """
    offer = approval.offer
    if offer is None:
        raise BadInputError(
            "nothing_to_endorse",
            f"The question {approval.id} offers no source to endorse.",
            f"Answer for this one call: jittrust approve {approval.id}",
        )
    if up_to is None:
        return replace(approval, endorses=True)
    if offer.amount_most is None or not math.isfinite(up_to) or not offer.amount_most <= up_to <= MOST_AMOUNT:
        carried = "carries no amount" if offer.amount_most is None else f"carries {offer.amount_most:g}"
        raise BadInputError(
            "bad_amount", f"The call {carried}; {up_to:g} is no bound for it.", "Say an amount from that on."
        )
    return replace(approval, offer=replace(offer, amount_most=float(up_to)), endorses=True)


def question_challenge(approval: Approval, nonce: bytes) -> bytes:
    """What an authenticator signs to approve exactly this question: SHA-256 over the nonce and everything that a person was shown and decides.

    Args:
        approval: the question as it stands.
        nonce: 32 fresh random bytes that the broker keeps: without them nobody can tell beforehand what will be signed.

    Returns:
        32 bytes. Each part is hashed before it is put together, so that no part can be read as the beginning of the next.
    """
    offer = approval.offer
    choice: tuple[str, ...] = ()
    if approval.endorses and offer is not None:
        named = json.dumps(dict(offer.selectors), sort_keys=True)
        choice = ("endorse", offer.id, offer.tool, named, *offer.intents, repr(offer.amount_most), repr(offer.warned))
    parts = (
        approval.id,
        approval.kind,
        approval.mission,
        approval.subject,
        approval.target,
        approval.digest,
        approval.text,
        approval.why,
        str(int(approval.price)),
        str(round(approval.expires * 1000)),
        *choice,
    )
    hashed = b"".join(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest() for part in parts)
    return hashlib.sha256(b"jittrust approval\x00" + hashlib.sha256(nonce).digest() + hashed).digest()
