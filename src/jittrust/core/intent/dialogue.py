"""Drift of the person's own dialogue: message by message to where nobody would have gone at once.

Somebody else may steer the person, or sit at the keyboard. What counts are only late words that are both new and harmful: an act of high risk that
no earlier message was about, something secret, more and more of something, a way around a check, or hiding it from those who watch. Urgency and claims
of rank weigh something beside these and nothing alone. Deterministic and linear; a dialogue is read once, each message once more when words are added.

Orders against rules and secrecy are found in the languages of `text_phrases`; acts are known in English only, so that elsewhere fewer turns count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jittrust.core.intent.goal import Clause, GoalReading, mention, read_goal
from jittrust.core.intent.quoted import own_words
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.text import read_text
from jittrust.core.intent.words import REACHING, READING, VerbClass, fold, literals, one_line, stem
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Reading, Reason
from jittrust.core.secret import without_secrets
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class DialogueRules:
    """What a turn of a dialogue weighs, and from where a person is asked about what only late words cover."""

    new_act: float = 0.3  # an act that no earlier message was about, times its harm
    secret: float = 0.3  # something secret, or data about many people, that no earlier message was about
    breadth: float = 0.15  # all of something, where earlier messages were about some
    outside: float = 0.15  # a new address or account that such an act reaches
    hiding: float = 0.45  # those who watch are not to know, or traces are removed
    around: float = 0.5  # a rule, limit, approval or guard is set aside
    smuggled: float = 1.0  # orders in an encoding or in signs that nobody sees: no person wrote them to be read
    pressure: float = 0.1  # urgency or rank, beside any of these
    tolerated: float = 0.25  # weight of one turn that does not pile up
    rate: float = 4.0  # how fast what piled up turns into drift
    ask_from: float = 0.6  # drift from which a call that only late words cover goes to a person


DIALOGUE_RULES = DialogueRules()


@dataclass(frozen=True, slots=True)
class DialogueReading:
    """A dialogue, read.

    Attributes:
        value: 0..1, how far it was steered.
        turn: the message that turned it, counted from 0; -1 = none did.
        since: the first message that weighed anything; -1 = none.
        quote: what the turning message says, cut, for people.
        signs: what was found in it, for people.
    """

    value: Unit
    turn: int = -1
    since: int = -1
    quote: str = ""
    signs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageReading:
    """One message of a person, by itself: its words, and the codes of the signs of orders to a model."""

    words: GoalReading
    codes: frozenset[str]


@lru_cache(maxsize=1_024)
def read_message(text: str) -> MessageReading:
    """Read one message. The costly part of a dialogue: done once, and away from the event loop where there is one."""
    read = read_goal(Goal((text,), GoalSource.NONE))
    # What a person quotes is content, which they may want looked at because it reads like this.
    return MessageReading(read, frozenset(reason.code for reason in read_text(own_words(text)).injection.reasons))


@lru_cache(maxsize=256)
def read_dialogue(goal: Goal, rules: DialogueRules = DIALOGUE_RULES) -> DialogueReading:
    """How far a person's messages have been steered from the first of them. Monotone: one more message never lowers it."""
    piled, heaviest, turn, since, signs = 0.0, 0.0, -1, -1, tuple[str, ...]()
    classes: set[VerbClass] = set()
    topics: set[str] = set()
    stems: set[str] = set()
    known, secret = "", False
    for place, text in enumerate(goal.texts):
        read = read_message(text).words
        weight, found = 0.0, tuple[str, ...]()
        if place:
            before = _Before(frozenset(classes), frozenset(topics), frozenset(stems), known, secret)
            weight, found = _turn(text, read, before, rules)
        if "encoded_order" in read_message(text).codes:
            weight, found = weight + rules.smuggled, (*found, "orders that nobody sees")
        over = weight - rules.tolerated
        if over > 0.0:
            piled += over
            since = place if since < 0 else since
            if over > heaviest:
                heaviest, turn, signs = over, place, found
        secret = _SECRET in found or bool(not place and read.stems & _SENSITIVE)
        classes |= {kinds[0] for clause in read.clauses for _, kinds in clause.verbs}
        topics |= read.about
        stems |= read.stems
        known = f"{known}\n{fold(text)}"
    value = Unit(min(1.0, 1.0 - math.exp(-rules.rate * piled)))
    quote = one_line(without_secrets(goal.texts[turn]), _LONGEST_SHOWN) if turn >= 0 else ""
    return DialogueReading(value, turn, since, quote, signs)


