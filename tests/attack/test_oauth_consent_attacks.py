"""Attacks on a person's yes: addresses, codes, questions that are swapped, pages that lie (T44, T45, T49; RFC 9700)."""

from __future__ import annotations

import dataclasses
import json
import re
from urllib.parse import urlencode

import httpx2
import pytest
from tests.authenticator import ORIGIN
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
from tests.consoles import ConsoleClient, code, console_app
from tests.model.world import TOOLS

from jittrust.api.console.pages import HEADERS
from jittrust.core.approval import ApprovalState, ConfirmedBy
from jittrust.core.errors import ConflictError, JitError, NotFoundError, RefusedError
from jittrust.core.identity.identity import IdentityState, Role
from jittrust.core.identity.person import Passkey
from jittrust.core.model import Json, SubjectKind
from jittrust.core.oauth.authorize import SentBackError
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.request import AuthorizationRequest, RequestState
from jittrust.core.oauth.server_metadata import AUTHORIZATION_CODE, CIBA
from jittrust.ports.approvals import Answer, Caller
from jittrust.ports.commit import Drop
from jittrust.ports.consents import ConsentAnswer
from jittrust.ports.identities import IdentityChange, NewIdentity
from jittrust.ports.registry import Attachment

OTHER = OAuthClient(
    "client-2", ClientSource.REGISTERED, ClientMethod.NONE, "Other", (BACK,), (AUTHORIZATION_CODE, CIBA)
)

# ---- where an answer may go ---------------------------------------------------------------------------------------------------------------

ADDRESSES = [
    "",
    "https://client.example/callback/",
    "https://client.example/callback?x=1",
    "https://client.example/callback#x",
    "https://client.example/callback%2f..",
    "https://client.example/callback/../evil",
    "https://client.example/Callback",
    "HTTPS://client.example/callback",
    "http://client.example/callback",
    "https://client.example:443/callback",
    "https://client.example./callback",
    "https://client.example@evil.example/callback",
    "https://client.example\\@evil.example/callback",
    "https://evil.example/?https://client.example/callback",
    "https://client.example.evil.example/callback",
    "//client.example/callback",
    " https://client.example/callback",
    "https://client.example/callback\n",
    "https://client.example/callback\u200b",
    "https://cl\u0456ent.example/callback",
    "javascript:alert(1)//https://client.example/callback",
    "data:text/html,x",
    "http://127.0.0.1:80@evil.example/callback",
    "http://127.0.0.1.evil.example/callback",
    "http://127.0.0.1:0/callback",
    "http://127.0.0.1:99999/callback",
    "http://127.0.0.1:08/callback",
    "http://127.0.0.1:8080/other",
    "http://127.0.0.1:8080/callback?x",
    "http://127.0.0.1:8080/callback#",
    "http://127.1:8080/callback",
    "http://2130706433:8080/callback",
    "http://[::1]:8080/callback",
    "http://localhost:8080/callback",
    "https://127.0.0.1:8080/callback",
    "https://client.example/callback" + "x" * 3000,
]


@pytest.mark.parametrize("sent", ADDRESSES)
async def test_nothing_goes_to_an_address_that_the_client_has_not_registered(sent: str) -> None:
    here = await consenting()
    with pytest.raises(OAuthError) as refused:
        await here.book.begin(asking(mission(), redirect_uri=sent))
    assert not isinstance(refused.value, SentBackError)
    assert refused.value.code == "redirect_uri_unknown"
    with pytest.raises(OAuthError, match="redirect_uri_unknown"):
        await here.book.push(who(CLIENT), asking(mission(), redirect_uri=sent))
    answer = await site(here).get("/oauth/authorize?" + urlencode(asking(mission(), redirect_uri=sent)))
    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert not here.world.broker.state.of_kind(AuthorizationRequest)


@pytest.mark.parametrize(
    "scheme",
    ["javascript:x", "JavaScript:x", "data:text/html,x", "vbscript:x", "file:///etc/x", "blob:x", "about:blank"],
)
async def test_an_address_that_runs_in_the_browser_is_refused_even_when_it_is_registered(scheme: str) -> None:
    here = await consenting()
    await here.know(dataclasses.replace(OTHER, redirect_uris=(scheme,)))
    with pytest.raises(OAuthError, match="redirect_uri_unknown"):
        await here.book.begin(asking(mission(), client_id="client-2", redirect_uri=scheme))


@pytest.mark.parametrize("client", ["", "nobody", "client-1 ", "client-1\x00", "CLIENT-1", "spiffe://evil.example/x"])
async def test_an_unknown_client_gets_a_page_and_no_redirect(client: str) -> None:
    here = await consenting()
    answer = await site(here).get("/oauth/authorize?" + urlencode(asking(mission(), client_id=client)))
    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert "text/html" in answer.headers["content-type"]


