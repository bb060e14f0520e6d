"""How far a cascade has moved from the words of the person at its root: hop by hop, agent to agent.

What an agent tells the next one is a text of an agent: it is measured against the words of the person (never against the hop before it) and is never
a goal itself. It can only add distance. Deterministic, linear in the message; the same message under the same goal is read once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from jittrust.core.intent.goal import Clause, GoalReading, read_goal
from jittrust.core.intent.note import IntentNote
from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.roles import leaves
from jittrust.core.intent.text import read_text
from jittrust.core.intent.words import (
    REACHING,
    READING,
    VerbClass,
    content_stems,
    fold,
    literals,
    name_words,
    one_line,
    stem,
    words,
)
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Reading, Reason, Tool
from jittrust.core.secret import without_secrets
from jittrust.core.units import Unit

LONGEST_TASK = 2_000
"""Longest message that hands a task on, in characters; a longer one is refused, never cut."""


@dataclass(frozen=True, slots=True)
class CascadeRules:
    """Constants of the cascade."""

    ask_from: float = 0.8  # distance from which a call with consequences goes to a person
    kept: float = 0.85  # share of the distance before a hop that no later hop can win back
    off_goal_read: float = (
        0.6  # most that a sub-goal without effect is off the goal: logical, but off the goal, is medium
    )
    off_goal_act: float = 1.0  # most that one with an effect is
    near: float = 0.2  # distance of an act that belongs to one that the goal names, as paying belongs to booking
    covered: float = 0.2  # how much less far an act is that the goal does not name, on what the goal does name
    secret: float = 0.9  # distance of anything about a secret that the goal does not name
    unnamed: float = 0.5  # least distance of an act for an address or account that the person did not name
    orders: float = (
        0.8  # least distance of a message with signs that no honest task has: hidden text, “do not tell the user”
    )
    unread: float = 0.5  # distance of a message in which no act was found
    delegated: float = (
        0.7  # most distance of a message where the person pointed at content as the source of instructions
    )
    tolerated: float = 0.35  # distance of one hop that does not pile up
    rate: float = 1.8  # how fast piled-up distance of several hops turns into distance of the whole


CASCADE_RULES = CascadeRules()


@dataclass(frozen=True, slots=True)
class Hop:
    """One message from agent to agent.

    Attributes:
        agent: who was given the task.
        said: what it was asked to do, as far as it is known; empty = nothing was said.
        distance: 0..1, how far that lies from the person's own words; None = could not be measured.
        intent: code of the message (`A.delegate`, `A.ask` …).
        quote: the part of it that lies farthest off, cut, for people.
    """

    agent: str
    said: str
    distance: float | None
    intent: str
    quote: str = ""


@dataclass(frozen=True, slots=True)
class TaskReading:
    """What an agent told another one, read against the person's words: `distance`, `intent` and `quote` as in `Hop`; `why` for people."""

    distance: float | None
    intent: str
    quote: str = ""
    why: str = ""


def hop_of(goal: Goal, agent: str, said: str, rules: CascadeRules = CASCADE_RULES) -> Hop:
    """The hop that handed `said` to `agent`, measured against the goal of the person at the root."""
    read = read_task(goal, said, rules)
    return Hop(agent, said, read.distance, read.intent, read.quote)


def told_by_call(
    goal: Goal,
    tool: Tool,
    reading: ActionReading,
    arguments: Mapping[str, Json],
    roles: Mapping[str, ArgumentRole],
    rules: CascadeRules = CASCADE_RULES,
) -> Hop | None:
    """The hop that a call itself is, where its tool hands work or a question to another agent or model; None = it is none.

    A person at the other end (`transfer_to_human`) is no hop. Text beyond `LONGEST_TASK` is not read, which is no good sign.
    """
    if not reading.intent.startswith("A.") or not _to_agent(tool, reading):
        return None
    texts = [
        value
        for path, value in leaves(arguments)
        if isinstance(value, str) and (roles.get(path) in _SAYING or " " in value.strip())
    ]
    said = "\n".join(texts)
    if not said.strip():
        return None
    hop = hop_of(goal, tool.id, said[:LONGEST_TASK], rules)
    if len(said) > LONGEST_TASK and hop.distance is not None:
        return replace(hop, distance=max(hop.distance, rules.unread), intent=reading.intent)
    return replace(hop, intent=reading.intent)


def _to_agent(tool: Tool, reading: ActionReading) -> bool:
    """Whether another agent or a model is at the other end, by what the tool acts on or else by its description; a person is not."""
    objects, told = set(reading.objects), set(content_stems(words(tool.description[:_LONGEST_DESCRIPTION])))
    if objects & _PEOPLE:
        return False
    return bool(objects & _AGENTS) or bool(told & _AGENTS and not told & _PEOPLE)


