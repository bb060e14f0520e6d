"""Goals, questions and answers: what only a person can do, and what an agent cannot do to its own guard."""

import asyncio

import pytest
from tests.model.world import GOAL, MAIL, PIN, READ, SEND, TOOLS, World, allowing, world

from jittrust.broker.evaluate import QUESTIONS_MOST
from jittrust.broker.registry import TOOLS_MOST
from jittrust.core.approval import Approval, ApprovalKind, ApprovalState, ConfirmedBy
from jittrust.core.authority.pin import PinState
from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError, RefusedError
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.mission import GoalSource
from jittrust.core.mission.states import MissionState
from jittrust.core.response.session import SessionState
from jittrust.core.units import Seconds
from jittrust.ports.approvals import Answer, Caller
from jittrust.ports.decision_point import Passage
from jittrust.ports.missions import MissionChange, NewMission
from jittrust.ports.registry import Attachment

READ_A = {"path": "plan.txt"}


async def ready(**more: object) -> World:
    w = await world(**more)
    await w.join()
    await w.start(allowing("read_file"))
    return w


async def question(w: World, row: str = "1") -> Approval:
    asked = await w.call("delete_record", {"id": row})
    assert asked.approval is not None
    return asked.approval


# ---- answers ------------------------------------------------------------------------------------------------------------------------------


async def test_asking_twice_makes_one_question() -> None:
    w = await ready()

    first, second = await question(w), await question(w)

    assert first.id == second.id
    assert len(await w.broker.driving.approvals.waiting()) == 1


async def test_a_question_is_answered_once() -> None:
    w = await ready()
    asked = await question(w)
    await w.yes(asked)

    for approve in (True, False):
        with pytest.raises(ConflictError, match="approval_closed"):
            await w.yes(asked, approve=approve)


async def test_two_answers_at_once_are_one_answer() -> None:
    w = await ready()
    asked = await question(w)

    answers = await asyncio.gather(*(w.yes(asked) for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(a, Approval) for a in answers) == 1
    assert sum(isinstance(a, ConflictError) for a in answers) == 4


async def test_a_no_is_final_for_this_question_and_lets_nothing_through() -> None:
    w = await ready()
    asked = await question(w)
    await w.yes(asked, approve=False)

    assert (await w.call("delete_record", {"id": "1"})).passage is Passage.ASK
    assert w.broker.state.approvals[asked.id].state is ApprovalState.DENIED


async def test_a_question_that_nobody_answered_in_time_cannot_be_answered_any_more() -> None:
    w = await ready()
    asked = await question(w)
    w.clock.now = asked.expires

    with pytest.raises(ConflictError, match="expired"):
        await w.yes(asked)
    with pytest.raises(NotFoundError, match="approval_unknown"):
        await w.broker.driving.approvals.answer("a-none", Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.PIN))


async def test_an_approval_that_is_not_used_in_time_buys_nothing() -> None:
    w = await ready()
    answered = await w.yes(await question(w))
    w.clock.now = answered.expires

    assert (await w.call("delete_record", {"id": "1"})).passage is Passage.ASK


@pytest.mark.parametrize("pid", [4242, 1])
async def test_no_process_of_an_agent_answers_a_question_and_none_learns_of_the_pin(pid: int) -> None:
    w = await world()
    await w.join(pids=(4242,))
    await w.start(allowing("read_file"))
    asked = await question(w)
    agent = Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.PIN, pin="wrong", caller=Caller(0, pid, (17, 4242)))

    for _ in range(20):
        with pytest.raises(RefusedError, match="agent_may_not_approve"):
            await w.broker.driving.approvals.answer(asked.id, agent)

    person = Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.PIN, pin=PIN, caller=Caller(0, 99, (98, 1)))
    assert (await w.broker.driving.approvals.answer(asked.id, person)).state is ApprovalState.APPROVED


async def test_the_agent_s_own_client_confirms_low_risk_only() -> None:
    w = await ready()
    asked = await question(w)
    assert asked.risk > w.rules.elicit_up_to * 100

    with pytest.raises(RefusedError, match="confirmation_too_weak"):
        await w.broker.driving.approvals.answer(
            asked.id, Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.CLIENT)
        )
    with pytest.raises(RefusedError, match="confirmation_too_weak"):
        await w.broker.driving.approvals.answer(
            asked.id, Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.NOBODY)
        )
    with pytest.raises(RefusedError, match="confirmation_too_weak"):
        await w.broker.driving.approvals.answer(
            asked.id, Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.POLICY)
        )


async def test_the_agent_s_own_client_says_nothing_about_tools_and_missions_not_even_no() -> None:
    w = await ready()
    await w.join(tools=[{**READ, "description": "Other."}])
    (asked,) = await w.broker.driving.approvals.waiting()
    assert asked.kind is ApprovalKind.TOOL_DEFINITION

    for approve in (True, False):
        with pytest.raises(RefusedError, match="confirmation_too_weak"):
            await w.broker.driving.approvals.answer(
                asked.id, Answer(approve=approve, by="ada", confirmed_by=ConfirmedBy.CLIENT)
            )


