"""What a person is asked when an agent wants a mission: the map, in plain words, and the digest of all of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.authority.propose import propose
from jittrust.core.grant import wire
from jittrust.core.intent.reading import Effect, classify
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.words import one_line
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.model import Json, Tool
from jittrust.core.oauth.authorize import goes_to, plain_words
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.details import MISSION_TYPE, authority_of
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.request import AuthorizationRequest, RequestKind
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.consents import ConsentRow

NAME_SHOWN: Final = 80
GOAL_SHOWN: Final = 4_000
TOOLS_SHOWN: Final = 64
NEVER_SHOWN: Final = 12
_TEXT_SHOWN: Final = 200
_MARKS: Final[Mapping[Effect, str]] = {
    Effect.MONEY: "spends money",
    Effect.OUTWARD: "sends data to somebody else",
    Effect.DESTRUCTIVE: "destroys what cannot be brought back",
    Effect.PERMISSION: "changes who may do what",
    Effect.SECRET: "handles secrets",
    Effect.EXECUTES: "runs programs",
    Effect.NOTIFIES: "notifies somebody",
}
_SAME_SCRIPT: Final = "letters of two alphabets, invisible or direction-changing characters"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a yes would make true.

    Attributes:
        goal: the goal's words.
        entries: the map, exactly.
        mission: the current mission it would go on under; None = a new one.
        later: see `AuthorizationRequest`.
        minutes, gas, uses, lanes: at most.
        unknown: tools that were asked for and are not known here.
    """

    goal: str
    entries: tuple[AuthorityEntry, ...]
    mission: Mission | None
    later: bool
    minutes: int
    gas: int
    uses: int
    lanes: int
    unknown: tuple[str, ...] = ()


def drafted(
    request: AuthorizationRequest,
    person: str,
    also: frozenset[str],
    tools: Mapping[str, Tool],
    current: Mission | None,
    rules: Rules,
    now: Instant,
) -> Draft | None:
    """What a yes to the request as it stands would make true; None while nobody has said a goal.

    `also`: optional entries that the person chose. In a back channel there is nothing to choose from: what the client asks for itself is what the
    question is about, so that a yes gives it. Calls that are asked for without a goal need one: a part of the current mission would be a part of the
    first grant only, and not of those that renew it.
    """
    of_server = f"{request.resource}/" if request.resource else ""
    offered = {name: tools[name] for name in sorted(tools) if name.startswith(of_server)}
    gas = min(request.gas or rules.grants.gas, rules.grants.gas)
    lanes = min(max(request.lanes, 1), rules.grants.lanes_most)
    if not request.goal:
        calls = any(item["type"] == wire.AUTHORIZATION_TYPE for item in request.details)
        if calls or current is None or not current.goal.stated:
            return None
        kept = tuple(entry for entry in current.authority.entries if entry.tool.startswith(of_server))
        left = max(1, math.ceil((current.expires - now) / 60))
        most = min(lanes, max(current.authority.lanes, rules.grants.lanes))
        return Draft(
            current.goal.text, kept, current, later=False, minutes=left, gas=gas, uses=request.uses, lanes=most
        )
    longest = rules.grants.mission_minutes
    minutes = min(request.minutes or longest, longest)
    goal = Goal((request.goal,), GoalSource.CONSENT)
    planned = propose(goal, tuple(offered.values()), rules.proposal)
    asked, unknown = _asked(request.details, planned, offered)
    calls = bool(asked or unknown)
    chosen = {entry.id for entry in asked} if request.kind is RequestKind.BACKCHANNEL else also
    entries = tuple(
        replace(entry, state=EntryState.APPROVED, approved_by=person)
        if entry.id in chosen and entry.state is EntryState.PROPOSED
        else entry
        for entry in (asked if calls else planned)
    )
    later = not offered and not calls
    return Draft(request.goal, entries, None, later, minutes, gas, request.uses, lanes, unknown)


def _asked(
    details: tuple[Mapping[str, Json], ...], planned: Sequence[AuthorityEntry], tools: Mapping[str, Tool]
) -> tuple[tuple[AuthorityEntry, ...], tuple[str, ...]]:
    """The calls that the client asks for: given as far as the goal gives them anyway, otherwise proposed; and those of tools nobody knows here."""
    found: list[AuthorityEntry] = []
    unknown: list[str] = []
    goal_gives = AuthorityMap(tuple(planned), lanes=1)
    for at, item in enumerate(details):
        if item["type"] != wire.AUTHORIZATION_TYPE:
            continue
        name = str(item["identifier"])
        if name not in tools:
            unknown.append(one_line(name, NAME_SHOWN))
            continue
        try:
            given = authority_of((item,), goal_gives)
            why = ""
        except OAuthError:
            given = authority_of((item,), _anything(tools[name], item))
            why = "The client asks for it; the goal's words do not give it."
        for place, entry in enumerate(given.entries if given is not None else ()):
            made = replace(entry, id=f"e-{at}-{place}")
            found.append(replace(made, state=EntryState.PROPOSED, approved_by="", why=why) if why else made)
    return tuple(found), tuple(dict.fromkeys(unknown))


