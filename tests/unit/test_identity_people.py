"""People come in by invitation, passkey or their provider, and only as long as they are active."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest
from tests.authenticator import Authenticator
from tests.model.world import PIN
from tests.people import HOUR, People, people

from jittrust.broker.identity.people import BOOTSTRAP_SECONDS, SESSION_SECONDS, SESSIONS_MOST, PeopleBook
from jittrust.core.approval import ApprovalState, ConfirmedBy, question_challenge
from jittrust.core.errors import BadInputError, ConflictError, JitError, RefusedError, UnavailableError
from jittrust.core.identity.identity import Identity, IdentityState, Role
from jittrust.core.identity.person import OneTimeLink, Passkey, SignIn
from jittrust.core.model import SubjectKind
from jittrust.core.units import Instant, Seconds
from jittrust.ports.approvals import Answer
from jittrust.ports.identities import IdentityChange, NewIdentity
from jittrust.ports.identity_provider import LoginStart, PersonClaims

ISSUER = "https://id.example"


async def refused(code: str, work: object) -> None:
    with pytest.raises(JitError) as error:
        await work  # type: ignore[misc]
    assert error.value.code == code


async def change(here: People, name: str, **more: object) -> None:
    await here.world.broker.driving.identities.change(name, IdentityChange(by="test", **more))  # type: ignore[arg-type]


# ---- the first administrator ------------------------------------------------------------------------------------------------------------


async def test_the_first_link_makes_an_admin_with_a_passkey_and_there_is_no_second_one() -> None:
    here = await people()
    link = await here.world.broker.driving.people.bootstrap()
    assert link is not None
    assert link.expires == here.world.clock() + BOOTSTRAP_SECONDS
    signed = await here.open(Authenticator(), link.secret)
    assert signed.person.role is Role.ADMIN
    assert (await here.world.broker.driving.people.session(signed.secret)).person.id == signed.person.id
    assert await here.world.broker.driving.people.bootstrap() is None


async def test_before_the_link_is_opened_nobody_is_an_admin() -> None:
    here = await people()
    await here.world.broker.driving.people.bootstrap()
    assert [one.role for one in here.world.broker.state.of_kind(Identity).values()] == [Role.NONE]


async def test_asking_for_the_first_link_again_kills_the_older_one() -> None:
    here = await people()
    first = await here.world.broker.driving.people.bootstrap()
    second = await here.world.broker.driving.people.bootstrap()
    assert first is not None
    assert second is not None
    await refused("link_dead", here.passkeys.begin("", first.secret))
    await here.open(Authenticator(), second.secret)


async def test_the_first_link_is_dead_once_there_is_an_admin_who_came_in_otherwise() -> None:
    here = await people()
    link = await here.world.broker.driving.people.bootstrap()
    await here.enrol(Authenticator(), "/person/bea")
    assert link is not None
    await refused("link_dead", here.passkeys.begin("", link.secret))


async def test_an_admin_without_any_way_in_gets_the_first_link() -> None:
    here = await people()
    await here.world.broker.driving.identities.enrol(NewIdentity(SubjectKind.PERSON, "/person/cli", role=Role.ADMIN))
    link = await here.world.broker.driving.people.bootstrap()
    assert link is not None
    assert link.person.endswith("/person/cli")


async def test_no_secret_of_a_link_or_session_is_stored_or_recorded() -> None:
    here = await people()
    link = await here.world.broker.driving.people.bootstrap()
    assert link is not None
    signed = await here.open(Authenticator(), link.secret)
    state = here.world.broker.state
    kept = repr([*state.of_kind(OneTimeLink).values(), *state.of_kind(SignIn).values()]) + await here.ledger()
    assert link.secret not in kept
    assert signed.secret not in kept


# ---- invitations --------------------------------------------------------------------------------------------------------------------------


async def test_an_invitation_is_good_once_and_only_as_long_as_it_says() -> None:
    here = await people()
    made = await here.world.broker.driving.people.invite("email:bo@example.org", Role.RESPONDER, HOUR, "ada")
    signed = await here.open(Authenticator(), made.secret)
    assert (signed.person.role, signed.person.names) == (Role.RESPONDER, ("email:bo@example.org",))
    await refused("link_dead", here.passkeys.begin("", made.secret))
    late = await here.world.broker.driving.people.invite("/person/cy", Role.VIEWER, HOUR, "ada")
    here.world.clock.now += 3600
    await refused("link_dead", here.passkeys.begin("", late.secret))


async def test_two_who_open_one_link_at_once_get_one_passkey() -> None:
    here = await people()
    made = await here.world.broker.driving.people.invite("/person/bo", Role.VIEWER, HOUR, "ada")
    one, two = Authenticator(), Authenticator()
    answers = [
        one.create(await here.passkeys.begin("", made.secret)),
        two.create(await here.passkeys.begin("", made.secret)),
    ]
    ended = await asyncio.gather(
        *(here.passkeys.finish("", made.secret, answer, "") for answer in answers), return_exceptions=True
    )
    assert sum(isinstance(one, BaseException) for one in ended) == 1
    assert len(here.world.broker.state.of_kind(Passkey)) == 1


async def test_an_invitation_dies_when_its_person_is_changed() -> None:
    here = await people()
    made = await here.world.broker.driving.people.invite("/person/bo", Role.ADMIN, HOUR, "ada")
    here.world.clock.now += 1
    await change(here, "/person/bo", to=IdentityState.SUSPENDED)
    await refused("link_dead", here.passkeys.begin("", made.secret))
    here.world.clock.now += 1
    await change(here, "/person/bo", to=IdentityState.ACTIVE)
    await refused("link_dead", here.passkeys.begin("", made.secret))


async def test_an_invitation_never_takes_a_role_away() -> None:
    here = await people()
    await here.enrol(Authenticator(), "/person/ada", Role.ADMIN)
    assert (await here.enrol(Authenticator(), "/person/ada", Role.VIEWER)).person.role is Role.ADMIN


@pytest.mark.parametrize("life", [0, 59, 8 * 24 * 3600])
async def test_a_life_that_is_too_short_or_too_long_is_refused(life: int) -> None:
    here = await people()
    await refused("life_bad", here.world.broker.driving.people.invite("/person/bo", Role.VIEWER, Seconds(life), "ada"))


@pytest.mark.parametrize("name", ["", "spiffe://jittrust.test/person/x", ":", "email:", "email: a"])
async def test_a_name_that_is_none_is_refused(name: str) -> None:
    here = await people()
    with pytest.raises(BadInputError):
        await here.world.broker.driving.people.invite(name, Role.VIEWER, HOUR, "ada")


async def test_only_people_who_are_there_are_invited() -> None:
    here = await people()
    ada = await here.enrol(Authenticator())
    await here.enrol(Authenticator(), "/person/bo", Role.VIEWER)
    enrolment = NewIdentity(SubjectKind.AGENT, "/agent/x", owner=ada.person.id)
    await here.world.broker.driving.identities.enrol(enrolment)
    invite = here.world.broker.driving.people.invite
    await refused("person_needed", invite("/agent/x", Role.VIEWER, HOUR, "ada"))
    await change(here, "/person/bo", to=IdentityState.RETIRED)
    await refused("identity_not_active", invite("/person/bo", Role.VIEWER, HOUR, "ada"))
    await refused("role_bad", invite("/person/cy", Role.NONE, HOUR, "ada"))


# ---- sessions -----------------------------------------------------------------------------------------------------------------------------


async def test_a_session_ends_after_twelve_hours_by_signing_out_and_with_its_person() -> None:
    here = await people()
    ada, bo = Authenticator(), Authenticator()
    await here.enrol(ada)
    await here.enrol(bo, "/person/bo", Role.RESPONDER)
    session = here.world.broker.driving.people.session
    first, second, third = await here.sign_in(bo), await here.sign_in(bo), await here.sign_in(bo)
    await session(first.secret, end=True)
    await refused("not_signed_in", session(first.secret))
    assert (await session(second.secret)).secret == ""
    await change(here, "/person/bo", to=IdentityState.SUSPENDED)
    await refused("not_signed_in", session(second.secret))
    await change(here, "/person/bo", to=IdentityState.ACTIVE)
    await refused("not_signed_in", session(third.secret))
    again = await here.sign_in(bo)
    here.world.clock.now += SESSION_SECONDS
    await refused("not_signed_in", session(again.secret))


async def test_the_oldest_session_of_a_person_goes_when_there_are_too_many() -> None:
    here, ada = await people(), Authenticator()
    first = await here.enrol(ada)
    for _ in range(SESSIONS_MOST):
        here.world.clock.now += 1
        await here.sign_in(ada)
    await refused("not_signed_in", here.world.broker.driving.people.session(first.secret))
    assert len(here.world.broker.state.of_kind(SignIn)) == SESSIONS_MOST


async def test_a_session_outlives_a_restart() -> None:
    here = await people()
    signed = await here.enrol(Authenticator())
    await here.world.open()
    assert (await here.world.broker.driving.people.session(signed.secret)).person.id == signed.person.id


async def test_what_is_over_is_forgotten_and_a_restart_brings_no_session_of_a_stopped_person_back() -> None:
    here, bo = await people(), Authenticator()
    ada = await here.enrol(Authenticator())
    signed = await here.enrol(bo, "/person/bo", Role.RESPONDER)
    await change(here, "/person/bo", to=IdentityState.SUSPENDED)
    await change(here, "/person/bo", to=IdentityState.ACTIVE)
    await here.passkeys._people.tick()
    await here.world.open()
    await refused("not_signed_in", here.world.broker.driving.people.session(signed.secret))
    assert [one.person for one in here.world.broker.state.of_kind(SignIn).values()] == [ada.person.id]
    here.world.clock.now += SESSION_SECONDS
    await here.passkeys._people.tick()
    assert not here.world.broker.state.of_kind(SignIn)


# ---- passkeys and questions -----------------------------------------------------------------------------------------------------------------


async def test_a_person_approves_by_signing_the_question_and_the_record_says_so_without_the_signature() -> None:
    here, ada = await people(), Authenticator()
    signed = await here.enrol(ada)
    asked = await here.ask()
    assertion = await here.assertion(ada, asked.id)
    answered = await here.answer(asked.id, signed.secret, assertion)
    assert (answered.state, answered.answered_by) == (ApprovalState.APPROVED, signed.person.id)
    assert answered.confirmed_by is ConfirmedBy.PASSKEY
    record = (await here.world.records("approval"))[-1]
    assert record["confirmed_by"] == "passkey"
    assert len(str(record["credential"])) == 64
    ledger = await here.ledger()
    assert assertion not in ledger
    assert signed.secret not in ledger


async def test_the_challenge_covers_everything_that_a_person_decides_on() -> None:
    asked = await (await people()).ask()
    nonce = bytes(32)
    changes: dict[str, object] = {
        "id": "a-2",
        "digest": "x",
        "text": "x",
        "why": "x",
        "target": "x",
        "subject": "x",
        "mission": "x",
        "price": 8,
        "expires": Instant(asked.expires + 1),
    }
    others = {question_challenge(replace(asked, **{name: value}), nonce) for name, value in changes.items()}  # type: ignore[arg-type]
    others.add(question_challenge(asked, bytes([1]) + bytes(31)))
    assert len(others) == len(changes) + 1
    assert question_challenge(asked, nonce) not in others


async def test_a_pin_serves_until_somebody_who_may_answer_has_a_passkey() -> None:
    here = await people()
    pin = Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.PIN, pin=PIN)
    await here.enrol(Authenticator(), "/person/vic", Role.VIEWER)
    answered = await here.world.broker.driving.approvals.answer((await here.ask("a-1")).id, pin)
    assert answered.state is ApprovalState.APPROVED
    await here.enrol(Authenticator(), "/person/ada", Role.RESPONDER)
    await refused("passkey_required", here.world.broker.driving.approvals.answer((await here.ask("a-2")).id, pin))
    no = replace(pin, approve=False)
    assert (await here.world.broker.driving.approvals.answer("a-2", no)).state is ApprovalState.DENIED


async def test_a_session_says_no_and_never_yes() -> None:
    here = await people()
    signed = await here.enrol(Authenticator())
    await here.ask()
    yes = Answer(approve=True, by="ada", confirmed_by=ConfirmedBy.SESSION, session=signed.secret)
    await refused("confirmation_too_weak", here.world.broker.driving.approvals.answer("a-1", yes))
    denied = await here.answer("a-1", signed.secret, approve=False)
    assert (denied.state, denied.answered_by) == (ApprovalState.DENIED, signed.person.id)


async def test_a_second_passkey_is_enrolled_from_a_session() -> None:
    here, second = await people(), Authenticator()
    signed = await here.enrol(Authenticator())
    response = second.create(await here.passkeys.begin(signed.secret, ""))
    await here.passkeys.finish(signed.secret, "", response, "phone")
    assert {one.label for one in await here.passkeys.list(signed.person.id)} == {"laptop", "phone"}
    assert (await here.sign_in(second)).person.id == signed.person.id


async def test_a_challenge_is_good_for_five_minutes() -> None:
    here, ada = await people(), Authenticator()
    await here.enrol(ada)
    response = ada.get(await here.passkeys.request())
    here.world.clock.now += 300
    await refused("passkey_refused", here.passkeys.sign_in(response))


# ---- login at a provider --------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ToldProvider:
    """A provider that says what the test wants."""

    claims: PersonClaims

    async def begin(self, redirect_uri: str) -> LoginStart:
        return LoginStart(f"{ISSUER}/authorize", "state", "nonce", "verifier", redirect_uri)

    async def finish(self, start: LoginStart, state: str, code: str, issuer: str) -> PersonClaims:
        if (state, code, issuer) != (start.state, "code", ISSUER):
            raise RefusedError("login_failed", "no")
        return self.claims


def at_provider(here: People, subject: str, email: str = "") -> PeopleBook:
    broker = here.world.broker
    identities = here.passkeys._identities
    provider = ToldProvider(PersonClaims(ISSUER, subject, email, "", ("pwd",), Instant(0)))
    return PeopleBook(broker.state, identities, replace(here.passkeys._parts, provider=provider))


async def login(book: PeopleBook) -> str:
    _, handle = await book.login("https://here/console/callback")
    return (await book.logged_in(handle, "state", "code", ISSUER)).person.id


async def test_nobody_registers_by_logging_in() -> None:
    here = await people()
    await refused("person_unknown", login(at_provider(here, "s-1", "eve@example.org")))
    assert not here.world.broker.state.of_kind(SignIn)


async def test_a_known_mail_address_lets_in_once_and_is_bound_to_the_provider_s_subject() -> None:
    here = await people()
    made = NewIdentity(SubjectKind.PERSON, "/person/bo", names=("email:bo@example.org",), role=Role.VIEWER)
    bo = await here.world.broker.driving.identities.enrol(made)
    assert await login(at_provider(here, "s-1", "bo@example.org")) == bo.id
    assert await login(at_provider(here, "s-1")) == bo.id
    await refused("person_unknown", login(at_provider(here, "s-2", "bo@example.org")))


async def test_a_suspended_person_does_not_get_in_and_a_login_is_finished_once() -> None:
    here = await people()
    made = NewIdentity(SubjectKind.PERSON, "/person/bo", names=(f"oidc:{ISSUER}#s-1",))
    await here.world.broker.driving.identities.enrol(made)
    book = at_provider(here, "s-1")
    _, handle = await book.login("https://here/console/callback")
    await book.logged_in(handle, "state", "code", ISSUER)
    await refused("login_failed", book.logged_in(handle, "state", "code", ISSUER))
    _, handle = await book.login("https://here/console/callback")
    here.world.clock.now += 600
    await refused("login_failed", book.logged_in(handle, "state", "code", ISSUER))
    await change(here, "/person/bo", to=IdentityState.SUSPENDED)
    await refused("person_unknown", login(book))


async def test_without_a_provider_there_is_no_login() -> None:
    here = await people()
    with pytest.raises(UnavailableError):
        await here.world.broker.driving.people.login("https://here/console/callback")


async def test_a_path_that_was_given_before_is_not_given_again() -> None:
    here = await people()
    await here.enrol(Authenticator(), "email:bo@example.org")
    with pytest.raises(ConflictError):
        await here.world.broker.driving.people.invite("os:bo-example.org", Role.VIEWER, HOUR, "ada")
