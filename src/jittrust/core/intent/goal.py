"""What a person's words ask for: clauses with their verbs, what they are about, what they forbid, and the identifiers in them.

Only trusted text gets in here. Deterministic and linear; in a language that is not known it finds identifiers and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

from jittrust.core.intent.quoted import own_words
from jittrust.core.intent.words import (
    BEFORE_NOUN,
    CONCEPTS,
    GOAL_VERBS,
    IMPLIED,
    MAKING,
    NOMINAL,
    NOUN_TOO,
    Literal,
    LiteralKind,
    VerbClass,
    concepts,
    content_stems,
    fold,
    literals,
    stem,
    visible,
    words,
)
from jittrust.core.mission.mission import Goal

_Verb: TypeAlias = tuple[str, tuple[VerbClass, ...]]


@dataclass(frozen=True, slots=True)
class Clause:
    """One stretch of a goal between commas, "and", "then" and full stops.

    Attributes:
        verbs: stems of its verbs with every class a person may mean.
        forbidden: likewise, of verbs under a "do not".
        stems: stems of its words that carry meaning.
        about: what these may stand for, its identifiers and implied objects included.
        refers: it has a pronoun ("send it to …"), so that it is also about what the clauses before are about.
        reach_stems, reach_about: `stems` and `about`, with those of the clauses that it refers to.
        said: its words, folded.
        delegates: it asks to do what some content says ("do what the mail says"), not what the goal itself lists ("the following tasks").
    """

    verbs: tuple[tuple[str, tuple[VerbClass, ...]], ...]
    forbidden: tuple[tuple[str, tuple[VerbClass, ...]], ...]
    stems: frozenset[str]
    about: frozenset[str]
    refers: bool
    reach_stems: frozenset[str] = frozenset()
    reach_about: frozenset[str] = frozenset()
    said: str = ""
    delegates: bool = False


@dataclass(frozen=True, slots=True)
class GoalRules:
    """Bounds of reading a goal."""

    longest: int = 20_000  # characters read; beyond, no act is approved without a person
    most_clauses: int = 400  # clauses read; likewise
    furthest: int = 3  # clauses that a pronoun reaches back over


GOAL_RULES = GoalRules()


@dataclass(frozen=True, slots=True)
class GoalReading:
    """A goal, read.

    `delegates`: it points at content as the source of instructions ("do what the mail says"). `whole`: all of it was read; what was not read may
    have forbidden anything. `spelled`: stem → the word as the person wrote it first. `by_verb`: places of
    the clauses that name or forbid a verb, by its stem and by every class it may mean.
    """

    clauses: tuple[Clause, ...]
    stems: frozenset[str]
    about: frozenset[str]
    literals: tuple[Literal, ...]
    delegates: bool
    whole: bool
    spelled: Mapping[str, str] = field(compare=False, repr=False)
    by_verb: Mapping[str | VerbClass, tuple[int, ...]] = field(compare=False, repr=False)

    @property
    def classes(self) -> frozenset[VerbClass]:
        """Every class that a verb of the goal may mean; what is forbidden is left out."""
        return frozenset(kind for clause in self.clauses for _, kinds in clause.verbs for kind in kinds)


@dataclass(frozen=True, slots=True)
class Mention:
    """How a goal names an act.

    Attributes:
        verb: some clause has a verb of this kind.
        both: one clause has the verb and what the act is about.
        spoken: one clause has this very verb.
        forbidden: a "do not" clause has the verb and what the act is about, and no other clause asks for it.
        why: the words, for people.
    """

    verb: bool
    both: bool
    spoken: bool
    forbidden: bool
    why: str


# A full stop ends a sentence only before white space, so that addresses stay whole.
_SENTENCES = re.compile(r"[.!?;:]+(?=\s|$)|\n+")
_CLAUSES = re.compile(r",|\b(?:and|then|but|after that|afterwards|before|while|so that|once|if)\b", re.IGNORECASE)
# A capital in mid-sentence begins a name. Days and months are no names.
_NAME = re.compile(r"(?<=[\w,:;)] )['\"]?[A-Z][a-z]+\b")
_NO_NAME = re.compile(r"['\"]?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*$")
_NEGATION = re.compile(
    r"\b(?:do not|don't|dont|never|must not|mustn't|should not|shouldn't|cannot|can't|without|avoid|no need to|instead of|not to|rather than"
    r"|refrain from)\b(?! (?:forget|hesitate|worry|miss)\b)"
)
_REFERS = re.compile(r"\b(?:it|them|this|that|these|those|her|him|there|one|ones|same|so)\b")
_DELEGATES = re.compile(
    r"\b(?:follow|do|perform|complete|execute|carry out|handle|work through|act on|obey|address)\b[^.!?\n]{0,60}"
    r"\b(?:instructions?|tasks?|to-?dos?|steps?|actions?|requests?|what\b[^.!?\n]{0,40}\b(?:says?|asks?|tells?|wants?))"
)
_LISTED = re.compile(r"\b(?:following|below|these)\b")
_STANDS_FOR = {
    LiteralKind.EMAIL: frozenset({"mail", "person"}),
    LiteralKind.URL: frozenset({"web"}),
    LiteralKind.IBAN: frozenset({"money"}),
    LiteralKind.AMOUNT: frozenset({"money"}),
    LiteralKind.PATH: frozenset({"file", "folder"}),
    LiteralKind.FILENAME: frozenset({"file"}),
    LiteralKind.DATE: frozenset({"time"}),
}
# How a concept is said when the goal has it in other words.
_ARTICLES = {
    "event": "an ",
    "money": "",
    "mail": "",
    "goods": "",
    "memory": "",
    "time": "",
    "travel": "",
    "web": "the ",
}
_SIGNS_IN = re.compile(r"\b(?:log|sign)(?:ged|ging)? (?:[\w']+ ){0,4}in\b")
_CREDENTIALS = frozenset(("password", "passcod", "passphras", "credential"))
_QUOTED = frozenset({LiteralKind.QUOTED})
_BEFORE_GERUND = frozenset(("with", "by", "of", "from", "for", "on", "in", "at"))
_NOMINAL_REACH = 5


@lru_cache(maxsize=256)
def read_goal(goal: Goal) -> GoalReading:
    """Read every statement of the goal. The same goal is read once (the result depends on nothing else)."""
    clauses: list[Clause] = []
    room = GOAL_RULES.longest
    for text in goal.texts:
        # What the person quotes is content: it names values, and it asks for nothing.
        for one in _sentences(text[:room]):
            if len(clauses) <= GOAL_RULES.most_clauses:
                clauses.extend(one)
        room -= min(room, len(text))
    kept = _reaching(clauses[: GOAL_RULES.most_clauses])
    read = goal.text[: GOAL_RULES.longest]
    by_verb: dict[str | VerbClass, dict[int, None]] = {}
    for place, clause in enumerate(kept):
        for root, kinds in (*clause.verbs, *clause.forbidden):
            for name in (root, *kinds):
                by_verb.setdefault(name, {})[place] = None
    return GoalReading(
        clauses=kept,
        stems=frozenset().union(*(clause.stems for clause in kept)) if kept else frozenset(),
        about=frozenset().union(*(clause.about for clause in kept)) if kept else frozenset(),
        literals=literals(read),
        delegates=any(_DELEGATES.search(fold(own_words(text[: GOAL_RULES.longest]))) for text in goal.texts),
        whole=sum(map(len, goal.texts)) <= GOAL_RULES.longest and len(clauses) <= GOAL_RULES.most_clauses,
        spelled=_spelled(read),
        by_verb={name: tuple(places) for name, places in by_verb.items()},
    )


@lru_cache(maxsize=256)
def _sentences(text: str) -> tuple[Sequence[Clause], ...]:
    """The clauses of each sentence of one statement. A goal grows by statements, and the earlier ones are not read again."""
    found: list[Sequence[Clause]] = []
    read = 0
    for sentence in _SENTENCES.split(visible(own_words(text))):
        if read <= GOAL_RULES.most_clauses:
            found.append(_clauses(sentence))
            read += len(found[-1])
    return tuple(found)


def _spelled(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in words(text):
        found.setdefault(stem(word), word)
    return found


def _reaching(clauses: Sequence[Clause]) -> tuple[Clause, ...]:
    """The clauses, each with what it reaches: "delete it" borrows the objects of the clause before, and of those that one refers to."""
    made: list[Clause] = []
    for place, clause in enumerate(clauses):
        stems, about, at = clause.stems, clause.about, place
        while at > 0 and place - at < GOAL_RULES.furthest and clauses[at].refers:
            at -= 1
            stems, about = stems | clauses[at].stems, about | clauses[at].about
        made.append(replace(clause, reach_stems=stems, reach_about=about))
    return tuple(made)


def mention(reading: GoalReading, verb: VerbClass, verb_stem: str, objects: Iterable[str]) -> Mention:
    """How the goal names an act of this verb on these objects (stems, head noun last)."""
    nouns = tuple((noun, CONCEPTS.get(noun, frozenset())) for noun in objects)
    seen_verb = spoken = both = forbidden = False
    why = ""
    for place in sorted({*reading.by_verb.get(verb_stem, ()), *reading.by_verb.get(verb, ())}):
        clause = reading.clauses[place]
        matched = ""
        for root, kinds in clause.verbs:
            if root == verb_stem:
                spoken = True
            if not matched and (root == verb_stem or verb in kinds):
                matched = root
        banned = not forbidden and any(root == verb_stem or verb in kinds for root, kinds in clause.forbidden)
        seen_verb = seen_verb or bool(matched)
        if (both or not matched) and not banned:
            continue  # nothing more follows from what this clause names
        named = _names(nouns, clause.reach_stems, clause.reach_about, reading.spelled)
        if matched and named and not both:
            both, why = True, f"“{reading.spelled.get(matched, matched)}” with {named}"
        elif matched and not why:
            why = f"“{reading.spelled.get(matched, matched)}”"
        forbidden = forbidden or (banned and bool(named))
    return Mention(seen_verb, both, spoken, forbidden and not both, why)


def _names(
    nouns: Sequence[tuple[str, frozenset[str]]],
    stems: frozenset[str],
    topics: frozenset[str],
    spelled: Mapping[str, str],
) -> str:
    """Which object of an act the words name, for people: its head noun, or at least half of its nouns; empty = none. `nouns`: with their concepts."""
    hits = [one for one in nouns if one[0] in stems or not one[1].isdisjoint(topics)]
    if hits and (nouns[-1] in hits or 2 * len(hits) >= len(nouns) > 1):
        last, about = hits[-1]
        meant = min(about & topics, default=last)
        return f"“{spelled.get(last, last)}”" if last in stems else f"{_ARTICLES.get(meant, 'a ')}{meant}"
    return ""


def _clauses(sentence: str) -> list[Clause]:
    """The clauses of a sentence; a part without a verb goes on with the list that the part before began."""
    found: list[Clause] = []
    for part in _CLAUSES.split(sentence):
        if not part.strip():
            continue
        clause = _clause(part)
        if found and not clause.verbs and not clause.forbidden:
            last = found.pop()
            clause = Clause(
                last.verbs,
                last.forbidden,
                last.stems | clause.stems,
                last.about | clause.about,
                last.refers or clause.refers,
                said=f"{last.said}, {clause.said}",
                delegates=last.delegates or clause.delegates,
            )
        found.append(clause)
    return found


def _clause(part: str) -> Clause:
    text = fold(part)
    tokens = words(text)
    negation = _NEGATION.search(text)
    free = len(words(text[: negation.start()])) if negation else len(tokens)
    verbs: list[_Verb] = []
    forbidden: list[_Verb] = []
    for at, token in enumerate(tokens):
        for root, kinds in _verbs_at(tokens, at, stem(token)):
            (verbs if at < free else forbidden).append((root, kinds))
    roots = content_stems(tokens)
    signs_in = _SIGNS_IN.search(text) is not None or bool(_CREDENTIALS & set(roots) and literals(text, _QUOTED))
    if signs_in:
        # Who gives a password with a name means that it is used.
        (verbs if free == len(tokens) else forbidden).append(("login", (VerbClass.LOGIN,)))
    about = set(concepts(roots))
    for root, _ in (*verbs, *forbidden):
        about |= IMPLIED.get(root, frozenset())
    for literal in literals(text):
        about |= _STANDS_FOR.get(literal.kind, frozenset())
    if any(_NO_NAME.match(hit.group()) is None for hit in _NAME.finditer(part)):
        about.add("person")
    if "person" in about and any(VerbClass.SEND in kinds for _, kinds in (*verbs, *forbidden)):
        about.add("message")  # what is sent to a person is a message
    return Clause(
        tuple(verbs),
        tuple(forbidden),
        frozenset(roots),
        frozenset(about),
        _REFERS.search(text) is not None,
        said=text,
        delegates=any(_LISTED.search(hit.group()) is None for hit in _DELEGATES.finditer(text)),
    )


def _verbs_at(tokens: tuple[str, ...], at: int, root: str) -> list[_Verb]:
    found: list[_Verb] = []
    nominal = NOMINAL.get(root)
    if nominal is not None and _made(tokens, at):
        found.append((root, (nominal,)))
    if root in GOAL_VERBS and not (root in NOUN_TOO and at > 0 and _noun_here(tokens[at - 1], tokens[at])):
        found.append((root, GOAL_VERBS[root]))
    return found


def _made(tokens: Sequence[str], at: int) -> bool:
    """Whether a light verb makes an act of the noun at `at`: "place an order", but not "proceed by cancelling the order"."""
    for place in range(at - 1, max(-1, at - _NOMINAL_REACH - 1), -1):
        root = stem(tokens[place])
        if root in MAKING:
            return True
        noun = root in NOUN_TOO and place > 0 and _noun_here(tokens[place - 1], tokens[place])
        if root in GOAL_VERBS and not noun:
            return False
    return False


def _noun_here(before: str, token: str) -> bool:
    """Whether what stands before makes a noun of a word that could be a verb: "the order", "Anna's order", but not "with ordering"."""
    if before.endswith(("'s", "s'")):
        return before != "let's"
    if stem(before) in GOAL_VERBS and not token.endswith("ing"):
        return True  # "read mail", "summarise commits": the object of the verb before
    return before in BEFORE_NOUN and not (token.endswith("ing") and before in _BEFORE_GERUND)
