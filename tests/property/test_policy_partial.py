"""Rules over questions of which not everything is known: what is said is so however the unknown turns out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.ports.policy import PolicyQuestion

RULES = """
@id("p1") permit (principal, action == Action::"tools/call", resource in Server::"mail")
when { context has consequential && !context.consequential };
@id("p2") permit (principal in Person::"ada", action, resource == Tool::"mail/send")
unless { context has tainted && context.tainted };
@id("p3") permit (principal, action, resource)
when { if context has sensitive then context.sensitive else context has open_world && context.open_world };
@id("f1") forbid (principal, action, resource) when { context has arg_to && context.arg_to == "evil.example" };
@id("f2") forbid (principal == Agent::"bot", action, resource);
@id("f3") forbid (principal, action, resource is Tool in Server::"files")
when { (context has intent && context.intent == "D.delete") || (context has arg_force && context.arg_force) };
@id("f4") forbid (principal, action, resource)
when { context has targets && context.targets.contains("evil.example") }
unless { context has goal_stated && context.goal_stated || principal == Agent::"claude" };
"""
POLICY = CedarPolicy({"rules.cedar": RULES})
FACTS: Mapping[str, st.SearchStrategy[object]] = {
    "consequential": st.booleans(),
    "tainted": st.booleans(),
    "sensitive": st.booleans(),
    "open_world": st.booleans(),
    "goal_stated": st.booleans(),
    "intent": st.sampled_from(["D.delete", "K.read"]),
    "targets": st.sampled_from([(), ("evil.example",), ("a", "b")]),
    "arg_to": st.sampled_from(["evil.example", "ok.example"]),
    "arg_force": st.booleans(),
}
facts = st.fixed_dictionaries({}, optional=dict(FACTS))
questions = st.builds(
    PolicyQuestion,
    st.sampled_from(["claude", "bot"]),
    st.sampled_from(["ada", "bob"]),
    st.sampled_from(["tools/call", "resources/read"]),
    st.sampled_from(["tool", "resource"]),
    st.sampled_from(["mail/send", "mail/read", "files/send"]),
    st.sampled_from(["mail", "files"]),
    facts,
)


def known(question: PolicyQuestion) -> tuple[set[str], set[str]]:
    """What holds when everything is known: permits and forbids, each by itself."""
    permits = CedarPolicy({"p.cedar": "".join(f"@id{rule}" for rule in RULES.split("@id")[1:4])})
    forbids = POLICY.answer(question).forbids
    return set(permits.answer(question).permits), set(forbids)


@given(questions)
def test_where_everything_is_known_the_answer_is_the_policys_own(question: PolicyQuestion) -> None:
    permits, forbids = known(question)
    answer = POLICY.answer_in_part(question, lambda _: False)

    assert (set(answer.permits), set(answer.forbids)) == (permits, forbids)
    assert answer.perhaps_permits == answer.perhaps_forbids == ()


@settings(max_examples=300)
@given(questions, facts, st.sets(st.sampled_from(sorted(FACTS))))
def test_what_is_said_is_so_however_the_unknown_turns_out(
    question: PolicyQuestion, other: Mapping[str, object], unknown: set[str]
) -> None:
    answer = POLICY.answer_in_part(question, lambda fact: fact in unknown)
    kept = {name: fact for name, fact in question.facts.items() if name not in unknown}
    turned = kept | {name: fact for name, fact in other.items() if name in unknown}
    permits, forbids = known(replace(question, facts=turned))  # type: ignore[arg-type]

    assert set(answer.permits) <= permits <= {*answer.permits, *answer.perhaps_permits}
    assert set(answer.forbids) <= forbids <= {*answer.forbids, *answer.perhaps_forbids}


@given(questions)
def test_only_rules_that_look_at_something_unknown_are_unknown(question: PolicyQuestion) -> None:
    answer = POLICY.answer_in_part(question, lambda fact: fact == "arg_to")

    assert {*answer.perhaps_permits, *answer.perhaps_forbids} <= {"f1"}
