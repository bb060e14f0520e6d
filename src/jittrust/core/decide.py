"""The door of the core: one question, the facts, the rules, the time; one verdict with all its reasons.

`decide()` is a numbered ladder. Hard refusals come before any score (rules 1 to 3 of docs/architecture.md); readings and the score are computed on
refusals too, so that probing costs trust. The caller makes the verdict durable before anything goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jittrust.core.approval import Approval, ApprovalState
from jittrust.core.authority.endorsement import endorsement_text
from jittrust.core.authority.map import AuthorityEntry, Endorsement, EntryState
from jittrust.core.authority.match import Match, MatchStanding, match
from jittrust.core.authority.pin import PinState
from jittrust.core.authority.usual import BY_BASELINE
from jittrust.core.grant.grant import Grant, PassStanding, Presentation
from jittrust.core.grant.states import GrantState
from jittrust.core.history import History
from jittrust.core.identity.standing import IdentityStanding
from jittrust.core.intent.alignment import clarity, doubted
from jittrust.core.intent.attribution import NOT_ATTRIBUTED, Attribution
from jittrust.core.intent.baseline import surprise, usual_origin, usual_shape
from jittrust.core.intent.cascade import doubt_of_cascade
from jittrust.core.intent.dialogue import doubt_of_dialogue
from jittrust.core.intent.drift import TrailStep, drift
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.flow import Flow, doubt_of_flow
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.judge import JudgeAnswer, doubt_of_judge
from jittrust.core.intent.misaligned import CallSetting, misaligned, signs
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading, Effect, classify
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.intent.words import REACHING, literals
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import (
    Evaluation,
    IntentFactors,
    Json,
    Reading,
    Reason,
    Ruling,
    Tool,
    Verdict,
    WeightedIntentScore,
)
from jittrust.core.policy import PolicyAnswer
from jittrust.core.reasons import AGENT_NEXT, REASONS, AgentCode
from jittrust.core.response.ladder import respond
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.response.stop import Stop
from jittrust.core.rules import Rules
from jittrust.core.scoring.context import fit
from jittrust.core.scoring.price import price, refusal_price
from jittrust.core.scoring.risk import elsewhere, first_seen, risk, tainted, unnamed
from jittrust.core.scoring.trust import after, opening
from jittrust.core.scoring.wis import weighted_intent_score
from jittrust.core.units import Gas, Instant, Score, Seconds, Unit

# Beginnings of the codes of acts that send, pay, or give and take rights.
_GIVING = ("C.send_external", "C.publish", "T.", "I.grant", "I.invite", "I.transfer_owner", "I.change_credential")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when the question is asked. None means: could not be found out (never: does not apply).

    Attributes:
        mission, grant, presentation, standing: the living state behind the call.
        server: the server the call is for.
        tool: the pinned definition; None when the server never listed it.
        pin: how the definition stands.
        policy: what the written rules said.
        origins: where each argument value came from; None when results that should be known are lost.
        history: what this agent usually does.
        trail: the steps of this mission so far, oldest first.
        approval: an approved question for exactly this call, unexpired.
        keys: the resources that the call touches (`scoring.context.value_keys`).
        novelty: how new they are to this mission.
        observed: verdicts of this mission, or of this enforcement point, are recorded and not enforced.
        reading: what the call would do, where the broker has read it already; `roles`: likewise, what each argument is for.
        server_concerned: the mission has something to do with the server as a whole: no goal narrows it, or its map names one of its tools.
        speed: how fast calls follow each other; None = could not be measured.
        identity: how the agent stands in the registry; None = it is no identity of the registry and claims none. `person`: likewise, whose
            mission it is.
        stop: the pull of the kill switch that reaches this call; None = none does.
        path: the grants that the grant was carved from, as they stand now, the root first; None in it = one that is not known.
        narrowing: which condition the holder put on the grant's token forbids the call, for people; empty = none does.
        attribution: whether the goal or a sentence in a result explains the call; None = not known.
        endorsement: the endorsement under which a source directs this call; None = no endorsed source does.
        findings: texts of this mission that read like orders to a model, oldest first.
        results: how many results this mission has read so far.
        flow: whether a stranger's text, private data and a way out meet in this call; None = not known.
        cascade: how far the task moved from agent to agent; None = it was never handed on. `dialogue`: likewise, of the person's own words.
        judged: what the optional judge said of exactly this call; None = it was not asked, or gave no answer in time.
    """

    mission: Mission | None
    grant: Grant | None
    presentation: Presentation | None
    standing: Standing | None
    server: str
    tool: Tool | None
    pin: PinState | None
    policy: PolicyAnswer | None
    origins: tuple[ArgumentOrigin, ...] | None
    history: History | None
    trail: Sequence[TrailStep] = ()
    approval: Approval | None = None
    keys: tuple[str, ...] = ()
    novelty: Unit = Unit(0.0)
    server_concerned: bool = False
    observed: bool = False
    reading: ActionReading | None = None
    roles: Mapping[str, ArgumentRole] | None = None
    speed: Unit | None = None
    identity: IdentityStanding | None = None
    person: IdentityStanding | None = None
    stop: Stop | None = None
    path: tuple[Grant | None, ...] = ()
    narrowing: str = ""
    attribution: Attribution | None = None
    endorsement: Endorsement | None = None
    findings: tuple[TextFinding, ...] = ()
    results: int = 0
    flow: Flow | None = None
    cascade: Reading | None = None
    dialogue: Reading | None = None
    judged: JudgeAnswer | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what the broker needs to make it true: the new standing, the reading of the act, the entry that covered it.

    `cost` is what the call costs once it goes out; `verdict.price` is what is charged now. `own_entry` is the id of the entry of the grant's own
    authority that covers it; empty where the grant has none. `step`: what drift keeps of the call once it went out; None = it was not read.
    """

    verdict: Verdict
    standing: Standing
    reading: ActionReading | None
    entry: AuthorityEntry | None
    hard: bool
    cost: Gas = Gas(0)
    own_entry: str = ""
    step: TrailStep | None = None


@dataclass(slots=True)
class _Case:
    """One call on its way up the ladder."""

    ask: Evaluation
    facts: Facts
    rules: Rules
    now: Instant
    reading: ActionReading | None = None
    factors: IntentFactors | None = None
    wis: WeightedIntentScore | None = None
    drift: Reading | None = None
    served: Reading | None = None
    signs: Mapping[str, float] = field(default_factory=dict)
    suspicion: Reading | None = None
    matched: Match | None = None
    own: AuthorityEntry | None = None
    taints: tuple[ArgumentOrigin, ...] = ()
    reasons: list[Reason] = field(default_factory=list)

    def say(self, code: str, fact: str, would_pass: str = "") -> None:
        self.reasons.append(Reason(code, fact, would_pass))


def decide(ask: Evaluation, facts: Facts, rules: Rules, now: Instant) -> Judgement:
    """Judge one call.

    Ladder:
        1. protocol messages: hard refusals of 3 only, no reading, no price.
        2. read the act: intent, origins, the four factors, drift, WIS, price. Recorded whatever follows.
        3. hard refusals, in the order of `_REFUSALS`: no score outweighs them.
        4. authority: outside the map is refused or goes to a person; a policy a person wrote may permit.
        5. what was measured may narrow, slow or stop; it never widens.
        6. a person's approval of exactly this call lifts 4 and 5, never 3.
        7. price and gas.
        8. trust falls or rises, the response ladder answers.

    Raises:
        Nothing. A refusal is a value.
    """
    case = _Case(ask, facts, rules, now)
    if ask.resource.type == "protocol":
        refused = _first_refusal(case, _PROTOCOL_REFUSALS)
        if not refused:
            case.say("protocol", f"{ask.action.name} has no effect of its own.")
        return _judge(case, Ruling.DENY if refused else Ruling.ALLOW, Gas(0), hard=refused)
    if ask.resource.type == "client":
        # What a server asks of the client is no act of the agent: it passes while the session stands, and it is recorded.
        refused = _first_refusal(case, _CLIENT_REFUSALS)
        if not refused:
            case.say("server_asks", f"The server sends {ask.action.name} to the client; the client answers for itself.")
        return _judge(case, Ruling.DENY if refused else Ruling.ALLOW, Gas(0), hard=refused)
    _read(case)
    cost = _price(case)
    if _first_refusal(case, _REFUSALS):
        return _judge(case, Ruling.DENY, refusal_price(rules.price), hard=True)
    if _would_be_stopped(case):
        return _judge(case, Ruling.DENY, refusal_price(rules.price), hard=False)
    ruling = _measured(case, _authority(case))
    if ruling is not Ruling.ALLOW and _approved(case):
        case.say(
            "approved_by_person", f"{facts.approval.answered_by if facts.approval else ''} approved exactly this call."
        )
        ruling = Ruling.ALLOW
        # Priced once: it costs what the person was told.
        cost = (facts.approval.price if facts.approval else None) or cost
    if ruling is Ruling.ALLOW and facts.grant is not None and cost > facts.grant.gas_left:
        case.say(
            "gas_exhausted", f"The call costs {cost}, {facts.grant.gas_left} are left.", "Wait for the next grant."
        )
        return _judge(case, Ruling.DENY, refusal_price(rules.price), hard=True)
    if ruling is Ruling.ALLOW:
        return _judge(case, ruling, cost, hard=False)
    # A step-up is priced once: nothing now, the full price when the approved call is repeated.
    charged = Gas(0) if ruling is Ruling.STEP_UP else refusal_price(rules.price)
    return replace(_judge(case, ruling, charged, hard=False), cost=cost)


# ---- 2. reading the act -------------------------------------------------------------------------------------------------------------------


def _read(case: _Case) -> None:
    ask, facts, rules = case.ask, case.facts, case.rules
    if facts.tool is None or facts.mission is None:
        return
    mission, tool = facts.mission, facts.tool
    case.matched = _with_endorsed(match(mission.authority, tool, ask.action.name, ask.arguments, facts.roles), case)
    entry = case.matched.entry if case.matched.standing is MatchStanding.INSIDE else None
    reading = facts.reading or classify(tool, read_arguments(ask))
    case.reading = reading
    origins = facts.origins or ()
    case.taints = tainted(origins, reading)
    found = facts.attribution or NOT_ATTRIBUTED
    o = clarity(mission.goal, tool, reading, ask.arguments, entry, origins, rules.alignment, found)
    # How far the act lies from the words is one question, whose wish it is another: drift piles up the first alone.
    case.drift, case.served = drift(reading, o, facts.trail, rules.drift), o
    case.suspicion = _suspicion(case)
    o = doubted(o, case.suspicion)
    c = fit(facts.history, tool, reading, facts.keys, rules.context)
    r = risk(reading, origins, ask.arguments, rules.risk)
    last = max(mission.confirmed, facts.approval.answered if facts.approval else Instant(0))
    end = min(mission.expires, facts.grant.expires) if facts.grant else mission.expires
    validity = Seconds(max(0.0, end - last))
    case.factors = IntentFactors(
        o, c, r, validity, f"From the last confirmation by a person to the end of the permission: {validity:.0f} s."
    )
    case.wis = weighted_intent_score(case.factors, rules.weights)


def _with_endorsed(found: Match, case: _Case) -> Match:
    """The match, or inside the map where a person lets a source direct acts of this kind and the source asks for this one.

    Only where the goal's words did not reach: what a person refused, or limited in a map of their own, stays as it is. The policy never does this.
    """
    endorsed, tool = case.facts.endorsement, case.facts.tool
    if endorsed is None or tool is None or endorsed.approved_by.startswith("policy:"):
        return found
    guessed = found.entry is None or found.entry.approved_by.startswith("policy:")
    if found.standing not in (MatchStanding.OUTSIDE, MatchStanding.WAITING) and not (
        found.standing is MatchStanding.CONSTRAINT_FAILED and guessed
    ):
        return found
    why = f"{endorsed.approved_by} endorsed its source: {endorsement_text(endorsed)}"
    entry = AuthorityEntry(
        endorsed.id, tool.id, state=EntryState.APPROVED, approved_by=endorsed.approved_by, why=why, pin=tool.pin
    )
    return Match(MatchStanding.INSIDE, entry, why)


def read_arguments(ask: Evaluation) -> Mapping[str, Json]:
    """The arguments as the act is read from them.

    A resource's URI names a thing of the server itself (`note://a`, `file:///…`), not an address to reach; only a web address does both.
    """
    uri = ask.arguments.get("uri")
    if ask.resource.type != "resource" or not isinstance(uri, str) or uri.casefold().startswith(("http:", "https:")):
        return ask.arguments
    return {**{name: value for name, value in ask.arguments.items() if name != "uri"}, "name": uri}


def _price(case: _Case) -> Gas:
    if case.reading is None or case.factors is None:
        return refusal_price(case.rules.price)
    return price(case.reading, case.factors.risk, case.facts.novelty, case.facts.speed, case.rules.price)


# ---- 3. hard refusals ---------------------------------------------------------------------------------------------------------------------


def _stopped(case: _Case) -> bool:
    stop = case.facts.stop
    if stop is None:
        return False
    case.say(
        "stopped", f"{stop.by} stopped {stop.id}: {stop.why}", f"A person lifts it: jittrust kill --lift {stop.id}"
    )
    return True


def _no_mission(case: _Case) -> bool:
    if case.facts.mission is not None and case.facts.standing is not None:
        return False
    case.say("no_mission", "No mission stands behind this call.", "State a goal: jittrust mission start --goal TEXT.")
    return True


def _no_grant(case: _Case) -> bool:
    if case.facts.grant is not None and case.facts.presentation is not None:
        return False
    case.say("no_grant", "No grant stands behind this call.", "Ask for one: jittrust grant new.")
    return True


def _pass_not_live(case: _Case) -> bool:
    shown = case.facts.presentation
    if shown is None or shown.standing is PassStanding.FRESH:
        return False
    case.say(
        "pass_reused" if shown.standing is PassStanding.REUSE else "pass_stale", shown.why, "Show the newest pass."
    )
    return True


def _session_stopped(case: _Case) -> bool:
    standing = case.facts.standing
    if standing is None or standing.state not in (SessionState.SUSPENDED, SessionState.KILLED):
        return False
    if case.facts.observed or (case.facts.mission is not None and case.facts.mission.observe):
        # What was measured put it there, and nothing that was measured stops a mission that is only observed: see `decide`.
        return False
    case.say(
        "session_suspended",
        f"The session is {standing.state}, for what it did before.",
        "A person resumes it: jittrust approve.",
    )
    return True


def _would_be_stopped(case: _Case) -> bool:
    """An observed session that the ladder would have stopped: recorded as refused, and not stopped."""
    standing = case.facts.standing
    if standing is None or standing.state not in (SessionState.SUSPENDED, SessionState.KILLED):
        return False
    case.say("session_suspended", f"The session would be {standing.state}; it is only observed.", "")
    return True


def _mission_not_active(case: _Case) -> bool:
    mission = case.facts.mission
    if mission is None or (mission.state is MissionState.ACTIVE and case.now < mission.expires):
        return False
    state = "expired" if case.now >= mission.expires else str(mission.state)
    case.say(
        "mission_not_active",
        f"The mission is {state}.",
        "Start or resume it: jittrust mission start, jittrust approve.",
    )
    return True


def _grant_not_active(case: _Case) -> bool:
    grant = case.facts.grant
    if grant is None or (grant.state is GrantState.ACTIVE and case.now < grant.expires):
        return False
    state = "past its end" if case.now >= grant.expires else str(grant.state)
    case.say("grant_not_active", f"The grant is {state}.", "Ask for a new one.")
    return True


def _ancestor_ended(case: _Case) -> bool:
    """A child is dead as soon as one grant above it is: nobody has to find the children when a grant ends."""
    for above in case.facts.path:
        if above is not None and above.state is GrantState.ACTIVE and case.now < above.expires:
            continue
        state = "not known" if above is None else "past its end" if case.now >= above.expires else str(above.state)
        name = "A grant" if above is None else f"The grant {above.id}"
        case.say("ancestor_ended", f"{name} that this one was carved from is {state}.", "Ask for a new grant.")
        return True
    return False


def _no_use_left(case: _Case) -> bool:
    grant = case.facts.grant
    if grant is None or grant.uses_left is None or grant.uses_left >= 1:
        return False
    case.say(
        "uses_exhausted", f"All {grant.uses_limit} uses of the grant {grant.id} are spent.", "Ask for a new grant."
    )
    return True


def _outside_grant(case: _Case) -> bool:
    grant, tool = case.facts.grant, case.facts.tool
    if grant is None or grant.authority is None or tool is None:
        return False
    own = match(grant.authority, tool, case.ask.action.name, case.ask.arguments, case.facts.roles)
    if own.inside:
        case.own = own.entry
        return False
    spent = own.standing is MatchStanding.USES_EXHAUSTED
    case.say(
        "uses_exhausted" if spent else "outside_grant",
        f"The grant {grant.id} is for a part of its mission only: {own.why}",
        "Ask for a grant that covers it.",
    )
    return True


def _narrowing_forbids(case: _Case) -> bool:
    if not case.facts.narrowing:
        return False
    case.say(
        "narrowing_forbids",
        f"The token was narrowed by its holder: {case.facts.narrowing}",
        "Use a token that was not narrowed so far.",
    )
    return True


def _wrong_server(case: _Case) -> bool:
    grant = case.facts.grant
    if grant is None or not grant.server or grant.server == case.facts.server:
        return False
    case.say(
        "wrong_server",
        f"The grant is for {grant.server}, the call for {case.facts.server}.",
        "Ask for a grant for this server.",
    )
    return True


def _identity_not_active(case: _Case) -> bool:
    for standing in (case.facts.identity, case.facts.person):
        if standing is None or standing.active:
            continue
        case.say("identity_not_active", standing.told, "A person decides: jittrust identity show.")
        return True
    return False


def _outside_blueprint(case: _Case) -> bool:
    standing, tool = case.facts.identity, case.facts.tool
    if standing is None or standing.maximum is None or tool is None:
        return False
    most = match(standing.maximum, tool, case.ask.action.name, case.ask.arguments, case.facts.roles)
    if most.inside:
        return False
    case.say("outside_blueprint", f"The blueprint of {standing.id}: {most.why}", "Draw the blueprint wider.")
    return True


def _policy_forbids(case: _Case) -> bool:
    answer = case.facts.policy
    if answer is None:
        case.say("policy_unavailable", "The policy could not be evaluated.", "jittrust doctor")
        return True
    if not answer.forbids:
        return False
    case.say(
        "policy_forbids", f"Forbidden by {', '.join(answer.forbids)}.", "Change the policy, or do without this call."
    )
    return True


def _tool_not_pinned(case: _Case) -> bool:
    if case.facts.tool is None:
        case.say(
            "tool_unknown", f"{case.ask.resource.id} was never listed by its server.", "List the server's tools first."
        )
        return True
    if case.facts.pin is PinState.PINNED:
        return False
    case.say(
        "tool_changed",
        f"The definition of {case.facts.tool.id} differs from the approved one.",
        "Look at the change: jittrust approve.",
    )
    return True


def _never_trusted(case: _Case) -> bool:
    if case.factors is None or case.factors.risk.value is None or case.factors.risk.value < 1.0:
        return False
    case.say("never_trusted", case.factors.risk.why, "Nothing: acts of this kind are not let through.")
    return True


_PROTOCOL_REFUSALS: tuple[Callable[[_Case], bool], ...] = (
    _stopped,
    _no_mission,
    _no_grant,
    _pass_not_live,
    _grant_not_active,
    _ancestor_ended,
    _wrong_server,
    _identity_not_active,
)
_CLIENT_REFUSALS: tuple[Callable[[_Case], bool], ...] = (
    *_PROTOCOL_REFUSALS,
    _session_stopped,
    _mission_not_active,
    _policy_forbids,
)
_REFUSALS: tuple[Callable[[_Case], bool], ...] = (
    _stopped,
    _no_mission,
    _no_grant,
    _pass_not_live,
    _session_stopped,
    _mission_not_active,
    _grant_not_active,
    _ancestor_ended,
    _no_use_left,
    _wrong_server,
    _identity_not_active,
    _narrowing_forbids,
    _policy_forbids,
    _tool_not_pinned,
    _outside_blueprint,
    _outside_grant,
    _never_trusted,
)


def _first_refusal(case: _Case, checks: Sequence[Callable[[_Case], bool]]) -> bool:
    """Only the first is reported: what lies behind a dead pass is nobody's business."""
    return any(check(case) for check in checks)


