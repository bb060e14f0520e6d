"""What the derivation of a map never does, whatever the catalogue and the goal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from jittrust.adapters.files.models import shipped_access
from jittrust.core.authority.map import EntryState
from jittrust.core.authority.propose import propose
from jittrust.core.intent.access import HARMLESS, access_of
from jittrust.core.intent.goal import mention, read_goal
from jittrust.core.intent.reading import classify
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.words import VerbClass
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool, ToolAnnotations

MODEL = shipped_access()
VERBS = "get list create update add move label delete send pay grant publish transfer reset login approve disable install run share revoke order".split()
NOUNS = "bed lesson pallet parcel recipe sensor invoice patient key role audit_log password owner payment email repository".split()
LETTERS = "bcdfghjklmnpqrtvwxz"

nonsense = st.text(alphabet=LETTERS, min_size=4, max_size=12)
names = st.builds(lambda verb, noun: f"{verb}_{noun}", st.sampled_from(VERBS), st.sampled_from(NOUNS))
arguments = st.lists(st.sampled_from([f"{noun}_id" for noun in NOUNS] + ["amount", "to", "url"]), max_size=3)
pins = st.sampled_from(["p", "p", ""])


@st.composite
def tools(draw: st.DrawFn) -> tuple[Tool, ...]:
    made = {}
    for name in draw(st.lists(names, min_size=1, max_size=12, unique=True)):
        wanted = draw(arguments)
        properties: dict[str, Json] = {one: {"type": "string"} for one in wanted}
        schema: dict[str, Json] = {"type": "object", "properties": properties, "required": list(properties)}
        made[name] = Tool("s", name, "", schema, ToolAnnotations(), pin=draw(pins))
    return tuple(made.values())


sentences = st.builds(
    lambda ban, verb, noun: f"{ban}{verb} the {noun.replace('_', ' ')}.",
    st.sampled_from(["", "", "", "Do not ", "Please "]),
    st.sampled_from([*VERBS, "look at", "arrange", "handle"]),
    st.sampled_from(NOUNS),
)
texts = st.lists(sentences, min_size=1, max_size=4).map(" ".join)


@given(nonsense, nonsense, st.sampled_from(["", "Returns a value.", "Does it."]))
@settings(max_examples=300, deadline=None)
def test_a_word_that_is_no_word_is_never_a_read(verb: str, noun: str, description: str) -> None:
    tool = Tool("s", f"{verb}_{noun}", description, pin="p")
    kind = access_of(tool, MODEL).kind
    assert kind not in HARMLESS
    assert classify(Tool("s", tool.name, description, pin="p", access=str(kind)), {}).consequential


@given(texts, tools(), texts)
@settings(max_examples=300, deadline=None)
def test_a_step_never_pays_gives_rights_deletes_sends_or_touches_a_secret(
    goal: str, catalogue: tuple[Tool, ...], operator: str
) -> None:
    known = {tool.id: tool for tool in catalogue}
    for entry in propose(Goal((goal,), GoalSource.FLAG), catalogue, operator=operator):
        reading = classify(known[entry.tool], {})
        if entry.approved_by == "policy:supporting":
            assert reading.intent in {"D.create", "D.update", "D.tag", "C.notify_self", "I.login", "O.log"}
            assert TAXONOMY[reading.intent].base_risk <= 0.5
            assert reading.verb is not VerbClass.UNKNOWN
            assert not reading.open_world
        if entry.approved_by == "policy:operator":
            assert not reading.intent.startswith(
                ("T.pay", "T.schedule", "X.", "P.", "O.disable", "O.delete", "O.approve")
            )
            assert not reading.intent.startswith("I.") or reading.intent == "I.login"


@given(texts, tools(), texts)
@settings(max_examples=200, deadline=None)
def test_what_the_goal_forbids_stays_forbidden_whatever_the_operator_says(
    goal: str, catalogue: tuple[Tool, ...], operator: str
) -> None:
    read = read_goal(Goal((goal,), GoalSource.FLAG))
    entries = {one.tool: one for one in propose(Goal((goal,), GoalSource.FLAG), catalogue, operator=operator)}
    for tool in catalogue:
        reading = classify(tool, {})
        if mention(read, reading.verb, reading.stem, reading.objects).forbidden:
            assert tool.id not in entries or entries[tool.id].state is not EntryState.APPROVED


@given(texts, tools(), texts)
@settings(max_examples=200, deadline=None)
def test_nothing_unpinned_is_approved_and_an_operators_text_takes_nothing_away_from_the_persons_words(
    goal: str, catalogue: tuple[Tool, ...], operator: str
) -> None:
    stated = Goal((goal,), GoalSource.FLAG)
    plain = {one.tool for one in propose(stated, catalogue) if one.approved_by == "policy:named"}
    told = propose(stated, catalogue, operator=operator)

    assert all(one.pin for one in told if one.state is EntryState.APPROVED)
    assert plain <= {one.tool for one in told if one.approved_by == "policy:named"}
