"""Rules people write, in Cedar: checked when loaded, evaluated from prepared handles, forbid wins.

The shipped rules are always in force; a file adds to them. Each rule carries `@id("…")`, the name under which its effect is recorded. The scopes of
the rules make an index: for a question only the rules that can match it are handed to Cedar, and no rule at all costs no call.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from itertools import chain, product
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import cedarpy

from jittrust.adapters.cedar.findings import covers, mentioned, strange_words, why_never
from jittrust.adapters.cedar.partial import Holds, PartialAnswer, conditions, holds, question_leaf, scope_alone
from jittrust.adapters.cedar.places import FindingLevel, PolicyFinding, PolicyStatement, statements
from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.policy import PolicyAnswer
from jittrust.ports.policy import PolicyQuestion

_SORTED: Final = json.JSONEncoder(sort_keys=True)
SHIPPED: Final = "default.cedar"
"""Under this name the rules that ship are a file."""
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
    """One rule as it is in force. `id` is its `@id`, `why` its `@why`, `line` and `column` where it starts in `file`, both from 1."""

    id: str
    permits: bool
    why: str
    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A rule with its Cedar JSON, whose scope the index looks at, and its text."""

    rule: WrittenRule
    body: Mapping[str, Any]
    statement: PolicyStatement

    def finding(self, level: FindingLevel, code: str, text: str, word: str = "") -> PolicyFinding:
        """Something wrong with this rule, at `word` where it has that."""
        at = self.statement.find(word) or 0 if word else 0
        return PolicyFinding(level, code, self.rule.file, *self.statement.place(at), self.rule.id, text)

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
        self._rules: list[_Prepared] = []
        for found in _examined(sources):
            if isinstance(found, PolicyFinding):
                raise BadInputError(
                    "policy_broken",
                    found.told,
                    "jittrust does not start with it: mend the rule (jittrust policy check).",
                )
            self._rules.append(found)
        # Facts that no rule asks for are not even looked at: answers stay the same and are found again.
        self._facts = frozenset[str]().union(*(_asked(prepared.body) for prepared in self._rules))
        self._everywhere, self._named = _indexed(self._rules)
        self._slices: _LeastUsed[frozenset[int], cedarpy.PolicySet] = _LeastUsed(MOST_HANDLES)
        self._entities: _LeastUsed[tuple[str, ...], cedarpy.Entities] = _LeastUsed(MOST_HANDLES)
        self._answers: _LeastUsed[bytes, PolicyAnswer] = _LeastUsed(MOST_ANSWERS)

    @classmethod
    def load(cls, file: Path | None = None) -> CedarPolicy:
        """The shipped rules, and those of `file` when one is configured.

        Raises:
            BadInputError: code `policy_missing`, `policy_empty` (no rule in it) or `policy_broken` (with file and line): do not start.
        """
        sources = {SHIPPED: _shipped(SHIPPED)}
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

    def answer_in_part(self, question: PolicyQuestion, unknown: Callable[[str], bool]) -> PartialAnswer:
        """Every rule that holds, permits beside forbids, and those of which it cannot be said because they look at what is not known.

        Args:
            question: with the facts that are known; what is neither in it nor unknown is known to be absent.
            unknown: whether a fact is not known.
        """
        names = _Names(question)
        told = {name: fact for name, fact in _context(question, self._facts).items() if not unknown(name)}
        request = {**names.request, "context": _SORTED.encode(told)}
        entities = names.entities()
        leaf = question_leaf(request, entities, unknown)
        found: dict[tuple[bool, Holds], list[str]] = {}
        for at in sorted(self._matching(names)):
            prepared = self._rules[at]
            scope = holds(scope_alone(prepared.body), request, entities)
            inside = Holds.NO if scope is Holds.NO else conditions(prepared.body, leaf)
            inside = Holds.UNKNOWN if scope is Holds.UNKNOWN and inside is Holds.YES else inside
            found.setdefault((prepared.rule.permits, inside), []).append(prepared.rule.id)
        listed = {key: tuple(sorted(ids)) for key, ids in found.items()}
        return PartialAnswer(
            listed.get((True, Holds.YES), ()),
            listed.get((False, Holds.YES), ()),
            listed.get((True, Holds.UNKNOWN), ()),
            listed.get((False, Holds.UNKNOWN), ()),
        )

    def same_rules(self, other: CedarPolicy) -> frozenset[str]:
        """Ids of the rules that are the same in both."""
        bodies = {prepared.rule.id: prepared.body for prepared in other._rules}
        return frozenset(one.rule.id for one in self._rules if bodies.get(one.rule.id) == one.body)

    def _matching(self, names: _Names) -> frozenset[int]:
        listed = chain(self._everywhere, *(self._named.get(uid, ()) for uid in frozenset().union(*names.uids.values())))
        return frozenset(at for at in listed if self._rules[at].may_match(names.uids, names.types))

    def _evaluate(self, question: PolicyQuestion, context: str) -> PolicyAnswer:
        names = _Names(question)
        matching = self._matching(names)
        if not matching:
            return PolicyAnswer()
        handle = self._slices.get(matching, lambda: self._slice(matching))
        entities = self._entities.get(names.key, names.entities)
        request = {**names.request, "context": context}
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


