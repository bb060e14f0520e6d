"""What other written rules would have said of the calls that the ledger records. Nothing is called, nothing is changed.

A record holds what the rules were told, without the values of arguments. Where a rule looks at one of those, or an older record lacks a fact, the
answer is `unknown`: nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from jittrust.adapters.cedar.partial import PartialAnswer
from jittrust.adapters.cedar.policy import SHIPPED, CedarPolicy, fact_types
from jittrust.core.model import Json, Ruling
from jittrust.core.rules import Rules
from jittrust.ports.policy import PolicyQuestion


class WouldBe(StrEnum):
    """What would come of a call."""

    ALLOW = "allow"
    STEP_UP = "step_up"
    DENY = "deny"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A judged call as the ledger has it.

    Attributes:
        index, at, evaluation: where and when (ms since 1970).
        question: what the rules were asked, with the facts that the record holds.
        known: names of facts of which the record tells whether they were there; None: it tells nothing of facts.
        ruling, codes: what was decided and why.
        inside: whether the authority map covers the call; None: not recorded.
        risk: 0..1; wis: 0..100; drift: 0..1; None: not known.
        mission: its id.
    """

    index: int
    at: int
    evaluation: str
    question: PolicyQuestion
    known: frozenset[str] | None
    ruling: Ruling
    codes: frozenset[str]
    inside: bool | None
    risk: float | None
    wis: float | None
    drift: float | None
    mission: str

    @property
    def forbidden(self) -> bool:
        """Whether a rule forbade it."""
        return "policy_forbids" in self.codes

    def unknown(self, fact: str) -> bool:
        """Whether the record does not tell of a fact."""
        if fact in _ALWAYS or fact in self.question.facts:
            return False
        if self.known is None:
            return True
        names = self.question.facts.get("arguments")
        if fact.startswith("arg_"):
            return not isinstance(names, tuple) or fact.removeprefix("arg_") in names
        return fact in _NEVER or fact not in self.known

    def fact(self, name: str) -> bool | None:
        """A fact that is true or false; None where that is not known."""
        found = self.question.facts.get(name)
        return found if isinstance(found, bool) else None


@dataclass(frozen=True, slots=True)
class SimulatedDecision:
    """What would become of a recorded call: the same, something else, or unknown; and the rules that make it so."""

    recorded: RecordedDecision
    would_be: WouldBe
    rules: tuple[str, ...]
    why: str

    @property
    def changed(self) -> bool:
        """Whether it is not certainly the same."""
        return self.would_be is not _SAME[self.recorded.ruling]


_SAME: Final = {
    Ruling.ALLOW: WouldBe.ALLOW,
    Ruling.MODIFY: WouldBe.ALLOW,
    Ruling.STEP_UP: WouldBe.STEP_UP,
    Ruling.DEFER: WouldBe.STEP_UP,
    Ruling.DENY: WouldBe.DENY,
}
# In every record. `mission` is left out of the facts that a rule sees only where no mission stands behind the call, and then no rule is asked.
_ALWAYS: Final = frozenset({"person", "server", "mission", "goal_source", "pass_binding"})
# In no record: values of arguments.
_NEVER: Final = frozenset({"targets", "selectors"})
# Outside the map and so for a person, which a permit would have made an allowed call; and the one refusal for which that is so too.
_OUTSIDE: Final[Mapping[WouldBe, frozenset[str]]] = {
    WouldBe.STEP_UP: frozenset(
        {"outside_map", "waits_for_person", "constraint_failed", "uses_exhausted", "tool_changed", "no_goal"}
    ),
    WouldBe.DENY: frozenset({"outside_map_dangerous"}),
}
# A record rounds the score to two places.
_ROUNDED: Final = 0.005
_ASKS: Final = frozenset(
    {
        "tainted_argument",
        "unnamed_target",
        "other_target",
        "misaligned",
        "factor_unknown",
        "low_wis",
        "drift",
        "narrowed",
    }
)


def recorded_decisions(entries: Iterable[bytes]) -> Iterator[RecordedDecision]:
    """The calls among ledger entries that the rules were, or could have been, asked about."""
    for entry in entries:
        record: Mapping[str, Any] = json.loads(entry)
        if record.get("kind") not in {"use", "refusal"}:
            continue
        found = _decision(record)
        if found is not None:
            yield found


