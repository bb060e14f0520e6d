"""What a deployment's own ledger tells: missions that closed clean and may teach, and what observing would have stopped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from jittrust.apps.calibrate import Calibration, Friction, FrictionBudget, fit, with_promise
from jittrust.core.errors import BadInputError
from jittrust.core.intent.alignment import AUTHORITY_ROLES
from jittrust.core.intent.baseline import Baseline
from jittrust.core.intent.learning import JudgedCall, JudgedMission, folds, learnable_of, learned, would_ask
from jittrust.core.intent.misaligned import MisalignedModel
from jittrust.core.intent.origin import Origin
from jittrust.core.mission.states import ENDED, MissionState
from jittrust.core.model import Response, Ruling

_ASKED: Final = frozenset({Ruling.STEP_UP, Ruling.DEFER, Ruling.DENY})
_FLAGGED: Final = frozenset({Response.FLAG, Response.NARROW, Response.SUSPEND, Response.KILL})
_SERIOUS: Final = frozenset(
    {
        "stopped",
        "pass_reused",
        "policy_forbids",
        "never_trusted",
        "outside_map_dangerous",
        "tool_changed",
        "tool_unknown",
        "refused_by_person",
        "identity_not_active",
    }
)
"""Reasons after which a mission teaches nothing, whatever became of it."""


@dataclass(frozen=True, slots=True)
class LedgerCall:
    """One judged call as the ledger has it. `judged` is None where the record says too little to learn from.

    `strangers`: the tools in whose free text a value stood that decides who gains or what is touched.
    """

    at: float
    agent: str
    resource: str
    intent: str
    ruling: Ruling
    codes: tuple[str, ...]
    observed: bool
    response: Response
    judged: JudgedCall | None
    strangers: tuple[str, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether a person was, or would have been, asked, or the call refused."""
        return self.ruling in _ASKED and "approved_by_person" not in self.codes


@dataclass(slots=True)
class LedgerMission:
    """One mission as the ledger has it."""

    id: str
    goal: str = ""
    person: str = ""
    state: MissionState = MissionState.ACTIVE
    observe: bool = False
    began: float = 0.0
    denied: bool = False
    suspended: bool = False
    calls: list[LedgerCall] = field(default_factory=list)

    @property
    def source(self) -> str:
        """Whose work it was: the agent that called most."""
        agents = Counter(call.agent for call in self.calls)
        return agents.most_common(1)[0][0] if agents else ""


def ledger_missions(entries: Iterable[bytes]) -> Mapping[str, LedgerMission]:
    """Every mission that the records (canonical JSON, oldest first) tell of, by id."""
    found: dict[str, LedgerMission] = {}
    for entry in entries:
        record: Mapping[str, Any] = json.loads(entry)
        kind = record.get("kind")
        if kind == "mission":
            _mission(record, found)
        elif kind in ("use", "refusal"):
            _call(record, found)
        elif kind == "approval":
            _approval(record, found)
    return found


def teachable(missions: Iterable[LedgerMission], since: float = 0.0) -> tuple[list[LedgerMission], dict[str, str]]:
    """The missions that closed clean, and of the others that had calls why they teach nothing. `since`: began later than this, in seconds."""
    kept: list[LedgerMission] = []
    left: dict[str, str] = {}
    for one in missions:
        if not one.calls or one.began < since:
            continue
        why = _unclean(one)
        if why:
            left[one.id] = why
        else:
            kept.append(one)
    return kept, left


def learn_observed(
    missions: Iterable[LedgerMission], budget: FrictionBudget, model: MisalignedModel, now: float, days: float
) -> Calibration:
    """The baseline that the missions of the last `days` teach, with its promise as far as records tell (see `would_ask`).

    Raises:
        BadInputError: code `baseline_empty`.
    """
    kept, left = teachable(missions, now - days * 86_400.0)
    calls = {one.id: [call for call in one.calls if call.judged is not None] for one in kept}
    taught = [
        JudgedMission(
            one.id,
            one.goal,
            tuple(call.judged for call in calls[one.id] if call.judged),
            one.source,
            one.began,
            one.person,
        )
        for one in kept
    ]
    found = fit(taught, budget, model, now)
    left |= found.left_out
    if not found.missions:
        raise BadInputError(
            "baseline_empty",
            f"no mission of the last {days:g} days closed clean and can teach; {len(left)} were left out",
            "See why: jittrust calibrate --observed --out FILE --json",
        )
    teaching = [one for one in taught if one.name not in left]
    seen = fewer = Friction(0, 0, 0, 0)
    parts = 0
    for held, others, less in folds(teaching):
        parts += 1
        limit = found.baseline.threshold
        seen = seen.plus(_would_ask(held, calls, replace(learned(others, now), threshold=limit), model))
        fewer = fewer.plus(_would_ask(held, calls, replace(learned(less, now), threshold=limit), model))
    return replace(with_promise(found, seen, fewer, parts), left_out=left)


