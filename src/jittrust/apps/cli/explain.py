"""`jittrust explain`: one page about one call: what it was, where its arguments came from, what spoke against it, what would let it pass."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import emit, moment, say
from jittrust.apps.cli.reach import asked
from jittrust.apps.explanation import Explanation, Record, commands, explained, listed, part, would_pass
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.taxonomy_terms import TERMS

_NARROWEST: Final = 36
_WIDEST: Final = 110
_HEAVIEST: Final = 3
_RULINGS: Final[Mapping[str, str]] = {
    "allow": "let through",
    "modify": "let through, changed",
    "step_up": "a person is asked",
    "defer": "put off",
    "deny": "refused",
}
_ORIGINS: Final[Mapping[str, str]] = {
    "goal": "stands in the request",
    "operator": "stands in the operator's text",
    "endorsed": "came from {source}, a source that the person endorsed",
    "field": "was a field of what {source} returned",
    "free_text": "first appeared in free text of {source}, not in the request",
    "unseen": "was named by nobody: the agent made it up",
}
_FACTORS: Final[Mapping[str, str]] = {"O": "serves the goal", "C": "usual for this agent", "R": "harm if malicious"}


def explain(
    call: Annotated[
        str,
        typer.Argument(
            metavar="CALL", help="Id of a call or the start of one, its number in the log, a question's id, or `last`."
        ),
    ] = "last",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Explain one call: the goal, the map, where each argument came from, the score, what was decided and what would let it pass.

    [bold]For example[/bold]

      jittrust explain last

      jittrust explain 118 --json
    """
    found = asked(state, lambda driving: explained(driving, call))
    if as_json:
        emit(found.told())
        return DONE
    for line in page(found, shutil.get_terminal_size((100, 24)).columns):
        say(line)
    return DONE


def page(found: Explanation, columns: int) -> Iterator[str]:
    """The page, line by line, for a terminal of so many columns."""
    width = max(_NARROWEST, min(_WIDEST, columns))
    for number, (head, lines) in enumerate(_sections(found)):
        if not lines:
            continue
        if number:
            yield ""
        yield from _wrapped(head, width, "")
        for line in lines:
            yield from _wrapped(line, width, "  ")


def _wrapped(text: str, width: int, indent: str) -> Iterator[str]:
    """A line, wrapped with its continuation further in; `- ` in front stays in front."""
    further = indent + "  "
    yield from textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=further, break_on_hyphens=False) or [
        ""
    ]


def _sections(found: Explanation) -> Iterator[tuple[str, Sequence[str]]]:
    record = found.record
    intent, policy = part(record, "intent"), part(record, "policy")
    ruling = str(policy.get("ruling") or "")
    decided = _RULINGS.get(ruling, ruling)
    observed = " (only observed, so it went through)" if policy.get("observed") and record.get("kind") == "use" else ""
    yield f"{part(record, 'action').get('resource')}: {decided}{observed}", list(_head(found))
    yield "What it is", list(_act(found.code, intent))
    yield "The request", list(_goal(found, intent))
    yield "The map", list(_map(found, policy))
    yield "Its arguments", list(_arguments(intent))
    yield "Its score", list(_score(intent))
    yield "What speaks against it", list(_against(intent))
    yield "What was decided, and why", list(_reasons(found, policy))
    yield "What would let it pass", [f"- {one}" for one in would_pass(found)]
    yield "Next", list(commands(found))


def _head(found: Explanation) -> Iterator[str]:
    record, prompt = found.record, part(found.record, "prompt")
    at = record.get("at")
    when = moment(at / 1000) if isinstance(at, int) else "-"
    who = part(record, "subject").get("id") or "an agent that is not known"
    yield f"Call {record.get('evaluation')}, number {record.get('index')} in the ledger, {when}"
    yield f"By {who} for {prompt.get('person') or 'nobody'} in {prompt.get('mission') or 'no mission'}"
    if found.outcome is not None:
        yield f"It ended: {found.outcome.get('settled')}"


def _act(code: str, intent: Record) -> Iterator[str]:
    if code in TAXONOMY:
        yield f"{code}: {TAXONOMY[code].definition}"
    elif code:
        yield code
    disposition = intent.get("disposition")
    term = TERMS.get(f"disposition:{disposition}")
    if term is not None:
        yield f"To the request it is {str(disposition).replace('_', ' ')}: {term.definition}"


