"""What goes into the ledger. Each use holds the five links: prompt → intent → policy → grant → action."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from jittrust.core.approval import Approval
from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.authority.pin import ToolPin
from jittrust.core.grant.grant import Grant, Lane, Shown
from jittrust.core.intent.origin import ArgumentOrigin
from jittrust.core.mission.mission import Mission
from jittrust.core.model import Evaluation, IntentFactors, Json, Reading, Verdict
from jittrust.core.response.stop import Stop
from jittrust.core.units import Instant
from jittrust.ports.commit import RecordBody
from jittrust.ports.decision_point import Outcome


def milliseconds(at: Instant) -> int:
    """Whole milliseconds since 1970."""
    return round(at * 1000)


def digest_of(text: str) -> str:
    """SHA-256 of a text, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def use_record(
    ask: Evaluation,
    verdict: Verdict,
    mission: Mission | None,
    grant: Grant | None,
    lane: Lane | None,
    shown: Shown,
    origins: tuple[ArgumentOrigin, ...] | None,
    *,
    policy: Mapping[str, Json],
    forwarded: bool,
    observed: bool,
    at: Instant,
) -> RecordBody:
    """One judged call, let out or not."""
    return {
        "kind": "use" if forwarded else "refusal",
        "at": milliseconds(at),
        "evaluation": ask.id,
        "subject": {"kind": ask.subject.kind, "id": ask.subject.id},
        "prompt": _prompt(mission),
        "intent": {
            "code": verdict.intent,
            "factors": _factors(verdict.factors),
            "wis": None if verdict.wis is None else round(verdict.wis.value, 2),
            "wis_ratio": None
            if verdict.wis is None or verdict.wis.ratio is None
            else round(min(verdict.wis.ratio, 1e9), 4),
            "unknown": [] if verdict.wis is None else list(verdict.wis.unknown),
            "drift": None if verdict.drift is None else round(float(verdict.drift), 4),
            "origins": None if origins is None else [_origin(origin) for origin in origins[:32]],
        },
        "policy": {
            "ruling": verdict.ruling,
            "entry": verdict.entry,
            "reasons": [{"code": r.code, "fact": r.fact[:500], "would_pass": r.would_pass} for r in verdict.reasons],
            "observed": observed,
            **policy,
        },
        "grant": {
            "id": grant.id if grant else None,
            "family": grant.family if grant else None,
            "lane": lane.number if lane else None,
            "seq": lane.seq if lane else None,
            "pass_binding": shown.binding,
            "proof": shown.jti,
            "price": int(verdict.price),
        },
        "action": {
            "method": ask.action.name,
            "type": ask.resource.type,
            "resource": ask.resource.id,
            "digest": ask.digest,
        },
        "response": verdict.response,
        "trust": round(float(verdict.trust), 2),
    }


def outcome_record(evaluation: str, mission: str, resource: str, outcome: Outcome, at: Instant) -> RecordBody:
    """What came back: how it ended and the digest of the texts, never the texts."""
    digest = (
        hashlib.sha256("\x00".join(outcome.texts).encode("utf-8", "surrogatepass")).hexdigest()
        if outcome.texts
        else None
    )
    return {
        "kind": "outcome",
        "at": milliseconds(at),
        "evaluation": evaluation,
        "mission": mission,
        "resource": resource,
        "settled": outcome.settled,
        "texts": len(outcome.texts),
        "digest": digest,
        "detail": outcome.detail[:200],
    }


def mission_record(mission: Mission, what: str, by: str, at: Instant, why: str = "") -> RecordBody:
    """A mission as a person or policy changed it, with its map."""
    return {
        "kind": "mission",
        "at": milliseconds(at),
        "what": what,
        "mission": mission.id,
        "state": mission.state,
        "person": mission.person,
        "agent": mission.agent,
        "goal": list(mission.goal.texts),
        "goal_source": mission.goal.source,
        "generation": mission.generation,
        "observe": mission.observe,
        "expires": milliseconds(mission.expires),
        "map": [_entry(entry) for entry in mission.authority.entries],
        "by": by,
        "why": why,
    }


