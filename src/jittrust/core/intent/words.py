"""Reading text safely and cheaply: bounded folding, words, stems, verb classes, concepts, literal identifiers, encodings.

Everything is linear in the length of the text and works on a bounded part of it. English first: a word in another language has no verb class
and no concept, so it degrades to "unknown", never to "matches".
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class TextRules:
    """Bounds of what is read of a text."""

    longest_text: int = 262_144  # characters read of one text
    longest_mark_run: int = 30  # consecutive non-ASCII marks and signs kept
    longest_value: int = 4_096  # characters of one argument value that are looked for whole
    most_literals: int = 64  # identifiers read out of one text
    deepest_decoding: int = 3  # nested encodings undone
    longest_decoding: int = 65_536  # characters of decoded text kept for one text


TEXT_RULES = TextRules()

# Runs of combining marks: category M is not \w, so a run of marks is a run of non-word, non-ASCII characters. Unicode normalisation of a long
# run takes quadratic time, so runs are cut before it.
_MARKS = re.compile(rf"([^\w\s\x00-\x7f]{{{TEXT_RULES.longest_mark_run}}})[^\w\s\x00-\x7f]+")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
                        "\uffa0\U000e0000-\U000e0fff]")  # fmt: skip
_WORD = re.compile(r"[^\W_]+(?:'[^\W\d_]+)?")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def visible(text: str) -> str:
    """`text` cut to `longest_text`, compatibility-normalised, without invisible characters; upper and lower case kept."""
    text = text[: TEXT_RULES.longest_text]
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", _MARKS.sub(r"\1", text))
    return _INVISIBLE.sub("", text)[: TEXT_RULES.longest_text]


def fold(text: str) -> str:
    """`visible` text in one case with single spaces: what values are compared by."""
    return " ".join(visible(text).casefold().split())


def one_line(text: str, most: int) -> str:
    """`text` as people may see it: on one line, without anything invisible, cut to `most` characters; a stranger wrote it to be read."""
    shown = " ".join(visible(text[: 4 * most]).split())
    if len(shown) > most or len(text) > 4 * most:
        shown = f"{shown[: most - 1]}…"
    return shown if shown.isprintable() else "".join(letter if letter.isprintable() else "\ufffd" for letter in shown)


def words(text: str) -> tuple[str, ...]:
    """The words of a text, in order, in one case."""
    return tuple(_WORD.findall(visible(text).casefold()))


def name_words(name: str) -> tuple[str, ...]:
    """The words of an identifier: snake_case, kebab-case and camelCase are split."""
    return _name_words(name[:256])  # cut before it is kept


@lru_cache(maxsize=8_192)
def _name_words(name: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(_HUMP.sub(" ", visible(name).replace("_", " ")).casefold()))


_VOWEL = frozenset("aeiouy")
_SHORTEST_STEM = 3
_IRREGULAR: Mapping[str, str] = {
    "sent": "send", "paid": "pay", "bought": "buy", "ran": "run", "wrote": "write", "written": "write", "made": "make", "gave": "give",
    "given": "give", "got": "get", "found": "find", "people": "person", "children": "child", "spent": "spend", "forgot": "forget",
    "took": "take", "taken": "take", "told": "tell", "left": "leave", "indices": "index", "data": "data", "news": "news", "his": "his",
    "this": "this", "address": "address", "addresses": "address", "access": "access", "process": "process", "status": "status",
    "does": "do", "did": "do", "done": "do", "has": "have", "had": "have", "e-mail": "email", "dataset": "dataset", "bus": "bus",
    "cancelled": "cancel", "cancelling": "cancel",
}  # fmt: skip


_LONGEST_WORD = 64  # characters; no word of a language, and nothing to fill a cache with


def stem(word: str) -> str:
    """A light English stem: plural, -ing, -ed, final e and y. Words of other scripts, and endless ones, come back as they are."""
    return _stem(word) if len(word) <= _LONGEST_WORD else word


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    if not word.isascii() or len(word) <= _SHORTEST_STEM:
        return _IRREGULAR.get(word, word)
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    word = word.removesuffix("'s")
    if word.endswith("ies") and len(word) > _SHORTEST_STEM + 1:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    word = _without_ending(word)
    if word.endswith("e") and len(word) > _SHORTEST_STEM:
        word = word[:-1]
    if word.endswith("y") and len(word) > _SHORTEST_STEM:
        word = word[:-1] + "i"
    return word


def _without_ending(word: str) -> str:
    for ending in ("ing", "ed"):
        if word.endswith(ending):
            root = word[: -len(ending)]
            if len(root) >= _SHORTEST_STEM and _VOWEL & set(root):
                doubled = root[-1] == root[-2] and root[-1] not in "lsz"
                return root[:-1] if doubled else root
    return word


_STOP = frozenset(
    stem(word)
    for word in (
        "a an the and or but if then else so of in on at to for from by with without into onto over under about as is are was were be been being am "
        "i me my mine we us our ours you your yours he him his she her hers it its they them their theirs this that these those there here who whom "
        "whose which what when where why how can could will would shall should may might must do does did have has had not no nor yes all any each "
        "every some more most other another such only own same than too very just also please thanks thank hello hi hey ok okay let lets want need "
        "like make sure give get using use used via per after before between during again once now out up down off both few many much new old "
        "given provided specified following optional default returns return value values parameter parameters argument arguments tool function "
        "one two three first last next current currently able etc e g"
    ).split()
)


def content_stems(tokens: Iterable[str]) -> tuple[str, ...]:
    """Stems of the words that carry meaning, in order; stop words and one-letter words are left out."""
    return tuple([root for token in tokens if (root := _meant(token) if len(token) <= _LONGEST_WORD else token)])


@lru_cache(maxsize=16_384)
def _meant(word: str) -> str:
    """The stem of a word that carries meaning; empty where it carries none."""
    root = _stem(word)
    return root if len(root) > 1 and root not in _STOP else ""


class VerbClass(StrEnum):
    """What kind of act a verb names, coarse enough to compare a goal with a tool."""

    LIST = "list"
    READ = "read"
    COMPUTE = "compute"
    CREATE = "create"
    ADD = "add"
    UPDATE = "update"
    MOVE = "move"
    TAG = "tag"
    DELETE = "delete"
    DOWNLOAD = "download"
    SEND = "send"
    PUBLISH = "publish"
    INPUT = "input"
    QUOTE = "quote"
    ORDER = "order"
    PAY = "pay"
    SCHEDULE = "schedule"
    REFUND = "refund"
    LOGIN = "login"
    GRANT = "grant"
    INVITE = "invite"
    REVOKE = "revoke"
    RUN = "run"
    INSTALL = "install"
    SCAN = "scan"
    DEPLOY = "deploy"
    CONFIGURE = "configure"
    DISABLE = "disable"
    ASK = "ask"
    DELEGATE = "delegate"
    SPAWN = "spawn"
    ESCALATE = "escalate"
    APPROVE = "approve"
    LOG = "log"
    UNKNOWN = "unknown"


READING = frozenset({VerbClass.LIST, VerbClass.READ, VerbClass.COMPUTE, VerbClass.QUOTE})

# The first class is what a tool with this verb does; the rest are what a person may also mean by it.
_VERBS: Mapping[VerbClass, str] = {
    VerbClass.LIST: "list enumerate browse index ls dir",
    VerbClass.READ: (
        "read get fetch retrieve show view see look find search lookup query check inspect open display load describe summarize summarise analyze "
        "analyse explain review monitor watch count compare diff select scan_text tell know recommend suggest visit obtain return examine verify_text "
        "grep cat head tail stat status print dump extract peek preview access_text observe track navigate cd pwd wc du"
    ),
    VerbClass.COMPUTE: "calculate compute convert average think echo parse format validate translate evaluate_text sum sort filter reason classify",
    VerbClass.CREATE: (
        "create make write generate new save store compose draft produce build insert register remember memorize record mkdir touch init initialize "
        "fork copy cp duplicate clone commit open_new"
    ),
    VerbClass.ADD: "add append attach include stage",
    VerbClass.UPDATE: (
        "update edit modify change set replace rename patch alter adjust correct fix rewrite reschedule revise merge rebase reset checkout restore "
        "revert switch amend upsert put mark complete close resolve address sync refresh "
        "play pause resume swap downgrade modify increase decrease extend renew undo"
    ),
    VerbClass.MOVE: "move mv",
    VerbClass.TAG: "tag label star unstar flag pin unpin like bookmark follow unfollow rate categorize",
    VerbClass.DELETE: "delete remove erase destroy drop purge clear wipe trash cancel rm unlink discard empty truncate unstage archive",
    VerbClass.DOWNLOAD: "download pull import",
    VerbClass.SEND: "send email mail message reply forward notify inform text dm respond answer_to tell_to contact alert remind sms call submit deliver "
    "dispatch transmit relay",
    VerbClass.PUBLISH: "publish post push upload release broadcast announce tweet share_public comment export",
    VerbClass.INPUT: "input fill type click press tap drag hover navigate_form",
    VerbClass.QUOTE: "quote estimate",
    VerbClass.ORDER: "order book reserve buy purchase rent checkout_cart subscribe rebook",
    VerbClass.PAY: "pay transfer wire spend donate deposit withdraw charge trade sell",
    VerbClass.SCHEDULE: "schedule plan_for",
    VerbClass.REFUND: "refund reimburse",
    VerbClass.LOGIN: "login signin authenticate logon verify logout log_in sign_in",
    VerbClass.GRANT: "grant share permit allow authorize authorise assume",
    VerbClass.INVITE: "invite join enroll enrol onboard accept",
    VerbClass.REVOKE: "revoke kick ban block unshare expel",
    VerbClass.RUN: "run execute exec eval invoke launch bash shell spawn_process kill trigger",
    VerbClass.INSTALL: "install uninstall upgrade",
    VerbClass.SCAN: "scan probe nmap ping_sweep",
    VerbClass.DEPLOY: "deploy restart reboot stop provision scale rollback shutdown",
    VerbClass.CONFIGURE: "configure enable activate start initiate toggle lock unlock turn engage",
    VerbClass.DISABLE: "disable deactivate bypass suppress mute",
    VerbClass.ASK: "ask sample prompt",
    VerbClass.DELEGATE: "delegate assign handoff escalate",
    VerbClass.SPAWN: "spawn",
    VerbClass.ESCALATE: "elevate sudo impersonate",
    VerbClass.APPROVE: "approve confirm",
    VerbClass.LOG: "log",
}
_ALSO: Mapping[str, tuple[VerbClass, ...]] = {
    "add": (VerbClass.CREATE, VerbClass.UPDATE, VerbClass.INVITE),
    "append": (VerbClass.UPDATE,),
    "put": (VerbClass.CREATE, VerbClass.ADD),
    "write": (VerbClass.UPDATE, VerbClass.SEND),
    "save": (VerbClass.DOWNLOAD,),
    "copy": (VerbClass.MOVE,),
    "rename": (VerbClass.MOVE,),
    "transfer": (VerbClass.MOVE, VerbClass.SEND),
    "send": (VerbClass.PAY,),
    "share": (VerbClass.SEND, VerbClass.PUBLISH),
    "post": (VerbClass.SEND, VerbClass.CREATE),
    "comment": (VerbClass.SEND, VerbClass.CREATE),
    "upload": (VerbClass.CREATE,),
    "submit": (VerbClass.INPUT, VerbClass.CREATE),
    "remove": (VerbClass.REVOKE,),
    "delete": (VerbClass.REVOKE,),
    "book": (VerbClass.CREATE,),
    "schedule": (VerbClass.CREATE,),
    "cancel": (VerbClass.UPDATE,),
    "change": (VerbClass.CONFIGURE,),
    "set": (VerbClass.CONFIGURE, VerbClass.CREATE),
    "update": (VerbClass.CONFIGURE,),
    "fetch": (VerbClass.DOWNLOAD,),
    "clone": (VerbClass.DOWNLOAD,),
    "refund": (VerbClass.PAY,),
    "pay": (VerbClass.SEND,),
    "buy": (VerbClass.PAY,),
    "purchase": (VerbClass.PAY,),
    "accept": (VerbClass.APPROVE,),
    "escalate": (VerbClass.ESCALATE,),
    "record": (VerbClass.LOG,),
    "reply": (VerbClass.PUBLISH,),
    "browse": (VerbClass.READ,),
    "make": (VerbClass.ORDER,),
    "start": (VerbClass.CREATE, VerbClass.RUN),
    "initiate": (VerbClass.CREATE, VerbClass.RUN),
    "activate": (VerbClass.RUN,),
    "launch": (VerbClass.CONFIGURE,),
    "upgrade": (VerbClass.UPDATE,),
    "execute": (VerbClass.ORDER,),
    "close": (VerbClass.CONFIGURE,),
    "open": (VerbClass.CREATE,),
}


def _verb_table() -> Mapping[str, tuple[VerbClass, ...]]:
    table: dict[str, tuple[VerbClass, ...]] = {}
    for kind, listed in _VERBS.items():
        for verb in listed.split():
            if "_" not in verb:
                table.setdefault(stem(verb), (kind, *_ALSO.get(verb, ())))
    return table


VERBS: Mapping[str, tuple[VerbClass, ...]] = _verb_table()
"""Stem of a verb → what it does, and what else a person may mean by it."""

_PEOPLE_SAY: Mapping[str, tuple[VerbClass, ...]] = {
    "arrange": (VerbClass.ORDER, VerbClass.SCHEDULE),
    "secure": (VerbClass.ORDER, VerbClass.CONFIGURE),
    "acquire": (VerbClass.ORDER,),
    "ignite": (VerbClass.CONFIGURE, VerbClass.RUN),
    "begin": (VerbClass.CONFIGURE, VerbClass.RUN),
    "refill": (VerbClass.INPUT,),
    "refuel": (VerbClass.INPUT,),
    "pen": (VerbClass.CREATE,),
    "jot": (VerbClass.CREATE, VerbClass.LOG),
    "rescind": (VerbClass.DELETE,),
    "scrap": (VerbClass.DELETE,),
    "speak": (VerbClass.DELEGATE,),
    "talk": (VerbClass.DELEGATE,),
    "connect": (VerbClass.DELEGATE,),
    "offer": (VerbClass.SEND,),
    "raise": (VerbClass.UPDATE,),
    "gather": (VerbClass.READ,),
    "collect": (VerbClass.READ,),
    "discover": (VerbClass.READ,),
    "determine": (VerbClass.READ,),
    "ascertain": (VerbClass.READ,),
    "assess": (VerbClass.READ,),
    "provide": (VerbClass.READ,),
    "furnish": (VerbClass.READ,),
    "peruse": (VerbClass.READ,),
}
GOAL_VERBS: Mapping[str, tuple[VerbClass, ...]] = {
    **{stem(verb): kinds for verb, kinds in _PEOPLE_SAY.items()},
    **VERBS,
}
"""`VERBS`, and what people say and no tool is called."""

LIGHT = frozenset(stem(word) for word in "place make do perform handle manage process".split())
"""Verbs that say nothing beside another word of a tool's name: "place order", "make payment"."""

