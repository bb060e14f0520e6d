"""Delegation from agent to agent: a child is a part, pays from its parent, serves the same goal and dies with whatever is above it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.model.world import GOAL, World, allowing, world

from jittrust.core.authority.map import AuthorityMap
from jittrust.core.errors import (
    BadInputError,
    GasExhaustedError,
    JitError,
    NotFoundError,
    PassSupersededError,
    RefusedError,
)
from jittrust.core.grant.grant import PassBinding, Shown, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.ports.decision_point import Decision, Passage
from jittrust.ports.grants import ChildGrant, IssuedGrant, NewGrant


def key(name: str) -> str:
    return name.ljust(43, "_")


READS = allowing("read_file")
SENDS = allowing("send_mail")


async def begun(**more: Any) -> World:  # noqa: ANN401
    w = await world(**more)
    await w.join()
    await w.start(READS, SENDS, lanes=4)
    return w


async def root(w: World, **more: Any) -> IssuedGrant:  # noqa: ANN401
    new = NewGrant("ada", "agent", "srv", PassBinding.DPOP, key("root"), **more)
    return await w.broker.driving.grants.open(new)


def shown(w: World, grant: str, presented: str | None, jkt: str = "root", **more: Any) -> Shown:  # noqa: ANN401
    return Shown(PassBinding.DPOP, grant, presented, Instant(w.clock.now), w.names("j"), key(jkt), **more)


async def hand(
    w: World,
    parent: IssuedGrant,
    by: str | None = "root",
    presented: str | None = None,
    **more: Any,  # noqa: ANN401
) -> IssuedGrant:
    """The parent's holder, who has key `by`, hands a part to another agent; None: that agent takes it by itself."""
    more.setdefault("agent", "helper")
    more.setdefault("jkt", key("child"))
    child = ChildGrant(parent.grant.id, **more)
    said = None if by is None else shown(w, parent.grant.id, presented or parent.first_pass, by)
    return await w.broker.driving.grants.delegate(child, said)


async def read(
    w: World, issued: IssuedGrant, jkt: str = "child", presented: str | None = None, path: str = "plan.txt"
) -> Decision:
    said = shown(w, issued.grant.id, presented or issued.first_pass, jkt)
    return await w.broker.driving.decisions.evaluate(w.ask("read_file", {"path": path}), said)


def codes(decision: Decision) -> tuple[str, ...]:
    return decision.verdict.codes


async def test_a_child_does_a_part_of_the_work_on_its_parents_gas_for_the_same_goal() -> None:
    w = await begun()
    parent = await root(w, gas=Gas(500))

    child = await hand(w, parent, gas=Gas(120), ttl=Seconds(30))

    grants = w.broker.state.grants
    assert grants[parent.grant.id].gas_left == 380
    assert (child.grant.family, child.grant.path) == (parent.grant.id, (parent.grant.id,))
    assert child.grant.mission == parent.grant.mission
    assert w.broker.state.missions[child.grant.mission].goal.text == GOAL
    decision = await read(w, child)
    assert decision.passage is Passage.FORWARD
    assert grants[child.grant.id].gas_left == 120 - decision.verdict.price
    after = await read(w, parent, "root", child.next_pass)
    assert after.passage is Passage.FORWARD, "the pass that came with the child goes on"
    told = [record for record in await w.records("grant") if record["what"] == "delegated"]
    assert [(one["grant"], one["path"], one["by"]) for one in told] == [(child.grant.id, [parent.grant.id], "agent")]


async def test_handing_on_spends_the_pass_that_was_shown() -> None:
    w = await begun()
    parent = await root(w)
    await hand(w, parent)

    with pytest.raises(PassSupersededError):
        await hand(w, parent)
    with pytest.raises(PassSupersededError):
        await w.broker.driving.grants.delegate(
            ChildGrant(parent.grant.id, "x", key("x")), shown(w, parent.grant.id, None)
        )


async def test_a_lost_answer_is_given_again_for_the_same_pass_and_the_same_request_alone() -> None:
    w = await begun()
    parent = await root(w, gas=Gas(500))
    first = await hand(w, parent, request="r-1", gas=Gas(100))
    w.clock.now += 1

    again = await hand(w, parent, request="r-1", gas=Gas(100))

    assert (again.grant.id, again.next_pass) == (first.grant.id, first.next_pass)
    assert w.broker.state.grants[parent.grant.id].gas_left == 400
    assert (await read(w, again)).passage is Passage.FORWARD
    for other in ("r-2", ""):
        with pytest.raises(PassSupersededError):
            await hand(w, parent, request=other, gas=Gas(100))
    w.clock.now += 60
    with pytest.raises(PassSupersededError):
        await hand(w, parent, request="r-1", gas=Gas(100))
    assert (await read(w, parent, "root", again.next_pass)).passage is Passage.FORWARD


