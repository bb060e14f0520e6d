"""From an adopted baseline to entries of the map: what this deployment's goals usually take is approved before the run, by `policy:baseline`.

The operator who adopts a baseline writes that policy. It approves tools, not values: what a call says is still judged, and a forbidden act, or one
that always needs a person, stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.authority.propose import entry_id
from jittrust.core.intent.baseline import BASELINE_RULES, Baseline, tool_key, usual
from jittrust.core.intent.goal import mention, read_goal
from jittrust.core.intent.reading import classify
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.mission.mission import Goal
from jittrust.core.model import Tool

BY_BASELINE = "policy:baseline"
_ALWAYS_A_PERSON = frozenset(
    {
        "O.disable_control",
        "O.delete_evidence",
        "I.transfer_owner",
        "X.persist",
        "X.net_scan",
        "A.escalate_scope",
        "P.self_modify",
    }
)
"""Acts that a person always approves, however usual they are."""
_GOES_NOWHERE = "I.read_secret"
"""A secret that is read goes nowhere by itself; what would carry it out is judged on its own."""


def with_usual(
    goal: Goal, tools: Sequence[Tool], entries: Sequence[AuthorityEntry], baseline: Baseline
) -> tuple[AuthorityEntry, ...]:
    """The proposal, with the tools approved that are usual in this deployment; as it was without a baseline, or for a goal not read whole."""
    if not baseline.adopted or not goal.stated or not read_goal(goal).whole:
        return tuple(entries)
    known = {tool.id: tool for tool in tools if _may_be(goal, tool, baseline)}
    made = []
    for entry in entries:
        tool = known.pop(entry.tool, None)
        if tool is not None and entry.state is EntryState.PROPOSED and not entry.approved_by:
            made.append(_entry(tool, baseline, entry))
        elif tool is not None and entry.state is EntryState.APPROVED and entry.constraints:
            # What the goal's own identifiers bound is not the whole of what is usual here; what is unusual in it is judged call by call.
            made.append(replace(entry, constraints={}, approved_by=BY_BASELINE, why=_why(tool, baseline)))
        else:
            made.append(entry)
    return (*made, *(_entry(tool, baseline) for tool in known.values()))


def withdrawn(
    goal: Goal, tools: Mapping[str, Tool], entries: Sequence[AuthorityEntry], baseline: Baseline
) -> tuple[AuthorityEntry, ...]:
    """The entries, with those that only an earlier baseline approved made proposals again where this one does not. `tools`: by id."""
    return tuple(
        replace(entry, state=EntryState.PROPOSED, approved_by="", why="The baseline that approved it is not in force.")
        if entry.state is EntryState.APPROVED
        and entry.approved_by == BY_BASELINE
        and not ((tool := tools.get(entry.tool)) is not None and baseline.adopted and _may_be(goal, tool, baseline))
        else entry
        for entry in entries
    )


def _may_be(goal: Goal, tool: Tool, baseline: Baseline) -> bool:
    if not tool.pin or not usual(baseline, tool):
        return False
    reading = classify(tool, {})
    if reading.intent in _ALWAYS_A_PERSON:
        return False
    named = mention(read_goal(goal), reading.verb, reading.stem, reading.objects)
    harmful = TAXONOMY[reading.intent].base_risk >= BASELINE_RULES.harmful and reading.intent != _GOES_NOWHERE
    if harmful and not named.verb:
        # What moves money, opens doors or destroys is let in by what this person says now, not by what is usual.
        return False
    return not named.forbidden


def _entry(tool: Tool, baseline: Baseline, proposed: AuthorityEntry | None = None) -> AuthorityEntry:
    made = proposed or AuthorityEntry(entry_id(tool.id), tool.id, pin=tool.pin)
    return replace(
        made, state=EntryState.APPROVED, approved_by=BY_BASELINE, why=_why(tool, baseline), constraints={}, pin=tool.pin
    )


def _why(tool: Tool, baseline: Baseline) -> str:
    used = baseline.tools.get(tool_key(tool), 0)
    return f"Usual here: {used} of the {baseline.goals} goals of the adopted baseline used it."
