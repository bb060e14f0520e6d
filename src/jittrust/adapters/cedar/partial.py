"""A rule's answer when not everything it looks at is known: yes, no, or unknown (Kleene's logic over Cedar's own evaluation of the parts)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import cedarpy


class Holds(Enum):
    """Whether something holds."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


Part = Mapping[str, Any]
"""An expression in Cedar's JSON."""
Leaf = Callable[[Part], Holds]

_NOT: Final = {Holds.YES: Holds.NO, Holds.NO: Holds.YES, Holds.UNKNOWN: Holds.UNKNOWN}


@dataclass(frozen=True, slots=True)
class PartialAnswer:
    """What rules say of a question of which not everything is known: ids of rules that hold, and of those of which it cannot be said."""

    permits: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    perhaps_permits: tuple[str, ...] = ()
    perhaps_forbids: tuple[str, ...] = ()


def truth(part: Part, leaf: Leaf) -> Holds:
    """Whether a condition holds. `leaf` answers for what is no `&&`, `||`, `!` or `if`; like Cedar, the right side is looked at only when needed."""
    if "&&" in part:
        left, right = part["&&"]["left"], part["&&"]["right"]
        first = truth(left, leaf)
        if first is Holds.NO:
            return first
        second = truth(right, leaf)
        return second if first is Holds.YES or second is Holds.NO else Holds.UNKNOWN
    if "||" in part:
        left, right = part["||"]["left"], part["||"]["right"]
        first = truth(left, leaf)
        if first is Holds.YES:
            return first
        second = truth(right, leaf)
        return second if first is Holds.NO or second is Holds.YES else Holds.UNKNOWN
    if "!" in part:
        return _NOT[truth(part["!"]["arg"], leaf)]
    if "if-then-else" in part:
        choice = part["if-then-else"]
        condition = truth(choice["if"], leaf)
        if condition is not Holds.UNKNOWN:
            return truth(choice["then" if condition is Holds.YES else "else"], leaf)
        first, second = truth(choice["then"], leaf), truth(choice["else"], leaf)
        return first if first is second else Holds.UNKNOWN
    value = part.get("Value")
    if isinstance(value, bool):
        return Holds.YES if value else Holds.NO
    return leaf(part)


def conditions(body: Part, leaf: Leaf) -> Holds:
    """Whether all `when` and no `unless` of a rule hold."""
    found = Holds.YES
    for condition in body.get("conditions", ()):
        one = truth(condition["body"], leaf)
        one = one if condition["kind"] == "when" else _NOT[one]
        if one is Holds.NO:
            return one
        found = one if found is Holds.YES else found
    return found


def facts_in(part: object) -> frozenset[str]:
    """Every fact that an expression looks at; the empty name stands for the whole of the context."""
    if isinstance(part, list):
        return frozenset[str]().union(*map(facts_in, part))
    if not isinstance(part, Mapping):
        return frozenset()
    if part.get("Var") == "context":
        return frozenset({""})
    for access in (part.get("."), part.get("has")):
        if isinstance(access, Mapping) and access.get("left") == {"Var": "context"}:
            return frozenset({str(access.get("attr"))})
    return frozenset[str]().union(*map(facts_in, part.values()))


def scope_alone(body: Part) -> str:
    """A permit with the scope of a rule and no condition, as the text of a policy set."""
    return _policy({name: body[name] for name in ("principal", "action", "resource")}, [])


def question_leaf(request: Mapping[str, Any], entities: cedarpy.Entities, unknown: Callable[[str], bool]) -> Leaf:
    """Answers for the parts of a condition by asking Cedar, and `UNKNOWN` for what looks at a fact that is not known.

    Args:
        request: the question, with what is known of its context.
        entities: who is in whom.
        unknown: whether a fact is not known (a fact that is known to be absent is known).
    """

    def leaf(part: Part) -> Holds:
        if any(map(unknown, facts_in(part) - {""})) or "" in facts_in(part):
            return Holds.UNKNOWN
        return holds(_policy(_ANY, [{"kind": "when", "body": part}]), request, entities)

    return leaf


def holds(policy: str, request: Mapping[str, Any], entities: cedarpy.Entities) -> Holds:
    """Whether the one permit of a policy set holds; `UNKNOWN` where Cedar cannot evaluate it."""
    answer = cedarpy.is_authorized(dict(request), _parsed(policy), entities)
    if answer.decision is cedarpy.Decision.NoDecision or answer.diagnostics.errors:
        return Holds.UNKNOWN
    return Holds.YES if answer.allowed else Holds.NO


_ANY: Final[Mapping[str, Any]] = {name: {"op": "All"} for name in ("principal", "action", "resource")}


def _policy(scope: Mapping[str, Any], when: list[Mapping[str, Any]]) -> str:
    body = {"effect": "permit", **scope, "conditions": when}
    return json.dumps({"templates": {}, "staticPolicies": {"one": body}, "templateLinks": []}, sort_keys=True)


@lru_cache(maxsize=1024)
def _parsed(policy: str) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_json_str(policy)
