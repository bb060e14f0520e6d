"""A source that a person endorsed: what it says may direct acts of named kinds, up to an amount.

"Pay the bill in bill.txt" points at content as the source of instructions. One confirmation endorses that file for paying, so that nobody is asked
again at each value that comes out of it; whatever else the file says stays a stranger's text.

A source is the result of one reading call: its tool with exactly the values that said what to read. Another folder, another sender or one selector
more is another source. What a goal points at is proposed from trusted words only; for acts of little harm that the goal names together with the
source the shipped policy approves it (`policy:pointed_at`), for everything else a person does. A text that reads like orders to a model is
never covered by the policy, and by a person's endorsement only if the person was told.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from jittrust.core.authority.map import AuthorityMap, Endorsement, EntryState
from jittrust.core.intent.attribution import NOT_ATTRIBUTED, Attribution
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.goal import GOAL_RULES, GoalReading, mention, read_goal
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading, classify
from jittrust.core.intent.roles import ROLE_RULES, declared_roles, leaves
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.words import LiteralKind, bare_address, fold, literals, name_words, one_line, visible
from jittrust.core.mission.mission import Goal
from jittrust.core.model import Json, Tool

BY_POINTING = "policy:pointed_at"
"""Who approved a source that the shipped policy endorses."""


@dataclass(frozen=True, slots=True)
class EndorsementRules:
    """Constants of endorsed sources."""

    moderate: float = 0.5  # base risk of an act up to which the policy endorses a source for it
    most_risk: float = 0.9  # base risk from which no source is endorsed: one call at a time
    most: int = 64  # endorsements proposed for one goal
    most_offered: int = (
        200  # tools whose kinds of acts are looked at when a question offers a source that was not proposed
    )
    most_selectors: int = 16  # values that say what a call reads; with more, what it brings is not endorsed
    longest_selector: int = 512  # characters of one of them; likewise
    near: int = 2  # words on either side of an identifier that say what it is


ENDORSEMENT_RULES = EndorsementRules()

_SOURCES = frozenset({"K.read", "K.read_sensitive", "K.read_external"})
_WHICH = frozenset({ArgumentRole.SELECTOR, ArgumentRole.TARGET, ArgumentRole.CONTENT, ArgumentRole.COMMAND})
_DECIDING = frozenset(
    {ArgumentRole.TARGET, ArgumentRole.SELECTOR, ArgumentRole.COMMAND, ArgumentRole.CREDENTIAL, ArgumentRole.AMOUNT}
)
# Kinds of acts that the policy may endorse a source for: things are stored, somebody inside is told. Never money, permissions, code or oversight.
_POLICY_KINDS = ("D.", "C.")
_PLAIN_READS = frozenset({"K.list", "K.read"})
_ONE_CALL_AT_A_TIME = frozenset({"I.read_secret", "O.approve"})
# One thing that has one author. A channel or an inbox has many, so that a person decides.
_ONE_THING = frozenset({LiteralKind.FILENAME, LiteralKind.PATH, LiteralKind.URL})
_FITS: Mapping[LiteralKind, frozenset[str]] = {
    LiteralKind.FILENAME: frozenset("file filename filepath path document doc uri".split()),
    LiteralKind.PATH: frozenset("file filename filepath path document doc uri".split()),
    LiteralKind.URL: frozenset("url uri link href site website page address".split()),
    LiteralKind.EMAIL: frozenset("sender from email mail author".split()),
}
_WHOSE = frozenset("user owner person sender author from username account name".split())
_POSSESSIVE = re.compile(r"(?<![\w'])([A-Z][\w.-]{1,63})'s (?=((?:[\w-]+ ?){1,3}))")
_NO_OWNER = frozenset("it that what he she there here let who where how when one".split())
_FROM = re.compile(
    r"\b(?:from|per|according to|based on|(?:listed|described|mentioned|specified|written|given|noted|named|found|contained|posted) (?:in|on|at|by))"
    r"(?: [\w-]+){0,4} ?$"
)
_SENT_BY = frozenset("from by sender author sent".split())
_LONGEST_WHY = 300


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Which call brought a result: its tool and the plain values that said what to read, by JSON pointer without the first slash."""

    tool: str
    selectors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Named:
    """An identifier of the goal that may say what to read: as it is written, folded, what it is, the words beside it, its clause."""

    written: str
    folded: str
    kind: LiteralKind
    beside: frozenset[str]
    whose: bool = False