def noted(note: IntentNote, rules: CascadeRules = CASCADE_RULES) -> Hop:
    """What a note claims of the way before it, as a hop. A distance that it does not tell, or a note that cannot be read, is no good sign."""
    who = f"the caller, by its own note of hop {note.hop}," if note.v else "the caller, by a note that cannot be read,"
    return Hop(who, "", rules.unread if note.distance is None else note.distance, note.code or "A.delegate")


@lru_cache(maxsize=512)
def read_task(goal: Goal, said: str, rules: CascadeRules = CASCADE_RULES) -> TaskReading:
    """Classify a message from agent to agent and measure how far it lies from the person's words.

    An act that the goal does not have is far (critical), reading for something that the goal does not name is medium, what the goal has is near. Signs
    of hidden text or of orders against the person make it far, whatever it asks for. None: nothing was said, or there is no goal.
    """
    if not said.strip():
        return TaskReading(None, "A.delegate")
    signs = _signs(said)
    plain = _TOOL_CALL.sub(lambda hit: " ".join(name_words(hit[1])), signs.text)
    wanted = read_goal(Goal((plain,), GoalSource.NONE))
    intent = _intent(said, wanted)
    if not goal.stated:
        return TaskReading(None, intent)
    own = read_goal(goal)
    far, quote = -1.0, ""
    for clause in wanted.clauses:
        at = _clause_distance(clause, own, rules)
        if at is not None and at > far:
            far, quote = at, clause.said
    if far < 0.0:
        far = min(rules.unread, 1.0 - _shared(wanted, own))
    text = fold(goal.text)
    strange = [one for one in literals(signs.text, REACHING) if one.text not in text]
    if strange and far < rules.unnamed and any(_acts(clause) for clause in wanted.clauses):
        far, quote = rules.unnamed, strange[0].text
    if own.delegates:
        far = min(far, rules.delegated)
    if signs.orders and far < rules.orders:
        far, quote = rules.orders, signs.orders
    return TaskReading(min(1.0, max(0.0, far)), intent, one_line(without_secrets(quote), _LONGEST_SHOWN))


def cascade(hops: Sequence[Hop], rules: CascadeRules = CASCADE_RULES) -> Reading | None:
    """Distance 0..1 from the person's goal along the whole path, the root first; None where nobody handed anything on.

    A hop that cannot be measured keeps the distance before it. Monotone: a hop that lies farther off never lowers the distance, and a child is never
    nearer than `kept` of what lay before it. Distances above what is tolerated pile up, so that many small steps count like a large one.
    """
    if not hops:
        return None
    far, piled, own_most, where = 0.0, 0.0, -1.0, 0
    for place, hop in enumerate(hops):
        own = hop.distance if hop.distance is not None else 0.0
        if own > own_most:
            own_most, where = own, place
        piled += max(0.0, own - rules.tolerated)
        before = far if hop.distance is None else far * rules.kept
        far = max(own, before, 1.0 - math.exp(-rules.rate * piled))
    known = sum(hop.distance is not None for hop in hops) / len(hops)
    return Reading("cascade", Unit(min(1.0, far)), Unit(known), "core.intent.cascade", _why(hops, where, far))


def doubt_of_cascade(found: Reading | None, rules: CascadeRules = CASCADE_RULES) -> Reason | None:
    """Why a person is asked because of the way the task took; None = no reason."""
    if found is None or found.value is None or found.value < rules.ask_from:
        return None
    return Reason("cascade_drift", found.why, "Say it in the goal, or approve this one call: jittrust approve.")


def _why(hops: Sequence[Hop], where: int, far: float) -> str:
    hop = hops[where]
    if hop.distance is None or hop.distance <= 0.0:
        return f"Along {len(hops)} hops nothing was found that lies off the person's words; {far:.2f} of 1."
    asked = f"was asked: “{hop.quote}”" if hop.quote else "was asked for something"
    return (
        f"Hop {where + 1} of {len(hops)}: {one_line(hop.agent, _LONGEST_NAME)} {asked}, which the person's words do not have "
        f"({hop.distance:.2f} off them); along the way the task moved {far:.2f} off (0 = on them, 1 = wholly off)."
    )


# ---- distance of one clause -------------------------------------------------------------------------------------------------------------------