def _decision(record: Mapping[str, Any]) -> RecordedDecision | None:
    prompt, intent, policy, grant, action = (
        _part(record, name) for name in ("prompt", "intent", "policy", "grant", "action")
    )
    kind, thing = action.get("type") or _KINDS.get(str(action.get("method")), ""), str(action.get("resource"))
    if not prompt.get("mission") or kind in {"", "protocol"} or thing.endswith("/request_access"):
        return None
    told = policy.get("told")
    facts: dict[str, str | bool | tuple[str, ...]] = {
        "mission": str(prompt["mission"]),
        "goal_source": str(prompt.get("source")),
        "pass_binding": str(grant.get("pass_binding")),
    }
    if intent.get("code"):
        facts["intent"] = str(intent["code"])
    if isinstance(told, Mapping):
        facts |= {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in told.items()}
    known = frozenset(fact_types()) - _NEVER if isinstance(told, Mapping) else None
    if known is not None and "arguments" not in facts:
        known -= {"arguments"}
    if known is not None and "disposition" not in facts and "version" not in intent:
        known -= {"disposition"}  # older records do not say it, whatever it was
    codes = frozenset(str(reason.get("code")) for reason in policy.get("reasons", ()) if isinstance(reason, Mapping))
    return RecordedDecision(
        index=int(record.get("index", -1)),
        at=int(record.get("at", 0)),
        evaluation=str(record.get("evaluation")),
        question=PolicyQuestion(
            agent=str(_part(record, "subject").get("id")),
            person=str(prompt.get("person")),
            action=str(action.get("method")),
            resource_type=str(kind),
            resource=thing,
            server=thing.partition("/")[0],
            facts=facts,
        ),
        known=known,
        ruling=Ruling(str(policy.get("ruling"))),
        codes=codes,
        inside=policy.get("inside") if isinstance(policy.get("inside"), bool) else None,
        risk=_part(_part(intent, "factors"), "R").get("value"),
        wis=intent.get("wis"),
        drift=intent.get("drift"),
        mission=str(prompt["mission"]),
    )


# What older records, which do not say what kind of thing was asked for, are about.
_KINDS: Final = {
    "tools/call": "tool",
    "resources/read": "resource",
    "resources/subscribe": "resource",
    "prompts/get": "prompt",
    "sampling/createMessage": "client",
    "elicitation/create": "client",
    "roots/list": "client",
}


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


