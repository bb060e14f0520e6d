"""Endorsing a source lets no act through but those of its kinds, within its amount, from its text; a part is never more than the whole."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jittrust.core.authority.endorsement import (
    BY_POINTING,
    ReadSource,
    amount_of,
    directing,
    endorsed_for,
    endorsed_origins,
    endorsement_inside,
)
from jittrust.core.authority.map import AuthorityMap, Endorsement, EntryState
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading, classify
from jittrust.core.mission.narrow import map_widenings
from jittrust.core.model import Json, Tool, ToolAnnotations
from jittrust.core.units import Unit

TOOLS = ("f/read", "f/open")
VALUES = ("a.txt", "b/a.txt", "A.txt", "www.x.org/a")
INTENTS = ("T.pay", "D.create", "C.send_internal", "I.invite")
AMOUNTS = st.one_of(st.none(), st.floats(0, 1000, allow_nan=False))
SELECTORS = st.dictionaries(st.sampled_from(("path", "folder")), st.sampled_from(VALUES), min_size=1, max_size=2)
ENDORSEMENTS = st.builds(
    Endorsement,
    id=st.uuids().map(str),
    tool=st.sampled_from(TOOLS),
    selectors=SELECTORS,
    intents=st.lists(st.sampled_from(INTENTS), min_size=1, unique=True).map(tuple),
    amount_most=AMOUNTS,
    state=st.sampled_from(EntryState),
    approved_by=st.sampled_from(("ada", BY_POINTING)),
    warned=st.booleans(),
)
SOURCES = st.dictionaries(
    st.sampled_from(("f/read#1", "f/open#2", "f/read#3")), st.builds(ReadSource, st.sampled_from(TOOLS), SELECTORS)
)
READ = classify(Tool("f", "pay_bill", "Pay a bill.", {}, ToolAnnotations(), pin="p"), {})
READINGS = st.sampled_from(INTENTS).map(lambda code: replace(READ, intent=code))
ROLES = {"/amount": ArgumentRole.AMOUNT, "/to": ArgumentRole.TARGET}
CALLS: st.SearchStrategy[Mapping[str, Json]] = st.builds(
    lambda amount: {"to": "x"} if amount is None else {"to": "x", "amount": amount}, AMOUNTS
)
FINDINGS = st.lists(
    st.builds(
        TextFinding,
        st.sampled_from(("f/read#1", "f/open#2", "f/read#3")),
        st.just(Unit(0.7)),
        st.just(()),
        st.just("q"),
    ),
    max_size=2,
)


@given(st.lists(ENDORSEMENTS, max_size=5), SOURCES, FINDINGS, READINGS, CALLS)
def test_what_directs_a_call_is_approved_for_its_kind_within_the_amount_and_never_by_policy_where_a_text_gives_orders(
    endorsements: list[Endorsement],
    sources: Mapping[str, ReadSource],
    findings: list[TextFinding],
    reading: ActionReading,
    call: Mapping[str, Json],
) -> None:
    amount = amount_of(call, ROLES, reading.intent)
    ordering = {one.source for one in findings}
    for result, one in directing(endorsements, sources, findings, reading, call, ROLES).items():
        assert one.state is EntryState.APPROVED
        assert reading.intent in one.intents
        assert one.tool == sources[result].tool
        assert set(one.selectors) == set(sources[result].selectors)
        assert amount is None or (one.amount_most is not None and amount <= one.amount_most)
        assert result not in ordering or (one.approved_by == "ada" and one.warned)


@given(ENDORSEMENTS, SOURCES, READINGS, CALLS, AMOUNTS)
def test_a_smaller_amount_and_fewer_kinds_never_cover_more(
    one: Endorsement,
    sources: Mapping[str, ReadSource],
    reading: ActionReading,
    call: Mapping[str, Json],
    less: float | None,
) -> None:
    kept = tuple(code for code in one.intents if code != reading.intent)
    smaller = None if one.amount_most is None or less is None else min(less, one.amount_most)
    whole = set(directing([one], sources, (), reading, call, ROLES))
    assert set(directing([replace(one, amount_most=smaller)], sources, (), reading, call, ROLES)) <= whole
    assert not directing([replace(one, intents=kept)], sources, (), reading, call, ROLES)


@given(
    st.lists(
        st.builds(
            ArgumentOrigin,
            st.sampled_from(("/to", "/amount", "/body#0")),
            st.sampled_from(ArgumentRole),
            st.sampled_from(Origin),
            st.sampled_from(("f/read#1", "f/open#2", "")),
            st.just("x"),
        )
    ),
    st.frozensets(st.sampled_from(("f/read#1", "f/open#2"))),
)
def test_endorsing_changes_nothing_but_values_out_of_the_endorsed_texts(
    origins: list[ArgumentOrigin], results: frozenset[str]
) -> None:
    for before, after in zip(origins, endorsed_origins(origins, results), strict=True):
        changed = before.origin is Origin.FREE_TEXT and before.source in results
        assert after == (replace(before, origin=Origin.ENDORSED) if changed else before)


@given(ENDORSEMENTS, ENDORSEMENTS, SOURCES, FINDINGS, READINGS, CALLS)
def test_whatever_a_part_lets_through_the_whole_lets_through_too(
    whole: Endorsement,
    part: Endorsement,
    sources: Mapping[str, ReadSource],
    findings: list[TextFinding],
    reading: ActionReading,
    call: Mapping[str, Json],
) -> None:
    part = replace(part, tool=whole.tool, selectors=whole.selectors, state=EntryState.APPROVED)
    whole = replace(whole, state=EntryState.APPROVED)
    passes = set(directing([part], sources, findings, reading, call, ROLES))
    parent, child = AuthorityMap(endorsements=(whole,)), AuthorityMap(endorsements=(part,))
    narrower = not map_widenings(parent, child)
    assert narrower == endorsement_inside(whole, part)
    if narrower:
        assert passes <= set(directing([whole], sources, findings, reading, call, ROLES))
    in_force = [mine for mine, _ in endorsed_for([whole], [part])]
    assert set(directing(in_force, sources, findings, reading, call, ROLES)) <= set(
        directing([whole], sources, findings, reading, call, ROLES)
    )


@given(st.lists(ENDORSEMENTS, max_size=4))
def test_a_map_lies_inside_itself_and_an_empty_one_inside_every_other(endorsements: list[Endorsement]) -> None:
    whole = AuthorityMap(endorsements=tuple(endorsements))
    assert map_widenings(whole, whole) == ()
    assert map_widenings(whole, AuthorityMap()) == ()
    approved = [one for one in endorsements if one.state is EntryState.APPROVED]
    assert bool(map_widenings(AuthorityMap(), whole)) == bool(approved)


@given(st.lists(ENDORSEMENTS, max_size=4), ENDORSEMENTS, READINGS, CALLS)
def test_a_no_to_a_source_outweighs_every_yes(
    endorsements: list[Endorsement], refused: Endorsement, reading: ActionReading, call: Mapping[str, Json]
) -> None:
    refused = replace(refused, state=EntryState.REFUSED, intents=(reading.intent,))
    sources = {"r": ReadSource(refused.tool, refused.selectors)}
    assert not directing([*endorsements, refused], sources, (), reading, call, ROLES)
