"""What every policy promises, and what the Cedar one promises besides: broken rules never start, failing rules never permit."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.adapters.memory.policy import MemoryPolicy, MemoryRule
from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.policy import PolicyAnswer
from jittrust.ports.policy import Policy, PolicyQuestion

RULES = """
@id("mail-may-be-read")
permit (principal, action == Action::"tools/call", resource in Server::"mail")
when { context has consequential && !context.consequential };

@id("ada-may-send")
permit (principal in Person::"ada", action == Action::"tools/call", resource == Tool::"mail/send");

@id("never-to-evil")
forbid (principal, action, resource)
when { context has arg_to && context.arg_to == "evil.example" };

@id("no-bot")
forbid (principal == Agent::"bot", action, resource);
"""
FAKE = MemoryPolicy(
    [
        MemoryRule(
            "mail-may-be-read",
            permits=True,
            holds=lambda q: q.action == "tools/call" and q.server == "mail" and q.facts.get("consequential") is False,
        ),
        MemoryRule(
            "ada-may-send",
            permits=True,
            holds=lambda q: q.action == "tools/call" and q.person == "ada" and q.resource == "mail/send",
        ),
        MemoryRule("never-to-evil", permits=False, holds=lambda q: q.facts.get("arg_to") == "evil.example"),
        MemoryRule("no-bot", permits=False, holds=lambda q: q.agent == "bot"),
    ]
)
ASKED = PolicyQuestion(
    agent="claude", person="ada", action="tools/call", resource_type="tool", resource="mail/read", server="mail",
    facts={"consequential": False, "intent": "K.read"},
)  # fmt: skip


@pytest.fixture(params=["cedar", "memory"])
def policy(request: pytest.FixtureRequest, tmp_path: Path) -> Policy:
    if request.param == "memory":
        return FAKE
    return CedarPolicy.load(written(tmp_path, RULES))


def written(folder: Path, text: str) -> Path:
    file = folder / "policy.cedar"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_rule_that_holds_permits_under_its_own_name(policy: Policy) -> None:
    assert policy.answer(ASKED) == PolicyAnswer(permits=("mail-may-be-read",))


def test_every_rule_that_permits_is_named(policy: Policy) -> None:
    assert policy.answer(replace(ASKED, resource="mail/send")) == PolicyAnswer(
        permits=("ada-may-send", "mail-may-be-read")
    )


def test_a_policy_that_says_nothing_neither_permits_nor_forbids(policy: Policy) -> None:
    assert policy.answer(replace(ASKED, facts={})) == PolicyAnswer()
    assert policy.answer(replace(ASKED, server="files", resource="files/read")) == PolicyAnswer()
    assert policy.answer(replace(ASKED, action="resources/read")) == PolicyAnswer()


def test_forbid_wins_over_every_permit(policy: Policy) -> None:
    asked = replace(ASKED, facts={"consequential": False, "arg_to": "evil.example"})

    assert policy.answer(asked) == PolicyAnswer(forbids=("never-to-evil",))


def test_every_rule_that_forbids_is_named(policy: Policy) -> None:
    asked = replace(ASKED, agent="bot", facts={"arg_to": "evil.example"})

    assert policy.answer(asked) == PolicyAnswer(forbids=("never-to-evil", "no-bot"))


def test_the_same_question_gets_the_same_answer_and_another_its_own(policy: Policy) -> None:
    for _ in range(3):
        assert policy.answer(ASKED).permits == ("mail-may-be-read",)
        assert policy.answer(replace(ASKED, facts={"consequential": True})) == PolicyAnswer()


@pytest.mark.parametrize("name", ['x"', "\\", "a\nb", 'bot"; permit(principal,action,resource);//', "bot\0", "ß🤖", ""])
def test_a_name_is_a_name_whatever_it_spells(policy: Policy, name: str) -> None:
    asked = replace(ASKED, agent=name, person=name, resource=name, server=name)

    assert policy.answer(asked) == PolicyAnswer()


def test_the_shipped_rules_forbid_what_is_never_trusted_and_permit_nothing() -> None:
    shipped = CedarPolicy.load()

    assert not any(rule.permits for rule in shipped.rules)
    assert all(rule.why for rule in shipped.rules)
    for intent, rule in (
        ("O.disable_control", "never-disable-control"),
        ("O.delete_evidence", "never-delete-evidence"),
    ):
        assert shipped.answer(replace(ASKED, facts={"intent": intent})) == PolicyAnswer(forbids=(rule,))
    assert shipped.answer(ASKED) == PolicyAnswer()


def test_a_file_adds_to_the_shipped_rules_and_cannot_take_them_away(tmp_path: Path) -> None:
    both = CedarPolicy.load(written(tmp_path, '@id("all") permit (principal, action, resource);'))

    assert both.answer(replace(ASKED, facts={"intent": "O.delete_evidence"})).forbids == ("never-delete-evidence",)
    assert both.answer(ASKED).permits == ("all",)


@pytest.mark.parametrize("text", ["", "\n", "// only words; and more\n", "  // permit(principal, action, resource);"])
def test_an_empty_policy_refuses_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInputError) as refused:
        CedarPolicy.load(written(tmp_path, text))

    assert refused.value.code == "policy_empty"


def test_a_missing_policy_refuses_the_start(tmp_path: Path) -> None:
    for file in (tmp_path / "none.cedar", tmp_path):
        with pytest.raises(BadInputError) as refused:
            CedarPolicy.load(file)

        assert refused.value.code == "policy_missing"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("// one\n\npermit (principal", 3),
        ('@id("a") permit (principal, action, resource);\npermit (principal, action, resource);', 2),
        ('@id("a b") permit (principal, action, resource);', 1),
        ('@id("a") permit (principal, action, resource);\n@id("a") forbid (principal, action, resource);', 2),
        ('@id("never-delete-evidence") permit (principal, action, resource);', 1),
        ('@id("a") permit (principal, action == Action::"tols/call", resource);', 1),
        ('\n@id("a") permit (principal, action, resource) when { context has intnt && context.intnt == "x" };', 2),
        ('@id("a") permit (principal, action, resource) when { context.intent == "x" };', 1),
        (
            '@id("a") permit (principal, action, resource) when { context has open_world && context.open_world == 3 };',
            1,
        ),
        ('@id("a") permit (principal == ?principal, action, resource);', 1),
        ('@id("a") permit (principal, action, resource) when { "unclosed };', 1),
        ('@id("a") allow (principal, action, resource);', 1),
        ('@id("a") permit (principal, action, resource) when { context.wis > 70 };', 1),
    ],
)
def test_a_broken_rule_refuses_the_start_and_is_named_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    file = written(tmp_path, text)

    with pytest.raises(BadInputError) as refused:
        CedarPolicy.load(file)

    assert refused.value.code == "policy_broken"
    assert f"{file}:{line}:" in refused.value.message


def test_a_file_that_is_no_text_or_too_large_refuses_the_start(tmp_path: Path) -> None:
    file = tmp_path / "policy.cedar"
    for raw in (b"\xff\xfe", b"/" * (2 << 20)):
        file.write_bytes(raw)
        with pytest.raises(BadInputError) as refused:
            CedarPolicy.load(file)

        assert refused.value.code == "policy_broken"


@pytest.mark.parametrize(
    "facts",
    [{"intent": 2**70}, {"intent": "\ud800"}, {"consequential": "yes"}, {"arg_to": ("x",)}, {"arg_to": 1.5}],
)
def test_facts_that_a_rule_cannot_read_never_pass_for_a_permission(tmp_path: Path, facts: dict[str, object]) -> None:
    policy = CedarPolicy.load(written(tmp_path, RULES))
    asked = replace(ASKED, facts=facts)  # type: ignore[arg-type]

    code, permits = "", tuple[str, ...]()
    try:
        permits = policy.answer(asked).permits
    except UnavailableError as refused:
        code = refused.code

    assert permits == ()
    assert code in {"", "policy_unavailable"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, Policy]:
    """The same rules with the index and without it (each scope moved into the condition)."""
    folder = tmp_path_factory.mktemp("index")
    flat = """
