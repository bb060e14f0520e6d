"""Rules that load and do not do what they seem to: never match, are covered by another, permit what is forbidden all the same.

Only what is certain is told: every warning here is true for every question that a broker asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import cedarpy

from jittrust.adapters.cedar.partial import Holds, Part, conditions, facts_in, question_leaf, truth
from jittrust.core.grant.grant import PassBinding
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.taxonomy_terms import Disposition
from jittrust.core.mission.mission import GoalSource

ASKED_OF: Final[Mapping[str, frozenset[str]]] = {
    "tools/call": frozenset({"Tool"}),
    "resources/read": frozenset({"Resource"}),
    "resources/subscribe": frozenset({"Resource"}),
    "tasks/get": frozenset({"Resource"}),
    "tasks/result": frozenset({"Resource"}),
    "tasks/update": frozenset({"Resource"}),
    "prompts/get": frozenset({"Prompt"}),
    "completion/complete": frozenset({"Prompt", "Resource"}),
    "sampling/createMessage": frozenset({"Client"}),
    "elicitation/create": frozenset({"Client"}),
    "roots/list": frozenset({"Client"}),
}
"""What the rules are asked of, by method. The other methods have no effect of their own and are let through unasked."""

WORDS: Final[Mapping[str, frozenset[str]]] = {
    "intent": frozenset(TAXONOMY),
    "disposition": frozenset(map(str, Disposition)),
    "goal_source": frozenset(map(str, GoalSource)),
    "pass_binding": frozenset(map(str, PassBinding)),
}
"""Facts that have one of a few words."""

_THINGS: Final = frozenset({"Tool", "Resource", "Prompt", "Client"})
_REQUEST: Final = {
    name: {"type": kind, "id": "-"}
    for name, kind in (("principal", "Agent"), ("action", "Action"), ("resource", "Tool"))
}


def why_never(body: Part) -> tuple[str, str]:
    """Why a rule cannot match any question, and the word of the rule where that shows; two empty texts when it can."""
    return _scope(body) or _conditions(body) or ("", "")


def strange_words(part: object) -> Iterator[tuple[str, str]]:
    """Comparisons of a fact with a word that it never has: what is wrong, and the word as it is written."""
    if isinstance(part, list):
        for inner in part:
            yield from strange_words(inner)
    elif isinstance(part, Mapping):
        for operator in ("==", "!="):
            for fact, value in _compared(part, operator):
                if fact in WORDS and value not in WORDS[fact]:
                    yield f'{fact} is never "{value}"', f'"{value}"'
        for inner in part.values():
            yield from strange_words(inner)


def mentioned(body: Part) -> frozenset[tuple[str, str]]:
    """Everything that a rule's scope names, and the servers of it."""
    found = [uid for name in ("principal", "action", "resource") for uid in _uids(body[name])]
    servers = [server for uid in found if (server := _server_of(uid))]
    return frozenset((uid["type"], uid["id"]) for uid in (*found, *servers))


def covers(wide: Part, narrow: Part) -> bool:
    """Whether `wide` certainly matches whenever `narrow` does. False also means: cannot be told."""
    scopes = all(_scope_covers(wide[name], narrow[name]) for name in ("principal", "action", "resource"))
    return scopes and _conjuncts(wide) <= _conjuncts(narrow)


def _scope(body: Part) -> tuple[str, str] | None:
    who, what, whom = body["principal"], body["action"], body["resource"]
    for uid in _uids(who) if who["op"] == "==" else ():
        if uid["type"] == "Person":
            return f"an agent asks, never a person: write `principal in {_spelt(uid)}`", _spelt(uid)
    if who["op"] == "is" and who["entity_type"] == "Person":
        return "an agent asks, never a person: write `principal in Person::…`", "Person"
    actions = frozenset(uid["id"] for uid in _uids(what)) if what["op"] in {"==", "in"} else frozenset(ASKED_OF)
    kinds = frozenset[str]().union(*(ASKED_OF.get(action, frozenset()) for action in actions))
    if not kinds:
        named = min(actions) if actions else ""
        return f"rules are not asked about {named}: it has no effect of its own", named
    for uid in _uids(whom) if whom["op"] in {"==", "in"} else ():
        kind, name = uid["type"], uid["id"]
        if kind in _THINGS and kind not in kinds:
            return f"{', '.join(sorted(actions & set(ASKED_OF)))} is never asked of a {kind}", _spelt(uid)
        if kind in _THINGS and not name.partition("/")[2]:
            return f'a {kind} is named by its server too: {kind}::"<server>/{name}"', _spelt(uid)
        if kind == "Server" and "/" in name:
            return 'a server\'s name has no "/"', _spelt(uid)
    if whom["op"] == "is" and whom["entity_type"] not in kinds:
        return f"{', '.join(sorted(actions & set(ASKED_OF)))} is never asked of a {whom['entity_type']}", whom[
            "entity_type"
        ]
    return None


