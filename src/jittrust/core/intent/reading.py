"""What a call would do: intent code, effects and sensitivity, from the tool's words, its arguments and its annotations.

The words of a tool are untrusted like everything a server says. They may name a danger; they cannot talk one away: two sources that differ end
in the more dangerous reading, a hint of MCP can only raise, and what nobody can read counts as consequential.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from jittrust.core.intent.access import AccessClass
from jittrust.core.intent.goal import GoalReading
from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.roles import ROLE_RULES, argument_roles, declared_roles, leaves
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.words import (
    LIGHT,
    NOMINAL,
    NOUN_TOO,
    READING,
    VERBS,
    VerbClass,
    bare_address,
    concepts,
    content_stems,
    fold,
    name_words,
    stem,
    words,
)
from jittrust.core.model import Json, Tool
from jittrust.core.once import once_a_tool
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class IntentRules:
    """Constants of reading a call."""

    sensitive_from: float = 0.6  # sensitivity from which a read is `K.read_sensitive`
    secret_from: float = 0.95  # sensitivity from which a read is `I.read_secret`
    sure: float = 0.9  # confidence when the name's verb is known
    likely: float = 0.6  # confidence when only the description or an annotation says it
    guess: float = 0.2  # confidence when nothing is known: counts as consequential
    bulk_from: int = 10  # values in one array argument from which a change is `D.bulk`
    longest_place: int = 1_024  # characters of a value that may name a secret place
    longest_description: int = 2_000  # characters of a description that are read


INTENT_RULES = IntentRules()


class Effect(StrEnum):
    """What a call does to the world beside its code."""

    OUTWARD = "outward"  # data leaves for somebody else
    DESTRUCTIVE = "destructive"  # something cannot be brought back
    MONEY = "money"
    PERMISSION = "permission"
    SECRET = "secret"
    EXECUTES = "executes"
    NOTIFIES = "notifies"  # somebody is told as a side effect
    DOCUMENT = "document"  # hands out text that others wrote: pages, files, messages


@dataclass(frozen=True, slots=True)
class ActionReading:
    """What a call would do.

    Attributes:
        intent: code of `core.intent.taxonomy`.
        consequential: it changes, sends, spends, runs or opens something, or nobody can tell.
        open_world: it reaches beyond the server's own data.
        sensitivity_in: 0..1, how sensitive what it hands out is.
        sensitivity_out: 0..1, how sensitive what it carries out or touches is.
        effects: see `Effect`.
        verb: class of the verb; `stem` the verb itself, stemmed; empty when unknown.
        objects: stems of what it acts on, head noun last.
        about: concepts of those, see `words.CONCEPTS`.
        confidence: 0..1.
        why: one sentence for people.
    """

    intent: str
    consequential: bool
    open_world: bool
    sensitivity_in: Unit
    sensitivity_out: Unit
    effects: frozenset[Effect]
    verb: VerbClass
    stem: str
    objects: tuple[str, ...]
    about: frozenset[str]
    confidence: Unit
    why: str

    @property
    def documents(self) -> bool:
        """Whether its result is text that somebody else wrote, in which nothing counts as a field."""
        return Effect.DOCUMENT in self.effects


_SENSITIVE: tuple[tuple[float, str], ...] = (
    (1.0, "password passphrase secret credential apikey privatekey env environ environment otp keychain vault kerberos shadow"),
    (0.95, "token ssn passport cvv"),
    (0.8, "salary payroll medical health patient diagnosis tax compensation hr criminal biometric"),
    (0.7, "iban transaction balance bank account payment invoice credit debit legal contract finance financial"),
    (0.5, "email mail inbox message dm conversation contact personal private profile address phone user customer employee birthday attachment note"),
    (0.3, "file document calendar event repository repo code folder directory database record task ticket project memory"),
)  # fmt: skip
_LEVEL: Mapping[str, float] = {stem(word): level for level, listed in reversed(_SENSITIVE) for word in listed.split()}
_SECRET_PLACES = re.compile(
    r"(?:^|[/\\])\.?(?:ssh|aws|gnupg|kube|docker|netrc|pgpass|npmrc|env|htpasswd)(?:[/\\.]|$)|id_rsa|id_ed25519|/etc/shadow"
    r"|/proc/\w{1,20}/environ|\.pem$|\.key$|\.pfx$|credentials?(?:\.|$)"
)
# One of these stands in every secret place; looking for them first is several times faster.
_SECRET_SIGNS = (
    "ssh", "aws", "gnupg", "kube", "docker", "netrc", "pgpass", "npmrc", "env", "htpasswd", "id_", "/etc/shadow", ".pem", ".key", ".pfx", "credential",
)  # fmt: skip

_OPEN = frozenset(
    stem(word)
    for word in "web website webpage page url http https internet online browser browse crawl scrape site fetch".split()
)
_ADDRESSES = frozenset(("url", "uri", "href", "link", "endpoint", "webhook", "urls", "links"))
_DOCUMENTS = frozenset(
    stem(word) for word in "file document page webpage website url article content attachment web resource".split()
)
_SEARCHING = frozenset(("list", "search", "find", "query", "lookup"))
_SECRETS = frozenset(
    stem(word) for word in "password passphrase secret credential token apikey otp mfa 2fa passcode".split()
)
_KEYS = frozenset(("ssh", "api", "access", "gpg", "deploi", "signing", "sign", "public", "privat"))
_PEOPLE = frozenset(stem(word) for word in "user member collaborator participant attendee guest reviewer".split())
_PLACES = frozenset(
    stem(word) for word in "channel group team workspace organization org repository repo project".split()
)
_CONTROLS = frozenset(
    stem(word)
    for word in "security guard monitor monitoring audit auditing alert alarm firewall antivirus protection mfa 2fa logging safeguard defender edr".split()
)
_TRACES = frozenset(stem(word) for word in "audit logs log ledger trail evidence".split())
_MONEY = frozenset(stem(word) for word in "money payment fund transaction cash iban balance amount".split())
_SETTINGS = frozenset(stem(word) for word in "config configuration setting settings preference policy variable".split())
_PERSISTENCE = frozenset(
    stem(word) for word in "cron crontab startup autostart systemd daemon trigger webhook hook".split()
)
_MEMORY = frozenset(stem(word) for word in "memory entity relation observation knowledge graph".split())
_HELPERS = frozenset(stem(word) for word in "agent human assistant operator support".split())
_ON_SCREEN = frozenset(
    stem(word)
    for word in (
        "form field page webpage website browser button box link text input key keyboard element screen tab select option checkbox window mouse value"
    ).split()
)
_PHYSICAL_TOO = frozenset(("press", "fill"))
_BULK = frozenset(("all", "bulk", "batch", "everything"))
_PREPOSITIONS = frozenset("by to from in into on onto for with through via of at as".split())
_DANGER: tuple[VerbClass, ...] = (
    VerbClass.DISABLE, VerbClass.PAY, VerbClass.GRANT, VerbClass.DELETE, VerbClass.RUN, VerbClass.SCAN, VerbClass.INSTALL, VerbClass.DEPLOY,
    VerbClass.PUBLISH, VerbClass.SEND, VerbClass.INVITE, VerbClass.REVOKE, VerbClass.REFUND, VerbClass.UPDATE, VerbClass.CREATE,
)  # fmt: skip
_CONVERSION = 3  # words of a name like "gallon to liter"
_TELLS = re.compile(r"[.:]\s|\n")
_LONGEST_BEGINNING = 80
_RETURNS = frozenset(("returns", "return", "returned", "note", "notes"))
_SIDE = re.compile(r"\b(?:also|then|will|additionally|afterwards?) (?:be |also )?([a-z]{3,12})\b")

_MODEL = "model"
_BY_ACCESS: Mapping[str, VerbClass] = {
    AccessClass.LIST: VerbClass.LIST, AccessClass.READ: VerbClass.READ, AccessClass.TAG: VerbClass.TAG, AccessClass.WRITE: VerbClass.UPDATE,
    AccessClass.COMMUNICATE: VerbClass.SEND, AccessClass.DELETE: VerbClass.DELETE, AccessClass.EXECUTE: VerbClass.RUN,
    AccessClass.PAY: VerbClass.PAY, AccessClass.CREDENTIAL: VerbClass.UPDATE, AccessClass.PERMISSION: VerbClass.GRANT,
}  # fmt: skip
_PLAIN = frozenset({AccessClass.LIST, AccessClass.READ, AccessClass.TAG, AccessClass.WRITE})
_BY_VERB: Mapping[VerbClass, str] = {
    VerbClass.LIST: "K.list", VerbClass.READ: "K.read", VerbClass.COMPUTE: "K.read", VerbClass.CREATE: "D.create", VerbClass.ADD: "D.create",
    VerbClass.UPDATE: "D.update", VerbClass.MOVE: "D.update", VerbClass.TAG: "D.tag", VerbClass.DELETE: "D.delete", VerbClass.DOWNLOAD: "D.create",
    VerbClass.SEND: "C.send_external", VerbClass.PUBLISH: "C.publish", VerbClass.INPUT: "C.input_to_form", VerbClass.QUOTE: "T.quote",
    VerbClass.ORDER: "T.order", VerbClass.PAY: "T.pay", VerbClass.SCHEDULE: "D.create", VerbClass.REFUND: "T.refund", VerbClass.LOGIN: "I.login",
    VerbClass.GRANT: "I.grant", VerbClass.INVITE: "I.invite", VerbClass.REVOKE: "I.revoke", VerbClass.RUN: "X.run_code",
    VerbClass.INSTALL: "X.install", VerbClass.SCAN: "X.net_scan", VerbClass.DEPLOY: "X.deploy", VerbClass.CONFIGURE: "X.config_change",
    VerbClass.DISABLE: "X.config_change", VerbClass.ASK: "A.ask", VerbClass.DELEGATE: "A.delegate", VerbClass.SPAWN: "A.spawn",
    VerbClass.ESCALATE: "A.escalate_scope", VerbClass.APPROVE: "O.approve", VerbClass.LOG: "O.log", VerbClass.UNKNOWN: "D.update",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _ToolWords:
    """What the words of a tool say."""

    verb: VerbClass
    stem: str
    spoken: str  # the verb as it is written
    source: str  # "name", "description", "model" or ""
    objects: tuple[str, ...]
    described: tuple[str, ...]
    nouns: frozenset[str]  # of `objects`
    about: frozenset[str]  # likewise
    level: float  # sensitivity of `objects`
    opens: bool  # they, the verb or the description name the open world


def classify(
    tool: Tool,
    arguments: Mapping[str, Json],
    rules: IntentRules = INTENT_RULES,
    roles: Mapping[str, ArgumentRole] | None = None,
) -> ActionReading:
    """Read what a call of `tool` with `arguments` would do. With no arguments: what the tool can do.

    `roles`: `argument_roles` of these arguments, where they are known already.
    """
    if not arguments:
        return _able(tool) if rules is INTENT_RULES else _classified(tool, {}, rules, declared_roles(tool))
    return _classified(tool, arguments, rules, argument_roles(tool, arguments) if roles is None else roles)


@once_a_tool
def _able(tool: Tool) -> ActionReading:
    return _classified(tool, {}, INTENT_RULES, declared_roles(tool))


def _classified(
    tool: Tool, arguments: Mapping[str, Json], rules: IntentRules, roles: Mapping[str, ArgumentRole]
) -> ActionReading:
    said = _say(tool.name, tool.description[: rules.longest_description])
    if said.verb is VerbClass.UNKNOWN and tool.access in _BY_ACCESS:
        said = replace(said, verb=_BY_ACCESS[tool.access], source=_MODEL)
    intent = _intent(said, said.nouns, roles)
    intent, consequential, confidence, why = _with_annotations(intent, said, tool, rules)
    sensitivity = 1.0 if _secret_place(arguments) else said.level
    open_world = _is_open(said, tool, roles, intent)
    if said.verb in READING and not consequential:
        intent = _read_intent(intent, sensitivity, open_world=open_world, rules=rules)
        consequential = TAXONOMY[intent].consequential
    if intent in {"D.update", "D.delete"} and _is_bulk(arguments, tool, rules):
        intent = "D.bulk"
    reads = intent.startswith("K.") and intent != "K.memory_write"
    return ActionReading(
        intent=intent,
        consequential=consequential,
        open_world=open_world,
        sensitivity_in=Unit(sensitivity if reads or intent == "I.read_secret" else 0.0),
        sensitivity_out=Unit(0.0 if reads else sensitivity),
        effects=frozenset(_effects(intent, said, tool)),
        verb=VerbClass.DELEGATE if intent == "A.delegate" else said.verb,
        stem=said.stem,
        objects=said.objects,
        about=said.about,
        confidence=Unit(confidence),
        why=why,
    )


def goal_code(goal: GoalReading) -> str:
    """What a goal is mostly about, as a taxonomy code: the act that most of its verbs name, the more harmful one of two named as often.

    A goal that points at content as the source of instructions is `G.delegate_to_content`, whatever else it says; one without a known verb is
    `G.request`; without any words the code is empty. It describes words and decides nothing.
    """
    if goal.delegates:
        return "G.delegate_to_content"
    votes: dict[str, int] = {}
    for clause in goal.clauses:
        for _, kinds in clause.verbs:
            code = _goal_act(kinds[0], clause.reach_stems)
            votes[code] = votes.get(code, 0) + 1
    if not votes:
        return "G.request" if goal.clauses else ""
    return max(votes, key=lambda code: (votes[code], TAXONOMY[code].base_risk, code))


def _goal_act(verb: VerbClass, nouns: frozenset[str]) -> str:
    is_secret = bool(nouns & _SECRETS) or ("key" in nouns and bool(nouns & _KEYS))
    # "Pay the bill" is a payment even where no money is named: a person's words need not be as exact as a tool's.
    refined = _by_object(verb, nouns, amount=verb is VerbClass.PAY, is_secret=is_secret)
    if refined:
        return refined
    return _send_intent(nouns, {}) if verb is VerbClass.SEND else _BY_VERB[verb]


@lru_cache(maxsize=2_048)
def _say(name: str, description: str) -> _ToolWords:
    parts = name_words(name)
    sentence = words(description.split("\n", 1)[0].split(". ", 1)[0])
    place, kind = _name_verb(parts)
    source = "name" if place >= 0 else ""
    spoken = parts[place] if place >= 0 else ""
    described_place, described_kind = _leading_verb(sentence)
    if place < 0 and parts[1:2] == ("to",) and len(parts) == _CONVERSION:
        kind, spoken, source = VerbClass.COMPUTE, "to", "name"
    elif place < 0:
        kind, spoken, source = _said_first(
            description, (described_kind, sentence[described_place : described_place + 1])
        )
    elif kind in READING and described_kind in _DANGER and _plain(sentence[described_place]):
        # The name says it reads and the description begins with an act: the act counts.
        kind, spoken, source = described_kind, sentence[described_place], "description"
    if source == "name" and stem(spoken) in LIGHT:
        # "make_payment" is a payment, not the making of one.
        kind = next((NOMINAL[root] for root in map(stem, parts[place + 1 :]) if root in NOMINAL), kind)
    if kind is VerbClass.LOG and described_kind in READING:
        kind = VerbClass.READ  # a log that is shown; recording one is no greater harm
    if kind in READING:
        kind, spoken, source = _side_act(description, kind, spoken, source)
    head = [part for at, part in enumerate(parts) if at != place and not (at < place and stem(part) in LIGHT)]
    cut = next((at for at, part in enumerate(head) if part in _PREPOSITIONS), len(head))
    objects = content_stems(head[:cut]) or content_stems(head)
    described = content_stems(sentence)
    return _ToolWords(
        verb=kind,
        stem=stem(spoken),
        spoken=spoken,
        source=source,
        objects=objects,
        described=described,
        nouns=frozenset(objects),
        about=concepts(objects),
        level=max((_LEVEL.get(root, 0.0) for root in (*objects, *_key_pair(objects))), default=0.0),
        opens=bool({stem(spoken), *objects} & _OPEN) or bool({"web", "internet", "http"} & set(described)),
    )


def _said_first(description: str, leading: tuple[VerbClass, Sequence[str]]) -> tuple[VerbClass, str, str]:
    """The act that a description tells where the name tells none: of all sentences that begin with a verb the most dangerous one, else the first.

    "Returns …" is no act: every tool returns something.
    """
    found = [(leading[0], leading[1][0])] if leading[1] and leading[1][0] not in _RETURNS else []
    for sentence in _TELLS.split(description):
        tokens = words(sentence[:_LONGEST_BEGINNING])
        kinds = VERBS.get(stem(tokens[0])) if tokens and tokens[0] not in _RETURNS else None
        if kinds:
            found.append((kinds[0], tokens[0]))
    if not found:
        return VerbClass.UNKNOWN, "", ""
    kind, spoken = min(found, key=lambda one: _DANGER.index(one[0]) if one[0] in _DANGER else len(_DANGER))
    return kind, spoken, "description"


def _name_verb(parts: Sequence[str]) -> tuple[int, VerbClass]:
    found = [
        (at, VERBS[stem(part)][0]) for at, part in enumerate(parts) if stem(part) in VERBS and _may_be_verb(parts, at)
    ]
    if not found:
        return -1, VerbClass.UNKNOWN
    first = found[0]
    if stem(parts[first[0]]) in NOUN_TOO and first[1] not in READING:
        # "message_login": the word that can only be a verb is the verb. What reads does not outdo what acts.
        certain = (one for one in found if stem(parts[one[0]]) not in NOUN_TOO and one[1] not in READING)
        first = next((one for one in certain if _plain(parts[one[0]])), first)
    if first[1] in READING:
        # "read_and_delete": a second verb in its plain form that is no noun counts; "get_sent_mails" has a participle.
        for at, kind in found[1:]:
            if kind in _DANGER and stem(parts[at]) not in NOUN_TOO and _plain(parts[at]):
                return at, kind
    return first


def _may_be_verb(parts: Sequence[str], at: int) -> bool:
    root = stem(parts[at])
    if root not in NOUN_TOO or at == 0:
        return True
    # A word that is as often a noun is the verb only if it is the last resort: nothing else in the name is one.
    if any(stem(other) in VERBS and stem(other) not in NOUN_TOO for other in parts):
        return False
    return at == 1 or (at == len(parts) - 1 and VERBS[root][0] not in READING)


def _plain(word: str) -> bool:
    return not word.endswith(("ed", "ing", "ion")) and word not in {
        "sent",
        "paid",
        "written",
        "bought",
        "given",
        "taken",
    }


def _leading_verb(sentence: Sequence[str]) -> tuple[int, VerbClass]:
    for at, word in enumerate(sentence[:4]):
        root = stem(word)
        if root in VERBS and (at == 0 or root not in NOUN_TOO):
            return at, VERBS[root][0]
    return -1, VerbClass.UNKNOWN


def _side_act(description: str, kind: VerbClass, spoken: str, source: str) -> tuple[VerbClass, str, str]:
    for hit in _SIDE.finditer(fold(description)):
        side = VERBS.get(stem(hit.group(1)), (kind,))[0]
        if side in _DANGER[:13] and stem(hit.group(1)) not in NOUN_TOO - {"email", "mail", "messag"}:
            # How sure the reading is stays a matter of where the first verb stood.
            return side, hit.group(1), source
    return kind, spoken, source


def _key_pair(objects: Iterable[str]) -> tuple[str, ...]:
    roots = set(objects)
    return ("credential",) if "key" in roots and roots & {"ssh", "api", "access", "privat", "gpg"} else ()


def _intent(said: _ToolWords, nouns: frozenset[str], roles: Mapping[str, ArgumentRole]) -> str:
    """The code by verb, made exact by what it acts on."""
    verb = said.verb
    is_secret = bool(nouns & _SECRETS) or ("key" in nouns and bool(nouns & _KEYS))
    refined = _by_object(verb, nouns, amount=ArgumentRole.AMOUNT in roles.values(), is_secret=is_secret)
    if refined:
        return refined
    if said.stem in _PHYSICAL_TOO and nouns and not nouns & _ON_SCREEN and not _addressed(roles):
        return "D.update"  # a pedal is pressed and a tank is filled; nothing is typed into a page
    return _send_intent(nouns, roles) if verb is VerbClass.SEND else _BY_VERB[verb]


def _addressed(roles: Iterable[str]) -> bool:
    return any(not _ADDRESSES.isdisjoint(name_words(path.rsplit("/", 1)[-1])) for path in roles)


@lru_cache(maxsize=4_096)
def _by_object(verb: VerbClass, nouns: frozenset[str], *, amount: bool, is_secret: bool) -> str:
    writes = verb in {VerbClass.CREATE, VerbClass.ADD, VerbClass.UPDATE, VerbClass.CONFIGURE, VerbClass.MOVE}
    removes = verb in {VerbClass.DELETE, VerbClass.DISABLE, VerbClass.REVOKE}
    pays = bool(nouns & _MONEY) or amount
    table = (
        (removes and bool(nouns & _TRACES), "O.delete_evidence" if verb is VerbClass.DELETE else "O.disable_control"),
        (verb is VerbClass.DISABLE and bool(nouns & _CONTROLS), "O.disable_control"),
        (verb is VerbClass.PAY and bool(nouns & {"ownership", "owner"}), "I.transfer_owner"),
        (writes and bool(nouns & {"ownership", "owner"}), "I.transfer_owner"),
        ((writes or removes) and is_secret, "I.change_credential"),
        (verb in {VerbClass.PAY, VerbClass.DELEGATE} and bool(nouns & _HELPERS), "A.delegate"),
        (verb is VerbClass.PAY and not pays and not nouns & _HELPERS, "D.update"),
        (verb is VerbClass.SEND and bool(nouns & _MONEY), "T.pay"),
        (
            verb in {VerbClass.SCHEDULE, VerbClass.CREATE} and bool(nouns & {"payment", "transaction", "subscription"}),
            "T.schedule_recurring",
        ),
        (verb is VerbClass.UPDATE and bool(nouns & {"payment", "transaction", "subscription"}), "T.schedule_recurring"),
        (verb is VerbClass.ADD and bool(nouns & _PEOPLE), "I.invite"),
        (verb is VerbClass.DELETE and bool(nouns & _PEOPLE), "I.revoke"),
        (
            verb in {VerbClass.GRANT, VerbClass.ADD, VerbClass.CREATE}
            and bool(nouns & {"permission", "role", "access"}),
            "I.grant",
        ),
        (writes and bool(nouns & _SETTINGS), "X.config_change"),
        (writes and bool(nouns & _PERSISTENCE), "X.persist"),
        (
            (writes or verb is VerbClass.DELETE) and bool(nouns & _MEMORY),
            "D.delete" if verb is VerbClass.DELETE else "K.memory_write",
        ),
        (verb is VerbClass.CREATE and bool(nouns & {"agent", "subagent"}), "A.spawn"),
        (verb is VerbClass.RUN and bool(nouns & {"agent", "subagent"}), "A.spawn"),
        (verb is VerbClass.TAG and bool(nouns & _PEOPLE), "D.tag"),
    )
    return next((code for holds, code in table if holds), "")


def _send_intent(nouns: frozenset[str], roles: Mapping[str, ArgumentRole]) -> str:
    names = {root for path in roles for part in path.split("/") for root in content_stems(name_words(part))}
    outside = {"email", "mail", "url", "address", "phone", "webhook", "recipient", "to", "cc"}
    if nouns & {"email", "mail", "sms", "http", "webhook", "certificat"}:
        return "C.send_external"
    if nouns & {"channel", "direct", "dm", "thread", "room", "chat"} and not names & {
        "email",
        "url",
        "phone",
        "webhook",
    }:
        return "C.send_internal"
    targeted = ArgumentRole.TARGET in roles.values() or bool(names & outside)
    if nouns & {"notification", "remind", "reminder", "alert"} and not targeted:
        return "C.notify_self"
    return "C.send_external"


def _with_annotations(intent: str, said: _ToolWords, tool: Tool, rules: IntentRules) -> tuple[str, bool, float, str]:
    """Code, consequence, confidence and reason after the server's own hints: they raise; they lower only what nothing contradicts."""
    hints, known = tool.annotations, said.verb is not VerbClass.UNKNOWN
    consequential = TAXONOMY[intent].consequential
    confidence = {"name": rules.sure, "description": rules.likely, _MODEL: rules.likely}.get(said.source, rules.guess)
    why = f"The tool's {said.source} says “{said.spoken}”" if known else "No word of the tool names a known act"
    if said.source == _MODEL:
        why = f"Its words are those of tools of the class “{tool.access}”"
    plain = not known or (said.source == _MODEL and tool.access in _PLAIN)
    if plain and hints.read_only and tool.pin and hints.destructive is not True:
        return "K.read", False, rules.likely, "The pinned definition says read-only, and nothing contradicts it."
    if not known:
        return intent, True, confidence, f"{why}, so it counts as one with consequences."
    if not consequential and hints.read_only is False:
        return "D.update", True, rules.likely, f"{why}, but the server does not call it read-only."
    if not consequential and hints.destructive is True and hints.read_only is not True:
        return "D.update", True, rules.likely, f"{why}, but the server calls it destructive."
    return intent, consequential, confidence, f"{why}."