async def test_another_grants_token_hands_on_nothing_of_this_one() -> None:
    w = await begun()
    parent, other = await root(w), await root(w)

    for said in (shown(w, other.grant.id, other.first_pass), shown(w, parent.grant.id, parent.first_pass, "thief")):
        with pytest.raises(RefusedError, match="invalid_token"):
            await w.broker.driving.grants.delegate(ChildGrant(parent.grant.id, "x", key("x")), said)


async def test_only_whom_the_grant_names_takes_a_part_by_itself() -> None:
    w = await begun()
    parent = await root(w, may_act=("helper",))

    child = await hand(w, parent, None)

    assert child.next_pass is None
    assert (await read(w, child)).passage is Passage.FORWARD
    with pytest.raises(RefusedError, match="may_not_act"):
        await hand(w, parent, None, agent="stranger")
    with pytest.raises(RefusedError, match="may_not_act"):
        await hand(w, child, None, agent="helper")
    with pytest.raises(NotFoundError, match="grant_unknown"):
        await w.broker.driving.grants.delegate(ChildGrant("g-none", "helper", key("c")), None)


async def test_asking_again_under_the_same_request_gives_the_same_child_and_takes_nothing_more() -> None:
    w = await begun()
    parent = await root(w, gas=Gas(500), may_act=("helper",))
    first = await hand(w, parent, request="r-1", gas=Gas(100))

    again = await hand(w, parent, presented=first.next_pass, request="r-1", gas=Gas(100))
    by_itself = await hand(w, parent, None, request="r-1", gas=Gas(100))

    assert {first.grant.id, again.grant.id, by_itself.grant.id} == {first.grant.id}
    assert w.broker.state.grants[parent.grant.id].gas_left == 400
    assert (await read(w, by_itself)).passage is Passage.FORWARD
    assert again.next_pass is not None
    with pytest.raises(RefusedError, match="request_reused"):
        await hand(w, parent, None, request="r-1", jkt=key("other"))
    with pytest.raises(RefusedError, match="request_reused"):
        await root(w, request="r-1")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"gas": Gas(501)}, "gas_exhausted"),
        ({"gas": Gas(0)}, "bad_number"),
        ({"gas": float("nan")}, "bad_number"),
        ({"gas": -5}, "bad_number"),
        ({"gas": True}, "bad_number"),
        ({"uses": 6}, "uses_exhausted"),
        ({"uses": 0}, "bad_number"),
        ({"uses": -1}, "bad_number"),
        ({"uses": 2.5}, "bad_number"),
        ({"uses": True}, "bad_number"),
        ({"ttl": Seconds(10_000)}, "not_narrower"),
        ({"ttl": float("nan")}, "bad_number"),
        ({"ttl": -1.0}, "bad_number"),
        ({"ttl": 0}, "not_narrower"),
        ({"server": "elsewhere"}, "not_narrower"),
        ({"lanes": 5}, "not_narrower"),
        ({"lanes": 0}, "bad_number"),
        ({"jkt": ""}, "not_narrower"),
        ({"x5t": key("cert")}, "grant_key"),
        ({"agent": ""}, "bad_name"),
        ({"agent": "a\nb"}, "bad_name"),
        ({"may_act": ("x",) * 17}, "bad_name"),
        ({"authority": AuthorityMap((replace(allowing("delete_record")),))}, "not_narrower"),
        ({"authority": AuthorityMap((replace(READS, action="resources/read"),))}, "not_narrower"),
        ({"authority": AuthorityMap((READS, READS))}, "bad_authority"),
        ({"authority": AuthorityMap((replace(READS, resource="("),))}, "bad_resource_pattern"),
        ({"authority": AuthorityMap((replace(READS, constraints={"$ref": "https://x.example/y"}),))}, "bad_constraint"),
    ],
)
async def test_what_is_not_provably_a_part_is_refused_and_nothing_is_taken(more: dict[str, Any], code: str) -> None:
    w = await begun()
    parent = await root(w, gas=Gas(500), uses=5, lanes=2, may_act=("helper",))

    with pytest.raises(JitError) as caught:
        await hand(w, parent, None if more.get("agent", "helper") == "helper" else "root", **more)

    assert caught.value.code == code
    assert len(w.broker.state.grants) == 1
    assert (w.broker.state.grants[parent.grant.id].gas_left, w.broker.state.grants[parent.grant.id].uses_left) == (
        500,
        5,
    )