# ---- 4. authority -------------------------------------------------------------------------------------------------------------------------


def _authority(case: _Case) -> Ruling:
    facts, matched, reading, factors = case.facts, case.matched, case.reading, case.factors
    if facts.mission is None or matched is None or reading is None or factors is None:
        # Unreachable after the hard refusals; refuse rather than assume.
        case.say("factor_unknown", "The call could not be read.")
        return Ruling.DENY
    if matched.standing is MatchStanding.REFUSED:
        # The nearer no: what a person refused for this mission, a general rule does not let through.
        return _outside(case, matched, reading, factors)
    if facts.policy is not None and facts.policy.permits:
        case.say("policy_permits", f"Permitted by {', '.join(facts.policy.permits)}.")
        return Ruling.ALLOW
    if matched.standing is MatchStanding.INSIDE:
        case.say("inside_map", matched.why)
        return Ruling.ALLOW
    plain_read = not reading.consequential and not reading.open_world
    if plain_read and case.ask.resource.type in ("resource", "prompt") and facts.server_concerned:
        case.say(
            "server_read",
            "What a server that the mission concerns hands out as resources and prompts is read like a closed-world tool.",
        )
        return Ruling.ALLOW
    if not facts.mission.goal.stated:
        if plain_read:
            case.say("no_goal_read", "No goal is known; this reads a closed-world tool.")
            return Ruling.ALLOW
        case.say("no_goal", "No goal is known.", "State one: jittrust mission start --goal TEXT.")
        return Ruling.STEP_UP
    return _outside(case, matched, reading, factors)