def dialogue_of_call(goal: Goal, reading: ActionReading, rules: DialogueRules = DIALOGUE_RULES) -> Reading | None:
    """The drift of the dialogue as far as it bears on a call: 0 where the messages before it turned ask for the call. None = there is one message."""
    found = read_dialogue(goal, rules)
    if found.value <= 0.0 and len(goal.texts) < _LEAST_TEXTS:
        return None
    if found.value <= 0.0:
        return Reading(
            "dialogue", Unit(0.0), Unit(0.8), "core.intent.dialogue", "The messages stay with what they began with."
        )
    early = read_goal(Goal(goal.texts[: found.since], goal.source))
    if mention(early, reading.verb, reading.stem, reading.objects).both:
        why = "The messages turned, and those before that ask for this call."
        return Reading("dialogue", Unit(0.0), Unit(0.8), "core.intent.dialogue", why)
    why = (
        f"Message {found.turn + 1} of {len(goal.texts)} turned to something else ({', '.join(found.signs)}): “{found.quote}”. "
        f"Drift of the dialogue {found.value:.2f} of 1; nothing said before it asks for this call."
    )
    return Reading("dialogue", found.value, Unit(0.8), "core.intent.dialogue", why)


def doubt_of_dialogue(found: Reading | None, rules: DialogueRules = DIALOGUE_RULES) -> Reason | None:
    """Why a person is asked because of where the dialogue went; None = no reason."""
    if found is None or found.value is None or found.value < rules.ask_from:
        return None
    return Reason("dialogue_drift", found.why, "Approve this one call: jittrust approve.")


# ---- one turn ---------------------------------------------------------------------------------------------------------------------------------

_LEAST_TEXTS = 2
_SECRET = "something secret or personal"
_ACT = "a new act of high risk"
_WIDE = "all of it, where it was some before"
_ORDINARY = frozenset({_ACT, _WIDE})  # people are in a hurry with these every day
_LONGEST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class _Before:
    """What the messages before a turn were about."""

    classes: frozenset[VerbClass]
    about: frozenset[str]
    stems: frozenset[str]
    text: str
    secret: bool


# Harm of an act, 0..1, where the taxonomy's base risk is 0.5 or more for what such a verb usually does.
_HARM = {
    VerbClass.DISABLE: 1.0,
    VerbClass.ESCALATE: 0.9,
    VerbClass.GRANT: 0.9,
    VerbClass.SCAN: 0.9,
    VerbClass.DELETE: 0.8,
    VerbClass.PAY: 0.8,
    VerbClass.INVITE: 0.7,
    VerbClass.PUBLISH: 0.7,
    VerbClass.RUN: 0.7,
    VerbClass.INSTALL: 0.7,
    VerbClass.DEPLOY: 0.7,
    VerbClass.REVOKE: 0.6,
    VerbClass.SEND: 0.6,
    VerbClass.APPROVE: 0.5,
}
_CARRIES = frozenset(
    {
        VerbClass.SEND,
        VerbClass.PUBLISH,
        VerbClass.PAY,
        VerbClass.GRANT,
        VerbClass.MOVE,
        VerbClass.INVITE,
        VerbClass.CREATE,
    }
)
_TAKES = frozenset({*READING, *_CARRIES, VerbClass.DOWNLOAD, VerbClass.ADD})
_PASSED_ON = re.compile(
    r"\b(?:send|mail|email|forward|post|upload|share|publish|put|export|copy|give|show)\b(?: \w+)? (?:it|them|these|those|this|that|everything"
    r"|the (?:table|list|file|summary))\b"
)
_ALONE = 0.6  # share of the weight of hiding where nothing is done
_ASKS = re.compile(r"(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|does|did|has|have)\b")
_REMOVES = frozenset({VerbClass.DELETE, VerbClass.DISABLE})
_TRACE_WORDS = re.compile(
    r"\b(?:(?:access|audit|activity|change|event|door|login|security|command|edit) (?:logs?|history|trails?|entr(?:y|ies)|records?)|audit entries"
    r"|(?:no|without (?:a |any )?|leave no) (?:trace|log entry|log|record)|evidence)\b"
)
_SENSITIVE = frozenset(
    stem(word)
    for word in "password passphrase secret credential salary payroll medical patient diagnosis ssn confidential unpublished".split()
)
# Who says with which credential to do it gives one away, and asks for none.
_GIVEN = re.compile(r"\b(?:with|using|use|my|via|is|our)\b[\w' ]{0,30}\b(?:passwords?|passphrase|credentials?)\b")
# Two words that are harmless apart: a card pays, a card's number is kept from others.
_PRIVATE_PAIR = re.compile(
    r"\b(?:(?:card|account) numbers?|security codes?|bank (?:details|data|accounts?)|home address(?:es)?|api keys?|ssh keys?|(?:deploy|access|signing) keys?)\b"
)
_BREADTH = re.compile(
    r"\b(?:all|every|everyone|everybody|entire|whole|full|dump|each|alle[rsn]?|jede[rsn]?|ganze[nrs]?|tou(?:s|tes?)|todo[s]?|todas?|tutt[ioe]|cada)\b"
)
# What is asked for is kept from people who would otherwise see it.
_HIDING = re.compile(
    r"\b(?:quietly|secretly|silently|covertly|discreetly|unnoticed|behind (?:his|her|their|the) back|between us|nobody (?:sees|needs to|has to|must|should|may)"
    r"|no one (?:sees|needs to|has to|must|should|may)|so that (?:nobody|no one)|(?:do not|don't|never|without) (?:\w+ ){0,2}?(?:mention|mentioning|tell"
    r"|telling"
    r"|notify|notifying|inform|informing|record|recording|report|reporting|log|logging|show|showing|disclose)\b|hide|conceal|mute|suppress|anonymous"
    r"|do not see|cannot see|off the record)\b"
)
_AROUND = re.compile(
    r"\b(?:(?:skip|bypass|ignore|circumvent|override|evade|avoid|without|disregard|forget)\b[\w' ]{0,30}\b(?:approval|approvals|check|checks|review|reviews"
    r"|limit|limits|rule|rules|policy|policies|instruction|instructions|signature|confirmation|control|controls|protection|permission|restriction"
    r"|restrictions)|no tool needs approval|approve (?:it|them|this|that) yourself|in the name of|on behalf of the owner|remove\b[\w' ]{0,20}\bprotection)\b"
)
_PRESSURE = re.compile(
    r"\b(?:urgent|urgently|emergency|immediately|right now|no time|asap|at once|trust me|i am (?:the|a|an|your) (?:new )?(?:admin|administrator|ceo|boss"
    r"|manager|owner|developer|lead|director|root)|i am authori[sz]ed|i may decide)\b"
)
_STOPS_GUARD = re.compile(
    r"\b(?:disable|deactivate|turn off|switch off|shut off|shut down|suppress|mute|remove|kill|stop|loosen)\b[\w' ]{0,40}\b(?:firewall|anti-?virus|monitoring"
    r"|alarms?|alerts?|audit(?:ing)?|logging|guard(?:rail)?s?|protections?|safeguards?|scanning|two-factor|mfa|2fa|restrictions?|detection|rollback"
    r"|notifications?)\b"
)
_AGAINST_RULES = frozenset(("override", "persona", "prompt_leak", "role_marker", "forged_tag"))