_LONGEST_SHOWN, _LONGEST_NAME, _LONGEST_DESCRIPTION = 120, 80, 2_000
# "call the read_file tool" asks for what the tool does, not for a call by phone.
_TOOL_CALL = re.compile(
    r"\b(?:call|use|using|invoke|run|execute|trigger) (?:the |your )?(?:tool |function )?[`'\"]?([A-Za-z]{2,32}(?:_[A-Za-z0-9]{1,32}){1,6})[`'\"]?"
    r"(?: (?:tool|function)\b)?",
    re.IGNORECASE,
)
# Weight of an act off the goal. What is not here has no lasting effect, or one that is seldom more than a step on the way.
_WEIGHT = {
    **dict.fromkeys(
        (
            *(VerbClass.DELETE, VerbClass.SEND, VerbClass.PUBLISH, VerbClass.ORDER, VerbClass.PAY, VerbClass.REFUND, VerbClass.GRANT),
            *(VerbClass.INVITE, VerbClass.REVOKE, VerbClass.INSTALL, VerbClass.SCAN, VerbClass.DEPLOY, VerbClass.DISABLE),
            *(VerbClass.ESCALATE, VerbClass.APPROVE, VerbClass.SCHEDULE),
        ),
        1.0,
    ),
    # Their verbs are said of many things without an effect of their own: "run the search", "complete the list".
    **dict.fromkeys((VerbClass.UPDATE, VerbClass.MOVE), 0.85),
    VerbClass.RUN: 0.75,
}  # fmt: skip
# What belongs to an act that the goal names.
_PARTS = {
    VerbClass.ORDER: (VerbClass.PAY, VerbClass.CREATE, VerbClass.SCHEDULE),
    VerbClass.SCHEDULE: (VerbClass.CREATE, VerbClass.INVITE, VerbClass.UPDATE),
    VerbClass.CREATE: (VerbClass.ADD, VerbClass.UPDATE),
    VerbClass.ADD: (VerbClass.CREATE, VerbClass.UPDATE),
    VerbClass.UPDATE: (VerbClass.CREATE, VerbClass.ADD, VerbClass.MOVE),
    VerbClass.PUBLISH: (VerbClass.CREATE, VerbClass.SEND),
    VerbClass.INVITE: (VerbClass.SEND, VerbClass.ADD),
    VerbClass.REFUND: (VerbClass.DELETE, VerbClass.UPDATE),
    VerbClass.INSTALL: (VerbClass.RUN, VerbClass.DOWNLOAD),
    VerbClass.DEPLOY: (VerbClass.RUN, VerbClass.CONFIGURE, VerbClass.INSTALL),
    VerbClass.DELEGATE: (VerbClass.SEND,),
}
# To confirm a number is to check it, more often than to approve something.
_MILD = frozenset({stem("confirm")})
# Who is to answer sends something, which no tool is called.
_REPLIES = frozenset({stem("answer"), stem("respond")})
_VAGUE = frozenset({"person", "time", "change", "record"})
# Words of every task, whatever it is for.
_COURTESY = frozenset(
    stem(word)
    for word in "please help task agent user need want result use make sure step answer give back report return tell follow let know".split()
)


def _clause_distance(clause: Clause, goal: GoalReading, rules: CascadeRules) -> float | None:
    """How far a clause lies off the goal; None = it asks for nothing."""
    roots = {root for root, _ in clause.verbs}
    nouns = clause.reach_stems - roots - _COURTESY
    about = clause.reach_about - _VAGUE
    found: list[float] = []
    for root, kinds in clause.verbs:
        if root in _COURTESY and not nouns:
            continue
        found.append(_act_distance(root, kinds, nouns, about, goal, rules))
    return max(found, default=None)


def _act_distance(
    root: str,
    kinds: tuple[VerbClass, ...],
    nouns: frozenset[str],
    about: frozenset[str],
    goal: GoalReading,
    rules: CascadeRules,
) -> float:
    whole = _cover(nouns, about, goal.stems, goal.about)
    if "secret" in about and "secret" not in goal.about:
        return rules.secret
    if kinds[0] in READING:
        return rules.off_goal_read * (1.0 - whole)
    weight = rules.off_goal_read if root in _MILD else _WEIGHT.get(kinds[0], rules.off_goal_read) * rules.off_goal_act
    best = 1.0 - rules.covered * whole
    for clause in goal.clauses:
        if any(_same(root, kinds, one) for one in clause.forbidden):
            if _cover(nouns, about, clause.reach_stems, clause.reach_about) > 0.0 or not nouns:
                return 1.0
            continue
        cover = _cover(nouns, about, clause.reach_stems, clause.reach_about)
        replies = kinds[0] is VerbClass.SEND and bool(_REPLIES & clause.stems)
        if (
            replies
            or any(_same(root, kinds, one) for one in clause.verbs)
            or (cover > 0.0 and any(_may_be_same(kinds, one) for one in clause.verbs))
        ):
            best = min(best, rules.off_goal_read * (1.0 - cover))
        elif any(kinds[0] in _PARTS.get(said[0], ()) for _, said in clause.verbs):
            best = min(best, rules.near + 0.5 * rules.off_goal_read * (1.0 - cover))
    return weight * best