class ReloadablePolicy:
    """`ports.policy.Policy` whose file can be read again while questions are answered."""

    def __init__(self, file: Path | None = None) -> None:
        """Load it; see `CedarPolicy.load`."""
        self._file = file
        self._policy = CedarPolicy.load(file)

    @property
    def rules(self) -> tuple[WrittenRule, ...]:
        """Every rule in force."""
        return self._policy.rules

    def answer(self, question: PolicyQuestion) -> PolicyAnswer:
        """See `ports.policy.Policy`."""
        return self._policy.answer(question)

    def reload(self) -> PolicyChange:
        """Read the file again. One question is answered by the old rules or by the new ones, never by some of both.

        Raises:
            BadInputError: as `CedarPolicy.load`; the rules that were in force stay in force.
        """
        before, after = self._policy, CedarPolicy.load(self._file)
        self._policy = after
        old, new = ({rule.id for rule in policy.rules} for policy in (before, after))
        same = after.same_rules(before)
        return PolicyChange(tuple(sorted(new - old)), tuple(sorted(old - new)), tuple(sorted((old & new) - same)))


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What reading the file again changed: ids of rules."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def check_policy(file: Path) -> tuple[tuple[WrittenRule, ...], tuple[PolicyFinding, ...]]:
    """The rules of a file that can be read, and everything that is wrong with it, in the order of the file; nothing is put in force.

    Raises:
        BadInputError: code `policy_missing`, `policy_empty`; `policy_broken` where it is no text or too large.
    """
    text = _read(file)
    rules, findings = list[_Prepared](), list[PolicyFinding]()
    for found in _examined({SHIPPED: _shipped(SHIPPED), str(file): text}):
        if isinstance(found, PolicyFinding):
            findings.append(found)
        else:
            rules.append(found)
    everywhere, named = _indexed(rules)
    for at, prepared in enumerate(rules):
        if prepared.rule.file == SHIPPED:
            continue
        why, word = why_never(prepared.body)
        if why:
            findings.append(prepared.finding(FindingLevel.WARNING, "never_matches", f"it never matches: {why}", word))
            continue
        findings += [
            prepared.finding(FindingLevel.WARNING, "unknown_word", text, word)
            for text, word in strange_words(prepared.body.get("conditions", []))
        ]
        # Whatever covers a rule names nothing, or something of what this one names.
        near = {place for name in mentioned(prepared.body) for place in named.get(name, ())}
        findings += _covered(prepared, at, rules, near.union(everywhere))
    return (
        tuple(prepared.rule for prepared in rules if prepared.rule.file != SHIPPED),
        tuple(sorted(findings, key=lambda found: (found.line, found.column, found.code))),
    )