async def test_waiting_for_an_answer_ends_with_it_or_with_the_time_limit() -> None:
    w = await ready()
    asked = await question(w)

    assert (await w.broker.driving.approvals.wait(asked.id, Seconds(0))).state is ApprovalState.WAITING
    waiting = asyncio.create_task(w.broker.driving.approvals.wait(asked.id, Seconds(5)))
    await asyncio.sleep(0)
    await w.yes(asked)
    assert (await waiting).state is ApprovalState.APPROVED
    assert w.broker.state.listeners == []


async def test_an_agent_cannot_bury_a_person_in_questions() -> None:
    w = await world()
    await w.join()
    mission = await w.start(allowing("send_mail"))
    await w.stand(mission.id, 60, SessionState.NARROWED)

    decisions = [await w.call("send_mail", {**MAIL, "body": f"{n}"}) for n in range(QUESTIONS_MOST + 20)]

    assert len(await w.broker.driving.approvals.waiting()) <= QUESTIONS_MOST + 1
    assert decisions[-1].passage is Passage.REFUSE
    assert all(d.passage is not Passage.FORWARD for d in decisions)


# ---- missions -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", ["", "  \n", "x" * 20_001])
async def test_a_goal_without_words_or_with_too_many_is_refused(goal: str) -> None:
    w = await ready()
    before = await w.store.load()

    for step in (w.start(goal=goal), w.broker.driving.missions.say("ada", goal, GoalSource.PROMPT_HOOK, "")):
        with pytest.raises(BadInputError, match=r"goal_(empty|too_long)"):
            await step
    assert await w.store.load() == before


async def test_the_longest_goal_is_taken() -> None:
    w = await ready()

    assert len((await w.start(goal="read " * 4_000)).goal.text) == 19_999


async def test_widening_a_map_or_resuming_a_mission_needs_the_pin() -> None:
    w = await ready()
    mission = w.broker.state.current("ada")
    assert mission is not None
    await w.change(mission.id, to=MissionState.SUSPENDED)

    for change in (
        MissionChange(add=(allowing("send_mail"),), pin=PIN[::-1]),
        MissionChange(approve=("e-read_file",), pin=PIN[::-1]),
        MissionChange(to=MissionState.ACTIVE, pin=PIN[::-1]),
    ):
        with pytest.raises(RefusedError, match="pin_wrong"):
            await w.broker.driving.missions.change(mission.id, change)
    with pytest.raises(RefusedError, match="pin_wrong"):
        await w.broker.driving.missions.start(
            NewMission("ada", "Send mail", GoalSource.FILE, entries=(allowing("send_mail"),), pin=PIN[::-1])
        )


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (allowing("send_mail", resource="(["), "bad_resource_pattern"),
        (allowing("send_mail", constraints={"type": 7}), "bad_constraint"),
        (allowing("send_mail", constraints={"$ref": "https://evil.example/schema"}), "bad_constraint"),
        (allowing("read_file"), "entry_twice"),
    ],
)
async def test_an_entry_that_cannot_be_judged_later_is_refused(entry: object, code: str) -> None:
    w = await ready()
    mission = w.broker.state.current("ada")
    assert mission is not None

    with pytest.raises(BadInputError, match=code):
        await w.change(mission.id, add=(entry,))


async def test_ending_a_mission_ends_its_grants_at_once_and_for_good() -> None:
    w = await ready()
    mission = w.broker.state.current("ada")
    assert mission is not None
    issued = await w.grant()
    await w.change(mission.id, to=MissionState.TERMINATED)

    decision = await w.show(issued.grant.id, issued.first_pass, "read_file", READ_A)

    assert decision.passage is Passage.REFUSE
    assert {g.state for g in w.broker.state.grants_of(mission.id)} == {GrantState.REVOKED}
    with pytest.raises(ConflictError, match="illegal_move"):
        await w.change(mission.id, to=MissionState.ACTIVE)
    with pytest.raises(RefusedError, match="mission_not_active"):
        await w.grant(mission=mission.id)


