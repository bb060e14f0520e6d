"""The contract of a mission: what the person's words were read as, and exactly what they open, so that it can be looked at, signed and compared.

It adds nothing to what is enforced: of which values a person is asked is asked of the very rules that judge a call. It says the most that is asked; what
`decide` passes as left to be looked up, or as usual under an adopted baseline, is known only with the call.
A child's contract is inside its parent's when every part provably is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, Endorsement, EntryState
from jittrust.core.errors import BadInputError
from jittrust.core.grant.claims import InvalidTokenError, mint_body, second, signed_body, text
from jittrust.core.intent.goal import GoalReading, read_goal
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading, classify
from jittrust.core.intent.roles import declared_roles
from jittrust.core.intent.words import Literal, LiteralKind, name_words
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.mission.narrow import map_widenings
from jittrust.core.model import Json, Reason, Tool
from jittrust.core.scoring.risk import tainted, unnamed
from jittrust.core.units import Instant

CONTRACT_TYP: Final = "jittrust-contract+jwt"
CONTRACT_VERSION: Final = 1
MOST_CONTRACT_BYTES: Final = 4 * 1024 * 1024
_MOST_VALUES: Final = 20

_FITTING: Mapping[ArgumentRole, frozenset[LiteralKind]] = {
    ArgumentRole.TARGET: frozenset({LiteralKind.EMAIL, LiteralKind.URL, LiteralKind.IBAN}),
    ArgumentRole.AMOUNT: frozenset({LiteralKind.AMOUNT}),
    ArgumentRole.SELECTOR: frozenset({LiteralKind.PATH, LiteralKind.FILENAME, LiteralKind.QUOTED}),
}
"""Which identifiers of a goal an argument may take, by what it is for."""
_NAMED: Mapping[str, LiteralKind] = {
    "email": LiteralKind.EMAIL,
    "mail": LiteralKind.EMAIL,
    "url": LiteralKind.URL,
    "uri": LiteralKind.URL,
    "link": LiteralKind.URL,
    "iban": LiteralKind.IBAN,
    "path": LiteralKind.PATH,
}
"""Which kind alone, where the argument's name says it."""


@dataclass(frozen=True, slots=True)
class ArgumentContract:
    """What the values of one argument may be without a person being asked.

    Attributes:
        argument: its name in the tool's schema.
        role: what it is for.
        asks: origins whose values go to a person (`free_text`: they stood in text that a tool returned; `unseen`: nobody named them).
        values: identifiers of the goal that fit it, in lower case; empty = the goal has none, any value of the other origins passes.
    """

    argument: str
    role: ArgumentRole
    asks: tuple[Origin, ...]
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActContract:
    """What one entry of the map opens: the kind of act, and what holds for each argument that decides something."""

    entry: str
    intent: str
    consequential: bool
    arguments: tuple[ArgumentContract, ...]


@dataclass(frozen=True, slots=True)
class ContractClause:
    """One clause of the goal as it was read: verb stem → classes it may mean; likewise what it forbids; what it is about."""

    does: Mapping[str, tuple[str, ...]]
    forbids: Mapping[str, tuple[str, ...]]
    about: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContractLimits:
    """How much: minutes of the mission, whole units of gas and seconds of life of each grant, lanes at once."""

    minutes: int
    gas: int
    ttl: float
    lanes: int


@dataclass(frozen=True, slots=True)
class Contract:
    """One goal, read, and what it opens.

    Attributes:
        goal: the person's words.
        clauses: how they were read; `whole` = all of them were, `delegates` = they point at content as the source of instructions.
        identifiers: kind and text of every literal in them: addresses, accounts, paths, amounts, dates, names in quotes.
        authority: entries and endorsements; only approved ones let anything through.
        acts: what each entry opens, by entry id, where its tool is known.
        limits: how much of it.
        person, mission: whose it is; empty while it is only planned.
    """

    goal: Goal
    clauses: tuple[ContractClause, ...]
    whole: bool
    delegates: bool
    identifiers: tuple[tuple[str, str], ...]
    authority: AuthorityMap
    acts: tuple[ActContract, ...]
    limits: ContractLimits
    person: str = ""
    mission: str = ""