def check_calls(details: tuple[Mapping[str, Json], ...]) -> None:
    """Refuse calls that nobody could judge later, such as with a bad pattern. Raises OAuthError: `invalid_authorization_details`."""
    for item in details:
        if item["type"] == wire.AUTHORIZATION_TYPE:
            server, _, name = str(item["identifier"]).partition("/")
            authority_of((item,), _anything(Tool(server, name, ""), item))


def risk_of(entries: Iterable[AuthorityEntry], tools: Mapping[str, Tool]) -> int:
    """Base risk of the worst that a yes gives, in per cent; what nobody knows is the worst."""
    given = [tools.get(entry.tool) for entry in entries if entry.state is EntryState.APPROVED]
    return max(
        (100 if one is None else round(TAXONOMY[classify(one, {}).intent].base_risk * 100) for one in given), default=0
    )


def _anything(tool: Tool, item: Mapping[str, Json]) -> AuthorityMap:
    actions = item["actions"]
    named = actions if isinstance(actions, list | tuple) else ()
    return AuthorityMap(
        tuple(
            AuthorityEntry(f"e-{at}", tool.id, str(action), state=EntryState.APPROVED, pin=tool.pin)
            for at, action in enumerate(named)
        )
    )


def granted_details(request: AuthorizationRequest) -> tuple[Mapping[str, Json], ...]:
    """The request's details as they were granted: calls that are not in the map are gone, and the goal is the person's (RFC 9396 §7)."""
    within = AuthorityMap(request.entries)
    kept: list[Mapping[str, Json]] = []
    for item in request.details:
        if item["type"] == MISSION_TYPE:
            kept.append({**item, "goal": request.goal} if request.goal else item)
            continue
        try:
            authority_of((*kept, item), within)
        except OAuthError:
            continue
        kept.append(item)
    return tuple(kept)


def question_digest(
    request: AuthorizationRequest, person: str, goal: str, mission: Mission | None, lasts: Sequence[int]
) -> str:
    """SHA-256 over everything that a yes would make true and everything that decides who gets it. 64 hex digits."""
    told = {
        "request": request.id,
        "kind": request.kind,
        "client": request.client,
        "agent": request.agent,
        "redirect_uri": request.redirect_uri,
        "challenge": request.challenge,
        "jkt": request.jkt,
        "resource": request.resource,
        "details": [_plain(item) for item in request.details],
        "message": request.message,
        "person": person,
        "goal": goal,
        "entries": [_plain(asdict(entry)) for entry in request.entries],
        "later": request.later,
        "mission": None if mission is None else [mission.id, mission.generation],
        "lasts": list(lasts),
    }
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(b"jittrust consent\x00" + text.encode("ascii")).hexdigest()