def source_of(
    tool: str,
    arguments: Mapping[str, Json],
    roles: Mapping[str, ArgumentRole],
    rules: EndorsementRules = ENDORSEMENT_RULES,
) -> ReadSource | None:
    """What a reading call reads, kept so that a later call can be compared with it; None = too much to keep, so it is never endorsed."""
    found: dict[str, str] = {}
    for path, value in islice(leaves(arguments), ROLE_RULES.most_leaves):
        if value is None or isinstance(value, bool) or roles.get(path, ArgumentRole.SELECTOR) not in _WHICH:
            continue
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        if len(text) > rules.longest_selector or len(found) >= rules.most_selectors:
            return None
        if text:
            found[path.removeprefix("/")] = text
    return ReadSource(tool, found)


# ---- what may direct a call -----------------------------------------------------------------------------------------------------------------


def directing(
    endorsements: Sequence[Endorsement],
    sources: Mapping[str, ReadSource],
    findings: Iterable[TextFinding],
    reading: ActionReading,
    arguments: Mapping[str, Json],
    roles: Mapping[str, ArgumentRole],
) -> Mapping[str, Endorsement]:
    """Which results may direct this call, and by which endorsement. `sources`: result id → the call that brought it.

    A source that a person refused for acts of this kind directs none, whatever else was endorsed.
    """
    in_force = [one for one in endorsements if one.state is EntryState.APPROVED and reading.intent in one.intents]
    if not in_force:
        return {}
    refused = [one for one in endorsements if one.state is EntryState.REFUSED and reading.intent in one.intents]
    orders = {one.source for one in findings}
    amount = amount_of(arguments, roles, reading.intent)
    found: dict[str, Endorsement] = {}
    for result, source in sources.items():
        if any(_covers(one, source) for one in refused):
            continue
        for one in in_force:
            if _covers(one, source) and _trusted(one, orders=result in orders) and _within(one.amount_most, amount):
                found[result] = one
                break
    return found


def endorsed_origins(origins: Sequence[ArgumentOrigin], results: Collection[str]) -> tuple[ArgumentOrigin, ...]:
    """The origins, with what came out of one of these results marked as endorsed."""
    return tuple(
        replace(one, origin=Origin.ENDORSED) if one.origin is Origin.FREE_TEXT and one.source in results else one
        for one in origins
    )


def directed(
    origins: Sequence[ArgumentOrigin], found: Attribution, results: Mapping[str, Endorsement]
) -> Endorsement | None:
    """The endorsement under which the call is what its source says; None = it is not.

    A value that decides something stands in the endorsed text, or a sentence of it asks for the call; no value that decides anything comes from another
    text, and no sentence of another text explains the call better.

    Args:
        origins: of the call's values, marked by `endorsed_origins`.
        found: what explains the call, over all results.
        results: as `directing` gives them.
    """
    if found.excess > 0.0 and found.source and found.source not in results:
        return None
    if any(one.origin is Origin.FREE_TEXT and (one.role in _DECIDING or "#" in one.path) for one in origins):
        return None
    told = (one for one in origins if one.origin is Origin.ENDORSED and (one.role in _DECIDING or "#" in one.path))
    said = next((one.source for one in told if one.source in results), "")
    return results.get(said or (found.source if found.ordered else ""))


def amount_of(arguments: Mapping[str, Json], roles: Mapping[str, ArgumentRole], intent: str) -> float | None:
    """What all amounts of a call add up to, whatever their signs; None = it carries none, infinity = one of them is no number.

    Where money moves and no argument is named for it, every plain number counts.
    """
    total: float | None = None
    plain: float | None = None
    for path, value in islice(leaves(arguments), ROLE_RULES.most_leaves):
        role = roles.get(path)
        if role is ArgumentRole.AMOUNT and value is not None and value != "":
            total = (total or 0.0) + _number(value)
        elif role is ArgumentRole.CONTROL and isinstance(value, int | float) and not isinstance(value, bool):
            plain = (plain or 0.0) + _number(value)
    return plain if total is None and intent.startswith("T.") else total


def spent(endorsement: Endorsement, amount: float | None) -> Endorsement:
    """The endorsement after a call of this amount went out under it: what is left of its own."""
    if endorsement.amount_most is None or amount is None:
        return endorsement
    return replace(endorsement, amount_most=max(0.0, round(endorsement.amount_most - amount, 6)))


