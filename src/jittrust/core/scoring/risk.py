"""Factor R: how much harm if the call is malicious? 1 is kept for acts that are never trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.provenance import FORGOTTEN
from jittrust.core.intent.quoted import own_words
from jittrust.core.intent.reading import ActionReading, Effect
from jittrust.core.intent.roles import ROLE_RULES, leaves
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.words import REACHING, literals, one_line
from jittrust.core.mission.mission import Goal
from jittrust.core.model import Json, Reading
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class RiskRules:
    """How far each fact closes the gap between R and 1 (0..1); none closes it wholly."""

    sensitivity: float = 0.5  # at sensitivity 1
    taint: float = 0.8  # a consequential argument comes from strangers' text
    inside: float = 0.35  # an address inside the content comes from strangers' text
    selector: float = 0.2  # only the thing that is touched comes from strangers' text
    unseen_target: float = 0.3  # a destination that nobody named
    read_outside: float = 0.4  # an address to fetch comes from strangers' text
    destructive: float = 0.15  # the server or the act says it cannot be undone
    unsure: float = 0.3  # at confidence 0 of the reading of a consequential call
    amount: float = 0.06  # for each power of ten of an amount of money
    most_amount: float = 0.4  # most that an amount adds
    highest: float = 0.99  # most that R is for acts that may be trusted


RISK_RULES = RiskRules()
# A smaller share moves R, but a person need not read of it.
_WORTH_TELLING = 0.05
_LONGEST_NAME = 60

TAINTABLE = frozenset({ArgumentRole.TARGET, ArgumentRole.COMMAND, ArgumentRole.CREDENTIAL, ArgumentRole.AMOUNT})
"""Roles in which a stranger's value decides who gains."""

_ACTS_ON_SELECTOR = frozenset(
    {
        "I.grant",
        "I.invite",
        "I.transfer_owner",
        "I.change_credential",
        "X.run_code",
        "X.install",
        "T.pay",
        "T.schedule_recurring",
    }
)


def tainted(origins: Sequence[ArgumentOrigin], reading: ActionReading) -> tuple[ArgumentOrigin, ...]:
    """The values that make this call a stranger's: a fact, not a measure.

    A destination, command, credential or amount of a consequential call whose value first stood in free text that a tool returned and not in the
    goal; for acts on permissions, money and code also what they act on; for messages and publications also an address inside their content.
    Values that may have stood in results that had to be forgotten count as tainted. Reads are never tainted; an outward read has `R` raised.
    """
    if not reading.consequential:
        return ()
    return tuple(one for one in origins if _foreign(one) and _bears(one, reading))


def unnamed(
    origins: Sequence[ArgumentOrigin], reading: ActionReading, arguments: Mapping[str, Json]
) -> tuple[ArgumentOrigin, ...]:
    """Where a call with consequences sends something, or who gets what it gives, and what nobody named.

    Not the person, not a field of a result. The agent may have put one together from a text that spells it in a way nobody recognises
    (`ops [at] example [dot] com`), so that it is no stranger's value to `tainted`; where it came from is not known, and the unknown is never good.
    A room, a street or a person's name is a destination as much as an address is.
    """
    if not _sends(reading):
        return ()
    values = dict(islice(leaves(arguments), ROLE_RULES.most_leaves))
    found = []
    for one in origins:
        value = values.get(one.path)
        if one.role is not ArgumentRole.TARGET or one.origin is not Origin.UNSEEN or not isinstance(value, str):
            continue
        inside = [other for other in origins if other.path.startswith(f"{one.path}#")]
        if not inside or any(other.origin is Origin.UNSEEN for other in inside):
            found.append(one)
    return tuple(found)


def elsewhere(
    origins: Sequence[ArgumentOrigin], reading: ActionReading, arguments: Mapping[str, Json], goal: Goal
) -> tuple[ArgumentOrigin, ...]:
    """Where a call with consequences sends something although the person's own words name another place of the very kind.

    "Send it to mara@lumen.example" is a full answer to where it goes: an address in a contact field of what was read on the way is no better for
    standing alone in its field, nor is one in a mail that the person quotes. Where the person's own words name no place of the kind, a field or a
    quote may well hold the one they mean.
    """
    if not _sends(reading):
        return ()
    own = "\n".join(own_words(text) for text in goal.texts)
    named = literals(own, REACHING)
    if not named:
        return ()
    kinds, places = {one.kind for one in named}, {one.text for one in named}
    quoted, values = own != goal.text, dict(islice(leaves(arguments), ROLE_RULES.most_leaves))
    found = []
    for one in origins:
        value = values.get(one.path)
        if one.role is not ArgumentRole.TARGET or not isinstance(value, str):
            continue
        if one.origin is Origin.FIELD or (one.origin is Origin.GOAL and quoted):
            inside = literals(value, REACHING)
            if any(place.kind in kinds and place.text not in places for place in inside):
                found.append(one)
    return tuple(found)


def _sends(reading: ActionReading) -> bool:
    """Whether something leaves, money moves or somebody gets a right."""
    return reading.consequential and bool(
        {Effect.OUTWARD, Effect.MONEY, Effect.PERMISSION} & set(reading.effects)
        or reading.intent.startswith(("C.", "T.", "I."))
    )