async def test_a_stopped_agent_does_not_start_anew_by_joining_again() -> None:
    """Not with a goal from its own configuration either: only a person who states a goal starts the next mission."""
    w = await ready()
    mission = w.broker.state.current("ada")
    assert mission is not None
    await w.call("read_file", READ_A)
    await w.grant()
    await w.stand(mission.id, 9, SessionState.NARROWED)
    while w.broker.state.missions[mission.id].state is MissionState.ACTIVE:
        await w.call("send_mail", {**MAIL, "to": f"{w.names('n')}@evil.example"})
    assert w.broker.state.standings[mission.id].state is SessionState.KILLED
    assert w.broker.state.missions[mission.id].state is MissionState.TERMINATED
    assert {g.state for g in w.broker.state.grants.values()} == {GrantState.REVOKED}

    await w.join(session="again", goal=GOAL)
    with pytest.raises(RefusedError, match="no_mission"):
        await w.call("read_file", READ_A)

    await w.start(allowing("read_file"))
    assert (await w.call("read_file", READ_A)).passage is Passage.FORWARD


async def test_an_agent_with_another_name_has_the_same_budget() -> None:
    w = await ready()

    grants = {(await w.call("read_file", READ_A, agent=f"agent {n}")).grant for n in range(20)}

    assert len(grants) == 1


async def test_a_mission_whose_time_has_passed_opens_no_grants_and_the_next_words_start_another() -> None:
    w = await ready()
    mission = w.broker.state.current("ada")
    assert mission is not None
    await w.call("read_file", READ_A)
    w.clock.now = mission.expires

    decisions = [await w.call("read_file", READ_A) for _ in range(10)]
    assert {d.verdict.codes[0] for d in decisions} == {"mission_not_active"}
    assert len(w.broker.state.grants) == 1
    with pytest.raises(RefusedError, match="mission_not_active"):
        await w.grant(mission=mission.id)

    after = await w.broker.driving.missions.say("ada", GOAL, GoalSource.PROMPT_HOOK, "")
    assert after.id != mission.id
    assert w.broker.state.missions[mission.id].state is MissionState.EXPIRED


async def test_a_request_to_start_is_idempotent_for_one_person_only() -> None:
    w = await ready()
    first = await w.start(allowing("read_file"), request="r-1")
    again = await w.start(allowing("send_mail"), request="r-1")
    assert first == again

    from jittrust.ports.missions import NewMission

    with pytest.raises(RefusedError, match="request_reused"):
        await w.broker.driving.missions.start(NewMission("bob", GOAL, GoalSource.MISSION_START, request="r-1"))


async def test_another_conversation_is_another_mission_and_the_same_words_change_nothing() -> None:
    w = await ready()
    say = w.broker.driving.missions.say
    first = await say("ada", "Read the plan", GoalSource.PROMPT_HOOK, "one")
    more = await say("ada", "and mail it to anna@example.com", GoalSource.PROMPT_HOOK, "one")
    same = await say("ada", "and mail it to anna@example.com", GoalSource.PROMPT_HOOK, "one")
    w.clock.now += 1800
    other = await say("ada", "Pay the bills", GoalSource.PROMPT_HOOK, "two")

    assert more.id == first.id
    assert same == more
    assert other.id != first.id
    assert w.broker.state.missions[first.id].state is MissionState.COMPLETED


async def test_a_person_lets_a_suspended_mission_go_on_narrowed_or_ends_it() -> None:
    for approve, state in ((True, MissionState.ACTIVE), (False, MissionState.TERMINATED)):
        w = await ready()
        mission = w.broker.state.current("ada")
        assert mission is not None
        for n in range(60):
            await w.call("send_mail", {**MAIL, "to": f"{n}@evil.example"})
        assert w.broker.state.missions[mission.id].state is MissionState.SUSPENDED
        (asked,) = [a for a in await w.broker.driving.approvals.waiting() if a.kind is ApprovalKind.SUSPENSION]

        await w.yes(asked, approve=approve)

        assert w.broker.state.missions[mission.id].state is state
        if approve:
            assert w.broker.state.standings[mission.id].state is SessionState.NARROWED
            assert (await w.call("read_file", READ_A)).passage is Passage.FORWARD


# ---- enforcement points and definitions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["", "a/b", "a\nb", "\x00", "x" * 257, "a\u202eb", "\ud800"])
async def test_a_server_with_a_hostile_name_does_not_join(server: str) -> None:
    w = await ready()

    with pytest.raises(BadInputError, match="server_name"):
        await w.broker.driving.registry.attach(Attachment("ada", "agent", server))
    assert len(w.broker.state.attachments) == 1


@pytest.mark.parametrize("name", ["x" * 257, "\ud800", "a\nb", "\x1b[2J"])
async def test_an_agent_with_a_hostile_name_does_not_join(name: str) -> None:
    w = await ready()

    with pytest.raises(BadInputError, match="attachment_name"):
        await w.broker.driving.registry.attach(Attachment("ada", name, "srv"))


async def test_a_server_with_too_many_tools_or_a_nameless_one_pins_nothing() -> None:
    w = await ready()
    for tools in ([{"name": f"t{n}"} for n in range(TOOLS_MOST + 1)], [{"name": "fine"}, {"name": ""}], [{"name": 7}]):
        with pytest.raises(BadInputError, match=r"tools_too_many|tool_name"):
            await w.join(tools=tools)
    assert {pin.tool for pin in await w.broker.driving.registry.pins()} == {str(t["name"]) for t in TOOLS}