def _covered(prepared: _Prepared, at: int, rules: list[_Prepared], places: Iterable[int]) -> Iterator[PolicyFinding]:
    """What is said against a rule that another covers. `places`: where the rules that could are."""
    rule = prepared.rule
    for place in sorted(places):
        other = rules[place]
        if place == at or not covers(other.body, prepared.body):
            continue
        where = f'"{other.rule.id}" ({other.rule.file}:{other.rule.line})'
        if rule.permits and not other.rule.permits:
            text = f"whatever it permits is forbidden by {where}, and a forbid wins"
            yield prepared.finding(FindingLevel.WARNING, "shadowed_permit", text)
            return
        # Of two that say the same, the later one is the one too many.
        if rule.permits is other.rule.permits and (place < at or not covers(prepared.body, other.body)):
            yield prepared.finding(FindingLevel.WARNING, "adds_nothing", f"{where} already says the same and more")
            return


def _indexed(rules: Iterable[_Prepared]) -> tuple[list[int], dict[tuple[str, str], list[int]]]:
    """Rules by what their scope names most narrowly; first those whose scope names nothing."""
    everywhere, named = list[int](), dict[tuple[str, str], list[int]]()
    for at, prepared in enumerate(rules):
        names = prepared.named()
        for name in names:
            named.setdefault(name, []).append(at)
        if not names:
            everywhere.append(at)
    return everywhere, named


def _examined(sources: Mapping[str, str]) -> Iterator[_Prepared | PolicyFinding]:
    """Rules and errors of all sources; a name that is taken is an error of the rule that comes later."""
    seen: dict[str, WrittenRule] = {}
    for file, text in sources.items():
        empty = True
        for found in _read_rules(file, text):
            empty = False
            if isinstance(found, _Prepared):
                rule = found.rule
                if (first := seen.setdefault(rule.id, rule)) is not rule:
                    taken = f'the id "{rule.id}" is taken by the rule at {first.file}:{first.line}'
                    found = found.finding(FindingLevel.ERROR, "name_taken", taken)  # noqa: PLW2901 - in its place
            yield found
        if empty:
            raise BadInputError(
                "policy_empty",
                f"The policy {file} has no rule",
                "Write one, or unset policy.file: an empty policy is a mistake.",
            )


class _Names:
    """Who asks for what, in Cedar's names."""

    def __init__(self, question: PolicyQuestion) -> None:
        agent, person, server = ("Agent", question.agent), ("Person", question.person), ("Server", question.server)
        thing, action = (_TYPES.get(question.resource_type, "Resource"), question.resource), ("Action", question.action)
        self.uids = {
            "principal": frozenset({agent, person}),
            "action": frozenset({action}),
            "resource": frozenset({thing, server}),
        }
        self.types = {"principal": agent[0], "action": action[0], "resource": thing[0]}
        self.request = {"principal": _uid(agent), "action": _uid(action), "resource": _uid(thing)}
        self.key = (*agent, *person, *thing, *server)
        self._parents = {agent: person, thing: server}

    def entities(self) -> cedarpy.Entities:
        return _entities(self._parents)


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


def _unavailable(why: str) -> UnavailableError:
    return UnavailableError("policy_unavailable", f"The policy could not be evaluated: {why}", "jittrust doctor")


