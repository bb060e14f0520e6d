"""Learns what is usual in a deployment from recordings of benign sessions, and sets the threshold from a friction budget.

Every goal is judged by what the others taught, so that the promise holds for goals that were never seen. A recording in which a call looks plainly
like somebody else's wish teaches nothing: it is left out and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.apps.replay import RecordedSession, WatchedCall, recorded_sessions, replay_session, shipped_rules
from jittrust.core.errors import BadInputError
from jittrust.core.intent.baseline import (
    NO_BASELINE,
    Baseline,
    SeenCall,
    conformal,
    learn,
    seen_call,
    surprise,
)
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.misaligned import MisalignedModel, misaligned, signs
from jittrust.core.model import Json
from jittrust.core.rules import Rules

FOLDS = 20
LEAVE_OUT_FROM = 0.97
"""Probability from which a recording teaches nothing."""
MOST = 0.8
"""Highest threshold, whatever the budget: a call that is plainly somebody else's wish is asked about."""
_ASKED = frozenset({"step_up", "defer", "deny"})


@dataclass(frozen=True, slots=True)
class WatchedMission:
    """One recorded session, judged without a baseline: its goal, as first said, and its calls."""

    session: str
    goal: str
    calls: tuple[WatchedCall, ...]


@dataclass(frozen=True, slots=True)
class FrictionBudget:
    """Share of calls, and of missions, of which a person may be asked at most; 0..1."""

    calls: float = 0.02
    missions: float = 0.05


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learned: the baseline with its promise, and how much it was learned from."""

    baseline: Baseline
    missions: int
    left_out: int


def watch(sessions: Iterable[RecordedSession], rules: Rules) -> list[WatchedMission]:
    """Judge the sessions as they are judged without a baseline, and keep what was known of each call."""
    policy, found = CedarPolicy.load(), list[WatchedMission]()
    with asyncio.Runner() as runner:
        for session in sessions:
            calls: list[WatchedCall] = []
            runner.run(replay_session(session, policy, rules, watch=calls.append))
            if calls:
                found.append(WatchedMission(session.id, calls[0].goal.texts[0], tuple(calls)))
    return found


def fit(
    missions: Sequence[WatchedMission], budget: FrictionBudget, model: MisalignedModel, most: float = MOST
) -> Calibration:
    """The baseline of the missions; its threshold is the conformal quantile of what each goal scores by the others' baseline."""
    clean = [one for one in missions if max(_scores(one, NO_BASELINE, model), default=0.0) <= LEAVE_OUT_FROM]
    calls: list[float] = []
    worst: list[float] = []
    for held, others in _folds(clean):
        baseline = _learned(others)
        for one in held:
            scores = _scores(one, baseline, model)
            calls.extend(scores)
            worst.append(max(scores, default=0.0))
    # Which is the looser of the two keeps both promises; from too few missions nothing can be promised, and the shipped threshold stays.
    threshold = max(conformal(calls, budget.calls), conformal(worst, budget.missions))
    return Calibration(replace(_learned(clean), threshold=min(threshold, most)), len(clean), len(missions) - len(clean))


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
    missions = watch(sessions, rules)
    found = fit(missions, budget, rules.model)
    if not found.missions:
        raise BadInputError(
            "baseline_empty", "no clean mission is in the recordings", "Record some in observe mode first."
        )
    by_id = {session.id: session for session in sessions}
    asked = calls = touched = judged = 0
    policy = CedarPolicy.load()
    with asyncio.Runner() as runner:
        for held, others in _folds(missions):
            baseline = replace(_learned(others), threshold=found.baseline.threshold)
            for one in held:
                rows = runner.run(replay_session(by_id[one.session], policy, replace(rules, baseline=baseline)))
                stopped = sum(row["verdict"] in _ASKED for row in rows)
                asked, calls, touched, judged = asked + stopped, calls + len(rows), touched + bool(stopped), judged + 1
    promised = replace(found.baseline, calls_promised=asked / max(1, calls), missions_promised=touched / max(1, judged))
    return replace(found, baseline=promised)


def _folds(missions: Sequence[WatchedMission]) -> Iterable[tuple[list[WatchedMission], list[WatchedMission]]]:
    """(held out, the others), by goal."""
    goals = {goal: place % FOLDS for place, goal in enumerate(dict.fromkeys(one.goal for one in missions))}
    for fold in range(min(FOLDS, len(goals))):
        yield (
            [one for one in missions if goals[one.goal] == fold],
            [one for one in missions if goals[one.goal] != fold],
        )


def _learned(missions: Iterable[WatchedMission]) -> Baseline:
    return learn((one.goal, [_seen(call) for call in one.calls]) for one in missions)


def _seen(call: WatchedCall) -> SeenCall:
    return seen_call(call.tool, call.origins, call.keys)


def _scores(mission: WatchedMission, baseline: Baseline, model: MisalignedModel) -> list[float]:
    """The probability of every call with consequences."""
    found = []
    for call in mission.calls:
        if call.reading.consequential:
            usual = surprise(baseline, call.tool, call.before, call.origins, call.keys)
            made = signs(read_goal(call.goal), call.reading, call.origins, call.attribution, usual)
            found.append(float(misaligned(made, model, learned=usual is not None).value or 0.0))
    return found


def as_row(found: Calibration) -> dict[str, Json]:
    """What is printed of it."""
    made = found.baseline
    return {
        "missions": found.missions,
        "left_out": found.left_out,
        "goals": made.goals,
        "tools": len(made.tools),
        "threshold": round(made.threshold, 4),
        "calls_promised_pct": round(100 * made.calls_promised, 2),
        "missions_promised_pct": round(100 * made.missions_promised, 2),
    }