_OUTSIDE_CODES: Mapping[MatchStanding, str] = {
    MatchStanding.INSIDE: "inside_map",
    MatchStanding.WAITING: "waits_for_person",
    MatchStanding.CONSTRAINT_FAILED: "constraint_failed",
    MatchStanding.RESOURCE_FAILED: "constraint_failed",
    MatchStanding.USES_EXHAUSTED: "uses_exhausted",
    MatchStanding.PIN_DIFFERS: "tool_changed",
    MatchStanding.REFUSED: "refused_by_person",
    MatchStanding.OUTSIDE: "outside_map",
}


def _outside(case: _Case, matched: Match, reading: ActionReading, factors: IntentFactors) -> Ruling:
    if matched.standing is MatchStanding.REFUSED:
        case.say("refused_by_person", matched.why, "A person may change the answer: jittrust mission approve.")
        return Ruling.DENY
    if matched.standing is MatchStanding.OUTSIDE and reading.consequential:
        level = factors.risk.value
        if case.taints and level is not None and level >= case.rules.deny_outside_from:
            case.say(
                "outside_map_dangerous",
                f"{matched.why} A stranger's value is in it: {'; '.join(first_seen(taint) for taint in case.taints[:3])}.",
                "A person may widen the map: jittrust mission approve.",
            )
            return Ruling.DENY
    code = _OUTSIDE_CODES[matched.standing]
    case.say(code, matched.why, "Approve this one call: jittrust approve; or widen the map: jittrust mission approve.")
    return Ruling.STEP_UP