# ---- what the client is told --------------------------------------------------------------------------------------------------------------

REQUESTS: list[tuple[dict[str, str | None], str]] = [
    ({"response_type": None}, "unsupported_response_type"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"response_mode": "form_post"}, "invalid_request"),
    ({"request": "eyJhbGciOiJub25lIn0.e30."}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain", "code_challenge": VERIFIER}, "invalid_request"),
    ({"code_challenge_method": "s256"}, "invalid_request"),
    ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
    ({"code_challenge": CHALLENGE[:-1]}, "invalid_request"),
    ({"code_challenge": CHALLENGE + "A"}, "invalid_request"),
    ({"code_challenge": CHALLENGE[:-1] + "+"}, "invalid_request"),
    ({"code_challenge": CHALLENGE[:-1] + "\n"}, "invalid_request"),
    ({"dpop_jkt": "short"}, "invalid_request"),
    ({"resource": "https://evil.example/mcp/srv"}, "invalid_target"),
    ({"resource": f"{ISSUER}.evil.example/mcp/srv"}, "invalid_target"),
    ({"resource": f"{ISSUER}/mcp/../srv"}, "invalid_target"),
    ({"resource": f"{ISSUER}/mcp/srv/x"}, "invalid_target"),
    ({"resource": f"{ISSUER}/mcp/"}, "invalid_target"),
    ({"authorization_details": "{}"}, "invalid_authorization_details"),
    ({"authorization_details": '[{"type":"urn:jittrust:admin"}]'}, "invalid_authorization_details"),
    ({"authorization_details": json.dumps([mission(), mission()])}, "invalid_authorization_details"),
    ({"authorization_details": json.dumps([calls("srv/*(", resource="(")])}, "invalid_authorization_details"),
    ({"authorization_details": json.dumps([mission(gas=-5)])}, "invalid_authorization_details"),
    (
        {"authorization_details": '[{"type":"urn:jittrust:mission","goal":"x","gas":NaN}]'},
        "invalid_authorization_details",
    ),
    ({"authorization_details": json.dumps([calls("srv/x")] * 65)}, "invalid_authorization_details"),
    ({"authorization_details": "[" * 200 + "]" * 200}, "invalid_authorization_details"),
]


@pytest.mark.parametrize(("more", "word"), REQUESTS)
async def test_what_is_wrong_goes_back_with_state_and_issuer(more: dict[str, str | None], word: str) -> None:
    here = await consenting()
    with pytest.raises(SentBackError) as refused:
        await here.book.begin(asking(**more))
    assert refused.value.address.startswith(f"{BACK}?")
    assert told(refused.value.address) == {"error": word, "state": "s-1", "iss": ISSUER}
    answer = await site(here).get("/oauth/authorize?" + urlencode(asking(**more)))
    assert (answer.status_code, answer.headers["location"]) == (303, refused.value.address)
    with pytest.raises(OAuthError) as pushed:
        await here.book.push(who(CLIENT), asking(**more))
    assert not isinstance(pushed.value, SentBackError)
    assert not here.world.broker.state.of_kind(AuthorizationRequest)


@pytest.mark.parametrize("state", ["x\r\nSet-Cookie: a=b", "x" * 3000, "ä", "\x00"])
async def test_a_state_that_is_no_plain_text_is_not_given_back(state: str) -> None:
    here = await consenting()
    with pytest.raises(SentBackError) as refused:
        await here.book.begin(asking(mission(), state=state))
    assert told(refused.value.address) == {"error": "invalid_request", "iss": ISSUER}


async def test_a_state_that_looks_like_an_answer_stays_a_state() -> None:
    here = await consenting()
    bad = "a&code=forged&iss=https://evil.example#x"
    asked = await here.shown(mission(), state=bad)
    answer = told(await here.yes(asked))
    assert (answer["state"], answer["iss"]) == (bad, ISSUER)
    assert answer["code"] != "forged"


@pytest.mark.parametrize(
    "query",
    [
        urlencode(asking(mission())) + "&client_id=client-2",
        urlencode(asking(mission())) + "&redirect_uri=https://evil.example/",
        urlencode(asking(mission())) + "&state=%ff",
        urlencode(asking(mission())) + "&x=%00",
        "&".join(f"x{n}=1" for n in range(100)),
        "x=" + "y" * 40_000,
    ],
)
async def test_a_request_that_can_be_read_in_two_ways_is_a_page(query: str) -> None:
    here = await consenting()
    answer = await site(here).get(f"/oauth/authorize?{query}")
    assert (answer.status_code, answer.headers.get("location")) == (400, None)


# ---- codes --------------------------------------------------------------------------------------------------------------------------------

