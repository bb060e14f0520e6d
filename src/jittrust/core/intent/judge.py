"""What an optional language model is asked about a call that stays grey, and what its answer may do: add a question, never answer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jittrust.core.model import Json, Reason
from jittrust.core.units import Unit


class Relation(StrEnum):
    """How a call relates to the goal, as the judge sees it."""

    ALIGNED = "aligned"
    SUPPORTS = "supports"
    UNRELATED = "unrelated"
    CONTRADICTS = "contradicts"


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """What the judge sees: the person's clauses, the tool as pinned, the call with the origin of each value. Never what a tool returned.

    `clauses`: number → words of the person. `arguments`: JSON pointer → (value as shown, origin); a value that only a stranger's text has is told
    by its role and length, not by its words.
    """

    clauses: Mapping[str, str]
    tool: str
    description: str
    schema: Mapping[str, Json]
    arguments: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class JudgeAnswer:
    """A strict answer. `clause`: which clause it goes by, empty = none. `confidence`: 0..1."""

    relation: Relation
    clause: str
    confidence: Unit


def doubt_of_judge(answer: JudgeAnswer | None, confident: float) -> Reason | None:
    """Why a person is asked because of the judge; None without an answer, with a good one, or one it is not sure of."""
    if answer is None or answer.relation in (Relation.ALIGNED, Relation.SUPPORTS) or answer.confidence < confident:
        return None
    return Reason(
        "judge_doubts",
        f"The judge finds the call {answer.relation} to the goal (confidence {answer.confidence:.2f}).",
        "Say it in the goal, or approve this one call: jittrust approve.",
    )