@dataclass(frozen=True, slots=True)
class SignedContract:
    """A contract and its signed form, a compact JWS (RFC 7515) of type `jittrust-contract+jwt` that this broker's token key signs."""

    contract: Contract
    token: str = field(repr=False)


def contract_of(
    goal: Goal,
    authority: AuthorityMap,
    tools: Iterable[Tool],
    limits: ContractLimits,
    person: str = "",
    mission: str = "",
) -> Contract:
    """The contract of a goal and its map. `tools`: the definitions behind the entries, those that are known."""
    read, known = read_goal(goal), {tool.id: tool for tool in tools}
    return Contract(
        goal=goal,
        clauses=tuple(
            ContractClause(
                {root: tuple(map(str, kinds)) for root, kinds in clause.verbs},
                {root: tuple(map(str, kinds)) for root, kinds in clause.forbidden},
                tuple(sorted(clause.about)),
            )
            for clause in read.clauses
        ),
        whole=read.whole,
        delegates=read.delegates,
        identifiers=tuple((str(one.kind), one.text) for one in read.literals),
        authority=authority,
        acts=tuple(_act(entry, known[entry.tool], read) for entry in authority.entries if entry.tool in known),
        limits=limits,
        person=person,
        mission=mission,
    )


def _act(entry: AuthorityEntry, tool: Tool, read: GoalReading) -> ActContract:
    reading = classify(tool, {})
    arguments = [
        ArgumentContract(name, role, origins_asked(reading, role), _fitting(name, role, read.literals))
        for name, role in declared_roles(tool).items()
        if role is not ArgumentRole.CONTROL
    ]
    return ActContract(entry.id, reading.intent, reading.consequential, tuple(arguments))


def origins_asked(reading: ActionReading, role: ArgumentRole) -> tuple[Origin, ...]:
    """From which origins a value in this role goes to a person, by the rules that judge calls (`scoring.risk.tainted`, `unnamed`).

    For content it is about the addresses inside it. Empty = its origin alone is no question.
    """
    path = "/x#0" if role is ArgumentRole.CONTENT else "/x"
    stranger = ArgumentOrigin(path, role, Origin.FREE_TEXT, "a result", _PROBE)
    invented = ArgumentOrigin("/x", role, Origin.UNSEEN, "", _PROBE)
    asked = [Origin.FREE_TEXT] if tainted((stranger,), reading) else []
    if unnamed((invented,), reading, {"x": _PROBE}):
        asked.append(Origin.UNSEEN)
    return tuple(asked)


_PROBE = "somebody@example.com"


def _fitting(name: str, role: ArgumentRole, found: Sequence[Literal]) -> tuple[str, ...]:
    kinds = _FITTING.get(role, frozenset())
    kinds &= frozenset(_NAMED[word] for word in name_words(name) if word in _NAMED) or kinds
    return tuple(dict.fromkeys(one.text for one in found if one.kind in kinds))[:_MOST_VALUES]


def contract_widenings(parent: Contract, child: Contract) -> tuple[Reason, ...]:
    """Why a child's contract is not provably inside its parent's; empty when it is.

    Codes: those of `narrow.map_widenings`, `widens_gas`, `widens_time`, `widens_arguments`.
    """
    found = list(map_widenings(parent.authority, child.authority))
    if child.limits.gas > parent.limits.gas:
        found.append(Reason("widens_gas", f"{child.limits.gas} units of gas, the parent has {parent.limits.gas}"))
    if child.limits.minutes > parent.limits.minutes or child.limits.ttl > parent.limits.ttl:
        found.append(Reason("widens_time", "it lasts longer than the parent"))
    asked = {
        (_tool_of(parent, act.entry), one.argument): frozenset(one.asks) for act in parent.acts for one in act.arguments
    }
    approved = {entry.id for entry in child.authority.approved}
    for act in child.acts:
        for one in act.arguments if act.entry in approved else ():
            outer = asked.get((_tool_of(child, act.entry), one.argument))
            if outer is not None and not outer <= frozenset(one.asks):
                found.append(
                    Reason("widens_arguments", f"{one.argument} of {act.entry} takes values that the parent asks about")
                )
    return tuple(found)