MISUSES: list[dict[str, str]] = [
    {"redirect_uri": "http://127.0.0.1/callback"},
    {"redirect_uri": BACK + "?"},
    {"redirect_uri": ""},
    {"code_verifier": ""},
    {"code_verifier": CHALLENGE},
    {"code_verifier": VERIFIER[:-1]},
    {"code_verifier": VERIFIER + " "},
    {"code_verifier": VERIFIER + "\x00"},
    {"code_verifier": "x" * 200},
]


@pytest.mark.parametrize("more", MISUSES)
async def test_a_code_in_the_wrong_hands_is_spent_and_gives_nothing(more: dict[str, str]) -> None:
    here = await consenting()
    got = await here.code(mission())
    with pytest.raises(OAuthError, match="code_unknown"):
        await here.redeem(got, **more)  # type: ignore[arg-type]
    with pytest.raises(OAuthError, match="code_unknown"):
        await here.redeem(got)


async def test_a_code_of_one_client_is_nothing_to_another_and_stays_good() -> None:
    here = await consenting()
    await here.know(OTHER)
    got = await here.code(mission())
    with pytest.raises(OAuthError, match="code_unknown"):
        await here.redeem(got, OTHER)
    assert (await here.redeem(got)).state is RequestState.REDEEMED


async def test_a_code_for_one_key_is_nothing_to_another() -> None:
    here = await consenting()
    got = await here.code(mission(), dpop_jkt=CHALLENGE)
    with pytest.raises(OAuthError, match="code_unknown"):
        await here.redeem(got, jkt="B" * 43)
    other = await here.code(mission(), dpop_jkt=CHALLENGE, state="s-2")
    with pytest.raises(OAuthError, match="code_unknown"):
        await here.redeem(other)
    third = await here.code(mission(), dpop_jkt=CHALLENGE, state="s-3")
    assert (await here.redeem(third, jkt=CHALLENGE)).jkt == CHALLENGE


async def test_no_secret_serves_in_the_place_of_another() -> None:
    here = await consenting()
    pushed = await here.book.push(who(CLIENT), asking(mission(), state="s-2"))
    elsewhere = await here.ask_elsewhere(mission())
    got = await here.code(mission())
    for wrong in (pushed.secret, elsewhere, "", "x", got[:-1], got + "A", got.swapcase()):
        with pytest.raises(OAuthError, match="code_unknown"):
            await here.redeem(wrong)
    for wrong in (pushed.secret, got, "", "x"):
        with pytest.raises(OAuthError, match="auth_req_id_unknown"):
            await here.book.poll(who(CLIENT), wrong)
    for wrong in (elsewhere, got, "x", "urn:ietf:params:oauth:request_uri:x", "https://evil.example/request.jwt"):
        with pytest.raises(OAuthError, match="request_uri_unknown"):
            await here.book.begin({"client_id": "client-1", "request_uri": wrong})


async def test_a_pushed_request_is_its_clients_and_nothing_in_the_browser_changes_it() -> None:
    here = await consenting()
    await here.know(OTHER)
    pushed = await here.book.push(who(CLIENT), asking(mission()))
    with pytest.raises(OAuthError, match="request_uri_unknown"):
        await here.book.begin({"client_id": "client-2", "request_uri": pushed.secret})
    with pytest.raises(OAuthError, match="request_uri_unknown"):
        await here.book.begin({"request_uri": pushed.secret})
    forged = asking(mission("Delete every record"), redirect_uri="http://127.0.0.1:1/callback", state="forged")
    made = await here.book.begin({**forged, "client_id": "client-1", "request_uri": pushed.secret})
    assert (made.goal, made.redirect_uri, made.oauth_state) == (GOAL, BACK, "s-1")
    with pytest.raises(OAuthError, match="request_uri_pushed"):
        await here.book.push(who(CLIENT), {**asking(), "request_uri": pushed.secret})
    with pytest.raises(OAuthError, match="client_differs"):
        await here.book.push(who(CLIENT), asking(mission(), client_id="client-2"))


# ---- T45: what is approved is what happens ------------------------------------------------------------------------------------------------


async def test_t45_a_signature_for_one_question_is_no_yes_to_another() -> None:
    here = await consenting()
    harmless, bad = await here.shown(mission("Read the file plan.txt")), await here.shown(mission(), state="s-2")
    assert harmless.approval is not None
    assert bad.approval is not None
    assertion = await here.here.assertion(here.device, harmless.approval.id)
    with pytest.raises(RefusedError, match="passkey_refused"):
        await here.book.answer(
            bad.request.id,
            ConsentAnswer(True, here.session, assertion, question=bad.approval.id),  # noqa: FBT003
        )
    assert here.missions() == []