def endorsement_inside(parent: Endorsement, child: Endorsement) -> bool:
    """Whether everything that the child lets a source direct the parent lets it direct too."""
    return (
        child.tool == parent.tool
        and dict(child.selectors) == dict(parent.selectors)
        and set(child.intents) <= set(parent.intents)
        and (child.amount_most is None or (parent.amount_most is not None and child.amount_most <= parent.amount_most))
        and (parent.warned or not child.warned)
        and (not parent.approved_by.startswith("policy:") or child.approved_by.startswith("policy:"))
    )


def endorsed_for(
    mission: Sequence[Endorsement], own: Sequence[Endorsement] | None
) -> tuple[tuple[Endorsement, Endorsement], ...]:
    """The endorsements in force for a grant, each with the mission's that it lies in. `own`: the grant's; None = it has no map of its own.

    What a grant may use is what the mission has left, whatever was left when it was carved.
    """
    standing = [one for one in mission if one.state is EntryState.APPROVED]
    if own is None:
        return tuple((one, one) for one in standing)
    found = []
    for mine in own:
        for one in standing if mine.state is EntryState.APPROVED else ():
            left = replace(mine, amount_most=_least(mine.amount_most, one.amount_most))
            if endorsement_inside(one, left):
                found.append((left, one))
                break
    return tuple(found)


def _least(mine: float | None, whole: float | None) -> float | None:
    return None if mine is None or whole is None else min(mine, whole)


def _covers(one: Endorsement, source: ReadSource) -> bool:
    """Whether the source is the one that is meant: the same tool, and every value that said what to read, no fewer and no more."""
    return one.tool == source.tool and (
        dict(one.selectors) == dict(source.selectors)
        or (
            one.selectors.keys() == source.selectors.keys()
            and all(_same(value, source.selectors[name]) for name, value in one.selectors.items())
        )
    )


def _same(meant: str, value: str) -> bool:
    """Whether two values are the same; of addresses of pages, scheme, `www.`, a final slash and the case of the host do not count."""
    return meant == value or ("?" not in value and "#" not in value and _page(meant) == _page(value) != "")


def _page(value: str) -> str:
    written = value.strip()
    if "\\" in written or not any(one.text == fold(written) for one in literals(written, frozenset({LiteralKind.URL}))):
        return ""
    host, mark, path = (written.partition("://")[2] or written).partition("/")
    return f"{bare_address(host.casefold())}{mark}{path}".rstrip("/")


def _trusted(one: Endorsement, *, orders: bool) -> bool:
    """Whether an endorsement still serves for a text that may read like orders to a model."""
    return not orders or (one.warned and not one.approved_by.startswith("policy:"))


def _within(most: float | None, amount: float | None) -> bool:
    return amount is None or (most is not None and amount <= most)


def _number(value: Json) -> float:
    if isinstance(value, bool):
        return math.inf
    if isinstance(value, int | float):
        number = abs(float(value)) if abs(value) < 1e300 else math.inf  # noqa: PLR2004 - no amount of money
        return number if math.isfinite(number) else math.inf
    hit = _PLAIN_NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(hit.group(1)) if hit else math.inf


_PLAIN_NUMBER = re.compile(r"[$€£¥-]?(\d{1,15}(?:\.\d{1,6})?)")


# ---- what a goal points at --------------------------------------------------------------------------------------------------------------------


