"""A goal that nobody stated: what an agent, its client or another process of the user may bring as one, and what it is worth."""

from __future__ import annotations

from tests.model.world import MAIL, TOOLS, World, world

from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.ports.decision_point import Passage
from jittrust.ports.missions import NewMission

MAILS = "Send a mail with the summary to anna@example.com and delete the record 7"


async def elicited(w: World, words: str = MAILS) -> Mission:
    return await w.broker.driving.missions.say("ada", words, GoalSource.ELICITATION, "")


async def test_a_goal_from_the_agent_s_own_client_lets_nothing_of_high_risk_out_without_a_person() -> None:
    w = await world()
    await w.join()
    mission = await elicited(w)

    mail = await w.call("send_mail", MAIL)
    drop = await w.call("delete_record", {"id": "7"})
    read = await w.call("read_file", {"path": "plan.txt"})

    assert mission.goal.source is GoalSource.ELICITATION
    assert [mail.passage, drop.passage, read.passage] == [Passage.ASK, Passage.ASK, Passage.FORWARD]


async def test_the_same_words_from_the_person_let_the_named_act_out() -> None:
    w = await world()
    await w.join()
    await w.broker.driving.missions.start(NewMission("ada", MAILS, GoalSource.MISSION_START))

    assert (await w.call("send_mail", MAIL)).passage is Passage.FORWARD


async def test_no_form_adds_words_to_a_goal_that_is_stated() -> None:
    w = await world()
    await w.join()
    await w.start(goal="Read the file plan.txt")
    before = w.broker.state.current("ada")

    after = await elicited(w)

    assert after == before
    assert (await w.call("delete_record", {"id": "7"})).passage is Passage.ASK


async def test_the_person_s_own_words_take_the_place_of_what_the_client_brought() -> None:
    w = await world()
    await w.join(TOOLS)
    brought = await elicited(w, "Delete the record 7")

    own = await w.broker.driving.missions.say("ada", MAILS, GoalSource.PROMPT_HOOK, "conversation")

    assert own.goal.texts == (MAILS,)
    assert own.goal.source is GoalSource.PROMPT_HOOK
    assert w.broker.state.missions[brought.id].state is MissionState.COMPLETED
    assert (await w.call("send_mail", MAIL)).passage is Passage.FORWARD