# ---- 5. what was measured may only narrow -------------------------------------------------------------------------------------------------


def _measured(case: _Case, ruling: Ruling) -> Ruling:
    reading, factors, wis, facts = case.reading, case.factors, case.wis, case.facts
    if reading is None or factors is None or wis is None:
        return Ruling.DENY
    if not reading.consequential:
        # Reads may pass inside the map, whatever could not be measured; a secret is handed out only where the goal's own words point at it.
        level = factors.risk.value
        if ruling is Ruling.ALLOW and _opened_by_baseline(case):
            return _ask_if_suspect(case, ruling)
        if ruling is Ruling.ALLOW and _by_orders(case):
            return _ask_if_suspect(case, ruling, case.rules.misaligned_read_from)
        if ruling is not Ruling.ALLOW or level is None or level < case.rules.ask_read_from or _goal_points_at(case):
            return ruling
        case.say(
            "secret_read",
            f"{factors.risk.why} The goal does not name it.",
            "Name it in the goal, or approve this one call.",
        )
        return Ruling.STEP_UP
    asked = outside = ruling is not Ruling.ALLOW
    suspect = _suspect(case)
    if taints := _strange(case, suspect=suspect):
        named = "; ".join(first_seen(taint) for taint in taints[:3])
        case.say(
            "tainted_argument",
            f"A value that decides who gains or what is touched is a stranger's: {named}.",
            "Say it in the goal, or approve this one call: jittrust approve.",
        )
        asked = True
    elif invented := _unusual(case, unnamed(facts.origins or (), reading, case.ask.arguments), suspect=suspect):
        named = "; ".join(f"{one.path.lstrip('/')} “{one.shown}”" for one in invented[:3])
        case.say(
            "unnamed_target",
            f"Nobody named where this goes, and no result gave it as a value of its own: {named}.",
            "Say it in the goal, or approve this one call: jittrust approve.",
        )
        asked = True
    elif others := _unusual(case, _elsewhere(case, reading), suspect=suspect):
        named = "; ".join(
            f"{one.path.lstrip('/')} “{one.shown}” from {one.source or 'what was quoted'}" for one in others[:3]
        )
        case.say(
            "other_target",
            f"Your own words name where this goes, and it would go somewhere else: {named}.",
            "Say it in the goal, or approve this one call: jittrust approve.",
        )
        asked = True
    asked = _ask_if_suspect(case, Ruling.ALLOW) is Ruling.STEP_UP or asked
    if facts.origins is None or wis.unknown:
        lost = ", ".join((*wis.unknown, *(("origins",) if facts.origins is None else ())))
        case.say("factor_unknown", f"This could not be measured: {lost}.", "Approve this one call: jittrust approve.")
        asked = True
    # One question is enough: what only says once more that the goal does not cover the call is left out where the map has a person asked anyway.
    everyday = _everyday(case)
    if not outside and not everyday and wis.value < case.rules.ask_below:
        case.say(
            "low_wis",
            f"The Weighted Intent Score is {wis.value:.1f}; a call with consequences needs {case.rules.ask_below:.0f}.",
            "Approve this one call: jittrust approve.",
        )
        asked = True
    far = case.drift.value if case.drift is not None else None
    if not outside and not everyday and case.drift is not None and far is not None and far >= case.rules.drift_from:
        case.say("drift", case.drift.why, "Say more of the goal, or approve this one call: jittrust approve.")
        asked = True
    for doubt in (
        doubt_of_flow(facts.flow),
        doubt_of_cascade(facts.cascade, case.rules.cascade),
        doubt_of_dialogue(facts.dialogue, case.rules.dialogue),
        doubt_of_judge(facts.judged, case.rules.judge_confident),
    ):
        if doubt is not None and not outside:
            case.reasons.append(doubt)
            asked = True
    if facts.standing is not None and facts.standing.state is SessionState.NARROWED:
        case.say(
            "narrowed",
            "Trust in this session is low, so every call with consequences needs a person.",
            "Approve this one call: jittrust approve.",
        )
        asked = True
    return Ruling.STEP_UP if asked and ruling is Ruling.ALLOW else ruling


