"""Why one call was judged as it was: found in the ledger and in what waits, and put into one value that a page or a program reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jittrust.core.approval import Approval
from jittrust.core.errors import BadInputError, NotFoundError
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.taxonomy_terms import TERMS
from jittrust.core.ledger.checkpoint import parse_body
from jittrust.ports.driving import Driving

LAST: Final = "last"
MOST_RECORDS: Final = 50_000
"""Newest records that are looked through."""
_PAGE: Final = 500
_JUDGED: Final = frozenset({"use", "refusal"})
_LISTED: Final = 5

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One call, as far as it was recorded.

    Attributes:
        record: its `use` or `refusal`.
        mission: the newest record of its mission from before it: goal, map, who approved what; None where that lies too far back.
        outcome: how it ended; None = it did not go out, or has not ended.
        question: what waits for a person about exactly this call; None = nothing does.
        answered: the newest record of a question about it; None = nobody was asked.
    """

    record: Record
    mission: Record | None = None
    outcome: Record | None = None
    question: Approval | None = None
    answered: Record | None = None

    @property
    def code(self) -> str:
        """The code of the act; empty where there is none."""
        return str(part(self.record, "intent").get("code") or "")

    @property
    def entry(self) -> Record | None:
        """The entry of the map that covered it, as it stood then."""
        named = part(self.record, "policy").get("entry")
        return next((one for one in listed(self.mission or {}, "map") if named and one.get("id") == named), None)

    def told(self) -> dict[str, Any]:
        """As one JSON object: the record and what belongs to it."""
        disposition = part(self.record, "intent").get("disposition")
        return {
            "call": self.record,
            "meaning": TAXONOMY[self.code].definition if self.code in TAXONOMY else None,
            "disposition": _disposition(str(disposition)) if disposition else None,
            "goal": list((self.mission or {}).get("goal") or ()),
            "entry": self.entry,
            "outcome": self.outcome,
            "question": self.question,
            "answered": self.answered,
            "would_pass": list(would_pass(self)),
            "commands": list(commands(self)),
        }


def part(record: Record, name: str) -> Record:
    """A member that is an object; empty where it is none."""
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def listed(record: Record, name: str) -> Sequence[Record]:
    """A member that is a list of objects; others in it are left out."""
    found = record.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _disposition(word: str) -> dict[str, str]:
    term = TERMS.get(f"disposition:{word}")
    return {"word": word, "definition": term.definition if term is not None else ""}


async def explained(driving: Driving, named: str) -> Explanation:
    """The call of that name: an evaluation id, the start of one, its number in the ledger, the id of the question about it, or `last`.

    Raises:
        NotFoundError: code `call_unknown`.
        BadInputError: code `call_ambiguous`.
    """
    record = await _found(driving, named)
    mission = str(part(record, "prompt").get("mission") or "")
    digest, evaluation = str(part(record, "action").get("digest") or ""), record.get("evaluation")
    goal: Record | None = None
    outcome: Record | None = None
    answered: Record | None = None
    async for one in _newest_first(driving):
        kind = one.get("kind")
        if kind == "outcome" and one.get("evaluation") == evaluation:
            outcome = one
        elif kind == "approval" and answered is None and one.get("digest") == digest and one.get("mission") == mission:
            answered = one
        elif kind == "mission" and one.get("mission") == mission and one["index"] < record["index"]:
            goal = one
            break
    waiting = await driving.approvals.waiting()
    question = next((one for one in waiting if one.digest == digest and one.mission == mission), None)
    return Explanation(record, goal, outcome, question, answered)


async def _found(driving: Driving, named: str) -> Record:
    near: dict[str, Record] = {}
    async for one in _newest_first(driving):
        if one.get("kind") == "approval" and one.get("asks") == "call" and one.get("approval") == named:
            return await _newest_of(driving, str(one.get("digest")), str(one.get("mission")))
        if one.get("kind") not in _JUDGED:
            continue
        evaluation = str(one.get("evaluation") or "")
        last = named == LAST and bool(part(one, "intent").get("code"))
        if last or evaluation == named or (named.isdecimal() and one["index"] == int(named)):
            return one
        if named and evaluation.startswith(named) and not named.isdecimal():
            near.setdefault(evaluation, one)
    if len(near) > 1:
        some = ", ".join(list(near)[:_LISTED])
        raise BadInputError("call_ambiguous", f"{named} names {len(near)} calls: {some}", "Give more of the id.")
    if near:
        return next(iter(near.values()))
    what = "No call was judged yet" if named == LAST else f"No call {named} is in the newest {MOST_RECORDS} records"
    raise NotFoundError("call_unknown", what, "Which calls there are: jittrust log; its first column names them too.")


async def _newest_of(driving: Driving, digest: str, mission: str) -> Record:
    async for one in _newest_first(driving):
        same = part(one, "action").get("digest") == digest and part(one, "prompt").get("mission") == mission
        if one.get("kind") in _JUDGED and same:
            return one
    raise NotFoundError("call_unknown", "The call of that question is not in the ledger any more", "jittrust log")


async def _newest_first(driving: Driving) -> AsyncIterator[dict[str, Any]]:
    note = await driving.ledger.checkpoint()
    end = parse_body(note.rpartition("\n\n")[0] + "\n").size if note else 0
    least = max(0, end - MOST_RECORDS)
    while end > least:
        begin = max(least, end - _PAGE)
        for entry in reversed(await driving.ledger.entries(begin, end - begin)):
            yield json.loads(entry)
        end = begin


def would_pass(found: Explanation) -> Sequence[str]:
    """What would have let it through, each said once; empty where it went through."""
    policy = part(found.record, "policy")
    if policy.get("ruling") == "allow":
        return ()
    said = (str(reason.get("would_pass") or "") for reason in listed(policy, "reasons"))
    return tuple(dict.fromkeys(one for one in said if one))


def commands(found: Explanation) -> Sequence[str]:
    """What a person may type now, the nearest first; empty where there is nothing to do."""
    policy, mission = part(found.record, "policy"), part(found.record, "prompt").get("mission")
    if policy.get("ruling") == "allow":
        return ()
    made: list[str] = []
    if found.question is not None:
        made.append(f"jittrust approve {found.question.id}")
    codes = {str(reason.get("code")) for reason in listed(policy, "reasons")}
    if mission and codes & {"outside_map", "outside_map_dangerous", "waits_for_person", "constraint_failed"}:
        made.append(f"jittrust mission approve {mission}")
    if mission and codes & {"refused_by_person"}:
        made.append(f"jittrust mission show {mission}")
    if codes & {"no_mission", "no_goal", "mission_not_active"}:
        made.append('jittrust mission start --goal "…"')
    if codes & {"session_suspended"}:
        made.append("jittrust approve")
    return tuple(made)