def _same(root: str, kinds: tuple[VerbClass, ...], other: tuple[str, tuple[VerbClass, ...]]) -> bool:
    return root == other[0] or kinds[0] is other[1][0]


def _may_be_same(kinds: tuple[VerbClass, ...], other: tuple[str, tuple[VerbClass, ...]]) -> bool:
    """By what else a person may mean: “send” money is paying, where it is about money."""
    return kinds[0] in other[1] or other[1][0] in kinds


def _cover(nouns: frozenset[str], about: frozenset[str], stems: frozenset[str], topics: frozenset[str]) -> float:
    """Share 0..1 of what is acted on that the words name, by word or by what the words may stand for; 1 where nothing is named."""
    if not nouns:
        return 1.0
    return max(len(nouns & stems) / len(nouns), _BY_CONCEPT if about & topics else 0.0)


_BY_CONCEPT = 0.6


def _acts(clause: Clause) -> bool:
    return any(kinds[0] in _WEIGHT for _, kinds in clause.verbs)


def _shared(wanted: GoalReading, goal: GoalReading) -> float:
    return len(wanted.stems & goal.stems) / len(wanted.stems) if wanted.stems else 0.0


# ---- signs of orders --------------------------------------------------------------------------------------------------------------------------

# Every task speaks to a model and tells it what to do; these signs no honest task has.
_NEVER_WORK = frozenset(
    ("override", "persona", "prompt_leak", "secrecy", "hidden", "encoded_order", "role_marker", "forged_tag", "carrying_picture", "send_secret")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Signs:
    """What stands in a message: the text as a model understands it, with all that is hidden or encoded in it, and a sign that no honest task has."""

    text: str
    orders: str


@lru_cache(maxsize=512)
def _signs(said: str) -> _Signs:
    read = read_text(said)
    orders = next((one.quote or one.why for one in read.injection.reasons if one.code in _NEVER_WORK), "")
    more = (*read.hidden, *(variant.text for variant in read.variants))
    return _Signs("\n".join((read.skeleton, *(one[:LONGEST_TASK] for one in more[:_MOST_HIDDEN]))), orders)


_MOST_HIDDEN = 4


# ---- what kind of message ---------------------------------------------------------------------------------------------------------------------

_MORE_AUTHORITY = frozenset(
    stem(word)
    for word in "admin administrator root superuser privilege permission access scope authority credential".split()
)
_GETTING = frozenset(
    {*map(stem, "get obtain request need want take gain acquire ask give raise elevate escalate extend widen".split())}
)
_AGENTS = frozenset(stem(word) for word in "agent subagent worker bot assistant llm model".split())
_PEOPLE = frozenset(stem(word) for word in "human person staff support representative colleague user customer".split())
_SAYING = frozenset({ArgumentRole.CONTENT, ArgumentRole.COMMAND})
_STARTING = frozenset({VerbClass.CREATE, VerbClass.RUN, VerbClass.SPAWN, VerbClass.CONFIGURE})
_REPORTS = frozenset("done finished completed result results report here found summary status i we".split())
_QUESTION = frozenset(
    "what which who whom whose when where why how is are was were can could do does did should would will has have".split()
)


def _intent(said: str, read: GoalReading) -> str:
    """The code of a message: more authority, a new agent, a question, a result; else work handed on."""
    first = next(iter(words(said[:200])), "")
    acts = False
    for clause in read.clauses:
        kinds = {kinds[0] for _, kinds in clause.verbs}
        if VerbClass.ESCALATE in kinds or (
            clause.stems & _MORE_AUTHORITY and (clause.stems & _GETTING or VerbClass.GRANT in kinds)
        ):
            return "A.escalate_scope"
        if VerbClass.SPAWN in kinds or (
            kinds & _STARTING and clause.stems & _AGENTS and "new" in clause.stems | {first}
        ):
            return "A.spawn"
        acts = acts or bool(kinds - READING - {VerbClass.ASK})
    if not acts and first in _REPORTS:
        return "A.report"
    if not acts and (first in _QUESTION or said.rstrip().endswith("?")):
        return "A.ask"
    return "A.delegate"
