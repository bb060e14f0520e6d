"""What class of access a tool never seen before takes: a small linear model over the words of its name and description, and own rules that only raise.

It is asked where `core.intent.reading` knows no verb of the tool. What it cannot tell stays unknown, and unknown counts as consequential: to be called
a read, the word that leads the name or the description must have been learned as one, and the probability must reach the calibrated limit. Weights
are data (`jittrust/models/access.json`; docs/models/access.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from jittrust.core.errors import BadInputError
from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.roles import declared_roles
from jittrust.core.intent.words import name_words, stem, words
from jittrust.core.model import Json, Tool
from jittrust.core.units import Unit


class AccessClass(StrEnum):
    """What a tool does to what it reaches, the least harmful first."""

    LIST = "list"
    READ = "read"
    TAG = "tag"
    WRITE = "write"
    COMMUNICATE = "communicate"
    DELETE = "delete"
    EXECUTE = "execute"
    PAY = "pay"
    CREDENTIAL = "credential"
    PERMISSION = "permission"
    UNKNOWN = "unknown"  # counts as consequential


HARMLESS = frozenset({AccessClass.LIST, AccessClass.READ})
LEARNED = (
    AccessClass.LIST,
    AccessClass.READ,
    AccessClass.TAG,
    AccessClass.WRITE,
    AccessClass.DELETE,
    AccessClass.PERMISSION,
)
"""The classes that the model has weights for, in their order; the others come from rules."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Bounds of reading a tool's words."""

    name_words: int = 12  # words of a name that are read
    described_words: int = 16  # words of a description that are read


ACCESS_RULES = AccessRules()


@dataclass(frozen=True, slots=True)
class AccessModel:
    """Weights by feature, a number for each of `LEARNED`; without a version there is no model.

    `limits`: probability from which a class is said; a class without one is never said.
    """

    version: str = ""
    bias: tuple[float, ...] = ()
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)
    limits: Mapping[AccessClass, float] = field(default_factory=dict)


NO_ACCESS_MODEL = AccessModel()


@dataclass(frozen=True, slots=True)
class AccessReading:
    """The class of a tool, how sure that is (0..1), and one sentence for people."""

    kind: AccessClass
    confidence: Unit
    why: str


_OPENING = frozenset(stem(word) for word in "grant permission to allow you the a an this tool function".split())
_JOINS = frozenset(("and", "then", "or"))
_SECRETS = frozenset(
    stem(word) for word in "password passphrase secret credential apikey privatekey otp passcode".split()
)
_RIGHTS = frozenset(
    stem(word) for word in "permission permissions acl privilege role ownership owner entitlement".split()
)
_MONEY = frozenset(stem(word) for word in "payment money payout fund funds payee iban currency charge".split())
_SAYS_TO = frozenset(stem(word) for word in "email phone recipient recipients to webhook".split())


def features(name: str, description: str, rules: AccessRules = ACCESS_RULES) -> tuple[str, ...]:
    """What the model looks at: words of the name, their pairs, its first word; words of the description's first sentence, and its first word."""
    named = [stem(word) for word in name_words(name)[: rules.name_words]]
    told = _told(description, rules)
    found = [f"n:{word}" for word in named]
    found += [f"n:{first}_{second}" for first, second in pairwise(named)]
    found += [f"d:{word}" for word in told]
    if named:
        found.append(f"n0:{named[0]}")
    if told:
        found.append(f"d0:{told[0]}")
    return tuple(dict.fromkeys(found))


def _told(description: str, rules: AccessRules) -> list[str]:
    sentence = words(description[:600].split("\n", 1)[0].split(". ", 1)[0])
    told = [stem(word) for word in sentence]
    while told and told[0] in _OPENING:
        told.pop(0)
    return told[: rules.described_words]


def chances(found: Iterable[str], model: AccessModel) -> tuple[float, ...]:
    """The probability of each of `LEARNED`."""
    totals = list(model.bias)
    for one in found:
        for place, weight in enumerate(model.weights.get(one, ())):
            totals[place] += weight
    top = max(totals)
    raised = [math.exp(total - top) for total in totals]
    whole = math.fsum(raised)
    return tuple(one / whole for one in raised)