def proposed_endorsements(
    goal: Goal, tools: Sequence[Tool], authority: AuthorityMap, rules: EndorsementRules = ENDORSEMENT_RULES
) -> tuple[Endorsement, ...]:
    """The sources that a goal points at, from its words alone, in the order of `tools`.

    A source is a reading tool with every identifier of the goal that fits one of its arguments; its kinds of acts are those of the map's tools
    that the goal names, and where it says "do what it says" also those of little harm. Approved (`policy:pointed_at`) are only: one file or page,
    named together with the act, in one clause or through its pronouns, for acts that change little. The rest waits for a person.
    """
    if not goal.stated:
        return ()
    read = read_goal(goal)
    acts = _named_acts(read, tools, authority)
    asked = {intent for intent, _ in acts if endorsable(intent, rules)}
    if not asked and not read.delegates:
        return ()
    amounts = [
        _number(one.text.strip(_CURRENCY).replace(",", "")) for one in read.literals if one.kind is LiteralKind.AMOUNT
    ]
    most = max((one for one in amounts if math.isfinite(one)), default=None)
    named = tuple(_identifiers(goal, read, rules))
    found: list[Endorsement] = []
    little = frozenset(_little_harm(tools, rules)) if read.delegates else frozenset()
    for tool in tools:
        choices = _selected(tool, named)
        if not choices or classify(tool, {}).intent not in _SOURCES:
            continue
        for meant in choices:
            if len(found) >= rules.most:
                return tuple(found)
            selectors = {name: one.written for name, one in meant.items()}
            by_policy = _by_policy(tool, tuple(meant.values()), read, acts, rules)
            if by_policy:
                found.append(
                    Endorsement(
                        endorsement_id(tool.id, selectors, by_policy),
                        tool.id,
                        selectors,
                        by_policy,
                        state=EntryState.APPROVED,
                        approved_by=BY_POINTING,
                        why=f"The goal names {_shown(selectors)} together with the act.",
                    )
                )
            told = _together(read, [one.folded for one in meant.values()])
            rest = tuple(sorted((asked | (little if _delegates(read, told) else set())) - set(by_policy)))
            if rest:
                found.append(
                    Endorsement(
                        endorsement_id(tool.id, selectors, rest),
                        tool.id,
                        selectors,
                        rest,
                        amount_most=most,
                        why=f"The goal points at {_shown(selectors)}; a person decides whether it may direct such acts.",
                    )
                )
    return tuple(found)


def offered(
    goal: Goal,
    tools: Iterable[Tool],
    endorsements: Sequence[Endorsement],
    result: str,
    source: ReadSource,
    findings: Iterable[TextFinding],
    reading: ActionReading,
    arguments: Mapping[str, Json],
    roles: Mapping[str, ArgumentRole],
    rules: EndorsementRules = ENDORSEMENT_RULES,
) -> Endorsement | None:
    """The endorsement that a person may give instead of answering call by call; None = the goal does not point at this source.

    It does where an endorsement names it, or where every value that said what to read stands in the goal and the goal has such a verb or says
    "do what it says". A source that a person refused for such acts is not offered again.
    """
    if not endorsable(reading.intent, rules) or not source.selectors:
        return None
    known = [one for one in endorsements if _covers(one, source)]
    if any(one.state is EntryState.REFUSED and reading.intent in one.intents for one in known):
        return None
    read, values = read_goal(goal), [fold(value) for value in source.selectors.values()]
    delegates = _delegates(read, _together(read, values))
    if not known:
        words = fold(goal.text)
        named = mention(read, reading.verb, reading.stem, reading.objects).verb or delegates
        if not named or not all(_stands_in(value, words) for value in values):
            return None
    # What costs more than little is asked about by itself, so that nobody endorses it along with something else.
    besides = {code for one in known for code in one.intents if one.state is not EntryState.REFUSED}
    intents = {reading.intent} | {code for code in besides if _moderate(code, rules) or code in _PLAIN_READS}
    if delegates and not known:
        intents |= _little_harm(islice(tools, rules.most_offered), rules)
    kinds = tuple(sorted(intents))
    orders = next((one for one in findings if one.source == result), None)
    return Endorsement(
        endorsement_id(source.tool, source.selectors, kinds),
        source.tool,
        dict(source.selectors),
        kinds,
        amount_most=amount_of(arguments, roles, reading.intent),
        why=f"The goal points at {_shown(source.selectors)}.",
        warned=orders is not None,
    )


def responsible(origins: Sequence[ArgumentOrigin], found: Attribution) -> str:
    """The one result whose text a call follows, by its values or by a sentence that asks for it; empty = none, or several."""
    texts = {
        one.source for one in origins if one.origin is Origin.FREE_TEXT and (one.role in _DECIDING or "#" in one.path)
    }
    if texts:
        return next(iter(texts)) if len(texts) == 1 else ""
    return found.source if found.ordered else ""


def warning(origins: Sequence[ArgumentOrigin], found: Attribution | None, findings: Iterable[TextFinding]) -> str:
    """What a person is told first of a text that reads like orders to a model."""
    result = responsible(origins, found or NOT_ATTRIBUTED)
    quote = next((one.quote for one in findings if one.source == result), "")
    return f"CAREFUL: what {result} returned reads like orders to a model: “{one_line(quote, 200)}”. Look at it yourself before you endorse it."