def _conditions(body: Part) -> tuple[str, str] | None:
    told: list[tuple[str, str]] = []

    def leaf(part: Part) -> Holds:
        for fact, value in _compared(part, "=="):
            if fact in WORDS and value not in WORDS[fact]:
                told.append((f'{fact} is never "{value}"', f'"{value}"'))
                return Holds.NO
        # What looks at nothing is the same for every question, and Cedar can be asked.
        return Holds.UNKNOWN if _looks(part) else _constant(part)

    if conditions(body, leaf) is Holds.NO:
        return told[-1] if told else ("its conditions cannot hold together", "when")
    parts = _conjuncts(body)
    wanted: dict[str, str] = {}
    for text in sorted(parts):
        part = json.loads(text)
        if "!" in part and _canonical(part["!"]["arg"]) in parts:
            facts = sorted(facts_in(part) - {""})
            return "one condition is the opposite of another", facts[0] if facts else "when"
        for fact, value in _compared(part, "=="):
            if wanted.setdefault(fact, value) != value:
                return f'{fact} cannot be "{wanted[fact]}" and "{value}" at once', f'"{value}"'
    return None


def _compared(part: Part, operator: str) -> Iterator[tuple[str, str]]:
    """`context.fact == "text"`, either way round."""
    sides = part.get(operator)
    if not isinstance(sides, Mapping):
        return
    for one, other in ((sides["left"], sides["right"]), (sides["right"], sides["left"])):
        access = one.get(".")
        if (
            isinstance(access, Mapping)
            and access.get("left") == {"Var": "context"}
            and isinstance(other.get("Value"), str)
        ):
            yield str(access["attr"]), other["Value"]


def _looks(part: object) -> bool:
    if isinstance(part, list):
        return any(map(_looks, part))
    return isinstance(part, Mapping) and ("Var" in part or any(map(_looks, part.values())))


def _constant(part: Part) -> Holds:
    entities = cedarpy.Entities.from_json_str("[]")
    return truth(part, question_leaf({**_REQUEST, "context": {}}, entities, lambda _: False))


def _conjuncts(body: Part) -> frozenset[str]:
    """The parts that must all hold, each in one spelling."""
    found: list[str] = []

    def split(part: Part, *, wanted: bool) -> None:
        if "!" in part:
            split(part["!"]["arg"], wanted=not wanted)
        elif ("&&" if wanted else "||") in part:
            both = part["&&" if wanted else "||"]
            split(both["left"], wanted=wanted)
            split(both["right"], wanted=wanted)
        elif part != {"Value": wanted}:
            found.append(_canonical(part if wanted else {"!": {"arg": part}}))

    for condition in body.get("conditions", ()):
        split(condition["body"], wanted=condition["kind"] == "when")
    return frozenset(found)


def _canonical(part: Part) -> str:
    return json.dumps(part, sort_keys=True)


def _scope_covers(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    if wide == narrow or wide["op"] == "All":
        return True
    inside = _uids(narrow) if narrow["op"] in {"==", "in"} else []
    if wide["op"] == "is" and "in" not in wide:
        exact = narrow["op"] == "==" and all(uid["type"] == wide["entity_type"] for uid in inside)
        return exact or (narrow["op"] == "is" and narrow["entity_type"] == wide["entity_type"])
    if wide["op"] not in {"==", "in"} or not inside:
        return False
    if narrow["op"] == "in" and wide["op"] == "==":
        # Only an action is in nothing but itself.
        return all(uid in _uids(wide) and uid["type"] == "Action" for uid in inside)
    return all(uid in _uids(wide) or (wide["op"] == "in" and _server_of(uid) in _uids(wide)) for uid in inside)


def _server_of(uid: Mapping[str, str]) -> Mapping[str, str]:
    return {"type": "Server", "id": uid["id"].partition("/")[0]} if uid["type"] in _THINGS else {}


def _uids(scope: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    listed = scope.get("entities") or [scope.get("entity")]
    return [uid for uid in listed if isinstance(uid, Mapping)]


def _spelt(uid: Mapping[str, str]) -> str:
    return f'{uid["type"]}::"{uid["id"]}"'