NOUN_TOO = frozenset(
    stem(word)
    for word in (
        "commit "
        "email mail message text post order book file share report schedule update change transfer search visit check list index view look count "
        "record tag label star flag pin comment tweet quote estimate type input click charge trade rent release pull import export copy fork draft "
        "build start stage status print log head tail cat stat call alert contact address address fix patch merge reset block ban lock query display "
        "rate track plan deposit refund answer reply review preview sample prompt scan format sort filter sum set put mark close complete empty "
        "archive cancel open run head dump head access pay remind press branch sms save make new subscribe switch trash dir ls stop scale touch like "
        "follow play pause monitor watch select duplicate secure pen average talk shell bash"
    ).split()
)
"""Stems that are as often a noun: in a goal they count as a verb only where no article or preposition stands before them."""

BEFORE_NOUN = frozenset(
    (
        "the a an my your his her our their its this that these those of in from with for on no new last latest recent next any each every all some "
        "by at into unread sent received first second third which what whose another about as current old important other more few many "
        "two three four five"
    ).split()
)

MAKING = frozenset(
    {
        "make",
        "creat",
        "do",
        "plac",
        "issu",
        "process",
        "giv",
        "send",
        "put",
        "set",
        stem("proceed"),
        "go",
        "arrang",
        "complet",
        "add",
        "need",
        "want",
    }
)
NOMINAL: Mapping[str, VerbClass] = {
    stem(word): kind
    for word, kind in (
        ("reservation", VerbClass.ORDER), ("booking", VerbClass.ORDER), ("purchase", VerbClass.ORDER), ("order", VerbClass.ORDER),
        ("payment", VerbClass.PAY), ("transfer", VerbClass.PAY), ("transaction", VerbClass.PAY), ("refund", VerbClass.REFUND),
        ("invitation", VerbClass.INVITE), ("reply", VerbClass.SEND), ("summary", VerbClass.CREATE), ("deletion", VerbClass.DELETE),
        ("cancellation", VerbClass.DELETE), ("upgrade", VerbClass.UPDATE),
        ("comment", VerbClass.PUBLISH), ("post", VerbClass.PUBLISH), ("update", VerbClass.UPDATE), ("change", VerbClass.UPDATE),
    )
}  # fmt: skip
"""Nouns that name an act when a light verb (`MAKING`) stands shortly before: "make a reservation"."""

