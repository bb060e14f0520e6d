"""Reason codes of verdicts: a closed vocabulary. A code never changes its meaning.

Each has what it means for people and what the agent is told: a coarse code and a generic next step, so that a refusal is no oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class AgentCode(StrEnum):
    """The few words an agent gets. They say what to do, never why."""

    OK = "ok"
    USE_NEWEST_PASS = "use_newest_pass"
    NOT_AUTHORISED = "not_authorised"
    APPROVAL_NEEDED = "approval_needed"
    SESSION_SUSPENDED = "session_suspended"
    GRANT_ENDED = "grant_ended"
    BUDGET_SPENT = "budget_spent"
    TOOL_UNAVAILABLE = "tool_unavailable"


AGENT_NEXT: Mapping[AgentCode, str] = {
    AgentCode.OK: "",
    AgentCode.USE_NEWEST_PASS: "Repeat the request with the newest pass.",
    AgentCode.NOT_AUTHORISED: "This call is not part of the approved mission. Go on without it, or ask with the request_access tool.",
    AgentCode.APPROVAL_NEEDED: "A person has to confirm this call. Tell the user, then repeat the same call, or go on without it.",
    AgentCode.SESSION_SUSPENDED: "This session is stopped until a person resumes it. Stop and tell the user.",
    AgentCode.GRANT_ENDED: "The grant has ended. Ask for a new one.",
    AgentCode.BUDGET_SPENT: "The spending limit of this grant is reached. Wait for the next grant or ask the user.",
    AgentCode.TOOL_UNAVAILABLE: "This tool is not available now. Go on without it and tell the user.",
}


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """A reason: its stable code, what it means, what the agent is told."""

    code: str
    meaning: str
    agent: AgentCode


def _table(*rows: tuple[str, str, AgentCode]) -> Mapping[str, ReasonCode]:
    return {code: ReasonCode(code, meaning, agent) for code, meaning, agent in rows}


REASONS: Mapping[str, ReasonCode] = _table(
    # hard refusals
    (
        "stopped",
        "A person pulled the kill switch for this agent, mission, grant or for everything.",
        AgentCode.SESSION_SUSPENDED,
    ),
    ("no_mission", "There is no mission: nobody stated what this agent is for.", AgentCode.NOT_AUTHORISED),
    ("no_grant", "There is no live grant behind this call.", AgentCode.GRANT_ENDED),
    ("pass_stale", "The pass shown is not the newest one; nothing was spent.", AgentCode.USE_NEWEST_PASS),
    (
        "pass_reused",
        "An old pass was shown again with a valid key after its successor had been delivered: two holders of one key.",
        AgentCode.SESSION_SUSPENDED,
    ),
    ("mission_not_active", "The mission is not active (proposed, suspended or ended).", AgentCode.SESSION_SUSPENDED),
    ("session_suspended", "The response ladder has suspended or killed this session.", AgentCode.SESSION_SUSPENDED),
    ("grant_not_active", "The grant is suspended, spent, revoked or past its end.", AgentCode.GRANT_ENDED),
    (
        "ancestor_ended",
        "A grant that this one was carved from has ended or is suspended: what hangs below it takes no calls.",
        AgentCode.GRANT_ENDED,
    ),
    (
        "outside_grant",
        "The call lies outside the part of the mission that this grant was given for; no person in passing lifts that.",
        AgentCode.NOT_AUTHORISED,
    ),
    (
        "narrowing_forbids",
        "A condition that a holder of the token added to it forbids this call.",
        AgentCode.NOT_AUTHORISED,
    ),
    ("wrong_server", "The grant is for another server.", AgentCode.NOT_AUTHORISED),
    (
        "identity_not_active",
        "The agent, or whoever answers for it, is suspended, stale, retired or unknown to the registry.",
        AgentCode.SESSION_SUSPENDED,
    ),
    (
        "outside_blueprint",
        "The call lies outside the most that the agent was approved for; no mission and no person in passing lifts that.",
        AgentCode.NOT_AUTHORISED,
    ),
    ("policy_forbids", "A written policy rule forbids this call.", AgentCode.NOT_AUTHORISED),
    ("policy_unavailable", "The policy could not be evaluated; unknown is never good.", AgentCode.TOOL_UNAVAILABLE),
    ("tool_unknown", "The server never listed this tool, so its definition is not pinned.", AgentCode.TOOL_UNAVAILABLE),
    ("tool_changed", "The tool's definition differs from the one approved.", AgentCode.TOOL_UNAVAILABLE),
    ("gas_exhausted", "The price is more than what is left of the grant.", AgentCode.BUDGET_SPENT),
    (
        "malformed_call",
        "The arguments are no JSON object, or break the limits of the parser.",
        AgentCode.NOT_AUTHORISED,
    ),
    ("never_trusted", "The act is of a kind that is never let through (risk 1).", AgentCode.NOT_AUTHORISED),
    # authority
    ("inside_map", "An approved entry of the authority map covers the call.", AgentCode.OK),
    ("policy_permits", "A policy rule that a person wrote permits the call.", AgentCode.OK),
    ("no_goal_read", "No goal is known; reads of a closed-world tool pass and are recorded.", AgentCode.OK),
    (
        "server_read",
        "A resource or prompt of a server that the mission concerns; read like a closed-world tool.",
        AgentCode.OK,
    ),
    (
        "server_asks",
        "A server asks something of the client (a person, a model, its roots); recorded, no price.",
        AgentCode.OK,
    ),
    ("protocol", "A protocol message without effect of its own; recorded, no price.", AgentCode.OK),
    ("approved_by_person", "A person approved exactly this call.", AgentCode.OK),
    ("no_goal", "No goal is known, and the call is more than a closed-world read.", AgentCode.APPROVAL_NEEDED),
    ("outside_map", "No approved entry of the authority map covers the call.", AgentCode.APPROVAL_NEEDED),
    (
        "outside_map_dangerous",
        "Outside the authority map, and too harmful to put to a person in passing.",
        AgentCode.NOT_AUTHORISED,
    ),
    ("refused_by_person", "A person refused this entry of the map.", AgentCode.NOT_AUTHORISED),
    ("waits_for_person", "The map proposes it; a person has not approved it yet.", AgentCode.APPROVAL_NEEDED),
    ("constraint_failed", "The arguments or the resource lie outside the entry's limits.", AgentCode.APPROVAL_NEEDED),
    ("uses_exhausted", "The number of uses of the entry, or of the grant, is spent.", AgentCode.APPROVAL_NEEDED),
    # measured
    (
        "tainted_argument",
        "An argument that carries authority first appeared in text that a tool returned, not in the goal.",
        AgentCode.APPROVAL_NEEDED,
    ),
    (
        "unnamed_target",
        "Where something goes was named by nobody: not in the goal, and no result gave it as a value.",
        AgentCode.APPROVAL_NEEDED,
    ),
    (
        "other_target",
        "The person's own words name where such a thing goes, and it would go elsewhere: only a result, or a text that was quoted, gave that place.",
        AgentCode.APPROVAL_NEEDED,
    ),
    (
        "factor_unknown",
        "A factor could not be measured; unknown is never good for a call with consequences.",
        AgentCode.APPROVAL_NEEDED,
    ),
    (
        "secret_read",
        "It hands out what is as good as a key, and the goal does not name it.",
        AgentCode.APPROVAL_NEEDED,
    ),
    ("low_wis", "The Weighted Intent Score lies below what a call with consequences needs.", AgentCode.APPROVAL_NEEDED),
    (
        "misaligned",
        "Measured together, the call looks like the wish of a text that a tool returned, not of the person.",
        AgentCode.APPROVAL_NEEDED,
    ),
    ("drift", "The trail of calls has moved too far from the original goal.", AgentCode.APPROVAL_NEEDED),
    (
        "rule_of_two",
        "A stranger's text and private data were read in this mission, and the call carries something out.",
        AgentCode.APPROVAL_NEEDED,
    ),
    (
        "cascade_drift",
        "From agent to agent the task has moved too far from the person's words.",
        AgentCode.APPROVAL_NEEDED,
    ),
    (
        "dialogue_drift",
        "The person's messages were steered to where the first of them did not go, and only the late ones cover the call.",
        AgentCode.APPROVAL_NEEDED,
    ),
    ("judge_doubts", "The optional judge finds that the call does not serve the goal.", AgentCode.APPROVAL_NEEDED),
    ("narrowed", "Privileges are reduced: every call with consequences needs a person.", AgentCode.APPROVAL_NEEDED),
    ("aligned", "The call serves the goal, within the usual.", AgentCode.OK),
    # narrowing: why a child is not provably inside its parent
    ("parent_not_active", "The parent grant takes no calls.", AgentCode.GRANT_ENDED),
    (
        "widens_endorsement",
        "No endorsed source of the parent's map covers this one of the child's.",
        AgentCode.NOT_AUTHORISED,
    ),
    ("widens_entry", "No entry of the parent's map covers this entry of the child's.", AgentCode.NOT_AUTHORISED),
    ("widens_uses", "The child may use an entry more often than the parent.", AgentCode.NOT_AUTHORISED),
    ("widens_lanes", "The child has more lanes than its parent, or none.", AgentCode.NOT_AUTHORISED),
    ("widens_family", "The child would not end with its parent's family.", AgentCode.NOT_AUTHORISED),
    ("widens_gas", "The child has more gas than its parent has left.", AgentCode.NOT_AUTHORISED),
    (
        "widens_arguments",
        "An argument takes values that the parent's contract has a person asked about.",
        AgentCode.NOT_AUTHORISED,
    ),
    ("widens_time", "The child would not lie within its parent's time.", AgentCode.NOT_AUTHORISED),
    ("widens_audience", "The child is for a server that its parent is not for.", AgentCode.NOT_AUTHORISED),
    ("widens_key", "A chain bound to a key may only be handed to another key.", AgentCode.NOT_AUTHORISED),
    ("widens_strictness", "The child would be treated more mildly than its parent.", AgentCode.NOT_AUTHORISED),
)
