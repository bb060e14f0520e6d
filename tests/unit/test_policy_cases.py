"""`jittrust policy test`: questions, and what the rules must say of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jittrust.apps.cli.main import main
from jittrust.apps.policy_cases import EXAMPLE

POLICY = Path(__file__).parents[2] / "examples" / "policy.cedar"
PAYMENT = """\
policy: policy.cedar
cases:
  - name: nobody pays with a token that can be copied
    tool: payments/pay
    facts: {intent: T.pay, pass_binding: gateway}
    expect: EXPECT
    rules: RULES
"""


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    (tmp_path / "policy.cedar").write_bytes(POLICY.read_bytes())
    return tmp_path / "cases.yaml"


def test_the_example_that_is_printed_goes_through(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test", "--example"]) == 0
    printed = capsys.readouterr().out
    assert printed == EXAMPLE
    cases.write_text(printed, encoding="utf-8")

    assert main(["policy", "test", str(cases)]) == 0
    assert capsys.readouterr().out == "3 of 3 cases as expected\n"


@pytest.mark.parametrize(
    ("expect", "rules", "code"),
    [
        ("forbid", "[payments-need-a-key]", 0),
        ("permit", "[payments-need-a-key]", 1),
        ("forbid", "[another]", 1),
        ("forbid", "[payments-need-a-key, another]", 1),
        ("forbid", "[]", 1),
        ("none", "[]", 1),
    ],
)
def test_what_the_rules_say_and_which_of_them_is_compared(cases: Path, expect: str, rules: str, code: int) -> None:
    cases.write_text(PAYMENT.replace("EXPECT", expect).replace("RULES", rules), encoding="utf-8")

    assert main(["policy", "test", str(cases)]) == code


def test_a_case_that_fails_is_told_with_its_place_and_what_the_rules_say(
    cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases.write_text(PAYMENT.replace("EXPECT", "permit").replace("RULES", "[x]"), encoding="utf-8")

    assert main(["policy", "test", str(cases), "--json"]) == 1
    (failed,) = json.loads(capsys.readouterr().out)["failed"]
    assert (failed["where"], failed["said"], failed["rules"]) == (f"{cases}:3:5", "forbid", ["payments-need-a-key"])


def test_other_rules_can_be_asked_than_those_the_file_names(cases: Path, tmp_path: Path) -> None:
    cases.write_text(PAYMENT.replace("EXPECT", "permit").replace("RULES", "[all]"), encoding="utf-8")
    other = tmp_path / "other.cedar"
    other.write_text('@id("all") permit (principal, action, resource);', encoding="utf-8")

    assert main(["policy", "test", str(cases), "--policy", str(other)]) == 0


def test_without_a_policy_the_shipped_rules_answer(cases: Path) -> None:
    cases.write_text(
        "cases:\n  - {name: logs stay, tool: logs/purge, facts: {intent: O.delete_evidence}, expect: forbid, rules: [never-delete-evidence]}\n",
        encoding="utf-8",
    )

    assert main(["policy", "test", str(cases)]) == 0


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("cases: []\n", ":1:1", "no case"),
        ("cases:\n  - {name: a, tool: git/log}\n", ":2:5", "expect"),
        ("cases:\n  - {name: a, expect: none}\n", ":2:5", "exactly one of"),
        ("cases:\n  - {name: a, tool: git/log, prompt: git/x, expect: none}\n", ":2:5", "exactly one of"),
        ("cases:\n  - {name: a, tool: git, expect: none}\n", ":2:21", "tool"),
        ("cases:\n  - {name: a, tool: git/log, expect: maybe}\n", ":2:38", "expect"),
        ("cases:\n  - {name: a, tool: git/log, expect: none, rules: [x]}\n", ":2:5", "no rule says anything"),
        ("cases:\n  - {name: a, tool: git/log, expect: none, facts: {intnt: x}}\n", ":2:", "no fact 'intnt'"),
        ("cases:\n  - {name: a, tool: git/log, expect: none, facts: {tainted: x}}\n", ":2:", "true or false"),
        ("cases:\n  - {name: a, tool: git/log, expect: none, facts: {wis: 70}}\n", ":2:", "facts"),
        ("cases:\n  - {name: a, tool: git/log, expects: none}\n", ":2:30", "unknown key"),
        ("cases: [\n", "", "cases.yaml"),
    ],
)
def test_a_broken_file_of_cases_is_told_with_line_and_column(
    cases: Path, capsys: pytest.CaptureFixture[str], text: str, where: str, words: str
) -> None:
    cases.write_text(text, encoding="utf-8")

    assert main(["policy", "test", str(cases)]) == 2
    said = capsys.readouterr().err
    assert f"{cases}{where}" in said
    assert words in said


def test_without_a_file_it_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test"]) == 2
    assert "--example" in capsys.readouterr().err
