"""Factor O: does this call serve the stated goal? 1 = surely, 0 = the goal says no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.intent.attribution import NOT_ATTRIBUTED, Attribution
from jittrust.core.intent.goal import Mention, mention, read_goal
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.roles import ROLE_RULES, leaves
from jittrust.core.intent.words import content_stems, one_line, words
from jittrust.core.mission.mission import Goal
from jittrust.core.model import Json, Reading, Tool
from jittrust.core.units import Unit

# Characters of one value, and of all values of a call, whose words are compared with the goal's.
_LONGEST_VALUE = 2_000
_LONGEST_VALUES = 20_000
_LONGEST_NAME = 60
# A smaller share moves O, but a person need not read of it.
_WORTH_TELLING = 0.1

AUTHORITY_ROLES = frozenset(
    {ArgumentRole.TARGET, ArgumentRole.SELECTOR, ArgumentRole.COMMAND, ArgumentRole.CREDENTIAL, ArgumentRole.AMOUNT}
)
"""Roles whose value decides who is reached or what is touched."""


@dataclass(frozen=True, slots=True)
class AlignmentRules:
    """Weights of O. Each is a share of what is still missing to 1 (noisy-or), so that no evidence alone makes certainty."""

    entry_approved: float = 0.55  # an approved entry of the authority map matches
    entry_waiting: float = 0.15  # an entry matches but waits for a person
    verb_and_object: float = 0.55  # the goal names act and object in one clause
    verb_only: float = 0.2  # the goal has a verb of this class
    words: float = 0.45  # share of the tool's words that the goal has
    values: float = 0.35  # share of the call's values whose words the goal has
    literals: float = 0.4  # share of authority-bearing values taken from the goal
    nothing: float = 0.05  # O when nothing speaks for the call
    forbidden: float = 0.03  # most that O can be when the goal forbids the act
    foreign_act: float = 0.5  # share of O that a consequential call keeps when all its authority-bearing values come from strangers' text
    foreign_read: float = 0.85  # likewise for reads
    attributed: float = 0.6  # most of O that is lost where only a sentence of a result explains the call
    confident: float = 0.6  # confidence of a reading from words alone
    confident_with_entry: float = 0.85  # confidence when the map agrees


ALIGNMENT_RULES = AlignmentRules()


def clarity(
    goal: Goal,
    tool: Tool,
    reading: ActionReading,
    arguments: Mapping[str, Json],
    entry: AuthorityEntry | None,
    origins: Sequence[ArgumentOrigin],
    rules: AlignmentRules = ALIGNMENT_RULES,
    found: Attribution = NOT_ATTRIBUTED,
) -> Reading:
    """Measure O. Unknown (None) only when no goal was stated. `found`: what explains the call; only lowers O.

    `entry` is the entry of the authority map that matched; None = the call lies outside.
    """
    if not goal.stated:
        return Reading(
            "O",
            None,
            Unit(0.0),
            "core.intent.alignment",
            "No goal was stated, so there is nothing to compare the call with.",
        )
    read = read_goal(goal)
    named = mention(read, reading.verb, reading.stem, reading.objects)
    authority = [
        one
        for one in origins
        if one.role in AUTHORITY_ROLES and one.origin is not Origin.TRIVIAL and "#" not in one.path
    ]
    evidence = (
        _entry_share(entry, rules),
        rules.verb_and_object if named.both else (rules.verb_only if named.verb else 0.0),
        rules.words * _tool_overlap(reading, tool, read.stems, read.about),
        rules.values * _value_overlap(arguments, read.stems),
        rules.literals * _share(authority, {Origin.GOAL, Origin.OPERATOR}),
    )
    missing = 1.0 - rules.nothing
    for share in evidence:
        missing *= 1.0 - share
    foreign = _share(authority, {Origin.FREE_TEXT})
    kept = rules.foreign_act if reading.consequential else rules.foreign_read
    value = (1.0 - missing) * (1.0 - (1.0 - kept) * foreign) * (1.0 - rules.attributed * found.excess)
    if named.forbidden:
        value = min(value, rules.forbidden)
    approved = entry is not None and entry.state is EntryState.APPROVED
    confidence = Unit(rules.confident_with_entry if approved else rules.confident)
    return Reading("O", Unit(value), confidence, "core.intent.alignment", _sentence(named, entry, authority, foreign))


def doubted(clarity: Reading, suspicion: Reading | None) -> Reading:
    """O, with the share taken from it that is likely somebody else's wish: O · (1 − p). `suspicion`: p of `misaligned`; unknown takes nothing."""
    if clarity.value is None or suspicion is None or suspicion.value is None or suspicion.value <= 0.0:
        return clarity
    why = clarity.why
    if suspicion.value >= _WORTH_TELLING:
        why += f" It may be somebody else's wish ({suspicion.value:.2f} of 1)."
    return replace(clarity, value=Unit(clarity.value * (1.0 - suspicion.value)), why=why)


