"""What observing would have done: whom it would have asked, what it would have stopped, why, and what would make it ask less."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from jittrust.apps.observed import LedgerCall, LedgerMission
from jittrust.core.intent.baseline import goal_key
from jittrust.core.model import Json, Ruling

_SAID_ONLY: Final = frozenset({"aligned", "inside_map", "server_read", "no_goal_read", "policy_permits"})
_OUTSIDE: Final = frozenset({"outside_map", "waits_for_person", "constraint_failed"})
_FEWEST_GOALS: Final = 2
_MOST: Final = 10


@dataclass(frozen=True, slots=True)
class DayFriction:
    """One day (UTC): calls, those a person would have been asked about, those that would have been refused."""

    day: str
    calls: int
    asked: int
    refused: int


@dataclass(frozen=True, slots=True)
class FrictionReport:
    """Counts over a period, and what follows from them.

    Attributes:
        missions, calls: how many were judged; only_observed: calls that went out whatever was decided.
        asked, refused: calls of which a person was or would have been asked, and that were or would have been refused.
        touched: missions with at least one of either.
        causes: combination of reasons → calls, the common ones.
        tools: tool → calls asked about or refused, the common ones.
        entries: tools that two goals or more needed and no map had → how many goals.
        endorsements: (tool whose text gave the value, act) → calls that a person might allow once for all by endorsing that source.
        days: friction of each day.
    """

    missions: int
    calls: int
    only_observed: int
    asked: int
    refused: int
    touched: int
    causes: Mapping[str, int]
    tools: Mapping[str, int]
    entries: Mapping[str, int]
    endorsements: Mapping[tuple[str, str], int]
    days: tuple[DayFriction, ...]

    def as_row(self) -> dict[str, Json]:
        """The report as JSON."""
        return {
            "missions": self.missions,
            "calls": self.calls,
            "only_observed": self.only_observed,
            "asked": self.asked,
            "refused": self.refused,
            "missions_touched": self.touched,
            "causes": dict(self.causes),
            "tools": dict(self.tools),
            "suggested_entries": dict(self.entries),
            "suggested_endorsements": [
                {"source": source, "act": act, "calls": calls} for (source, act), calls in self.endorsements.items()
            ],
            "days": [
                {"day": day.day, "calls": day.calls, "asked": day.asked, "refused": day.refused} for day in self.days
            ],
        }


def friction_report(
    missions: Iterable[LedgerMission], *, mission: str = "", agent: str = "", since: float = 0.0
) -> FrictionReport:
    """Count what was decided since then (seconds), of one mission or one agent where one is named."""
    chosen: list[tuple[LedgerMission, LedgerCall]] = [
        (one, call)
        for one in missions
        if not mission or one.id == mission
        for call in one.calls
        if call.at >= since and (not agent or call.agent == agent)
    ]
    stopped = [(one, call) for one, call in chosen if call.asked]
    causes = Counter("+".join(code for code in call.codes if code not in _SAID_ONLY) for _, call in stopped)
    goals: defaultdict[str, set[str]] = defaultdict(set)
    sources: Counter[tuple[str, str]] = Counter()
    for one, call in stopped:
        if _OUTSIDE & set(call.codes) and "misaligned" not in call.codes and "tainted_argument" not in call.codes:
            goals[call.resource].add(goal_key(one.goal))
        if "tainted_argument" in call.codes:
            sources.update((source, call.intent) for source in call.strangers)
    entries = {tool: len(of) for tool, of in goals.items() if len(of) >= _FEWEST_GOALS}
    days: defaultdict[str, list[LedgerCall]] = defaultdict(list)
    for _, call in chosen:
        days[datetime.fromtimestamp(call.at, UTC).date().isoformat()].append(call)
    return FrictionReport(
        missions=len({one.id for one, _ in chosen}),
        calls=len(chosen),
        only_observed=sum(call.observed for _, call in chosen),
        asked=sum(call.ruling is not Ruling.DENY for _, call in stopped),
        refused=sum(call.ruling is Ruling.DENY for _, call in stopped),
        touched=len({one.id for one, _ in stopped}),
        causes=dict(causes.most_common(_MOST)),
        tools=dict(Counter(call.resource for _, call in stopped).most_common(_MOST)),
        entries=dict(sorted(entries.items(), key=lambda item: (-item[1], item[0]))[:_MOST]),
        endorsements=dict(sources.most_common(_MOST)),
        days=tuple(
            DayFriction(
                day,
                len(of),
                sum(call.asked and call.ruling is not Ruling.DENY for call in of),
                sum(call.asked and call.ruling is Ruling.DENY for call in of),
            )
            for day, of in sorted(days.items())
        ),
    )
