"""What a record keeps of a call so that a baseline may be learned from this deployment's own ledger."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.core.decide import Facts
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.learning import as_learnable, judged_call
from jittrust.core.intent.misaligned import CallSetting
from jittrust.core.model import Json


def learnable(facts: Facts) -> Mapping[str, Json]:
    """`learnable` of the record; empty for what teaches nothing: no act, no goal, or what came back before is not known."""
    tool, reading, mission, origins, found = (
        facts.tool,
        facts.reading,
        facts.mission,
        facts.origins,
        facts.attribution,
    )
    if tool is None or reading is None or mission is None or origins is None or found is None:
        return {}
    if not mission.goal.stated:
        return {}
    before = facts.history.last_tool.partition("/")[2] if facts.history is not None else ""
    setting = CallSetting(facts.findings, facts.trail, facts.results)
    call = judged_call(read_goal(mission.goal), tool, reading, origins, found, facts.keys, before, setting)
    return {"learnable": as_learnable(call)}
