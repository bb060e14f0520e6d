"""Where an argument's value came from: the question behind taint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """First place a value was seen, most trusted first."""

    GOAL = "goal"  # the person's own words
    OPERATOR = "operator"  # the operator's system text or policy
    ENDORSED = "endorsed"  # a source that a person endorsed for this verb
    FIELD = "field"  # a whole field of a structured tool result
    FREE_TEXT = "free_text"  # embedded in free text that a tool returned
    UNSEEN = "unseen"  # nowhere: the agent made it up
    TRIVIAL = "trivial"  # booleans, small numbers, empty values: carry no authority


class ArgumentRole(StrEnum):
    """What an argument is for (PACT's roles)."""

    TARGET = "target"  # destination: recipient, url, account, host, user
    SELECTOR = "selector"  # which existing thing: id, path, name
    COMMAND = "command"  # code, query, shell
    CREDENTIAL = "credential"
    AMOUNT = "amount"
    CONTENT = "content"  # free text that is carried
    CONTROL = "control"  # flags, limits, formats


@dataclass(frozen=True, slots=True)
class ArgumentOrigin:
    """One argument value with role and origin.

    `path` is the JSON pointer of the value in the arguments; `source` names the tool result (`files/read_file#3`) or is empty;
    `shown` is the value cut for people.
    """

    path: str
    role: ArgumentRole
    origin: Origin
    source: str
    shown: str