def _elsewhere(case: _Case, reading: ActionReading) -> tuple[ArgumentOrigin, ...]:
    facts = case.facts
    return elsewhere(facts.origins or (), reading, case.ask.arguments, facts.mission.goal) if facts.mission else ()


def _suspicion(case: _Case) -> Reading | None:
    """How likely the call is somebody else's wish; None where there is no goal to compare it with, or what came back is not known."""
    facts, reading = case.facts, case.reading
    if facts.mission is None or not facts.mission.goal.stated or facts.tool is None or reading is None:
        return None
    if facts.attribution is None or facts.origins is None:
        return None
    before = facts.history.last_tool.partition("/")[2] if facts.history is not None else ""
    usual = surprise(case.rules.baseline, facts.tool, before, facts.origins, facts.keys)
    entry = case.matched.entry if case.matched is not None and case.matched.inside else None
    setting = CallSetting(facts.findings, facts.trail, facts.results, None if entry is None else entry.approved_by)
    case.signs = signs(read_goal(facts.mission.goal), reading, facts.origins, facts.attribution, usual, setting)
    return misaligned(case.signs, case.rules.model, learned=usual is not None)


def _suspect(case: _Case, limit: float | None = None) -> bool:
    """Whether the call looks like somebody else's wish; `limit`: 0..1, None = that of the rules, or of an adopted baseline."""
    rules, suspicion = case.rules, case.suspicion
    entry = case.matched.entry if case.matched is not None and case.matched.inside else None
    if entry is not None and not case.taints and not entry.approved_by.startswith("policy:"):
        # A person put it into the map by name: words alone, with no stranger's value in the call, are no reason to ask them again.
        return False
    if limit is None:
        limit = rules.baseline.threshold if rules.baseline.adopted else rules.misaligned_from
    if _everyday(case):
        return False
    return suspicion is not None and suspicion.value is not None and suspicion.value > limit


