"""`request_access`: what an agent asks for goes to a person, and only the person's PIN widens the map."""

from dataclasses import replace

from tests.model.world import SEND, TOOLS, World, world

from jittrust.core.approval import ApprovalKind, ApprovalState
from jittrust.core.authority.map import EntryState
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.model import Evaluation, Resource
from jittrust.ports.decision_point import Passage


def wish(w: World, what: str, why: str = "the goal needs it") -> Evaluation:
    ask = w.ask("request_access", {"what": what, "why": why})
    return replace(ask, resource=Resource("protocol", "srv/request_access"))


async def asked(w: World, ask: Evaluation) -> Passage:
    return (await w.broker.driving.decisions.evaluate(ask, Shown(PassBinding.GATEWAY, attachment=w.attached))).passage


async def test_a_wish_that_names_one_tool_is_a_question_and_a_yes_lets_the_mission_use_that_tool() -> None:
    w = await world()
    mission = await w.start(goal="Read the notes")
    await w.join(TOOLS)
    assert await asked(w, wish(w, f"{SEND['name']} to the team")) is Passage.FORWARD
    (question,) = await w.broker.driving.approvals.waiting()
    assert (question.kind, question.target, question.mission) == (
        ApprovalKind.AUTHORITY,
        f"srv/{SEND['name']}",
        mission.id,
    )
    before = w.broker.state.missions[mission.id].authority

    await w.yes(question)

    after = w.broker.state.missions[mission.id].authority
    (entry,) = [one for one in after.entries if one.tool == f"srv/{SEND['name']}"]
    assert entry.state is EntryState.APPROVED
    assert not [one for one in before.approved if one.tool == f"srv/{SEND['name']}"]


async def test_a_wish_asked_twice_is_one_question_and_one_that_names_no_tool_widens_nothing() -> None:
    w = await world()
    mission = await w.start(goal="Read the notes")
    await w.join(TOOLS)
    for _ in range(2):
        await asked(w, wish(w, "everything, please"))
    (question,) = await w.broker.driving.approvals.waiting()
    before = w.broker.state.missions[mission.id].authority

    answered = await w.yes(question)

    assert (question.target, answered.state) == ("", ApprovalState.APPROVED)
    assert w.broker.state.missions[mission.id].authority == before
