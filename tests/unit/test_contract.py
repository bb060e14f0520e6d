"""The contract of a mission: what the words were read as, what they open, signed, compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from jittrust.core.authority.map import AuthorityMap, Endorsement, EntryState
from jittrust.core.authority.propose import propose
from jittrust.core.grant.claims import InvalidTokenError, mint_body
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import classify
from jittrust.core.intent.roles import declared_roles
from jittrust.core.mission.contract import (
    CONTRACT_TYP,
    Contract,
    ContractLimits,
    SignedContract,
    contract_of,
    contract_widenings,
    goal_digest,
    origins_asked,
    read_contract,
    sign_contract,
)
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json, Tool, ToolAnnotations
from jittrust.core.scoring.risk import tainted, unnamed
from jittrust.core.units import Instant

ISSUER = "http://127.0.0.1:4711"
KEY = SigningKey(b"\x07" * 32)
KEYS = {"k": bytes(KEY.verify_key)}
NOW = Instant(1_800_000_000.0)
LIMITS = ContractLimits(60, 2000, 300.0, 1)
GOAL = Goal(
    ('Pay 120.50 EUR to DE89370400440532013000 and mail "Receipt" to ann@example.com', "Do not delete any file"),
    GoalSource.MISSION_START,
)


def tool(name: str, description: str, **arguments: Any) -> Tool:  # noqa: ANN401 - parts of a JSON Schema
    schema: dict[str, Json] = {"type": "object", "properties": arguments, "required": list(arguments)}
    return Tool("office", name, description, schema, ToolAnnotations(), pin="a" * 64)


TEXT = {"type": "string"}
TOOLS = (
    tool("send_payment", "Send a payment.", recipient_iban=TEXT, amount={"type": "number"}, note=TEXT),
    tool("send_mail", "Send a mail.", to=TEXT, subject=TEXT, body=TEXT),
    tool("delete_file", "Delete a file.", path=TEXT),
    tool("read_file", "Read a file.", path=TEXT),
    tool("run_script", "Run a script.", code=TEXT),
)


def made(goal: Goal = GOAL, limits: ContractLimits = LIMITS) -> Contract:
    return contract_of(goal, AuthorityMap(propose(goal, TOOLS)), TOOLS, limits, "ann", "m-1")


def signed(contract: Contract) -> SignedContract:
    return sign_contract(contract, ISSUER, NOW, Instant(NOW + 3600), "k", lambda text: KEY.sign(text).signature)


def test_a_contract_says_clauses_identifiers_tools_and_which_values_ask() -> None:
    contract = made()
    assert any("pay" in clause.does for clause in contract.clauses)
    assert any(clause.forbids for clause in contract.clauses)
    assert {"iban", "email", "quoted"} <= {kind for kind, _ in contract.identifiers}
    paying = next(act for act in contract.acts if act.intent == "T.pay")
    by_name = {one.argument: one for one in paying.arguments}
    assert set(by_name["recipient_iban"].asks) == {Origin.FREE_TEXT, Origin.UNSEEN}
    assert by_name["recipient_iban"].values == ("de89370400440532013000",)
    assert Origin.FREE_TEXT in by_name["amount"].asks


@pytest.mark.parametrize("of", TOOLS, ids=[one.name for one in TOOLS])
def test_what_a_contract_says_of_an_argument_is_what_the_rules_do(of: Tool) -> None:
    """Each (role, origin) of each tool, asked of the contract and of the rules that judge calls."""
    reading, seen = classify(of, {}), 0
    for role in {*declared_roles(of).values()} - {ArgumentRole.CONTROL, ArgumentRole.CONTENT}:
        for origin in Origin:
            one = ArgumentOrigin("/x", role, origin, "r#1", "eve@example.com")
            asks = bool(tainted((one,), reading) or unnamed((one,), reading, {"x": "eve@example.com"}))
            assert asks == (origin in origins_asked(reading, role)), (of.name, role, origin)
            seen += 1
    assert seen


def test_what_is_signed_comes_back_whole() -> None:
    pointed = Endorsement(
        "s-1",
        "office/read_file",
        {"path": "bill.txt"},
        ("T.pay",),
        120.5,
        EntryState.APPROVED,
        "ann",
        "why",
        warned=True,
    )
    contract = made()
    contract = replace(contract, authority=replace(contract.authority, endorsements=(pointed,)))
    assert read_contract(signed(contract).token.encode(), KEYS, ISSUER, NOW) == contract


def test_a_changed_contract_is_refused() -> None:
    token = signed(made()).token
    head, body, signature = token.split(".")
    for broken in (f"{head}.{body[:-2]}AA.{signature}", f"{head}.{body}.{signature[:-4]}AAAA", token[:-1], "a.b.c", ""):
        with pytest.raises(InvalidTokenError):
            read_contract(broken.encode(), KEYS, ISSUER, NOW)


@pytest.mark.parametrize(
    ("why", "keys", "issuer", "now"),
    [
        ("unknown_key", {"other": KEYS["k"]}, ISSUER, NOW),
        ("wrong_issuer", KEYS, "http://elsewhere", NOW),
        ("expired", KEYS, ISSUER, Instant(NOW + 3600)),
        ("bad_signature", {"k": bytes(SigningKey(b"\x08" * 32).verify_key)}, ISSUER, NOW),
    ],
)
def test_a_contract_of_somebody_else_or_of_the_past_is_refused(
    why: str, keys: dict[str, bytes], issuer: str, now: Instant
) -> None:
    with pytest.raises(InvalidTokenError) as refused:
        read_contract(signed(made()).token.encode(), keys, issuer, now)
    assert refused.value.detail == why


def test_another_kind_of_token_is_no_contract() -> None:
    token = mint_body({"iss": ISSUER}, "at+jwt", "k", lambda text: KEY.sign(text).signature)
    with pytest.raises(InvalidTokenError) as refused:
        read_contract(token.encode(), KEYS, ISSUER)
    assert refused.value.detail == "wrong_type"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contract": 2},
        {"contract": 1, "goal": 7},
        {"contract": 1, "goal": {"texts": ["x"], "source": "nobody", "digest": ""}},
        {
            "contract": 1,
            "goal": {"texts": ["x"], "source": "mission_start", "digest": "00"},
            "limits": {},
            "entries": {},
        },
    ],
    ids=["empty", "version", "goal", "source", "entries"],
)
def test_a_signed_object_that_is_no_contract_is_refused(body: dict[str, Json]) -> None:
    whole = {"iss": ISSUER, "iat": 1, "exp": 2, "sub": "ann", **body}
    token = mint_body(whole, CONTRACT_TYP, "k", lambda text: KEY.sign(text).signature)
    with pytest.raises(InvalidTokenError):
        read_contract(token.encode(), KEYS, ISSUER)


def test_statements_of_a_goal_cannot_be_shifted_between_lines() -> None:
    one = Goal(("pay Ann", "then Bob"), GoalSource.MISSION_START)
    assert goal_digest(one) != goal_digest(Goal(("pay Ann\nthen Bob",), GoalSource.MISSION_START))


def test_a_contract_lies_inside_itself() -> None:
    assert contract_widenings(made(), made()) == ()


@given(gas=st.integers(1, 4000), minutes=st.integers(1, 480), ttl=st.floats(1, 600), kept=st.integers(0, 4))
def test_a_child_is_inside_exactly_when_it_takes_no_more(gas: int, minutes: int, ttl: float, kept: int) -> None:
    parent = made()
    authority = replace(parent.authority, entries=parent.authority.entries[:kept])
    child = replace(parent, limits=ContractLimits(minutes, gas, ttl, 1), authority=authority)
    inside = gas <= LIMITS.gas and minutes <= LIMITS.minutes and ttl <= LIMITS.ttl
    assert (contract_widenings(parent, child) == ()) == inside


def test_a_child_that_asks_less_is_wider() -> None:
    parent = made()
    acts = tuple(replace(act, arguments=tuple(replace(one, asks=()) for one in act.arguments)) for act in parent.acts)
    assert "widens_arguments" in {one.code for one in contract_widenings(parent, replace(parent, acts=acts))}


def test_a_child_with_a_tool_of_its_own_is_wider() -> None:
    parent = made()
    more = replace(parent.authority.approved[0], id="e-more", tool="office/run_script")
    child = replace(parent, authority=replace(parent.authority, entries=(*parent.authority.entries, more)))
    assert "widens_entry" in {one.code for one in contract_widenings(parent, child)}