def _goal(found: Explanation, intent: Record) -> Iterator[str]:
    if found.mission is not None and not any(found.mission.get("goal") or ()):
        yield "Nobody has said what this is for."
        return
    clause = part(intent, "clause")
    if clause:
        yield f"Nearest is sentence {clause.get('number')}: “{clause.get('words')}”"
    elif "version" in intent:
        yield "No sentence of it says anything of this call."
    elif found.mission is not None:
        yield f"“{' / '.join(map(str, found.mission.get('goal') or ()))}”"


def _map(found: Explanation, policy: Record) -> Iterator[str]:
    entry = found.entry
    if entry is not None:
        by = str(entry.get("approved_by") or "nobody")
        who = f"the rule {by.removeprefix('policy:')}" if by.startswith("policy:") else by
        yield f"Entry {entry.get('id')} covers it, approved by {who}: {entry.get('why') or 'no reason was given'}"
    elif policy.get("entry"):
        yield f"Entry {policy.get('entry')} covers it; what it says lies too far back in the ledger."
    else:
        yield "No approved entry covers it."
    for name in ("permits", "forbids"):
        rules = policy.get(name)
        if rules and isinstance(rules, list):
            yield f"Written policy {name} it: {', '.join(map(str, rules))}"


def _arguments(intent: Record) -> Iterator[str]:
    origins = intent.get("origins")
    if origins is None and "code" in intent and intent.get("code"):
        yield "Where they came from is not known."
    for one in listed(intent, "origins"):
        where = _ORIGINS.get(str(one.get("origin")))
        if where is None:
            continue
        path, _, inside = str(one.get("path")).partition("#")
        name = ".".join(piece for piece in path.split("/") if piece) or "the arguments"
        begins = f" {one['begins']}" if one.get("begins") else ""
        within = "an address in " if inside else ""
        source = one.get("source") or "a result"
        yield f"{within}{name}{begins} ({one.get('role')}) {where.format(source=source)}"


def _score(intent: Record) -> Iterator[str]:
    factors = part(intent, "factors")
    for name, meaning in _FACTORS.items():
        one = part(factors, name)
        if one:
            yield f"{name} {_number(one.get('value'))}, {meaning}: {one.get('why')}"
    validity = part(factors, "T")
    if validity:
        yield f"T {validity.get('seconds')} s, since a person last confirmed it: {validity.get('why')}"
    if intent.get("wis") is not None:
        yield f"Weighted Intent Score {_number(intent['wis'], 1)} of 100"
    if intent.get("drift") is not None:
        yield f"Drift {_number(intent['drift'])} of 1"


def _against(intent: Record) -> Iterator[str]:
    misaligned = part(intent, "misaligned")
    if misaligned and misaligned.get("value") is not None:
        yield f"Somebody else's wish: {_number(misaligned['value'])} of 1"
        parts = [one.strip(" .") for one in str(misaligned.get("why") or "").split(";")]
        yield from (f"- {one}" for one in parts[:_HEAVIEST] if one)
    sentence = part(intent, "sentence")
    if sentence:
        what = "asks for such an act" if sentence.get("ordered") else "is the nearest of what tools returned"
        yield f"A sentence in {sentence.get('source')} {what}: “{sentence.get('words')}”"
    finding = part(intent, "finding")
    if finding:
        yield f"{finding.get('source')} reads like orders to a model ({finding.get('value')} of 1): “{finding.get('quote')}”"
    flow = part(intent, "flow")
    if flow.get("untrusted") or flow.get("private"):
        met = (("a stranger's text", "untrusted"), ("private data", "private"), ("a way out", "outward"))
        yield "Met in this mission: " + "; ".join(f"{what} ({flow[name]})" for what, name in met if flow.get(name))
    for name in ("cascade", "dialogue"):
        one = part(intent, name)
        if one:
            yield str(one.get("why"))
    judge = part(intent, "judge")
    if judge:
        answer = (
            f"gave no answer ({judge['no_answer']})"
            if "no_answer" in judge
            else f"finds it {judge.get('relation')} (confidence {judge.get('confidence')})"
        )
        yield f"The judge {judge.get('model')} {answer}"


def _number(value: object, places: int = 2) -> str:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.{places}f}" if known else "unknown"


def _reasons(found: Explanation, policy: Record) -> Iterator[str]:
    for reason in listed(policy, "reasons"):
        fact = str(reason.get("fact") or "")
        yield f"- {reason.get('code')}" + (f": {fact}" if fact else "")
    asked_for = found.answered
    if asked_for is not None:
        by = f" by {asked_for['answered_by']}" if asked_for.get("answered_by") else ""
        yield f"The question {asked_for.get('approval')} about it is {asked_for.get('state')}{by}."