async def test_t45_a_goal_that_changed_in_another_tab_is_not_what_was_signed() -> None:
    here = await consenting()
    asked = await here.shown(mission("Read the file plan.txt"))
    assert asked.approval is not None
    assertion = await here.here.assertion(here.device, asked.approval.id)
    await here.book.show(asked.request.id, here.session, GOAL)
    with pytest.raises(ConflictError, match="question_moved"):
        await here.book.answer(
            asked.request.id,
            ConsentAnswer(True, here.session, assertion, question=asked.approval.id),  # noqa: FBT003
        )
    assert here.missions() == []


async def test_t45_a_pin_says_yes_only_to_what_was_on_the_screen() -> None:
    here = await consenting()
    state = here.world.broker.state
    await state.change([Drop(one) for one in state.of_kind(Passkey).values()], [])
    asked = await here.shown(mission("Read the file plan.txt"))
    assert asked.approval is not None
    await here.book.show(asked.request.id, here.session, GOAL)
    for question in ("", asked.approval.id, "a-x"):
        with pytest.raises(ConflictError, match="question_moved"):
            await here.book.answer(
                asked.request.id,
                ConsentAnswer(True, here.session, pin="4711", question=question),  # noqa: FBT003
            )


async def test_t45_what_was_changed_behind_the_question_is_not_what_was_approved() -> None:
    from jittrust.ports.commit import Keep

    here = await consenting()
    for change in (
        {"redirect_uri": "https://client.example/other"},
        {"challenge": "B" * 43},
        {"jkt": "B" * 43},
        {"agent": "somebody"},
        {"gas": 1},
        {"minutes": 7},
        {"goal": "Delete every record"},
        {"entries": ()},
        {"resource": "other"},
        {"later": True},
        {"uses": 999},
        {"lanes": 9},
        {"message": "x"},
    ):
        asked = await here.shown(mission(), state=f"s-{sorted(change)}")
        stored = here.world.broker.state.of_kind(AuthorizationRequest)[asked.request.id]
        moved = dataclasses.replace(stored, revision=stored.revision + 1, **change)
        await here.world.broker.state.change([Keep(moved)], [])
        with pytest.raises(ConflictError, match="question_moved"):
            await here.yes(asked)
        await here.no(asked)
    assert here.missions() == []


async def test_t45_a_request_that_somebody_looked_at_is_nobody_elses() -> None:
    here = await consenting()
    asked = await here.shown(mission())
    assert asked.approval is not None
    device, other = await here.person_two(Role.ADMIN)
    with pytest.raises(NotFoundError, match="request_unknown"):
        await here.book.show(asked.request.id, other.secret)
    assertion = await here.here.assertion(device, asked.approval.id)
    for approve in (True, False):
        with pytest.raises(NotFoundError, match="request_unknown"):
            await here.book.answer(
                asked.request.id, ConsentAnswer(approve, other.secret, assertion, question=asked.approval.id)
            )


async def test_t45_no_other_person_says_yes_to_a_mission_of_yours() -> None:
    here = await consenting()
    await here.ask_elsewhere(mission())
    (asked,) = await here.world.broker.driving.approvals.waiting()
    device, other = await here.person_two(Role.ADMIN)
    assertion = await here.here.assertion(device, asked.id)
    with pytest.raises(RefusedError, match="not_yours"):
        await here.here.answer(asked.id, other.secret, assertion)
    assert here.missions() == []


async def test_t45_an_agents_process_does_not_answer_what_an_agent_asks() -> None:
    here = await consenting()
    state = here.world.broker.state
    await state.change([Drop(one) for one in state.of_kind(Passkey).values()], [])
    await here.world.broker.driving.registry.attach(Attachment("ada", "agent", "srv", session="p", pids=(4242,)))
    await here.ask_elsewhere(mission())
    (asked,) = await here.world.broker.driving.approvals.waiting()
    for caller in (Caller(1, 4242), Caller(1, 9, (8, 4242))):
        with pytest.raises(RefusedError, match="agent_may_not_approve"):
            await here.world.broker.driving.approvals.answer(
                asked.id, Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.PIN, pin="4711", caller=caller)
            )
    for how in (ConfirmedBy.CLIENT, ConfirmedBy.SESSION, ConfirmedBy.NOBODY, ConfirmedBy.POLICY):
        with pytest.raises(JitError):
            await here.world.broker.driving.approvals.answer(
                asked.id, Answer(approve=True, by="ada", confirmed_by=how, session=here.session)
            )
    assert here.missions() == []