def _everyday(case: _Case) -> bool:
    """Whether an adopted baseline knows such calls as everyday, and no text that reads like orders has a part in this one."""
    baseline, tool, reading = case.rules.baseline, case.facts.tool, case.reading
    if not baseline.adopted or tool is None or reading is None or not reading.consequential or _by_orders(case):
        return False
    return usual_shape(baseline, tool, case.facts.origins or (), TAXONOMY[reading.intent].base_risk)


def _by_orders(case: _Case) -> bool:
    """Whether a text that reads like orders to a model explains the call, or gave it a value that decides."""
    return case.signs.get("instructed", 0.0) > 0.0 or case.signs.get("key_instructed", 0.0) > 0.0


def _ask_if_suspect(case: _Case, ruling: Ruling, limit: float | None = None) -> Ruling:
    suspicion = case.suspicion
    if suspicion is None or not _suspect(case, limit):
        return ruling
    case.say(
        "misaligned",
        f"It looks like somebody else's wish ({suspicion.value or 0.0:.2f} of 1): {suspicion.why}",
        "Say it in the goal, or approve this one call: jittrust approve.",
    )
    return Ruling.STEP_UP


def _opened_by_baseline(case: _Case) -> bool:
    """Whether a read goes to an outside address that nobody but a stranger's text gave, where only the baseline lets such a tool in."""
    entry, reading = case.matched.entry if case.matched else None, case.reading
    if entry is None or entry.approved_by != BY_BASELINE or reading is None or not reading.open_world:
        return False
    strange = (Origin.FREE_TEXT, Origin.UNSEEN)
    return any(one.role is ArgumentRole.TARGET and one.origin in strange for one in case.facts.origins or ())


