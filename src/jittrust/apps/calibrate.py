"""Learns what is usual in a deployment from recordings of benign sessions, and sets the threshold from a friction budget.

Every goal is judged by what the others taught, so that the promise holds for goals that were never seen. A recording in which a call looks plainly
like somebody else's wish teaches nothing: it is left out and counted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.apps.replay import RecordedSession, WatchedCall, recorded_sessions, replay_session, shipped_rules
from jittrust.core.errors import BadInputError
from jittrust.core.intent.baseline import Baseline
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.learning import (
    JudgedCall,
    JudgedMission,
    extrapolated,
    folds,
    judged_call,
    learned,
    select,
    threshold,
)
from jittrust.core.intent.misaligned import MisalignedModel
from jittrust.core.model import Json
from jittrust.core.rules import Rules

ASKED = frozenset({"step_up", "defer", "deny"})
"""Verdicts that are friction for a benign call."""


@dataclass(frozen=True, slots=True)
class FrictionBudget:
    """Share of calls, and of missions, of which a person may be asked at most; 0..1."""

    calls: float = 0.02
    missions: float = 0.05


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learned: the baseline with its promise, how many missions it was learned from, and which were left out and why."""

    baseline: Baseline
    missions: int
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Friction:
    """What was counted: calls, those asked about, missions, those touched."""

    calls: int
    asked: int
    missions: int
    touched: int

    def plus(self, other: Friction) -> Friction:
        """Both together."""
        return Friction(
            self.calls + other.calls,
            self.asked + other.asked,
            self.missions + other.missions,
            self.touched + other.touched,
        )


def watch(sessions: Iterable[RecordedSession], rules: Rules) -> list[JudgedMission]:
    """Judge the sessions as they are judged without a baseline, and keep what was known of each call."""
    policy, found = CedarPolicy.load(), list[JudgedMission]()
    with asyncio.Runner() as runner:
        for session in sessions:
            calls: list[WatchedCall] = []
            runner.run(replay_session(session, policy, rules, watch=calls.append))
            if calls:
                found.append(JudgedMission(session.id, calls[0].goal.texts[0], tuple(map(_judged, calls))))
    return found


def fit(
    missions: Sequence[JudgedMission], budget: FrictionBudget, model: MisalignedModel, now: float = 0.0
) -> Calibration:
    """The baseline of the missions that may teach, with the threshold of the budget; nothing is promised yet. `now`: seconds, for what fades."""
    found = select(missions, model)
    made = replace(
        learned(found.missions, now),
        threshold=threshold(found.missions, budget.calls, budget.missions, model, now),
        calls_budget=budget.calls,
        missions_budget=budget.missions,
    )
    return Calibration(made, len(found.missions), found.left_out)


def promised(
    found: Calibration, missions: Sequence[JudgedMission], sessions: Mapping[str, RecordedSession], rules: Rules
) -> Calibration:
    """The same with what it promises: every goal judged, map included, by the baseline of the others. `sessions` by id."""
    whole = fewer = Friction(0, 0, 0, 0)
    parts = 0
    teaching = [one for one in missions if one.name not in found.left_out]
    for held, others, less in folds(missions):
        parts += 1
        mine = [sessions[one.name] for one in held]
        whole = whole.plus(friction(mine, _knowing(teaching, others, found.baseline.threshold, rules)))
        fewer = fewer.plus(friction(mine, _knowing(teaching, less, found.baseline.threshold, rules)))
    return with_promise(found, whole, fewer, parts)


def _knowing(teaching: Sequence[JudgedMission], some: Sequence[JudgedMission], limit: float, rules: Rules) -> Rules:
    """The rules with the baseline of those of `some` that may teach."""
    names = {one.name for one in some}
    made = learned([one for one in teaching if one.name in names])
    return replace(rules, baseline=replace(made, threshold=limit))


def with_promise(found: Calibration, seen: Friction, fewer: Friction, parts: int) -> Calibration:
    """The calibration with its promise: the friction counted on goals left out part by part (`seen`), and with one part less known (`fewer`)."""
    calls = extrapolated(seen.asked / max(1, seen.calls), fewer.asked / max(1, fewer.calls), parts)
    whole = extrapolated(seen.touched / max(1, seen.missions), fewer.touched / max(1, fewer.missions), parts)
    return replace(
        found,
        baseline=replace(
            found.baseline,
            calls_promised=calls,
            missions_promised=whole,
            calls_judged=seen.calls,
            missions_judged=seen.missions,
        ),
    )


def friction(sessions: Iterable[RecordedSession], rules: Rules) -> Friction:
    """How often a person is asked, or the call refused, in these sessions under these rules."""
    policy = CedarPolicy.load()
    calls = asked = judged = touched = 0
    with asyncio.Runner() as runner:
        for session in sessions:
            rows = runner.run(replay_session(session, policy, rules))
            stopped = sum(row["verdict"] in ASKED for row in rows)
            asked, calls, touched, judged = asked + stopped, calls + len(rows), touched + bool(stopped), judged + 1
    return Friction(calls, asked, judged, touched)


def calibrate(paths: Sequence[Path], budget: FrictionBudget) -> Calibration:
    """Learn from files of recorded sessions, and measure what the baseline will ask: every goal by the baseline of the others.

    Raises:
        BadInputError: code `replay_missing`, `replay_line`; `baseline_empty` when no clean mission is left.
    """
    rules, sessions = shipped_rules(), list[RecordedSession]()
    for path in paths:
        try:
            with path.open("rb") as source:
                sessions.extend(recorded_sessions(source, str(path)))
        except OSError as error:
            raise BadInputError(
                "replay_missing", f"{path} cannot be read: {error.strerror}", "Name a JSON Lines file."
            ) from None
    named = [replace(session, id=f"{number}:{session.id}") for number, session in enumerate(sessions, 1)]
    missions = watch(named, rules)
    found = fit(missions, budget, rules.model)
    if not found.missions:
        raise BadInputError(
            "baseline_empty", "no clean mission is in the recordings", "Record some in observe mode first."
        )
    return promised(found, missions, {session.id: session for session in named}, rules)


def _judged(call: WatchedCall) -> JudgedCall:
    goal = read_goal(call.goal)
    return judged_call(
        goal, call.tool, call.reading, call.origins, call.attribution, call.keys, call.before, call.setting
    )


def _percent(share: float, of: int) -> str:
    """A share with its Wilson interval at 95 %, as people read it."""
    z = 1.959964
    if not of:
        return "an unknown share"
    middle, spread = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = (max(0.0, (middle + side * spread) / (1 + z * z / of)) for side in (-1, 1))
    return f"{100 * share:.1f} % ({100 * low:.1f}–{100 * min(1.0, high):.1f})"


def as_row(found: Calibration) -> dict[str, Json]:
    """What is printed of it."""
    made = found.baseline
    return {
        "missions": found.missions,
        "left_out": len(found.left_out),
        "why_left_out": dict(found.left_out),
        "goals": made.goals,
        "tools": len(made.tools),
        "threshold": round(made.threshold, 4),
        "calls_promised_pct": round(100 * made.calls_promised, 2),
        "missions_promised_pct": round(100 * made.missions_promised, 2),
        "calls_promised": _percent(made.calls_promised, made.calls_judged),
        "missions_promised": _percent(made.missions_promised, made.missions_judged),
        "calls_judged": made.calls_judged,
        "missions_judged": made.missions_judged,
    }
