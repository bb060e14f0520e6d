"""A thief with a copy of the key, the token and the newest pass. He gets calls only until the owner's next use outside the slack."""

import pytest
from tests.model.world import World, allowing, world

from jittrust.core.errors import JitError
from jittrust.core.grant.grant import PassBinding, Shown, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.states import MissionState
from jittrust.core.units import Instant
from jittrust.ports.decision_point import Decision, Passage
from jittrust.ports.grants import IssuedGrant

BOTH = pytest.mark.parametrize("kind", [Strictness.STRICT, Strictness.STOCK])
MINE, HIS = {"path": "mine.txt"}, {"path": "his.txt"}


class Owner:
    """An honest client: it shows the newest pass it was given, and nothing else."""

    def __init__(self, w: World, issued: IssuedGrant) -> None:
        self.w = w
        self.grant = issued.grant.id
        self.newest = issued.first_pass

    async def use(self, arguments: dict[str, str] = MINE) -> Decision:
        decision = await self.w.show(self.grant, self.newest, "read_file", arguments)
        self.newest = decision.next_pass or self.newest
        if decision.passage is Passage.FORWARD:
            self.newest = (await self.w.settle(decision)).next_pass or self.newest
        return decision


async def story(kind: Strictness, lanes: int = 1) -> tuple[World, Owner]:
    w = await world()
    await w.join()
    await w.start(allowing("read_file"), lanes=lanes)
    owner = Owner(w, await w.grant(kind, lanes=lanes))
    assert (await owner.use()).passage is Passage.FORWARD
    return w, owner


async def opened_lane(w: World, grant: str, shown_pass: str | None) -> tuple[int, str, str]:
    shown = Shown(PassBinding.DPOP, grant, shown_pass, Instant(w.clock.now), w.names("j"), "thumb".ljust(43, "_"))
    return await w.broker.driving.grants.open_lane(shown)


async def caught(w: World, owner: Owner, kind: Strictness) -> None:
    """The family is dead (strict), or the mission waits for a person (stock); neither holder gets a call any more."""
    mission = w.broker.state.current("ada")
    assert mission is not None
    if kind is Strictness.STRICT:
        assert w.broker.state.grants[owner.grant].state is GrantState.REUSED
    else:
        assert mission.state is MissionState.SUSPENDED
        assert [a.target for a in await w.broker.driving.approvals.waiting()] == [mission.id]
    assert [r["what"] for r in await w.records("pass")][-1] == "reuse"
    for shown in [owner.newest, *(await _all_passes(w, owner.grant))]:
        assert (await w.show(owner.grant, shown, "read_file", {"path": "again"})).passage is not Passage.FORWARD


async def _all_passes(w: World, grant: str) -> list[str]:
    from tests.model.world import SEED

    from jittrust.core.grant import passes

    lanes = [lane for lane in w.broker.state.lanes.values() if lane.grant == grant]
    return [passes.mint(SEED, w.broker.state.pass_generation, grant, lane.number, lane.seq) for lane in lanes]


@BOTH
async def test_on_the_same_lane_he_is_caught_at_the_owner_s_next_use(kind: Strictness) -> None:
    w, owner = await story(kind)
    stolen = await w.show(owner.grant, owner.newest, "read_file", HIS)
    assert stolen.passage is Passage.FORWARD
    await w.settle(stolen)
    w.clock.now += 3

    assert (await owner.use()).passage is Passage.REFUSE

    await caught(w, owner, kind)


@BOTH
async def test_inside_the_slack_the_owner_takes_the_chain_back_and_the_thief_is_caught_at_his_own_next_use(
    kind: Strictness,
) -> None:
    w, owner = await story(kind)
    stolen = await w.show(owner.grant, owner.newest, "read_file", HIS)
    his = (await w.settle(stolen)).next_pass
    w.clock.now += 1

    assert (await owner.use()).passage is Passage.CHALLENGE
    assert (await owner.use()).passage is Passage.FORWARD
    w.clock.now += 3
    assert (await w.show(owner.grant, his, "read_file", HIS)).passage is Passage.REFUSE

    await caught(w, owner, kind)


@BOTH
async def test_a_proof_that_is_dated_back_never_buys_a_call(kind: Strictness) -> None:
    w, owner = await story(kind)
    old = owner.newest
    await owner.use()
    w.clock.now += 100

    for back in (0.0, 50.0, 99.0, 100.0, 101.0, 10_000.0):
        thief = await w.show(owner.grant, old, "read_file", HIS, iat=w.clock.now - back)
        assert thief.passage is not Passage.FORWARD
        if thief.passage is Passage.REFUSE:
            break
        owner.newest = thief.next_pass


