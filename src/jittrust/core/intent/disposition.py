"""How a call stands to what the person asked for: one of the taxonomy's eight dispositions, by a ladder, the worst first.

It is a word for people, records and written rules; no verdict hangs on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.intent.alignment import AUTHORITY_ROLES
from jittrust.core.intent.attribution import NOT_ATTRIBUTED, Attribution
from jittrust.core.intent.goal import GoalReading, mention
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.roles import ROLE_RULES, leaves
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.taxonomy_terms import Disposition
from jittrust.core.intent.words import VerbClass, concepts
from jittrust.core.model import Json

# Characters that no reader sees and some models read: tags, and marks that turn the direction of what stands around them.
_UNSEEN_CHARACTERS: Final = re.compile("[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069]")
_LONGEST_LOOKED_AT: Final = 20_000
_SENSITIVE_FROM: Final = 0.6
_OWN: Final = (Origin.GOAL, Origin.OPERATOR, Origin.ENDORSED)
_NEVER_TRUSTED: Final = 1.0
_BULK: Final = "D.bulk"


def disposition(
    goal: GoalReading,
    reading: ActionReading,
    arguments: Mapping[str, Json],
    origins: Sequence[ArgumentOrigin],
    found: Attribution | None = None,
    covered: AuthorityEntry | None = None,
) -> Disposition | None:
    """How the call stands to the goal; None where no goal was stated, unless the act is evasive whatever the goal is.

    `found`: what explains the call. `covered`: the entry of the map that covers it; None = it lies outside.

    Ladder:
        1. evasive: it works against oversight, or carries characters that no reader sees.
        2. delegated: what decides is from a source that the person endorsed, and nothing in it is a stranger's.
        3. hijack suspect: what decides who is reached stood only in a stranger's text (a look there counts only where the goal does not name it), or
           a sentence there orders just this act.
        4. over-reach: the goal says not to do it.
        5. without effect: aligned (named), supporting (uses things of the goal or of results, or reads what the goal is about), drift (private
           and not named), exploratory (the rest).
        6. with effect: aligned (a person put it into the map by name, or the goal names act and object and nobody invented where it goes),
           over-reach (one of the two, or more than was named), drift (neither).
    """
    if TAXONOMY[reading.intent].base_risk == _NEVER_TRUSTED or _hides(arguments):
        return Disposition.EVASIVE
    if not goal.clauses:
        return None
    found = found or NOT_ATTRIBUTED
    whole = [one for one in origins if "#" not in one.path and one.origin is not Origin.TRIVIAL]
    deciding = [one for one in whole if one.role in AUTHORITY_ROLES]
    reaching = [one for one in deciding if one.role is not ArgumentRole.SELECTOR]
    foreign = [one for one in reaching if one.origin is Origin.FREE_TEXT]
    named = mention(goal, reading.verb, reading.stem, reading.objects)
    if any(one.origin is Origin.ENDORSED for one in deciding) and not foreign:
        return Disposition.DELEGATED
    acts = reading.consequential or reading.open_world
    strange = foreign and (reading.consequential or not named.both)
    if acts and (strange or (found.ordered and found.excess > 0.0 and not named.both)):
        return Disposition.HIJACK_SUSPECT
    if named.forbidden:
        return Disposition.OVER_REACH
    if not reading.consequential:
        return _of_look(goal, reading, deciding, both=named.both)
    if _by_a_person(covered):
        return Disposition.ALIGNED
    invented = any(one.role is ArgumentRole.TARGET and one.origin is Origin.UNSEEN for one in reaching)
    if named.both and not invented and not (reading.intent == _BULK and not _all_own(deciding)):
        return Disposition.ALIGNED
    if reading.verb is VerbClass.LOGIN and _all_own(deciding):
        return Disposition.SUPPORTING
    return Disposition.OVER_REACH if named.verb or _about(goal, reading) else Disposition.DRIFT


def _of_look(
    goal: GoalReading, reading: ActionReading, deciding: Sequence[ArgumentOrigin], *, both: bool
) -> Disposition:
    if both:
        return Disposition.ALIGNED
    known = any(one.origin in (*_OWN, Origin.FIELD) for one in deciding)
    if known or (_about(goal, reading) and deciding):
        return Disposition.SUPPORTING
    if reading.sensitivity_in >= _SENSITIVE_FROM and not _about(goal, reading):
        return Disposition.DRIFT
    return Disposition.SUPPORTING if _about(goal, reading) else Disposition.EXPLORATORY


def _about(goal: GoalReading, reading: ActionReading) -> bool:
    """Whether the goal is about what the act acts on."""
    return bool((reading.about | concepts(reading.objects)) & goal.about) or any(
        one in goal.stems for one in reading.objects
    )


def _all_own(deciding: Sequence[ArgumentOrigin]) -> bool:
    return bool(deciding) and all(one.origin in _OWN for one in deciding)


def _by_a_person(entry: AuthorityEntry | None) -> bool:
    """Whether a person put the act into the map by name, where no rule did it for them."""
    return (
        entry is not None
        and entry.state is EntryState.APPROVED
        and bool(entry.approved_by)
        and not entry.approved_by.startswith("policy:")
    )


def _hides(arguments: Mapping[str, Json]) -> bool:
    room = _LONGEST_LOOKED_AT
    for _, value in islice(leaves(arguments), ROLE_RULES.most_leaves):
        if isinstance(value, str) and not value.isascii():
            if _UNSEEN_CHARACTERS.search(value[:room]):
                return True
            room -= min(room, len(value))
    return False