async def test_t45_two_answers_at_once_start_one_mission() -> None:
    import asyncio

    here = await consenting()
    asked = await here.shown(mission())
    assert asked.approval is not None
    given = [await here.here.assertion(here.device, asked.approval.id) for _ in range(4)]
    answers = [ConsentAnswer(True, here.session, one, question=asked.approval.id) for one in given]  # noqa: FBT003
    await asyncio.gather(*(here.book.answer(asked.request.id, one) for one in answers), return_exceptions=True)
    assert len(here.missions()) == 1


SPOOFS = [
    "Bank\nGoal     harmless",
    "Bank\r\nNot      anything else",
    "Bank\u2028May      nothing",
    "\u202eknaB",
    "B\u200bank",
    "Bank\u0000",
    "Bank\x1b[2J",
    "B\u0430nk",
    "\u2066Bank\u2069",
    "Bank\u00adLtd",
]


@pytest.mark.parametrize("name", SPOOFS)
async def test_t45_a_name_that_imitates_is_cleaned_and_flagged(name: str) -> None:
    here = await consenting()
    await here.know(dataclasses.replace(OTHER, name=name))
    asked = await here.shown(mission(), client_id="client-2")
    assert asked.approval is not None
    assert asked.client_name.isprintable()
    assert any("Take it for a fake" in one for one in asked.warnings)
    assert [line.split(" ")[0] for line in asked.approval.text.split("\n")] == HEADS
    assert "Take it for a fake" in asked.approval.why


HEADS = ["Client", "For", "Goal", "May", "May", "Not", "For", "Answers"]


@pytest.mark.parametrize(
    "goal", ["Read the file\nMay      srv/all", "Read the file \u202etxt.nalp", "Read\u200b the file plan.txt"]
)
async def test_t45_a_goal_that_imitates_the_question_is_cleaned_and_flagged(goal: str) -> None:
    here = await consenting()
    asked = await here.shown(mission(goal))
    assert asked.approval is not None
    assert sum(line.startswith("Goal") for line in asked.approval.text.split("\n")) == 1
    assert not re.search(r"[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", asked.approval.text + asked.request.goal)
    assert "\n" in goal or any("as it was proposed had" in one for one in asked.warnings)


@pytest.mark.parametrize("message", ["a\nb", "x" * 121, "\u202ea", "a\u200bb", "\x1b[31m", "а1B2a"])  # noqa: RUF001
async def test_t45_a_binding_message_is_plain_and_short(message: str) -> None:
    here = await consenting()
    with pytest.raises(OAuthError) as refused:
        await here.ask_elsewhere(mission(), binding_message=message)
    assert refused.value.error == "invalid_binding_message"


async def test_t45_more_is_shown_as_beyond_the_goal_and_is_never_given_by_the_yes_alone() -> None:
    here = await consenting()
    asked = await here.shown(mission("Read the file plan.txt"), calls("srv/delete_record"))
    assert asked.rows[0].tool == "srv/delete_record"
    request = await here.redeem(told(await here.yes(asked))["code"])
    assert not here.world.broker.state.missions[request.mission].authority.approved


@pytest.mark.parametrize("also", [["e-0-0 e-1-0"], ["*"], ["e-9-9"], ["E-0-0"], [""]])
async def test_t45_a_tick_for_what_was_not_shown_gives_nothing(also: list[str]) -> None:
    here = await consenting()
    asked = await here.shown(mission("Read the file plan.txt"), calls("srv/delete_record"))
    again = await here.book.show(asked.request.id, here.session, None, also)
    assert not [row for row in again.rows if row.given]


# ---- T44: asking is a budget --------------------------------------------------------------------------------------------------------------


async def test_t44_500_requests_an_hour_show_10_questions_at_most() -> None:
    here = await consenting()
    refused = 0
    for number in range(500):
        try:
            await here.ask_elsewhere(mission(f"Read the file {number}.txt"))
        except OAuthError as error:
            refused += error.error == "access_denied"
        waiting = await here.world.broker.driving.approvals.waiting()
        assert len(waiting) <= 5
        here.tick(7)
    assert 500 - refused <= 10


async def test_t44_the_same_request_twice_makes_one_question() -> None:
    here = await consenting()
    first, second = await here.ask_elsewhere(mission()), await here.ask_elsewhere(mission())
    assert first == second
    assert len(await here.world.broker.driving.approvals.waiting()) == 1


async def test_t44_a_public_client_does_not_get_the_secret_of_its_twin() -> None:
    here = await consenting()
    asked = {"login_hint": here.person, "authorization_details": json.dumps([mission()])}
    first, second = [(await here.book.backchannel(who(CLIENT), asked)).secret for _ in range(2)]
    assert first != second


async def test_t44_a_page_that_is_asked_for_too_often_goes_back_with_access_denied() -> None:
    here = await consenting()
    for number in range(5):
        await here.shown(mission(), state=f"s-{number}")
    with pytest.raises(SentBackError) as refused:
        await here.shown(mission(), state="s-9")
    assert told(refused.value.address) == {"error": "access_denied", "state": "s-9", "iss": ISSUER}
    assert len(await here.world.broker.driving.approvals.waiting()) == 5