async def test_a_grants_own_authority_is_checked_when_it_is_asked_for_and_with_every_call() -> None:
    w = await begun()
    only_plan = AuthorityMap((replace(READS, resource="plan[.]txt"),))
    with pytest.raises(RefusedError, match="not_narrower"):
        await root(w, authority=AuthorityMap((allowing("delete_record"),)))
    grant = await root(w, authority=only_plan)
    empty = await root(w, authority=AuthorityMap(()))

    inside = await read(w, grant, "root")
    outside = await read(w, grant, "root", inside.next_pass, path="secrets.txt")

    assert inside.passage is Passage.FORWARD
    assert (outside.passage, codes(outside)) == (Passage.REFUSE, ("outside_grant",))
    assert codes(await read(w, empty, "root")) == ("outside_grant",), "nothing is not everything"


async def test_a_mission_that_was_narrowed_narrows_every_grant_that_it_gave() -> None:
    w = await begun()
    grant = await root(w, authority=AuthorityMap((READS, SENDS)))
    mission = w.broker.state.missions[grant.grant.mission]
    await w.change(mission.id, refuse=(READS.id,))

    decision = await read(w, grant, "root")

    assert decision.passage is Passage.REFUSE
    assert "refused_by_person" in codes(decision)


async def test_a_grant_by_uses_lets_out_exactly_so_many_calls_and_messages_are_no_uses() -> None:
    w = await begun()
    grant = await root(w, uses=2)
    first = await read(w, grant, "root")
    listing = replace(w.ask("", {}), resource=replace(w.ask("", {}).resource, type="protocol"))
    message = await w.broker.driving.decisions.evaluate(listing, shown(w, grant.grant.id, first.next_pass))
    second = await read(w, grant, "root", message.next_pass)

    third = await read(w, grant, "root", second.next_pass)

    assert [one.passage for one in (first, message, second, third)] == [*(Passage.FORWARD,) * 3, Passage.REFUSE]
    assert codes(third) == ("uses_exhausted",)


async def test_siblings_share_the_uses_of_an_entry_of_their_parent() -> None:
    w = await begun()
    limited = replace(READS, uses_left=3)
    parent = await root(w, authority=AuthorityMap((limited, SENDS)), may_act=("helper",))
    first = await hand(w, parent, None, authority=AuthorityMap((replace(READS, uses_left=2),)))

    with pytest.raises(RefusedError, match="not_narrower"):
        await hand(w, parent, None, authority=AuthorityMap((replace(READS, uses_left=2),)))
    second = await hand(w, parent, None)

    left = {one.id: one.uses_left for one in w.broker.state.grants[parent.grant.id].authority.entries}  # type: ignore[union-attr]
    assert left == {READS.id: 0, SENDS.id: None}
    assert [one.uses_left for one in second.grant.authority.entries] == [1, None]  # type: ignore[union-attr]
    passed = first.first_pass
    for expected in (Passage.FORWARD, Passage.FORWARD, Passage.REFUSE):
        decision = await read(w, first, presented=passed)
        assert decision.passage is expected
        passed = decision.next_pass


async def test_ending_a_grant_ends_all_below_it_and_nothing_beside_or_above_it() -> None:
    w = await begun()
    top = await root(w, may_act=("helper",))
    middle = await hand(w, top, None, jkt=key("m"), may_act=("helper",), gas=Gas(400))
    leaf = await hand(w, middle, None, jkt=key("l"), gas=Gas(100))
    beside = await hand(w, top, None, jkt=key("b"), gas=Gas(100))

    await w.broker.driving.grants.revoke(middle.grant.id, "enough", "ada")

    dead = await read(w, leaf, "l")
    assert (dead.passage, codes(dead)) == (Passage.REFUSE, ("ancestor_ended",))
    assert w.broker.state.grants[leaf.grant.id].state is GrantState.ACTIVE, "nobody walked down to it"
    assert not w.broker.state.in_force(w.broker.state.grants[leaf.grant.id], w.clock())
    for alive, jkt in ((beside, "b"), (top, "root")):
        assert (await read(w, alive, jkt)).passage is Passage.FORWARD
    assert len([one for one in await w.records("grant") if one["what"] == "revoked"]) == 1