_CONCEPTS: Mapping[str, str] = {
    "mail": "email mail inbox mailbox e-mail outbox attachment",
    "message": "message dm chat sms text conversation thread inbox reply",
    "file": "file document doc docx pdf spreadsheet sheet txt csv slide presentation attachment drive markdown",
    "folder": "folder directory dir path",
    "event": "event calendar appointment meeting agenda class lunch dinner",
    "repository": "repository repo git codebase project",
    "person": (
        "user person people member colleague collaborator contact participant attendee teammate friend employee customer guest individual staff "
        "human supervisor representative someone somebody"
    ),
    "money": "money payment transaction fund bill invoice rent refund balance cash spending expense euro dollar usd eur bank iban",
    "web": "website webpage web page site url link blog article internet http https html",
    "channel": "channel room group",
    "task": "task todo ticket issue",
    "secret": "password passphrase credential secret token apikey passcode pin otp",
    "reservation": "reservation booking",
    "travel": "trip flight journey itinerary reservation booking travel",
    "goods": "order product item cart purchase goods",
    "record": "database table row record sql column schema db",
    "memory": "memory knowledge graph entity relation observation fact node",
    "time": "time date day timezone clock hour today tomorrow weekday",
    "change": "change diff staged unstaged modification commit history",
    "profile": "profile account settings preference information info detail",
    "picture": "image picture photo screenshot",
}
CONCEPTS: Mapping[str, frozenset[str]] = {
    root: frozenset(name for name, listed in _CONCEPTS.items() if root in {stem(word) for word in listed.split()})
    for root in {stem(word) for listed in _CONCEPTS.values() for word in listed.split()}
}
"""Stem of a noun → what it may stand for."""

