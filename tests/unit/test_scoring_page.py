"""The pages about scoring say what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from jittrust.core.authority.propose import ProposalRules
from jittrust.core.intent.alignment import AlignmentRules
from jittrust.core.intent.drift import DriftRules
from jittrust.core.intent.fields import FieldRules
from jittrust.core.intent.provenance import ProvenanceRules
from jittrust.core.intent.reading import IntentRules
from jittrust.core.intent.roles import RoleRules
from jittrust.core.intent.taxonomy import TAXONOMY, Layer, taxonomy_page
from jittrust.core.intent.words import TextRules
from jittrust.core.scoring.context import ContextRules
from jittrust.core.scoring.price import PriceRules
from jittrust.core.scoring.risk import RiskRules
from jittrust.core.scoring.wis import Weights

DOCS = Path(__file__).parents[2] / "docs"
RULES = (
    AlignmentRules, ContextRules, DriftRules, FieldRules, IntentRules, PriceRules, ProposalRules, ProvenanceRules, RiskRules, RoleRules, TextRules,
    Weights,
)  # fmt: skip


@pytest.mark.parametrize("rules", RULES, ids=lambda one: one.__name__)
def test_every_constant_has_a_row_with_its_value(rules: type) -> None:
    page = (DOCS / "scoring.md").read_text(encoding="utf-8")
    rows = {
        hit[1]: hit[2] for hit in re.finditer(r"^\| `([\w.]+)` \| ([\d.]+) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    }

    for constant in fields(rules):
        assert float(rows[f"{rules.__name__}.{constant.name}"]) == constant.default


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