def _tool_of(contract: Contract, entry: str) -> str:
    return next((one.tool for one in contract.authority.entries if one.id == entry), "")


# ---- signed -----------------------------------------------------------------------------------------------------------------------------


def sign_contract(
    contract: Contract, issuer: str, issued: Instant, expires: Instant, kid: str, sign: Callable[[bytes], bytes]
) -> SignedContract:
    """Sign it. `kid` and `sign` as `claims.mint`."""
    body: dict[str, Json] = {
        "iss": issuer,
        "iat": int(issued),
        "exp": int(expires),
        "sub": contract.person or "plan",
        **_body(contract),
    }
    return SignedContract(contract, mint_body(body, CONTRACT_TYP, kid, sign))


def read_contract(token: bytes, keys: Mapping[str, bytes], issuer: str, now: Instant | None = None) -> Contract:
    """Read a contract that this broker signed. `now` = None: whether it still holds is not asked.

    Raises:
        InvalidTokenError: as `claims.verify`; `bad_claims` where it is no contract of this version.
    """
    body = signed_body(token.strip(), keys, MOST_CONTRACT_BYTES, CONTRACT_TYP)
    if text(body, "iss") != issuer:
        raise InvalidTokenError("wrong_issuer", "another broker signed the contract")
    if now is not None and now >= second(body, "exp"):
        raise InvalidTokenError("expired", "the contract has run out")
    try:
        return _contract(body)
    except (KeyError, TypeError, ValueError, AttributeError, BadInputError):
        raise InvalidTokenError("bad_claims", "no contract of this version") from None


def goal_digest(goal: Goal) -> str:
    """SHA-256 over the statements of a goal, 64 hex digits; each is hashed first, so that none can be read as two."""
    parts = b"".join(hashlib.sha256(one.encode("utf-8", "surrogatepass")).digest() for one in goal.texts)
    return hashlib.sha256(b"jittrust goal\x00" + parts).hexdigest()


def _body(contract: Contract) -> dict[str, Json]:
    acts = {act.entry: act for act in contract.acts}
    return {
        "contract": CONTRACT_VERSION,
        "mission": contract.mission,
        "goal": {
            "texts": list(contract.goal.texts),
            "source": str(contract.goal.source),
            "digest": goal_digest(contract.goal),
        },
        "clauses": [
            {
                "does": {root: list(kinds) for root, kinds in one.does.items()},
                "forbids": {root: list(kinds) for root, kinds in one.forbids.items()},
                "about": list(one.about),
            }
            for one in contract.clauses
        ],
        "whole": contract.whole,
        "delegates": contract.delegates,
        "identifiers": [list(one) for one in contract.identifiers],
        "entries": [_entry_body(entry, acts.get(entry.id)) for entry in contract.authority.entries],
        "endorsements": [_endorsement_body(one) for one in contract.authority.endorsements],
        "limits": {
            "minutes": contract.limits.minutes,
            "gas": contract.limits.gas,
            "ttl": contract.limits.ttl,
            "lanes": contract.limits.lanes,
        },
    }


def _entry_body(entry: AuthorityEntry, act: ActContract | None) -> dict[str, Json]:
    return {
        "id": entry.id,
        "tool": entry.tool,
        "action": entry.action,
        "resource": entry.resource,
        "constraints": dict(entry.constraints),
        "uses": entry.uses_left,
        "state": str(entry.state),
        "approved_by": entry.approved_by,
        "why": entry.why,
        "pin": entry.pin,
        "act": None
        if act is None
        else {
            "intent": act.intent,
            "consequential": act.consequential,
            "arguments": {
                one.argument: {
                    "role": str(one.role),
                    "asks": [str(origin) for origin in one.asks],
                    "values": list(one.values),
                }
                for one in act.arguments
            },
        },
    }


