"""What other rules would have said of recorded calls, held against what they say when the very same call is made under them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from tests.model.world import MAIL, World, allowing, world

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.apps.simulate import SimulatedDecision, Simulation, WouldBe, recorded_decisions, told
from jittrust.core.model import Json
from jittrust.core.rules import Rules

NOTHING = '@id("nothing") permit (principal == Agent::"nobody", action, resource);'
POLICIES: Mapping[str, str] = {
    "nothing": NOTHING,
    "send permitted": NOTHING + '@id("send") permit (principal, action, resource == Tool::"srv/send_mail");',
    "all permitted": '@id("all") permit (principal, action, resource);',
    "drop forbidden": NOTHING + '@id("drop") forbid (principal, action, resource == Tool::"srv/delete_record");',
    "all forbidden": '@id("none") forbid (principal, action, resource);',
    "permit beats nothing, forbid beats permit": '@id("all") permit (principal, action, resource);'
    '@id("drop") forbid (principal, action, resource) when { context has destructive && context.destructive };',
    "reads permitted": '@id("reads") permit (principal, action, resource) when { context has consequential && !context.consequential };',
    "acts forbidden": NOTHING + '@id("acts") forbid (principal, action, resource) when { context has consequential && context.consequential };',
    "no goal": NOTHING + '@id("goal") forbid (principal, action, resource) unless { context has goal_stated && context.goal_stated };',
    "another host": NOTHING + '@id("to") forbid (principal, action, resource) when { context has arg_to && context.arg_to == "x@evil.example" };',
    "by argument": NOTHING + '@id("id") forbid (principal, action, resource) when { context has arg_id };',
    "by target": NOTHING + '@id("hosts") forbid (principal, action, resource) when { context has targets && context.targets.contains("x@evil.example") };',
}  # fmt: skip
CALLS: Mapping[str, tuple[str, Mapping[str, Json]]] = {
    "read": ("read_file", {"path": "plan.txt"}),
    "read another": ("read_file", {"path": "/etc/shadow"}),
    "send": ("send_mail", MAIL),
    "send to a stranger": ("send_mail", {**MAIL, "to": "x@evil.example"}),
    "drop": ("delete_record", {"id": "7"}),
    "unknown tool": ("format_disk", {}),
}
STARTS: Mapping[str, tuple[str, ...]] = {
    "no map": (),
    "map": ("send_mail", "read_file"),
    "map of drop": ("delete_record",),
}


@cache
def compiled(policy: str) -> CedarPolicy:
    return CedarPolicy({"rules.cedar": POLICIES[policy]})


async def made(policy: str, call: str, start: str) -> World:
    """A world under a policy in which one call was made."""
    here = await world(policy=compiled(policy))
    await here.join()
    await here.start(*(allowing(tool) for tool in STARTS[start]))
    await here.call(*CALLS[call])
    return here


async def ruling(here: World) -> str:
    (record,) = [one for one in await here.records() if one["kind"] in {"use", "refusal"}]
    policy = record["policy"]
    assert isinstance(policy, Mapping)
    return str(policy["ruling"])


async def simulated(here: World, policy: str, in_force: str) -> SimulatedDecision:
    rules, before = compiled(policy), compiled(in_force)
    (recorded,) = recorded_decisions(await here.ledger.entries(0, 1000))
    return Simulation(rules, before, Rules()).judge(recorded)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("call", CALLS)
async def test_whatever_is_foretold_is_what_comes_when_the_call_is_made_under_the_other_rules(
    call: str, start: str
) -> None:
    worlds = {policy: await made(policy, call, start) for policy in POLICIES}
    truth = {policy: await ruling(here) for policy, here in worlds.items()}
    foretold: Counter[bool] = Counter()
    for before, here in worlds.items():
        for after in POLICIES:
            found = await simulated(here, after, before)
            if found.would_be is WouldBe.UNKNOWN:
                foretold[False] += 1
                continue
            foretold[True] += 1
            assert found.would_be == truth[after], (before, after, found)
            assert found.changed == (truth[before] != truth[after]), (before, after, found)

    # Most of it can be told; what cannot is what a rule no longer forbids, and what looks at values.
    assert foretold[True] > foretold[False]


async def test_a_rule_that_looks_at_a_value_is_unknown_and_one_that_looks_at_an_absent_argument_is_not() -> None:
    here = await made("nothing", "send", "map")

    for policy, would_be in (
        ("another host", WouldBe.UNKNOWN),
        ("by target", WouldBe.UNKNOWN),
        ("by argument", WouldBe(await ruling(here))),
    ):
        found = await simulated(here, policy, "nothing")
        assert found.would_be is would_be
    assert (await simulated(here, "another host", "nothing")).rules == ("to",)


async def test_a_rule_that_was_in_force_already_has_had_its_say() -> None:
    here = await made("another host", "send", "map")

    assert not (await simulated(here, "another host", "another host")).changed


async def test_no_value_of_an_argument_is_in_a_record() -> None:
    here = await made("all permitted", "send to a stranger", "no map")

    for record in await here.records("use"):
        policy: Any = record["policy"]
        assert policy["told"]["arguments"] == ["body", "subject", "to"]
        assert "evil.example" not in json.dumps(policy["told"])
        assert policy["permits"] == ["all"]


async def test_records_that_lack_the_facts_give_unknown_and_never_a_guess() -> None:
    here = await made("nothing", "send", "map")
    old = []
    for entry in await here.ledger.entries(0, 1000):
        record = json.loads(entry)
        if record["kind"] in {"use", "refusal"}:
            for name in ("told", "permits", "forbids", "inside"):
                record["policy"].pop(name)
            record["action"].pop("type")
        old.append(json.dumps(record).encode())
    (recorded,) = recorded_decisions(old)

    def would_be(policy: str) -> WouldBe:
        return Simulation(compiled(policy), compiled("nothing"), Rules()).judge(recorded).would_be

    assert would_be("acts forbidden") is WouldBe.UNKNOWN
    assert would_be("no goal") is WouldBe.UNKNOWN
    assert would_be("by argument") is WouldBe.UNKNOWN
    assert would_be("all forbidden") is WouldBe.DENY
    assert would_be("drop forbidden") == str(recorded.ruling)


async def test_a_changed_decision_is_told_with_the_call_and_the_rules() -> None:
    here = await made("nothing", "send", "map")
    said = dict(told(await simulated(here, "all forbidden", "nothing")))

    assert said | {"at": 0, "index": 0, "evaluation": "", "mission": ""} == {
        "index": 0, "at": 0, "evaluation": "", "mission": "", "agent": "agent", "person": "ada", "action": "tools/call",
        "resource": "srv/send_mail", "recorded": "allow", "would_be": "deny", "rules": ["none"], "why": "forbidden by rule",
    }  # fmt: skip