@id("mail-may-be-read") permit (principal, action, resource)
when { action == Action::"tools/call" && resource in Server::"mail" && context has consequential && !context.consequential };
@id("ada-may-send") permit (principal, action, resource)
when { principal in Person::"ada" && action == Action::"tools/call" && resource == Tool::"mail/send" };
@id("never-to-evil") forbid (principal, action, resource)
when { context has arg_to && context.arg_to == "evil.example" };
@id("no-bot") forbid (principal, action, resource) when { principal == Agent::"bot" };
"""
    return CedarPolicy.load(written(folder, RULES)), CedarPolicy.load(written(folder, flat))


@given(
    agent=st.sampled_from(["claude", "bot"]),
    person=st.sampled_from(["ada", "bob"]),
    action=st.sampled_from(["tools/call", "resources/read", "unheard/of"]),
    kind=st.sampled_from(["tool", "resource", "unheard"]),
    resource=st.sampled_from(["mail/send", "mail/read", "files/send"]),
    server=st.sampled_from(["mail", "files"]),
    facts=st.fixed_dictionaries(
        {}, optional={"consequential": st.booleans(), "arg_to": st.sampled_from(["", "evil.example", "a"])}
    ),
)
def test_the_index_never_changes_an_answer(index: tuple[Policy, Policy], **asked: str) -> None:
    indexed, flat = index
    question = PolicyQuestion(
        asked["agent"], asked["person"], asked["action"], asked["kind"], asked["resource"], asked["server"],
        asked["facts"],  # type: ignore[arg-type]
    )  # fmt: skip

    assert indexed.answer(question) == flat.answer(question)


def test_rules_that_cannot_match_cost_nothing_and_memory_stays_bounded(tmp_path: Path) -> None:
    many = "\n".join(
        f'@id("r{n}") permit (principal, action == Action::"tools/call", resource == Tool::"s{n}/t");'
        for n in range(500)
    )
    policy = CedarPolicy.load(written(tmp_path, many))
    for n in range(5000):
        policy.answer(replace(ASKED, agent=f"a{n}", server="s1", resource="s1/t"))

    assert len(policy._answers._kept) <= 4096
    assert len(policy._entities._kept) <= 512
    begun = time.perf_counter()
    for n in range(200):
        assert policy.answer(replace(ASKED, agent=f"b{n}", server="s7", resource="s7/t")).permits == ("r7",)
    # 500 rules, never asked before: without the index Cedar would be handed all of them. Generous, for a busy machine.
    assert (time.perf_counter() - begun) / 200 < 0.005


def test_the_example_policy_loads_and_says_what_its_comments_say() -> None:
    policy = CedarPolicy.load(Path(__file__).parents[2] / "examples" / "policy.cedar")

    payment = replace(
        ASKED, server="payments", resource="payments/pay", facts={"intent": "T.pay", "pass_binding": "gateway"}
    )
    assert policy.answer(payment).forbids == ("payments-need-a-key",)
    assert policy.answer(
        replace(ASKED, facts={"consequential": False, "open_world": False, "goal_stated": True})
    ).permits == ("read-mail",)