def _strange(case: _Case, *, suspect: bool) -> tuple[ArgumentOrigin, ...]:
    """Of a stranger's values in the call those that a person is asked about.

    The map covers the act already. Where the act is not among the most harmful and nothing makes it look like somebody else's wish, a value that the
    goal leaves to be looked up ("invite her, her address is on her page") is work. A text that reads like orders, or a goal that says itself where such
    a thing goes, leaves nothing to be looked up.
    """
    p, reading, rules = case.suspicion, case.reading, case.rules
    worst = reading is None or TAXONOMY[reading.intent].base_risk >= rules.deny_outside_from
    if worst or p is None or p.value is None or p.value > rules.tainted_from:
        return _unusual(case, case.taints, suspect=suspect)
    orders = {one.source for one in case.facts.findings}
    return tuple(one for one in case.taints if one.source in orders or not _left_open(case, one))


def _left_open(case: _Case, one: ArgumentOrigin) -> bool:
    """Whether the goal leaves it open what such a value is: it has no identifier of this kind, and an act that gives something away takes one."""
    mission = case.facts.mission
    if mission is None or "#" in one.path:
        # An address inside content is not looked up for an act; it is carried.
        return False
    if any(source.state is EntryState.REFUSED for source in mission.authority.endorsements):
        # A person said that a source directs nothing here.
        return False
    kinds = {found.kind for found in literals(one.shown, REACHING)}
    if not kinds:
        return not _gives_away(case)
    return not kinds & {found.kind for found in read_goal(mission.goal).literals}