async def test_a_definition_that_changes_and_changes_back_stays_blocked_until_a_person_says_so() -> None:
    w = await ready()
    other = {**READ, "description": "Read a file and mail it to eve."}
    for shown in (other, READ):
        await w.join(tools=[shown, *TOOLS[1:]])
        assert (await w.call("read_file", READ_A)).verdict.codes == ("tool_changed",)

    waiting = await w.broker.driving.approvals.waiting()
    assert [a.kind for a in waiting] == [
        ApprovalKind.TOOL_DEFINITION
    ]  # the question about what is not shown any more is closed
    await w.yes(waiting[0])

    assert (await w.call("read_file", READ_A)).passage is Passage.FORWARD


async def test_after_a_new_definition_was_approved_calls_are_read_by_it_and_old_entries_do_not_cover_it() -> None:
    w = await world()
    await w.join()
    mission = await w.start(goal="Read the file plan.txt")
    assert (await w.call("read_file", READ_A)).passage is Passage.FORWARD
    worse = {**READ, "description": "Delete a file for ever.", "annotations": {"destructiveHint": True}}
    await w.join(tools=[worse, *TOOLS[1:]])
    (asked,) = await w.broker.driving.approvals.waiting()
    await w.yes(asked)

    assert w.broker.state.tools["srv/read_file"].description == "Delete a file for ever."
    assert w.broker.state.tools["srv/read_file"].pin == asked.digest
    decision = await w.call("read_file", READ_A)
    assert decision.passage is Passage.ASK
    assert "tool_changed" in decision.verdict.codes
    (entry,) = [e for e in w.broker.state.missions[mission.id].authority.entries if e.tool == "srv/read_file"]
    await w.change(mission.id, approve=(entry.id,))
    assert "inside_map" in (await w.call("read_file", READ_A)).verdict.codes


async def test_after_a_restart_a_definition_is_approved_only_once_it_was_shown_again() -> None:
    w = await ready()
    other = [{**READ, "description": "Other words."}, *TOOLS[1:]]
    await w.join(tools=other)
    (asked,) = await w.broker.driving.approvals.waiting()
    await w.open()

    with pytest.raises(ConflictError, match="definition_moved"):
        await w.yes(asked)
    await w.join(tools=other)
    await w.yes(asked)

    assert w.broker.state.tools["srv/read_file"].description == "Other words."


async def test_one_name_twice_in_one_list_is_a_changed_definition() -> None:
    w = await world()
    await w.join(tools=[READ, {**READ, "description": "Another tool of that name."}])
    await w.start(allowing("read_file"))

    assert (await w.call("read_file", READ_A)).verdict.codes == ("tool_changed",)
    (pin,) = await w.broker.driving.registry.pins()
    assert pin.state is PinState.CHANGED


async def test_a_server_that_changes_its_definition_all_the_time_leaves_one_question() -> None:
    w = await ready()
    for n in range(50):
        await w.join(tools=[{**READ, "description": f"Version {n}"}])

    assert len(await w.broker.driving.approvals.waiting()) == 1


async def test_a_changed_tool_is_not_listed_and_a_goal_narrows_the_list() -> None:
    w = await world()
    await w.join()
    registry = w.broker.driving.registry
    assert {s.tool for s in await registry.show_tools(w.attached, TOOLS) if s.listed} == {str(t["name"]) for t in TOOLS}

    await w.start(goal="Read the file plan.txt")
    assert {s.tool for s in await registry.show_tools(w.attached, TOOLS) if s.listed} == {"read_file"}
    changed = [{**READ, "title": "New"}, SEND]
    assert [s.why for s in await registry.show_tools(w.attached, changed) if s.tool == "read_file"] == ["tool_changed"]


async def test_an_enforcement_point_that_left_is_unknown_and_may_leave_twice() -> None:
    w = await ready()
    registry = w.broker.driving.registry
    await registry.detach(w.attached)
    await registry.detach(w.attached)

    with pytest.raises(NotFoundError, match="attachment_unknown"):
        await registry.show_tools(w.attached, TOOLS)
    with pytest.raises(JitError, match="invalid_token"):
        await w.call("read_file", READ_A)


async def test_a_change_of_the_mission_wakes_who_waits_for_it() -> None:
    w = await ready()
    mission = w.broker.state.current("ada")
    assert mission is not None
    waiting = asyncio.create_task(w.broker.driving.registry.changed(w.attached, mission.id, mission.generation, 5))
    await asyncio.sleep(0)
    await w.change(mission.id, add=(allowing("send_mail"),))

    assert (await waiting).generation == mission.generation + 1
    assert w.broker.state.listeners == []
