"""Where a rule stands in its file, and what is wrong there. Cedar itself tells neither lines nor columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# A comment, a string, an end of rule: only what is needed to know where a rule ends.
_PIECE: Final = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;', re.DOTALL)
_QUOTED: Final = re.compile(r"`([^`]+)`")
MOST_NESTED: Final = 50
MOST_JOINED: Final = 200
_JOINS: Final = re.compile(r"&&|\|\||\bif\b|[-+*]")
_CHAIN: Final = re.compile(r"(?:(?:\.\s*\w+|\[[^\[\]]*\]|\([^()]*\))\s*){50}")
# How often it is tried to find where the parser stopped, before the beginning of the rule will do.
_TRIES: Final = 200


class FindingLevel(StrEnum):
    """How bad it is."""

    ERROR = "error"  # nothing starts with it
    WARNING = "warning"  # it loads, and does not do what it seems to


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """Something wrong with a policy.

    Attributes:
        level: whether it can be loaded all the same.
        code: stable: `not_cedar`, `no_name`, `name_taken`, `not_in_schema`, `unknown_fact`, `never_matches`, `unknown_word`,
            `shadowed_permit`, `adds_nothing`.
        file, line, column: where, both from 1.
        rule: its `@id`; empty where it has none.
        text: what is wrong.
    """

    level: FindingLevel
    code: str
    file: str
    line: int
    column: int
    rule: str
    text: str

    @property
    def told(self) -> str:
        """`file:line:column: rule "id": what is wrong`."""
        named = f'rule "{self.rule}": ' if self.rule else ""
        return f"{self.file}:{self.line}:{self.column}: {named}{self.text}"


@dataclass(frozen=True, slots=True)
class PolicyStatement:
    """The text of one rule, and where it begins in the text of the file."""

    text: str
    start: int
    whole: str

    def place(self, offset: int = 0) -> tuple[int, int]:
        """Line and column, from 1, of a place in the rule."""
        at = self.start + offset
        return self.whole.count("\n", 0, at) + 1, at - self.whole.rfind("\n", 0, at)

    def find(self, word: str) -> int | None:
        """Where `word` stands as a word of its own, outside comments; None where it does not."""
        hidden = [match.span() for match in _PIECE.finditer(self.text) if match[0].startswith("//")]
        edge = r"(?<!\w)" if word[:1].isalnum() else "", r"(?!\w)" if word[-1:].isalnum() else ""
        for match in re.finditer(edge[0] + re.escape(word) + edge[1], self.text):
            if not any(start <= match.start() < end for start, end in hidden):
                return match.start()
        return None

    def too_deep(self) -> str:
        """Why it is not handed to Cedar: its parser has no limit of its own, and what is nested too deep ends the whole process. Empty: it is."""
        bare = _PIECE.sub(lambda match: '""' if match[0].startswith('"') else " ", self.text)
        depth = 0
        for sign in bare:
            depth += (sign in "([{") - (sign in ")]}")
            if depth > MOST_NESTED:
                return f"it is nested deeper than {MOST_NESTED} brackets"
        if _CHAIN.search(bare):
            return "too many members or methods are asked for one after the other"
        if sum(1 for _ in _JOINS.finditer(bare)) > MOST_JOINED:
            return f"more than {MOST_JOINED} conditions are joined in it: write several rules"
        return ""

    def find_named(self, message: str) -> int:
        """Where the first thing that `message` names in back quotes stands; 0, the start of the rule, where it names nothing that is there."""
        for named in _QUOTED.findall(message):
            # `context.intent` before `intent`: a fact is often the name of something else as well.
            for word in (f".{named}", named):
                if (found := self.find(word)) is not None:
                    return found + (1 if word.startswith(".") else 0)
        return 0

    def find_unexpected(self, message: str, parse: Callable[[str], str]) -> int:
        """Where Cedar's parser stopped. `parse` gives the parser's complaint about a text, empty when there is none.

        A token is where the complaint is about it as soon as the text is cut behind it.
        """
        if message == "unexpected end of input":
            return len(self.text.rstrip())
        named = _QUOTED.findall(message)
        if not message.startswith("unexpected token") or not named:
            return self.find_named(message)
        at = self.text.find(named[0])
        for _ in range(_TRIES):
            if at < 0:
                break
            if parse(self.text[: at + len(named[0])]) == message:
                return at
            at = self.text.find(named[0], at + 1)
        return 0


def statements(text: str) -> Iterator[PolicyStatement]:
    """Each rule of a file."""
    start = 0
    ends = [match.end() for match in _PIECE.finditer(text) if match[0] == ";"]
    for end in (*ends, len(text)):
        piece = text[start:end]
        bare = re.sub(r"\s+", "", _PIECE.sub(lambda match: "" if match[0].startswith("//") else match[0], piece))
        if bare:
            skipped = re.match(r"(?:\s|//[^\n]*)*", piece)
            lead = skipped.end() if skipped else 0
            yield PolicyStatement(piece[lead:], start + lead, text)
        start = end