def grant_record(grant: Grant, what: str, at: Instant, why: str = "", by: str = "") -> RecordBody:
    """A grant opened, ended or given a lane."""
    return {
        "kind": "grant",
        "at": milliseconds(at),
        "what": what,
        "grant": grant.id,
        "family": grant.family,
        "mission": grant.mission,
        "agent": grant.agent,
        "server": grant.server,
        "pass_binding": grant.binding,
        "jkt": grant.jkt,
        "gas_left": int(grant.gas_left),
        "gas_limit": int(grant.gas_limit),
        "expires": milliseconds(grant.expires),
        "why": why,
        "by": by,
    }


def pass_record(what: str, ask: Evaluation, shown: Shown, lane: int, seq: int, why: str, at: Instant) -> RecordBody:
    """A challenge, a re-send, a lost race or a reuse."""
    return {
        "kind": "pass",
        "at": milliseconds(at),
        "what": what,
        "evaluation": ask.id,
        "grant": shown.grant,
        "lane": lane,
        "seq": seq,
        "proof": shown.jti,
        "digest": ask.digest,
        "why": why,
    }


def approval_record(approval: Approval, at: Instant) -> RecordBody:
    """A question to a person, or its answer."""
    return {
        "kind": "approval",
        "at": milliseconds(at),
        "approval": approval.id,
        "asks": approval.kind,
        "mission": approval.mission,
        "subject": approval.subject,
        "target": approval.target,
        "digest": approval.digest,
        "text": approval.text,
        "why": approval.why,
        "state": approval.state,
        "answered_by": approval.answered_by,
        "confirmed_by": approval.confirmed_by,
    }


def tool_record(pin: ToolPin, what: str, at: Instant) -> RecordBody:
    """A tool definition pinned, changed or approved."""
    return {
        "kind": "tool",
        "at": milliseconds(at),
        "what": what,
        "tool": f"{pin.server}/{pin.tool}",
        "pin": pin.pin,
        "seen": pin.seen,
        "state": pin.state,
        "by": pin.approved_by,
    }


def _prompt(mission: Mission | None) -> Mapping[str, Json]:
    if mission is None:
        return {"mission": None, "person": None, "goal_digest": None, "source": None, "generation": None}
    return {
        "mission": mission.id,
        "person": mission.person,
        "goal_digest": digest_of(mission.goal.text),
        "source": mission.goal.source,
        "generation": mission.generation,
    }


def _factors(factors: IntentFactors | None) -> Json:
    if factors is None:
        return None
    named: dict[str, Json] = {r.name: _reading(r) for r in (factors.clarity, factors.fit, factors.risk)}
    named["T"] = {"seconds": round(float(factors.validity)), "why": factors.validity_why}
    return named


def _reading(reading: Reading) -> Json:
    return {"value": None if reading.value is None else round(float(reading.value), 4), "why": reading.why[:300]}


def _origin(origin: ArgumentOrigin) -> Json:
    # Never the value: it may be a secret or somebody's data.
    return {"path": origin.path, "role": origin.role, "origin": origin.origin, "source": origin.source}


def _entry(entry: AuthorityEntry) -> Json:
    return {
        "id": entry.id,
        "tool": entry.tool,
        "action": entry.action,
        "resource": entry.resource,
        "constraints": dict(entry.constraints),
        "uses_left": entry.uses_left,
        "state": entry.state,
        "approved_by": entry.approved_by,
        "why": entry.why,
    }


def stop_record(stop: Stop, what: str, at: Instant) -> RecordBody:
    """A pull of the kill switch, or its end."""
    return {
        "kind": "stop",
        "at": milliseconds(at),
        "what": what,
        "stop": stop.id,
        "scope": stop.scope,
        "target": stop.target,
        "why": stop.why,
        "by": stop.by,
    }
