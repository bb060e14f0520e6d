"""What a story tells: one entry a call, read from the ledger and from nowhere else, and how the story ended."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jittrust.ports.ledger_view import LedgerView

_PAGE = 500
_FACTORS = ("O", "C", "R", "T")


@dataclass(frozen=True, slots=True)
class ToldCall:
    """One call as it was judged.

    Attributes:
        story: in which story.
        call: server and tool.
        on: the arguments, short.
        who: who wanted it: `agent`, `document` (the agent obeying one), `owner` or `thief`.
        verdict, response, wis, price, trust, reasons: as recorded.
        factors: O, C and R as 0..1, T in seconds; None = not measured.
        forwarded: whether it went out.
        gas_left: of the grant, after the call; None where there is no live grant to ask about.
        why: one sentence for people.
    """

    story: str
    call: str
    on: str
    who: str
    verdict: str
    forwarded: bool
    why: str
    response: str = "none"
    wis: float | None = None
    factors: Mapping[str, float | None] = field(default_factory=dict)
    price: int = 0
    gas_left: int | None = None
    trust: float | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoryClaim:
    """Something that must be true at the end of a story, and what was found."""

    words: str
    holds: bool
    found: str = ""


@dataclass(frozen=True, slots=True)
class StoryEnd:
    """How a story ended. It ended as told when every claim holds."""

    name: str
    calls: Sequence[ToldCall]
    ended: str
    claims: Sequence[StoryClaim]

    @property
    def allowed(self) -> int:
        """Calls that went out."""
        return sum(call.forwarded for call in self.calls)

    @property
    def stopped(self) -> int:
        """Calls that did not."""
        return len(self.calls) - self.allowed

    @property
    def as_told(self) -> bool:
        """Whether everything came as it was told."""
        return all(claim.holds for claim in self.claims)


@dataclass(frozen=True, slots=True)
class TailRecord:
    """A record of the ledger, and what was left of its grant after it."""

    body: Mapping[str, Any]
    gas_left: int | None

    def judges(self, resource: str) -> bool:
        """Whether it is the verdict on a call of `resource`."""
        return self.body["kind"] in {"use", "refusal"} and self.body["action"]["resource"] == resource


class LedgerTail:
    """The records of the ledger as they come."""

    def __init__(self, ledger: LedgerView) -> None:
        """Starts before the first record."""
        self._ledger = ledger
        self._at = 0
        self._unread: deque[TailRecord] = deque()
        self._gas: dict[str, int] = {}

    async def verdict(self, resource: str) -> TailRecord | None:
        """The next verdict on a call of `resource`; what lies before it counts as read. None: there is none."""
        await self._read()
        for at, record in enumerate(self._unread):
            if record.judges(resource):
                for _ in range(at + 1):
                    self._unread.popleft()
                return record
        return None

    async def rest(self) -> list[TailRecord]:
        """Everything not yet read, oldest first."""
        await self._read()
        found = list(self._unread)
        self._unread.clear()
        return found

    async def _read(self) -> None:
        while entries := await self._ledger.entries(self._at, _PAGE):
            self._at += len(entries)
            self._unread.extend(self._counted(json.loads(entry)) for entry in entries)

    def _counted(self, body: Mapping[str, Any]) -> TailRecord:
        """Keeps the books: what a grant was opened with, less what each call paid."""
        if body["kind"] == "grant":
            self._gas[body["grant"]] = body["gas_left"]
            return TailRecord(body, body["gas_left"])
        grant = body["grant"]["id"] if body["kind"] in {"use", "refusal"} else None
        if grant in self._gas:
            self._gas[grant] = max(0, self._gas[grant] - body["grant"]["price"])
            return TailRecord(body, self._gas[grant])
        return TailRecord(body, None)


def told(found: TailRecord, *, story: str, on: str, who: str) -> ToldCall:
    """The call that a `use` or `refusal` record is about."""
    record = found.body
    intent, policy = record["intent"], record["policy"]
    factors = intent["factors"] or {}
    reasons = {reason["code"]: str(reason["fact"]) for reason in policy["reasons"]}
    return ToldCall(
        story=story,
        call=str(record["action"]["resource"]).replace("/", ".", 1),
        on=on,
        who=who,
        verdict=policy["ruling"],
        forwarded=record["kind"] == "use",
        why=sentence(policy["ruling"], reasons),
        response=record["response"],
        wis=intent["wis"],
        factors={name: (factors.get(name) or {}).get("seconds" if name == "T" else "value") for name in _FACTORS},
        price=record["grant"]["price"],
        gas_left=found.gas_left,
        trust=record["trust"],
        reasons=tuple(reasons),
    )


# The first of these codes that a verdict has is what people are told. `{}` stands for the fact that was recorded with it.
_SENTENCES: Mapping[str, str] = {
    "session_suspended": "The session is stopped: nothing goes out until you let it go on.",
    "mission_not_active": "The mission is stopped: nothing goes out until you let it go on.",
    "grant_not_active": "The grant is dead, and so is everything that came from it.",
    "outside_map_dangerous": "Not asked for, dangerous, and what it acts on was dictated by a document: refused outright.",
    "tainted_argument": "What it acts on was dictated by a text it read, not by you: {}",
    "waits_for_person": "You asked for nothing of the kind; it takes your yes.",
    "outside_map": "Nothing in what you asked for needs this; it takes your yes.",
    "narrowed": "Covered by what you asked for, but this session has lost credit: anything with consequences takes your yes.",
    "misaligned": "It looks like the wish of a text it read, not yours.",
    "drift": "It has strayed too far from what you asked for.",
    "low_wis": "It fits too badly for the harm it could do.",
    "gas_exhausted": "It costs more than is left.",
    "tool_unknown": "The server never listed this tool.",
}


def sentence(ruling: str, reasons: Mapping[str, str]) -> str:
    """One sentence of why."""
    for code, words in _SENTENCES.items():
        if code in reasons:
            return words.format(_first(reasons[code]))
    if ruling == "allow":
        named = reasons.get("inside_map", "").startswith("The goal names")
        return (
            "Your words name this very act; nothing measured speaks against it."
            if named
            else "A read that what you asked for can need; nothing measured speaks against it."
        )
    return "; ".join(fact for fact in reasons.values() if fact)


def _first(fact: str) -> str:
    """The first of several findings: `…: to/0 “x” first appeared in the text of files/read_file#3, not in the goal; …`."""
    first = fact.partition(": ")[2].partition("; ")[0].removesuffix(".")
    return f"{first.removesuffix(', not in the goal')}."


def short(arguments: Mapping[str, Any]) -> str:
    """Arguments on half a line: the values, without their names."""
    values = [value[0] if isinstance(value, list) and value else value for value in arguments.values()]
    return ", ".join(" ".join(str(value).split())[:48] for value in values)