IMPLIED: Mapping[str, frozenset[str]] = {
    stem(verb): frozenset(names.split())
    for verb, names in (
        ("email", "mail"), ("mail", "mail"), ("message", "message"), ("text", "message"), ("dm", "message"), ("reply", "message mail"),
        ("pay", "money"), ("refund", "money"), ("wire", "money"), ("reimburse", "money"), ("spend", "money"), ("remember", "memory"),
        ("memorize", "memory"), ("book", "reservation"), ("reserve", "reservation"), ("invite", "person"), ("schedule", "event"),
        ("reschedule", "event"), ("visit", "web"), ("browse", "web"), ("commit", "change repository"), ("login", "profile"),
        ("buy", "goods"), ("purchase", "goods"), ("acquire", "goods"),
    )
}  # fmt: skip
"""What a verb is about even when its object is not said."""


def concepts(roots: Iterable[str]) -> frozenset[str]:
    """What the stems may stand for."""
    found: set[str] = set()
    for root in roots:
        found |= CONCEPTS.get(root, frozenset())
    return frozenset(found)


class LiteralKind(StrEnum):
    """What an identifier in a text is."""

    EMAIL = "email"
    URL = "url"
    IBAN = "iban"
    PATH = "path"
    FILENAME = "filename"
    AMOUNT = "amount"
    DATE = "date"
    PHONE = "phone"
    ID = "id"
    QUOTED = "quoted"