@BOTH
async def test_on_a_lane_of_his_own_he_is_caught_at_the_owner_s_next_use(kind: Strictness) -> None:
    w, owner = await story(kind, lanes=3)
    number, his, _ = await opened_lane(w, owner.grant, owner.newest)
    stolen = await w.show(owner.grant, his, "read_file", HIS)
    assert (number, stolen.passage) == (1, Passage.FORWARD)
    w.clock.now += 3

    assert (await owner.use()).passage is Passage.REFUSE

    await caught(w, owner, kind)


@BOTH
async def test_the_owner_opens_lanes_and_uses_them_all_without_harm(kind: Strictness) -> None:
    w, owner = await story(kind, lanes=3)
    passes = []
    for _ in range(2):
        _, first, following = await opened_lane(w, owner.grant, owner.newest)
        owner.newest = following
        passes.append(first)
    for n in range(9):
        w.clock.now += 1
        for lane, shown in enumerate(passes):
            decision = await w.show(owner.grant, shown, "read_file", {"path": f"{n}"})
            assert decision.passage is Passage.FORWARD
            passes[lane] = (await w.settle(decision)).next_pass or ""
        assert (await owner.use()).passage is Passage.FORWARD

    with pytest.raises(JitError, match="too_many_lanes"):
        await opened_lane(w, owner.grant, owner.newest)


@BOTH
@pytest.mark.parametrize("shown", [None, "no pass at all"])
async def test_through_a_challenge_he_is_caught_at_the_owner_s_next_use(kind: Strictness, shown: str | None) -> None:
    w, owner = await story(kind)
    challenge = await w.show(owner.grant, shown, "read_file", HIS)
    stolen = await w.show(owner.grant, challenge.next_pass, "read_file", HIS)
    assert [challenge.passage, stolen.passage] == [Passage.CHALLENGE, Passage.FORWARD]
    w.clock.now += 3

    assert (await owner.use()).passage is Passage.REFUSE

    await caught(w, owner, kind)


@BOTH
async def test_an_owner_whose_answers_are_lost_is_never_accused(kind: Strictness) -> None:
    """Every answer is lost once and asked for again inside the window; nothing is paid or sent twice."""
    w, owner = await story(kind)
    for n in range(20):
        shown, body = owner.newest, {"path": f"{n}"}
        lost = await w.show(owner.grant, shown, "read_file", body)
        await w.settle(lost, answer=b"the answer")
        w.clock.now += 9
        again = await w.show(owner.grant, shown, "read_file", body)
        assert (again.passage, again.answer) == (Passage.RESEND, b"the answer")
        assert again.gas_left == lost.gas_left
        owner.newest = again.next_pass
    assert len(await w.records("use")) == 21


async def test_a_second_request_for_the_grant_exposes_who_asked_for_it_first() -> None:
    w, _ = await story(Strictness.STRICT)
    first = await w.grant(request="r-1")
    second = await w.grant(request="r-1")
    assert first.grant.id == second.grant.id
    assert first.first_pass != second.first_pass
    w.clock.now += 3

    assert (await w.show(first.grant.id, first.first_pass, "read_file", MINE)).passage is Passage.REFUSE
    assert w.broker.state.grants[first.grant.id].state is GrantState.REUSED


async def test_who_goes_on_trying_with_a_dead_grant_does_not_sink_the_mission_further() -> None:
    w, owner = await story(Strictness.STRICT)
    old = owner.newest
    await owner.use()
    w.clock.now += 3
    await w.show(owner.grant, old, "read_file", HIS)
    mission = w.broker.state.current("ada")
    assert mission is not None
    standing = w.broker.state.standings[mission.id]

    for _ in range(50):
        await w.show(owner.grant, old, "read_file", HIS)

    assert w.broker.state.standings[mission.id] == standing


async def test_a_pass_of_another_grant_is_a_challenge_and_harms_nobody() -> None:
    w, owner = await story(Strictness.STRICT)
    other = await w.grant()
    w.clock.now += 60

    decision = await w.show(owner.grant, other.first_pass, "read_file", HIS)

    assert decision.passage is Passage.CHALLENGE
    assert {g.state for g in w.broker.state.grants.values()} == {GrantState.ACTIVE}


async def test_a_refusal_to_a_thief_says_nothing_of_why() -> None:
    w, owner = await story(Strictness.STRICT)
    old = owner.newest
    await owner.use()
    w.clock.now += 60

    verdict = (await w.show(owner.grant, old, "read_file", HIS)).verdict

    assert verdict.codes == ("pass_reused",)
    assert verdict.agent_code == "session_suspended"
    for fact in (r.fact for r in verdict.reasons):
        assert fact not in verdict.agent_next