def _read_intent(intent: str, sensitivity: float, *, open_world: bool, rules: IntentRules) -> str:
    if sensitivity >= rules.secret_from and intent in {"K.read", "K.list"}:
        return "I.read_secret"
    if sensitivity >= rules.sensitive_from and intent in {"K.read", "K.list"}:
        return "K.read_sensitive"
    if open_world and intent in {"K.read", "K.list"}:
        return "K.read_external"
    return intent


def _is_open(said: _ToolWords, tool: Tool, roles: Mapping[str, ArgumentRole], intent: str) -> bool:
    """Whether it reaches beyond the server. A hint that says so is believed; one that denies it changes nothing."""
    if tool.annotations.open_world is True or (said.verb is VerbClass.UNKNOWN and intent != "K.read"):
        return True
    return (
        said.opens
        or _addressed(roles)
        or intent in {"C.send_external", "C.publish", "C.input_to_form", "X.net_scan", "X.install"}
    )


def _secret_place(arguments: Mapping[str, Json]) -> bool:
    for count, (_, value) in enumerate(leaves(arguments)):
        if count >= ROLE_RULES.most_leaves:
            return True  # what was not looked at may name anything
        if isinstance(value, str) and len(value) <= INTENT_RULES.longest_place:
            place = bare_address(value.casefold())
            if any(sign in place for sign in _SECRET_SIGNS) and _SECRET_PLACES.search(place) is not None:
                return True
    return False