def _read_rules(file: str, text: str) -> Iterator[_Prepared | PolicyFinding]:
    """The rules of a text, and in place of each that is broken what is wrong with it."""
    schema = _shipped("facts.cedarschema")
    known, parsed_schemas = fact_types(), dict[tuple[tuple[str, str], ...], cedarpy.Schema]()

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
            found = found or "; ".join(_told(fault.error for fault in checked.errors))
        return found

    for statement in statements(text):
        name = ""

        def broken(code: str, what: str, at: int = 0, of: PolicyStatement = statement) -> PolicyFinding:
            return PolicyFinding(FindingLevel.ERROR, code, file, *of.place(at), name, what)  # noqa: B023 - used in this turn

        if deep := statement.too_deep():
            yield broken("not_cedar", deep)
            continue
        if complaint := _complaint(statement.text):
            at = statement.find_unexpected(complaint, _complaint)
            yield broken("not_cedar", f"this rule is not Cedar: {complaint}", at)
            continue
        parsed = json.loads(cedarpy.policies_to_json_str(statement.text))
        if parsed["templates"] or len(parsed["staticPolicies"]) != 1:
            at = statement.find("?principal") or statement.find("?resource") or 0
            yield broken("not_cedar", "one rule without ?principal and ?resource slots is wanted here", at)
            continue
        (body,) = parsed["staticPolicies"].values()
        annotations = body.get("annotations", {})
        written = annotations.get("id") or ""
        if not _ID.fullmatch(written):
            yield broken("no_name", 'a rule needs a name of letters, digits and . _ : - for the ledger: @id("…")')
            continue
        name = written
        asked = _asked(body)
        arguments = sorted(fact for fact in asked if fact.startswith("arg_"))
        if len(arguments) > MOST_ARGUMENTS:
            at = statement.find(arguments[MOST_ARGUMENTS]) or 0
            yield broken("unknown_fact", f"it asks for more than {MOST_ARGUMENTS} arguments", at)
            continue
        if wrong := faults(statement.text, arguments):
            mixed = _mixed(body, {**known, **dict.fromkeys(arguments, "")})
            at = statement.find_named(wrong) or (statement.find(f".{mixed}") or -1) + 1
            yield broken("not_in_schema", wrong, at)
            continue
        if strange := sorted(asked - known.keys() - set(arguments)):
            # Cedar takes `context has intnt` for a condition that never holds: for a forbid that is a guard that is off.
            near = get_close_matches(strange[0], known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield broken("unknown_fact", f'there is no fact "{strange[0]}"{hint}', statement.find(strange[0]) or 0)
            continue
        line, column = statement.place()
        rule = WrittenRule(name, body["effect"] == "permit", annotations.get("why") or "", file, line, column)
        yield _Prepared(rule, body, statement)


def _complaint(text: str) -> str:
    """What Cedar's parser says of a text; empty when it parses."""
    try:
        cedarpy.policies_to_json_str(text)
    except ValueError as error:
        return str(error)
    return ""


def _told(errors: Iterable[str]) -> list[str]:
    """Cedar's complaints for people: once each, not once for every action of the schema; what follows from another one last."""
    told = {_ACTION_NAME.sub("", _POLICY_NAME.sub("", error)) for error in errors}
    return sorted(told, key=lambda text: (text.startswith("unable to find"), text))


def _mixed(part: object, types: Mapping[str, str]) -> str:
    """The first fact that is compared with a literal of another type; empty when there is none."""
    if isinstance(part, list):
        return next(filter(None, (_mixed(inner, types) for inner in part)), "")
    if not isinstance(part, Mapping):
        return ""
    sides = (part.get("left"), part.get("right"))
    if all(isinstance(side, Mapping) for side in sides):
        for one, other in (sides, sides[::-1]):
            access, value = one.get("."), other.get("Value")  # type: ignore[union-attr]
            if isinstance(access, Mapping) and value is not None and access.get("attr") in types:
                wanted = {bool: "Bool", str: "String", int: "Long"}.get(type(value), "")
                if types[access["attr"]] != wanted:
                    return str(access["attr"])
    return next(filter(None, (_mixed(inner, types) for inner in part.values())), "")


_MORE_FACTS: Final = "  // arg_NAME"
_POLICY_NAME: Final = re.compile(r"for policy `policy\d+`, ")
_ACTION_NAME: Final = re.compile(r' for Action::"[^"]*"')
_FACT: Final = re.compile(r"^\s*(\w+)\?:\s*([\w<>]+)", re.MULTILINE)


def fact_types() -> Mapping[str, str]:
    """Every fact that a rule may look at, with its type in Cedar's words. `arg_NAME`, a String or a Bool, is not among them."""
    return dict(_FACT.findall(_shipped("facts.cedarschema")))


def _asked(body: object) -> set[str]:
    """Every fact that a rule asks for with `context has`."""
    if isinstance(body, Mapping):
        asked = set().union(*map(_asked, body.values()))
        test = body.get("has")
        if isinstance(test, Mapping) and test.get("left") == {"Var": "context"}:
            asked.add(str(test.get("attr")))
        return asked
    return set().union(*map(_asked, body)) if isinstance(body, list) else set()
