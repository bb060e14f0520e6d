"""Does a text that a tool or another agent wrote address the model? An additive score whose every part is a reason that a person can check.

Signals that need no language come first: forged roles and tags, ends of documents that are none, pictures that carry data out, what is hidden or encoded.
Then words: setting orders aside, speaking to the model, keeping things from the person, new tasks, sending things to an address. No single signal of
words is proof; a text about such attacks has them too. It is a reading for people and for rules that only narrow.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from jittrust.core.intent.text_phrases import PHRASES
from jittrust.core.units import Unit


@dataclass(frozen=True, slots=True)
class InjectionRules:
    """What each signal adds to the score, and from where a text counts as suspicious."""

    role_marker: float = 0.5  # forged turn of a chat: template tokens, `"role": "system"`
    turn: float = 0.3  # a line that begins like somebody else's turn: `System:`
    forged_tag: float = 0.4  # tags that runtimes use, or shouted tags around a part that are no HTML
    boundary: float = 0.3  # a line that claims the end of a document or the beginning of another authority
    carrying_picture: float = 0.4  # a picture whose address has a blank for data
    hidden: float = 0.25  # signs that cannot be seen or look like others
    encoded_order: float = 0.3  # the signal stood in an encoding, or was spelled in invisible signs
    override: float = 0.5  # earlier orders are set aside
    persona: float = 0.4  # a mode or a role without limits
    prompt_leak: float = 0.35  # wants the model's own instructions
    secrecy: float = 0.3  # the person is not to know
    address: float = 0.35  # speaks to a model by name
    new_task: float = 0.25  # a new task, goal or instruction is announced
    before_all: float = 0.25  # before anything else is done
    tool_order: float = 0.2  # asks for a call of a named tool
    send_secret: float = 0.35  # something secret is to go to an address
    send_out: float = 0.15  # something is to go to an address
    directive: float = 0.1  # you must, you should
    suspicious_from: float = 0.5  # score from which a text is called suspicious


INJECTION_RULES = InjectionRules()


@dataclass(frozen=True, slots=True)
class InjectionReason:
    """One part of the score.

    Attributes:
        code: name of the signal, a field of `InjectionRules`.
        weight: what it adds.
        quote: the words, cut.
        where: in which decoded part; empty = as written.
        why: one sentence for people.
    """

    code: str
    weight: float
    quote: str
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class InjectionReading:
    """Whether a text addresses the model: the sum of its reasons, at most 1. `languages` of the orders found; `work` as in `TextReading`."""

    score: Unit
    suspicious: bool
    reasons: tuple[InjectionReason, ...]
    languages: tuple[str, ...]
    work: int


_WHY = {
    "role_marker": "It imitates a turn of the chat",
    "turn": "A line begins like somebody else's turn of the chat",
    "forged_tag": "It imitates a tag of the runtime",
    "boundary": "It claims that the document ends or that another authority speaks",
    "carrying_picture": "A picture's address has room for data",
    "hidden": "It has signs that people do not see or take for others",
    "encoded_order": "Words to the model stand in an encoding",
    "override": "It sets earlier orders aside",
    "persona": "It gives the model a role or mode without limits",
    "prompt_leak": "It asks for the model's own instructions",
    "secrecy": "It keeps something from the person",
    "address": "It speaks to a model",
    "new_task": "It announces a new task",
    "before_all": "It wants to come before everything else",
    "tool_order": "It asks for a call of a tool",
    "send_secret": "It asks to send something secret to an address",
    "send_out": "It asks to send something to an address",
    "directive": "It tells the reader what must be done",
}

_NAMES = r"(?:ai|llm|assistant|agent|chatbot|bot|(?:large )?language model|ai model|claude|chatgpt|gpt(?:-?\d\w{0,3})?|copilot|gemini)"
_ADDRESS = r"(?:(?<=[\w+\-])@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,4}|://[^\s<>\"')]{4,200}|www\.[\w\-.]{3,100}|\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b)"
_SEND = (
    r"\b(?:send|forward|post|upload|e-?mail|transmit|share|leak|exfiltrate|submit|copy|transfer|wire|pay|report|deliver|publish|cc|bcc"
    r"|sende|schicke?|leite|envoie[rz]?|transmets|envia[r]?|reenvia|mande|invia|inoltra|stuur|отправь\w{0,2}|перешли\w{0,2}|wyslij|gonder"
    r"|kirim)\b|发送|转发|送信|보내"
)
_SECRET = (
    r"\b(?:passwords?|passphrases?|secrets?|credentials?|tokens?|api[ _\-]?keys?|private keys?|ssh keys?|(?:access|secret) keys?|env(?:ironment)? variables?"
    r"|\.env|system prompt"
    r"|(?:chat|conversation) history|whole conversation|inbox|mailbox|security codes?|passport|card numbers?|passwort\w{0,3}|mots? de passe|contrasenas?"
    r"|senhas?|парол\w{1,3}|id_rsa|\.ssh)\b|密码|密钥|パスワード|비밀번호"
)
_CHAT_TOKENS = (
    r"<\|(?:im_start|im_end|im_sep|system|user|assistant|endoftext|end|eot_id|start_header_id|end_header_id|begin_of_text|eom_id|channel|message)\|>"
    r"|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>"
)
_ROLE_MEMBER = r"[\"']role[\"']\s{0,4}:\s{0,4}[\"'](?:system|assistant|developer|tool)[\"']"
_TURNS = (
    r"\n[ \t>]{0,8}(?:#{1,4} ?)?\[?(?:system|developer)(?: (?:message|prompt|note|instructions?|override|update|notice))?\]?[ \t]{0,4}:"
    r"|\n\n(?:human|assistant):|\n[ \t]{0,8}\[system\]|\n#{2,4} ?(?:system|instruction|response|assistant)s?:"
)
_FORGED_TAGS = (
    r"</?(?:system|system[_\-]prompt|system[_\-]reminder|system[_\-]message|tool[_\-]?(?:response|results?|output|call)|function[_\-]?(?:results?|calls?"
    r"|response)|invoke|assistant|user[_\-]query|admin|override|prompt|untrusted[\w\-]{0,20}|antml:[\w\-]{1,20})(?: [^>\n]{0,60})?>"
)
_SHOUTED_TAG = re.compile(r"<(?P<tag>[A-Z][A-Z_\-]{3,24})>")
_HTML_SHOUTED = frozenset(
    "HTML HEAD BODY TITLE TABLE TBODY THEAD SPAN FONT CENTER FORM INPUT SELECT OPTION SCRIPT STYLE META LINK STRONG CODE BLOCKQUOTE STRIKE CAPTION LABEL "
    "BUTTON FRAME FRAMESET NOFRAMES IFRAME APPLET OBJECT PARAM EMBED FIELDSET LEGEND TEXTAREA SMALL ADDRESS BASE AREA DIV IMG PRE LI UL OL DL DOCTYPE "
    "YOUR_API_KEY YOUR_NAME NAME DATE FILE PATH TOKEN HOST PORT USER USERNAME PASSWORD EMAIL URL TYPE VERSION INSERT PLACEHOLDER".split()
)
_BOUNDARY = (
    r"\n[ \t]{0,8}[-=#*~_]{3,40}[ \t]{0,4}\[?(?:end of|begin(?:ning)? of|start of|system\b|new instructions?|important (?:message|instructions?)|"
    r"instructions? (?:for|to)|end (?:document|context|tool|user|data|results?))[^\n]{0,40}"
    r"|\n[ \t]{0,8}\[?(?:end of (?:document|context|tool (?:output|result)|user (?:input|query)|data|results?|file|email|text))\]?[ \t.]{0,4}(?=\n|$)"
)
_PICTURE = r"!\[[^\]\n]{0,200}\]\(https?://[^\s)]{1,300}?(?:=|/)(?:\{|<|\[|%7b|\$)"
_COMMENT = r"<!--[^>]{0,300}\b(?:you|assistant|ai|instructions?|ignore)\b"
_PERSONA = (
    r"\byou are (?:now )?(?:in )?(?:dan\b|(?:a |an |the )?(?:unrestricted|unfiltered|jailbroken|uncensored|evil)|no longer (?:bound"
    r"|restricted|an? )|free (?:from|of) "
    r"(?:all|any|your))|\b(?:developer|maintenance|god|admin|unrestricted|jailbreak|dan|sudo) mode(?: is| has been"
    r"|:)? ?(?:now )?(?:on|enabled|activated"
    r"|active|engaged)\b|\b(?:enter|enable|activate|switch to|you are (?:now )?in) (?:developer|maintenance|debug|god|admin|unrestricted|dan|sudo) mode\b"
)
_PROMPT_LEAK = (
    r"\b(?:reveal|print|show|repeat|output|leak|disclose|display|recite|give me|tell me|write out)\b[\w ,]{0,20}\b(?:your|the|its) "
    r"(?:\w{1,10} )?(?:system prompt|initial prompt|system message|hidden (?:prompt|instructions?)|(?:own |exact |original |full )instructions)\b"
)
_VOCATIVE = (
    rf"\b(?:dear|hey|hello|attention|note (?:to|for)|(?:important )?(?:message|instructions?|notice|reminder) (?:to|for|from)"
    rf"|(?<=[\n.!?:] )to|(?<=\n)to) (?:me "
    rf"|the |this |any |all |every )?"
    rf"(?:[\w\-]{{1,20}} )?{_NAMES}s?\b[,:;.!]?|\b(?:if you are|as) an? (?:\w{{1,12}} )?(?:ai|llm|language model|chatbot)\b"
    rf"|(?:^|[\n.!?:>] ?){_NAMES}[,:] (?:please |you )|\byou(?:,| are) (?:the )?(?:ai|llm|language model|chatgpt|claude|gemini|gpt)\b"
)
_NEW_TASK = (
    r"\b(?:new|real|actual|updated?|urgent|additional|special|next|revised|important|mandatory|overriding|secret)(?: \w{1,12})? (?:tasks?"
    r"|instructions?|objectives?|goals?"
    r"|mission|directives?|system prompt|assignment|orders?)(?: (?:is|are|for you|below|follows?|from)\b|:)"
    r"|\byour (?:new |real |actual |only |next |true )?(?:task|goal|mission|objective|purpose|instructions?) (?:is|are) (?:now )?"
    r"|\b(?:neue (?:anweisung|aufgabe)(?:en)?|nouvelles? (?:instructions?|taches?)|nuevas? (?:instrucci(?:on|ones)|tareas?)"
    r"|новые инструкции|новая задача)\b[^\n]{0,20}:|新(?:的)?(?:指令|任务)[:\uff1a]|新しい指示"
)
_BEFORE_ALL = (
    r"\bbefore (?:you )?(?:(?:can |may |must )?(?:do|doing|answer|answering|continu\w{1,4}|complet\w{1,4}|solv\w{1,4}|proceed\w{0,3}"
    r"|respond\w{0,3}|us(?:e|ing)"
    r"|call\w{0,3}|perform\w{0,3}|finish\w{0,3}|return\w{0,3}))(?: with| to)? (?:anything|any|the (?:task|user|original|request|question"
    r"|answer|above)|your|my|this task|further|these)"
    r"|\bbefore you (?:answer|continue|proceed|respond|reply|start|begin|finish)\b|\b(?:first and foremost|prior to (?:any|answering"
    r"|completing)|instead of (?:answering|summari[sz]ing|doing|completing|the (?:task|user)))\b"
)
_TOOL_ORDER = (
    r"\b(?:call|use|invoke|run|execute|trigger)(?: the| your)? (?:tool |function )?[`'\"]?[a-z]{2,20}(?:_[a-z0-9]{1,20}){1,5}[`'\"]?"
    r"(?: (?:tool|function|with|to|and)\b|\()|\b(?:call|use|invoke)(?: the| your) [\w\-]{2,24} (?:tool|function)\b"
)
_DIRECTIVE = r"\byou (?:must|shall|are required to|have to|need to) (?:now |first |also |always |immediately |next )?[a-z]{3,16}\b"


def _folded(pattern: str) -> str:
    """A pattern in the form in which texts are compared: no accents, compatibility forms, one case."""
    if pattern.isascii():
        return pattern
    apart = unicodedata.normalize("NFKD", pattern)
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", apart)).casefold()


# Signal, pieces of which one stands in every hit (looked for first, because that is many times faster), pattern.
_TASKS = (
    "instruction task objective goal mission directive prompt assignment order purpose anweisung aufgabe tache tarea instruccion "
    "инструкции задача 指令 任务 指示"
)
_SIMPLE: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (code, tuple(_folded(signs).split()), re.compile(_folded(pattern)))
    for code, signs, pattern in (
        ("role_marker", "<| inst] sys>> _of_turn", _CHAT_TOKENS),
        ("role_marker", "'role' \"role\"", _ROLE_MEMBER),
        ("turn", "system developer human: assistant: instruction response", _TURNS),
        ("forged_tag", "< >", _FORGED_TAGS),
        ("boundary", "end begin start instruction important system", _BOUNDARY),
        ("carrying_picture", "![", _PICTURE),
        ("boundary", "<!--", _COMMENT),
        ("persona", "you mode", _PERSONA),
        ("prompt_leak", "prompt instructions message", _PROMPT_LEAK),
        ("new_task", _TASKS, _NEW_TASK),
        ("before_all", "before foremost prior instead", _BEFORE_ALL),
        ("tool_order", "_ tool function", _TOOL_ORDER),
        ("directive", "must shall required have need", _DIRECTIVE),
    )
) + tuple(
    ("secrecy", tuple(_folded(phrases.person).split()), re.compile(_folded(phrases.secrecy)))
    for phrases in PHRASES.values()
    if phrases.secrecy
)
_DISMISS = {
    name: (
        tuple(_folded(one.signs).split()),
        re.compile(_folded(one.dismiss)),
        re.compile(_folded(one.orders)),
        one.either,
    )
    for name, one in PHRASES.items()
}
_NAMED = re.compile(rf"\b{_NAMES}")
_SPOKEN_TO = re.compile(_VOCATIVE)
_SENDS = re.compile(_folded(_SEND))
_SECRETS = re.compile(_folded(_SECRET))
_REACHES = re.compile(_ADDRESS)
_ADDRESS_SIGNS = ("@", "://", "www.", *map(str, range(10)))
_REACH = 80  # characters between a verb and its object
_SENTENCE_END = re.compile(r"[.!?\n\u3002](?:\s|$)")
_FURTHEST_ADDRESS = 200
_QUOTED = 100
_WEIGHTS = frozenset(rule.name for rule in fields(InjectionRules)) - {"suspicious_from"}


def read_injection(
    parts: Sequence[tuple[str, str]], *, hides: bool = False, rules: InjectionRules = INJECTION_RULES
) -> InjectionReading:
    """Read the parts of a text: the first as written, the others by the encoding they stood in. Signals count once, whatever the part."""
    found: dict[str, InjectionReason] = {}
    languages: dict[str, None] = {}
    work = 0
    for where, text in parts:
        low = text.casefold()
        spoken = ""
        work += len(text) * (len(_SIMPLE) + len(_DISMISS) + 2)
        for code, quote in _signals(text, low, languages):
            if code != "directive":
                spoken = spoken or quote
            if code not in found:
                found[code] = _reason(code, quote, where, rules)
        if where and spoken and "encoded_order" not in found:
            found["encoded_order"] = _reason("encoded_order", spoken, where, rules)
    if hides:
        found["hidden"] = _reason("hidden", "", "", rules)
    if "send_secret" in found:
        found.pop("send_out", None)
    if set(found) == {"directive"} or set(found) == {"hidden", "directive"}:
        found.pop("directive")  # every manual has it
    reasons = tuple(sorted(found.values(), key=lambda reason: (-reason.weight, reason.code)))
    score = min(1.0, round(sum(reason.weight for reason in reasons), 6))
    return InjectionReading(Unit(score), score >= rules.suspicious_from, reasons, tuple(languages), work)


def _reason(code: str, quote: str, where: str, rules: InjectionRules) -> InjectionReason:
    shown = " ".join(quote.split())[:_QUOTED]
    why = f"{_WHY[code]}: “{shown}”" if shown else f"{_WHY[code]}"
    return InjectionReason(code, getattr(rules, code), shown, where, f"{why} ({where})" if where else why)


def _signals(text: str, low: str, languages: dict[str, None]) -> Iterable[tuple[str, str]]:
    line = f"\n{low}"  # so that the first line begins like every other
    for code, signs, pattern in _SIMPLE:
        if _holds(low, signs):
            hit = pattern.search(line)
            if hit is not None:
                yield code, hit.group()
    quote = _addressed(line)
    if quote:
        yield "address", quote
    for hit in _SHOUTED_TAG.finditer(text):
        if hit["tag"] not in _HTML_SHOUTED and f"</{hit['tag']}>" in text:
            yield "forged_tag", hit.group()
            break
    for name, (signs, dismiss, orders, either) in _DISMISS.items():
        if _holds(low, signs):
            quote = _near(low, dismiss, orders, either=either)
            if quote:
                languages[name] = None
                yield "override", quote
    yield from _sending(low)


def _holds(low: str, signs: Sequence[str]) -> bool:
    for sign in signs:  # noqa: SIM110 - asked dozens of times of every text, and twice as fast as `any`
        if sign in low:
            return True
    return False


def _addressed(line: str) -> str:
    """Where a model is spoken to; looked for around its names only, each stretch once."""
    done = 0
    for hit in _NAMED.finditer(line):
        if hit.end() + _REACH // 2 > done:
            done = hit.end() + _REACH
            found = _SPOKEN_TO.search(line, max(0, hit.start() - _REACH), done)
            if found is not None:
                return found.group()
    return ""


def _near(low: str, verb: re.Pattern[str], target: re.Pattern[str], *, either: bool) -> str:
    """A verb with its object behind it in the same sentence, or in `either` order; empty = nowhere. A hit is compared with its neighbours only."""
    verbs = [hit.span() for hit in verb.finditer(low)]
    targets = [hit.span() for hit in target.finditer(low)] if verbs else []
    starts = [start for start, _ in targets]
    for start, end in verbs:
        at = bisect_left(starts, start)
        for first, last in targets[max(0, at - either) : at + 1]:
            left, right = min(end, last), max(start, first)
            if right - left <= _REACH and _SENTENCE_END.search(low, left, right) is None:
                return low[min(start, first) : max(end, last)]
    return ""


def _sending(low: str) -> Iterable[tuple[str, str]]:
    """Sending verbs with an address behind them, and what is sent."""
    reached = [hit.span() for hit in _REACHES.finditer(low)] if any(sign in low for sign in _ADDRESS_SIGNS) else []
    sends = [hit.span() for hit in _SENDS.finditer(low)] if reached else []
    secrets = [hit.start() for hit in _SECRETS.finditer(low)] if sends else []
    starts = [start for start, _ in reached]
    out = ""
    for start, end in sends:
        at = bisect_left(starts, end)
        if at == len(starts) or starts[at] - end > _FURTHEST_ADDRESS:
            continue
        quote = low[start : reached[at][1]]
        if bisect_left(secrets, end) < bisect_left(secrets, starts[at]):
            yield "send_secret", quote
            return
        out = out or quote
    if out:
        yield "send_out", out