async def test_below_an_ended_grant_nothing_is_handed_on_and_no_lane_opens() -> None:
    w = await begun()
    top = await root(w, may_act=("helper",), lanes=2)
    middle = await hand(w, top, None, jkt=key("m"), may_act=("helper",), lanes=2)
    await w.broker.driving.grants.revoke(top.grant.id, "enough", "ada")

    for by in (None, "m"):
        with pytest.raises(RefusedError, match="grant_not_active"):
            await hand(w, middle, by)
    with pytest.raises(RefusedError, match="grant_not_active"):
        await w.broker.driving.grants.open_lane(shown(w, middle.grant.id, middle.first_pass, "m"))


async def test_a_dead_parent_costs_the_mission_of_its_child_no_trust() -> None:
    w = await begun()
    top = await root(w, may_act=("helper",))
    child = await hand(w, top, None)
    await w.broker.driving.grants.revoke(top.grant.id, "enough", "ada")
    before = (await read(w, child)).verdict.trust

    refused = await read(w, child)

    assert refused.verdict.trust == before


async def test_theft_of_a_childs_key_ends_the_whole_family() -> None:
    w = await begun()
    top = await root(w, strictness=Strictness.STRICT, may_act=("helper",))
    child = await hand(w, top, None)
    one = await read(w, child)
    await w.settle(one)
    w.clock.now += 60

    stolen = await read(w, child, presented=child.first_pass, path="other.txt")

    assert codes(stolen) == ("pass_reused",)
    assert {grant.state for grant in w.broker.state.grants.values()} == {GrantState.REUSED}


async def test_a_chain_has_a_longest_length_and_asking_for_more_ten_thousand_times_is_refused_each_time() -> None:
    w = await begun()
    holder = await root(w, may_act=("helper",))
    for _ in range(w.rules.grants.depth_most):
        holder = await hand(w, holder, None, may_act=("helper",))
    assert len(holder.grant.path) == w.rules.grants.depth_most
    grants = len(w.broker.state.grants)

    for _ in range(10_000):
        with pytest.raises(RefusedError, match="depth_exhausted"):
            await hand(w, holder, None)
    assert len(w.broker.state.grants) == grants


async def test_a_bearer_part_of_a_key_bound_grant_is_refused_a_certificate_bound_one_is_not() -> None:
    w = await begun()
    parent = await root(w, may_act=("helper",))

    with pytest.raises(RefusedError, match="not_narrower"):
        await hand(w, parent, None, jkt="")
    child = await hand(w, parent, None, jkt="", x5t=key("cert"), may_act=("helper",))
    with pytest.raises(RefusedError, match="not_narrower"):
        await hand(w, child, None, jkt="")

    ask = w.ask("read_file", {"path": "plan.txt"})
    for wrong in ("", key("other")):
        with pytest.raises(RefusedError, match="invalid_token"):
            await w.broker.driving.decisions.evaluate(ask, Shown(PassBinding.GATEWAY, child.grant.id, x5t=wrong))
    decision = await w.broker.driving.decisions.evaluate(
        ask, Shown(PassBinding.GATEWAY, child.grant.id, x5t=key("cert"))
    )
    assert decision.passage is Passage.FORWARD


async def test_a_narrowed_token_hands_nothing_on_and_where_none_can_be_read_it_buys_nothing() -> None:
    w = await begun()
    parent = await root(w)

    with pytest.raises(RefusedError, match="narrowing_forbids"):
        await w.broker.driving.grants.delegate(
            ChildGrant(parent.grant.id, "x", key("x")), shown(w, parent.grant.id, parent.first_pass, narrowing="t")
        )
    said = shown(w, parent.grant.id, parent.first_pass, narrowing="t")
    decision = await w.broker.driving.decisions.evaluate(w.ask("read_file", {"path": "plan.txt"}), said)
    assert codes(decision) == ("narrowing_forbids",)


async def test_an_ended_mission_or_a_spent_parent_gives_nothing() -> None:
    w = await begun()
    parent = await root(w, gas=Gas(300), may_act=("helper",))
    await hand(w, parent, None, gas=Gas(300))
    with pytest.raises(GasExhaustedError):
        await hand(w, parent, None)
    other = await root(w, may_act=("helper",))
    await w.broker.driving.missions.finish(other.grant.mission) if hasattr(
        w.broker.driving.missions, "finish"
    ) else None
    w.clock.now += 100_000
    with pytest.raises(RefusedError, match="mission_not_active"):
        await hand(w, other, None)


async def test_a_grant_bound_to_a_key_and_to_a_certificate_is_refused() -> None:
    w = await begun()

    with pytest.raises(BadInputError, match="grant_key"):
        await root(w, x5t=key("cert"))