def _would_ask(
    held: Sequence[JudgedMission],
    calls: Mapping[str, Sequence[LedgerCall]],
    baseline: Baseline,
    model: MisalignedModel,
) -> Friction:
    found = Friction(0, 0, 0, 0)
    for one in held:
        asked = sum(
            would_ask(call.judged, frozenset(call.codes), baseline, model, asked=call.asked)
            for call in calls[one.name]
            if call.judged is not None
        )
        found = found.plus(Friction(len(calls[one.name]), asked, 1, int(asked > 0)))
    return found


def _unclean(one: LedgerMission) -> str:
    worst = next((call for call in one.calls if call.response in _FLAGGED), None)
    serious = next((code for call in one.calls for code in call.codes if code in _SERIOUS), "")
    if one.state not in ENDED:
        return "it still runs"
    if one.state in (MissionState.TERMINATED, MissionState.WITHDRAWN):
        return f"it was {one.state}"
    if one.denied:
        return "a person said no to a question of it"
    if one.suspended:
        return "it was suspended"
    if serious:
        return f"a call was refused: {serious}"
    if worst is not None:
        return f"it was flagged ({worst.response}) at {worst.resource}"
    if not one.goal.strip():
        return "nobody stated a goal"
    if any(call.judged is None for call in one.calls):
        return "a record says too little: an older version wrote it, or what came back before was not known"
    return ""


def _mission(record: Mapping[str, Any], found: dict[str, LedgerMission]) -> None:
    name, goal = str(record.get("mission")), record.get("goal")
    one = found.setdefault(name, LedgerMission(name, began=_seconds(record)))
    if not one.goal and isinstance(goal, list) and goal:
        one.goal = str(goal[0])
    one.person = str(record.get("person", one.person))
    one.observe = record.get("observe") is True
    state = record.get("state")
    one.state = MissionState(state) if state in set(MissionState) else one.state
    one.suspended = one.suspended or one.state is MissionState.SUSPENDED


def _call(record: Mapping[str, Any], found: dict[str, LedgerMission]) -> None:
    prompt, intent, policy, action = (_part(record, name) for name in ("prompt", "intent", "policy", "action"))
    name, code = prompt.get("mission"), intent.get("code")
    if not name or not code:
        return  # what is no act, or stands under no mission
    one = found.setdefault(str(name), LedgerMission(str(name), began=_seconds(record)))
    reasons = policy.get("reasons")
    ruling, response = policy.get("ruling"), record.get("response")
    one.calls.append(
        LedgerCall(
            at=_seconds(record),
            agent=str(_part(record, "subject").get("id", "")),
            resource=str(action.get("resource", "")),
            intent=str(code),
            ruling=Ruling(ruling) if ruling in set(Ruling) else Ruling.DENY,
            codes=tuple(str(reason.get("code")) for reason in reasons if isinstance(reason, Mapping))
            if isinstance(reasons, Sequence)
            else (),
            observed=policy.get("observed") is True,
            response=Response(response) if response in set(Response) else Response.NONE,
            judged=learnable_of(intent.get("learnable")),
            strangers=_strangers(intent.get("origins")),
        )
    )


def _strangers(origins: object) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for one in origins if isinstance(origins, list) else ():
        if isinstance(one, Mapping) and one.get("origin") == Origin.FREE_TEXT and one.get("role") in AUTHORITY_ROLES:
            found[str(one.get("source", "")).partition("#")[0]] = None
    return tuple(name for name in found if name)


def _approval(record: Mapping[str, Any], found: dict[str, LedgerMission]) -> None:
    one = found.get(str(record.get("mission")))
    if one is not None and record.get("state") == "denied":
        one.denied = True


def _seconds(record: Mapping[str, Any]) -> float:
    at = record.get("at")
    return at / 1000 if isinstance(at, int | float) else 0.0


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}