def access_of(tool: Tool, model: AccessModel, rules: AccessRules = ACCESS_RULES) -> AccessReading:
    """The class of a tool by its words and schema. Annotations are not looked at: `reading.classify` lets them raise."""
    if not model.version:
        return AccessReading(AccessClass.UNKNOWN, Unit(0.0), "There is no model.")
    found = features(tool.name, tool.description, rules)
    odds = chances(found, model)
    kind, chance = max(zip(LEARNED, odds, strict=True), key=lambda one: one[1])
    if kind in HARMLESS:
        chance = math.fsum(odds[place] for place, one in enumerate(LEARNED) if one in HARMLESS)
    leads = [model.weights[one] for one in found if one.startswith(("n0:", "d0:")) and one in model.weights]
    harmless = all(map(_reads, leads)) and not _JOINS & set(name_words(tool.name))
    # No noun tells what a verb never seen does: without a leading word that was learned nothing is said.
    sure = chance >= model.limits.get(kind, 2.0) and bool(leads) and (kind not in HARMLESS or harmless)
    raised = _raised(tool, kind if sure else AccessClass.UNKNOWN)
    if raised is not None:
        return raised
    if not sure:
        return AccessReading(AccessClass.UNKNOWN, Unit(0.0), "What it does cannot be told from its words.")
    return AccessReading(
        kind, Unit(min(1.0, chance)), f"Its words are those of tools that {_DOES[kind]} ({chance:.2f})."
    )


_DOES: Mapping[AccessClass, str] = {
    AccessClass.LIST: "list",
    AccessClass.READ: "read",
    AccessClass.TAG: "label",
    AccessClass.WRITE: "change",
    AccessClass.DELETE: "delete",
    AccessClass.PERMISSION: "give rights",
}


def _reads(row: Sequence[float]) -> bool:
    """Whether a leading word speaks for a read."""
    read = max(row[place] for place, one in enumerate(LEARNED) if one in HARMLESS)
    return read > max(row[place] for place, one in enumerate(LEARNED) if one not in HARMLESS)


def _raised(tool: Tool, kind: AccessClass) -> AccessReading | None:
    """Own rules where data is thin: rights, secrets, money, messages and commands, from names and schema. They only raise."""
    nouns = {stem(word) for word in name_words(tool.name)}
    roles = declared_roles(tool)
    arguments = {stem(word) for name in roles for word in name_words(name)}
    held = set(roles.values())
    acts = kind not in HARMLESS
    for holds, said, why in (
        (bool(nouns & _SECRETS), AccessClass.CREDENTIAL, "Its name speaks of a secret."),
        (acts and bool(nouns & _RIGHTS), AccessClass.PERMISSION, "Its name speaks of rights, and it is no read."),
        (
            acts and (bool(nouns & _MONEY) or (ArgumentRole.AMOUNT in held and ArgumentRole.TARGET in held)),
            AccessClass.PAY,
            "It takes an amount and somebody who gets it, or its name speaks of money, and it is no read.",
        ),
        (ArgumentRole.COMMAND in held, AccessClass.EXECUTE, "It takes a command."),
        (
            acts and ArgumentRole.CONTENT in held and bool(arguments & _SAYS_TO),
            AccessClass.COMMUNICATE,
            "It takes an address and what to say.",
        ),
    ):
        if holds and _rank(said) > _rank(kind):
            return AccessReading(said, Unit(0.6), why)
    return None


def _rank(kind: AccessClass) -> int:
    return -1 if kind is AccessClass.UNKNOWN else list(AccessClass).index(kind)


def access_model_of(raw: Json) -> AccessModel:
    """Read weights from JSON.

    Raises:
        BadInputError: code `bad_weights`.
    """
    if not isinstance(raw, Mapping):
        raise BadInputError("bad_weights", "the model is no object")
    version, classes, limits, rows = (raw.get(name) for name in ("version", "classes", "limits", "weights"))
    if not isinstance(version, str) or not version or classes != [str(kind) for kind in LEARNED]:
        raise BadInputError("bad_weights", "the model has no version, or other classes")
    if not isinstance(limits, Mapping) or not isinstance(rows, Mapping) or not set(limits) <= {str(k) for k in LEARNED}:
        raise BadInputError("bad_weights", "the model needs `limits` of known classes, and `weights`")
    return AccessModel(
        version,
        _row(raw.get("bias")),
        {str(name): _row(row) for name, row in rows.items()},
        {AccessClass(name): _number(value) for name, value in limits.items()},
    )


def _row(raw: Json) -> tuple[float, ...]:
    if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) != len(LEARNED):
        raise BadInputError("bad_weights", f"a row needs {len(LEARNED)} numbers")
    return tuple(_number(value) for value in raw)


def _number(raw: Json) -> float:
    if not isinstance(raw, int | float) or isinstance(raw, bool) or not math.isfinite(raw):
        raise BadInputError("bad_weights", "a weight is no finite number")
    return float(raw)
