"""From a goal and the tools there are to a proposed authority map. Deterministic; a proposal is not authority.

The shipped policy approves by itself only reads of pinned closed-world tools that the goal can plausibly need, and consequential tools whose act
*and* object the goal names in one clause. What matches less waits for a person; what does not match at all gets no entry.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.intent.goal import GoalReading, Mention, mention, read_goal
from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.reading import ActionReading, classify
from jittrust.core.intent.roles import argument_nouns, declared_roles
from jittrust.core.intent.words import (
    LIGHT,
    VERBS,
    LiteralKind,
    VerbClass,
    concepts,
    content_stems,
    name_words,
    one_line,
    stem,
    words,
)
from jittrust.core.mission.mission import Goal
from jittrust.core.model import Json, Tool


@dataclass(frozen=True, slots=True)
class ProposalRules:
    """Constants of the proposal."""

    support_below: float = 0.45  # sensitivity under which a read supports any goal that concerns its server
    shared_by: float = 0.6  # share of a server's tools from which a word of their names says nothing
    shared_from: int = 3  # tools a server must have for that
    described_words: int = 2  # words of a description that the goal must share with a tool whose name has no noun
    most_constants: int = 20  # identifiers of the goal that one constraint lists
    most_tools: int = 2_000  # tools looked at


PROPOSAL_RULES = ProposalRules()

_SENTENCES = re.compile(r"[.:]\s|\n")
_PREPOSITIONS = frozenset("by to from in into on onto for with through via of at as and or that which based".split())
_LONGEST_DESCRIPTION = 1_000
_MOST_OBJECTS = 3
_LONGEST_NAME = 80

_NEVER_BY_POLICY = frozenset(
    {
        "O.disable_control",
        "O.delete_evidence",
        "O.approve",
        "I.transfer_owner",
        "I.read_secret",
        "X.persist",
        "X.net_scan",
        "A.escalate_scope",
        "P.self_modify",
    }
)
"""Acts that a person always approves, however plainly the goal names them."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    tool: Tool
    reading: ActionReading
    nouns: tuple[str, ...]
    named: Mention
    concerned: bool  # the goal has a noun of the tool's name
    plausible: bool  # or shares words with its description


@dataclass(frozen=True, slots=True)
class _Support:
    """What a read may support: `concerned` = the goal concerns its server; `needed` = it supplies a named act."""

    concerned: bool
    needed: bool


def entry_id(tool_id: str) -> str:
    """The id of the entry that a proposal makes for a tool: the same tool, the same id."""
    return f"e-{hashlib.sha256(tool_id.encode()).hexdigest()[:10]}"


def propose(
    goal: Goal,
    tools: Sequence[Tool],
    rules: ProposalRules = PROPOSAL_RULES,
    make_id: Callable[[str], str] = entry_id,
) -> tuple[AuthorityEntry, ...]:
    """The entries for a goal, in the order of `tools`; none without a goal.

    Approved entries carry `policy:read` or `policy:named`; the others are proposed. A tool without a pin is never approved.
    """
    if not goal.stated:
        return ()
    read = read_goal(goal)
    offered = tools[: rules.most_tools]
    common = _common_words(offered, rules)
    candidates = [_candidate(tool, read, common, rules) for tool in offered]
    acting = {one.tool.server for one in candidates if one.named.both}
    candidates = [_signing_in(one) if one.tool.server in acting else one for one in candidates]
    concerned = {one.tool.server for one in candidates if one.concerned or one.named.both}
    needed = _prerequisites(candidates)
    entries = []
    for one in candidates:
        support = _Support(one.tool.server in concerned or not concerned, one.tool.id in needed)
        decided = _decide(one, read, support, rules)
        if decided is not None:
            state, by, why, constraints = decided
            entries.append(
                AuthorityEntry(
                    make_id(one.tool.id),
                    one.tool.id,
                    constraints=constraints,
                    state=state,
                    approved_by=by,
                    why=why,
                    pin=one.tool.pin,
                )
            )
    return tuple(entries)


def _common_words(tools: Sequence[Tool], rules: ProposalRules) -> Mapping[str, str]:
    """The first word of most of a server's tool names (`git_…`), by server: it tells no tool from another; empty = none."""
    by_server: defaultdict[str, list[str]] = defaultdict(list)
    for tool in tools:
        by_server[tool.server].extend(content_stems(name_words(tool.name))[:1])
    common = {}
    for server, first in by_server.items():
        word, count = Counter(first).most_common(1)[0] if first else ("", 0)
        common[server] = word if len(first) >= rules.shared_from and count >= rules.shared_by * len(first) else ""
    return common