def _entry_share(entry: AuthorityEntry | None, rules: AlignmentRules) -> float:
    if entry is None or entry.state is EntryState.REFUSED:
        return 0.0
    return rules.entry_approved if entry.state is EntryState.APPROVED else rules.entry_waiting


def _tool_overlap(reading: ActionReading, tool: Tool, stems: frozenset[str], about: frozenset[str]) -> float:
    """The better of: share of the objects that the goal is about; share of the described words that the goal has."""
    objects = reading.objects
    by_object = len([one for one in objects if one in stems]) / len(objects) if objects else 0.0
    by_concept = 0.7 if reading.about & about else 0.0
    described = _described(tool.description[:400])
    by_text = min(1.0, 2.0 * len(described & stems) / len(described)) if described else 0.0
    return max(by_object, by_concept, by_text)


@lru_cache(maxsize=2_048)
def _described(text: str) -> frozenset[str]:
    return frozenset(content_stems(words(text)))


def _value_overlap(arguments: Mapping[str, Json], stems: frozenset[str]) -> float:
    found: set[str] = set()
    room = _LONGEST_VALUES
    for _, value in islice(leaves(arguments), ROLE_RULES.most_leaves):
        if isinstance(value, str) and room > 0:
            found.update(content_stems(frozenset(words(value[: min(room, _LONGEST_VALUE)]))))
            room -= len(value)
    return len(found & stems) / len(found) if found else 0.0


def _share(origins: Sequence[ArgumentOrigin], wanted: set[Origin]) -> float:
    return len([one for one in origins if one.origin in wanted]) / len(origins) if origins else 0.0


def _sentence(named: Mention, entry: AuthorityEntry | None, authority: Sequence[ArgumentOrigin], foreign: float) -> str:
    if named.forbidden:
        return f"The goal says not to do this ({named.why or 'a “do not” names it'})."
    parts = []
    if entry is None:
        parts.append("No approved entry of the map covers the call.")
    else:
        parts.append(
            f"Entry {entry.id} of the map covers the call."
            if entry.state is EntryState.APPROVED
            else f"Entry {entry.id} of the map still waits for a person."
        )
    if named.both:
        parts.append(f"The goal names the act: {named.why}.")
    elif named.verb:
        parts.append(f"The goal has the verb {named.why}, but not what it acts on.")
    else:
        parts.append("The goal names no such act.")
    if foreign > 0.0:
        first = next(one for one in authority if one.origin is Origin.FREE_TEXT)
        parts.append(f"Its {_name(first)} “{first.shown}” comes from the text of {first.source}, not from the goal.")
    return " ".join(parts)


def _name(one: ArgumentOrigin) -> str:
    named = [part for part in one.path.split("#", 1)[0].split("/") if part and not part.isdigit()]
    return one_line(".".join(named), _LONGEST_NAME) or "argument"
