"""Cases for written rules: a question, and what the rules must say of it. In YAML, strict like the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr, model_validator

from jittrust.adapters.cedar.policy import CedarPolicy, fact_types
from jittrust.apps.marked_yaml import MarkedDocument, read_marked, validated
from jittrust.core.policy import PolicyAnswer
from jittrust.ports.policy import PolicyQuestion

EXAMPLE: Final = """\
# Questions, and what the rules must say of them. Run: jittrust policy test THIS_FILE
#
# expect: permit   a rule permits it and none forbids it
#         forbid   a rule forbids it
#         none     no rule says anything: goal, map and scores decide
# rules:  the rules that say so, exactly; left out: not looked at. Facts are listed in docs/policy.md; what is left out is absent.

policy: policy.cedar            # beside this file; left out: the shipped rules alone

cases:
  - name: reading mail is permitted
    agent: claude
    person: ada
    tool: mail/read_inbox       # or resource: server/uri, prompt: server/name, client: server/method
    facts: {intent: K.read, consequential: false, open_world: false, goal_stated: true}
    expect: permit
    rules: [read-mail]

  - name: nobody pays with a token that can be copied
    tool: payments/pay
    facts: {intent: T.pay, consequential: true, pass_binding: gateway}
    expect: forbid
    rules: [payments-need-a-key]

  - name: nothing is said about a note
    tool: notes/append
    facts: {intent: D.write, consequential: true, arg_text: hello}
    expect: none
"""

_CODE: Final = "policy_cases"
_NAMED = Field(default="", max_length=2000)
_Thing = Annotated[str, Field(default="", max_length=2000, pattern=r"^([^/]+/.+)?$")]
_ACTIONS: Final = {"tool": "tools/call", "resource": "resources/read", "prompt": "prompts/get", "client": ""}


_WANTED: Final = {"Bool": (bool, "true or false"), "String": (str, "a text"), "Set<String>": (list, "a list of texts")}


def _facts(told: dict[str, object]) -> dict[str, object]:
    types = fact_types()
    for name, value in told.items():
        if name.startswith("arg_"):
            continue
        if name in {"person", "server"}:
            raise ValueError(f"{name} is given beside the facts, not among them")
        if name not in types:
            raise ValueError(f"there is no fact {name!r}")
        kind, words = _WANTED[types[name]]
        fits = isinstance(value, kind)
        if not fits:
            raise ValueError(f"{name} must be {words}")
    return told


class PolicyCase(BaseModel):
    """One question and what must be said of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=200)
    agent: str = Field(default="agent", max_length=2000)
    person: str = Field(default="person", max_length=2000)
    tool: _Thing
    resource: _Thing
    prompt: _Thing
    client: _Thing
    action: str = Field(default="", max_length=100, description="The MCP method; left out: what is usual for it.")
    facts: Annotated[dict[str, StrictBool | StrictStr | list[StrictStr]], AfterValidator(_facts)] = Field(
        default_factory=dict
    )
    expect: Literal["permit", "forbid", "none"]
    rules: tuple[str, ...] | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _one_thing(self) -> PolicyCase:
        if sum(bool(getattr(self, kind)) for kind in _ACTIONS) != 1:
            raise ValueError(f"exactly one of {', '.join(_ACTIONS)} is wanted")
        if self.expect == "none" and self.rules:
            raise ValueError("`expect: none` means that no rule says anything: leave `rules` out")
        return self

    @property
    def question(self) -> PolicyQuestion:
        """The question, as a broker would ask it."""
        kind = next(kind for kind in _ACTIONS if getattr(self, kind))
        thing: str = getattr(self, kind)
        server, _, method = thing.partition("/")
        return PolicyQuestion(
            agent=self.agent,
            person=self.person,
            action=self.action or _ACTIONS[kind] or method,
            resource_type=kind,
            resource=thing,
            server=server,
            facts={name: tuple(fact) if isinstance(fact, list) else fact for name, fact in self.facts.items()},
        )


class PolicyCases(BaseModel):
    """A file of cases."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    policy: str = Field(default="", max_length=4096)
    cases: tuple[PolicyCase, ...] = Field(strict=False, max_length=10_000)

    @model_validator(mode="after")
    def _some(self) -> PolicyCases:
        if not self.cases:
            raise ValueError("there is no case in `cases`")
        return self


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case.

    Attributes:
        name: of the case.
        where: `file:line:column` of the case.
        expected, expected_rules: what it wants; no rules: not looked at.
        said, rules: what the rules said.
    """

    name: str
    where: str
    expected: str
    expected_rules: tuple[str, ...] | None
    said: str
    rules: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether the rules said what was wanted."""
        return self.said == self.expected and (
            self.expected_rules is None or sorted(self.expected_rules) == list(self.rules)
        )


def run_cases(file: Path, policy: Path | None = None) -> Iterator[CaseResult]:
    """Ask the rules every question of a file, in its order. `policy`: these rules instead of those that the file names.

    Raises:
        BadInputError: `policy_cases_missing`, `policy_cases_syntax`, `policy_cases_unknown_key`, `policy_cases_bad_value` (with line and
            column), or what `CedarPolicy.load` raises.
    """
    document = read_marked(file, _CODE)
    cases = validated(PolicyCases, document, _CODE)
    named = policy or (file.parent / cases.policy if cases.policy else None)
    return _results(cases, document, CedarPolicy.load(named))


def _results(cases: PolicyCases, document: MarkedDocument, rules: CedarPolicy) -> Iterator[CaseResult]:
    for at, case in enumerate(cases.cases):
        said, ids = _told(rules.answer(case.question))
        yield CaseResult(case.name, document.place(("cases", at)), case.expect, case.rules, said, ids)


def _told(answer: PolicyAnswer) -> tuple[str, tuple[str, ...]]:
    if answer.forbids:
        return "forbid", answer.forbids
    return ("permit", answer.permits) if answer.permits else ("none", ())
