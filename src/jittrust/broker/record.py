"""What goes into the ledger. Each use holds the five links: prompt → intent → policy → grant → action."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from jittrust.core.approval import Approval
from jittrust.core.authority.map import AuthorityEntry, Endorsement
from jittrust.core.authority.pin import ToolPin
from jittrust.core.decide import Facts, Judgement
from jittrust.core.grant.grant import Grant, Lane, Shown
from jittrust.core.intent.adoption import AdoptedBaseline
from jittrust.core.intent.baseline import Baseline
from jittrust.core.intent.cascade import TaskReading
from jittrust.core.intent.disposition import disposition
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.judge import JudgeSaid, nearest_clause
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole
from jittrust.core.intent.words import one_line
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.promotion import Promotion
from jittrust.core.model import Evaluation, IntentFactors, Json, Reading, Verdict
from jittrust.core.response.stop import Stop
from jittrust.core.secret import without_secrets
from jittrust.core.units import Instant
from jittrust.ports.commit import RecordBody
from jittrust.ports.decision_point import Outcome

INTENT_LINK_VERSION = 2
"""Version of what `intent_link` records; records without one are older and say less."""
# Roles whose values a person recognises by how they begin; contents, commands and credentials are not among them.
_RECOGNISED = frozenset({ArgumentRole.TARGET, ArgumentRole.SELECTOR, ArgumentRole.AMOUNT})
_BEGINNING = 4
_LONGEST_WORDS = 200
_LONG_WORD = re.compile(r"[\w+/=-]{20,}")
_LONGEST_PATH = 200


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
    intent: Mapping[str, Json],
    policy: Mapping[str, Json],
    forwarded: bool,
    observed: bool,
    at: Instant,
) -> RecordBody:
    """One judged call, let out or not. `intent`: what else was known of it, see `intent_link`; `policy`: likewise, `told.policy_link`."""
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
            **intent,
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


def outcome_record(
    evaluation: str, mission: str, resource: str, outcome: Outcome, at: Instant, found: TextFinding | None = None
) -> RecordBody:
    """What came back: how it ended, the digest of the texts and the signals that were found in them, never the texts."""
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
        "finding": None
        if found is None
        else {
            "source": found.source,
            "value": round(float(found.value), 4),
            "signals": list[Json](found.signals[:16]),
            "whole": found.whole,
        },
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
        "endorsements": [_endorsement(one) for one in mission.authority.endorsements],
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


def hop_record(grant: Grant, read: TaskReading) -> Json:
    """What an agent told the next one when it handed a grant on, and how far that lies from the person's words. Kept like a goal, and never one."""
    return {
        "number": len(grant.path),
        "said": grant.task,
        "digest": digest_of(grant.task) if grant.task else None,
        "code": read.intent,
        "distance": None if read.distance is None else round(read.distance, 4),
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
        "offer": None if approval.offer is None else _endorsement(approval.offer),
        "endorses": approval.endorses,
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
    # Never the value: it may be a secret or somebody's data. How it begins is enough for the person to know which one is meant.
    known = origin.role in _RECOGNISED or "#" in origin.path
    begins = {"begins": _beginning(origin.shown)} if known and origin.shown else {}
    return {
        "path": origin.path[:_LONGEST_PATH],
        "role": origin.role,
        "origin": origin.origin,
        "source": origin.source,
        **begins,
    }


def _beginning(shown: str) -> str:
    """The first few characters of a value, never more than half of it."""
    kept = min(_BEGINNING, len(shown) // 2)
    return f"{shown[:kept]}…" if kept else "…"


def intent_link(ask: Evaluation, facts: Facts, judgement: Judgement, said: JudgeSaid | None) -> Mapping[str, Json]:
    """What a person needs to understand a verdict later, in words that are cut and hold no secret; empty for what is no act.

    `said`: what the optional judge said; None = it was not asked.
    """
    reading, tool, mission, verdict = facts.reading, facts.tool, facts.mission, judgement.verdict
    if reading is None or tool is None or mission is None:
        return {}
    goal, found = read_goal(mission.goal), facts.attribution
    number, words = nearest_clause(mission.goal, tool, reading, ask.arguments)
    flow, worst = facts.flow, max(facts.findings, key=lambda one: one.value, default=None)
    stands = disposition(goal, reading, ask.arguments, facts.origins or (), found, judgement.entry)
    return {
        "version": INTENT_LINK_VERSION,
        "disposition": stands,
        "misaligned": None if verdict.misaligned is None else _reading(verdict.misaligned),
        "clause": {"number": number, "words": _cut(words)} if number else None,
        "sentence": {"source": found.source, "words": _quoted(found.sentence), "ordered": found.ordered}
        if found is not None and found.sentence
        else None,
        "finding": None
        if worst is None
        else {
            "source": worst.source,
            "value": round(float(worst.value), 4),
            "signals": list[Json](worst.signals[:8]),
            "quote": _quoted(worst.quote),
        },
        "flow": None
        if flow is None
        else {"untrusted": flow.untrusted, "private": flow.private, "outward": _cut(flow.outward)},
        "cascade": None if facts.cascade is None else _reading(facts.cascade),
        "dialogue": None if facts.dialogue is None else _reading(facts.dialogue),
        "judge": None if said is None else _judged(said),
    }


def _judged(said: JudgeSaid) -> Json:
    answer = said.answer
    told: dict[str, Json] = {"model": said.model, "milliseconds": round(said.seconds * 1000), "kept": said.kept}
    if answer is None:
        return {**told, "no_answer": said.why}
    return {
        **told,
        "relation": answer.relation,
        "clause": answer.clause,
        "confidence": round(float(answer.confidence), 4),
    }


def _cut(text: str) -> str:
    return one_line(without_secrets(text), _LONGEST_WORDS)


def _quoted(text: str) -> str:
    """A stranger's words, cut. They are kept folded, where tokens lose the capitals that give them away: whatever looks like one goes."""

    def token(found: re.Match[str]) -> str:
        word = found[0]
        mixed = any(map(str.isdigit, word)) and any(map(str.isalpha, word))
        return f"{word[:_BEGINNING]}…" if mixed else word

    return _cut(_LONG_WORD.sub(token, text))


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


def _endorsement(one: Endorsement) -> Json:
    return {
        "id": one.id,
        "tool": one.tool,
        "selectors": dict(one.selectors),
        "intents": list(one.intents),
        "amount_most": one.amount_most,
        "state": one.state,
        "approved_by": one.approved_by,
        "why": one.why,
        "warned": one.warned,
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


def baseline_record(value: AdoptedBaseline, baseline: Baseline, what: str, at: Instant) -> RecordBody:
    """A baseline adopted or dropped: which one, what it allows itself, what it promised; never what it holds."""
    return {
        "kind": "baseline",
        "at": milliseconds(at),
        "what": what,
        "digest": value.digest,
        "goals": baseline.goals,
        "tools": len(baseline.tools),
        "threshold": round(baseline.threshold, 4),
        "budget": {"calls": baseline.calls_budget, "missions": baseline.missions_budget},
        "promised": {"calls": round(baseline.calls_promised, 4), "missions": round(baseline.missions_promised, 4)},
        "by": value.by,
        "why": value.why,
    }


def friction_record(digest: str, asked: int, judged: int, promised: float, at: Instant) -> RecordBody:
    """A baseline asks more than it promised, beyond chance."""
    return {
        "kind": "baseline",
        "at": milliseconds(at),
        "what": "friction_above_promise",
        "digest": digest,
        "asked": asked,
        "judged": judged,
        "promised": round(promised, 4),
    }


def promotion_record(value: Promotion, what: str, by: str, why: str, at: Instant) -> RecordBody:
    """An agent is not only observed any more, or is again."""
    return {"kind": "promotion", "at": milliseconds(at), "what": what, "agent": value.id, "by": by, "why": why}
