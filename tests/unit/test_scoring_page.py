"""The pages about scoring say what the code does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from jittrust.core.authority.endorsement import EndorsementRules
from jittrust.core.authority.propose import ProposalRules
from jittrust.core.grant.lanes import RotationRules
from jittrust.core.intent.access import AccessModel, AccessRules
from jittrust.core.intent.alignment import AlignmentRules
from jittrust.core.intent.attribution import AttributionRules
from jittrust.core.intent.baseline import Baseline, BaselineRules
from jittrust.core.intent.cascade import CascadeRules
from jittrust.core.intent.dialogue import DialogueRules
from jittrust.core.intent.drift import DriftRules
from jittrust.core.intent.fields import FieldRules
from jittrust.core.intent.findings import FindingRules
from jittrust.core.intent.flow import FlowRules
from jittrust.core.intent.goal import GoalRules
from jittrust.core.intent.judge import JudgeRules
from jittrust.core.intent.learning import LearningRules
from jittrust.core.intent.misaligned import MisalignedModel
from jittrust.core.intent.provenance import ProvenanceRules
from jittrust.core.intent.reading import IntentRules
from jittrust.core.intent.roles import RoleRules
from jittrust.core.intent.taxonomy import TAXONOMY, Layer, taxonomy_page
from jittrust.core.intent.text import ReadingBounds
from jittrust.core.intent.text_codecs import DecodingRules
from jittrust.core.intent.text_injection import InjectionRules
from jittrust.core.intent.words import TextRules
from jittrust.core.response.ladder import LadderRules
from jittrust.core.rules import GrantRules, Rules
from jittrust.core.scoring.context import ContextRules
from jittrust.core.scoring.price import PriceRules
from jittrust.core.scoring.risk import RiskRules
from jittrust.core.scoring.trust import TrustRules
from jittrust.core.scoring.wis import Weights

DOCS = Path(__file__).parents[2] / "docs"
RULES = (
    AccessRules, AlignmentRules, AttributionRules, BaselineRules, CascadeRules, ContextRules, DecodingRules, DialogueRules, DriftRules,
    EndorsementRules, FieldRules, FindingRules, FlowRules, GoalRules, GrantRules, InjectionRules, IntentRules, JudgeRules, LadderRules,
    LearningRules, PriceRules, ProposalRules, ProvenanceRules, ReadingBounds, RiskRules, RoleRules, RotationRules, Rules, TextRules, TrustRules,
    Weights,
)  # fmt: skip
LEARNED = (AccessModel, Baseline, MisalignedModel)
"""Data that rules carry: learned, not chosen, so without a row."""


def rows() -> dict[str, float]:
    """Constant → value, as the page has it."""
    page = (DOCS / "scoring.md").read_text(encoding="utf-8")
    found = re.finditer(r"^\| `([\w.]+)` \| ([\d.]+) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    return {hit[1]: float(hit[2]) for hit in found}


def constants(rules: type) -> dict[str, float]:
    """Constant → value, as the code has it; a table has a constant a line, rules inside rules are rows of their own."""
    made, found = rules(), dict[str, float]()
    for constant in fields(rules):
        value = getattr(made, constant.name)
        if isinstance(value, Mapping):
            found |= {f"{rules.__name__}.{constant.name}.{name}": inner for name, inner in value.items()}
        elif is_dataclass(value):
            assert type(value) in (*RULES, *LEARNED)
        else:
            found[f"{rules.__name__}.{constant.name}"] = value
    return found


@pytest.mark.parametrize("rules", RULES, ids=lambda one: one.__name__)
def test_every_constant_has_a_row_with_its_value_and_every_row_a_constant(rules: type) -> None:
    mine = {name: value for name, value in rows().items() if name.split(".", 1)[0] == rules.__name__}
    assert mine == constants(rules)


def test_the_taxonomy_page_is_what_the_data_says() -> None:
    assert (DOCS / "taxonomy.md").read_text(encoding="utf-8") == taxonomy_page()


def test_every_intent_has_a_code_of_its_layer_two_examples_and_a_near_miss_that_names_another_code() -> None:
    for code, entry in TAXONOMY.items():
        assert re.fullmatch(r"[A-Z]\.[a-z_]+", code)
        assert entry.layer in Layer
        assert all(entry.examples)
        assert entry.definition.endswith(".")
        named = re.findall(r"[A-Z]\.[a-z_]+", entry.near_miss)
        assert named
        assert all(other in TAXONOMY and other != code for other in named)


def test_only_acts_against_oversight_are_never_trusted() -> None:
    assert {code for code, entry in TAXONOMY.items() if entry.base_risk == 1.0} == {
        "O.disable_control",
        "O.delete_evidence",
    }
