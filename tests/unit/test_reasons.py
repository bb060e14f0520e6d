"""The closed vocabulary of reasons."""

import ast
from pathlib import Path

import jittrust.core
from jittrust.core.reasons import AGENT_NEXT, REASONS, AgentCode
from jittrust.core.rules import Rules

CORE = Path(jittrust.core.__file__).parent


def test_every_code_that_decide_can_say_is_in_the_vocabulary() -> None:
    said = {
        node.args[0].value
        for path in CORE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "say"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(said) > 15
    assert said <= set(REASONS)


def test_every_loss_of_trust_names_a_code_of_the_vocabulary() -> None:
    assert set(Rules().trust.loss) <= set(REASONS)


def test_a_code_means_something_and_the_agent_gets_a_next_step_for_each_of_its_own() -> None:
    assert all(code == row.code and row.meaning for code, row in REASONS.items())
    assert set(AGENT_NEXT) == set(AgentCode)
    assert all(AGENT_NEXT[code] for code in AgentCode if code is not AgentCode.OK)


def test_what_the_agent_is_told_names_no_fact() -> None:
    for words in AGENT_NEXT.values():
        for secret in ("score", "trust", "taint", "drift", "WIS", "risk", "threshold", "%", "map"):
            assert secret not in words.split()