@dataclass(frozen=True, slots=True)
class Literal:
    """An identifier as it stands in a text; `text` is folded."""

    kind: LiteralKind
    text: str


_TLD = (
    r"(?:com|org|net|io|ai|co|dev|app|edu|gov|mil|info|biz|me|tv|xyz|site|online|eu|uk|de|fr|es|it|nl|ch|at|us|ca|jp|cn|in|br|au|ru|local|test|example"
    r"|internal|invalid|onion)"
)
# Every pattern is linear: classes that do not overlap with what follows, bounded repeats.
_LITERALS: tuple[tuple[LiteralKind, re.Pattern[str]], ...] = (
    (LiteralKind.QUOTED, re.compile(r"(?<!\w)'([^'\n]{1,200})'(?!\w)|\"([^\"\n]{1,200})\"|`([^`\n]{1,200})`")),
    (LiteralKind.URL, re.compile(r"\b[a-z][a-z0-9+.\-]{1,11}://[^\s<>\"'`\\)\]}]{1,2048}")),
    (LiteralKind.EMAIL, re.compile(r"(?<![\w.+\-])[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,6}")),
    (LiteralKind.URL, re.compile(
        rf"(?<![\w.@/\-])(?:www\.)?[a-z0-9\-]{{1,63}}(?:\.[a-z0-9\-]{{1,63}}){{0,5}}\.{_TLD}(?![\w\-])(?:/[^\s<>\"'`\\)\]}}]{{0,1024}})?")),
    (LiteralKind.IBAN, re.compile(r"(?<!\w)[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?(?!\w)")),
    (LiteralKind.DATE, re.compile(r"(?<![\d\-])\d{4}-\d{2}-\d{2}(?:[ t]\d{2}:\d{2})?(?![\d\-])")),
    (LiteralKind.PATH, re.compile(r"(?<![\w/.:])(?:~|\.{1,2})?/[\w.\-@+~]{1,255}(?:/[\w.\-@+~]{1,255}){0,31}/?")),
    (LiteralKind.FILENAME, re.compile(r"(?<![\w/.@\-])[\w\-]{1,128}\.(?:[a-z][a-z0-9]{1,4})(?![\w@])")),
    (LiteralKind.PHONE, re.compile(r"(?<![\w+])\+\d[\d \-]{6,18}\d(?!\w)")),
    (LiteralKind.AMOUNT, re.compile(
        r"(?<![\w.])(?:[$€£¥] ?\d[\d,]{0,15}(?:\.\d{1,4})?|\d[\d,]{0,15}(?:\.\d{1,4})? ?(?:[$€£¥]|usd|eur|gbp|dollars?|euros?|pounds?)(?!\w))")),
    (LiteralKind.ID, re.compile(r"(?<![\w.@/\-])(?=[a-z0-9_\-]{0,63}\d)(?=[a-z0-9_\-]{0,63}[a-z_\-])[a-z0-9][a-z0-9_\-]{5,63}(?![\w@./])")),
)  # fmt: skip