def endorsable(intent: str, rules: EndorsementRules = ENDORSEMENT_RULES) -> bool:
    """Whether a source may be endorsed for acts of this kind at all."""
    return (
        (TAXONOMY[intent].consequential or intent.startswith("K."))
        and TAXONOMY[intent].base_risk < rules.most_risk
        and intent not in _ONE_CALL_AT_A_TIME
    )


def endorsement_id(tool: str, selectors: Mapping[str, str], intents: Sequence[str]) -> str:
    """The id of an endorsement: the same source and kinds, the same id."""
    told = json.dumps([tool, dict(selectors), list(intents)], sort_keys=True)
    return f"s-{hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


def endorsement_text(one: Endorsement) -> str:
    """What an endorsement means, in a sentence for people."""
    acts = "; ".join(f"{code} ({TAXONOMY[code].definition.rstrip('.')})" for code in one.intents)
    amount = "" if one.amount_most is None else f", amounts up to {one.amount_most:g} in all"
    return f"What {one.tool} returns for {_shown(one.selectors)} may direct acts of these kinds: {acts}{amount}."


def _shown(selectors: Mapping[str, str]) -> str:
    said = ", ".join(f"{name} “{one_line(value, 80)}”" for name, value in selectors.items())
    return one_line(said, _LONGEST_WHY) or "whatever it reads"


_CURRENCY = "$€£¥ abcdefghijklmnopqrstuvwxyz"


def _named_acts(
    read: GoalReading, tools: Sequence[Tool], authority: AuthorityMap
) -> tuple[tuple[str, ActionReading], ...]:
    """The kinds of acts of the map's tools that the goal names, verb and object, and does not forbid."""
    known = {entry.tool for entry in authority.entries if entry.state is not EntryState.REFUSED}
    found = []
    for tool in tools:
        reading = classify(tool, {})
        if tool.id not in known or not reading.consequential:
            continue
        named = mention(read, reading.verb, reading.stem, reading.objects)
        if named.both and not named.forbidden:
            found.append((reading.intent, reading))
    return tuple(found)


def _little_harm(tools: Iterable[Tool], rules: EndorsementRules) -> set[str]:
    """The kinds of acts of a catalogue that a text may be followed in for little: moderate ones, and reads that reach nothing outside."""
    kinds = {classify(tool, {}).intent for tool in tools}
    return {one for one in kinds if _moderate(one, rules) or one in _PLAIN_READS}


def _moderate(intent: str, rules: EndorsementRules) -> bool:
    return intent.startswith(_POLICY_KINDS) and TAXONOMY[intent].base_risk <= rules.moderate


def _identifiers(goal: Goal, read: GoalReading, rules: EndorsementRules) -> Iterator[_Named]:
    plain = visible(goal.text)
    lowered = fold(goal.text)
    for one in read.literals:
        if one.kind in {LiteralKind.AMOUNT, LiteralKind.DATE, LiteralKind.PHONE, LiteralKind.IBAN}:
            continue
        written = _as_written(one.text, plain)
        if written:
            yield _Named(written, one.text, one.kind, _beside(lowered, one.text, rules))
    for hit in _POSSESSIVE.finditer(plain[: GOAL_RULES.longest]):
        beside = frozenset(name_words(hit.group(2)))
        if hit.group(1).casefold() in _NO_OWNER:
            continue
        yield _Named(hit.group(1), hit.group(1).casefold(), LiteralKind.ID, beside, whose=True)


def _as_written(folded: str, plain: str) -> str:
    """How a folded identifier is spelled where it first stands; empty = nowhere."""
    if folded.isascii() and plain.isascii() and not _SPACE.search(folded):
        at = plain.lower().find(folded.lower())
        return plain[at : at + len(folded)] if folded and at >= 0 else ""
    hit = re.search(r"\s+".join(map(re.escape, folded.split())), plain, re.IGNORECASE) if folded else None
    return "" if hit is None else hit.group()


_SPACE = re.compile(r"\s")


def _beside(text: str, literal: str, rules: EndorsementRules) -> frozenset[str]:
    at = text.find(literal)
    before, after = text[max(0, at - 80) : max(0, at)], text[at + len(literal) : at + len(literal) + 80]
    return frozenset((*name_words(before)[-rules.near :], *name_words(after)[: rules.near]))


