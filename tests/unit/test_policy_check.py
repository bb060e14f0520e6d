"""`jittrust policy check`: what is wrong with written rules, and where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jittrust.adapters.cedar.findings import ASKED_OF
from jittrust.adapters.cedar.places import FindingLevel, PolicyFinding
from jittrust.adapters.cedar.policy import _TYPES, CedarPolicy, ReloadablePolicy, check_policy
from jittrust.apps.cli.main import main
from jittrust.core.errors import BadInputError
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.policy import PolicyAnswer
from jittrust.pep.mcp import translate
from jittrust.ports.policy import PolicyQuestion

EXAMPLE = Path(__file__).parents[2] / "examples" / "policy.cedar"
ASKED = PolicyQuestion("claude", "ada", "tools/call", "tool", "mail/send", "mail", {})


def written(folder: Path, text: str) -> Path:
    file = folder / "policy.cedar"
    file.write_text(text, encoding="utf-8")
    return file


def found_in(folder: Path, text: str) -> tuple[PolicyFinding, ...]:
    return check_policy(written(folder, text))[1]


def rule(
    scope: str = "principal, action, resource", condition: str = "", *, name: str = "a", kind: str = "permit"
) -> str:
    return f'@id("{name}") {kind} ({scope}) {condition};\n'


CALL = 'principal, action == Action::"tools/call", resource'

BROKEN = [
    ('// one\n\n@id("a") permit (principal', 3, 27, "not_cedar", ""),
    ('@id("a") permit (principal action, resource);', 1, 28, "not_cedar", ""),
    ('@id("a") permit (action, action, resource);', 1, 18, "not_cedar", ""),
    ('@id("a")\nallow (principal, action, resource);', 1, 1, "not_cedar", ""),
    (rule(condition="when { foo(context) }"), 1, 54, "not_cedar", ""),
    ("permit (principal, action, resource);", 1, 1, "no_name", ""),
    ('@id("a b") permit (principal, action, resource);', 1, 1, "no_name", ""),
    (rule() + "\n" + rule(kind="forbid"), 3, 1, "name_taken", "a"),
    (rule(name="never-delete-evidence"), 1, 1, "name_taken", "never-delete-evidence"),
    (rule('principal, action == Action::"tols/call", resource'), 1, 39, "not_in_schema", "a"),
    (rule("principal is Agnet, action, resource"), 1, 31, "not_in_schema", "a"),
    (rule(condition='\nwhen { context.intent == "D.delete" }'), 2, 16, "not_in_schema", "a"),
    (rule(condition='\nwhen { context has intent &&\n  context.intnt == "D.delete" }'), 3, 11, "not_in_schema", "a"),
    (rule(condition="\nwhen { context has open_world && context.open_world == 3 }"), 2, 42, "not_in_schema", "a"),
    (rule(condition='\nwhen { context has intnt && context.intnt == "x" }'), 2, 20, "unknown_fact", "a"),
    ("\n" + rule("principal == ?principal, action, resource"), 2, 31, "not_cedar", ""),
]


@pytest.mark.parametrize(("text", "line", "column", "code", "name"), BROKEN)
def test_what_is_broken_is_told_with_line_column_and_the_name_of_the_rule(
    tmp_path: Path, text: str, line: int, column: int, code: str, name: str
) -> None:
    (found,) = found_in(tmp_path, text)

    assert (found.level, found.code, found.line, found.column, found.rule) == (
        FindingLevel.ERROR,
        code,
        line,
        column,
        name,
    )
    with pytest.raises(BadInputError, match=f":{line}:{column}:"):
        CedarPolicy.load(tmp_path / "policy.cedar")


def test_every_broken_rule_is_told_and_the_good_ones_are_still_read(tmp_path: Path) -> None:
    text = rule(name="one") + "permit (principal;\n" + rule(name="two", kind="forbid", condition="when { context.x }")
    rules, findings = check_policy(written(tmp_path, text))

    assert [one.id for one in rules] == ["one"]
    assert [(one.line, one.code) for one in findings] == [(2, "not_cedar"), (3, "not_in_schema")]


NEVER = [
    rule(condition='when { context has intent && context.intent == "D.delte" }'),
    rule(condition='when { context has goal_source && "hook" == context.goal_source }'),
    rule(condition='when { context has pass_binding && context.pass_binding == "DPoP" }'),
    rule(condition='when { context has server && context.server == "a" && context.server == "b" }'),
    rule(condition="when { context has tainted && context.tainted && !context.tainted }"),
    rule(condition="when { context has tainted && context.tainted } unless { context has tainted }"),
    rule(condition='when { context has intent && (context.intent == "no.a" || context.intent == "no.b") }'),
    rule('principal == Person::"ada", action, resource'),
    rule("principal is Person, action, resource"),
    rule('principal, action == Action::"tools/call", resource == Tool::"mail"'),
    rule('principal, action == Action::"resources/read", resource == Tool::"mail/send"'),
    rule('principal, action, resource in Server::"mail/send"'),
    rule('principal, action == Action::"ping", resource'),
    rule('principal, action in [Action::"initialize", Action::"tools/list"], resource'),
]


@pytest.mark.parametrize("text", NEVER)
def test_a_rule_that_can_never_match_is_told(tmp_path: Path, text: str) -> None:
    (found,) = found_in(tmp_path, text)

    assert (found.level, found.code, found.rule) == (FindingLevel.WARNING, "never_matches", "a")


MAIL = 'principal, action, resource in Server::"mail"'
SEND = 'principal, action, resource == Tool::"mail/send"'
ADA = 'principal in Person::"ada", action, resource'
CALLS = 'principal, action in [Action::"tools/call", Action::"prompts/get"], resource'
TAINTED = "when { context has tainted }"
REALLY = "when { context has tainted && context.tainted }"
COVERED = [
    # a permit under a forbid
    (rule(kind="forbid"), rule(name="b"), "shadowed_permit"),
    (rule(MAIL, kind="forbid"), rule(SEND, name="b"), "shadowed_permit"),
    (rule(ADA, kind="forbid"), rule(ADA, TAINTED, name="b"), "shadowed_permit"),
    (rule(condition=TAINTED, kind="forbid"), rule(CALL, REALLY, name="b"), "shadowed_permit"),
    # one that says nothing new
    (rule(), rule(CALL, name="b"), "adds_nothing"),
    (rule(), rule(name="b"), "adds_nothing"),
    (rule(CALLS, kind="forbid"), rule(CALL, name="b", kind="forbid"), "adds_nothing"),
    (
        rule("principal is Agent, action, resource"),
        rule('principal == Agent::"x", action, resource', name="b"),
        "adds_nothing",
    ),
]


@pytest.mark.parametrize(("first", "second", "code"), COVERED)
def test_a_rule_that_another_covers_is_told_with_the_other(tmp_path: Path, first: str, second: str, code: str) -> None:
    for text in (first + second, first.replace("\n", "") + "\n\n" + second):
        (found,) = found_in(tmp_path, text)

        assert (found.code, found.rule) == (code, "b")
        assert '"a"' in found.text


def test_a_permit_of_what_the_shipped_rules_forbid_is_told(tmp_path: Path) -> None:
    (found,) = found_in(
        tmp_path, rule(condition='when { context has intent && context.intent == "O.delete_evidence" }')
    )

    assert found.code == "shadowed_permit"
    assert "never-delete-evidence" in found.text


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE.read_text(encoding="utf-8"),
        # a forbid that a permit covers, and one that is narrower than the permit, are what forbids are for
        rule() + rule(CALL, name="b", kind="forbid"),
        rule('principal, action, resource in Server::"mail"') + rule('principal, action, resource == Tool::"files/x"', name="b"),
        rule(condition=TAINTED, kind="forbid") + rule(name="b"),
        rule('principal == Agent::"x", action, resource') + rule("principal is Agent, action, resource", TAINTED, name="b"),
        rule(condition='when { context has intent && context.intent == "D.delete" } unless { context has tainted && context.tainted }'),
        rule(condition='when { context has intent && (context.intent == "D.delete" || context.intent == "T.pay") }'),
        rule('principal, action == Action::"resources/read", resource in Server::"mail"'),
    ],
)  # fmt: skip
def test_nothing_is_said_against_rules_that_do_what_they_seem_to(tmp_path: Path, text: str) -> None:
    assert found_in(tmp_path, text) == ()


def test_a_word_that_a_fact_never_has_is_told_even_where_the_rule_can_match(tmp_path: Path) -> None:
    text = rule(kind="forbid", condition='unless { context has pass_binding && context.pass_binding == "dpopp" }')
    (found,) = found_in(tmp_path, text)

    assert (found.code, found.line) == ("unknown_word", 1)


def test_the_methods_that_rules_are_asked_about_are_those_that_are_judged() -> None:
    judged = {method: {_TYPES.get(kind, "Resource")} for method, (kind, _, _) in translate._JUDGED.items()}
    judged |= {"completion/complete": {"Prompt", "Resource"}}
    judged |= {method: {"Client"} for method in translate.FROM_SERVER}

    assert judged == ASKED_OF


def test_the_exit_code_is_0_for_good_1_for_warnings_and_2_for_what_would_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, odd, bad = (tmp_path / name for name in ("good.cedar", "odd.cedar", "bad.cedar"))
    good.write_text(rule(CALL, "when { context has tainted && context.tainted }", kind="forbid"), encoding="utf-8")
    odd.write_text(NEVER[0], encoding="utf-8")
    bad.write_text("permit (principal", encoding="utf-8")

    assert main(["policy", "check", str(good)]) == 0
    assert main(["policy", "check", str(good), str(odd)]) == 1
    assert main(["policy", "check", str(good), str(odd), str(bad)]) == 2
    assert main(["policy", "check", str(tmp_path / "none.cedar")]) == 2
    said = capsys.readouterr().out
    assert f'warning: {odd}:1:94: rule "a": it never matches: intent is never "D.delte" [never_matches]' in said
    assert f"error: {bad}:1:18: this rule is not Cedar: unexpected end of input [not_cedar]" in said


def test_json_is_one_object_with_every_rule_and_every_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, rule(name="one") + NEVER[0])

    assert main(["policy", "check", str(file), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in said["rules"]] == ["one", "a"]
    assert {(one["level"], one["code"], one["rule"], one["line"]) for one in said["findings"]} == {
        ("warning", "never_matches", "a", 2)
    }


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 20_000 + "true" + ")" * 20_000,
        "[" * 20_000 + "]" * 20_000 + " == []",
        "{a:" * 20_000 + "1" + "}" * 20_000 + " == 1",
        "if true then true else " * 20_000 + "true",
        " && ".join(["context has tainted"] * 3_000),
        " || ".join(["true"] * 100_000),
        "context" + ".a" * 20_000,
        "context" + '["a"]' * 20_000,
        "context" + ".contains(1)" * 20_000,
    ],
    ids=["brackets", "sets", "records", "if", "and", "or", "members", "indexes", "calls"],
)
def test_what_is_nested_too_deep_is_refused_and_ends_nothing(tmp_path: Path, condition: str) -> None:
    # Cedar's parser has no limit: handed these, it ends the whole process.
    (found,) = found_in(tmp_path, rule(condition=f"when {{ {condition} }}"))

    assert (found.level, found.code) == (FindingLevel.ERROR, "not_cedar")


def test_a_long_rule_that_people_write_is_taken(tmp_path: Path) -> None:
    tools = ", ".join(f'Tool::"srv/t{number}"' for number in range(1_000))
    words = " || ".join(f'context.intent == "{code}"' for code in sorted(TAXONOMY)[:40])
    text = rule(CALL, f"when {{ context has intent && ({words}) && resource in [{tools}] }}")

    assert found_in(tmp_path, text) == ()


def test_rules_are_read_again_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, rule(name="one") + rule(name="two", condition="when { context has tainted }"))
    policy = ReloadablePolicy(file)
    assert policy.answer(ASKED).permits == ("one",)

    for broken in ("permit (principal", "", rule(name="one") * 2):
        written(tmp_path, broken)
        with pytest.raises(BadInputError):
            policy.reload()
        assert policy.answer(ASKED).permits == ("one",)
    file.unlink()
    with pytest.raises(BadInputError, match="cannot be read"):
        policy.reload()
    assert policy.answer(ASKED) == PolicyAnswer(permits=("one",))

    written(tmp_path, rule(name="two") + rule(name="new", kind="forbid"))
    change = policy.reload()
    assert (change.added, change.removed, change.changed) == (("new",), ("one",), ("two",))
    assert policy.answer(ASKED).forbids == ("new",)