def _candidate(tool: Tool, read: GoalReading, common: Mapping[str, str], rules: ProposalRules) -> _Candidate:
    reading = classify(tool, {})
    nouns = tuple(word for word in reading.objects if word != common.get(tool.server) and word != reading.stem)
    named = mention(read, reading.verb, reading.stem, nouns or _described_objects(tool, reading))
    described = set(content_stems(words(tool.description.split("\n", 1)[0][:300])))
    if (
        not nouns
        and described & read.stems - {reading.stem}
        and (named.spoken or _described_act(reading, described, read))
    ):
        # "commit the staged work": the verb is all the name there is, and the description says what it acts on.
        named = Mention(
            verb=True,
            both=True,
            spoken=True,
            forbidden=named.forbidden,
            why=f"{named.why}, as the tool says of itself",
        )
    concerned = bool(set(nouns) & read.stems or concepts(nouns) & read.about)
    return _Candidate(
        tool, reading, nouns, named, concerned, concerned or len(described & read.stems) >= rules.described_words
    )


def _signing_in(one: _Candidate) -> _Candidate:
    """Signing in is named by its verb, or by a password given for it: what is signed in to is the server of an act that the goal names."""
    if one.reading.intent != "I.login" or not one.named.verb or one.named.both:
        return one
    why = f"{one.named.why} for what else it names"
    return replace(one, named=replace(one.named, both=True, why=why))


def _described_objects(tool: Tool, reading: ActionReading) -> tuple[str, ...]:
    """What a tool acts on whose name is only its verb: what stands behind that verb, or one of its kind, in its description."""
    for sentence in _SENTENCES.split(tool.description[:_LONGEST_DESCRIPTION]):
        tokens = words(sentence)
        light = tokens and stem(tokens[0]) in LIGHT and reading.stem in map(stem, tokens[:_MOST_OBJECTS])
        if tokens and (light or reading.verb in VERBS.get(stem(tokens[0]), ())):
            cut = next((at for at, token in enumerate(tokens) if at > 1 and token in _PREPOSITIONS), len(tokens))
            return content_stems(tokens[1:cut])[:_MOST_OBJECTS]
    return ()


def _described_act(reading: ActionReading, described: set[str], read: GoalReading) -> bool:
    """Whether the goal has a verb for this act that the tool uses of itself: "record it" for a commit that "records changes"."""
    return any(reading.verb in kinds and root in described for clause in read.clauses for root, kinds in clause.verbs)


def _prerequisites(candidates: Sequence[_Candidate]) -> frozenset[str]:
    """Reads that supply what a named act needs: `search_contacts` for `recipient_id`, `list_events` for `event_id`; transitively."""
    wanted = {word for one in candidates if one.named.both for word in _needs(one)}
    needed: set[str] = set()
    grown = True
    while grown:
        grown = False
        for one in candidates:
            if one.tool.id in needed or one.reading.consequential:
                continue
            if wanted & {*one.nouns, *concepts(one.nouns)}:
                needed.add(one.tool.id)
                wanted |= set(_needs(one))
                grown = True
    return frozenset(needed)


def _needs(one: _Candidate) -> Iterable[str]:
    required = one.tool.input_schema.get("required")
    names = (
        [name for name in required if isinstance(name, str)]
        if isinstance(required, Sequence) and not isinstance(required, str)
        else []
    )
    roles = declared_roles(one.tool)
    for name in names:
        if roles.get(name) in {ArgumentRole.TARGET, ArgumentRole.SELECTOR}:
            nouns = argument_nouns(name)
            yield from nouns
            yield from concepts(nouns)


_Decision = tuple[EntryState, str, str, Mapping[str, Json]]


def _decide(one: _Candidate, read: GoalReading, support: _Support, rules: ProposalRules) -> _Decision | None:
    if one.named.forbidden:
        return None
    if one.reading.consequential:
        return _decide_act(one, read, rules)
    if one.reading.open_world:
        return _decide_open_read(one, read, rules)
    quiet = one.reading.sensitivity_in < rules.support_below
    if one.plausible or one.named.both:
        why = f"A read that the goal may need: it concerns {_called(one)}."
    elif support.needed:
        why = "A read that supplies what an act needs that the goal names."
    elif quiet and support.concerned:
        why = "A read, without effect, from a server that the goal concerns."
    else:
        return None
    if not one.tool.pin:
        return EntryState.PROPOSED, "", f"{why} {_NOT_PINNED}", {}
    return EntryState.APPROVED, "policy:read", why, {}


_NOT_PINNED = "Its definition is not pinned, so a person decides."


def _called(one: _Candidate) -> str:
    """What a tool acts on, in the words of its name; else its name."""
    said = [word for word in name_words(one.tool.name) if stem(word) in one.nouns]
    return f"“{' '.join(said) or one_line(one.tool.name, _LONGEST_NAME)}”"


