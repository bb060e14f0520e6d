"""What written rules are told of a call, and what of that goes into its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.decide import Facts, Judgement
from jittrust.core.intent.attribution import Attribution
from jittrust.core.intent.disposition import disposition
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.origin import ArgumentOrigin
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.taxonomy_terms import TERMS, Disposition
from jittrust.core.mission.mission import Mission
from jittrust.core.model import Evaluation, Json, Tool
from jittrust.core.rules import Rules
from jittrust.core.scoring.risk import tainted

Fact: TypeAlias = str | int | bool | tuple[str, ...]

# Most argument names that a record lists; with more it lists none, and a replay of the rules knows that it does not know them.
_MOST_NAMES = 32
_LONGEST_NAME = 64
_NO_GOOD_SIGN = frozenset({Disposition.OVER_REACH, Disposition.DRIFT, Disposition.HIJACK_SUSPECT, Disposition.EVASIVE})


def told_of_act(
    tool: Tool, reading: ActionReading, origins: tuple[ArgumentOrigin, ...] | None, rules: Rules
) -> dict[str, Fact | Callable[[], Fact]]:
    """The facts of the act itself, or how to make them. A fact that is not known is left out."""
    hints = tool.annotations
    declared = {"read_only": hints.read_only, "destructive": hints.destructive, "idempotent": hints.idempotent}
    told: dict[str, Fact | Callable[[], Fact]] = {
        "intent": reading.intent,
        "consequential": reading.consequential,
        "open_world": reading.open_world,
        "sensitive": max(reading.sensitivity_in, reading.sensitivity_out) >= rules.sensitive_from,
        **{name: value for name, value in declared.items() if value is not None},
    }
    if origins is not None:
        told["tainted"] = lambda: bool(tainted(origins, reading))
    return told


def how_it_stands(
    mission: Mission,
    reading: ActionReading,
    ask: Evaluation,
    origins: tuple[ArgumentOrigin, ...],
    found: Attribution | None,
    entry: AuthorityEntry | None,
) -> str:
    """How the call stands to the goal, in the taxonomy's word; empty where the goal's words name no act at all. `entry`: what covers it in the map."""
    return str(disposition(read_goal(mission.goal), reading, ask.arguments, origins, found, entry) or "")


def in_a_word(ask: Evaluation, facts: Facts, entry: AuthorityEntry | None) -> str:
    """The first sentence of a question to a person: how the call stands to the goal, where that is no good sign; else empty."""
    if facts.mission is None or facts.reading is None or facts.origins is None:
        return ""
    word = how_it_stands(facts.mission, facts.reading, ask, facts.origins, facts.attribution, entry)
    if word not in _NO_GOOD_SIGN:
        return ""
    return f"{word.replace('_', ' ').capitalize()}: {TERMS[f'disposition:{word}'].definition}"


def policy_link(ask: Evaluation, facts: Facts, judgement: Judgement, rules: Rules) -> Mapping[str, Json]:
    """What the rules said of a call and what they were told, for its record; empty where they were not asked.

    Values of arguments are left out: they may be secrets or somebody's data. So `targets`, `selectors` and `arg_NAME` are not in a record.
    """
    if facts.mission is None or facts.policy is None or ask.resource.type == "protocol":
        return {}
    known: dict[str, Json] = {"goal_stated": facts.mission.goal.stated}
    if facts.tool is not None and facts.reading is not None:
        act = told_of_act(facts.tool, facts.reading, facts.origins, rules)
        known |= {name: _plain(fact() if callable(fact) else fact) for name, fact in act.items()}
        if facts.origins is not None and facts.mission.goal.stated:
            known["disposition"] = how_it_stands(
                facts.mission, facts.reading, ask, facts.origins, facts.attribution, judgement.entry
            )
    names = sorted(ask.arguments)
    if len(names) <= _MOST_NAMES and all(len(name) <= _LONGEST_NAME for name in names):
        known["arguments"] = list[Json](names)
    return {
        "permits": list[Json](facts.policy.permits),
        "forbids": list[Json](facts.policy.forbids),
        "inside": judgement.entry is not None,
        "told": known,
    }


def _plain(fact: Fact) -> Json:
    return list(fact) if isinstance(fact, tuple) else fact