async def test_t44_one_client_that_floods_pushes_nobody_else_out() -> None:
    here = await consenting()
    await here.know(OTHER)
    quiet = await here.book.begin(asking(mission(), client_id="client-2"))
    for number in range(300):
        await here.book.begin(asking(mission(), state=f"s-{number}"))
    kept = here.world.broker.state.of_kind(AuthorizationRequest)
    assert quiet.id in kept
    assert len(kept) <= 65
    assert not [one for one in await here.world.records() if one["kind"] in ("approval", "oauth")]


# ---- the back channel ---------------------------------------------------------------------------------------------------------------------

HINTS: list[tuple[dict[str, str | None], str]] = [
    ({"login_hint": None}, "invalid_request"),
    ({"id_token_hint": "x"}, "invalid_request"),
    ({"login_hint": None, "login_hint_token": "x"}, "invalid_request"),
    ({"login_hint": "nobody"}, "unknown_user_id"),
    ({"login_hint": "/person/nobody"}, "unknown_user_id"),
    ({"login_hint": "spiffe://jittrust.test/agent/helper"}, "unknown_user_id"),
    ({"login_hint": "spiffe://jittrust.test/person/gone"}, "unknown_user_id"),
    ({"login_hint": "spiffe://evil.example/person/ada"}, "unknown_user_id"),
    ({"login_hint": "/person/ada\x00"}, "unknown_user_id"),
    ({"requested_expiry": "-1"}, "invalid_request"),
    ({"requested_expiry": "1e9"}, "invalid_request"),
    ({"requested_expiry": "NaN"}, "invalid_request"),
    ({"requested_expiry": "١٢"}, "invalid_request"),
    ({"request": "eyJ"}, "invalid_request"),
    ({"dpop_jkt": "x"}, "invalid_request"),
    ({"resource": "https://evil.example"}, "invalid_target"),
    ({"client_id": "client-2"}, "invalid_request"),
]


@pytest.mark.parametrize(("more", "word"), HINTS)
async def test_a_back_channel_request_that_is_wrong_asks_nobody(more: dict[str, str | None], word: str) -> None:
    here = await consenting()
    identities = here.world.broker.driving.identities
    await identities.enrol(NewIdentity(SubjectKind.AGENT, "/agent/helper", here.person, by="test"))
    await identities.enrol(NewIdentity(SubjectKind.PERSON, "/person/gone", by="test"))
    await identities.change("/person/gone", IdentityChange(to=IdentityState.SUSPENDED, why="left", by="test"))
    with pytest.raises(OAuthError) as refused:
        await here.ask_elsewhere(mission(), **more)  # type: ignore[arg-type]
    assert refused.value.error == word
    assert not await here.world.broker.driving.approvals.waiting()


async def test_a_requested_expiry_is_bounded() -> None:
    here = await consenting()
    asked = {"login_hint": here.person, "authorization_details": json.dumps([mission()])}
    assert (await here.book.backchannel(who(CLIENT), {**asked, "requested_expiry": "999999999"})).expires_in == 600
    assert (await here.book.backchannel(who(CLIENT), {**asked, "requested_expiry": "1"})).expires_in == 30


async def test_a_client_that_may_not_ask_elsewhere_does_not() -> None:
    here = await consenting()
    plain = dataclasses.replace(OTHER, grant_types=())
    await here.know(plain)
    with pytest.raises(OAuthError) as refused:
        await here.ask_elsewhere(mission(), client=plain)
    assert refused.value.error == "unauthorized_client"


async def test_guessed_and_stolen_auth_req_ids_give_nothing() -> None:
    here = await consenting()
    await here.know(OTHER)
    secret = await here.ask_elsewhere(mission(), dpop_jkt=CHALLENGE)
    (asked,) = await here.world.broker.driving.approvals.waiting()
    await here.here.answer(asked.id, here.session, await here.here.assertion(here.device, asked.id))
    for number in range(1000):
        with pytest.raises(OAuthError, match="auth_req_id_unknown"):
            await here.book.poll(who(CLIENT), f"{secret[:-3]}{number:03}")
    with pytest.raises(OAuthError, match="auth_req_id_unknown"):
        await here.book.poll(who(OTHER), secret)
    for wrong in ("", "B" * 43):
        with pytest.raises(OAuthError, match="key_differs"):
            await here.book.poll(who(CLIENT), secret, wrong)
    assert (await here.book.poll(who(CLIENT), secret, CHALLENGE)).request.mission


# ---- the pages ----------------------------------------------------------------------------------------------------------------------------