def _unusual(case: _Case, values: tuple[ArgumentOrigin, ...], *, suspect: bool) -> tuple[ArgumentOrigin, ...]:
    """Of a stranger's, or of invented, values those that do not usually come from there in this deployment, by a baseline that an operator adopted.

    What is usual waives nothing where a text that reads like orders has a part in an act that goes out, moves money or gives rights, where the value
    comes from such a text, or above `misaligned_from`.
    """
    tool, baseline = case.facts.tool, case.rules.baseline
    if suspect or tool is None or not baseline.adopted or (_gives_away(case) and _by_orders(case)):
        return values
    if case.suspicion is None or case.suspicion.value is None or case.suspicion.value > case.rules.misaligned_from:
        return values
    orders = {one.source for one in case.facts.findings}
    harm = TAXONOMY[case.reading.intent].base_risk if case.reading is not None else 1.0
    return tuple(one for one in values if one.source in orders or not usual_origin(baseline, tool, one, harm))


def _gives_away(case: _Case) -> bool:
    """Whether the call sends something out, moves money, or gives or takes rights."""
    reading = case.reading
    if reading is None:
        return False
    return bool({Effect.OUTWARD, Effect.MONEY} & set(reading.effects)) or reading.intent.startswith(_GIVING)


def _goal_points_at(case: _Case) -> bool:
    """Whether what the call reads is named in the person's own words, value by value; a call without any such value is not."""
    named = [
        o
        for o in case.facts.origins or ()
        if o.role in (ArgumentRole.TARGET, ArgumentRole.SELECTOR) and "#" not in o.path
    ]
    return bool(named) and all(o.origin in (Origin.GOAL, Origin.OPERATOR, Origin.ENDORSED) for o in named)


# ---- 6. a person ----------------------------------------------------------------------------------------------------------------------------


def _approved(case: _Case) -> bool:
    approval = case.facts.approval
    return (
        approval is not None
        and approval.state is ApprovalState.APPROVED
        # Whoever endorsed the source said yes to what it covers, not to this call beside it.
        and not approval.endorses
        and approval.digest == case.ask.digest
        and case.now < approval.expires
    )


# ---- 8. trust and response ------------------------------------------------------------------------------------------------------------------


def _judge(case: _Case, ruling: Ruling, cost: Gas, *, hard: bool) -> Judgement:
    facts, rules, now = case.facts, case.rules, case.now
    before = facts.standing or Standing(opening(rules.trust), SessionState.NORMAL)
    level = case.factors.risk.value if case.factors else None
    codes = tuple(reason.code for reason in case.reasons)
    went_out = ruling in (Ruling.ALLOW, Ruling.MODIFY)
    if codes in (
        ("protocol",),
        ("pass_stale",),
        ("session_suspended",),
        ("mission_not_active",),
        ("identity_not_active",),
        ("ancestor_ended",),
    ):
        # A stale pass is a lost race until shown otherwise, a stopped session cannot sink further, and who left is no fault of the mission.
        standing, response = before, respond(before, now, rules.ladder)[1]
    else:
        # What a person approved costs no trust: the person has taken it on.
        counted = () if "approved_by_person" in codes else codes
        consequential = case.reading is not None and case.reading.consequential
        standing = after(
            before,
            counted,
            level,
            consequential=consequential,
            went_out=went_out,
            asked=ruling is Ruling.STEP_UP,
            rules=rules.trust,
        )
        standing, response = respond(standing, now, rules.ladder)
    if went_out and not any(code in codes for code in ("protocol", "no_goal_read", "server_asks")):
        case.say("aligned", "Nothing measured speaks against it.")
    agent = _agent_code(case, ruling)
    verdict = Verdict(
        ruling=ruling,
        response=response,
        reasons=tuple(case.reasons),
        intent=case.reading.intent if case.reading else "",
        factors=case.factors,
        wis=case.wis,
        drift=case.drift.value if case.drift else None,
        price=cost,
        trust=Score(standing.trust),
        entry=case.matched.entry.id
        if case.matched and case.matched.entry and case.matched.entry.state is EntryState.APPROVED
        else None,
        agent_code=agent,
        agent_next=AGENT_NEXT[agent],
        misaligned=case.suspicion,
    )
    entry = case.matched.entry if case.matched and case.matched.standing is MatchStanding.INSIDE else None
    step = TrailStep(case.reading.intent, case.served.value) if case.reading and case.served else None
    return Judgement(verdict, standing, case.reading, entry, hard, own_entry=case.own.id if case.own else "", step=step)


def _agent_code(case: _Case, ruling: Ruling) -> AgentCode:
    if ruling in (Ruling.ALLOW, Ruling.MODIFY):
        return AgentCode.OK
    told = [REASONS[reason.code].agent for reason in case.reasons if REASONS[reason.code].agent is not AgentCode.OK]
    if ruling is Ruling.DENY and told and told[0] is AgentCode.APPROVAL_NEEDED:
        return AgentCode.NOT_AUTHORISED
    return told[0] if told else AgentCode.NOT_AUTHORISED
