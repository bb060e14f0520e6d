"""Is a call better explained by a sentence in a tool's output than by the person's words?

Overlap of stems, each weighted by how rare it is in the mission, so that a name or a number says more than "please". At most a few sentences are
looked at: those that share two stems with the call or hold a value of it. Linear in what the call says; no model, no embedding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from jittrust.core.intent.goal import GoalReading
from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.roles import ROLE_RULES, leaves
from jittrust.core.intent.words import GOAL_VERBS, concepts, content_stems, fold, name_words, one_line, words
from jittrust.core.model import Json, Reading, Tool
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class AttributionRules:
    """Bounds of the search."""

    most_sentences: int = 20_000  # sentences of results kept for one mission; the oldest give way
    longest_sentence: int = 400  # characters of one sentence; a longer one is several
    most_stems: int = 64  # stems of one call that are looked up
    most_places: int = 2_000  # sentences in which a stem may stand and still say something
    candidates: int = 8  # sentences that are compared with the call
    shared: int = 2  # stems that a sentence must share with the call to be compared
    longest_value: int = 2_000  # characters of one value whose words count


ATTRIBUTION_RULES = AttributionRules()

_ENDS = re.compile(r"(?<=[.!?;:])\s+|\n+")
_KEYS = frozenset(
    {ArgumentRole.TARGET, ArgumentRole.SELECTOR, ArgumentRole.COMMAND, ArgumentRole.CREDENTIAL, ArgumentRole.AMOUNT}
)
_LONGEST_SHOWN = 120
_SHORTEST_KEY = 4
_SELDOM = 32  # sentences up to which those of a stem are added up one by one
_TOGETHER = 40_000  # sentences times stems up to which sentences are taken together


@dataclass(frozen=True, slots=True)
class Attribution:
    """What explains a call.

    Attributes:
        by_result: share 0..1 of what the call says that its best sentence in a result says too, rare words counting more.
        by_goal: likewise, of the clauses of the goal.
        ordered: a sentence of a result has a verb for this act and names what it acts on, or a value of it.
        sentence, source: the best sentence and its result, for people; empty when nothing was found.
    """

    by_result: float = 0.0
    by_goal: float = 0.0
    ordered: bool = False
    sentence: str = ""
    source: str = ""

    @property
    def excess(self) -> float:
        """How much better a result explains the call than the goal does, 0..1."""
        return max(0.0, self.by_result - self.by_goal)


NOT_ATTRIBUTED = Attribution()


@dataclass(slots=True)
class SentenceIndex:
    """The sentences of what the tools of one mission returned, by stem. Memory is bounded; not safe for two threads at once."""

    rules: AttributionRules = ATTRIBUTION_RULES
    _said: dict[int, tuple[str, str]] = field(default_factory=dict)
    _places: dict[str, list[int]] = field(default_factory=dict)
    _made: int = 0

    def add(self, source: str, text: str) -> None:
        """Index a folded text."""
        most = 2 * self.rules.most_places
        for sentence in _sentences(text, self.rules.longest_sentence):
            if len(self._said) >= self.rules.most_sentences:
                del self._said[next(iter(self._said))]
            self._said[self._made] = (source, sentence)
            for root in set(content_stems(words(sentence))):
                places = self._places.get(root)
                if places is None:
                    self._places[root] = [self._made]
                    continue
                places.append(self._made)
                if len(places) > most:
                    del places[: self.rules.most_places]
            self._made += 1

    def explain(
        self,
        tool: Tool,
        reading: ActionReading,
        arguments: Mapping[str, Json],
        roles: Mapping[str, ArgumentRole],
        goal: GoalReading,
        without: Container[str] = (),
    ) -> Attribution:
        """What explains the call: see `Attribution`. `without`: results whose sentences do not count, because they may direct such a call."""
        keys, said = _of_call(tool, arguments, roles, self.rules)
        weights = {root: self._weight(root) for root in islice(said, self.rules.most_stems)}
        total = math.fsum(weights.values())
        if not self._said or total <= 0.0:
            return NOT_ATTRIBUTED
        best, by_result, ordered, seen = ("", ""), 0.0, False, 0
        for place, gathered, shared in self._likely(weights):
            if seen >= self.rules.candidates:
                break
            source, sentence = self._said[place]
            if source in without:
                continue
            has_key = any(key in sentence for key in keys)
            if shared < self.rules.shared and not has_key:
                continue
            seen += 1
            if gathered / total > by_result:
                best, by_result = (source, sentence), gathered / total
            ordered = ordered or _orders(sentence, reading, has_key=has_key)
        by_goal = max(
            (
                math.fsum(weight for root, weight in weights.items() if root in clause.reach_stems)
                for clause in goal.clauses
            ),
            default=0.0,
        )
        return Attribution(
            min(1.0, by_result), min(1.0, by_goal / total), ordered, one_line(best[1], _LONGEST_SHOWN), best[0]
        )

    def _likely(self, weights: Mapping[str, float]) -> Iterator[tuple[int, float, int]]:
        """Places of sentences that share stems with a call, with what these weigh together and how many they are, the heaviest first.

        Sentences with the same stems are taken together, so that stems which stand everywhere are not added up sentence by sentence.
        """
        listed = [self._places.get(root, ())[-self.rules.most_places :] for root in weights]
        alone = {place for places in listed if len(places) <= _SELDOM for place in places}
        often = [set(places).difference(alone) if len(places) > _SELDOM else set[int]() for places in listed]
        many = set[int]().union(*often)
        if len(many) * sum(map(bool, often)) > _TOGETHER:
            alone, often, many = alone | many, [], set()
        groups = [(0.0, 0, many)] if many else []
        for weight, places in zip(weights.values(), often, strict=False):
            split: list[tuple[float, int, set[int]]] = []
            for gathered, shared, group in groups if places else ():
                inside = group & places
                if inside:
                    split.append((gathered + weight, shared + 1, inside))
                if len(inside) < len(group):
                    split.append((gathered, shared, group - inside))
            groups = split if places else groups
        lone = dict.fromkeys(alone, (0.0, 0))
        for weight, found in zip(weights.values(), listed, strict=True):
            for place in alone.intersection(found):
                gathered, shared = lone[place]
                lone[place] = (gathered + weight, shared + 1)
        groups += [(gathered, shared, {place}) for place, (gathered, shared) in lone.items()]
        by_weight: dict[float, list[tuple[int, set[int]]]] = {}
        for gathered, shared, group in groups:
            by_weight.setdefault(gathered, []).append((shared, group))
        oldest = next(iter(self._said))
        for gathered in sorted(by_weight, reverse=True):
            alike = by_weight[gathered]
            counts = {place: shared for shared, group in alike for place in group} if len(alike) > 1 else {}
            for place in sorted(counts or alike[0][1]):
                if place >= oldest:
                    yield place, gathered, counts.get(place, alike[0][0])

    def _weight(self, root: str) -> float:
        return math.log(1.0 + (len(self._said) + 1) / (1 + min(len(self._places.get(root, ())), len(self._said))))


def attribution(found: Attribution | None) -> Reading:
    """The attribution as a reading: 0 = the goal explains the call at least as well as any result, 1 = only a result does. Unknown without results."""
    if found is None:
        return Reading(
            "attribution", None, Unit(0.0), "core.intent.attribution", "What came back is not known any more."
        )
    if found.excess <= 0.0:
        why = "The goal explains the call at least as well as anything that a tool returned."
    else:
        told = "asks for this act" if found.ordered else "is closer to this call than the goal"
        why = f"A sentence in {found.source} {told}: “{found.sentence}”"
    return Reading("attribution", Unit(found.excess), Unit(0.6), "core.intent.attribution", why)


def _sentences(text: str, longest: int) -> Iterator[str]:
    for part in _ENDS.split(text):
        for at in range(0, len(part), longest):
            piece = part[at : at + longest].strip()
            if piece:
                yield piece


def _of_call(
    tool: Tool, arguments: Mapping[str, Json], roles: Mapping[str, ArgumentRole], rules: AttributionRules
) -> tuple[tuple[str, ...], dict[str, None]]:
    """The key values of a call, folded, and the stems of all it says."""
    keys: list[str] = []
    said = dict.fromkeys(content_stems(name_words(tool.name)))
    for path, value in islice(leaves(arguments), ROLE_RULES.most_leaves):
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        text = fold(str(value)[: rules.longest_value])
        if roles.get(path) in _KEYS and len(text) >= _SHORTEST_KEY:
            keys.append(text)
        said |= dict.fromkeys(content_stems(words(text)))
    return tuple(keys[: rules.candidates]), said


def _orders(sentence: str, reading: ActionReading, *, has_key: bool) -> bool:
    roots = content_stems(words(sentence))
    if not any(reading.verb in GOAL_VERBS.get(root, ()) or root == reading.stem for root in roots):
        return False
    return has_key or _names(reading.objects, roots)


def _names(objects: Iterable[str], roots: tuple[str, ...]) -> bool:
    wanted = set(objects)
    return bool(wanted & set(roots) or concepts(wanted) & concepts(roots))