def site(here: Consenting, *, cookie: bool = True) -> ConsoleClient:
    return ConsoleClient(here.here, console_app(here.here), here.session if cookie else "")


async def test_every_page_and_refusal_forbids_frames_and_foreign_content() -> None:
    here = await consenting()
    asked = await here.shown(mission())
    pages = site(here)
    answers = [
        await pages.get(f"/consent/{asked.request.id}"),
        await pages.get("/consent/r-none"),
        await pages.get("/oauth/authorize?" + urlencode(asking(mission()))),
        await pages.get("/oauth/authorize"),
        await site(here, cookie=False).get(f"/consent/{asked.request.id}"),
        await pages.post(f"/consent/{asked.request.id}/begin", {"question": "a-x"}),
    ]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "script-src 'self'" in answer.headers["content-security-policy"]


async def test_whoever_comes_from_another_site_is_led_on_within_this_one() -> None:
    here = await consenting()
    asked = await here.book.begin(asking(mission()))
    stranger = site(here, cookie=False)
    first = await stranger.get(f"/consent/{asked.id}")
    assert first.status_code == 200
    assert f'content="0;url=/console/consent/{asked.id}?here=1"' in first.text
    second = await stranger.get(f"/consent/{asked.id}?here=1")
    assert (second.status_code, second.headers["location"]) == (303, f"/console/login?next=/console/consent/{asked.id}")
    login = await stranger.get(f"/login?next=/console/consent/{asked.id}")
    assert f'data-next="/console/consent/{asked.id}"' in login.text


NEXTS = [
    "https://evil.example/",
    "//evil.example/console/consent/r-1",
    "/\\evil.example",
    "/console/consent/../../x",
    "/console/consent//evil.example",
    "/console/consent/r-1?x=//evil.example",
    "/console/consent/r-1#x",
    "/console/consent/r-1\n",
    "/console/consent/%2e%2e",
    "javascript:alert(1)",
    "/console/logout",
    "/console/consent/",
    "/console/consent/.",
    "/console/consent/" + "x" * 200,
    " /console/consent/r-1",
    "\t//evil.example",
]


@pytest.mark.parametrize("wanted", NEXTS)
async def test_a_login_leads_nowhere_but_to_a_question(wanted: str) -> None:
    here = await consenting()
    stranger = site(here, cookie=False)
    page = await stranger.get("/login?" + urlencode({"next": wanted}))
    assert 'data-next=""' in page.text
    response = here.device.get((await stranger.post("/login/begin")).text)
    answer = await stranger.post("/login/finish", {"response": response, "next": wanted})
    assert answer.json() == {"to": "/console/"}


@pytest.mark.parametrize("path", ["goal", "begin", "answer"])
async def test_another_site_changes_nothing_and_neither_does_a_form(path: str) -> None:
    here = await consenting()
    asked = await here.shown(mission())
    pages, url = site(here), f"/consent/{asked.request.id}/{path}"
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": None},
        {"Sec_Fetch_Site": "cross-site"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "text/plain"},
    ):
        answer = await pages.post(url, {"answer": "deny"}, **headers)
        assert code(answer) in ("origin_wrong", "content_type_bad")
    assert here.world.broker.state.of_kind(AuthorizationRequest)[asked.request.id].state is RequestState.ASKED


@pytest.mark.parametrize(
    "body",
    [
        {"answer": "approve"},
        {"answer": "yes"},
        {"answer": ["approve"]},
        {"answer": "approve", "question": "a-x"},
        {"x": "y"},
        [],
        "x",
    ],
)
async def test_an_answer_that_is_no_answer_is_refused_with_a_code(body: object) -> None:
    here = await consenting()
    asked = await here.shown(mission())
    sent = json.dumps(body)
    answer = await site(here).post(f"/consent/{asked.request.id}/answer", sent)
    assert 400 <= answer.status_code < 500
    assert code(answer)
    assert here.missions() == []


async def test_nobody_looks_at_or_answers_a_question_without_a_session() -> None:
    here = await consenting()
    asked = await here.shown(mission())
    stranger = site(here, cookie=False)
    for path in ("goal", "begin", "answer"):
        body = {"goal": "x"} if path == "goal" else {"answer": "deny"} if path == "answer" else {}
        assert code(await stranger.post(f"/consent/{asked.request.id}/{path}", body)) == "not_signed_in"


PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</textarea><script>alert(1)</script>",
    "<a href=javascript:alert(1)>x</a>",
    "{{ 7 * 7 }}",
    "{% raw %}<b>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<iframe srcdoc=x>",
    "</title><base href=//evil.example/>",
]


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_t49_what_strangers_wrote_is_text_in_every_field(payload: str) -> None:
    here = await consenting()
    tool: dict[str, Json] = {
        "name": payload.replace("/", "|"),
        "description": f"Read the file {payload}",
        "inputSchema": {"type": "object"},
    }
    await here.world.join([*TOOLS, tool], session="t")
    await here.know(
        OAuthClient(
            payload,
            ClientSource.REGISTERED,
            ClientMethod.NONE,
            payload,
            ("com.example.app:/x?'\"><b>",),
            (),
            agent=payload,
        )
    )
    pages = site(here)
    details = json.dumps(
        [
            mission(f"Read the file {payload}"),
            calls("srv/delete_record", resource=re.escape(payload), constraints={"title": payload}),
        ]
    )
    sent = asking(client_id=payload, redirect_uri="com.example.app:/x?'\"><b>", authorization_details=details)
    went = await pages.get("/oauth/authorize?" + urlencode(sent))
    assert went.status_code == 303, went.text
    page = await pages.get(went.headers["location"].removeprefix(f"{ORIGIN}/console"))
    assert page.status_code == 200
    check_only_ours(page)
    (asked,) = await here.world.broker.driving.approvals.waiting()
    check_only_ours(await pages.get(f"/approvals/{asked.id}"))
    check_only_ours(await pages.get("/"))


def check_only_ours(page: httpx2.Response) -> None:
    """Every tag of the page is one that the templates write."""
    tags = set(re.findall(r"<\s*/?\s*([A-Za-z!][\w-]*)", page.text))
    ours = (
        "!doctype html head meta title link script body header a nav p span button main h1 h2 strong code ul li dl dt dd form label "
        "textarea div table caption thead tbody tr th td small input pre time"
    )
    assert tags <= set(ours.split())
    assert page.text.count("<script") == 1
    assert not re.search(r"<[^>]+\son\w+\s*=", page.text)
    assert "javascript:" not in "".join(re.findall(r'(?:href|src|action|content)="[^"]*"', page.text))
    assert "49" not in re.sub(r"\d{3,}", "", "".join(re.findall(r"<strong id=\"client\">[^<]*", page.text)))


async def test_an_answered_question_is_closed() -> None:
    here = await consenting()
    asked = await here.shown(mission())
    await here.no(asked)
    assert asked.approval is not None
    assert here.world.broker.state.approvals[asked.approval.id].state is ApprovalState.DENIED
    with pytest.raises(JitError):
        await here.yes(asked)
    assert here.missions() == []


async def test_t45_a_viewer_says_no_for_nobody_else() -> None:
    here = await consenting()
    await here.ask_elsewhere(mission())
    (asked,) = await here.world.broker.driving.approvals.waiting()
    _, viewer = await here.person_two(Role.VIEWER)
    with pytest.raises(RefusedError, match="role_too_low"):
        await here.here.answer(asked.id, viewer.secret, approve=False)
    assert here.world.broker.state.approvals[asked.id].state is ApprovalState.WAITING


async def test_t45_a_pin_starts_nothing_for_somebody_who_was_suspended_meanwhile() -> None:
    here = await consenting()
    state = here.world.broker.state
    await here.person_two(Role.ADMIN)
    await state.change([Drop(one) for one in state.of_kind(Passkey).values()], [])
    secret = await here.ask_elsewhere(mission())
    (asked,) = await here.world.broker.driving.approvals.waiting()
    change = IdentityChange(to=IdentityState.SUSPENDED, why="left", by="test")
    await here.world.broker.driving.identities.change(here.person, change)
    with pytest.raises(JitError, match="identity_not_active"):
        await here.world.yes(asked)
    with pytest.raises(OAuthError, match="person_asked"):
        await here.book.poll(who(CLIENT), secret)
    assert here.missions() == []


async def test_an_address_with_a_fragment_is_refused_even_when_it_is_registered() -> None:
    here = await consenting()
    await here.know(dataclasses.replace(OTHER, redirect_uris=(f"{BACK}#x",)))
    with pytest.raises(OAuthError, match="redirect_uri_unknown"):
        await here.book.begin(asking(mission(), client_id="client-2", redirect_uri=f"{BACK}#x"))


async def test_t45_no_authenticator_is_asked_to_sign_what_is_not_on_the_screen() -> None:
    here = await consenting()
    asked = await here.shown(mission("Read the file plan.txt"))
    assert asked.approval is not None
    pages = site(here)
    assert (await pages.post(f"/consent/{asked.request.id}/begin", {"question": asked.approval.id})).status_code == 200
    assert (await pages.post(f"/consent/{asked.request.id}/goal", {"goal": GOAL, "also": ""})).status_code == 200
    answer = await pages.post(f"/consent/{asked.request.id}/begin", {"question": asked.approval.id})
    assert code(answer) == "question_moved"
