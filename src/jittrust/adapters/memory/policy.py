"""Rules as plain functions: the fake of the written policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jittrust.core.errors import UnavailableError
from jittrust.core.policy import PolicyAnswer
from jittrust.ports.policy import PolicyQuestion


@dataclass(frozen=True, slots=True)
class MemoryRule:
    """One rule: its id, whether it permits or forbids, and when it holds."""

    id: str
    permits: bool
    holds: Callable[[PolicyQuestion], bool]


class MemoryPolicy:
    """`ports.policy.Policy` over functions. Permits are named only where nothing forbids."""

    def __init__(self, rules: Sequence[MemoryRule] = ()) -> None:
        self._rules = tuple(rules)

    def answer(self, question: PolicyQuestion) -> PolicyAnswer:
        try:
            fired = [rule for rule in self._rules if rule.holds(question)]
        except (KeyError, TypeError, ValueError) as error:
            raise UnavailableError("policy_unavailable", f"The policy could not be evaluated: {error}") from error
        forbids = tuple(sorted(rule.id for rule in fired if not rule.permits))
        return PolicyAnswer(forbids=forbids) if forbids else PolicyAnswer(tuple(sorted(rule.id for rule in fired)))