REACHING = frozenset({LiteralKind.EMAIL, LiteralKind.URL, LiteralKind.IBAN, LiteralKind.PHONE})
"""Identifiers that name somebody or somewhere outside: they carry authority even inside long content."""


def literals(text: str, kinds: frozenset[LiteralKind] | None = None) -> tuple[Literal, ...]:
    """The identifiers of a text, at most `most_literals`, each once. `kinds` limits what is looked for."""
    folded = fold(text)
    if _SIGN.search(folded) is None:
        return ()
    found: dict[Literal, None] = {}

    def take(hit: re.Match[str]) -> str:
        if len(found) < TEXT_RULES.most_literals:
            found[Literal(kind, _trimmed(hit, kind))] = None
        return hit.group() if kind is LiteralKind.QUOTED else " " * len(hit.group())

    # What one pattern has read is blanked for the next: every character belongs to one identifier, and the whole stays linear.
    digit = _DIGIT.search(folded) is not None
    for kind, pattern in _LITERALS:
        if (kinds is not None and kind not in kinds) or not (digit or kind not in _HAVE_DIGITS):
            continue
        first, second, third = _NEEDS.get(kind, _NOTHING)
        if first in folded or second in folded or third in folded:
            folded = pattern.sub(take, folded)
    return tuple(found)


