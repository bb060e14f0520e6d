"""Factor C: is this call usual for this agent? 1 = usual. From the agent's own calls, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from jittrust.core.history import History
from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.roles import ROLE_RULES, leaves
from jittrust.core.intent.words import bare_address, fold
from jittrust.core.model import Json, Reading, Tool
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class ContextRules:
    """Constants of C."""

    prior: float = 0.6  # C of an agent about which nothing is known
    strength: float = 20.0  # calls after which what was seen weighs as much as the prior
    half: float = 2.0  # sightings at which a thing is half usual
    tool: float = 0.3  # share of: the tool was used before
    intent: float = 0.25  # share of: the kind of act was done before
    step: float = 0.2  # share of: this tool came after that one before
    values: float = 0.25  # share of: these resources were touched before
    lowest: float = 0.05  # C never says "impossible"
    most_values: int = 16  # resource values of one call that are counted


CONTEXT_RULES = ContextRules()

_COUNTED = frozenset({ArgumentRole.TARGET, ArgumentRole.SELECTOR})


def fit(
    history: History | None,
    tool: Tool,
    reading: ActionReading,
    keys: Sequence[str],
    rules: ContextRules = CONTEXT_RULES,
) -> Reading:
    """Measure C. Unknown (None) when the history could not be loaded; the prior, with confidence 0, when it is empty.

    `keys` are the call's `value_keys`. Monotone: one more earlier call of the same kind never lowers C.
    """
    if history is None:
        return Reading("C", None, Unit(0.0), "core.scoring.context", "The agent's history could not be read.")
    parts = [
        (rules.tool, _usual(history.by_tool.get(tool.id, 0), rules)),
        (rules.intent, _usual(history.by_intent.get(reading.intent, 0), rules)),
        (rules.step, _usual(history.after.get((history.last_tool, tool.id), 0), rules)),
    ]
    if keys:
        known = sum(_usual(history.by_value.get(key, 0), rules) for key in keys) / len(keys)
        parts.append((rules.values, known))
    total = sum(share for share, _ in parts)
    seen = sum(share * usual for share, usual in parts) / total if total > 0.0 else rules.prior
    weight = history.calls / (history.calls + rules.strength)
    value = max(rules.lowest, (1.0 - weight) * rules.prior + weight * seen)
    return Reading(
        "C", Unit(min(1.0, value)), Unit(weight), "core.scoring.context", _sentence(history, tool, reading, keys)
    )


def value_keys(
    tool: Tool, arguments: Mapping[str, Json], roles: Mapping[str, ArgumentRole], rules: ContextRules = CONTEXT_RULES
) -> tuple[str, ...]:
    """Keys of `History.by_value` for the values that name a resource: `tool`, argument and digest of the value, joined by U+001F.

    Only a digest is kept: what an agent touched is not readable from its history.
    """
    keys: dict[str, None] = {}
    for path, value in islice(leaves(arguments), ROLE_RULES.most_leaves):
        if (
            roles.get(path) not in _COUNTED
            or not isinstance(value, str | int | float)
            or isinstance(value, bool)
            or value == ""
        ):
            continue
        named = next((part for part in reversed(path.split("/")) if part and not part.isdigit()), "")
        digest = hashlib.sha256(bare_address(fold(str(value))).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        keys[f"{tool.id}\x1f{named}\x1f{digest}"] = None
        if len(keys) >= rules.most_values:
            break
    return tuple(keys)


def _usual(count: int, rules: ContextRules) -> float:
    return count / (count + rules.half)


def _sentence(history: History, tool: Tool, reading: ActionReading, keys: Sequence[str]) -> str:
    if history.calls == 0:
        return "This agent has no history yet."
    used = history.by_tool.get(tool.id, 0)
    touched = len([key for key in keys if history.by_value.get(key, 0)])
    done = history.by_intent.get(reading.intent, 0)
    resources = f" It has touched {touched} of the {len(keys)} things that this call names." if keys else ""
    return f"In {history.calls} earlier calls this agent used {tool.id} {_times(used)} and did acts of the kind {reading.intent} {_times(done)}.{resources}"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