def _endorsement_body(one: Endorsement) -> dict[str, Json]:
    return {
        "id": one.id,
        "tool": one.tool,
        "selectors": dict(one.selectors),
        "intents": list(one.intents),
        "amount_most": one.amount_most,
        "warned": one.warned,
        "state": str(one.state),
        "approved_by": one.approved_by,
        "why": one.why,
    }


def _contract(body: Mapping[str, Json]) -> Contract:
    if body["contract"] != CONTRACT_VERSION:
        raise ValueError
    goal, limits = _object(body["goal"]), _object(body["limits"])
    entries = [_object(one) for one in _list(body["entries"])]
    made = Contract(
        goal=Goal(_texts(goal["texts"]), GoalSource(_text(goal["source"]))),
        clauses=tuple(
            ContractClause(_kinds(one["does"]), _kinds(one["forbids"]), _texts(one["about"]))
            for one in map(_object, _list(body["clauses"]))
        ),
        whole=body["whole"] is True,
        delegates=body["delegates"] is True,
        identifiers=tuple((_text(kind), _text(said)) for kind, said in map(_list, _list(body["identifiers"]))),
        authority=AuthorityMap(
            tuple(map(_entry, entries)),
            _whole(limits["lanes"]),
            tuple(_endorsement(_object(one)) for one in _list(body["endorsements"])),
        ),
        acts=tuple(_act_of(one) for one in entries if one["act"] is not None),
        limits=ContractLimits(
            _whole(limits["minutes"]), _whole(limits["gas"]), _number(limits["ttl"]), _whole(limits["lanes"])
        ),
        person="" if body["sub"] == "plan" else _text(body["sub"]),
        mission=_text(body["mission"]),
    )
    if goal_digest(made.goal) != goal["digest"]:
        raise ValueError
    return made


def _entry(raw: Mapping[str, Json]) -> AuthorityEntry:
    uses = raw["uses"]
    return AuthorityEntry(
        id=_text(raw["id"]),
        tool=_text(raw["tool"]),
        action=_text(raw["action"]),
        resource=_text(raw["resource"]),
        constraints=_object(raw["constraints"]),
        uses_left=None if uses is None else _whole(uses),
        state=EntryState(_text(raw["state"])),
        approved_by=_text(raw["approved_by"]),
        why=_text(raw["why"]),
        pin=_text(raw["pin"]),
    )


def _act_of(raw: Mapping[str, Json]) -> ActContract:
    act = _object(raw["act"])
    return ActContract(
        _text(raw["id"]),
        _text(act["intent"]),
        act["consequential"] is True,
        tuple(
            ArgumentContract(
                name, ArgumentRole(_text(one["role"])), tuple(map(Origin, _texts(one["asks"]))), _texts(one["values"])
            )
            for name, one in ((name, _object(one)) for name, one in _object(act["arguments"]).items())
        ),
    )


def _endorsement(raw: Mapping[str, Json]) -> Endorsement:
    most = raw["amount_most"]
    return Endorsement(
        id=_text(raw["id"]),
        tool=_text(raw["tool"]),
        selectors={name: _text(value) for name, value in _object(raw["selectors"]).items()},
        intents=_texts(raw["intents"]),
        amount_most=None if most is None else _number(most),
        warned=raw["warned"] is True,
        state=EntryState(_text(raw["state"])),
        approved_by=_text(raw["approved_by"]),
        why=_text(raw["why"]),
    )


def _kinds(raw: Json) -> Mapping[str, tuple[str, ...]]:
    return {root: _texts(kinds) for root, kinds in _object(raw).items()}


def _object(raw: Json) -> Mapping[str, Json]:
    if not isinstance(raw, Mapping):
        raise TypeError
    return raw


def _list(raw: Json) -> Sequence[Json]:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise TypeError
    return raw


def _texts(raw: Json) -> tuple[str, ...]:
    return tuple(map(_text, _list(raw)))


def _text(raw: Json) -> str:
    if not isinstance(raw, str):
        raise TypeError
    return raw


def _whole(raw: Json) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise TypeError
    return raw


def _number(raw: Json) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise TypeError
    return float(raw)