# What a kind cannot do without: looking for it first is several times faster.
_DIGIT = re.compile(r"\d")
_HAVE_DIGITS = frozenset({LiteralKind.IBAN, LiteralKind.DATE, LiteralKind.PHONE, LiteralKind.AMOUNT, LiteralKind.ID})
_NEEDS: Mapping[LiteralKind, tuple[str, str, str]] = {
    LiteralKind.EMAIL: ("@", "@", "@"),
    LiteralKind.URL: (".", "://", "."),
    LiteralKind.DATE: ("-", "-", "-"),
    LiteralKind.PATH: ("/", "/", "/"),
    LiteralKind.FILENAME: (".", ".", "."),
    LiteralKind.PHONE: ("+", "+", "+"),
    LiteralKind.QUOTED: ("'", '"', "`"),
}
_NOTHING = ("", "", "")
# And no identifier is without one of these.
_SIGN = re.compile(r"[\d@./+'\"`]")


def _trimmed(hit: re.Match[str], kind: LiteralKind) -> str:
    if kind is LiteralKind.QUOTED:
        return next(group for group in hit.groups() if group is not None).strip()
    return hit.group().rstrip(".,;:!?")


def bare_address(value: str) -> str:
    """A folded URL or host without scheme, `www.` and final slash, so that spellings of one address compare equal."""
    _, mark, rest = value.partition("://")
    return (rest if mark else value).removeprefix("www.").rstrip("/")


_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{16,}={0,2}")
_HEX = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}){8,}(?![0-9A-Fa-f])")
# What both cannot do without is a run of their signs; all being one sign, that is found ten times faster.
_ONE_SIGN = bytes(ord("A") if bytes((byte,)).isalnum() or byte in b"+/_-" else 0 for byte in range(256))
_RUN = b"A" * 16
_PERCENT_SIGN = re.compile("%[0-9A-Fa-f]{2}")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_PRINTABLE_SHARE = 0.9


def decoded(text: str) -> tuple[str, ...]:
    """What base64, hex and percent encodings in `text` hide: at most three levels deep and 64 KiB in all, text only."""
    layer, room = [text[: TEXT_RULES.longest_text]], TEXT_RULES.longest_decoding
    found: list[str] = []
    for _ in range(TEXT_RULES.deepest_decoding):
        layer = [plain for piece in layer for plain in _one_layer(piece)]
        if not layer:
            break
        for plain in layer:
            if room <= 0:
                return tuple(found)
            found.append(plain[:room])
            room -= len(plain)
    return tuple(found)


def _one_layer(text: str) -> list[str]:
    plain = []
    if _PERCENT_SIGN.search(text) is not None:
        undone = _PERCENT.sub(_percent, text)
        if undone != text:
            plain.append(undone)
    if _RUN not in text.encode("utf-8", "surrogatepass").translate(_ONE_SIGN):
        return plain
    room = TEXT_RULES.longest_decoding
    for pattern, undo in ((_BASE64, _from_base64), (_HEX, _from_hex)):
        for hit in pattern.finditer(text):
            shown = undo(hit.group()[: TEXT_RULES.longest_decoding])
            if shown:
                plain.append(shown)
                room -= len(shown)
            if room <= 0:
                return plain
    return plain


def _percent(hit: re.Match[str]) -> str:
    return bytes.fromhex(hit.group().replace("%", "")).decode("utf-8", "replace")


def _from_base64(blob: str) -> str:
    core = blob.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _as_text(base64.b64decode(core + "=" * (-len(core) % 4), validate=True))
    except binascii.Error:
        return ""


def _from_hex(blob: str) -> str:
    return _as_text(bytes.fromhex(blob))


def _as_text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    good = sum(letter.isprintable() or letter in "\n\r\t" for letter in text)
    return text if text and good >= _PRINTABLE_SHARE * len(text) else ""
