"""Rules people write, in Cedar: checked when loaded, evaluated from prepared handles, forbid wins.

The shipped rules are always in force; a file adds to them. Each rule carries `@id("…")`, the name under which its effect is recorded. The scopes of
the rules make an index: for a question only the rules that can match it are handed to Cedar, and no rule at all costs no call.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, product
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import cedarpy

from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.policy import PolicyAnswer
from jittrust.ports.policy import PolicyQuestion

_SORTED: Final = json.JSONEncoder(sort_keys=True)
MOST_BYTES: Final = 1 << 20
MOST_ANSWERS: Final = 4096
MOST_HANDLES: Final = 512
MOST_ARGUMENTS: Final = 4
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_TYPES: Final = {"tool": "Tool", "resource": "Resource", "prompt": "Prompt", "client": "Client", "protocol": "Protocol"}
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """One rule as it is in force. `id` is its `@id`, `why` its `@why`, `line` where it starts in `file`."""

    id: str
    permits: bool
    why: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A rule with its Cedar JSON and the scope that the index looks at."""

    rule: WrittenRule
    body: Mapping[str, Any]

    def may_match(self, uids: Mapping[str, frozenset[tuple[str, str]]], types: Mapping[str, str]) -> bool:
        """False only when the scope rules the question out. Anything not understood counts as a match."""
        return all(
            _scope_fits(self.body[name], uids[name], types[name]) for name in ("principal", "action", "resource")
        )

    def named(self) -> frozenset[tuple[str, str]]:
        """What the first scope that names anything names: resource, else principal, else action; empty when none does."""
        for scope in (self.body["resource"], self.body["principal"], self.body["action"]):
            if scope.get("op") in {"==", "in"} and (names := _names(scope)):
                return names
        return frozenset()