def _decide_act(one: _Candidate, read: GoalReading, rules: ProposalRules) -> _Decision | None:
    if one.named.both:
        why = f"The goal names it: {one.named.why}."
        constraints = constraints_from(one.tool, read, rules)
        if one.reading.intent in _NEVER_BY_POLICY:
            return (
                EntryState.PROPOSED,
                "",
                f"{why} Acts of the kind {one.reading.intent} always need a person.",
                constraints,
            )
        if not one.tool.pin:
            return EntryState.PROPOSED, "", f"{why} {_NOT_PINNED}", constraints
        if not read.whole:
            return (
                EntryState.PROPOSED,
                "",
                f"{why} The goal is too long to be read whole, so a person decides.",
                constraints,
            )
        if one.reading.verb is VerbClass.UNKNOWN:
            return EntryState.PROPOSED, "", f"{why} What the tool does is not known, so a person decides.", constraints
        return EntryState.APPROVED, "policy:named", why, constraints
    if one.named.verb:
        return (
            EntryState.PROPOSED,
            "",
            f"The goal has the verb {one.named.why}, but does not name what this tool acts on.",
            {},
        )
    if one.plausible:
        return (
            EntryState.PROPOSED,
            "",
            f"The goal concerns {_called(one)}, but names no such act.",
            {},
        )
    return None


def _decide_open_read(one: _Candidate, read: GoalReading, rules: ProposalRules) -> _Decision | None:
    constraints = constraints_from(one.tool, read, rules)
    addressed = bool(constraints)
    if not (addressed or one.named.both or one.plausible):
        return None
    if one.tool.pin and read.whole and (addressed or one.named.both):
        why = "the goal gives its address" if addressed else f"the goal names {one.named.why}"
        return EntryState.APPROVED, "policy:named", f"A read from outside: {why}.", constraints
    return (
        EntryState.PROPOSED,
        "",
        "A read from outside that the goal may need; its address could carry data out, so a person decides.",
        constraints,
    )


_FITS: Mapping[str, frozenset[LiteralKind]] = {
    "email": frozenset({LiteralKind.EMAIL}),
    "url": frozenset({LiteralKind.URL}),
    "uri": frozenset({LiteralKind.URL}),
    "iban": frozenset({LiteralKind.IBAN}),
}


def constraints_from(tool: Tool, read: GoalReading, rules: ProposalRules = PROPOSAL_RULES) -> Mapping[str, Json]:
    """Constraints that the goal's own identifiers make obvious: a web address argument may only be one of the addresses in the goal.

    Only for one argument that is required, a single string, and named for the kind; everything else is left open rather than guessed.
    """
    declared = tool.input_schema.get("properties")
    required = tool.input_schema.get("required")
    if not isinstance(declared, Mapping) or not isinstance(required, Sequence) or isinstance(required, str):
        return {}
    fitting = {
        name: kinds
        for name, schema in declared.items()
        if name in required and isinstance(schema, Mapping) and schema.get("type") == "string"
        for kinds in (_kinds(name, schema),)
        if kinds
    }
    if len(fitting) != 1:
        return {}
    name, kinds = next(iter(fitting.items()))
    found = [literal.text for literal in read.literals if literal.kind in kinds]
    if not found or len(found) > rules.most_constants or read.delegates:
        return {}
    return {"type": "object", "properties": {name: {"pattern": _spelled(found, kinds)}}, "required": [name]}


def _kinds(name: str, schema: Mapping[str, Json]) -> frozenset[LiteralKind]:
    said = {*name_words(name), str(schema.get("format", ""))}
    return (
        frozenset().union(*(kinds for word, kinds in _FITS.items() if word in said))
        if said & set(_FITS)
        else frozenset()
    )


def _spelled(found: Sequence[str], kinds: frozenset[LiteralKind]) -> str:
    """An RE2 pattern of the identifiers, upper and lower case alike; for addresses with or without scheme, `www.` and final slash."""
    plain = [re.escape(text.partition("://")[2] or text) for text in found]
    if LiteralKind.URL in kinds:
        bare = [(text.partition("://")[2] or text).removeprefix("www.").rstrip("/") for text in found]
        # A site named without a page stands for its pages; what is asked of them (`?`, `#`) could carry data out.
        pages = [re.escape(one) + ("" if "/" in one or "?" in one else r"(?:/[^?#\\\s]*)?") for one in bare]
        return f"^(?i)(?:https?://)?(?:www\\.)?(?:{'|'.join(pages)})/?$"
    return f"^(?i)(?:{'|'.join(plain)})$"