def _turn(text: str, read: GoalReading, before: _Before, rules: DialogueRules) -> tuple[float, tuple[str, ...]]:
    """What one message weighs against those before it, and why, for people."""
    low = fold(own_words(text))
    found: dict[str, float] = {}
    codes = read_message(text).codes
    asks_only = _ASKS.match(low) is not None and low.endswith("?")
    harm = 0.0 if asks_only else max((at for clause in read.clauses for at in _new_harm(clause, before)), default=0.0)
    wide = _BREADTH.search(low) is not None and _BREADTH.search(before.text) is None
    if harm > 0.0:
        found[_ACT] = rules.new_act * harm
    pair = (
        _PRIVATE_PAIR.search(low) is not None and (wide or _PRIVATE_PAIR.search(before.text) is None) and not asks_only
    )
    passed_on = before.secret and _PASSED_ON.search(low) is not None
    named = _GIVEN.search(low) is None and any(_touches_secret(clause, before, wide=wide) for clause in read.clauses)
    if pair or named or passed_on:
        found[_SECRET] = rules.secret
    acts = not asks_only and any(
        kinds[0] in _HARM or kinds[0] in _CARRIES for one in read.clauses for _, kinds in one.verbs
    )
    if wide and (acts or found):
        found[_WIDE] = rules.breadth
    if acts and _any(read, _CARRIES) and any(one.text not in before.text for one in literals(text, REACHING)):
        found["a new address outside"] = rules.outside
    if (_TRACE_WORDS.search(low) and _any(read, _REMOVES)) or "secrecy" in codes:
        found["those who watch are not to know"] = rules.hiding
    elif _HIDING.search(low):
        found["those who watch are not to know"] = rules.hiding * (1.0 if acts else _ALONE)
    if codes & _AGAINST_RULES or _AROUND.search(low) or _STOPS_GUARD.search(low):
        found["a check or rule is set aside"] = rules.around
    if found.keys() - _ORDINARY and _PRESSURE.search(low):
        found["urgency or rank"] = rules.pressure
    return math.fsum(found.values()), tuple(found)


def _touches_secret(clause: Clause, before: _Before, *, wide: bool) -> bool:
    """Whether a clause has something secret or about people read or carried: new, or more of it than before."""
    named = clause.stems & _SENSITIVE
    return bool(named and {kinds[0] for _, kinds in clause.verbs} & _TAKES and (wide or named - before.stems))


def _new_harm(clause: Clause, before: _Before) -> Iterator[float]:
    for _, kinds in clause.verbs:
        kind = kinds[0]
        if kind in READING or kind not in _HARM:
            continue
        nouns = clause.reach_stems - {root for root, _ in clause.verbs}
        known = kind in before.classes
        # The same act on what earlier messages were about is no turn.
        if known and (nouns & before.stems or clause.reach_about & before.about):
            continue
        yield _HARM[kind]


def _any(read: GoalReading, kinds: frozenset[VerbClass]) -> bool:
    return bool(kinds & read.classes)
