"""A person's yes: what is asked, what it starts, what a client gets of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.consenting import (
    BACK,
    CHALLENGE,
    CLIENT,
    GOAL,
    ISSUER,
    VERIFIER,
    Consenting,
    asking,
    calls,
    consenting,
    mission,
    told,
    who,
)
from tests.contract.stores import sqlite_store
from tests.model.world import TOOLS, World
from tests.people import People

from jittrust.broker.oauth.questions import client_told, question_digest
from jittrust.core.approval import ApprovalKind, ApprovalState, ConfirmedBy
from jittrust.core.authority.map import EntryState
from jittrust.core.errors import ConflictError, RefusedError
from jittrust.core.grant.grant import PassBinding
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.identity import Role
from jittrust.core.identity.person import Passkey
from jittrust.core.mission.mission import GoalSource
from jittrust.core.mission.states import MissionState
from jittrust.core.oauth.authorize import goes_to, own_words, pkce_holds, plain_words, redirect_allowed
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.oauth.request import AuthorizationRequest, RequestState
from jittrust.core.units import Instant
from jittrust.ports.commit import Drop, Keep
from jittrust.ports.consents import ConsentAnswer
from jittrust.ports.grants import NewGrant
from jittrust.ports.missions import MissionChange
from jittrust.ports.registry import Attachment


async def test_a_yes_starts_a_mission_with_exactly_the_map_that_was_shown() -> None:
    here = await consenting()
    asked = await here.shown(mission(minutes=60, gas=500))
    assert (asked.person, asked.minutes, asked.gas, asked.mission) == (here.person, 60, 500, "")
    assert asked.approval is not None
    assert asked.approval.kind is ApprovalKind.MISSION
    assert {(row.tool, row.given) for row in asked.rows} == {("srv/read_file", True), ("srv/send_mail", True)}
    assert asked.never == ("srv/delete_record",)
    address = await here.yes(asked)
    assert address.startswith(f"{BACK}?")
    answer = told(address)
    assert (answer["state"], answer["iss"]) == ("s-1", ISSUER)
    request = await here.redeem(answer["code"])
    started = here.world.broker.state.missions[request.mission]
    assert (started.person, started.agent, started.state) == (here.person, "client-1", MissionState.ACTIVE)
    assert (started.goal.text, started.goal.source) == (GOAL, GoalSource.CONSENT)
    assert started.authority.entries == tuple(asked.entries)
    assert started.expires == started.created + 3600
    assert here.world.broker.state.approvals[asked.approval.id].state is ApprovalState.USED


async def test_the_persons_own_words_take_the_place_of_the_agents() -> None:
    here = await consenting()
    asked = await here.shown(mission("Delete every record"))
    mine = await here.book.show(asked.request.id, here.session, "Read the file plan.txt")
    assert {row.tool for row in mine.rows if row.given} == {"srv/read_file"}
    request = await here.redeem(told(await here.yes(mine))["code"])
    started = here.world.broker.state.missions[request.mission]
    assert started.goal.text == "Read the file plan.txt"
    assert request.details[0]["goal"] == "Read the file plan.txt"


async def test_the_map_of_a_consent_does_not_grow_when_tools_turn_up() -> None:
    here = await consenting()
    request = await here.redeem(await here.code(mission()))
    before = here.world.broker.state.missions[request.mission].authority
    registry = here.world.broker.driving.registry
    joined = await registry.attach(Attachment(here.person, "agent", "other", session="t"))
    await registry.show_tools(joined.id, TOOLS)
    assert here.world.broker.state.missions[request.mission].authority == before


async def test_without_known_tools_the_goal_allows_what_turns_up_and_the_page_says_so() -> None:
    here = await consenting(tools=False)
    asked = await here.shown(mission())
    assert any("None of its tools is known" in one for one in asked.warnings)
    request = await here.redeem(told(await here.yes(asked))["code"])
    assert here.world.broker.state.missions[request.mission].goal.source is GoalSource.MISSION_START
    registry = here.world.broker.driving.registry
    joined = await registry.attach(Attachment(here.person, "agent", "srv", session="t"))
    await registry.show_tools(joined.id, TOOLS)
    grown = here.world.broker.state.missions[request.mission].authority
    assert {one.tool for one in grown.approved} == {"srv/read_file", "srv/send_mail"}


async def test_what_the_goal_does_not_give_is_given_by_a_tick_and_signed_by_the_person() -> None:
    here = await consenting()
    asked = await here.shown(mission(), calls("srv/delete_record", uses=2), calls("srv/read_file"))
    rows = {row.tool: row for row in asked.rows}
    assert (rows["srv/delete_record"].given, rows["srv/delete_record"].optional) == (False, True)
    assert rows["srv/delete_record"].asked
    assert asked.rows[0].tool == "srv/delete_record"
    assert rows["srv/delete_record"].marks
    ticked = await here.book.show(asked.request.id, here.session, None, [rows["srv/delete_record"].entry])
    assert ticked.approval is not None
    assert asked.approval is not None
    assert ticked.approval.id != asked.approval.id
    request = await here.redeem(told(await here.yes(ticked))["code"])
    entries = {one.tool: one for one in here.world.broker.state.missions[request.mission].authority.entries}
    given = entries["srv/delete_record"]
    assert (given.state, given.approved_by, given.uses_left) == (EntryState.APPROVED, here.person, 2)
    assert set(entries) == {"srv/delete_record", "srv/read_file"}


async def test_calls_that_were_not_ticked_are_not_in_the_granted_details() -> None:
    here = await consenting()
    request = await here.redeem(await here.code(mission(), calls("srv/delete_record"), calls("srv/read_file")))
    assert [item.get("identifier") for item in request.details] == [None, "srv/read_file"]


async def test_a_tool_nobody_knows_is_named_and_not_given() -> None:
    here = await consenting()
    asked = await here.shown(mission(), calls("srv/read_file"), calls("srv/nothing"))
    assert any("srv/nothing" in one for one in asked.warnings)
    assert {row.tool for row in asked.rows} == {"srv/read_file"}


async def test_a_request_without_a_goal_goes_on_under_the_current_mission() -> None:
    here = await consenting()
    first = await here.redeem(await here.code(mission()))
    asked = await here.shown(state="s-2")
    assert asked.mission == first.mission
    assert asked.approval is not None
    assert f"current mission {first.mission}" in asked.approval.text
    second = await here.redeem(told(await here.yes(asked))["code"])
    assert second.mission == first.mission
    assert here.world.broker.state.missions[first.mission].state is MissionState.ACTIVE


async def test_a_current_mission_that_changed_since_it_was_shown_is_not_what_was_approved() -> None:
    here = await consenting()
    first = await here.redeem(await here.code(mission()))
    asked = await here.shown(state="s-2")
    entry = asked.entries[0].id
    await here.world.broker.driving.missions.change(first.mission, MissionChange(refuse=(entry,), by="ada"))
    with pytest.raises(ConflictError, match="question_moved"):
        await here.yes(asked)
    assert here.world.broker.state.of_kind(AuthorizationRequest)[asked.request.id].state is RequestState.ASKED


async def test_a_request_without_any_goal_asks_the_person_for_it() -> None:
    here = await consenting()
    asked = await here.shown()
    assert asked.approval is None
    mine = await here.book.show(asked.request.id, here.session, GOAL)
    assert mine.approval is not None
    assert (await here.redeem(told(await here.yes(mine))["code"])).goal == GOAL


async def test_a_no_is_told_to_the_client_and_starts_nothing() -> None:
    here = await consenting()
    asked = await here.shown(mission())
    answer = told(await here.no(asked))
    assert answer == {"error": "access_denied", "state": "s-1", "iss": ISSUER}
    assert here.missions() == []
    assert told(await here.no(asked)) == answer


async def test_a_no_without_a_goal_is_a_no_too() -> None:
    here = await consenting()
    assert told(await here.no(await here.shown()))["error"] == "access_denied"


async def test_an_answer_that_was_lost_on_the_way_is_given_again() -> None:
    here = await consenting()
    asked = await here.shown(mission())
    address = await here.yes(asked)
    again = await here.book.answer(asked.request.id, ConsentAnswer(approve=True, session=here.session))
    assert again == address
    assert len(here.missions()) == 1


async def test_the_same_request_twice_makes_one_question() -> None:
    here = await consenting()
    first, second = await here.shown(mission()), await here.shown(mission())
    assert (first.request.id, first.approval) == (second.request.id, second.approval)


async def test_a_pin_says_yes_while_nobody_has_a_passkey() -> None:
    here = await consenting()
    state = here.world.broker.state
    await state.change([Drop(one) for one in state.of_kind(Passkey).values()], [])
    asked = await here.shown(mission())
    assert not asked.passkey
    assert asked.approval is not None
    yes = ConsentAnswer(approve=True, session=here.session, pin="0000", question=asked.approval.id)
    with pytest.raises(RefusedError, match="pin_wrong"):
        await here.book.answer(asked.request.id, yes)
    address = await here.book.answer(asked.request.id, dataclasses.replace(yes, pin="4711"))
    assert "code" in told(address)


async def test_a_viewer_says_no_to_their_own_request_and_never_yes() -> None:
    here = await consenting(Role.VIEWER)
    asked = await here.shown(mission())
    with pytest.raises(RefusedError, match="role_too_low"):
        await here.yes(asked)
    assert told(await here.no(asked))["error"] == "access_denied"


async def test_a_pushed_request_goes_on_once_and_within_90_seconds() -> None:
    here = await consenting()
    pushed = await here.book.push(who(CLIENT), asking(mission()))
    assert pushed.expires_in == 90
    brought = {"client_id": "client-1", "request_uri": pushed.secret}
    made = await here.book.begin(brought)
    assert made.goal == GOAL
    with pytest.raises(OAuthError, match="request_uri_unknown"):
        await here.book.begin(brought)
    late = await here.book.push(who(CLIENT), asking(mission(), state="s-2"))
    here.tick(91)
    with pytest.raises(OAuthError, match="request_uri_unknown"):
        await here.book.begin({**brought, "request_uri": late.secret})


async def test_a_code_lives_60_seconds() -> None:
    here = await consenting()
    code = await here.code(mission())
    here.tick(61)
    with pytest.raises(OAuthError, match="code_unknown"):
        await here.redeem(code)


async def test_a_code_that_comes_twice_ends_the_grant_and_the_renewals_it_gave() -> None:
    here = await consenting()
    code = await here.code(mission())
    request = await here.redeem(code)
    new = NewGrant(
        here.person, "client-1", "srv", PassBinding.DPOP, CHALLENGE, mission=request.mission, client="client-1"
    )
    given = await here.world.broker.driving.grants.open(new)
    await here.book.gave(request, given.grant.id)
    renewal = Renewal("n-1", "client-1", "client-1", here.person, request.mission, "srv", Instant(2e9))
    await here.world.broker.state.change([Keep(renewal)], [])
    with pytest.raises(OAuthError, match="code_unknown"):
        await here.redeem(code)
    state = here.world.broker.state
    assert state.grants[given.grant.id].state is GrantState.REVOKED
    assert state.of_kind(Renewal)["n-1"].ended


async def test_a_code_that_comes_twice_before_its_grant_is_noted_ends_it_then() -> None:
    here = await consenting()
    code = await here.code(mission())
    request = await here.redeem(code)
    with pytest.raises(OAuthError, match="code_unknown"):
        await here.redeem(code)
    new = NewGrant(here.person, "client-1", "srv", PassBinding.DPOP, CHALLENGE, mission=request.mission)
    given = await here.world.broker.driving.grants.open(new)
    await here.book.gave(request, given.grant.id)
    assert here.world.broker.state.grants[given.grant.id].state is GrantState.REVOKED


async def test_a_back_channel_request_waits_for_the_person_and_is_spent_once() -> None:
    here = await consenting()
    secret = await here.ask_elsewhere(mission(), calls("srv/delete_record", uses=1), binding_message="W4SCT")
    (asked,) = await here.world.broker.driving.approvals.waiting()
    assert "W4SCT" in asked.text
    assert "srv/delete_record" in asked.text
    with pytest.raises(OAuthError) as pending:
        await here.book.poll(who(CLIENT), secret)
    assert pending.value.error == "authorization_pending"
    with pytest.raises(OAuthError) as soon:
        await here.book.poll(who(CLIENT), secret)
    assert soon.value.error == "slow_down"
    await here.here.answer(asked.id, here.session, await here.here.assertion(here.device, asked.id))
    request = (await here.book.poll(who(CLIENT), secret)).request
    (given,) = here.world.broker.state.missions[request.mission].authority.entries
    assert (given.tool, given.approved_by, given.uses_left) == ("srv/delete_record", here.person, 1)
    with pytest.raises(OAuthError, match="auth_req_id_used"):
        await here.book.poll(who(CLIENT), secret)


async def test_slow_down_makes_the_interval_longer() -> None:
    here = await consenting()
    secret = await here.ask_elsewhere(mission())
    words = []
    for seconds in (0, 5, 3, 6, 10):
        here.tick(seconds)
        with pytest.raises(OAuthError) as refused:
            await here.book.poll(who(CLIENT), secret)
        words.append(refused.value.error)
    assert words == ["authorization_pending", "authorization_pending", "slow_down", "slow_down", "slow_down"]


async def test_a_back_channel_request_ends_with_a_no_or_with_its_time() -> None:
    here = await consenting()
    no = await here.ask_elsewhere(mission())
    (asked,) = await here.world.broker.driving.approvals.waiting()
    await here.here.answer(asked.id, here.session, approve=False)
    with pytest.raises(OAuthError) as denied:
        await here.book.poll(who(CLIENT), no)
    assert denied.value.error == "access_denied"
    late = await here.ask_elsewhere(mission("Read the file other.txt"), requested_expiry="60")
    here.tick(61)
    with pytest.raises(OAuthError) as expired:
        await here.book.poll(who(CLIENT), late)
    assert expired.value.error == "expired_token"


async def test_a_local_user_is_asked_under_the_name_they_work_under_and_answers_with_the_pin() -> None:
    here = await consenting()
    state = here.world.broker.state
    await state.change([Drop(one) for one in state.of_kind(Passkey).values()], [])
    secret = await here.ask_elsewhere(mission(), login_hint="ada")
    (asked,) = await here.world.broker.driving.approvals.waiting()
    assert asked.target == "ada"
    await here.world.yes(asked)
    request = (await here.book.poll(who(CLIENT), secret)).request
    assert state.missions[request.mission].person == "ada"
    assert state.approvals[asked.id].confirmed_by is ConfirmedBy.PIN


async def test_the_yes_and_its_mission_survive_a_restart_together() -> None:
    here = await consenting()
    asked = await here.shown(mission())
    code = told(await here.yes(asked))["code"]
    await here.world.open()
    request = (
        await here.book.redeem(who(CLIENT), {"code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}, "")
    ).request
    assert here.world.broker.state.missions[request.mission].state is MissionState.ACTIVE


async def test_a_mission_that_is_over_gives_no_grant() -> None:
    here = await consenting()
    code = await here.code(mission())
    (started,) = here.missions()
    await here.world.broker.driving.missions.change(started.id, MissionChange(to=MissionState.TERMINATED, by="ada"))
    with pytest.raises(OAuthError, match="mission_over"):
        await here.redeem(code)


async def test_requests_that_are_long_over_are_forgotten() -> None:
    here = await consenting()
    asked = await here.shown(mission())
    here.tick(600 + 3600 + 1)
    await here.book.tick()
    state = here.world.broker.state
    assert not state.of_kind(AuthorizationRequest)
    assert asked.approval is not None
    assert state.approvals[asked.approval.id].state is ApprovalState.EXPIRED


async def test_no_secret_of_a_request_is_stored_or_recorded() -> None:
    here = await consenting()
    pushed = await here.book.push(who(CLIENT), asking(mission()))
    asked = await here.book.show(
        (await here.book.begin({"client_id": "client-1", "request_uri": pushed.secret})).id, here.session
    )
    code = told(await here.yes(asked))["code"]
    secret = await here.ask_elsewhere(mission("Read the file other.txt"))
    held = repr(here.world.broker.state.kept) + await here.here.ledger()
    assert not any(one in held for one in (code, secret, pushed.secret))


REDIRECTS = [
    ("https://client.example/callback", True),
    ("http://127.0.0.1:49152/callback", True),
    ("http://127.0.0.1:65535/callback", True),
    ("http://127.0.0.1:65536/callback", False),
    ("http://127.0.0.1:080/callback", False),
    ("http://localhost/callback", False),
    ("https://client.example/callback/", False),
]


@pytest.mark.parametrize(("sent", "fits"), REDIRECTS)
def test_only_the_port_of_a_loopback_address_may_differ(sent: str, *, fits: bool) -> None:
    assert redirect_allowed(CLIENT.redirect_uris, sent) is fits


def test_pkce_is_the_digest_of_the_verifier() -> None:
    assert pkce_holds(CHALLENGE, VERIFIER)
    assert not pkce_holds(CHALLENGE, VERIFIER + "x")
    assert not pkce_holds(CHALLENGE, CHALLENGE)
    assert not pkce_holds(CHALLENGE, "short")


def test_where_an_answer_goes_is_told_in_words() -> None:
    assert goes_to("http://localhost:99/x") == ("this machine", True)
    assert goes_to("https://a.example:8443/x?y") == ("a.example:8443", False)
    assert goes_to("com.example.app:/x") == ("an app (com.example.app:)", False)


def test_strangers_words_are_cleaned_and_a_change_is_noticed() -> None:
    assert plain_words("Mail Agent", 80) == ("Mail Agent", False)
    assert plain_words("Mail  Agent", 80) == ("Mail Agent", False)
    assert plain_words("Mail\u202eAgent", 80)[1]
    assert plain_words("Go\u043egle", 80)[1]
    assert own_words("one\r\n\u200btwo\n\n  three", 80) == "one\ntwo\nthree"


async def test_calls_without_a_goal_need_one_and_never_go_on_under_the_current_mission() -> None:
    here = await consenting()
    await here.redeem(await here.code(mission()))
    asked = await here.shown(calls("srv/read_file"), state="s-2")
    assert (asked.mission, asked.approval) == ("", None)
    with pytest.raises(OAuthError, match="goal_needed"):
        await here.ask_elsewhere(calls("srv/read_file"))


async def test_a_whole_consent_is_kept_in_the_database_with_its_map(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        here = Consenting(People(await World(store, store).open()))
        await here.world.join(TOOLS)
        await here.know(CLIENT)
        here.signed = await here.here.enrol(here.device)
        asked = await here.shown(
            mission(), calls("srv/read_file", constraints={"properties": {"path": {"const": "ä"}}})
        )
        elsewhere = await here.ask_elsewhere(mission("Read the file b.txt"), binding_message="X")
        code = told(await here.yes(asked))["code"]
        before = dict(here.world.broker.state.of_kind(AuthorizationRequest))
        await here.world.open()
        assert dict(here.world.broker.state.of_kind(AuthorizationRequest)) == before
        assert (await here.redeem(code)).entries == asked.request.entries
        with pytest.raises(OAuthError, match="person_asked"):
            await here.book.poll(who(CLIENT), elsewhere)


async def test_a_current_mission_that_ran_out_since_it_was_shown_is_not_gone_on_with() -> None:
    here = await consenting()
    await here.redeem(await here.code(mission(minutes=1)))
    here.tick(50)
    asked = await here.shown(state="s-2")
    here.tick(15)
    with pytest.raises(ConflictError, match="question_moved"):
        await here.yes(asked)


async def test_what_a_tick_gave_stands_under_the_name_of_whoever_answered() -> None:
    here = await consenting()
    state = here.world.broker.state
    await state.change([Drop(one) for one in state.of_kind(Passkey).values()], [])
    secret = await here.ask_elsewhere(mission("Read the file plan.txt"), calls("srv/delete_record"))
    (asked,) = await here.world.broker.driving.approvals.waiting()
    await here.world.yes(asked)
    request = (await here.book.poll(who(CLIENT), secret)).request
    (given,) = state.missions[request.mission].authority.entries
    assert (given.approved_by, state.missions[request.mission].person) == ("ada", here.person)


async def test_another_goal_takes_the_ticks_of_the_one_before_away() -> None:
    here = await consenting()
    asked = await here.shown(mission("Read the file plan.txt"), calls("srv/delete_record"))
    ticked = await here.book.show(asked.request.id, here.session, None, [asked.rows[0].entry])
    assert [row.given for row in ticked.rows] == [True]
    kept = await here.book.show(asked.request.id, here.session)
    assert (kept.approval, [row.given for row in kept.rows]) == (ticked.approval, [True])
    other = await here.book.show(asked.request.id, here.session, "Send a mail to anna@example.com")
    assert [row.given for row in other.rows] == [False]


async def test_nobody_gets_more_time_gas_or_lanes_than_the_rules_give() -> None:
    here = await consenting()
    asked = await here.shown(mission(minutes=1440, gas=10**9, lanes=16))
    assert (asked.minutes, asked.gas) == (480, 2000)
    assert asked.approval is not None
    assert "480 minutes, 2000 gas" in asked.approval.text
    request = await here.redeem(told(await here.yes(asked))["code"])
    started = here.world.broker.state.missions[request.mission]
    assert (started.expires - started.created, started.authority.lanes) == (480 * 60, 16)


VERIFIED = [
    (ClientSource.SPIFFE, ClientMethod.SPIFFE_JWT, BACK, False, True),
    (ClientSource.SPIFFE, ClientMethod.SPIFFE_JWT, "http://127.0.0.1/callback", False, False),
    (ClientSource.REGISTERED, ClientMethod.PRIVATE_KEY_JWT, BACK, False, True),
    (ClientSource.REGISTERED, ClientMethod.PRIVATE_KEY_JWT, BACK, True, False),
    (ClientSource.REGISTERED, ClientMethod.NONE, BACK, False, False),
    (ClientSource.DOCUMENT, ClientMethod.PRIVATE_KEY_JWT, BACK, False, False),
    (ClientSource.BUILT_IN, ClientMethod.NONE, "http://127.0.0.1/callback", False, False),
]


@pytest.mark.parametrize(("source", "method", "back", "open_to_all", "verified"), VERIFIED)
def test_a_client_is_verified_only_when_somebody_here_knows_who_runs_it(
    source: ClientSource, method: ClientMethod, back: str, *, open_to_all: bool, verified: bool
) -> None:
    client = OAuthClient("c", source, method)
    assert client_told(client, back, open_to_all=open_to_all)[3] is verified


async def test_the_digest_of_a_question_covers_who_it_is_for() -> None:
    here = await consenting()
    request = (await here.shown(mission())).request
    digests = {question_digest(request, person, GOAL, None, (1, 2, 3, 4)) for person in ("ada", "bo")}
    digests.add(question_digest(request, "ada", "other", None, (1, 2, 3, 4)))
    digests.add(question_digest(request, "ada", GOAL, None, (1, 2, 3, 5)))
    assert len(digests) == 4