def _is_bulk(arguments: Mapping[str, Json], tool: Tool, rules: IntentRules) -> bool:
    if _BULK & set(name_words(tool.name)):
        return True
    return any(
        isinstance(value, Sequence) and not isinstance(value, str) and len(value) >= rules.bulk_from
        for value in arguments.values()
    )


@lru_cache(maxsize=2_048)
def _also_sends(description: str) -> bool:
    return any(
        VERBS.get(stem(hit.group(1)), (VerbClass.UNKNOWN,))[0] is VerbClass.SEND
        for hit in _SIDE.finditer(fold(description))
    )


def _effects(intent: str, said: _ToolWords, tool: Tool) -> set[Effect]:
    effects: set[Effect] = set()
    if intent.startswith("C.") and intent != "C.notify_self":
        effects.add(Effect.OUTWARD)
    if intent in {"D.delete", "D.bulk", "O.delete_evidence"} or (
        tool.annotations.destructive is True and not intent.startswith("K.")
    ):
        effects.add(Effect.DESTRUCTIVE)
    if intent in {"T.pay", "T.order", "T.schedule_recurring", "T.refund"}:
        effects.add(Effect.MONEY)
    if intent.startswith("I.") and intent not in {"I.login", "I.read_secret"}:
        effects.add(Effect.PERMISSION)
    if intent in {"I.read_secret", "I.change_credential"}:
        effects.add(Effect.SECRET)
    if intent.startswith("X."):
        effects.add(Effect.EXECUTES)
    if TAXONOMY[intent].consequential and _also_sends(tool.description[: INTENT_RULES.longest_description]):
        effects.add(Effect.NOTIFIES)
    opens = said.verb is VerbClass.READ and said.stem not in _SEARCHING and bool(set(said.objects[-1:]) & _DOCUMENTS)
    if said.verb in READING and (intent == "K.read_external" or opens):
        effects.add(Effect.DOCUMENT)
    return effects