def _plain(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value


def rows_of(
    entries: Iterable[AuthorityEntry], tools: Mapping[str, Tool], person: str, *, page: bool
) -> tuple[ConsentRow, ...]:
    """The map in plain words: what has consequences first, then what only reads, then what is asked about when it comes to it.

    `page`: the person can tick what the goal does not give.
    """
    rows = []
    for entry in entries:
        if entry.state is EntryState.REFUSED:
            continue
        tool = tools.get(entry.tool)
        does, marks = _does(tool)
        mine = entry.approved_by == person
        rows.append(
            ConsentRow(
                entry=entry.id,
                tool=one_line(entry.tool, NAME_SHOWN),
                does=does,
                marks=marks,
                limits=_limits(entry),
                why=one_line(entry.why, _TEXT_SHOWN),
                asked=entry.why.startswith("The client asks for it"),
                given=entry.state is EntryState.APPROVED,
                optional=page and (entry.state is EntryState.PROPOSED or mine),
            )
        )
    return tuple(sorted(rows, key=lambda row: (not (row.given or row.asked), not row.marks, row.tool, row.entry)))


def _does(tool: Tool | None) -> tuple[str, tuple[str, ...]]:
    if tool is None:
        return "Nobody knows yet what it does.", ("its effect is not known",)
    reading = classify(tool, {})
    marks = [words for effect, words in _MARKS.items() if effect in reading.effects]
    if reading.consequential and not marks:
        marks = ["changes something"]
    elif reading.open_world and not marks:
        marks = ["reaches outside"]
    return TAXONOMY[reading.intent].definition, tuple(marks)


def _limits(entry: AuthorityEntry) -> str:
    told = []
    if entry.resource:
        told.append(f"only on {one_line(entry.resource, _TEXT_SHOWN)}")
    if entry.constraints:
        told.append(f"only with {one_line(json.dumps(_plain(entry.constraints), ensure_ascii=False), _TEXT_SHOWN)}")
    if entry.uses_left is not None:
        told.append(f"{entry.uses_left} times" if entry.uses_left != 1 else "once")
    return "; ".join(told)


def never_of(
    request: AuthorizationRequest, entries: Sequence[AuthorityEntry], tools: Mapping[str, Tool]
) -> tuple[str, ...]:
    """Known tools that are in no entry, those with consequences first."""
    named = {entry.tool for entry in entries if entry.state is not EntryState.REFUSED}
    of_server = f"{request.resource}/" if request.resource else ""
    left = [tool for name, tool in tools.items() if name.startswith(of_server) and name not in named]
    left.sort(key=lambda tool: (not classify(tool, {}).consequential, tool.id))
    return tuple(one_line(tool.id, NAME_SHOWN) for tool in left)


def worth(gas: int, rules: Rules) -> tuple[int, int]:
    """About how many plain reads, or how many payments, so much gas pays for."""
    cost = rules.price
    payment = (cost.act + cost.harm) * (1.0 + cost.sensitivity)
    return int(gas // max(cost.read, 1.0)), int(gas // payment)


def client_told(client: OAuthClient, redirect_uri: str, *, open_to_all: bool) -> tuple[str, str, bool, bool, bool]:
    """Name, host, whether that is this machine, whether its operator is known, whether its name was changed to be safe.

    `open_to_all`: anybody may register a client, so that being registered says nothing.
    """
    name, changed = plain_words(client.name or client.id, NAME_SHOWN)
    host, local = goes_to(redirect_uri) if redirect_uri else ("no browser", False)
    registered = client.source is ClientSource.REGISTERED and client.method is not ClientMethod.NONE and not open_to_all
    verified = not local and (client.source is ClientSource.SPIFFE or registered)
    return name, host, local, verified, changed


def warnings_of(
    draft: Draft | None,
    *,
    verified: bool,
    changed: bool,
    reworded: bool,
) -> tuple[str, ...]:
    """What a careful person should know, a sentence each."""
    told = []
    if not verified:
        told.append("Nobody has verified who runs this client: its name is what it says of itself.")
    if changed:
        told.append(f"The client's name had {_SAME_SCRIPT}. Take it for a fake.")
    if reworded:
        told.append(f"The goal as it was proposed had {_SAME_SCRIPT}; they were removed.")
    if draft is not None and draft.later:
        told.append(
            "None of its tools is known here yet: what these words name will be allowed, anything else asks you."
        )
    if draft is not None and draft.unknown:
        told.append(
            f"It also asked for what is not known here and is not given: {', '.join(draft.unknown[:NEVER_SHOWN])}."
        )
    return tuple(told)


def question_text(
    request: AuthorizationRequest,
    client: str,
    host: str,
    person: str,
    draft: Draft,
    rows: Sequence[ConsentRow],
    never: int,
    rules: Rules,
) -> str:
    """The whole question, a line for each part; no part can hold a line break of its own."""
    reads, payments = worth(draft.gas, rules)
    given = [row for row in rows if row.given]
    later = [row for row in rows if not row.given]
    lines = [
        f"Client   {client} ({one_line(request.client, _TEXT_SHOWN)}), answers go to {host}",
        f"For      {one_line(person, _TEXT_SHOWN)}",
        f"Goal     {one_line(draft.goal, GOAL_SHOWN)}",
        *([f"Under    your current mission {draft.mission.id}"] if draft.mission is not None else []),
        *([f"Message  {one_line(request.message, _TEXT_SHOWN)}"] if request.message else []),
        *(_told("May     ", given) or ["May      nothing yet"]),
        *_told("Asks    ", later),
        *(["Later    tools that turn up, as far as the goal names them"] if draft.later else []),
        f"Not      {never} other tools" if never else "Not      anything else",
        f"For      {draft.minutes} minutes, {draft.gas} gas at a time (about {reads} reads or {payments} payments)"
        + (f", {draft.uses} calls at most" if draft.uses else ""),
        f"Answers  {one_line(request.redirect_uri, _TEXT_SHOWN) or 'to the client itself, no browser'}",
    ]
    return "\n".join(lines)


def _told(head: str, rows: Sequence[ConsentRow]) -> list[str]:
    lines = []
    for row in rows[:TOOLS_SHOWN]:
        marks = f" (! {', '.join(row.marks)})" if row.marks else ""
        limits = f", {row.limits}" if row.limits else ""
        asked = ", asked for beyond the goal" if row.asked else ""
        lines.append(f"{head} {row.tool}{marks}{limits}{asked}")
    if len(rows) > TOOLS_SHOWN:
        lines.append(f"{head} and {len(rows) - TOOLS_SHOWN} more")
    return lines
