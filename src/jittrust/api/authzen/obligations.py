"""Obligations of a decision (AuthZEN Profile for Obligations, draft 1 of 2026-07-03). Everything of the draft is in this module.

| response in force | obligation |
|---|---|
| step-up | `step-up`: a person has to approve exactly this call |
| flag | `notification` to whoever looks after the agent |
| narrow | `custom`, `action: narrow`: show the agent only what the map still allows |
| suspend, kill | `session_termination` of the agent |
| relaunch | `custom`, `action: relaunch`: start the agent anew from a clean state |

An enforcement point may say in the request's context which types it can fulfil (`supported_obligations`, in later revisions of the draft
`obligations_supported`). A permission that carries an obligation it did not name becomes a refusal: it would have to be one there in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from jittrust.core.errors import BadInputError
from jittrust.core.model import Json, Response, Ruling, Verdict

SUPPORTED: Final = ("step-up", "notification", "session_termination", "custom")
"""Types that this server issues, as its metadata says."""
REQUEST_MEMBERS: Final = ("supported_obligations", "obligations_supported")
APPROVAL_CLASS: Final = "urn:jittrust:acr:approval"
"""`acr_value` of a step-up: a person with the right to answer has approved exactly this call."""
VENDOR: Final = "jittrust"
_MOST_TYPES: Final = 32
_LONGEST_BODY: Final = 500


def supported_by(context: Mapping[str, Json]) -> frozenset[str] | None:
    """Types that the enforcement point can fulfil; None where it does not say. Types that we never issue are left out.

    Raises:
        BadInputError: code `request_bad`: it is no list of at most 32 texts.
    """
    told = [context[name] for name in REQUEST_MEMBERS if name in context]
    if not told:
        return None
    found: set[str] = set()
    for listed in told:
        if not isinstance(listed, list) or len(listed) > _MOST_TYPES or not all(isinstance(one, str) for one in listed):
            raise BadInputError("request_bad", f"supported_obligations is a list of at most {_MOST_TYPES} texts.")
        found.update(str(one) for one in listed)
    return frozenset(found & set(SUPPORTED))


def obligations_of(verdict: Verdict, subject: str) -> Sequence[Mapping[str, Json]]:
    """What an enforcement point has to do because of this verdict, in the draft's form."""
    asked: list[tuple[str, dict[str, Json]]] = []
    if verdict.ruling is Ruling.STEP_UP:
        asked.append(("step-up", {"acr_value": APPROVAL_CLASS, "amr_values": ["user", "hwk"]}))
    match verdict.response:
        case Response.FLAG:
            why = " ".join(reason.fact for reason in verdict.reasons if reason.fact)[:_LONGEST_BODY]
            body = f"Trust in {subject} is below what is usual. {why}"
            asked.append(("notification", {"to": "jittrust:owner", "topic": "agent flagged", "body": body}))
        case Response.NARROW:
            asked.append(("custom", {"vendor": VENDOR, "action": "narrow", "subject": subject}))
        case Response.SUSPEND | Response.KILL:
            asked.append(("session_termination", {"subject": subject}))
        case Response.RELAUNCH:
            asked.append(("custom", {"vendor": VENDOR, "action": "relaunch", "subject": subject}))
        case Response.NONE:
            pass
    return [{"id": f"obl-{number}", "type": kind, "properties": more} for number, (kind, more) in enumerate(asked, 1)]


def unfulfilled(obligations: Sequence[Mapping[str, Json]], supported: frozenset[str] | None) -> tuple[str, ...]:
    """Types among the obligations that the enforcement point said it cannot fulfil."""
    if supported is None:
        return ()
    return tuple(str(one["type"]) for one in obligations if one["type"] not in supported)
