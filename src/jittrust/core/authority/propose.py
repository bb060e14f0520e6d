"""From a goal and the tools there are to a proposed authority map. Deterministic; a proposal is not authority.

The shipped policy approves by itself, of pinned tools only and by stated rules: reads of the closed world that the goal can plausibly need
(`policy:read`); acts whose verb *and* object the goal names in one clause (`policy:named`); acts that the operator's own text names as this agent's
work and that the person's words concern (`policy:operator`); and steps of moderate risk that a task takes and nobody says: on a thing that the goal
is about, or making what a named act needs (`policy:supporting`). Payments, permissions, secrets, deletion and what leaves for somebody else are never
a step. What matches less waits for a person; what does not match at all gets no entry.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.intent.goal import GOAL_RULES, GoalReading, Mention, mention, read_goal
from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.reading import ActionReading, Effect, classify
from jittrust.core.intent.roles import argument_nouns, declared_roles
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.words import (
    LIGHT,
    READING,
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
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool
from jittrust.core.once import once_a_tool


@dataclass(frozen=True, slots=True)
class ProposalRules:
    """Constants of the proposal."""

    support_below: float = 0.45  # sensitivity under which a read supports any goal that concerns its server
    shared_by: float = 0.6  # share of a server's tools from which a word of their names says nothing
    shared_from: int = 3  # tools a server must have for that
    described_words: int = 2  # words of a description that the goal must share with a tool whose name has no noun
    most_constants: int = 20  # identifiers of the goal that one constraint lists
    most_tools: int = 2_000  # tools looked at
    supporting_up_to: float = 0.5  # base risk up to which an act may support a goal that has no verb for it
    supporting_below: float = 0.6  # sensitivity of what it touches under which it may


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

_STEPS = frozenset({"D.create", "D.update", "D.tag", "C.notify_self", "I.login", "O.log"})
"""Acts that may be a step of a task that nobody names (`policy:supporting`)."""

_NO_STEP = frozenset({Effect.OUTWARD, Effect.DESTRUCTIVE, Effect.MONEY, Effect.SECRET, Effect.EXECUTES})
_PROCEDURES = frozenset({"D.", "C.", "T.order", "T.refund", "A.delegate", "I.login", "O.log"})
"""Beginnings of the codes of acts that an operator's text may make this agent's work (`policy:operator`)."""

_UNDOES = frozenset(stem(verb) for verb in "reset revert restore rebase replace overwrite swap truncate".split())
"""Verbs of changes that lose what was there before."""

_ASKING = frozenset(stem(word) for word in "what which who whom whose where when why how".split())
_WRITES = frozenset({VerbClass.CREATE, VerbClass.ADD, VerbClass.UPDATE})
_MAKES = frozenset(
    {VerbClass.CREATE, VerbClass.ADD, VerbClass.DOWNLOAD, VerbClass.MOVE, VerbClass.UPDATE, VerbClass.LOGIN}
)
_PEOPLE = frozenset(stem(word) for word in "human person representative supervisor staff support".split())


@dataclass(frozen=True, slots=True)
class _Candidate:
    tool: Tool
    reading: ActionReading
    nouns: tuple[str, ...]
    named: Mention
    concerned: bool  # the goal has a noun of the tool's name
    plausible: bool  # or shares words with its description
    told: bool = False  # the operator's text names it as this agent's work
    barred: bool = False  # the operator's text forbids it


@dataclass(frozen=True, slots=True)
class _Support:
    """What a tool may support: `concerned` = the goal concerns its server; `needed` = a read that supplies an act; `step` = why it is a step."""

    concerned: bool
    needed: bool
    step: str


def entry_id(tool_id: str) -> str:
    """The id of the entry that a proposal makes for a tool: the same tool, the same id."""
    return f"e-{hashlib.sha256(tool_id.encode()).hexdigest()[:10]}"


def propose(
    goal: Goal,
    tools: Sequence[Tool],
    rules: ProposalRules = PROPOSAL_RULES,
    make_id: Callable[[str], str] = entry_id,
    operator: str = "",
) -> tuple[AuthorityEntry, ...]:
    """The entries for a goal, in the order of `tools`; none without a goal.

    Approved entries carry `policy:read`, `policy:named`, `policy:operator` or `policy:supporting`; the others are proposed. A tool without a pin is
    never approved. `operator`: what the operator told the agent to do; it is trusted like the goal, and asks for nothing by itself.
    """
    if not goal.stated:
        return ()
    read = read_goal(goal)
    offered = tools[: rules.most_tools]
    common = _common_words(offered, rules)
    told = (
        operator[: GOAL_RULES.longest + 1] if operator.strip() else ""
    )  # what is longer is not read whole, and opens nothing
    candidates = [_candidate(tool, read, told, common, rules) for tool in offered]
    acting = frozenset(one.tool.server for one in candidates if one.named.both)
    candidates = [_signing_in(one) if one.tool.server in acting else one for one in candidates]
    concerned = {one.tool.server for one in candidates if one.concerned or one.named.both}
    steps = _steps(candidates, acting, read, rules)
    needed = _prerequisites(candidates, steps)
    entries = []
    for one in candidates:
        support = _Support(
            one.tool.server in concerned or not concerned, one.tool.id in needed, steps.get(one.tool.id, "")
        )
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
        by_server[tool.server].extend(_first_word(tool))
    common = {}
    for server, first in by_server.items():
        word, count = Counter(first).most_common(1)[0] if first else ("", 0)
        common[server] = word if len(first) >= rules.shared_from and count >= rules.shared_by * len(first) else ""
    return common


@once_a_tool
def _first_word(tool: Tool) -> tuple[str, ...]:
    return content_stems(name_words(tool.name))[:1]


def _candidate(
    tool: Tool, read: GoalReading, operator: str, common: Mapping[str, str], rules: ProposalRules
) -> _Candidate:
    reading = classify(tool, {})
    nouns = tuple(word for word in reading.objects if word != common.get(tool.server) and word != reading.stem)
    acted_on = nouns or _described_objects(tool)
    named = mention(read, reading.verb, reading.stem, acted_on)
    told = _told(operator, reading.verb, reading.stem, acted_on) if operator else None
    described = _described(tool.description.split("\n", 1)[0][:300])
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
        tool,
        reading,
        nouns,
        named,
        concerned,
        concerned or len(described & read.stems) >= rules.described_words,
        told is not None and told.both and not told.forbidden,
        told is not None and told.forbidden,
    )


@lru_cache(maxsize=4_096)
def _told(operator: str, verb: VerbClass, root: str, nouns: tuple[str, ...]) -> Mention | None:
    """How the operator's text names an act; None where it could not be read whole. It stays the same while the person's words grow."""
    read = read_goal(Goal((operator,), GoalSource.NONE))
    return mention(read, verb, root, nouns) if read.whole else None


@lru_cache(maxsize=4_096)
def _described(sentence: str) -> frozenset[str]:
    return frozenset(content_stems(words(sentence)))


def _signing_in(one: _Candidate) -> _Candidate:
    """Signing in is named by its verb, or by a password given for it: what is signed in to is the server of an act that the goal names."""
    if one.reading.intent != "I.login" or not one.named.verb or one.named.both:
        return one
    why = f"{one.named.why} for what else it names"
    return replace(one, named=replace(one.named, both=True, why=why))


@once_a_tool
def _described_objects(tool: Tool) -> tuple[str, ...]:
    """What a tool acts on whose name is only its verb: what stands behind that verb, or one of its kind, in its description."""
    reading = classify(tool, {})
    for sentence in _SENTENCES.split(tool.description[:_LONGEST_DESCRIPTION]):
        tokens = words(sentence)
        light = tokens and stem(tokens[0]) in LIGHT and reading.stem in map(stem, tokens[:_MOST_OBJECTS])
        if tokens and (light or reading.verb in VERBS.get(stem(tokens[0]), ())):
            cut = next((at for at, token in enumerate(tokens) if at > 1 and token in _PREPOSITIONS), len(tokens))
            return content_stems(tokens[1:cut])[:_MOST_OBJECTS]
    return ()


def _described_act(reading: ActionReading, described: frozenset[str], read: GoalReading) -> bool:
    """Whether the goal has a verb for this act that the tool uses of itself: "record it" for a commit that "records changes"."""
    return any(reading.verb in kinds and root in described for clause in read.clauses for root, kinds in clause.verbs)


def _steps(
    candidates: Sequence[_Candidate], acting: frozenset[str], read: GoalReading, rules: ProposalRules
) -> Mapping[str, str]:
    """Acts of moderate risk that the task may take though nobody names them, by tool, with the reason for people.

    On what the goal is about; or the only tool with the very verb that the goal says; or signing in to a server of a named act; or making what a
    named act, or another such step, is to be given: "add" before "commit". Nothing pays, gives a right, touches a secret, deletes, or leaves for
    somebody else.
    """
    if not read.whole or _leaves_as_is(read):
        return {}
    banned = {kind for clause in read.clauses for _, kinds in clause.forbidden for kind in kinds}
    able = [one for one in candidates if one.reading.verb not in banned and _may_be_step(one, rules)]
    stems, about = _acted_on(read)
    steps: dict[str, str] = {}
    for one in able:
        if set(one.nouns) & stems or concepts(one.nouns) & about or (not one.nouns and one.plausible and stems):
            steps[one.tool.id] = f"A step that the goal may take: it acts on {_called(one)}."
    said = Counter(one.reading.stem for one in candidates)
    for one in able:
        if one.named.spoken and said[one.reading.stem] == 1 and one.reading.intent != "I.login":
            steps.setdefault(one.tool.id, f"The goal says {one.named.why}, and no other tool does that.")
    for one in able:
        if one.reading.intent == "I.login" and one.tool.server in acting:
            steps.setdefault(one.tool.id, "A step before an act that the goal names: signing in.")
    known = [one for one in candidates if (one.named.both and one.reading.consequential) or one.tool.id in steps]
    wanted = {word for one in known for word in _needs(one.tool)}
    rest = [one for one in able if one.tool.id not in steps and one.reading.verb in _MAKES and one.nouns]
    grown = True
    while grown:
        grown = False
        for one in rest:
            made = {*one.nouns, *concepts(one.nouns)}
            if one.tool.id not in steps and wanted & made:
                steps[one.tool.id] = "A step that makes what an act needs that the goal names."
                wanted |= _needs(one.tool)
                grown = True
    return steps


def _leaves_as_is(read: GoalReading) -> bool:
    """Whether the person forbids any changing or making: whatever else that was about, nothing is changed that they did not name."""
    return any(_WRITES & set(kinds) for clause in read.clauses for _, kinds in clause.forbidden)


def _acted_on(read: GoalReading) -> tuple[frozenset[str], frozenset[str]]:
    """Stems and concepts of the clauses that ask for more than reading: a goal that only asks to see something takes no step.

    A clause without a verb that is known may ask for anything, unless the goal asks a question.
    """
    unclear = not _ASKING & set(read.spelled)
    acting = [
        clause
        for clause in read.clauses
        if (unclear and not clause.verbs) or any(kinds[0] not in READING for _, kinds in clause.verbs)
    ]
    stems = frozenset().union(*(clause.reach_stems for clause in acting)) if acting else frozenset()
    return stems, frozenset().union(*(clause.reach_about for clause in acting)) if acting else frozenset()


def _may_be_step(one: _Candidate, rules: ProposalRules) -> bool:
    reading = one.reading
    return (
        reading.intent in _STEPS
        and TAXONOMY[reading.intent].base_risk <= rules.supporting_up_to
        and (reading.sensitivity_out < rules.supporting_below or reading.intent == "I.login")
        and not (reading.open_world or reading.effects & _NO_STEP or one.named.forbidden or one.barred)
        and reading.verb is not VerbClass.UNKNOWN
        and reading.stem not in _UNDOES
        and bool(one.tool.pin)
    )


def _prerequisites(candidates: Sequence[_Candidate], steps: Iterable[str]) -> frozenset[str]:
    """Reads that supply what a named act needs: `search_contacts` for `recipient_id`, `list_events` for `event_id`; transitively."""
    acting = frozenset(steps)
    wanted = {word for one in candidates if one.named.both or one.tool.id in acting for word in _needs(one.tool)}
    needed: set[str] = set()
    grown = True
    while grown:
        grown = False
        for one in candidates:
            if one.tool.id in needed or one.reading.consequential:
                continue
            if wanted & {*one.nouns, *concepts(one.nouns)}:
                needed.add(one.tool.id)
                wanted |= _needs(one.tool)
                grown = True
    return frozenset(needed)


@once_a_tool
def _needs(tool: Tool) -> frozenset[str]:
    """Stems and concepts of what a tool must be given that says whom or which."""
    required = tool.input_schema.get("required")
    names = (
        [name for name in required if isinstance(name, str)]
        if isinstance(required, Sequence) and not isinstance(required, str)
        else []
    )
    roles = declared_roles(tool)
    nouns = [
        noun
        for name in names
        if roles.get(name) in {ArgumentRole.TARGET, ArgumentRole.SELECTOR}
        for noun in argument_nouns(name)
    ]
    return frozenset(nouns) | concepts(nouns)


_Decision = tuple[EntryState, str, str, Mapping[str, Json]]


def _decide(one: _Candidate, read: GoalReading, support: _Support, rules: ProposalRules) -> _Decision | None:
    if one.named.forbidden:
        return None
    if one.reading.consequential:
        return _decide_act(one, read, support, rules)
    if one.reading.open_world:
        return _decide_open_read(one, read, rules)
    quiet = one.reading.sensitivity_in < rules.support_below
    if (
        one.told
        and not one.reading.intent.startswith("I.")
        and (one.plausible or one.reading.sensitivity_in < rules.supporting_below)
    ):
        why = "A read that the operator's text names as this agent's work."
    elif one.plausible or one.named.both:
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


def _decide_act(one: _Candidate, read: GoalReading, support: _Support, rules: ProposalRules) -> _Decision | None:
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
    if one.tool.pin and read.whole and _is_procedure(one):
        why = f"The operator's text names it as this agent's work, and the person's words concern {_called(one)}."
        return EntryState.APPROVED, "policy:operator", why, {}
    if support.step:
        return EntryState.APPROVED, "policy:supporting", support.step, {}
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


def _is_procedure(one: _Candidate) -> bool:
    """Whether the operator made it this agent's work and it is about what the person speaks of; handing over to people always is."""
    intent = one.reading.intent
    if not one.told or intent in _NEVER_BY_POLICY or one.reading.verb is VerbClass.UNKNOWN:
        return False
    if intent == "A.delegate":
        return bool(_PEOPLE & set(one.nouns))
    return intent.startswith(tuple(_PROCEDURES)) and (one.concerned or one.named.verb)


def _decide_open_read(one: _Candidate, read: GoalReading, rules: ProposalRules) -> _Decision | None:
    # A goal that hands over to a page at an address ("do the tasks at …") lets that page be read, and no other by that.
    constraints = constraints_from(one.tool, read, rules, handed_over=not one.named.both)
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


def constraints_from(
    tool: Tool, read: GoalReading, rules: ProposalRules = PROPOSAL_RULES, *, handed_over: bool = False
) -> Mapping[str, Json]:
    """Constraints that the goal's own identifiers make obvious: a web address argument may only be one of the addresses in the goal.

    Only for one argument that is required, a single string, and named for the kind; everything else is left open rather than guessed, and so is a goal
    that points at content as the source of instructions, unless `handed_over`.
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
    if not found or len(found) > rules.most_constants or (read.delegates and not handed_over):
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
