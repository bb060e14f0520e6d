"""The taxonomy is data with stable codes: what came and went is committed, and everything has what a reader needs."""

from __future__ import annotations

import hashlib
import re

import pytest

from jittrust.core.intent.origin import ArgumentRole
from jittrust.core.intent.reading import Effect
from jittrust.core.intent.taxonomy import CODES, TAXONOMY, TAXONOMY_VERSION, Layer, taxonomy_page
from jittrust.core.intent.taxonomy_crosswalk import ATLAS, IOT, MCP_TOP_OF, OIL, OIL_OF, OWASP_ASI, OWASP_MCP
from jittrust.core.intent.taxonomy_terms import TERMS, Dimension, Disposition
from jittrust.core.intent.taxonomy_versions import STEPS, TaxonomyStep, codes_at
from jittrust.core.intent.words import CONCEPTS

# What each released version says it added and retired. A released step never changes: a new code is a new step with a new line here.
RELEASED = {
    "1": "b58fb9a3fcd1b2b2",
    "2": "d621958129cf0d4c",
}


def fingerprint(step: TaxonomyStep) -> str:
    said = f"{step.version}|{' '.join(sorted(step.added))}|{' '.join(sorted(step.retired))}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def test_the_committed_lists_of_released_versions_never_change() -> None:
    assert {step.version: fingerprint(step) for step in STEPS} == RELEASED


def test_no_code_is_added_removed_or_renamed_without_a_step_of_the_version() -> None:
    assert codes_at(TAXONOMY_VERSION) == CODES
    assert frozenset(TAXONOMY) | frozenset(TERMS) == CODES


def test_a_code_is_added_once_and_a_retired_one_never_comes_back() -> None:
    added = [code for step in STEPS for code in step.added]
    assert len(added) == len(set(added))
    for place, step in enumerate(STEPS):
        assert step.retired <= {code for earlier in STEPS[:place] for code in earlier.added}


def test_a_version_that_never_was_is_an_error() -> None:
    with pytest.raises(KeyError):
        codes_at("0")


def test_every_term_has_a_definition_two_examples_and_a_near_miss_that_names_another_code() -> None:
    for code, term in TERMS.items():
        assert re.fullmatch(r"[a-z]+:[a-z_]+", code)
        assert term.dimension in Dimension
        assert term.definition.endswith(".")
        assert len({*term.examples}) == len(term.examples)
        named = set(re.findall(r"[a-z]+:[a-z_]+", term.near_miss))
        assert named <= set(TERMS)
        assert named or code == "object:unknown"


def test_every_role_effect_and_disposition_of_the_engine_is_a_term() -> None:
    terms = {code for code in TERMS if code.startswith("role:")}
    assert terms == {f"role:{role}" for role in ArgumentRole}
    assert {f"effect:{effect}" for effect in Effect} <= set(TERMS)
    assert {f"disposition:{one}" for one in Disposition} == {code for code in TERMS if code.startswith("disposition:")}


def test_everything_that_words_may_stand_for_is_an_object_class() -> None:
    assert {f"object:{name}" for names in CONCEPTS.values() for name in names} <= set(TERMS)


def test_the_crosswalk_names_only_codes_that_are() -> None:
    for listed in IOT.values():
        assert set(listed) <= CODES
    assert set(MCP_TOP_OF) | set(OIL_OF) <= set(TAXONOMY)
    for entry in TAXONOMY.values():
        assert set(entry.owasp) <= set(OWASP_ASI)
        assert set(entry.atlas) <= set(ATLAS)
        assert set(entry.mcp_top) <= set(OWASP_MCP)
        assert set(entry.oil) <= set(OIL)


def test_every_id_of_the_owasp_lists_is_named_by_an_act() -> None:
    assert {ident for entry in TAXONOMY.values() for ident in entry.owasp} == set(OWASP_ASI)
    assert {ident for entry in TAXONOMY.values() for ident in entry.mcp_top} == set(OWASP_MCP)


def test_the_page_lists_every_code() -> None:
    page = taxonomy_page()
    assert [code for code in CODES if f"| `{code}` |" not in page] == []
    assert all(f"## {layer.value}: " in page for layer in Layer)
