"""Access questions about anything else than tools behind the broker: answered from written rules and the attributes that were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jittrust.core.model import Json
from jittrust.core.policy import PolicyAnswer


@dataclass(frozen=True, slots=True)
class Attributed:
    """A subject or resource of AuthZEN: type, id, properties."""

    type: str
    id: str
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttributeQuestion:
    """One AuthZEN question."""

    subject: Attributed
    action: str
    resource: Attributed
    action_properties: Mapping[str, Json] = field(default_factory=dict)
    context: Mapping[str, Json] = field(default_factory=dict)


class AttributePolicy(Protocol):
    """Answers from Cedar rules, schema and entities that an operator put into one folder. Synchronous."""

    def answer(self, question: AttributeQuestion) -> PolicyAnswer:
        """Which rules permit or forbid it; none of both = no. Raises BadInputError: code `attributes_bad`: they do not fit the schema."""
        ...

    def entities(self, kind: str) -> Sequence[str]:
        """Ids of known entities of a type, sorted, for searches."""
        ...

    def actions(self) -> Sequence[str]:
        """Names of all actions in the schema, sorted."""
        ...
