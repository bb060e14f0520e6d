"""Rules people write. The policy sees facts, never scores; forbid wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.policy import PolicyAnswer


@dataclass(frozen=True, slots=True)
class PolicyQuestion:
    """What the policy may look at. `facts` holds only strings, whole numbers, booleans and lists of strings."""

    agent: str
    person: str
    action: str
    resource_type: str
    resource: str
    server: str
    facts: Mapping[str, str | int | bool | tuple[str, ...]]


class Policy(Protocol):
    """Answers from written rules. Synchronous: rules are compiled and in memory."""

    def answer(self, question: PolicyQuestion) -> PolicyAnswer:
        """Which rules permit or forbid it.

        Raises:
            UnavailableError: code `policy_unavailable`: the rules could not be evaluated (treated as a refusal by the caller).
        """
        ...