def _names(scope: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    listed = scope.get("entities") or [scope.get("entity")]
    return frozenset((uid["type"], uid["id"]) for uid in listed if isinstance(uid, Mapping))


def _scope_fits(scope: Mapping[str, Any], uids: frozenset[tuple[str, str]], kind: str) -> bool:
    operator = scope.get("op")
    if operator in {"==", "in"}:
        return not _names(scope).isdisjoint(uids)
    if operator == "is":
        return scope.get("entity_type") == kind
    return True


class CedarPolicy:
    """`ports.policy.Policy` over Cedar. Immutable: hot reload is loading another and putting it in this one's place."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """Check and compile policy texts by file name; see `load`."""
        schema = _shipped("facts.cedarschema")
        self._rules: list[_Prepared] = []
        for file, rules in sources.items():
            self._rules += _compiled(file, rules, schema)
        seen: dict[str, WrittenRule] = {}
        for prepared in self._rules:
            rule = prepared.rule
            if (first := seen.setdefault(rule.id, rule)) is not rule:
                where = f"{first.file}:{first.line}"
                raise _broken(rule.file, rule.line, f'the id "{rule.id}" is taken by the rule at {where}')
        # Facts that no rule asks for are not even looked at: answers stay the same and are found again.
        self._facts = frozenset[str]().union(*(_asked(prepared.body) for prepared in self._rules))
        # The index: each rule under what its scope names most narrowly, the rest in a list that is always looked at.
        self._named: dict[tuple[str, str], list[int]] = {}
        self._everywhere: list[int] = []
        for at, prepared in enumerate(self._rules):
            names = prepared.named()
            for name in names:
                self._named.setdefault(name, []).append(at)
            if not names:
                self._everywhere.append(at)
        self._slices: _LeastUsed[frozenset[int], cedarpy.PolicySet] = _LeastUsed(MOST_HANDLES)
        self._entities: _LeastUsed[tuple[str, ...], cedarpy.Entities] = _LeastUsed(MOST_HANDLES)
        self._answers: _LeastUsed[bytes, PolicyAnswer] = _LeastUsed(MOST_ANSWERS)

    @classmethod
    def load(cls, file: Path | None = None) -> CedarPolicy:
        """The shipped rules, and those of `file` when one is configured.

        Raises:
            BadInputError: code `policy_missing`, `policy_empty` (no rule in it) or `policy_broken` (with file and line): do not start.
        """
        sources = {"default.cedar": _shipped("default.cedar")}
        if file is not None:
            sources[str(file)] = _read(file)
        return cls(sources)

    @property
    def rules(self) -> tuple[WrittenRule, ...]:
        """Every rule in force, shipped ones first."""
        return tuple(prepared.rule for prepared in self._rules)

    def answer(self, question: PolicyQuestion) -> PolicyAnswer:
        """See `ports.policy.Policy`. Permits are named only where nothing forbids."""
        try:
            context = _SORTED.encode(_context(question, self._facts))
            names = (
                question.agent,
                question.person,
                question.action,
                question.resource_type,
                question.resource,
                question.server,
            )
            # `repr` of a tuple is one spelling of it, and printable.
            spelled = repr((*names, context)).encode("utf-8", "backslashreplace")
            key = hashlib.blake2b(spelled, digest_size=16).digest()
            return self._answers.get(key, lambda: self._evaluate(question, context))
        except (TypeError, ValueError, OverflowError) as error:
            raise _unavailable(str(error)) from error

    def _evaluate(self, question: PolicyQuestion, context: str) -> PolicyAnswer:
        agent, person, server = ("Agent", question.agent), ("Person", question.person), ("Server", question.server)
        thing = (_TYPES.get(question.resource_type, "Resource"), question.resource)
        action = ("Action", question.action)
        uids = {
            "principal": frozenset({agent, person}),
            "action": frozenset({action}),
            "resource": frozenset({thing, server}),
        }
        types = {"principal": agent[0], "action": action[0], "resource": thing[0]}
        listed = chain(self._everywhere, *(self._named.get(uid, ()) for uid in frozenset().union(*uids.values())))
        matching = frozenset(at for at in listed if self._rules[at].may_match(uids, types))
        if not matching:
            return PolicyAnswer()
        handle = self._slices.get(matching, lambda: self._slice(matching))
        entities = self._entities.get(
            (*agent, *person, *thing, *server), lambda: _entities({agent: person, thing: server})
        )
        request = {"principal": _uid(agent), "action": _uid(action), "resource": _uid(thing), "context": context}
        result = cedarpy.is_authorized(request, handle, entities)
        if result.decision is cedarpy.Decision.NoDecision or result.diagnostics.errors:
            # Cedar skips a rule that fails. A forbid that is skipped would be a permission, so any error refuses.
            raise _unavailable("; ".join(map(str, result.diagnostics.errors)) or "no decision")
        fired = tuple(sorted(result.diagnostics.reasons))
        return PolicyAnswer(permits=fired) if result.allowed else PolicyAnswer(forbids=fired)

    def _slice(self, matching: frozenset[int]) -> cedarpy.PolicySet:
        bodies = {self._rules[at].rule.id: dict(self._rules[at].body) for at in sorted(matching)}
        return cedarpy.PolicySet.from_json_str(
            json.dumps({"templates": {}, "staticPolicies": bodies, "templateLinks": []})
        )


class _LeastUsed(Generic[K, V]):
    """A cache that forgets what was used longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """What is kept under `key`, made when it is not."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = self._kept[key] = make()
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return made


def _context(question: PolicyQuestion, asked: frozenset[str]) -> Mapping[str, object]:
    # Facts are made when they are asked for.
    told: dict[str, object] = {name: question.facts[name] for name in asked if name in question.facts}
    told |= {"person": question.person} if "person" in asked else {}
    told |= {"server": question.server} if "server" in asked else {}
    return {name: list(fact) if isinstance(fact, tuple) else fact for name, fact in told.items()}


def _uid(named: tuple[str, str]) -> dict[str, str]:
    return {"type": named[0], "id": named[1]}


def _entities(parents: Mapping[tuple[str, str], tuple[str, str]]) -> cedarpy.Entities:
    """Agent under its person, tool under its server."""
    listed = [{"uid": _uid(child), "attrs": {}, "parents": [_uid(parent)]} for child, parent in parents.items()]
    return cedarpy.Entities.from_json_str(json.dumps(listed))


def _shipped(name: str) -> str:
    return files("jittrust.adapters.cedar").joinpath(name).read_text(encoding="utf-8")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInputError(
            "policy_missing",
            f"The policy {file} cannot be read: {error.strerror}",
            "Nothing is let through without it: put it there, or unset policy.file.",
        ) from error
    if len(raw) > MOST_BYTES:
        raise BadInputError("policy_broken", f"The policy {file} is larger than {MOST_BYTES} bytes", "Make it smaller.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(
            "policy_broken", f"The policy {file} is not UTF-8 (byte {error.start})", "Save it as UTF-8."
        ) from error


def _broken(file: str, line: int, what: str) -> BadInputError:
    return BadInputError("policy_broken", f"{file}:{line}: {what}", "jittrust does not start with it: mend the rule.")


def _unavailable(why: str) -> UnavailableError:
    return UnavailableError("policy_unavailable", f"The policy could not be evaluated: {why}", "jittrust doctor")


def _compiled(file: str, text: str, schema: str) -> Iterator[_Prepared]:
    statements = list(_statements(text))
    if not statements:
        raise BadInputError(
            "policy_empty",
            f"The policy {file} has no rule",
            "Write one, or unset policy.file: an empty policy is a mistake.",
        )
    known, parsed_schemas = frozenset(_FACT.findall(schema)), dict[tuple[tuple[str, str], ...], cedarpy.Schema]()

    def faults(statement: str, arguments: list[str]) -> str:
        """What is wrong with a rule, with the types of the arguments it asks for that fit best; empty when nothing is."""
        found = ""
        for types in product(("String", "Bool"), repeat=len(arguments)):
            declared = tuple(zip(arguments, types, strict=True))
            if declared not in parsed_schemas:
                lines = "".join(f"  {fact}?: {kind},\n" for fact, kind in declared)
                parsed_schemas[declared] = cedarpy.Schema.from_str(schema.replace(_MORE_FACTS, lines + _MORE_FACTS))
            checked = cedarpy.validate_policies(statement, parsed_schemas[declared])
            if checked.validation_passed:
                return ""
            found = found or "; ".join(_POLICY_NAME.sub("", fault.error) for fault in checked.errors)
        return found

    for line, statement in statements:
        try:
            parsed = json.loads(cedarpy.policies_to_json_str(statement))
        except ValueError as error:
            raise _broken(file, line, f"this rule is not Cedar: {error}") from error
        if parsed["templates"] or len(parsed["staticPolicies"]) != 1:
            raise _broken(file, line, "one rule without ?principal and ?resource slots is wanted here")
        (body,) = parsed["staticPolicies"].values()
        annotations = body.get("annotations", {})
        name = annotations.get("id") or ""
        if not _ID.fullmatch(name):
            raise _broken(file, line, 'a rule needs a name of letters, digits and . _ : - for the ledger: @id("…")')
        asked = _asked(body)
        arguments = sorted(fact for fact in asked if fact.startswith("arg_"))
        if len(arguments) > MOST_ARGUMENTS:
            raise _broken(file, line, f'rule "{name}" asks for more than {MOST_ARGUMENTS} arguments')
        if wrong := faults(statement, arguments):
            raise _broken(file, line, f'rule "{name}": {wrong}')
        for fact in sorted(asked - known - set(arguments)):
            # Cedar takes `context has intnt` for a condition that never holds: for a forbid that is a guard that is off.
            raise _broken(file, line, f'rule "{name}": there is no fact "{fact}"')
        rule = WrittenRule(name, body["effect"] == "permit", annotations.get("why") or "", file, line)
        yield _Prepared(rule, body)


_MORE_FACTS: Final = "  // arg_NAME"
_POLICY_NAME: Final = re.compile(r"for policy `policy\d+`, ")
_FACT: Final = re.compile(r"^\s*(\w+)\?:", re.MULTILINE)


def _asked(body: object) -> set[str]:
    """Every fact that a rule asks for with `context has`."""
    if isinstance(body, Mapping):
        asked = set().union(*map(_asked, body.values()))
        test = body.get("has")
        if isinstance(test, Mapping) and test.get("left") == {"Var": "context"}:
            asked.add(str(test.get("attr")))
        return asked
    return set().union(*map(_asked, body)) if isinstance(body, list) else set()


# A comment, a string, an end of rule: only what is needed to know where a rule ends.
_PIECE: Final = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;', re.DOTALL)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each rule with the line where it starts. Cedar itself tells no lines."""
    start = 0
    ends = [match.end() for match in _PIECE.finditer(text) if match[0] == ";"]
    for end in (*ends, len(text)):
        piece = text[start:end]
        bare = re.sub(r"\s+", "", _PIECE.sub(lambda match: "" if match[0].startswith("//") else match[0], piece))
        if bare:
            skipped = re.match(r"(?:\s|//[^\n]*)*", piece)
            lead = skipped.end() if skipped else 0
            yield text.count("\n", 0, start + lead) + 1, piece[lead:]
        start = end
