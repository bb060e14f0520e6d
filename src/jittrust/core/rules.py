"""Every threshold of a decision in one frozen value. Each field has a row in docs/scoring.md with its source and calibration."""

from __future__ import annotations

from dataclasses import dataclass, field

from jittrust.core.authority.propose import ProposalRules
from jittrust.core.grant.lanes import RotationRules
from jittrust.core.intent.access import NO_ACCESS_MODEL, AccessModel
from jittrust.core.intent.alignment import AlignmentRules
from jittrust.core.intent.baseline import NO_BASELINE, Baseline
from jittrust.core.intent.cascade import CascadeRules
from jittrust.core.intent.dialogue import DialogueRules
from jittrust.core.intent.drift import DriftRules
from jittrust.core.intent.judge import JudgeRules
from jittrust.core.intent.misaligned import MisalignedModel
from jittrust.core.response.ladder import LadderRules
from jittrust.core.scoring.context import ContextRules
from jittrust.core.scoring.price import PriceRules
from jittrust.core.scoring.risk import RiskRules
from jittrust.core.scoring.trust import TrustRules
from jittrust.core.scoring.wis import Weights


@dataclass(frozen=True, slots=True)
class GrantRules:
    """What a new grant is given when nobody says otherwise: life in seconds, gas in whole units, lanes, and the longest life allowed.

    `depth_most`: how often a grant may be handed on; every check looks at so many grants at most.
    `lineage_spans`: all identities that hang together by a root get at most so many times `gas` in so many times `ttl`, which is what one may get.
    """

    ttl: float = 300.0
    ttl_shortest: float = 60.0
    gas: int = 2000
    gas_least: int = 200
    lanes: int = 1
    lanes_most: int = 16
    mission_minutes: int = 480
    approval_seconds: float = 600.0
    lineage_spans: int = 2
    depth_most: int = 8


@dataclass(frozen=True, slots=True)
class Rules:
    """What `decide()` and the broker go by.

    `ask_below`: a call with consequences and a WIS below this goes to a person. `deny_outside_from`: a tainted call with consequences outside the
    map is refused, not asked about, from this risk on. `drift_from`: drift from which a call with consequences goes to a person.
    `ask_read_from`: risk from which a read goes to a person unless the goal's own words name what is read (secrets).
    `misaligned_from`: probability of being somebody else's wish above which a call with consequences goes to a person; an adopted baseline brings
    its own. `misaligned_read_from`: likewise for a read that a text which reads like orders explains or gave a value.
    `tainted_from`: probability above which a stranger's value in an act of a base risk under `deny_outside_from` goes to a person; in a riskier act always.
    `sensitive_from`: sensitivity from which a written policy is told that the call is sensitive.
    `judge_confident`: confidence from which the doubt of an optional judge adds a question.
    `elicit_up_to`: highest risk (R) that a confirmation in the agent's own client may answer.
    `model`: the weights of `core.intent.misaligned`; without any, nothing is asked for that reason. `baseline`: what is usual in this deployment, once
    an operator adopted it; `access`: the weights of `core.intent.access`. All are data, not constants.
    """

    ask_below: float = 20.0
    deny_outside_from: float = 0.75
    drift_from: float = 0.8
    misaligned_from: float = 0.5
    misaligned_read_from: float = 0.75
    tainted_from: float = 0.2
    ask_read_from: float = 0.85
    elicit_up_to: float = 0.4
    sensitive_from: float = 0.6
    judge_confident: float = 0.6
    weights: Weights = field(default_factory=Weights)
    alignment: AlignmentRules = field(default_factory=AlignmentRules)
    proposal: ProposalRules = field(default_factory=ProposalRules)
    drift: DriftRules = field(default_factory=DriftRules)
    cascade: CascadeRules = field(default_factory=CascadeRules)
    dialogue: DialogueRules = field(default_factory=DialogueRules)
    judge: JudgeRules = field(default_factory=JudgeRules)
    context: ContextRules = field(default_factory=ContextRules)
    risk: RiskRules = field(default_factory=RiskRules)
    price: PriceRules = field(default_factory=PriceRules)
    trust: TrustRules = field(default_factory=TrustRules)
    ladder: LadderRules = field(default_factory=LadderRules)
    rotation: RotationRules = field(default_factory=RotationRules)
    grants: GrantRules = field(default_factory=GrantRules)
    model: MisalignedModel = field(default_factory=MisalignedModel)
    access: AccessModel = NO_ACCESS_MODEL
    baseline: Baseline = NO_BASELINE