def _selected(tool: Tool, named: Sequence[_Named]) -> Sequence[Mapping[str, _Named]]:
    """What a tool may be told to read: for one argument each identifier of the goal that fits it, for several the first that fits each."""
    if not named:
        return []
    declared = tool.input_schema.get("properties")
    roles = declared_roles(tool)
    nouns = {word for part in name_words(tool.name) for word in (part, part.removesuffix("s"))}
    found: dict[str, list[_Named]] = {}
    for name, schema in declared.items() if isinstance(declared, Mapping) else ():
        if not isinstance(schema, Mapping) or schema.get("type", "string") != "string" or roles.get(name) not in _WHICH:
            continue
        said = set(name_words(name))
        for one in named:
            by_kind = bool(said & _FITS.get(one.kind, frozenset())) and "id" not in said
            if one.kind is LiteralKind.EMAIL:
                by_kind = by_kind and bool(one.beside & _SENT_BY)
            by_words = (
                not one.whose
                and bool(said & one.beside)
                and (one.kind is LiteralKind.ID or (one.kind is LiteralKind.QUOTED and "id" not in said))
            )
            by_owner = one.whose and bool(said & _WHOSE) and bool(nouns & one.beside)
            if (by_kind or by_words or by_owner) and all(one.written != other.written for other in found.get(name, ())):
                found.setdefault(name, []).append(one)
    if len(found) == 1:
        ((name, fitting),) = found.items()
        return [{name: one} for one in fitting]
    return [{name: fitting[0] for name, fitting in found.items()}] if found else []


def _by_policy(
    tool: Tool,
    meant: Sequence[_Named],
    read: GoalReading,
    acts: Sequence[tuple[str, ActionReading]],
    rules: EndorsementRules,
) -> tuple[str, ...]:
    """The kinds for which the shipped policy endorses the source: see `proposed_endorsements`."""
    if not tool.pin or not read.whole or len(meant) != 1 or meant[0].kind not in _ONE_THING:
        return ()
    if not _comes_from(read, meant[0].folded):
        return ()
    places = _together(read, [meant[0].folded])
    here = _only(read, places)
    found = set()
    for intent, reading in acts:
        named = mention(here, reading.verb, reading.stem, reading.objects)
        if _moderate(intent, rules) and named.both and not named.forbidden:
            found.add(intent)
    return tuple(sorted(found))


def _together(read: GoalReading, values: Sequence[str]) -> frozenset[int]:
    """The clauses that speak of one of these: those it stands in, those that refer to one of these, and those that these refer to."""
    stands = {
        place for place, clause in enumerate(read.clauses) if any(_stands_in(value, clause.said) for value in values)
    }
    if not stands:
        return frozenset()
    reach = {place: _reached(read, place) for place in range(len(read.clauses))}
    return frozenset(
        place for place in reach if any(at == place or at in reach[place] or place in reach[at] for at in stands)
    )


def _only(read: GoalReading, places: Collection[int]) -> GoalReading:
    """The goal with the verbs of these clauses alone."""
    kept = {name: tuple(place for place in at if place in places) for name, at in read.by_verb.items()}
    return replace(read, by_verb={name: at for name, at in kept.items() if at})


def _delegates(read: GoalReading, places: Collection[int]) -> bool:
    """Whether these clauses, or one right behind them ("… and follow the instructions"), ask to do what some content says."""
    return any(clause.delegates for place in places for clause in read.clauses[place : place + 2])


def _comes_from(read: GoalReading, literal: str) -> bool:
    """Whether the words before an identifier say that something is taken from it, and none that something goes to it."""
    said = [clause.said.replace("'", "").replace('"', "") for clause in read.clauses]
    found = [
        hit for text in said for hit in re.finditer(rf"([^;]{{0,80}})(?<![\w/.-]){re.escape(literal)}(?![\w/-])", text)
    ]
    return bool(found) and all(_FROM.search(hit.group(1)) is not None for hit in found)


def _reached(read: GoalReading, place: int) -> frozenset[int]:
    found, at = set(), place
    while at > 0 and place - at < GOAL_RULES.furthest and read.clauses[at].refers:
        at -= 1
        found.add(at)
    return frozenset(found)


def _stands_in(value: str, text: str) -> bool:
    """Whether a folded value stands in a folded text, with no word character on either side."""
    at = text.find(value) if value else -1
    while at >= 0:
        stop = at + len(value)
        if (at == 0 or _JOINS_BEFORE.match(text[at - 1]) is None) and _JOINS_BEHIND.match(text, stop) is None:
            return True
        at = text.find(value, at + 1)
    return False


_JOINS_BEFORE = re.compile(r"[\w/.-]")
_JOINS_BEHIND = re.compile(r"[\w/-]")