class Simulation:
    """Other rules over recorded calls."""

    def __init__(self, rules: CedarPolicy, in_force: CedarPolicy, numbers: Rules) -> None:
        """`in_force`: the rules that judge calls now; what they share with `rules` cannot have changed where it cannot be evaluated."""
        self._rules = rules
        self._same = rules.same_rules(in_force)
        self._numbers = numbers
        self.met: dict[str, int] = {rule.id: 0 for rule in rules.rules if rule.file != SHIPPED}
        """For how many calls each rule, the shipped ones aside, held or may have held."""

    def judge(self, recorded: RecordedDecision) -> SimulatedDecision:
        """What would have become of a call."""
        answer = self._rules.answer_in_part(recorded.question, recorded.unknown)
        for rule in (*answer.permits, *answer.forbids, *answer.perhaps_permits, *answer.perhaps_forbids):
            if rule in self.met:
                self.met[rule] += 1
        would_be, rules, why = self._would_be(recorded, answer)
        return SimulatedDecision(recorded, would_be, rules, why)

    def _would_be(self, recorded: RecordedDecision, answer: PartialAnswer) -> tuple[WouldBe, tuple[str, ...], str]:
        same = _SAME[recorded.ruling]
        # A rule that is the same as in force has already had its say in the record, whatever it looked at.
        forbids = tuple(rule for rule in answer.perhaps_forbids if rule not in self._same)
        permits = tuple(rule for rule in answer.perhaps_permits if rule not in self._same)
        if answer.forbids:
            return WouldBe.DENY, answer.forbids, "forbidden by rule"
        if recorded.forbidden:
            if any(rule in self._same for rule in answer.perhaps_forbids):
                return same, (), ""
            return (
                WouldBe.UNKNOWN,
                forbids,
                "no longer forbidden by a rule that can be evaluated: goal, map and scores decide",
            )
        if forbids and same is not WouldBe.DENY:
            return WouldBe.UNKNOWN, forbids, "looks at what the record does not hold"
        if recorded.codes & _OUTSIDE.get(same, frozenset()):
            if answer.permits:
                return self._permitted(recorded, answer.permits)
            return (WouldBe.UNKNOWN, permits, "looks at what the record does not hold") if permits else (same, (), "")
        if "policy_permits" in recorded.codes and not answer.permits and same is not WouldBe.DENY:
            if any(rule in self._same for rule in answer.perhaps_permits):
                return same, (), ""
            if permits:
                return WouldBe.UNKNOWN, permits, "looks at what the record does not hold"
            return self._no_longer_permitted(recorded, same)
        return same, (), ""

    def _permitted(self, recorded: RecordedDecision, permits: tuple[str, ...]) -> tuple[WouldBe, tuple[str, ...], str]:
        if recorded.codes & _ASKS:
            asks = ", ".join(sorted(recorded.codes & _ASKS))
            return WouldBe.STEP_UP, permits, f"permitted by rule, and a person is asked all the same: {asks}"
        if recorded.fact("consequential"):
            return self._measured(recorded, permits)
        if (
            recorded.fact("consequential") is None
            or recorded.risk is None
            or recorded.risk >= self._numbers.ask_read_from
        ):
            return (
                WouldBe.UNKNOWN,
                permits,
                "permitted by rule; whether it reads a secret that the goal does not name is not recorded",
            )
        return WouldBe.ALLOW, permits, "permitted by rule"

    def _measured(self, recorded: RecordedDecision, permits: tuple[str, ...]) -> tuple[WouldBe, tuple[str, ...], str]:
        """A call with consequences that the map does not cover: score and drift had no say while a person was asked anyway."""
        if recorded.wis is None or abs(recorded.wis - self._numbers.ask_below) <= _ROUNDED:
            return WouldBe.UNKNOWN, permits, "permitted by rule; the score is not in the record, or too near the bound"
        low = recorded.wis < self._numbers.ask_below
        far = recorded.drift is not None and recorded.drift >= self._numbers.drift_from
        if low or far:
            asks = ", ".join(name for name, asked in (("low_wis", low), ("drift", far)) if asked)
            return WouldBe.STEP_UP, permits, f"permitted by rule, and a person is asked all the same: {asks}"
        return WouldBe.ALLOW, permits, "permitted by rule"

    def _no_longer_permitted(self, recorded: RecordedDecision, same: WouldBe) -> tuple[WouldBe, tuple[str, ...], str]:
        gone = "no longer permitted by rule"
        if recorded.inside or "approved_by_person" in recorded.codes:
            return same, (), ""
        if recorded.inside is None:
            return WouldBe.UNKNOWN, (), f"{gone}; whether the map covers it is not recorded"
        consequential, open_world = recorded.fact("consequential"), recorded.fact("open_world")
        if consequential is None or open_world is None or recorded.fact("goal_stated") is None:
            return WouldBe.UNKNOWN, (), f"{gone}; what kind of call it is is not recorded"
        plain_read = not consequential and not open_world
        if plain_read and recorded.question.resource_type in {"resource", "prompt"}:
            return WouldBe.UNKNOWN, (), f"{gone}; whether the mission concerns the server is not recorded"
        if not recorded.fact("goal_stated"):
            return (same, (), "") if plain_read else (WouldBe.STEP_UP, (), f"{gone}, and no goal is known")
        if consequential and recorded.fact("tainted") and (recorded.risk or 0.0) >= self._numbers.deny_outside_from:
            return WouldBe.DENY, (), f"{gone}, outside the map, and a stranger's value is in it"
        return WouldBe.STEP_UP, (), f"{gone}, and outside the map"


def told(decision: SimulatedDecision) -> Mapping[str, Json]:
    """A changed decision as one JSON object."""
    recorded, asked = decision.recorded, decision.recorded.question
    return {
        "index": recorded.index,
        "at": recorded.at,
        "evaluation": recorded.evaluation,
        "mission": recorded.mission,
        "agent": asked.agent,
        "person": asked.person,
        "action": asked.action,
        "resource": asked.resource,
        "recorded": str(recorded.ruling),
        "would_be": str(decision.would_be),
        "rules": list[Json](decision.rules),
        "why": decision.why,
    }