def direct(origins: Sequence[ArgumentOrigin]) -> tuple[ArgumentOrigin, ...]:
    """Of `tainted` values those that are arguments themselves, not addresses inside content."""
    return tuple(one for one in origins if "#" not in one.path)


def risk(
    reading: ActionReading,
    origins: Sequence[ArgumentOrigin],
    arguments: Mapping[str, Json],
    rules: RiskRules = RISK_RULES,
) -> Reading:
    """Measure R from the class of the act, the sensitivity of the data, taint, new destinations and the amount."""
    known = TAXONOMY[reading.intent]
    if known.base_risk == 1.0:
        return Reading(
            "R",
            Unit(1.0),
            reading.confidence,
            "core.scoring.risk",
            f"{known.code}: {known.definition} This is never trusted.",
        )
    raised: list[tuple[float, str]] = [
        (rules.sensitivity * max(reading.sensitivity_in, reading.sensitivity_out), "the data is sensitive"),
        (rules.destructive if Effect.DESTRUCTIVE in reading.effects else 0.0, "it cannot be undone"),
        (rules.unsure * (1.0 - reading.confidence) if reading.consequential else 0.0, "what it does is not certain"),
        (_amount_share(reading, origins, arguments, rules), "the amount is large"),
        *_by_origin(reading, origins, rules),
    ]
    missing = 1.0 - known.base_risk
    for share, _ in raised:
        missing *= 1.0 - share
    value = Unit(min(rules.highest, 1.0 - missing))
    reasons = [why for share, why in sorted(raised, key=lambda one: -one[0]) if share >= _WORTH_TELLING][:3]
    why = f"Acts of the kind {known.code} carry a risk of {known.base_risk:g}" + (
        f", here raised: {'; '.join(reasons)}." if reasons else "."
    )
    return Reading("R", value, reading.confidence, "core.scoring.risk", why)


def _by_origin(reading: ActionReading, origins: Sequence[ArgumentOrigin], rules: RiskRules) -> list[tuple[float, str]]:
    bad = tainted(origins, reading)
    whole, inside = direct(bad), [one for one in bad if "#" in one.path]
    raised: list[tuple[float, str]] = []
    if whole:
        raised.append((rules.taint, first_seen(whole[0])))
    if inside:
        raised.append((rules.inside, first_seen(inside[0])))
    if reading.consequential and not whole:
        selected = next((one for one in origins if one.role is ArgumentRole.SELECTOR and _foreign(one)), None)
        if selected is not None:
            raised.append((rules.selector, first_seen(selected)))
    unseen = next(
        (
            one
            for one in origins
            if one.role is ArgumentRole.TARGET and one.origin is Origin.UNSEEN and not _foreign(one)
        ),
        None,
    )
    if unseen is not None and (reading.consequential or reading.open_world):
        raised.append((rules.unseen_target, f"{_name(unseen)} “{unseen.shown}” was named by nobody"))
    if not reading.consequential and reading.open_world:
        fetched = next((one for one in origins if one.role is ArgumentRole.TARGET and _foreign(one)), None)
        if fetched is not None:
            raised.append((rules.read_outside, first_seen(fetched)))
    return raised


def _foreign(one: ArgumentOrigin) -> bool:
    return one.origin is Origin.FREE_TEXT or (one.origin is Origin.UNSEEN and one.source == FORGOTTEN)


def _bears(one: ArgumentOrigin, reading: ActionReading) -> bool:
    if "#" in one.path:
        return Effect.OUTWARD in reading.effects or reading.intent.startswith(("C.", "T.", "I."))
    if one.role is ArgumentRole.CREDENTIAL and reading.intent == "I.login":
        # A one-time code is read out of a mail by its nature, and signing in by itself gives nobody anything; whose account it is, is another argument.
        return False
    if one.role in TAINTABLE:
        return True
    return one.role is ArgumentRole.SELECTOR and reading.intent in _ACTS_ON_SELECTOR


def first_seen(one: ArgumentOrigin) -> str:
    """For people: where a stranger's value came from."""
    if one.source == FORGOTTEN:
        return f"{_name(one)} “{one.shown}” may come from results or values that could not be kept"
    return f"{_name(one)} “{one.shown}” first appeared in the text of {one.source}, not in the goal"


def _name(one: ArgumentOrigin) -> str:
    named = [part for part in one.path.split("#", 1)[0].split("/") if part and not part.isdigit()]
    return one_line(".".join(named), _LONGEST_NAME) or "an argument"


def _amount_share(
    reading: ActionReading, origins: Sequence[ArgumentOrigin], arguments: Mapping[str, Json], rules: RiskRules
) -> float:
    if Effect.MONEY not in reading.effects:
        return 0.0
    amounts = {one.path for one in origins if one.role is ArgumentRole.AMOUNT}
    largest = 0.0
    for path, value in islice(leaves(arguments), ROLE_RULES.most_leaves):
        if path in amounts and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            largest = max(largest, abs(float(value)))
    return min(rules.most_amount, rules.amount * math.log10(1.0 + largest))
