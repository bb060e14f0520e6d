"""Attacks on the console and on approvals by passkey: each by name, none of them gets anything."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.authenticator import ORIGIN, USER_PRESENT, Authenticator
from tests.consoles import ConsoleClient, code, console, console_app, signed_in

from jittrust.api.console.pages import COOKIE, MAX_BODY
from jittrust.core.approval import ApprovalState
from jittrust.core.errors import JitError, RefusedError
from jittrust.core.identity.identity import IdentityState, Role
from jittrust.core.identity.person import SignIn
from jittrust.core.units import Instant
from jittrust.ports.identities import IdentityChange

CHANGES = (
    "/login/begin",
    "/login/finish",
    "/login/provider",
    "/enrol/begin",
    "/enrol/finish",
    "/logout",
    "/approvals/a-1/begin",
    "/approvals/a-1/answer",
    "/people/invite",
)
PAGES = ("/", "/login", "/enrol", "/approvals/a-1", "/people", "/static/console.js", "/callback", "/approvals/none")


async def state_of(client: ConsoleClient, name: str = "a-1") -> ApprovalState:
    return client.here.world.broker.state.approvals[name].state


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:8751"},
        {"Origin": "http://localhost"},
        {"Origin": ORIGIN + ".evil.example"},
        {"Origin": ORIGIN.upper()},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": None},
    ],
    ids=str,
)
async def test_t17_cross_site_request_forgery_changes_nothing(path: str, headers: dict[str, str | None]) -> None:
    client = await signed_in(Authenticator())
    await client.here.ask()
    answer = await client.post(path, {"answer": "deny"} if path.endswith("answer") else {}, **headers)
    assert code(answer) in ("origin_wrong", "content_type_bad")
    assert await state_of(client) is ApprovalState.WAITING
    assert "set-cookie" not in answer.headers
    assert (await client.get("/")).status_code == 200, "nobody was signed out"


@pytest.mark.parametrize("path", CHANGES)
async def test_a_change_is_never_made_by_following_a_link(path: str) -> None:
    client = await signed_in(Authenticator())
    assert (await client.get(path)).status_code in (404, 405)


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_loads_anything_from_elsewhere_or_lets_itself_be_framed_sniffed_or_kept(path: str) -> None:
    client = await signed_in(Authenticator())
    await client.here.ask()
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


async def test_script_in_the_text_of_a_question_is_shown_and_not_run() -> None:
    client = await signed_in(Authenticator())
    payload = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}</pre>"
    asked = await client.here.ask(text=payload)
    await client.here.move(asked, why=payload, subject=payload, target=payload, mission=payload)
    for path in ("/", "/approvals/a-1"):
        page = (await client.get(path)).text
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "&lt;script&gt;alert(1)" in page
        assert "49" not in page.split("<main>")[1].split("Open until")[0]


async def test_a_replayed_assertion_approves_nothing_and_signs_nobody_in() -> None:
    ada = Authenticator()
    client = await signed_in(ada)
    await client.here.ask("a-1")
    await client.here.ask("a-2")
    response = ada.get((await client.post("/approvals/a-1/begin")).text)
    body = {"answer": "approve", "response": response}
    assert (await client.post("/approvals/a-1/answer", body)).status_code == 200
    assert code(await client.post("/approvals/a-1/answer", body)) == "approval_closed"
    assert code(await client.post("/approvals/a-2/answer", body)) == "passkey_refused"
    assert code(await client.post("/login/finish", {"response": response})) == "passkey_refused"
    again = ada.get((await client.post("/login/begin")).text)
    assert (await client.post("/login/finish", {"response": again})).status_code == 200
    assert code(await client.post("/login/finish", {"response": again})) == "passkey_refused"


async def test_an_assertion_over_one_question_does_not_approve_another_nor_the_same_one_changed() -> None:
    ada = Authenticator()
    client = await signed_in(ada)
    await client.here.ask("a-1", "Read a file")
    await client.here.ask("a-2", "Delete everything")
    response = ada.get((await client.post("/approvals/a-1/begin")).text)
    body = {"answer": "approve", "response": response}
    assert code(await client.post("/approvals/a-2/answer", body)) == "passkey_refused"
    assert await state_of(client, "a-2") is ApprovalState.WAITING
    asked = client.here.world.broker.state.approvals["a-1"]
    response = ada.get((await client.post("/approvals/a-1/begin")).text)
    await client.here.move(asked, text="Delete everything", digest="another")
    body = {"answer": "approve", "response": response}
    assert code(await client.post("/approvals/a-1/answer", body)) == "passkey_refused"
    assert await state_of(client) is ApprovalState.WAITING
    assert [one["why"] for one in await client.here.world.records("identity")][-2:] == ["another_question"] * 2


async def test_a_sign_in_assertion_approves_nothing() -> None:
    ada = Authenticator()
    client = await signed_in(ada)
    await client.here.ask()
    response = ada.get((await client.post("/login/begin")).text)
    answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response})
    assert code(answer) == "passkey_refused"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origin", "https://evil.example"),
        ("origin", "http://localhost"),
        ("rp_id", "evil.example"),
        ("flags", USER_PRESENT),
        ("flags", 0),
        ("cross_origin", True),
        ("key", Authenticator().key),
        ("credential", Authenticator().credential),
    ],
    ids=["origin", "plain-origin", "place", "no-person", "nobody", "frame", "key", "credential"],
)
async def test_an_assertion_of_another_origin_place_or_key_or_without_its_person_approves_nothing(
    name: str, value: object
) -> None:
    ada = Authenticator()
    client = await signed_in(ada)
    await client.here.ask()
    setattr(ada, name, value)
    response = ada.get((await client.post("/approvals/a-1/begin")).text)
    answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response})
    assert code(answer) == "passkey_refused"
    assert await state_of(client) is ApprovalState.WAITING


@pytest.mark.parametrize("step", [0, -1])
async def test_a_copied_authenticator_is_refused_and_recorded(step: int) -> None:
    ada = Authenticator()
    client = await signed_in(ada)
    await client.here.ask()
    ada.step = step
    response = ada.get((await client.post("/approvals/a-1/begin")).text)
    answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response})
    assert code(answer) == "passkey_refused"
    assert (await client.here.world.records("identity"))[-1]["why"] == "counter_went_back"


async def test_one_person_s_passkey_does_not_answer_in_another_s_session() -> None:
    ada, bo = Authenticator(), Authenticator()
    client = await signed_in(ada)
    await client.here.enrol(bo, "/person/bo", Role.RESPONDER)
    await client.here.ask()
    response = bo.get((await client.post("/approvals/a-1/begin")).text)
    answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response})
    assert code(answer) == "passkey_refused"


@pytest.mark.parametrize("to", [IdentityState.SUSPENDED, IdentityState.RETIRED])
async def test_t19_whoever_left_answers_nothing_with_the_session_and_passkey_they_still_have(to: IdentityState) -> None:
    ada, bo = Authenticator(), Authenticator()
    client = await signed_in(ada)
    client.cookie = (await client.here.enrol(bo, "/person/bo", Role.RESPONDER)).secret
    await client.here.ask()
    response = bo.get((await client.post("/approvals/a-1/begin")).text)
    await client.here.world.broker.driving.identities.change("/person/bo", IdentityChange(to=to, by="ada"))
    answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response})
    assert code(answer) == "not_signed_in"
    assert (await client.get("/")).headers["location"] == "/console/login"
    response = bo.get((await client.post("/login/begin")).text)
    assert code(await client.post("/login/finish", {"response": response})) == "passkey_refused"
    assert await state_of(client) is ApprovalState.WAITING


@pytest.mark.parametrize("role", [Role.NONE, Role.VIEWER])
async def test_a_viewer_sees_and_does_not_answer_deny_or_invite(role: Role) -> None:
    vic = Authenticator()
    client = await signed_in(vic, Role.VIEWER)
    if role is Role.NONE:
        change = IdentityChange(role=role, by="test")
        await client.here.world.broker.driving.identities.change("/person/ada", change)
    await client.here.ask()
    assert code(await client.post("/approvals/a-1/begin")) == "role_too_low"
    for answer in ("approve", "deny"):
        assert code(await client.post("/approvals/a-1/answer", {"answer": answer})) == "role_too_low"
    assert code(await client.post("/people/invite", {"person": "/person/eve", "role": "admin"})) == "role_too_low"
    assert (await client.get("/people")).status_code == 403
    assert (await client.get("/approvals/a-1")).status_code == (200 if role is Role.VIEWER else 403)
    # Past the handlers the broker says the same.
    options = await client.here.passkeys.request("a-1")
    with pytest.raises(RefusedError) as refused:
        await client.here.answer("a-1", client.cookie, vic.get(options))
    assert refused.value.code == "role_too_low"
    with pytest.raises(RefusedError):
        await client.here.answer("a-1", client.cookie, approve=False)


async def test_a_responder_invites_nobody() -> None:
    client = await signed_in(Authenticator(), Role.RESPONDER)
    assert code(await client.post("/people/invite", {"person": "/person/eve", "role": "admin"})) == "role_too_low"


async def test_a_session_that_was_planted_before_signing_in_is_worth_nothing_after_it() -> None:
    ada = Authenticator()
    client = await signed_in(ada)
    client.cookie = "planted" * 6
    response = ada.get((await client.post("/login/begin")).text)
    answer = await client.post("/login/finish", {"response": response})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert client.cookie not in cookie
    for part in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    assert (await client.get("/")).status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "\x00", "a" * 8000, "{}"])
async def test_a_guessed_cookie_is_nobody(cookie: str) -> None:
    client = await signed_in(Authenticator())
    stored = next(iter(client.here.world.broker.state.of_kind(SignIn)))
    for tried in (cookie, stored):
        client.cookie = tried.replace("\x00", "%00")
        assert (await client.get("/")).status_code == 303
        assert code(await client.post("/enrol/begin")) == "not_signed_in"


async def test_over_plain_http_from_elsewhere_nobody_signs_in() -> None:
    here = (await console()).here
    made = await here.world.broker.driving.people.bootstrap()
    assert made is not None
    origin = "http://broker.example"
    client = ConsoleClient(here, console_app(here, origin=origin))
    for path, body in (("/login/begin", {}), ("/enrol/begin", {"invitation": made.secret}), ("/login/provider", {})):
        assert code(await client.post(path, body, Origin=origin)) == "origin_insecure"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"response":1}',
        b'{"response":"a","response":"b"}',
        b'{"other":"x"}',
        b"\xff",
        b"{" * 10_000,
        b'{"response":"' + b"x" * MAX_BODY + b'"}',
        json.dumps({"response": "not json"}).encode(),
    ],
)
async def test_what_cannot_be_read_is_refused_without_a_traceback(body: bytes) -> None:
    client = await console()
    answer = await client.post("/login/finish", body)
    assert answer.status_code in (400, 403)
    assert code(answer)


@pytest.mark.parametrize("name", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "console.js%00", "app.py", "base.html"])
async def test_no_other_file_is_served(name: str) -> None:
    client = await console()
    assert (await client.get(f"/static/{name}")).status_code == 404


async def test_a_login_that_comes_back_without_its_cookie_or_twice_the_same_member_gets_no_session() -> None:
    client = await console()
    for query in ("", "?state=s&code=c", "?state=s&state=t&code=c", "?error=access_denied"):
        answer = await client.get(f"/callback{query}")
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_an_expired_question_is_not_approved() -> None:
    ada = Authenticator()
    client = await signed_in(ada)
    asked = await client.here.ask()
    response = ada.get((await client.post("/approvals/a-1/begin")).text)
    client.here.world.clock.now += 601
    answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response})
    assert code(answer) == "approval_closed"
    await client.here.move(replace(asked, expires=Instant(client.here.world.clock.now + 60)))
    answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response})
    assert code(answer) == "passkey_refused"


async def test_a_credential_that_belongs_to_somebody_is_not_enrolled_for_another() -> None:
    ada = Authenticator()
    client = await signed_in(ada)
    made = await client.here.world.broker.driving.people.invite("/person/eve", Role.ADMIN, 3600, "ada")  # type: ignore[arg-type]
    with pytest.raises(JitError) as refused:
        await client.here.open(ada, made.secret)
    assert refused.value.code == "passkey_refused"
